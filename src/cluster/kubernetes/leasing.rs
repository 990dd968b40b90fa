//! What a daemon asks of pools before it leases: all pools, the labels of its Node, which blocks others hold, and when one of
//! them is free again.

use crate::cluster::addresses::{AddressBlock, AddressPool, POOL, block_name};
use crate::cluster::error::Error;
use crate::cluster::kubernetes::blocks::GRANT;
use crate::cluster::kubernetes::client::Kubernetes;
use crate::ipam::overlap::Claimant;
use crate::ipam::{Block, PoolName};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Nodes that wait for one block try one after another, in no order: the first one takes it, and the others see that.
const SPREAD_MILLISECONDS: u64 = 100;
/// The API server ends a watch after so many seconds; it is waited for less.
const WATCH_SECONDS: u32 = 30;

/// What became free while somebody waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freed {
    /// These blocks, by their first addresses, and nobody has taken them since.
    Blocks(BTreeSet<IpAddr>),
    /// It is not known: the blocks are to be listed again.
    Unknown,
    /// Nothing in that time.
    Nothing,
}

impl Kubernetes {
    /// Every pool.
    pub async fn address_pools(&self) -> Result<Vec<Claimant>, Error> {
        let list = |client| {
            let api: Api<AddressPool> = Api::all(client);
            async move { api.list(&ListParams::default()).await }
        };
        let found = self.ask::<AddressPool, _, _>("list", "address pools".to_owned(), list).await;
        Ok(found.map_err(|e| e.mended_by(GRANT))?.items.iter().filter_map(AddressPool::claimant).collect())
    }

    /// The labels of the Node of this node; none where it has no Node.
    pub async fn node_labels(&self) -> Result<BTreeMap<String, String>, Error> {
        let name = self.node.as_str();
        let found = self.ask::<Node, _, _>("get", format!("Node {name}"), |client| {
            let api: Api<Node> = Api::all(client);
            async move { api.get_opt(name).await }
        });
        let found = found.await.map_err(|e| e.mended_by(GRANT))?;
        Ok(found.and_then(|node| node.metadata.labels).unwrap_or_default())
    }

    /// The node that holds `block`; none where nobody does.
    pub async fn holder_of(&self, pool: &PoolName, block: &Block) -> Result<Option<String>, Error> {
        let name = &block_name(pool, block);
        let found = self.ask::<AddressBlock, _, _>("get", format!("address block {name}"), |client| {
            let api: Api<AddressBlock> = Api::all(client);
            async move { api.get_opt(name).await }
        });
        Ok(found.await.map_err(|e| e.mended_by(GRANT))?.map(|block| block.spec.node))
    }

    /// Waits `until` then for blocks of `pool` to become free, from a list of `version` on; where `only` is one, for that one.
    pub async fn freed_blocks(&self, pool: &PoolName, version: &str, only: Option<IpAddr>, until: Instant) -> Freed {
        let watch = self.free_after(pool, version, only);
        timeout_at(until, watch).await.map_or(Freed::Nothing, |freed| freed.map_or(Freed::Unknown, Freed::Blocks))
    }

    async fn free_after(&self, pool: &PoolName, version: &str, only: Option<IpAddr>) -> Option<BTreeSet<IpAddr>> {
        let api: Api<AddressBlock> = Api::all(self.access.watching().0);
        let params = WatchParams::default().labels(&format!("{POOL}={pool}")).timeout(WATCH_SECONDS);
        let started = api.watch(&params, version).await;
        self.requests.made("watch", started.is_ok());
        let mut events = started.ok()?.boxed();
        let (mut free, mut turn) = (BTreeSet::new(), None);
        loop {
            let event = match turn {
                None => events.next().await,
                Some(at) => match timeout_at(at, events.next()).await {
                    Ok(event) => event,
                    Err(_) if free.is_empty() => {
                        // Somebody else was first.
                        turn = None;
                        continue;
                    }
                    Err(_) => return Some(free),
                },
            };
            match event?.ok()? {
                WatchEvent::Deleted(block) => {
                    let first = block.owned("").map(|owned| owned.block.first);
                    if first.is_some_and(|first| only.is_none_or(|only| only == first)) {
                        free.extend(first);
                        turn.get_or_insert_with(|| Instant::now() + some_time());
                    }
                }
                WatchEvent::Added(block) | WatchEvent::Modified(block) => {
                    let taken = block.owned("").map(|owned| owned.block.first);
                    free.retain(|first| Some(*first) != taken);
                }
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(_) => return None,
            }
        }
    }
}

fn some_time() -> Duration {
    Duration::from_millis(RandomState::new().build_hasher().finish() % SPREAD_MILLISECONDS)
}
