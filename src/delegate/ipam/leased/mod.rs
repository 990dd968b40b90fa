//! `plexus-ipam`: addresses that are unique in the cluster, taken on this node out of blocks that the daemon has leased.
//! Sections of `whereabouts` are understood as pools that they imply.
//!
//! ```text
//! <state directory>/pools/<pool>/
//!   lock                 locked with flock(2), always empty
//!   10.1.2.5             one file a taken address: container ID, CR LF, interface, CR LF, network, CR LF, pod, CR LF, UID
//!   last_reserved_ip.4   where the next search of a family begins
//!   freed-…-10.1.2.6     what is remembered of an address that was given back, see `ipam::memory`
//!   listing              a copy of the names, see `listing`
//!   aside                addresses that other devices answered for, see `ipam::probe`
//!   history              who had an address when, see `ipam::history`; the older ones are history.1 to history.3
//! <run directory>/taken/<pool>/
//!   lock                 locked after the other one
//!   10.1.2.5             a copy of the file of that name, see `copies`
//! ```

mod copies;
mod folder;
mod kept;
mod lessor;
mod listing;
mod probing;
mod settings;
mod take;
mod turn;
mod want;
pub mod whereabouts;

pub use copies::remove_copy;
pub use folder::{HISTORY, note_lost};
pub use lessor::{Folders, Lessor, Need, Unclaimed, Unleased};

use super::{Foreseen, Ipam, static_};
use crate::cni::request::ValidAttachment;
use crate::cni::{AddResult, NetworkConfig, PluginConfig, RawObject, folds_to, json};
use crate::delegate::failure::Failure;
use crate::delegate::keys::{Declined, Key, key, understand_list};
use crate::delegate::on_link::OnForeignLink;
use crate::delegate::prepare::Once;
use crate::delegate::stdin::{Stdin, Target};
use crate::delegate::wire::{NoWire, Wire};
use crate::delegate::{Call, Error};
use crate::ipam::{Grant, PoolName, Report, Stock};
use folder::Addresses;
use listing::Listing;
use settings::Settings;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Its `type`, and the name of its program.
pub const TYPE: &str = "plexus-ipam";

/// The keys of its section.
pub const KEYS: &[Key] = &[key("type"), key("pool"), key("sticky"), key("routes"), key("dns")];

/// The plugin.
#[derive(Debug)]
pub struct Leased {
    /// The `type` of its section.
    kind: &'static str,
    lessor: Option<Arc<dyn Lessor>>,
    settings: Once<Settings>,
}

/// Whether the lists of the section hold only what is known.
///
/// # Errors
/// The first key that is not.
pub fn understand_parts(ipam: &RawObject) -> Result<(), Declined> {
    understand_list(ipam, "routes", static_::ROUTE_KEYS)
}

/// The pools that plugins of `network` take addresses from. Of a key that is there several times each one counts.
pub fn pools(network: &NetworkConfig) -> Vec<PoolName> {
    let values = |object: &RawObject, key: &'static str| -> Vec<String> {
        object.iter().filter(|(name, _)| folds_to(name, key)).map(|(_, value)| value.get().to_owned()).collect()
    };
    let texts = |section: &RawObject, key| -> Vec<String> {
        values(section, key).iter().filter_map(|value| json::parse(value).ok()).collect()
    };
    let sections = network.plugins.iter().flat_map(|plugin| values(&plugin.object, "ipam"));
    let sections = sections.filter_map(|section| RawObject::parse(&section).ok());
    let pools = |section: RawObject| {
        let kinds = texts(&section, "type");
        let is = |kind: &str| kinds.iter().any(|other| other == kind);
        let named = texts(&section, "pool").into_iter().filter_map(|name| PoolName::new(name).ok());
        let mut pools: Vec<PoolName> = named.filter(|_| is(TYPE)).collect();
        if is(whereabouts::TYPE) {
            let names = texts(&section, "network_name");
            pools.extend(names.iter().map(|name| PoolName::implied(name)));
            pools.extend(names.is_empty().then(|| PoolName::implied("")));
        }
        pools
    };
    sections.flat_map(pools).collect()
}

/// The pool of which `plugin` takes the addresses that are kept for its pods.
pub fn sticky_pool(plugin: &PluginConfig) -> Option<PoolName> {
    let section: RawObject = plugin.object.read("ipam").ok()??;
    let is_own = section.read::<String>("type").ok()?? == TYPE;
    let is_sticky = section.read::<bool>("sticky").ok()??;
    settings::pool(&section).ok().filter(|_| is_own && is_sticky)
}

impl Leased {
    /// The plugin for sections of type `kind`, on the node of `lessor`.
    pub fn new(kind: &'static str, lessor: Option<Arc<dyn Lessor>>) -> Self {
        Leased { kind, lessor, settings: Once::default() }
    }

    fn lessor(&self) -> Result<&dyn Lessor, Failure> {
        let none = || Failure::Failed("the directories of Plexus are not known here".to_owned());
        self.lessor.as_deref().ok_or_else(none)
    }

    fn settings(&self, call: &Call<'_>) -> Result<&Settings, Failure> {
        self.settings.get(|| Settings::read(call))
    }
}

impl Ipam for Leased {
    fn prepare(&self, call: &Call<'_>) -> Result<Foreseen, Error> {
        // Whoever judges a configuration elsewhere than on a node has no blocks to look at.
        let foresee = || {
            let settings = self.settings(call)?;
            let grant = self.lessor.as_deref().and_then(|lessor| lessor.grant(&settings.pool).ok()?);
            grant.iter().try_for_each(|grant| take::judge_namespace(grant, call))?;
            Ok(foresee(settings, grant.as_ref()))
        };
        foresee().map_err(|e: Failure| e.of(self.kind))
    }

    fn add(&self, call: &Call<'_>) -> Result<AddResult, Error> {
        self.add_on(call, &mut NoWire)
    }

    fn add_on(&self, call: &Call<'_>, wire: &mut dyn Wire) -> Result<AddResult, Error> {
        let mut add = || {
            let settings = self.settings(call)?;
            let nothing = settings.parts.as_ref().is_some_and(Vec::is_empty);
            let mut ips = if nothing { Vec::new() } else { probing::all(settings, self.lessor()?, call, wire)? };
            ips.extend(settings.fixed.iter().cloned());
            Ok(AddResult { ips, routes: settings.routes.clone(), dns: settings.dns.clone(), ..AddResult::default() })
        };
        add().map_err(|e: Failure| e.of(self.kind))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Error> {
        self.lessor().and_then(|lessor| del(call, lessor)).map_err(|e| e.of(self.kind))
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Error> {
        self.lessor().and_then(|lessor| check(call, lessor)).map_err(|e| e.of(self.kind))
    }

    /// A pool that is exhausted now concerns only the pods that select it.
    fn status(&self, _: &Call<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn gc(&self, call: &Call<'_>) -> Result<(), Error> {
        self.lessor().and_then(|lessor| gc(call, lessor)).map_err(|e| e.of(self.kind))
    }
}

/// What the last grant shows; nothing where there is none yet.
fn foresee(settings: &Settings, grant: Option<&Grant>) -> Foreseen {
    if let Some(parts) = &settings.parts {
        return foresee_parts(settings, parts);
    }
    let unknown = || Foreseen { routes: settings.routes.clone(), ..Foreseen::default() };
    let Some(grant) = grant else { return unknown() };
    let stock = Stock::new(grant, &Report::default());
    let gateways: Vec<IpAddr> = stock.subnets().iter().filter_map(|subnet| subnet.gateway).collect();
    Foreseen {
        ips: Vec::new(),
        subnets: Some(stock.subnets().iter().map(|subnet| subnet.net).collect()),
        implied: gateways.clone(),
        gateways,
        routes: settings.routes.clone(),
    }
}

/// What the ranges of the section show.
fn foresee_parts(settings: &Settings, parts: &[whereabouts::Part]) -> Foreseen {
    let fixed = &settings.fixed;
    let gateways = parts.iter().filter_map(|part| part.gateway).chain(fixed.iter().filter_map(|ip| ip.gateway));
    let gateways: Vec<IpAddr> = gateways.collect();
    let subnets = parts.iter().map(|part| part.net).chain(fixed.iter().map(|ip| ip.address.trunc()));
    Foreseen {
        ips: Vec::new(),
        subnets: Some(subnets.collect()),
        implied: gateways.clone(),
        gateways,
        routes: settings.routes.clone(),
    }
}

/// The folder of the pool, where it exists. DEL asks nobody.
fn existing(
    section: &RawObject,
    call: &Call<'_>,
    lessor: &dyn Lessor,
) -> Result<Option<(PoolName, Addresses)>, Failure> {
    let pool = settings::pool(section)?;
    let addresses = Addresses::open_existing(&lessor.folders(&pool), call.scope.plugin_deadline(), || lessor.now())?;
    Ok(addresses.map(|addresses| (pool, addresses)))
}

/// What is not needed any more goes back to the daemon where `grant` could be read.
fn tell(
    lessor: &dyn Lessor,
    grant: Option<&Grant>,
    (addresses, listing): (&Addresses, Listing),
    section: &RawObject,
) -> Result<(), Failure> {
    let Some(grant) = grant.filter(|grant| grant.confirmed.boot == addresses.now.boot) else { return Ok(()) };
    let Ok(before) = lessor.report(&grant.pool) else { return Ok(()) };
    let stock = Stock::new(grant, &before);
    let told = take::Told { lessor, pool: &grant.pool, stock: &stock, before: &before };
    told.again(addresses, listing, settings::warm(section).as_ref())
}

/// Gives back what the node does not need of `pool`, for a node on which no pod comes or goes. The daemon has said in its
/// grant that it keeps too much.
///
/// # Errors
/// It could not be done.
pub fn give_back(lessor: &dyn Lessor, pool: &PoolName, deadline: Instant) -> Result<(), Error> {
    let work = || {
        lessor.claim_folder()?;
        // Without a folder no address was ever taken.
        let Some(addresses) = Addresses::open_existing(&lessor.folders(pool), deadline, || lessor.now())? else {
            return Ok(());
        };
        let (grant, listing) = (lessor.grant(pool).ok().flatten(), addresses.list()?);
        tell(lessor, grant.as_ref(), (&addresses, listing), &RawObject::default())
    };
    work().map_err(|e: Failure| e.of(TYPE))
}

/// How many addresses ADD takes.
fn families(grant: Option<&Grant>, pool: &PoolName, section: &RawObject) -> Option<usize> {
    if pool.is_implied() {
        return whereabouts::parts(section).ok().map(|parts| parts.len());
    }
    Some(Stock::new(grant?, &Report::default()).families().len())
}

fn del(call: &Call<'_>, lessor: &dyn Lessor) -> Result<(), Failure> {
    let target = Target::of(call)?;
    let stdin = Stdin::parse(call)?;
    let section = stdin.section("ipam")?;
    let Some((pool, addresses)) = existing(&section, call, lessor)? else { return Ok(()) };
    let told = stdin.prev_result().ok().flatten().unwrap_or_default();
    let told: Vec<IpAddr> = told.ips.iter().map(|ip| ip.address.addr()).collect();
    // A result with fewer addresses than ADD takes is not all of it: another plugin may have changed it.
    let grant = lessor.grant(&pool).ok().flatten();
    let is_whole = families(grant.as_ref(), &pool, &section) == Some(told.len());
    let mut listing = addresses.listing()?;
    if !is_whole || !addresses.release_told(&told, target, &mut listing)? {
        addresses.release(target)?;
        listing = addresses.list()?;
    }
    tell(lessor, grant.as_ref(), (&addresses, listing), &section)
}

fn check(call: &Call<'_>, lessor: &dyn Lessor) -> Result<(), Failure> {
    let target = Target::of(call)?;
    let section = Stdin::parse(call)?.section("ipam")?;
    let found = existing(&section, call, lessor)?;
    let own = found.map(|(_, addresses)| addresses.of(target)).transpose()?.unwrap_or_default();
    let takes_none = settings::pool(&section)?.is_implied() && whereabouts::parts(&section)?.is_empty();
    if own.is_empty() && !takes_none {
        let Target { container_id, ifname } = target;
        return Err(Failure::Drifted(format!("no address is taken for {ifname} of container {container_id}")));
    }
    Ok(())
}

/// A list that is missing says nothing; an empty one says that nothing is valid.
fn gc(call: &Call<'_>, lessor: &dyn Lessor) -> Result<(), Failure> {
    let stdin = Stdin::parse(call)?;
    let list = |key: &str| stdin.object.read::<Vec<ValidAttachment>>(key);
    let Some(valid) = list("cni.dev/valid-attachments")?.or(list("cni.dev/attachments")?) else { return Ok(()) };
    let section = stdin.section("ipam")?;
    let Some((pool, addresses)) = existing(&section, call, lessor)? else { return Ok(()) };
    addresses.keep_only(&stdin.network, &valid)?;
    let listing = addresses.list()?;
    tell(lessor, lessor.grant(&pool).ok().flatten().as_ref(), (&addresses, listing), &section)
}

/// One call of the program `plexus-ipam` or `whereabouts`, for plugins that start the program of their `ipam` section.
///
/// # Errors
/// As the verb's.
pub fn run(verb: crate::cni::Verb, call: &Call<'_>, lessor: Arc<dyn Lessor>) -> Result<String, Error> {
    use crate::cni::Verb;
    let stdin = Stdin::parse(call).map_err(|e| e.of(TYPE))?;
    let section = stdin.section("ipam").map_err(|e| e.of(TYPE))?;
    let is_whereabouts = section.read::<String>("type").ok().flatten().as_deref() == Some(whereabouts::TYPE);
    let kind = if is_whereabouts { whereabouts::TYPE } else { TYPE };
    let plugin = Leased::new(kind, Some(lessor));
    let unknown = |why: Declined| Failure::Config(format!("ipam: {why}")).of(kind);
    if verb == Verb::Add && !is_whereabouts {
        crate::delegate::keys::understand(&section, &[KEYS])
            .and_then(|()| understand_parts(&section))
            .map_err(unknown)?;
    }
    match verb {
        Verb::Add => {
            let result = match (call.scope.netns, call.scope.ifname) {
                (Some(netns), Some(ifname)) => plugin.add_on(call, &mut OnForeignLink::new(netns, ifname.as_str())),
                _ => plugin.add(call),
            }?;
            let answer = stdin.answer(&result).map_err(|e| e.of(kind))?;
            return Ok(answer.get().to_owned());
        }
        Verb::Del => plugin.del(call)?,
        Verb::Check => plugin.check(call)?,
        Verb::Gc => plugin.gc(call)?,
        Verb::Status | Verb::Version => plugin.status(call)?,
    }
    Ok(String::new())
}

/// Whether a program of that name is this plugin, for main plugins that start the program of their section.
pub fn is_program(name: &str) -> bool {
    [TYPE, whereabouts::TYPE].contains(&name)
}

#[cfg(test)]
mod tests;
