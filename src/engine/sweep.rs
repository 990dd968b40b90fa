//! Work that no call asks for: debts are retried, records of sandboxes that are gone are deleted.
//!
//! It is done by a turn of the plugin binary, after its answer, so that no privileged process runs
//! between calls. containerd never calls GC (measured on 2.4 and 1.6), so on most nodes this is the GC.

use super::gc::Damaged;
use super::{Turn, gc, leases, living, publish};
use crate::cni::ContainerId;
use crate::store::{Attachment, Found, Record, State, record};
use crate::sys::files::{self, Durability};
use crate::sys::lock::FileLock;
use crate::sys::trusted;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One sweep at most takes this.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Without a reason there is one so often.
const INTERVAL: Duration = Duration::from_secs(600);
/// With a reason (a debt, a wish of the daemon), so often.
const URGENT: Duration = Duration::from_secs(5);
/// A record is not judged before this age: its ADD may be under way in a way we do not see.
const YOUNG: u64 = 60;
/// The longest pause between two attempts at a debt.
const MAX_PAUSE: u64 = 300;

/// Which debts are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Those whose pause is over.
    AsDue,
    /// All: a person asks, who has perhaps removed the cause.
    Now,
}

/// A sandbox that would be swept, and why.
#[derive(Debug)]
pub struct Stale {
    /// Its record.
    pub record: Record,
    /// Which of its attachments would be deleted.
    pub attachments: Vec<Attachment>,
    /// One line for a person.
    pub why: String,
    /// What becomes of its record if that is damaged.
    damaged: Damaged,
}

/// Whether a sweep should be started: nobody swept for a while, or there is a reason to hurry.
pub fn is_due(turn: &Turn) -> bool {
    let run = &turn.settings.run;
    let age = std::fs::metadata(marker(turn)).and_then(|file| file.modified()).ok().and_then(|at| at.elapsed().ok());
    let urgent = || std::fs::read_dir(run.due()).is_ok_and(|mut folder| folder.next().is_some());
    match age {
        None => true,
        Some(age) => age >= INTERVAL || (age >= URGENT && urgent()),
    }
}

/// Asks for a sweep soon.
pub fn request(turn: &Turn, why: &str) {
    if let Err(e) = trusted::replace(&turn.settings.run.due().join(why), b"", 0o600, Durability::Cached) {
        turn.warn(format!("a sweep cannot be asked for: {e}"));
    }
}

/// Sweeps once; `false`, at once, where somebody else does.
pub fn sweep(turn: &Turn, haste: Haste) -> bool {
    let Ok(Some(lock)) = FileLock::try_acquire(&turn.settings.run.sweep_lock()) else { return false };
    let deadline = Instant::now() + LIMIT;
    // Reasons that come while we work are for the next sweep.
    let reasons = reasons(turn);
    if let Err(e) = trusted::replace(&marker(turn), b"", 0o600, Durability::Cached) {
        turn.warn(format!("{}: {e}", marker(turn).display()));
    }
    let mut owed = false;
    for stale in stale(turn, haste).into_iter().take_while(|_| Instant::now() < deadline) {
        turn.warn(format!("sweeping {}: {}", stale.record.container_id, stale.why));
        let id = &stale.record.container_id;
        if let Err(e) = gc::clean(turn, id, |attachment| !is_swept(&stale, attachment), stale.damaged, deadline) {
            turn.warn(e);
        }
    }
    publish::publish_late(turn);
    leases::give_back(turn, &leases::orphans(turn), deadline);
    for id in turn.store.list().unwrap_or_default() {
        owed |= has_debt(turn, &id);
    }
    reap_locks(turn);
    for reason in reasons {
        let _ = files::remove(&reason);
    }
    if owed {
        request(turn, "debts");
    }
    drop(lock);
    true
}

fn is_swept(stale: &Stale, attachment: &Attachment) -> bool {
    stale.attachments.iter().any(|swept| swept.call == attachment.call && swept.ifname == attachment.ifname)
}

/// What a sweep would delete now.
pub fn stale(turn: &Turn, haste: Haste) -> Vec<Stale> {
    let ids = turn.store.list().unwrap_or_default();
    ids.iter().filter_map(|id| judge(turn, id, haste)).collect()
}

fn judge(turn: &Turn, id: &ContainerId, haste: Haste) -> Option<Stale> {
    let (record, damaged) = match turn.store.look(id) {
        Ok(Found::Record(record)) => (record, Damaged::Spared),
        Ok(Found::Salvaged { record, .. }) => (record, Damaged::Salvaged),
        _ => return None,
    };
    let old = is_past(record.created, YOUNG);
    if old && record.netns.as_deref().is_some_and(living::is_gone) {
        let why = "its namespace is gone".to_owned();
        return Some(Stale { attachments: record.attachments.clone(), record, why, damaged });
    }
    // While its sandbox may exist a damaged record is left to its DEL: only that knows what it cannot tell.
    if damaged == Damaged::Salvaged {
        return None;
    }
    let due: Vec<Attachment> =
        record.attachments.iter().filter(|attachment| is_payable(attachment, haste)).cloned().collect();
    let why =
        due.first().and_then(|attachment| attachment.debt.as_ref()).map(|debt| format!("owed: {}", debt.error))?;
    Some(Stale { attachments: due, record, why, damaged })
}

/// Whether a debt is to be tried again: the pauses double.
fn is_payable(attachment: &Attachment, haste: Haste) -> bool {
    let Some(debt) = attachment.debt.as_ref().filter(|_| attachment.state == State::Owed) else { return false };
    let pause = (URGENT.as_secs() << debt.attempts.min(10)).min(MAX_PAUSE);
    haste == Haste::Now || is_past(debt.last, pause)
}

/// Whether `time` was `seconds` ago. A time to come is of a clock that was set back since: it may have been any time,
/// and who waits for it waits for years.
fn is_past(time: u64, seconds: u64) -> bool {
    record::now().checked_sub(time).is_none_or(|age| age >= seconds)
}

fn has_debt(turn: &Turn, id: &ContainerId) -> bool {
    matches!(turn.store.look(id), Ok(Found::Record(record)) if record.attachments.iter().any(|attachment| attachment.debt.is_some()))
}

/// Lock files of sandboxes without a record are only notes that everything is deleted; after a while nobody asks.
fn reap_locks(turn: &Turn) {
    for entry in std::fs::read_dir(turn.settings.run.locks()).into_iter().flatten().flatten() {
        let old = entry
            .metadata()
            .and_then(|file| file.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= INTERVAL));
        let id = entry.file_name().to_str().and_then(|name| ContainerId::new(name.strip_suffix(".lock")?).ok());
        let Some(id) = id.filter(|id| old && !turn.settings.state.record(id).exists()) else { continue };
        if let Ok(Some(lock)) = FileLock::try_acquire(&turn.settings.run.lock(&id)) {
            lock.remove();
        }
    }
}

fn reasons(turn: &Turn) -> Vec<PathBuf> {
    std::fs::read_dir(turn.settings.run.due()).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Its modification time is when the last sweep began.
fn marker(turn: &Turn) -> PathBuf {
    turn.settings.run.swept()
}
