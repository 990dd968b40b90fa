//! Whether the network is asked for an address before a pod gets it, and which addresses others answered for.

use super::spans::{address, number};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

/// Whether the network is asked for an address before a pod gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
pub enum Probe {
    /// It is not.
    #[default]
    Off,
    /// An answer is logged, and the pod gets the address.
    Warn,
    /// After an answer the pod gets another address.
    Refuse,
}

impl Probe {
    /// Nobody is asked.
    pub fn is_off(&self) -> bool {
        *self == Probe::Off
    }

    /// As a grant has it.
    pub fn word(self) -> &'static str {
        match self {
            Probe::Off => "off",
            Probe::Warn => "warn",
            Probe::Refuse => "refuse",
        }
    }

    /// Reads that; what a later release adds is not known here, and nobody is asked.
    pub fn of_word(word: &str) -> Self {
        [Probe::Warn, Probe::Refuse].into_iter().find(|probe| probe.word() == word).unwrap_or_default()
    }
}

/// For so many seconds the node gives nobody an address that another device answered for.
pub const ASIDE_SECONDS: u64 = 300;
/// So many are kept: each is a line of a file of at most 4 KiB.
const MOST: usize = 40;

/// Addresses that other devices answered for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside(Vec<Answered>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Answered {
    /// When, in seconds of Unix time.
    at: u64,
    address: IpAddr,
    mac: String,
}

impl Aside {
    /// Reads the file. What is no such line is passed over.
    pub fn parse(text: &str) -> Self {
        let read = |line: &str| {
            let mut words = line.split(' ');
            let (at, address) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some(Answered { at, address, mac: words.next()?.to_owned() })
        };
        Aside(text.lines().filter_map(read).collect())
    }

    /// As the file has it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for Answered { at, address, mac } in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{at} {address} {mac}");
        }
        text
    }

    /// At `now` somebody with the hardware address `mac` answered for `address`. What is over is left out.
    pub fn add(&mut self, address: IpAddr, mac: &str, now: u64) {
        self.0.retain(|one| one.address != address && is_fresh(one, now));
        self.0.push(Answered { at: now, address, mac: mac.to_owned() });
        self.0.drain(..self.0.len().saturating_sub(MOST));
    }

    /// The addresses that nobody gets at `now`.
    pub fn addresses(&self, now: u64) -> BTreeSet<IpAddr> {
        self.0.iter().filter(|one| is_fresh(one, now)).map(|one| one.address).collect()
    }
}

/// A clock that was set back does not keep it for longer.
fn is_fresh(one: &Answered, now: u64) -> bool {
    now.abs_diff(one.at) < ASIDE_SECONDS
}

/// An address of `net` that no device has: who answers for it answers for all. Of IPv4 it is the address of the network, of
/// IPv6 one of so many that chance by `seed` finds none in use. None where there is no such address.
///
/// It is no other free address of a block: a machine that was removed from the cluster and runs on may have several of
/// them under one hardware address (ipvlan).
pub fn nobodys(net: IpNet, seed: u64) -> Option<IpAddr> {
    let first = number(net.network());
    match net {
        IpNet::V4(net) => (net.prefix_len() < 31).then(|| address(true, first)),
        // Routers answer for the first address (RFC 4291 2.6.1).
        IpNet::V6(net) => (net.prefix_len() <= 64).then(|| address(false, first | u128::from(seed.max(1)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_word_is_read_as_it_was_written() {
        for probe in [Probe::Off, Probe::Warn, Probe::Refuse] {
            assert_eq!(Probe::of_word(probe.word()), probe);
        }
        assert_eq!(Probe::of_word("later"), Probe::Off);
    }

    #[test]
    fn an_address_is_set_aside_for_a_while() {
        let mut aside = Aside::default();
        aside.add(ip("10.9.0.2"), "02:00:00:00:00:02", 1000);
        aside.add(ip("fd00::2"), "02:00:00:00:00:02", 1100);
        let read = Aside::parse(&aside.to_text());
        assert_eq!(read, aside);
        let count = |now| read.addresses(now).len();
        assert_eq!([1100, 1299, 1300, 1400].map(count), [2, 2, 1, 0]);
        assert_eq!(count(500), 0, "the clock was set back by more than that");
        assert_eq!(Aside::parse("1 x y\n\n7 10.9.0.2\nz").0, []);
        // Another answer counts from then on; what is over goes, and the file stays short.
        aside.add(ip("10.9.0.2"), "02:00:00:00:00:03", 1200);
        assert_eq!(aside.to_text(), "1100 fd00::2 02:00:00:00:00:02\n1200 10.9.0.2 02:00:00:00:00:03\n");
        for last in 0..=255 {
            aside.add(IpAddr::from([10, 9, 1, last]), "02:00:00:00:00:02", 1450);
        }
        let (text, all) = (aside.to_text(), aside.addresses(1450));
        assert!(text.len() < 4096 && all.len() == MOST && all.contains(&ip("10.9.1.255")), "{text}");
    }

    #[test]
    fn nobody_has_it() {
        let of = |net: &str, seed| nobodys(net.parse().unwrap(), seed).map(|address| address.to_string());
        assert_eq!(of("10.9.0.7/24", 5).as_deref(), Some("10.9.0.0"));
        assert_eq!(of("10.9.0.7/31", 5), None);
        assert_eq!(of("fd00:9::7/64", 0xa5).as_deref(), Some("fd00:9::a5"));
        assert_eq!(of("fd00:9::7/64", 0).as_deref(), Some("fd00:9::1"));
        assert_eq!(of("fd00:9::7/120", 5), None);
    }
}
