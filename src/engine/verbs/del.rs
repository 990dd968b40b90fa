//! DEL: from the record alone, and without one what can be known all the same.

use crate::cni::{CniError, Code, ContainerId, IfName};
use crate::engine::cleanup::fate;
use crate::engine::planning::default_network;
use crate::engine::planning::selections::Selections;
use crate::engine::sandbox::lock;
use crate::engine::sandbox::lock::{MAX_ATTEMPTS, Sandbox};
use crate::engine::sandbox::undo;
use crate::engine::sandbox::undo::Failure;
use crate::engine::sandbox::withdraw::withdraw;
use crate::engine::sandbox::{attach, namespace, recalled, trust};
use crate::engine::settings::LogLevel;
use crate::engine::verbs::add;
use crate::engine::{Turn, multus};
use crate::facts::Known;
use crate::store::{Attachment, Found, Record};
use crate::sys::trace;
use crate::sys::trusted::Untrusted;
use std::path::Path;
use std::time::Duration;

/// kubelet gives up after 2 minutes.
const DEL: Duration = Duration::from_secs(90);
/// What the best effort for a sandbox without a record may take to ask around.
const ASKING: Duration = Duration::from_millis(500);

/// What is known of a sandbox that is to be deleted.
struct Basis {
    record: Record,
    /// Interfaces that are no more than a guess: perhaps they were never attached, so they are tried, and not owed.
    guessed: Vec<IfName>,
    /// Whether the record on the disk may be replaced by what is left.
    replaceable: bool,
    /// Why the record cannot be read now.
    unreadable: Option<CniError>,
}

/// Deletes what is attached to the sandbox.
///
/// # Errors
/// Something is left: it is a debt on the record. After [`MAX_ATTEMPTS`] attempts the call succeeds
/// with the debt kept, so that no pod is stuck for ever.
pub fn del(turn: &Turn) -> Result<(), CniError> {
    let target = turn.target()?;
    let id = &target.container_id;
    let sandbox = {
        let _step = trace::step("lock");
        Sandbox::lock_to_delete(turn, id, turn.until(DEL))?
    };
    // The note only spares work: a record says that there is some.
    if sandbox.is_deleted() && target.netns.is_none() && matches!(turn.store.look(id), Ok(Found::Nothing)) {
        return Ok(());
    }
    let netns = namespace::still_there(target.netns.as_deref())?;
    let Basis { mut record, guessed, replaceable, unreadable } = match what_to_delete(turn, &sandbox) {
        Ok(basis) => basis,
        Err(e) => return without_a_debt(turn, id, Err(e)),
    };
    let netns = own_namespace(turn, &record, netns);
    withdraw(turn, id);
    record.unpublished = None;
    let (mut mine, others): (Vec<_>, _) =
        record.attachments.into_iter().partition(|attachment| attachment.call == target.ifname);
    record.attachments = others;
    recalled::complete(turn, &mut mine);
    let all = mine.clone();
    let failures = {
        let _step = trace::step("detach");
        undo::delete(turn, &sandbox, netns, id, mine, turn.until(DEL))
    };
    let _step = trace::step("forget");
    let failures: Vec<Failure> =
        failures.into_iter().filter(|failure| !guessed.contains(&failure.attachment.ifname)).collect();
    let outcome = unreadable.map_or_else(|| judge(turn, id, &failures), Err);
    record.attachments.extend(failures.into_iter().map(|failure| failure.attachment));
    // Before the record goes: nobody asks for what is left after it.
    if replaceable && record.attachments.is_empty() {
        multus::forget(turn, id, &all);
    }
    if !replaceable || !undo::keep_or_remove(turn, &record) {
        let outcome = without_a_debt(turn, id, outcome);
        // Where nothing is left the sweep settles the record once it can: a damaged one may not tell that its sandbox
        // is gone.
        if outcome.is_ok() && record.attachments.is_empty() {
            sandbox.mark_deleted();
        }
        return outcome;
    }
    if record.attachments.is_empty() {
        lock::forget_attempts(turn, id);
        sandbox.mark_deleted();
    }
    outcome
}

/// The namespace of the runtime, unless it is another sandbox's: then nothing in it is deleted. The path may be of a process
/// ID, which another process has by now, or have been made anew.
fn own_namespace<'n>(turn: &Turn, record: &Record, netns: Option<&'n Path>) -> Option<&'n Path> {
    let path = netns?;
    let id = &record.container_id;
    let is_own =
        fate::is_recorded_namespace(record, path).unwrap_or_else(|| !trust::is_recorded_of_another(turn, id, path));
    if !is_own {
        turn.warn(format!(
            "CNI_NETNS: {} is the namespace of another sandbox now; nothing in it is deleted",
            path.display()
        ));
    }
    is_own.then_some(path)
}

/// The end of a DEL that could not write to the record what is left. Its attempts are counted elsewhere.
fn without_a_debt(turn: &Turn, id: &ContainerId, outcome: Result<(), CniError>) -> Result<(), CniError> {
    outcome.or_else(|error| match lock::count_attempt(turn, id) {
        attempts if attempts < MAX_ATTEMPTS => Err(error),
        attempts => {
            turn.warn(format!("DEL succeeds after {attempts} attempts: {}", error.msg));
            Ok(())
        }
    })
}

/// The record, completed where it is damaged, or made up where there is none.
fn what_to_delete(turn: &Turn, sandbox: &Sandbox) -> Result<Basis, CniError> {
    let id = &turn.target()?.container_id;
    match turn.store.look(id) {
        Ok(Found::Record(record)) if record.incomplete => completed(turn, record, true),
        Ok(Found::Record(record)) => Ok(Basis { record, guessed: Vec::new(), replaceable: true, unreadable: None }),
        Ok(Found::Salvaged { record, damage }) => {
            let replaceable = undo::restore(turn, &record, &damage);
            completed(turn, record, replaceable)
        }
        Ok(Found::Nothing) => {
            turn.log(LogLevel::Debug, "no record of this sandbox: deleting the networks of the current configuration");
            guess(turn, sandbox)
        }
        Err(e) => {
            let error = CniError::new(Code::Io, format!("the record of sandbox {id} cannot be read: {e}"));
            turn.warn(&error);
            // One that anybody could have written will not be trusted later, either.
            let unreadable = (!Untrusted::is(&e)).then_some(error);
            Ok(Basis { replaceable: false, unreadable, ..guess(turn, sandbox)? })
        }
    }
}

/// What could be read of a damaged record, and what was probably attached beside it.
fn completed(turn: &Turn, mut record: Record, replaceable: bool) -> Result<Basis, CniError> {
    let known: Vec<_> = record.attachments.iter().map(|attachment| attachment.ifname.clone()).collect();
    let (more, guessed) = probable(turn, false)?;
    record.attachments.extend(more.into_iter().filter(|attachment| !known.contains(&attachment.ifname)));
    let guessed = guessed.into_iter().filter(|ifname| !known.contains(ifname)).collect();
    Ok(Basis { record, guessed, replaceable, unreadable: None })
}

/// The sandbox has no record: what is probably attached there. After an ADD that left nothing behind all of it is a
/// guess; a DEL that finds nothing to delete must not fail for that.
fn guess(turn: &Turn, sandbox: &Sandbox) -> Result<Basis, CniError> {
    // That the namespace of this call is its own, nobody recorded.
    let mut record = Record { netns_id: None, netns_cookie: None, ..attach::empty_record(turn)? };
    let (attachments, guessed) = probable(turn, sandbox.is_empty(&turn.target()?.ifname))?;
    record.attachments = attachments;
    Ok(Basis { record, guessed, replaceable: true, unreadable: None })
}

/// What is probably attached to a sandbox we have no record of: it is older than our installation, or
/// was attached when no record could be written. What Multus kept of it; and unless that tells of the default
/// network, that one, with the result that the runtime kept, and what the annotation names, if it and the
/// definitions can be had at once. Beside it the interfaces that are no more than a guess: the additional ones, and
/// where the sandbox `is_empty` the default one, too.
fn probable(turn: &Turn, is_empty: bool) -> Result<(Vec<Attachment>, Vec<IfName>), CniError> {
    let target = turn.target()?;
    let kept = multus::attachments(turn, &target.container_id, &target.ifname);
    if kept.iter().any(|attachment| attachment.default) {
        return Ok((kept, Vec::new()));
    }
    let (known, selections) = ask_around(turn);
    let plan = match add::plan(turn, &known, &selections) {
        Ok(plan) => plan,
        // What the annotation names cannot be resolved any more: the default network alone.
        Err(e) => {
            turn.warn(&e);
            match default_alone(turn, &known) {
                // The ADD was refused for the same reason, before anything was made.
                Err(_) if is_empty => Vec::new(),
                plan => plan?,
            }
        }
    };
    let mut attachments: Vec<Attachment> =
        plan.iter().map(|planned| attach::intended(planned, &target.ifname, &turn.path())).collect();
    attachments.retain(|attachment| kept.iter().all(|kept| kept.ifname != attachment.ifname));
    let guessed = attachments.iter().filter(|attachment| is_empty || !attachment.default);
    let guessed = guessed.map(|attachment| attachment.ifname.clone()).collect();
    attachments.extend(kept);
    Ok((attachments, guessed))
}

/// What the runtime, the daemon and the node know, quickly; nothing rather than an error.
fn ask_around(turn: &Turn) -> (Known, Selections) {
    let known = add::facts_within(turn, turn.settings.daemon_timeout.min(ASKING)).unwrap_or_default();
    let selections = Selections::read(&turn.settings, turn.pod().as_ref(), &known.annotations).unwrap_or_default();
    (known, selections)
}

fn default_alone(turn: &Turn, known: &Known) -> Result<Vec<crate::engine::planning::plan::Planned>, CniError> {
    match default_network::resolve(turn, known)? {
        Some(_) => add::plan(turn, known, &Selections::default()),
        None => Ok(Vec::new()),
    }
}

fn judge(turn: &Turn, id: &ContainerId, failures: &[Failure]) -> Result<(), CniError> {
    let Some(first) = failures.first() else { return Ok(()) };
    let recorded =
        failures.iter().filter_map(|failure| failure.attachment.debt.as_ref()).map(|debt| debt.attempts).max();
    // While the disk was full, attempts were counted beside the record.
    let attempts = recorded.unwrap_or(0).saturating_add(lock::counted_attempts(turn, id));
    if attempts >= MAX_ATTEMPTS {
        turn.warn(format!(
            "{} removals failed {MAX_ATTEMPTS} times: DEL succeeds without them, and Plexus retries them (`plexusctl get --debts`)",
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
