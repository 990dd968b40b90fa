//! What the commands print on a node: with attachments, debts, a full and an absent daemon, and manifests with errors.

use super::Seen;
use crate::support::daemon::Daemon;
use crate::support::node::{self, FOLDER};
use crate::support::{Node, Pod, manifests};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const CONF: [&str; 2] = ["--cni-conf-dir", "/run/node/net.d"];
const CONF_AND_BIN: [&str; 4] = ["--cni-conf-dir", "/run/node/net.d", "--cni-bin-dir", "/run/node/bin"];
const CONF_AND_PLUGIN: [&str; 4] = ["--cni-conf-dir", "/run/node/net.d", "--plugin", "/run/node/bin/plexus"];

/// What `plexusctl <words> -o json` prints.
fn see(seen: &mut Seen, name: &'static str, words: &str, more: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().env("HOME", "/nonexistent").args(words.split(' ')).args(["-o", "json"]).args(more);
    let output = command.output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{words}: {e}: {output:?}"));
    seen.entry(name).or_default().push(document);
}

fn bridge(name: &str, subnet: &str) -> Value {
    json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": name, "isGateway": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]}})
}

/// Files with an error, with a warning, and with a pod that is refused and one that is not.
fn of_manifests(seen: &mut Seen) {
    let network = |name: &str, config: &Value| {
        json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name}, "spec": {"config": config.to_string()}})
    };
    let pod = |name: &str, networks: &str| {
        json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "annotations": {"k8s.v1.cni.cncf.io/networks": networks}}, "spec": {"containers": []}})
    };
    let request = r#"[{"name":"lan","ips":["10.10.0.9/24"],"mac":"02:00:00:00:00:09","default-route":["10.10.0.1"]}]"#;
    let capable = json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mode": "brigde",
        "capabilities": {"ips": true, "mac": true}, "ipam": {"type": "static"}});
    let objects = [network("lan", &capable), pod("one", request), pod("two", "absent"), pod("three", "lan")];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    node::write(&Path::new(FOLDER).join("web.yaml"), &list.to_string());
    see(seen, "lint", "lint /run/node/web.yaml", &CONF);
    see(seen, "plan", "plan /run/node/web.yaml", &CONF);
}

/// Everything that asks the records and the daemon.
fn look(seen: &mut Seen) {
    see(seen, "get", "get", &[]);
    see(seen, "get", "get --debts", &[]);
    see(seen, "health", "health --verbose", &[]);
    see(seen, "natives", "natives", &CONF);
    see(seen, "ipam-show", "ipam show", &[]);
    see(seen, "ipam-leases", "ipam leases", &[]);
    see(seen, "ipam-who", "ipam who 10.20.0.5", &[]);
    see(seen, "ipam-check", "ipam check", &[]);
    see(seen, "topology", "topology --default-network", &[]);
    see(seen, "doctor", "doctor", &CONF_AND_BIN);
    see(seen, "describe-pod", "describe pod default/one", &[]);
    see(seen, "why", "why default/one", &CONF_AND_BIN);
    see(seen, "gc", "gc --dry-run", &CONF_AND_PLUGIN);
    see(seen, "gc", "gc --forgive --dry-run", &CONF_AND_PLUGIN);
}

/// An address that a pod has, one that is nobody's, and a block that the daemon granted before the machine started.
fn of_pools() {
    let grant = "pool lan\nconfirmed another 5 5\nauthority 600\nwarm 1 16\ncooldown 30\nretain 60\nsubnet 10.20.0.0/24\nblock 10.20.0.0 8 a 10.20.0.1 10.20.0.7\n";
    node::write(Path::new("/run/plexus/daemon/ipam/lan.grant"), grant);
    let pool = Path::new("/var/lib/plexus/pools/lan");
    node::write(&pool.join("10.20.0.5"), "c5\r\nnet1\r\nlan\r\ndefault/five\r\nu5");
    node::write(&pool.join("10.20.0.6"), "");
    node::write(&pool.join("freed-7-0-10.20.0.7"), "c7\r\nnet1\r\nlan");
    node::write(
        &pool.join("history"),
        "3 released 10.20.0.5 c3 net1 lan - -\n5 taken 10.20.0.5 c5 net1 lan default/five u5\n",
    );
}

pub fn documents() -> Option<Seen> {
    let node = Node::new()?;
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [bridge("cbr0", "10.244.1.0/24")]}));
    manifests::network("default/lan", &bridge("br-lan", "10.10.0.0/24"));
    manifests::network("default/storage", &json!({"cniVersion": "1.0.0", "type": "example"}));
    node.recorder("example").on("DEL", "fail 100 'the storage system does not answer'");
    let mut seen = Seen::new();
    see(&mut seen, "version", "version", &[]);
    of_manifests(&mut seen);
    of_pools();
    let daemon = Daemon::start(&node);
    let pods = ["one", "three"].map(|name| Pod::new(&node, name).selecting("lan,storage"));
    pods.iter().for_each(|pod| drop(pod.add().result()));
    look(&mut seen);
    // A debt, a sandbox that is gone, and no daemon.
    pods[1].del().error();
    drop(daemon);
    look(&mut seen);
    Some(seen)
}
