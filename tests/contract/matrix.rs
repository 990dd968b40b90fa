//! Configurations by chance through a whole life, natives against programs.
//!
//! `PLEXUS_CONTRACT_CASES` is how many (default: [`CASES`]) and `PLEXUS_CONTRACT_SEED` the first one's
//! seed; each next one's is one more. A failure names its seed: with that one and one case it is replayed.

use crate::cases::Twins;
use crate::optional::{has, is_complete_kernel};
use crate::plugins;
use crate::random::{Case, Random};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const CASES: u64 = 40;
/// How many live at once: most of a life is waiting for the kernel.
const WORKERS: usize = 4;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn by_chance() {
    if plugins().is_none() {
        return;
    }
    let seed = number("PLEXUS_CONTRACT_SEED").unwrap_or_default();
    let end = seed + number("PLEXUS_CONTRACT_CASES").unwrap_or(CASES);
    let has_ipvlan = Twins::new().is_some_and(|twins| has(&twins, "link add probe link master0 type ipvlan"));
    let next = AtomicU64::new(seed);
    let tally = Mutex::new(Tally::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let case = Case::new(&mut Random(seed));
            let outcome = if case.is_ipvlan() && !has_ipvlan {
                Ok(Outcome::Skipped)
            } else {
                catch_unwind(AssertUnwindSafe(|| live(seed, &case)))
            };
            tally.lock().unwrap().count(seed, outcome.ok());
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    let tally = tally.into_inner().unwrap();
    eprintln!("matrix from seed {seed}: {tally:?}");
    assert!(tally.failed.is_empty(), "seeds of cases that failed, see above: {:?}", tally.failed);
    assert!(tally.skipped == 0 || !is_complete_kernel(), "cases were skipped");
}

/// How a case went.
enum Outcome {
    Lived,
    Refused,
    Skipped,
}

#[derive(Debug, Default)]
struct Tally {
    lived: u64,
    refused: u64,
    skipped: u64,
    failed: Vec<u64>,
}

impl Tally {
    fn count(&mut self, seed: u64, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Lived) => self.lived += 1,
            Some(Outcome::Refused) => self.refused += 1,
            Some(Outcome::Skipped) => self.skipped += 1,
            None => self.failed.push(seed),
        }
        let done = self.lived + self.refused + self.skipped + self.failed.len() as u64;
        if done.is_multiple_of(50) {
            eprintln!("matrix: {done} cases");
        }
    }
}

fn live(seed: u64, case: &Case) -> Outcome {
    let Case { config, attachment } = case;
    let twins = Twins::quick().unwrap();
    if case.needs_inner_link() {
        twins.make_inner_links();
    }
    let title = format!(
        "PLEXUS_CONTRACT_SEED={seed} PLEXUS_CONTRACT_CASES=1\n{config}\n{} {}\n",
        attachment.ifname, attachment.args
    );
    let before = twins.sides[0].1.run(crate::differences::left_behind);
    let [native, reference] = twins.call(&title, "ADD", config, attachment);
    if let (Ok(native), Ok(reference)) = (native, reference) {
        twins.live_on(&title, config, attachment, [native, reference]);
        return Outcome::Lived;
    }
    let after = twins.sides[0].1.run(crate::differences::left_behind);
    assert_eq!(before, after, "{title}: the native left something behind");
    // Runtimes call it after a failure. What the reference cannot read it cannot delete, natives may not either.
    let [native, reference] = twins.call_each("DEL", config, attachment);
    assert!(native.is_ok() || reference.is_err(), "{title}: DEL of what was refused: {native:?}");
    Outcome::Refused
}
