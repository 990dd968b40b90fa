//! Whom files belong to, and what is refused for it.

use nix::unistd::geteuid;
use std::io;
use std::path::{Path, PathBuf};

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
pub(super) fn is_own(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

/// Refuses a file that is not ours, or that others may write.
pub(super) fn own_file(path: &Path, stat: &nix::libc::stat) -> io::Result<()> {
    if !is_own(stat.st_uid) {
        return Err(Untrusted::owner(path, stat));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(Untrusted::mode(path, stat));
    }
    Ok(())
}
