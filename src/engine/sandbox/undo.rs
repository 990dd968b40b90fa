//! Deleting attachments: for DEL, for an ADD that failed, and for debts.

use crate::cni::{CniError, Code, ContainerId, IfName, NetworkConfig};
use crate::engine::Turn;
use crate::engine::cleanup::wish;
use crate::engine::sandbox::device_info;
use crate::engine::sandbox::lock::Sandbox;
use crate::engine::sandbox::recalled::Recalled;
use crate::engine::sandbox::withdraw::withdraw;
use crate::store::{Attachment, Debt, Found, Record, State, record};
use crate::sys::files::Durability;
use crate::sys::netlink::teardown;
use crate::sys::netns::Netns;
use crate::sys::trace;
use serde_json::value::RawValue;
use std::path::Path;
use std::time::{Duration, Instant};

/// An attachment that could not be deleted. It is a debt now.
#[derive(Debug)]
pub struct Failure {
    /// What is owed.
    pub attachment: Attachment,
    /// Why.
    pub error: CniError,
}

/// Why an attachment is still there.
struct Unfinished {
    error: CniError,
    /// The configuration of the plugins that have to be called again; none for all of them.
    rest: Option<Box<RawValue>>,
    /// A plugin was killed because it did not end.
    hung: bool,
}

/// What a plugin has at least, however many others wait.
const LEAST: Duration = Duration::from_secs(3);

/// Deletes `attachments` in reverse, those that hung before last. All are attempted, whatever the others say
/// (NPWG-ERR-02), and each has its share of the time that is left: one that hangs does not take the others' time.
pub fn delete(
    turn: &Turn,
    sandbox: &Sandbox,
    netns: Option<&Path>,
    id: &ContainerId,
    attachments: Vec<Attachment>,
    deadline: Instant,
) -> Vec<Failure> {
    delete_links(turn, netns, &attachments, deadline);
    let mut failures: Vec<(usize, Failure)> = Vec::new();
    let mut waiting: Vec<(usize, Attachment)> = attachments.into_iter().enumerate().rev().collect();
    waiting.sort_by_key(|(_, attachment)| attachment.debt.as_ref().filter(|debt| debt.hung).map(|debt| debt.last));
    let count = waiting.len();
    for (done, (place, attachment)) in waiting.into_iter().enumerate() {
        let now = Instant::now();
        let share = share(deadline.saturating_duration_since(now), count - done);
        let until = (now + share).min(deadline.max(now));
        if let Err(unfinished) = delete_one(turn, sandbox, netns, id, &attachment, until) {
            turn.warn(&unfinished.error);
            let error = unfinished.error.clone();
            let attachment = if now < deadline {
                owed(attachment, unfinished)
            } else {
                // Nobody tried: it is not the attempt's fault, and the next one begins with it.
                put_off(attachment, unfinished)
            };
            failures.push((place, Failure { attachment, error }));
        }
    }
    failures.sort_by_key(|(place, _)| *place);
    failures.into_iter().map(|(_, failure)| failure).collect()
}

/// Deletes the link called `ifname`, which its plugin left. Where that fails it is owed.
pub fn delete_left_link(turn: &Turn, netns: &Path, ifname: &IfName, deadline: Instant) {
    if let Err(e) = delete_together(turn, netns, &[ifname.as_str()], deadline) {
        turn.warn(format!("cannot delete the interface {ifname}, which its plugin left: {e}"));
    }
}

/// Deletes `links` of the namespace `netns`, and tells the built-in plugins that they are gone.
fn delete_together(turn: &Turn, netns: &Path, links: &[&str], deadline: Instant) -> Result<(), String> {
    let opened = Netns::open(netns).map_err(|e| e.to_string())?;
    teardown(&opened, links, deadline).map_err(|e| e.to_string())?;
    turn.registry.note_deleted(netns, links);
    Ok(())
}

/// The share of one of `waiting` attachments in the time that is `left`.
fn share(left: Duration, waiting: usize) -> Duration {
    let waiting = u32::try_from(waiting.max(1)).unwrap_or(u32::MAX);
    (left / waiting).max(LEAST)
}

/// Deletes at once the links of all networks that are nothing but a link: the
/// kernel's grace periods are waited for once, and not by us. What is left of them (addresses) is
/// freed by each network's own DEL, which is told that its link is gone.
fn delete_links(turn: &Turn, netns: Option<&Path>, attachments: &[Attachment], deadline: Instant) {
    let Some(path) = netns else { return };
    let is_one_link = |attachment: &&Attachment| {
        NetworkConfig::parse(attachment.config.get(), None).is_ok_and(|network| turn.registry.is_one_link(&network))
    };
    let links: Vec<&str> =
        attachments.iter().filter(is_one_link).map(|attachment| attachment.ifname.as_str()).collect();
    if links.len() < 2 {
        return;
    }
    let _step = trace::step_of(|| format!("interfaces {}", links.join(", ")));
    // Each network's DEL tries again and says what is in the way.
    if let Err(e) = delete_together(turn, path, &links, deadline) {
        turn.warn(format!("cannot delete the interfaces {} together: {e}", links.join(", ")));
    }
}

fn delete_one(
    turn: &Turn,
    sandbox: &Sandbox,
    netns: Option<&Path>,
    id: &ContainerId,
    attachment: &Attachment,
    until: Instant,
) -> Result<(), Unfinished> {
    let _step = trace::step_of(|| format!("network {} ({})", attachment.network, attachment.ifname));
    let recalled = Recalled::read(turn, attachment).map_err(|error| Unfinished { error, rest: None, hung: false })?;
    if turn.registry.needs_programs(recalled.network()) {
        note_attempt(turn, id, attachment);
    }
    let chain = recalled.chain(turn, sandbox, id, attachment, netns, until);
    chain.del(attachment.result.as_deref()).map_err(|left| Unfinished {
        error: left.to_cni().about(format!("network {} ({})", attachment.network, attachment.ifname)),
        rest: recalled.only(&left.plugins),
        hung: left.is_hung(),
    })?;
    if let Some(file) = &attachment.device_info_file
        && let Err(e) = device_info::remove(file)
    {
        // DEVINFO-14; a file on a tmpfs that stays is not worth a failed DEL.
        turn.warn(format!("device-info file {}: {e}", file.display()));
    }
    Ok(())
}

/// Writes to the record that a program is about to delete `attachment`: if this call is killed meanwhile, because the
/// program hangs, the next one tries the others first.
fn note_attempt(turn: &Turn, id: &ContainerId, attachment: &Attachment) {
    // What is only guessed has no record.
    let Ok(Found::Record(mut record)) = turn.store.look(id) else { return };
    let is_it = |other: &&mut Attachment| other.call == attachment.call && other.ifname == attachment.ifname;
    let Some(recorded) = record.attachments.iter_mut().find(is_it) else { return };
    let error = CniError::new(Code::TryAgain, "the call that deletes it has not finished");
    *recorded = owed(recorded.clone(), Unfinished { error, rest: None, hung: true });
    // The note only decides about an order; a disk that is full must not stop a DEL.
    let _ = turn.store.write(&record, Durability::Cached);
}

fn owed(mut attachment: Attachment, unfinished: Unfinished) -> Attachment {
    let before = attachment.debt.take();
    attachment.state = State::Owed;
    attachment.config = unfinished.rest.unwrap_or(attachment.config);
    attachment.debt = Some(Debt {
        // The clock may have been set back: a debt of a time to come would have no end.
        since: before.as_ref().map_or(u64::MAX, |debt| debt.since).min(record::now()),
        last: record::now(),
        attempts: before.map_or(0, |debt| debt.attempts).saturating_add(1),
        hung: unfinished.hung,
        error: unfinished.error.msg,
    });
    attachment
}

/// Owed, and not tried.
fn put_off(mut attachment: Attachment, unfinished: Unfinished) -> Attachment {
    attachment.state = State::Owed;
    attachment.debt.get_or_insert_with(|| Debt {
        since: record::now(),
        last: 0,
        attempts: 0,
        hung: false,
        error: unfinished.error.msg,
    });
    attachment
}

/// Puts what could be read of a damaged record in its place, before anything of it is deleted. Answers whether the
/// record may be replaced from now on: where the damaged one could not be kept it stays, for a later call.
pub fn restore(turn: &Turn, record: &Record, damage: &str) -> bool {
    match turn.store.restore(record, Durability::Synced) {
        Ok(aside) => {
            turn.warn(format!("{damage}; the damaged file is kept as {}", aside.display()));
            true
        }
        Err(e) => {
            turn.warn(format!("{damage}; it stays in its place, because it cannot be kept elsewhere: {e}"));
            false
        }
    }
}

/// Writes `record`, or removes it once nothing is left in it; asks for a sweep when its first debt is due. Answers
/// whether that could be done.
pub fn keep_or_remove(turn: &Turn, record: &Record) -> bool {
    wish::remind(turn, record);
    write_back(turn, record)
}

/// As [`keep_or_remove`], for whoever remembers the debts. The record goes last: nobody asks for what a call leaves
/// that is killed after it.
pub fn write_back(turn: &Turn, record: &Record) -> bool {
    let outcome = if record.attachments.is_empty() {
        withdraw(turn, &record.container_id);
        turn.store.remove(&record.container_id)
    } else {
        turn.store.write(record, Durability::Synced)
    };
    outcome.inspect_err(|e| turn.warn(format!("the record of {} cannot be updated: {e}", record.container_id))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_shared() {
        // H3
        let seconds = Duration::from_secs;
        assert_eq!(share(seconds(90), 3), seconds(30));
        assert_eq!(share(seconds(90), 1), seconds(90));
        assert_eq!(share(seconds(10), 100), LEAST);
        assert_eq!(share(Duration::ZERO, 0), LEAST);
    }

    #[test]
    fn a_debt_of_a_time_to_come_begins_now() {
        let text = r#"{"call":"eth0","network":"n","ifname":"net1","state":"owed","config":{},
            "debt":{"since":99999999999,"last":99999999999,"attempts":3,"hung":false,"error":"e"}}"#;
        let unfinished = Unfinished { error: CniError::new(Code::Io, "e"), rest: None, hung: false };
        let debt = owed(serde_json::from_str(text).unwrap(), unfinished).debt.unwrap();
        assert!(debt.since <= record::now() && debt.attempts == 4, "{debt:?}");
    }

    #[test]
    fn one_that_hangs_does_not_take_the_others_time() {
        // H3
        use crate::cni::{CniArgs, Invocation, Verb};
        use crate::engine::settings::Settings;
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in [("hangs", "sleep 60"), ("works", "touch ${0%/*}/done")] {
            let program = folder.path().join(name);
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = folder.path().display();
        let text = format!(
            r#"{{"name":"x","cniVersion":"1.0.0","runDirectory":"{path}/run","stateDirectory":"{path}/state"}}"#
        );
        let invocation =
            Invocation { verb: Verb::Del, target: None, args: CniArgs::default(), path: vec![folder.path().into()] };
        let turn = Turn::new(invocation, Settings::parse(&text).unwrap());
        let attachment = |kind: &str, ifname: &str| {
            let text = format!(
                r#"{{"call":"eth0","network":"{kind}","ifname":"{ifname}","state":"attached","config":{{"cniVersion":"1.0.0","name":"n","type":"{kind}"}}}}"#
            );
            serde_json::from_str::<Attachment>(&text).unwrap()
        };
        let id = ContainerId::new("c1").unwrap();
        let sandbox = Sandbox::lock(&turn, &id, Instant::now()).unwrap();
        let attachments = vec![attachment("works", "eth0"), attachment("hangs", "net1")];
        let began = Instant::now();
        let failures = delete(&turn, &sandbox, None, &id, attachments, began + 2 * LEAST);
        assert_eq!(failures.len(), 1, "{failures:?}");
        let debt = failures[0].attachment.debt.as_ref().unwrap();
        assert_eq!((debt.attempts, debt.hung, failures[0].attachment.ifname.as_str()), (1, true, "net1"));
        assert!(folder.path().join("done").exists());
        // Without any time nothing is started, and nothing is blamed.
        std::fs::remove_file(folder.path().join("done")).unwrap();
        let failures = delete(&turn, &sandbox, None, &id, vec![attachment("works", "eth0")], Instant::now());
        let debt = failures[0].attachment.debt.as_ref().unwrap();
        assert_eq!((debt.attempts, debt.last, debt.hung), (0, 0, false));
        assert!(!folder.path().join("done").exists());
    }
}
