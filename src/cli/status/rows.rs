//! A line for each node. Pure.

use crate::cli::diagnosis::Fault;
use crate::cli::output::Tone;
use crate::cli::output::limit::{PHRASE, short};
use crate::cli::output::table::{Cell, Table};
use crate::cli::pods::label;
use crate::cli::pods::networks::{PodNetworks, Standing};
use crate::cli::status::facts::Facts;
use crate::cli::status::node::Examined;
use crate::cli::why::plexus::{self, Trouble};
use crate::cluster::{SeenEvent, SeenNode, SeenPod};
use schemars::JsonSchema;
use serde::Serialize;

/// Plexus on one node.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The node.
    pub node: String,
    /// Plexus is ready on the node.
    pub ready: bool,
    /// The node is ready.
    #[serde(rename = "nodeReady")]
    pub node_ready: bool,
    /// Plexus' pod, `<namespace>/<name>`; null for none.
    pub pod: Option<String>,
    /// The version of its image: the tag, or the beginning of the digest; null without a pod.
    pub version: Option<String>,
    /// The number of restarts of its containers.
    pub restarts: u32,
    /// The container runtime and its version.
    pub runtime: String,
    /// The number of attachments of the pods of the node, without their default networks.
    pub attachments: usize,
    /// The name of the problem; null for none.
    pub fault: Option<Fault>,
    /// The reason if it is not ready; null if it is ready.
    pub problem: Option<String>,
    /// What to do about it; absent if it is ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The release of the plugin on the node; absent if the node was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The release of the daemon; absent if the node was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon: Option<String>,
    /// The worst finding of `plexusctl doctor` there, or the reason if it was not seen; absent if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doctor: Option<String>,
}

/// The nodes that run Linux, sorted.
pub fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows: Vec<Row> = facts.nodes.iter().filter(|node| node.linux).map(|node| row(facts, node)).collect();
    rows.sort_by(|a, b| a.node.cmp(&b.node));
    rows
}

fn row(facts: &Facts, node: &SeenNode) -> Row {
    let found = facts.plexus.iter().zip(&facts.events).find(|(pod, _)| pod.node.as_ref() == Some(&node.name));
    let trouble = trouble(node, found.map(|(pod, events)| (pod, events.as_slice())), &facts.plexus);
    let examined = facts.examinations.as_ref().and_then(|all| all.get(&node.name));
    let release = |of: fn(&Examined) -> &Option<String>| of(examined?.as_ref().ok()?).clone();
    Row {
        plugin: release(|one| &one.plugin),
        daemon: release(|one| &one.daemon),
        doctor: examined.and_then(|one| match one {
            Ok(examined) => examined.worst().map(|check| format!("{}: {}", check.check, check.finding)),
            Err(why) => Some(format!("not seen: {why}")),
        }),
        node: node.name.clone(),
        ready: trouble.is_none(),
        node_ready: node.ready,
        pod: found.map(|(pod, _)| label(pod)),
        version: found.and_then(|(pod, _)| pod.images.first()).map(|image| version(image)),
        restarts: found.map(|(pod, _)| pod.restarts).unwrap_or_default(),
        runtime: node.runtime.clone(),
        attachments: attachments(facts, &node.name),
        fault: trouble.as_ref().map(|trouble| trouble.fault),
        problem: trouble.as_ref().map(|trouble| trouble.why.clone()),
        remedy: trouble.map(|trouble| trouble.remedy),
    }
}

/// What keeps Plexus from serving `node`: the node itself is before its pod.
fn trouble(node: &SeenNode, plexus: Option<(&SeenPod, &[SeenEvent])>, all: &[SeenPod]) -> Option<Trouble> {
    if !node.ready {
        let why = node.why_not_ready();
        return Some(Trouble::of(Fault::NodeNotReady, format!("the node is not ready: {why}")));
    }
    match plexus {
        Some((pod, events)) => plexus::trouble(pod, events),
        // A pod that waits for the scheduler may be that of this node.
        None => Some(match all.iter().find_map(|pod| pod.waits.as_ref().filter(|_| pod.node.is_none())) {
            Some(why) => Trouble::of(Fault::NoNode, format!("it has no Plexus pod; of one that waits: {why}")),
            None => Trouble {
                remedy: "See why the DaemonSet has no pod there: kubectl describe node shows taints and labels."
                    .to_owned(),
                ..Trouble::of(Fault::DaemonDown, "it has no Plexus pod")
            },
        }),
    }
}

fn attachments(facts: &Facts, node: &str) -> usize {
    let pods = facts.pods.iter().flatten().filter(|pod| pod.node.as_deref() == Some(node));
    let attached = |one: &&crate::cli::pods::networks::PodNetwork| one.state == Standing::Attached && !one.default;
    pods.map(|pod| PodNetworks::of(pod).networks.iter().filter(attached).count()).sum()
}

/// Of an image the tag, or the beginning of the digest.
pub fn version(image: &str) -> String {
    let (name, digest) = image.split_once('@').unwrap_or((image, ""));
    let tag = name.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    match (tag, digest) {
        (Some(tag), _) => tag.to_owned(),
        (None, "") => "latest".to_owned(),
        (None, digest) => digest.chars().take("sha256:".len() + 12).collect(),
    }
}

/// The table of the nodes with what each of them reports.
pub fn wide_table(rows: &[Row]) -> Table {
    let mut table = Table::new([
        "NODE",
        "PLEXUS",
        "VERSION",
        "PLUGIN",
        "DAEMON",
        "RUNTIME",
        "ATTACHMENTS",
        "RESTARTS",
        "PROBLEM",
        "DOCTOR",
    ]);
    for row in rows {
        let mut cells = cells(row);
        let release = |release: &Option<String>| release.clone().unwrap_or_default().into();
        cells.splice(3..3, [release(&row.plugin), release(&row.daemon)]);
        cells.push(match &row.doctor {
            Some(worst) => Cell::new(short(worst, PHRASE), Tone::Waiting),
            None => Cell::new("well", Tone::Good),
        });
        table.row(cells);
    }
    table
}

/// The table of the nodes.
pub fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["NODE", "PLEXUS", "VERSION", "RUNTIME", "ATTACHMENTS", "RESTARTS", "PROBLEM"]);
    rows.iter().for_each(|row| table.row(cells(row)));
    table
}

fn cells(row: &Row) -> Vec<Cell> {
    let state = match (row.ready, &row.pod) {
        (true, _) => Cell::new("ready", Tone::Good),
        (false, Some(_)) => Cell::new("not ready", Tone::Bad),
        (false, None) => Cell::new("missing", Tone::Bad),
    };
    // The whole is below the table: one long line would make every line as long.
    let problem = short(row.problem.as_deref().unwrap_or_default(), PHRASE);
    vec![
        row.node.as_str().into(),
        state,
        row.version.clone().unwrap_or_default().into(),
        row.runtime.as_str().into(),
        row.attachments.to_string().into(),
        row.restarts.to_string().into(),
        problem.into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_image() {
        let table = [
            ("ghcr.io/x/plexus:v1.2.3", "v1.2.3"),
            ("host:5000/x/plexus", "latest"),
            ("host:5000/x/plexus:1@sha256:0123", "1"),
            ("x/plexus@sha256:0123456789abcdef", "sha256:0123456789ab"),
        ];
        for (image, expected) in table {
            assert_eq!(version(image), expected, "{image}");
        }
    }
}
