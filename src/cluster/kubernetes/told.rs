//! Which events were told already: the same one is told once in a while, with the number of those in between.
//!
//! The standard's `series` would count in the event itself. It needs the permission to change events, of others too.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// The same event of an object is told again after this time at the earliest.
const PAUSE: Duration = Duration::from_secs(600);
/// So many events are told of one object...
const MOST: usize = 20;
/// ...in this time.
const WINDOW: Duration = Duration::from_secs(3600);
/// So many events are remembered: 160 KiB. A node has hundreds of pods, with a few events each.
const EVENTS: usize = 4096;

/// The events that were told, the oldest first; none is older than [`WINDOW`]. Of what they say only numbers are kept: pods come
/// and go all day, and their daemon must not grow.
#[derive(Debug, Default)]
pub(super) struct Told(VecDeque<Event>);

/// An event that was told.
#[derive(Debug)]
struct Event {
    /// Of the object's UID.
    object: u64,
    /// Of reason and note.
    note: u64,
    told: Instant,
    /// How many of the same were not told since.
    left_out: u32,
}

impl Told {
    /// Whether an event of `object` is told `now`, and how many of the same were left out before it.
    pub(super) fn judge(&mut self, object: &str, reason: &str, note: &str, now: Instant) -> Option<u32> {
        while self.0.front().is_some_and(|event| now.duration_since(event.told) >= WINDOW) {
            self.0.pop_front();
        }
        let (object, note) = (hash(object), hash((reason, note)));
        let count = self.0.iter().filter(|event| event.object == object).count();
        let same = self.0.iter_mut().rfind(|event| event.object == object && event.note == note);
        let is_same_told = same.as_ref().is_some_and(|event| now.duration_since(event.told) < PAUSE);
        if is_same_told || count >= MOST {
            if let Some(event) = same {
                event.left_out += 1;
            }
            return None;
        }
        let before = same.map_or(0, |event| event.left_out);
        if self.0.len() >= EVENTS {
            // Thousands of pods in an hour: what is told twice is less harm than what grows.
            self.0.pop_front();
        }
        self.0.push_back(Event { object, note, told: now, left_out: 0 });
        Some(before)
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_event_is_told_once_in_a_while_with_a_count() {
        let (mut told, begin) = (Told::default(), Instant::now());
        let mut judge = |note: &str, seconds: u64| told.judge("u", "R", note, begin + Duration::from_secs(seconds));
        assert_eq!(judge("a", 0), Some(0));
        assert_eq!(judge("b", 1), Some(0), "another one");
        assert_eq!((1..=7).filter_map(|n| judge("a", n * 60)).count(), 0);
        assert_eq!(judge("a", 601), Some(7));
        assert_eq!(judge("a", 602), None);
        assert_eq!(judge("a", 1300), Some(1));
        assert_eq!(told.judge("other", "R", "a", begin), Some(0), "another object");
    }

    #[test]
    fn events_of_one_object_are_bounded() {
        let (mut told, begin) = (Told::default(), Instant::now());
        let mut judge = |n: u64| told.judge("u", "R", &n.to_string(), begin + Duration::from_secs(n));
        assert_eq!((0..1000).filter_map(&mut judge).count(), MOST);
        // An hour later there is room again.
        assert_eq!((3600..3610).filter_map(judge).count(), 10);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut told, now) = (Told::default(), Instant::now());
        for n in 0..3 * EVENTS {
            assert_eq!(told.judge(&n.to_string(), "R", "a", now), Some(0));
            assert!(told.0.len() <= EVENTS);
        }
        assert_eq!(told.judge(&(3 * EVENTS - 1).to_string(), "R", "a", now), None, "the newest are remembered");
        assert!(size_of::<Event>() * EVENTS <= 160 << 10);
    }

    #[test]
    fn events_are_forgotten_after_an_hour() {
        let (mut told, begin) = (Told::default(), Instant::now());
        for n in 0..1000_u32 {
            told.judge(&n.to_string(), "R", "a", begin + Duration::from_secs(n.into()));
        }
        assert_eq!(told.0.len(), 1000);
        told.judge("later", "R", "a", begin + WINDOW + Duration::from_secs(500));
        assert_eq!(told.0.len(), 1 + 499, "those of the last hour");
        told.judge("later", "R", "b", begin + 2 * WINDOW + Duration::from_secs(500));
        assert_eq!(told.0.len(), 1);
    }
}
