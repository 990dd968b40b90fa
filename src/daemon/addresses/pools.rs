//! The list of all AddressPools, which the keepers of this node share: each of them needs it, often at the same time.

use crate::ipam::overlap::Claimant;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// The pools, or why they are not known.
pub(super) type Seen = Result<Arc<[Claimant]>, String>;

/// The list that was asked for last.
#[derive(Debug, Default)]
pub(super) struct Pools(Mutex<Option<(Instant, Seen)>>);

impl Pools {
    /// The pools, as an answer to a question that was asked at `since` or later; `ask` asks it. Whoever comes while one is
    /// under way waits for that.
    ///
    /// # Errors
    /// They are not known: the same for all that wait.
    pub(super) async fn seen_since(&self, since: Instant, ask: impl AsyncFnOnce() -> Seen) -> Seen {
        let mut latest = self.0.lock().await;
        if let Some((asked, seen)) = latest.as_ref()
            && *asked >= since
        {
            return seen.clone();
        }
        let asked = Instant::now();
        let seen = ask().await;
        *latest = Some((asked, seen.clone()));
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// How often is asked where ten keepers need the list, of now, at the same time.
    async fn asked_by_ten(answer: Seen) -> usize {
        let (pools, asked) = (Arc::new(Pools::default()), Arc::new(AtomicUsize::new(0)));
        let keeper = |since: Instant| {
            let (pools, asked, answer) = (Arc::clone(&pools), Arc::clone(&asked), answer.clone());
            async move {
                let ask = async || {
                    asked.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    answer.clone()
                };
                assert_eq!(pools.seen_since(since, ask).await, answer);
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
    async fn keepers_that_need_the_list_together_ask_once() {
        assert_eq!(asked_by_ten(Ok(Arc::default())).await, 2);
        assert_eq!(asked_by_ten(Err("the API server is busy".to_owned())).await, 2);
    }

    #[tokio::test]
    async fn what_is_too_old_is_asked_for_again() {
        let (pools, asked) = (Pools::default(), AtomicUsize::new(0));
        for _ in 0..3 {
            let ask = async || {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(Arc::default())
            };
            pools.seen_since(Instant::now(), ask).await.unwrap();
        }
        assert_eq!(asked.into_inner(), 3);
    }
}
