//! What all keepers of this node ask the API server, often at the same time: they share the answers.

use super::standing::{self, Standing};
use crate::cluster::addresses::AddressBlock;
use crate::cluster::{Cluster, Kubernetes};
use crate::facts::node_blocks::now;
use crate::ipam::Confirmed;
use crate::ipam::overlap::Claimant;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// All pools, or why they are not known.
type Pools = Result<Arc<[Claimant]>, String>;

/// Which blocks this node has.
#[derive(Clone, Debug)]
pub(super) enum Inventory {
    /// Those of a node in `epoch`, or why they are not known. `answered` is the time of the answer.
    Live { epoch: String, blocks: Result<Arc<[AddressBlock]>, String>, answered: Instant },
    /// The node may grant nothing.
    NotLive(Standing),
}

/// The questions, each with its last answer.
#[derive(Debug)]
pub(super) struct Questions {
    cluster: Arc<Cluster>,
    pools: Shared<Pools>,
    blocks: Shared<Inventory>,
    standing: Shared<(Confirmed, Standing)>,
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

    /// All AddressPools, as they were at `since` or later.
    pub(super) async fn pools(&self, since: Instant) -> Pools {
        let ask = async || {
            let pools = self.kubernetes()?.address_pools().await;
            pools.map(Into::into).map_err(|e| e.to_string())
        };
        self.pools.since(since, ask).await
    }

    /// The blocks of this node in all pools, as they were at `since` or later.
    pub(super) async fn blocks(&self, since: Instant) -> Inventory {
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
        self.blocks.since(since, ask).await
    }

    /// Whether this node may grant, as it was at `since` or later; and the time **before** that question.
    pub(super) async fn standing(&self, since: Instant) -> (Confirmed, Standing) {
        let ask = async || {
            let asked = now();
            let standing = match self.kubernetes() {
                Ok(kubernetes) => standing::ask(kubernetes).await,
                Err(why) => Standing::Unknown(why),
            };
            (asked, standing)
        };
        self.standing.since(since, ask).await
    }
}

/// The last answer to a question, and when that was asked.
#[derive(Debug)]
struct Shared<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Shared(Mutex::default())
    }
}

impl<T: Clone> Shared<T> {
    /// The answer to a question that was asked at `since` or later; `ask` asks it. Whoever comes while one is under way waits
    /// for that. An answer that nothing is known is one, too: it is the same for all that wait.
    async fn since(&self, since: Instant, ask: impl AsyncFnOnce() -> T) -> T {
        let mut latest = self.0.lock().await;
        if let Some((asked, answer)) = latest.as_ref()
            && *asked >= since
        {
            return answer.clone();
        }
        let asked = Instant::now();
        let answer = ask().await;
        *latest = Some((asked, answer.clone()));
        answer
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
                n
            };
            assert_eq!(question.since(Instant::now(), ask).await, n);
        }
        assert_eq!(asked.into_inner(), 3);
    }
}
