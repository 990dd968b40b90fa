//! GC: deletes what is not valid any more, of every network and every delegate.

use super::sandbox::Sandbox;
use super::{Turn, default_network, multus, namespace, publish, trust, undo};
use crate::cni::request::ValidAttachment;
use crate::cni::{CniArgs, CniError, Code, ContainerId, IfName, NetworkConfig};
use crate::delegate::{Chain, Scope};
use crate::facts::{Known, last_known};
use crate::store::{Attachment, Found, Record};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// All of a GC.
const GC: Duration = Duration::from_secs(110);

/// Deletes every recorded attachment that the runtime does not list, then tells every network's
/// plugins what is left. Sandboxes in which a call works are passed over; a request without a list
/// says nothing about what is valid, so nothing is deleted for it (CNI-GC-13). While the record of a
/// valid sandbox is damaged the plugins are not told: they would free what we cannot list.
///
/// # Errors
/// Everything that could not be deleted, after all of it was attempted (CNI-GC-05).
pub fn gc(turn: &Turn) -> Result<(), CniError> {
    let Some(valid) = &turn.settings.valid_attachments else { return Ok(()) };
    let deadline = turn.until(GC);
    let mut networks = known_networks(turn);
    let mut errors = Vec::new();
    let mut left = valid.clone();
    left.extend(of_multus(turn, valid));
    let mut complete = true;
    for id in turn.store.list().map_err(|e| CniError::new(Code::Io, format!("the records cannot be listed: {e}")))? {
        let is_valid = |attachment: &Attachment| {
            valid.iter().any(|valid| valid.container_id == id.as_str() && valid.ifname == attachment.call.as_str())
        };
        let exists = valid.iter().any(|valid| valid.container_id == id.as_str());
        let damaged = if exists { Damaged::Spared } else { Damaged::Salvaged };
        let (record, failures) = match clean(turn, &id, is_valid, damaged, deadline) {
            Ok(Some(cleaned)) => cleaned,
            Ok(None) => continue,
            Err(e) => {
                complete &= !exists;
                errors.push(e);
                continue;
            }
        };
        errors.extend(failures.into_iter().map(|failure| failure.error));
        // Of what was damaged not everything is known.
        complete &= !(exists && record.incomplete);
        for attachment in &record.attachments {
            left.push(ValidAttachment { container_id: id.to_string(), ifname: attachment.ifname.to_string() });
            remember(&mut networks, attachment);
        }
    }
    left.sort();
    left.dedup();
    if complete {
        errors.extend(networks.values().flat_map(|network| forward(turn, network, &left, deadline)));
    }
    combine(errors)
}

/// What Multus attached to valid sandboxes: the runtime lists the first interface of each only. Those that we
/// have a record of are not its.
fn of_multus(turn: &Turn, valid: &[ValidAttachment]) -> Vec<ValidAttachment> {
    let of_one = |valid: &ValidAttachment| {
        let (id, call) =
            (ContainerId::new(valid.container_id.as_str()).ok()?, IfName::new(valid.ifname.as_str()).ok()?);
        matches!(turn.store.look(&id), Ok(Found::Nothing)).then_some(())?;
        let attachments = multus::attachments(turn, &id, &call);
        Some(attachments.into_iter().map(move |attachment| ValidAttachment {
            container_id: id.to_string(),
            ifname: attachment.ifname.to_string(),
        }))
    };
    valid.iter().filter_map(of_one).flatten().collect()
}

/// What becomes of a record that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// Its sandbox exists, or may: the record is left to its DEL, which knows more.
    Spared,
    /// Its sandbox is gone: what it still tells is deleted or owed, and it is moved aside.
    Salvaged,
}

/// Deletes the attachments of `id` that are not valid, unless a call works there; answers what the
/// record, if there is one, holds afterwards and what could not be deleted.
///
/// # Errors
/// Code 5: the record is damaged, and it is not certain that its sandbox is gone.
pub fn clean(
    turn: &Turn,
    id: &ContainerId,
    is_valid: impl Fn(&Attachment) -> bool,
    damaged: Damaged,
    deadline: Instant,
) -> Result<Option<(Record, Vec<undo::Failure>)>, CniError> {
    let sandbox = Sandbox::try_lock(turn, id).ok().flatten();
    let (mut record, damage) = match turn.store.look(id) {
        Ok(Found::Record(record)) => (record, None),
        Ok(Found::Nothing) => return Ok(None),
        Ok(Found::Salvaged { record, damage }) if damaged == Damaged::Salvaged && sandbox.is_some() => {
            (record, Some(damage))
        }
        Ok(Found::Salvaged { damage, .. }) => return Err(CniError::new(Code::Io, damage)),
        Err(e) => return Err(CniError::new(Code::Io, format!("the record of {id} cannot be read: {e}"))),
    };
    // In flight: the record counts as valid.
    let Some(sandbox) = sandbox else { return Ok(Some((record, Vec::new()))) };
    // Before anything of it is deleted: this call may be killed.
    let replaceable = damage.as_ref().is_none_or(|damage| undo::restore(turn, &record, damage));
    // A debt is a DEL that was asked for: disableGC does not forbid to try it again.
    let forbidden = |attachment: &Attachment| {
        attachment.debt.is_none()
            && NetworkConfig::parse(attachment.config.get(), None).is_ok_and(|network| network.disable_gc)
    };
    let (kept, stale): (Vec<_>, Vec<_>) = record.attachments.into_iter().partition(|a| is_valid(a) || forbidden(a));
    record.attachments = kept;
    if stale.is_empty() && damage.is_none() {
        return Ok(Some((record, Vec::new())));
    }
    let netns = lasting(record.netns.clone()).filter(|netns| !trust::is_of_another(turn, id, netns));
    let netns = namespace::still_there(netns.as_deref()).ok().flatten();
    let failures = undo::delete(turn, &sandbox, netns, id, stale, deadline);
    record.attachments.extend(failures.iter().map(|failure| failure.attachment.clone()));
    if replaceable {
        undo::keep_or_remove(turn, &record);
    }
    if record.attachments.is_empty() {
        publish::withdraw(turn, id);
    }
    Ok(Some((record, failures)))
}

/// A recorded path that still means the same namespace: one by process ID may be another's by now.
fn lasting(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.starts_with("/proc"))
}

/// The default network of today and every network this node has used.
pub(super) fn known_networks(turn: &Turn) -> BTreeMap<String, NetworkConfig> {
    let default = default_network::resolve(turn, &Known::default()).ok().flatten();
    let used = last_known::all(&turn.settings.state)
        .inspect_err(|e| turn.warn(format!("the networks that this node has used cannot be read: {e}")))
        .unwrap_or_default()
        .into_iter()
        .filter_map(|definition| NetworkConfig::parse(definition.config.as_deref()?, Some(definition.nad.name())).ok());
    default.into_iter().chain(used).map(|network| (network.to_raw().get().to_owned(), network)).collect()
}

pub(super) fn remember(networks: &mut BTreeMap<String, NetworkConfig>, attachment: &Attachment) {
    if let Ok(network) = NetworkConfig::parse(attachment.config.get(), None) {
        networks.entry(network.to_raw().get().to_owned()).or_insert(network);
    }
}

/// GC of the plugins of `network` (CNI-DLG-13).
fn forward(turn: &Turn, network: &NetworkConfig, valid: &[ValidAttachment], deadline: Instant) -> Vec<CniError> {
    let (path, args) = (turn.path(), CniArgs::default());
    let scope = Scope::of_node(&args, &path, turn.settings.delegate_timeout, deadline);
    let chain = Chain { network, capability_args: &Default::default(), scope, registry: &turn.registry };
    let errors = chain.gc(valid).err().unwrap_or_default();
    errors.iter().map(|e| e.to_cni().about(format!("network {}", network.name))).collect()
}

fn combine(errors: Vec<CniError>) -> Result<(), CniError> {
    let mut errors = errors.into_iter();
    match errors.next() {
        None => Ok(()),
        Some(first) => Err(errors.fold(first, |all, error| all.with_details(error.msg))),
    }
}
