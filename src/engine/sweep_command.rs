//! `plexus sweep`: a sweep that a person asks for, through `plexusctl gc`.

use super::settings::Settings;
use super::{Turn, sweep};
use crate::cni::{CniArgs, CniError, Code, Invocation, Verb};
use crate::sys::files;
use serde_json::{Value, json};
use std::io::Read;

/// A configuration is a few kilobytes.
const MAX_STDIN: usize = 1 << 20;

/// Sweeps by the plugin's configuration on `stdin`, or with `dry_run` only looks. Answers a JSON list
/// of what is, or would be, deleted: container, pod, network, interface and the reason.
///
/// # Errors
/// The configuration cannot be read.
pub fn run(stdin: impl Read, dry_run: bool) -> Result<String, CniError> {
    let text = files::read_to_string_bounded(stdin, MAX_STDIN)
        .map_err(|e| CniError::new(Code::Io, format!("the configuration on stdin cannot be read: {e}")))?;
    let invocation = Invocation { verb: Verb::Gc, target: None, args: CniArgs::default(), path: Vec::new() };
    let turn = Turn::new(invocation, Settings::parse(&text)?);
    let rows: Vec<Value> = sweep::stale(&turn).iter().flat_map(rows).collect();
    if !dry_run {
        sweep::sweep(&turn);
    }
    Ok(Value::Array(rows).to_string())
}

fn rows(stale: &sweep::Stale) -> Vec<Value> {
    let row = |attachment: &crate::store::Attachment| {
        json!({
            "container": stale.record.container_id,
            "pod": stale.record.pod.as_ref().map(ToString::to_string),
            "network": attachment.network,
            "interface": attachment.ifname,
            "reason": stale.why,
        })
    };
    stale.attachments.iter().map(row).collect()
}
