//! What the kernel has of what a record contains. Nothing is changed.

use crate::api::RunDirectory;
use crate::cli::daemon_health;
use crate::cli::output::Output;
use crate::cli::runs_as::Plugin;
use crate::cni::{ContainerId, NetworkConfig};
use crate::delegate::Registry;
use crate::engine::cleanup::comparison::{self, Difference};
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
    /// The age of the comparison in seconds; absent for one of now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// The error of the failed removal; null for none.
    pub debt: Option<String>,
}

/// How long the node's own plugin may take to compare, where the runtime calls it every few seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Where it calls it only for pods: a call that is on its way has come by then, and the next may take hours.
const QUIET_LIMIT: Duration = Duration::from_secs(2);
/// How often it is looked for its answer.
const LOOK: Duration = Duration::from_millis(100);

/// What was seen of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The differences of each interface.
    pub all: Vec<Difference>,
    /// How long ago it was looked at, in seconds.
    pub age: u64,
}

/// Compares `record` with the kernel; `registry` is by what plugins run on this node.
pub fn compare(record: &Record, registry: &Registry, run: &RunDirectory, output: &Output) -> Vec<Compared> {
    let seen = differences(record, run, output);
    let one = |attachment: &Attachment| {
        let config = NetworkConfig::parse(attachment.config.get(), None).ok();
        let of_it = |seen: &Seen| {
            let found = seen.all.iter().find(|one| one.interface == attachment.ifname.as_str());
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
            age: seen.as_ref().ok().map(|seen| seen.age).filter(|age| *age > 0),
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
pub fn differences(record: &Record, run: &RunDirectory, output: &Output) -> Result<Seen, String> {
    let is_attached = record.attachments.iter().any(|one| one.state == State::Attached);
    match may_change_networks() {
        _ if !is_attached => Ok(Seen::default()),
        true => comparison::compare(record).map(|all| Seen { all, age: 0 }),
        false => ask(run, &record.container_id, output),
    }
}

/// What the node's own plugin found: for this question, or else for one of before.
fn ask(run: &RunDirectory, id: &ContainerId, output: &Output) -> Result<Seen, String> {
    let asked = comparison::request(run, id).map_err(|e| files::told(&run.due(), &e))?;
    output.remark("This process may not look into the pod's network: the node's plugin compares after its next call.");
    let health = daemon_health::ask(run, false, Instant::now() + QUIET_LIMIT).ok();
    wait(run, id, &asked, Instant::now() + patience(health.and_then(|health| health.status_age)))
}

/// Waits until `end` for the answer to `asked`.
fn wait(run: &RunDirectory, id: &ContainerId, asked: &str, end: Instant) -> Result<Seen, String> {
    loop {
        let newest = comparison::newest(run, id);
        match newest {
            Some((answer, age)) if answer.asked == asked || Instant::now() >= end => {
                let seen = Seen { all: answer.attachments, age: age.as_secs() };
                return answer.unseen.map_or(Ok(seen), Err);
            }
            None if Instant::now() >= end => {
                return Err(
                    "the node's plugin compares after its next call, when a pod starts or ends there: ask again then"
                        .to_owned(),
                );
            }
            _ => sleep(LOOK),
        }
    }
}

/// How long to wait for the next call, by the `age` of the runtime's last call of STATUS.
fn patience(age: Option<u64>) -> Duration {
    if age.is_some_and(|age| age <= ANSWER_LIMIT.as_secs()) { ANSWER_LIMIT } else { QUIET_LIMIT }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RunDirectory;
    use serde_json::json;
    use std::fs;

    #[test]
    fn where_the_runtime_does_not_call_nobody_waits_for_it() {
        assert_eq!([None, Some(600), Some(3)].map(patience), [QUIET_LIMIT, QUIET_LIMIT, ANSWER_LIMIT]);
    }

    #[test]
    fn the_answer_to_a_question_of_before_is_taken_where_none_comes() {
        let folder = tempfile::tempdir().unwrap();
        let (run, id) = (RunDirectory::new(folder.path()), ContainerId::new("c1").unwrap());
        let asked = || wait(&run, &id, "2 2", Instant::now());
        assert!(asked().unwrap_err().contains("ask again"));
        let answer = json!({"asked": "1 2", "attachments": [{"interface": "net1", "drift": ["x"]}]});
        fs::create_dir(run.comparisons()).unwrap();
        fs::write(run.compared(&id), answer.to_string()).unwrap();
        let before = std::time::SystemTime::now() - Duration::from_secs(60);
        fs::File::options().write(true).open(run.compared(&id)).unwrap().set_modified(before).unwrap();
        let seen = asked().unwrap();
        assert!(seen.all[0].drift == ["x"] && seen.age >= 60, "{seen:?}");
        // While it may still come, that one is waited for.
        let later = std::thread::spawn({
            let (run, id, answer) = (run.clone(), id.clone(), json!({"asked": "2 2", "attachments": []}));
            move || fs::write(run.compared(&id), answer.to_string()).unwrap()
        });
        assert_eq!(wait(&run, &id, "2 2", Instant::now() + ANSWER_LIMIT).unwrap().all, []);
        later.join().unwrap();
    }
}
