//! Addresses that a pod asks for.

use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::{Stdin, read_cni_args};
use std::net::IpAddr;

/// All that is asked for anywhere; a prefix length may be there and does not count. In CNI_ARGS there may be several,
/// joined by commas as for `static`: so `ips` of the annotation reach a plugin without that capability.
pub(super) fn read_requested(call: &Call<'_>, stdin: &Stdin) -> Result<Vec<IpAddr>, Failure> {
    let [ip] = read_cni_args(call, ["IP"])?;
    let mut texts: Vec<String> = ip.iter().flat_map(|ip| ip.split(',')).map(|ip| ip.trim().to_owned()).collect();
    for section in [stdin.cni_args()?, stdin.section("runtimeConfig")?] {
        texts.extend(section.read::<Vec<String>>("ips")?.unwrap_or_default());
    }
    let mut requested = Vec::new();
    for text in texts {
        let invalid = || Failure::Config(format!("requested IP {text:?} is not an address"));
        let address: IpAddr = match text.split_once('/') {
            Some(_) => text.parse::<ipnet::IpNet>().map_err(|_| invalid())?.addr(),
            None => text.parse().map_err(|_| invalid())?,
        };
        let address = address.to_canonical();
        if !requested.contains(&address) {
            requested.push(address);
        }
    }
    Ok(requested)
}
