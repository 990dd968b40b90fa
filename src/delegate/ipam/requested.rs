//! Addresses that a pod asks for.

use crate::cni::{CniArgs, NetworkConfig, RawObject};
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::{Stdin, read_cni_args};
use std::net::IpAddr;

/// All that is asked for anywhere; a prefix length may be there and does not count. In CNI_ARGS there may be several,
/// joined by commas as for `static`: so `ips` of the annotation reach a plugin without that capability.
pub(super) fn read_requested(call: &Call<'_>, stdin: &Stdin) -> Result<Vec<IpAddr>, Failure> {
    let [ip] = read_cni_args(call, ["IP"])?;
    let mut texts = in_args(ip.as_deref());
    for section in [stdin.cni_args()?, stdin.section("runtimeConfig")?] {
        texts.extend(section.read::<Vec<String>>("ips")?.unwrap_or_default());
    }
    let mut requested = Vec::new();
    for text in texts {
        let invalid = || Failure::Config(format!("requested IP {text:?} is not an address"));
        let address = address(&text).ok_or_else(invalid)?;
        if !requested.contains(&address) {
            requested.push(address);
        }
    }
    Ok(requested)
}

/// What a recorded attachment to `network` asked for, with what it was offered by capability and as CNI_ARGS. Its ADD would
/// have failed with what cannot be read.
pub fn asked_by(network: &NetworkConfig, capabilities: &RawObject, args: &str) -> Vec<IpAddr> {
    let ips = |object: &RawObject| object.read::<Vec<String>>("ips").ok().flatten().unwrap_or_default();
    let section = |object: &RawObject, key: &str| object.read::<RawObject>(key).ok().flatten().unwrap_or_default();
    let mut texts = in_args(CniArgs::parse(args).get("IP"));
    texts.extend(ips(capabilities));
    texts.extend(network.plugins.iter().flat_map(|plugin| ips(&section(&section(&plugin.object, "args"), "cni"))));
    texts.iter().filter_map(|text| address(text)).collect()
}

/// The addresses in the value of a key of CNI_ARGS.
fn in_args(ip: Option<&str>) -> Vec<String> {
    ip.iter().flat_map(|ip| ip.split(',')).map(|ip| ip.trim().to_owned()).collect()
}

/// An address, with or without a prefix length.
fn address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = match text.split_once('/') {
        Some(_) => text.parse::<ipnet::IpNet>().ok()?.addr(),
        None => text.parse().ok()?,
    };
    Some(address.to_canonical())
}
