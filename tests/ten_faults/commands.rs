//! The other commands, on a healthy and on a broken cluster.

use crate::scene::Scene;
use std::process::Output;

/// Commands with their exit codes, and what they must show.
type Table<'a> = &'a [(&'a [&'a str], i32, &'a str)];

const CONF_DIR: [&str; 2] = ["--cni-conf-dir", "/run/node/net.d"];
const PLUGIN: [&str; 2] = ["--plugin", "/run/node/installed/plexus"];

fn shown(output: &Output) -> String {
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(stdout), String::from_utf8_lossy(stderr))
}

#[track_caller]
fn show(place: &str, table: Table, run: impl Fn(&[&str]) -> Output) {
    for (words, code, part) in table {
        let output = run(words);
        let shown = shown(&output);
        let holds = output.status.code() == Some(*code) && shown.contains(part);
        assert!(holds, "{place}: {words:?} must exit with {code} and show {part:?}: {:?}\n{shown}", output.status);
    }
}

pub fn show_that_all_is_well(scene: &Scene, pod: &str) {
    let afar: Table = &[
        (&["get"], 0, "default/lan   10.20.0.2   attached"),
        (&["describe", "pod", pod], 0, "net1        default/lan      10.20.0.2"),
        (&["plan", pod], 0, "planned: ADD would attach these networks"),
        (&["lint", "--cluster"], 0, "1 network"),
        (&["topology"], 0, "before net1  10.20.0.2"),
        (&["status"], 0, "Plexus is ready on 1 of 1 node"),
        (&["why", pod], 0, "its networks are attached"),
    ];
    show("from a workstation", afar, |words| scene.afar(words));
    let node: Table = &[
        (&["get"], 0, "attached"),
        (&["describe", "pod", pod], 0, "10.20.0.2"),
        (&["plan", "--on-node", pod], 0, "macvlan (built-in)"),
        (&["health"], 0, "ready"),
        (&["natives"], 0, "macvlan"),
        (&["gc"], 0, ""),
        (&["topology"], 0, "10.20.0.2"),
        (&["doctor"], 0, "plexusd"),
    ];
    show("on the node", node, |words| scene.of_node(words));
}

pub fn show_a_broken_network(scene: &Scene, pod: &str) {
    let refused = "refused: code 7: network default/broken: spec.config: not a JSON object";
    let afar: Table = &[
        (&["get"], 0, "default/broken   -           waiting"),
        (&["describe", "pod", pod], 0, "FailedCreatePodSandBox"),
        (&["plan", pod], 1, refused),
        (&["lint", "--cluster"], 1, "default/broken: error PX001"),
        (&["topology"], 0, "default/p6  waiting"),
        (&["status"], 3, "✗ pods       pod default/p6 does not start: network default/broken"),
    ];
    show("from a workstation", afar, |words| scene.afar(words));
    // The daemon may not read pods: the kubeconfig of the administrator does.
    show("on the node", &[(&["plan", pod], 1, refused), (&["health"], 0, "ready")], |words| scene.of_node(words));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.tar.gz");
    let words = ["report", "-o", file.to_str().unwrap(), "--node-timeout", "5"];
    let written = scene.afar(&words);
    assert!(written.status.success(), "{}", shown(&written));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()));
    let mut status = String::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().ends_with("cluster/status.json") {
            std::io::Read::read_to_string(&mut entry, &mut status).unwrap();
        }
    }
    assert!(status.contains("network default/broken: spec.config"), "{status}");
}

pub fn show_that_the_daemon_is_down(scene: &Scene, pod: &str) {
    let node: Table = &[
        (&["health"], 3, "plexusd is not running"),
        (&["get"], 0, "attached"),
        (&["describe", "pod", pod], 0, "10.20.0.2"),
        (&["natives"], 0, "macvlan"),
        (&["gc"], 0, ""),
    ];
    show("on the node", node, |words| scene.of_node(words));
    let afar: Table = &[(&["status"], 3, "node1   not ready"), (&["get"], 0, "attached")];
    show("from a workstation", afar, |words| scene.afar(words));
}

impl Scene {
    /// On the node, with the directories that the command has options for.
    fn of_node(&self, words: &[&str]) -> Output {
        let more: &[&str] = match words[0] {
            "doctor" => return self.on_node(words),
            "gc" => &[CONF_DIR, PLUGIN].concat(),
            "get" | "describe" | "natives" | "topology" => &CONF_DIR,
            _ => &[],
        };
        self.beside_the_files(&[words, more].concat())
    }
}
