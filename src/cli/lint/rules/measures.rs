//! Rules about numbers that do not fit: an MTU, a gateway, the length of a hardware address.

use crate::cli::lint::found::Found;
use crate::cli::lint::judged::{Judged, Selecting};
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::network::{Network, ipam};
use crate::cluster::manifests::tree::Node;
use crate::cni::PluginConfig;
use crate::nad::Selection;
use crate::nad::requests::is_hardware_address;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Plugins whose interfaces have the long addresses of InfiniBand, or whatever the device has.
const OTHER_HARDWARE: [&str; 5] = ["host-device", "ib-sriov", "ib-sriov-cni", "ipoib", "rdma"];
const ON_A_MASTER: [&str; 3] = ["ipvlan", "macvlan", "vlan"];
/// The bridge that bridge makes unasked.
const DEFAULT_BRIDGE: &str = "cni0";

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX072",
        severity: Severity::Error,
        what: "a requested hardware address does not have the six bytes of an Ethernet address",
        fix: "write six bytes, for example 02:00:0a:01:00:07; the key infiniband-guid takes eight",
        needs: Needs::Files,
        bad: Example::Annotation(r#"[{ "name": "a", "mac": "02:00:0a:01:00:07:00:01" }]"#),
        good: Example::Annotation(r#"[{ "name": "a", "mac": "02:00:0a:01:00:07" }]"#),
        judge: |judged| {
            let long = |(pod, index, selection): (&Selecting<'_>, usize, &Selection)| {
                let mac = selection.mac.as_ref().filter(|mac| !is_hardware_address(mac, &[6]))?;
                let plugins = judged.objects.network(&selection.nad)?.plugins();
                let (plugin, _) = plugins.first()?;
                let is_ethernet = !OTHER_HARDWARE.contains(&plugin.kind.as_str());
                let text = format!("mac {mac} does not have six bytes, as an interface of {} has", plugin.kind);
                is_ethernet.then(|| judged.in_element(pod, index, text))
            };
            judged.elements().filter_map(long).collect()
        },
    },
    Rule {
        id: "PX074",
        severity: Severity::Error,
        what: "the MTU is greater than that of the interface or bridge on which the network is: the kernel refuses it",
        fix: "write an MTU that is not greater, or remove \"mtu\"",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!("a", r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "mtu": 1500 }"#),
            nad!("b", r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "br1", "mtu": 9000 }"#),
        )),
        good: Example::Manifests(concat!(
            nad!("a", r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "mtu": 9000 }"#),
            nad!("b", r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "br1", "mtu": 1500 }"#),
        )),
        judge: |judged| {
            let greater = |(network, plugin, node): (&Network, &PluginConfig, &Node)| {
                let mtu = node.find("mtu")?.number().filter(|_| ON_A_MASTER.contains(&plugin.kind.as_str()))?;
                let is_inside = node.find("linkInContainer").is_some_and(Node::is_true);
                let master = node.find("master")?.text().filter(|_| !is_inside)?;
                let (most, what) = mtu_of(judged, master)?;
                let text = format!("mtu {mtu} is greater than {most}, the MTU of {what}");
                (mtu > most).then(|| judged.in_config(network, node.key("mtu").map_or(node.at, |key| key.at), text))
            };
            judged.plugins().filter_map(greater).collect()
        },
    },
    Rule {
        id: "PX076",
        severity: Severity::Error,
        what: "a gateway is the address of the subnet itself or its broadcast address: no router has it",
        fix: "write the address of the router",
        needs: Needs::Files,
        bad: Example::Config(
            r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24", "gateway": "10.1.0.255" }]] } }"#,
        ),
        good: Example::Config(
            r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24", "gateway": "10.1.0.254" }]] } }"#,
        ),
        judge: |judged| {
            let of = |(network, _, node): (&Network, &PluginConfig, &Node)| impossible_gateways(judged, network, node);
            judged.plugins().flat_map(of).collect()
        },
    },
    Rule {
        id: "PX078",
        severity: Severity::Warning,
        what: "an address of a pod is the address of its subnet itself or its broadcast address: others do not reach it",
        fix: "write an address of a host",
        needs: Needs::Files,
        bad: Example::Config(
            r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "static", "addresses": [{ "address": "10.1.1.0/24" }] } }"#,
        ),
        good: Example::Config(
            r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "static", "addresses": [{ "address": "10.1.1.7/24" }] } }"#,
        ),
        judge: |judged| {
            let of = |(network, _, node): (&Network, &PluginConfig, &Node)| impossible_addresses(judged, network, node);
            let requested = |(pod, index, selection): (&Selecting<'_>, usize, &Selection)| {
                let text = selection.ips.iter().find_map(|address| impossible(address))?;
                Some(judged.in_element(pod, index, text))
            };
            judged.plugins().flat_map(of).chain(judged.elements().filter_map(requested)).collect()
        },
    },
    Rule {
        id: "PX079",
        severity: Severity::Warning,
        what: "the requested default route has the gateway 0.0.0.0 or `::`: no router has that address",
        fix: "write the address of the router",
        needs: Needs::Files,
        bad: Example::Annotation(r#"[{ "name": "a", "default-route": ["0.0.0.0"] }]"#),
        good: Example::Annotation(r#"[{ "name": "a" }]"#),
        judge: |judged| {
            let unspecified = |(pod, index, selection): (&Selecting<'_>, usize, &Selection)| {
                let gateway = selection.default_route.iter().flatten().find(|gateway| gateway.is_unspecified())?;
                Some(judged.in_element(pod, index, format!("default-route {gateway} is not the address of a router")))
            };
            judged.elements().filter_map(unspecified).collect()
        },
    },
];

/// What `address`, which has its prefix length, is in its subnet if no host has it.
fn impossible(address: &str) -> Option<String> {
    let net: Ipv4Net = address.parse().ok().filter(|net: &Ipv4Net| net.prefix_len() < 31)?;
    let what = of_no_host(net.addr(), net)?;
    Some(format!("address {} is {what} of {}", net.addr(), net.trunc()))
}

/// What `address` is in `net` if it is of no host.
fn of_no_host(address: Ipv4Addr, net: Ipv4Net) -> Option<&'static str> {
    match address {
        own if own == net.network() => Some("the address of the subnet itself"),
        own if own == net.broadcast() => Some("the broadcast address"),
        _ => None,
    }
}

/// Of the addresses that `static` gives.
fn impossible_addresses(judged: &Judged<'_>, network: &Network, plugin: &Node) -> Vec<Found> {
    let own = ipam(plugin).filter(|ipam| ipam.find("type").and_then(Node::text) == Some("static"));
    let addresses = own.and_then(|ipam| ipam.find("addresses")).map_or(&[] as &[Node], Node::items);
    let told = |map: &Node| {
        let address = map.find("address")?;
        Some(judged.in_config(network, address.at, impossible(address.text()?)?))
    };
    addresses.iter().filter_map(told).collect()
}

/// The MTU of the link `name`, and what it is: of this node, or a bridge that one of the networks makes.
fn mtu_of(judged: &Judged<'_>, name: &str) -> Option<(i64, String)> {
    let here = judged.machine.as_ref().and_then(|machine| machine.mtus.get(name));
    if let Some(mtu) = here {
        return Some((i64::from(*mtu), format!("{name} on this node")));
    }
    let bridge = |(network, plugin, node): (&Network, &PluginConfig, &Node)| {
        let own = node.find("bridge").and_then(Node::text).unwrap_or(DEFAULT_BRIDGE);
        let mtu = node.find("mtu")?.number().filter(|mtu| *mtu > 0)?;
        (plugin.kind.as_str() == "bridge" && own == name).then(|| (mtu, format!("bridge {name} of {}", network.nad)))
    };
    judged.plugins().find_map(bridge)
}

/// Of each map that has a gateway and a subnet, or an address with its prefix length. IPv6 has no such addresses.
fn impossible_gateways(judged: &Judged<'_>, network: &Network, plugin: &Node) -> Vec<Found> {
    let Some(ipam) = ipam(plugin) else { return Vec::new() };
    let list = |key: &str| ipam.find(key).map_or(&[] as &[Node], Node::items);
    let ranges = list("ranges").iter().flat_map(Node::items);
    let told = |map: &Node| {
        let gateway: Ipv4Addr = map.find("gateway")?.text()?.parse().ok()?;
        let net = map.find("subnet").or_else(|| map.find("address")).or_else(|| map.find("range"))?.text()?;
        let net: Ipv4Net = net.parse().ok().filter(|net: &Ipv4Net| net.prefix_len() < 31)?;
        let what = of_no_host(gateway, net)?;
        let at = map.key("gateway").map_or(map.at, |key| key.at);
        Some(judged.in_config(network, at, format!("gateway {gateway} is {what} of {}", net.trunc())))
    };
    ranges.chain(list("addresses")).chain([ipam]).filter_map(told).collect()
}
