//! DEL: from the record alone, and without one what can be known all the same.

use super::sandbox::Sandbox;
use super::selections::Selections;
use super::undo::{self, Failure};
use super::{Turn, add, attach, default_network, multus, namespace, publish};
use crate::cni::{CniError, IfName};
use crate::facts::Known;
use crate::store::{Found, Record};
use std::time::Duration;

/// kubelet gives up after 2 minutes.
const DEL: Duration = Duration::from_secs(90);
/// After so many attempts the pod goes all the same; the debt stays and is retried.
const PATIENCE: u32 = 3;
/// What the best effort for a sandbox without a record may take to ask around.
const ASKING: Duration = Duration::from_millis(500);

/// Deletes what is attached to the sandbox.
///
/// # Errors
/// Something is left: it is a debt on the record. After [`PATIENCE`] attempts the call succeeds
/// with the debt kept, so that no pod is stuck for ever.
pub fn del(turn: &Turn) -> Result<(), CniError> {
    let target = turn.target()?;
    let sandbox = Sandbox::lock(turn, &target.container_id, turn.until(DEL))?;
    if sandbox.is_deleted() && target.netns.is_none() {
        return Ok(());
    }
    let netns = namespace::still_there(target.netns.as_deref())?;
    let (mut record, guessed) = what_to_delete(turn)?;
    publish::withdraw(turn, &target.container_id);
    let (mine, others) = record.attachments.into_iter().partition(|attachment| attachment.call == target.ifname);
    record.attachments = others;
    let all = mine.clone();
    let failures = undo::delete(turn, &sandbox, netns, &target.container_id, mine, turn.until(DEL));
    // What was only guessed was perhaps never attached: it can be tried, not owed.
    let failures: Vec<Failure> =
        failures.into_iter().filter(|failure| !guessed.contains(&failure.attachment.ifname)).collect();
    let outcome = judge(turn, &failures);
    record.attachments.extend(failures.into_iter().map(|failure| failure.attachment));
    undo::keep_or_remove(turn, &record);
    if record.attachments.is_empty() {
        multus::forget(turn, &target.container_id, &all);
        sandbox.mark_deleted();
    }
    outcome
}

/// The record, completed where it is damaged, or made up where there is none; and the interfaces of
/// additional networks that are no more than a guess.
fn what_to_delete(turn: &Turn) -> Result<(Record, Vec<IfName>), CniError> {
    match turn.store.read(&turn.target()?.container_id) {
        Ok(Found::Record(record)) => Ok((record, Vec::new())),
        Ok(Found::Salvaged { mut record, damage }) => {
            turn.warn(damage);
            let known: Vec<_> = record.attachments.iter().map(|attachment| attachment.ifname.clone()).collect();
            let (guess, guessed) = guess(turn)?;
            record
                .attachments
                .extend(guess.attachments.into_iter().filter(|attachment| !known.contains(&attachment.ifname)));
            Ok((record, guessed.into_iter().filter(|ifname| !known.contains(ifname)).collect()))
        }
        Ok(Found::Nothing) => guess(turn),
        Err(e) => {
            turn.warn(format!("the record of the sandbox cannot be read: {e}"));
            guess(turn)
        }
    }
}

/// What is probably attached to a sandbox we have no record of: it is older than our installation, or
/// was attached when no record could be written. What Multus kept of it; and unless that tells of the default
/// network, that one, with the result that the runtime kept, and what the annotation names, if it and the
/// definitions can be had at once.
fn guess(turn: &Turn) -> Result<(Record, Vec<IfName>), CniError> {
    let mut record = attach::empty_record(turn)?;
    let target = turn.target()?;
    let kept = multus::attachments(turn, &target.container_id, &target.ifname);
    if kept.iter().any(|attachment| attachment.default) {
        record.attachments = kept;
        return Ok((record, Vec::new()));
    }
    let (known, selections) = ask_around(turn);
    let plan = match add::plan(turn, &known, &selections) {
        Ok(plan) => plan,
        // What the annotation names cannot be resolved any more: the default network alone.
        Err(e) => {
            turn.warn(&e);
            default_alone(turn, &known)?
        }
    };
    record.attachments = plan.iter().map(|planned| attach::intended(planned, &target.ifname, &turn.path())).collect();
    for (attachment, planned) in record.attachments.iter_mut().zip(&plan).filter(|(_, planned)| planned.default) {
        attachment.result = default_network::kept_result(turn, &planned.config);
    }
    record.attachments.retain(|attachment| kept.iter().all(|kept| kept.ifname != attachment.ifname));
    let guessed =
        record.attachments.iter().filter(|attachment| !attachment.default).map(|attachment| attachment.ifname.clone());
    let guessed = guessed.collect();
    record.attachments.extend(kept);
    Ok((record, guessed))
}

/// What the runtime, the daemon and the node know, quickly; nothing rather than an error.
fn ask_around(turn: &Turn) -> (Known, Selections) {
    let known = add::facts_within(turn, turn.settings.daemon_timeout.min(ASKING)).unwrap_or_default();
    let selections = Selections::read(&turn.settings, turn.pod().as_ref(), &known.annotations).unwrap_or_default();
    (known, selections)
}

fn default_alone(turn: &Turn, known: &Known) -> Result<Vec<super::plan::Planned>, CniError> {
    match default_network::resolve(turn, known)? {
        Some(_) => add::plan(turn, known, &Selections::default()),
        None => Ok(Vec::new()),
    }
}

fn judge(turn: &Turn, failures: &[Failure]) -> Result<(), CniError> {
    let Some(first) = failures.first() else { return Ok(()) };
    let attempts =
        failures.iter().filter_map(|failure| failure.attachment.debt.as_ref()).map(|debt| debt.attempts).max();
    if attempts.unwrap_or(0) >= PATIENCE {
        turn.warn(format!(
            "{} deletions are still owed after {PATIENCE} attempts; the sandbox goes without them",
            failures.len()
        ));
        return Ok(());
    }
    let rest = failures[1..].iter().map(|failure| failure.error.msg.clone());
    let error = rest.fold(first.error.clone(), CniError::with_details);
    Err(error)
}

/// containerd takes "not found" and "no such file or directory" in a DEL's error for success
/// (measured on 2.4 and 1.6) and would never call again.
pub fn retried(mut error: CniError) -> CniError {
    for text in [&mut error.msg, &mut error.details] {
        *text = reword(text);
    }
    error
}

fn reword(text: &str) -> String {
    let mut text = text.to_owned();
    for (misread, same) in [("not found", "absent"), ("no such file or directory", "ENOENT")] {
        while let Some(at) = text.to_ascii_lowercase().find(misread) {
            text.replace_range(at..at + misread.len(), same);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_not_mistaken_for_success() {
        for text in ["plugin Not Found", "open /x: No such file or directory", "link not found: not found"] {
            let seen = reword(text).to_ascii_lowercase();
            assert!(!seen.contains("not found") && !seen.contains("no such file or directory"), "{seen}");
        }
        assert_eq!(reword("é not found"), "é absent");
    }
}
