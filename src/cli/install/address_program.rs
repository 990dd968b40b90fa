//! The plugin under the name of its address plugin: what a main plugin starts that is a program itself.

use crate::api::{RunDirectory, StateDirectory};
use crate::cli::Error;
use crate::cli::install::plugin::PLUGIN;
use crate::cli::output::Output;
use crate::delegate::ipam::leased::TYPE;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What is in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The link, of an installer or of a person.
    Ours,
    /// Something else.
    Foreign,
}

/// Its place in the runtime's directory of plugins.
pub fn place(folder: &Path) -> PathBuf {
    folder.join(TYPE)
}

/// What is in its place in `folder`. Only a link to the plugin beside it is ours: a copy would stay of its release.
///
/// # Errors
/// It cannot be seen.
pub fn found(folder: &Path) -> io::Result<Found> {
    let path = place(folder);
    match fs::read_link(&path) {
        Ok(target) if target == Path::new(PLUGIN) || target == folder.join(PLUGIN) => Ok(Found::Ours),
        Ok(_) => Ok(Found::Foreign),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
        // It is no link.
        Err(e) if e.kind() == ErrorKind::InvalidInput => Ok(Found::Foreign),
        Err(e) => Err(e),
    }
}

/// Refuses a file of somebody else in its place.
///
/// # Errors
/// There is one.
pub fn judge(folder: &Path) -> Result<(), Error> {
    let path = place(folder);
    match found(folder) {
        Ok(Found::Nothing | Found::Ours) => Ok(()),
        Ok(Found::Foreign) => Err(Error::ForeignProgram { path }),
        Err(source) => Err(Error::Write { path, source }),
    }
}

/// Makes the link in `folder`. What is there is never replaced.
///
/// # Errors
/// Something else is there, or it cannot be made.
pub fn put(folder: &Path, state: &StateDirectory, run: &RunDirectory, output: &Output) -> Result<(), Error> {
    let path = place(folder);
    if *state.path() != *StateDirectory::default().path() || *run.path() != *RunDirectory::default().path() {
        output.remark(format!(
            "warning: {} uses the default directories, and Plexus has others: it gives no address",
            path.display()
        ));
    }
    match symlink(PLUGIN, &path) {
        Ok(()) => {
            output.remark(format!("linked {} to {PLUGIN}", path.display()));
            Ok(())
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => judge(folder),
        Err(source) => Err(Error::Write { path, source }),
    }
}
