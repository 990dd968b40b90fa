//! What an operator gives up: it is forgotten, and what may be left of it is the operator's.
//!
//! Debts are given up. So is the whole record of a sandbox that the operator names and that cannot be seen: where no
//! sandbox can be seen a sweep deletes nothing, and the record would stay.

use crate::cni::{CniError, Code, ContainerId};
use crate::engine::Turn;
use crate::engine::cleanup::fate::{Fate, Sight};
use crate::engine::cleanup::survey::Survey;
use crate::engine::cleanup::{live_sandboxes, survey};
use crate::engine::sandbox::lock::Sandbox;
use crate::engine::sandbox::undo;
use crate::store::{Attachment, Found, Record, State};
use crate::sys::netns::Netns;
use crate::sys::netns_list;

/// An attachment that was to be forgiven.
#[derive(Debug)]
pub struct Forgiven {
    /// The record, as it was.
    pub record: Record,
    /// What was owed, or attached.
    pub attachment: Attachment,
    /// Why it is still there; none where it is forgotten.
    pub kept: Option<String>,
}

/// Whose namespaces may be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the node.
    Node,
    /// In a container, which does not see the node's namespaces: only debts are forgiven.
    Container,
}

/// Forgets every debt of the containers that `chosen` names by the beginning of their IDs, of all where it names none.
/// Of a container that is the only one of its name, everything is forgotten if its namespace cannot be seen.
/// With `dry_run` they are only listed.
///
/// # Errors
/// Code 5: the records cannot be listed. Code 7: a name is of no container of which something can be forgotten.
pub fn forgive(turn: &Turn, chosen: &[String], place: Place, dry_run: bool) -> Result<Vec<Forgiven>, CniError> {
    let unlisted = |e| CniError::new(Code::Io, format!("the records cannot be listed: {e}"));
    let mut ids = turn.store.list().map_err(unlisted)?;
    ids.sort();
    let survey = (place == Place::Node && !chosen.is_empty()).then(|| survey::read(turn)).flatten();
    let view = survey.map(|survey| View::of(turn, &survey));
    let named = |id: &&ContainerId| chosen.is_empty() || chosen.iter().any(|name| begins(id, name));
    let of_each = |work: fn(&Turn, &ContainerId, Option<&View>) -> Vec<Forgiven>| {
        let seen = |id| view.as_ref().filter(|_| chosen.iter().any(|name| is_name_of(name, id, &ids)));
        ids.iter().filter(named).flat_map(|id| work(turn, id, seen(id))).collect::<Vec<_>>()
    };
    // All names are judged before anything is forgotten.
    let all = of_each(listed);
    if let Some(name) = chosen.iter().find(|name| !all.iter().any(|one| begins(&one.record.container_id, name))) {
        return Err(CniError::new(Code::InvalidConfig, nothing_of(turn, name, &ids, view.as_ref())));
    }
    Ok(if dry_run { all } else { of_each(forgotten) })
}

/// Why nothing of the container that `name` names is forgiven.
fn nothing_of(turn: &Turn, name: &str, ids: &[ContainerId], view: Option<&View>) -> String {
    let named: Vec<&ContainerId> = ids.iter().filter(|id| begins(id, name)).collect();
    match named.as_slice() {
        [] => {
            format!("no record is of a container {name:?}; `plexusctl get --debts -o json` prints the container IDs")
        }
        [id] if view.is_some_and(|view| view.can_judge(turn, id)) => format!(
            "container {id} has no failed removal, and its namespace is not missing: delete its pod, or name another container"
        ),
        [id] => format!(
            "container {id} has no failed removal, and whether its namespace is missing can be seen on the node only: run this there"
        ),
        several => {
            format!("{} containers begin with {name:?}, and none has a failed removal: name one", several.len())
        }
    }
}

fn begins(id: &ContainerId, name: &str) -> bool {
    id.as_str().starts_with(name)
}

/// Whether `name` is of `id` and of no other.
fn is_name_of(name: &str, id: &ContainerId, ids: &[ContainerId]) -> bool {
    id.as_str() == name || (begins(id, name) && ids.iter().filter(|id| begins(id, name)).count() == 1)
}

/// Whether a deletion of `attachment` was asked for.
pub fn is_debt(attachment: &Attachment) -> bool {
    attachment.state == State::Owed || attachment.debt.is_some()
}

/// What can be seen here of the node's sandboxes.
#[derive(Debug)]
struct View {
    sight: Sight,
    /// A recorded sandbox is alive here: these are the node's namespaces.
    shows_a_sandbox: bool,
    /// All processes of the machine can be seen: this is no container with processes of its own.
    shows_every_process: bool,
}

impl View {
    fn of(turn: &Turn, survey: &Survey) -> Self {
        let sight = live_sandboxes::sight(turn, survey);
        View {
            shows_a_sandbox: live_sandboxes::is_one_shown(turn, &sight),
            shows_every_process: netns_list::sees_every_process(),
            sight,
        }
    }

    /// Whether the namespace of `record` was looked for where it would be seen, and is missing there.
    fn is_missing(&self, record: &Record) -> bool {
        match self.sight.fate(record) {
            Fate::Gone(_) => true,
            // The operator decides what cannot be known.
            Fate::Unclear(_) => self.would_show() && !is_inhabited(record),
            Fate::Unseen { exists, .. } => exists && self.would_show() && !is_inhabited(record),
            Fate::Alive => false,
        }
    }

    /// Whether a living sandbox would be seen here.
    fn would_show(&self) -> bool {
        !self.sight.is_elsewhere() && (self.shows_a_sandbox || self.shows_every_process)
    }

    /// Whether it can be known here that the sandbox `id` is not missing.
    fn can_judge(&self, turn: &Turn, id: &ContainerId) -> bool {
        let Ok(Found::Record(record)) = turn.store.look(id) else { return true };
        self.sight.fate(&record) == Fate::Alive || self.would_show()
    }
}

/// Whether a process is in the namespace of `record`, wherever its file is: in a container with the node's processes and
/// mounts of its own, nothing else shows a living sandbox. The kernel gives the number of a namespace that has ended to
/// another one, but not its cookie.
fn is_inhabited(record: &Record) -> bool {
    let netns = record.netns_id.and_then(netns_list::of_a_process);
    let is_other = |netns: &Netns| record.netns_cookie.zip(netns.cookie()).is_some_and(|(this, that)| this != that);
    netns.is_some_and(|netns| !is_other(&netns))
}

/// As [`View::is_missing`]; without a view it is not.
fn is_missing(record: &Record, view: Option<&View>) -> bool {
    view.is_some_and(|view| view.is_missing(record))
}

/// What of `record` is given up: debts, or all of it.
fn given_up(record: &Record, whole: bool) -> Vec<Forgiven> {
    let given = record.attachments.iter().filter(|attachment| whole || is_debt(attachment));
    given.map(|attachment| Forgiven { record: record.clone(), attachment: attachment.clone(), kept: None }).collect()
}

fn kept(all: Vec<Forgiven>, why: &str) -> Vec<Forgiven> {
    all.into_iter().map(|one| Forgiven { kept: Some(why.to_owned()), ..one }).collect()
}

/// A damaged record is not listed: what it owes is not known before its DEL.
fn listed(turn: &Turn, id: &ContainerId, view: Option<&View>) -> Vec<Forgiven> {
    match turn.store.look(id) {
        Ok(Found::Record(record)) => given_up(&record, is_missing(&record, view)),
        _ => Vec::new(),
    }
}

fn forgotten(turn: &Turn, id: &ContainerId, view: Option<&View>) -> Vec<Forgiven> {
    let Ok(Some(_sandbox)) = Sandbox::try_lock(turn, id) else {
        return kept(listed(turn, id, view), "a call works in the sandbox");
    };
    let Ok(Found::Record(mut record)) = turn.store.look(id) else { return Vec::new() };
    let whole = is_missing(&record, view);
    let given = given_up(&record, whole);
    if given.is_empty() {
        return given;
    }
    record.attachments.retain(|attachment| !(whole || is_debt(attachment)));
    undo::write_back(turn, &record);
    let left = match turn.store.look(id) {
        Ok(Found::Record(left)) => left.attachments.len(),
        _ => 0,
    };
    if left > record.attachments.len() {
        return kept(given, "the record cannot be written");
    }
    given
}
