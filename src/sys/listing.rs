//! The names in a folder, by few system calls: musl's readdir(3) asks for 2 KiB of them at a time.

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

/// How much the kernel answers at once: some thousand names.
const SIZE: usize = 32 * 1024;
/// Where the length of an entry is in it (`struct linux_dirent64` of getdents64(2)).
const LENGTH_AT: usize = 16;
/// Where its name begins.
const NAME_AT: usize = 19;

/// Hands the name of each entry of `folder` to `take`, in no order and without `.` and `..`, until it refuses one.
///
/// # Errors
/// The folder cannot be read, or those of `take`.
pub(super) fn each_name(folder: BorrowedFd<'_>, mut take: impl FnMut(&OsStr) -> io::Result<()>) -> io::Result<()> {
    // The descriptor of a path cannot be read from.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let folder = openat(folder, ".", flags, Mode::empty())?;
    // Not filled with zeros, which would touch all its pages.
    let mut entries: Vec<u8> = Vec::with_capacity(SIZE);
    loop {
        entries.clear();
        let (to, room) = (entries.as_mut_ptr(), entries.capacity());
        // SAFETY: the buffer is valid for writes of its capacity, and the kernel writes no more.
        let filled = unsafe { libc::syscall(libc::SYS_getdents64, folder.as_raw_fd(), to, room) };
        let filled = usize::try_from(Errno::result(filled)?).unwrap_or(0);
        // SAFETY: so much was written.
        unsafe { entries.set_len(filled.min(room)) };
        let mut rest = entries.as_slice();
        if rest.is_empty() {
            return Ok(());
        }
        while let Some((name, after)) = first(rest) {
            if !matches!(name, b"." | b"..") {
                take(OsStr::from_bytes(name))?;
            }
            rest = after;
        }
    }
}

/// The name of the first of `entries`, and the others.
fn first(entries: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = entries.get(LENGTH_AT..LENGTH_AT + 2)?.try_into().ok()?;
    let (entry, after) = entries.split_at_checked(u16::from_ne_bytes(length).into())?;
    let name = entry.get(NAME_AT..)?.split(|byte| *byte == 0).next()?;
    Some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::ffi::OsString;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_folder_of_any_size_is_listed_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let listed = || {
            let opened = std::fs::File::open(folder.path()).unwrap();
            let (mut names, mut count) = (BTreeSet::new(), 0);
            each_name(opened.as_fd(), |name| {
                names.insert(name.to_owned());
                count += 1;
                Ok(())
            })
            .unwrap();
            assert_eq!(names.len(), count);
            names
        };
        assert_eq!(listed(), BTreeSet::new());
        let name = |n: usize| OsString::from(format!("{n}{}", "x".repeat(n % 90)));
        let names: BTreeSet<OsString> = (0..3000).map(name).chain([OsString::from_vec(vec![b'a', 0xff])]).collect();
        for name in &names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(listed(), names);
        let opened = std::fs::File::open(folder.path()).unwrap();
        let refused = each_name(opened.as_fd(), |_| Err(io::ErrorKind::FileTooLarge.into()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
