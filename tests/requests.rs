//! Each netlink request of a call fails in its turn, and the plugin is killed before each: nothing is left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use plexus::ipam::pool::Range;
use plexus::ipam::{Grant, Granted, PoolName, PoolSpec, Probe};
use serde_json::{Value, json};
use std::process::Command;
use support::netlink::Fate;
use support::picture::Picture;
use support::{Node, Pod, kernel};

/// More than any call needs.
const MANY: usize = 300;

/// Both families, so that both ways through the kernel are gone.
fn pool(number: u8) -> Value {
    let ranges = json!([[{"subnet": format!("10.{number}.0.0/24")}], [{"subnet": format!("fd00:{number}::/64")}]]);
    json!({"type": "host-local", "ranges": ranges, "routes": [{"dst": format!("10.2{number}.0.0/16")}]})
}

fn network(name: &str, plugin: Value) -> Value {
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin]})
}

/// A machine with a bridge as the default network and a link to sit on; the kernel does nothing on its own
/// there after a call has ended.
fn node() -> Option<Node> {
    let node = Node::new()?;
    support::keep_the_kernel_quiet();
    node.ip("link add master0 type veth peer name master1");
    node.ip("link set master0 up");
    node.ip("link set master1 up");
    node.primary(&network(
        "br0",
        json!({"type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipam": pool(1)}),
    ));
    Some(node)
}

/// Whether the kernel makes a link with `ip link add probe <line>`.
fn has(line: &str) -> bool {
    let ip = |line: &str| Command::new("ip").args(line.split(' ')).output().unwrap().status.success();
    ip(&format!("link add probe {line}")) && ip("link delete probe")
}

/// One case: the networks of a pod beside the default one, on a machine that has seen such a pod before.
struct Case<'a> {
    name: &'a str,
    node: &'a Node,
    networks: &'a str,
    /// The bridge is made by every ADD anew, and stays, as the reference plugin's does.
    cold: bool,
}

impl Case<'_> {
    fn pod(&self, number: usize) -> Pod {
        let pod = Pod::new(self.node, &format!("p{number}")).selecting(self.networks);
        support::keep_the_sandbox_quiet(&pod);
        pod
    }

    fn picture(&self, pod: &Pod) -> Picture {
        if self.cold && kernel::host_links().contains(&"br0".to_owned()) {
            self.node.ip("link delete br0");
        }
        Picture::take(self.node, pod)
    }

    /// ADD fails in each of its requests.
    fn fail_add(&self, fate: Fate) {
        let mut failed = 0;
        for number in 1..MANY {
            let pod = self.pod(number);
            let before = self.picture(&pod);
            let (answer, requests) = pod.call("ADD").make_with(number, fate);
            let of = format!("{}: request {number} (type {:?}) of ADD {fate:?}", self.name, requests.get(number - 1));
            if requests.len() < number {
                answer.result();
                pod.del().silence();
                assert_eq!(self.picture(&pod), before, "{of}");
                pod.end_sandbox();
                assert!(failed * 2 > number, "{of}: most requests are needed, and {failed} failed ADD");
                support::say(&format!("{}: {} requests, {failed} fail ADD when {fate:?}", self.name, number - 1));
                return;
            }
            if fate == Fate::Killed {
                assert!(!answer.status.success(), "{of}");
                pod.del().silence();
            } else if answer.status.success() {
                // It was not needed, so everything has to be there.
                pod.call("CHECK").configured("prevResult", answer.result()).make().silence();
                pod.del().silence();
            } else {
                answer.error();
            }
            failed += usize::from(!answer.status.success());
            assert_eq!(self.picture(&pod), before, "{of}: {answer:?}");
            pod.del().silence();
            pod.end_sandbox();
        }
        panic!("{}: no end", self.name);
    }

    /// DEL fails in each of its requests, and the next one completes it.
    fn fail_del(&self, fate: Fate) {
        for number in 1..MANY {
            let pod = self.pod(number);
            let before = self.picture(&pod);
            pod.add().result();
            let (answer, requests) = pod.call("DEL").make_with(number, fate);
            let of = format!("{}: request {number} (type {:?}) of DEL {fate:?}", self.name, requests.get(number - 1));
            if answer.status.success() {
                assert_eq!(self.picture(&pod), before, "{of}: it was said to be done");
            }
            pod.del().silence();
            assert_eq!(self.picture(&pod), before, "{of}");
            pod.end_sandbox();
            if requests.len() < number {
                support::say(&format!("{}: {} requests of DEL {fate:?}", self.name, number - 1));
                return;
            }
        }
        panic!("{}: no end", self.name);
    }

    fn every_fate(&self) {
        // What is made once and stays: pools, forwarding, the bridge.
        let pod = self.pod(0);
        pod.add().result();
        pod.del().silence();
        pod.end_sandbox();
        for fate in [Fate::NotSent, Fate::Refused, Fate::Killed] {
            self.fail_add(fate);
            self.fail_del(fate);
        }
    }
}

#[test]
fn bridge() {
    let Some(node) = node() else { return };
    Case { name: "bridge", node: &node, networks: "", cold: false }.every_fate();
}

#[test]
fn bridge_that_is_not_there_yet() {
    let Some(node) = node() else { return };
    Case { name: "cold bridge", node: &node, networks: "", cold: true }.every_fate();
}

#[test]
fn bridge_with_vlans() {
    let Some(node) = node() else { return };
    if !has("type bridge vlan_filtering 1") {
        eprintln!("SKIP bridge_with_vlans: the kernel has no VLANs on bridges");
        return;
    }
    let plugin = json!({"type": "bridge", "bridge": "br1", "vlan": 5, "vlanTrunk": [{"id": 7}], "hairpinMode": true,
        "portIsolation": true, "preserveDefaultVlan": false, "ipam": pool(2)});
    node.network("default/vlans", &network("vlans", plugin));
    Case { name: "bridge with VLANs", node: &node, networks: "vlans", cold: false }.every_fate();
}

#[test]
fn macvlan() {
    let Some(node) = node() else { return };
    node.network("default/mv", &network("mv", json!({"type": "macvlan", "master": "master0", "ipam": pool(2)})));
    Case { name: "macvlan", node: &node, networks: "mv", cold: false }.every_fate();
}

#[test]
fn ipvlan() {
    let Some(node) = node() else { return };
    if !has("link master0 type ipvlan") {
        eprintln!("SKIP ipvlan: the kernel has none");
        return;
    }
    node.network("default/iv", &network("iv", json!({"type": "ipvlan", "master": "master0", "ipam": pool(2)})));
    Case { name: "ipvlan", node: &node, networks: "iv", cold: false }.every_fate();
}

#[test]
fn bridge_whose_addresses_are_asked_for() {
    let Some(node) = node() else { return };
    let range = |range: &str| Range { range: range.to_owned(), ..Range::default() };
    let ranges = vec![range("10.9.0.0/24"), range("fd00:9::/64")];
    let spec = PoolSpec { ranges, probe: Probe::Refuse, ..PoolSpec::default() };
    let block = |first: &str| Granted { first: first.parse().unwrap(), size: 16, lease: first.to_owned() };
    let (pool, blocks) = (PoolName::new("lan").unwrap(), vec![block("10.9.0.0"), block("fd00:9::")]);
    let grant = Grant::new(pool.clone(), &spec, plexus::facts::node_blocks::now(), blocks);
    support::node::write(&node.run().grant(&pool), &grant.to_text());
    let plugin = json!({"type": "bridge", "bridge": "br0", "ipam": {"type": "plexus-ipam", "pool": "lan"}});
    node.network("default/lan", &network("lan", plugin));
    Case { name: "bridge with questions", node: &node, networks: "lan", cold: false }.every_fate();
    let left = std::fs::read_dir("/var/lib/plexus/pools/lan").unwrap().flatten();
    let left: Vec<_> = left.filter_map(|file| file.file_name().to_str()?.parse::<std::net::IpAddr>().ok()).collect();
    assert!(left.is_empty(), "{left:?} are taken, and nobody has them");
}
