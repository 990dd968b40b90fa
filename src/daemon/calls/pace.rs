//! How many reports are read in a while: a flood of them must not take the daemon's time.

use std::time::Instant;

/// So many may come at once: all pods of a node start.
const BURST: f64 = 1000.0;
/// So many in a second.
const RATE: f64 = 200.0;

/// The room that is left.
#[derive(Debug)]
pub(super) struct Pace {
    room: f64,
    last: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Pace { room: BURST, last: now }
    }

    /// Whether one more is read now.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.last).as_secs_f64();
        self.last = now;
        self.room = (self.room + since * RATE).min(BURST);
        if self.room < 1.0 {
            return false;
        }
        self.room -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_read_and_a_flood_is_not() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let read = (0..5000).filter(|_| pace.has_room(begin)).count();
        assert_eq!(read, 1000);
        let later = begin + Duration::from_secs(1);
        assert_eq!((0..5000).filter(|_| pace.has_room(later)).count(), 200);
        let much_later = begin + Duration::from_secs(3600);
        assert_eq!((0..5000).filter(|_| pace.has_room(much_later)).count(), 1000);
    }
}
