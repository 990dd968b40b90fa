//! What is tested: networks, nodes, the image of the pods.

use crate::cli::Error;
use crate::cli::connectivity::arguments::TestArguments;
use crate::cli::connectivity::found::Trouble;
use crate::cli::connectivity::layout::{MOST_NODES, Probe, layout};
use crate::cli::diagnosis::Fault;
use crate::cli::meant;
use crate::cli::why::broken;
use crate::cluster::{Inquiry, SeenNode, SeenPod};
use crate::cni::{NetworkConfig, spelling};
use crate::nad::{Definition, NadRef};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

/// Everything that is known before the first pod is made.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The run, which no other one has.
    pub run: String,
    /// The image of the pods.
    pub image: String,
    /// The pods.
    pub probes: Vec<Probe>,
    /// The nodes on which none can run, and why.
    pub refused: BTreeMap<String, Trouble>,
}

impl Subject {
    /// Asks the API server for all of it.
    pub fn ask(inquiry: &Inquiry, arguments: &TestArguments) -> Result<Self, Error> {
        let networks = networks(inquiry, arguments)?;
        let plexus = inquiry.daemons(None).map_err(|e| e.to_string());
        let seen = nodes(inquiry, &arguments.nodes)?;
        let refused = refused(&seen, plexus.as_deref().ok());
        let nodes: Vec<String> = seen.into_iter().map(|node| node.name).collect();
        if refused.len() == nodes.len() {
            let all = refused.iter().map(|(node, trouble)| format!("node {node}: {}", trouble.why));
            return Err(Error::Connectivity(all.collect::<Vec<_>>().join("; ")));
        }
        let image = match &arguments.image {
            Some(image) => image.clone(),
            None => image(&plexus)?,
        };
        let run = run();
        let probes = layout(&run, &networks, &nodes, arguments.namespace.as_deref());
        Ok(Subject { run, image, probes, refused })
    }

    /// The namespaces of the pods, each once.
    pub fn namespaces(&self) -> Vec<String> {
        let mut namespaces: Vec<String> = self.probes.iter().map(|probe| probe.namespace.clone()).collect();
        namespaces.sort();
        namespaces.dedup();
        namespaces
    }
}

fn networks(inquiry: &Inquiry, arguments: &TestArguments) -> Result<Vec<Definition>, Error> {
    let default = arguments.namespace.as_deref().unwrap_or(inquiry.namespace());
    let mut networks: Vec<Definition> = Vec::new();
    for text in &arguments.networks {
        let (namespace, name) = text.split_once('/').unwrap_or((default, text));
        let nad = NadRef::new(namespace, name).map_err(|e| Error::Name(format!("network {text}: {e}")))?;
        if networks.iter().any(|network| network.nad == nad) {
            continue;
        }
        let found = inquiry.definition(&nad)?;
        let absent = || {
            let hint = spelling::hint(meant::network(inquiry, &nad));
            Error::Connectivity(format!("the NetworkAttachmentDefinition {nad} does not exist{hint}"))
        };
        networks.push(found.ok_or_else(absent)?);
    }
    let not_testable: Vec<String> = networks.iter().filter_map(not_testable).collect();
    if not_testable.is_empty() { Ok(networks) } else { Err(Error::Connectivity(not_testable.join("; "))) }
}

/// Why probe pods of `network` could not start or reach each other, whatever the nodes are; none where they might.
fn not_testable(network: &Definition) -> Option<String> {
    if let Some(why) = broken(network) {
        return Some(format!("network {}: {why}", network.nad));
    }
    let config = NetworkConfig::parse(network.config.as_deref()?, Some(network.nad.name())).ok()?;
    let is_fixed = config.plugins.first()?.ipam.as_ref().is_some_and(|kind| kind.as_str() == "static");
    let why = "its IPAM is static, so all probe pods would have the same addresses, or none";
    is_fixed.then(|| format!("network {}: {why}", network.nad))
}

/// The nodes that were asked for, or all that run Linux.
fn nodes(inquiry: &Inquiry, wanted: &[String]) -> Result<Vec<SeenNode>, Error> {
    let mut seen: Vec<SeenNode> = Vec::new();
    if wanted.is_empty() {
        seen = inquiry.nodes().map_err(|e| Error::Connectivity(format!("{e}; name nodes with --node")))?;
        seen.retain(|node| node.linux);
    }
    for name in wanted {
        let absent = || Error::Connectivity(format!("node {name} does not exist"));
        seen.push(inquiry.node(name)?.ok_or_else(absent)?);
    }
    seen.sort_by(|a, b| a.name.cmp(&b.name));
    seen.dedup_by(|a, b| a.name == b.name);
    match seen.len() {
        0 => return Err(Error::Connectivity("the cluster has no node that runs Linux".to_owned())),
        count if count > MOST_NODES => {
            let why = format!("the cluster has {count} nodes; choose at most {MOST_NODES} with --node");
            return Err(Error::Connectivity(why));
        }
        _ => {}
    }
    Ok(seen)
}

/// The nodes on which no probe pod would get its network, and why. `plexus`: Plexus' pods, where they can be seen.
fn refused(nodes: &[SeenNode], plexus: Option<&[SeenPod]>) -> BTreeMap<String, Trouble> {
    let trouble = |node: &SeenNode| {
        let has_plexus = |pods: &[SeenPod]| pods.iter().any(|pod| pod.node.as_ref() == Some(&node.name));
        let (fault, why) = if !node.linux {
            (Fault::NoNode, "the node runs Windows, and Plexus runs on Linux".to_owned())
        } else if !node.ready {
            let why = node.waits.as_deref().filter(|why| !why.is_empty());
            let why = why.unwrap_or("the kubelet does not report it as ready");
            (Fault::NodeNotReady, format!("the node is not ready: {why}"))
        } else if plexus.is_some_and(|pods| !has_plexus(pods)) {
            (Fault::DaemonDown, "the node has no Plexus pod".to_owned())
        } else {
            return None;
        };
        Some((node.name.clone(), Trouble { fault, why }))
    };
    nodes.iter().filter_map(trouble).collect()
}

/// The image of Plexus' pods; while it is replaced, that of most of them.
fn image(plexus: &Result<Vec<SeenPod>, String>) -> Result<String, Error> {
    let unseen = |why: &str| Error::Connectivity(format!("{why}; name the image of Plexus with --image"));
    let pods = plexus.as_ref().map_err(|why| unseen(why))?;
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for image in pods.iter().filter_map(|pod| pod.images.first()) {
        *counts.entry(image).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(image, _)| image.clone());
    most.ok_or_else(|| unseen("the cluster has no Plexus pod"))
}

/// Six letters and digits that no other run has.
fn run() -> String {
    let mut number = RandomState::new().hash_one(std::process::id());
    let digit = |_| {
        let digit = char::from_digit(u32::try_from(number % 36).unwrap_or_default(), 36).unwrap_or('0');
        number /= 36;
        digit
    };
    (0..6).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_fixed_addresses_is_refused_before_the_first_pod() {
        let of = |ipam: &str| {
            let config = format!(r#"{{"cniVersion":"1.0.0","type":"macvlan","ipam":{{"type":"{ipam}"}}}}"#);
            Definition::new(NadRef::new("n", "lan").unwrap(), Some(config), |_| None)
        };
        assert!(not_testable(&of("static")).unwrap().starts_with("network n/lan: its IPAM is static"));
        assert_eq!(not_testable(&of("host-local")), None);
        let broken = Definition::new(NadRef::new("n", "bad").unwrap(), Some("{".into()), |_| None);
        assert!(not_testable(&broken).unwrap().starts_with("network n/bad: "));
    }

    #[test]
    fn a_node_that_gives_no_network_is_refused_before_the_first_pod() {
        let node = |name: &str, ready, linux| SeenNode { name: name.into(), ready, linux, ..SeenNode::default() };
        let nodes = [node("a", true, true), node("b", true, true), node("down", false, true), node("w", true, false)];
        let plexus = [SeenPod { node: Some("a".into()), ..SeenPod::default() }];
        let why = |plexus: Option<&[SeenPod]>| -> Vec<(String, Fault)> {
            refused(&nodes, plexus).into_iter().map(|(node, trouble)| (node, trouble.fault)).collect()
        };
        let unready = [("down".to_owned(), Fault::NodeNotReady), ("w".to_owned(), Fault::NoNode)];
        assert_eq!(why(None), unready, "nobody knows where Plexus is");
        assert_eq!(why(Some(&plexus)), [&[("b".to_owned(), Fault::DaemonDown)], &unready[..]].concat());
    }

    #[test]
    fn runs_have_names_of_their_own() {
        let runs: Vec<String> = (0..100).map(|_| run()).collect();
        assert!(
            runs.iter().all(|run| run.len() == 6 && run.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()))
        );
        assert!(runs.windows(2).all(|two| two[0] != two[1]), "{runs:?}");
    }
}
