//! Rules about what pods request of networks.

use super::addresses::is_in_container;
use super::pods::{is_of_hardware, selected, unread};
use crate::cli::lint::found::Found;
use crate::cli::lint::judged::{Judged, Selecting};
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::output::counted::counted_with;
use crate::cli::plan::rehearse::{self, Stage};
use crate::cli::plan::subjects::Subject;
use crate::cni::{NetworkConfig, RawObject};
use crate::engine::planning::refusals::requests;
use crate::nad::{NadRef, Selection};
use ipnet::IpNet;

const GOOD: Example = Example::Annotation("a, b@second");

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX022",
        severity: Severity::Warning,
        what: "two networks of a pod bring a default route of one IP family: the last one gets it",
        fix: "request it for one of them with default-route (docs/how-to/default-route.md)",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!(
                "a",
                "default",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "a", "isDefaultGateway": true, "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" } }"#
            ),
            nad!(
                "b",
                "default",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "bridge": "b", "isDefaultGateway": true, "ipam": { "type": "host-local", "subnet": "10.2.0.0/24" } }"#
            ),
            pod!("a, b"),
        )),
        good: GOOD,
        judge: |judged| judged.pods.iter().filter_map(|pod| second_default_route(judged, pod)).collect(),
    },
    Rule {
        id: "PX023",
        severity: Severity::Warning,
        what: "a network needs an interface of the pod (`linkInContainer`) that no earlier network makes",
        fix: "put the network that makes the interface before it",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!("a", "default", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            nad!(
                "v",
                "default",
                r#"{ "cniVersion": "1.0.0", "type": "vlan", "master": "lan0", "vlanId": 5, "linkInContainer": true, "ipam": { "type": "whereabouts", "range": "10.1.0.0/24" } }"#
            ),
            pod!("v, a@lan0"),
        )),
        good: Example::Manifests(concat!(
            nad!("a", "default", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            nad!(
                "v",
                "default",
                r#"{ "cniVersion": "1.0.0", "type": "vlan", "master": "lan0", "vlanId": 5, "linkInContainer": true, "ipam": { "type": "whereabouts", "range": "10.1.0.0/24" } }"#
            ),
            pod!("a@lan0, v"),
        )),
        judge: |judged| {
            let missing = |(pod, index, selection): (&Selecting<'_>, usize, &Selection)| {
                let config = config(judged, selection)?;
                let plugin = config.plugins.iter().find(|plugin| is_in_container(plugin))?;
                let master = plugin.object.read::<String>("master").ok()??;
                let before = pod.selections.iter().flatten().take(index).enumerate();
                let name = |(at, other): (usize, &Selection)| {
                    other.interface.as_ref().map_or_else(|| format!("net{}", at + 1), ToString::to_string)
                };
                let is_there = master == "eth0" || before.map(name).any(|name| name == master);
                (!is_there)
                    .then(|| judged.in_element(pod, index, format!("no earlier network makes the interface {master}")))
            };
            judged.elements().filter_map(missing).collect()
        },
    },
    Rule {
        id: "PX032",
        severity: Severity::Error,
        what: "a pod requests an address that no plugin of the network reads",
        fix: "declare the capability in the network, if its plugin has it, or remove the request",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!(
                "a",
                "default",
                r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": { "type": "dhcp" } }"#
            ),
            pod!(r#"[{ "name": "a", "ips": ["10.1.0.7/24"] }]"#),
        )),
        good: Example::Manifests(concat!(
            nad!(
                "a",
                "default",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "capabilities": { "ips": true }, "ipam": { "type": "static" } }"#
            ),
            pod!(r#"[{ "name": "a", "ips": ["10.1.0.7/24"] }]"#),
        )),
        judge: |judged| {
            judged
                .elements()
                .filter_map(|(pod, index, selection)| unread_request(judged, pod, index, selection))
                .collect()
        },
    },
    Rule {
        id: "PX033",
        severity: Severity::Error,
        what: "a requested hardware address is not one that an interface can have",
        fix: "write six bytes of a unicast address, for example 02:00:0a:01:00:07",
        needs: Needs::Files,
        bad: Example::Annotation(r#"[{ "name": "a", "mac": "01:00:5e:00:00:07" }]"#),
        good: Example::Annotation(r#"[{ "name": "a", "mac": "02:00:5e:00:00:07" }]"#),
        judge: |judged| {
            let is_group = |mac: &str| {
                let first = mac.get(..2).and_then(|byte| u8::from_str_radix(byte, 16).ok());
                first.is_some_and(|first| first & 1 == 1) || mac.chars().all(|c| !c.is_ascii_hexdigit() || c == '0')
            };
            let bad = judged.elements().filter_map(|(pod, index, selection)| {
                Some((pod, index, selection.mac.as_ref().filter(|mac| is_group(mac))?))
            });
            let found =
                bad.map(|(pod, index, mac)| judged.in_element(pod, index, format!("mac {mac} is a group's or zero")));
            found.chain(unread(judged, is_of_hardware)).collect()
        },
    },
    Rule {
        id: "PX034",
        severity: Severity::Warning,
        what: "a template of several pods requests fixed addresses: they all ask for the same ones",
        fix: "let the network's IPAM choose, or use one object for each pod",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!(
                "a",
                "default",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "capabilities": { "ips": true }, "ipam": { "type": "static" } }"#
            ),
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d }\nspec:\n  replicas: 3\n  template:\n    metadata:\n      annotations:\n        k8s.v1.cni.cncf.io/networks: '[{ \"name\": \"a\", \"ips\": [\"10.1.0.7/24\"] }]'\n    spec: { containers: [] }\n",
        )),
        good: GOOD,
        judge: |judged| {
            let is_fixed = |(pod, _, selection): &(&Selecting<'_>, usize, &Selection)| {
                pod.pod.is_template() && pod.pod.replicas > 1 && (!selection.ips.is_empty() || selection.mac.is_some())
            };
            let found = judged.elements().filter(is_fixed);
            found
                .map(|(pod, index, selection)| {
                    judged.in_element(
                        pod,
                        index,
                        format!("each pod of the template requests the same addresses of network {}", selection.nad),
                    )
                })
                .collect()
        },
    },
    Rule {
        id: "PX035",
        severity: Severity::Error,
        what: "a pod requests port mappings, bandwidth or a GUID, and no plugin of the network has that capability",
        fix: "add a plugin with the capability to the network, for example portmap",
        needs: Needs::Files,
        bad: Example::Annotation(r#"[{ "name": "a", "portMappings": [{ "hostPort": 8080, "containerPort": 80 }] }]"#),
        good: Example::Manifests(concat!(
            nad!(
                "a",
                "default",
                r#"{ "cniVersion": "1.0.0", "plugins": [{ "type": "bridge" }, { "type": "portmap", "capabilities": { "portMappings": true } }] }"#
            ),
            pod!(r#"[{ "name": "a", "portMappings": [{ "hostPort": 8080, "containerPort": 80 }] }]"#),
        )),
        judge: |judged| {
            let lacking = |(pod, index, selection): (&Selecting<'_>, usize, &Selection)| {
                let config = config(judged, selection)?;
                let requests = [
                    ("portMappings", !selection.port_mappings.is_empty()),
                    ("bandwidth", selection.bandwidth.is_some()),
                    ("infinibandGUID", selection.infiniband_guid.is_some()),
                ];
                let (capability, _) =
                    requests.into_iter().find(|(name, is_asked)| *is_asked && !config.has_capability(name))?;
                let text = format!(
                    "{capability} is requested, and no plugin of network {} has that capability",
                    selection.nad
                );
                Some(judged.in_element(pod, index, text))
            };
            judged.elements().filter_map(lacking).collect()
        },
    },
    Rule {
        id: "PX037",
        severity: Severity::Warning,
        what: "a network takes a device of a resource, and no container of the pod requests that resource",
        fix: "add the resource to the limits of a container, if no resource claim gives the device",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata:\n  name: a\n  annotations: { k8s.v1.cni.cncf.io/resourceName: example.com/vf }\nspec:\n  config: '{ \"cniVersion\": \"1.0.0\", \"type\": \"sriov\" }'\n---\n",
            pod!("a"),
        )),
        good: GOOD,
        judge: |judged| devices(judged, |requested, _| requested == 0),
    },
    Rule {
        id: "PX038",
        severity: Severity::Warning,
        what: "a pod has more networks of one resource than devices that its containers request",
        fix: "request one device for each network",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata:\n  name: a\n  annotations: { k8s.v1.cni.cncf.io/resourceName: example.com/vf }\nspec:\n  config: '{ \"cniVersion\": \"1.0.0\", \"type\": \"sriov\" }'\n---\n",
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations: { k8s.v1.cni.cncf.io/networks: \"a, a\" }\nspec: { containers: [{ name: c, resources: { limits: { example.com/vf: 1 } } }] }\n",
        )),
        good: GOOD,
        judge: |judged| devices(judged, |requested, wanted| requested > 0 && wanted > requested),
    },
    Rule {
        id: "PX062",
        severity: Severity::Error,
        what: "Plexus would refuse the pod for another reason",
        fix: "correct what is named; `plexusctl plan` shows the whole plan",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!(
                "a",
                "default",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" } }"#
            ),
            pod!(r#"[{ "name": "a", "default-route": ["10.2.0.1"] }]"#),
        )),
        good: Example::Manifests(concat!(
            nad!(
                "a",
                "default",
                r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" } }"#
            ),
            pod!(r#"[{ "name": "a", "default-route": ["10.1.0.1"] }]"#),
        )),
        judge: |judged| judged.pods.iter().filter_map(|pod| refused(judged, pod)).collect(),
    },
];

/// The configuration of what `selection` selects.
fn config<'a>(judged: &Judged<'a>, selection: &Selection) -> Option<&'a NetworkConfig> {
    let objects = judged.objects;
    objects.networks.iter().find(|network| network.nad == selection.nad)?.parsed.as_ref()?.as_ref().ok()
}

/// The families of default routes that a network brings; IPv4 is `true`.
fn brought(config: &NetworkConfig) -> Vec<bool> {
    let mut found = Vec::new();
    for plugin in &config.plugins {
        let ipam: RawObject = plugin.object.read("ipam").ok().flatten().unwrap_or_default();
        let list =
            |object: &RawObject, key: &str| object.read::<Vec<RawObject>>(key).ok().flatten().unwrap_or_default();
        let net = |object: &RawObject, key: &str| object.read::<String>(key).ok().flatten()?.parse::<IpNet>().ok();
        let routes = list(&ipam, "routes");
        found.extend(
            routes
                .iter()
                .filter_map(|route| net(route, "dst"))
                .filter(|net| net.prefix_len() == 0)
                .map(|net| net.addr().is_ipv4()),
        );
        if plugin.object.read::<bool>("isDefaultGateway").ok().flatten().unwrap_or(false) {
            let sets: Vec<Vec<RawObject>> = ipam.read("ranges").ok().flatten().unwrap_or_default();
            let subnets = sets.iter().flatten().chain([&ipam]).filter_map(|range| net(range, "subnet"));
            found.extend(subnets.map(|subnet| subnet.addr().is_ipv4()));
        }
    }
    found
}

fn second_default_route(judged: &Judged<'_>, pod: &Selecting<'_>) -> Option<Found> {
    let mut seen: [Option<&Selection>; 2] = [None, None];
    for (index, selection) in pod.selections.iter().flatten().enumerate() {
        // A pod that asks for it has decided.
        if pod.selections.iter().flatten().any(|other| other.default_route.is_some()) {
            return None;
        }
        for is_v4 in brought(config(judged, selection)?) {
            if let Some(other) = seen[usize::from(is_v4)].filter(|other| !std::ptr::eq(*other, selection)) {
                let text = format!("networks {} and {} bring a default route", other.nad, selection.nad);
                return Some(judged.in_element(pod, index, text));
            }
            seen[usize::from(is_v4)] = Some(selection);
        }
    }
    None
}

fn unread_request(judged: &Judged<'_>, pod: &Selecting<'_>, index: usize, selection: &Selection) -> Option<Found> {
    let why = requests::unread(config(judged, selection)?, selection)?;
    Some(judged.in_element(pod, index, format!("network {}: {why}", selection.nad)))
}

/// Pods for which the numbers of requested devices and of networks of one resource are as `is_wrong` has it.
fn devices(judged: &Judged<'_>, is_wrong: fn(u64, u64) -> bool) -> Vec<Found> {
    let mut found = Vec::new();
    for pod in &judged.pods {
        let object = judged.objects.object_of(pod.pod);
        let resource = |nad: &NadRef| judged.objects.network(nad)?.definition.resource_name.clone();
        let mut resources: Vec<String> = selected(pod).iter().filter_map(resource).collect();
        resources.sort();
        resources.dedup();
        for name in resources {
            let all = pod.selections.iter().flatten();
            let wanted = all.filter(|selection| resource(&selection.nad).as_ref() == Some(&name)).count() as u64;
            let requested = pod.pod.requested(object, &name);
            if is_wrong(requested, wanted) {
                let text = format!(
                    "{} a device of {name}, and the containers request {requested}",
                    counted_with(usize::try_from(wanted).unwrap_or(usize::MAX), "network", "takes")
                );
                found.push(judged.in_object(pod.pod.object, pod.annotation, text));
            }
        }
    }
    found
}

/// Why ADD would refuse `pod`, where no other rule has the reason.
fn refused(judged: &Judged<'_>, pod: &Selecting<'_>) -> Option<Found> {
    const OF_OTHERS: [&str; 9] = [
        "requested twice",
        "six bytes",
        "has that capability",
        "namespaceIsolation",
        "no device of resource",
        "cniVersion",
        "spec.config",
        "ips are requested",
        "mac is requested",
    ];
    let networks = selected(pod);
    if networks.is_empty() || networks.iter().any(|nad| judged.objects.network(nad).is_none()) {
        return None;
    }
    // Pools have rules of their own.
    let pools = Err(String::new());
    let subject = Subject { pools, ..Subject::of_files(pod.pod, judged.objects, judged.settings).ok()? };
    let message = rehearse::plan(&subject, judged.settings, Stage::Elsewhere).refused?.message;
    let is_of_network = judged.judgements.iter().any(|judgement| message.contains(&judgement.message));
    let is_told = is_of_network || OF_OTHERS.iter().any(|words| message.contains(words));
    (!is_told).then(|| judged.in_object(pod.pod.object, pod.annotation, message))
}
