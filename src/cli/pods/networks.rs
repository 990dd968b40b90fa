//! The networks of a pod by its annotations: what it selects, and what the network-status reports. Pure.

use crate::cluster::SeenPod;
use crate::cni::json;
use crate::nad::{NETWORKS, NetworkStatus, Selection, selection};
use schemars::JsonSchema;
use serde::Serialize;

/// How far a network of a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// The network-status contains it.
    Attached,
    /// The pod selects it, and does not run yet.
    Waiting,
    /// The pod selects it and runs, and the network-status does not contain it.
    Missing,
    /// The pod selects it and uses the node's network: the runtime calls no CNI plugin.
    HostNetwork,
    /// The pod has ended.
    Ended,
}

/// One network of a pod.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodNetwork {
    /// `<namespace>/<NAD>`, or the name of the default network.
    pub network: String,
    /// The interface; null if the pod requests none and the network-status contains none.
    pub interface: Option<String>,
    /// This is the default network.
    pub default: bool,
    /// Its state.
    pub state: Standing,
    /// Addresses, as in the network-status.
    pub addresses: Vec<String>,
    /// The hardware address; null if the network-status does not contain it.
    pub mac: Option<String>,
    /// The gateways of the pod's default routes, if this network has them.
    pub gateways: Vec<String>,
}

/// All of a pod.
#[derive(Clone, Debug, Default)]
pub struct PodNetworks {
    /// Those that are reported, in their order, then the others that the pod selects.
    pub networks: Vec<PodNetwork>,
    /// What the pod selects.
    pub selected: Vec<Selection>,
    /// Why the annotation cannot be read.
    pub unreadable: Option<String>,
    /// Why the network-status cannot be read.
    pub unreadable_status: Option<String>,
}

impl PodNetworks {
    /// The networks of `pod`.
    pub fn of(pod: &SeenPod) -> Self {
        let mut found = PodNetworks::default();
        match pod.networks.as_deref().map(|text| selection::parse(text, &pod.namespace)) {
            Some(Ok(selected)) => found.selected = selected,
            Some(Err(e)) => found.unreadable = Some(e.to_string()),
            None => {}
        }
        let mut reported = match pod.status.as_deref().map(json::parse::<Vec<NetworkStatus>>) {
            Some(Ok(reported)) => reported,
            Some(Err(e)) => {
                found.unreadable_status = Some(e.to_string());
                Vec::new()
            }
            None => Vec::new(),
        };
        found.networks = reported.iter().map(attached).collect();
        for selected in &found.selected {
            match reported.iter().position(|entry| is_of(entry, selected)) {
                Some(at) => drop(reported.remove(at)),
                None => found.networks.push(open(selected, standing(pod))),
            }
        }
        found
    }

    /// Whether the pod has, or wants, more than the default network.
    pub fn are_several(&self, pod: &SeenPod) -> bool {
        pod.networks.is_some() || pod.default_network.is_some() || self.networks.iter().any(|network| !network.default)
    }

    /// Which of the annotations cannot be read, and why.
    pub fn problem(&self) -> Option<String> {
        let of_annotation = |why: &String| format!("annotation {NETWORKS}: {why}");
        let of_status = |why: &String| format!("the network-status cannot be read: {why}");
        self.unreadable.as_ref().map(of_annotation).or_else(|| self.unreadable_status.as_ref().map(of_status))
    }

    /// Those in `state`.
    pub fn in_state(&self, state: Standing) -> impl Iterator<Item = &PodNetwork> {
        self.networks.iter().filter(move |network| network.state == state)
    }
}

fn attached(entry: &NetworkStatus) -> PodNetwork {
    PodNetwork {
        network: entry.name.clone(),
        interface: Some(entry.interface.clone()).filter(|name| !name.is_empty()),
        default: entry.default,
        state: Standing::Attached,
        addresses: entry.ips.iter().map(ToString::to_string).collect(),
        mac: Some(entry.mac.clone()).filter(|mac| !mac.is_empty()),
        gateways: entry.gateway.iter().map(ToString::to_string).collect(),
    }
}

/// A network that is selected and not reported.
fn open(selected: &Selection, state: Standing) -> PodNetwork {
    PodNetwork {
        network: selected.nad.to_string(),
        interface: selected.interface.as_ref().map(ToString::to_string),
        default: false,
        state,
        addresses: Vec::new(),
        mac: None,
        gateways: Vec::new(),
    }
}

fn is_of(entry: &NetworkStatus, selected: &Selection) -> bool {
    let asked = selected.interface.as_ref();
    entry.name == selected.nad.to_string() && asked.is_none_or(|name| name.as_str() == entry.interface)
}

fn standing(pod: &SeenPod) -> Standing {
    match pod.phase.as_str() {
        _ if pod.host_network => Standing::HostNetwork,
        "Succeeded" | "Failed" => Standing::Ended,
        // The network-status is written once the sandbox is complete: the pod may still be pulling its image.
        "Running" => Standing::Missing,
        _ if pod.status.is_some() => Standing::Missing,
        _ => Standing::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(phase: &str, networks: &str, status: Option<&str>) -> SeenPod {
        SeenPod {
            namespace: "n".into(),
            name: "p".into(),
            phase: phase.into(),
            networks: Some(networks.into()),
            status: status.map(str::to_owned),
            ..SeenPod::default()
        }
    }

    fn states(pod: &SeenPod) -> Vec<(String, Standing)> {
        PodNetworks::of(pod).networks.into_iter().map(|one| (one.network, one.state)).collect()
    }

    #[test]
    fn what_is_selected_and_not_reported_is_found() {
        let status = r#"[{"name":"cbr0","interface":"eth0","ips":["10.1.1.2"],"default":true,"dns":{}},
            {"name":"n/a","interface":"net1","dns":{},"gateway":["10.2.0.1"]}]"#;
        let running = pod("Running", "a,a,m/b@net7", Some(status));
        let expected = [
            ("cbr0", Standing::Attached),
            ("n/a", Standing::Attached),
            ("n/a", Standing::Missing),
            ("m/b", Standing::Missing),
        ];
        assert_eq!(states(&running), expected.map(|(name, state)| (name.to_owned(), state)));
        assert_eq!(states(&pod("Pending", "a", None)), [("n/a".to_owned(), Standing::Waiting)]);
        assert_eq!(states(&pod("Succeeded", "a", None)), [("n/a".to_owned(), Standing::Ended)]);
        let hosts = SeenPod { host_network: true, ..pod("Running", "a", None) };
        assert_eq!(states(&hosts), [("n/a".to_owned(), Standing::HostNetwork)]);
    }

    #[test]
    fn an_annotation_that_cannot_be_read_is_named() {
        let networks = PodNetworks::of(&pod("Pending", "A", Some("[")));
        let problem = networks.problem().unwrap();
        assert!(problem.starts_with("annotation k8s.v1.cni.cncf.io/networks: ") && problem.contains('A'), "{problem}");
        assert!(networks.unreadable_status.is_some() && networks.networks.is_empty());
        let problem = PodNetworks::of(&pod("Running", "a", Some("["))).problem().unwrap();
        assert!(problem.starts_with("the network-status cannot be read: "), "{problem}");
    }

    #[test]
    fn a_pod_with_the_default_network_alone_is_none_of_several() {
        let mut alone = pod("Running", "", Some(r#"[{"name":"cbr0","default":true,"dns":{}}]"#));
        alone.networks = None;
        assert!(!PodNetworks::of(&alone).are_several(&alone));
        alone.default_network = Some("x".into());
        assert!(PodNetworks::of(&alone).are_several(&alone));
    }
}
