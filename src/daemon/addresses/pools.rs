//! The list of all AddressPools, which the keepers of this node share: each of them needs it, often at the same time.

use crate::cluster::Kubernetes;
use crate::ipam::overlap::Claimant;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// The pools, or why they are not known.
type Seen = Result<Arc<[Claimant]>, String>;

/// The list that was asked for last.
#[derive(Debug, Default)]
pub(super) struct Pools(Mutex<Option<(Instant, Seen)>>);

impl Pools {
    /// The pools, as an answer to a question that was asked at `since` or later. Whoever comes while one is under way waits for it.
    ///
    /// # Errors
    /// They are not known: the same for all that asked for it.
    pub(super) async fn seen_since(&self, since: Instant, kubernetes: &Kubernetes) -> Seen {
        let mut latest = self.0.lock().await;
        if let Some((asked, seen)) = latest.as_ref()
            && *asked >= since
        {
            return seen.clone();
        }
        let asked = Instant::now();
        let seen = kubernetes.address_pools().await.map(Into::into).map_err(|e| e.to_string());
        *latest = Some((asked, seen.clone()));
        seen
    }
}
