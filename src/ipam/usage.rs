//! What all nodes together lease of a pool.

use super::pool::{Block, InvalidPool, Pool, PoolSpec};
use super::tally::small;
use std::collections::BTreeMap;

/// A block, and the node that leases it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The block.
    pub block: Block,
    /// The node.
    pub node: String,
}

/// The addresses of one family of a pool that can be given to pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// All of them.
    pub capacity: u64,
    /// Those in blocks that nodes lease.
    pub leased: u64,
}

impl Part {
    /// Those in no block of a node.
    pub fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.leased)
    }

    /// Whether nodes lease all of them, and there are some.
    pub fn is_exhausted(&self) -> bool {
        self.capacity > 0 && self.free() == 0
    }
}

/// What is leased of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// IPv4.
    pub v4: Part,
    /// IPv6.
    pub v6: Part,
    /// How many blocks are leased.
    pub blocks: usize,
    /// How many addresses that can be given each node leases.
    pub nodes: BTreeMap<String, u64>,
}

impl Usage {
    /// Of the pool with `spec`.
    ///
    /// # Errors
    /// The specification is none.
    pub fn of(spec: &PoolSpec, leases: &[Lease]) -> Result<Self, InvalidPool> {
        let pool = Pool::new(spec)?;
        Ok(Usage::with(leases, |is_v4| small(pool.usable(is_v4).count()), |block| small(pool.usable_in(block).count())))
    }

    /// Of a pool whose ranges are not known: sections of whereabouts imply it.
    pub fn of_implied(leases: &[Lease]) -> Self {
        Usage::with(leases, |_| 0, |block| u64::from(block.size))
    }

    fn with(leases: &[Lease], capacity: impl Fn(bool) -> u64, given: impl Fn(&Block) -> u64) -> Self {
        let part = |is_v4| Part { capacity: capacity(is_v4), leased: 0 };
        let mut usage = Usage { v4: part(true), v6: part(false), blocks: leases.len(), nodes: BTreeMap::new() };
        for Lease { block, node } in leases {
            let count = given(block);
            let part = if block.first.is_ipv4() { &mut usage.v4 } else { &mut usage.v6 };
            part.leased = part.leased.saturating_add(count);
            let of_node = usage.nodes.entry(node.clone()).or_default();
            *of_node = of_node.saturating_add(count);
        }
        usage
    }

    /// The families that the pool has addresses of, with their names.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, Part)> {
        let parts = [("IPv4", self.v4), ("IPv6", self.v6)];
        parts.into_iter().filter(|(_, part)| part.capacity > 0 || part.leased > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::pool::Range;

    fn lease(first: &str, size: u32, node: &str) -> Lease {
        Lease { block: Block { first: first.parse().unwrap(), size }, node: node.to_owned() }
    }

    #[test]
    fn what_can_be_given_is_counted() {
        let range = |range: &str| Range {
            range: range.to_owned(),
            gateway: range.starts_with("10.").then(|| "10.0.0.1".to_owned()),
            ..Range::default()
        };
        let spec = PoolSpec { ranges: vec![range("10.0.0.0/28"), range("fd00::/64")], ..PoolSpec::implied() };
        let leases = [lease("10.0.0.0", 8, "a"), lease("10.0.0.8", 8, "b"), lease("fd00::", 64, "a")];
        let usage = Usage::of(&spec, &leases[..1]).unwrap();
        // Neither network nor gateway.
        assert_eq!((usage.v4, usage.v6), (Part { capacity: 13, leased: 6 }, Part { capacity: u64::MAX, leased: 0 }));
        assert!(!usage.v4.is_exhausted() && usage.v4.free() == 7);
        let usage = Usage::of(&spec, &leases).unwrap();
        assert!(usage.v4.is_exhausted() && !usage.v6.is_exhausted());
        assert_eq!((usage.blocks, usage.nodes), (3, [("a".to_owned(), 69), ("b".to_owned(), 7)].into()));
        assert!(
            !Usage::of(&PoolSpec::implied(), &[]).unwrap().v4.is_exhausted(),
            "a pool without ranges is no full one"
        );
        let implied = Usage::of_implied(&leases);
        assert_eq!(
            implied.parts().map(|(name, part)| (name, part.leased)).collect::<Vec<_>>(),
            [("IPv4", 16), ("IPv6", 64)]
        );
    }
}
