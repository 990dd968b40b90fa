//! `plexus-ipam`: addresses that are unique in the cluster, taken on this node out of blocks that the daemon has leased.
//!
//! ```text
//! <state directory>/pools/<pool>/
//!   lock                 locked with flock(2), always empty
//!   10.1.2.5             one file a taken address: container ID, CR LF, interface, CR LF, network
//!   last_reserved_ip.4   where the next search of a family begins
//! ```

mod folder;
mod lessor;
mod settings;
mod take;

pub use lessor::Lessor;

use super::{Foreseen, Ipam, static_};
use crate::cni::request::ValidAttachment;
use crate::cni::{AddResult, NetworkConfig, RawObject, folds_to, json};
use crate::delegate::failure::Failure;
use crate::delegate::keys::{Declined, Key, key, understand_list};
use crate::delegate::prepare::Once;
use crate::delegate::stdin::{Stdin, Target};
use crate::delegate::{Call, Error};
use crate::ipam::{Grant, PoolName, Report, Stock};
use folder::Addresses;
use settings::Settings;
use std::net::IpAddr;
use std::sync::Arc;

/// Its `type`, and the name of its program.
pub const TYPE: &str = "plexus-ipam";

/// The keys of its section.
pub const KEYS: &[Key] = &[key("type"), key("pool"), key("routes"), key("dns")];

/// The plugin.
#[derive(Debug, Default)]
pub struct Leased {
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
    let ours = sections.filter(|section| texts(section, "type").iter().any(|kind| kind == TYPE));
    ours.flat_map(|section| texts(&section, "pool")).filter_map(|name| PoolName::new(name).ok()).collect()
}

impl Leased {
    /// The plugin on the node of `lessor`.
    pub fn new(lessor: Option<Arc<dyn Lessor>>) -> Self {
        Leased { lessor, settings: Once::default() }
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
        let foresee = || Ok(foresee(self.settings(call)?, self.lessor.as_deref()));
        foresee().map_err(|e: Failure| e.of(TYPE))
    }

    fn add(&self, call: &Call<'_>) -> Result<AddResult, Error> {
        let add = || {
            let settings = self.settings(call)?;
            let ips = take::all(settings, self.lessor()?, call)?;
            Ok(AddResult { ips, routes: settings.routes.clone(), dns: settings.dns.clone(), ..AddResult::default() })
        };
        add().map_err(|e: Failure| e.of(TYPE))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Error> {
        self.lessor().and_then(|lessor| del(call, lessor)).map_err(|e| e.of(TYPE))
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Error> {
        self.lessor().and_then(|lessor| check(call, lessor)).map_err(|e| e.of(TYPE))
    }

    /// A pool that is exhausted now concerns only the pods that select it.
    fn status(&self, _: &Call<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn gc(&self, call: &Call<'_>) -> Result<(), Error> {
        self.lessor().and_then(|lessor| gc(call, lessor)).map_err(|e| e.of(TYPE))
    }
}

/// What the last grant shows; nothing where there is none yet.
fn foresee(settings: &Settings, lessor: Option<&dyn Lessor>) -> Foreseen {
    let unknown = || Foreseen { routes: settings.routes.clone(), ..Foreseen::default() };
    let Some(Ok(Some(grant))) = lessor.map(|lessor| lessor.grant(&settings.pool)) else { return unknown() };
    let stock = Stock::new(&grant, &Report::default());
    let gateways: Vec<IpAddr> = stock.subnets().iter().filter_map(|subnet| subnet.gateway).collect();
    Foreseen {
        ips: Vec::new(),
        subnets: Some(stock.subnets().iter().map(|subnet| subnet.net).collect()),
        implied: gateways.clone(),
        gateways,
        routes: settings.routes.clone(),
    }
}

/// The folder of the pool, where it exists. DEL asks nobody.
fn existing(call: &Call<'_>, lessor: &dyn Lessor) -> Result<Option<(PoolName, Addresses)>, Failure> {
    let pool = settings::pool(&Stdin::parse(call)?.section("ipam")?)?;
    let addresses = Addresses::open_existing(&lessor.folder(&pool), call.scope.plugin_deadline())?;
    Ok(addresses.map(|addresses| (pool, addresses)))
}

/// What is not needed any more goes back to the daemon where its grant can be read.
fn tell(lessor: &dyn Lessor, pool: &PoolName, addresses: &Addresses) -> Result<(), Failure> {
    match lessor.grant(pool) {
        Ok(Some(grant)) if is_of(&grant, lessor) => take::tell(lessor, &grant, addresses),
        _ => Ok(()),
    }
}

/// How many addresses ADD takes.
fn families(lessor: &dyn Lessor, pool: &PoolName) -> Option<usize> {
    let grant = lessor.grant(pool).ok().flatten()?;
    Some(Stock::new(&grant, &Report::default()).families().len())
}

fn is_of(grant: &Grant, lessor: &dyn Lessor) -> bool {
    grant.confirmed.boot == lessor.now().boot
}

fn del(call: &Call<'_>, lessor: &dyn Lessor) -> Result<(), Failure> {
    let target = Target::of(call)?;
    let Some((pool, addresses)) = existing(call, lessor)? else { return Ok(()) };
    let told = Stdin::parse(call)?.prev_result().ok().flatten().unwrap_or_default();
    let told: Vec<IpAddr> = told.ips.iter().map(|ip| ip.address.addr()).collect();
    // A result with fewer addresses than ADD takes is not all of it: another plugin may have changed it.
    let is_whole = families(lessor, &pool) == Some(told.len());
    if !is_whole || !addresses.release_told(&told, target)? {
        addresses.release(target)?;
    }
    tell(lessor, &pool, &addresses)
}

fn check(call: &Call<'_>, lessor: &dyn Lessor) -> Result<(), Failure> {
    let target = Target::of(call)?;
    let own = existing(call, lessor)?.map(|(_, addresses)| addresses.of(target)).transpose()?.unwrap_or_default();
    if own.is_empty() {
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
    let Some((pool, addresses)) = existing(call, lessor)? else { return Ok(()) };
    addresses.keep_only(&stdin.network, &valid)?;
    tell(lessor, &pool, &addresses)
}

/// One call of the program `plexus-ipam`, for plugins that start the program of their `ipam` section.
///
/// # Errors
/// As the verb's.
pub fn run(verb: crate::cni::Verb, call: &Call<'_>, lessor: Arc<dyn Lessor>) -> Result<String, Error> {
    use crate::cni::Verb;
    let plugin = Leased::new(Some(lessor));
    let stdin = Stdin::parse(call).map_err(|e| e.of(TYPE))?;
    let section = stdin.section("ipam").map_err(|e| e.of(TYPE))?;
    let unknown = |why: Declined| Failure::Config(format!("ipam: {why}")).of(TYPE);
    if verb == Verb::Add {
        crate::delegate::keys::understand(&section, &[KEYS])
            .and_then(|()| understand_parts(&section))
            .map_err(unknown)?;
    }
    match verb {
        Verb::Add => {
            let result = plugin.add(call)?;
            let answer = stdin.answer(&result).map_err(|e| e.of(TYPE))?;
            return Ok(answer.get().to_owned());
        }
        Verb::Del => plugin.del(call)?,
        Verb::Check => plugin.check(call)?,
        Verb::Gc => plugin.gc(call)?,
        Verb::Status | Verb::Version => plugin.status(call)?,
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests;
