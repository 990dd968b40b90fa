//! Real delegates, the reference plugins and those in this process: what was asked for is what the kernel has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::{Node, Pod, kernel};

/// Each of these holds for the reference plugins and for those in this process.
macro_rules! for_both {
    ($($test:ident)*) => {
        mod reference {
            $(#[test] fn $test() { super::$test(false); })*
        }
        mod native {
            $(#[test] fn $test() { super::$test(true); })*
        }
    };
}

for_both! {
    a_bridge_and_a_macvlan_are_attached_as_the_short_form_says
    the_json_form_decides_addresses_hardware_address_and_name
    an_address_that_is_taken_fails_the_pod_and_leaves_nothing
    the_default_route_of_ipv4_moves_and_that_of_ipv6_stays
    the_default_route_of_ipv6_moves_and_that_of_ipv4_stays
    both_default_routes_can_move
    each_default_route_can_move_to_another_network
    an_empty_default_route_means_the_networks_own_gateways
    a_gateway_that_cannot_be_reached_fails_the_pod_and_is_undone
    an_old_result_has_its_hardware_address_from_the_kernel
    two_runs_of_addresses_do_not_collide_when_many_pods_start_at_once
    an_ipv6_address_that_somebody_uses_fails_the_pod_and_leaves_nothing
}

/// A node whose Plexus carries out plugins itself, or never does.
fn node(natives: bool) -> Option<Node> {
    let mut node = Node::new()?;
    node.config["natives"] = json!(natives);
    Some(node)
}

/// A default network with a default route of both families, as Kubernetes networks have.
fn real_primary(node: &Node) {
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{
        "type": "bridge", "bridge": "cbr0", "isDefaultGateway": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd01::/64"}]]},
    }]}));
}

/// A bridge beside it, `default/br-a`, of both families and without a default route.
fn bridge(node: &Node) {
    node.network(
        "default/br-a",
        &json!({
            "cniVersion": "1.0.0", "name": "br-a", "type": "bridge", "bridge": "br-a", "isGateway": true, "mtu": 1400,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.20.0.0/24"}], [{"subnet": "fd20::/64"}]],
                "routes": [{"dst": "10.200.0.0/16"}],
            },
        }),
    );
}

/// A macvlan on a link of the node, `<nad>`, with `ipam`.
fn macvlan(node: &Node, nad: &str, ipam: &Value) {
    if !kernel::host_links().contains(&"uplink0".to_owned()) {
        node.ip("link add uplink0 type veth peer name uplink1");
        node.ip("link set uplink0 up");
        node.ip("link set uplink1 up");
    }
    node.network(nad, &json!({
        "cniVersion": "0.4.0", "name": "mv-a", "plugins": [
            {"type": "macvlan", "master": "uplink0", "mode": "bridge", "capabilities": {"mac": true, "ips": true}, "ipam": ipam},
        ],
    }));
}

fn leases() -> usize {
    let networks = fs::read_dir("/var/lib/cni/networks").into_iter().flatten().flatten();
    let files = networks.flat_map(|network| fs::read_dir(network.path()).unwrap().flatten());
    files.filter(|file| file.file_name().to_string_lossy().starts_with(['1', 'f'])).count()
}

fn routes_to(pod: &Pod, destination: &str) -> Vec<String> {
    let listing = pod.ip(&format!("route show {destination}"));
    listing
        .as_array()
        .unwrap()
        .iter()
        .map(|route| format!("{} {}", route["gateway"].as_str().unwrap_or("-"), route["dev"].as_str().unwrap()))
        .collect()
}

/// The network status that waits for the daemon.
fn status(node: &Node) -> Vec<Value> {
    let file = fs::read_dir(node.run().unpublished()).unwrap().next().unwrap().unwrap().path();
    let publication: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    serde_json::from_str(publication["networkStatus"].as_str().unwrap()).unwrap()
}

fn a_bridge_and_a_macvlan_are_attached_as_the_short_form_says(natives: bool) {
    let Some(node) = node(natives) else { return };
    real_primary(&node);
    bridge(&node);
    macvlan(&node, "default/mv-a", &json!({"type": "host-local", "subnet": "10.30.0.0/24"}));
    let pod = Pod::new(&node, "short").selecting("br-a,mv-a@storage0");
    let result = pod.add().result();
    // NPWG-ANN-04, NPWG-KEY-08, CNI-ADD-01
    assert_eq!(kernel::links(&pod.netns), ["eth0", "net1", "storage0"]);
    let kind = |link: &str| pod.ip(&format!("link show dev {link}"))[0]["linkinfo"]["info_kind"].clone();
    assert_eq!((kind("net1"), kind("storage0")), (json!("veth"), json!("macvlan")));
    assert_eq!(pod.ip("link show dev net1")[0]["mtu"], 1400);
    assert_eq!(kernel::addresses(&pod.netns, "eth0"), ["10.1.0.2/24", "fd01::2/64"]);
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.20.0.2/24", "fd20::2/64"]);
    assert_eq!(kernel::addresses(&pod.netns, "storage0"), ["10.30.0.2/24"]);
    assert_eq!(routes_to(&pod, "10.200.0.0/16"), ["10.20.0.1 net1"]);
    assert_eq!(kernel::default_routes(&pod.netns, "-4"), ["10.1.0.1 eth0"]);
    // NPWG-DEF-03, CNI-RES-02: the answer is the default network's and nothing of the others.
    assert_eq!(result["ips"].as_array().unwrap().len(), 2);
    assert!(!result.to_string().contains("net1") && !result.to_string().contains("10.20."));
    assert_eq!(leases(), 5);
    pod.del().silence();
    // CNI-DEL-01
    assert_eq!((leases(), kernel::links(&pod.netns)), (0, Vec::new()));
    assert_eq!(kernel::host_links(), ["br-a", "cbr0", "uplink0", "uplink1"]);
}

fn the_json_form_decides_addresses_hardware_address_and_name(natives: bool) {
    let Some(node) = node(natives) else { return };
    real_primary(&node);
    macvlan(&node, "storage/mv-a", &json!({"type": "static", "routes": [{"dst": "10.200.0.0/16", "gw": "10.30.0.1"}]}));
    let pod = Pod::new(&node, "json").selecting(json!([{
        "name": "mv-a", "namespace": "storage", "interface": "storage0",
        "ips": ["10.30.0.77/24", "fd30::77/64"], "mac": "02:42:ac:11:00:07",
    }]));
    pod.add().result();
    // NPWG-KEY-02, NPWG-KEY-03, NPWG-KEY-07, NPWG-KEY-08
    assert_eq!(kernel::addresses(&pod.netns, "storage0"), ["10.30.0.77/24", "fd30::77/64"]);
    assert_eq!(pod.ip("link show dev storage0")[0]["address"], "02:42:ac:11:00:07");
    assert_eq!(routes_to(&pod, "10.200.0.0/16"), ["10.30.0.1 storage0"]);
    let status = status(&node);
    // NPWG-STA-06, NPWG-STA-08, NPWG-STA-09, NPWG-STA-10, NPWG-STA-11, NPWG-STA-12
    assert_eq!(status.iter().map(|entry| entry["default"] == true).collect::<Vec<_>>(), [true, false]);
    assert_eq!((&status[0]["name"], &status[0]["interface"]), (&json!("cbr0"), &json!("eth0")));
    let second = json!(["storage/mv-a", "storage0", ["10.30.0.77", "fd30::77"], "02:42:ac:11:00:07"]);
    assert_eq!(json!([status[1]["name"], status[1]["interface"], status[1]["ips"], status[1]["mac"]]), second);
    pod.del().silence();
    assert_eq!(kernel::links(&pod.netns), [""; 0]);
    // CNI-DEL-01: what was not published yet is withdrawn.
    assert_eq!(fs::read_dir(node.run().unpublished()).unwrap().count(), 0);
}

fn an_address_that_is_taken_fails_the_pod_and_leaves_nothing(natives: bool) {
    // FAULT-39
    let Some(node) = node(natives) else { return };
    real_primary(&node);
    node.network("default/small", &json!({
        "cniVersion": "1.0.0", "name": "small", "type": "bridge", "bridge": "small",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.40.0.0/24", "rangeStart": "10.40.0.5", "rangeEnd": "10.40.0.5"}]]},
    }));
    let first = Pod::new(&node, "first").selecting("small");
    first.add().result();
    let before = (leases(), kernel::host_links());
    let second = Pod::new(&node, "second").selecting("small");
    // NPWG-ERR-01, CNI-ERR-05, CNI-DLG-08
    second.add().refusal(999, &["default/small", "net1", "10.40.0.5"]);
    assert_eq!((leases(), kernel::host_links()), before);
    assert_eq!(kernel::links(&second.netns), [""; 0]);
    first.del().silence();
    second.add().result();
    second.del().silence();
    assert_eq!(leases(), 0);
}

/// A pod whose second network asks for the default route through `gateways`.
fn with_default_route(natives: bool, name: &str, gateways: &Value) -> Option<(Node, Pod)> {
    let node = node(natives)?;
    real_primary(&node);
    bridge(&node);
    let pod = Pod::new(&node, name).selecting(json!([{"name": "br-a", "default-route": gateways}]));
    pod.add().result();
    Some((node, pod))
}

fn the_default_route_of_ipv4_moves_and_that_of_ipv6_stays(natives: bool) {
    let Some((node, pod)) = with_default_route(natives, "v4", &json!(["10.20.0.1"])) else { return };
    // NPWG-KEY-16, NPWG-KEY-17
    assert_eq!(kernel::default_routes(&pod.netns, "-4"), ["10.20.0.1 net1"]);
    assert_eq!(kernel::default_routes(&pod.netns, "-6"), ["fd01::1 eth0"]);
    // NPWG-STA-15
    let status = status(&node);
    assert_eq!((&status[0]["gateway"], &status[1]["gateway"]), (&json!(["fd01::1"]), &json!(["10.20.0.1"])));
    pod.del().silence();
}

fn the_default_route_of_ipv6_moves_and_that_of_ipv4_stays(natives: bool) {
    let Some((_node, pod)) = with_default_route(natives, "v6", &json!(["fd20::1"])) else { return };
    // NPWG-KEY-17
    assert_eq!(kernel::default_routes(&pod.netns, "-4"), ["10.1.0.1 eth0"]);
    assert_eq!(kernel::default_routes(&pod.netns, "-6"), ["fd20::1 net1"]);
    pod.del().silence();
}

fn both_default_routes_can_move(natives: bool) {
    let Some((node, pod)) = with_default_route(natives, "dual", &json!(["10.20.0.1", "fd20::1"])) else { return };
    // NPWG-KEY-18
    assert_eq!(kernel::default_routes(&pod.netns, "-4"), ["10.20.0.1 net1"]);
    assert_eq!(kernel::default_routes(&pod.netns, "-6"), ["fd20::1 net1"]);
    assert_eq!(status(&node)[1]["gateway"], json!(["10.20.0.1", "fd20::1"]));
    pod.del().silence();
    assert_eq!(leases(), 0);
}

fn each_default_route_can_move_to_another_network(natives: bool) {
    let Some(node) = node(natives) else { return };
    real_primary(&node);
    bridge(&node);
    let pod = Pod::new(&node, "apart").selecting(json!([
        {"name": "br-a", "default-route": ["10.20.0.1"]}, {"name": "br-a", "default-route": ["fd20::1"]},
    ]));
    pod.add().result();
    // NPWG-KEY-17
    assert_eq!(kernel::default_routes(&pod.netns, "-4"), ["10.20.0.1 net1"]);
    assert_eq!(kernel::default_routes(&pod.netns, "-6"), ["fd20::1 net2"]);
    let gateways: Vec<_> = status(&node).iter().map(|entry| entry["gateway"].clone()).collect();
    assert_eq!(gateways, [json!(null), json!(["10.20.0.1"]), json!(["fd20::1"])]);
    pod.call("CHECK").make().silence();
    pod.del().silence();
    assert_eq!(leases(), 0);
}

fn an_empty_default_route_means_the_networks_own_gateways(natives: bool) {
    let Some((_node, pod)) = with_default_route(natives, "own", &json!([])) else { return };
    // NPWG-KEY-16
    assert_eq!(kernel::default_routes(&pod.netns, "-4"), ["10.20.0.1 net1"]);
    assert_eq!(kernel::default_routes(&pod.netns, "-6"), ["fd20::1 net1"]);
    pod.del().silence();
}

fn a_gateway_that_cannot_be_reached_fails_the_pod_and_is_undone(natives: bool) {
    let Some(node) = node(natives) else { return };
    real_primary(&node);
    bridge(&node);
    let pod = Pod::new(&node, "far").selecting(json!([{"name": "br-a", "default-route": ["192.0.2.1"]}]));
    // A program cannot be asked before.
    let (code, key) = if natives { (7, "default-route") } else { (5, "default route") };
    pod.add().refusal(code, &[key, "default/br-a", "net1", "gateway 192.0.2.1", "in no subnet"]);
    assert_eq!((leases(), kernel::links(&pod.netns)), (0, Vec::new()));
    assert!(pod.record(&node).is_none());
}

fn an_old_result_has_its_hardware_address_from_the_kernel(natives: bool) {
    // NPWG-STA-05, NPWG-STA-12
    let Some(node) = node(natives) else { return };
    real_primary(&node);
    node.network(
        "default/old",
        &json!({"cniVersion": "0.2.0", "name": "old", "type": "bridge", "bridge": "old",
            "ipam": {"type": "host-local", "subnet": "10.21.0.0/24"}}),
    );
    let pod = Pod::new(&node, "old").selecting("old");
    pod.add().result();
    let entry = status(&node).remove(1);
    let mac = pod.ip("link show dev net1")[0]["address"].clone();
    assert_eq!((&entry["interface"], &entry["ips"], &entry["mac"]), (&json!("net1"), &json!(["10.21.0.2"]), &mac));
    assert!(mac.is_string());
    pod.del().silence();
}

fn two_runs_of_addresses_do_not_collide_when_many_pods_start_at_once(natives: bool) {
    // FAULT-39
    let Some(node) = node(natives) else { return };
    real_primary(&node);
    bridge(&node);
    let pods: Vec<Pod> = (0..10).map(|number| Pod::new(&node, &format!("burst-{number}")).selecting("br-a")).collect();
    let running: Vec<_> = pods.iter().map(|pod| pod.call("ADD").start()).collect();
    for call in running {
        call.wait().result();
    }
    // CNI-RT-03
    let mut addresses: Vec<String> = pods.iter().flat_map(|pod| kernel::addresses(&pod.netns, "net1")).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!((addresses.len(), leases()), (20, 40));
    let running: Vec<_> = pods.iter().map(|pod| pod.call("DEL").start()).collect();
    for call in running {
        call.wait().silence();
    }
    assert_eq!(leases(), 0);
    assert_eq!(kernel::host_links(), ["br-a", "cbr0"]);
}

fn an_ipv6_address_that_somebody_uses_fails_the_pod_and_leaves_nothing(natives: bool) {
    // FAULT-43
    let Some(node) = node(natives) else { return };
    real_primary(&node);
    node.network(
        "default/same",
        &json!({
            "cniVersion": "1.0.0", "name": "same", "type": "bridge", "bridge": "same", "enabledad": true,
            "ipam": {"type": "static", "addresses": [{"address": "fd40::5/64", "gateway": "fd40::1"}]},
        }),
    );
    let first = Pod::new(&node, "owner").selecting("same");
    first.add().result();
    let before = (leases(), kernel::host_links());
    let second = Pod::new(&node, "guest").selecting("same");
    second.add().refusal(999, &["default/same", "net1", "DAD"]);
    assert_eq!((leases(), kernel::host_links()), before);
    assert_eq!(kernel::links(&second.netns), [""; 0]);
    // Nobody uses it any more.
    first.del().silence();
    second.add().result();
    assert_eq!(kernel::addresses(&second.netns, "net1"), ["fd40::5/64"]);
}

#[test]
fn the_network_of_the_readme_is_attached() {
    let Some(node) = Node::new() else { return };
    let blocks: Vec<&str> = include_str!("../README.md").split("```yaml\n").skip(1).collect();
    let [definition, annotation] = [blocks[0], blocks[1]].map(|block| block.split("```").next().unwrap());
    let objects = plexus::cluster::manifests::manifest::read(definition).unwrap();
    let lan = &objects.definitions[0];
    let selection = annotation.split_once("networks: '").unwrap().1.trim_end().trim_end_matches('\'');
    node.recorder("primary");
    // Its master, with the other end where a switch would be.
    node.ip("link add eth1 type veth peer name switch");
    for link in ["eth1", "switch"] {
        node.ip(&format!("link set {link} up"));
    }
    node.network_text(&lan.nad.to_string(), lan.config.as_deref().unwrap());
    let pod = Pod::new(&node, "reader").selecting(selection);
    pod.add().result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["192.168.20.31/24"]);
    pod.del().silence();
    assert!(kernel::links(&pod.netns).is_empty());
}
