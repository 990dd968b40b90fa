//! Rules about the shape of a configuration: JSON, plugins, types, versions.

use crate::cli::lint::found::Found;
use crate::cli::lint::judged::Judged;
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::Unread;
use crate::cli::objects::network::{Network, ipam};
use crate::cluster::manifests::tree::{Node, Tree};
use crate::cni::names::PluginType;
use crate::cni::version::{DeclaredVersion, Version};
use std::str::FromStr;

const GOOD: Example = Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge" }"#);

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX000",
        severity: Severity::Error,
        what: "a file or a directory cannot be read: nothing in it is checked",
        fix: "correct the file or its permissions; instead of a template, give lint what it renders",
        needs: Needs::Files,
        bad: Example::Manifests("apiVersion: v1\nkind: Pod\nmetadata: { name: p\nspec: { containers: [] }\n"),
        good: Example::Manifests("apiVersion: v1\nkind: Pod\nmetadata: { name: p }\nspec: { containers: [] }\n"),
        judge: |judged| {
            let found = |one: &Unread| Found { place: one.place, object: None, text: one.why.clone(), fix: None };
            judged.objects.unread.iter().map(found).collect()
        },
    },
    Rule {
        id: "PX001",
        severity: Severity::Error,
        what: "`spec.config` is not JSON",
        fix: "correct the JSON at this place",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "bridge", }"#),
        good: GOOD,
        judge: |judged| {
            let broken = |network: &Network| {
                let config = network.config.as_ref()?;
                let (why, place) = config.tree.as_ref().err()?;
                // A file has the place before the finding. In an object of a cluster only the text itself has lines.
                let is_file = judged.objects.sources[judged.objects.all[network.object].source].is_file;
                let why = if is_file { why.split(" (line").next().unwrap_or_default() } else { why };
                Some(judged.in_config(network, config.byte_at(*place), format!("spec.config is not JSON: {why}")))
            };
            judged.objects.networks.iter().filter_map(broken).collect()
        },
    },
    Rule {
        id: "PX002",
        severity: Severity::Error,
        what: "the configuration is not an object, or has neither `type` nor `plugins`",
        fix: "add \"type\" for one plugin, or \"plugins\" for a list",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "name": "a" }"#),
        good: GOOD,
        judge: |judged| {
            let bad = |(network, tree): (&Network, &Node)| {
                let has_one = single(tree).is_some() || tree.find("plugins").is_some();
                let text = match tree.value {
                    Tree::Map(_) if has_one => return None,
                    Tree::Map(_) => "the configuration has neither \"type\" nor \"plugins\"",
                    _ => "the configuration is not a JSON object",
                };
                Some(judged.in_config(network, tree.at, text))
            };
            trees(judged).filter_map(bad).collect()
        },
    },
    Rule {
        id: "PX003",
        severity: Severity::Error,
        what: "`plugins` is empty or not a list, or an element has no `type`",
        fix: "name the plugin of each element in \"type\"",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "plugins": [{ "bridge": "br0" }] }"#),
        good: Example::Config(r#"{ "cniVersion": "1.0.0", "plugins": [{ "type": "bridge" }] }"#),
        judge: |judged| trees(judged).flat_map(|(network, tree)| untyped(judged, network, tree)).collect(),
    },
    Rule {
        id: "PX004",
        severity: Severity::Error,
        what: "the type of a plugin is not the name of a file",
        fix: "write the name of the plugin's program, without a directory",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "1.0.0", "type": "../../bin/sh" }"#),
        good: GOOD,
        judge: |judged| {
            let of = |(network, tree): (&Network, &Node)| -> Vec<Found> {
                let kinds = kinds(tree).into_iter();
                let bad = kinds.filter_map(|kind| Some((kind.at, PluginType::new(kind.text()?).err()?)));
                bad.map(|(at, why)| judged.in_config(network, at, why.to_string())).collect()
            };
            trees(judged).flat_map(of).collect()
        },
    },
    Rule {
        id: "PX005",
        severity: Severity::Error,
        what: "`cniVersion` is not a version of CNI that Plexus supports",
        fix: "write 1.0.0, or another version from 0.1.0 to 1.1.0",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "0.9.0", "type": "bridge" }"#),
        good: GOOD,
        judge: |judged| {
            let bad = |(network, version): (&Network, &Node)| {
                let text = version.text().unwrap_or_default();
                let why = Version::from_str(text).err()?;
                Some(judged.in_config(network, version.at, why.to_string()))
            };
            versions(judged).filter_map(bad).collect()
        },
    },
    Rule {
        id: "PX006",
        severity: Severity::Warning,
        what: "`cniVersion` is missing or older than 0.4.0: CHECK is not possible",
        fix: "write \"cniVersion\": \"1.0.0\" if all plugins of the network support it",
        needs: Needs::Files,
        bad: Example::Config(r#"{ "cniVersion": "0.3.1", "type": "bridge" }"#),
        good: GOOD,
        judge: |judged| {
            let old = |(network, tree): (&Network, &Node)| {
                if tree.find("cniVersions").is_some() || kinds(tree).is_empty() {
                    return None;
                }
                let Some(version) = tree.find("cniVersion") else {
                    return Some(judged.in_config(network, tree.at, "cniVersion is missing: plugins assume 0.1.0"));
                };
                let text = version.text().unwrap_or_default();
                let is_known = Version::from_str(text).is_ok();
                let is_old = is_known && !DeclaredVersion::new(text).at_least(Version::V0_4_0);
                is_old.then(|| judged.in_config(network, version.at, format!("cniVersion {text:?} has no CHECK")))
            };
            trees(judged).filter_map(old).collect()
        },
    },
];

/// The configurations that are JSON.
pub fn trees<'a>(judged: &Judged<'a>) -> impl Iterator<Item = (&'a Network, &'a Node)> {
    let objects = judged.objects;
    objects.networks.iter().filter_map(|network| Some((network, network.config.as_ref()?.tree.as_ref().ok()?)))
}

/// The type of a configuration that is one plugin.
fn single(tree: &Node) -> Option<&Node> {
    tree.find("type").filter(|kind| kind.text() != Some(""))
}

/// The objects of the plugins in a configuration.
pub fn plugins(tree: &Node) -> Vec<&Node> {
    match single(tree) {
        Some(_) => vec![tree],
        None => tree.find("plugins").map_or(&[] as &[Node], Node::items).iter().collect(),
    }
}

/// Every `type` of a plugin or of an address plugin that is not empty.
pub fn kinds(tree: &Node) -> Vec<&Node> {
    let plugins = plugins(tree).into_iter();
    let all = plugins.flat_map(|plugin| [plugin.find("type"), ipam(plugin).and_then(|ipam| ipam.find("type"))]);
    all.flatten().filter(|kind| kind.text().is_some_and(|text| !text.is_empty())).collect()
}

fn versions<'a>(judged: &Judged<'a>) -> impl Iterator<Item = (&'a Network, &'a Node)> {
    let of = |(network, tree): (&'a Network, &'a Node)| {
        let all = tree.find("cniVersions").map_or(&[] as &[Node], Node::items);
        all.iter().chain(tree.find("cniVersion")).map(move |version| (network, version))
    };
    trees(judged).flat_map(of)
}

fn untyped(judged: &Judged<'_>, network: &Network, tree: &Node) -> Vec<Found> {
    let Some(list) = tree.find("plugins").filter(|_| single(tree).is_none()) else { return Vec::new() };
    if list.items().is_empty() {
        return vec![judged.in_config(network, list.at, "\"plugins\" is empty, or not a list")];
    }
    let is_untyped = |plugin: &&Node| plugin.find("type").and_then(Node::text).is_none_or(str::is_empty);
    let number = |plugin: &Node| list.items().iter().position(|item| std::ptr::eq(item, plugin)).unwrap_or_default();
    let told = |plugin: &Node| {
        judged.in_config(network, plugin.at, format!("plugin {} of the list has no \"type\"", number(plugin)))
    };
    list.items().iter().filter(is_untyped).map(told).collect()
}
