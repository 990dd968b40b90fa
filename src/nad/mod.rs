//! The NPWG multi-network standard as data: which networks a pod selects, what a network
//! attachment definition (NAD) says, and what is reported back on the pod.
//!
//! Pure: nothing here touches the machine or the cluster. Clause IDs are `NPWG-…`.

pub mod definition;
pub mod reference;
pub mod requests;
pub mod selection;
pub mod status;

pub use definition::Definition;
#[cfg(feature = "cluster")]
pub(crate) use reference::is_dns_label;
pub use reference::{NadRef, PodRef};
pub use requests::{Bandwidth, PortMapping};
pub use selection::Selection;
pub use status::NetworkStatus;

/// Selects a pod's additional networks (NPWG-ANN-01).
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// Where the result is reported (NPWG-STA-01).
pub const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// Replaces the default network of one pod; of Multus, not of the standard (NPWG-DEF-08).
pub const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";
/// On a NAD: the device-plugin resource that its attachments take a device of.
pub const RESOURCE_NAME: &str = "k8s.v1.cni.cncf.io/resourceName";
/// On a NAD: its attachments may be made at the same time as others. Ours.
pub const PARALLEL: &str = "plexus.dev/parallel";
