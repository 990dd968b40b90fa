//! A node on which a network of a cluster is installed, and Plexus is not yet.

use crate::fixture::Fixture;
use crate::support::cnitool::runtime;
use crate::support::{Call, Node, Pod, Recorder, node};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a recorder does on ADD as the first of its chain: a link that CHECK finds again.
const MAKES_A_LINK: &str = "\
pod=${CNI_NETNS##*/}
ip -n $pod link add $CNI_IFNAME address 02:00:00:00:00:01 type bridge
ip -n $pod address add 10.99.0.2/24 dev $CNI_IFNAME
result
";

/// A key that no plugin knows, with what careless readers lose: digits, escapes, order, spaces.
const ODD: &str = r#""x-odd": {"z": 1.50, "a":123456789012345678901, "u":"\u00e9\/", "n":null}, "args": {"cni":{"labels":[ {"key":"a","value":"b"} ]}}"#;

/// Such a node.
#[derive(Debug)]
pub struct Bare {
    pub node: Node,
    pub fixture: Fixture,
    pub recorders: Vec<Recorder>,
}

/// Enters the machine; the fixture's first plugin gets keys that its own installer knows nothing of.
pub fn enter(mut fixture: Fixture) -> Option<Bare> {
    let node = Node::new()?;
    fixture.text = fixture.text.replacen("\"type\"", &format!("{ODD}, \"type\""), 1);
    fs::remove_file(node.primary_file()).unwrap();
    node::write(&node.net_d().join(&fixture.file), &fixture.text);
    let kinds = fixture.kinds();
    let recorders: Vec<Recorder> = kinds.iter().map(|kind| node.recorder(kind)).collect();
    recorders[0].on("ADD", MAKES_A_LINK);
    for kind in fixture.ipam().into_iter().filter(|kind| kind != "host-local") {
        node.recorder(&kind);
    }
    take_out_plexus(&node);
    let bare = Bare { node, fixture, recorders };
    // A network of a real plugin would need the recorders' folder; this one is a recorder, too.
    bare.node.recorded_network("a").on("ADD", MAKES_A_LINK);
    Some(bare)
}

/// Before the installation there is no plugin of ours; its program lies elsewhere.
fn take_out_plexus(node: &Node) {
    let place = node.bin().join("plexus");
    fs::copy(&place, program()).unwrap();
    node::uncover(&place);
    fs::remove_file(place).unwrap();
}

/// The plugin that is installed.
pub fn program() -> PathBuf {
    Path::new(node::FOLDER).join("release")
}

/// Everything a runtime offers by capability.
pub fn offered(mut pod: Pod) -> Pod {
    let offer = json!({
        "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""}],
        "bandwidth": {"ingressRate": 1000000, "ingressBurst": 2147483647, "egressRate": 1000000, "egressBurst": 2147483647},
        "ips": ["10.99.0.2/24"],
        "mac": "02:00:00:00:00:01",
        "dns": {"Servers": ["10.96.0.10"], "Searches": ["svc.cluster.local"], "Options": ["ndots:5"]},
    });
    pod.capability_args = offer.as_object().unwrap().clone();
    pod
}

impl Bare {
    /// `plexusctl` as it is.
    pub fn plexusctl_alone(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_plexusctl")).args(arguments).output().unwrap()
    }

    /// Removes it again; no pod may need it.
    pub fn uninstall(&self) {
        let output = self.plexusctl("uninstall", &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The runtime's folder, without folders in it.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.node.net_d()).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        let mut names: Vec<String> = files.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `plexusctl` with the node's folders.
    pub fn plexusctl(&self, command: &str, more: &[&str]) -> Output {
        self.plexusctl_command(command, more).output().unwrap()
    }

    /// As [`Bare::plexusctl`], not started yet.
    pub fn plexusctl_command(&self, command: &str, more: &[&str]) -> Command {
        let mut plexusctl = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        plexusctl.arg(command).arg("--cni-conf-dir").arg(self.node.net_d());
        plexusctl.arg("--cni-bin-dir").arg(self.node.bin()).args(more);
        plexusctl
    }

    /// Installs with programs only; answers what a person is told.
    pub fn install(&self, more: &[&str]) -> String {
        self.install_with(r#"{"natives": false}"#, more)
    }

    /// As [`Bare::install`], with other settings.
    pub fn install_with(&self, settings: &str, more: &[&str]) -> String {
        let file = Path::new(node::FOLDER).join("settings.json");
        node::write(&file, settings);
        let (program, settings) = (program().display().to_string(), file.display().to_string());
        let output = self
            .plexusctl("install", &[&["--plugin", &program, "--settings", &settings, "--timeout=0"], more].concat());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        told
    }

    /// Our list, as the runtime loads it.
    pub fn head(&self) -> Value {
        let text = fs::read_to_string(self.node.net_d().join("00-plexus.conflist")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// GC of our element of the list, as libcni makes the call.
    pub fn gc(&mut self, valid: &Value) {
        let list = self.head();
        let mut config = list["plugins"][0].clone();
        config["name"] = list["name"].clone();
        self.node.config = config;
        Call::of_node(&self.node, "GC").configured("cni.dev/valid-attachments", valid.clone()).make().silence();
    }

    /// A pod's life through the runtime; `between` is called while it is attached. CHECK only where the runtime
    /// can ask for it.
    pub fn live(&self, pod: &Pod, checked: bool, between: impl FnOnce()) -> Value {
        let result = runtime(&self.node, "add", pod).result();
        if checked {
            runtime(&self.node, "check", pod).silence();
        }
        runtime(&self.node, "status", pod).silence();
        between();
        runtime(&self.node, "del", pod).silence();
        result
    }

    /// What each plugin of the network read, by verb, and forgotten afterwards. What differs between pods is made
    /// alike, and `capabilities`, which libcni leaves and the standard forbids, is left out.
    pub fn read_by_plugins(&self, pod: &Pod) -> Vec<(String, String, Value)> {
        let kinds = self.fixture.kinds();
        let ours = self.node.calls().into_iter().filter(|call| kinds.contains(&call.plugin));
        let read = ours.map(|call| {
            let mut stdin: Value =
                serde_json::from_str(&call.stdin.replace(&format!("cni-{}", pod.name), "cni-POD")).unwrap();
            stdin.as_object_mut().unwrap().remove("capabilities");
            (call.verb().to_owned(), call.plugin.clone(), stdin)
        });
        let read = read.collect();
        self.node.forget_calls();
        read
    }
}
