//! A pool: its ranges, which of their addresses may be taken, and the grid of its blocks.

use super::epoch::Terms;
use super::spans::{Span, Spans, address, number};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What people write: the specification of an AddressPool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PoolSpec {
    /// Addresses in a block, the unit that a node leases. It cannot be changed.
    #[serde(default, rename = "blockSize")]
    pub block_size: BlockSize,
    /// The ranges of the pool. They may be changed at any time: addresses in use stay in use.
    #[serde(default)]
    pub ranges: Vec<Range>,
    /// Free addresses that a node keeps beyond its need.
    #[serde(default)]
    pub warm: Warm,
    /// The plugin takes new addresses for so long after the daemon last reached the API server.
    #[serde(default = "a_day", rename = "authoritySeconds")]
    #[cfg_attr(feature = "cluster", schemars(range(min = 60, max = 31_536_000)))]
    pub authority_seconds: u64,
    /// For so long another pod of the node gets an address that was given back only if no other is free.
    #[serde(default, rename = "cooldownSeconds")]
    #[cfg_attr(feature = "cluster", schemars(range(max = 86_400)))]
    pub cooldown_seconds: u64,
    /// For so long a pod of the same name gets its former address again on the same node, if it is still free. Other pods
    /// get other addresses first.
    #[serde(default = "a_day", rename = "retainSeconds")]
    #[cfg_attr(feature = "cluster", schemars(range(max = 31_536_000)))]
    pub retain_seconds: u64,
    /// When the blocks of a node are freed whose Node was deleted.
    #[serde(default)]
    pub reclaim: Reclaim,
}

/// When the blocks of a removed node are freed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Reclaim {
    /// For so long after the controller has seen that the Node is gone. No pod of a removed node may run longer.
    #[serde(rename = "quarantineSeconds")]
    #[cfg_attr(feature = "cluster", schemars(range(min = 10, max = 31_536_000)))]
    pub quarantine_seconds: u64,
    /// Wait also until the node can give no new address without the API server (authoritySeconds).
    pub strict: bool,
}

impl Default for Reclaim {
    fn default() -> Self {
        Reclaim { quarantine_seconds: 300, strict: false }
    }
}

const fn a_day() -> u64 {
    86_400
}

/// A power of two for each family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct BlockSize {
    /// For IPv4: a power of two, at most 256.
    #[cfg_attr(feature = "cluster", schemars(range(min = 1, max = 256)))]
    pub v4: u32,
    /// For IPv6: a power of two, at most 256.
    #[cfg_attr(feature = "cluster", schemars(range(min = 1, max = 256)))]
    pub v6: u32,
}

impl Default for BlockSize {
    fn default() -> Self {
        BlockSize { v4: 16, v6: 64 }
    }
}

/// A range of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// The subnet, for example 10.1.0.0/20. Its length is the prefix length of the addresses.
    pub range: String,
    /// The gateway in it. It is never given to a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Addresses that are never given to a pod: an address, a subnet, or first-last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Addresses that are kept for other uses, in the same form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<String>,
    /// No new address is taken from this range.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}

impl PoolSpec {
    /// How long a node that was removed is waited for.
    pub fn terms(&self) -> Terms {
        let Reclaim { quarantine_seconds: quarantine, strict: is_strict } = self.reclaim;
        Terms { quarantine, authority: self.authority_seconds, is_strict }
    }

    /// Of a pool that sections of whereabouts imply: they have the ranges, and each block is one address.
    pub fn implied() -> Self {
        let (block_size, warm) = (BlockSize { v4: 1, v6: 1 }, Warm { min: 0, max: 16 });
        let (authority_seconds, cooldown_seconds, retain_seconds) = (a_day(), 0, a_day());
        let (ranges, reclaim) = (Vec::new(), Reclaim::default());
        PoolSpec { block_size, ranges, warm, authority_seconds, cooldown_seconds, retain_seconds, reclaim }
    }
}

/// How many free addresses a node keeps beyond its need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Warm {
    /// With fewer free addresses the node leases another block.
    #[cfg_attr(feature = "cluster", schemars(range(max = 4096)))]
    pub min: u32,
    /// With so many other free addresses the node gives an unused block back.
    #[cfg_attr(feature = "cluster", schemars(range(max = 4096)))]
    pub max: u32,
}

impl Default for Warm {
    fn default() -> Self {
        Warm { min: 1, max: 16 }
    }
}

/// Why a specification is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPool(String);

/// A block of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// Its first address, a multiple of its size.
    pub first: IpAddr,
    /// How many addresses it has.
    pub size: u32,
}

impl Block {
    /// Its addresses.
    pub fn span(&self) -> Span {
        let first = number(self.first);
        Span { first, last: first.saturating_add(u128::from(self.size.max(1)) - 1) }
    }

    /// Whether it has `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        let span = self.span();
        address.is_ipv4() == self.first.is_ipv4() && (span.first..=span.last).contains(&number(address))
    }

    /// The number in the name of its object, which no other block of its pool has.
    pub fn hex(&self) -> String {
        let first = number(self.first);
        if self.first.is_ipv4() { format!("{first:08x}") } else { format!("{first:032x}") }
    }
}

/// A range that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The subnet.
    pub net: IpNet,
    /// Its gateway.
    pub gateway: Option<IpAddr>,
}

/// One family of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Family {
    usable: Spans,
    size: u32,
}

/// A specification that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    v4: Family,
    v6: Family,
    /// Its ranges, in the order of the specification.
    pub subnets: Vec<Subnet>,
}

impl Pool {
    /// Understands `spec`.
    ///
    /// # Errors
    /// A value of it is none.
    pub fn new(spec: &PoolSpec) -> Result<Self, InvalidPool> {
        let mut subnets = Vec::new();
        let (mut usable, mut unusable) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for range in &spec.ranges {
            let subnet = read_subnet(range)?;
            let family = usize::from(!subnet.net.addr().is_ipv4());
            if !range.draining {
                usable[family].extend(hosts(subnet.net));
            }
            unusable[family].extend(ends(subnet.net));
            unusable[family].extend(subnet.gateway.map(|gateway| one(number(gateway))));
            for (key, text) in of_key("exclude", &range.exclude).chain(of_key("reserved", &range.reserved)) {
                unusable[family].push(read_part(key, text, subnet.net)?);
            }
            subnets.push(subnet);
        }
        let size = |family: &str, size: u32| match size.is_power_of_two() && size <= 256 {
            true => Ok(size),
            false => Err(InvalidPool(format!("blockSize.{family} {size} is not a power of two up to 256"))),
        };
        let of = |family: usize, size: u32| {
            let spans: Spans = usable[family].iter().copied().collect();
            Family { usable: spans.without(&unusable[family].iter().copied().collect()), size }
        };
        Ok(Pool { v4: of(0, size("v4", spec.block_size.v4)?), v6: of(1, size("v6", spec.block_size.v6)?), subnets })
    }

    /// A pool without subnets whose blocks are the single addresses of `spans`: what a section of whereabouts implies.
    pub fn of_addresses(spans: &[(IpAddr, IpAddr)]) -> Self {
        let of = |is_v4: bool| {
            let own = spans.iter().filter(|(first, last)| first.is_ipv4() == is_v4 && last.is_ipv4() == is_v4);
            let usable = own.filter_map(|(first, last)| Span::new(number(*first), number(*last))).collect();
            Family { usable, size: 1 }
        };
        Pool { v4: of(true), v6: of(false), subnets: Vec::new() }
    }

    fn family(&self, is_v4: bool) -> &Family {
        if is_v4 { &self.v4 } else { &self.v6 }
    }

    /// The families of its ranges, IPv4 first: `true` is IPv4.
    pub fn families(&self) -> impl Iterator<Item = bool> + '_ {
        [true, false].into_iter().filter(|is_v4| self.subnets.iter().any(|s| s.net.addr().is_ipv4() == *is_v4))
    }

    /// The addresses of `block` that may be taken.
    pub fn usable_in(&self, block: &Block) -> Spans {
        self.family(block.first.is_ipv4()).usable.within(block.span())
    }

    /// The longest range with `address`.
    pub fn subnet_of(&self, address: IpAddr) -> Option<&Subnet> {
        let containing = self.subnets.iter().filter(|subnet| subnet.net.contains(&address));
        containing.max_by_key(|subnet| subnet.net.prefix_len())
    }

    /// The block with `address`.
    pub fn block_of(&self, address: IpAddr) -> Block {
        let size = self.family(address.is_ipv4()).size;
        let number = number(address) / u128::from(size) * u128::from(size);
        Block { first: super::spans::address(address.is_ipv4(), number), size }
    }

    /// A block with usable addresses whose first address is not in `taken`; where the search begins depends on `seed`.
    /// Each step past the first leaves one of `taken` behind.
    pub fn next_block(&self, is_v4: bool, seed: u64, taken: &BTreeSet<IpAddr>) -> Option<Block> {
        let Family { usable, size } = self.family(is_v4);
        let size = u128::from(*size);
        // Blocks by their number on the grid; two ranges may share one.
        let blocks: Spans =
            usable.iter().map(|span| Span { first: span.first / size, last: span.last / size }).collect();
        let count = blocks.count();
        if count == 0 {
            return None;
        }
        let begin = u128::from(seed) % count;
        let tries = count.min(u128::try_from(taken.len()).unwrap_or(u128::MAX).saturating_add(1));
        (0..tries).find_map(|step| {
            let number = nth(&blocks, (begin + step) % count)?;
            let first = address(is_v4, number * size);
            (!taken.contains(&first)).then_some(Block { first, size: self.family(is_v4).size })
        })
    }
}

/// The number at `position` in `spans`.
fn nth(spans: &Spans, mut position: u128) -> Option<u128> {
    for span in spans.iter() {
        if position < span.count() {
            return Some(span.first + position);
        }
        position -= span.count();
    }
    None
}

fn of_key<'a>(key: &'static str, texts: &'a [String]) -> impl Iterator<Item = (&'static str, &'a String)> {
    texts.iter().map(move |text| (key, text))
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

/// Every address of `net` but those that [`ends`] names.
fn hosts(net: IpNet) -> Option<Span> {
    Span::new(number(net.network()), number(net.broadcast()))
}

/// The network and broadcast addresses of IPv4, the routers' anycast address of IPv6 (RFC 3021, RFC 6164).
fn ends(net: IpNet) -> Vec<Span> {
    match net {
        _ if net.max_prefix_len() - net.prefix_len() < 2 => Vec::new(),
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
