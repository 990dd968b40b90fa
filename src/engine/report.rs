//! The report of a call for the daemon's metrics: see [`CallReport`].

use crate::api::RunDirectory;
use crate::api::calls::{CallReport, DelegateReport, NodeCounts, VERSION};
use crate::api::layout::{CALLS, DAEMON};
use crate::delegate::{measure, remarks};
use crate::sys::datagram::{self, Sent};
use std::path::Path;
use std::time::Duration;

/// A call that is over.
#[derive(Debug)]
pub struct Ended<'a> {
    /// `CNI_COMMAND`, or another name.
    pub verb: &'a str,
    /// The code of its error; 0 is success.
    pub code: u32,
    /// How long it took.
    pub took: Duration,
    /// What it has counted.
    pub node: Option<NodeCounts>,
}

/// Tells the daemon of `run`. The report is lost where nobody listens: it is worth no wait, and no line in a log.
pub fn send(run: &RunDirectory, Ended { verb, code, took, node }: Ended<'_>) -> Option<Sent> {
    let delegates = measure::take().into_iter().map(|note| DelegateReport {
        kind: note.kind,
        program: note.is_program,
        verb: note.verb.to_string(),
        code: note.code,
        us: microseconds(note.took),
    });
    let delegates = delegates.collect();
    let conflicts = remarks::take_conflicts().iter().map(ToString::to_string).collect();
    let (verb, us) = (verb.to_owned(), microseconds(took));
    let report = CallReport { version: VERSION, verb, code, us, delegates, conflicts, node };
    datagram::send(run.path(), &Path::new(DAEMON).join(CALLS), &report.to_bytes()).ok()
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
