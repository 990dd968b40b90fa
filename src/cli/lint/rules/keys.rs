//! Rules about keys: duplicates, slips, keys that matter to the node or to its secrets.

use super::shape::{plugins, trees};
use crate::cli::lint::found::Found;
use crate::cli::lint::judged::Judged;
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::network::{Network, ipam};
use crate::cluster::manifests::tree::{Key, Node, Tree};
use crate::cni::folds_to;
use crate::delegate::ipam::{host_local, tables};
use crate::delegate::keys::{self, COMMON, Declined};
use crate::delegate::native::TABLES;
use crate::delegate::registry::Runner;

const GOOD: Example = Example::Config(r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mtu": 1400 }"#);
/// Keys of a configuration that is one plugin, beside those of the plugin.
const OF_LISTS: [&str; 5] = ["cniVersions", "disableCheck", "disableGC", "loadOnlyInlinedPlugins", "plugins"];
/// Paths that root uses.
const PATHS: [&str; 9] = [
    "dataDir",
    "resolvConf",
    "daemonSocketPath",
    "socketPath",
    "kubeconfig",
    "confDir",
    "binDir",
    "logFile",
    "configuration_path",
];
const FLAGS: [&str; 2] = ["ipMasq", "forceAddress"];
/// What a secret is called.
const SECRETS: [&str; 8] =
    ["password", "passwd", "token", "secret", "apiKey", "privateKey", "accessKey", "clientSecret"];

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX007",
        severity: Severity::Warning,
        what: "a key occurs twice: plugins read the last one, and Plexus leaves the network to the program",
        fix: "remove one of the two",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "master": "eth2" }"#),
        good: GOOD,
        judge: |judged| {
            let of = |(network, tree): (&Network, &Node)| {
                every_map(tree).into_iter().flat_map(|map| duplicates(judged, network, map)).collect::<Vec<_>>()
            };
            trees(judged).flat_map(of).collect()
        },
    },
    Rule {
        id: "PX008",
        severity: Severity::Warning,
        what: "a key differs from a known one in upper and lower case: only plugins in Go accept that",
        fix: "write the key as its plugin documents it",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "macvlan", "Master": "eth1" }"#),
        good: GOOD,
        judge: |judged| {
            let bad = |(network, key, known): (&Network, &Key, Vec<&'static str>)| {
                let exact = known.iter().find(|name| **name == key.text);
                let meant = known.iter().find(|name| folds_to(&key.text, name)).filter(|_| exact.is_none())?;
                Some(judged.in_config(network, key.at, format!("key {:?} is written {meant:?}", key.text)))
            };
            every_key(judged).into_iter().filter_map(bad).collect()
        },
    },
    Rule {
        id: "PX009",
        severity: Severity::Warning,
        what: "the plugin does not know a key",
        fix: "correct or remove the key; with an unknown key the program runs, not the built-in plugin",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "macvlan", "mastr": "eth1" }"#),
        good: GOOD,
        judge: |judged| {
            let bad = |(network, key, known): (&Network, &Key, Vec<&'static str>)| {
                if known.iter().any(|name| folds_to(&key.text, name)) {
                    return None;
                }
                let meant = crate::cni::spelling::nearest(&key.text, known.iter().copied());
                let hint = crate::cni::spelling::hint(meant.map(|meant| format!("{meant:?}")));
                Some(judged.in_config(network, key.at, format!("key {:?} is unknown{hint}", key.text)))
            };
            every_key(judged).into_iter().filter_map(bad).collect()
        },
    },
    Rule {
        id: "PX026",
        severity: Severity::Warning,
        what: "the network can change the node: a path that root uses, the whole of an interface, or firewall rules",
        fix: "see that only administrators can write this network (docs/how-to/restrict-networks.md)",
        needs: Needs::Files,
        bad: Example::Config(
            r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.1.0.0/24", "dataDir": "/etc" } }"#,
        ),
        good: GOOD,
        judge: |judged| trees(judged).flat_map(|(network, tree)| powers(judged, network, tree)).collect(),
    },
    Rule {
        id: "PX042",
        severity: Severity::Info,
        what: "a program runs although Plexus has a built-in plugin of this type",
        fix: "remove the key if a built-in plugin is wanted (docs/reference/built-in-plugins.md)",
        needs: Needs::Files,
        bad: Example::Config(
            r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipMasq": true, "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" } }"#,
        ),
        good: GOOD,
        judge: |judged| {
            judged
                .plugins()
                .filter_map(|(network, plugin, node)| {
                    let is_built_in = TABLES.iter().any(|(kind, _)| *kind == plugin.kind.as_str());
                    let runners = judged.registry.runners(plugin);
                    let (kind, why) = match (runners.main, runners.ipam, &plugin.ipam) {
                        (Runner::Program(why), ..) if is_built_in => (&plugin.kind, why),
                        (Runner::Native, Some(Runner::Program(why)), Some(kind))
                            if !tables(kind.as_str()).is_empty() =>
                        {
                            (kind, why)
                        }
                        _ => return None,
                    };
                    let found = judged.in_config(network, node.at, format!("the program {kind} runs: {why}"));
                    Some(Found { fix: fix_of(&why), ..found })
                })
                .collect()
        },
    },
    Rule {
        id: "PX044",
        severity: Severity::Warning,
        what: "the network contains a secret: each user who may read networks can read it",
        fix: "give the plugin the secret in a file of the node",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "vendor", "password": "hunter2" }"#),
        good: GOOD,
        judge: |judged| {
            let is_secret = |(key, value): &&(Key, Node)| {
                SECRETS.iter().any(|name| folds_to(&key.text, name))
                    && value.text().is_some_and(|text| !text.is_empty())
            };
            let of = |(network, tree): (&Network, &Node)| -> Vec<Found> {
                let entries = every_map(tree).into_iter().flat_map(Node::entries).filter(is_secret);
                entries
                    .map(|(key, _)| judged.in_config(network, key.at, format!("key {:?} has a secret", key.text)))
                    .collect()
            };
            trees(judged).flat_map(of).collect()
        },
    },
];

/// `node` and every map in it.
fn every_map(node: &Node) -> Vec<&Node> {
    let mut found = Vec::new();
    let mut left = vec![node];
    while let Some(node) = left.pop() {
        match &node.value {
            Tree::Map(entries) => {
                found.push(node);
                left.extend(entries.iter().map(|(_, value)| value));
            }
            Tree::List(items) => left.extend(items),
            _ => {}
        }
    }
    found
}

/// What to do where a program runs because of `why`; none where the fix of the rule fits.
fn fix_of(why: &Declined) -> Option<&'static str> {
    match why {
        Declined::Off(_) => {
            Some("change the setting natives if a built-in plugin is wanted (docs/reference/built-in-plugins.md)")
        }
        Declined::NotChosen(_) => Some(
            "keep the program, or change to the built-in plugin in the order of the page (docs/how-to/from-whereabouts.md)",
        ),
        Declined::Twice(_) => Some("remove one of the two keys if a built-in plugin is wanted"),
        Declined::NoNative(_) | Declined::Unknown(_) | Declined::Needs { .. } => None,
    }
}

fn duplicates(judged: &Judged<'_>, network: &Network, map: &Node) -> Vec<Found> {
    let entries = map.entries();
    let before = |at: usize| entries[..at].iter().any(|(other, _)| folds_to(&other.text, &entries[at].0.text));
    let twice = (0..entries.len()).filter(|at| before(*at));
    twice
        .map(|at| judged.in_config(network, entries[at].0.at, format!("key {:?} occurs twice", entries[at].0.text)))
        .collect()
}

/// Every key of a plugin that Plexus knows, with the keys that may stand in its place.
fn every_key<'a>(judged: &Judged<'a>) -> Vec<(&'a Network, &'a Key, Vec<&'static str>)> {
    let mut found = Vec::new();
    for (network, tree) in trees(judged) {
        for plugin in plugins(tree) {
            let kind = plugin.find("type").and_then(Node::text).unwrap_or_default();
            if let Some((_, own)) = TABLES.iter().find(|(known, _)| *known == kind) {
                let known = names(&[COMMON, own]).into_iter().chain(OF_LISTS).collect::<Vec<_>>();
                found.extend(plugin.entries().iter().map(|(key, _)| (network, key, known.clone())));
            }
            let Some(section) = ipam(plugin) else { continue };
            let kind = section.find("type").and_then(Node::text).unwrap_or_default();
            let Some(known) = tables(kind).first().map(|own| names(&[own])) else { continue };
            found.extend(section.entries().iter().map(|(key, _)| (network, key, known.clone())));
            if kind == host_local::TYPE {
                let sets = section.find("ranges").map_or(&[] as &[Node], Node::items);
                let keys = sets.iter().flat_map(Node::items).flat_map(Node::entries);
                found.extend(keys.map(|(key, _)| (network, key, names(&[host_local::RANGE_KEYS]))));
            }
        }
    }
    found
}

fn names(tables: &[&[keys::Key]]) -> Vec<&'static str> {
    tables.iter().copied().flatten().map(|key| key.name).collect()
}

fn powers(judged: &Judged<'_>, network: &Network, tree: &Node) -> Vec<Found> {
    let mut found = Vec::new();
    for (key, value) in every_map(tree).into_iter().flat_map(Node::entries) {
        let text = value.text().unwrap_or_default();
        let is_of = |names: &[&str]| names.iter().any(|name| folds_to(&key.text, name));
        let why = match key.text.as_str() {
            "mode" if text == "passthru" => "mode passthru takes the whole of its master",
            "type" if text == "host-device" => "host-device moves an interface of the node into the pod",
            _ if is_of(&FLAGS) && value.is_true() => "it changes addresses or firewall rules of the node",
            _ if is_of(&PATHS) && !text.is_empty() => "root uses this path on the node",
            _ => continue,
        };
        found.push(judged.in_config(network, key.at, format!("key {:?}: {why}", key.text)));
    }
    found
}
