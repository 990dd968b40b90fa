//! Which Nodes there are, from a watch: a hint where to look. What is done is decided by a question.

use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::watch::Watch;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::watcher::Event;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A person says with this taint that the machine is off (Kubernetes, non-graceful node shutdown).
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The Nodes of which nobody said that the machine is off.
#[derive(Debug, Default)]
pub struct SeenNodes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    is_whole: bool,
    listing: BTreeSet<String>,
    there: BTreeSet<String>,
    appeared: BTreeSet<String>,
    relisted: bool,
}

/// What came since the last look.
#[derive(Debug, Default)]
pub struct Appeared {
    /// Nodes that were there, if only for a moment.
    pub nodes: BTreeSet<String>,
    /// A Node may have come and gone unseen.
    pub unknown: bool,
}

impl SeenNodes {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `node` is missing, or its machine is off; none before the first list is complete.
    pub fn is_gone(&self, node: &str) -> Option<bool> {
        let known = self.known();
        known.is_whole.then(|| !known.there.contains(node))
    }

    /// What came since the last call.
    pub fn take_appeared(&self) -> Appeared {
        let mut known = self.known();
        let unknown = std::mem::take(&mut known.relisted);
        Appeared { nodes: std::mem::take(&mut known.appeared), unknown }
    }

    fn take(&self, event: Event<Node>) {
        let mut known = self.known();
        match event {
            Event::Init => known.listing.clear(),
            Event::InitApply(node) => {
                let name = node.metadata.name.clone().filter(|_| !is_out_of_service(&node));
                known.listing.extend(name);
            }
            Event::InitDone => {
                known.there = std::mem::take(&mut known.listing);
                known.is_whole = true;
                known.relisted = true;
            }
            Event::Apply(node) => {
                let Some(name) = node.metadata.name.clone() else { return };
                if is_out_of_service(&node) {
                    known.there.remove(&name);
                } else {
                    known.there.insert(name.clone());
                    known.appeared.insert(name);
                }
            }
            Event::Delete(node) => {
                known.there.remove(&node.metadata.name.unwrap_or_default());
            }
        }
    }
}

impl Kubernetes {
    /// Keeps `seen` as the cluster is, for ever.
    pub async fn follow_nodes(&self, seen: &SeenNodes) {
        let source = self.source("nodes");
        let mut watch = Watch::<Node>::new(&source, "Nodes", String::new());
        loop {
            if let Some(event) = watch.next().await {
                seen.take(event);
            }
        }
    }
}

/// Whether a Node says that its machine is off.
pub(super) fn is_out_of_service(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.into_iter().flatten().any(|taint| taint.key == OUT_OF_SERVICE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{NodeSpec, Taint};

    fn node(name: &str, taint_of: Option<&str>) -> Node {
        let taint = |key: &str| Taint { key: key.to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() };
        let mut node = Node::default();
        node.metadata.name = Some(name.to_owned());
        node.spec = Some(NodeSpec { taints: taint_of.map(|key| vec![taint(key)]), ..NodeSpec::default() });
        node
    }

    #[test]
    fn a_node_is_gone_when_it_is_missing_or_its_machine_is_off() {
        let seen = SeenNodes::default();
        assert_eq!(seen.is_gone("a"), None);
        seen.take(Event::Init);
        for name in ["a", "b"] {
            seen.take(Event::InitApply(node(name, None)));
        }
        seen.take(Event::InitApply(node("c", Some("node.kubernetes.io/out-of-service"))));
        seen.take(Event::InitApply(node("d", Some("node.kubernetes.io/unreachable"))));
        assert_eq!(seen.is_gone("a"), None);
        seen.take(Event::InitDone);
        let gone = ["a", "b", "c", "d", "e"].map(|name| seen.is_gone(name).unwrap());
        assert_eq!(gone, [false, false, true, false, true]);
        assert!(seen.take_appeared().unknown && !seen.take_appeared().unknown);
        // It comes and goes between two looks.
        seen.take(Event::Apply(node("e", None)));
        seen.take(Event::Delete(node("e", None)));
        assert_eq!(seen.is_gone("e"), Some(true));
        assert!(seen.take_appeared().nodes.contains("e") && seen.take_appeared().nodes.is_empty());
        seen.take(Event::Apply(node("a", Some("node.kubernetes.io/out-of-service"))));
        assert_eq!(seen.is_gone("a"), Some(true));
        assert!(seen.take_appeared().nodes.is_empty());
    }
}
