//! What daemon and plugin tell each other of a pool, each in a file that only it writes.
//!
//! Both files are lines of words, and the daemon has computed what the plugin needs: the plugin, one process for each
//! call, has to be small.

use super::memory::Times;
use super::name::PoolName;
use super::pool::{Block, Pool, PoolSpec, Subnet, Warm};
use super::spans::{Span, address, number};
use serde::Serialize;
use std::fmt::Write;
use std::net::IpAddr;

/// A longer file is none: 4,096 blocks are shorter.
pub const MAX_FILE: usize = 1 << 20;

/// From the daemon: the blocks that this node may take addresses from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The pool.
    pub pool: PoolName,
    /// When the API server last confirmed that the blocks are this node's.
    pub confirmed: Confirmed,
    /// For how long that authorises.
    pub authority_seconds: u64,
    /// How many free addresses the node keeps.
    pub warm: Warm,
    /// For how long an address that was given back is remembered.
    pub times: Times,
    /// The ranges of the pool.
    pub subnets: Vec<Subnet>,
    /// The blocks.
    pub offers: Vec<Offer>,
}

/// The moment **before** a question was sent that the API server answered: the stamp of authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmed {
    /// The boot: blocks of another one count for nothing.
    pub boot: String,
    /// Seconds since the boot, which a wrong clock does not change.
    pub since_boot: u64,
    /// Seconds of Unix time, which a paused machine does not stop.
    pub clock: u64,
}

/// A lease of a block.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Granted {
    /// Its first address.
    pub first: IpAddr,
    /// How many addresses it has.
    pub size: u32,
    /// Which lease of it this is: what was given back was given back of this lease only.
    pub lease: String,
}

impl Granted {
    /// The block.
    pub fn block(&self) -> Block {
        Block { first: self.first, size: self.size }
    }
}

/// A block of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The lease.
    pub granted: Granted,
    /// Its addresses that may be taken.
    pub usable: Vec<Span>,
}

impl Offer {
    /// Whether `address` may be taken.
    pub fn has(&self, address: IpAddr) -> bool {
        let is_in = |span: &Span| (span.first..=span.last).contains(&number(address));
        address.is_ipv4() == self.granted.first.is_ipv4() && self.usable.iter().any(is_in)
    }

    /// How many addresses may be taken.
    pub fn count(&self) -> u128 {
        self.usable.iter().map(|span| span.count()).sum()
    }
}

/// From the plugin: what it has given back, and what runs low.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Families (4, 6) with fewer free addresses than the pool wants.
    pub low: Vec<u8>,
    /// Leases out of which no address is taken, and none will be.
    pub released: Vec<Released>,
}

/// A lease that the plugin has given back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Released {
    /// The first address of the block.
    pub first: IpAddr,
    /// The lease.
    pub lease: String,
}

/// The number of a family in a [`Report`].
pub fn family(is_v4: bool) -> u8 {
    if is_v4 { 4 } else { 6 }
}

impl Grant {
    /// What a node may take that holds `held` of `pool` with `spec`. A specification that is none offers nothing.
    pub fn new(name: PoolName, spec: &PoolSpec, confirmed: Confirmed, held: Vec<Granted>) -> Self {
        let pool = Pool::new(spec).ok();
        let usable = |granted: &Granted| {
            if name.is_implied() {
                // The ranges are in the section of each network.
                return vec![granted.block().span()];
            }
            pool.iter().flat_map(|pool| pool.usable_in(&granted.block()).iter().collect::<Vec<_>>()).collect()
        };
        let offers = held.into_iter().map(|granted| Offer { usable: usable(&granted), granted }).collect();
        let subnets = pool.as_ref().map(|pool| pool.subnets.clone()).unwrap_or_default();
        let (authority_seconds, warm) = (spec.authority_seconds, spec.warm.clone());
        let times = Times { cooldown: spec.cooldown_seconds, retain: spec.retain_seconds };
        Grant { pool: name, confirmed, authority_seconds, warm, times, subnets, offers }
    }

    /// As the file has it.
    pub fn to_text(&self) -> String {
        let Confirmed { boot, since_boot, clock } = &self.confirmed;
        let mut text = format!("pool {}\nconfirmed {boot} {since_boot} {clock}\n", self.pool);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "authority {}\nwarm {} {}", self.authority_seconds, self.warm.min, self.warm.max);
        let _ = writeln!(text, "cooldown {}\nretain {}", self.times.cooldown, self.times.retain);
        for subnet in &self.subnets {
            let _ = write!(text, "subnet {}", subnet.net);
            let _ = subnet.gateway.map(|gateway| write!(text, " {gateway}"));
            text.push('\n');
        }
        for Offer { granted, usable } in &self.offers {
            let is_v4 = granted.first.is_ipv4();
            let _ = write!(text, "block {} {} {}", granted.first, granted.size, granted.lease);
            for span in usable {
                let _ = write!(text, " {} {}", address(is_v4, span.first), address(is_v4, span.last));
            }
            text.push('\n');
        }
        text
    }

    /// Reads the file.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pool = text.lines().next().and_then(|line| PoolName::new(line.strip_prefix("pool ")?).ok());
        let pool = pool.ok_or_else(|| "line 1 does not name a pool".to_owned())?;
        let (confirmed, warm) = (Confirmed::default(), Warm { min: 0, max: 0 });
        let (times, subnets, offers) = (Times::default(), Vec::new(), Vec::new());
        let mut grant = Grant { pool, confirmed, authority_seconds: 0, warm, times, subnets, offers };
        for (number, line) in text.lines().enumerate().skip(1) {
            grant.read(line).ok_or_else(|| format!("line {} cannot be read", number + 1))?;
        }
        Ok(grant)
    }

    /// Reads a line. A word that a later release adds is passed over.
    fn read(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        match words.next()? {
            "confirmed" => {
                let boot = words.next()?.to_owned();
                let (since_boot, clock) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                self.confirmed = Confirmed { boot, since_boot, clock };
            }
            "authority" => self.authority_seconds = words.next()?.parse().ok()?,
            "warm" => {
                self.warm = Warm { min: words.next()?.parse().ok()?, max: words.next()?.parse().ok()? };
            }
            "cooldown" => self.times.cooldown = words.next()?.parse().ok()?,
            "retain" => self.times.retain = words.next()?.parse().ok()?,
            "subnet" => {
                let net = words.next()?.parse().ok()?;
                let gateway = words.next().map(str::parse).transpose().ok()?;
                self.subnets.push(Subnet { net, gateway });
            }
            "block" => self.offers.push(read_offer(words)?),
            _ => {}
        }
        Some(())
    }
}

/// A block has at most 256 addresses, and offers its own only.
fn read_offer<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Offer> {
    let first: IpAddr = words.next()?.parse().ok()?;
    let size: u32 = words.next()?.parse().ok()?;
    let granted = Granted { first, size, lease: words.next()?.to_owned() };
    let block = granted.block();
    let mut usable = Vec::new();
    while let Some(first) = words.next() {
        let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, words.next()?.parse().ok()?);
        let span = Span::new(number(first), number(last))?;
        (block.contains(first) && block.contains(last)).then_some(())?;
        usable.push(span);
    }
    (1..=256).contains(&size).then_some(Offer { granted, usable })
}

impl Report {
    /// As the file has it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for family in &self.low {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "low {family}");
        }
        for released in &self.released {
            let _ = writeln!(text, "released {} {}", released.first, released.lease);
        }
        text
    }

    /// Reads the file.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut report = Report::default();
        for (number, line) in text.lines().enumerate() {
            report.read(line).ok_or_else(|| format!("line {} cannot be read", number + 1))?;
        }
        Ok(report)
    }

    fn read(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        match words.next()? {
            "low" => self.low.push(words.next()?.parse().ok()?),
            "released" => {
                let first = words.next()?.parse().ok()?;
                self.released.push(Released { first, lease: words.next()?.to_owned() });
            }
            _ => {}
        }
        Some(())
    }
}
