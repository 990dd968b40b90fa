//! Work that no call asks for: debts are retried, records of sandboxes that are gone are deleted.
//!
//! It is done by a turn of the plugin binary, after its answer, so that no privileged process runs
//! between calls. containerd never calls GC (measured on 2.4 and 1.6), so on most nodes this is the GC.

use crate::api::RunDirectory;
use crate::api::calls::SWEEP;
use crate::cni::Code;
use crate::engine::Turn;
use crate::engine::cleanup::comparison;
use crate::engine::cleanup::counted;
use crate::engine::cleanup::due::{self, is_due, is_past};
use crate::engine::cleanup::fate::{self, Evidence, Fate, Sight};
use crate::engine::cleanup::leases::{Judged, Orphan};
use crate::engine::cleanup::survey;
use crate::engine::cleanup::survey::Survey;
use crate::engine::cleanup::wish;
use crate::engine::cleanup::wish::Wishes;
use crate::engine::cleanup::{leases, live_sandboxes, reap};
use crate::engine::report::{self, Ended};
use crate::engine::sandbox::{lock, publish, trust};
use crate::engine::verbs::gc;
use crate::engine::verbs::gc::{Cleaning, Damaged};
use crate::store::{Attachment, Record, State};
use crate::sys::lock::FileLock;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One sweep at most takes this; then it is killed.
pub const LIMIT: Duration = Duration::from_secs(60);
/// A person waits so long for another sweep.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// So much before it is killed it ends by itself.
const MARGIN: Duration = Duration::from_secs(10);
/// However many sandboxes are left, one has at least this.
const LEAST: Duration = Duration::from_secs(5);
/// A record is not judged before this age: its ADD may be under way in a way we do not see.
const YOUNG: u64 = 60;
/// Which debts are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debts {
    /// Those whose pause is over.
    Due,
    /// All: a person asks, who has perhaps removed the cause.
    All,
}

/// Why nothing was swept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unswept {
    /// Somebody else sweeps, or has done so.
    Elsewhere,
    /// The records cannot be listed; the log has the reason.
    Unlisted,
    /// The lock of all sweeps cannot be used, and why.
    NoLock(String),
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
    /// Which of its attachments were given up: they could not be deleted, and nothing is left of them.
    pub given_up: Vec<Attachment>,
    /// What becomes of its record if that is damaged.
    damaged: Damaged,
    /// Whether it is certain that the sandbox is gone.
    gone: bool,
}

/// What a sweep would do, or did.
#[derive(Debug, Default)]
pub struct Outlook {
    /// What is deleted.
    pub stale: Vec<Stale>,
    /// What is given back.
    pub orphans: Vec<Orphan>,
    /// Sandboxes of which it cannot be known whether they are gone, and why.
    pub unclear: Vec<(Record, String)>,
    /// Why nothing is deleted, some records stay, or no address is given back, where that is so.
    pub doubt: Option<String>,
}

/// What a sweep would do now; none where the records cannot be listed.
pub fn look(turn: &Turn, debts: Debts) -> Option<Outlook> {
    let survey = survey::read(turn)?;
    let sight = live_sandboxes::sight(turn, &survey);
    if let Some(doubt) = sight.doubt() {
        return Some(Outlook { doubt: Some(doubt.to_owned()), ..Outlook::default() });
    }
    let Judged { orphans, doubt } = leases::judge(turn, &survey, &sight);
    let doubt = doubt.or_else(|| sight.unknown_boot().map(str::to_owned));
    Some(Outlook { stale: stale(turn, &survey, &sight, debts), orphans, unclear: unclear(&survey, &sight), doubt })
}

/// Sweeps once. A call that ends does not wait for somebody else's sweep; a person does, whose question must be answered.
///
/// # Errors
/// Nothing was swept, and why.
pub fn sweep(turn: &Turn, asked: Debts) -> Result<Outlook, Unswept> {
    let lock = lock(turn, asked)?;
    if asked == Debts::Due && !is_due(turn) {
        return Err(Unswept::Elsewhere);
    }
    let began = Instant::now();
    let deadline = began + LIMIT.saturating_sub(MARGIN);
    // Reasons that come while we work are for the next sweep.
    let wishes = Wishes::take(turn, LIMIT);
    let debts = if wishes.all() { Debts::All } else { asked };
    let full = debts == Debts::All || due::is_full_due(turn);
    due::mark(turn, full);
    let mut survey = survey::read(turn).ok_or(Unswept::Unlisted)?;
    comparison::answer(turn, &survey, &wishes);
    let sight = live_sandboxes::sight(turn, &survey);
    let mut outlook = Outlook::default();
    if let Some(doubt) = sight.doubt() {
        outlook.doubt = Some(doubt.to_owned());
    } else {
        outlook.stale = stale(turn, &survey, &sight, debts);
        outlook.unclear = unclear(&survey, &sight);
        for (record, why) in &outlook.unclear {
            turn.warn(format!("container {}: {why}", record.container_id));
        }
        clean(turn, &mut outlook.stale, &mut survey, deadline);
        outlook.doubt = sight.unknown_boot().map(str::to_owned);
        if full {
            let judged = leases::judge(turn, &survey, &sight);
            (outlook.orphans, outlook.doubt) = (judged.orphans, judged.doubt.or(outlook.doubt));
            leases::give_back(turn, &outlook.orphans, deadline);
        }
    }
    // A person who asks has it in the answer.
    if let Some(doubt) = outlook.doubt.as_ref().filter(|_| asked == Debts::Due) {
        turn.warn(doubt);
    }
    publish::publish_late(turn);
    reap::locks(turn);
    reap::temporary_files(turn);
    reap::comparisons(turn);
    wishes.fulfil(turn, survey.records.values());
    let pools = full.then(|| counted::pools(turn, &survey));
    drop(lock);
    let code = outlook.doubt.as_ref().map_or(0, |_| Code::Io.number());
    let node = Some(counted::of_survey(turn, &survey, pools));
    // Who ends here needs no more of it.
    let _ = report::send(&turn.settings.run, Ended { verb: SWEEP, code, took: began.elapsed(), node });
    Ok(outlook)
}

/// The lock of all sweeps.
fn lock(turn: &Turn, asked: Debts) -> Result<FileLock, Unswept> {
    let path = turn.settings.run.sweep_lock();
    let took = match asked {
        Debts::Due => FileLock::try_acquire(&path),
        Debts::All => FileLock::acquire(&path, Instant::now() + PATIENCE, || {
            turn.warn("another sweep is running; this one waits for it");
        }),
    };
    let unusable = |e: io::Error| format!("nothing is swept: {}: {}", path.display(), trust::with_remedy(&e));
    match took.map_err(unusable) {
        Ok(lock) => lock.ok_or(Unswept::Elsewhere),
        Err(why) => {
            turn.warn(&why);
            Err(Unswept::NoLock(why))
        }
    }
}

/// Cleans one sandbox after another. The time that is left is shared among those that are left, so that one plugin that
/// hangs takes its own share only.
fn clean(turn: &Turn, all: &mut [Stale], survey: &mut Survey, deadline: Instant) {
    let count = all.len();
    for (done, stale) in all.iter_mut().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            turn.warn(format!("{} sandboxes are left to the next sweep", count - done));
            return;
        }
        let share = left / u32::try_from(count - done).unwrap_or(u32::MAX);
        let until = deadline.min(Instant::now() + share.max(LEAST));
        let id = &stale.record.container_id;
        turn.warn(format!("sweeping {id}: {}", stale.why));
        let cleaning = Cleaning { damaged: stale.damaged, gone: stale.gone, deadline: until };
        match gc::clean(turn, id, |attachment| !is_swept(stale, attachment), cleaning) {
            Ok(Some(cleaned)) => {
                stale.given_up = cleaned.given_up;
                survey.update(cleaned.record);
            }
            Ok(None) => {}
            Err(e) => turn.warn(e),
        }
    }
}

fn is_swept(stale: &Stale, attachment: &Attachment) -> bool {
    stale.attachments.iter().any(|swept| swept.call == attachment.call && swept.ifname == attachment.ifname)
}

/// What is to be deleted: what was never tried first, what was tried last at the end. Whatever hung comes last.
fn stale(turn: &Turn, survey: &Survey, sight: &Sight, debts: Debts) -> Vec<Stale> {
    // What a damaged record does not tell is told by the DEL that could not move it aside.
    let of_salvaged = |record: &Record| match sight.fate(record) {
        Fate::Gone(evidence) => Fate::Gone(evidence),
        _ if lock::is_deleted(turn, &record.container_id) => Fate::Gone(Evidence::Deleted),
        fate => fate,
    };
    let salvaged =
        survey.salvaged.values().filter_map(|record| judge(record, Damaged::Salvaged, of_salvaged(record), debts));
    let whole = survey.records.values().filter_map(|record| match record.attachments.is_empty() {
        // A call that was killed put a damaged record in order. It tells as little as before.
        true => judge(record, Damaged::Salvaged, of_salvaged(record), debts),
        false => judge(record, Damaged::Spared, sight.fate(record), debts),
    });
    let mut all: Vec<Stale> = whole.chain(salvaged).collect();
    let tried = |stale: &Stale| {
        let debts = stale.attachments.iter().filter_map(|attachment| attachment.debt.as_ref());
        debts.map(|debt| (debt.hung, debt.last)).max()
    };
    all.sort_by_key(tried);
    all
}

fn judge(record: &Record, damaged: Damaged, fate: Fate, debts: Debts) -> Option<Stale> {
    let gone = matches!(fate, Fate::Gone(_)) && is_past(record.created, YOUNG);
    // While its sandbox may exist a damaged record is left to its DEL: only that knows what it cannot tell. And where the
    // folder of its namespace does not exist is not its node.
    if !gone && (damaged == Damaged::Salvaged || matches!(fate, Fate::Unseen { exists: false, .. })) {
        return None;
    }
    let is_due = |attachment: &&Attachment| match attachment.state {
        State::Owed => debts == Debts::All || wish::is_payable(attachment),
        _ => gone,
    };
    let attachments: Vec<Attachment> = record.attachments.iter().filter(is_due).cloned().collect();
    let owed = || attachments.iter().find_map(|attachment| attachment.debt.as_ref());
    let why = match (&fate, owed()) {
        (_, Some(debt)) if attachments.iter().all(|a| a.state == State::Owed) => format!("owed: {}", debt.error),
        (Fate::Gone(evidence), _) => evidence.to_string(),
        _ => return None,
    };
    // A damaged record without attachments is settled, too: it is moved aside.
    let nothing = attachments.is_empty() && damaged == Damaged::Spared;
    (!nothing).then(|| Stale { record: record.clone(), attachments, why, given_up: Vec::new(), damaged, gone })
}

/// The attached sandboxes of which it cannot be known whether they are gone: nothing of them is deleted.
fn unclear(survey: &Survey, sight: &Sight) -> Vec<(Record, String)> {
    let attached = |record: &&Record| record.attachments.iter().any(|attachment| attachment.state != State::Owed);
    let of = |record: &Record| match sight.fate(record) {
        Fate::Unclear(file) => Some((record.clone(), fate::unclear(&file, &record.container_id))),
        _ => None,
    };
    survey.all().filter(attached).filter_map(of).collect()
}

/// What the last detached sweep told, which nobody hears while it works.
pub fn log_of(run: &RunDirectory) -> PathBuf {
    run.sweep_log()
}
