//! `network-status`: what was attached, reported on the pod.

use crate::cni::RawObject;
use crate::cni::result::{AddResult, Dns, Interface, IpConfig};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::ser::PrettyFormatter;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// One element of the annotation; the keys and their order are those of Multus (NPWG-STA-17).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkStatus {
    /// `<namespace>/<nad>`, or the default network's own name (NPWG-STA-08).
    pub name: String,
    /// The pod's interface (NPWG-STA-09).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// Addresses without prefix length (NPWG-STA-11).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Hardware address (NPWG-STA-12).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// MTU, where the plugin says it.
    #[serde(skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The default network: exactly one of a pod's entries (NPWG-STA-06).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// Always written, possibly empty (NPWG-STA-14).
    pub dns: Dns,
    /// What the device-info file said (NPWG-STA-16).
    #[serde(rename = "device-info", skip_serializing_if = "Option::is_none")]
    pub device_info: Option<Box<RawValue>>,
    /// The gateways of the default routes over this interface (NPWG-STA-15).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateway: Vec<IpAddr>,
}

/// An attachment as its status is derived from it.
#[derive(Clone, Copy, Debug)]
pub struct Attached<'a> {
    /// The name to report.
    pub name: &'a str,
    /// The interface that was asked for.
    pub ifname: &'a str,
    /// Whether this is the default network.
    pub default: bool,
    /// What its plugins answered.
    pub result: &'a AddResult,
    /// The gateways that hold after the default routes were settled, where they were.
    pub gateways: Option<&'a [IpAddr]>,
    /// What the device-info file said.
    pub device_info: Option<&'a RawObject>,
    /// The hardware address that the kernel has, where the result tells of no interface.
    pub mac: Option<&'a str>,
}

/// The entries of one attachment: one for each interface inside the container, and at least one,
/// so that no network is missing from the report (NPWG-STA-04).
pub fn entries(attached: &Attached<'_>) -> Vec<NetworkStatus> {
    let result = attached.result;
    let inside = inside(attached);
    let base = || NetworkStatus {
        name: attached.name.to_owned(),
        dns: result.dns.clone(),
        device_info: attached.device_info.map(RawObject::to_raw),
        gateway: attached.gateways.map_or_else(|| gateways(result), <[_]>::to_vec),
        ..NetworkStatus::default()
    };
    let with = |interface: &Interface, ips| NetworkStatus {
        interface: interface.name.clone(),
        mac: interface.mac.clone(),
        mtu: interface.mtu,
        ips,
        ..base()
    };
    let mut entries: Vec<NetworkStatus> = match inside.as_slice() {
        [] => {
            // Before 0.3.0 there are no interfaces in a result; an address can only be on the one asked for (NPWG-STA-05).
            let is_there = !result.ips.is_empty() || attached.mac.is_some();
            let interface = if is_there { attached.ifname.to_owned() } else { String::new() };
            let mac = attached.mac.unwrap_or_default().to_owned();
            vec![NetworkStatus { interface, mac, ips: addresses(result.ips.iter()), ..base() }]
        }
        [only] if result.interfaces.len() == 1 => vec![with(only, addresses(result.ips.iter()))],
        several => several
            .iter()
            .enumerate()
            .map(|(at, interface)| with(interface, ips_of(result, interface, at + 1 == several.len())))
            .collect(),
    };
    if attached.default {
        let at = entries.iter().position(|entry| entry.interface == attached.ifname).unwrap_or(0);
        entries[at].default = true;
    }
    entries
}

/// The interfaces inside the container. Some plugins name no sandbox at all: then it is the one that was asked for,
/// or the only one there is.
fn inside<'a>(attached: &Attached<'a>) -> Vec<&'a Interface> {
    let all = &attached.result.interfaces;
    let inside: Vec<&Interface> = all.iter().filter(|interface| !interface.sandbox.is_empty()).collect();
    if !inside.is_empty() {
        return inside;
    }
    let asked_for: Vec<&Interface> = all.iter().filter(|interface| interface.name == attached.ifname).collect();
    match (asked_for.is_empty(), all.as_slice()) {
        (true, [only]) => vec![only],
        _ => asked_for,
    }
}

/// The addresses of `interface`; those without an index belong to the last interface (NPWG-STA-19).
fn ips_of(result: &AddResult, interface: &Interface, last: bool) -> Vec<IpAddr> {
    let own = result.ips.iter().filter(|ip| match result.interface_of(ip) {
        Some(of) => std::ptr::eq(of, interface),
        None => last,
    });
    addresses(own)
}

fn addresses<'a>(ips: impl Iterator<Item = &'a IpConfig>) -> Vec<IpAddr> {
    ips.map(|ip| ip.address.addr()).collect()
}

/// The gateways of the result's default routes. A route without a next hop uses the gateway of an
/// address of its family (CNI-RES-04); where there is none there is nothing to report (Multus says `<nil>`).
pub fn gateways(result: &AddResult) -> Vec<IpAddr> {
    let mut seen = BTreeSet::new();
    let of_family = |dst: &IpNet| {
        let same = |gateway: &IpAddr| gateway.is_ipv4() == dst.addr().is_ipv4();
        result.ips.iter().filter_map(|ip| ip.gateway).find(same)
    };
    let defaults = result.routes.iter().filter(|route| route.is_default());
    defaults.filter_map(|route| route.gw.or_else(|| of_family(&route.dst))).filter(|gw| seen.insert(*gw)).collect()
}

/// All annotations of an object have 256 KiB together, keys included; this leaves some to others.
pub const LONGEST: usize = 240 << 10;

/// The annotation's value, no longer than [`LONGEST`], and what was left out of it for that. A status that does not
/// fit would be refused by the API server each time, and would lie in memory for as long as the pod lives.
pub fn bounded_annotation(mut entries: Vec<NetworkStatus>) -> (String, Option<&'static str>) {
    let whole = annotation(&entries);
    if whole.len() <= LONGEST {
        return (whole, None);
    }
    for entry in &mut entries {
        (entry.dns, entry.device_info) = (Dns::default(), None);
    }
    let short = annotation(&entries);
    if short.len() <= LONGEST {
        return (short, Some("dns and device-info were left out"));
    }
    entries.retain(|entry| entry.default);
    (annotation(&entries), Some("all but the default network was left out"))
}

/// The annotation's value: a JSON list whose elements are indented by four, as Multus writes it.
pub fn annotation(entries: &[NetworkStatus]) -> String {
    let element = |entry: &NetworkStatus| {
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
        // A struct of texts and numbers always serialises.
        entry.serialize(&mut serializer).ok().and_then(|()| String::from_utf8(text).ok()).unwrap_or_default()
    };
    format!("[{}]", entries.iter().map(element).collect::<Vec<_>>().join(","))
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
