//! Frees the blocks of nodes that were removed, and never while their pods may live.
//!
//! [`Reclaimer`] decides; here it is asked and done. The watch of Nodes only tells where to look. Each decision rests on a
//! question about the Node that was asked after the record was read, and each write names the version that was judged.

use super::shown::Shown;
use crate::cluster::addresses::AddressNodeSpec;
use crate::cluster::{Kubernetes, LeasedBlock, SeenNodes, Subject, Written};
use crate::ipam::epoch::{Reclaimer, Record, Step, Terms};
use crate::ipam::look::{Ask, Look};
use k8s_openapi::jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How often one node is marked: one that objects again and again lives, and lacks its Node.
const REVOKE_EVERY: Duration = Duration::from_secs(60);
/// How often all blocks are listed, for those whose node has no record.
const STRAYS_EVERY: Duration = Duration::from_secs(60);

/// Looks for removed nodes.
pub struct Removed<'a> {
    kubernetes: &'a Kubernetes,
    nodes: &'a SeenNodes,
    shown: &'a Shown,
    reclaimer: Reclaimer,
    /// A clock that only goes forward.
    start: Instant,
    /// Nodes that have blocks and no record.
    strays: BTreeSet<String>,
    /// When all blocks were listed, and those of them that a list of the blocks of their node lacks: there are none most of the
    /// time, and a cluster has many others.
    listed: Option<(Instant, Vec<LeasedBlock>)>,
    /// When each node was marked last.
    revoked: BTreeMap<String, Instant>,
    /// The nodes, with their epochs, that this controller has marked, and that nobody has taken the mark away from.
    marked: BTreeMap<String, String>,
    /// What each pool asks for. A pool that is deleted does not shorten the wait for its blocks.
    terms: BTreeMap<String, Terms>,
}

impl<'a> Removed<'a> {
    /// With the watched `nodes`; what is done is shown.
    pub fn new(kubernetes: &'a Kubernetes, nodes: &'a SeenNodes, shown: &'a Shown) -> Self {
        let (reclaimer, start) = (Reclaimer::default(), Instant::now());
        let (strays, listed, revoked) = (BTreeSet::new(), None, BTreeMap::new());
        let (terms, marked) = (BTreeMap::new(), BTreeMap::new());
        Removed { kubernetes, nodes, shown, reclaimer, start, strays, listed, revoked, marked, terms }
    }

    /// Looks once, and does what is to be done.
    pub async fn look(&mut self) {
        let outcome = self.look_at_all().await;
        self.reclaimer.end_round(self.start.elapsed());
        if let Err(reason) = &outcome {
            tracing::warn!(reason, "removed nodes cannot be looked for");
        }
        self.shown.trouble(outcome.err().as_deref().unwrap_or_default());
    }

    async fn look_at_all(&mut self) -> Result<(), String> {
        self.reclaimer.begin_round(self.start.elapsed());
        let appeared = self.nodes.take_appeared();
        appeared.nodes.iter().for_each(|node| self.reclaimer.forget(node));
        if appeared.unknown {
            self.reclaimer.forget_all();
        }
        let records = self.kubernetes.address_nodes().await.map_err(|e| e.to_string())?;
        self.notice_objections(&records);
        if self.listed.as_ref().is_none_or(|(when, _)| when.elapsed() > STRAYS_EVERY) {
            self.list(&records).await?;
            self.learn_terms().await?;
        }
        let is_of_interest = |record: &Record| record.is_revoked() || record.is_dead;
        let is_gone = |node: &str| self.nodes.is_gone(node) == Some(true);
        let marked = records.iter().filter(|(node, record)| is_of_interest(record) || is_gone(node));
        let marked: Vec<&String> = marked.map(|(node, _)| node).collect();
        self.shown.revoking(marked.len());
        let strays = self.strays.iter().filter(|node| is_gone(node));
        let wanted: BTreeSet<String> = marked.into_iter().chain(strays).cloned().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        self.learn_terms().await?;
        let mut dead = Vec::new();
        for node in wanted {
            match self.settle(&node).await {
                // It was dead before the list that follows, so that has all that it leased.
                Ok(Some(record)) if records.get(&node).is_some_and(|record| record.is_dead) => {
                    dead.push((node, record))
                }
                Ok(_) => {}
                Err(reason) => tracing::warn!(node, reason, "a removed node cannot be settled"),
            }
        }
        let now = if dead.is_empty() { Vec::new() } else { self.list(&records).await? };
        for (node, record) in dead {
            if let Err(reason) = self.clear(&node, &record, &now).await {
                tracing::warn!(node, reason, "a removed node cannot be settled");
            }
        }
        Ok(())
    }

    /// Lists all blocks, and looks for those whose node has none of the `records`.
    async fn list(&mut self, records: &BTreeMap<String, Record>) -> Result<Vec<LeasedBlock>, String> {
        let blocks = self.kubernetes.leased_blocks(None).await.map_err(|e| e.to_string())?;
        let orphans = || blocks.iter().filter(|block| !records.contains_key(&block.node));
        self.shown.orphans(orphans().count());
        let strays = orphans().filter(|block| !block.epoch.is_empty());
        self.strays = strays.map(|block| block.node.clone()).collect();
        self.listed = Some((Instant::now(), mislabelled(&blocks)));
        Ok(blocks)
    }

    /// The blocks of `node`, as they are now where their label is right.
    async fn blocks(&self, node: &str) -> Result<Vec<LeasedBlock>, String> {
        let mut blocks = self.kubernetes.leased_blocks(Some(node)).await.map_err(|e| e.to_string())?;
        let names: BTreeSet<String> = blocks.iter().map(|block| block.name.clone()).collect();
        let others = self.listed.iter().flat_map(|(_, blocks)| blocks).filter(|block| block.node == node);
        blocks.extend(others.filter(|block| !names.contains(&block.name)).cloned());
        Ok(blocks)
    }

    /// A daemon that lives has taken the mark away.
    fn notice_objections(&mut self, records: &BTreeMap<String, Record>) {
        let is_marked =
            |node: &str, epoch: &str| records.get(node).is_some_and(|record| record.epoch == epoch && !record.is_dead);
        self.marked.retain(|node, epoch| is_marked(node, epoch));
        let objected: Vec<String> = self
            .marked
            .keys()
            .filter(|node| records.get(*node).is_some_and(|record| !record.is_revoked()))
            .cloned()
            .collect();
        for node in objected {
            let epoch = self.marked.remove(&node).unwrap_or_default();
            self.shown.objected();
            let note = "plexusd of this node runs and removed the mark: nothing is freed. There is no Node, or it has the taint out-of-service";
            self.kubernetes.tell_of(&subject(&node, &epoch), "Warning", "RevocationObjected", note);
        }
    }

    async fn learn_terms(&mut self) -> Result<(), String> {
        self.terms.extend(self.kubernetes.pool_terms().await.map_err(|e| e.to_string())?);
        Ok(())
    }

    /// Asks what [`Look`] wants to know, in its order.
    async fn judge(&mut self, node: &str) -> Result<(Step, Vec<LeasedBlock>), String> {
        let kubernetes = self.kubernetes;
        let (mut look, mut next) = Look::begin();
        loop {
            next = match next {
                Ask::Blocks => look.listed(self.blocks(node).await?),
                Ask::Record => {
                    let record = kubernetes.address_node(node).await.map_err(|e| e.to_string())?;
                    look.read(record, self.start.elapsed())
                }
                Ask::Node => {
                    let is_gone = kubernetes.is_node_gone(node).await.map_err(|e| e.to_string())?;
                    let wait = |blocks: &[LeasedBlock]| quarantine(blocks, &self.terms);
                    look.judge((&mut self.reclaimer, node), is_gone, wait)
                }
                Ask::Do(step, blocks) => return Ok((step, blocks)),
            };
        }
    }

    /// Looks at a node, and does what follows.
    /// The record of a node that is dead and may have no block any more: [`Removed::clear`] comes next.
    async fn settle(&mut self, node: &str) -> Result<Option<Record>, String> {
        let (step, blocks) = self.judge(node).await?;
        match step {
            Step::Leave | Step::Wait => {}
            Step::Revoke(record) => {
                self.revoked.retain(|_, marked| marked.elapsed() < REVOKE_EVERY);
                if self.revoked.contains_key(node) {
                    return Ok(None);
                }
                self.revoked.insert(node.to_owned(), Instant::now());
                self.revoke(node, &record, quarantine(&blocks, &self.terms)).await?;
            }
            Step::Restore(record) => {
                self.revoked.remove(node);
                self.marked.remove(node);
                if self.write(node, &record, AddressNodeSpec::default(), "is back").await? == Written::Done {
                    let note = "there is a Node again: nothing is freed";
                    self.kubernetes.tell_of(&subject(node, &record.epoch), "Normal", "RevocationEnded", note);
                }
            }
            Step::Bury(record) => {
                let spec = AddressNodeSpec { revoked_at: record.revoked_at.clone(), dead: true };
                self.write(node, &record, spec, "is dead: its blocks are freed").await?;
            }
            Step::Clear(record) => {
                self.free(blocks.iter()).await?;
                return Ok(Some(record));
            }
            Step::ClearStray => {
                self.free(blocks.iter().filter(|block| !block.epoch.is_empty())).await?;
                // What is leased later waits as long.
                self.reclaimer.forget(node);
                self.listed = None;
            }
        }
        Ok(None)
    }

    /// Frees what the new list of all blocks, `now`, still has of a dead node: a late block, or one with the label of another
    /// node. Without such a block the record goes, too.
    async fn clear(&self, node: &str, record: &Record, now: &[LeasedBlock]) -> Result<(), String> {
        let late: Vec<&LeasedBlock> = now.iter().filter(|block| block.node == node).collect();
        if !late.is_empty() {
            return self.free(late.into_iter()).await;
        }
        if self.kubernetes.delete_address_node(node, record).await? == Written::Done {
            tracing::info!(node, "all blocks of a removed node are free");
            self.shown.freed();
            let note = "the node was removed, and all its blocks of addresses are free";
            self.kubernetes.tell_of(&subject(node, &record.epoch), "Normal", "BlocksFreed", note);
        }
        Ok(())
    }

    async fn revoke(&mut self, node: &str, record: &Record, wait: Duration) -> Result<(), String> {
        let spec = AddressNodeSpec { revoked_at: Timestamp::now().to_string(), dead: false };
        if self.write(node, record, spec, "is revoked").await? == Written::Done {
            self.marked.insert(node.to_owned(), record.epoch.clone());
            let note = format!(
                "there is no Node, or it has the taint out-of-service: the blocks of this node are freed in {} s, unless plexusd of this node lives or the Node comes back",
                wait.as_secs()
            );
            self.kubernetes.tell_of(&subject(node, &record.epoch), "Warning", "NodeRevoked", &note);
        }
        Ok(())
    }

    async fn write(&self, node: &str, record: &Record, spec: AddressNodeSpec, what: &str) -> Result<Written, String> {
        let written = self.kubernetes.write_address_node(node, record, spec).await?;
        tracing::info!(
            node,
            epoch = record.epoch,
            done = written == Written::Done,
            "a node that leases addresses {what}"
        );
        Ok(written)
    }

    async fn free(&self, blocks: impl Iterator<Item = &LeasedBlock>) -> Result<(), String> {
        for block in blocks {
            let freed = self.kubernetes.free_block(block).await? == Written::Done;
            tracing::info!(block = block.name, node = block.node, freed, "freeing a block of a removed node");
        }
        Ok(())
    }
}

fn subject(node: &str, epoch: &str) -> Subject {
    Subject { kind: "AddressNode", name: node.to_owned(), uid: epoch.to_owned() }
}

/// Those of `blocks` that only a list of all blocks has.
fn mislabelled(blocks: &[LeasedBlock]) -> Vec<LeasedBlock> {
    blocks.iter().filter(|block| !block.is_labelled).cloned().collect()
}

/// The longest of the pools in which the node has blocks.
fn quarantine(blocks: &[LeasedBlock], terms: &BTreeMap<String, Terms>) -> Duration {
    Terms::longest(blocks.iter().map(|block| terms.get(&block.pool).copied().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_that_the_label_does_not_find_are_kept() {
        let block = |name: &str, is_labelled| LeasedBlock {
            name: name.to_owned(),
            version: ("u".to_owned(), "1".to_owned()),
            pool: "lan".to_owned(),
            node: "n1".to_owned(),
            epoch: "e".to_owned(),
            is_labelled,
        };
        let kept = mislabelled(&[block("a", true), block("b", false), block("c", true)]);
        assert_eq!(kept, [block("b", false)]);
    }
}
