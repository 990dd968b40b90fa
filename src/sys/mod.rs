//! The machine: namespaces, netlink, processes, files. Knows nothing of CNI.
//!
//! The only place that enters a namespace, speaks netlink, starts a process or replaces a file.

pub mod boot;
pub mod capabilities;
pub mod conflicts;
pub mod core_files;
pub mod datagram;
pub mod detach;
mod durability;
pub mod environment;
pub mod executable;
pub mod files;
mod flock;
pub mod handover;
mod listing;
pub mod location;
pub mod lock;
pub mod memory;
pub mod netlink;
pub mod netns;
pub mod netns_list;
pub mod owner;
pub mod printable;
pub mod probe;
pub mod proc_file;
pub mod proc_net;
pub mod process;
#[cfg(feature = "cluster")]
pub mod reach;
pub mod shared_folder;
pub mod sysctl;
pub mod trace;
pub mod trusted;
pub mod unix_socket;

/// Writes a line to stderr. Where nobody reads it, or the disk behind it is full, the line is lost, and no more: this
/// process may be in the middle of attaching a pod. Much of it is of others, so nothing of it acts on a terminal.
pub fn tell(line: impl std::fmt::Display) {
    write(&(printable::line(&line.to_string()) + "\n"));
}

/// As [`tell`], a text of any length and origin: line by line.
pub fn tell_lines(text: &[u8]) {
    write(&printable::lines(&String::from_utf8_lossy(text)));
}

fn write(lines: &str) {
    // One write, so that lines of processes that share the descriptor are not mixed.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), lines.as_bytes());
}

/// Whether we may make namespaces and links: what tests on the real kernel ask first.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
