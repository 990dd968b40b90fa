//! Kills before each change, several at the same time.

use crate::support::changes::Changes;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A normal run leaves out so many changes of the daemon after each.
const STEP: usize = 9;
/// More than any program needs.
const MANY: usize = 5000;
/// Runs of a daemon differ: one that made few changes is not the end.
const COMPLETE: usize = 3;

/// Runs `command`, which is killed before its change numbered `number`, from 1; 0 is none. Answers the names of all changes.
pub fn killed_at(mut command: Command, number: usize) -> (Output, Vec<&'static str>) {
    let changes = Changes::of(&mut command, number);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Its end of the test's pipes.
    drop(command);
    (child.wait_with_output().unwrap(), changes.seen())
}

/// Every change counts with `PLEXUS_PROVE` set.
pub fn step() -> usize {
    if std::env::var_os("PLEXUS_PROVE").is_some() { 1 } else { STEP }
}

/// Has `kill` kill before each change, or of `step` changes one, `at_once` at the same time, until a program has made fewer
/// [`COMPLETE`] times; answers how many were killed.
pub fn before_each(step: usize, at_once: usize, kill: impl Fn(usize) -> usize + Sync) -> usize {
    // Change 1 is execve(2) itself.
    let (next, complete, kills) = (AtomicUsize::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while failure.lock().unwrap().is_none() && complete.load(Ordering::Relaxed) < COMPLETE {
                    let number = next.fetch_add(step, Ordering::Relaxed);
                    let kill = || {
                        assert!(number < MANY, "a program has no end");
                        kill(number)
                    };
                    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(kill)) {
                        Ok(changes) if changes < number => _ = complete.fetch_add(1, Ordering::Relaxed),
                        Ok(_) => _ = kills.fetch_add(1, Ordering::Relaxed),
                        Err(why) => *failure.lock().unwrap() = Some(why),
                    }
                }
            });
        }
    });
    if let Some(why) = failure.into_inner().unwrap() {
        std::panic::resume_unwind(why);
    }
    let kills = kills.into_inner();
    assert!(kills > 0, "nothing was killed");
    kills
}
