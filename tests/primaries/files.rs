//! Files that come late, half, twice, under other names, or go.

use crate::fixture;
use crate::node::{Bare, enter};
use crate::support::cnitool::{self, loaded, runtime};
use crate::support::{Pod, Recorder, node};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

const OURS: &str = "00-plexus.conflist";

fn flannel() -> Option<Bare> {
    enter(fixture::of("flannel"))
}

impl Bare {
    fn primary(&self) -> PathBuf {
        self.node.net_d().join(&self.fixture.file)
    }

    /// A single plugin, a recorder, in the file `name`.
    fn single(&self, name: &str, plugin: &str) -> Recorder {
        let config =
            json!({"cniVersion": "0.4.0", "name": plugin, "type": plugin, "capabilities": {"portMappings": true}});
        node::write(&self.node.net_d().join(name), &config.to_string());
        self.node.recorder(plugin)
    }

    /// Installs where that is refused; answers the last line.
    fn refusal(&self, more: &[&str]) -> String {
        let plugin = self.node.bin().join("plexus");
        fs::copy(node::FOLDER.to_owned() + "/release", &plugin).unwrap();
        let arguments = [&["--plugin", plugin.to_str().unwrap(), "--timeout=0"], more].concat();
        let output = self.plexusctl("install", &arguments);
        assert!(!output.status.success() && !self.node.net_d().join(OURS).exists());
        String::from_utf8(output.stderr).unwrap().lines().last().unwrap().to_owned()
    }
}

#[test]
fn a_file_that_is_rewritten_is_followed_and_pods_are_deleted_as_they_were_made() {
    let Some(bare) = enter(fixture::of("calico")) else { return };
    bare.install(&[]);
    let (older, younger) = (Pod::new(&bare.node, "older"), Pod::new(&bare.node, "younger"));
    runtime(&bare.node, "add", &older).result();
    let head = fs::read_to_string(bare.node.net_d().join(OURS)).unwrap();
    let text = fs::read_to_string(bare.primary()).unwrap();
    node::write(&bare.primary(), &text.replace("\"mtu\": 0", "\"mtu\": 1430, \"x-new\": [1.10]"));
    runtime(&bare.node, "add", &younger).result();
    runtime(&bare.node, "del", &older).silence();
    runtime(&bare.node, "del", &younger).silence();
    let read =
        |call: &crate::support::Recorded| (call.config()["mtu"].clone(), call.stdin.contains("\"x-new\":[1.10]"));
    let calico: Vec<_> = bare.recorders[0].calls().iter().map(read).collect();
    let (old, new) = ((json!(0), false), (json!(1430), true));
    // CNI-RT-04, CNI-DLG-17
    assert_eq!(calico, [old.clone(), new.clone(), old, new]);
    assert_eq!(fs::read_to_string(bare.node.net_d().join(OURS)).unwrap(), head);
}

#[test]
fn a_file_that_comes_late_is_waited_for_and_half_of_it_is_not_taken() {
    let Some(bare) = flannel() else { return };
    let text = fs::read_to_string(bare.primary()).unwrap();
    fs::remove_file(bare.primary()).unwrap();
    let mut install = Command::new(env!("CARGO_BIN_EXE_plexusctl"))
        .args(["install", "--timeout=60", "--plugin", "/run/node/release"])
        .args(["--cni-conf-dir".into(), bare.node.net_d(), "--cni-bin-dir".into(), bare.node.bin()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(install.stderr.take().unwrap()).lines();
    let mut until = |part: &str| lines.by_ref().map(Result::unwrap).find(|line| line.contains(part));
    let net_d = bare.node.net_d().display().to_string();
    // It is told at once, and again when it is another reason.
    until(&format!("waiting since 0 s: {net_d} contains no configuration of a cluster network")).unwrap();
    assert!(bare.node.bin().join("plexus").exists());
    node::write(&bare.primary(), &text[..text.len() / 2]);
    until("10-flannel.conflist: not a JSON object").unwrap();
    assert!(install.try_wait().unwrap().is_none() && !bare.node.net_d().join(OURS).exists());
    node::write(&bare.primary(), &text);
    assert!(install.wait().unwrap().success());
    until("10-flannel.conflist (network cbr0, flannel+portmap)").unwrap();
}

#[test]
fn what_is_waited_for_in_vain_is_told_in_one_line() {
    let Some(bare) = flannel() else { return };
    let text = fs::read_to_string(bare.primary()).unwrap();
    node::write(&bare.primary(), &text[..text.len() / 2]);
    assert!(bare.refusal(&[]).contains("10-flannel.conflist: not a JSON object"));
    fs::remove_file(bare.primary()).unwrap();
    assert!(bare.refusal(&[]).contains("contains no configuration of a cluster network; install one first"));
}

#[test]
fn status_tells_which_file_is_missing_on_a_node_that_never_had_it() {
    let Some(bare) = flannel() else { return };
    bare.install(&[]);
    fs::remove_file(bare.primary()).unwrap();
    let pod = Pod::new(&bare.node, "early");
    // CNI-STA-02
    cnitool::direct(&bare.node, "STATUS", &bare.head(), &pod)
        .refusal(50, &["default network", "10-flannel.conflist does not exist"]);
    cnitool::direct(&bare.node, "ADD", &bare.head(), &pod).refusal(11, &["10-flannel.conflist does not exist"]);
    let told = bare.install(&[]);
    assert!(told.contains("00-plexus.conflist is not changed"), "{told}");
}

#[test]
fn of_two_primaries_the_first_is_taken_and_the_other_is_told() {
    let Some(bare) = flannel() else { return };
    let crio = bare.single("100-crio-bridge.conf", "crio-bridge");
    // As texts: "10-" comes before "100".
    let told = bare.install(&[]);
    let expected = "10-flannel.conflist (network cbr0, flannel+portmap): the first in ";
    assert!(told.contains(expected) && told.contains("ignored: 100-crio-bridge.conf"), "{told}");
    let other = bare.node.net_d().join("100-crio-bridge.conf");
    bare.install(&["--primary", other.to_str().unwrap()]);
    runtime(&bare.node, "add", &Pod::new(&bare.node, "other")).result();
    assert_eq!((crio.calls().len(), bare.recorders[0].calls().len()), (1, 0));
}

#[test]
fn a_single_plugin_is_a_primary_by_either_of_its_extensions() {
    for file in ["10-single.conf", "10-single.json"] {
        let test = std::thread::spawn(move || {
            let Some(bare) = flannel() else { return };
            fs::remove_file(bare.primary()).unwrap();
            let single = bare.single(file, "single");
            let refused = bare.refusal(&["--mode", "chain"]);
            assert!(refused.contains(file) && refused.contains("--mode delegate"), "{refused}");
            bare.install(&[]);
            let pod = crate::node::offered(Pod::new(&bare.node, "single").selecting("a"));
            runtime(&bare.node, "add", &pod).result();
            runtime(&bare.node, "del", &pod).silence();
            // CNI-LOAD-01
            assert_eq!(bare.node.call_names(), ["ADD single eth0", "ADD a net1", "DEL a net1", "DEL single eth0"]);
            assert_eq!(single.call_of("ADD").config()["runtimeConfig"]["portMappings"][0]["hostPort"], 8080);
        });
        // A machine of its own, as every test has.
        test.join().unwrap();
    }
}

#[test]
fn a_primary_that_is_replaced_leaves_older_pods_theirs() {
    let Some(bare) = flannel() else { return };
    bare.install(&[]);
    let (older, between) = (Pod::new(&bare.node, "older").selecting("a"), Pod::new(&bare.node, "between"));
    runtime(&bare.node, "add", &older).result();
    fs::remove_file(bare.primary()).unwrap();
    let text = fixture::of("cilium").text;
    node::write(&bare.node.net_d().join("05-cilium.conflist"), &text);
    bare.node.recorder("cilium-cni");
    bare.node.forget_calls();
    // Until we are installed again the last good copy is used: a file that has gone may come back.
    runtime(&bare.node, "add", &between).result();
    assert_eq!(bare.node.call_names(), ["ADD flannel eth0", "ADD portmap eth0"]);
    bare.node.forget_calls();

    bare.install(&[]);
    assert_eq!(bare.head()["name"], "cilium");
    let younger = Pod::new(&bare.node, "younger").selecting("a");
    runtime(&bare.node, "add", &younger).result();
    for pod in [&older, &between, &younger] {
        runtime(&bare.node, "del", pod).silence();
    }
    let expected = [
        "ADD cilium-cni eth0",
        "ADD a net1",
        "DEL a net1",
        "DEL portmap eth0",
        "DEL flannel eth0",
        "DEL portmap eth0",
        "DEL flannel eth0",
        "DEL a net1",
        "DEL cilium-cni eth0",
    ];
    assert_eq!(bare.node.call_names(), expected);
}

#[test]
fn our_own_list_is_no_primary() {
    let Some(bare) = flannel() else { return };
    fs::remove_file(bare.primary()).unwrap();
    let own = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "plexus", "clusterNetwork": "/x"}]});
    let file = bare.node.net_d().join("20-renamed.conflist");
    node::write(&file, &own.to_string());
    let told = bare.refusal(&[]);
    assert!(told.contains("ignored: 20-renamed.conflist (plexus)"), "{told}");
    let told = bare.refusal(&["--primary", file.to_str().unwrap()]);
    assert!(told.contains("delegates to plexus, which would never end"), "{told}");
}

#[test]
fn multus_list_is_no_primary_and_is_replaced_on_request() {
    let Some(bare) = flannel() else { return };
    let multus = json!({"cniVersion": "0.3.1", "name": "multus-cni-network", "type": "multus-shim", "clusterNetwork": bare.primary()});
    let file = bare.node.net_d().join("00-multus.conf");
    node::write(&file, &multus.to_string());
    let told = bare.refusal(&[]);
    assert!(told.contains("00-multus.conf") && told.contains("--replace-multus"), "{told}");
    assert_eq!(loaded(&bare.node), file);
    let told = bare.install(&["--replace-multus"]);
    assert!(told.contains("10-flannel.conflist") && told.contains("00-multus.conf (multus-shim)"), "{told}");
    assert!(told.contains("renamed ") && told.contains("00-multus.conf.plexus-replaced"), "{told}");
    runtime(&bare.node, "add", &Pod::new(&bare.node, "ours").selecting("a")).result();
    assert_eq!(bare.node.call_names(), ["ADD flannel eth0", "ADD portmap eth0", "ADD a net1"]);
}

#[test]
fn what_is_removed_leaves_the_node_as_it_was() {
    let Some(bare) = flannel() else { return };
    let programs = || -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(bare.node.bin()).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let (files, before) = (bare.files(), programs());
    bare.install(&[]);
    let pod = Pod::new(&bare.node, "needs").selecting("a");
    runtime(&bare.node, "add", &pod).result();
    let refused = bare.plexusctl("uninstall", &[]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(3) && told.contains("default/needs"), "{told}");
    let mut waiting = bare.plexusctl_command("uninstall", &["--wait"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines();
    // Told at once, not after the first pause. It was warned of before: this goes on.
    assert!(lines.next().unwrap().unwrap().contains("default/needs"));
    runtime(&bare.node, "del", &pod).silence();
    assert_eq!(lines.last().unwrap().unwrap(), "uninstalled");
    assert!(waiting.wait().unwrap().success());
    assert_eq!((bare.files(), programs()), (files, before));
    assert!(!bare.node.state().path().exists());
    let bare_pod = Pod::new(&bare.node, "after");
    bare.node.forget_calls();
    runtime(&bare.node, "add", &bare_pod).result();
    assert_eq!(bare.node.call_names(), ["ADD flannel eth0", "ADD portmap eth0"]);
}
