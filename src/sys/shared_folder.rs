//! A folder of small files that several programs change under one `flock(2)`.

#![allow(
    clippy::disallowed_methods,
    reason = "the folder has checked its path, and each file is opened by its own flags"
)]

use super::trusted::{Folder, Untrusted};
use super::{flock, listing};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Instant;

/// The file that is locked; it has no content.
const LOCK: &str = "lock";
/// A file of the folder is a few dozen bytes; anything longer is not ours.
const LIMIT: usize = 4096;
/// Its mode, and that of what is missing above it: as the other programs make them.
const FOLDER: u32 = 0o755;
/// A symbolic link is never followed, and opening a FIFO does not wait for somebody else.
const AS_IT_IS: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK);

/// The folder while it is locked. Whoever may change a part of its path cannot put another one into its place: all that
/// is done in it goes by its descriptor.
#[derive(Debug)]
pub struct LockedFolder {
    pinned: Folder,
    _lock: File,
}

impl LockedFolder {
    /// Locks `folder`, made (0755) where it is missing; waits in turn until `deadline`.
    ///
    /// # Errors
    /// The folder cannot be made or locked, or somebody else could exchange it; `TimedOut` when the deadline passes.
    pub fn acquire(folder: &Path, deadline: Instant) -> io::Result<Self> {
        let found = match find(folder)? {
            Some(found) => found,
            None => {
                let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
                missing.into_iter().rev().try_for_each(|folder| Folder::make(folder, FOLDER).map(drop))?;
                Folder::open_itself(folder)?
            }
        };
        LockedFolder::lock(found, deadline)
    }

    /// As [`LockedFolder::acquire`]; `None` where there is no such folder.
    ///
    /// # Errors
    /// As [`LockedFolder::acquire`].
    pub fn acquire_existing(folder: &Path, deadline: Instant) -> io::Result<Option<Self>> {
        find(folder)?.map(|folder| LockedFolder::lock(folder, deadline)).transpose()
    }

    fn lock(pinned: Folder, deadline: Instant) -> io::Result<Self> {
        let file = open(&pinned, LOCK, OFlag::O_RDWR | OFlag::O_CREAT, 0o750)?;
        flock::exclusive(&file, deadline)?;
        Ok(LockedFolder { pinned, _lock: file })
    }

    /// Makes the file `name`, unless there is one; answers whether it did.
    ///
    /// # Errors
    /// It cannot be written; then it is not there.
    pub fn create(&self, name: &str, content: &str) -> io::Result<bool> {
        let mut file = match open(&self.pinned, name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o600) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            other => other?,
        };
        if let Err(e) = file.write_all(content.as_bytes()) {
            // Best effort: the disk may be full, which is the error that matters.
            let _ = self.remove(name);
            return Err(e);
        }
        Ok(true)
    }

    /// Opens the file `name`, to read it and to write over it; makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be opened, or is no regular file.
    pub fn slot(&self, name: &str) -> io::Result<Slot> {
        Slot::of(open(&self.pinned, name, OFlag::O_RDWR | OFlag::O_CREAT, 0o600)?)
    }

    /// What is in the file `name`; `None` where it is missing, and for what none of the programs writes: a
    /// symbolic link, no regular file, a long or no text.
    ///
    /// # Errors
    /// It is there and cannot be read now.
    pub fn read(&self, name: &str) -> io::Result<Option<String>> {
        let file = match open(&self.pinned, name, OFlag::O_RDONLY, 0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            // ENXIO is a socket.
            Err(e) if [Errno::ELOOP, Errno::ENXIO].iter().any(|no| e.raw_os_error() == Some(*no as i32)) => {
                return Ok(None);
            }
            other => other?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        read_ours(&file, metadata.len())
    }

    /// As [`LockedFolder::slot`]; `None` where there is no such file.
    ///
    /// # Errors
    /// As [`LockedFolder::slot`].
    pub fn existing_slot(&self, name: &str) -> io::Result<Option<Slot>> {
        match open(&self.pinned, name, OFlag::O_RDWR, 0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Slot::of(file?).map(Some),
        }
    }

    /// What changes with each file that is made, renamed or removed here.
    ///
    /// # Errors
    /// The folder cannot be looked at.
    pub fn state(&self) -> io::Result<State> {
        let stat = fstat(self.pinned.descriptor())?;
        Ok(State { inode: stat.st_ino, seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec })
    }

    /// Removes the file `name`; one that is gone is removed.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.pinned.remove(OsStr::new(name))
    }

    /// Gives the file `name` another name, in place of a file that has it.
    ///
    /// # Errors
    /// It cannot be renamed, and has its name.
    pub fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        self.pinned.move_to(OsStr::new(name), &self.pinned, OsStr::new(new))
    }

    /// Writes `text` behind what is in the file `name`; makes it where it is missing.
    ///
    /// # Errors
    /// `FileTooLarge`: it is longer than `limit`. It cannot be written, or another program made it.
    pub fn append(&self, name: &str, text: &str, limit: usize) -> io::Result<()> {
        self.pinned.append(OsStr::new(name), "", text, (0o600, limit))
    }

    /// Hands the name of each of its files to `take`, in no order. What is no text is passed over.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn each_name(&self, mut take: impl FnMut(&str)) -> io::Result<()> {
        listing::each_name(self.pinned.descriptor(), |name| {
            name.to_str().into_iter().for_each(&mut take);
            Ok(())
        })
    }
}

/// A file that is kept open.
#[derive(Debug)]
pub struct Slot {
    file: File,
    length: u64,
}

/// Which folder it is, and when it was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl State {
    /// That of the folder with these data.
    pub fn of(folder: &fs::Metadata) -> Self {
        State { inode: folder.ino(), seconds: folder.mtime(), nanoseconds: folder.mtime_nsec() }
    }

    /// As a file has it.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        for (to, from) in bytes.chunks_exact_mut(8).zip([self.inode as i64, self.seconds, self.nanoseconds]) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        bytes
    }
}

impl Slot {
    fn of(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Slot { length: metadata.len(), file })
    }

    /// Its bytes.
    ///
    /// # Errors
    /// It cannot be read, or is longer than `limit`.
    pub fn read_bytes(&self, limit: usize) -> io::Result<Vec<u8>> {
        super::files::read_regular(&self.file, usize::try_from(self.length).unwrap_or(usize::MAX), limit)
    }

    /// What is in it; `None` for what none of the programs writes.
    ///
    /// # Errors
    /// It cannot be read now.
    pub fn read(&self) -> io::Result<Option<String>> {
        if self.length == 0 { Ok(None) } else { read_ours(&self.file, self.length) }
    }

    /// Writes over it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self, content: &[u8]) -> io::Result<()> {
        let length = content.len() as u64;
        // It is never emptied: ext4 writes a file that was emptied to the disk when it is closed (`auto_da_alloc`).
        if self.length > length {
            self.file.set_len(length)?;
        }
        self.length = length;
        self.file.write_all_at(content, 0)
    }
}

/// The text of `file`, which is `length` bytes long; `None` for a long or no text.
fn read_ours(file: &File, length: u64) -> io::Result<Option<String>> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    match super::files::read_regular_text(file, length, LIMIT) {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge) => Ok(None),
        other => other.map(Some),
    }
}

/// Opens the file `name` of `folder`. What is there is taken as it is: see [`AS_IT_IS`].
fn open(folder: &Folder, name: &str, access: OFlag, mode: u32) -> io::Result<File> {
    let flags = access | AS_IT_IS | OFlag::O_CLOEXEC;
    Ok(openat(folder.descriptor(), name, flags, Mode::from_bits_truncate(mode))?.into())
}

/// The folder at `path`, without locking it; `None` where there is none.
///
/// # Errors
/// Somebody else than root could exchange it or what is in it, it is a symbolic link, or it cannot be looked at.
pub fn find(path: &Path) -> io::Result<Option<Folder>> {
    match Folder::open_itself(path) {
        // A link is not followed, wherever it leads.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(is_no_link(path).err().unwrap_or(e)),
        folder => folder.map(Some),
    }
}

/// A link to another folder would share the files of that one. Root in a container can make it where its volume lies
/// on the node, and is root there.
fn is_no_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(Untrusted::error(path, "it is a symbolic link")),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn names(folder: &LockedFolder) -> Vec<String> {
        let mut names = Vec::new();
        folder.each_name(|name| names.push(name.to_owned())).unwrap();
        names.sort();
        names
    }

    #[test]
    fn links_are_not_followed() {
        // N2
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("pool"), folder.path().join("target"));
        fs::write(&target, "root's").unwrap();
        fs::create_dir(&path).unwrap();
        for name in ["last", "10.0.0.1"] {
            std::os::unix::fs::symlink(&target, path.join(name)).unwrap();
        }
        let locked = LockedFolder::acquire(&path, Instant::now()).unwrap();
        assert!(locked.slot("last").is_err());
        assert!(!locked.create("10.0.0.1", "x").unwrap(), "whatever it is, it is there");
        assert_eq!(locked.read("10.0.0.1").unwrap(), None);
        drop(locked);
        fs::remove_file(path.join(LOCK)).unwrap();
        std::os::unix::fs::symlink(folder.path().join("made"), path.join(LOCK)).unwrap();
        assert!(LockedFolder::acquire(&path, Instant::now()).is_err());
        assert!(!folder.path().join("made").exists());
        assert_eq!(fs::read_to_string(target).unwrap(), "root's");
    }

    #[test]
    fn a_pool_is_a_folder_and_no_link_to_one() {
        // N7
        let folder = tempfile::tempdir().unwrap();
        let (real, link, above) = (folder.path().join("real"), folder.path().join("link"), folder.path().join("above"));
        fs::create_dir(&real).unwrap();
        for at in [&link, &above] {
            std::os::unix::fs::symlink(&real, at).unwrap();
        }
        assert!(Untrusted::is(&find(&link).unwrap_err()));
        assert!(Untrusted::is(&LockedFolder::acquire(&link, Instant::now()).unwrap_err()));
        assert!(Untrusted::is(&LockedFolder::acquire_existing(&link, Instant::now()).unwrap_err()));
        assert!(LockedFolder::acquire(&above.join("pool"), Instant::now()).is_ok());
        assert!(real.join("pool").join(LOCK).exists() && !real.join(LOCK).exists());
        // What leads nowhere is not made.
        let nowhere = folder.path().join("nowhere");
        std::os::unix::fs::symlink(folder.path().join("made"), &nowhere).unwrap();
        assert!(LockedFolder::acquire(&nowhere, Instant::now()).is_err() && !folder.path().join("made").exists());
    }

    #[test]
    fn a_pool_that_is_exchanged_while_it_is_locked_is_not_left() {
        // N2: root in a container exchanges directories of its own as often as it likes.
        let folder = tempfile::tempdir().unwrap();
        let (pool, away, victim) =
            (folder.path().join("pool"), folder.path().join("away"), folder.path().join("victim"));
        fs::create_dir_all(&pool).unwrap();
        fs::create_dir(&victim).unwrap();
        let locked = LockedFolder::acquire(&pool, Instant::now()).unwrap();
        fs::rename(&pool, &away).unwrap();
        std::os::unix::fs::symlink(&victim, &pool).unwrap();
        assert!(locked.create("10.0.0.1", "x").unwrap());
        locked.slot("last").unwrap().write(b"10.0.0.1").unwrap();
        assert_eq!(locked.read("10.0.0.1").unwrap().as_deref(), Some("x"));
        assert_eq!(names(&locked), ["10.0.0.1", "last", "lock"]);
        locked.remove("last").unwrap();
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
        assert!(away.join("10.0.0.1").exists() && !away.join("last").exists());
    }

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let soon = || Instant::now() + Duration::from_millis(50);
        let first = LockedFolder::acquire(&path, soon()).unwrap();
        assert_eq!(LockedFolder::acquire(&path, soon()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(first.create("10.0.0.1", "x").unwrap());
        assert!(!first.create("10.0.0.1", "y").unwrap());
        for text in ["333", "1", "22"] {
            let mut slot = first.slot("last").unwrap();
            slot.write(text.as_bytes()).unwrap();
            assert_eq!(first.slot("last").unwrap().read().unwrap().as_deref(), Some(text));
        }
        assert_eq!(first.read("nothing").unwrap(), None);
        first.remove("10.0.0.1").unwrap();
        first.remove("10.0.0.1").unwrap();
        assert_eq!(names(&first), ["last", "lock"]);

        let later = std::thread::spawn({
            let path = path.clone();
            move || LockedFolder::acquire(&path, Instant::now() + Duration::from_secs(5)).map(drop)
        });
        std::thread::sleep(Duration::from_millis(20));
        drop(first);
        later.join().unwrap().unwrap();
    }
}
