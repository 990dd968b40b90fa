//! File locks that a started program can inherit.

use nix::errno::Errno;
use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// An exclusive `flock(2)` on a file that exists only to be locked.
///
/// The lock belongs to the open file, not to the process: a program that inherits the descriptor
/// holds it too, also after we were killed. That is how DEL waits for an orphan of a killed ADD.
///
/// Whoever lets it go in order lets it go for the heirs too: a daemon that a plugin started on purpose
/// holds up nobody.
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
    /// The heirs keep it: one of them may still do what it should not.
    bequeathed: AtomicBool,
}

/// How long to sleep between two tries. A call that waits is rare, and waits for work of milliseconds.
const PAUSE: Duration = Duration::from_millis(5);

impl FileLock {
    /// Waits until `deadline` for the lock at `path`; makes file and folder where they are missing.
    ///
    /// # Errors
    /// `TimedOut` when somebody else holds it until the deadline.
    pub fn acquire(path: &Path, deadline: Instant) -> io::Result<Self> {
        loop {
            if let Some(lock) = FileLock::try_acquire(path)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{} is held by another call", path.display()),
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Takes the lock at `path` if nobody holds it.
    ///
    /// # Errors
    /// The file cannot be made or locked.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = super::trusted::lock_file(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) => return Err(e),
            }
            // Whoever held it before may have removed the file: then this is a lock on nothing.
            let same = fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino()));
            if same {
                return Ok(Some(FileLock { file, path: path.to_owned(), bequeathed: AtomicBool::new(false) }));
            }
        }
    }

    /// The descriptor to inherit.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Leaves the lock to the programs that inherited it: one was killed, and what it started may go on.
    pub fn bequeath(&self) {
        self.bequeathed.store(true, Ordering::Relaxed);
    }

    /// Leaves a note in the file, for whoever finds the lock held.
    ///
    /// # Errors
    /// It cannot be written; the lock holds all the same.
    pub fn note(&self, text: &str) -> io::Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text.as_bytes())
    }

    /// The note that was left at `path`, also while it is locked; empty where there is none.
    pub fn read_note(path: &Path) -> String {
        // A note is a hint: one that cannot be read is none.
        super::trusted::read_bounded(path, 256).ok().flatten().unwrap_or_default()
    }

    /// Removes the file while the lock is held, then lets it go.
    pub fn remove(self) {
        // A file that stays is locked again by the next call; nothing depends on its absence.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if !self.bequeathed.load(Ordering::Relaxed) {
            // flock(2): for every descriptor of this open file. What cannot be unlocked goes with the last of them.
            let _ = self.file.unlock();
        }
    }
}

/// Kills the process group `group` with SIGKILL; a group that is gone is killed.
///
/// # Errors
/// It is there and may not be killed.
pub fn kill_group(group: i32) -> io::Result<()> {
    match nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(e.into()),
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
        lock.note("7").unwrap();
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        assert_eq!(FileLock::read_note(&path), "7");
        let late = FileLock::acquire(&path, Instant::now() + Duration::from_millis(20)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        lock.remove();
        assert!(!path.exists());
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn heirs_keep_only_what_was_left_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let _heir = lock.file.try_clone().unwrap();
        drop(lock);
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let heir = lock.file.try_clone().unwrap();
        lock.bequeath();
        drop(lock);
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        drop(heir);
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }
}
