//! Leases blocks of addresses for this node, ahead of need, and returns what the plugin has given back. Objects where the
//! node is taken for removed.

mod claiming;
mod grants;
mod judged;
mod keeper;
mod kept;
mod leasing;
mod marks;
mod metrics;
mod own_pool;
mod questions;
mod sizes;
mod standing;

use crate::api::RunDirectory;
use crate::api::protocol::LeaseRequest;
use crate::cluster::addresses::number;
use crate::cluster::{Cluster, Kubernetes};
use crate::daemon::health::readiness::Readiness;
use crate::facts::node_blocks::now;
use crate::ipam::{Grant, PoolName};
use grants::Grants;
use keeper::Keeper;
pub(super) use leasing::NoLease;
use leasing::Wish;
use marks::Marks;
pub(super) use metrics::AddressMetrics;
use prometheus_client::registry::Registry;
use questions::Questions;
use standing::Standing;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How often the plugin's reports are read.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same while a pool is scarce: somewhere a pod waits.
const LOOK_SOON: Duration = Duration::from_millis(200);
/// What nobody waits for may rest on answers that are so old when a round of all pools begins. They share them.
const SHARED: Duration = Duration::from_secs(5);
/// How often marks of scarce pools are looked for that nobody renews.
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// Nodes delete such a mark one after another, within so long.
const TIDY_WITHIN: Duration = Duration::from_secs(5 * 60);
/// How often it is asked whether the cluster has such marks by now.
const ASK_FOR_MARKS: Duration = Duration::from_secs(10 * 60);
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
    questions: Arc<Questions>,
    marks: Arc<Marks>,
    prefix: String,
    metrics: AddressMetrics,
    /// Why this node may give no address at all; empty where it may.
    removed: Mutex<String>,
}

impl Addresses {
    /// Those of the node with `run`.
    pub fn new(run: RunDirectory, cluster: Arc<Cluster>) -> Self {
        let random = RandomState::new().build_hasher().finish();
        let (grants, pools) = (Arc::new(Grants::new(run)), Mutex::default());
        let (marks, prefix, metrics) = (Arc::default(), format!("{random:016x}"), AddressMetrics::default());
        let questions = Arc::new(Questions::new(Arc::clone(&cluster)));
        Addresses { cluster, grants, pools, questions, marks, prefix, metrics, removed: Mutex::default() }
    }

    /// What is counted of them.
    pub fn metrics(&self) -> &AddressMetrics {
        &self.metrics
    }

    /// Adds what is counted, and what the grants show now, to what is exported.
    pub fn register(&self, registry: &mut Registry) {
        let grants: Vec<Grant> = self.grants.pools().iter().filter_map(|pool| self.grants.grant(pool)).collect();
        self.metrics.register(registry, &grants, &now());
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<PoolName, Arc<Keeper>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeper(&self, pool: PoolName) -> Arc<Keeper> {
        let mut pools = self.pools();
        let (prefix, grants) = (self.prefix.clone(), Arc::clone(&self.grants));
        let questions = Arc::clone(&self.questions);
        let shared = (Arc::clone(&self.marks), self.metrics.clone());
        let made = |pool: &PoolName| Arc::new(Keeper::new(pool.clone(), prefix, grants, questions, shared));
        Arc::clone(pools.entry(pool.clone()).or_insert_with(|| made(&pool)))
    }

    /// Leases what is asked for. Answers what is kept, where that is asked for.
    ///
    /// # Errors
    /// Why it cannot, in one line.
    pub async fn lease(&self, request: LeaseRequest) -> Result<Vec<IpAddr>, NoLease> {
        self.may_lease()?;
        self.grants.seen_by_plugin(&request.boot);
        let keeper = self.keeper(request.pool);
        let begun = Instant::now();
        // On its own: whoever asks may hang up, and what was begun is to be ended.
        let wish = match request.kept_for {
            Some(whose) => Wish::Kept(whose, request.taken.into_iter().collect()),
            None => Wish::Blocks(request.families, request.within),
        };
        let work = tokio::spawn(async move { keeper.lease(&wish, begun + ANSWER_LIMIT).await });
        let answer = tokio::time::timeout(ANSWER_LIMIT, work).await;
        self.metrics.leased(begun.elapsed());
        match answer {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(NoLease::Later("plexusd stops".to_owned())),
            Err(_) => Err(NoLease::Later(format!("the API server did not answer within {ANSWER_LIMIT:?}"))),
        }
    }

    /// Whether this daemon leases anything.
    fn may_lease(&self) -> Result<(), NoLease> {
        let later = |why: &str| Err(NoLease::Later(why.to_owned()));
        if self.cluster.kubernetes().is_none() {
            return later("plexusd reads manifests, and pools of addresses need an API server");
        }
        match self.grants.own() {
            Ok(true) => Ok(()),
            Ok(false) => later("another plexusd of this node has not ended yet"),
            Err(e) => later(&format!("grants of addresses cannot be written: {e}")),
        }
    }

    /// Follows what the plugin reports, for ever.
    pub async fn follow(self: Arc<Self>, readiness: Readiness) {
        if self.cluster.kubernetes().is_none() {
            return;
        }
        // Whoever leases nothing has no AddressNode to watch.
        let (mut guards, begun, mut told) = (JoinSet::new(), Instant::now(), None);
        loop {
            let pause = if self.marks.any() { LOOK_SOON } else { LOOK_EVERY };
            let _ = tokio::time::timeout(pause, self.marks.changed()).await;
            let granted = self.grants.pools();
            if granted.is_empty() || !self.grants.own().unwrap_or(false) {
                continue;
            }
            if guards.is_empty() {
                guards.spawn(Arc::clone(&self).guard());
                guards.spawn(Arc::clone(&self).follow_marks());
            }
            self.tell_restore(&mut told);
            let mut lost = Vec::new();
            let since = Instant::now().checked_sub(SHARED).unwrap_or(begun);
            for pool in granted {
                let keeper = self.keeper(pool);
                let low = keeper.tend(since).await;
                keeper.lease_ahead(&low).await;
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

    /// Tells once that etcd was restored from a backup. `told` is when that was noticed which was told last.
    fn tell_restore(&self, told: &mut Option<Instant>) {
        let Some(back) = self.cluster.kubernetes().and_then(Kubernetes::went_back) else { return };
        if told.replace(back.at) == Some(back.at) {
            return;
        }
        let (from, to) = (back.from, back.to);
        let why = format!(
            "etcd was restored from a backup: its version was {from}, and is {to} now. plexusd asks for the blocks of this node again, and leases no new one for two minutes"
        );
        tracing::warn!(from, to, "etcd was restored from a backup; asking for the blocks of this node again");
        self.cluster.announce_on_node("EtcdRestored", &why);
    }

    /// Objects where this node is taken for removed, for ever. It is apart from the pools: of all that they ask, it waits for one
    /// question about this node at most.
    async fn guard(self: Arc<Self>) {
        let Some(kubernetes) = self.cluster.kubernetes() else { return };
        let (changed, leases) = (Notify::new(), Notify::new());
        let broke = AtomicBool::new(false);
        let watch = async {
            // A cluster with the definitions of a former release has nothing to watch.
            leases.notified().await;
            kubernetes.follow_address_node(|| changed.notify_one()).await;
        };
        let notice = async {
            loop {
                kubernetes.watch_broke().await;
                broke.store(true, Ordering::Relaxed);
                changed.notify_one();
            }
        };
        let act = async {
            loop {
                let standing = self.questions.standing().await;
                let is_live = matches!(standing, Standing::Live(_));
                // What stands behind the API server may be another etcd. A new list shows that, if no other question does.
                if is_live && broke.swap(false, Ordering::Relaxed) && kubernetes.look_at_version().await.is_err() {
                    broke.store(true, Ordering::Relaxed);
                }
                self.heed(&standing).await;
                if standing.epoch().is_ok_and(|epoch| !epoch.is_empty()) {
                    leases.notify_one();
                }
                let pause = if is_live && !broke.load(Ordering::Relaxed) { ASK_EVERY } else { ASK_AGAIN };
                // A change that comes meanwhile is kept. One that nobody told is seen by the question.
                let _ = tokio::time::timeout(pause, changed.notified()).await;
            }
        };
        tokio::join!(watch, act, notice);
    }

    /// Follows which pools are scarce, for ever, and deletes marks that nobody renews.
    async fn follow_marks(self: Arc<Self>) {
        let Some(kubernetes) = self.cluster.kubernetes() else { return };
        // A cluster with the definitions of a former release has none.
        loop {
            match kubernetes.has_shortages().await {
                Ok(true) => break,
                Ok(false) => tokio::time::sleep(ASK_FOR_MARKS).await,
                // A server that is busy answers soon.
                Err(reason) => {
                    tracing::warn!(reason, "it cannot be seen which address pools are scarce");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
        let seconds = number(kubernetes.node()) % TIDY_WITHIN.as_secs();
        let tidy = async {
            loop {
                tokio::time::sleep(TIDY_EVERY).await;
                for (wanted, version) in self.marks.outlived(Duration::from_secs(seconds)) {
                    if let Err(reason) = kubernetes.unmark_shortage(&wanted, &version).await {
                        tracing::warn!(pool = %wanted.pool, reason, "the mark of a pool that was scarce cannot be deleted");
                    }
                }
            }
        };
        tokio::join!(kubernetes.follow_shortages(|seen| self.marks.take(seen)), tidy);
    }

    async fn heed(&self, standing: &Standing) {
        let why = match standing {
            Standing::Revoked(_) | Standing::Dead => standing.epoch().err().unwrap_or_default(),
            Standing::Live(_) => String::new(),
            // Nobody knows; the confirmation of each pool ends by itself.
            Standing::Unknown(_) => return,
        };
        *self.removed.lock().unwrap_or_else(PoisonError::into_inner) = why;
        // All pools share one list that is younger than this answer.
        let (since, granted) = (Instant::now(), self.grants.pools());
        for pool in granted {
            self.keeper(pool).stand(standing, since).await;
        }
    }
}
