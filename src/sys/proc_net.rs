//! The addresses of a namespace as `/proc` shows them to everybody, for namespaces that we may not enter.

use super::files;
use nix::errno::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// A routing table of a node with thousands of pods is a megabyte.
const MAX_TABLE: usize = 64 << 20;

/// The addresses of the links in the namespace of the process whose folder is `process`; none where it has ended.
///
/// # Errors
/// `/proc` does not show them.
pub fn addresses(process: &Path) -> io::Result<Vec<IpAddr>> {
    let read = |name: &str| match files::read_bounded(&process.join("net").join(name), MAX_TABLE) {
        // A process that has ended has no namespace: EINVAL while it is a zombie.
        Err(e) if [Errno::ESRCH, Errno::EINVAL].into_iter().any(|code| e.raw_os_error() == Some(code as i32)) => {
            Ok(None)
        }
        other => other,
    };
    let mut all = local(&read("fib_trie")?.unwrap_or_default());
    all.extend(inet6(&read("if_inet6")?.unwrap_or_default()));
    Ok(all)
}

/// The leaves of the trie that are local addresses: the line after an address tells what it is.
fn local(trie: &str) -> Vec<IpAddr> {
    let mut all = Vec::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line.ends_with("host LOCAL") {
            all.extend(leaf.map(IpAddr::V4));
        }
    }
    all
}

fn inet6(table: &str) -> Vec<IpAddr> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    table.lines().filter_map(address).map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_read() {
        let trie = "Main:\n  +-- 10.0.0.0/24 2 0 2\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(local(trie), ["10.0.0.7".parse::<IpAddr>().unwrap()]);
        let table = "fd000000000000000000000000000002 04 40 00 82     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(inet6(table), ["fd00::2".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert!(addresses(Path::new("/proc/self")).is_ok());
        assert_eq!(addresses(Path::new("/proc/4194305")).unwrap(), [] as [IpAddr; 0]);
    }
}
