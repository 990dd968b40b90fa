//! Every order of events of one machine with two clocks: no address is taken with a confirmation that is too old.
//!
//! What is taken for granted of machines: since each boot at most one of both clocks is wrong. A machine that stood still
//! has a time since boot that is too early. A person sets the time of day, back or ahead, of a machine that never stood still.

use super::exhaustive::{Model, Search, digest, explore};
use super::{Confirmed, Grant, PoolName, PoolSpec, Report, Stock};

/// For so long a confirmation counts.
const LIMIT: u64 = 2;

/// A rule of the design that is left out, to see that the check notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// The plugin takes addresses without a look at the confirmation.
    Stamp,
    /// Only the time since the boot counts.
    Clock,
    /// Only the time of day counts.
    SinceBoot,
    /// A grant of an earlier boot counts.
    Boot,
    /// The confirmation is of the time of the answer, not of the question.
    Question,
}

/// How often something may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    ticks: u32,
    questions: u32,
    settings: u32,
    boots: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Clocks {
    boot: u32,
    since_boot: u64,
    clock: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    /// The true time.
    now: u64,
    clocks: Clocks,
    /// Since it booted.
    stood_still: bool,
    was_set: bool,
    /// When a question was sent that is not answered yet, and when that truly was.
    asked: Option<(Clocks, u64)>,
    /// The same of the confirmation that the plugin reads.
    stamp: Option<(Clocks, u64)>,
    left: Budget,
}

impl Clocks {
    fn confirmed(self) -> Confirmed {
        let Clocks { boot, since_boot, clock } = self;
        Confirmed { boot: format!("b{boot}"), since_boot, clock }
    }
}

impl World {
    fn new(left: Budget) -> Self {
        let clocks = Clocks { boot: 1, since_boot: 0, clock: 1000 };
        World { now: 0, clocks, stood_still: false, was_set: false, asked: None, stamp: None, left }
    }

    /// Whether the plugin takes an address now.
    fn takes(&self, without: Without) -> bool {
        let Some((stamp, _)) = self.stamp else { return false };
        let mut now = self.clocks;
        match without {
            Without::Stamp => return true,
            Without::Clock => now.clock = stamp.clock,
            Without::SinceBoot => now.since_boot = stamp.since_boot,
            Without::Boot => now.boot = stamp.boot,
            Without::Nothing | Without::Question => {}
        }
        let spec = PoolSpec { authority_seconds: LIMIT, ..PoolSpec::default() };
        let grant = Grant::new(PoolName::new("lan").unwrap(), &spec, stamp.confirmed(), Vec::new());
        Stock::new(&grant, &Report::default()).authorised(&now.confirmed()).is_ok()
    }

    fn tick(&mut self, stands_still: bool) {
        self.left.ticks -= 1;
        (self.now, self.clocks.clock) = (self.now + 1, self.clocks.clock + 1);
        self.clocks.since_boot += u64::from(!stands_still);
        self.stood_still |= stands_still;
    }

    fn set_clock(&mut self, clock: u64) {
        self.left.settings -= 1;
        (self.clocks.clock, self.was_set) = (clock, true);
    }

    fn boot(&mut self) {
        self.left.boots -= 1;
        (self.clocks.boot, self.clocks.since_boot) = (self.clocks.boot + 1, 0);
        (self.stood_still, self.was_set, self.asked) = (false, false, None);
    }
}

#[derive(Clone)]
struct Case(World, Without);

impl Model for Case {
    fn key(&self) -> u128 {
        digest(&self.0)
    }

    fn successors(&self) -> Vec<Self> {
        let (world, without) = (&self.0, self.1);
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut World)| {
            let mut next = world.clone();
            change(&mut next);
            all.push(Case(next, without));
        };
        if world.left.ticks > 0 {
            add(&|next| next.tick(false));
        }
        if world.left.ticks > 0 && !world.was_set {
            add(&|next| next.tick(true));
        }
        if world.left.settings > 0 && !world.stood_still {
            for clock in [1, 5000] {
                add(&|next| next.set_clock(clock));
            }
        }
        if world.left.boots > 0 {
            add(&World::boot);
        }
        if world.left.questions > 0 && world.asked.is_none() {
            add(&|next| {
                next.left.questions -= 1;
                next.asked = Some((next.clocks, next.now));
            });
        }
        if let Some((clocks, at)) = world.asked {
            add(&|next| {
                let clocks = if without == Without::Question { next.clocks } else { clocks };
                (next.stamp, next.asked) = (Some((clocks, at)), None);
            });
            // It is not answered.
            add(&|next| next.asked = None);
        }
        all
    }

    fn fault(&self) -> Option<String> {
        let age = self.0.now - self.0.stamp?.1;
        (age > LIMIT && self.0.takes(self.1)).then(|| format!("an address is taken {age} s after the question"))
    }
}

const LEFT: Budget = Budget { ticks: 7, questions: 2, settings: 2, boots: 1 };

#[test]
fn no_order_of_events_makes_an_old_confirmation_count() {
    // U4, and case 22
    let (worlds, fault) = explore(Case(World::new(LEFT), Without::Nothing), Search::Deepest);
    println!("{LEFT:?}: {worlds} states");
    assert_eq!(fault, None);
    assert!(worlds > 1_000, "{worlds}");
}

#[test]
fn each_rule_of_confirmations_is_needed() {
    use Without::{Boot, Clock, Question, SinceBoot, Stamp};
    for without in [Stamp, Clock, SinceBoot, Boot, Question] {
        let (_, found) = explore(Case(World::new(LEFT), without), Search::Shortest);
        println!("without {without:?}: {found:?}");
        assert!(found.is_some(), "without {without:?} nothing is noticed");
    }
}
