//! What `plexusctl status` has asked of the cluster.

use crate::cli::status::node::Examinations;
use crate::cli::status::whereabouts::Whereabouts;
use crate::cluster::{SeenDaemonSet, SeenEvent, SeenNode, SeenPod, SeenPolicy};
use crate::ipam::overlap::Claimant;
use crate::nad::Definition;

/// Everything that was asked; what could not be seen has its reason.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Every node.
    pub nodes: Vec<SeenNode>,
    /// Plexus' pods.
    pub plexus: Vec<SeenPod>,
    /// For each of them that is not ready its events, the oldest first.
    pub events: Vec<Vec<SeenEvent>>,
    /// The DaemonSet of Plexus, where it has no pod.
    pub daemon_set: Result<Option<SeenDaemonSet>, String>,
    /// Every NAD.
    pub definitions: Result<Vec<Definition>, String>,
    /// Every AddressPool; empty where no network takes addresses from one.
    pub address_pools: Result<Vec<Claimant>, String>,
    /// Whether the cluster has whereabouts, where networks have its sections.
    pub whereabouts: Result<Whereabouts, String>,
    /// The policies that are in force.
    pub policies: Result<Vec<SeenPolicy>, String>,
    /// Every pod.
    pub pods: Result<Vec<SeenPod>, String>,
    /// Where pods wait for a sandbox, the events of those that failed, the oldest first.
    pub failures: Result<Vec<SeenEvent>, String>,
    /// What each node was found to be; none where they were not asked.
    pub examinations: Option<Examinations>,
}
