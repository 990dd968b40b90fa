//! What is believed of files on the node: folders that are ours alone, and records that no other one contradicts.

use crate::cni::{CniError, Code, ContainerId};
use crate::engine::Turn;
use crate::engine::planning::plan::Planned;
use crate::store::Found;
use crate::sys::trusted::{self, Folder, Untrusted};
use std::path::{Path, PathBuf};

/// Refuses a plan with additional networks where somebody else may write locks, statuses or records: what is noted there
/// would be believed later. A pod with the default network alone starts without them.
///
/// # Errors
/// Code 5: names the folder and who may write there.
pub fn check(turn: &Turn, plan: &[Planned]) -> Result<(), CniError> {
    if plan.iter().all(|planned| planned.default) {
        return Ok(());
    }
    let settings = &turn.settings;
    // With what is above them: there the sticky bit is enough, because these two are root's own.
    for folder in [settings.run.locks(), settings.state.sandboxes()] {
        match Folder::open(&folder) {
            Err(e) if Untrusted::is(&e) => {
                return Err(CniError::new(Code::Io, format!("additional networks are not attached: {e}")));
            }
            // What cannot be opened for another reason is told by whoever needs it.
            _ => {}
        }
    }
    Ok(())
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
