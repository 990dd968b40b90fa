//! `plexus sweep`: a sweep that a person asks for, through `plexusctl gc`.

use crate::cni::{CniArgs, CniError, Code, Invocation, Verb};
use crate::engine::Turn;
use crate::engine::cleanup::fate;
use crate::engine::cleanup::leases::Orphan;
use crate::engine::cleanup::sweep;
use crate::engine::cleanup::sweep::{Debts, Outlook, Stale, Unswept};
use crate::engine::sandbox::trust;
use crate::engine::settings::Settings;
use crate::store::{Attachment, Found, Record, State};
use crate::sys::files;
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;

/// A configuration is a few kilobytes.
const MAX_STDIN: usize = 1 << 20;

/// Sweeps by the plugin's configuration on `stdin`, or with `dry_run` only looks. No runtime names the directories of
/// plugins, so `path` does: what a pod recorded may have moved since. Answers a JSON list
/// of what would be, or was to be, deleted: container, pod, network, interface, the reason, and
/// whether it is `deleted` now, and the `outcome` where that is another one: `givenUp`, or `kept`. An element with
/// `doubt` names no attachment but why nothing is deleted.
///
/// # Errors
/// The configuration or the records cannot be read, or somebody else may write them. Code 11: another sweep does not end.
pub fn run(stdin: impl Read, path: Vec<PathBuf>, dry_run: bool) -> Result<String, CniError> {
    let text = files::read_to_string_bounded(stdin, MAX_STDIN)
        .map_err(|e| CniError::new(Code::Io, format!("the configuration on stdin cannot be read: {e}")))?;
    // As DEL and GC: a mistake in one value does not keep what is owed.
    let (settings, mistakes) = Settings::lenient(&text)?;
    let turn = turn(settings, path);
    for mistake in mistakes {
        turn.warn(format!("the configuration of Plexus: {mistake}; its default is used"));
    }
    turn.settings.remarks().iter().for_each(|remark| turn.warn(format!("the configuration of Plexus: {remark}")));
    if let Some(doubt) = trust::doubts(&turn.settings.run, &turn.settings.state).into_iter().next() {
        return Err(CniError::new(Code::Io, format!("{} {doubt}", fate::DOUBT)));
    }
    let looked = || sweep::look(&turn, Debts::All).ok_or(Unswept::Unlisted);
    let outlook = if dry_run { looked() } else { sweep::sweep(&turn, Debts::All) }.map_err(refusal)?;
    Ok(answer(&turn, &outlook).to_string())
}

fn refusal(unswept: Unswept) -> CniError {
    match unswept {
        Unswept::Elsewhere => {
            let seconds = sweep::PATIENCE.as_secs();
            CniError::new(Code::TryAgain, format!("another sweep is still running after {seconds} s; try again later"))
        }
        Unswept::Unlisted => CniError::new(Code::Io, "the records cannot be listed, see the lines before"),
        Unswept::NoLock(why) => CniError::new(Code::Io, why),
    }
}

/// A turn that is about no container.
pub fn turn(settings: Settings, path: Vec<PathBuf>) -> Turn {
    Turn::new(Invocation { verb: Verb::Gc, target: None, args: CniArgs::default(), path }, settings)
}

fn answer(turn: &Turn, outlook: &Outlook) -> Value {
    let rows = outlook.stale.iter().flat_map(|stale| rows(turn, stale));
    let doubt = outlook.doubt.iter().map(|doubt| {
        json!({"container": "", "pod": null, "network": "", "interface": "", "reason": doubt, "deleted": false, "doubt": true})
    });
    let unclear = outlook.unclear.iter().flat_map(|(record, why)| kept(record, why));
    Value::Array(rows.chain(unclear).chain(outlook.orphans.iter().map(row)).chain(doubt).collect())
}

/// A lease that is held by nobody. Its record, and with it its pod, is not there any more.
fn row(orphan: &Orphan) -> Value {
    json!({
        "container": orphan.lease.container,
        "pod": null,
        "network": orphan.network,
        "interface": orphan.lease.ifname.as_deref().unwrap_or_default(),
        "reason": orphan.why(),
        "deleted": !orphan.is_taken(),
    })
}

fn rows(turn: &Turn, stale: &Stale) -> Vec<Value> {
    let left = match turn.store.look(&stale.record.container_id) {
        Ok(Found::Record(record)) => record.attachments,
        _ => Vec::new(),
    };
    let row = |attachment: &Attachment| {
        let in_list = |all: &[Attachment]| {
            all.iter().find(|other| other.call == attachment.call && other.ifname == attachment.ifname).cloned()
        };
        let (now, given_up) = (in_list(&left), in_list(&stale.given_up));
        // The last error, of each its own.
        let debt = given_up.iter().chain(&now).find_map(|now| now.debt.clone()).or_else(|| attachment.debt.clone());
        let reason = match debt {
            Some(debt) => format!("owed: {}", debt.error),
            None => stale.why.clone(),
        };
        let mut row = of(&stale.record, attachment, &reason);
        row["deleted"] = json!(now.is_none() && given_up.is_none());
        if given_up.is_some() {
            row["outcome"] = json!("givenUp");
        }
        row
    };
    stale.attachments.iter().map(row).collect()
}

/// What stays, because it cannot be known whether its sandbox is gone.
fn kept(record: &Record, why: &str) -> Vec<Value> {
    let attached = record.attachments.iter().filter(|attachment| attachment.state != State::Owed);
    let row = |attachment: &Attachment| {
        let mut row = of(record, attachment, why);
        row["outcome"] = json!("kept");
        row
    };
    attached.map(row).collect()
}

fn of(record: &Record, attachment: &Attachment, reason: &str) -> Value {
    json!({
        "container": record.container_id,
        "pod": record.pod.as_ref().map(ToString::to_string),
        "network": attachment.network,
        "interface": attachment.ifname,
        "reason": reason,
        "deleted": false,
    })
}
