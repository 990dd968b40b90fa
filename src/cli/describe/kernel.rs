//! What the kernel has of what a record contains. Nothing is changed.

use crate::api::RunDirectory;
use crate::cli::output::Output;
use crate::cli::runs_as::Plugin;
use crate::cni::{ContainerId, NetworkConfig};
use crate::delegate::Registry;
use crate::engine::cleanup::comparison::{self, Answer, Difference};
use crate::store::{Attachment, Record, State};
use crate::sys::capabilities::may_change_networks;
use crate::sys::files;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// One network: its record, compared with the kernel.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// The container with the record; empty in the answer of a former release.
    #[serde(default)]
    pub container: String,
    /// The UID of the pod with the record; null if the runtime did not pass it.
    #[serde(default)]
    pub uid: Option<String>,
    /// The interface.
    pub interface: String,
    /// `<namespace>/<NAD>`, or the name of the default network.
    pub network: String,
    /// `planned`, `attached` or `owed`.
    pub state: State,
    /// The plugins, in their order.
    pub plugins: String,
    /// The way each of them runs now: inside Plexus, or as a program.
    #[serde(rename = "runsAs", default)]
    pub runs_as: Vec<Plugin>,
    /// The differences of interfaces, addresses and routes in the pod from the record; empty for none. Ports of bridges,
    /// leases and firewall rules are not compared.
    pub drift: Vec<String>,
    /// The reason if the kernel was not looked at; null if it was.
    pub unseen: Option<String>,
    /// The error of the failed removal; null for none.
    pub debt: Option<String>,
}

/// How long the node's own plugin may take to compare: it does after its next call.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked for its answer.
const LOOK: Duration = Duration::from_millis(100);

/// Compares `record` with the kernel; `registry` is by what plugins run on this node.
pub fn compare(record: &Record, registry: &Registry, run: &RunDirectory, output: &Output) -> Vec<Compared> {
    let seen = differences(record, run, output);
    let one = |attachment: &Attachment| {
        let config = NetworkConfig::parse(attachment.config.get(), None).ok();
        let of_it = |all: &Vec<Difference>| {
            let found = all.iter().find(|one| one.interface == attachment.ifname.as_str());
            found.map(|one| one.drift.clone()).unwrap_or_default()
        };
        Compared {
            container: record.container_id.to_string(),
            uid: record.pod.as_ref().and_then(|pod| pod.uid().map(str::to_owned)),
            interface: attachment.ifname.to_string(),
            network: attachment.network.clone(),
            state: attachment.state,
            plugins: config.as_ref().map(NetworkConfig::kinds).unwrap_or_default(),
            runs_as: config.iter().flat_map(|one| &one.plugins).map(|one| Plugin::of(one, registry)).collect(),
            drift: seen.as_ref().map(of_it).unwrap_or_default(),
            unseen: seen.as_ref().err().cloned(),
            debt: attachment.debt.as_ref().map(|debt| debt.error.clone()),
        }
    };
    record.attachments.iter().map(one).collect()
}

/// What of the attachments of `record` the kernel has otherwise, each by its interface. Where this process may not enter the
/// namespaces of pods, the plugin of the node is asked by way of `run`.
///
/// # Errors
/// Why the kernel was not looked at.
pub fn differences(record: &Record, run: &RunDirectory, output: &Output) -> Result<Vec<Difference>, String> {
    let is_attached = record.attachments.iter().any(|one| one.state == State::Attached);
    match may_change_networks() {
        _ if !is_attached => Ok(Vec::new()),
        true => comparison::compare(record),
        false => ask(run, &record.container_id, output),
    }
}

/// What the node's own plugin found.
fn ask(run: &RunDirectory, id: &ContainerId, output: &Output) -> Result<Vec<Difference>, String> {
    let asked = comparison::request(run, id).map_err(|e| files::told(&run.due(), &e))?;
    output.remark("This process may not look into the pod's network: the node's plugin compares after its next call.");
    let end = Instant::now() + ANSWER_LIMIT;
    loop {
        match comparison::answer_to(run, id, &asked) {
            Some(Answer { unseen: Some(why), .. }) => return Err(why),
            Some(answer) => return Ok(answer.attachments),
            None if Instant::now() >= end => {
                let seconds = ANSWER_LIMIT.as_secs();
                return Err(format!(
                    "the node's plugin has not compared within {seconds} s; it will after the next call of the runtime"
                ));
            }
            None => sleep(LOOK),
        }
    }
}
