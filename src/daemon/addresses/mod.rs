//! Leases blocks of addresses for this node, ahead of need, and returns what the plugin has given back.

mod grants;
mod keeper;

use crate::api::RunDirectory;
use crate::api::protocol::LeaseRequest;
use crate::cluster::Cluster;
use crate::daemon::health::readiness::Readiness;
use crate::ipam::PoolName;
use grants::Grants;
use keeper::Keeper;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the plugin's reports are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The plugin waits longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The pools that this node uses.
#[derive(Debug)]
pub struct Addresses {
    cluster: Arc<Cluster>,
    grants: Arc<Grants>,
    pools: Mutex<BTreeMap<PoolName, Arc<Keeper>>>,
    prefix: String,
}

impl Addresses {
    /// Those of the node with `run`.
    pub fn new(run: RunDirectory, cluster: Arc<Cluster>) -> Self {
        let random = RandomState::new().build_hasher().finish();
        let (grants, pools) = (Arc::new(Grants::new(run)), Mutex::default());
        Addresses { cluster, grants, pools, prefix: format!("{random:016x}") }
    }

    fn keeper(&self, pool: PoolName) -> Arc<Keeper> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let (prefix, grants, cluster) = (self.prefix.clone(), Arc::clone(&self.grants), Arc::clone(&self.cluster));
        let made = |pool: &PoolName| Arc::new(Keeper::new(pool.clone(), prefix, grants, cluster));
        Arc::clone(pools.entry(pool.clone()).or_insert_with(|| made(&pool)))
    }

    /// Leases what is asked for.
    ///
    /// # Errors
    /// Why it cannot, in one line.
    pub async fn lease(&self, request: LeaseRequest) -> Result<(), String> {
        if self.cluster.kubernetes().is_none() {
            return Err("plexusd reads manifests, and pools of addresses need an API server".to_owned());
        }
        match self.grants.own() {
            Ok(true) => {}
            Ok(false) => return Err("another plexusd of this node has not ended yet".to_owned()),
            Err(e) => return Err(format!("grants of addresses cannot be written: {e}")),
        }
        let keeper = self.keeper(request.pool);
        // On its own: whoever asks may hang up, and what was begun is to be ended.
        let work = tokio::spawn(async move { keeper.lease(&request.families, &request.within).await });
        match tokio::time::timeout(ANSWER_LIMIT, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("plexusd stops".to_owned()),
            Err(_) => Err(format!("the API server did not answer within {ANSWER_LIMIT:?}")),
        }
    }

    /// Follows what the plugin reports, for ever.
    pub async fn follow(self: Arc<Self>, readiness: Readiness) {
        if self.cluster.kubernetes().is_none() {
            return;
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let granted = self.grants.pools();
            if granted.is_empty() || !self.grants.own().unwrap_or(false) {
                continue;
            }
            let mut lost = Vec::new();
            for pool in granted {
                let keeper = self.keeper(pool);
                keeper.tend().await;
                lost.extend(keeper.lost().await);
            }
            let text = match lost.as_slice() {
                [] => String::new(),
                lost => format!(
                    "other nodes hold blocks in which pods of this node may have addresses: {}",
                    lost.join("; ")
                ),
            };
            readiness.remark("addresses", &text);
        }
    }
}
