//! Addresses that another device of the network has: the plugin asks on the link before a pod gets one (`spec.probe`).
//!
//! The other device is a namespace with a kernel of its own, which answers as every host does.

#![allow(clippy::unwrap_used, reason = "a test fails that way")]

mod support;

use plexus::facts::node_blocks::now;
use plexus::ipam::pool::Range;
use plexus::ipam::{Grant, Granted, PoolName, PoolSpec, Probe};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use support::daemon::Daemon;
use support::{Node, Pod, http, kernel, manifests, wait_until};

const POOL: &str = "/var/lib/plexus/pools/lan";
const OTHER: &str = "02:00:00:00:00:02";

/// A machine with a link to another device, and blocks of the pool `lan`.
struct Lab {
    node: Node,
    other: Pod,
}

impl Lab {
    /// `up0` of the other device is the end of a cable to `port0`, which is a port of the bridge `br0`.
    fn bridged(probe: Probe) -> Option<Self> {
        let lab = Lab::cabled(probe)?;
        lab.node.ip("link add br0 type bridge");
        lab.node.ip("link set br0 up");
        lab.node.ip("link set port0 master br0");
        lab.node.network("default/lan", &network(&json!({"type": "bridge", "bridge": "br0"})));
        Some(lab)
    }

    /// As [`Lab::bridged`], without a bridge.
    fn cabled(probe: Probe) -> Option<Self> {
        let node = Node::new()?;
        let other = Pod::new(&node, "other");
        node.ip(&format!("link add port0 type veth peer name up0 address {OTHER} netns cni-other"));
        node.ip("link set port0 up");
        other.ip("link set up0 up");
        grant(&node, probe, &["10.9.0.0/24"]);
        Some(Lab { node, other })
    }

    /// The other device has `addresses`.
    fn other_has(&self, addresses: &[&str]) {
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            self.other.ip(&format!("address add {address} dev up0 {nodad}"));
        }
    }
}

/// The daemon grants a block of each of `ranges`: its first sixteen addresses.
fn grant(node: &Node, probe: Probe, ranges: &[&str]) {
    let range = |range: &&str| Range { range: (*range).to_owned(), ..Range::default() };
    let spec = PoolSpec { ranges: ranges.iter().map(range).collect(), probe, ..PoolSpec::default() };
    let block = |range: &&str| {
        let first = range.split('/').next().unwrap();
        Granted { first: first.parse().unwrap(), size: 16, lease: first.to_owned() }
    };
    let pool = PoolName::new("lan").unwrap();
    let grant = Grant::new(pool.clone(), &spec, now(), ranges.iter().map(block).collect());
    support::node::write(&node.run().grant(&pool), &grant.to_text());
}

fn network(plugin: &Value) -> Value {
    let mut plugin = plugin.clone();
    plugin["ipam"] = json!({"type": "plexus-ipam", "pool": "lan"});
    json!({"cniVersion": "1.0.0", "name": "lan", "plugins": [plugin]})
}

/// The files of taken addresses.
fn taken() -> Vec<String> {
    let names = fs::read_dir(POOL).into_iter().flatten().flatten().map(|file| file.file_name().into_string().unwrap());
    let mut taken: Vec<String> = names.filter(|name| name.parse::<std::net::IpAddr>().is_ok()).collect();
    taken.sort();
    taken
}

/// The addresses that the node has set aside.
fn aside() -> String {
    fs::read_to_string(Path::new(POOL).join("aside")).unwrap_or_default()
}

#[test]
fn a_pod_gets_the_next_address_where_another_device_answers() {
    // Case 45, 11
    let Some(lab) = Lab::bridged(Probe::Refuse) else { return };
    grant(&lab.node, Probe::Refuse, &["10.9.0.0/24", "fd00:9::/64"]);
    lab.other_has(&["10.9.0.1/24", "10.9.0.2/24", "fd00:9::1/64"]);
    let pod = Pod::new(&lab.node, "next").selecting("lan");
    pod.add().result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.3/24", "fd00:9::2/64"]);
    assert_eq!(taken(), ["10.9.0.3", "fd00:9::2"]);
    assert_eq!(aside().matches(OTHER).count(), 3, "{}", aside());
    // For a while nobody tries them.
    let second = Pod::new(&lab.node, "second").selecting("lan");
    second.add().result();
    assert_eq!(kernel::addresses(&second.netns, "net1"), ["10.9.0.4/24", "fd00:9::3/64"]);
    pod.del().silence();
    second.del().silence();
    assert_eq!(taken(), [""; 0]);
}

#[test]
fn after_three_addresses_the_pod_waits_and_nothing_is_left() {
    let Some(lab) = Lab::bridged(Probe::Refuse) else { return };
    lab.other_has(&["10.9.0.1/24", "10.9.0.2/24", "10.9.0.3/24"]);
    let pod = Pod::new(&lab.node, "busy").selecting("lan");
    let links = kernel::host_links();
    let found = ["pool lan", "other devices have 10.9.0.1 (MAC 02:00:00:00:00:02)", "10.9.0.2 (", "10.9.0.3 ("];
    pod.add().refusal(11, &found);
    assert_eq!((taken(), kernel::links(&pod.netns), kernel::host_links()), (vec![], vec![], links));
    assert!(pod.record(&lab.node).is_none());
    // The kubelet tries again.
    pod.add().result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.4/24"]);
}

#[test]
fn a_warning_is_logged_and_off_is_off() {
    let Some(lab) = Lab::bridged(Probe::Warn) else { return };
    lab.other_has(&["10.9.0.1/24", "10.9.0.2/24"]);
    let pod = Pod::new(&lab.node, "warned").selecting("lan");
    let answer = pod.add();
    answer.result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.1/24"]);
    let line = "pool lan: another device has 10.9.0.1 (MAC 02:00:00:00:00:02); the pod gets it all the same";
    assert!(answer.stderr.contains(line), "{}", answer.stderr);
    grant(&lab.node, Probe::Off, &["10.9.0.0/24"]);
    let pod = Pod::new(&lab.node, "off").selecting("lan");
    let answer = pod.add();
    answer.result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.2/24"]);
    assert!(!answer.stderr.contains("10.9.0.2") && aside().is_empty(), "{}", answer.stderr);
}

#[test]
fn a_requested_address_is_refused_at_once() {
    let Some(lab) = Lab::bridged(Probe::Refuse) else { return };
    let mut bridge = network(&json!({"type": "bridge", "bridge": "br0"}));
    bridge["plugins"][0]["capabilities"] = json!({"ips": true});
    lab.node.network("default/lan", &bridge);
    lab.other_has(&["10.9.0.9/24"]);
    let asks = json!([{"name": "lan", "ips": ["10.9.0.9"]}]);
    let pod = Pod::new(&lab.node, "asks").selecting(asks);
    pod.add().refusal(11, &["pool lan: another device has 10.9.0.9 (MAC 02:00:00:00:00:02)"]);
    assert_eq!(taken(), [""; 0]);
}

#[test]
fn a_router_that_answers_for_all_keeps_nobody_from_an_address() {
    // Case 45
    let Some(lab) = Lab::bridged(Probe::Refuse) else { return };
    // Each of these addresses is this device's own, also that of the network.
    lab.other.ip("route add local 10.9.0.0/24 dev lo");
    let pod = Pod::new(&lab.node, "routed").selecting("lan");
    let answer = pod.add();
    answer.result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.1/24"]);
    let line = "the device with MAC 02:00:00:00:00:02 answers for 10.9.0.1 and for addresses that nobody has";
    assert!(answer.stderr.contains(line), "{}", answer.stderr);
}

#[test]
fn every_kind_of_link_asks() {
    // An ipvlan has the MAC of its master, to which the answers go.
    for (number, (kind, plugin)) in [
        ("macvlan", json!({"type": "macvlan", "master": "port0"})),
        ("vlan", json!({"type": "vlan", "master": "port0", "vlanId": 5})),
        ("ipvlan", json!({"type": "ipvlan", "master": "port0"})),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("kind{number}");
        // Each on a machine of its own.
        let check = move || {
            let Some(lab) = Lab::cabled(Probe::Refuse) else { return };
            let form = if kind == "vlan" { "type vlan id 6" } else { &format!("type {kind}") };
            if !kernel::makes(&format!("link add probe link port0 {form}")) {
                return support::say(&format!("SKIP {kind}: the kernel has none"));
            }
            grant(&lab.node, Probe::Refuse, &["10.9.0.0/24", "fd00:9::/64"]);
            if kind == "vlan" {
                lab.other.ip("link add link up0 name vlan5 type vlan id 5");
                lab.other.ip("link set vlan5 up");
                lab.other.ip("address add 10.9.0.1/24 dev vlan5");
                lab.other.ip("address add fd00:9::1/64 dev vlan5 nodad");
            } else {
                lab.other_has(&["10.9.0.1/24", "fd00:9::1/64"]);
            }
            lab.node.network("default/lan", &network(&plugin));
            let pod = Pod::new(&lab.node, &name).selecting("lan");
            let answer = pod.add();
            answer.result();
            assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.2/24", "fd00:9::2/64"], "{kind}: {answer:?}");
            pod.del().silence();
        };
        std::thread::spawn(check).join().unwrap();
    }
}

#[test]
fn what_has_the_pods_own_mac_is_no_other_device() {
    // Case 45: RFC 5227 2.1.1; a switch may answer with what it remembers of this link.
    let Some(lab) = Lab::cabled(Probe::Refuse) else { return };
    lab.other_has(&["10.9.0.1/24"]);
    let mut plugin = json!({"type": "macvlan", "master": "port0", "mac": OTHER});
    lab.node.network("default/lan", &network(&plugin));
    let pod = Pod::new(&lab.node, "echo").selecting("lan");
    pod.add().result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.1/24"]);
    pod.del().silence();
    plugin["mac"] = json!("02:00:00:00:00:03");
    lab.node.network("default/lan", &network(&plugin));
    let pod = Pod::new(&lab.node, "other-mac").selecting("lan");
    pod.add().result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.2/24"]);
}

#[test]
fn where_nobody_can_be_asked_the_pod_gets_its_address() {
    let Some(lab) = Lab::cabled(Probe::Refuse) else { return };
    if !kernel::makes("link add probe link port0 type ipvlan") {
        return support::say("SKIP where_nobody_can_be_asked_the_pod_gets_its_address: the kernel has no ipvlan");
    }
    lab.other_has(&["10.9.0.1/24"]);
    lab.node.network("default/lan", &network(&json!({"type": "ipvlan", "master": "port0", "mode": "l3"})));
    let pod = Pod::new(&lab.node, "routes").selecting("lan");
    let answer = pod.add();
    answer.result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.1/24"]);
    let line = "pool lan: no device was asked whether it has 10.9.0.1: on an ipvlan in mode l3 nobody is asked";
    assert!(answer.stderr.contains(line), "{}", answer.stderr);
}

#[test]
fn a_call_that_is_killed_while_it_waits_leaves_nothing() {
    let Some(lab) = Lab::bridged(Probe::Refuse) else { return };
    let links = kernel::host_links();
    let pod = Pod::new(&lab.node, "killed").selecting("lan");
    let running = pod.call("ADD").start();
    // From then on it asks, for as long as nobody answers.
    support::eventually("the address to be taken", || taken() == ["10.9.0.1"]);
    running.kill();
    assert_eq!(taken(), ["10.9.0.1"]);
    pod.del().silence();
    lab.node.quiet();
    assert_eq!((taken(), kernel::links(&pod.netns), kernel::host_links()), (vec![], vec![], links));
}

#[test]
fn the_address_is_announced_after_the_question() {
    let Some(lab) = Lab::cabled(Probe::Refuse) else { return };
    lab.other_has(&["10.9.0.200/24"]);
    lab.node.network("default/lan", &network(&json!({"type": "macvlan", "master": "port0"})));
    // A host with an old entry for the address replaces it by the announcement of a link that comes up (`arp_notify`).
    lab.other.ip("neighbour add 10.9.0.1 lladdr 02:00:00:00:00:99 dev up0 nud stale");
    let pod = Pod::new(&lab.node, "announced").selecting("lan");
    pod.add().result();
    let mac = pod.ip("link show net1")[0]["address"].as_str().unwrap().to_owned();
    support::eventually("the announcement", || {
        lab.other.ip("neighbour show 10.9.0.1 dev up0")[0]["lladdr"].as_str() == Some(&mac)
    });
}

#[test]
fn the_program_of_another_main_plugin_asks_on_its_link() {
    let Some(lab) = Lab::bridged(Probe::Refuse) else { return };
    lab.other_has(&["10.9.0.1/24"]);
    let program = lab.node.bin().join("plexus-ipam");
    std::os::unix::fs::symlink("plexus", &program).unwrap();
    let config = json!({"cniVersion": "1.0.0", "name": "lan", "type": "other",
        "ipam": {"type": "plexus-ipam", "pool": "lan"}});
    let pod = Pod::new(&lab.node, "program");
    let call = |verb: &str| {
        let mut call = pod.call(verb).of_program(&program).env("CNI_IFNAME", "net1");
        call.config = config.clone();
        call.make()
    };
    let given = || call("ADD").result()["ips"][0]["address"].as_str().unwrap().to_owned();
    // Without the interface nobody can be asked.
    let answer = call("ADD");
    assert_eq!(answer.result()["ips"][0]["address"], "10.9.0.1/24");
    let line = "no device was asked whether it has 10.9.0.1: there is no interface net1 yet";
    assert!(answer.stderr.contains(line), "{}", answer.stderr);
    call("DEL").silence();
    lab.node.ip("link add port1 type veth peer name net1 netns cni-program");
    lab.node.ip("link set port1 master br0 up");
    fs::remove_file(Path::new(POOL).join("last_reserved_ip.4")).unwrap();
    for entry in fs::read_dir(POOL).unwrap().flatten() {
        if entry.file_name().to_str().unwrap().starts_with("freed-") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    assert_eq!(given(), "10.9.0.2/24");
    assert!(aside().contains("10.9.0.1"), "{}", aside());
    // The main plugin finds its link as it was.
    assert_eq!(pod.ip("link show net1")[0]["operstate"], "DOWN");
    call("DEL").silence();
    assert_eq!(taken(), [""; 0]);
}

#[test]
fn conflicts_are_counted() {
    let Some(lab) = Lab::bridged(Probe::Refuse) else { return };
    lab.other_has(&["10.9.0.1/24", "10.9.0.2/24"]);
    let (address, source) = (http::free_address(), manifests::folder());
    manifests::network("default/lan", &network(&json!({"type": "bridge", "bridge": "br0"})));
    let arguments = ["--source-directory", &source.to_string_lossy(), "--metrics-address", &address.to_string()];
    let daemon = Daemon::on_node(&lab.node, None, &arguments);
    grant(&lab.node, Probe::Refuse, &["10.9.0.0/24"]);
    let pod = Pod::new(&lab.node, "counted").selecting("lan");
    pod.add().result();
    assert_eq!(kernel::addresses(&pod.netns, "net1"), ["10.9.0.3/24"]);
    let line = r#"plexus_ipam_probe_conflicts_total{pool="lan"} 2"#;
    let metrics = || http::get(address, "/metrics");
    wait_until(|| metrics().lines().any(|served| served == line), || format!("{}\n{}", metrics(), daemon.log()));
}
