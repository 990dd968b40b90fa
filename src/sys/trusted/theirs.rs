//! The folder of a less privileged process, in a folder of ours: we read its files as content, and nothing else.

use super::folder::Folder;
use super::read;
use super::untrusted::{Untrusted, is_own};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A folder that somebody else may write. No symbolic link is followed on the way into it.
#[derive(Debug)]
pub struct TheirFolder {
    descriptor: OwnedFd,
    owner: u32,
    path: PathBuf,
}

impl TheirFolder {
    /// Opens `names`, one beneath the other, in our folder at `own`.
    ///
    /// # Errors
    /// `NotFound`: there is none. Else it is not a directory, or the folder at `own` is not to be trusted.
    pub fn open(own: &Path, names: &[&str]) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let folder = Folder::open(own)?;
        let (first, rest) = names.split_first().map_or((".", names), |(first, rest)| (*first, rest));
        let mut descriptor = openat(folder.descriptor(), first, flags, Mode::empty())?;
        for name in rest {
            descriptor = openat(&descriptor, *name, flags, Mode::empty())?;
        }
        let owner = fstat(&descriptor)?.st_uid;
        let path = names.iter().fold(own.to_owned(), |path, name| path.join(name));
        Ok(TheirFolder { descriptor, owner, path })
    }

    /// The text of the file `name` and its modification time; `None` where there is no such file.
    ///
    /// # Errors
    /// It is a link, no regular file, longer than `limit`, not UTF-8, has another name too, or belongs neither to the
    /// folder's owner nor to us.
    pub fn read(&self, name: &OsStr, limit: usize) -> io::Result<Option<(String, SystemTime)>> {
        use std::os::fd::AsFd;
        let Some((file, stat)) = read::open(self.descriptor.as_fd(), name)? else { return Ok(None) };
        let path = || self.path.join(name);
        if stat.st_nlink != 1 {
            return Err(Untrusted::error(&path(), "the file has another name, too"));
        }
        if !is_own(stat.st_uid) && stat.st_uid != self.owner {
            return Err(Untrusted::owner(&path(), &stat));
        }
        let text = read::text(read::bounded(&file, &stat, limit)?)?;
        Ok(Some((text, read::modified(&stat))))
    }

    /// The socket `name`, as a path that leads to it for as long as what is answered lives.
    ///
    /// # Errors
    /// There is no such file, or it is no socket: a symbolic link could name anybody's.
    pub fn socket(&self, name: &str) -> io::Result<PinnedSocket> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let descriptor = openat(&self.descriptor, name, flags, Mode::empty())?;
        if fstat(&descriptor)?.st_mode & nix::libc::S_IFMT != nix::libc::S_IFSOCK {
            return Err(Errno::ENOTSOCK.into());
        }
        Ok(PinnedSocket(descriptor))
    }

    /// The group of the folder, if the folder is ours and nobody outside of that group may write there: whoever is in
    /// the group may put a socket there.
    pub fn trusted_group(&self) -> Option<u32> {
        let stat = fstat(&self.descriptor).ok()?;
        (is_own(stat.st_uid) && stat.st_mode & 0o002 == 0).then_some(stat.st_gid)
    }
}

/// A socket that cannot be exchanged for another any more.
#[derive(Debug)]
pub struct PinnedSocket(OwnedFd);

impl PinnedSocket {
    /// What to connect to.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}
