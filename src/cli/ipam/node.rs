//! What the commands about addresses share: the directories of a node, and moments.

use crate::api::{RunDirectory, StateDirectory};
use k8s_openapi::jiff::Timestamp;

/// The version of the JSON documents.
pub const VERSION: u32 = 1;

/// The directories of a node.
pub struct Node {
    /// The state directory.
    pub state: StateDirectory,
    /// The run directory.
    pub run: RunDirectory,
    /// This is a node with Plexus, by its state directory.
    pub is_node: bool,
}

/// A moment: RFC 3339, or seconds of Unix time.
pub fn time(text: &str) -> Result<u64, String> {
    let seconds = text.parse::<i64>().ok().or_else(|| Some(text.parse::<Timestamp>().ok()?.as_second()));
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.ok_or_else(|| format!("{text:?} is neither a time as 2026-11-29T08:00:00Z nor seconds of Unix time"))
}

/// A moment, for people; empty where it is not known.
pub fn moment(seconds: Option<u64>) -> String {
    let stamp = |seconds: u64| Timestamp::from_second(i64::try_from(seconds).ok()?).ok();
    seconds.and_then(stamp).map(|stamp| stamp.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_printed() {
        assert_eq!(time("1764403200"), Ok(1_764_403_200));
        assert_eq!(time("2025-11-29T08:00:00Z"), Ok(1_764_403_200));
        assert_eq!(time("2025-11-29T09:00:00+01:00"), Ok(1_764_403_200));
        assert_eq!(moment(Some(1_764_403_200)), "2025-11-29T08:00:00Z");
        assert_eq!(moment(None), "");
        for bad in ["", "yesterday", "-5", "2025-11-29"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
