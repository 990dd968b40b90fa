//! Which pools are scarce: what the watch shows of the marks of nodes that wait, and what this node finds itself.

use crate::cluster::SeenShortage;
use crate::ipam::PoolName;
use crate::ipam::scarcity::{Ask, Scarcity};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The pools, with a clock that only goes forward.
#[derive(Debug)]
pub struct Marks {
    start: Instant,
    pools: Mutex<BTreeMap<PoolName, Scarcity>>,
    changed: Notify,
}

impl Default for Marks {
    fn default() -> Self {
        Marks { start: Instant::now(), pools: Mutex::default(), changed: Notify::new() }
    }
}

impl Marks {
    fn pools(&self) -> MutexGuard<'_, BTreeMap<PoolName, Scarcity>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Learns what the watch shows.
    pub fn take(&self, seen: SeenShortage) {
        let (now, mut pools) = (self.now(), self.pools());
        match seen {
            SeenShortage::All(marks) => {
                pools.iter_mut().filter(|(pool, _)| !marks.contains_key(*pool)).for_each(|(_, one)| one.unmarked());
                marks.into_iter().for_each(|(pool, mark)| pools.entry(pool).or_default().marked(mark, now));
            }
            SeenShortage::Marked(pool, mark) => pools.entry(pool).or_default().marked(mark, now),
            SeenShortage::Unmarked(pool) => pools.entry(pool).or_default().unmarked(),
        }
        self.changed.notify_one();
    }

    /// This node has found no free block of `pool`.
    pub fn found_none(&self, pool: &PoolName) {
        let now = self.now();
        self.pools().entry(pool.clone()).or_default().found_none(now);
    }

    /// What is to be done for a pod that waits here.
    pub fn ask(&self, pool: &PoolName) -> Ask {
        let now = self.now();
        self.pools().entry(pool.clone()).or_default().ask(now)
    }

    /// The word by which this node keeps nothing of `pool`; none where it may.
    pub fn word(&self, pool: &PoolName) -> Option<String> {
        let now = self.now();
        self.pools().get(pool).and_then(|one| one.word(now)).map(str::to_owned)
    }

    /// Whether any pool is scarce.
    pub fn any(&self) -> bool {
        let now = self.now();
        self.pools().values().any(|one| one.word(now).is_some())
    }

    /// The marks that are to be deleted, with their versions.
    pub fn outlived(&self, patience: Duration) -> Vec<(PoolName, String)> {
        let (now, pools) = (self.now(), self.pools());
        let version = |(pool, one): (&PoolName, &Scarcity)| {
            one.outlived(now, patience).map(|version| (pool.clone(), version.to_owned()))
        };
        pools.iter().filter_map(version).collect()
    }

    /// The clock, in seconds: a node asks less often.
    pub fn seconds(&self) -> u64 {
        self.now().as_secs()
    }

    /// Waits for the next change that the watch shows.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
