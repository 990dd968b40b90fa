//! The machine: namespaces, netlink, processes, files. Knows nothing of CNI.
//!
//! The only place that enters a namespace, speaks netlink, starts a process or replaces a file.

pub mod core_files;
pub mod detach;
pub mod environment;
pub mod files;
pub mod lock;
pub mod netlink;
pub mod netns;
pub mod netns_list;
pub mod process;
pub mod shared_folder;
pub mod sysctl;
pub mod trusted;

/// Whether we may make namespaces and links: what tests on the real kernel ask first.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
