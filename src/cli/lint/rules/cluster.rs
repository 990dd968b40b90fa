//! Rules that need more than manifests: the machine, or what a cluster knows of its objects.

use crate::cli::lint::found::Found;
use crate::cli::lint::judged::Judged;
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::network::Network;
use crate::cli::objects::object::Object;
use crate::cluster::manifests::tree::Node;
use crate::nad::{NETWORKS, selection};

const GOOD: Example = Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "br9" }"#);

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX043",
        severity: Severity::Error,
        what: "the program of a plugin is not in the plugin directory of this node",
        fix: "install the program, or correct the type",
        needs: Needs::Node,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "vendor-cni" }"#),
        good: GOOD,
        judge: |judged| {
            let missing = |network: &Network| {
                let config = network.parsed.as_ref()?.as_ref().ok()?;
                let why = judged.registry.present(config, &judged.machine.as_ref()?.programs).err()?;
                let (_, node) = network.plugins().into_iter().next()?;
                Some(judged.in_config(network, node.at, why.to_string()))
            };
            judged.objects.networks.iter().filter_map(missing).collect()
        },
    },
    Rule {
        id: "PX058",
        severity: Severity::Warning,
        what: "the network sets VLANs on a bridge that does not filter VLANs on this node",
        fix: "switch it on: ip link set dev <bridge> type bridge vlan_filtering 1",
        needs: Needs::Node,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "br0", "vlan": 100 }"#),
        good: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "br0" }"#),
        judge: |judged| {
            let unfiltered = |(network, plugin, node): (&Network, &crate::cni::PluginConfig, &Node)| {
                let bridge = plugin.object.read::<String>("bridge").ok()??;
                let has_vlans = node.find("vlan").and_then(Node::number).is_some_and(|vlan| vlan != 0)
                    || node.find("vlanTrunk").is_some();
                let filters = *judged.machine.as_ref()?.bridges.get(&bridge)?;
                let place = node.key("vlan").or(node.key("vlanTrunk")).map_or(node.at, |key| key.at);
                (has_vlans && !filters).then(|| {
                    judged.in_config(network, place, format!("bridge {bridge} of this node does not filter VLANs"))
                })
            };
            judged.plugins().filter_map(unfiltered).collect()
        },
    },
    Rule {
        id: "PX059",
        severity: Severity::Info,
        what: "a network changed after pods got it: they keep the former configuration",
        fix: "create the pods again if they need the new configuration",
        needs: Needs::Cluster,
        bad: Example::Manifests(concat!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata:\n  name: a\n  creationTimestamp: \"2026-01-01T00:00:00Z\"\n  managedFields: [{ time: \"2026-03-01T00:00:00Z\", fieldsV1: { \"f:spec\": { \"f:config\": {} } } }]\nspec:\n  config: '{ \"cniVersion\": \"1.0.0\", \"type\": \"bridge\" }'\n---\n",
            "apiVersion: v1\nkind: Pod\nmetadata: { name: p, annotations: { k8s.v1.cni.cncf.io/networks: a } }\nspec: { containers: [] }\nstatus: { phase: Running, conditions: [{ type: PodReadyToStartContainers, status: \"True\", lastTransitionTime: \"2026-02-01T00:00:00Z\" }] }\n",
        )),
        good: GOOD,
        judge: |judged| judged.objects.networks.iter().filter_map(|network| outdated(judged, network)).collect(),
    },
];

/// The pods that got `network` before it was changed.
fn outdated(judged: &Judged<'_>, network: &Network) -> Option<Found> {
    let object = &judged.objects.all[network.object];
    let changed = changed(object)?;
    let is_older = |pod: &&Object| {
        let phase = pod.root.below(&["status", "phase"]).and_then(Node::text);
        phase == Some("Running") && attached(pod).is_some_and(|time| time < changed) && selects(pod, network)
    };
    let pods: Vec<String> = judged
        .objects
        .all
        .iter()
        .filter(|object| object.kind == "Pod")
        .filter(is_older)
        .map(|pod| format!("{}/{}", pod.namespace, pod.name))
        .collect();
    let named = pods.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = if pods.len() > 5 { format!(" and {} more", pods.len() - 5) } else { String::new() };
    let text = format!("changed at {changed}; attached before to {named}{more}");
    (!pods.is_empty()).then(|| judged.in_object(network.object, &object.root, text))
}

/// When the pod had its networks at the latest, by the kubelet; none where it does not tell. The creation and the start of a
/// pod are no such time: one that waits for its network gets it later.
fn attached(pod: &Object) -> Option<&str> {
    let conditions = pod.root.below(&["status", "conditions"]).map_or(&[] as &[Node], Node::items);
    let of = |kind: &str| conditions.iter().find(|one| one.get("type").and_then(Node::text) == Some(kind));
    // A kubelet before Kubernetes 1.29 has only the other one.
    let condition = of("PodReadyToStartContainers").or_else(|| of("Ready"))?;
    let holds = condition.get("status").and_then(Node::text) == Some("True");
    condition.get("lastTransitionTime").and_then(Node::text).filter(|_| holds)
}

/// When the configuration was written last, if that was after the object was made. Times of the API sort as strings.
fn changed(object: &Object) -> Option<&str> {
    let fields = object.root.below(&["metadata", "managedFields"]).map_or(&[] as &[Node], Node::items);
    let of_spec = fields.iter().filter(|fields| fields.below(&["fieldsV1", "f:spec"]).is_some());
    let last = of_spec.filter_map(|fields| fields.get("time")?.text()).max()?;
    let made = object.root.below(&["metadata", "creationTimestamp"]).and_then(Node::text);
    Some(last).filter(|last| made != Some(last))
}

fn selects(pod: &Object, network: &Network) -> bool {
    let text = pod.root.below(&["metadata", "annotations", NETWORKS]).and_then(Node::text).unwrap_or_default();
    // Most pods of a cluster select something else.
    if !text.contains(network.nad.name()) {
        return false;
    }
    let selections = selection::parse(text, &pod.namespace).unwrap_or_default();
    selections.iter().any(|selection| selection.nad == network.nad)
}
