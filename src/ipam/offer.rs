//! A block in a grant: its addresses, and what a node is to know of them.

use super::pool::Block;
use super::spans::{Span, address, number};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

/// A block that is leased for one pod is not given back for so long, in seconds: the pod takes its address in a moment.
pub const FRESH_FOR: u64 = 30;

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

/// What the daemon knows of blocks besides their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Addresses that are kept for a pod, by the number of [`super::memory::identity`].
    pub kept: BTreeMap<IpAddr, u64>,
    /// Blocks that were leased for a pod that takes an address of them in a moment: until when, in seconds since the boot.
    pub fresh: BTreeMap<IpAddr, u64>,
    /// Blocks that another node asks for, by the word with which it does.
    pub called: BTreeMap<IpAddr, String>,
}

/// A block of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The lease.
    pub granted: Granted,
    /// Its addresses that may be taken.
    pub usable: Vec<Span>,
    /// Its addresses that only a pod may take that asks for them, or for which they are kept.
    pub reserved: Vec<Span>,
    /// Those of them that are kept, and the number of the pod.
    pub kept: Vec<(IpAddr, u64)>,
    /// Until then a pod is about to take one, in seconds since the boot. 0 where nobody is.
    pub fresh_until: u64,
    /// The word of another node that asks for this block; empty where none does.
    pub called: String,
}

impl Offer {
    /// One of which nothing more is known.
    pub fn new(granted: Granted, usable: Vec<Span>, reserved: Vec<Span>) -> Self {
        Offer { granted, usable, reserved, kept: Vec::new(), fresh_until: 0, called: String::new() }
    }

    /// With what `notes` have of it.
    pub(super) fn note(&mut self, notes: &Notes) {
        let own = notes.kept.iter().filter(|(address, _)| self.is_reserved(**address));
        self.kept = own.map(|(address, of)| (*address, *of)).collect();
        self.fresh_until = notes.fresh.get(&self.granted.first).copied().unwrap_or_default();
        self.called = notes.called.get(&self.granted.first).cloned().unwrap_or_default();
    }

    /// Whether `address` may be taken.
    pub fn has(&self, address: IpAddr) -> bool {
        self.is_in(&self.usable, address)
    }

    /// Whether `address` may be taken by a pod that asks for it.
    pub fn has_on_request(&self, address: IpAddr) -> bool {
        self.has(address) || self.is_reserved(address)
    }

    fn is_reserved(&self, address: IpAddr) -> bool {
        self.is_in(&self.reserved, address)
    }

    fn is_in(&self, spans: &[Span], address: IpAddr) -> bool {
        let is_in = |span: &Span| (span.first..=span.last).contains(&number(address));
        address.is_ipv4() == self.granted.first.is_ipv4() && spans.iter().any(is_in)
    }

    /// Whether pods take addresses of it only on request.
    pub fn is_only_reserved(&self) -> bool {
        self.usable.is_empty() && !self.reserved.is_empty()
    }

    /// How many addresses may be taken.
    pub fn count(&self) -> u128 {
        self.usable.iter().map(|span| span.count()).sum()
    }

    /// As the file has it.
    pub(super) fn write(&self, text: &mut String) {
        let Offer { granted, usable, reserved, kept, fresh_until, called } = self;
        let is_v4 = granted.first.is_ipv4();
        // Writing to a string cannot fail.
        let _ = write!(text, "block {} {} {}", granted.first, granted.size, granted.lease);
        write_spans(text, is_v4, usable);
        if !reserved.is_empty() {
            let _ = write!(text, "\nreserved");
            write_spans(text, is_v4, reserved);
        }
        text.push('\n');
        for (address, of) in kept {
            let _ = writeln!(text, "kept {address} {of:x}");
        }
        if *fresh_until > 0 {
            let _ = writeln!(text, "fresh {fresh_until}");
        }
        if !called.is_empty() {
            let _ = writeln!(text, "called {called}");
        }
    }

    /// Reads a line of it after the first one, which is not read here. A word that is not known is passed over.
    pub(super) fn read<'a>(&mut self, word: &str, mut words: impl Iterator<Item = &'a str>) -> Option<()> {
        match word {
            "reserved" => self.reserved = read_spans(self.granted.block(), words)?,
            "kept" => {
                let address = words.next()?.parse().ok().filter(|address| self.granted.block().contains(*address))?;
                self.kept.push((address, u64::from_str_radix(words.next()?, 16).ok()?));
            }
            "fresh" => self.fresh_until = words.next()?.parse().ok()?,
            "called" => words.next()?.clone_into(&mut self.called),
            _ => {}
        }
        Some(())
    }

    /// Reads the words of its first line. A block has at most 256 addresses, and offers its own only.
    pub(super) fn begin<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let first: IpAddr = words.next()?.parse().ok()?;
        let size: u32 = words.next()?.parse().ok()?;
        let granted = Granted { first, size, lease: words.next()?.to_owned() };
        let usable = read_spans(granted.block(), words)?;
        (1..=256).contains(&size).then(|| Offer::new(granted, usable, Vec::new()))
    }
}

fn read_spans<'a>(block: Block, mut words: impl Iterator<Item = &'a str>) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    while let Some(first) = words.next() {
        let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, words.next()?.parse().ok()?);
        (block.contains(first) && block.contains(last)).then_some(())?;
        spans.push(Span::new(number(first), number(last))?);
    }
    Some(spans)
}

fn write_spans(text: &mut String, is_v4: bool, spans: &[Span]) {
    for span in spans {
        // Writing to a string cannot fail.
        let _ = write!(text, " {} {}", address(is_v4, span.first), address(is_v4, span.last));
    }
}
