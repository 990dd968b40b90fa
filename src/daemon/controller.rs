//! The controller of addresses: frees the blocks of nodes that were removed, and never while their pods may live.
//!
//! [`Reclaimer`] decides; here it is asked and done. The watch of Nodes only tells where to look. Each decision rests on a
//! question about the Node that was asked after the record was read, and each write names the version that was judged.

use super::Settings;
use crate::cluster::addresses::AddressNodeSpec;
use crate::cluster::{Access, Cache, Kubernetes, Leading, LeasedBlock, Requests, SeenNodes, Written};
use crate::ipam::epoch::{Reclaimer, Record, Step, Terms};
use anyhow::Context;
use k8s_openapi::jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::Signal;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often one node is marked: one that objects again and again lives, and lacks its Node.
const REVOKE_EVERY: Duration = Duration::from_secs(60);
/// How often all blocks are listed, for those whose node has no record.
const STRAYS_EVERY: Duration = Duration::from_secs(60);

/// Works until it is told to stop.
///
/// # Errors
/// The API server cannot be reached by these settings.
pub async fn run(settings: Settings, mut terminate: Signal, mut interrupt: Signal) -> anyhow::Result<()> {
    let access = Access::open(settings.kubeconfig.clone()).await.context("reach the cluster")?;
    let identity = settings.identity()?;
    let cache = Arc::new(Cache::default());
    let kubernetes = Kubernetes::new(access, identity, settings.watch_seconds, cache, Requests::default());
    tracing::info!(release = env!("CARGO_PKG_VERSION"), identity = kubernetes.node(), "the address controller works");
    let nodes = SeenNodes::default();
    let mut controller = Controller::new(&kubernetes, &nodes);
    let mut leading = settings.pod_namespace.clone().map(Leading::new);
    let work = async {
        loop {
            let leads = match &mut leading {
                Some(leading) => leading.renew(&kubernetes).await,
                None => true,
            };
            if leads {
                controller.look().await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = kubernetes.follow_nodes(&nodes) => {}
        () = work => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

struct Controller<'a> {
    kubernetes: &'a Kubernetes,
    nodes: &'a SeenNodes,
    reclaimer: Reclaimer,
    /// A clock that only goes forward.
    start: Instant,
    /// Nodes that have blocks and no record, and when they were looked for.
    strays: BTreeSet<String>,
    strays_listed: Option<Instant>,
    /// When each node was marked last.
    revoked: BTreeMap<String, Instant>,
    /// What each pool asks for. A pool that is deleted does not shorten the wait for its blocks.
    terms: BTreeMap<String, Terms>,
}

impl<'a> Controller<'a> {
    fn new(kubernetes: &'a Kubernetes, nodes: &'a SeenNodes) -> Self {
        let (reclaimer, start) = (Reclaimer::default(), Instant::now());
        let (strays, strays_listed, revoked) = (BTreeSet::new(), None, BTreeMap::new());
        let terms = BTreeMap::new();
        Controller { kubernetes, nodes, reclaimer, start, strays, strays_listed, revoked, terms }
    }

    async fn look(&mut self) {
        if let Err(reason) = self.look_at_all().await {
            tracing::warn!(reason, "removed nodes cannot be looked for");
        }
    }

    async fn look_at_all(&mut self) -> Result<(), String> {
        let appeared = self.nodes.take_appeared();
        appeared.nodes.iter().for_each(|node| self.reclaimer.forget(node));
        if appeared.unknown {
            self.reclaimer.forget_all();
        }
        let records = self.kubernetes.address_nodes().await.map_err(|e| e.to_string())?;
        if self.strays_listed.is_none_or(|listed| listed.elapsed() > STRAYS_EVERY) {
            let blocks = self.kubernetes.leased_blocks(None).await.map_err(|e| e.to_string())?;
            let strays = blocks.into_iter().filter(|block| !block.epoch.is_empty()).map(|block| block.node);
            self.strays = strays.filter(|node| !records.contains_key(node)).collect();
            self.strays_listed = Some(Instant::now());
            self.learn_terms().await?;
        }
        let is_of_interest = |record: &Record| record.is_revoked() || record.is_dead;
        let is_gone = |node: &str| self.nodes.is_gone(node) == Some(true);
        let marked = records.iter().filter(|(node, record)| is_of_interest(record) || is_gone(node));
        let strays = self.strays.iter().filter(|node| is_gone(node));
        let wanted: BTreeSet<String> = marked.map(|(node, _)| node).chain(strays).cloned().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        self.learn_terms().await?;
        for node in wanted {
            if let Err(reason) = self.settle(&node).await {
                tracing::warn!(node, reason, "a removed node cannot be settled");
            }
        }
        Ok(())
    }

    async fn learn_terms(&mut self) -> Result<(), String> {
        self.terms.extend(self.kubernetes.pool_terms().await.map_err(|e| e.to_string())?);
        Ok(())
    }

    /// Reads the record, then the Node, and does what follows. The blocks are seen before both.
    async fn settle(&mut self, node: &str) -> Result<(), String> {
        let kubernetes = self.kubernetes;
        let blocks = kubernetes.leased_blocks(Some(node)).await.map_err(|e| e.to_string())?;
        let record = kubernetes.address_node(node).await.map_err(|e| e.to_string())?;
        let is_gone = kubernetes.is_node_gone(node).await.map_err(|e| e.to_string())?;
        let step = self.reclaimer.judge(node, record, is_gone, self.start.elapsed(), quarantine(&blocks, &self.terms));
        match step {
            Step::Leave | Step::Wait => {}
            Step::Revoke(record) => {
                self.revoked.retain(|_, marked| marked.elapsed() < REVOKE_EVERY);
                if self.revoked.contains_key(node) {
                    return Ok(());
                }
                self.revoked.insert(node.to_owned(), Instant::now());
                let revoked_at = Timestamp::now().to_string();
                self.write(node, &record, AddressNodeSpec { revoked_at, dead: false }, "is revoked").await?;
            }
            Step::Restore(record) => {
                self.revoked.remove(node);
                self.write(node, &record, AddressNodeSpec::default(), "is back").await?;
            }
            Step::Bury(record) => {
                let spec = AddressNodeSpec { revoked_at: record.revoked_at.clone(), dead: true };
                self.write(node, &record, spec, "is dead: its blocks are freed").await?;
            }
            Step::Clear(record) if blocks.is_empty() => {
                // Those that it leased before it died, and after the list.
                let late = kubernetes.leased_blocks(Some(node)).await.map_err(|e| e.to_string())?;
                if late.is_empty() && kubernetes.delete_address_node(node, &record).await? == Written::Done {
                    tracing::info!(node, "all blocks of a removed node are free");
                }
            }
            Step::Clear(_) => self.free(blocks.iter()).await?,
            Step::ClearStray => {
                self.free(blocks.iter().filter(|block| !block.epoch.is_empty())).await?;
                // What is leased later waits as long.
                self.reclaimer.forget(node);
                self.strays_listed = None;
            }
        }
        Ok(())
    }

    async fn write(&self, node: &str, record: &Record, spec: AddressNodeSpec, what: &str) -> Result<(), String> {
        let written = self.kubernetes.write_address_node(node, record, spec).await?;
        tracing::info!(
            node,
            epoch = record.epoch,
            done = written == Written::Done,
            "a node that leases addresses {what}"
        );
        Ok(())
    }

    async fn free(&self, blocks: impl Iterator<Item = &LeasedBlock>) -> Result<(), String> {
        for block in blocks {
            let freed = self.kubernetes.free_block(block).await? == Written::Done;
            tracing::info!(block = block.name, node = block.node, freed, "freeing a block of a removed node");
        }
        Ok(())
    }
}

/// The longest of the pools in which the node has blocks.
fn quarantine(blocks: &[LeasedBlock], terms: &BTreeMap<String, Terms>) -> Duration {
    let of = |block: &LeasedBlock| terms.get(&block.pool).copied().unwrap_or_default();
    let longest = blocks.iter().map(|block| of(block).wait()).max();
    longest.unwrap_or_else(|| Terms::default().wait())
}
