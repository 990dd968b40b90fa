//! The machine: namespaces, netlink, processes, files. Knows nothing of CNI.
//!
//! The only place that enters a namespace, speaks netlink, starts a process or replaces a file.

pub mod boot;
pub mod capabilities;
pub mod core_files;
pub mod detach;
pub mod environment;
pub mod files;
pub mod handover;
pub mod lock;
pub mod netlink;
pub mod netns;
pub mod netns_list;
pub mod owner;
pub mod proc_net;
pub mod process;
pub mod shared_folder;
pub mod sysctl;
pub mod trusted;
pub mod unix_socket;

/// Writes a line to stderr. Where nobody reads it, or the disk behind it is full, the line is lost, and no more: this
/// process may be in the middle of attaching a pod.
pub fn tell(line: impl std::fmt::Display) {
    // One write a line, so that lines of processes that share the descriptor are not mixed.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

/// Whether we may make namespaces and links: what tests on the real kernel ask first.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
