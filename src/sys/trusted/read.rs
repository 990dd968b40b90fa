//! Reading files of ours, bounded and without waiting for anybody.

use super::untrusted::own_file;
use crate::sys::files;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The file `name` of `folder`, which is at `path`.
pub(super) fn own(folder: BorrowedFd<'_>, path: &Path, name: &OsStr, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let Some((file, stat)) = open(folder, name)? else { return Ok(None) };
    own_file(&path.join(name), &stat)?;
    bounded(&file, &stat, limit).map(Some)
}

/// As [`own`]: its text, and its modification time.
pub(super) fn own_dated(
    folder: BorrowedFd<'_>,
    path: &Path,
    name: &OsStr,
    limit: usize,
) -> io::Result<Option<(String, SystemTime)>> {
    let Some((file, stat)) = open(folder, name)? else { return Ok(None) };
    own_file(&path.join(name), &stat)?;
    let text = text(bounded(&file, &stat, limit)?)?;
    Ok(Some((text, modified(&stat))))
}

/// When the file of `stat` was written last.
pub(super) fn modified(stat: &nix::libc::stat) -> SystemTime {
    let since = Duration::new(stat.st_mtime.try_into().unwrap_or(0), stat.st_mtime_nsec.try_into().unwrap_or(0));
    SystemTime::UNIX_EPOCH + since
}

/// Opens the regular file `name` for reading. `None` where there is none.
pub(super) fn open(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<(File, nix::libc::stat)>> {
    // Else opening a FIFO would wait for somebody who writes to it, and a terminal become ours.
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = match openat(folder, name, flags, Mode::empty()) {
        Err(nix::errno::Errno::ENOENT) => return Ok(None),
        file => File::from(file?),
    };
    let stat = fstat(&file)?;
    if stat.st_mode & nix::libc::S_IFMT != nix::libc::S_IFREG {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(Some((file, stat)))
}

/// The bytes of `file`, at most `limit`.
pub(super) fn bounded(file: &File, stat: &nix::libc::stat, limit: usize) -> io::Result<Vec<u8>> {
    files::read_regular(file, usize::try_from(stat.st_size).unwrap_or(usize::MAX), limit)
}

pub(super) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()))
}
