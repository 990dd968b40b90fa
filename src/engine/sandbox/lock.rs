//! A sandbox whose lock we hold: its ADD, DEL and CHECK never overlap.

use crate::cni::{CniError, Code, ContainerId, IfName};
use crate::engine::Turn;
use crate::sys::files::{self, Durability};
use crate::sys::lock::FileLock;
use crate::sys::owner::{self, Owner};
use crate::sys::{process, trusted};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the lock's file contains once everything in the sandbox is deleted.
const DELETED: &str = "deleted";
/// What the lock's file contains, before the interface, after an ADD that left nothing behind.
const NOTHING: &str = "nothing made for ";
/// After so many DELs that got nowhere the pod goes all the same.
pub const MAX_ATTEMPTS: u32 = 3;
/// A DEL waits so long for the lock, so that time is left to delete.
const DEL_WAITS: Duration = Duration::from_secs(60);

/// Whether the last call in the sandbox `id` was a DEL that deleted everything, by the note that it left.
pub fn is_deleted(turn: &Turn, id: &ContainerId) -> bool {
    FileLock::read_note(&turn.settings.run.lock(id)) == DELETED
}

/// Why a DEL got nowhere, though no call works in the sandbox.
fn orphaned(id: &ContainerId, pids: &[String], attempt: u32) -> String {
    format!(
        "sandbox {id}: process {}, which a killed plugin left, may still work there; it is not waited for after {MAX_ATTEMPTS} attempts, this was number {attempt}",
        pids.join(", ")
    )
}

/// A locked sandbox.
#[derive(Debug)]
pub struct Sandbox {
    lock: Option<FileLock>,
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
        let mut ended = None;
        loop {
            match FileLock::try_acquire(&path) {
                Ok(Some(lock)) => return Ok(Sandbox { lock: Some(lock) }),
                Ok(None) => {}
                Err(e) => {
                    turn.warn(format!("the sandbox cannot be locked: {}: {e}", path.display()));
                    return Ok(Sandbox { lock: None });
                }
            }
            end_orphans(turn, &path, &mut ended);
            if Instant::now() >= deadline {
                return Err(CniError::new(Code::TryAgain, format!("another call still works in sandbox {id}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As [`Sandbox::lock`], for DEL. A process that no call owns may hold the lock for ever: a daemon that left
    /// its group, and whose call was killed. After [`MAX_ATTEMPTS`] DELs the lock is replaced by a new one.
    ///
    /// # Errors
    /// Code 11: another call still works in the sandbox.
    pub fn lock_to_delete(turn: &Turn, id: &ContainerId, deadline: Instant) -> Result<Self, CniError> {
        let waits = turn.until(DEL_WAITS).min(deadline);
        let path = turn.settings.run.lock(id);
        match Sandbox::lock(turn, id, waits) {
            Err(e) if is_owned(&path) => Err(e),
            Err(e) => {
                let attempt = count_attempt(turn, id);
                let pids: Vec<String> = owner::holders(&path).iter().map(ToString::to_string).collect();
                if attempt < MAX_ATTEMPTS {
                    return Err(match pids.is_empty() {
                        true => e,
                        false => CniError::new(Code::TryAgain, orphaned(id, &pids, attempt)),
                    });
                }
                turn.warn(format!(
                    "the lock {} is held by no call, but by process {}; a new lock replaces it",
                    path.display(),
                    pids.join(", ")
                ));
                trusted::remove(&path).map_err(|e| CniError::new(Code::Io, files::told(&path, e)))?;
                Sandbox::lock(turn, id, waits)
            }
            locked => locked,
        }
    }

    /// Takes the lock of `id` if nobody works there.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn try_lock(turn: &Turn, id: &ContainerId) -> io::Result<Option<Self>> {
        let lock = FileLock::try_acquire(&turn.settings.run.lock(id))?;
        Ok(lock.map(|lock| Sandbox { lock: Some(lock) }))
    }

    /// The lock, for the programs we start.
    pub fn inherited(&self) -> Option<&FileLock> {
        self.lock.as_ref()
    }

    /// Whether a DEL has deleted everything here already.
    pub fn is_deleted(&self) -> bool {
        self.left() == DELETED
    }

    /// Whether everything was deleted here, or the last ADD of `ifname` left nothing behind.
    pub fn is_empty(&self, ifname: &IfName) -> bool {
        self.is_deleted() || self.left().strip_prefix(NOTHING) == Some(ifname.as_str())
    }

    fn left(&self) -> &str {
        self.lock.as_ref().map_or("", FileLock::left)
    }

    /// Forgets what an earlier call left in the lock's file: something is made here now.
    pub fn begin(&self) {
        if !self.left().is_empty() {
            self.leave("");
        }
    }

    /// Notes that nothing is left here: kubelet sends DEL twice more, a minute later.
    pub fn mark_deleted(&self) {
        self.leave(DELETED);
    }

    /// Notes that the ADD of `ifname` left nothing behind, for the DEL that the runtime sends all the same.
    pub fn mark_nothing_made(&self, ifname: &IfName) {
        self.leave(&format!("{NOTHING}{ifname}"));
    }

    fn leave(&self, text: &str) {
        if let Some(lock) = &self.lock {
            // The note only spares work later.
            let _ = lock.leave(text);
        }
    }
}

/// Kills the group that a dead call left behind, as its note tells: once for each note.
fn end_orphans(turn: &Turn, lock: &Path, ended: &mut Option<Owner>) {
    let note = Owner::parse(&FileLock::read_note(lock));
    let Some(owner) = note.filter(|owner| ended.as_ref() != Some(owner) && !owner.is_alive()) else { return };
    match owner.end_group(lock) {
        Ok(0) => {}
        Ok(_) => turn.warn(format!("killed process group {}, left by a call that was killed", owner.group)),
        Err(e) => turn.warn(format!("process group {} of a killed call cannot be killed: {e}", owner.group)),
    }
    *ended = Some(owner);
}

/// Whether a call of ours holds the lock: this program, or the one of the note.
fn is_owned(lock: &Path) -> bool {
    let own = process::program(process::own());
    let noted = Owner::parse(&FileLock::read_note(lock)).is_some_and(|owner| owner.is_alive());
    noted || owner::holders(lock).into_iter().any(|pid| own.is_some() && process::program(pid) == own)
}

/// How many DELs of `id` got nowhere, of those that [`count_attempt`] counted.
pub fn counted_attempts(turn: &Turn, id: &ContainerId) -> u32 {
    let text = trusted::read_bounded(&attempts(turn, id), 16).ok().flatten();
    text.and_then(|text| text.parse::<u32>().ok()).unwrap_or(0)
}

/// Counts a DEL of `id` that got nowhere; answers how many there were.
pub fn count_attempt(turn: &Turn, id: &ContainerId) -> u32 {
    let path = attempts(turn, id);
    let count = counted_attempts(turn, id).saturating_add(1);
    if let Err(e) = trusted::replace(&path, count.to_string().as_bytes(), 0o600, Durability::Cached) {
        turn.warn(files::told(&path, e));
    }
    count
}

/// Forgets what [`count_attempt`] counted.
pub fn forget_attempts(turn: &Turn, id: &ContainerId) {
    // A number that stays makes a later DEL of this container less patient, no more.
    let _ = trusted::remove(&attempts(turn, id));
}

fn attempts(turn: &Turn, id: &ContainerId) -> PathBuf {
    turn.settings.run.locks().join(format!("{id}.attempts"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cni::{CniArgs, Invocation, Verb};
    use crate::engine::settings::Settings;
    use std::process::Command;

    fn turn(run: &Path) -> Turn {
        let text = format!(r#"{{"name":"x","cniVersion":"1.0.0","runDirectory":"{}"}}"#, run.display());
        let invocation = Invocation { verb: Verb::Del, target: None, args: CniArgs::default(), path: Vec::new() };
        Turn::new(invocation, Settings::parse(&text).unwrap())
    }

    #[test]
    fn a_lock_that_no_call_owns_is_replaced_after_the_third_del() {
        // D4: a daemon that left its group holds it, and the call that started it was killed.
        let folder = tempfile::tempdir().unwrap();
        let (turn, id) = (turn(folder.path()), ContainerId::new("c1").unwrap());
        let lock = FileLock::try_acquire(&turn.settings.run.lock(&id)).unwrap().unwrap();
        let inherited = lock.descriptor().try_clone_to_owned().unwrap();
        let mut daemon = Command::new("sleep").arg("60").stdin(inherited).spawn().unwrap();
        let del = || Sandbox::lock_to_delete(&turn, &id, Instant::now());
        for _ in 0..MAX_ATTEMPTS + 2 {
            // A call of ours holds it, too: that is waited for, however often.
            assert_eq!(del().unwrap_err().code, Code::TryAgain.number());
        }
        forget_attempts(&turn, &id);
        lock.keep_for_children();
        drop(lock);
        for _ in 1..MAX_ATTEMPTS {
            del().unwrap_err();
        }
        let sandbox = del().unwrap();
        assert!(sandbox.inherited().is_some());
        assert!(Sandbox::try_lock(&turn, &id).unwrap().is_none());
        assert!(daemon.try_wait().unwrap().is_none(), "it is not ours to kill");
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }
}
