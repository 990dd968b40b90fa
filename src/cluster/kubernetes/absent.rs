//! Networks that were seen not to be there a moment ago: the kubelet tries again, and a Job tries with many pods.

use crate::nad::NadRef;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an absence is remembered.
const REMEMBERED: Duration = Duration::from_secs(1);
/// So many are remembered; more are asked for again.
const MOST: usize = 1024;

/// What is remembered.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Absent(Mutex<HashMap<NadRef, Instant>>);

impl Absent {
    /// The API server says that there is no `nad`.
    pub fn note(&self, nad: &NadRef) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        if seen.len() < MOST {
            seen.insert(nad.clone(), Instant::now());
        }
    }

    /// Whether that was a moment ago.
    pub fn was_just_seen(&self, nad: &NadRef) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(nad).is_some_and(|at| at.elapsed() < REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_is_remembered_for_a_moment() {
        let (absent, nad) = (Absent::default(), NadRef::new("ns", "a").unwrap());
        absent.note(&nad);
        assert!(absent.was_just_seen(&nad) && !absent.was_just_seen(&NadRef::new("ns", "b").unwrap()));
        std::thread::sleep(REMEMBERED);
        assert!(!absent.was_just_seen(&nad));
        (0..2 * MOST).for_each(|n| absent.note(&NadRef::new("ns", &format!("n{n}")).unwrap()));
        // Where that took more than the moment, the first are forgotten already.
        let remembered = absent.0.lock().unwrap().len();
        assert!((1..=MOST).contains(&remembered), "{remembered}");
    }
}
