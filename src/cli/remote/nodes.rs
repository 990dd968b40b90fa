//! Where a node is asked: the container of its Plexus pod that sees the node's files.

use crate::cli::Error;
use crate::cli::pods::label;
use crate::cluster::{Inquiry, SeenNode, SeenPod};
use std::collections::BTreeSet;

/// The container with the node's directories.
pub const KEEPER: &str = "keeper";

/// A node, and where it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub node: String,
    /// Namespace and name of the pod; why it cannot be asked.
    pub pod: Result<(String, String), String>,
}

/// The nodes with these names, each once; all that run Linux where there are none.
///
/// # Errors
/// Plexus' pods cannot be listed.
pub fn find(inquiry: &Inquiry, names: &[String]) -> Result<Vec<Target>, Error> {
    let only = if let [name] = names { Some(name.as_str()) } else { None };
    let plexus = inquiry.daemons(only)?;
    if !names.is_empty() {
        let mut seen = BTreeSet::new();
        let found = names.iter().filter(|name| seen.insert(*name)).map(|name| {
            let target = target(name, &plexus);
            // A person who may not read nodes is told about the pod.
            let is_absent = target.pod.is_err() && matches!(inquiry.node(name), Ok(None));
            if is_absent { Target { pod: Err(format!("there is no node {name}")), ..target } } else { target }
        });
        return Ok(found.collect());
    }
    // Without the right to list nodes, those are known that have a pod of Plexus.
    let nodes = inquiry.nodes().unwrap_or_default();
    Ok(all(&nodes, &plexus))
}

/// Every node, sorted.
pub fn all(nodes: &[SeenNode], plexus: &[SeenPod]) -> Vec<Target> {
    let linux = nodes.iter().filter(|node| node.linux).map(|node| &node.name);
    let names: BTreeSet<&String> = linux.chain(plexus.iter().filter_map(|pod| pod.node.as_ref())).collect();
    names.into_iter().map(|name| target(name, plexus)).collect()
}

/// Where the node `name` is asked. A pod that is not ready is asked, too: it may be what one looks for.
pub fn target(name: &str, plexus: &[SeenPod]) -> Target {
    let own: Vec<&SeenPod> = plexus.iter().filter(|pod| pod.node.as_deref() == Some(name)).collect();
    let runs = |pod: &&&SeenPod| pod.running.iter().any(|container| container == KEEPER);
    let found = own.iter().filter(runs).min_by_key(|pod| pod.deleting);
    let pod = match (found, own.first()) {
        (Some(pod), _) => Ok((pod.namespace.clone(), pod.name.clone())),
        (None, None) => Err(format!("there is no Plexus pod on node {name}; `plexusctl status` shows the reason")),
        (None, Some(pod)) if pod.uninstalls => {
            let logs = "kubectl logs of its container install";
            Err(format!(
                "{} uninstalls Plexus from node {name}: it has no container {KEEPER}; {logs} has more",
                label(pod)
            ))
        }
        (None, Some(pod)) => {
            let why = pod.waits.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            Err(format!("the container {KEEPER} of {} does not run{why}", label(pod)))
        }
    };
    Target { node: name.to_owned(), pod }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: &str, running: &[&str]) -> SeenPod {
        SeenPod {
            namespace: "kube-system".into(),
            name: name.into(),
            node: Some(node.into()),
            running: running.iter().map(|one| (*one).to_owned()).collect(),
            ..SeenPod::default()
        }
    }

    #[test]
    fn a_node_is_asked_where_its_keeper_runs() {
        let waiting =
            SeenPod { waits: Some("container keeper: CrashLoopBackOff".into()), ..pod("p3", "n3", &["plexusd"]) };
        let old = SeenPod { deleting: true, ..pod("p0", "n1", &["keeper"]) };
        let plexus = [old, pod("p1", "n1", &["keeper", "plexusd"]), waiting];
        let at = |name: &str| Ok(("kube-system".to_owned(), name.to_owned()));
        assert_eq!(target("n1", &plexus).pod, at("p1"));
        assert_eq!(target("n1", &plexus[..1]).pod, at("p0"));
        let leaving = SeenPod { uninstalls: true, ..pod("p4", "n4", &[]) };
        assert!(target("n4", &[leaving]).pod.unwrap_err().contains("uninstalls Plexus from node n4"));
        assert!(target("n2", &plexus).pod.unwrap_err().contains("no Plexus pod on node n2"));
        let why = target("n3", &plexus).pod.unwrap_err();
        assert!(why.contains("keeper of kube-system/p3") && why.contains("CrashLoopBackOff"), "{why}");
        let node = |name: &str, linux| SeenNode { name: name.into(), linux, ..SeenNode::default() };
        let names: Vec<String> =
            all(&[node("n2", true), node("w", false)], &plexus).into_iter().map(|one| one.node).collect();
        assert_eq!(names, ["n1", "n2", "n3"]);
    }
}
