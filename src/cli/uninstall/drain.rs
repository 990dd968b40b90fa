//! Waiting until no pod needs the plugin: what `plexusctl uninstall` waits for, and what it gives up in the end.

use crate::api::{RunDirectory, StateDirectory};
use crate::cli::Error;
use crate::cli::config::document::LIST;
use crate::cli::output::Output;
use crate::engine::planning::disk;
use crate::store::{Attachment, Record, State, Store, record};
use crate::sys::files;
use crate::sys::lock::FileLock;
use std::collections::BTreeSet;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the records are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is told that we wait.
const TELL: Duration = Duration::from_secs(10);
/// How long a failed deletion is waited for, in seconds since it failed first. Its sandbox is deleted, or was never
/// ready: no pod uses what is left, and it is tried again every few minutes at most.
const DEBT: u64 = 600;

/// What ends the uninstallation of a container.
pub const MANIFESTS: &str = "The DaemonSet still uninstalls Plexus, and plexusd does not run: apply the manifests again as you installed them (Helm: `--set uninstall=false`)";

/// What keeps the plugin on the node.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Awaited {
    /// Pods with networks that only the plugin can delete; a sandbox of no pod by its ID.
    pods: BTreeSet<String>,
    /// Sandboxes that are deleted but for something that could not be.
    debts: usize,
    /// Records that cannot be read.
    damaged: usize,
    /// Whether a call runs now.
    busy: bool,
}

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing needs the plugin.
    Empty,
    /// Something does, and it is not waited for.
    Needed,
    /// Somebody has cancelled the uninstallation.
    Cancelled,
}

impl Awaited {
    fn is_nothing(&self) -> bool {
        *self == Awaited::default()
    }

    fn is_call_only(&self) -> bool {
        self.busy && self.pods.is_empty() && self.debts == 0 && self.damaged == 0
    }
}

/// Waits until nothing needs the plugin, if that is wanted. Who `is_started_again` after its end does not end where the
/// uninstallation is cancelled, because its next start would begin another one.
///
/// # Errors
/// The records cannot be read.
pub fn drain(
    state: &StateDirectory,
    run: &RunDirectory,
    folder: &Path,
    (wait, is_started_again): (bool, bool),
    output: &Output,
) -> Result<Drained, Error> {
    let (store, own) = (Store::new(state), own_name(folder));
    let mut told: Option<(Instant, Awaited)> = None;
    loop {
        if !state.draining().exists() {
            if !is_started_again {
                return Ok(Drained::Cancelled);
            }
            await_another(state, output);
        }
        // Looked at in this order: a call that runs now may still leave a record.
        let busy = is_busy(run);
        let survey = store.survey().map_err(|source| Error::Records { folder: state.sandboxes(), source });
        let (records, damaged) = survey?;
        let awaited = Awaited { busy, damaged: damaged.len(), ..awaited(&records, own.as_deref(), record::now()) };
        if awaited.is_nothing() {
            // Somebody may have cancelled it in this moment.
            if !state.draining().exists() {
                continue;
            }
            give_up(&records, own.as_deref(), output);
            return Ok(Drained::Empty);
        }
        let may_wait = wait || awaited.is_call_only();
        if told.as_ref().is_none_or(|(at, _)| at.elapsed() >= TELL) {
            let same = told.as_ref().is_some_and(|(_, last)| *last == awaited);
            output.remark(summary(&awaited, same));
            told = Some((Instant::now(), awaited));
        }
        if !may_wait {
            return Ok(Drained::Needed);
        }
        sleep(LOOK);
    }
}

/// Waits until somebody begins the uninstallation again.
fn await_another(state: &StateDirectory, output: &Output) {
    output.remark(format!("the uninstallation was cancelled on this node, and nothing is removed. {MANIFESTS}"));
    while !state.draining().exists() {
        sleep(LOOK);
    }
}

/// What of `records` is waited for, at the time `now`.
fn awaited(records: &[Record], own: Option<&str>, now: u64) -> Awaited {
    let mut awaited = Awaited::default();
    for record in records {
        let ours = || record.attachments.iter().filter(|attachment| is_ours(attachment, own));
        if ours().any(|attachment| attachment.state != State::Owed) {
            awaited.pods.insert(name(record));
        } else if ours().any(|attachment| !is_given_up(attachment, now)) {
            awaited.debts += 1;
        }
    }
    awaited
}

fn name(record: &Record) -> String {
    record.pod.as_ref().map_or_else(|| format!("container {}", record.container_id), ToString::to_string)
}

/// Whether only we can delete it: anything but the cluster's own network.
fn is_ours(attachment: &Attachment, own: Option<&str>) -> bool {
    !attachment.default || own.is_some_and(|own| attachment.network != own)
}

/// Whether it is owed for so long that nobody waits for it any more.
fn is_given_up(attachment: &Attachment, now: u64) -> bool {
    attachment.debt.as_ref().is_some_and(|debt| now.saturating_sub(debt.since) >= DEBT)
}

/// One line a debt: with the plugin goes whoever would try again.
fn give_up(records: &[Record], own: Option<&str>, output: &Output) {
    for record in records {
        for attachment in record.attachments.iter().filter(|attachment| is_ours(attachment, own)) {
            let why = attachment.debt.as_ref().map_or("it was not tried", |debt| debt.error.as_str());
            output.remark(format!(
                "given up: network {} ({}) of {} could not be deleted: {why}",
                attachment.network,
                attachment.ifname,
                name(record)
            ));
        }
    }
}

/// Every pod that is waited for; only their number where that was `told` before.
fn summary(awaited: &Awaited, told: bool) -> String {
    let count = |number: usize, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    };
    let names = awaited.pods.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let pods = count(
        awaited.pods.len(),
        "pod has networks that only Plexus can delete",
        "pods have networks that only Plexus can delete",
    );
    let pods = pods.map(|pods| if told { format!("{pods}, as before") } else { format!("{pods} ({names})") });
    let debts = count(
        awaited.debts,
        "deleted sandbox has a failed deletion that is tried again",
        "deleted sandboxes have failed deletions that are tried again",
    );
    let damaged = count(awaited.damaged, "record cannot be read", "records cannot be read");
    let busy = awaited.busy.then(|| "a call is running".to_owned());
    let parts: Vec<String> = [pods, debts, damaged, busy].into_iter().flatten().collect();
    format!("draining: {}; new pods get no additional networks", parts.join(", "))
}

/// The name of our list, which is that of the cluster's own network.
fn own_name(folder: &Path) -> Option<String> {
    disk::read(&folder.join(LIST)).ok().map(|list| list.name.to_string())
}

/// Whether a call holds the lock of its sandbox.
fn is_busy(run: &RunDirectory) -> bool {
    let locks = files::entries(&run.locks()).into_iter().flatten();
    locks.into_iter().any(|entry| matches!(FileLock::try_acquire(&entry.path()), Ok(None)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(container: &str, pod: Option<&str>, attachments: serde_json::Value) -> Record {
        let pod = pod.map(|name| json!({"namespace": "default", "name": name}));
        let record = json!({"version": 1, "containerId": container, "pod": pod, "attachments": attachments});
        serde_json::from_value(record).unwrap()
    }

    fn attachment(network: &str, default: bool, since: Option<u64>) -> serde_json::Value {
        let debt = since.map(|since| json!({"since": since, "attempts": 2, "error": "no way"}));
        let state = if since.is_some() { "owed" } else { "attached" };
        json!({"call": "eth0", "network": network, "ifname": "net1", "default": default, "state": state,
            "config": {}, "debt": debt})
    }

    #[test]
    fn the_clusters_own_network_needs_nobody() {
        let needs = |network: &str, default: bool, own: Option<&str>| {
            let record = record("c", Some("p"), json!([attachment(network, default, None)]));
            !awaited(&[record], own, 0).is_nothing()
        };
        assert!(!needs("cbr0", true, Some("cbr0")));
        assert!(!needs("cbr0", true, None));
        // Another default network than the node's, and every additional one.
        assert!(needs("default/other", true, Some("cbr0")));
        assert!(needs("default/macvlan", false, Some("cbr0")));
    }

    #[test]
    fn pods_are_counted_as_pods_and_all_are_told() {
        let networks = json!([attachment("default/a", false, None), attachment("default/b", false, None)]);
        let mut records: Vec<Record> =
            (0..5).map(|number| record(&format!("c{number}"), Some(&format!("p{number}")), networks.clone())).collect();
        // The same pod, in a sandbox that takes the place of another.
        records.push(record("again", Some("p0"), networks.clone()));
        records.push(record("alone", None, networks));
        let awaited = awaited(&records, None, 0);
        let told = summary(&awaited, false);
        assert!(told.contains("draining: 6 pods have networks"), "{told}");
        assert!(
            told.contains("(container alone, default/p0, default/p1, default/p2, default/p3, default/p4)"),
            "{told}"
        );
        assert!(!summary(&awaited, true).contains("default/p0"));
    }

    #[test]
    fn what_a_deleted_sandbox_owes_is_waited_for_with_an_end() {
        let owed = |network: &str| json!([attachment(network, false, Some(1000))]);
        // One pod whose ADD failed again and again: many sandboxes, and no pod that has a network.
        let records: Vec<Record> =
            (0..41).map(|number| record(&format!("c{number}"), Some("p"), owed("default/mistyped"))).collect();
        let early = awaited(&records, None, 1000);
        assert!(early.pods.is_empty() && early.debts == 41, "{early:?}");
        let told = summary(&early, false);
        assert!(told.contains("41 deleted sandboxes") && !told.contains("pods have"), "{told}");
        assert!(awaited(&records, None, 1000 + DEBT).is_nothing());
        // What is still attached to a sandbox makes it one that is used.
        let both = json!([attachment("default/a", false, None), attachment("default/b", false, Some(0))]);
        assert_eq!(awaited(&[record("c", Some("q"), both)], None, 10 * DEBT).pods.len(), 1);
    }
}
