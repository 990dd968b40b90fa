//! What every parser must do with any bytes: one function each, which panics where it does not.
//!
//! `fuzz/targets` calls them with what libFuzzer makes up, `tests/parsers.rs` with what it has found so far.

pub mod annotation;
pub mod calls;
pub mod config;
pub mod conflicts;
pub mod invocation;
pub mod ipam;
#[cfg(feature = "cluster")]
pub mod kubelet;
pub mod leases;
#[cfg(feature = "cluster")]
pub mod manifest;
pub mod multus;
pub mod netlink;
pub mod protocol;
pub mod record;
pub mod result;
pub mod settings;
pub mod status;

/// A parser's function.
pub type Parser = fn(&[u8]);

/// All of them, by the name of their target.
pub const ALL: &[(&str, Parser)] = &[
    ("annotation", annotation::run),
    ("calls", calls::run),
    ("config", config::run),
    ("conflicts", conflicts::run),
    ("invocation", invocation::run),
    ("ipam", ipam::run),
    #[cfg(feature = "cluster")]
    ("kubelet", kubelet::run),
    ("leases", leases::run),
    #[cfg(feature = "cluster")]
    ("manifest", manifest::run),
    ("multus", multus::run),
    ("netlink", netlink::run),
    ("protocol", protocol::run),
    ("record", record::run),
    ("result", result::run),
    ("settings", settings::run),
    ("status", status::run),
];

/// `data` where it is text: files and annotations that are none are refused before they are parsed.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Several texts, separated by NUL.
fn texts<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let mut parts = text(data)?.splitn(N, '\0');
    Some(std::array::from_fn(|_| parts.next().unwrap_or_default()))
}

/// A namespace or name of the cluster's becomes a part of a path (NPWG-NAD-06).
fn assert_is_dns_name(name: &str) {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    assert!(!name.is_empty() && name.len() <= 253 && name.bytes().all(legal) && !name.starts_with('.'), "{name:?}");
}

/// A container ID or network name becomes a part of a path (CNI-ENV-06, CNI-CFG-03).
fn assert_is_identifier(name: &str) {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    assert!(name.bytes().all(legal) && name.as_bytes()[0].is_ascii_alphanumeric(), "{name:?}");
}

/// The kernel takes it for a link, as it is (CNI-ENV-07).
fn assert_is_link(name: &str) {
    let refused = |b: u8| b.is_ascii_whitespace() || matches!(b, b'/' | b':' | b'%' | 0 | 0x0b | 0xa0);
    assert!((1..=15).contains(&name.len()) && name != "." && name != ".." && !name.bytes().any(refused), "{name:?}");
}

/// A folder in memory where there is one: millions of files are written to it.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
