//! The settings of links under `/proc/sys/net`, in the namespace of the calling thread.
//!
//! Every namespace has its own `net/ipv4` and `net/ipv6` there, and the kernel compares the one that is asked for with
//! those of all others (proc_sysctl.c: `proc_sys_compare`): with 300 pods each look costs 80 µs more (measured). So a
//! folder is opened once, and settings are opened beneath it.

#![allow(clippy::disallowed_methods, reason = "files of /proc are short and end")]

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

/// Which of the two trees of settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `net/ipv4`.
    V4,
    /// `net/ipv6`.
    V6,
}

impl Family {
    /// The switch that lets a namespace forward its packets.
    fn forwarding(self) -> &'static str {
        match self {
            Family::V4 => "ip_forward",
            Family::V6 => "conf/all/forwarding",
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// A switch of a whole family that is on.
const ON: &str = "1";
/// What a setting is at most.
const LONGEST: usize = 256;

/// The settings of one namespace, in which a thread has to be that reads or writes them.
#[derive(Debug, Default)]
pub struct Settings {
    v4: OnceLock<OwnedFd>,
    v6: OnceLock<OwnedFd>,
    /// Of IPv4 and of IPv6: it was seen that the namespace forwards packets.
    forwards: [OnceLock<()>; 2],
}

impl Settings {
    /// Reads the setting `key` of `link`.
    ///
    /// # Errors
    /// There is no such link or setting: `net/ipv6` is missing where the kernel has IPv6 off.
    pub fn read(&self, family: Family, link: &str, key: &str) -> io::Result<String> {
        self.read_file(family, &of_link(link, key))
    }

    /// Writes the setting `key` of `link`.
    ///
    /// # Errors
    /// As [`Settings::read`], or the value is refused.
    pub fn write(&self, family: Family, link: &str, key: &str, value: &str) -> io::Result<()> {
        self.write_file(family, &of_link(link, key), value)
    }

    /// Lets the namespace forward packets of `family`, if it does not yet.
    ///
    /// # Errors
    /// The setting is missing or cannot be written.
    pub fn enable_forwarding(&self, family: Family) -> io::Result<()> {
        let (file, [forwards_v4, forwards_v6]) = (family.forwarding(), &self.forwards);
        let known = if family == Family::V4 { forwards_v4 } else { forwards_v6 };
        if known.get().is_some() {
            return Ok(());
        }
        // Writing makes the kernel walk all links even where nothing changes.
        if self.read_file(family, file)? != ON {
            self.write_file(family, file, ON)?;
        }
        known.get_or_init(|| ());
        Ok(())
    }

    fn read_file(&self, family: Family, file: &str) -> io::Result<String> {
        // The kernel answers a setting as a whole (proc_sysctl.c: `proc_sys_call_handler`).
        let mut bytes = [0; LONGEST];
        let length = self.open(family, file, OFlag::O_RDONLY)?.read(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..length]).trim_end().to_owned())
    }

    fn write_file(&self, family: Family, file: &str, value: &str) -> io::Result<()> {
        self.open(family, file, OFlag::O_WRONLY)?.write_all(value.as_bytes())
    }

    fn open(&self, family: Family, file: &str, mode: OFlag) -> io::Result<File> {
        Ok(openat(self.folder(family)?, file, mode | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }

    fn folder(&self, family: Family) -> io::Result<&OwnedFd> {
        let (path, kept) = match family {
            Family::V4 => ("/proc/sys/net/ipv4", &self.v4),
            Family::V6 => ("/proc/sys/net/ipv6", &self.v6),
        };
        if let Some(folder) = kept.get() {
            return Ok(folder);
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = openat(AT_FDCWD, path, flags, Mode::empty())?;
        Ok(kept.get_or_init(|| folder))
    }
}

fn of_link(link: &str, key: &str) -> String {
    format!("conf/{link}/{key}")
}
