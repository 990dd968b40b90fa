//! What the daemon tells the plugin of a pool; [`super::report`] is the answer. Each is in a file that only it writes.
//!
//! Both files are lines of words, and the daemon has computed what the plugin needs: the plugin, one process for each
//! call, has to be small.

use super::memory::Times;
use super::name::PoolName;
use super::pool::{Block, Pool, PoolSpec, Subnet, Warm};
use super::probe::Probe;
use std::fmt::Write;

pub use super::offer::{FRESH_FOR, Granted, Notes, Offer};

/// A longer file is none: 4,096 blocks are shorter.
pub const MAX_FILE: usize = 1 << 20;
/// Blocks of reserved addresses are looked at so often, in seconds, for what is not needed any more.
const LOOK_EVERY: u64 = 300;

/// From the daemon: the blocks that this node may take addresses from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The pool.
    pub pool: PoolName,
    /// When the API server last confirmed that the blocks are this node's.
    pub confirmed: Confirmed,
    /// The boot ID that containers of this node see, where it is not the node's. Empty where it is.
    pub boot_in_containers: String,
    /// For how long that authorises.
    pub authority_seconds: u64,
    /// How many free addresses the node keeps.
    pub warm: Warm,
    /// For how long an address that was given back is remembered.
    pub times: Times,
    /// The ranges of the pool.
    pub subnets: Vec<Subnet>,
    /// Only pods of these namespaces get addresses; without any all do.
    pub namespaces: Vec<String>,
    /// Whether the network is asked for an address before a pod gets it.
    pub probe: Probe,
    /// Somebody waits for an address of the pool: a word that is another one each time that he asks. The node keeps nothing
    /// beyond its need. Empty where nobody does.
    pub scarce: String,
    /// The blocks.
    pub offers: Vec<Offer>,
    /// Blocks that were this node's, and that it looks for: pods may have their addresses. Nothing is taken from them. A daemon
    /// that starts again knows them from here.
    pub former: Vec<Block>,
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

/// The number of a family in both files.
pub fn family(is_v4: bool) -> u8 {
    if is_v4 { 4 } else { 6 }
}

impl Grant {
    /// What a node may take that holds `held` of `pool` with `spec`. A specification that is none offers nothing.
    pub fn new(name: PoolName, spec: &PoolSpec, confirmed: Confirmed, held: Vec<Granted>) -> Self {
        let pool = Pool::new(spec).ok();
        let offer = |granted: Granted| {
            let block = granted.block();
            let (usable, reserved) = match &pool {
                // The ranges are in the section of each network.
                _ if name.is_implied() => (vec![block.span()], Vec::new()),
                Some(pool) => (pool.usable_in(&block).iter().collect(), pool.reserved_in(&block).iter().collect()),
                None => (Vec::new(), Vec::new()),
            };
            Offer::new(granted, usable, reserved)
        };
        let offers = held.into_iter().map(offer).collect();
        let subnets = pool.as_ref().map(|pool| pool.subnets.clone()).unwrap_or_default();
        let (authority_seconds, warm) = (spec.authority_seconds, spec.warm.clone());
        let times = Times { cooldown: spec.cooldown_seconds, retain: spec.retain_seconds };
        // Of a specification that is none nothing is written that it says.
        let namespaces = pool.map(|_| spec.namespaces.clone()).unwrap_or_default();
        let (scarce, boot_in_containers) = (String::new(), String::new());
        Grant {
            pool: name,
            confirmed,
            boot_in_containers,
            authority_seconds,
            warm,
            times,
            subnets,
            namespaces,
            probe: spec.probe,
            scarce,
            offers,
            former: Vec::new(),
        }
    }

    /// As it is while the node looks for the blocks `former`.
    #[must_use]
    pub fn looking_for(self, former: Vec<Block>) -> Self {
        Grant { former, ..self }
    }

    /// What a daemon that starts in `boot` takes over: nothing of another boot. What was withdrawn is looked for.
    #[must_use]
    pub fn taken_over(self, boot: &str) -> Option<Self> {
        match self.confirmed.boot.as_str() {
            "" => Some(self.dropped()),
            of => (of == boot).then_some(self),
        }
    }

    /// As it is when all blocks of this node are freed: nothing is taken from them any more.
    #[must_use]
    pub fn dropped(mut self) -> Self {
        self.former.extend(self.offers.drain(..).map(|offer| offer.granted.block()));
        self
    }

    /// As it is while somebody waits for an address of the pool, who asked with `word`.
    #[must_use]
    pub fn while_scarce(self, word: &str) -> Self {
        Grant { scarce: word.to_owned(), warm: Warm { min: 0, max: 0 }, ..self }
    }

    /// With what `notes` have of its blocks.
    #[must_use]
    pub fn noted(mut self, notes: &Notes) -> Self {
        self.offers.iter_mut().for_each(|offer| offer.note(notes));
        self
    }

    /// Why the node is to give back what it does not need, also where no pod comes or goes: somebody waits for an address or
    /// for a block, or blocks have none that may be taken. Blocks of reserved addresses are looked at now and then: they are
    /// held for a time. It changes when there is more to give back; empty where there is nothing.
    pub fn calls_back(&self) -> String {
        let period = self.confirmed.since_boot / LOOK_EVERY;
        let word = |offer: &Offer| {
            let (is_fresh, lease) = (offer.fresh_until > 0, &offer.granted.lease);
            match offer.called.as_str() {
                "" if is_fresh => String::new(),
                "" if offer.is_only_reserved() => format!("{lease}@{period}"),
                "" if offer.usable.is_empty() => lease.clone(),
                "" => String::new(),
                // Once more when nobody is about to take an address of it any more.
                called => format!("{lease}!{called}{}", if is_fresh { "!" } else { "" }),
            }
        };
        let words = self.offers.iter().map(word);
        [self.scarce.clone()].into_iter().chain(words).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// As it is for somebody who sees the boot ID `boot`: containers may see another one than the node.
    #[must_use]
    pub fn seen_with(mut self, boot: &str) -> Self {
        if !boot.is_empty() && self.boot_in_containers == boot {
            boot.clone_into(&mut self.confirmed.boot);
        }
        self
    }

    /// Whether a pod of `namespace` gets addresses.
    pub fn admits(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|name| name == namespace)
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
        if !self.boot_in_containers.is_empty() {
            let _ = writeln!(text, "containers {}", self.boot_in_containers);
        }
        if !self.namespaces.is_empty() {
            let _ = writeln!(text, "namespaces {}", self.namespaces.join(" "));
        }
        if !self.probe.is_off() {
            let _ = writeln!(text, "probe {}", self.probe.word());
        }
        if !self.scarce.is_empty() {
            let _ = writeln!(text, "scarce {}", self.scarce);
        }
        self.offers.iter().for_each(|offer| offer.write(&mut text));
        for block in &self.former {
            let _ = writeln!(text, "former {} {}", block.first, block.size);
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
        let (namespaces, scarce, boot_in_containers) = (Vec::new(), String::new(), String::new());
        let mut grant = Grant {
            pool,
            confirmed,
            boot_in_containers,
            authority_seconds: 0,
            warm,
            times,
            subnets,
            namespaces,
            probe: Probe::Off,
            scarce,
            offers,
            former: Vec::new(),
        };
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
            "containers" => words.next()?.clone_into(&mut self.boot_in_containers),
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
            "namespaces" => self.namespaces = words.map(str::to_owned).collect(),
            "probe" => self.probe = Probe::of_word(words.next()?),
            "scarce" => words.next()?.clone_into(&mut self.scarce),
            "block" => self.offers.push(Offer::begin(words)?),
            "former" => {
                let (first, size) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
                self.former.push(Block { first, size });
            }
            // It is of the block before.
            word @ ("reserved" | "kept" | "fresh" | "called") => self.offers.last_mut()?.read(word, words)?,
            _ => {}
        }
        Some(())
    }
}
