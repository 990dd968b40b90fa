//! A folder of ours, and what is done in it: by its descriptor, not by its path.

use super::untrusted::{Untrusted, own_file};
use super::write::{NewFile, replace_at};
use super::{kept, read, walk};
use crate::sys::files::MOST_ENTRIES;
use crate::sys::listing;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, UtimensatFlags, fchmod, fstat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, UnlinkatFlags, fchown, linkat, unlinkat};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A folder that belongs to us and that nobody else may write, from the root folder down.
#[derive(Debug)]
pub struct Folder {
    descriptor: Arc<OwnedFd>,
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

    /// As [`Folder::open`], but a folder that this call has opened already is not looked at again. It may have been
    /// exchanged meanwhile, by root.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn open_once(path: &Path) -> io::Result<Self> {
        match kept::nearest(path).filter(|(kept, _)| kept == path) {
            Some((path, descriptor)) => Ok(Folder { descriptor, path }),
            None => Folder::open(path),
        }
    }

    /// As [`Folder::open`], where `path` itself is no symbolic link.
    ///
    /// # Errors
    /// As [`Folder::open`], or it is a link.
    pub fn open_itself(path: &Path) -> io::Result<Self> {
        Ok(Folder { descriptor: walk::to_folder_itself(path)?, path: path.to_owned() })
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
        Ok(Folder { descriptor: Arc::new(descriptor), path })
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

    /// Replaces the file `name`: a reader sees the old or the new one, never half.
    ///
    /// # Errors
    /// It is not written; the file is as it was and nothing is left.
    pub fn replace(&self, name: &OsStr, new: NewFile<'_>) -> io::Result<()> {
        replace_at(self.descriptor.as_fd(), name, new)
    }

    /// Reads the file `name`, at most `limit` bytes; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, is no regular file, is longer, or belongs to somebody else.
    pub fn read(&self, name: &OsStr, limit: usize) -> io::Result<Option<Vec<u8>>> {
        read::own(self.descriptor(), &self.path, name, limit)
    }

    /// As [`Folder::read`]: its text and its modification time.
    ///
    /// # Errors
    /// As [`Folder::read`], or it is not UTF-8.
    pub fn read_dated(&self, name: &OsStr, limit: usize) -> io::Result<Option<(String, SystemTime)>> {
        read::own_dated(self.descriptor(), &self.path, name, limit)
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
        let mut names = Vec::new();
        listing::each_name(self.descriptor(), |name| {
            if names.len() == MOST_ENTRIES {
                let text = format!("more than {MOST_ENTRIES} entries");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
            }
            names.push(name.to_owned());
            Ok(())
        })?;
        Ok(names)
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
        self.open_or_make(name, OFlag::O_RDWR, 0o600).map(|(file, _)| file)
    }

    /// Writes `text` behind what is in the file `name`, with `head` before it where the file is empty; makes it with the
    /// given mode where it is missing.
    ///
    /// # Errors
    /// As [`Folder::lock_file`], the file is longer than the given limit, or it cannot be written.
    pub fn append(&self, name: &OsStr, head: &str, text: &str, (mode, limit): (u32, usize)) -> io::Result<()> {
        let (mut file, stat) = self.open_or_make(name, OFlag::O_WRONLY | OFlag::O_APPEND, mode)?;
        if usize::try_from(stat.st_size).unwrap_or(usize::MAX) > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
        }
        let head = if stat.st_size == 0 { head } else { "" };
        // One write, so that those of several processes are not mixed.
        file.write_all([head, text].concat().as_bytes())
    }

    fn open_or_make(&self, name: &OsStr, access: OFlag, mode: u32) -> io::Result<(File, FileStat)> {
        let flags = OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.descriptor, name, access | flags, Mode::from_bits_truncate(mode))?);
        let stat = fstat(&file)?;
        let path = self.path.join(name);
        if stat.st_mode & nix::libc::S_IFMT != nix::libc::S_IFREG {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if stat.st_nlink > 1 {
            return Err(Untrusted::error(&path, "the file has another name, too"));
        }
        own_file(&path, &stat).map(|()| (file, stat))
    }

    /// The folder, opened for what a path's descriptor cannot do.
    fn opened(&self) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(openat(&self.descriptor, ".", flags, Mode::empty())?)
    }
}
