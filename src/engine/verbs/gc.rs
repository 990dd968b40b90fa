//! GC: deletes what is not valid any more, of every network and every delegate.

use crate::cni::request::ValidAttachment;
use crate::cni::{CniArgs, CniError, Code, ContainerId, IfName, NetworkConfig, Version};
use crate::delegate::{Chain, Scope};
use crate::engine::cleanup::spared::Spared;
use crate::engine::cleanup::traces::Place;
use crate::engine::cleanup::used_networks::Networks;
use crate::engine::cleanup::{fate, traces, wish};
use crate::engine::sandbox::lock::Sandbox;
use crate::engine::sandbox::withdraw::withdraw;
use crate::engine::sandbox::{namespace, trust, undo};
use crate::engine::{Turn, multus};
use crate::store::{Attachment, Found, Record};
use std::path::Path;
use std::time::{Duration, Instant};

/// All of a GC.
const GC: Duration = Duration::from_secs(110);

/// Deletes every recorded attachment that the runtime does not list, then tells every network's
/// plugins what is left. Sandboxes in which a call works are passed over; a request without a list
/// says nothing about what is valid, so nothing is deleted for it (CNI-GC-13). While the record of a
/// valid sandbox is damaged the plugins are not told: they would free what we cannot list. Nor are they told of less
/// than what may live: see [`Spared`].
///
/// # Errors
/// Everything that could not be deleted, after all of it was attempted (CNI-GC-05).
pub fn gc(turn: &Turn) -> Result<(), CniError> {
    let Some(valid) = &turn.settings.valid_attachments else { return Ok(()) };
    possible(valid)?;
    let deadline = turn.until(GC);
    let mut networks = Networks::known(turn, std::iter::empty());
    let mut errors = Vec::new();
    let mut spared = Spared::new(valid);
    let mut left = valid.clone();
    left.extend(of_multus(turn, valid));
    let mut complete = true;
    for id in turn.store.list().map_err(|e| CniError::new(Code::Io, format!("the records cannot be listed: {e}")))? {
        let is_valid = |attachment: &Attachment| {
            valid.iter().any(|valid| valid.container_id == id.as_str() && valid.ifname == attachment.call.as_str())
        };
        let exists = valid.iter().any(|valid| valid.container_id == id.as_str());
        let damaged = if exists { Damaged::Spared } else { Damaged::Salvaged };
        let cleaned = match clean(turn, &id, is_valid, Cleaning { damaged, gone: false, deadline }) {
            Ok(Some(cleaned)) => cleaned,
            Ok(None) => continue,
            Err(e) => {
                complete &= !exists;
                errors.push(e);
                continue;
            }
        };
        // Of what was damaged not everything is known.
        complete &= !(exists && cleaned.record.incomplete);
        if !cleaned.busy && !cleaned.record.incomplete {
            spared.told_by_record(&id);
        }
        wish::remind(turn, &cleaned.record);
        errors.extend(cleaned.failures.into_iter().map(|failure| failure.error));
        for attachment in &cleaned.record.attachments {
            left.push(ValidAttachment { container_id: id.to_string(), ifname: attachment.ifname.to_string() });
            networks.add(attachment);
        }
    }
    left.sort();
    left.dedup();
    if complete {
        let tell = |network, is_default| forward(turn, network, is_default, &left, &spared, deadline);
        errors.extend(networks.default.iter().flat_map(|network| tell(network, true)));
        errors.extend(networks.others.values().flat_map(|network| tell(network, false)));
    }
    combine(errors)
}

/// A list with an ID that no container can have is damaged: what it lacks may be alive.
fn possible(valid: &[ValidAttachment]) -> Result<(), CniError> {
    valid.iter().try_for_each(|valid| match ContainerId::new(valid.container_id.as_str()) {
        Ok(_) => Ok(()),
        Err(why) => Err(CniError::new(
            Code::InvalidConfig,
            format!("cni.dev/valid-attachments: {:?}: {why}; nothing is deleted", valid.container_id),
        )),
    })
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

/// How one sandbox is cleaned.
#[derive(Clone, Copy, Debug)]
pub struct Cleaning {
    /// What becomes of its record if that is damaged.
    pub damaged: Damaged,
    /// Whether it is certain that the sandbox is gone.
    pub gone: bool,
    /// When it has to be over.
    pub deadline: Instant,
}

/// What cleaning left.
#[derive(Debug)]
pub struct Cleaned {
    /// What the record holds now.
    pub record: Record,
    /// What could not be deleted; it is owed.
    pub failures: Vec<undo::Failure>,
    /// What could not be deleted and is not owed any more, because nothing is left of it.
    pub given_up: Vec<Attachment>,
    /// Whether a call works in the sandbox: nothing was touched.
    pub busy: bool,
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
    cleaning: Cleaning,
) -> Result<Option<Cleaned>, CniError> {
    let sandbox = Sandbox::try_lock(turn, id).ok().flatten();
    let Some((mut record, damage)) = read(turn, id, cleaning.damaged, sandbox.is_some())? else { return Ok(None) };
    // In flight: the record counts as valid.
    let Some(sandbox) = sandbox else { return Ok(Some(Cleaned::untouched(record, true))) };
    // Before anything of it is deleted: this call may be killed.
    let replaceable = damage.as_ref().is_none_or(|damage| undo::restore(turn, &record, damage));
    let stays = |attachment: &Attachment| is_valid(attachment) || is_forbidden(attachment);
    // A call was killed after it had put a damaged record in order, and before it removed it.
    let is_spent = record.attachments.is_empty() && cleaning.damaged == Damaged::Salvaged;
    if damage.is_none() && !is_spent && record.attachments.iter().all(stays) {
        return Ok(Some(Cleaned::untouched(record, false)));
    }
    let (kept, stale): (Vec<_>, Vec<_>) = record.attachments.into_iter().partition(stays);
    record.attachments = kept;
    let is_own = !cleaning.gone && fate::has_own_namespace(&record);
    let may_be_ours = |netns: &&Path| is_own && !trust::is_of_another(turn, id, netns);
    let netns = lasting(record.netns.as_deref()).filter(may_be_ours);
    let netns = namespace::still_there(netns).ok().flatten();
    let failures = undo::delete(turn, &sandbox, netns, id, stale, cleaning.deadline);
    let place = match netns {
        _ if cleaning.gone => Place::Gone,
        Some(netns) => Place::Namespace(netns),
        None if !is_own || record.netns.as_deref().is_some_and(namespace::is_missing) => Place::Missing,
        None => Place::Unseen,
    };
    let (given_up, failures): (Vec<_>, Vec<_>) =
        failures.into_iter().partition(|failure| traces::is_settled(turn, id, &failure.attachment, place));
    let given_up = given_up.into_iter().map(|failure| failure.attachment).collect();
    record.attachments.extend(failures.iter().map(|failure| failure.attachment.clone()));
    if replaceable {
        undo::write_back(turn, &record);
    } else if record.attachments.is_empty() {
        withdraw(turn, id);
    }
    Ok(Some(Cleaned { record, failures, given_up, busy: false }))
}

impl Cleaned {
    fn untouched(record: Record, busy: bool) -> Self {
        Cleaned { record, failures: Vec::new(), given_up: Vec::new(), busy }
    }
}

/// The record of `id`, and how it is damaged, where it is.
fn read(
    turn: &Turn,
    id: &ContainerId,
    damaged: Damaged,
    locked: bool,
) -> Result<Option<(Record, Option<String>)>, CniError> {
    match turn.store.look(id) {
        Ok(Found::Record(record)) => Ok(Some((record, None))),
        Ok(Found::Nothing) => Ok(None),
        Ok(Found::Salvaged { record, damage }) if damaged == Damaged::Salvaged && locked => {
            Ok(Some((record, Some(damage))))
        }
        Ok(Found::Salvaged { damage, .. }) => Err(CniError::new(Code::Io, damage)),
        Err(e) => Err(CniError::new(Code::Io, format!("the record of {id} cannot be read: {e}"))),
    }
}

/// A debt is a DEL that was asked for: disableGC does not forbid to try it again.
fn is_forbidden(attachment: &Attachment) -> bool {
    let forbids = |network: NetworkConfig| network.disable_gc;
    attachment.debt.is_none() && NetworkConfig::parse(attachment.config.get(), None).is_ok_and(forbids)
}

/// A recorded path that still means the same namespace: one by process ID may be another's by now.
fn lasting(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| !path.starts_with("/proc"))
}

/// GC of the plugins of `network` (CNI-DLG-13).
fn forward(
    turn: &Turn,
    network: &NetworkConfig,
    is_default: bool,
    valid: &[ValidAttachment],
    spared: &Spared<'_>,
    deadline: Instant,
) -> Vec<CniError> {
    if network.disable_gc || !network.version.at_least(Version::V1_1_0) || !network.version.is_spoken() {
        return Vec::new();
    }
    let valid = match spared.with(turn, network, is_default, valid) {
        Ok(Some(valid)) => valid,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![CniError::new(Code::Io, why).about(format!("network {}", network.name))],
    };
    let (path, args) = (turn.path(), CniArgs::default());
    let scope = Scope::of_node(&args, &path, turn.settings.delegate_timeout, deadline);
    let chain = Chain { network, capability_args: &Default::default(), scope, registry: &turn.registry };
    let errors = chain.gc(&valid).err().unwrap_or_default();
    errors.iter().map(|e| e.to_cni().about(format!("network {}", network.name))).collect()
}

fn combine(errors: Vec<CniError>) -> Result<(), CniError> {
    let mut errors = errors.into_iter();
    match errors.next() {
        None => Ok(()),
        Some(first) => Err(errors.fold(first, |all, error| all.with_details(error.msg))),
    }
}
