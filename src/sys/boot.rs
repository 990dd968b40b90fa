//! Which boot of the machine this is.

use super::files;
use std::path::Path;

/// An identifier and a newline.
const MAX_ID: usize = 64;
/// Counters of every processor and interrupt stand before the line.
const MAX_STAT: usize = 4 << 20;

/// The kernel's identifier of this boot; none where `/proc` does not show it.
pub fn id() -> Option<String> {
    let text = files::read_bounded(Path::new("/proc/sys/kernel/random/boot_id"), MAX_ID).ok()??;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// When this boot began, in seconds of Unix time by today's clock (`btime` of proc_stat(5)).
pub fn began() -> Option<u64> {
    let text = files::read_bounded(Path::new("/proc/stat"), MAX_STAT).ok()??;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// How many seconds ago this boot began, by a clock that nobody sets (proc_uptime(5)).
pub fn seconds() -> Option<u64> {
    let text = files::read_bounded(Path::new("/proc/uptime"), MAX_ID).ok()??;
    text.split(['.', ' ']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn a_boot_has_one_identifier_and_began_before_now() {
        let id = id().unwrap();
        assert_eq!(super::id().as_deref(), Some(id.as_str()));
        assert_eq!((id.len(), id.matches('-').count()), (36, 4));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(seconds().is_some_and(|seconds| seconds > 0));
        assert!(began().is_some_and(|began| began <= now && began > 1_000_000_000));
    }
}
