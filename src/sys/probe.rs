//! Whether something can be written, found out by writing: modes and mount options do not tell of a full disk.

use super::trusted::temporary_name;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What a file system gives to a file at least, mostly.
pub const A_BLOCK: usize = 4096;
/// As long as a record with several networks.
pub const A_RECORD: usize = 4 * A_BLOCK;

/// Writes `length` bytes to a file without a name in the directory `path`, and forces them to the disk if `is_synced`.
/// Where the directory is missing, it is to be made: then the one above it counts. Nothing is left.
///
/// # Errors
/// Nothing can be written there, or `path` is something else than a directory.
pub fn write(path: &Path, length: usize, is_synced: bool) -> io::Result<()> {
    let folder = nearest(path)?;
    let mut file = match openat(&folder, ".", OFlag::O_TMPFILE | OFlag::O_WRONLY | OFlag::O_CLOEXEC, owners()) {
        Ok(file) => File::from(file),
        // The file system has no files without a name.
        Err(Errno::EOPNOTSUPP | Errno::EISDIR) => named(folder.as_fd())?,
        Err(e) => return Err(e.into()),
    };
    file.write_all(&vec![0; length])?;
    if is_synced { file.sync_all() } else { Ok(()) }
}

fn owners() -> Mode {
    Mode::S_IRUSR | Mode::S_IWUSR
}

/// The directory `path`, or the nearest one above it that exists.
fn nearest(path: &Path) -> io::Result<OwnedFd> {
    for folder in path.ancestors() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        match fs::symlink_metadata(folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
            Ok(found) => return open(folder).map_err(|e| in_words(e, found.is_symlink())),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn open(folder: &Path) -> io::Result<OwnedFd> {
    Ok(openat(AT_FDCWD, folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

fn in_words(error: io::Error, is_link: bool) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound if is_link => {
            io::Error::new(io::ErrorKind::NotFound, "it is a symbolic link to nothing that exists")
        }
        io::ErrorKind::NotADirectory => io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory"),
        _ => error,
    }
}

/// A file that loses its name at once.
fn named(folder: BorrowedFd<'_>) -> io::Result<File> {
    let name = temporary_name(OsStr::new("probe"));
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(folder, name.as_str(), flags, owners())?;
    unlinkat(folder, name.as_str(), UnlinkatFlags::NoRemoveDir)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_and_what_is_no_directory_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for _ in 0..2 {
            write(&path("missing/pool"), A_RECORD, true).unwrap();
            write(folder.path(), A_BLOCK, false).unwrap();
        }
        drop(named(open(folder.path()).unwrap().as_fd()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink(path("gone"), path("link")).unwrap();
        for (name, why) in [("file", "not a directory"), ("file/pool", "ot a directory"), ("link", "symbolic link")] {
            let told = write(&path(name), 1, false).unwrap_err().to_string();
            assert!(told.contains(why), "{name}: {told}");
        }
        assert!(!path("gone").exists());
    }
}
