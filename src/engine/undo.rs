//! Deleting attachments: for DEL, for an ADD that failed, and for debts.

use super::attach::Recalled;
use super::sandbox::Sandbox;
use super::{Turn, device_info, sweep};
use crate::cni::{CniError, ContainerId, NetworkConfig};
use crate::store::{Attachment, Debt, Record, State, record};
use crate::sys::files::Durability;
use crate::sys::netlink::teardown;
use crate::sys::netns::Netns;
use std::path::Path;
use std::time::Instant;

/// An attachment that could not be deleted. It is a debt now.
#[derive(Debug)]
pub struct Failure {
    /// What is owed.
    pub attachment: Attachment,
    /// Why.
    pub error: CniError,
}

/// Deletes `attachments` in reverse. All are attempted, whatever the others say (NPWG-ERR-02).
pub fn delete(
    turn: &Turn,
    sandbox: &Sandbox,
    netns: Option<&Path>,
    id: &ContainerId,
    attachments: Vec<Attachment>,
    deadline: Instant,
) -> Vec<Failure> {
    delete_links(turn, netns, &attachments, deadline);
    let mut failures: Vec<Failure> = Vec::new();
    for attachment in attachments.into_iter().rev() {
        if let Err(error) = delete_one(turn, sandbox, netns, id, &attachment, deadline) {
            turn.warn(&error);
            failures.push(Failure { attachment: owed(attachment, &error), error });
        }
    }
    failures.reverse();
    failures
}

/// Deletes at once the links of all networks that are nothing but a link made in this process: the
/// kernel's grace periods are waited for once, and not by us. What is left of them (addresses) is
/// freed by each network's own DEL, which finds its link gone.
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
    let deleted = Netns::open(path)
        .map_err(|e| e.to_string())
        .and_then(|netns| teardown(&netns, &links, deadline).map_err(|e| e.to_string()));
    if let Err(e) = deleted {
        // Each network's DEL tries again and says what is in the way.
        turn.warn(format!("the links {} cannot be deleted together: {e}", links.join(", ")));
    }
}

fn delete_one(
    turn: &Turn,
    sandbox: &Sandbox,
    netns: Option<&Path>,
    id: &ContainerId,
    attachment: &Attachment,
    deadline: Instant,
) -> Result<(), CniError> {
    let recalled = Recalled::read(attachment)?;
    let chain = recalled.chain(turn, sandbox, id, attachment, netns, deadline);
    chain
        .del(attachment.result.as_deref())
        .map_err(|e| e.to_cni().about(format!("network {} ({})", attachment.network, attachment.ifname)))?;
    if let Some(file) = &attachment.device_info_file
        && let Err(e) = device_info::remove(file)
    {
        // DEVINFO-14; a file on a tmpfs that stays is not worth a failed DEL.
        turn.warn(format!("device-info file {}: {e}", file.display()));
    }
    Ok(())
}

fn owed(mut attachment: Attachment, error: &CniError) -> Attachment {
    let before = attachment.debt.take();
    attachment.state = State::Owed;
    attachment.debt = Some(Debt {
        since: before.as_ref().map_or_else(record::now, |debt| debt.since),
        last: record::now(),
        attempts: before.map_or(0, |debt| debt.attempts).saturating_add(1),
        error: error.msg.clone(),
    });
    attachment
}

/// Writes `record`, or removes it once nothing is left in it.
pub fn keep_or_remove(turn: &Turn, record: &Record) {
    let outcome = if record.attachments.is_empty() {
        turn.store.remove(&record.container_id)
    } else {
        turn.store.write(record, Durability::Synced)
    };
    if record.attachments.iter().any(|attachment| attachment.debt.is_some()) {
        sweep::request(turn, "debts");
    }
    if let Err(e) = outcome {
        turn.warn(format!("the record of {} cannot be updated: {e}", record.container_id));
    }
}
