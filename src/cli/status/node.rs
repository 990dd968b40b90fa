//! What `plexusctl doctor` finds on each node, asked from here.

use crate::cli::diagnosis::{Check, Mark};
use crate::cli::output::Output;
use crate::cli::pods::networks::{PodNetworks, Standing};
use crate::cli::remote;
use crate::cli::remote::nodes::Target;
use crate::cluster::{Inquiry, SeenNode, SeenPod};
use crate::cni::json;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a node may take.
const LIMIT: Duration = Duration::from_secs(30);
/// So many nodes are asked for the sake of their pods.
const MOST_AFFECTED: usize = 3;

/// What is read of the document that a node prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Examined {
    /// The release of the plugin.
    #[serde(default)]
    pub plugin: Option<String>,
    /// The release of the daemon.
    #[serde(default)]
    pub daemon: Option<String>,
    /// The checklist, the worst first.
    checks: Vec<Check>,
}

impl Examined {
    /// The releases of plugin and daemon, where they differ.
    pub fn releases(&self) -> Option<(&str, &str)> {
        let both = self.plugin.as_deref().zip(self.daemon.as_deref());
        both.filter(|(plugin, daemon)| plugin != daemon)
    }

    /// The worst of the checklist; none where nothing is bad and nothing may become so.
    pub fn worst(&self) -> Option<&Check> {
        self.checks.first().filter(|check| matches!(check.mark, Mark::Bad | Mark::Warning))
    }
}

/// The nodes by their names; why one could not be examined.
pub type Examinations = BTreeMap<String, Result<Examined, String>>;

/// Which nodes are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All, as a person wants it: a node that cannot be asked is told.
    All,
    /// Some of those where pods lack a network: the reason may be the node's. One that cannot be asked is left out.
    Affected,
    /// None.
    None,
}

/// What the nodes find that are `wanted`; none where none was asked. `pods` are those of the cluster.
pub fn examine_wanted(
    inquiry: &Inquiry,
    wanted: Wanted,
    (nodes, plexus, pods): (&[SeenNode], &[SeenPod], &[SeenPod]),
    output: &Output,
) -> Option<Examinations> {
    match wanted {
        Wanted::None => None,
        Wanted::All => Some(examine(inquiry, nodes, plexus, output)),
        Wanted::Affected => {
            let affected = affected(nodes, pods);
            let mut found = examine(inquiry, &affected, plexus, output);
            found.retain(|_, examined| examined.is_ok());
            (!found.is_empty()).then_some(found)
        }
    }
}

/// The first of `nodes` on which pods of `pods` lack a network.
fn affected(nodes: &[SeenNode], pods: &[SeenPod]) -> Vec<SeenNode> {
    let lacks = |pod: &SeenPod| {
        let networks = PodNetworks::of(pod);
        networks.in_state(Standing::Missing).chain(networks.in_state(Standing::Waiting)).next().is_some()
    };
    let on: BTreeSet<&str> = pods.iter().filter(|pod| lacks(pod)).filter_map(|pod| pod.node.as_deref()).collect();
    nodes.iter().filter(|node| on.contains(node.name.as_str())).take(MOST_AFFECTED).cloned().collect()
}

/// Runs `plexusctl doctor` on every one of `nodes`.
fn examine(inquiry: &Inquiry, nodes: &[SeenNode], plexus: &[SeenPod], output: &Output) -> Examinations {
    let is_wanted = |target: &Target| nodes.iter().any(|node| node.name == target.node);
    let targets: Vec<Target> = remote::nodes::all(nodes, plexus).into_iter().filter(is_wanted).collect();
    let words = ["doctor", "--output=json"].map(str::to_owned);
    let answers = remote::ask(inquiry, &targets, &words, LIMIT, output);
    let read = |answer: &remote::answer::Answer| {
        json::parse_bytes::<Examined>(&answer.done()?.stdout).map_err(|e| format!("its answer cannot be read: {e}"))
    };
    answers.iter().map(|answer| (answer.node.clone(), read(answer))).collect()
}
