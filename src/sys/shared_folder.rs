//! A folder of small files that several programs change under one `flock(2)`.
//!
//! Not `fcntl` locks: the other programs take `flock`, and the two do not see each other.

use nix::fcntl::OFlag;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

/// The file that is locked; it has no content.
const LOCK: &str = "lock";
/// A file of the folder is a few dozen bytes; anything longer is not ours.
const LIMIT: usize = 4096;

/// The folder while it is locked.
#[derive(Debug)]
pub struct LockedFolder {
    folder: PathBuf,
    _lock: File,
}

impl LockedFolder {
    /// Locks `folder`, made (0755) where it is missing; waits in turn until `deadline`.
    ///
    /// # Errors
    /// The folder cannot be made or locked; `TimedOut` when the deadline passes.
    pub fn acquire(folder: &Path, deadline: Instant) -> io::Result<Self> {
        let open = || {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o750).open(folder.join(LOCK))
        };
        let file = match open() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
                open()?
            }
            other => other?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => wait(&file, deadline)?,
            Err(TryLockError::Error(e)) => return Err(e),
        }
        Ok(LockedFolder { folder: folder.to_owned(), _lock: file })
    }

    /// Makes the file `name`, unless there is one; answers whether it did.
    ///
    /// # Errors
    /// It cannot be written; then it is not there.
    pub fn create(&self, name: &str, content: &str) -> io::Result<bool> {
        let path = self.folder.join(name);
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            other => other?,
        };
        if let Err(e) = file.write_all(content.as_bytes()) {
            // Best effort: the disk may be full, which is the error that matters.
            let _ = fs::remove_file(&path);
            return Err(e);
        }
        Ok(true)
    }

    /// Writes over the file `name`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn overwrite(&self, name: &str, content: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        // Else opening a FIFO would wait for a reader.
        let flags = OFlag::O_NONBLOCK.bits();
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(flags).open(path)?;
        file.write_all(content.as_bytes())
    }

    /// What is in the file `name`; `None` where it is missing or cannot be read as a short text.
    pub fn read(&self, name: &str) -> Option<String> {
        super::files::read_bounded(&self.folder.join(name), LIMIT).ok().flatten()
    }

    /// Removes the file `name`; one that is gone is removed.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        super::files::remove(&self.folder.join(name))
    }

    /// The names of its files.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }
}

/// Waits in the kernel's queue, so that others who wait there do not always come first. `flock` knows no
/// deadline, hence the thread: one that gets the lock too late lets it go at once.
fn wait(file: &File, deadline: Instant) -> io::Result<()> {
    let (sender, receiver) = channel();
    let waiting = file.try_clone()?;
    std::thread::Builder::new().name("flock".to_owned()).spawn(move || {
        let locked = waiting.lock();
        if sender.send(locked).is_err() {
            let _ = waiting.unlock();
        }
    })?;
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(locked) => locked,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "its lock is held by another program"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let soon = || Instant::now() + Duration::from_millis(50);
        let first = LockedFolder::acquire(&path, soon()).unwrap();
        assert_eq!(LockedFolder::acquire(&path, soon()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(first.create("10.0.0.1", "x").unwrap());
        assert!(!first.create("10.0.0.1", "y").unwrap());
        first.overwrite("last", "1").unwrap();
        first.overwrite("last", "22").unwrap();
        assert_eq!((first.read("last").as_deref(), first.read("nothing")), (Some("22"), None));
        first.remove("10.0.0.1").unwrap();
        first.remove("10.0.0.1").unwrap();
        let mut names = first.names().unwrap();
        names.sort();
        assert_eq!(names, ["last", "lock"]);

        let later = std::thread::spawn({
            let path = path.clone();
            move || LockedFolder::acquire(&path, Instant::now() + Duration::from_secs(5)).map(drop)
        });
        std::thread::sleep(Duration::from_millis(20));
        drop(first);
        later.join().unwrap().unwrap();
    }
}
