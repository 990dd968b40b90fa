//! What `plexusctl doctor` finds on each node, asked from here.

use crate::cli::diagnosis::{Check, Mark};
use crate::cli::output::Output;
use crate::cli::remote;
use crate::cluster::{Inquiry, SeenNode, SeenPod};
use crate::cni::json;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a node may take.
const LIMIT: Duration = Duration::from_secs(30);

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
    /// The worst of the checklist; none where nothing is bad and nothing may become so.
    pub fn worst(&self) -> Option<&Check> {
        self.checks.first().filter(|check| matches!(check.mark, Mark::Bad | Mark::Warning))
    }
}

/// The nodes by their names; why one could not be examined.
pub type Examinations = BTreeMap<String, Result<Examined, String>>;

/// Runs `plexusctl doctor` on every node.
pub fn examine(inquiry: &Inquiry, nodes: &[SeenNode], plexus: &[SeenPod], output: &Output) -> Examinations {
    let targets = remote::nodes::all(nodes, plexus);
    let words = ["doctor", "--output=json"].map(str::to_owned);
    let answers = remote::ask(inquiry, &targets, &words, LIMIT, output);
    let read = |answer: &remote::answer::Answer| {
        json::parse_bytes::<Examined>(&answer.done()?.stdout).map_err(|e| format!("its answer cannot be read: {e}"))
    };
    answers.iter().map(|answer| (answer.node.clone(), read(answer))).collect()
}
