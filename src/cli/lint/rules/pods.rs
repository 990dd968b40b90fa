//! Rules about pods and their annotations.

use crate::cli::lint::found::Found;
use crate::cli::lint::judged::{Judged, Selecting};
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::pod::Pod;
use crate::cluster::manifests::tree::{Key, Node};
use crate::cni::spelling;
use crate::engine::planning::selections::Selections;
use crate::nad::{DEFAULT_NETWORK, NETWORKS, NadRef, Selection};
use std::collections::BTreeSet;

const GOOD: Example = Example::Annotation("a, b@second");
/// Spellings of the annotation and of the status that earlier tools used.
pub const FORMER: [&str; 3] =
    ["kubernetes.cni.cncf.io/networks", "kubernetes.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/networks-status"];

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX027",
        severity: Severity::Warning,
        what: "a pod requests the interface name that another of its networks gets by its place in the list",
        fix: "choose another name",
        needs: Needs::Files,
        bad: Example::Annotation("a, b@net1"),
        good: GOOD,
        judge: |judged| {
            let taken = |(pod, index, selection): (&Selecting<'_>, usize, &Selection)| {
                let name = selection.interface.as_ref()?.as_str();
                let text = format!("{name} is the name of the network in that place of the list");
                is_number_of_another(pod, index, name).then(|| judged.in_element(pod, index, text))
            };
            judged.elements().filter_map(taken).collect()
        },
    },
    Rule {
        id: "PX028",
        severity: Severity::Error,
        what: "the annotation cannot be read: the pod does not start",
        fix: "write a list of names, or a JSON list of objects (docs/reference/annotations.md)",
        needs: Needs::Files,
        bad: Example::Annotation("[{name: a}]"),
        good: GOOD,
        judge: |judged| unread(judged, |why| !is_of_hardware(why)),
    },
    Rule {
        id: "PX029",
        severity: Severity::Error,
        what: "a pod selects a network that does not exist among the given objects",
        fix: "correct the name, or give lint the file with the network, too",
        needs: Needs::Files,
        bad: Example::Annotation("lam"),
        good: GOOD,
        judge: |judged| {
            let names = || judged.objects.networks.iter().map(|network| &network.nad);
            let fix = judged.objects.is_cluster.then_some("correct the name, or create the network");
            let missing = judged.elements().filter(|(_, _, selection)| judged.objects.is_missing(&selection.nad));
            missing
                .map(|(pod, index, selection)| {
                    let hint = spelling::hint(selection.nad.nearest(names()));
                    let text = format!("network {} does not exist{hint}", selection.nad);
                    Found { fix, ..judged.in_element(pod, index, text) }
                })
                .collect()
        },
    },
    Rule {
        id: "PX030",
        severity: Severity::Error,
        what: "a pod selects a network of another namespace, and `namespaceIsolation` is set",
        fix: "use a network of the pod's namespace, or of globalNamespaces",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            "# settings: {\"namespaceIsolation\": true}\n",
            nad!("a", "other", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            pod!("other/a"),
        )),
        good: Example::Manifests(concat!(
            "# settings: {\"namespaceIsolation\": true}\n",
            nad!("a", "default", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            pod!("a"),
        )),
        judge: |judged| {
            let refused = |pod: &Selecting<'_>| {
                let text = pod.annotation.text().filter(|_| pod.selections.is_ok())?;
                let annotations = [(NETWORKS.to_owned(), text.to_owned())].into();
                let why = Selections::read(judged.settings, Some(&pod.name), &annotations).err()?;
                Some(judged.in_object(pod.pod.object, pod.annotation, why.msg))
            };
            judged.pods.iter().filter_map(refused).collect()
        },
    },
    Rule {
        id: "PX031",
        severity: Severity::Error,
        what: "a pod requests one interface name twice, or that of another interface of each pod",
        fix: "give each network its own interface name",
        needs: Needs::Files,
        bad: Example::Annotation("a@x, b@x"),
        good: GOOD,
        judge: |judged| {
            let twice = |(pod, index, selection): (&Selecting<'_>, usize, &Selection)| {
                let name = selection.interface.as_ref()?;
                if ["eth0", "lo"].contains(&name.as_str()) {
                    return Some(judged.in_element(pod, index, format!("each pod has an interface {name} already")));
                }
                let before = pod.selections.iter().flatten().take(index);
                let other = before.into_iter().find(|other| other.interface.as_ref() == Some(name))?;
                let text = format!("interface {name} is requested for {} and for {}", other.nad, selection.nad);
                Some(judged.in_element(pod, index, text))
            };
            judged.elements().filter_map(twice).collect()
        },
    },
    Rule {
        id: "PX036",
        severity: Severity::Error,
        what: "a pod with `hostNetwork` selects networks: it gets none",
        fix: "remove hostNetwork or the annotation",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!("a", "default", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            pod!("a", "hostNetwork: true, "),
        )),
        good: GOOD,
        judge: |judged| {
            let on_host = |pod: &&Selecting<'_>| {
                let object = judged.objects.object_of(pod.pod);
                pod.pod.spec(object, &["hostNetwork"]).is_some_and(Node::is_true)
            };
            let found = judged.pods.iter().filter(on_host);
            found
                .map(|pod| {
                    judged.in_object(
                        pod.pod.object,
                        pod.annotation,
                        "the pod is in the node's network, and no plugin is called for it",
                    )
                })
                .collect()
        },
    },
    Rule {
        id: "PX039",
        severity: Severity::Warning,
        what: "the annotation is on an object that makes pods, not on its template: the pods do not get it",
        fix: "move the annotation to spec.template.metadata.annotations",
        needs: Needs::Files,
        bad: Example::Manifests(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: d, annotations: { k8s.v1.cni.cncf.io/networks: a } }\nspec: { template: { metadata: {}, spec: { containers: [] } } }\n",
        ),
        good: GOOD,
        judge: |judged| {
            let misplaced = |pod: &Pod| {
                let own = judged.objects.object_of(pod).root.below(&["metadata", "annotations"])?.key(NETWORKS)?;
                pod.is_template().then(|| {
                    judged.at(
                        pod.object,
                        own.at,
                        format!("{NETWORKS} is on the {} itself", judged.objects.object_of(pod).kind),
                    )
                })
            };
            judged.objects.pods.iter().filter_map(misplaced).collect()
        },
    },
    Rule {
        id: "PX040",
        severity: Severity::Warning,
        what: "a former name of an annotation or a key",
        fix: "write the name of today",
        needs: Needs::Files,
        bad: Example::Annotation(r#"[{ "name": "a", "interfaceRequest": "x" }]"#),
        good: GOOD,
        judge: |judged| {
            let on_pod = |pod: &Pod| -> Vec<Found> {
                let entries = pod.annotations(judged.objects.object_of(pod)).iter();
                // In a cluster the status is what Multus has written.
                let former =
                    entries.filter(|(key, _)| FORMER.contains(&key.text.as_str()) && !judged.objects.is_cluster);
                former.map(|(key, _)| judged.at(pod.object, key.at, instead_of(key))).collect()
            };
            let in_key = |pod: &Selecting<'_>| {
                pod.annotation.text().filter(|text| text.contains("\"interfaceRequest\""))?;
                Some(judged.in_element(pod, 0, "key \"interfaceRequest\" is now called \"interface\""))
            };
            judged.objects.pods.iter().flat_map(on_pod).chain(judged.pods.iter().filter_map(in_key)).collect()
        },
    },
    Rule {
        id: "PX041",
        severity: Severity::Warning,
        what: "a virtual machine's pod selects a network without an interface name: hot-plugging cannot find it again",
        fix: "add the interface name: name@interface, or the key interface",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!("a", "default", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: virt-launcher-x\n  labels: { kubevirt.io: virt-launcher }\n  annotations: { k8s.v1.cni.cncf.io/networks: a }\nspec: { containers: [] }\n",
        )),
        good: GOOD,
        judge: |judged| {
            let unnamed = |(pod, _, selection): &(&Selecting<'_>, usize, &Selection)| {
                let node = pod.pod.node(judged.objects.object_of(pod.pod));
                let label = node.below(&["metadata", "labels", "kubevirt.io"]).and_then(Node::text);
                label == Some("virt-launcher") && selection.interface.is_none()
            };
            let found = judged.elements().filter(unnamed);
            found
                .map(|(pod, index, selection)| {
                    judged.in_element(pod, index, format!("network {} has no interface name", selection.nad))
                })
                .collect()
        },
    },
    Rule {
        id: "PX073",
        severity: Severity::Error,
        what: "the annotation that replaces the default network cannot be followed: the pod does not start",
        fix: "name exactly one network that exists; without a namespace it is that of the setting defaultNadNamespace",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!("a", "kube-system", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    v1.multus-cni.io/default-network: a, b\nspec: { containers: [] }\n",
        )),
        good: Example::Manifests(concat!(
            nad!("a", "kube-system", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    v1.multus-cni.io/default-network: a\nspec: { containers: [] }\n",
        )),
        judge: |judged| judged.objects.pods.iter().filter_map(|pod| default_network(judged, pod)).collect(),
    },
];

/// Why the annotation of `pod` that replaces the default network cannot be followed.
fn default_network(judged: &Judged<'_>, pod: &Pod) -> Option<Found> {
    let object = judged.objects.object_of(pod);
    let node = pod.annotation(object, DEFAULT_NETWORK)?;
    let annotations = [(DEFAULT_NETWORK.to_owned(), node.text()?.to_owned())].into();
    let text = match Selections::read(judged.settings, Some(&pod.reference(object).ok()?), &annotations) {
        Err(why) => why.msg,
        Ok(selections) => {
            let nad = selections.default_network?.nad;
            // The operator may keep it in a file of the node's.
            let is_there = judged.settings.networks_from_files || judged.objects.network(&nad).is_some();
            return (!is_there).then(|| judged.in_object(pod.object, node, format!("network {nad} does not exist")));
        }
    };
    Some(judged.in_object(pod.object, node, text))
}

/// Why annotations cannot be read, where `is_own` takes the reason.
pub fn unread(judged: &Judged<'_>, is_own: fn(&str) -> bool) -> Vec<Found> {
    let bad = judged.pods.iter().filter_map(|pod| Some((pod, pod.selections.as_ref().err()?)));
    bad.filter(|(_, why)| is_own(why))
        .map(|(pod, why)| judged.in_object(pod.pod.object, pod.annotation, why.clone()))
        .collect()
}

/// Whether an annotation cannot be read for an address of hardware.
pub fn is_of_hardware(why: &str) -> bool {
    why.contains("hardware address")
}

/// `net2` where the second network, which has no name of its own, gets it.
fn is_number_of_another(pod: &Selecting<'_>, index: usize, name: &str) -> bool {
    let Some(number) = name.strip_prefix("net").and_then(|number| number.parse::<usize>().ok()) else { return false };
    let other = number.checked_sub(1).and_then(|at| pod.selections.as_ref().ok()?.get(at));
    number != index + 1 && other.is_some_and(|other| other.interface.is_none())
}

fn instead_of(key: &Key) -> String {
    let today = if key.text.ends_with("-status") { "k8s.v1.cni.cncf.io/network-status" } else { NETWORKS };
    format!("annotation {} is now called {today}", key.text)
}

/// The networks that a pod selects, each once.
pub fn selected(pod: &Selecting<'_>) -> BTreeSet<NadRef> {
    pod.selections.iter().flatten().map(|selection| selection.nad.clone()).collect()
}
