//! What the daemon has in memory of the cluster, for a person who doubts it. No configuration and no annotation is in it.

use crate::cni::ContainerId;
use crate::nad::NadRef;
use serde::{Deserialize, Serialize};

/// So many of a kind are listed: the answer is one line of the protocol.
pub const MOST: usize = 10_000;

/// What is in the daemon's memory. Members are added, never changed or removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cached {
    /// Where it comes from: the API server, or a directory.
    pub source: String,
    /// Whether the NADs are those of the cluster as far as the daemon knows.
    pub confirmed: bool,
    /// How many bytes of configurations are in memory.
    pub bytes: usize,
    /// The NADs by name, at most [`MOST`].
    pub networks: Vec<CachedNetwork>,
    /// The pods of this node by name, at most [`MOST`]; empty where the runtime passes annotations to the plugin.
    pub pods: Vec<CachedPod>,
    /// The sandboxes whose network-status waits to be written, at most [`MOST`].
    pub unpublished: Vec<ContainerId>,
}

/// A NAD in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedNetwork {
    /// Its namespace and name.
    #[serde(flatten)]
    pub nad: NadRef,
    /// The length of `spec.config` in bytes; null where it is too long for the memory, and read for each pod.
    pub bytes: Option<usize>,
    /// The resource of which it takes a device.
    pub resource_name: Option<String>,
}

/// A pod in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CachedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; null where a manifest without one is the source.
    pub uid: Option<String>,
    /// Whether its annotations select networks; null where they are too long for the memory.
    pub selects: Option<bool>,
}
