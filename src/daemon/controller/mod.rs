//! The controller of addresses: frees the blocks of nodes that were removed, shows what is leased of each pool, and ends what is
//! kept for pods that do not come back.

mod kept;
mod pools;
mod removed;
mod shown;

use super::{Settings, http};
use crate::cluster::{Access, Cache, Kubernetes, Leading, Mirror, Requests, SeenNodes};
use anyhow::Context;
use kept::Kept;
use pools::Statuses;
use removed::Removed;
use shown::Shown;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Works until it is told to stop.
///
/// # Errors
/// The API server cannot be reached by these settings.
pub async fn run(settings: Settings, mut terminate: Signal, mut interrupt: Signal) -> anyhow::Result<()> {
    let access = Access::open(settings.kubeconfig.clone()).await.context("reach the cluster")?;
    let (identity, cache, requests) = (settings.identity()?, Arc::new(Cache::default()), Requests::default());
    let kubernetes = Kubernetes::new(access, identity, settings.watch_seconds, cache, requests.clone());
    let kubernetes = Arc::new(kubernetes);
    let shown = Arc::new(Shown::new(Arc::clone(&kubernetes), requests));
    tracing::info!(release = env!("CARGO_PKG_VERSION"), identity = kubernetes.node(), "the address controller works");
    let mut background = JoinSet::new();
    if let Some(address) = settings.metrics_address {
        let guard = settings.metrics_authorization.then(|| http::Guard::new(Some(&kubernetes))).transpose()?;
        background.spawn(http::serve(address, guard, Arc::<Shown>::clone(&shown)));
    }
    let (nodes, pools, blocks) = (SeenNodes::default(), Mirror::default(), Mirror::default());
    let reservations = Mirror::default();
    let mut removed = Removed::new(&kubernetes, &nodes, &shown);
    let mut statuses = Statuses::new(&kubernetes, &pools, &blocks);
    let mut kept = Kept::new(&kubernetes, (&pools, &blocks), &reservations);
    let mut leading = settings.pod_namespace.clone().map(Leading::new);
    let work = async {
        loop {
            let leads = match &mut leading {
                Some(leading) => leading.renew(&kubernetes).await,
                None => true,
            };
            shown.leads(leads);
            if leads {
                removed.look().await;
                shown.pools(statuses.look().await);
                kept.look().await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = kubernetes.follow_nodes(&nodes) => {}
        () = kubernetes.follow_pools(&pools) => {}
        () = kubernetes.follow_blocks(&blocks) => {}
        () = kubernetes.follow_reservations(&reservations) => {}
        () = work => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
