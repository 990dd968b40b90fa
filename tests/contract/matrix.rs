//! Configurations by chance through a whole life, natives against programs.
//!
//! `PLEXUS_CONTRACT_CASES` is how many (default: [`CASES`]) and `PLEXUS_CONTRACT_SEED` the first one's
//! seed; each next one's is one more, and those of links that the kernel has not are passed over. A failure
//! names its seed: with that one and one case it is replayed.

use crate::cases::Twins;
use crate::differences::Left;
use crate::optional::{IPVLAN, VLAN, VLANS_OF_PORTS, has, is_complete_kernel};
use crate::plugin::{Attachment, is_for_native};
use crate::random::{Case, Random};
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const CASES: u64 = 300;
/// How many live at once: a part of a life is waiting for the kernel.
const WORKERS: usize = 4;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn by_chance() {
    let Some(twins) = Twins::new() else { return };
    let seed = number("PLEXUS_CONTRACT_SEED").unwrap_or_default();
    let count = number("PLEXUS_CONTRACT_CASES").unwrap_or(CASES);
    let lacks: Vec<&str> = [IPVLAN, VLAN, VLANS_OF_PORTS].into_iter().filter(|line| !has(&twins, line)).collect();
    assert!(lacks.is_empty() || !is_complete_kernel(), "kernel has not: {lacks:?}");
    let (next, begun) = (AtomicU64::new(seed), AtomicU64::new(0));
    let tally = Mutex::new(Tally::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let case = Case::new(&mut Random(seed));
            if case.needs().is_some_and(|line| lacks.contains(&line)) {
                continue;
            }
            if begun.fetch_add(1, Ordering::Relaxed) >= count {
                return;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| live(seed, &case)));
            tally.lock().unwrap().count(seed, outcome.ok());
        }
    };
    std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
    let tally = tally.into_inner().unwrap();
    eprintln!("matrix from seed {seed}: {tally:?}");
    assert!(tally.failed.is_empty(), "seeds of cases that failed, see above: {:?}", tally.failed);
}

/// How a case went.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// Through all of its life.
    Lived,
    /// Both refused to attach.
    Refused,
    /// It is for the program alone.
    Declined,
}

#[derive(Debug, Default)]
struct Tally {
    lived: u64,
    refused: u64,
    declined: u64,
    failed: Vec<u64>,
}

impl Tally {
    fn count(&mut self, seed: u64, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Lived) => self.lived += 1,
            Some(Outcome::Refused) => self.refused += 1,
            Some(Outcome::Declined) => self.declined += 1,
            None => self.failed.push(seed),
        }
        let done = self.lived + self.refused + self.declined + self.failed.len() as u64;
        if done.is_multiple_of(50) {
            eprintln!("matrix: {done} cases");
        }
    }
}

fn live(seed: u64, case: &Case) -> Outcome {
    let Case { config, attachment, .. } = case;
    let title = format!(
        "PLEXUS_CONTRACT_SEED={seed} PLEXUS_CONTRACT_CASES=1\n{config}\n{} {}\n",
        attachment.ifname, attachment.args
    );
    assert_eq!(is_for_native(config), !case.is_declined, "{title}: whether it is for the native");
    if case.is_declined {
        return Outcome::Declined;
    }
    let twins = Twins::quick().unwrap();
    if case.needs_inner_link() {
        twins.make_inner_links();
    }
    let Some(added) = add(&twins, &title, config, attachment) else { return Outcome::Refused };
    if let Some(second) = &case.second {
        live_beside(&twins, &title, config, second);
    }
    twins.live_on(&title, config, attachment, added);
    Outcome::Lived
}

/// ADD on both sides; `None` when both refuse and nothing is left behind.
fn add(twins: &Twins, title: &str, config: &Value, attachment: &Attachment) -> Option<[Value; 2]> {
    let before = twins.sides[0].1.run(Left::here);
    let [native, reference] = twins.call(title, "ADD", config, attachment);
    if let (Ok(native), Ok(reference)) = (native, reference) {
        return Some([native, reference]);
    }
    let after = twins.sides[0].1.run(Left::here);
    assert_eq!(before, after, "{title}: the native left something behind");
    // Runtimes call it after a failure. What the reference cannot read it cannot delete, natives may not either.
    let [native, reference] = twins.call_each("DEL", config, attachment);
    assert!(native.is_ok() || reference.is_err(), "{title}: DEL of what was refused: {native:?}");
    None
}

/// The same network once more in the same container, beside the first attachment.
fn live_beside(twins: &Twins, title: &str, config: &Value, second: &Attachment) {
    let title = format!("{title}beside, as {}: ", second.ifname);
    if add(twins, &title, config, second).is_some() {
        twins.compare(&format!("{title}after ADD"), true);
        twins.delete(&title, config, second);
    }
}
