//! What all keepers of this node ask the API server, often at the same time: they share the answers.

use super::standing::{self, Standing};
use crate::cluster::addresses::OwnBlock;
use crate::cluster::{Cluster, Kubernetes};
use crate::facts::node_blocks::now;
use crate::ipam::Confirmed;
use crate::ipam::overlap::Claimant;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Whoever did not wait for an answer does not rest on a failure that is older: the server may answer by now.
const FAILED: Duration = Duration::from_secs(1);

/// After etcd was restored from a backup, the other nodes ask within so long for the blocks that it has forgotten.
const OTHERS_ASK: Duration = Duration::from_secs(120);

/// All pools, or why they are not known.
type Pools = Result<Arc<[Claimant]>, String>;

/// Which blocks this node has.
#[derive(Clone, Debug)]
pub(super) enum Inventory {
    /// Those of a node in `epoch`, or why they are not known. `answered` is the time of the answer.
    Live { epoch: String, blocks: Result<Arc<[OwnBlock]>, String>, answered: Instant },
    /// The node may grant nothing.
    NotLive(Standing),
}

/// When a question was sent.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    /// By the clocks that the plugin reads.
    pub(super) confirmed: Confirmed,
    /// By that of this process.
    pub(super) asked: Instant,
}

/// The questions, each with its last answer.
#[derive(Debug)]
pub(super) struct Questions {
    cluster: Arc<Cluster>,
    pools: Shared<Pools>,
    blocks: Shared<Inventory>,
    standing: Shared<(Stamp, Standing)>,
}

impl Questions {
    /// Those of the node of `cluster`.
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Questions { cluster, pools: Shared::default(), blocks: Shared::default(), standing: Shared::default() }
    }

    /// The API server.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn kubernetes(&self) -> Result<&Kubernetes, String> {
        self.cluster.kubernetes().ok_or_else(|| "plexusd has no API server: it reads manifests".to_owned())
    }

    /// When it was noticed last that etcd was restored from a backup.
    pub(super) fn restored(&self) -> Option<Instant> {
        Some(self.cluster.kubernetes()?.went_back()?.at)
    }

    /// Why no block may be leased that this node did not have before; none where it may. Another node may have one that etcd has
    /// forgotten.
    pub(super) fn on_hold(&self) -> Option<String> {
        let left = OTHERS_ASK.checked_sub(self.restored()?.elapsed())?.as_secs() + 1;
        Some(format!(
            "etcd was restored from a backup: no new block is leased for {left} s, while nodes ask for those that it has forgotten"
        ))
    }

    /// All AddressPools, as they were at `since` or later.
    pub(super) async fn pools(&self, since: Instant) -> Pools {
        let ask = async || {
            let pools = self.kubernetes()?.address_pools().await;
            pools.map(Into::into).map_err(|e| e.to_string())
        };
        self.pools.since(since, ask).await
    }

    /// The blocks of this node in all pools, as they were at `since` or later, and not before the API server answered to what
    /// the caller has `written` last.
    pub(super) async fn blocks(&self, since: Instant, written: Option<Instant>) -> Inventory {
        let ask = async || {
            let kubernetes = match self.kubernetes() {
                Ok(kubernetes) => kubernetes,
                Err(why) => return Inventory::NotLive(Standing::Unknown(why)),
            };
            let epoch = match standing::ask(kubernetes).await {
                Standing::Live(epoch) => epoch,
                other => return Inventory::NotLive(other),
            };
            let blocks = kubernetes.own_blocks().await.map(Into::into).map_err(|e| e.to_string());
            Inventory::Live { epoch, blocks, answered: Instant::now() }
        };
        self.blocks.since(written.map_or(since, |written| written.max(since)), ask).await
    }

    /// When the last list of the blocks of this node was answered, if it was asked for at `since` or later, and is known.
    pub(super) fn listed_since(&self, since: Instant) -> Option<Instant> {
        match self.blocks.known_since(since)? {
            Inventory::Live { answered, .. } => Some(answered),
            Inventory::NotLive(_) => None,
        }
    }

    /// Whether this node may grant now.
    pub(super) async fn standing(&self) -> Standing {
        self.standing_since(Instant::now()).await.1
    }

    /// Whether this node may grant, by a question that was sent after its blocks were `answered`; and when that was. Only this
    /// gives a stamp.
    pub(super) async fn confirm(&self, answered: Instant) -> (Stamp, Standing) {
        self.standing_since(answered).await
    }

    async fn standing_since(&self, since: Instant) -> (Stamp, Standing) {
        let ask = async || {
            // Before the question.
            let stamp = Stamp { confirmed: now(), asked: Instant::now() };
            let standing = match self.kubernetes() {
                Ok(kubernetes) => standing::ask(kubernetes).await,
                Err(why) => Standing::Unknown(why),
            };
            (stamp, standing)
        };
        self.standing.since(since, ask).await
    }
}

/// An answer, or a failure to get one.
pub(super) trait Answer: Clone {
    /// Whether it is one.
    fn is_known(&self) -> bool;
}

impl<T: Clone, E: Clone> Answer for Result<T, E> {
    fn is_known(&self) -> bool {
        self.is_ok()
    }
}

impl Answer for Inventory {
    fn is_known(&self) -> bool {
        match self {
            Inventory::Live { blocks, .. } => blocks.is_ok(),
            Inventory::NotLive(standing) => !matches!(standing, Standing::Unknown(_)),
        }
    }
}

impl Answer for (Stamp, Standing) {
    fn is_known(&self) -> bool {
        !matches!(self.1, Standing::Unknown(_))
    }
}

/// The last answer to a question.
#[derive(Debug)]
struct Shared<T>(Mutex<Option<Last<T>>>);

#[derive(Debug)]
struct Last<T> {
    asked: Instant,
    answered: Instant,
    answer: T,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Shared(Mutex::default())
    }
}

impl<T: Answer> Shared<T> {
    /// The answer to a question that was asked at `since` or later; `ask` asks it. Whoever comes while one is under way waits
    /// for that, and asks again if that was asked too early. A failure is the same for all that wait.
    async fn since(&self, since: Instant, ask: impl AsyncFnOnce() -> T) -> T {
        let entered = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(Last { asked, answered, answer }) = last.as_ref()
            && *asked >= since
            && (answer.is_known() || *answered >= entered || answered.elapsed() < FAILED)
        {
            return answer.clone();
        }
        let asked = Instant::now();
        // Not both at the same time: it may be large.
        *last = None;
        let answer = ask().await;
        *last = Some(Last { asked, answered: Instant::now(), answer: answer.clone() });
        answer
    }

    /// The last answer, if it was asked for at `since` or later; none while a question is under way.
    fn known_since(&self, since: Instant) -> Option<T> {
        let last = self.0.try_lock().ok()?;
        let known = last.as_ref().filter(|last| last.asked >= since && last.answer.is_known());
        known.map(|last| last.answer.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// How often is asked where ten keepers need an answer, of now, at the same time.
    async fn asked_by_ten(answer: Result<u8, String>) -> usize {
        let (question, asked) = (Arc::new(Shared::default()), Arc::new(AtomicUsize::new(0)));
        let keeper = |since: Instant| {
            let (question, asked, answer) = (Arc::clone(&question), Arc::clone(&asked), answer.clone());
            async move {
                let ask = async || {
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    answer.clone()
                };
                assert_eq!(question.since(since, ask).await, answer);
            }
        };
        // The first one asks before the others need it: its answer may be older than what they need.
        let first = tokio::spawn(keeper(Instant::now()));
        tokio::task::yield_now().await;
        let mut all = tokio::task::JoinSet::new();
        (0..9).for_each(|_| _ = all.spawn(keeper(Instant::now())));
        first.await.unwrap();
        all.join_all().await;
        keeper(Instant::now().checked_sub(Duration::from_secs(5)).unwrap()).await;
        asked.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn keepers_that_need_an_answer_together_ask_once() {
        assert_eq!(asked_by_ten(Ok(1)).await, 2);
        assert_eq!(asked_by_ten(Err("the API server is busy".to_owned())).await, 2);
    }

    #[tokio::test]
    async fn what_is_too_old_is_asked_for_again() {
        let (question, asked) = (Shared::default(), AtomicUsize::new(0));
        for n in 0..3 {
            let ask = async || {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok::<_, String>(n)
            };
            assert_eq!(question.since(Instant::now(), ask).await, Ok(n));
        }
        assert_eq!(asked.into_inner(), 3);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept_for_whoever_comes_later() {
        let question = Shared::<Result<u8, String>>::default();
        let since = Instant::now();
        let failure = question.since(since, async || Err("busy".to_owned())).await;
        assert_eq!(question.since(since, async || Ok(1)).await, failure, "of this moment");
        question.0.lock().await.as_mut().unwrap().answered -= 2 * FAILED;
        assert_eq!(question.known_since(since), None);
        assert_eq!(question.since(since, async || Ok(1)).await, Ok(1));
        assert_eq!(question.known_since(since), Some(Ok(1)));
    }
}
