//! The order of statuses of one pod: a pod that gets another sandbox has two files for a while, and what is newer stays.

use crate::cni::ContainerId;
use crate::daemon::publishing::todo::Stamp;
use crate::nad::PodRef;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;

/// Whether a status may go to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// None that is newer is known.
    Newest,
    /// A newer one is on its way, or there.
    Superseded,
}

/// Namespace and name.
type Pod = (String, String);

/// Who is at which pod.
#[derive(Debug)]
pub struct PodTurns {
    pods: Mutex<HashMap<Pod, Seen>>,
    /// How long a pod is remembered after its last turn.
    kept: Duration,
}

/// The newest file of a pod, and the turn of who sends.
#[derive(Debug)]
struct Seen {
    newest: (Stamp, ContainerId),
    turn: Arc<tokio::sync::Mutex<()>>,
    /// When its last turn was asked for.
    used: Instant,
}

impl Seen {
    fn is_needed(&self, kept: Duration) -> bool {
        Arc::strong_count(&self.turn) > 1 || self.used.elapsed() < kept
    }
}

/// A turn at a pod: nobody else sends a status of it until this is dropped.
#[derive(Debug)]
pub struct Turn {
    order: Order,
    _held: OwnedMutexGuard<()>,
}

impl Turn {
    /// Whether the status may go.
    pub fn order(&self) -> Order {
        self.order
    }
}

/// So many pods are remembered; a node has hundreds. Then those are forgotten at which nobody is.
const MOST: usize = 4096;
/// A file whose plugin could not ask is found by the next look at all files, and waits for its turn.
const FOUND_WITHIN: Duration = Duration::from_secs(60);

impl PodTurns {
    /// For files that pause for `longest` at most between two tries.
    pub fn new(longest: Duration) -> Self {
        PodTurns { pods: Mutex::default(), kept: longest + FOUND_WITHIN }
    }

    /// Forgets the pods that no file can ask about any more: pods come and go all day, and their daemon must not grow.
    pub fn forget(&self) {
        self.pods().retain(|_, seen| seen.is_needed(self.kept));
    }

    /// Waits for the turn of the file of `sandbox` at `pod`. What is newer is seen at once, by who waits as well.
    pub async fn take(&self, pod: &PodRef, sandbox: &ContainerId, stamp: Stamp) -> Turn {
        let key = (pod.namespace().to_owned(), pod.name().to_owned());
        let turn = {
            let mut pods = self.pods();
            if pods.len() >= MOST {
                pods.retain(|_, seen| seen.is_needed(Duration::ZERO));
            }
            let this = || (stamp, sandbox.clone());
            let seen = pods.entry(key.clone()).or_insert_with(|| Seen {
                newest: this(),
                turn: Arc::default(),
                used: Instant::now(),
            });
            seen.used = Instant::now();
            if seen.newest.0 < stamp {
                seen.newest = this();
            }
            Arc::clone(&seen.turn)
        };
        let held = turn.lock_owned().await;
        let is_newest = self.pods().get(&key).is_none_or(|seen| seen.newest.0 <= stamp || seen.newest.1 == *sandbox);
        Turn { order: if is_newest { Order::Newest } else { Order::Superseded }, _held: held }
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<Pod, Seen>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(seconds: i64) -> Stamp {
        serde_json::from_value(serde_json::json!({ "seconds": seconds, "nanoseconds": 0, "inode": 1 })).unwrap()
    }

    #[tokio::test]
    async fn the_newer_one_stays() {
        let turns = PodTurns::new(Duration::ZERO);
        let pod = PodRef::new("ns", "p", None).unwrap();
        let id = |name: &str| ContainerId::new(name).unwrap();
        let old = turns.take(&pod, &id("old"), stamp(1)).await;
        assert_eq!(old.order(), Order::Newest);
        // The newer one waits until the older one has been sent, and comes after it.
        let (newer, name) = (id("new"), id("old"));
        let new = {
            let waiting = turns.take(&pod, &newer, stamp(2));
            tokio::pin!(waiting);
            assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err());
            drop(old);
            waiting.await
        };
        assert_eq!(new.order(), Order::Newest);
        drop(new);
        // The older one's next try is none.
        assert_eq!(turns.take(&pod, &name, stamp(1)).await.order(), Order::Superseded);
        assert_eq!(turns.take(&pod, &id("new"), stamp(2)).await.order(), Order::Newest);
        let other = PodRef::new("ns", "q", None).unwrap();
        assert_eq!(turns.take(&other, &name, stamp(1)).await.order(), Order::Newest);
    }

    #[tokio::test]
    async fn pods_that_are_gone_are_forgotten_and_others_are_not() {
        let mut turns = PodTurns::new(Duration::from_secs(3600));
        let id = ContainerId::new("sandbox").unwrap();
        let pod = |number: u32| PodRef::new("ns", &format!("p{number}"), None).unwrap();
        for number in 0..100 {
            turns.take(&pod(number), &id, stamp(1)).await;
        }
        let held = turns.take(&pod(0), &id, stamp(1)).await;
        turns.forget();
        assert_eq!(turns.pods().len(), 100, "a file may still ask");
        turns.kept = Duration::ZERO;
        turns.forget();
        assert_eq!(turns.pods().len(), 1, "somebody is at one");
        drop(held);
        turns.forget();
        assert_eq!(turns.pods().len(), 0);
    }
}
