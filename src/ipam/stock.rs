//! What the plugin may do with a grant. It holds the lock of the pool when it asks.

use super::grant::{Confirmed, Grant, Offer, family};
use super::memory::{Former, Times};
use super::never::Never;
use super::offer::FRESH_FOR;
use super::pool::{Subnet, Warm};
use super::report::{Low, Released, Report};
use super::spans::{Span, Spans, address, number};
use super::taken::Taken;
use std::net::IpAddr;

/// The blocks of a grant that were not given back.
#[derive(Clone, Debug)]
pub struct Stock<'a> {
    grant: &'a Grant,
    open: Vec<&'a Offer>,
    released: Vec<Released>,
}

/// What a node keeps beyond what is taken.
#[derive(Clone, Copy, Debug)]
pub struct Keeping<'k> {
    /// So many free addresses.
    pub warm: &'k Warm,
    /// What was given back, see [`Former`].
    pub former: &'k [Former],
    /// The boot and both clocks.
    pub now: &'k Confirmed,
}

/// A block of reserved addresses stays on the node for so long, in seconds, after the pod ended for which one is kept: it
/// comes back to the same node most of the time. Another node that asks for it gets it at once.
const HELD_FOR: u64 = 300;

/// Why no address may be taken now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The grant is of an earlier boot.
    #[error("the daemon has not confirmed the blocks of this node since the machine started")]
    OtherBoot,
    /// The confirmation is too old.
    #[error("the daemon last confirmed the blocks of this node {age} s ago, and the pool allows {limit} s")]
    Old {
        /// By the clock that shows more.
        age: u64,
        /// What the pool allows.
        limit: u64,
    },
}

impl<'a> Stock<'a> {
    /// What `grant` offers, but for what `report` has given back.
    pub fn new(grant: &'a Grant, report: &Report) -> Self {
        let known = |lease: &&Released| grant.offers.iter().any(|offer| is_lease(offer, lease));
        let released: Vec<Released> = report.released.iter().filter(known).cloned().collect();
        let open = grant.offers.iter().filter(|offer| !released.iter().any(|lease| is_lease(offer, lease))).collect();
        Stock { grant, open, released }
    }

    /// Whether a new address may be taken at `now`, by both clocks: a paused machine's time since boot stands still, and
    /// a clock may be set back.
    ///
    /// # Errors
    /// It may not.
    pub fn authorised(&self, now: &Confirmed) -> Result<(), Refusal> {
        let Confirmed { boot, since_boot, clock } = &self.grant.confirmed;
        if *boot != now.boot || boot.is_empty() {
            return Err(Refusal::OtherBoot);
        }
        let limit = self.grant.authority_seconds;
        let age = now.since_boot.saturating_sub(*since_boot).max(now.clock.saturating_sub(*clock));
        if age > limit { Err(Refusal::Old { age, limit }) } else { Ok(()) }
    }

    /// The blocks.
    pub fn open(&self) -> impl Iterator<Item = &'a Offer> + '_ {
        self.open.iter().copied()
    }

    /// The families of the pool, IPv4 first.
    pub fn families(&self) -> Vec<bool> {
        let has = |is_v4: bool| self.subnets().iter().any(|subnet| subnet.net.addr().is_ipv4() == is_v4);
        [true, false].into_iter().filter(|is_v4| has(*is_v4)).collect()
    }

    /// For how long an address that was given back is remembered.
    pub fn times(&self) -> Times {
        self.grant.times
    }

    /// How many free addresses the node keeps.
    pub fn warm(&self) -> &'a Warm {
        &self.grant.warm
    }

    /// The ranges of the pool.
    pub fn subnets(&self) -> &'a [Subnet] {
        &self.grant.subnets
    }

    /// The longest range that `address` is in.
    pub fn subnet_of(&self, address: IpAddr) -> Option<&'a Subnet> {
        let containing = self.subnets().iter().filter(|subnet| subnet.net.contains(&address));
        containing.max_by_key(|subnet| subnet.net.prefix_len())
    }

    /// Why no pod gets `address`, as far as the ranges of the pool show it.
    pub fn never_given(&self, address: IpAddr) -> Option<Never> {
        Never::by_subnets(self.subnets(), address)
    }

    /// Whether `address` is in a block that this node has.
    pub fn has(&self, address: IpAddr) -> bool {
        self.open.iter().any(|offer| offer.granted.block().contains(address))
    }

    /// Whether `address` may be taken, if it is free.
    pub fn offers(&self, address: IpAddr) -> bool {
        self.open.iter().any(|offer| offer.has(address))
    }

    /// Whether `address` may be taken by a pod that asks for it, if it is free.
    pub fn offers_on_request(&self, address: IpAddr) -> bool {
        self.open.iter().any(|offer| offer.has_on_request(address))
    }

    /// The free addresses of a family, from the one after `last` on, once around. Each is looked at when it is its turn.
    pub fn candidates<'t>(
        &self,
        is_v4: bool,
        last: Option<IpAddr>,
        taken: &'t Taken,
    ) -> impl Iterator<Item = IpAddr> + use<'t> {
        let of_family = self.open.iter().filter(|offer| offer.granted.first.is_ipv4() == is_v4);
        let usable: Spans = of_family.flat_map(|offer| &offer.usable).copied().collect();
        let begin = last.map_or(0, |last| number(last).saturating_add(1));
        let before = begin.checked_sub(1).and_then(|end| Span::new(0, end));
        let parts = Span::new(begin, u128::MAX).into_iter().chain(before);
        let spans: Vec<Span> = parts.flat_map(|part| usable.within(part).iter().collect::<Vec<_>>()).collect();
        let addresses = spans.into_iter().flat_map(|span| span.first..=span.last);
        addresses.map(move |number| address(is_v4, number)).filter(|address| !taken.contains(*address))
    }

    /// The address of a family that is kept for the pod with the number `of`, in a block of this node.
    pub fn kept_for(&self, of: u64, is_v4: bool) -> Option<IpAddr> {
        let mut kept = self.open.iter().flat_map(|offer| &offer.kept);
        kept.find(|(address, owner)| *owner == of && address.is_ipv4() == is_v4).map(|(address, _)| *address)
    }

    /// What the daemon is to know when `taken` are taken: what was given back before, blocks that are not needed any
    /// more, and which families run low. A block goes back while the others keep enough.
    pub fn report(&self, taken: &Taken) -> Report {
        let now = Confirmed::default();
        self.report_keeping(taken, &Keeping { warm: &self.grant.warm, former: &[], now: &now })
    }

    /// Whether a block in which nothing is taken stays here: a pod is about to take an address of it, or the one for which
    /// an address of it is kept ended a moment ago.
    fn is_held(&self, offer: &Offer, keeping: &Keeping<'_>) -> bool {
        let Keeping { former, now, .. } = keeping;
        let block = offer.granted.block();
        let ended = |limit: u64| {
            former.iter().filter(move |one| now.clock.saturating_sub(one.at) < limit).map(|one| one.address)
        };
        if offer.fresh_until > now.since_boot && !ended(FRESH_FOR).any(|address| block.contains(address)) {
            return true;
        }
        let is_kept = |address: IpAddr| offer.kept.iter().any(|(kept, _)| *kept == address);
        let limit = HELD_FOR.min(self.grant.times.retain);
        offer.called.is_empty() && offer.is_only_reserved() && ended(limit).any(is_kept)
    }

    /// As [`Stock::report`], for a node that keeps what `keeping` has; nothing free while the pool is scarce.
    pub fn report_keeping(&self, taken: &Taken, keeping: &Keeping<'_>) -> Report {
        let warm = if self.grant.scarce.is_empty() { keeping.warm } else { &self.grant.warm };
        let mut report = Report { low: Vec::new(), released: self.released.clone() };
        let has_blocks = |is_v4: bool| self.open.iter().any(|offer| offer.granted.first.is_ipv4() == is_v4);
        let families = self.families();
        for is_v4 in [true, false].into_iter().filter(|is_v4| families.contains(is_v4) || has_blocks(*is_v4)) {
            let open = || self.open.iter().filter(move |offer| offer.granted.first.is_ipv4() == is_v4);
            let used = open().flat_map(|offer| &offer.usable).map(|span| taken.count_in(is_v4, *span)).sum::<usize>();
            let mut blocks = open().count();
            let mut free = open().map(|offer| offer.count()).sum::<u128>().saturating_sub(used as u128);
            for offer in open() {
                let (block, has) = (offer.granted.block(), offer.count());
                let enough = free.saturating_sub(has) >= u128::from(warm.max.max(warm.min));
                let is_needless = has == 0 || enough || !offer.called.is_empty();
                if is_needless && taken.count_in(is_v4, block.span()) == 0 && !self.is_held(offer, keeping) {
                    report.released.push(Released { first: block.first, lease: offer.granted.lease.clone() });
                    free = free.saturating_sub(has);
                    blocks -= 1;
                }
            }
            let missing = u128::from(warm.min).saturating_sub(free);
            if missing > 0 {
                let size = open().map(|offer| u128::from(offer.granted.size)).max().unwrap_or(missing);
                let more = usize::try_from(missing.div_ceil(size.max(1))).unwrap_or(1);
                report.low.push(Low { family: family(is_v4), blocks: Some(blocks + more) });
            }
        }
        report
    }
}

/// Whether `lease` is that of `offer`.
fn is_lease(offer: &Offer, lease: &Released) -> bool {
    offer.granted.first == lease.first && offer.granted.lease == lease.lease
}
