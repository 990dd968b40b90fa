//! Rules about what Kubernetes or Plexus would pass over in silence: misspelt kinds and keys, and values of another type.

use super::shape::{kinds, trees};
use crate::cli::lint::found::Found;
use crate::cli::lint::judged::{Judged, Selecting};
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::network::Network;
use crate::cli::objects::object::{GROUP, KIND, Object, POOL, POOLS};
use crate::cli::objects::pod::Pod;
use crate::cluster::manifests::tree::{Key, Node, Tree};
use crate::cni::spelling::{hint, nearest};
use crate::delegate::kinds::meant;
use crate::nad::selection::UnknownKey;
use crate::nad::{DEFAULT_NETWORK, NETWORK_STATUS, NETWORKS, NadRef, RESOURCE_NAME, Selection};

/// Kinds that are judged and that people write, each with its group and version.
const KINDS: [(&str, &str, &str); 8] = [
    (GROUP, "v1", KIND),
    (POOLS, "v1alpha1", POOL),
    ("", "v1", "Pod"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
];
/// The keys of annotations of pods that Plexus reads or writes.
const OF_PODS: [&str; 3] = [NETWORKS, NETWORK_STATUS, DEFAULT_NETWORK];
/// PX040 names these.
const FORMER: [&str; 3] = super::pods::FORMER;

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX063",
        severity: Severity::Error,
        what: "the kind or the group of an object is misspelt: the object is not read",
        fix: "write the kind and the apiVersion that are named",
        needs: Needs::Files,
        bad: Example::Manifests(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinitions\nmetadata: { name: a }\nspec:\n  config: '{ \"cniVersion\": \"1.0.0\", \"type\": \"bridge\" }'\n",
        ),
        good: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
        judge: |judged| {
            let all = judged.objects.all.iter().enumerate();
            all.filter_map(|(number, object)| {
                let text = misspelt_kind(object)?;
                let node = object.root.get("kind").unwrap_or(&object.root);
                Some(judged.in_object(number, node, text))
            })
            .collect()
        },
    },
    Rule {
        id: "PX064",
        severity: Severity::Error,
        what: "`spec.config` is not a string: the API server refuses the network",
        fix: "write the JSON as a string: in quotes, or after |",
        needs: Needs::Files,
        bad: Example::Manifests(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: { name: a }\nspec:\n  config: { cniVersion: 1.0.0, type: bridge }\n",
        ),
        good: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
        judge: |judged| {
            let networks = judged.objects.networks.iter();
            networks
                .filter_map(|network| {
                    let node = judged.objects.all[network.object].root.below(&["spec", "config"])?;
                    let what = no_string(node)?;
                    Some(judged.in_object(network.object, node, format!("spec.config is {what}, not a string")))
                })
                .collect()
        },
    },
    Rule {
        id: "PX065",
        severity: Severity::Warning,
        what: "the key of an annotation is misspelt: it is not read",
        fix: "write the key that is named",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!("a", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    k8s.v1.cni.cncf.io/network: a\nspec: { containers: [] }\n",
        )),
        good: Example::Annotation("a"),
        judge: |judged| {
            let of_pod =
                |pod: &Pod| misspelt_keys(judged, pod.object, pod.annotations(judged.objects.object_of(pod)), &OF_PODS);
            let of_network = |network: &Network| {
                let annotations = judged.objects.all[network.object].root.below(&["metadata", "annotations"]);
                misspelt_keys(judged, network.object, annotations.map_or(&[], Node::entries), &[RESOURCE_NAME])
            };
            let pods = judged.objects.pods.iter().flat_map(of_pod);
            pods.chain(judged.objects.networks.iter().flat_map(of_network)).collect()
        },
    },
    Rule {
        id: "PX066",
        severity: Severity::Error,
        what: "an annotation of Plexus is not a string: the API server refuses the object",
        fix: "write the value in quotes, or after |",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            nad!("a", r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    k8s.v1.cni.cncf.io/networks: [{ name: a }]\nspec: { containers: [] }\n",
        )),
        good: Example::Annotation("a"),
        judge: |judged| {
            let of = |pod: &Pod| -> Vec<Found> {
                let annotations = pod.annotations(judged.objects.object_of(pod)).iter();
                let ours = annotations.filter(|(key, _)| OF_PODS.contains(&key.text.as_str()));
                ours.filter_map(|(key, node)| {
                    Some(judged.in_object(
                        pod.object,
                        node,
                        format!("{} is {}, not a string", key.text, no_string(node)?),
                    ))
                })
                .collect()
            };
            judged.objects.pods.iter().flat_map(of).collect()
        },
    },
    Rule {
        id: "PX067",
        severity: Severity::Error,
        what: "a network or a pod has no name, or one that no object can have",
        fix: "write a name of lower-case letters, digits, dots and hyphens",
        needs: Needs::Files,
        bad: Example::Manifests(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: { name: My_Network }\nspec:\n  config: '{ \"cniVersion\": \"1.0.0\", \"type\": \"bridge\" }'\n",
        ),
        good: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
        judge: |judged| {
            let of_network = |(number, object): (usize, &Object)| {
                let why = NadRef::new(&object.namespace, &object.name).err().filter(|_| object.is_network())?;
                Some(judged.in_object(number, named(object), unnamed(object, &why.to_string())))
            };
            let of_pod = |pod: &Pod| {
                let object = judged.objects.object_of(pod);
                let why = pod.reference(object).err()?;
                Some(judged.in_object(pod.object, named(object), unnamed(object, &why.to_string())))
            };
            let networks = judged.objects.all.iter().enumerate().filter_map(of_network);
            networks.chain(judged.objects.pods.iter().filter_map(of_pod)).collect()
        },
    },
    Rule {
        id: "PX068",
        severity: Severity::Info,
        what: "a network has no configuration: a file with its name has to give it on each node, and is not checked",
        fix: "write spec.config, unless each node has that file",
        needs: Needs::Files,
        bad: Example::Manifests(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: { name: a }\n",
        ),
        good: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
        judge: |judged| {
            let empty = |network: &Network| {
                let object = &judged.objects.all[network.object];
                let spec = object.root.get("spec");
                let node = spec.and_then(|spec| spec.get("config"));
                if network.config.is_some() || node.is_some_and(|node| no_string(node).is_some()) {
                    return None;
                }
                let what = match (spec, node) {
                    (None, _) => "there is no spec",
                    (_, None) => "spec has no config",
                    _ => "spec.config is empty",
                };
                let place = node.or(spec).unwrap_or(&object.root);
                let text =
                    format!("{what}: nothing of the network was checked; a file of each node gives its configuration");
                Some(judged.in_object(network.object, place, text))
            };
            judged.objects.networks.iter().filter_map(empty).collect()
        },
    },
    Rule {
        id: "PX069",
        severity: Severity::Warning,
        what: "the type of a plugin is nearly that of a known plugin",
        fix: "write the type that is named, or ignore this if each node has a program of that name",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "brigde" }"#),
        good: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#),
        judge: |judged| {
            let misspelt = |(network, kind): (&Network, &Node)| {
                let text = kind.text()?;
                let meant = meant(text)?;
                Some(judged.in_config(network, kind.at, format!("type {text:?} is not known; did you mean {meant:?}?")))
            };
            trees(judged)
                .flat_map(|(network, tree)| kinds(tree).into_iter().map(move |kind| (network, kind)))
                .filter_map(misspelt)
                .collect()
        },
    },
    Rule {
        id: "PX070",
        severity: Severity::Warning,
        what: "the annotation contains a key that Plexus does not know: it is ignored",
        fix: "correct or remove the key (docs/reference/annotations.md)",
        needs: Needs::Files,
        bad: Example::Annotation(r#"[{ "name": "a", "interfac": "x" }]"#),
        good: Example::Annotation(r#"[{ "name": "a", "interface": "x" }]"#),
        judge: |judged| {
            let of = |(pod, index, selection): (&Selecting<'_>, usize, &Selection)| -> Vec<Found> {
                let text = |key: &UnknownKey| {
                    let hint = hint(key.meant.map(|meant| format!("{meant:?}")));
                    format!("network {}: key {:?} of the annotation is ignored{hint}", selection.nad, key.key)
                };
                selection.unknown.iter().map(|key| judged.in_element(pod, index, text(key))).collect()
            };
            judged.elements().flat_map(of).collect()
        },
    },
];

/// What is probably meant where neither the API server nor Plexus knows the kind.
fn misspelt_kind(object: &Object) -> Option<String> {
    let (group, kind) = (object.group.as_str(), object.kind.as_str());
    let is_plural = |wanted: &str| kind.strip_suffix('s').is_some_and(|one| one.eq_ignore_ascii_case(wanted));
    let is_near = |wanted: &str| kind == wanted || is_plural(wanted) || nearest(kind, [wanted]).is_some();
    // The group is nobody else's; the kind is nobody else's in any group.
    let of_ours = if group == GROUP { !object.is_network() } else { is_near(KIND) };
    let is_meant = |(known, _, wanted): &(&str, &str, &str)| {
        if of_ours { *wanted == KIND } else { *known == group && kind != *wanted && is_near(wanted) }
    };
    let (group_meant, version, meant) = KINDS.into_iter().find(is_meant)?;
    let slash = if group_meant.is_empty() { "" } else { "/" };
    let of = format!("{meant} of {group_meant}{slash}{version}");
    Some(format!("kind {kind:?} in the API group {group:?} is not known; did you mean {of}?"))
}

fn misspelt_keys(judged: &Judged<'_>, object: usize, annotations: &[(Key, Node)], known: &[&str]) -> Vec<Found> {
    let is_strange = |key: &str| !known.contains(&key) && !FORMER.contains(&key);
    let misspelt = annotations.iter().filter(|(key, _)| is_strange(&key.text)).filter_map(|(key, _)| {
        let meant = nearest(&key.text, known.iter().copied())?;
        Some(judged.at(object, key.at, format!("annotation {} is not known; did you mean {meant}?", key.text)))
    });
    misspelt.collect()
}

/// What a value is that should be a string; none where it is one, or nothing.
fn no_string(node: &Node) -> Option<&'static str> {
    match node.value {
        Tree::Null | Tree::Text(_) => None,
        Tree::Bool(_) => Some("true or false"),
        Tree::Number(_) => Some("a number"),
        Tree::List(_) => Some("a list"),
        Tree::Map(_) => Some("a map"),
    }
}

/// Where the name of `object` is, or would be.
fn named(object: &Object) -> &Node {
    object.root.below(&["metadata", "name"]).or(object.root.get("metadata")).unwrap_or(&object.root)
}

fn unnamed(object: &Object, why: &str) -> String {
    let is_written = || object.root.below(&["metadata", "name"]).is_some_and(|name| name.value != Tree::Null);
    match object.name.is_empty() {
        true if is_written() => "metadata.name is not a string".to_owned(),
        true => "metadata has neither name nor generateName".to_owned(),
        false => why.to_owned(),
    }
}
