//! What the tests need to run the shipped plugin against the real kernel.
//!
//! [`Node`] is a machine of the test's own: the test's thread enters fresh network and mount
//! namespaces, so what plugins and delegates make (bridges, leases, records, sockets) goes with the
//! thread, however the test ends, and tests run beside each other. [`Pod`] is a sandbox on it and
//! plays the container runtime. [`Recorder`] is a delegate that writes down how it was called and
//! does what the test tells it to.

#![allow(dead_code, unused_imports, reason = "every test crate uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

pub mod answer;
pub mod daemon;
pub mod kernel;
pub mod node;
pub mod pod;
pub mod programs;
pub mod recorder;

pub use answer::{Answer, Running};
pub use node::Node;
pub use pod::{Call, Pod};
pub use recorder::{Recorded, Recorder};

use std::time::{Duration, Instant};

/// Waits until `condition` holds; fails after ten seconds with `what`.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
