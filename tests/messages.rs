//! Mistakes in the configurations of natives: those that can be known are found before the first side effect, and
//! all are told in the words of whoever made them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "messages/mistakes.rs"]
mod mistakes;
mod support;

use mistakes::{Mistake, host_local, ipam, mistake, of_addresses, of_plugins, of_routes, pool};
use plexus::cni::CniError;
use serde_json::json;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use support::{Node, Pod, kernel};

/// The pool of the default network, which nothing may be taken from.
const POOL: &str = "/var/lib/cni/networks/cbr0";
/// What Rust's programmers write to each other.
const NOT_FOR_USERS: [&str; 12] = [
    "Some(",
    "None",
    " { ",
    "at line",
    "i64",
    "u32",
    "RawObject",
    "untagged",
    "variant",
    "sequence",
    "missing field",
    "invalid type",
];

fn node() -> Option<Node> {
    let node = Node::new()?;
    node.ip("link add master0 type veth peer name master1");
    node.ip("link set master0 up");
    node.ip("link add narrow mtu 1200 type veth peer name narrow1");
    node.ip("tuntap add tun0 mode tun");
    node.ip("link set master1 up");
    std::fs::create_dir("/run/open").unwrap();
    std::fs::set_permissions("/run/open", std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let subnet = host_local(json!({"subnet": "10.1.0.0/24"}));
    let plugins = json!([{"type": "bridge", "bridge": "cbr0", "ipam": subnet}, {"type": "primary"}]);
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": plugins}));
    Some(node)
}

/// The answer to a pod that selects `mistake`.
fn refused(node: &Node, mistake: &Mistake, code: u32) -> CniError {
    let mut selection = json!({"name": "bad"});
    selection.as_object_mut().unwrap().extend(mistake.selection.as_object().unwrap().clone());
    node.network("default/bad", &mistake.config);
    static PODS: AtomicU32 = AtomicU32::new(0);
    let pod =
        Pod::new(node, &format!("mistaken-{}", PODS.fetch_add(1, Ordering::Relaxed))).selecting(json!([selection]));
    let words = [&["default/bad", "net1"], mistake.words].concat();
    let error = pod.add().refusal(code, &words);
    for word in NOT_FOR_USERS {
        assert!(!error.msg.contains(word), "{word:?} is in {:?}", error.msg);
    }
    assert!(error.msg.len() < 400, "{:?}", error.msg);
    let deleted = pod.del();
    // What a program owes, nobody knows but it.
    assert!(code != 7 || deleted.status.success(), "{deleted:?}");
    pod.end_sandbox();
    error
}

#[test]
fn a_mistake_that_can_be_known_costs_the_default_network_nothing() {
    // M13, M14
    let Some(node) = node() else { return };
    let mistakes: Vec<_> = of_plugins().into_iter().chain(of_addresses()).chain(of_routes()).collect();
    assert!(mistakes.len() >= 22);
    let links = kernel::host_links();
    for mistake in mistakes {
        let error = refused(&node, &mistake, 7);
        let of = format!("{}: {}", mistake.config["type"], error.msg);
        assert!(node.calls().iter().all(|call| call.verb() != "ADD"), "{of}");
        assert!(!Path::new(POOL).exists(), "{of}: an address of the default network was taken");
        assert_eq!(kernel::host_links(), links, "{of}");
    }
    let pod = Pod::new(&node, "well");
    pod.add().result();
    assert!(Path::new(POOL).join("last_reserved_ip.0").exists());
    pod.del().silence();
}

#[test]
fn what_the_kernel_or_a_program_refuses_is_told_in_a_users_words() {
    let Some(node) = node() else { return };
    // The program refuses without a word about the key.
    let mistyped = ipam(
        host_local(json!({"cidr": "10.78.0.0/24"})),
        &["plugin host-local", "ipam of type host-local: unknown key \"cidr\""],
    );
    refused(&node, &mistyped, 999);
    node.ip("link add br5 type bridge");
    node.ip("address add 10.5.0.9/24 dev br5");
    let taken = json!({"bridge": "br5", "isGateway": true, "ipam": host_local(json!({"subnet": "10.5.0.0/24"}))});
    refused(
        &node,
        &mistake("bridge", taken, &["plugin bridge", "br5 already has address 10.5.0.9/24", "10.5.0.1/24"]),
        999,
    );
    let of_default = |node: &Node| node.calls().iter().filter(|call| call.verb() == "ADD").count();
    assert_eq!(of_default(&node), 1, "the bridge's address is found in the plan, the mistyped key by the program");
}

#[test]
fn a_kernel_without_a_kind_of_links_is_named_before_anything_is_made() {
    let Some(node) = node() else { return };
    for kind in ["macvlan", "ipvlan", "vlan"] {
        let probe = ["link", "add", "probe", "link", "master0", "type", kind];
        let id = if kind == "vlan" { ["id", "5"].as_slice() } else { &[] };
        if std::process::Command::new("ip").args(probe).args(id).status().unwrap().success() {
            node.ip("link delete probe");
            support::say(&format!("SKIP a_kernel_without_a_kind_of_links_is_named: this kernel has {kind}"));
            continue;
        }
        let words: &[&str] = &["the kernel of this node has no "];
        let missing = mistake(kind, json!({"master": "master0", "vlanId": 5, "ipam": pool()}), words);
        let missing = match kind {
            "vlan" => missing,
            kind => mistake(kind, json!({"master": "master0", "ipam": pool()}), words),
        };
        let error = refused(&node, &missing, 999);
        let module = if kind == "vlan" { "8021q" } else { kind };
        assert!(error.msg.ends_with(&format!("has no {kind} (module {module})")), "{}", error.msg);
        assert!(!Path::new(POOL).exists() && node.calls().iter().all(|call| call.verb() != "ADD"));
    }
}

#[test]
fn a_kernel_without_vlans_on_bridges_is_named() {
    let Some(node) = node() else { return };
    let probe = ["link", "add", "probe", "type", "bridge", "vlan_filtering", "1"];
    if std::process::Command::new("ip").args(probe).status().unwrap().success() {
        support::say("SKIP a_kernel_without_vlans_on_bridges_is_named: this kernel has them");
        return;
    }
    let vlan = mistake(
        "bridge",
        json!({"bridge": "br6", "vlan": 5}),
        &["vlan 5 on bridge br6", "CONFIG_BRIDGE_VLAN_FILTERING"],
    );
    refused(&node, &vlan, 999);
    let trunk = mistake("bridge", json!({"bridge": "br6", "vlanTrunk": [{"id": 5}]}), &["vlanTrunk", "kernel"]);
    refused(&node, &trunk, 999);
    // A bridge that is there cannot do more than the kernel.
    node.ip("link add br7 type bridge");
    for config in [json!({"bridge": "br7", "vlan": 5}), json!({"bridge": "br7", "vlanTrunk": [{"id": 5}]})] {
        refused(&node, &mistake("bridge", config, &["on bridge br7", "CONFIG_BRIDGE_VLAN_FILTERING"]), 999);
    }
    assert!(node.calls().iter().all(|call| call.verb() != "ADD"));
    assert!(!Path::new(POOL).exists(), "an address of the default network was taken");
}
