//! Random operations and faults on a machine, beside a small model of what must hold after each of them.
//!
//! `PLEXUS_MODEL_SEED=<seed> cargo test --test model` runs one seed, `PLEXUS_MODEL_RUN=<file>` a list of operations. A run
//! that fails is shrunk to a short list, and the list is kept in a file. With `PLEXUS_PROVE=<number>` so many new seeds run, from
//! `PLEXUS_MODEL_FIRST` on where that is given. `PLEXUS_MODEL_OPERATIONS=<number>` makes them longer. With `PLEXUS_FORMER`, as `make prove` has it, plugins of former releases make
//! some of the calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "../support/mod.rs"]
mod support;

mod cleaned;
mod daemon;
mod invariants;
mod odd;
mod op;
mod primary;
mod run;
mod seen;
mod shrink;
mod slot;
mod trouble;
mod world;

use op::Op;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The seeds of a normal run, and how many operations each has.
const FIXED: [u64; 4] = [1, 2, 3, 4];
const FEW: usize = 60;
/// The operations of each other run, unless `PLEXUS_MODEL_OPERATIONS` says how many.
const MANY: usize = 200;

/// The number that the variable `name` has. None where it is not set; what is no number, or 0, would quietly run something else.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    Some(number.unwrap_or_else(|| panic!("{name}={} is not a number above 0", text.display())))
}

fn many() -> usize {
    number("PLEXUS_MODEL_OPERATIONS").map_or(MANY, |number| number.try_into().unwrap())
}

/// Runs `ops` on a machine of its own. None where that cannot be had.
fn attempt(ops: &[Op]) -> Option<Result<run::Counts, String>> {
    let ops = ops.to_vec();
    let run = std::thread::spawn(move || Some(run::run(world::World::new()?, &ops)));
    match run.join() {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Some(Err(text.unwrap_or_else(|| "the test itself panics".to_owned())))
        }
    }
}

fn list(ops: &[Op]) -> String {
    let lines: Vec<String> = ops.iter().map(|op| serde_json::to_string(op).unwrap()).collect();
    lines.join("\n")
}

/// Runs the operations of `name`; a failure is shrunk and told with all that is needed to see it again.
fn hold(name: &str, ops: &[Op]) -> Option<run::Counts> {
    let why = match attempt(ops)? {
        Ok(counts) => return Some(counts),
        Err(why) => why,
    };
    // 0 is not to shrink at all.
    let minutes = std::env::var("PLEXUS_MODEL_SHRINK").map_or(2, |text| text.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    let (short, why) = shrink::shrink(ops.to_vec(), why, until, |ops| attempt(ops)?.err());
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("model-{name}.ops"));
    std::fs::write(&file, list(&short)).unwrap();
    // Other programs would make other calls.
    let programs: String = ["PLEXUS_FORMER", "PLEXUS_PLUGIN"]
        .iter()
        .filter_map(|name| std::env::var(name).ok().map(|value| format!("{name}={value} ")))
        .collect();
    panic!(
        "{name}: {why}\n{} operations:\n{}\nagain: {programs}PLEXUS_MODEL_RUN={} cargo test --test model",
        short.len(),
        list(&short),
        file.display()
    );
}

fn hold_seeds(seeds: &[u64], count: usize) {
    // A number of its own: `make prove` keeps it, so that the same seeds can run again.
    support::tally(seeds[0].try_into().unwrap(), "model: first seed");
    let [next, failed, held] = [0; 3].map(AtomicUsize::new);
    let all = std::sync::Mutex::new(BTreeMap::<String, usize>::new());
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = std::panic::catch_unwind(|| hold(&seed.to_string(), &op::generate(*seed, count)));
            match outcome {
                Ok(Some(counts)) => {
                    support::say(&format!("seed {seed}: {count} operations hold"));
                    held.fetch_add(1, Ordering::Relaxed);
                    counts.into_iter().for_each(|(what, n)| *all.lock().unwrap().entry(what).or_default() += n);
                }
                Ok(None) => {}
                Err(_) => _ = failed.fetch_add(1, Ordering::Relaxed),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    for (what, number) in all.into_inner().unwrap() {
        support::tally(number, &format!("model: {what}"));
    }
    assert_eq!(failed.into_inner(), 0, "of {} seeds some fail", seeds.len());
    // Where a machine cannot be had, that is said, and no seed is counted.
    let held = held.into_inner();
    support::tally(held, "model: seeds");
    support::tally(held * count, "model: operations");
}

#[test]
fn what_must_hold_holds_after_every_operation() {
    // FAULT-1, FAULT-2, FAULT-11, FAULT-12, FAULT-13, FAULT-14, FAULT-17, FAULT-18, FAULT-20, FAULT-21, FAULT-25, FAULT-36
    if let Ok(file) = std::env::var("PLEXUS_MODEL_RUN") {
        let text = std::fs::read_to_string(file).unwrap();
        let ops: Vec<Op> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // A second run may hold where the first one did not.
        let counts = attempt(&ops).unwrap().unwrap_or_else(|why| panic!("{why}"));
        assert!(!counts.is_empty(), "there is no operation in it");
    } else if let Some(seed) = number("PLEXUS_MODEL_SEED") {
        hold_seeds(&[seed], many());
    } else if let Some(count) = number("PLEXUS_PROVE") {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let first = number("PLEXUS_MODEL_FIRST").unwrap_or_else(now);
        hold_seeds(&(first..first + count).collect::<Vec<_>>(), many());
    } else {
        hold_seeds(&FIXED, FEW);
    }
}

/// What a run says of a plugin that answers STATUS by `lie`.
fn with_status(lie: &'static str, op: Op) -> Option<String> {
    let run = std::thread::spawn(move || {
        let world = world::World::new()?;
        world.answers_status_by(lie);
        Some(run::run(world, &[op]).err().unwrap_or_default())
    });
    run.join().unwrap()
}

#[test]
fn a_status_that_is_not_true_is_noticed() {
    let fails = r#"echo '{"cniVersion":"1.1.0","code":50,"msg":"never well"}'; exit 1"#;
    let trouble = |trouble| Op::StatusIn { slot: 0, trouble };
    let lies = [
        ("exit 0", trouble(op::Trouble::NeverRead), "STATUS must answer Some(50)"),
        ("exit 0", trouble(op::Trouble::Refuses { code: 51 }), "STATUS must answer Some(51)"),
        (fails, Op::Status, "STATUS must answer None"),
    ];
    for (lie, op, told) in lies {
        let Some(why) = with_status(lie, op) else { return };
        assert!(why.contains(told), "{lie}: {why}");
    }
}

#[test]
fn what_once_failed_holds() {
    // Each of these runs once found a fault, and finds it when `make put-back` puts it back.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/faults-put-back");
    let (mut tried, mut held) = (0, 0);
    for entry in std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "ops"))
    {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let ops: Vec<Op> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        tried += 1;
        held += usize::from(hold(&entry.file_name().to_string_lossy(), &ops).is_some());
    }
    assert!(tried > 0, "there is no such run");
    support::tally(held, "model: runs that once failed");
}

#[test]
fn a_run_is_shrunk_to_the_operations_that_matter() {
    let fails = |ops: &[Op]| {
        let position = |wanted: &Op| ops.iter().position(|op| op == wanted);
        let both = position(&Op::Gc).zip(position(&Op::Sweep)).is_some_and(|(gc, sweep)| gc < sweep);
        both.then(|| "both".to_owned())
    };
    let mut ops = op::generate(1, 90);
    ops.retain(|op| !matches!(op, Op::Gc | Op::Sweep));
    ops.insert(20, Op::Gc);
    ops.insert(50, Op::Sweep);
    let until = Instant::now() + Duration::from_secs(60);
    assert_eq!(shrink::shrink(ops, String::new(), until, fails), (vec![Op::Gc, Op::Sweep], "both".to_owned()));
}
