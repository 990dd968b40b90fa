//! Taking one address of each family of the pool, or of each range of a section of whereabouts, or none.

use super::folder::{self, Addresses};
use super::kept;
use super::lessor::{Lessor, Need, Unleased};
use super::listing::Listing;
use super::settings::{self, Settings};
use super::turn::{Taken, Turn};
use super::want::{Dry, Want};
use super::whereabouts::Part;
use crate::cni::result::IpConfig;
use crate::delegate::Call;
use crate::delegate::failure::Failure;
use crate::delegate::stdin::{Stdin, Target};
use crate::ipam::history::{Owner, What};
use crate::ipam::memory::{Memory, OfOthers};
use crate::ipam::pool::Warm;
use crate::ipam::reservation::{Whose, name_of};
use crate::ipam::stock::Keeping;
use crate::ipam::{Grant, PoolName, Probe, Report, Stock};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How often the daemon is asked in one call beyond once for each address, for a confirmation. Where other pods of this node
/// were first, it is asked again all the same.
const MORE_LEASES: usize = 2;

/// Takes the addresses. Without a block of this node the daemon is asked for one; else nobody is asked.
pub(super) fn all(turn: &mut Turn<'_>) -> Result<Taken, Failure> {
    let Turn { settings, lessor, call, .. } = *turn;
    let deadline = call.scope.plugin_deadline();
    let pool = &settings.pool;
    let mut left = settings.parts.as_ref().map_or(1, Vec::len) + MORE_LEASES;
    let mut taken = None;
    loop {
        let dry = match once(turn)? {
            Ok(taken) => return Ok(taken),
            Err(dry) => dry,
        };
        // Others took what was leased. A block that this pod cannot use leads to no other one, or it would use up the pool.
        let were_others_first = taken.replace(dry.taken).is_some_and(|before| dry.taken > before);
        if !were_others_first {
            match left.checked_sub(1) {
                Some(less) => left = less,
                None => return Err(Failure::TryAgain(format!("pool {pool}: {}", dry.why))),
            }
        }
        // Not under the lock: other pods may give addresses back meanwhile.
        match lessor.lease(pool, &dry.need, deadline) {
            Ok(kept) => turn.answered = kept,
            Err(Unleased::Never(why)) => return Err(Failure::Config(format!("pool {pool}: {why}"))),
            Err(_) if dry.cooling && !turn.takes_cooling => turn.takes_cooling = true,
            // What the daemon adds may be that nobody reaches it, which is not why.
            Err(_) if dry.is_refused => return Err(Failure::TryAgain(format!("pool {pool}: {}", dry.why))),
            Err(e) => {
                return Err(Failure::TryAgain(format!("pool {pool}: {}, and none was leased: {e}", dry.why)));
            }
        }
    }
}

/// Refuses a pod of a namespace that the pool is not for.
pub(super) fn judge_namespace(grant: &Grant, call: &Call<'_>) -> Result<(), Failure> {
    let namespace = call.scope.args.get("K8S_POD_NAMESPACE").unwrap_or_default();
    if grant.admits(namespace) {
        return Ok(());
    }
    let pod = match namespace {
        "" => "a pod whose namespace is not known".to_owned(),
        namespace => format!("pods of namespace {namespace}"),
    };
    let (pool, namespaces) = (&grant.pool, grant.namespaces.join(", "));
    Err(Failure::Config(format!("pool {pool} gives no address to {pod}: it is for {namespaces}")))
}

fn once(turn: &Turn<'_>) -> Result<Result<Taken, Dry>, Failure> {
    let Turn { settings, lessor, call, .. } = *turn;
    let pool = &settings.pool;
    let owner = &turn.owner()?;
    let whose = kept::whose(settings, owner)?;
    let unreadable = |e| Failure::TryAgain(format!("pool {pool}: {e}"));
    lessor.claim_folder()?;
    let addresses = turn.open()?;
    // Both under the lock: what was given back of an older grant is in this report.
    let (grant, report) = (lessor.grant(pool).map_err(unreadable)?, lessor.report(pool).map_err(unreadable)?);
    let Some(grant) = grant else {
        let need = first_need(settings, whose.as_ref(), (None, &Default::default()));
        return Ok(Err(Dry::of(need, "this node has no block of it".to_owned())));
    };
    judge_namespace(&grant, call)?;
    let stock = Stock::new(&grant, &report);
    if let Err(refusal) = stock.authorised(&addresses.now) {
        let taken = addresses.listing()?.taken;
        return Ok(Err(Dry::of(first_need(settings, whose.as_ref(), (Some(&stock), &taken)), refusal.to_string())));
    }
    let (listing, addresses, stock) = (addresses.listing()?, &addresses, &stock);
    let aside = if grant.probe == Probe::Refuse { addresses.aside()? } else { BTreeSet::new() };
    let mut search = Search { turn, whose: whose.as_ref(), addresses, stock, owner, listing, aside };
    let own = if call.scope.is_first { turn.kept.clone() } else { addresses.of(Target::of(call)?)? };
    let mut ips: Vec<IpConfig> = Vec::new();
    let wanted = search.wanted();
    let exact = wanted.iter().flatten().filter_map(|want| want.exact).collect();
    let outcome = wanted.and_then(|wanted| search.all(&wanted, &own, &mut ips));
    let is_taken = matches!(outcome, Ok(Ok(())));
    let new: Vec<IpNet> = ips.iter().map(|ip| ip.address).filter(|address| !own.contains(&address.addr())).collect();
    for address in new.iter().map(IpNet::addr) {
        if is_taken {
            addresses.note(What::Taken, address, owner);
        } else {
            // Best effort: the caller's DEL comes after a failed ADD.
            let _ = addresses.undo(address, owner);
        }
    }
    let outcome = outcome?;
    // What another family waits for is not given back meanwhile.
    if outcome.is_ok() {
        let own_warm = settings::warm(&Stdin::parse(call)?.section("ipam")?);
        let told = Told { lessor, pool: &grant.pool, stock, before: &report };
        told.again(addresses, search.listing, own_warm.as_ref())?;
    }
    Ok(outcome.map(|()| Taken { ips, new, exact, probe: grant.probe }))
}

/// Without a grant: a pool with an object has its ranges from there, another one those of the section.
fn first_need(settings: &Settings, whose: Option<&Whose>, known: (Option<&Stock<'_>>, &crate::ipam::Taken)) -> Need {
    if let Some(whose) = whose.filter(|_| settings.requested.is_empty()) {
        return kept::need(whose, known.0, known.1);
    }
    let parts = settings.parts.iter().flatten();
    let mut wants = parts.map(|part| Want { is_v4: part.is_v4(), part: Some(part), exact: None, is_kept: false });
    wants.next().map(|want| want.need()).unwrap_or_default()
}

/// What the daemon was told of a pool.
pub(super) struct Told<'a> {
    pub(super) lessor: &'a dyn Lessor,
    pub(super) pool: &'a PoolName,
    pub(super) stock: &'a Stock<'a>,
    pub(super) before: &'a Report,
}

impl Told<'_> {
    /// Tells the daemon what this node needs no more and what runs low, if that has changed; `listing` is what it is by
    /// now, and is kept for the next call.
    pub(super) fn again(
        &self,
        addresses: &Addresses,
        mut listing: Listing,
        warm: Option<&Warm>,
    ) -> Result<(), Failure> {
        let Told { lessor, pool, stock, before } = *self;
        let warm = warm.unwrap_or(stock.warm());
        let report = |listing: &Listing| {
            let keeping = Keeping { warm, former: &listing.former, now: &addresses.now };
            stock.report_keeping(&listing.taken, &keeping)
        };
        if report(&listing) != *before {
            // A block with an address in use must not go back: no copy is believed for that.
            listing = addresses.list()?;
            let now = report(&listing);
            if now != *before {
                // Without it the daemon leases nothing ahead and returns nothing, and no pod is concerned.
                let _ = lessor.tell(pool, &now);
            }
        }
        addresses.forget(&mut listing, stock.times(), |address| !stock.has(address));
        addresses.keep(&listing);
        Ok(())
    }
}

struct Search<'a> {
    turn: &'a Turn<'a>,
    /// For whom addresses are kept, where the section asks for that.
    whose: Option<&'a Whose>,
    addresses: &'a Addresses,
    stock: &'a Stock<'a>,
    owner: &'a Owner,
    /// What is taken and what was, with what this search has taken.
    listing: Listing,
    /// What another device answered for: only who asks for it tries it.
    aside: BTreeSet<IpAddr>,
}

impl<'a> Search<'a> {
    /// What the call needs: one address of each family of the pool, or of each range of the section.
    fn wanted(&self) -> Result<Vec<Want<'a>>, Failure> {
        let settings = self.turn.settings;
        let requested = &settings.requested;
        let Some(parts) = &settings.parts else {
            self.judge_requested()?;
            let kept = |is_v4| kept::address_of(&self.turn.answered, self.stock, self.owner, is_v4);
            let want = |is_v4: bool| {
                let asked = requested.iter().copied().find(|ip| ip.is_ipv4() == is_v4);
                let is_kept = asked.is_none() && self.whose.is_some();
                let exact = if is_kept { kept(is_v4) } else { asked };
                Want { is_v4, part: None, exact, is_kept }
            };
            return Ok(self.stock.families().into_iter().map(want).collect());
        };
        let mut wanted: Vec<Want<'a>> = Vec::new();
        for part in parts {
            let want = |exact| Want { is_v4: part.is_v4(), part: Some(part), exact, is_kept: false };
            let is_new = |ip: &IpAddr| part.net.contains(ip) && !wanted.iter().any(|want| want.exact == Some(*ip));
            let of_part: Vec<IpAddr> = requested.iter().copied().filter(is_new).collect();
            if of_part.is_empty() {
                wanted.push(want(None));
            }
            wanted.extend(of_part.into_iter().map(|ip| want(Some(ip))));
        }
        Ok(wanted)
    }

    fn judge_requested(&self) -> Result<(), Failure> {
        let families = self.stock.families();
        let pool = &self.turn.settings.pool;
        let of_family = |is_v4: bool| self.turn.settings.requested.iter().filter(move |ip| ip.is_ipv4() == is_v4);
        for (is_v4, name) in [(true, "IPv4"), (false, "IPv6")] {
            let asked = of_family(is_v4).count();
            if asked > usize::from(families.contains(&is_v4)) {
                let asked: Vec<String> = of_family(is_v4).map(ToString::to_string).collect();
                let asked = asked.join(", ");
                return Err(Failure::Config(format!("pool {pool} does not give {name} addresses {asked} together")));
            }
        }
        Ok(())
    }

    fn all(
        &mut self,
        wanted: &[Want<'_>],
        own: &[IpAddr],
        taken: &mut Vec<IpConfig>,
    ) -> Result<Result<(), Dry>, Failure> {
        for want in wanted {
            let is_used = |address: &IpAddr| taken.iter().any(|ip| ip.address.addr() == *address);
            let own = own.iter().copied().find(|own| want.is_met_by(*own) && !is_used(own));
            let address = match (own, want.exact) {
                (Some(own), _) => own,
                (None, kept) if want.is_kept => match self.kept(want, kept)? {
                    Ok(address) => address,
                    Err(dry) => return Ok(Err(dry)),
                },
                (None, Some(exact)) => {
                    self.judge_range(want, exact)?;
                    if !self.is_offered(want, exact) {
                        return Ok(Err(self.not_offered(want, exact)));
                    }
                    self.requested(want, exact)?
                }
                (None, None) => match self.next(want)? {
                    Ok(address) => address,
                    Err(dry) => return Ok(Err(dry)),
                },
            };
            self.listing.taken.insert(address);
            taken.push(self.configured(address, want.part)?);
        }
        Ok(Ok(()))
    }

    fn judge_range(&self, want: &Want<'_>, address: IpAddr) -> Result<(), Failure> {
        if want.part.is_none() && self.stock.subnet_of(address).is_none() {
            let pool = &self.turn.settings.pool;
            return Err(Failure::Config(format!("requested IP {address} is in no range of pool {pool}")));
        }
        Ok(())
    }

    /// Why the node does not give `address`. The daemon is asked all the same: it may know newer ranges.
    fn not_offered(&self, want: &Want<'_>, address: IpAddr) -> Dry {
        let of_pool = want.part.is_none();
        let never = self.stock.never_given(address).filter(|_| of_pool);
        let why = match never {
            Some(never) => format!("requested IP {address} is {never}, and no pod gets it"),
            None if of_pool && self.stock.has(address) => {
                format!("requested IP {address} is excluded, or no new address is taken from its range")
            }
            None => format!("requested IP {address} is in no block of this node"),
        };
        Dry { is_refused: never.is_some(), ..Dry::of(want.need(), why) }
    }

    /// Of a pool with an object, what is reserved may be asked for.
    fn is_offered(&self, want: &Want<'_>, address: IpAddr) -> bool {
        if want.part.is_some() { self.stock.offers(address) } else { self.stock.offers_on_request(address) }
    }

    fn requested(&self, want: &Want<'_>, address: IpAddr) -> Result<IpAddr, Failure> {
        match self.addresses.take(address, self.owner, &mut self.addresses.cursor(want.is_v4)?)? {
            true => Ok(address),
            false => Err(Failure::Failed(format!("requested IP {address} is taken"))),
        }
    }

    /// Takes the address that is kept for the pod.
    fn kept(&mut self, want: &Want<'_>, kept: Option<IpAddr>) -> Result<Result<IpAddr, Dry>, Failure> {
        let is_offered = |address: &IpAddr| self.stock.offers_on_request(*address) && self.is_in_pool(*address);
        let Some(address) = kept.filter(is_offered) else {
            let need = self.whose.map(|whose| kept::need(whose, Some(self.stock), &self.listing.taken));
            let why = format!("no {} address that is kept for the pod is in a block of this node", name_of(want.is_v4));
            return Ok(Err(Dry::of(need.unwrap_or_default(), why)));
        };
        kept::take(self.addresses, address, self.owner, &self.turn.settings.pool).map(Ok)
    }

    fn next(&mut self, want: &Want<'_>) -> Result<Result<IpAddr, Dry>, Failure> {
        if let Some(address) = self.take_first(want)? {
            return Ok(Ok(address));
        }
        // The last resort: what a killed writer has left.
        self.addresses.release_unwritten()?;
        self.listing = self.addresses.list()?;
        if let Some(address) = self.take_first(want)? {
            return Ok(Ok(address));
        }
        let name = name_of(want.is_v4);
        let of = want.part.map(|part| format!(" of {}", part.net)).unwrap_or_default();
        let aside = match self.aside.iter().filter(|address| self.stock.offers(**address)).count() {
            0 => String::new(),
            count => format!(" (another device has {count} of them)"),
        };
        let why = format!("no {name} address{of} is free in the blocks of this node{aside}");
        let of_others = self.memory().of_others(folder::number_of(self.owner));
        let cooling = of_others.cooling.iter().any(|address| self.is_free(want, *address));
        let taken = self.listing.taken.iter().len();
        Ok(Err(Dry { cooling, taken, ..Dry::of(want.need(), why) }))
    }

    /// Takes the first address that is free: one that the same pod had, one that nobody had lately, one that others had.
    fn take_first(&self, want: &Want<'_>) -> Result<Option<IpAddr>, Failure> {
        let (memory, of) = (self.memory(), folder::number_of(self.owner));
        let is_free = |address: &IpAddr| self.is_free(want, *address);
        let mut cursor = self.addresses.cursor(want.is_v4)?;
        let in_turn = self.stock.candidates(want.is_v4, cursor.last, &self.listing.taken);
        let is_fresh = |address: &IpAddr| self.is_wanted(want, *address) && !memory.knows(*address);
        for address in memory.own(of).into_iter().filter(is_free).chain(in_turn.filter(is_fresh)) {
            if self.addresses.take(address, self.owner, &mut cursor)? {
                return Ok(Some(address));
            }
        }
        let OfOthers { kept, cooling } = memory.of_others(of);
        let cooling = if self.turn.takes_cooling { cooling } else { Vec::new() };
        for address in kept.into_iter().chain(cooling).filter(is_free) {
            if self.addresses.take(address, self.owner, &mut cursor)? {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }

    fn memory(&self) -> Memory<'_> {
        Memory::new(&self.listing.former, self.addresses.now.clock, self.stock.times())
    }

    /// Whether `address` is one that is wanted, offered and not taken.
    fn is_free(&self, want: &Want<'_>, address: IpAddr) -> bool {
        address.is_ipv4() == want.is_v4
            && self.is_wanted(want, address)
            && self.stock.offers(address)
            && !self.listing.taken.contains(address)
    }

    fn is_wanted(&self, want: &Want<'_>, address: IpAddr) -> bool {
        want.part.map_or_else(|| self.is_in_pool(address), |part| part.has(address)) && !self.aside.contains(&address)
    }

    /// Whether a range of the pool has `address` for pods. The daemon grants no other, unless its file is damaged.
    fn is_in_pool(&self, address: IpAddr) -> bool {
        self.stock.subnet_of(address).is_some() && self.stock.never_given(address).is_none()
    }

    /// As it is configured on the interface, by the range that it is in.
    fn configured(&self, address: IpAddr, part: Option<&Part>) -> Result<IpConfig, Failure> {
        let (length, gateway) = match (part, self.stock.subnet_of(address)) {
            (Some(part), _) => (part.net.prefix_len(), part.gateway),
            (None, Some(subnet)) => (subnet.net.prefix_len(), subnet.gateway),
            (None, None) => {
                return Err(Failure::Failed(format!("address {address} is in no range of its pool any more")));
            }
        };
        let address = IpNet::new(address, length).map_err(|e| Failure::Failed(e.to_string()))?;
        Ok(IpConfig { address, gateway, interface: None })
    }
}
