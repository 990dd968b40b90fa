//! What this process may do.

use super::files;
use std::path::Path;

/// The file is a page at most.
const MAX_STATUS: usize = 64 << 10;
/// `CAP_NET_ADMIN` and `CAP_SYS_ADMIN` of capabilities(7).
const NETWORKS: u64 = 1 << 12 | 1 << 21;

/// Whether this process may change links and enter namespaces. What cannot be found out counts as no.
pub fn may_change_networks() -> bool {
    effective().is_some_and(|set| set & NETWORKS == NETWORKS)
}

fn effective() -> Option<u64> {
    let text = files::read_bounded(Path::new("/proc/self/status"), MAX_STATUS).ok()??;
    u64::from_str_radix(text.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_of_a_test_may_change_networks() {
        assert!(effective().is_some());
        if crate::sys::is_root() {
            assert!(may_change_networks());
        }
    }
}
