//! Which pods are made: one on each node for each network, so that a network that fails on a node hides no other. Pure.

use crate::nad::{Definition, NadRef};

/// More nodes than that have to be chosen: the pairs grow with the square.
pub const MOST_NODES: usize = 100;

/// One pod that answers and measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where it is, for a person: the node, or one of several places on it.
    pub place: String,
    /// Its node.
    pub node: String,
    /// Its network.
    pub network: NadRef,
    /// The resource of which it needs a device.
    pub resource: Option<String>,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
}

/// The pods of the run `run`: for each of `networks` one on each of `nodes`, or two on the only one. They are in
/// `namespace`, or each in that of its network.
pub fn layout(run: &str, networks: &[Definition], nodes: &[String], namespace: Option<&str>) -> Vec<Probe> {
    let places: Vec<(String, &String)> = match nodes {
        [only] => vec![(format!("{only}#1"), only), (format!("{only}#2"), only)],
        _ => nodes.iter().map(|node| (node.clone(), node)).collect(),
    };
    let mut probes = Vec::new();
    for network in networks {
        for (place, node) in &places {
            probes.push(Probe {
                place: place.clone(),
                node: (*node).clone(),
                resource: network.resource_name.clone(),
                namespace: namespace.unwrap_or(network.nad.namespace()).to_owned(),
                pod: format!("plexus-probe-{run}-{}", probes.len()),
                network: network.nad.clone(),
            });
        }
    }
    probes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, resource: Option<&str>) -> Definition {
        Definition {
            nad: NadRef::new("n", name).unwrap(),
            config: None,
            resource_name: resource.map(str::to_owned),
            parallel: false,
        }
    }

    #[test]
    fn every_network_has_a_pod_on_every_node() {
        let nodes = ["a", "b"].map(str::to_owned);
        let probes = layout("r", &[network("one", None), network("two", Some("x/y"))], &nodes, None);
        let seen: Vec<_> =
            probes.iter().map(|one| (one.place.as_str(), one.network.name(), one.pod.as_str())).collect();
        let expected = [
            ("a", "one", "plexus-probe-r-0"),
            ("b", "one", "plexus-probe-r-1"),
            ("a", "two", "plexus-probe-r-2"),
            ("b", "two", "plexus-probe-r-3"),
        ];
        assert_eq!(seen, expected);
        assert_eq!(probes[3].resource.as_deref(), Some("x/y"));
        assert!(probes.iter().all(|one| one.namespace == "n"));
    }

    #[test]
    fn the_only_node_has_two() {
        let probes = layout("r", &[network("one", None)], &["a".to_owned()], Some("m"));
        let seen: Vec<_> = probes.iter().map(|one| (one.place.as_str(), one.node.as_str())).collect();
        assert_eq!(seen, [("a#1", "a"), ("a#2", "a")]);
        assert!(probes.iter().all(|one| one.namespace == "m"));
    }
}
