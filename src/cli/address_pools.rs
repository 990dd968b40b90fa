//! The AddressPools that networks name, against those that the cluster has. Pure.

use crate::cli::objects::Objects;
use crate::cli::objects::object::Object;
use crate::cni::{Code, NetworkConfig, json, spelling};
use crate::delegate::ipam::leased;
use crate::ipam::overlap::Claimant;
use crate::ipam::{Pool, PoolName, PoolSpec};
use crate::nad::Definition;

/// The pools that the network `one` takes addresses from, also those that sections of whereabouts imply.
pub fn pools_of(one: &Definition) -> Vec<PoolName> {
    let config = one.config.as_deref().and_then(|config| NetworkConfig::parse(config, Some(one.nad.name())).ok());
    config.as_ref().map(leased::pools).unwrap_or_default()
}

/// The AddressPools in manifests.
///
/// # Errors
/// There are none, or one cannot be read: what the cluster has is not known.
pub fn given(objects: &Objects) -> Result<Vec<Claimant>, String> {
    let read = |object: &Object| {
        let unreadable = |e: &dyn std::fmt::Display| format!("AddressPool {} cannot be read: {e}", object.name);
        let spec = object.root.get("spec").ok_or_else(|| unreadable(&"it has no spec"))?.to_json().to_string();
        let spec = json::parse::<PoolSpec>(&spec).map_err(|e| unreadable(&e))?;
        Ok(Claimant { name: object.name.clone(), created: 0, spec })
    };
    let pools: Vec<Claimant> = objects.pools().map(read).collect::<Result<_, String>>()?;
    if pools.is_empty() { Err("its manifest was not given".to_owned()) } else { Ok(pools) }
}

/// Why a pool gives no address, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress {
    /// Why, with the name of the pool.
    pub why: String,
    /// The next step.
    pub remedy: &'static str,
    /// The code that ADD has for it.
    pub code: Code,
}

impl NoAddress {
    /// The pool may come: the runtime tries again.
    fn yet(why: String, remedy: &'static str) -> Self {
        NoAddress { why, remedy, code: Code::TryAgain }
    }
}

/// Why `pool` gives no address to any pod, where `all` are the pools of the cluster; none where it may.
pub fn wrong(pool: &PoolName, all: &[Claimant]) -> Option<NoAddress> {
    let Some(own) = all.iter().find(|one| one.name == pool.as_str()) else {
        let names = all.iter().map(|one| one.name.as_str());
        let hint = spelling::hint(spelling::nearest(pool.as_str(), names));
        let why = format!("AddressPool {pool} does not exist{hint}");
        return Some(NoAddress::yet(why, "Create the AddressPool, or correct the key pool of the network."));
    };
    if own.spec.ranges.is_empty() {
        let why = format!("AddressPool {pool} has no range, and gives no address");
        return Some(NoAddress::yet(why, "Add a range to spec.ranges of the AddressPool."));
    }
    let why = Pool::new(&own.spec).err().map(|e| format!("AddressPool {pool} gives no address: {e}"))?;
    Some(NoAddress::yet(why, "Correct the value in the AddressPool that the message names."))
}

/// Why `pool` gives no address to a pod of `namespace`; none where it may.
pub fn wrong_for(pool: &PoolName, all: &[Claimant], namespace: &str) -> Option<NoAddress> {
    let is_closed = |one: &&Claimant| {
        let namespaces = &one.spec.namespaces;
        one.name == pool.as_str() && !namespaces.is_empty() && !namespaces.iter().any(|name| name == namespace)
    };
    let closed = || NoAddress {
        why: format!("AddressPool {pool} gives no address to pods of namespace {namespace}"),
        remedy: "Add the namespace to spec.namespaces of the AddressPool, or use another network.",
        code: Code::InvalidConfig,
    };
    wrong(pool, all).or_else(|| all.iter().find(is_closed).map(|_| closed()))
}
