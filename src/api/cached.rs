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
    /// The daemon's connections; null if a former daemon answered.
    pub connections: Option<Connections>,
}

/// The daemon's connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Connections {
    /// The number of open connections on its socket: of plugins, and the one of this question.
    pub socket: usize,
    /// Whether its list of the NADs is complete and followed.
    pub networks: bool,
    /// Whether its list of the node's pods is complete; false if nobody asked for a pod yet.
    pub pods: bool,
    /// The error of the API server for the NADs; null if there is none.
    pub trouble: Option<String>,
}

/// A NAD in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cluster", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CachedNetwork {
    /// Its namespace and name.
    #[serde(flatten)]
    pub nad: NadRef,
    /// Its `resourceVersion`; null if the source is a manifest.
    #[serde(default)]
    pub resource_version: Option<String>,
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
