//! `host-local`: addresses from ranges, taken on this node.
//!
//! The pool is a folder that the reference program shares with us, also at the same time:
//!
//! ```text
//! <dataDir>/<network>/
//!   lock                 locked with flock(2), always empty
//!   10.1.2.5             one file a taken address: container ID, CR LF, interface
//!   last_reserved_ip.0   where the next search of range set 0 begins
//! ```

mod allocate;
pub mod leases;
mod pool;
mod range;
mod resolv_conf;
mod settings;

use super::{Foreseen, Ipam, static_};
use crate::cni::request::ValidAttachment;
use crate::cni::{AddResult, RawObject};
use crate::delegate::failure::Failure;
use crate::delegate::keys::{Declined, Key, key, understand, understand_list};
use crate::delegate::prepare::Once;
use crate::delegate::stdin::{Stdin, Target};
use crate::delegate::{Call, Error};
use pool::Pool;
use settings::Settings;
use std::net::IpAddr;

/// Its `type`.
pub const TYPE: &str = "host-local";

/// The keys of its section.
pub const KEYS: &[Key] = &[
    key("type"),
    key("ranges"),
    key("subnet"),
    key("rangeStart"),
    key("rangeEnd"),
    key("gateway"),
    key("routes"),
    key("resolvConf"),
    key("dataDir"),
];
/// The keys of a range.
pub const RANGE_KEYS: &[Key] = &[key("subnet"), key("rangeStart"), key("rangeEnd"), key("gateway")];

/// The plugin.
#[derive(Debug, Default)]
pub struct HostLocal(Once<Settings>);

/// Whether the lists of the section hold only what is known.
///
/// # Errors
/// The first key that is not.
pub fn understand_parts(ipam: &RawObject) -> Result<(), Declined> {
    understand_list(ipam, "routes", static_::ROUTE_KEYS)?;
    let sets: Vec<Vec<RawObject>> = ipam.read("ranges").ok().flatten().unwrap_or_default();
    sets.iter().flatten().try_for_each(|range| understand(range, &[RANGE_KEYS]))
}

impl Ipam for HostLocal {
    fn prepare(&self, call: &Call<'_>) -> Result<Foreseen, Error> {
        let foresee = |settings| foresee(settings, call.scope.netns.is_some());
        self.0.get(|| Settings::read(call)).and_then(foresee).map_err(|e| e.of(TYPE))
    }

    fn add(&self, call: &Call<'_>) -> Result<AddResult, Error> {
        self.0.get(|| Settings::read(call)).and_then(|settings| add(call, settings)).map_err(|e| e.of(TYPE))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Error> {
        del(call).map_err(|e| e.of(TYPE))
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Error> {
        self.0.get(|| Settings::read(call)).and_then(|settings| check(call, settings)).map_err(|e| e.of(TYPE))
    }

    fn status(&self, _: &Call<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn gc(&self, call: &Call<'_>) -> Result<(), Error> {
        gc(call).map_err(|e| e.of(TYPE))
    }
}

/// Whether what is asked for can be in the ranges, and, on the node, whether the pool's folder is one to write to.
fn foresee(settings: &Settings, is_on_node: bool) -> Result<Foreseen, Failure> {
    if is_on_node {
        settings.resolv_conf.as_deref().map(resolv_conf::read).transpose()?;
    }
    allocate::requested_of_sets(settings)?;
    if is_on_node {
        Pool::judge(&settings.folder)?;
    }
    let ranges = || settings.sets.iter().flat_map(|set| &set.0);
    ranges().try_for_each(range::Range::judge)?;
    let first = |is_v4: bool| settings.sets.iter().find(|set| set.is_v4() == is_v4);
    let implied = [first(true), first(false)].into_iter().flatten().flat_map(|set| &set.0);
    Ok(Foreseen {
        ips: Vec::new(),
        subnets: Some(ranges().map(|range| range.subnet).collect()),
        gateways: ranges().map(|range| range.gateway).collect(),
        implied: implied.map(|range| range.gateway).collect(),
        routes: settings.routes.clone(),
    })
}

fn add(call: &Call<'_>, settings: &Settings) -> Result<AddResult, Failure> {
    let dns = settings.resolv_conf.as_deref().map(resolv_conf::read).transpose()?.unwrap_or_default();
    let pool = Pool::open(&settings.folder, call.scope.plugin_deadline())?;
    let ips = allocate::all(&pool, settings, call)?;
    Ok(AddResult { ips, routes: settings.routes.clone(), dns, ..AddResult::default() })
}

/// Needs to know only where the pool is: with a configuration that ADD refused, nothing can have been
/// taken, and the pod must go all the same.
fn del(call: &Call<'_>) -> Result<(), Failure> {
    let target = Target::of(call)?;
    let stdin = Stdin::parse(call)?;
    let Some(pool) = Pool::open_existing(&settings::folder(&stdin)?, call.scope.plugin_deadline())? else {
        return Ok(());
    };
    let known = told(call, &stdin).unwrap_or_default();
    if !known.is_empty() && pool.release_known(&known, target)? {
        return Ok(());
    }
    pool.release(target)
}

/// The addresses that ADD told, where they are all that it took: one of each set.
fn told(call: &Call<'_>, stdin: &Stdin) -> Option<Vec<IpAddr>> {
    let result = stdin.prev_result().ok().flatten()?;
    let settings = Settings::read(call).ok()?;
    let ours = |address: &IpAddr| settings.sets.iter().any(|set| set.range_of(*address).is_some());
    let told: Vec<IpAddr> = result.ips.iter().map(|ip| ip.address.addr()).filter(ours).collect();
    (told.len() == settings.sets.len()).then_some(told)
}

fn check(call: &Call<'_>, settings: &Settings) -> Result<(), Failure> {
    let target = Target::of(call)?;
    let pool = Pool::open_existing(&settings.folder, call.scope.plugin_deadline())?;
    let taken = pool.map(|pool| pool.addresses_of(target)).transpose()?.unwrap_or_default();
    if taken.is_empty() {
        let Target { container_id, ifname } = target;
        return Err(Failure::Drifted(format!("no address is taken for {ifname} of container {container_id}")));
    }
    Ok(())
}

/// Frees what is taken for no valid attachment. A list that is missing says nothing; an empty one
/// says that nothing is valid.
fn gc(call: &Call<'_>) -> Result<(), Failure> {
    let stdin = Stdin::parse(call)?;
    let list = |key: &str| stdin.object.read::<Vec<ValidAttachment>>(key);
    let Some(valid) = list("cni.dev/valid-attachments")?.or(list("cni.dev/attachments")?) else { return Ok(()) };
    match Pool::open_existing(&settings::folder(&stdin)?, call.scope.plugin_deadline())? {
        Some(pool) => pool.keep_only(&valid),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
