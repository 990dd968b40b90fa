//! The AddressPools that networks name, against those that the cluster has. Pure.

use crate::cni::{NetworkConfig, spelling};
use crate::delegate::ipam::leased;
use crate::ipam::overlap::Claimant;
use crate::ipam::{Pool, PoolName};
use crate::nad::Definition;

/// The pools that the network `one` takes addresses from, also those that sections of whereabouts imply.
pub fn pools_of(one: &Definition) -> Vec<PoolName> {
    let config = one.config.as_deref().and_then(|config| NetworkConfig::parse(config, Some(one.nad.name())).ok());
    config.as_ref().map(leased::pools).unwrap_or_default()
}

/// Why a pool gives no address, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress {
    /// Why, with the name of the pool.
    pub why: String,
    /// The next step.
    pub remedy: &'static str,
}

/// Why `pool` gives no address to any pod, where `all` are the pools of the cluster; none where it may.
pub fn wrong(pool: &PoolName, all: &[Claimant]) -> Option<NoAddress> {
    let Some(own) = all.iter().find(|one| one.name == pool.as_str()) else {
        let names = all.iter().map(|one| one.name.as_str());
        let hint = spelling::hint(spelling::nearest(pool.as_str(), names));
        let why = format!("AddressPool {pool} does not exist{hint}");
        return Some(NoAddress { why, remedy: "Create the AddressPool, or correct the key pool of the network." });
    };
    let why = Pool::new(&own.spec).err().map(|e| format!("AddressPool {pool} gives no address: {e}"))?;
    Some(NoAddress { why, remedy: "Correct the value in the AddressPool that the message names." })
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
    };
    wrong(pool, all).or_else(|| all.iter().find(is_closed).map(|_| closed()))
}
