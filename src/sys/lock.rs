//! File locks that a started program can inherit.

use super::flock;
use super::owner::Owner;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// An exclusive `flock(2)` on a file that exists only to be locked.
///
/// The lock belongs to the open file, not to the process: a program that inherits the descriptor
/// holds it too, also after we were killed. That is how DEL waits for an orphan of a killed ADD.
///
/// An orderly release unlocks the file for every process that inherited it: a daemon that a plugin started on purpose
/// does not block later calls.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
    /// The processes that inherited it keep it: one of them may still do what it should not.
    kept_for_children: AtomicBool,
    /// A note names who works under the lock.
    noted: AtomicBool,
    /// What whoever held it before left in the file.
    left: String,
}

/// Whoever waits for a lock looks this often.
const PAUSE: Duration = Duration::from_millis(5);
/// A note is a few numbers or a few words.
const MAX_NOTE: usize = 256;

impl FileLock {
    /// Takes the lock at `path` if nobody holds it.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = super::trusted::lock_file(path)?;
            if !flock::try_exclusive(&file)? {
                return Ok(None);
            }
            // Whoever held it before may have removed the file: then this is a lock on nothing.
            if let (Ok(own), Ok(now)) = (file.metadata(), fs::metadata(path))
                && own.ino() == now.ino()
            {
                return Ok(Some(FileLock::held(file, path, own.len())));
            }
        }
    }

    /// Takes the lock at `path`; while somebody else holds it, waits until `deadline`. Before that, calls `waits` once.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn acquire(path: &Path, deadline: Instant, waits: impl FnOnce()) -> io::Result<Option<Self>> {
        let mut lock = FileLock::try_acquire(path)?;
        if lock.is_none() {
            waits();
        }
        while lock.is_none() && Instant::now() < deadline {
            std::thread::sleep(PAUSE);
            lock = FileLock::try_acquire(path)?;
        }
        Ok(lock)
    }

    /// The lock that `file` holds. A note that names who works there is stale: nobody does any more, and the numbers
    /// in it may be somebody else's next.
    fn held(file: File, path: &Path, length: u64) -> Self {
        let mut note = [0; MAX_NOTE];
        // A note is a hint: one that cannot be read is none.
        let read = if length == 0 { 0 } else { file.read_at(&mut note, 0).unwrap_or(0) };
        let mut left = String::from_utf8_lossy(&note[..read]).into_owned();
        if Owner::parse(&left).is_some() {
            left.clear();
            let _ = file.set_len(0);
        }
        let (kept_for_children, noted) = (AtomicBool::new(false), AtomicBool::new(false));
        FileLock { file, path: path.to_owned(), kept_for_children, noted, left }
    }

    /// What an earlier holder left in the file, see [`FileLock::leave`].
    pub fn left(&self) -> &str {
        &self.left
    }

    /// The descriptor to inherit.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Leaves the lock to the programs that inherited it: one was killed, and what it started may go on.
    pub fn keep_for_children(&self) {
        self.kept_for_children.store(true, Ordering::Relaxed);
    }

    /// Notes in the file who works under the lock, for a caller that finds it held. The note goes with the lock,
    /// unless the children keep that.
    ///
    /// # Errors
    /// It cannot be written; the lock holds all the same.
    pub fn note(&self, owner: &Owner) -> io::Result<()> {
        self.noted.store(true, Ordering::Relaxed);
        self.write(&owner.to_string())
    }

    /// Writes `text` to the file, where it stays for the next holder. A lock that children keep also keeps the note of
    /// who works there, because the next caller has to end that.
    ///
    /// # Errors
    /// It cannot be written; the lock holds all the same.
    pub fn leave(&self, text: &str) -> io::Result<()> {
        if self.kept_for_children.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.noted.store(false, Ordering::Relaxed);
        self.write(text)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(text.as_bytes(), 0)
    }

    /// The note that was left at `path`, also while it is locked; empty where there is none.
    pub fn read_note(path: &Path) -> String {
        // A note is a hint: one that cannot be read is none.
        super::trusted::read_bounded(path, MAX_NOTE).ok().flatten().unwrap_or_default()
    }

    /// Removes the file while the lock is held, then lets it go.
    pub fn remove(self) {
        // A file that stays is locked again by the next call; nothing depends on its absence.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if !self.kept_for_children.load(Ordering::Relaxed) {
            if self.noted.load(Ordering::Relaxed) {
                // What it names may be gone soon. A note that stays is cleared by the next holder.
                let _ = self.file.set_len(0);
            }
            // flock(2): for every descriptor of this open file. What cannot be unlocked goes with the last of them.
            let _ = self.file.unlock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/x.lock");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let owner = Owner::here(7);
        lock.note(&owner).unwrap();
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        assert_eq!(FileLock::read_note(&path), owner.to_string());
        lock.remove();
        assert!(!path.exists());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn whoever_waits_gets_the_lock_or_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let waits = std::cell::Cell::new(0);
        let acquire = |limit| {
            let deadline = Instant::now() + Duration::from_millis(limit);
            FileLock::acquire(&path, deadline, || waits.set(waits.get() + 1)).unwrap()
        };
        let lock = acquire(0).unwrap();
        assert_eq!(waits.get(), 0);
        assert!(acquire(20).is_none());
        assert_eq!(waits.get(), 1);
        let holder = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(lock);
        });
        assert!(acquire(60_000).is_some());
        holder.join().unwrap();
    }

    #[test]
    fn heirs_keep_only_what_was_left_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let _heir = lock.file.try_clone().unwrap();
        drop(lock);
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let inherited = lock.file.try_clone().unwrap();
        lock.keep_for_children();
        drop(lock);
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        drop(inherited);
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn a_note_of_who_works_goes_with_the_lock() {
        // H4
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        lock.note(&Owner::here(77)).unwrap();
        drop(lock);
        assert_eq!(FileLock::read_note(&path), "");
        // One that was killed leaves its note, and the next holder clears it, whoever that is.
        fs::write(&path, "2147483647 1 77").unwrap();
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        assert_eq!((lock.left(), FileLock::read_note(&path).as_str()), ("", ""));
        lock.note(&Owner::here(77)).unwrap();
        lock.leave("deleted").unwrap();
        drop(lock);
        assert_eq!(FileLock::try_acquire(&path).unwrap().unwrap().left(), "deleted");
        // Heirs are found by it.
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        lock.note(&Owner::here(77)).unwrap();
        lock.keep_for_children();
        lock.leave("deleted").unwrap();
        drop(lock);
        assert!(Owner::parse(&FileLock::read_note(&path)).is_some());
    }
}
