//! What is believed of files on the node: folders that are ours alone, and records that no other one contradicts.

use crate::api::{RunDirectory, StateDirectory};
use crate::cni::{CniError, Code, ContainerId};
use crate::engine::Turn;
use crate::engine::planning::plan::Planned;
use crate::store::Found;
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

/// Whether the record of a container other than `id` has the namespace `netns`, or may have it: then a deletion that
/// nobody asked for does not enter it. Namespaces are not shared by sandboxes, so one of the two records is wrong.
pub fn is_of_another(turn: &Turn, id: &ContainerId, netns: &Path) -> bool {
    let Ok(ids) = turn.store.list() else { return true };
    ids.iter().filter(|other| *other != id).any(|other| match turn.store.look(other) {
        Ok(Found::Nothing) => false,
        Ok(Found::Record(record) | Found::Salvaged { record, .. }) => record.netns.as_deref() == Some(netns),
        // It says nothing now.
        Err(_) => true,
    })
}
