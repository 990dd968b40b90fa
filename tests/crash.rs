//! The plugin killed at any moment: the DEL that follows removes everything, and nothing comes back.
//!
//! Runtimes cancel a call by SIGKILL to the plugin alone; what it started is an orphan then.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::json;
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use support::daemon::Daemon;
use support::{Node, Pod, Recorder, kernel, manifests};

/// A network whose ADD says when it began, and is slow.
fn slow(node: &Node, script: &str) -> Recorder {
    let slow = node.recorded_network("slow");
    slow.on("ADD", &format!("touch $here/began; {script}; result")).on("DEL", "ip link delete leak >&2; exit 0");
    slow
}

fn kill_in_the_middle(pod: &Pod, slow: &Recorder) {
    let running = pod.call("ADD").start();
    support::eventually("the slow delegate", || slow.folder().join("began").exists());
    running.kill();
}

/// Nothing is there, and nobody who could make it later.
#[track_caller]
fn nothing_comes_back(node: &Node) {
    node.runs_nothing();
    assert_eq!(kernel::host_links(), [""; 0]);
}

#[test]
fn a_delegate_dies_with_the_plugin() {
    // FAULT-21
    let Some(node) = Node::new() else { return };
    let slow = slow(&node, "sleep 5; ip link add leak type bridge >&2");
    let pod = Pod::new(&node, "dies").selecting("slow");
    kill_in_the_middle(&pod, &slow);
    pod.del().silence();
    // CNI-DEL-09
    assert_eq!(node.call_names()[2..], ["DEL slow net1", "DEL primary eth0"]);
    nothing_comes_back(&node);
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_grandchild_that_goes_on_working_is_killed_by_del() {
    // FAULT-21
    let Some(node) = Node::new() else { return };
    let slow = slow(&node, "(sleep 5; ip link add leak type bridge) >&2 & wait");
    let pod = Pod::new(&node, "orphan").selecting("slow");
    kill_in_the_middle(&pod, &slow);
    pod.del().silence();
    nothing_comes_back(&node);
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_grandchild_that_left_its_group_is_waited_for_by_del() {
    let Some(node) = Node::new() else { return };
    let slow = slow(&node, "setsid sh -c 'sleep 1; ip link add leak type bridge' >&2 & wait");
    let pod = Pod::new(&node, "session").selecting("slow");
    kill_in_the_middle(&pod, &slow);
    pod.del().silence();
    node.runs_nothing();
    assert_eq!(kernel::host_links(), [""; 0], "what it made before it ended is deleted");
    assert!(pod.record(&node).is_none());
}

#[test]
fn another_add_of_the_sandbox_waits_for_the_orphan_too() {
    let Some(node) = Node::new() else { return };
    let slow = slow(&node, "(sleep 5; ip link add leak type bridge) >&2 & wait");
    let mut pod = Pod::new(&node, "next").selecting("slow");
    kill_in_the_middle(&pod, &slow);
    pod.ifname = "eth1".to_owned();
    pod.annotations = Some(std::collections::BTreeMap::new());
    pod.add().result();
    nothing_comes_back(&node);
}

#[test]
fn del_during_an_add_waits_for_it() {
    // FAULT-17
    let Some(node) = Node::new() else { return };
    let slow = slow(&node, "sleep 0.5; ip link add leak type bridge >&2");
    let pod = Pod::new(&node, "overtake").selecting("slow");
    let running = pod.call("ADD").start();
    support::eventually("the slow delegate", || slow.folder().join("began").exists());
    pod.del().silence();
    running.wait().result();
    // CNI-RT-02
    let calls = node.calls();
    assert!(calls.windows(2).all(|pair| pair[0].stop.unwrap() <= pair[1].start), "{calls:?}");
    assert_eq!(kernel::host_links(), [""; 0]);
    assert!(pod.record(&node).is_none());
}

#[test]
fn calls_for_other_sandboxes_do_not_wait() {
    // FAULT-38
    let Some(node) = Node::new() else { return };
    let slow = slow(&node, "sleep 30");
    let pod = Pod::new(&node, "waits").selecting("slow");
    let mut running = pod.call("ADD").start();
    support::eventually("the slow delegate", || slow.folder().join("began").exists());
    let other = Pod::new(&node, "other");
    // CNI-RT-02: parallel across containers.
    other.add().result();
    other.del().silence();
    assert!(!running.has_ended());
    running.kill();
    pod.del().silence();
}

/// A bridge with addresses from host-local as the default network, and another one beside it.
fn real_networks(node: &Node) {
    let network = |name: &str, subnet: &str| {
        json!({"cniVersion": "1.0.0", "name": name, "plugins": [
            {"type": "bridge", "bridge": name, "isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}},
        ]})
    };
    node.primary(&network("cbr0", "10.1.0.0/24"));
    node.network("default/more", &network("more", "10.2.0.0/24"));
}

fn leases() -> Vec<String> {
    let of = |network: &str| fs::read_dir(format!("/var/lib/cni/networks/{network}")).into_iter().flatten().flatten();
    let names = ["cbr0", "more"].into_iter().flat_map(of).map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("10.")).collect()
}

/// Nothing of the pod is left on the node, only the bridges.
fn assert_clean(node: &Node, pod: &Pod, when: &str) {
    assert_eq!(leases(), [""; 0], "{when}");
    let links: Vec<String> =
        kernel::host_links().into_iter().filter(|link| !["cbr0", "more"].contains(&link.as_str())).collect();
    assert_eq!(links, [""; 0], "{when}");
    assert_eq!(kernel::links(&pod.netns), [""; 0], "{when}");
    assert!(pod.record(node).is_none(), "{when}");
}

/// Kills that come every so many microseconds after the start: a reference plugin takes tens of
/// milliseconds, one in this process one or two.
fn moments(natives: bool) -> impl Iterator<Item = Duration> {
    let step = if natives { 400 } else { 4000 };
    (0..25).map(move |number| Duration::from_micros(number * step))
}

fn an_add_killed_anywhere_leaves_nothing_after_del(natives: bool) {
    // FAULT-1, FAULT-34
    let Some(mut node) = Node::new() else { return };
    node.config["natives"] = json!(natives);
    real_networks(&node);
    let pod = Pod::new(&node, "whole").selecting("more");
    pod.add().result();
    assert_eq!(leases().len(), 2);
    pod.del().silence();
    assert_clean(&node, &pod, "without a kill");
    for moment in moments(natives) {
        let pod = Pod::new(&node, &format!("kill-{}", moment.as_micros())).selecting("more");
        let running = pod.call("ADD").start();
        sleep(moment);
        running.kill();
        pod.del().silence();
        assert_clean(&node, &pod, &format!("killed after {moment:?}"));
        pod.end_sandbox();
    }
}

fn a_del_killed_anywhere_is_completed_by_the_next(natives: bool) {
    // FAULT-2
    let Some(mut node) = Node::new() else { return };
    node.config["natives"] = json!(natives);
    real_networks(&node);
    for moment in moments(natives) {
        let pod = Pod::new(&node, &format!("kill-{}", moment.as_micros())).selecting("more");
        pod.add().result();
        let running = pod.call("DEL").start();
        sleep(moment);
        running.kill();
        pod.del().silence();
        assert_clean(&node, &pod, &format!("killed after {moment:?}"));
        pod.end_sandbox();
    }
}

#[test]
fn the_daemon_killed_anywhere_in_an_add_leaves_nothing_after_del() {
    // FAULT-1, FAULT-6
    let Some(node) = Node::new() else { return };
    real_networks(&node);
    // Known to the daemon alone: without it the pod cannot be attached, with it it is, and DEL never needs it.
    let more = json!({"cniVersion": "1.0.0", "name": "more", "type": "bridge", "bridge": "more",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.2.0.0/24"}]]}});
    manifests::network("default/told", &more);
    let (mut attached, mut refused) = (0, 0);
    for moment in moments(true) {
        manifests::pod(&format!("d{}", moment.as_micros()), &json!({"k8s.v1.cni.cncf.io/networks": "told"}));
        let mut pod = Pod::new(&node, &format!("d{}", moment.as_micros()));
        pod.annotations = None;
        let pod = pod.configured("daemonTimeoutSeconds", json!(0.2)).configured("publishTimeoutSeconds", json!(0.2));
        let daemon = Daemon::start(&node);
        let running = pod.call("ADD").start();
        sleep(moment);
        daemon.kill();
        let answer = running.wait();
        if answer.status.success() {
            attached += 1;
        } else {
            assert_eq!(answer.error().code, 11, "{answer:?}");
            refused += 1;
        }
        pod.del().silence();
        assert_clean(&node, &pod, &format!("daemon killed after {moment:?}"));
        pod.end_sandbox();
    }
    assert_eq!(attached + refused, moments(true).count());
    assert!(attached > 0, "not one ADD got its answer before the daemon was killed");
}

#[test]
fn an_add_of_reference_plugins_killed_anywhere_leaves_nothing_after_del() {
    // FAULT-1, FAULT-34
    an_add_killed_anywhere_leaves_nothing_after_del(false);
}

#[test]
fn an_add_in_this_process_killed_anywhere_leaves_nothing_after_del() {
    // FAULT-1, FAULT-40
    an_add_killed_anywhere_leaves_nothing_after_del(true);
}

#[test]
fn a_del_of_reference_plugins_killed_anywhere_is_completed_by_the_next() {
    a_del_killed_anywhere_is_completed_by_the_next(false);
}

#[test]
fn a_del_in_this_process_killed_anywhere_is_completed_by_the_next() {
    a_del_killed_anywhere_is_completed_by_the_next(true);
}

/// A bridge takes the lowest MAC of its ports unless it was given one: what a killed ADD leaves must not change later, or CHECK
/// of every pod on it fails.
#[test]
fn a_gateway_keeps_its_mac_whenever_the_add_that_made_it_was_killed() {
    let Some(node) = Node::new() else { return };
    let ipam = json!({"type": "host-local", "subnet": "10.9.0.0/24"});
    let bridge = json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "br9", "isGateway": true, "ipam": ipam});
    node.network("default/lan", &bridge);
    let mac = || node.ip("link show dev br9")[0]["address"].clone();
    let mut left = 0;
    for change in 1.. {
        let killed = Pod::new(&node, &format!("k{change}")).selecting("lan");
        let (answer, _) = killed.call("ADD").killed_at(change);
        let is_left = kernel::host_links().contains(&"br9".to_owned());
        left += usize::from(is_left);
        killed.del().silence();
        killed.end_sandbox();
        let pod = Pod::new(&node, &format!("p{change}")).selecting("lan");
        pod.add().result();
        let before = mac();
        node.ip("link add low0 address 02:00:00:00:00:01 type veth peer name low1");
        node.ip("link set low0 master br9");
        assert_eq!(mac(), before, "killed before change {change}");
        node.ip("link delete low0");
        pod.del().silence();
        pod.end_sandbox();
        node.ip("link delete br9");
        if answer.status.success() {
            break;
        }
    }
    assert!(left > 0, "no ADD was killed after it had made the bridge");
}
