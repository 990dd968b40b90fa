//! What is believed of files on the node: folders that are ours alone, and records that no other one contradicts.

use crate::api::{RunDirectory, StateDirectory};
use crate::cni::{CniError, Code, ContainerId};
use crate::engine::Turn;
use crate::engine::cleanup::fate;
use crate::engine::planning::plan::Planned;
use crate::store::{Found, Record};
use crate::sys::trusted::{self, Folder, Untrusted};
use std::io;
use std::path::{Path, PathBuf};

/// How it begins in a pod's event and in the log.
pub const NOT_ATTACHED: &str = "additional networks are not attached";

/// Where somebody else may write locks, statuses or records: one line each that names the directory, its owner, its
/// mode and the remedy.
pub fn doubts(run: &RunDirectory, state: &StateDirectory) -> Vec<String> {
    // With what is above them: there the sticky bit is enough, because these two are root's own.
    let folders = [run.locks(), state.sandboxes()].into_iter();
    // What cannot be opened for another reason is told by whoever needs it.
    let untrusted = folders.filter_map(|folder| Folder::open(&folder).err()).filter(Untrusted::is);
    untrusted.map(|error| with_remedy(&error)).collect()
}

/// `error`, and for a directory that others may write the command that helps.
pub fn with_remedy(error: &io::Error) -> String {
    match Untrusted::remedy(error) {
        Some(command) => format!("{error}; see who changed it, then run as root: {command}"),
        None => error.to_string(),
    }
}

/// The error for a pod with additional networks; none where all is ours.
fn refusal(turn: &Turn) -> Option<CniError> {
    let doubt = doubts(&turn.settings.run, &turn.settings.state).into_iter().next()?;
    Some(CniError::new(Code::Io, format!("{NOT_ATTACHED}: {doubt}")))
}

/// Refuses a plan with additional networks where somebody else may write locks, statuses or records: what is noted there
/// would be believed later. A pod with the default network alone starts without them.
///
/// # Errors
/// Code 5: names the folder and who may write there.
pub fn check(turn: &Turn, plan: &[Planned]) -> Result<(), CniError> {
    if plan.iter().all(|planned| planned.default) {
        return Ok(());
    }
    refusal(turn).map_or(Ok(()), Err)
}

/// Why nothing is known of a pod: a directory that others may write is neither asked nor read, and is the cause of
/// `error`.
pub fn cause(turn: &Turn, error: CniError) -> CniError {
    refusal(turn).map_or(error.clone(), |refusal| refusal.with_details(&error.msg))
}

/// Where the programs of an attachment are looked for: in the folders that its record names, then in today's. A folder
/// that the runtime does not name today counts only where nobody else can have put a program there.
pub fn plugin_folders(turn: &Turn, recorded: &[PathBuf]) -> Vec<PathBuf> {
    let today = turn.path();
    let is_believed = |folder: &&PathBuf| today.contains(folder) || trusted::is_own_folder(folder);
    let mut folders: Vec<PathBuf> = recorded.iter().filter(is_believed).cloned().collect();
    folders.extend(today.into_iter().filter(|folder| !recorded.contains(folder)));
    folders
}

/// The records of containers other than `id`; those that cannot be read now are errors.
fn others<'t>(turn: &'t Turn, id: &'t ContainerId) -> io::Result<impl Iterator<Item = io::Result<Record>> + 't> {
    let ids = turn.store.list()?.into_iter().filter(move |other| other != id);
    Ok(ids.filter_map(|other| match turn.store.look(&other) {
        Ok(Found::Nothing) => None,
        Ok(Found::Record(record) | Found::Salvaged { record, .. }) => Some(Ok(record)),
        Err(e) => Some(Err(e)),
    }))
}

/// Whether the namespace `netns`, which the runtime names for the deletion of `id`, is that of another container: it has
/// a record with this namespace. By the path alone where the record tells no more.
pub fn is_recorded_of_another(turn: &Turn, id: &ContainerId, netns: &Path) -> bool {
    let names = |record: &Record| record.netns.as_deref() == Some(netns);
    let is_its = |record: &Record| names(record) && fate::is_recorded_namespace(record, netns).unwrap_or(true);
    others(turn, id).is_ok_and(|mut records| records.any(|record| record.is_ok_and(|record| is_its(&record))))
}

/// Whether the record of a container other than `id` has the namespace `netns`, or may have it: then a deletion that
/// nobody asked for does not enter it. Namespaces are not shared by sandboxes, so one of the two records is wrong.
pub fn is_of_another(turn: &Turn, id: &ContainerId, netns: &Path) -> bool {
    // One that cannot be read says nothing now.
    others(turn, id).map_or(true, |mut records| {
        records.any(|record| record.map_or(true, |record| record.netns.as_deref() == Some(netns)))
    })
}
