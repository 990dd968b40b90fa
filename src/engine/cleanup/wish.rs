//! Reasons to sweep before the next regular sweep: files in the folder `due`, each with the time at which it is due.

use crate::api::RunDirectory;
use crate::engine::Turn;
use crate::store::record::now;
use crate::store::{Attachment, Record, State};
use crate::sys::files::{self, Durability};
use crate::sys::trusted;
use std::path::PathBuf;
use std::time::Duration;

/// Debts, by the time at which the first is due.
const DEBTS: &str = "debts";
/// An operator asks for everything, at once.
pub const ALL: &str = "all";
/// A number.
const MAX_WISH: usize = 64;
/// The shortest pause between two attempts at a debt; each attempt doubles it.
pub const PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between two attempts at a debt.
const MAX_PAUSE: u64 = 300;

/// A wish as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    path: PathBuf,
    text: String,
}

/// The wishes that a sweep found when it began.
#[derive(Debug)]
pub struct Wishes(Vec<Wish>);

/// Whether a wish is due.
pub fn is_any_due(run: &RunDirectory) -> bool {
    found(run).iter().any(|wish| is_due(&wish.text))
}

/// Nothing, or what is no time, is due at once; so is a time that is too far away to be true.
fn is_due(text: &str) -> bool {
    text.trim().parse::<u64>().map_or(true, is_reached)
}

fn is_reached(due: u64) -> bool {
    let now = now();
    due <= now || due - now > 2 * MAX_PAUSE
}

/// When a debt may be tried again.
pub fn due_time(attachment: &Attachment) -> Option<u64> {
    let debt = attachment.debt.as_ref().filter(|_| attachment.state == State::Owed)?;
    let pause = (PAUSE.as_secs() << debt.attempts.min(10)).min(MAX_PAUSE);
    Some(debt.last.saturating_add(pause))
}

/// Whether a debt is to be tried again. A time to come that is too far away is of a clock that was set back since.
pub fn is_payable(attachment: &Attachment) -> bool {
    due_time(attachment).is_some_and(is_reached)
}

/// Asks for a sweep when the first debt of `record` is due, if it has one.
pub fn remind(turn: &Turn, record: &Record) {
    let Some(due) = record.attachments.iter().filter_map(due_time).min() else { return };
    let before = found(&turn.settings.run).into_iter().find(|wish| wish.path.ends_with(DEBTS));
    let earlier = |wish: Wish| is_due(&wish.text) || wish.text.trim().parse::<u64>().is_ok_and(|before| before <= due);
    if !before.is_some_and(earlier) {
        write(turn, DEBTS, &due.to_string());
    }
}

/// Asks for a sweep at once, by the name `why`.
pub fn soon(turn: &Turn, why: &str) {
    write(turn, why, "");
}

/// Asks for everything, at once: all debts, all addresses.
///
/// # Errors
/// It cannot be written.
pub fn for_all(run: &RunDirectory) -> std::io::Result<()> {
    // Each wish has a text of its own, so that one that comes during a sweep is not taken for the one before.
    let text = format!("at once, {}", std::process::id());
    trusted::replace(&run.due().join(ALL), text.as_bytes(), 0o600, Durability::Cached)
}

fn write(turn: &Turn, name: &str, text: &str) {
    if let Err(e) = trusted::replace(&turn.settings.run.due().join(name), text.as_bytes(), 0o600, Durability::Cached) {
        turn.warn(format!("cannot request a sweep: {e}"));
    }
}

fn found(run: &RunDirectory) -> Vec<Wish> {
    let read = |path: PathBuf| {
        // One that cannot be read is a wish all the same.
        let text = files::read_bounded(&path, MAX_WISH).unwrap_or_else(|_| Some(String::new()))?;
        Some(Wish { path, text })
    };
    let entries = files::entries(&run.due()).into_iter().flatten();
    // What begins with a dot is being written.
    let named = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
    named.filter_map(|entry| read(entry.path())).collect()
}

impl Wishes {
    /// What is wished for now. Debts are wished for again in case the sweep does not come to its end.
    pub fn take(turn: &Turn, limit: Duration) -> Self {
        let mut wishes = found(&turn.settings.run);
        if let Some(debts) = wishes.iter_mut().find(|wish| wish.path.ends_with(DEBTS)) {
            debts.text = now().saturating_add(limit.as_secs()).to_string();
            write(turn, DEBTS, &debts.text);
        }
        Wishes(wishes)
    }

    /// Whether an operator asks for everything.
    pub fn all(&self) -> bool {
        self.0.iter().any(|wish| wish.path.ends_with(ALL))
    }

    /// The wishes whose name begins with `prefix`: the rest of the name, and the text.
    pub fn beginning_with(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(move |wish| {
            let name = wish.path.file_name()?.to_str()?;
            Some((name.strip_prefix(prefix)?, wish.text.as_str()))
        })
    }

    /// Ends what was found at the beginning; the next is for the first debt of `records`. What was wished for meanwhile
    /// stays.
    pub fn fulfil<'a>(self, turn: &Turn, records: impl Iterator<Item = &'a Record>) {
        let since = found(&turn.settings.run);
        for wish in self.0.iter().filter(|wish| since.contains(wish)) {
            let _ = files::remove(&wish.path);
        }
        let first = records
            .filter_map(|record| {
                let due = record.attachments.iter().filter_map(due_time).min()?;
                Some((due, record))
            })
            .min_by_key(|(due, _)| *due);
        if let Some((_, record)) = first {
            remind(turn, record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_due_at_its_time() {
        // M11
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::new(folder.path());
        assert!(!is_any_due(&run));
        let wish = |text: &str| trusted::replace(&run.due().join(DEBTS), text.as_bytes(), 0o600, Durability::Cached);
        for (text, due) in [("", true), ("soon", true), ("1", true), ("99999999999", true)] {
            wish(text).unwrap();
            assert_eq!(is_any_due(&run), due, "{text}");
        }
        wish(&(now() + 100).to_string()).unwrap();
        assert!(!is_any_due(&run));
        for_all(&run).unwrap();
        assert!(is_any_due(&run));
    }
}
