//! Waiting for what the kernel does on its own.

use super::failure::Failure;
use std::time::{Duration, Instant};

/// Pauses between two looks: most things are over at once, the rest takes long.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks `done` again and again until it says so or `timeout` has passed; answers which.
///
/// # Errors
/// Those of `done`.
pub fn poll(timeout: Duration, mut done: impl FnMut() -> Result<bool, Failure>) -> Result<bool, Failure> {
    let deadline = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    while !done()? {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(true)
}
