//! The AddressPools, as the controller of addresses sees them: their age, their status, and the way back.

use crate::cluster::addresses::{AddressPool, PoolContent};
use crate::cluster::kubernetes::address_nodes::{Written, written};
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::event::{Notice, Subject, of_addresses};
use crate::cluster::pool_status::PoolStatus;
use crate::ipam::overlap::Claimant;
use kube::api::PostParams;
use kube::{Api, Client};

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPool {
    /// Its name, age and specification.
    pub claimant: Claimant,
    /// Its UID and version.
    pub version: (String, String),
    /// How often its specification was changed.
    pub generation: i64,
    /// What was written of it last.
    pub status: PoolStatus,
}

impl SeenPool {
    /// What the object says.
    pub(in crate::cluster) fn of(pool: AddressPool) -> Option<Self> {
        let claimant = pool.claimant()?;
        let metadata = pool.metadata;
        Some(SeenPool {
            claimant,
            version: (metadata.uid?, metadata.resource_version?),
            generation: metadata.generation.unwrap_or_default(),
            status: pool.status.unwrap_or_default(),
        })
    }
}

impl Kubernetes {
    /// Writes `status` to `pool`, if it is as it was seen.
    ///
    /// # Errors
    /// Why it may not be done.
    pub async fn write_pool_status(&self, pool: &SeenPool, status: PoolStatus) -> Result<Written, String> {
        let name = pool.claimant.name.as_str();
        let mut object = AddressPool::new(name, PoolContent { spec: pool.claimant.spec.clone() });
        object.metadata.uid = Some(pool.version.0.clone());
        object.metadata.resource_version = Some(pool.version.1.clone());
        object.status = Some(status);
        let object = &object;
        let replace = |client: Client| {
            let api: Api<AddressPool> = Api::all(client);
            async move { api.replace_status(name, &PostParams::default(), object).await }
        };
        written(self.within("update", replace).await)
    }

    /// Writes an event about a pool or an AddressNode, sooner or later.
    pub fn tell_of(&self, subject: &Subject, kind: &str, reason: &str, note: &str) {
        self.announce(Notice::new(of_addresses(self.node(), subject, kind, reason, note)));
    }
}
