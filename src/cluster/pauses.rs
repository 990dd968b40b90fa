//! How long to wait before the next try.

use kube::runtime::utils::Backoff;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Pauses that double up to a longest one, for ever. Each is a quarter shorter or longer than that, so
/// that a cluster that comes back is not asked by every node at once.
#[derive(Clone, Debug)]
pub struct Pauses {
    first: Duration,
    next: Duration,
    longest: Duration,
}

impl Pauses {
    /// Pauses from `first` up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Pauses { first, next: first, longest }
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        // The keys of a hash map's state are random, which is all the randomness that is needed.
        let noise = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
        Some(pause.mul_f64(0.75 + 0.5 * noise))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_start_again() {
        let mut pauses = Pauses::new(Duration::from_secs(1), Duration::from_secs(4));
        for expected in [1.0, 2.0, 4.0, 4.0] {
            let pause = pauses.next().unwrap().as_secs_f64();
            assert!((expected * 0.75..=expected * 1.25).contains(&pause), "{pause}");
        }
        pauses.reset();
        assert!(pauses.next().unwrap() < Duration::from_secs(2));
    }
}
