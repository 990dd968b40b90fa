//! Writing a file so that nobody can have prepared where it goes.

use crate::sys::durability::Durability;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, UnlinkatFlags, fchown, fsync, unlinkat};
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// How often another name is tried where one is taken.
const TRIES: usize = 8;
/// What of the target's name stands in that of the temporary file, which is at most 255 bytes long.
const MOST_OF_NAME: usize = 180;

/// What a file is to become.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    /// Its content.
    pub content: &'a [u8],
    /// Its mode, whatever the umask is.
    pub mode: u32,
    /// The group that owns it; ours if none.
    pub group: Option<Gid>,
    /// Whether a power loss may take it.
    pub durability: Durability,
}

/// Replaces the file `name` in `folder` with `new`: a reader sees the old or the new one, never half.
///
/// The temporary file is new, by a name that nobody can guess, so it is no link and no file of somebody else. It
/// begins with a dot and has no extension, so that no runtime takes it for a configuration.
///
/// # Errors
/// The temporary file could not be written or renamed; the target is as it was and nothing is left.
pub fn replace_at(folder: BorrowedFd<'_>, name: &OsStr, new: NewFile<'_>) -> io::Result<()> {
    let (temporary, file) = create(folder, name)?;
    let written = fill(file, new).and_then(|()| Ok(renameat(folder, temporary.as_str(), folder, name)?));
    if written.is_err() {
        // Best effort: the error that matters is the one above.
        let _ = unlinkat(folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    written?;
    if new.durability == Durability::Synced {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        fsync(openat(folder, ".", flags, Mode::empty())?.as_fd())?;
    }
    Ok(())
}

fn create(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<(String, File)> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut tries = 0;
    loop {
        let temporary = temporary_name(name);
        match openat(folder, temporary.as_str(), flags, Mode::from_bits_truncate(0o600)) {
            Ok(file) => return Ok((temporary, File::from(file))),
            Err(Errno::EEXIST) if tries < TRIES => tries += 1,
            Err(e) => return Err(e.into()),
        }
    }
}

fn fill(mut file: File, new: NewFile<'_>) -> io::Result<()> {
    file.write_all(new.content)?;
    if new.group.is_some() {
        fchown(&file, None, new.group)?;
    }
    if new.mode != 0o600 {
        fchmod(&file, Mode::from_bits_truncate(new.mode))?;
    }
    if new.durability == Durability::Synced {
        file.sync_all()?;
    }
    Ok(())
}

/// `.name-<pid>-<n>` with the dots of the name's extension taken out.
pub(in crate::sys) fn temporary_name(name: &OsStr) -> String {
    // The standard library draws the keys of its hash from getrandom(2).
    let random = RandomState::new().build_hasher().finish();
    format!("{}{}-{random}", temporary_prefix(name), std::process::id())
}

/// Whether `file` is a temporary file of `name`.
pub(in crate::sys) fn is_temporary_of(name: &OsStr, file: &OsStr) -> bool {
    let numbers = file.to_str().and_then(|file| file.strip_prefix(&temporary_prefix(name))?.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(pid, random)| is_number(pid) && is_number(random))
}

fn temporary_prefix(name: &OsStr) -> String {
    let name = name.to_string_lossy().replace('.', "-");
    let end = (0..=MOST_OF_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    format!(".{}-", &name[..end])
}
