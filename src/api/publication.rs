//! A network status on its way to its pod.

use crate::cni::ContainerId;
use crate::nad::PodRef;
use serde::{Deserialize, Serialize};

/// A file in [`super::RunDirectory::unpublished`]: written by the plugin after an ADD, and removed by the plugin when
/// the daemon answers that it is published, or with the sandbox. The daemon only reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// The sandbox whose networks these are.
    pub container_id: ContainerId,
    /// The pod that gets the annotation.
    pub pod: PodRef,
    /// The annotation's value.
    pub network_status: String,
    /// The networks that the pod asks for and does not get, because Plexus is being uninstalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}
