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
pub mod apiserver;
pub mod asset;
pub mod changes;
pub mod cluster;
pub mod cnitool;
pub mod connection;
pub mod daemon;
pub mod http;
pub mod kernel;
pub mod leased;
pub mod manifests;
pub mod netlink;
pub mod node;
pub mod picture;
pub mod pod;
pub mod programs;
pub mod proxy;
pub mod random;
pub mod recorder;
pub mod reported;
pub mod requests;
pub mod sweeping;

pub use answer::{Answer, Running};
pub use node::Node;
pub use pod::{Call, Pod};
pub use recorder::{Recorded, Recorder};

use std::io::Write;
use std::time::{Duration, Instant};

/// How long anything may take that a test waits for: other tests have the processors, too. Less than the 30 s and more that
/// delegates sleep which a call must not wait for.
pub const PATIENCE: Duration = Duration::from_secs(28);

/// Waits until `condition` holds; fails after a while with `what`.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    wait_until(condition, || format!("waited in vain: {what}"));
}

/// Waits until `holds`; `otherwise` says what did not happen.
#[track_caller]
pub fn wait_until(holds: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    wait_within(PATIENCE, holds, otherwise);
}

/// As [`wait_until`], for `patience`.
#[track_caller]
pub fn wait_within(patience: Duration, mut holds: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says that a test could not run; in CI that is a failure.
pub fn cannot_run(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "cannot run here: {why}");
    say(&format!("SKIP {}: {why}", std::thread::current().name().unwrap_or("?")));
}

/// Writes a line past the test's captured output, which is shown only once the test has failed.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says that `count` of `what` were tried, for the summary of `make prove` (`e2e/prove/run`).
pub fn tally(count: usize, what: &str) {
    say(&format!("prove: {count} {what}"));
}

/// ADD and DEL of `pod`, which append their steps to `file`, and of `other` without a trace; answers how long the latter took.
#[track_caller]
pub fn traced(pod: &Pod, other: &Pod, file: &str) -> [Duration; 2] {
    for verb in ["ADD", "DEL"] {
        pod.call(verb).env(plexus::sys::trace::VARIABLE, file).timed();
    }
    ["ADD", "DEL"].map(|verb| other.call(verb).timed())
}

/// The machine's, or with the namespace of a pod entered its, interfaces get no addresses of the kernel's own, and none
/// that wait for others' objections: what a call does would depend on the time.
pub fn keep_the_kernel_quiet() {
    for (key, value) in [("all/accept_dad", "0"), ("default/accept_dad", "0"), ("default/addr_gen_mode", "1")] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{key}"), value).unwrap();
    }
}

/// [`keep_the_kernel_quiet`] in the sandbox of `pod`.
pub fn keep_the_sandbox_quiet(pod: &Pod) {
    plexus::sys::netns::Netns::open(&pod.netns).unwrap().run(keep_the_kernel_quiet).unwrap();
}
