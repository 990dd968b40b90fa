//! What is remembered of an address that was given back, and which free address comes first by it.
//!
//! The name of a file has all of it, so that one list of the folder is enough: when the address was given back, for whom
//! it was taken, and the address.

use super::name::number_of;
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
    number_of(format!("{pod} {ifname}")).max(1)
}

impl Former {
    /// The name of its file.
    pub fn to_name(&self) -> String {
        format!("{BEGIN}-{}-{:x}-{}", self.at, self.of, self.address)
    }

    /// Reads the name of a file; none where it is another one.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(BEGIN)?.strip_prefix('-')?.splitn(3, '-');
        let (at, of, address) = (parts.next()?, parts.next()?, parts.next()?);
        let former = Former { at: number(at, 10)?, of: number(of, 16)?, address: address.parse().ok()? };
        // Text of IPv4 has one form.
        (former.address.is_ipv4() || former.to_name() == name).then_some(former)
    }
}

/// The number that is written as `text`; none where it would be written otherwise.
fn number(text: &str, radix: u32) -> Option<u64> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let is_short = text == "0" || !text.starts_with('0');
    if is_short && text.bytes().all(is_plain) { u64::from_str_radix(text, radix).ok() } else { None }
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

/// What is remembered, as one asks for an address at one moment.
#[derive(Clone, Debug)]
pub struct Memory<'f> {
    /// The youngest of each address, by address.
    latest: Vec<&'f Former>,
    now: u64,
    times: Times,
}

impl<'f> Memory<'f> {
    /// What of `former` counts at `now`.
    pub fn new(former: &'f [Former], now: u64, times: Times) -> Self {
        let mut latest: Vec<&Former> = former.iter().filter(|one| !times.is_over(one, now)).collect();
        latest.sort_unstable_by_key(|one| (one.address, std::cmp::Reverse(one.at)));
        latest.dedup_by_key(|one| one.address);
        Memory { latest, now, times }
    }

    /// Whether somebody had `address` lately.
    pub fn knows(&self, address: IpAddr) -> bool {
        self.latest.binary_search_by_key(&address, |one| one.address).is_ok()
    }

    /// Those that `of` had, which is 0 where it is not known who asks, the last one first: they are tried first.
    pub fn own(&self, of: u64) -> Vec<IpAddr> {
        let mut own: Vec<&Former> = self.latest.iter().copied().filter(|one| self.is_own(one, of)).collect();
        own.sort_by_key(|one| std::cmp::Reverse(one.at));
        addresses(&own)
    }

    /// Those that others than `of` had, the oldest first: they are tried after all that nobody had lately.
    pub fn of_others(&self, of: u64) -> OfOthers {
        let mut others: Vec<&Former> = self.latest.iter().copied().filter(|one| !self.is_own(one, of)).collect();
        others.sort_by_key(|one| one.at);
        let is_cooling = |one: &&Former| self.now.saturating_sub(one.at) < self.times.cooldown;
        let (cooling, kept): (Vec<&Former>, Vec<&Former>) = others.into_iter().partition(is_cooling);
        OfOthers { kept: addresses(&kept), cooling: addresses(&cooling) }
    }

    fn is_own(&self, one: &Former, of: u64) -> bool {
        one.of == of && of != 0 && self.now.saturating_sub(one.at) <= self.times.retain
    }
}

/// Addresses that others had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfOthers {
    /// A while ago.
    pub kept: Vec<IpAddr>,
    /// A moment ago.
    pub cooling: Vec<IpAddr>,
}

fn addresses(all: &[&Former]) -> Vec<IpAddr> {
    all.iter().map(|one| one.address).collect()
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
        let (of_numbers, of_addresses) = (
            ["freed-1-zz", "freed-", "freed-01-2", "freed-1-02", "freed-+1-2", "freed-1-A"],
            [
                "freed-1-2",
                "freed-1-2-",
                "freed-1-2-10.0.0.01",
                "freed-1-2-010.0.0.1",
                "freed-1-2-::0",
                "freed-1-2-FD00::1",
            ],
        );
        let of_numbers = of_numbers.iter().map(|begin| format!("{begin}-10.0.0.1"));
        let others = ["10.0.0.1", "lock"].iter().chain(&of_addresses).map(|name| (*name).to_owned());
        for name in of_numbers.chain(others) {
            assert_eq!(Former::parse(&name), None, "{name}");
        }
        assert_ne!(identity("ns/a", "net1"), identity("ns/a", "net2"));
    }

    #[test]
    fn who_had_an_address_gets_it_first_and_others_last() {
        let times = Times { cooldown: 10, retain: 100 };
        let all = [former(950, 7, 1), former(980, 7, 2), former(995, 8, 3), former(960, 8, 4), former(899, 8, 5)];
        let of = |of| {
            let memory = Memory::new(&all, 1000, times);
            let OfOthers { kept, cooling } = memory.of_others(of);
            (memory.own(of), kept, cooling)
        };
        // The last one that it had, the one before; what others had.
        assert_eq!(of(7), (vec![ip(2), ip(1)], vec![ip(4)], vec![ip(3)]));
        assert_eq!(of(8), (vec![ip(3), ip(4)], vec![ip(1), ip(2)], vec![]), "its own does not cool");
        assert_eq!(of(0), (vec![], vec![ip(1), ip(4), ip(2)], vec![ip(3)]));
        let memory = Memory::new(&all, 1000, times);
        assert!(memory.knows(ip(1)) && !memory.knows(ip(5)) && !memory.knows(ip(6)), "5 is of a time that is over");
        // The younger of two files counts.
        for twice in [[former(950, 7, 1), former(999, 8, 1)], [former(999, 8, 1), former(950, 7, 1)]] {
            assert_eq!(Memory::new(&twice, 1000, times).of_others(7).cooling, [ip(1)]);
            assert!(Memory::new(&twice, 1000, times).own(7).is_empty());
        }
        assert!(!all.iter().any(|one| Memory::new(&all, 1000, Times::default()).knows(one.address)));
        // A clock that was set back: it cools.
        assert_eq!(Memory::new(&all, 5, times).of_others(0).cooling.len(), 5);
    }
}
