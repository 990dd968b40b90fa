//! Root's part of the DaemonSet beside the installer: puts back what others displace of the installation, passes on the
//! kubelet's pod-resources socket, counts the addresses of pools, and gives back those that the daemon calls back.
//!
//! It is a program of its own because the daemon must not be root: the daemon parses what tenants write and talks to
//! the API server. The keeper has no token, and reads nothing but the node's own files. What it finds, the daemon
//! reads from [`RunDirectory::keeping`](crate::api::RunDirectory::keeping).

pub mod folders;
mod guard;
mod installed;
mod pools;
mod program;
mod relay;
mod report;
mod stock;

pub use guard::{Guard, LOOK_EVERY};
pub use pools::Pools;
pub use relay::Relay;
pub use report::Report;
pub use stock::Stock;

/// Where the kubelet has its pod-resources socket unless its root folder was moved.
pub const POD_RESOURCES_SOCKET: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";
