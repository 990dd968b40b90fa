//! When the next sweep is due: a marker in the run directory says when the last one was.

use crate::engine::Turn;
use crate::engine::cleanup::wish;
use crate::store::record;
use crate::sys::files::{self, Durability};
use crate::sys::trusted;
use std::path::PathBuf;
use std::time::Duration;

/// Without a reason there is one so often. Only such a one looks for addresses that are taken for nobody.
pub(super) const INTERVAL: Duration = Duration::from_secs(600);
/// With a reason (a debt, a wish), so often.
const URGENT: Duration = wish::PAUSE;
/// A time in the marker.
const MAX_MARKER: usize = 64;

/// Whether a sweep should be started: nobody swept for a while, or there is a reason to hurry.
pub fn is_due(turn: &Turn) -> bool {
    match marker_age(turn) {
        None => true,
        Some(age) => age >= INTERVAL || (age >= URGENT && wish::is_any_due(&turn.settings.run)),
    }
}

/// Whether `time` was `seconds` ago. A time to come is of a clock that was set back since: it may have been any time,
/// and who waits for it waits for years.
pub(super) fn is_past(time: u64, seconds: u64) -> bool {
    record::now().checked_sub(time).is_none_or(|age| age >= seconds)
}

/// Its modification time is when the last sweep began; it holds the time of the last full one.
fn marker(turn: &Turn) -> PathBuf {
    turn.settings.run.swept()
}

fn marker_age(turn: &Turn) -> Option<Duration> {
    std::fs::metadata(marker(turn)).and_then(|file| file.modified()).ok()?.elapsed().ok()
}

/// Whether the next sweep looks for addresses that are taken for nobody, too.
pub(super) fn is_full_due(turn: &Turn) -> bool {
    let last = || last_full(turn).is_none_or(|last| is_past(last, INTERVAL.as_secs()));
    marker_age(turn).is_none_or(|age| age >= INTERVAL) || last()
}

fn last_full(turn: &Turn) -> Option<u64> {
    files::read_bounded(&marker(turn), MAX_MARKER).ok()??.trim().parse().ok()
}

/// A sweep begins.
pub(super) fn mark(turn: &Turn, full: bool) {
    let last = if full { Some(record::now()) } else { last_full(turn) };
    let text = last.map(|last| last.to_string()).unwrap_or_default();
    if let Err(e) = trusted::replace(&marker(turn), text.as_bytes(), 0o600, Durability::Cached) {
        turn.warn(files::told(&marker(turn), e));
    }
}
