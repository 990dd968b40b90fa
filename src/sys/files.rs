//! Files that others read while we write them.

#![allow(clippy::disallowed_methods, reason = "here files are opened")]

pub use super::durability::Durability;
use super::trusted::{NewFile, is_temporary_of, replace_at};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{AccessFlags, access};
use std::fs::{self, DirBuilder, DirEntry, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// A directory of ours has one file a sandbox; a pool of host-local one for each address, up to a /14.
pub const MOST_ENTRIES: usize = 1 << 18;

/// Replaces the file at `path` with `content`, mode `mode`: a reader sees the old or the new one, never half.
///
/// The folder is made (0700) where it is missing. See [`replace_at`]; whose folder it is, is not looked at: for one of
/// ours there is [`super::trusted::replace`].
///
/// # Errors
/// The temporary file could not be written or renamed; the target is as it was and nothing is left.
pub fn replace(path: &Path, content: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let open = || OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(folder);
    let folder = open().or_else(|e| match e.kind() {
        io::ErrorKind::NotFound => make_folder(folder).and_then(|()| open()),
        _ => Err(e),
    })?;
    replace_at(folder.as_fd(), name, NewFile { content, mode, group: None, durability })
}

/// Removes what every [`replace`] of `path` has left beside it that was killed. Only for a file that nobody else writes now.
pub fn remove_unfinished(path: &Path) {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else { return };
    let entries = entries(folder).into_iter().flatten();
    for entry in entries.filter(|entry| is_temporary_of(name, &entry.file_name())) {
        // Best effort: it is only in the way.
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Makes `path` and what is above it, for root only (0700).
///
/// # Errors
/// It cannot be made.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether `path`, or what is above it where it is missing, is on a file system that nobody can write to.
pub fn is_read_only(path: &Path) -> bool {
    let there = path.ancestors().find(|path| path.exists());
    there.is_some_and(|path| access(path, AccessFlags::W_OK) == Err(Errno::EROFS))
}

/// Makes `path` and what is above it where it is missing, for everybody to read (0755), whatever the umask is.
///
/// # Errors
/// It cannot be made.
pub fn make_public_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    path.parent().filter(|above| !above.as_os_str().is_empty()).map_or(Ok(()), make_public_folder)?;
    match DirBuilder::new().mode(0o755).create(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))),
    }
}

/// Locks the file at `path`, made where it is missing, for as long as what is answered lives; `None` where another
/// process has it.
///
/// # Errors
/// It cannot be made or locked, or is a symbolic link.
pub fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let flags = nix::fcntl::OFlag::O_NOFOLLOW.union(nix::fcntl::OFlag::O_NONBLOCK).bits();
    let file = options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)?;
    Ok(super::flock::try_exclusive(&file)?.then_some(file))
}

/// Reads a file of at most `limit` bytes; `None` where there is no such file.
///
/// # Errors
/// It cannot be read, is no regular file, is longer than `limit`, or is not UTF-8.
pub fn read_bounded(path: &Path, limit: usize) -> io::Result<Option<String>> {
    let text = |bytes| String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()));
    read_bytes_bounded(path, limit)?.map(text).transpose()
}

/// As [`read_bounded`], of a file in a folder that others write: a symbolic link is not followed.
///
/// # Errors
/// As [`read_bounded`], and `ELOOP` for a link.
pub fn read_no_link_bounded(path: &Path, limit: usize) -> io::Result<Option<String>> {
    let text = |bytes| String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()));
    read_opened(path, limit, OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW)?.map(text).transpose()
}

/// As [`read_bounded`], whatever the bytes are.
///
/// # Errors
/// It cannot be read, is no regular file, or is longer than `limit`.
pub fn read_bytes_bounded(path: &Path, limit: usize) -> io::Result<Option<Vec<u8>>> {
    // Else opening a FIFO would wait for somebody who writes to it.
    read_opened(path, limit, OFlag::O_NONBLOCK)
}

fn read_opened(path: &Path, limit: usize, flags: OFlag) -> io::Result<Option<Vec<u8>>> {
    let file = match open_to_read(path, flags) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        open => open?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    read_regular(&file, usize::try_from(metadata.len()).unwrap_or(usize::MAX), limit).map(Some)
}

/// By openat(2): musl's open(3) asks for close-on-exec twice.
fn open_to_read(path: &Path, flags: OFlag) -> io::Result<File> {
    Ok(openat(AT_FDCWD, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC | flags, Mode::empty())?.into())
}

/// What is in `file`, a regular one of `length` bytes, from where it stands; it may be growing.
pub(super) fn read_regular(mut file: &File, length: usize, limit: usize) -> io::Result<Vec<u8>> {
    /// Files of `/proc` have no length.
    const LEAST: usize = 256;
    if length > limit {
        return Err(too_long(limit));
    }
    let mut bytes = vec![0; length + 1];
    let read = if length == 0 { 0 } else { retry_interrupted(|| file.read(&mut bytes))? };
    bytes.truncate(read);
    // One that ends where it did needs no second look.
    if read > 0 && read == length {
        return Ok(bytes);
    }
    bytes.reserve(LEAST);
    file.take((limit - read.min(limit)) as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(too_long(limit)) } else { Ok(bytes) }
}

/// As [`read_regular`], as text.
pub(super) fn read_regular_text(file: &File, length: usize, limit: usize) -> io::Result<String> {
    let bytes = read_regular(file, length, limit)?;
    String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()))
}

/// A signal is no failure.
fn retry_interrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Reads what a person names, which may be a pipe (a shell's `<(…)`) and is waited for; at most `limit` bytes.
///
/// # Errors
/// There is no such file, it cannot be read, is longer than `limit`, or is not UTF-8.
pub fn read_named_bounded(path: &Path, limit: usize) -> io::Result<String> {
    read_to_string_bounded(File::open(path)?, limit)
}

/// As [`read_named_bounded`], whatever the bytes are.
///
/// # Errors
/// There is no such file, it cannot be read, or is longer than `limit`.
pub fn read_named_bytes_bounded(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    read_to_end_bounded(File::open(path)?, limit)
}

/// As [`read_to_string_bounded`], whatever the bytes are.
///
/// # Errors
/// It cannot be read, or is longer than `limit`.
pub fn read_to_end_bounded(source: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if source.take(limit as u64 + 1).read_to_end(&mut bytes)? > limit {
        return Err(too_long(limit));
    }
    Ok(bytes)
}

/// Reads all of `source`, at most `limit` bytes.
///
/// # Errors
/// It cannot be read, is longer than `limit`, or is not UTF-8.
pub fn read_to_string_bounded(source: impl Read, limit: usize) -> io::Result<String> {
    let mut text = String::new();
    if source.take(limit as u64 + 1).read_to_string(&mut text)? > limit {
        return Err(too_long(limit));
    }
    Ok(text)
}

fn too_long(limit: usize) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes"))
}

/// What is in the directory `path`, in no order. A directory that others may fill has no end that we wait for.
///
/// # Errors
/// It cannot be read, all of it, or contains more than [`MOST_ENTRIES`].
pub fn entries(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        if entries.len() == MOST_ENTRIES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {MOST_ENTRIES} entries")));
        }
        entries.push(entry?);
    }
    Ok(entries)
}

/// Removes a file; one that is not there is removed.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Makes the file at `path` as young as a new one. A symbolic link is not followed.
///
/// # Errors
/// There is no such file, or it is not ours.
pub fn touch(path: &Path) -> io::Result<()> {
    let now = TimeSpec::new(0, nix::libc::UTIME_NOW);
    Ok(utimensat(AT_FDCWD, path, &now, &now, UtimensatFlags::NoFollowSymlink)?)
}

/// Forces `path` and its folder to the disk.
///
/// # Errors
/// The disk did not take it.
pub fn sync(path: &Path) -> io::Result<()> {
    let open = |path: &Path| open_to_read(path, OFlag::empty());
    open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |folder| open(folder)?.sync_all())
}

/// `why` in a message about `path`, which an error of this crate names itself.
pub fn told(path: &Path, why: impl std::fmt::Display) -> String {
    let (path, why) = (path.display().to_string(), why.to_string());
    if why.starts_with(&path) { why } else { format!("{path}: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::trusted::temporary_name;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn replacing_leaves_only_the_target() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/x.json");
        replace(&path, b"1", 0o600, Durability::Synced).unwrap();
        replace(&path, b"2", 0o600, Durability::Cached).unwrap();
        assert_eq!(read_bounded(&path, 10).unwrap().as_deref(), Some("2"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_replacement_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("target");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"1", 0o600, Durability::Cached).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_replacement_left_is_removed_and_nothing_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("00-plexus.conflist");
        fs::write(folder.path().join(temporary_name(list.file_name().unwrap())), "half").unwrap();
        let others =
            ["00-plexus.conflist", ".00-plexus-conflist", ".00-plexus-conflist-7-x", ".00-plexus-conflist-", ".x-1-2"];
        others.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
        remove_unfinished(&list);
        let mut left: Vec<_> = entries(folder.path()).unwrap().iter().map(fs::DirEntry::file_name).collect();
        left.sort();
        assert_eq!(left, {
            let mut others = others;
            others.sort_unstable();
            others
        });
    }

    #[test]
    fn temporary_files_are_no_configurations() {
        let name = temporary_name("00-plexus.conflist".as_ref());
        assert!(name.starts_with(".00-plexus-conflist-") && !name[1..].contains('.'), "{name}");
        // A name may be as long as the file system allows, and of characters of several bytes.
        assert!(temporary_name("ö".repeat(127).as_ref()).len() <= 255);
    }

    #[test]
    fn reading_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert_eq!(read_bounded(&path, 3).unwrap(), None);
        fs::write(&path, "1234").unwrap();
        assert!(read_bounded(&path, 3).is_err());
        assert_eq!(read_bounded(&path, 4).unwrap().as_deref(), Some("1234"));
        fs::write(&path, [b'1', 0xff]).unwrap();
        assert_eq!(read_bounded(&path, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read_bytes_bounded(&path, 4).unwrap(), Some(vec![b'1', 0xff]));
        // A gigabyte that nobody allocates.
        File::create(&path).unwrap().set_len(1 << 30).unwrap();
        assert_eq!(read_bounded(&path, 16 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(&fifo, folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("link2"), folder.path().join("link2")).unwrap();
        for (name, why) in
            [("fifo", "regular file"), ("link", "regular file"), ("", "regular file"), ("link2", "symbolic")]
        {
            let error = read_bounded(&folder.path().join(name), 10).unwrap_err().to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
    }
}
