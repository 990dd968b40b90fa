//! `flock(2)`, which `host-local` takes too. `fcntl` locks do not see it.

use std::fs::{File, TryLockError};
use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

/// Locks `file` if nobody else has; answers whether it did.
///
/// # Errors
/// The file system has no locks, or the kernel has no memory for one.
pub fn try_exclusive(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Locks `file`; waits until `deadline` in the kernel's queue, so that others who wait there do not always come first.
///
/// # Errors
/// `TimedOut` when somebody else holds it until then; or as [`try_exclusive`].
pub fn exclusive(file: &File, deadline: Instant) -> io::Result<()> {
    if try_exclusive(file)? {
        return Ok(());
    }
    // `flock` knows no deadline, hence the thread: one that gets the lock too late lets it go at once.
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
