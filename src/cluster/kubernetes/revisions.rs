//! Whether etcd was restored from a backup. Versions grow as long as it keeps what it has: an answer with a lower one than was seen
//! before its question was sent comes from an etcd that has forgotten something.
//!
//! That is a hint and no proof: a store that wrote as much since the backup as before it looks as if it went on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The versions of one kind of objects.
#[derive(Debug, Default)]
pub struct Revisions(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    newest: u64,
    went_back: Option<WentBack>,
}

/// That the store went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WentBack {
    /// When it was noticed.
    pub at: Instant,
    /// The newest version that was seen before.
    pub from: u64,
    /// The lower one.
    pub to: u64,
}

impl Revisions {
    /// The newest version now, before a question is sent.
    pub(super) fn newest(&self) -> u64 {
        self.seen().newest
    }

    /// Notes the version of an answer to a question that was sent when `before` was the newest one. The answer is as new as
    /// its question.
    pub(super) fn answered(&self, before: u64, version: Option<&str>) {
        // Other stores may have versions that are no numbers.
        let Some(version) = version.and_then(|text| text.parse().ok()) else { return };
        let mut seen = self.seen();
        if version < before {
            *seen =
                Seen { newest: version, went_back: Some(WentBack { at: Instant::now(), from: before, to: version }) };
        } else {
            seen.newest = seen.newest.max(version);
        }
    }

    /// When the store went back last.
    pub(super) fn went_back(&self) -> Option<WentBack> {
        self.seen().went_back
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_lower_than_one_before_its_question_shows_a_restored_store() {
        let revisions = Revisions::default();
        for version in [Some("7"), Some("9"), Some("9"), None, Some("no number"), Some("12")] {
            revisions.answered(revisions.newest(), version);
            assert_eq!(revisions.went_back(), None, "{version:?}");
        }
        // Two answers that overtake each other.
        let before = revisions.newest();
        revisions.answered(before, Some("15"));
        revisions.answered(before, Some("13"));
        assert_eq!((revisions.went_back(), revisions.newest()), (None, 15));
        revisions.answered(revisions.newest(), Some("4"));
        let back = revisions.went_back().unwrap();
        assert_eq!((back.from, back.to, revisions.newest()), (15, 4, 4));
        // It goes on from there.
        revisions.answered(revisions.newest(), Some("5"));
        assert_eq!(revisions.went_back(), Some(back));
        revisions.answered(revisions.newest(), Some("3"));
        assert_eq!(revisions.went_back().map(|back| back.from), Some(5));
    }
}
