//! Which events were told already: the same one is told once in a while, with the number of those in between.
//!
//! The standard's `series` would count in the event itself. It needs the permission to change events, of others too.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// The same event of an object is told again after this time at the earliest.
const PAUSE: Duration = Duration::from_secs(600);
/// So many events are told of one object...
const MOST: usize = 20;
/// ...in this time.
const WINDOW: Duration = Duration::from_secs(3600);
/// What is older is looked for so often: a pod that is gone has no event any more that would find it.
const LOOK: Duration = Duration::from_secs(60);
/// So many objects are remembered; a node has hundreds of pods.
const OBJECTS: usize = 4096;

/// What was told of each object.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By its UID.
    objects: HashMap<String, Object>,
    /// When it was last looked for what is old.
    looked: Option<Instant>,
}

/// What was told of one object.
#[derive(Debug, Default)]
struct Object {
    /// When, the oldest first; none is older than [`WINDOW`].
    times: VecDeque<Instant>,
    /// By reason and note: when it was told last, and how many were not told since.
    notes: HashMap<u64, (Instant, u32)>,
}

impl Told {
    /// Whether an event of `object` is told `now`, and how many of the same were left out before it.
    pub(super) fn judge(&mut self, object: &str, reason: &str, note: &str, now: Instant) -> Option<u32> {
        let is_new = !self.objects.contains_key(object);
        let is_due = self.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK);
        if is_due || is_new && self.objects.len() >= OBJECTS {
            self.forget(now);
        }
        if is_new && self.objects.len() >= OBJECTS {
            // Thousands of pods in an hour: what is told twice is less harm than what grows.
            self.objects.clear();
        }
        let known = self.objects.entry(object.to_owned()).or_default();
        known.forget(now);
        let same = hash(reason, note);
        let is_same_told = known.notes.get(&same).is_some_and(|(last, _)| now.duration_since(*last) < PAUSE);
        if is_same_told || known.times.len() >= MOST {
            if let Some((_, left_out)) = known.notes.get_mut(&same) {
                *left_out += 1;
            }
            return None;
        }
        known.times.push_back(now);
        known.notes.insert(same, (now, 0)).map_or(Some(0), |(_, left_out)| Some(left_out))
    }

    /// Forgets what is older than [`WINDOW`].
    fn forget(&mut self, now: Instant) {
        self.objects.values_mut().for_each(|object| object.forget(now));
        self.objects.retain(|_, object| !object.times.is_empty());
        self.looked = Some(now);
    }
}

impl Object {
    fn forget(&mut self, now: Instant) {
        while self.times.front().is_some_and(|time| now.duration_since(*time) >= WINDOW) {
            self.times.pop_front();
        }
        self.notes.retain(|_, (last, _)| now.duration_since(*last) < WINDOW);
    }
}

fn hash(reason: &str, note: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (reason, note).hash(&mut hasher);
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
    fn objects_are_bounded() {
        let (mut told, now) = (Told::default(), Instant::now());
        for n in 0..3 * OBJECTS {
            assert_eq!(told.judge(&n.to_string(), "R", "a", now), Some(0));
            assert!(told.objects.len() <= OBJECTS);
        }
    }

    #[test]
    fn objects_that_are_gone_are_forgotten_after_an_hour() {
        let (mut told, begin) = (Told::default(), Instant::now());
        for n in 0..1000_u32 {
            told.judge(&n.to_string(), "R", "a", begin + Duration::from_secs(n.into()));
        }
        assert_eq!(told.objects.len(), 1000);
        told.judge("later", "R", "a", begin + WINDOW + Duration::from_secs(500));
        assert_eq!(told.objects.len(), 1 + 499, "those of the last hour");
        told.judge("later", "R", "b", begin + 2 * WINDOW);
        assert_eq!(told.objects.len(), 1);
    }
}
