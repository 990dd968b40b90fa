//! What arrives at the daemon's socket for reports of calls.

use plexus::api::CallReport;
use plexus::api::calls::{MAX_BYTES, VERSION};

/// A datagram.
pub fn run(data: &[u8]) {
    let Ok(report) = CallReport::from_bytes(data) else { return };
    assert!(report.version == VERSION && !report.verb.is_empty() && data.len() <= MAX_BYTES);
    // What is understood is written so that it is understood the same; what does not fit is left out.
    let written = report.clone().to_bytes();
    if let Ok(again) = CallReport::from_bytes(&written) {
        assert!(report.delegates.starts_with(&again.delegates));
        assert_eq!((again.verb, again.code, again.us, again.node), (report.verb, report.code, report.us, report.node));
    }
}
