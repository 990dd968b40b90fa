//! A range of a pool, as people write it and as it is understood.

use super::spans::{Span, number};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A subnet, by its form. Whether it has host bits, and whether the gateway is in it, is judged where addresses are taken:
/// the functions of API servers for that came after the oldest release that is supported.
#[cfg(feature = "cluster")]
const SUBNET: &str =
    "^([0-9.]+/([0-9]|[12][0-9]|3[0-2])|[0-9a-fA-F.]*:[0-9a-fA-F:.]*/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$";

/// A range of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// The subnet, for example 10.1.0.0/20. Its length is the prefix length of the addresses.
    #[cfg_attr(feature = "cluster", schemars(length(max = 50), regex(pattern = SUBNET)))]
    pub range: String,
    /// The gateway in it. It is never given to a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Addresses that are never given to a pod: an address, a subnet, or first-last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Addresses that only a pod gets that asks for them, in the same form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<String>,
    /// No new address is taken from this range.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}

/// Why a specification is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPool(pub(super) String);

/// A range that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The subnet.
    pub net: IpNet,
    /// Its gateway.
    pub gateway: Option<IpAddr>,
}

/// What a range means for its addresses.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    /// The subnet.
    pub subnet: Subnet,
    /// All of it.
    pub all: Option<Span>,
    /// What no pod gets: its ends, the gateway, and what is excluded.
    pub never: Vec<Span>,
    /// What only a pod gets that asks for it.
    pub reserved: Vec<Span>,
}

impl Range {
    /// What `exclude` and `reserved` name that is not in the range, each with its key: no address of the range is meant.
    pub fn outside(&self) -> Vec<(&'static str, &str)> {
        let Ok(subnet) = read_subnet(self) else { return Vec::new() };
        let Some(all) = hosts(subnet.net) else { return Vec::new() };
        let is_outside = |(key, text): &(&'static str, &str)| {
            read_part(key, text, subnet.net).is_ok_and(|part| part.last < all.first || part.first > all.last)
        };
        let excluded = self.exclude.iter().map(|text| ("exclude", text.as_str()));
        excluded.chain(self.reserved.iter().map(|text| ("reserved", text.as_str()))).filter(is_outside).collect()
    }

    /// Understands it.
    pub(super) fn read(&self) -> Result<Meaning, InvalidPool> {
        let subnet = read_subnet(self)?;
        let parts = |key: &'static str, texts: &[String]| -> Result<Vec<Span>, InvalidPool> {
            texts.iter().map(|text| read_part(key, text, subnet.net)).collect()
        };
        let mut never = ends(subnet.net);
        never.extend(subnet.gateway.map(|gateway| one(number(gateway))));
        never.extend(parts("exclude", &self.exclude)?);
        let (all, reserved) = (hosts(subnet.net), parts("reserved", &self.reserved)?);
        Ok(Meaning { subnet, all, never, reserved })
    }
}

fn one(number: u128) -> Span {
    Span { first: number, last: number }
}

fn read_subnet(range: &Range) -> Result<Subnet, InvalidPool> {
    let text = &range.range;
    let net: IpNet = text.parse().map_err(|_| InvalidPool(format!("range {text:?} is not a subnet")))?;
    if net != net.trunc() {
        return Err(InvalidPool(format!("range {text} has host bits set: it would be {}", net.trunc())));
    }
    let mapped = matches!(net, IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some());
    let (low, high) = (net.network(), net.broadcast());
    let unusable = |address: IpAddr| address.is_multicast() || address.is_unspecified() || address.is_loopback();
    if mapped || unusable(low) || unusable(high) || high == IpAddr::from([255, 255, 255, 255]) {
        return Err(InvalidPool(format!("range {text} has addresses that no interface can have")));
    }
    let Some(gateway) = &range.gateway else { return Ok(Subnet { net, gateway: None }) };
    match gateway.parse::<IpAddr>() {
        Ok(gateway) if net.contains(&gateway) => Ok(Subnet { net, gateway: Some(gateway) }),
        Ok(gateway) => Err(InvalidPool(format!("gateway {gateway} is not in range {net}"))),
        Err(_) => Err(InvalidPool(format!("gateway {gateway:?} of range {net} is not an address"))),
    }
}

/// Every address of `net`.
fn hosts(net: IpNet) -> Option<Span> {
    Span::new(number(net.network()), number(net.broadcast()))
}

/// Whether no pod gets the ends of `net`: there are none where it has one address or two (RFC 3021, RFC 6164).
pub(super) fn has_ends(net: IpNet) -> bool {
    net.max_prefix_len() - net.prefix_len() >= 2
}

/// The network and broadcast addresses of IPv4, the routers' anycast address of IPv6.
fn ends(net: IpNet) -> Vec<Span> {
    match net {
        _ if !has_ends(net) => Vec::new(),
        IpNet::V4(_) => vec![one(number(net.network())), one(number(net.broadcast()))],
        IpNet::V6(_) => vec![one(number(net.network()))],
    }
}

/// An address, a subnet, or `first-last`, of the family of `net`.
fn read_part(key: &str, text: &str, net: IpNet) -> Result<Span, InvalidPool> {
    let bad = || InvalidPool(format!("{key} {text:?} of range {net} is not an address, a subnet, or first-last"));
    let (first, last) = if let Some((first, last)) = text.split_once('-') {
        (first.trim().parse().map_err(|_| bad())?, last.trim().parse().map_err(|_| bad())?)
    } else if text.contains('/') {
        let part: IpNet = text.parse().map_err(|_| bad())?;
        (part.network(), part.broadcast())
    } else {
        let address: IpAddr = text.parse().map_err(|_| bad())?;
        (address, address)
    };
    if [first, last].iter().any(|end: &IpAddr| end.is_ipv4() != net.addr().is_ipv4()) {
        return Err(InvalidPool(format!("{key} {text:?} is of another family than range {net}")));
    }
    Span::new(number(first), number(last)).ok_or_else(bad)
}
