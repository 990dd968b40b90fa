//! The settings of a link under `/proc/sys/net`, in the namespace of the calling thread.

#![allow(clippy::disallowed_methods, reason = "files of /proc are short and end")]

use std::fs;
use std::io;
use std::path::PathBuf;

/// Which of the two trees of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `net/ipv4`.
    V4,
    /// `net/ipv6`.
    V6,
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

impl Family {
    fn folder(self) -> &'static str {
        match self {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }
}

/// Reads the setting `key` of `link`.
///
/// # Errors
/// There is no such link or setting: `net/ipv6` is missing where the kernel has IPv6 off.
pub fn read(family: Family, link: &str, key: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(family, link, key))?.trim_end().to_owned())
}

/// Writes the setting `key` of `link`.
///
/// # Errors
/// As [`read`], or the value is refused.
pub fn write(family: Family, link: &str, key: &str, value: &str) -> io::Result<()> {
    fs::write(path(family, link, key), value)
}

/// Lets the namespace forward packets of `family`, if it does not yet.
///
/// # Errors
/// The setting is missing or cannot be written.
pub fn enable_forwarding(family: Family) -> io::Result<()> {
    let path = match family {
        Family::V4 => "/proc/sys/net/ipv4/ip_forward",
        Family::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
    };
    // Writing makes the kernel walk all links even where nothing changes.
    if fs::read_to_string(path)?.trim() == "1" { Ok(()) } else { fs::write(path, "1") }
}

fn path(family: Family, link: &str, key: &str) -> PathBuf {
    ["/proc/sys/net", family.folder(), "conf", link, key].iter().collect()
}
