//! A node switches natives on and off while pods run: who deletes is not who attached.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::{Node, Pod, kernel};

/// Where the pools are.
const POOLS: &str = "/var/lib/cni/networks";

fn network(name: &str, mut plugin: Value, subnets: &[&str]) -> Value {
    let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    plugin["ipam"] = json!({"type": "host-local", "ranges": ranges});
    json!({"cniVersion": "1.1.0", "name": name, "plugins": [plugin]})
}

/// A machine with a default network and two more, of all the natives that every kernel has.
fn node() -> Option<Node> {
    let node = Node::new()?;
    node.ip("link add master0 type veth peer name master1");
    node.ip("link set master0 up");
    node.ip("link set master1 up");
    let bridge = |name: &str| json!({"type": "bridge", "bridge": name, "isGateway": true});
    node.primary(&network("br0", bridge("br0"), &["10.1.0.0/24", "fd00:1::/64"]));
    node.network("default/br", &network("br", bridge("br1"), &["10.2.0.0/24"]));
    node.network("default/mv", &network("mv", json!({"type": "macvlan", "master": "master0"}), &["10.3.0.0/24"]));
    Some(node)
}

fn leases() -> usize {
    let is_lease = |name: &str| name.starts_with("10.") || name.starts_with("fd00");
    let of = |network: &str| fs::read_dir(format!("{POOLS}/{network}")).unwrap().flatten();
    ["br0", "br", "mv"].into_iter().flat_map(of).filter(|file| is_lease(file.file_name().to_str().unwrap())).count()
}

/// Whether the sides of `pods` are told apart at all: only a program's call needs the program.
fn needs_programs(node: &Node, pod: Pod, natives: &Value) -> bool {
    let empty = tempfile::tempdir().unwrap();
    let call = pod.call("ADD").configured("natives", natives.clone());
    let answer = call.env("CNI_PATH", empty.path().to_str().unwrap()).make();
    let added = answer.status.success();
    if added {
        pod.del().silence();
    }
    assert!(pod.record(node).is_none());
    !added
}

/// What may be switched: all of them, the main plugins alone, the addresses alone.
fn switches() -> [(Value, Value); 4] {
    [
        (json!(true), json!(false)),
        (json!(false), json!(true)),
        (json!({"host-local": false}), json!(["host-local"])),
        (json!(["bridge"]), json!({"bridge": false})),
    ]
}

#[test]
fn a_switch_is_one() {
    let Some(node) = node() else { return };
    let pod = |name: &str| Pod::new(&node, name).selecting("br,mv");
    assert!(!needs_programs(&node, pod("native"), &json!(true)));
    assert!(needs_programs(&node, pod("program"), &json!(false)));
    assert!(needs_programs(&node, pod("mixed"), &json!({"host-local": false})));
}

#[test]
fn pods_that_run_are_checked_and_deleted() {
    let Some(node) = node() else { return };
    for (number, (before, after)) in switches().into_iter().enumerate() {
        let pods: Vec<Pod> =
            (0..3).map(|pod| Pod::new(&node, &format!("p{number}-{pod}")).selecting("br,mv")).collect();
        let results: Vec<Value> =
            pods.iter().map(|pod| pod.call("ADD").configured("natives", before.clone()).make().result()).collect();
        assert_eq!(leases(), 4 * pods.len());
        for (pod, result) in pods.iter().zip(results) {
            for natives in [&before, &after] {
                let check = pod.call("CHECK").configured("natives", natives.clone());
                check.configured("prevResult", result.clone()).make().silence();
            }
            // CNI-DEL-04: the last of them is gone with its namespace already.
            let del = pod.call("DEL").configured("natives", after.clone());
            let gone = pod.name.ends_with('2');
            if gone {
                pod.end_sandbox();
            }
            del.env("CNI_NETNS", if gone { "".into() } else { pod.netns.display().to_string() }).make().silence();
            assert!(pod.record(&node).is_none());
            if !gone {
                assert_eq!(kernel::links(&pod.netns), [""; 0], "{before} {after}");
                pod.end_sandbox();
            }
        }
        assert_eq!(leases(), 0, "{before} {after}");
        support::eventually("the ports to go", || {
            kernel::host_links().iter().all(|link| ["br0", "br1", "master0", "master1"].contains(&link.as_str()))
        });
    }
}
