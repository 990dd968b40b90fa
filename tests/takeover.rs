//! A node moves from Multus to Plexus while its pods run: Multus' real programs attached them, ours delete them, and
//! no lease and no link is left. The configurations are those that Multus' own installers write.
//!
//! Runs where `MULTUS_BIN_DIR` names a folder with the programs of Multus 4.3.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

#[path = "support/thick.rs"]
mod thick;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::cnitool::runtime;
use support::{Pod, kernel, node, programs};
use thick::Thick;

const KEPT: &str = "/var/lib/cni/multus";

fn pool(subnet: &str) -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]})
}

fn bridge(name: &str, subnet: &str) -> Value {
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [
        {"type": "bridge", "bridge": name, "isGateway": true, "ipam": pool(subnet)},
    ]})
}

/// Files below `folder` that are leases, or records of Multus or libcni.
fn left(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { left(&path) } else { vec![path] });
    files.filter(|path| !path.ends_with("lock") && !path.to_str().unwrap().contains("last_reserved_ip")).collect()
}

/// What is done to what Multus kept of a pod, before the pod is deleted.
type Harm = fn(&Thick, &Pod, &Path);

/// A pod for each, by name.
const HARMS: [(&str, Harm); 4] = [
    ("whole", |_, _, _| {}),
    ("emptied", |_, _, list| fs::write(list, "").unwrap()),
    ("removed", |_, _, list| fs::remove_file(list).unwrap()),
    // The node was restarted: the sandboxes are gone, and from the cluster too.
    ("ended", |thick, pod, _| {
        pod.end_sandbox();
        thick.api.kubectl(&["delete", "pod", &pod.name, "--grace-period=0", "--force"], None).unwrap();
    }),
];

/// Multus' own list of the pod's networks: the one that was not there before.
fn lists() -> Vec<PathBuf> {
    fs::read_dir(KEPT).into_iter().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

/// Attaches pods by Multus, replaces its configuration by what `plexusctl migrate` makes of it, and deletes them.
fn take_over(thick: &mut Thick, head: &Path, kind: &str) {
    let pods: Vec<(Pod, PathBuf)> = HARMS
        .iter()
        .map(|(name, _)| {
            let before = lists();
            let pod = thick.pod(&format!("{kind}-{name}"), "br,mv");
            runtime(&thick.node, "add", &pod).result();
            assert_eq!(kernel::links(&pod.netns), ["eth0", "net1", "net2"], "{kind}");
            let list = lists().into_iter().find(|list| !before.contains(list)).unwrap();
            (pod, list)
        })
        .collect();
    thick.end_daemon();
    migrate(thick, head);
    for ((pod, list), (name, harm)) in pods.iter().zip(HARMS) {
        harm(thick, pod, list);
        let answer = runtime(&thick.node, "del", pod);
        assert!(answer.status.success(), "{kind} {name}: {answer:?}");
        if name != "ended" {
            assert_eq!(kernel::links(&pod.netns), [""; 0], "{kind} {name}");
        }
    }
    // CNI-DEL-01, CNI-DLG-17
    // The kernel takes its time with what went with a sandbox.
    support::eventually("links to go", || kernel::host_links() == ["br1", "cni0"]);
    assert_eq!(left(Path::new("/var/lib/cni")), Vec::<PathBuf>::new(), "{kind}");
    fs::remove_file(thick.node.net_d().join("00-plexus.conflist")).unwrap();
}

fn migrate(thick: &Thick, head: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_plexusctl")).arg("migrate").arg(head).output().unwrap();
    let (list, remarks) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{remarks}");
    assert!(!remarks.contains("manual"), "{remarks}");
    let (ours, multus): (Value, Value) =
        (serde_json::from_str(&list).unwrap(), serde_json::from_str(&fs::read_to_string(head).unwrap()).unwrap());
    // The runtime goes on to find what it recorded of running pods.
    assert_eq!(ours["name"], multus["name"]);
    fs::remove_file(head).unwrap();
    node::write(&thick.node.net_d().join("00-plexus.conflist"), &list);
}

#[test]
fn a_node_moves_while_its_pods_run() {
    let Some(multus) = programs::multus() else { return };
    let Some(mut thick) = Thick::start(&multus, &bridge("cni0", "10.244.0.0/24")) else { return };
    for program in ["multus", "multus-shim"] {
        std::os::unix::fs::symlink(multus.join(program), thick.node.bin().join(program)).unwrap();
    }
    thick.network("br", &bridge("br1", "10.1.0.0/24"));
    let macvlan = json!({"type": "macvlan", "master": "br1", "ipam": pool("10.2.0.0/24")});
    thick.network("mv", &json!({"cniVersion": "1.0.0", "name": "mv", "plugins": [macvlan]}));
    let head = thick.head_file();
    take_over(&mut thick, &head, "thick");
    let head = thick.become_thin();
    take_over(&mut thick, &head, "thin");
}
