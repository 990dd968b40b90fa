//! Rules about networks that share addresses or parents between nodes and with each other.

use crate::cli::lint::judged::Judged;
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::network::Network;
use crate::cni::{PluginConfig, RawObject};
use crate::engine::planning::refusals::namesakes;
use crate::nad::PARALLEL;
use ipnet::IpNet;
use std::collections::BTreeMap;

const GOOD: Example = Example::Config(
    r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": { "type": "whereabouts", "range": "10.1.0.0/24" } }"#,
);
const ON_A_PARENT: [&str; 2] = ["macvlan", "ipvlan"];

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX016",
        severity: Severity::Warning,
        what: "two networks have one `name` and different subnets: they share one pool of addresses",
        fix: "give each network its own \"name\", or remove \"name\"",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "name": "net", "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" } }"#
            ),
            nad!(
                "b",
                r#"{ "cniVersion": "1.0.0", "name": "net", "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.2.0.0/24" } }"#
            ),
        )),
        good: Example::Manifests(concat!(
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" } }"#
            ),
            nad!(
                "b",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "b", "ipam": { "type": "host-local", "subnet": "10.2.0.0/24" } }"#
            ),
        )),
        judge: |judged| {
            let told = |((one, ()), (other, ())): Pair<'_, ()>| {
                let configs = [one, other]
                    .map(|network| Some((network.nad.to_string(), network.parsed.as_ref()?.as_ref().ok()?)));
                let remark = namesakes::remarks(configs.into_iter().flatten()).into_iter().next()?;
                Some(judged.in_config(other, key_of(other, "name"), remark))
            };
            let named = groups(judged, |network| Some((name(network)?, ())));
            named.iter().flat_map(|group| pairs(group)).filter_map(told).collect()
        },
    },
    Rule {
        id: "PX017",
        severity: Severity::Warning,
        what: "two networks on one parent or bridge have overlapping subnets and pools of their own: addresses collide",
        fix: "use different ranges, or one network for both",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" } }"#
            ),
            nad!(
                "b",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "ipam": { "type": "host-local", "subnet": "10.1.0.0/25" } }"#
            ),
        )),
        good: Example::Manifests(concat!(
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "br1", "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" } }"#
            ),
            nad!(
                "b",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "br2", "ipam": { "type": "host-local", "subnet": "10.1.0.0/25" } }"#
            ),
        )),
        judge: |judged| {
            let overlaps = |x: &IpNet, y: &IpNet| x.contains(y) || y.contains(x);
            let told = |((one, xs), (other, ys)): Pair<'_, Vec<IpNet>>| {
                let (x, y) = xs.iter().find_map(|x| Some((x, ys.iter().find(|y| overlaps(x, y))?)))?;
                if name(one) == name(other) {
                    return None;
                }
                let parent = parent(first(one)?)?;
                let text = format!("subnet {y} overlaps with {x} of network {} on the same {parent}", one.nad);
                Some(judged.in_config(other, key_of(other, "subnet"), text))
            };
            let on_one = groups(judged, |network| Some((parent(first(network)?)?, subnets(first(network)?))));
            on_one.iter().flat_map(|group| pairs(group)).filter_map(told).collect()
        },
    },
    Rule {
        id: "PX018",
        severity: Severity::Warning,
        what: "`host-local` counts on each node, and the network spans nodes: two nodes give out the same address",
        fix: "use an IPAM plugin of the cluster, or one range for each node (docs/how-to/addresses-across-nodes.md)",
        needs: Needs::Files,
        bad: Example::Config(
            r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" } }"#,
        ),
        good: GOOD,
        judge: |judged| {
            let spans =
                |plugin: &PluginConfig| ON_A_PARENT.contains(&plugin.kind.as_str()) || plugin.kind.as_str() == "vlan";
            let is_counted =
                |plugin: &PluginConfig| plugin.ipam.as_ref().is_some_and(|kind| kind.as_str() == "host-local");
            let bad = judged.plugins().filter(|(_, plugin, _)| spans(plugin) && is_counted(plugin));
            bad.map(|(network, plugin, node)| {
                let text = format!("{} spans nodes, and host-local gives out addresses on each node by itself: two pods can get the same one", plugin.kind);
                judged.in_config(network, node.key("ipam").map_or(node.at, |key| key.at), text)
            })
            .collect()
        },
    },
    Rule {
        id: "PX024",
        severity: Severity::Warning,
        what: "`master` is missing: the interface with the node's default route is used",
        fix: "name the interface in \"master\"",
        needs: Needs::Files,
        bad: Example::Config(
            r#"{ "cniVersion": "1.0.0", "type": "macvlan", "ipam": { "type": "whereabouts", "range": "10.1.0.0/24" } }"#,
        ),
        good: GOOD,
        judge: |judged| {
            let is_first = |network: &Network, plugin: &PluginConfig| {
                first(network).is_some_and(|first| std::ptr::eq(first, plugin))
            };
            let bad = judged.plugins().filter(|(network, plugin, _)| {
                ON_A_PARENT.contains(&plugin.kind.as_str())
                    && is_first(network, plugin)
                    && text(&plugin.object, "master").is_none()
            });
            bad.map(|(network, plugin, node)| {
                let text =
                    format!("{} has no master: each node takes the interface with its default route", plugin.kind);
                judged.in_config(network, node.at, text)
            })
            .collect()
        },
    },
    Rule {
        id: "PX025",
        severity: Severity::Warning,
        what: "macvlan and ipvlan use one parent: the kernel refuses the second one on a node",
        fix: "use one of the two kinds for each interface",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!("a", r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1" }"#),
            nad!(
                "b",
                r#"{ "cniVersion": "1.0.0", "type": "ipvlan", "master": "eth1", "ipam": { "type": "whereabouts", "range": "10.1.0.0/24" } }"#
            ),
        )),
        good: GOOD,
        judge: |judged| {
            let told = |((one, a), (other, b)): Pair<'_, &PluginConfig>| {
                if a.kind == b.kind {
                    return None;
                }
                let master = text(&b.object, "master")?;
                let told = format!("{} on {master}, and network {} has {} there", b.kind, one.nad, a.kind);
                Some(judged.in_config(other, key_of(other, "master"), told))
            };
            let on_one = groups(judged, |network| {
                let plugin = first(network).filter(|plugin| ON_A_PARENT.contains(&plugin.kind.as_str()))?;
                Some((text(&plugin.object, "master")?, plugin))
            });
            on_one.iter().flat_map(|group| pairs(group)).filter_map(told).collect()
        },
    },
    Rule {
        id: "PX057",
        severity: Severity::Error,
        what: "the network may be attached in parallel, and needs an interface of another one (`linkInContainer`)",
        fix: "remove the annotation plexus.dev/parallel",
        needs: Needs::Files,
        bad: Example::Manifests(
            r#"apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: { name: a, annotations: { plexus.dev/parallel: "true" } }
spec:
  config: '{ "cniVersion": "1.0.0", "type": "vlan", "master": "net1", "vlanId": 5, "linkInContainer": true, "ipam": { "type": "whereabouts", "range": "10.1.0.0/24" } }'
"#,
        ),
        good: GOOD,
        judge: |judged| {
            let bad =
                judged.plugins().filter(|(network, plugin, _)| network.definition.parallel && is_in_container(plugin));
            bad.map(|(network, ..)| {
                let object = &judged.objects.all[network.object];
                let node = object.root.below(&["metadata", "annotations", PARALLEL]).unwrap_or(&object.root);
                judged.in_object(
                    network.object,
                    node,
                    "linkInContainer needs the networks before it, and plexus.dev/parallel does not wait",
                )
            })
            .collect()
        },
    },
];

/// Whether the plugin works on an interface of the pod.
pub fn is_in_container(plugin: &PluginConfig) -> bool {
    plugin.object.read::<bool>("linkInContainer").ok().flatten().unwrap_or(false)
}

/// Two networks, each with what a rule compares.
type Pair<'p, V> = (&'p (&'p Network, V), &'p (&'p Network, V));

/// The networks that have the same key, each with what is compared then: a cluster has thousands, and what has to be parsed is
/// parsed once.
fn groups<'a, K: Ord, V>(
    judged: &Judged<'a>,
    of: impl Fn(&'a Network) -> Option<(K, V)>,
) -> Vec<Vec<(&'a Network, V)>> {
    let mut groups: BTreeMap<K, Vec<(&'a Network, V)>> = BTreeMap::new();
    for network in &judged.objects.networks {
        if let Some((key, value)) = of(network) {
            groups.entry(key).or_default().push((network, value));
        }
    }
    groups.into_values().collect()
}

/// Each with each one after it.
fn pairs<T>(group: &[T]) -> impl Iterator<Item = (&T, &T)> {
    (0..group.len()).flat_map(move |at| group[at + 1..].iter().map(move |other| (&group[at], other)))
}

fn first(network: &Network) -> Option<&PluginConfig> {
    network.parsed.as_ref()?.as_ref().ok()?.plugins.first()
}

fn name(network: &Network) -> Option<&str> {
    Some(network.parsed.as_ref()?.as_ref().ok()?.name.as_str())
}

fn text(object: &RawObject, key: &str) -> Option<String> {
    object.read(key).ok().flatten().filter(|text: &String| !text.is_empty())
}

/// What a network is on: `master eth1`, `bridge br1`.
fn parent(plugin: &PluginConfig) -> Option<String> {
    let named = |key: &str| text(&plugin.object, key).map(|name| format!("{key} {name}"));
    let is_bridge = plugin.kind.as_str() == "bridge";
    let vlan = ["vlan", "vlanId"].into_iter().find_map(|key| plugin.object.read::<i64>(key).ok().flatten());
    let own = named("master").or(named("bridge")).or_else(|| is_bridge.then(|| "bridge cni0".to_owned()))?;
    Some(vlan.map_or(own.clone(), |vlan| format!("{own} in VLAN {vlan}")))
}

/// The subnets of `host-local`.
fn subnets(plugin: &PluginConfig) -> Vec<IpNet> {
    let ipam: RawObject = plugin.object.read("ipam").ok().flatten().unwrap_or_default();
    if text(&ipam, "type").as_deref() != Some("host-local") {
        return Vec::new();
    }
    let sets: Vec<Vec<RawObject>> = ipam.read("ranges").ok().flatten().unwrap_or_default();
    let ranges = sets.iter().flatten().chain([&ipam]);
    ranges.filter_map(|range| text(range, "subnet")?.parse().ok()).collect()
}

/// Where the first `key` of the configuration stands.
fn key_of(network: &Network, key: &str) -> usize {
    let text = network.config.as_ref().map_or("", |config| config.text.as_str());
    text.find(&format!("\"{key}\"")).unwrap_or(0)
}
