//! Whether a recorded sandbox still exists.
//!
//! That a namespace cannot be seen proves nothing: in a container that does not see the runtime's folder no
//! namespace of the node can be seen. "Gone" needs positive evidence: the sandbox is of another boot, or its name is
//! not in the folder of its namespace, and that folder is the real one, which another recorded sandbox of this boot
//! shows by being alive in it. A name that is there and is no namespace is no evidence: a mount namespace that was made
//! earlier shows a living namespace as a plain file.
//!
//! What shows a sandbox or a boot has to be the thing itself. Another namespace at the recorded path is a stranger's: it
//! is neither the sandbox nor a witness. The boot is the kernel's own word. Where something else is shown in its
//! place, as in nodes that are containers, it is compared only with what was shown there at ADD.

use crate::cni::ContainerId;
use crate::store::{Record, State};
use crate::sys::boot::Boot;
use crate::sys::netns::{Error, Identity, Netns};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How the reason begins for which nothing may be deleted.
pub const DOUBT: &str = "nothing is deleted:";

/// How the reason begins for which records stay whose sandboxes cannot be seen.
pub const UNKNOWN_BOOT: &str = "records are kept:";

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
    /// The runtime deleted it. Its record was damaged, and could not be moved aside then.
    Deleted,
}

impl std::fmt::Display for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Evidence::OtherBoot => f.write_str("its namespace is gone: it is of another boot"),
            Evidence::Deleted => f.write_str("its DEL has ended, and its damaged record was left"),
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
    /// Another namespace is there.
    Stranger,
}

/// A sandbox somebody recorded: a witness while it is alive.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The path of its namespace.
    pub netns: PathBuf,
    /// What tells that namespace from others of this boot, where that was recorded.
    pub identity: Option<Identity>,
}

impl Witness {
    /// What is seen of it. Where its identity is unknown, its path decides.
    fn look(&self) -> Seen {
        match Netns::open(&self.netns) {
            Err(Error::Missing { .. }) => Seen::Missing,
            Err(Error::NotANamespace { .. }) => Seen::Stale,
            Ok(netns) if self.is_other_than(&netns) => Seen::Stranger,
            Ok(_) | Err(Error::Io { .. }) => Seen::There,
        }
    }

    fn is_alive(&self) -> bool {
        // Our own namespace is what a path by process ID shows in a container of the wrong PID namespace.
        let is_it = |netns: &Netns| !netns.is_own().unwrap_or(true) && !self.is_other_than(netns);
        Netns::open(&self.netns).is_ok_and(|netns| is_it(&netns))
    }

    fn is_other_than(&self, netns: &Netns) -> bool {
        self.identity.is_some_and(|recorded| netns.identity().is_ok_and(|found| found != recorded))
    }
}

/// The boot, and the folders of namespaces that show sandboxes of it.
#[derive(Debug)]
pub struct Sight {
    boot: Boot,
    /// Folders with a living sandbox.
    folders: BTreeSet<PathBuf>,
    /// The paths of the namespaces in our records: what they lead to, our records tell.
    recorded: BTreeSet<PathBuf>,
    /// We are in another network namespace than the calls that attached the recorded sandboxes.
    is_elsewhere: bool,
    doubt: Option<String>,
    /// Why records are not known to be of another boot.
    unknown_boot: Option<String>,
}

impl Sight {
    /// Looks at the namespaces of `records`; at those that the runtime recorded (`others`) only where ours do not
    /// suffice.
    pub fn of<'a>(records: impl Iterator<Item = &'a Record> + Clone, others: impl FnOnce() -> Vec<Witness>) -> Self {
        let mut sight = Sight {
            boot: Boot::this(),
            folders: BTreeSet::new(),
            recorded: records.clone().filter_map(|record| record.netns.clone()).collect(),
            is_elsewhere: false,
            doubt: None,
            unknown_boot: None,
        };
        // What has the name of a sandbox of another boot is none of this one.
        let of_this_boot = records.clone().filter(|record| !is_of_another_than(&sight.boot, record));
        let is_elsewhere = is_elsewhere(of_this_boot.clone());
        let witnesses: Vec<Witness> = of_this_boot.filter_map(|record| sight.recorded_as(record)).collect();
        sight.is_elsewhere = is_elsewhere;
        witnesses.iter().for_each(|witness| sight.witness(witness));
        let unseen = |sight: &Sight| records.clone().any(|record| matches!(sight.fate(record), Fate::Unseen { .. }));
        if unseen(&sight) {
            let others = sight.unrecorded(others());
            others.iter().for_each(|other| sight.witness(other));
        }
        sight.doubt = sight.find_doubt(records.clone());
        sight.unknown_boot = sight.find_unknown_boot(records);
        sight
    }

    /// The sandbox of `record`, if it has a namespace. Identities of another boot mean nothing in this one.
    fn recorded_as(&self, record: &Record) -> Option<Witness> {
        let identity = record.netns_id.filter(|_| !is_of_another_than(&self.boot, record));
        Some(Witness { netns: record.netns.clone()?, identity })
    }

    /// Takes `sandbox` for a witness of its folder, if it is alive.
    fn witness(&mut self, sandbox: &Witness) {
        if let Some(folder) = folder(&sandbox.netns).filter(|_| sandbox.is_alive()) {
            self.folders.insert(folder);
        }
    }

    /// Those of `others` of which our records tell nothing.
    fn unrecorded(&self, mut others: Vec<Witness>) -> Vec<Witness> {
        others.retain(|other| !self.recorded.contains(&other.netns));
        others
    }

    /// Whether a recorded sandbox is alive here: ours, or one that the runtime recorded (`others`).
    pub fn shows_a_sandbox(&self, others: impl FnOnce() -> Vec<Witness>) -> bool {
        !self.folders.is_empty() || self.unrecorded(others()).iter().any(Witness::is_alive)
    }

    /// What is known of the sandbox of `record`.
    pub fn fate(&self, record: &Record) -> Fate {
        if is_before_boot(&self.boot, record) {
            return Fate::Gone(Evidence::OtherBoot);
        }
        let Some(sandbox) = self.recorded_as(record) else { return Fate::Alive };
        self.fate_of(&sandbox)
    }

    /// What is known of a sandbox whose boot is not told, or that the runtime recorded. A time before this boot is no evidence:
    /// the clock may have been set since, and then it is that of a living sandbox.
    pub fn fate_of(&self, sandbox: &Witness) -> Fate {
        match sandbox.look() {
            Seen::There => return Fate::Alive,
            Seen::Stale => return Fate::Unclear(sandbox.netns.clone()),
            Seen::Missing | Seen::Stranger => {}
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

    /// Whether this is a container with a network namespace of its own, and not the node: a plugin would look for the
    /// node's links in the wrong one.
    pub fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// Why sandboxes that cannot be seen are not judged: this may be another boot than theirs. It is asked where others
    /// are judged by what is seen, and there is no [`Sight::doubt`].
    pub fn unknown_boot(&self) -> Option<&str> {
        self.unknown_boot.as_deref()
    }

    fn find_unknown_boot<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Option<String> {
        let why = self.boot.doubt()?;
        let is_left = |record: &&Record| matches!(self.fate(record), Fate::Unseen { .. } | Fate::Unclear(_));
        let left = records.filter(is_attached).filter(is_left).count();
        (left > 0).then(|| {
            format!(
                "{UNKNOWN_BOOT} {left} of the recorded sandboxes cannot be seen, and may be of this boot or of another: {why}"
            )
        })
    }

    fn find_doubt<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Option<String> {
        if self.is_elsewhere {
            return Some(format!(
                "{DOUBT} this process is not in the node's network namespace, in which the recorded sandboxes were attached: run it on the node"
            ));
        }
        let fates: Vec<Fate> = records
            .filter(is_attached)
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
        // What may be of another boot is among them.
        let boot = self.boot.doubt().map_or_else(String::new, |why| format!("; this boot is unknown: {why}"));
        Some(format!(
            "{DOUBT} all {} recorded sandboxes of this boot look gone: check that {folder} is the directory of the runtime's namespaces here{boot}",
            fates.len()
        ))
    }
}

/// Whether a deletion of `record` has a namespace to work in at its recorded path: not if the record is of another boot,
/// or if another namespace is there.
pub fn has_own_namespace(record: &Record) -> bool {
    let boot = Boot::this();
    !is_before_boot(&boot, record) && !is_replaced(&boot, record)
}

/// Whether the namespace at `path` is the one in which the ADD of `record` worked; none where that cannot be told.
pub fn is_recorded_namespace(record: &Record, path: &Path) -> Option<bool> {
    let netns = Netns::open(path).ok()?;
    let is_it = match record.netns_id?.eq(&netns.identity().ok()?) {
        // The number of a namespace that has ended is given to another one, but not its cookie.
        true => record.netns_cookie.zip(netns.cookie()).is_none_or(|(recorded, found)| recorded == found),
        false => false,
    };
    // Identities of another boot mean nothing in this one.
    (is_it || !is_of_another_than(&Boot::this(), record)).then_some(is_it)
}

/// Whether the recorded path of the namespace leads to a stranger's.
fn is_replaced(this: &Boot, record: &Record) -> bool {
    let identity = record.netns_id.filter(|_| !is_of_another_than(this, record));
    let sandbox = record.netns.clone().map(|netns| Witness { netns, identity });
    sandbox.is_some_and(|sandbox| sandbox.look() == Seen::Stranger)
}

/// Whether `record` is of another boot than `this`. What is alive under the name of its namespace is kept all the same;
/// a process ID is another process's by now.
fn is_before_boot(this: &Boot, record: &Record) -> bool {
    let is_alive = |netns: &PathBuf| !netns.starts_with("/proc") && Netns::open(netns).is_ok();
    is_of_another_than(this, record) && !record.netns.as_ref().is_some_and(is_alive)
}

/// Whether `record` tells another boot than `this`, by the same kind of identifier.
fn is_of_another_than(this: &Boot, record: &Record) -> bool {
    let kernels = this.kernels().zip(record.boot_id.as_deref());
    let shown = this.shown_instead().zip(record.boot_id_shown.as_deref());
    kernels.or(shown).is_some_and(|(this, recorded)| this != recorded)
}

/// Whether all of `records` that tell a network namespace of the node tell another one than ours.
fn is_elsewhere<'a>(records: impl Iterator<Item = &'a Record>) -> bool {
    let (Some(own), mut told) = (Identity::own(), records.filter_map(|record| record.host_netns_id).peekable()) else {
        return false;
    };
    told.peek().is_some() && told.all(|node| node != own)
}

/// Whether something is attached to its sandbox. Of what is owed as a whole it is known that it ends.
fn is_attached(record: &&Record) -> bool {
    record.netns.is_some() && record.attachments.iter().any(|attachment| attachment.state != State::Owed)
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
