//! Debts that an operator gives up: they are forgotten, and what may be left of them is the operator's.

use crate::cni::{CniError, Code, ContainerId};
use crate::engine::Turn;
use crate::engine::sandbox::lock::Sandbox;
use crate::engine::sandbox::undo;
use crate::store::{Attachment, Found, Record, State};

/// A debt that was to be forgiven.
#[derive(Debug)]
pub struct Forgiven {
    /// The record, as it was.
    pub record: Record,
    /// What was owed.
    pub attachment: Attachment,
    /// Why it is still owed; none where it is forgotten.
    pub kept: Option<String>,
}

/// Forgets every debt of the containers that `chosen` names by the beginning of their IDs, of all where it names none.
/// With `dry_run` they are only listed.
///
/// # Errors
/// Code 5: the records cannot be listed. Code 7: a name is of no container that owes anything.
pub fn forgive(turn: &Turn, chosen: &[String], dry_run: bool) -> Result<Vec<Forgiven>, CniError> {
    let unlisted = |e| CniError::new(Code::Io, format!("the records cannot be listed: {e}"));
    let mut ids = turn.store.list().map_err(unlisted)?;
    ids.sort();
    let is_chosen = |id: &ContainerId| chosen.is_empty() || chosen.iter().any(|name| id.as_str().starts_with(name));
    let mut all = Vec::new();
    for id in ids.iter().filter(|id| is_chosen(id)) {
        all.extend(if dry_run { listed(turn, id) } else { forgotten(turn, id) });
    }
    let owes = |name: &str| all.iter().any(|one: &Forgiven| one.record.container_id.as_str().starts_with(name));
    match chosen.iter().find(|name| !owes(name)) {
        Some(name) => Err(CniError::new(Code::InvalidConfig, format!("container {name:?} owes nothing"))),
        None => Ok(all),
    }
}

fn is_debt(attachment: &Attachment) -> bool {
    attachment.state == State::Owed || attachment.debt.is_some()
}

fn debts(record: &Record, kept: Option<&str>) -> Vec<Forgiven> {
    let debt = |attachment: &Attachment| Forgiven {
        record: record.clone(),
        attachment: attachment.clone(),
        kept: kept.map(str::to_owned),
    };
    record.attachments.iter().filter(|attachment| is_debt(attachment)).map(debt).collect()
}

/// A damaged record is not listed: what it owes is not known before its DEL.
fn listed(turn: &Turn, id: &ContainerId) -> Vec<Forgiven> {
    match turn.store.look(id) {
        Ok(Found::Record(record)) => debts(&record, None),
        _ => Vec::new(),
    }
}

fn forgotten(turn: &Turn, id: &ContainerId) -> Vec<Forgiven> {
    let Ok(Some(_sandbox)) = Sandbox::try_lock(turn, id) else {
        let busy = "a call works in the sandbox";
        return listed(turn, id).into_iter().map(|one| Forgiven { kept: Some(busy.to_owned()), ..one }).collect();
    };
    let Ok(Found::Record(mut record)) = turn.store.look(id) else { return Vec::new() };
    let before = record.clone();
    record.attachments.retain(|attachment| !is_debt(attachment));
    if record.attachments.len() == before.attachments.len() {
        return Vec::new();
    }
    undo::write_back(turn, &record);
    let still = matches!(turn.store.look(id), Ok(Found::Record(record)) if record.attachments.iter().any(is_debt));
    debts(&before, still.then_some("the record cannot be written"))
}
