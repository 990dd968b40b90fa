//! What the daemon has in memory of the cluster, for a person who doubts it. No configuration and no annotation is in it.

use crate::cni::ContainerId;
use crate::nad::NadRef;
use serde::{Deserialize, Serialize};

/// So many of a kind are listed: the answer is one line of the protocol.
pub const MOST: usize = 10_000;

/// The contents of the daemon's memory. Members are added, never changed or removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Cached {
    /// The source: the API server, or a directory.
    pub source: String,
    /// The source has confirmed the NADs since the daemon started.
    pub confirmed: bool,
    /// The size of all configurations in memory, in bytes.
    pub bytes: usize,
    /// The NADs by name, at most 10000.
    pub networks: Vec<CachedNetwork>,
    /// The pods of this node by name, at most 10000; empty if the runtime passes annotations to the plugin.
    pub pods: Vec<CachedPod>,
    /// The sandboxes with a network-status that waits to be written, at most 10000.
    #[cfg_attr(feature = "cluster", schemars(with = "Vec<String>"))]
    pub unpublished: Vec<ContainerId>,
}

/// A NAD in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CachedNetwork {
    /// Its namespace and name.
    #[serde(flatten)]
    pub nad: NadRef,
    /// The length of `spec.config` in bytes; null if it is too long for the memory, and read for each pod.
    pub bytes: Option<usize>,
    /// The resource of its devices; null for none.
    pub resource_name: Option<String>,
}

/// A pod in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CachedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; null if the source is a manifest without one.
    pub uid: Option<String>,
    /// Its annotations select networks; null if they are too long for the memory.
    pub selects: Option<bool>,
}
