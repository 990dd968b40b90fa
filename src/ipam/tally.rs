//! How many addresses of a pool a node has, and what has become of them.

use super::memory::Former;
use super::stock::Stock;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The addresses of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tally {
    /// Pods have them.
    pub taken: u64,
    /// They can be given now.
    pub free: u64,
    /// They can be given too, but others had them a moment ago.
    pub cooling: u64,
    /// Never given: excluded, reserved, of the gateway, or of no range any more.
    pub excluded: u64,
    /// Pods have them, and this node does not lease their blocks.
    pub lost: u64,
}

impl Tally {
    /// Of the blocks of `stock`, where `taken` are the addresses in use and `former` those that were given back, at `now`.
    pub fn of(stock: &Stock<'_>, is_v4: bool, taken: &[IpAddr], former: &[Former], now: u64) -> Self {
        let of_family = |address: &&IpAddr| address.is_ipv4() == is_v4;
        let taken: BTreeSet<IpAddr> = taken.iter().filter(of_family).copied().collect();
        let offers = stock.open().filter(|offer| offer.granted.first.is_ipv4() == is_v4);
        let (all, given) = offers
            .fold((0, 0), |(all, given), offer| (all + u64::from(offer.granted.size), given + small(offer.count())));
        let is_cooling = |one: &&Former| now.saturating_sub(one.at) < stock.times().cooldown;
        let cooling: BTreeSet<IpAddr> = former.iter().filter(is_cooling).map(|one| one.address).collect();
        let is_free = |address: &&IpAddr| of_family(address) && !taken.contains(*address) && stock.offers(**address);
        let cooling = count(cooling.iter().filter(is_free));
        let used = count(taken.iter().filter(|address| stock.offers(**address)));
        Tally {
            taken: count(taken.iter()),
            free: given.saturating_sub(used).saturating_sub(cooling),
            cooling,
            excluded: all.saturating_sub(given),
            lost: count(taken.iter().filter(|address| !stock.has(**address))),
        }
    }

    /// Adds those of another pool.
    pub fn add(&mut self, other: Tally) {
        let Tally { taken, free, cooling, excluded, lost } = other;
        self.taken = self.taken.saturating_add(taken);
        self.free = self.free.saturating_add(free);
        self.cooling = self.cooling.saturating_add(cooling);
        self.excluded = self.excluded.saturating_add(excluded);
        self.lost = self.lost.saturating_add(lost);
    }
}

fn count(all: impl Iterator<Item = impl Sized>) -> u64 {
    u64::try_from(all.count()).unwrap_or(u64::MAX)
}

/// A number that fits, or the largest one: an IPv6 range has more addresses than anybody counts.
pub fn small(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The names of pools as labels of metrics: so many, whatever networks people make.
#[derive(Debug, Default)]
pub struct Labels(BTreeSet<String>);

impl Labels {
    /// So many pools have a label of their own.
    pub const MOST: usize = 100;
    /// The label of all others. No pool has this name.
    pub const OTHERS: &'static str = "_other";

    /// The label of `pool`.
    pub fn of<'a>(&mut self, pool: &'a str) -> &'a str {
        if self.0.contains(pool) {
            return pool;
        }
        if self.0.len() >= Labels::MOST {
            return Labels::OTHERS;
        }
        self.0.insert(pool.to_owned());
        pool
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::grant::Grant;
    use crate::ipam::report::{Released, Report};

    #[test]
    fn every_address_of_the_blocks_is_counted_once() {
        let text = "pool lan\nconfirmed b 1 1\nauthority 600\nwarm 1 16\ncooldown 10\nsubnet 10.0.0.0/24 10.0.0.1\nblock 10.0.0.0 8 a 10.0.0.2 10.0.0.7\nblock 10.0.0.8 8 b 10.0.0.8 10.0.0.15\nblock fd00:: 4 c fd00::1 fd00::3\n";
        let grant = Grant::parse(text).unwrap();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let taken = [ip("10.0.0.2"), ip("10.0.0.9"), ip("10.0.0.77"), ip("fd00::1")];
        let freed = |at, address| Former { at, of: 0, address };
        let former = [
            freed(95, ip("10.0.0.3")),
            freed(96, ip("10.0.0.3")),
            freed(80, ip("10.0.0.4")),
            freed(99, ip("10.0.0.9")),
            freed(99, ip("10.0.0.99")),
        ];
        let stock = Stock::new(&grant, &Report::default());
        let v4 = Tally::of(&stock, true, &taken, &former, 100);
        // 16 addresses: two are not given, two taken, one cools.
        assert_eq!(v4, Tally { taken: 3, free: 11, cooling: 1, excluded: 2, lost: 1 });
        assert_eq!(v4.taken - v4.lost + v4.free + v4.cooling + v4.excluded, 16);
        let v6 = Tally::of(&stock, false, &taken, &former, 100);
        assert_eq!(v6, Tally { taken: 1, free: 2, cooling: 0, excluded: 1, lost: 0 });
        // What was given back counts no more.
        let released = Released { first: ip("10.0.0.8"), lease: "b".to_owned() };
        let report = Report { released: vec![released], ..Report::default() };
        let fewer = Tally::of(&Stock::new(&grant, &report), true, &taken[..1], &[], 100);
        assert_eq!(fewer, Tally { taken: 1, free: 5, cooling: 0, excluded: 2, lost: 0 });
    }

    #[test]
    fn labels_are_bounded() {
        let mut labels = Labels::default();
        for number in 0..1000 {
            let name = format!("pool-{number}");
            assert_eq!(labels.of(&name), if number < Labels::MOST { &name } else { Labels::OTHERS });
        }
        assert_eq!(labels.of("pool-7"), "pool-7");
        assert!(crate::ipam::PoolName::new(Labels::OTHERS).is_err());
    }
}
