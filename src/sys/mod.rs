//! The machine: namespaces, netlink, processes, files. Knows nothing of CNI.
//!
//! The only place that enters a namespace, speaks netlink, starts a process or replaces a file.

pub mod files;
pub mod lock;
pub mod process;
