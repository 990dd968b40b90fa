//! Which pools are scarce, and which blocks are asked for: what the watch shows of the marks of nodes that wait, and what this
//! node finds itself.

use crate::cluster::SeenShortage;
use crate::ipam::PoolName;
use crate::ipam::scarcity::{Ask, Scarcity, Wanted};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What is wanted, with a clock that only goes forward.
#[derive(Debug)]
pub struct Marks {
    start: Instant,
    wanted: Mutex<BTreeMap<Wanted, Scarcity>>,
    changed: Notify,
}

impl Default for Marks {
    fn default() -> Self {
        Marks { start: Instant::now(), wanted: Mutex::default(), changed: Notify::new() }
    }
}

impl Marks {
    fn wanted(&self) -> MutexGuard<'_, BTreeMap<Wanted, Scarcity>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Learns what the watch shows.
    pub fn take(&self, seen: SeenShortage) {
        let (now, mut all) = (self.now(), self.wanted());
        match seen {
            SeenShortage::All(marks) => {
                all.iter_mut().filter(|(wanted, _)| !marks.contains_key(*wanted)).for_each(|(_, one)| one.unmarked());
                marks.into_iter().for_each(|(wanted, mark)| all.entry(wanted).or_default().marked(mark, now));
            }
            SeenShortage::Marked(wanted, mark) => all.entry(wanted).or_default().marked(mark, now),
            SeenShortage::Unmarked(wanted) => all.entry(wanted).or_default().unmarked(),
        }
        all.retain(|_, one| !one.is_over(now));
        self.changed.notify_one();
    }

    /// This node has found no free block of `pool`.
    pub fn found_none(&self, pool: &PoolName) {
        let now = self.now();
        self.wanted().entry(Wanted::any(pool)).or_default().found_none(now);
    }

    /// What is to be done for a pod that waits here.
    pub fn ask(&self, wanted: &Wanted) -> Ask {
        let now = self.now();
        self.wanted().entry(wanted.clone()).or_default().ask(now)
    }

    /// The word by which this node keeps nothing of `pool`; none where it may.
    pub fn word(&self, pool: &PoolName) -> Option<String> {
        let now = self.now();
        self.wanted().get(&Wanted::any(pool)).and_then(|one| one.word(now)).map(str::to_owned)
    }

    /// The blocks of `pool` that another node asks for, with its words.
    pub fn called(&self, pool: &PoolName) -> BTreeMap<IpAddr, String> {
        let (now, all) = (self.now(), self.wanted());
        let word = |(wanted, one): (&Wanted, &Scarcity)| {
            let first = wanted.block.filter(|_| wanted.pool == *pool)?;
            Some((first, one.word(now)?.to_owned()))
        };
        all.iter().filter_map(word).collect()
    }

    /// Whether anything is wanted.
    pub fn any(&self) -> bool {
        let now = self.now();
        self.wanted().values().any(|one| one.word(now).is_some())
    }

    /// The marks that are to be deleted, with their versions.
    pub fn outlived(&self, patience: Duration) -> Vec<(Wanted, String)> {
        let (now, all) = (self.now(), self.wanted());
        let version = |(wanted, one): (&Wanted, &Scarcity)| {
            one.outlived(now, patience).map(|version| (wanted.clone(), version.to_owned()))
        };
        all.iter().filter_map(version).collect()
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
