//! Whether a recorded sandbox still exists.
//!
//! That a namespace cannot be seen proves nothing: in a container that does not see the runtime's folder no
//! namespace of the node can be seen. "Gone" needs positive evidence: the sandbox is of another boot, or its name is
//! not in the folder of its namespace, and that folder is the real one, which another recorded sandbox of this boot
//! shows by being alive in it. A name that is there and is no namespace is no evidence: a mount namespace that was made
//! earlier shows a living namespace as a plain file.

use crate::cni::ContainerId;
use crate::store::{Record, State};
use crate::sys::boot;
use crate::sys::netns::{Error, Netns};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What clocks may differ by when a record of an older release is compared with the begin of this boot.
const CLOCK: u64 = 60;

/// How the reason begins for which nothing may be deleted.
pub const DOUBT: &str = "nothing is deleted:";

/// What is known of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its namespace is there, or cannot be judged: it counts as alive.
    Alive,
    /// It cannot exist any more.
    Gone(Evidence),
    /// It cannot be seen, and nothing shows that it would be seen if it existed.
    Unseen {
        /// The folder of its namespace.
        folder: PathBuf,
        /// Whether that folder exists here.
        exists: bool,
    },
    /// This file has its name and is no namespace: what a crash left, or what a mount namespace shows of a living
    /// sandbox that was made after it.
    Unclear(PathBuf),
}

/// What is told of a sandbox with [`Fate::Unclear`], by the file and the container.
pub fn unclear(file: &Path, id: &ContainerId) -> String {
    format!(
        "kept: {} exists but is not a network namespace, so the sandbox may be alive in another mount namespace; DEL, a reboot, or `plexusctl gc --forgive {id}` on the node ends this",
        file.display()
    )
}

/// Why a sandbox cannot exist any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It is of another boot, and no namespace survives a boot.
    OtherBoot,
    /// The folder of its namespace shows other sandboxes of this boot, and not this one.
    NotInFolder(PathBuf),
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Evidence::OtherBoot => f.write_str("its namespace is gone: it is of another boot"),
            Evidence::NotInFolder(folder) => write!(f, "its namespace is gone from {}", folder.display()),
        }
    }
}

/// What is seen of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It is there, or we cannot tell.
    There,
    /// There is no file.
    Missing,
    /// There is a file, and it is no namespace.
    Stale,
}

/// A sandbox somebody recorded: a witness while it is alive.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The path of its namespace.
    pub netns: PathBuf,
    /// When it was made, in seconds of Unix time.
    pub created: u64,
}

impl Witness {
    fn is_alive(&self) -> bool {
        // Our own namespace is what a path by process ID shows in a container of the wrong PID namespace.
        Netns::open(&self.netns).is_ok_and(|netns| !netns.is_own().unwrap_or(true))
    }
}

/// The boot, and the folders of namespaces that show sandboxes of it.
#[derive(Debug)]
pub struct Sight {
    boot_id: Option<String>,
    began: Option<u64>,
    /// Folders with a living sandbox.
    folders: BTreeSet<PathBuf>,
    doubt: Option<String>,
}

impl Sight {
    /// Looks at the namespaces of `records`; at those that the runtime recorded (`others`) only where ours do not
    /// suffice.
    pub fn of<'a>(records: impl Iterator<Item = &'a Record> + Clone, others: impl FnOnce() -> Vec<Witness>) -> Self {
        let mut sight = Sight { boot_id: boot::id(), began: boot::began(), folders: BTreeSet::new(), doubt: None };
        for record in records.clone() {
            if let Some(netns) = record.netns.as_ref().filter(|_| !is_before_boot(&sight.boot_id, record)) {
                sight.witness(&Witness { netns: netns.clone(), created: record.created });
            }
        }
        let unseen = |sight: &Sight| records.clone().any(|record| matches!(sight.fate(record), Fate::Unseen { .. }));
        if unseen(&sight) {
            others().iter().for_each(|other| sight.witness(other));
        }
        sight.doubt = sight.find_doubt(records);
        sight
    }

    /// Takes `sandbox` for a witness of its folder, if it is alive.
    fn witness(&mut self, sandbox: &Witness) {
        if let Some(folder) = folder(&sandbox.netns).filter(|_| sandbox.is_alive()) {
            self.folders.insert(folder);
        }
    }

    /// Whether a recorded sandbox is alive here: ours, or one that the runtime recorded (`others`).
    pub fn shows_a_sandbox(&self, others: impl FnOnce() -> Vec<Witness>) -> bool {
        !self.folders.is_empty() || others().iter().any(Witness::is_alive)
    }

    /// What is known of the sandbox of `record`.
    pub fn fate(&self, record: &Record) -> Fate {
        if is_before_boot(&self.boot_id, record) {
            return Fate::Gone(Evidence::OtherBoot);
        }
        let Some(netns) = &record.netns else { return Fate::Alive };
        // The clock may have been set since: what an older release wrote has to be missing, too.
        let before = record.boot_id.is_none() && self.is_before(record.created);
        self.fate_of(&Witness { netns: netns.clone(), created: record.created }, before)
    }

    /// What is known of a sandbox that the runtime recorded; it tells no boot.
    pub fn fate_of_other(&self, sandbox: &Witness) -> Fate {
        self.fate_of(sandbox, self.is_before(sandbox.created))
    }

    fn fate_of(&self, sandbox: &Witness, before_this_boot: bool) -> Fate {
        match look(&sandbox.netns) {
            Seen::There => return Fate::Alive,
            _ if before_this_boot => return Fate::Gone(Evidence::OtherBoot),
            Seen::Stale => return Fate::Unclear(sandbox.netns.clone()),
            Seen::Missing => {}
        }
        let Some(folder) = folder(&sandbox.netns) else {
            let folder = sandbox.netns.parent().unwrap_or(Path::new("/")).to_owned();
            return Fate::Unseen { folder, exists: false };
        };
        let shown = self.folders.contains(&folder);
        if shown { Fate::Gone(Evidence::NotInFolder(folder)) } else { Fate::Unseen { folder, exists: true } }
    }

    /// Why nothing may be deleted here: not one recorded sandbox of this boot can be seen. Those that are owed as a
    /// whole are not asked: it is known that they end.
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    fn find_doubt<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Option<String> {
        let attached = |record: &&Record| {
            record.netns.is_some() && record.attachments.iter().any(|attachment| attachment.state != State::Owed)
        };
        let fates: Vec<Fate> = records
            .filter(attached)
            .map(|record| self.fate(record))
            .filter(|fate| *fate != Fate::Gone(Evidence::OtherBoot))
            .collect();
        if !self.folders.is_empty() || fates.is_empty() || fates.contains(&Fate::Alive) {
            return None;
        }
        let folder = fates.iter().find_map(|fate| match fate {
            Fate::Unseen { folder, .. } => Some(folder.display().to_string()),
            Fate::Unclear(file) => file.parent().map(|folder| folder.display().to_string()),
            _ => None,
        })?;
        Some(format!(
            "{DOUBT} all {} recorded sandboxes of this boot look gone, so {folder} is probably not the directory of the runtime's namespaces here",
            fates.len()
        ))
    }

    fn is_before(&self, created: u64) -> bool {
        self.began.is_some_and(|began| created.saturating_add(CLOCK) < began)
    }
}

/// Whether `record` is of another boot, and nothing in this one can be its sandbox.
pub fn is_of_other_boot(record: &Record) -> bool {
    is_before_boot(&boot::id(), record)
}

/// Whether `record` is of another boot than `this`. What is alive under the name of its namespace is kept all the same;
/// a process ID is another process's by now.
fn is_before_boot(this: &Option<String>, record: &Record) -> bool {
    let other = record.boot_id.is_some() && this.is_some() && record.boot_id != *this;
    let is_alive = |netns: &PathBuf| !netns.starts_with("/proc") && Netns::open(netns).is_ok();
    other && !record.netns.as_ref().is_some_and(is_alive)
}

fn look(netns: &Path) -> Seen {
    match Netns::open(netns) {
        Err(Error::Missing { .. }) => Seen::Missing,
        Err(Error::NotANamespace { .. }) => Seen::Stale,
        Ok(_) | Err(Error::Io { .. }) => Seen::There,
    }
}

/// The folder that shows whether a namespace is there; none where it does not exist here. Of a path by process ID it
/// is `/proc`.
fn folder(netns: &Path) -> Option<PathBuf> {
    if netns.starts_with("/proc") {
        return Some("/proc".into());
    }
    std::fs::canonicalize(netns.parent()?).ok()
}

#[cfg(test)]
#[path = "fate_tests.rs"]
mod tests;
