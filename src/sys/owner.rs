//! Who works under a lock: the note in the lock's file names the process, and the process group it started.

#![allow(clippy::disallowed_methods, reason = "files of /proc are short and end")]

use super::process::{self, start_time};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process group can start processes while it is being killed; it is listed again so often.
const ROUNDS: u32 = 5;

/// A process that holds a lock, and the program that it started and waits for.
#[derive(Debug, PartialEq, Eq)]
pub struct Owner {
    pid: i32,
    started: u64,
    /// The process group of the running program.
    pub group: i32,
    /// When the group's leader started; a release before this one did not note it.
    leader: Option<u64>,
}

impl Owner {
    /// This process, which started `group`.
    pub fn here(group: i32) -> Self {
        let pid = nix::unistd::getpid().as_raw();
        Owner { pid, started: start_time(pid).unwrap_or(0), group, leader: start_time(group) }
    }

    /// Reads a note; `None` where it is none.
    pub fn parse(note: &str) -> Option<Self> {
        let mut numbers = note.split_ascii_whitespace();
        let owner = Owner {
            pid: numbers.next()?.parse().ok()?,
            started: numbers.next()?.parse().ok()?,
            group: numbers.next()?.parse().ok()?,
            leader: numbers.next().and_then(|number| number.parse().ok()),
        };
        // Groups 0 and 1 are ourselves and init: never to be killed.
        (owner.group > 1).then_some(owner)
    }

    /// Whether the process that wrote the note still runs.
    pub fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Kills the process group with SIGKILL, and answers how many processes that were.
    ///
    /// Numbers of processes are used again, so a number alone is no reason to kill. The group must hold `lock`, and
    /// its leader, while it lives, must be the one of the note.
    ///
    /// # Errors
    /// A process of the group may not be killed.
    pub fn end_group(&self, lock: &Path) -> io::Result<usize> {
        if let (Some(noted), Some(now)) = (self.leader, start_time(self.group))
            && noted != now
        {
            return Ok(0);
        }
        let mut ended = BTreeSet::new();
        for _ in 0..ROUNDS {
            let members: Vec<_> = process::all()
                .into_iter()
                .filter(|process| process.group == self.group && !ended.contains(&process.pid))
                .collect();
            let proven = !ended.is_empty() || members.iter().any(|process| holds(process.pid, lock));
            if members.is_empty() || !proven {
                break;
            }
            for member in members {
                process::kill(&member)?;
                ended.insert(member.pid);
            }
        }
        Ok(ended.len())
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.pid, self.started, self.group)?;
        self.leader.map_or(Ok(()), |leader| write!(f, " {leader}"))
    }
}

/// The processes that hold the lock on the file at `lock`.
pub fn holders(lock: &Path) -> Vec<i32> {
    process::all().into_iter().map(|process| process.pid).filter(|pid| holds(*pid, lock)).collect()
}

/// Whether the process has a descriptor through which `lock` is held. One that only tries to get the lock has none.
fn holds(pid: i32, lock: &Path) -> bool {
    let Ok(wanted) = std::fs::metadata(lock) else { return false };
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors.into_iter().any(|descriptor| {
        let same = std::fs::metadata(descriptor.path())
            .is_ok_and(|file| (file.dev(), file.ino()) == (wanted.dev(), wanted.ino()));
        same && std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", descriptor.file_name().to_string_lossy()))
            .is_ok_and(|info| info.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::lock::FileLock;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    /// A program in a process group of its own; its standard input is `lock`, if any.
    fn group(lock: Option<&FileLock>) -> Child {
        let mut command = Command::new("sleep");
        command.arg("60").process_group(0);
        if let Some(lock) = lock {
            command.stdin(lock.descriptor().try_clone_to_owned().unwrap());
        }
        command.spawn().unwrap()
    }

    fn number(child: &Child) -> i32 {
        i32::try_from(child.id()).unwrap()
    }

    #[test]
    fn an_owner_is_known_again() {
        let own = Owner::here(77);
        assert!(own.is_alive());
        assert_eq!(Owner::parse(&own.to_string()), Some(own));
        let dead = |group| Owner { pid: i32::MAX, started: 1, group, leader: Some(3) };
        assert!(!dead(77).is_alive());
        assert_eq!(Owner::parse("2147483647 1 77 3"), Some(dead(77)));
        for bad in ["", "1 2", "1 2 0", "1 2 1", "1 2 -5", "a b c", "deleted"] {
            assert_eq!(Owner::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_a_group_that_holds_the_lock_is_killed() {
        // H4: the number of a group that ended is somebody else's by now.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let lock = FileLock::try_acquire(&path).unwrap().unwrap();
        let (mut holder, mut stranger) = (group(Some(&lock)), group(None));
        let owner = |child: &Child, leader| Owner { pid: i32::MAX, started: 1, group: number(child), leader };
        assert_eq!(owner(&stranger, start_time(number(&stranger))).end_group(&path).unwrap(), 0);
        // A release before this one noted no leader.
        assert_eq!(owner(&stranger, None).end_group(&path).unwrap(), 0);
        assert_eq!(owner(&holder, Some(1)).end_group(&path).unwrap(), 0, "another leader");
        assert!(holder.try_wait().unwrap().is_none() && stranger.try_wait().unwrap().is_none());
        assert!(holders(&path).contains(&number(&holder)) && !holders(&path).contains(&number(&stranger)));
        assert_eq!(owner(&holder, start_time(number(&holder))).end_group(&path).unwrap(), 1);
        assert!(!holder.wait().unwrap().success());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
