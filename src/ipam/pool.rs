//! A pool: its ranges, which of their addresses may be taken, and the grid of its blocks.

use super::epoch::Terms;
use super::name::is_label;
use super::never::Never;
use super::probe::Probe;
use super::selector::NodeSelector;
use super::spans::{Span, Spans, address, number};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub use super::range::{InvalidPool, Range, Subnet};

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
    /// Only pods of these namespaces get addresses. Without it all do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "cluster",
        schemars(inner(length(max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")))
    )]
    pub namespaces: Vec<String>,
    /// Only nodes with these labels lease blocks. Without it all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeSelector>,
    /// The network of this pool does not reach that of any other pool with this key. Such pools may have the same addresses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub separate: bool,
    /// Whether the network is asked for an address before a pod gets it.
    #[serde(default, skip_serializing_if = "Probe::is_off")]
    pub probe: Probe,
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

impl PoolSpec {
    /// How long a node that was removed is waited for.
    pub fn terms(&self) -> Terms {
        let Reclaim { quarantine_seconds: quarantine, strict: is_strict } = self.reclaim;
        Terms { quarantine, authority: self.authority_seconds, is_strict }
    }

    /// Of a pool that sections of whereabouts imply: they have the ranges, and each block is one address.
    pub fn implied() -> Self {
        PoolSpec { block_size: BlockSize { v4: 1, v6: 1 }, warm: Warm { min: 0, max: 16 }, ..PoolSpec::default() }
    }

    /// As it is where no new address may be taken: what is in use stays as it is, and the rest goes back.
    #[must_use]
    pub fn drained(&self) -> Self {
        let ranges = self.ranges.iter().map(|range| Range { draining: true, ..range.clone() });
        PoolSpec { ranges: ranges.collect(), warm: Warm { min: 0, max: 0 }, ..self.clone() }
    }
}

impl Default for PoolSpec {
    fn default() -> Self {
        PoolSpec {
            block_size: BlockSize::default(),
            ranges: Vec::new(),
            warm: Warm::default(),
            authority_seconds: a_day(),
            cooldown_seconds: 0,
            retain_seconds: a_day(),
            reclaim: Reclaim::default(),
            namespaces: Vec::new(),
            nodes: None,
            separate: false,
            probe: Probe::default(),
        }
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

/// One family of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Family {
    /// What any pod may get.
    usable: Spans,
    /// What only a pod gets that asks for it.
    reserved: Spans,
    /// What pods may have, also of a range that drains.
    claimed: Spans,
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
        let [mut all, mut open, mut never, mut reserved]: [[Vec<Span>; 2]; 4] = Default::default();
        for range in &spec.ranges {
            let meaning = range.read()?;
            let family = usize::from(!meaning.subnet.net.addr().is_ipv4());
            all[family].extend(meaning.all);
            open[family].extend(meaning.all.filter(|_| !range.draining));
            never[family].extend(meaning.never);
            reserved[family].extend(meaning.reserved);
            subnets.push(meaning.subnet);
        }
        if let Some(name) = spec.namespaces.iter().find(|name| !is_label(name)) {
            return Err(InvalidPool(format!("namespaces has {name:?}, which no namespace can be called")));
        }
        let size = |family: &str, size: u32| match size.is_power_of_two() && size <= 256 {
            true => Ok(size),
            false => Err(InvalidPool(format!("blockSize.{family} {size} is not a power of two up to 256"))),
        };
        let of = |family: usize, size: u32| {
            let spans = |spans: &[Vec<Span>; 2]| spans[family].iter().copied().collect::<Spans>();
            let (open, claimed) = (spans(&open).without(&spans(&never)), spans(&all).without(&spans(&never)));
            let usable = open.without(&spans(&reserved));
            Family { reserved: open.without(&usable), usable, claimed, size }
        };
        Ok(Pool { v4: of(0, size("v4", spec.block_size.v4)?), v6: of(1, size("v6", spec.block_size.v6)?), subnets })
    }

    /// A pool without subnets whose blocks are the single addresses of `spans`: what a section of whereabouts implies.
    pub fn of_addresses(spans: &[(IpAddr, IpAddr)]) -> Self {
        let of = |is_v4: bool| {
            let own = spans.iter().filter(|(first, last)| first.is_ipv4() == is_v4 && last.is_ipv4() == is_v4);
            let usable = own.filter_map(|(first, last)| Span::new(number(*first), number(*last))).collect();
            Family { usable, size: 1, ..Family::default() }
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

    /// The addresses of a family that may be taken.
    pub fn usable(&self, is_v4: bool) -> &Spans {
        &self.family(is_v4).usable
    }

    /// The addresses of a family that only a pod gets that asks for them, or for which they are kept.
    pub fn reserved(&self, is_v4: bool) -> &Spans {
        &self.family(is_v4).reserved
    }

    /// The addresses of `block` that may be taken.
    pub fn usable_in(&self, block: &Block) -> Spans {
        self.family(block.first.is_ipv4()).usable.within(block.span())
    }

    /// The addresses of `block` that only a pod gets that asks for them.
    pub fn reserved_in(&self, block: &Block) -> Spans {
        self.family(block.first.is_ipv4()).reserved.within(block.span())
    }

    /// Whether a pod may get `address` that asks for it.
    ///
    /// # Errors
    /// Why not: one line for a person.
    pub fn judge_request(&self, address: IpAddr) -> Result<(), String> {
        if let Some(never) = self.never_given(address) {
            return Err(format!("it is {never}"));
        }
        let Family { usable, reserved, .. } = self.family(address.is_ipv4());
        match self
            .subnet_of(address)
            .filter(|_| !usable.contains(number(address)) && !reserved.contains(number(address)))
        {
            None => Ok(()),
            Some(subnet) => Err(format!("no new address is taken from range {}", subnet.net)),
        }
    }

    /// Why no pod gets `address`, also of a range that drains; none where one may have it.
    pub fn never_given(&self, address: IpAddr) -> Option<Never> {
        let Some(subnet) = self.subnet_of(address) else { return Some(Never::Outside) };
        if self.family(address.is_ipv4()).claimed.contains(number(address)) {
            return None;
        }
        Some(Never::by_subnets(&self.subnets, address).unwrap_or(Never::Excluded(subnet.net)))
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
        let Family { usable, size, .. } = self.family(is_v4);
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
            let number = blocks.nth((begin + step) % count)?;
            let first = address(is_v4, number * size);
            (!taken.contains(&first)).then_some(Block { first, size: self.family(is_v4).size })
        })
    }
}
