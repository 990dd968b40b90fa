//! A sandbox whose lock we hold: its ADD, DEL and CHECK never overlap.

use super::Turn;
use crate::cni::{CniError, Code, ContainerId};
use crate::delegate::external::Owner;
use crate::sys::lock::{self, FileLock};
use std::io;
use std::time::{Duration, Instant};

/// What the lock's file says once everything in the sandbox is deleted.
const DELETED: &str = "deleted";

/// A locked sandbox.
#[derive(Debug)]
pub struct Sandbox {
    lock: Option<FileLock>,
    deleted: bool,
}

impl Sandbox {
    /// Takes the lock of `id`, waiting until `deadline` for a call that works there.
    ///
    /// What a killed call left running there is killed first: the runtime has given that call up,
    /// and an orphan that goes on would attach what is being deleted. A lock that cannot be made
    /// (no space, read-only) is done without: it must not stop pods.
    ///
    /// # Errors
    /// Code 11: another call still works in the sandbox.
    pub fn lock(turn: &Turn, id: &ContainerId, deadline: Instant) -> Result<Self, CniError> {
        let path = turn.settings.run.lock(id);
        loop {
            match FileLock::try_acquire(&path) {
                Ok(Some(lock)) => {
                    let note = FileLock::read_note(&path);
                    let deleted = note == DELETED;
                    if !note.is_empty() && !deleted {
                        // It names a process group that ended; its number may be somebody else's next.
                        let _ = lock.note("");
                    }
                    return Ok(Sandbox { lock: Some(lock), deleted });
                }
                Ok(None) => {}
                Err(e) => {
                    turn.warn(format!("the sandbox cannot be locked: {}: {e}", path.display()));
                    return Ok(Sandbox { lock: None, deleted: false });
                }
            }
            end_orphans(turn, &FileLock::read_note(&path));
            if Instant::now() >= deadline {
                return Err(CniError::new(Code::TryAgain, format!("another call still works in sandbox {id}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes the lock of `id` if nobody works there.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn try_lock(turn: &Turn, id: &ContainerId) -> io::Result<Option<Self>> {
        let lock = FileLock::try_acquire(&turn.settings.run.lock(id))?;
        Ok(lock.map(|lock| Sandbox { lock: Some(lock), deleted: false }))
    }

    /// The lock, for the programs we start.
    pub fn inherited(&self) -> Option<&FileLock> {
        self.lock.as_ref()
    }

    /// Whether a DEL has deleted everything here already.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Forgets that an earlier sandbox of this ID was deleted.
    pub fn begin(&self) {
        if let (Some(lock), true) = (&self.lock, self.deleted) {
            // The note only spares work later.
            let _ = lock.note("");
        }
    }

    /// Notes that nothing is left here: kubelet sends DEL twice more, a minute later.
    pub fn mark_deleted(self) {
        if let Some(lock) = self.lock {
            let _ = lock.note(DELETED);
        }
    }
}

/// Kills the group a dead call left behind, as its note tells.
fn end_orphans(turn: &Turn, note: &str) {
    let Some(owner) = Owner::parse(note).filter(|owner| !owner.is_alive()) else { return };
    match lock::kill_group(owner.group) {
        Ok(()) => turn.warn(format!("killed process group {}, left by a call that was killed", owner.group)),
        Err(e) => turn.warn(format!("process group {} of a killed call cannot be killed: {e}", owner.group)),
    }
}
