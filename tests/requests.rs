//! Each netlink request of a call fails in its turn, and the plugin is killed before each: nothing is left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use plexus::sys::netns::Netns;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use support::netlink::Fate;
use support::{Node, Pod, kernel};

/// Where the pools are.
const POOLS: &str = "/var/lib/cni/networks";
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
    keep_the_kernel_quiet();
    node.ip("link add master0 type veth peer name master1");
    node.ip("link set master0 up");
    node.ip("link set master1 up");
    node.primary(&network(
        "br0",
        json!({"type": "bridge", "bridge": "br0", "isDefaultGateway": true, "ipam": pool(1)}),
    ));
    Some(node)
}

/// No addresses of its own, and none that wait for others' objections: how many requests a call makes would
/// depend on the time.
fn keep_the_kernel_quiet() {
    for (key, value) in [("all/accept_dad", "0"), ("default/accept_dad", "0"), ("default/addr_gen_mode", "1")] {
        fs::write(format!("/proc/sys/net/ipv6/conf/{key}"), value).unwrap();
    }
}

/// Whether the kernel makes a link with `ip link add probe <line>`.
fn has(line: &str) -> bool {
    let ip = |line: &str| Command::new("ip").args(line.split(' ')).output().unwrap().status.success();
    ip(&format!("link add probe {line}")) && ip("link delete probe")
}

/// All that a call may leave, as far as it does not depend on the time.
#[derive(Debug, PartialEq)]
struct Picture {
    links: Vec<Value>,
    addresses: Vec<String>,
    routes: Vec<String>,
    pod: [Value; 3],
    files: BTreeMap<String, String>,
}

impl Picture {
    fn take(node: &Node, pod: &Pod) -> Self {
        // DEL leaves a child in the kernel's grace period.
        support::eventually("every process to end", || node.processes().is_empty());
        Picture {
            links: rows(&kernel::ip("link"), link),
            addresses: rows(&kernel::ip("address"), |link| format!("{} {}", link["ifname"], nets(link))),
            routes: ["-4", "-6"]
                .iter()
                .flat_map(|family| rows(&kernel::ip(&format!("{family} route show table all")), route))
                .collect(),
            pod: ["address", "-4 route show table all", "-6 route show table all"].map(|what| pod.ip(what)),
            files: files(node),
        }
    }
}

fn rows<T>(listing: &Value, row: impl Fn(&Value) -> T) -> Vec<T> {
    listing.as_array().unwrap().iter().map(row).collect()
}

fn link(link: &Value) -> Value {
    let keys = ["ifindex", "ifname", "master", "mtu", "address", "promiscuity", "allmulti", "group", "txqlen"];
    let mut kept: serde_json::Map<_, _> = keys.map(|key| (key.to_owned(), link[key].clone())).into_iter().collect();
    kept.insert("kind".to_owned(), link["linkinfo"]["info_kind"].clone());
    kept.into()
}

fn nets(link: &Value) -> String {
    rows(&link["addr_info"], |address| format!("{}/{}", address["local"], address["prefixlen"])).join(" ")
}

fn route(route: &Value) -> String {
    ["type", "dst", "dev", "gateway", "table", "scope", "metric"].map(|key| route[key].to_string()).join(" ")
}

/// The leases with their owners, the records, what waits to be published.
fn files(node: &Node) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let pools = fs::read_dir(POOLS).into_iter().flatten().flatten().map(|pool| pool.path());
    for folder in pools.chain([node.state().sandboxes(), node.run().unpublished()]) {
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = file.file_name().into_string().unwrap();
            // Where the next search begins is no lease.
            if !name.starts_with("last_reserved_ip.") && name != "lock" {
                files.insert(file.path().display().to_string(), fs::read_to_string(file.path()).unwrap());
            }
        }
    }
    files
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
        Netns::open(&pod.netns).unwrap().run(keep_the_kernel_quiet).unwrap();
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
