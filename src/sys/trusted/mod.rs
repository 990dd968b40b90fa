//! Folders and files by whom they belong to: our own, which nobody else may write, and the daemon's, which we only
//! read.
//!
//! Root's plugin runs in folders that a less privileged process may have prepared. So it never opens by a whole path:
//! each component is opened beneath the one before, its owner is looked at, and a symbolic link is followed only where
//! root made it in a folder of root's. `openat2(2)` would do the same with its `RESOLVE_` flags, but needs Linux 5.6.

mod read;
mod theirs;
mod walk;
mod write;

pub use read::{read_bounded, read_bytes_bounded};
pub use theirs::TheirFolder;
pub use write::replace_at;
#[cfg(test)]
pub(in crate::sys) use write::temporary_name;

use super::files::Durability;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, fstat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, UnlinkatFlags, fchown, geteuid, linkat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file or folder of ours that somebody else owns or may write.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be trusted: {why}", path.display())]
pub struct Untrusted {
    path: PathBuf,
    why: String,
    /// The command that makes it ours again, without its path.
    command: Option<&'static str>,
}

impl Untrusted {
    pub(in crate::sys) fn error(path: &Path, why: impl Into<String>) -> io::Error {
        Untrusted::with(path, why.into(), None)
    }

    /// It belongs to somebody else.
    pub(in crate::sys) fn owner(path: &Path, stat: &nix::libc::stat) -> io::Error {
        let why = format!("it belongs to uid {} (mode {:03o})", stat.st_uid, stat.st_mode & 0o7777);
        Untrusted::with(path, why, Some("chown root:root"))
    }

    /// Its mode lets others write.
    pub(in crate::sys) fn mode(path: &Path, stat: &nix::libc::stat) -> io::Error {
        let what = if stat.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR {
            "others may write there"
        } else {
            "others may write it"
        };
        let why = format!("{what} (owner {}:{}, mode {:03o})", stat.st_uid, stat.st_gid, stat.st_mode & 0o7777);
        Untrusted::with(path, why, Some("chmod go-w"))
    }

    fn with(path: &Path, why: String, command: Option<&'static str>) -> io::Error {
        let untrusted = Untrusted { path: path.to_owned(), why, command };
        io::Error::new(io::ErrorKind::PermissionDenied, untrusted)
    }

    /// What makes the file or folder of `error` ours again, where a command does.
    pub fn remedy(error: &io::Error) -> Option<String> {
        let untrusted = error.get_ref()?.downcast_ref::<Untrusted>()?;
        Some(format!("{} {}", untrusted.command?, untrusted.path.display()))
    }

    /// Whether `error` is one of these, and not one of the disk.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Untrusted>())
    }
}

/// Whether files of `uid` are ours: root's, or those of the user that we are.
fn is_own(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

/// A folder that belongs to us and that nobody else may write, from the root folder down.
#[derive(Debug)]
pub struct Folder {
    descriptor: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens the folder at `path`.
    ///
    /// # Errors
    /// `NotFound`: there is none. [`Untrusted`]: somebody else could have put it, or its files, there.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Folder { descriptor: walk::to_folder(path, None)?, path: path.to_owned() })
    }

    /// As [`Folder::open`]; a missing folder is made with `mode`, and what is missing above it with 0711.
    ///
    /// # Errors
    /// It cannot be made, or is not to be trusted.
    pub fn make(path: &Path, mode: u32) -> io::Result<Self> {
        Ok(Folder { descriptor: walk::to_folder(path, Some(mode))?, path: path.to_owned() })
    }

    /// The folder `name` in this one, made with `mode` where it is missing. Here no symbolic link is followed.
    ///
    /// # Errors
    /// It cannot be made, or is not to be trusted.
    pub fn beneath(&self, name: &str, mode: u32) -> io::Result<Self> {
        let path = self.path.join(name);
        let descriptor = walk::beneath(self.descriptor.as_fd(), OsStr::new(name), &path, Some(mode))?;
        Ok(Folder { descriptor, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor, for what is done beneath it.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Gives the folder, with `mode`, to the group `group`: its members may read what is in it.
    ///
    /// # Errors
    /// The folder cannot be changed.
    pub fn share(&self, group: Gid, mode: u32) -> io::Result<()> {
        let now = fstat(&self.descriptor)?;
        if now.st_gid == group.as_raw() && now.st_mode & 0o7777 == mode {
            return Ok(());
        }
        // fchown(2) does not take the descriptor of a path.
        let folder = self.opened()?;
        fchown(&folder, None, Some(group))?;
        Ok(fchmod(&folder, Mode::from_bits_truncate(mode))?)
    }

    /// Replaces the file `name`: a reader sees the old or the new one, never half. With `group`, that one owns it.
    ///
    /// # Errors
    /// It is not written; the file is as it was and nothing is left.
    pub fn replace(
        &self,
        name: &OsStr,
        content: &[u8],
        mode: u32,
        group: Option<Gid>,
        durability: Durability,
    ) -> io::Result<()> {
        replace_at(self.descriptor.as_fd(), name, content, mode, group, durability)
    }

    /// Reads the file `name`, at most `limit` bytes; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, is no regular file, is longer, or belongs to somebody else.
    pub fn read(&self, name: &OsStr, limit: usize) -> io::Result<Option<Vec<u8>>> {
        read::own(self, name, limit)
    }

    /// As [`Folder::read`]: its text and its modification time.
    ///
    /// # Errors
    /// As [`Folder::read`], or it is not UTF-8.
    pub fn read_dated(&self, name: &OsStr, limit: usize) -> io::Result<Option<(String, SystemTime)>> {
        read::own_dated(self, name, limit)
    }

    /// Makes the file `name` as young as a new one.
    ///
    /// # Errors
    /// There is no such file.
    pub fn touch(&self, name: &OsStr) -> io::Result<()> {
        let now = TimeSpec::new(0, nix::libc::UTIME_NOW);
        Ok(utimensat(&self.descriptor, name, &now, &now, UtimensatFlags::NoFollowSymlink)?)
    }

    /// The names of what is in the folder.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        // By its path: nobody else can have exchanged the folder since it was opened.
        Ok(super::files::entries(&self.path)?.iter().map(|entry| entry.file_name()).collect())
    }

    /// Removes the file `name`. A missing file is not an error.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.descriptor, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Moves the file `name` to the folder `to`, as `new`.
    ///
    /// # Errors
    /// It cannot be moved, and is where it was.
    pub fn move_to(&self, name: &OsStr, to: &Folder, new: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.descriptor, name, &to.descriptor, new)?)
    }

    /// Gives the file `name` a second name, `new` in the folder `to`.
    ///
    /// # Errors
    /// `AlreadyExists`: there is such a file. `PermissionDenied`: it is a folder, or the file system has no second names.
    pub fn link_to(&self, name: &OsStr, to: &Folder, new: &OsStr) -> io::Result<()> {
        Ok(linkat(&self.descriptor, name, &to.descriptor, new, AtFlags::empty())?)
    }

    /// Opens the file `name` to lock it and to note something in it; makes it (0600) where it is missing.
    ///
    /// # Errors
    /// It is no regular file, has another name too, or belongs to somebody else.
    pub fn lock_file(&self, name: &OsStr) -> io::Result<File> {
        // Neither waits for the other end of a FIFO, nor becomes the terminal of ours.
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.descriptor, name, flags, Mode::from_bits_truncate(0o600))?);
        let stat = fstat(&file)?;
        let path = self.path.join(name);
        if stat.st_mode & nix::libc::S_IFMT != nix::libc::S_IFREG {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if stat.st_nlink > 1 {
            return Err(Untrusted::error(&path, "the file has another name, too"));
        }
        own_file(&path, &stat).map(|()| file)
    }

    /// The folder, opened for what a path's descriptor cannot do.
    fn opened(&self) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(openat(&self.descriptor, ".", flags, Mode::empty())?)
    }
}

/// Refuses a file that is not ours, or that others may write.
fn own_file(path: &Path, stat: &nix::libc::stat) -> io::Result<()> {
    if !is_own(stat.st_uid) {
        return Err(Untrusted::owner(path, stat));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(Untrusted::mode(path, stat));
    }
    Ok(())
}

/// Replaces the file at `path`, whose folder is ours; the folder is made (0700) where it is missing.
///
/// # Errors
/// The folder is not to be trusted, or the file is not written: then the file is as it was and nothing is left.
pub fn replace(path: &Path, content: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let (folder, name) = split(path)?;
    Folder::make(folder, 0o700)?.replace(name, content, mode, None, durability)
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
