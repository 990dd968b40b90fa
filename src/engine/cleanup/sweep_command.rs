//! `plexus sweep`: a sweep that a person asks for, through `plexusctl gc`.

use crate::cni::{CniArgs, CniError, Code, Invocation, Verb};
use crate::engine::Turn;
use crate::engine::cleanup::fate;
use crate::engine::cleanup::leases::Orphan;
use crate::engine::cleanup::sweep;
use crate::engine::cleanup::sweep::{Debts, Outlook, Stale};
use crate::engine::sandbox::trust;
use crate::engine::settings::Settings;
use crate::store::{Attachment, Found};
use crate::sys::files;
use serde_json::{Value, json};
use std::io::Read;
use std::path::PathBuf;

/// A configuration is a few kilobytes.
const MAX_STDIN: usize = 1 << 20;

/// Sweeps by the plugin's configuration on `stdin`, or with `dry_run` only looks. No runtime names the directories of
/// plugins, so `path` does: what a pod recorded may have moved since. Answers a JSON list
/// of what would be, or was to be, deleted: container, pod, network, interface, the reason, and
/// whether it is `deleted` now. An element with `doubt` names no attachment but why nothing is deleted.
///
/// # Errors
/// The configuration or the records cannot be read, or somebody else may write them. Code 11: another sweep is under way.
pub fn run(stdin: impl Read, path: Vec<PathBuf>, dry_run: bool) -> Result<String, CniError> {
    let text = files::read_to_string_bounded(stdin, MAX_STDIN)
        .map_err(|e| CniError::new(Code::Io, format!("the configuration on stdin cannot be read: {e}")))?;
    let turn = turn(Settings::parse(&text)?, path);
    if let Some(doubt) = trust::doubts(&turn.settings.run, &turn.settings.state).into_iter().next() {
        return Err(CniError::new(Code::Io, format!("{} {doubt}", fate::DOUBT)));
    }
    let outlook = if dry_run {
        sweep::look(&turn, Debts::All)
            .ok_or_else(|| CniError::new(Code::Io, "the records cannot be listed, see the lines before"))?
    } else {
        sweep::sweep(&turn, Debts::All).ok_or_else(|| {
            CniError::new(Code::TryAgain, "another sweep is under way, or the records cannot be listed")
        })?
    };
    Ok(answer(&turn, &outlook).to_string())
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
    Value::Array(rows.chain(outlook.orphans.iter().map(row)).chain(doubt).collect())
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
        json!({
            "container": stale.record.container_id,
            "pod": stale.record.pod.as_ref().map(ToString::to_string),
            "network": attachment.network,
            "interface": attachment.ifname,
            "reason": stale.why,
            "deleted": !left.iter().any(|left| left.call == attachment.call && left.ifname == attachment.ifname),
        })
    };
    stale.attachments.iter().map(row).collect()
}
