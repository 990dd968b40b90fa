//! An address that is kept for a pod of one name, wherever in the cluster it comes back.
//!
//! It is only a hint: an address is given out of a block that the node leases, and the block is the lock. Only a node that
//! holds the block of an address keeps it for somebody, after a list of what is kept that it asked for **then**. So no two
//! reservations have one address.

use super::memory::identity;
use super::name::PoolName;
use super::pool::{Block, Pool};
use super::spans::{Span, Spans, address, number};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// Nothing is forgotten sooner: a block that was leased in this moment may not be seen yet.
const SHORTEST: Duration = Duration::from_secs(10);

/// The interface of a pod, by names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whose {
    /// The namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The interface in it.
    pub interface: String,
}

impl Whose {
    /// The number of it in names and files. Another pod may have it, too.
    pub fn number(&self) -> u64 {
        identity(&format!("{}/{}", self.namespace, self.pod), &self.interface)
    }

    /// The name of its reservation of `pool`. One of another pod may have it: the reservation has the names.
    pub fn object(&self, pool: &PoolName) -> String {
        format!("{pool}.{:016x}", self.number())
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of pod {}/{}", self.interface, self.namespace, self.pod)
    }
}

/// What is kept for one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// For whom.
    pub whose: Whose,
    /// One address of each family of the pool.
    pub addresses: Vec<IpAddr>,
    /// The node that had the pod last.
    pub node: String,
}

impl Reservation {
    /// Why it cannot be used with `pool` as it is now: its addresses may be anybody's, or there are too few.
    ///
    /// # Errors
    /// One line for a person.
    pub fn judge(&self, pool: &Pool) -> Result<(), String> {
        let is_reserved = |address: &&IpAddr| pool.reserved(address.is_ipv4()).contains(number(**address));
        if let Some(address) = self.addresses.iter().find(|address| !is_reserved(address)) {
            return Err(format!("{address}, which is kept for it, is not reserved in the pool any more"));
        }
        let has = |is_v4: &bool| self.addresses.iter().any(|address| address.is_ipv4() == *is_v4);
        match pool.families().find(|is_v4| !has(is_v4)) {
            Some(is_v4) => Err(format!("no {} address is kept for it: the pool had none before", name_of(is_v4))),
            None => Ok(()),
        }
    }
}

/// The name of a family.
pub fn name_of(is_v4: bool) -> &'static str {
    if is_v4 { "IPv4" } else { "IPv6" }
}

/// What is known of the reserved addresses of a pool.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Addresses that are kept for somebody.
    pub kept: BTreeSet<IpAddr>,
    /// Blocks that this node cannot have, by their first addresses.
    pub others: BTreeSet<IpAddr>,
    /// Addresses that pods of this node have.
    pub taken: BTreeSet<IpAddr>,
}

/// A reserved address of a family that nobody has and that is kept for nobody. One in a block without a kept address comes
/// first: pods with addresses of one block can only move together. Which of the rest, is told by `seed`; 0 is the first.
pub fn choose(pool: &Pool, is_v4: bool, known: &Known, seed: u64) -> Option<IpAddr> {
    let own = |all: &BTreeSet<IpAddr>| -> Vec<IpAddr> {
        all.iter().copied().filter(|address| address.is_ipv4() == is_v4).collect()
    };
    let singles = |all: Vec<IpAddr>| -> Spans { all.into_iter().map(|one| span(number(one))).collect() };
    let blocks = |all: Vec<IpAddr>| -> Spans { all.into_iter().map(|one| pool.block_of(one).span()).collect() };
    let free = pool.reserved(is_v4).without(&blocks(own(&known.others)));
    let free = free.without(&singles(own(&known.kept))).without(&singles(own(&known.taken)));
    let alone = free.without(&blocks(own(&known.kept)));
    let from = if alone.is_empty() { free } else { alone };
    let position = u128::from(seed).checked_rem(from.count())?;
    from.nth(position).map(|number| address(is_v4, number))
}

fn span(number: u128) -> Span {
    Span { first: number, last: number }
}

/// When reservations are given up whose addresses are in no leased block. All times are of one clock that only goes forward.
#[derive(Clone, Debug, Default)]
pub struct Unused {
    /// Since when, by the UID.
    since: BTreeMap<String, Duration>,
}

impl Unused {
    /// Whether the reservation with this UID is to be deleted, `now` that its addresses are in a leased block, or not. It is
    /// waited for `retain`; not for one that is of no use any more, whoever has the block.
    pub fn judge(&mut self, uid: &str, is_leased: bool, (is_of_use, retain): (bool, Duration), now: Duration) -> bool {
        if is_leased && is_of_use {
            self.since.remove(uid);
            return false;
        }
        let since = *self.since.entry(uid.to_owned()).or_insert(now);
        let wait = if is_of_use { retain.max(SHORTEST) } else { SHORTEST };
        now.saturating_sub(since) >= wait
    }

    /// Only these exist.
    pub fn keep_only(&mut self, uids: &BTreeSet<&str>) {
        self.since.retain(|uid, _| uids.contains(uid.as_str()));
    }
}

/// Whether one of `addresses` is in one of `blocks`.
pub fn is_leased(addresses: &[IpAddr], blocks: &[Block]) -> bool {
    addresses.iter().any(|address| blocks.iter().any(|block| block.contains(*address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::PoolSpec;
    use crate::ipam::pool::{BlockSize, Range};

    fn pool(size: u32, ranges: &[(&str, &str)]) -> Pool {
        let range = |(range, reserved): &(&str, &str)| Range {
            range: (*range).to_owned(),
            reserved: Some((*reserved).to_owned()).into_iter().filter(|text| !text.is_empty()).collect(),
            ..Range::default()
        };
        let (ranges, block_size) = (ranges.iter().map(range).collect(), BlockSize { v4: size, v6: size });
        Pool::new(&PoolSpec { ranges, block_size, ..PoolSpec::default() }).unwrap()
    }

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn known(kept: &[&str], others: &[&str], taken: &[&str]) -> Known {
        Known { kept: set(kept), others: set(others), taken: set(taken) }
    }

    #[test]
    fn a_reserved_address_that_nobody_has_is_chosen() {
        let one = pool(1, &[("10.0.0.0/24", "10.0.0.8/30"), ("fd00::/64", "fd00::1:0/112")]);
        let of = |known: &Known, seed| choose(&one, true, known, seed).map(|address| address.to_string());
        assert_eq!(of(&known(&[], &[], &[]), 0).as_deref(), Some("10.0.0.8"));
        assert_eq!(of(&known(&[], &[], &[]), 6).as_deref(), Some("10.0.0.10"), "where several nodes look");
        assert_eq!(of(&known(&["10.0.0.8"], &["10.0.0.9"], &["10.0.0.10"]), 7).as_deref(), Some("10.0.0.11"));
        assert_eq!(of(&known(&["10.0.0.8", "10.0.0.11"], &["10.0.0.9"], &["10.0.0.10"]), 7), None);
        let v6 = choose(&one, false, &known(&["fd00::1:0"], &[], &[]), 0);
        assert_eq!(v6.unwrap().to_string(), "fd00::1:1");
        // Not what any pod may get.
        assert_eq!(choose(&pool(1, &[("10.0.0.0/24", "")]), true, &Known::default(), 0), None);
    }

    #[test]
    fn pods_share_a_block_only_if_there_is_no_other() {
        let four = pool(4, &[("10.0.0.0/24", "10.0.0.8-10.0.0.15")]);
        let of = |kept: &[&str]| choose(&four, true, &known(kept, &[], &[]), 0).map(|address| address.to_string());
        assert_eq!(of(&["10.0.0.8"]).as_deref(), Some("10.0.0.12"));
        assert_eq!(of(&["10.0.0.8", "10.0.0.12"]).as_deref(), Some("10.0.0.9"));
    }

    #[test]
    fn what_the_pool_has_become_is_looked_at() {
        let of = |addresses: &[&str], ranges: &[(&str, &str)]| {
            let (namespace, pod, interface) = ("ns".to_owned(), "web-0".to_owned(), "net1".to_owned());
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            let whose = Whose { namespace, pod, interface };
            Reservation { whose, addresses, node: String::new() }.judge(&pool(1, ranges))
        };
        let (v4, v6) = (("10.0.0.0/24", "10.0.0.8/30"), ("fd00::/64", "fd00::1:0/112"));
        assert_eq!(of(&["10.0.0.9"], &[v4]), Ok(()));
        assert!(of(&["10.0.0.9"], &[v4, v6]).unwrap_err().contains("IPv6"));
        assert_eq!(of(&["10.0.0.9", "fd00::1:7"], &[v4, v6]), Ok(()));
        assert!(of(&["10.0.0.9"], &[("10.0.0.0/24", "10.0.0.16/30")]).unwrap_err().contains("10.0.0.9"));
    }

    #[test]
    fn a_reservation_ends_when_it_was_unused_for_its_time() {
        let (mut unused, of_use) = (Unused::default(), (true, Duration::from_secs(100)));
        let at = Duration::from_secs;
        assert!(!unused.judge("a", false, of_use, at(10)) && !unused.judge("a", false, of_use, at(109)));
        // A pod of it ran meanwhile.
        assert!(!unused.judge("a", true, of_use, at(109)) && !unused.judge("a", false, of_use, at(110)));
        assert!(!unused.judge("a", false, of_use, at(209)) && unused.judge("a", false, of_use, at(210)));
        // One that is of no use, and one that is to be kept for no time: what is leased now may not be seen yet.
        for asked in [(false, at(100)), (true, at(0))] {
            let mut unused = Unused::default();
            assert!(!unused.judge("a", false, asked, at(10)) && !unused.judge("a", false, asked, at(19)));
            assert!(unused.judge("a", false, asked, at(20)));
        }
        // Its pod waits for another one, although a node has the block.
        let (mut unused, of_no_use) = (Unused::default(), (false, at(100)));
        assert!(!unused.judge("a", true, of_no_use, at(10)) && unused.judge("a", true, of_no_use, at(20)));
        unused.keep_only(&BTreeSet::from(["b"]));
        assert!(!unused.judge("a", false, of_use, at(300)), "it is another one");
    }

    #[test]
    fn one_name_is_one_interface_of_a_pod() {
        let whose = |pod: &str, interface: &str| Whose {
            namespace: "ns".to_owned(),
            pod: pod.to_owned(),
            interface: interface.to_owned(),
        };
        let lan = PoolName::new("lan").unwrap();
        let name = whose("web-0", "net1").object(&lan);
        assert!(name.starts_with("lan.") && name.len() == 4 + 16, "{name}");
        assert_ne!(name, whose("web-0", "net2").object(&lan));
        assert_eq!(whose("web-0", "net1").number(), identity("ns/web-0", "net1"));
    }
}
