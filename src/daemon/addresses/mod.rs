//! Leases blocks of addresses for this node, ahead of need, and returns what the plugin has given back. Objects where the
//! node is taken for removed.

mod grants;
mod keeper;
mod sizes;
mod standing;

use crate::api::RunDirectory;
use crate::api::protocol::LeaseRequest;
use crate::cluster::Cluster;
use crate::daemon::health::readiness::Readiness;
use crate::ipam::PoolName;
use grants::Grants;
use keeper::Keeper;
use standing::Standing;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How often the plugin's reports are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is asked whether this node was removed, where no event of the watch told to. The keepers ask, too.
const ASK_EVERY: Duration = Duration::from_secs(120);
/// The same while the answer is not that it lives.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The plugin waits longer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The pools that this node uses.
#[derive(Debug)]
pub struct Addresses {
    cluster: Arc<Cluster>,
    grants: Arc<Grants>,
    pools: Mutex<BTreeMap<PoolName, Arc<Keeper>>>,
    prefix: String,
    /// Why this node may give no address at all; empty where it may.
    removed: Mutex<String>,
}

impl Addresses {
    /// Those of the node with `run`.
    pub fn new(run: RunDirectory, cluster: Arc<Cluster>) -> Self {
        let random = RandomState::new().build_hasher().finish();
        let (grants, pools) = (Arc::new(Grants::new(run)), Mutex::default());
        Addresses { cluster, grants, pools, prefix: format!("{random:016x}"), removed: Mutex::default() }
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<PoolName, Arc<Keeper>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeper(&self, pool: PoolName) -> Arc<Keeper> {
        let mut pools = self.pools();
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
        // Whoever leases nothing has no AddressNode to watch.
        let mut guards = JoinSet::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let granted = self.grants.pools();
            if granted.is_empty() || !self.grants.own().unwrap_or(false) {
                continue;
            }
            if guards.is_empty() {
                guards.spawn(Arc::clone(&self).guard());
            }
            let mut lost = Vec::new();
            for pool in granted {
                let keeper = self.keeper(pool);
                keeper.tend().await;
                lost.extend(keeper.lost().await);
            }
            let removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let text = match lost.as_slice() {
                [] => removed,
                lost => format!(
                    "other nodes hold blocks in which pods of this node may have addresses: {}",
                    lost.join("; ")
                ),
            };
            readiness.remark("addresses", &text);
        }
    }

    /// Objects where this node is taken for removed, for ever. It is apart from the pools: a request of theirs may wait.
    async fn guard(self: Arc<Self>) {
        let Some(kubernetes) = self.cluster.kubernetes() else { return };
        let (changed, leases) = (Notify::new(), Notify::new());
        let watch = async {
            // A cluster with the definitions of a former release has nothing to watch.
            leases.notified().await;
            kubernetes.follow_address_node(|| changed.notify_one()).await;
        };
        let act = async {
            loop {
                let standing = standing::ask(&self.cluster).await;
                self.heed(&standing).await;
                if standing.epoch().is_ok_and(|epoch| !epoch.is_empty()) {
                    leases.notify_one();
                }
                let pause = if matches!(standing, Standing::Live(_)) { ASK_EVERY } else { ASK_AGAIN };
                // A change that comes meanwhile is kept. One that nobody told is seen by the question.
                let _ = tokio::time::timeout(pause, changed.notified()).await;
            }
        };
        tokio::join!(watch, act);
    }

    async fn heed(&self, standing: &Standing) {
        let why = match standing {
            Standing::Revoked(_) | Standing::Dead => standing.epoch().err().unwrap_or_default(),
            Standing::Live(_) => String::new(),
            // Nobody knows; the confirmation of each pool ends by itself.
            Standing::Unknown(_) => return,
        };
        *self.removed.lock().unwrap_or_else(PoisonError::into_inner) = why;
        let granted = self.grants.pools();
        for pool in granted {
            self.keeper(pool).stand(standing).await;
        }
    }
}
