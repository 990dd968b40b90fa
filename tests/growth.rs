//! A call asks the kernel no more on a node with many pods than on an empty one. No time is measured.

#![allow(clippy::unwrap_used, reason = "a test fails that way")]

mod support;

use nix::libc;
use serde_json::{Value, json};
use support::netlink::{LOOKED_AT, Seen};
use support::{Node, Pod};

/// Their links are more than one answer of the kernel to a listing holds, by far.
const CROWD: usize = 60;
/// A port may need another look until it is up: one request, one answer.
const SLACK: usize = 3;
/// Messages that a call of three networks sends to the kernel at most.
const ROUND_TRIPS: usize = 14;

fn network(name: &str, plugin: Value) -> Value {
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin]})
}

fn pool(number: u8) -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": format!("10.{number}.0.0/16")}]]})
}

/// Two bridges, and macvlans on one of them.
fn node() -> Option<Node> {
    let node = Node::new()?;
    let bridge =
        |name: &str, number| json!({"type": "bridge", "bridge": name, "isGateway": true, "ipam": pool(number)});
    node.primary(&network("cbr0", bridge("cbr0", 1)));
    node.network("default/br", &network("br", bridge("br1", 2)));
    node.network("default/mv", &network("mv", json!({"type": "macvlan", "master": "br1", "ipam": pool(3)})));
    Some(node)
}

fn pod(node: &Node, name: &str) -> Pod {
    Pod::new(node, name).selecting("br,mv")
}

/// What ADD and DEL of one pod ask.
fn counted(node: &Node, name: &str) -> [(&'static str, Seen); 2] {
    let pod = pod(node, name);
    let calls = ["ADD", "DEL"].map(|verb| {
        let (answer, seen) = pod.call(verb).make_counted();
        assert!(answer.status.success(), "{verb}: {answer:?}");
        (verb, seen)
    });
    pod.end_sandbox();
    calls
}

#[test]
fn a_full_node_is_asked_no_more_than_an_empty_one() {
    let Some(node) = node() else { return };
    // Bridges and pools are made once.
    counted(&node, "first");
    let empty = counted(&node, "empty");
    let crowd: Vec<Pod> = (0..CROWD).map(|number| pod(&node, &format!("crowd{number}"))).collect();
    for pod in &crowd {
        pod.add().result();
    }
    let full = counted(&node, "full");
    for ((verb, empty), (_, full)) in empty.iter().zip(&full) {
        for call in LOOKED_AT {
            let [before, now] = [empty, full].map(|seen| seen.calls.get(&call).copied().unwrap_or(0));
            assert!(now <= before + SLACK, "{verb}: system call {call} {before} times, with {CROWD} pods {now} times");
        }
        assert!(full.requests.len() <= empty.requests.len() + SLACK, "{verb}: {full:?}");
    }
    for pod in crowd {
        pod.del().silence();
        pod.end_sandbox();
    }
}

#[test]
fn requests_go_together() {
    // P1
    let Some(node) = node() else { return };
    counted(&node, "first");
    let [(_, add), _] = counted(&node, "second");
    let sent = add.calls[&libc::SYS_sendto];
    assert!(sent <= ROUND_TRIPS && sent < add.requests.len(), "{add:?}");
}

#[test]
fn an_add_of_built_in_plugins_is_one_thread() {
    // P2
    let Some(node) = node() else { return };
    counted(&node, "first");
    let [(_, add), _] = counted(&node, "second");
    let started = |call| add.calls.get(&call).copied().unwrap_or(0);
    assert_eq!([libc::SYS_clone, libc::SYS_clone3].map(started), [0, 0], "{add:?}");
}

#[test]
fn settings_are_looked_for_once_in_each_namespace() {
    // The kernel compares the path with those of all other namespaces, so each look costs more with each pod.
    let Some(node) = node() else { return };
    counted(&node, "first");
    let [(_, mut add), _] = counted(&node, "second");
    add.settings.retain(|path| path.starts_with("/proc/sys/net/"));
    add.settings.sort();
    let (v4, v6) = ("/proc/sys/net/ipv4", "/proc/sys/net/ipv6");
    assert_eq!(add.settings, [v4, v4, v6, v6], "once on the node and once in the pod");
}
