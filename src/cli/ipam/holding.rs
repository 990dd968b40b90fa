//! What a node says that it has of a pool: `ipam check --all-nodes` compares it with the other nodes and with the cluster.

use super::read::SeenPool;
use super::records::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What the node has of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    /// The pool.
    pub pool: String,
    /// The blocks that the daemon grants, by their first addresses; null if it has granted none since the machine started.
    pub blocks: Option<Vec<HeldBlock>>,
    /// The addresses that pods have, by files or records.
    pub addresses: Vec<HeldAddress>,
}

/// A block that the daemon grants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldBlock {
    /// Its first address.
    pub first: IpAddr,
    /// How many addresses it has.
    pub size: u32,
    /// Which lease of the block it is.
    pub lease: String,
}

/// An address that a pod has.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldAddress {
    /// The address.
    pub address: IpAddr,
    /// `<namespace>/<name>` of the pod, or the ID of the sandbox.
    pub pod: String,
    /// The ID of the sandbox.
    pub container_id: String,
    /// The interface in the sandbox.
    pub interface: String,
    /// Whether the address has a file. One without is in a record only.
    pub has_file: bool,
}

impl Holding {
    /// What this node has of `pool`, by its files and by the `records` of all pools.
    pub fn of(pool: &SeenPool, records: &[Recorded]) -> Self {
        let block = |offer: &crate::ipam::Offer| HeldBlock {
            first: offer.granted.first,
            size: offer.granted.size,
            lease: offer.granted.lease.clone(),
        };
        let files = pool.taken.iter().filter(|taken| !taken.owner.container.is_empty()).map(|taken| HeldAddress {
            address: taken.address,
            pod: if taken.owner.pod.is_empty() { &taken.owner.container } else { &taken.owner.pod }.clone(),
            container_id: taken.owner.container.clone(),
            interface: taken.owner.ifname.clone(),
            has_file: true,
        });
        let known: BTreeSet<IpAddr> = pool.taken.iter().map(|taken| taken.address).collect();
        let is_more = |one: &&Recorded| one.pool == pool.name && one.is_attached && !known.contains(&one.address);
        let more = records.iter().filter(is_more).map(|one| HeldAddress {
            address: one.address,
            pod: one.pod.clone(),
            container_id: one.container.clone(),
            interface: one.ifname.clone(),
            has_file: false,
        });
        Holding {
            pool: pool.name.to_string(),
            blocks: pool.grant.as_ref().map(|grant| grant.offers.iter().map(block).collect()),
            addresses: files.chain(more).collect(),
        }
    }
}
