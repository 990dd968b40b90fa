//! Folders and files by whom they belong to: our own, which nobody else may write, and the daemon's, which we only
//! read.
//!
//! Root's plugin runs in folders that a less privileged process may have prepared. So it never opens by a whole path:
//! each component is opened beneath the one before, its owner is looked at, and a symbolic link is followed only where
//! root made it in a folder of root's. `openat2(2)` would do the same with its `RESOLVE_` flags, but needs Linux 5.6.

mod folder;
mod kept;
mod read;
mod theirs;
mod untrusted;
mod walk;
mod write;

pub use folder::Folder;
pub use kept::KeptFolders;
pub use theirs::TheirFolder;
pub use untrusted::Untrusted;
pub use write::{NewFile, replace_at};
pub(in crate::sys) use write::{is_temporary_of, temporary_name};

use super::files::Durability;
use nix::fcntl::AtFlags;
use nix::unistd::Gid;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use untrusted::is_own;

/// Reads a file of at most `limit` bytes in a folder of ours; `None` where there is no such file.
///
/// # Errors
/// File or folder is not to be trusted, is no regular file, is longer than `limit`, or is not UTF-8.
pub fn read_bounded(path: &Path, limit: usize) -> io::Result<Option<String>> {
    read_bytes_bounded(path, limit)?.map(read::text).transpose()
}

/// As [`read_bounded`], whatever the bytes are.
///
/// # Errors
/// File or folder is not to be trusted, is no regular file, or is longer than `limit`.
pub fn read_bytes_bounded(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let (folder, name) = split(path)?;
    match Folder::open(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        folder => folder?.read(name, limit),
    }
}

/// Replaces the file at `path`, whose folder is ours; the folder is made (0700) where it is missing.
///
/// # Errors
/// The folder is not to be trusted, or the file is not written: then the file is as it was and nothing is left.
pub fn replace(path: &Path, content: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let (folder, name) = split(path)?;
    Folder::make(folder, 0o700)?.replace(name, NewFile { content, mode, group: None, durability })
}

/// Removes the file at `path`, whose folder is ours. A missing file or folder is not an error.
///
/// # Errors
/// The folder is not to be trusted, or the file is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    let (folder, name) = split(path)?;
    match Folder::open(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        folder => folder?.remove(name),
    }
}

/// Opens the file at `path` to lock it: see [`Folder::lock_file`]. File and folder are made where they are missing.
///
/// # Errors
/// The folder or the file is not to be trusted, or cannot be made.
pub fn lock_file(path: &Path) -> io::Result<File> {
    let (folder, name) = split(path)?;
    Folder::make(folder, 0o700)?.lock_file(name)
}

/// Writes `text` behind what is in the file at `path`, which begins with `head` and is made with `mode` where it is
/// missing. Its folder has to be ours.
///
/// # Errors
/// File or folder is not to be trusted, the file is longer than `limit` bytes, or it cannot be written.
pub fn append(path: &Path, head: &str, text: &str, mode: u32, limit: usize) -> io::Result<()> {
    let (folder, name) = split(path)?;
    Folder::open(folder)?.append(name, head, text, (mode, limit))
}

/// Whether the folder at `path` is there, and nobody but root or us can have put anything into it.
pub fn is_own_folder(path: &Path) -> bool {
    Folder::open(path).is_ok()
}

/// The group of the folder at `path`; none where there is no folder.
pub fn group_of_folder(path: &Path) -> Option<Gid> {
    let stat = nix::sys::stat::fstatat(nix::fcntl::AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    (stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR && is_own(stat.st_uid)).then(|| Gid::from_raw(stat.st_gid))
}

/// The folder of `path`, and the name in it.
fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    Ok((folder.unwrap_or(Path::new(".")), name))
}

#[cfg(test)]
mod tests;
