//! What is tested: networks, nodes, the image of the pods.

use crate::cli::Error;
use crate::cli::connectivity::arguments::TestArguments;
use crate::cli::connectivity::found::Trouble;
use crate::cli::connectivity::layout::{MOST_NODES, Probe, layout};
use crate::cli::diagnosis::Fault;
use crate::cluster::{Inquiry, SeenNode};
use crate::cni::NetworkConfig;
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
        let (nodes, refused) = nodes(inquiry, &arguments.nodes)?;
        let image = match &arguments.image {
            Some(image) => image.clone(),
            None => image(inquiry)?,
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
        let absent = || Error::Connectivity(format!("the NetworkAttachmentDefinition {nad} does not exist"));
        networks.push(found.ok_or_else(absent)?);
    }
    let not_testable: Vec<String> = networks.iter().filter_map(not_testable).collect();
    if not_testable.is_empty() { Ok(networks) } else { Err(Error::Connectivity(not_testable.join("; "))) }
}

/// Why probe pods of `network` could not reach each other, whatever the nodes are; none where they might.
fn not_testable(network: &Definition) -> Option<String> {
    let config = NetworkConfig::parse(network.config.as_deref()?, Some(network.nad.name())).ok()?;
    let is_fixed = config.plugins.first()?.ipam.as_ref().is_some_and(|kind| kind.as_str() == "static");
    let why = "its IPAM is static, so all probe pods would have the same addresses, or none";
    is_fixed.then(|| format!("network {}: {why}", network.nad))
}

/// The nodes that were asked for, or all; and those of them on which no pod would start.
fn nodes(inquiry: &Inquiry, wanted: &[String]) -> Result<(Vec<String>, BTreeMap<String, Trouble>), Error> {
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
    let trouble = |node: &SeenNode| {
        let why =
            node.waits.as_deref().filter(|why| !why.is_empty()).unwrap_or("the kubelet does not report it as ready");
        Trouble { fault: Fault::NodeNotReady, why: format!("the node is not ready: {why}") }
    };
    let refused = seen.iter().filter(|node| !node.ready).map(|node| (node.name.clone(), trouble(node))).collect();
    Ok((seen.into_iter().map(|node| node.name).collect(), refused))
}

/// The image of Plexus' pods; while it is replaced, that of most of them.
fn image(inquiry: &Inquiry) -> Result<String, Error> {
    let unseen = |why: &str| Error::Connectivity(format!("{why}; name the image of Plexus with --image"));
    let pods = inquiry.daemons(None).map_err(|e| unseen(&e.to_string()))?;
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
