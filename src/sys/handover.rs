//! Folders and files of root's that one group of others may use.

use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, fchown, geteuid};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Makes the folder `path` where it is missing, and gives it to root, `group` and `mode`. What is above it is there.
///
/// # Errors
/// It cannot be made or given; a symbolic link or a file is in its place.
pub fn folder(path: &Path, group: u32, mode: u32) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    give(path, OFlag::O_DIRECTORY, group, mode)
}

/// Gives the file `path`, which is there, to root, `group` and `mode`.
///
/// # Errors
/// It cannot be given; a symbolic link is in its place.
pub fn file(path: &Path, group: u32, mode: u32) -> io::Result<()> {
    give(path, OFlag::O_NONBLOCK, group, mode)
}

/// Makes `path` free, whatever is there and whoever made it: a file, a link or an empty folder is removed, and a
/// folder with something in it is renamed. Answers its new name. What is above `path` is ours to write.
///
/// # Errors
/// It stays where it is.
pub fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    let found = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    if !found.is_dir() {
        return super::files::remove(path).map(|()| None);
    }
    if std::fs::remove_dir(path).is_ok() {
        return Ok(None);
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!(".{name}.foreign-{:x}-{:x}", std::process::id(), now.as_nanos()));
    std::fs::rename(path, &aside).map(|()| Some(aside))
}

fn give(path: &Path, kind: OFlag, group: u32, mode: u32) -> io::Result<()> {
    let flags = kind | OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let descriptor = nix::fcntl::openat(AT_FDCWD, path, flags, Mode::empty())?;
    // In this order: a change of the group takes the group's bits away.
    fchown(&descriptor, Some(geteuid()), Some(Gid::from_raw(group)))?;
    fchmod(&descriptor, Mode::from_bits_truncate(mode))?;
    Ok(())
}
