//! The plugin's program: from beside this program, or from where a person says, into the runtime's directory.

use crate::api::{StateDirectory, build};
use crate::cli::Error;
use crate::cli::output::Output;
use crate::cli::trust;
use crate::sys::files::{self, Durability};
use std::fs;
use std::io;
use std::path::Path;

/// The plugin's name, which is its `type` in the configuration.
pub const PLUGIN: &str = "plexus";
/// A plugin is a few megabytes; built for development, some more.
const MAX_PROGRAM: usize = 512 << 20;

/// Copies the plugin beside its place in `folder` and renames it: a runtime that starts it meanwhile starts the old one
/// or the new one. Without `source` it is the program beside this one.
///
/// # Errors
/// There is none, it is another program or of a build that is not for nodes, or it cannot be written.
pub fn put(source: Option<&Path>, folder: &Path, state: &StateDirectory, output: &Output) -> Result<(), Error> {
    let program = read(source)?;
    announce(&program, state, output);
    let path = folder.join(PLUGIN);
    // The archive of the reference plugins gives their directory to the user who packed it: pods must start nevertheless.
    if let Err(e) = trust::check(folder) {
        output.remark(format!("warning: {e}; another user can replace programs that run as root"));
    }
    files::remove_unfinished(&path);
    if is_same(&path, &program) {
        output.remark(format!("{} is up to date (release {})", path.display(), env!("CARGO_PKG_VERSION")));
        return Ok(());
    }
    files::make_public_folder(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    files::replace(&path, &program, 0o755, Durability::Synced)
        .map_err(|source| Error::Write { path: path.clone(), source })?;
    output.remark(format!("wrote {}, release {}", path.display(), env!("CARGO_PKG_VERSION")));
    Ok(())
}

/// Tells a keeper of another release that it was an installer who replaces the plugin: before that, because the keeper
/// may look at any moment. Pods need no such note.
fn announce(program: &[u8], state: &StateDirectory, output: &Output) {
    let path = state.installed();
    if let Err(e) = files::replace(&path, build::identity(program).as_bytes(), 0o600, Durability::Synced) {
        output.remark(format!(
            "warning: {} cannot be written: {e}; Plexus restores no plugin that is replaced by another release",
            path.display()
        ));
    }
}

fn read(source: Option<&Path>) -> Result<Vec<u8>, Error> {
    let beside = || std::env::current_exe().unwrap_or_default().with_file_name(PLUGIN);
    let path = source.map_or_else(beside, Path::to_owned);
    let found = files::read_bytes_bounded(&path, MAX_PROGRAM);
    let found = found.and_then(|program| program.ok_or_else(|| io::ErrorKind::NotFound.into()));
    let program = found.map_err(|source| Error::Plugin { path: path.clone(), source })?;
    match () {
        () if !build::is_plugin(&program) => Err(Error::NoPlugin { path }),
        () if build::has_daemon(&program) => Err(Error::WrongBuild { path }),
        () => Ok(program),
    }
}

fn is_same(path: &Path, program: &[u8]) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let executable = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o777 == 0o755);
    let present = || files::read_bytes_bounded(path, MAX_PROGRAM).ok().flatten();
    executable && present().is_some_and(|present| present == program)
}
