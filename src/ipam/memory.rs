//! What is remembered of an address that was given back, and which free address comes first by it.
//!
//! The name of a file has all of it, so that one list of the folder is enough: when the address was given back, for whom
//! it was taken, and the address.

use super::name::number_of;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Begins the names of such files.
const BEGIN: &str = "freed";

/// An address that was given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// When it was, in seconds of Unix time.
    pub at: u64,
    /// For whom it was taken, see [`identity`]; 0 where that is not known.
    pub of: u64,
    /// The address.
    pub address: IpAddr,
}

/// A number for the interface `ifname` of the pod `pod`, its namespace and name. It only prefers an address, so that two
/// pods with one number harm nobody. It is not 0.
pub fn identity(pod: &str, ifname: &str) -> u64 {
    number_of(&format!("{pod} {ifname}")).max(1)
}

impl Former {
    /// The name of its file.
    pub fn to_name(&self) -> String {
        format!("{BEGIN}-{}-{:x}-{}", self.at, self.of, self.address)
    }

    /// Reads the name of a file; none where it is another one.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(BEGIN)?.strip_prefix('-')?.splitn(3, '-');
        let at = parts.next()?.parse().ok()?;
        let of = u64::from_str_radix(parts.next()?, 16).ok()?;
        let former = Former { at, of, address: parts.next()?.parse().ok()? };
        (former.to_name() == name).then_some(former)
    }
}

/// For how long something is remembered, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Nobody else gets the address, unless no other is free.
    pub cooldown: u64,
    /// Others get other addresses first.
    pub retain: u64,
}

impl Times {
    /// Whether nothing depends on `former` any more.
    pub fn is_over(self, former: &Former, now: u64) -> bool {
        now.saturating_sub(former.at) > self.cooldown.max(self.retain)
    }
}

/// Free addresses, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The one that the same pod had, those that nobody had lately, and those that others had, the oldest first.
    pub ready: Vec<IpAddr>,
    /// Those that others had a moment ago, the oldest first.
    pub cooling: Vec<IpAddr>,
}

/// The order of `candidates` for `of`, which is 0 where it is not known who asks.
pub fn order(candidates: &[IpAddr], former: &[Former], of: u64, now: u64, times: Times) -> Order {
    let mut latest: BTreeMap<IpAddr, &Former> = BTreeMap::new();
    for one in former.iter().filter(|one| !times.is_over(one, now)) {
        let known = latest.entry(one.address).or_insert(one);
        if known.at < one.at {
            *known = one;
        }
    }
    let (mut own, mut fresh, mut kept, mut cooling) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for address in candidates {
        match latest.get(address) {
            None => fresh.push(*address),
            Some(one) if one.of == of && of != 0 && now.saturating_sub(one.at) <= times.retain => own.push(*one),
            Some(one) if now.saturating_sub(one.at) < times.cooldown => cooling.push(*one),
            Some(one) => kept.push(*one),
        }
    }
    own.sort_by_key(|one| std::cmp::Reverse(one.at));
    kept.sort_by_key(|one| one.at);
    cooling.sort_by_key(|one| one.at);
    let addresses = |all: Vec<&Former>| all.into_iter().map(|one| one.address).collect::<Vec<_>>();
    Order { ready: [addresses(own), fresh, addresses(kept)].concat(), cooling: addresses(cooling) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn former(at: u64, of: u64, last: u8) -> Former {
        Former { at, of, address: ip(last) }
    }

    #[test]
    fn a_name_has_all_of_it() {
        for one in [former(7, 0, 1), Former { at: u64::MAX, of: u64::MAX, address: "fd00::1".parse().unwrap() }] {
            assert_eq!(Former::parse(&one.to_name()), Some(one));
        }
        for name in ["10.0.0.1", "lock", "freed-1-2", "freed-1-zz-10.0.0.1", "freed--1-10.0.0.1", "freed-01-2-10.0.0.1"]
        {
            assert_eq!(Former::parse(name), None, "{name}");
        }
        assert_ne!(identity("ns/a", "net1"), identity("ns/a", "net2"));
    }

    #[test]
    fn who_had_an_address_gets_it_first_and_others_last() {
        let candidates = [ip(5), ip(1), ip(2), ip(3), ip(4)];
        let times = Times { cooldown: 10, retain: 100 };
        let all = [former(950, 7, 1), former(980, 7, 2), former(995, 8, 3), former(960, 8, 4), former(899, 8, 5)];
        let of = |of| order(&candidates, &all, of, 1000, times);
        // The last one that it had, the one before, what nobody had lately, what others had.
        assert_eq!(of(7), Order { ready: vec![ip(2), ip(1), ip(5), ip(4)], cooling: vec![ip(3)] });
        assert_eq!(of(8).ready, [ip(3), ip(4), ip(5), ip(1), ip(2)], "its own does not cool");
        assert_eq!(of(0), Order { ready: vec![ip(5), ip(1), ip(4), ip(2)], cooling: vec![ip(3)] });
        // The younger of two files counts.
        let twice = [former(950, 7, 1), former(999, 8, 1)];
        assert_eq!(order(&[ip(1)], &twice, 7, 1000, times).cooling, [ip(1)]);
        let nothing = Times::default();
        assert_eq!(order(&candidates, &all, 7, 1000, nothing), Order { ready: candidates.to_vec(), cooling: vec![] });
        // A clock that was set back: it cools.
        assert_eq!(order(&[ip(3)], &all, 0, 5, times).cooling, [ip(3)]);
    }
}
