//! CHECK: what is not as it was attached any more is told in one line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::{Answer, Node, Pod, Recorder, kernel};

fn check(pod: &Pod) -> Answer {
    pod.call("CHECK").make()
}

/// A bridge with everything that can drift.
fn bridge(node: &Node) {
    node.primary(&json!({"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{
        "type": "bridge", "bridge": "cbr0", "isDefaultGateway": true, "mtu": 1400,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]], "routes": [{"dst": "10.200.0.0/16"}]},
    }]}));
}

/// A recorder that answers an address, and its network.
fn network(node: &Node, name: &str, config: Value) -> Recorder {
    node.network(&format!("default/{name}"), &config);
    let recorder = node.recorder(name);
    recorder.answers(&json!({"cniVersion": config["cniVersion"], "ips": [{"version": "4", "address": "10.9.0.2/24"}]}));
    recorder
}

/// The default network answers nothing that could be looked for.
fn quiet_primary(node: &Node) -> Recorder {
    let primary = node.recorder("primary");
    primary.answers(&json!({"cniVersion": "1.0.0", "ips": [{"address": "10.99.0.2/24"}]}));
    primary
}

#[test]
fn what_drifted_is_told_in_one_line() {
    // FAULT-44
    let Some(node) = Node::new() else { return };
    bridge(&node);
    // CNI-CHK-01, CNI-CHK-03
    let in_sandbox = [
        ("mtu", "link set eth0 mtu 1300", "MTU of eth0 is 1300, was 1400"),
        ("mac", "link set eth0 address 02:00:00:00:00:99", "hardware address of eth0 is 02:00:00:00:00:99, was "),
        ("address", "address flush dev eth0 scope global", " is not on eth0 any more"),
        ("route", "route del 10.200.0.0/16", "route to 10.200.0.0/16 is gone"),
        ("default", "route del default", "route to 0.0.0.0/0 is gone"),
        ("link", "link del eth0", "interface eth0 is gone"),
    ];
    for (name, change, told) in in_sandbox {
        let pod = Pod::new(&node, name);
        pod.add().result();
        check(&pod).silence();
        pod.ip(change);
        check(&pod).refusal(101, &["network cbr0 (eth0)", told]);
        pod.del().silence();
    }
}

#[test]
fn a_cable_that_was_pulled_out_of_the_bridge_is_told() {
    let Some(node) = Node::new() else { return };
    bridge(&node);
    let pod = Pod::new(&node, "master");
    pod.add().result();
    let port = kernel::host_links().into_iter().find(|name| name != "cbr0").unwrap();
    node.ip(&format!("link set {port} nomaster"));
    // CNI-CHK-04
    let error = check(&pod).error();
    assert!(error.msg.contains("network cbr0 (eth0)") && error.msg.contains("bridge cbr0"), "{error:?}");
    node.ip(&format!("link set {port} master cbr0"));
    check(&pod).silence();
}

#[test]
fn a_route_that_a_later_plugin_moved_is_no_drift() {
    let Some(node) = Node::new() else { return };
    bridge(&node);
    let pod = Pod::new(&node, "moved");
    pod.add().result();
    pod.ip("route del 10.200.0.0/16");
    pod.ip("route add 10.200.0.0/16 via 10.1.0.1 table 100");
    // CNI-CHK-02
    check(&pod).silence();
}

#[test]
fn the_default_route_is_looked_for_in_the_main_table() {
    let Some(node) = Node::new() else { return };
    bridge(&node);
    let pod = Pod::new(&node, "elsewhere");
    pod.add().result();
    pod.ip("route del default");
    pod.ip("route add default via 10.1.0.1 table 100");
    check(&pod).refusal(101, &["network cbr0 (eth0)", "route to 0.0.0.0/0 is gone"]);
    pod.ip("route add default via 10.1.0.1");
    check(&pod).silence();
}

#[test]
fn it_may_come_right_after_add() {
    let Some(node) = Node::new() else { return };
    bridge(&node);
    for round in 0..10 {
        let pod = Pod::new(&node, &format!("round-{round}"));
        pod.add().result();
        // CNI-CHK-05, CNI-CHK-07
        check(&pod).silence();
        check(&pod).silence();
    }
}

#[test]
fn every_network_is_called_as_at_add_with_its_own_result() {
    let Some(node) = Node::new() else { return };
    let primary = quiet_primary(&node);
    let a = network(&node, "a", json!({"cniVersion": "0.4.0", "type": "a", "x": 1.50}));
    let pod = Pod::new(&node, "same").selecting("a@eth7");
    pod.add().result();
    check(&pod).silence();
    assert_eq!(node.call_names()[2..], ["CHECK primary eth0", "CHECK a eth7"]);
    // CNI-CHK-08, CNI-RT-02
    for recorder in [&primary, &a] {
        for key in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS"] {
            assert_eq!(recorder.call_of("CHECK").env(key), recorder.call_of("ADD").env(key), "{key}");
        }
        let (mut checked, added) = (recorder.call_of("CHECK").config(), recorder.call_of("ADD").config());
        checked.as_object_mut().unwrap().remove("prevResult");
        assert_eq!(checked, added);
    }
    // CNI-DLG-12
    assert_eq!(a.call_of("CHECK").config()["prevResult"]["ips"][0]["address"], "10.9.0.2/24");
    assert_eq!(primary.call_of("CHECK").config()["prevResult"]["ips"][0]["address"], "10.99.0.2/24");
}

#[test]
fn networks_that_forbid_it_or_are_too_old_are_passed_over() {
    let Some(node) = Node::new() else { return };
    quiet_primary(&node);
    network(
        &node,
        "forbids",
        json!({"cniVersion": "1.0.0", "name": "forbids", "disableCheck": true, "plugins": [{"type": "forbids"}]}),
    );
    network(
        &node,
        "old",
        json!({"cniVersion": "0.3.1", "name": "old", "disableCheck": true, "plugins": [{"type": "old"}]}),
    );
    network(&node, "older", json!({"cniVersion": "0.3.1", "type": "older"}));
    network(&node, "asked", json!({"cniVersion": "1.1.0", "type": "asked"}));
    let pod = Pod::new(&node, "mixture").selecting("forbids,old,older,asked");
    pod.add().result();
    node.forget_calls();
    // CNI-DLG-12, CNI-CHK-10, CNI-CFG-05
    check(&pod).silence();
    assert_eq!(node.call_names(), ["CHECK primary eth0", "CHECK asked net4"]);
}

#[test]
fn the_first_plugin_that_finds_something_amiss_ends_it() {
    let Some(node) = Node::new() else { return };
    quiet_primary(&node);
    let a = network(&node, "a", json!({"cniVersion": "1.0.0", "type": "a"}));
    network(&node, "b", json!({"cniVersion": "1.0.0", "type": "b"}));
    let pod = Pod::new(&node, "first").selecting("a,b");
    pod.add().result();
    node.forget_calls();
    a.on("CHECK", "fail 107 'the queue is away'");
    // CNI-CHK-06, CNI-CHK-09, CNI-DLG-05
    check(&pod).refusal(107, &["network default/a (net1)", "the queue is away"]);
    assert_eq!(node.call_names(), ["CHECK primary eth0", "CHECK a net1"]);
}

#[test]
fn a_configuration_older_than_the_verb_is_refused() {
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "old");
    pod.add().result();
    // CNI-CHK-12
    for version in ["0.1.0", "0.3.1"] {
        pod.call("CHECK").configured("cniVersion", json!(version)).make().refusal(1, &["CHECK", version]);
    }
}

#[test]
fn a_sandbox_that_nobody_knows_is_told() {
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "unknown");
    // CNI-ERR-04, CNI-CHK-11
    check(&pod).refusal(3, &[&pod.id, "eth0"]);
    pod.add().result();
    pod.del().silence();
    check(&pod).refusal(3, &[&pod.id]);
    assert_eq!(node.calls().len(), 2);
}

#[test]
fn of_a_sandbox_older_than_us_the_default_network_judges_by_the_runtimes_result() {
    let Some(node) = Node::new() else { return };
    let primary = quiet_primary(&node);
    let pod = Pod::new(&node, "older");
    let result = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.99.0.7/24"}]});
    // CNI-CHK-01
    pod.call("CHECK").configured("prevResult", result.clone()).make().silence();
    assert_eq!(primary.call_of("CHECK").config()["prevResult"], result);
    primary.on("CHECK", "fail 104 gone");
    pod.call("CHECK").configured("prevResult", result).make().refusal(104, &["network cbr0 (eth0)", "gone"]);
}

#[test]
fn a_damaged_record_is_used_as_far_as_it_goes() {
    let Some(node) = Node::new() else { return };
    quiet_primary(&node);
    let pod = Pod::new(&node, "damaged");
    pod.add().result();
    let text = fs::read_to_string(pod.record_file(&node)).unwrap();
    fs::write(pod.record_file(&node), &text[..text.len() - 1]).unwrap();
    let answer = check(&pod);
    assert!(answer.status.success() && answer.stderr.contains("damaged"), "{answer:?}");
    // What could be saved of it still serves DEL.
    pod.del().silence();
    assert_eq!(node.call_names(), ["ADD primary eth0", "CHECK primary eth0", "DEL primary eth0"]);
}

#[test]
fn a_record_of_which_nothing_can_be_read_is_not_an_empty_one() {
    let Some(node) = Node::new() else { return };
    quiet_primary(&node);
    let pod = Pod::new(&node, "unreadable");
    pod.add().result();
    let text = fs::read_to_string(pod.record_file(&node)).unwrap();
    let kept = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.99.0.7/24"}]});
    for damaged in [&text[..40], "{", ""] {
        fs::write(pod.record_file(&node), damaged).unwrap();
        // CRI-O hands over what it kept, as to a sandbox that is older than the installation.
        pod.call("CHECK").configured("prevResult", kept.clone()).make().refusal(5, &["record", &pod.id, "damaged"]);
        assert_eq!(fs::read_to_string(pod.record_file(&node)).unwrap(), damaged);
    }
    fs::remove_file(pod.record_file(&node)).unwrap();
    pod.call("CHECK").configured("prevResult", kept).make().silence();
    assert_eq!(node.call_names(), ["ADD primary eth0", "CHECK primary eth0"]);
}
