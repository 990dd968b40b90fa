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

/// Why `pool` gives no address to any pod, where `all` are the pools of the cluster; none where it may.
pub fn wrong(pool: &PoolName, all: &[Claimant]) -> Option<String> {
    let Some(own) = all.iter().find(|one| one.name == pool.as_str()) else {
        let names = all.iter().map(|one| one.name.as_str());
        let hint = spelling::hint(spelling::nearest(pool.as_str(), names));
        return Some(format!("AddressPool {pool} does not exist{hint}"));
    };
    Pool::new(&own.spec).err().map(|e| format!("AddressPool {pool} gives no address: {e}"))
}

/// Why `pool` gives no address to a pod of `namespace`; none where it may.
pub fn wrong_for(pool: &PoolName, all: &[Claimant], namespace: &str) -> Option<String> {
    let is_closed = |one: &&Claimant| {
        let namespaces = &one.spec.namespaces;
        one.name == pool.as_str() && !namespaces.is_empty() && !namespaces.iter().any(|name| name == namespace)
    };
    let closed = || format!("AddressPool {pool} gives no address to pods of namespace {namespace}");
    wrong(pool, all).or_else(|| all.iter().find(is_closed).map(|_| closed()))
}
