//! The addresses of the cluster, for a person: pools, blocks, and the nodes that lease them.

use super::{Inquiry, Unanswered};
use crate::cluster::addresses::{AddressBlock, AddressNode, AddressPool, AddressReservation};
use crate::cluster::kubernetes::pools::SeenPool;
use crate::cluster::kubernetes::reservations::SeenReservation;
use crate::ipam::Block;
use crate::ipam::epoch::Record;
use crate::ipam::overlap::Claimant;
use crate::ipam::usage::Lease;
use kube::Api;
use kube::api::ListParams;
use std::collections::BTreeMap;

/// Everything that there is.
#[derive(Clone, Debug, Default)]
pub struct SeenAddresses {
    /// The AddressPools.
    pub pools: Vec<SeenPool>,
    /// The AddressBlocks.
    pub blocks: Vec<SeenBlock>,
    /// The AddressNodes by their names.
    pub nodes: BTreeMap<String, Record>,
    /// The AddressReservations; none where they cannot be listed: definitions or rights of a former release.
    pub reservations: Option<Vec<SeenReservation>>,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBlock {
    /// The name of the object.
    pub name: String,
    /// Its pool.
    pub pool: String,
    /// Its addresses, and the node that leases them.
    pub lease: Lease,
    /// The epoch of the node; empty of a block that a former release leased.
    pub epoch: String,
    /// When it was leased, in seconds of Unix time.
    pub created: u64,
    /// How often its specification was written, as the API server counts it.
    pub writes: i64,
}

impl SeenBlock {
    fn of(block: AddressBlock) -> Option<Self> {
        let spec = block.spec;
        let lease = Lease { block: Block { first: spec.first.parse().ok()?, size: spec.size }, node: spec.node };
        let metadata = block.metadata;
        let created = metadata.creation_timestamp.and_then(|at| u64::try_from(at.0.as_second()).ok());
        Some(SeenBlock {
            name: metadata.name?,
            pool: spec.pool,
            lease,
            epoch: spec.epoch,
            created: created.unwrap_or_default(),
            writes: metadata.generation.unwrap_or_default(),
        })
    }
}

impl Inquiry {
    /// Every AddressPool: its name, its age and its specification.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn address_pools(&self) -> Result<Vec<Claimant>, Unanswered> {
        let api = Api::<AddressPool>::all(self.client.clone());
        let pools = self.list(&api, ListParams::default(), "the AddressPools")?;
        Ok(pools.iter().filter_map(AddressPool::claimant).collect())
    }

    /// Pools, blocks and AddressNodes. The blocks are listed first: an AddressNode is there before its first block, and
    /// after its last one.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn addresses(&self) -> Result<SeenAddresses, Unanswered> {
        let all = ListParams::default;
        let blocks = self.list::<AddressBlock>(&Api::all(self.client.clone()), all(), "the AddressBlocks")?;
        let nodes = self.list::<AddressNode>(&Api::all(self.client.clone()), all(), "the AddressNodes")?;
        let pools = self.list::<AddressPool>(&Api::all(self.client.clone()), all(), "the AddressPools")?;
        let kept =
            self.list::<AddressReservation>(&Api::all(self.client.clone()), all(), "the AddressReservations").ok();
        let named = |node: AddressNode| Some((node.metadata.name.clone()?, node.record()?));
        Ok(SeenAddresses {
            pools: pools.into_iter().filter_map(SeenPool::of).collect(),
            blocks: blocks.into_iter().filter_map(SeenBlock::of).collect(),
            nodes: nodes.into_iter().filter_map(named).collect(),
            reservations: kept.map(|kept| kept.into_iter().filter_map(SeenReservation::of).collect()),
        })
    }
}
