//! What an uninstallation removes: files and directories of Plexus, and nothing of others.

use crate::api::DAEMON;
use crate::cli::Error;
use crate::cli::output::Output;
use crate::sys::files;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A node with thousands of containers has some thousand mounts.
const MAX_MOUNTS: usize = 64 << 20;

/// Removes a file, and what was left of it by who was killed while writing it; answers whether it was there.
pub(super) fn remove(path: &Path, output: &Output) -> Result<bool, Error> {
    files::remove_unfinished(path);
    match fs::remove_file(path) {
        Ok(()) => {
            output.remark(format!("removed {}", path.display()));
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Remove { path: path.to_owned(), source }),
    }
}

/// Removes what `is_ours` by its name from `folder`, and the folder where nothing is left and it is no mount point: a
/// directory that was named by mistake keeps its files. A directory of somebody else that cannot be removed stays:
/// root without capabilities may not even read it.
pub(super) fn empty(folder: &Path, is_ours: impl Fn(&str) -> bool, output: &Output) -> Result<(), Error> {
    for entry in files::entries(folder).into_iter().flatten() {
        let path = entry.path();
        if !entry.file_name().to_str().is_some_and(&is_ours) {
            if path != folder.join(DAEMON) {
                output.remark(format!("warning: {} stays, because it does not belong to Plexus", path.display()));
            }
            continue;
        }
        match remove_entry(&entry) {
            Err(error) if is_foreign(&entry) => stays(&path, &error, output),
            removed => removed.map_err(|source| Error::Remove { path, source })?,
        }
    }
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// Empties and removes the daemon's folder. A daemon may have left folders that root without capabilities may not
/// empty: these stay.
pub(super) fn empty_of_daemon(folder: &Path, output: &Output) {
    if !folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return;
    }
    for entry in files::entries(folder).into_iter().flatten() {
        if let Err(error) = remove_entry(&entry) {
            stays(&entry.path(), &error, output);
        }
    }
    let _ = fs::remove_dir(folder);
}

fn stays(path: &Path, error: &io::Error, output: &Output) {
    output.remark(format!("warning: {} stays, because it cannot be removed: {error}", path.display()));
}

fn is_foreign(entry: &fs::DirEntry) -> bool {
    use std::os::unix::fs::MetadataExt;
    entry.metadata().is_ok_and(|found| found.uid() != nix::unistd::geteuid().as_raw())
}

fn is_folder(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// Removes it with what is in it; what is mounted there is somebody's who still uses it.
fn remove_entry(entry: &fs::DirEntry) -> io::Result<()> {
    if !is_folder(entry) {
        return fs::remove_file(entry.path());
    }
    let inside = entry.path();
    match mount_point_in(&inside)? {
        None => fs::remove_dir_all(inside),
        Some(mounted) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{} is a mount point", mounted.display())))
        }
    }
}

/// Where something is mounted in `folder`, or on it.
fn mount_point_in(folder: &Path) -> io::Result<Option<PathBuf>> {
    let real = fs::canonicalize(folder)?;
    let mounts = files::read_bounded(Path::new("/proc/self/mountinfo"), MAX_MOUNTS)?.unwrap_or_default();
    // The fifth field (proc_pid_mountinfo(5)). Names of ours have no character that is written as a number there.
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    Ok(points.into_iter().find(|point| point.starts_with(&real)).map(Path::to_owned))
}
