//! What the daemon knows of the cluster: network attachment definitions and this node's pods, from
//! Kubernetes or from a folder of manifests; and the way back, the status on the pod.
//!
//! Both sources fill one [`Cache`]. [`Cluster`] is what the daemon asks.

pub mod addresses;
pub mod cache;
mod copies;
pub mod crd;
pub mod error;
mod kubernetes;
pub mod listing;
mod lookup;
pub mod manifests;
mod pauses;
pub mod pod;
pub mod pool_status;

pub use cache::Cache;
pub use error::{ConfigurationError, Error};
pub use kubernetes::access::{Access, WATCH_SECONDS, configuration};
pub use kubernetes::address_nodes::Written;
pub use kubernetes::canary::{Canary, Verdict};
pub use kubernetes::claimed::Claimed;
pub use kubernetes::client::{Kubernetes, PodWatch, UnknownNetwork};
pub use kubernetes::event::{Notice, Subject};
pub use kubernetes::inquiry::{
    Change, Finished, Inquiry, Job, Scope, SeenAddresses, SeenBlock, SeenDaemonSet, SeenEvent, SeenNode, SeenPod,
    SeenPolicy, Unanswered,
};
pub use kubernetes::leading::Leading;
pub use kubernetes::leasing::Freed;
pub use kubernetes::mirror::{Mirror, ShownBlock};
pub use kubernetes::nodes::SeenNodes;
pub use kubernetes::pools::SeenPool;
pub use kubernetes::reclaim::LeasedBlock;
pub use kubernetes::requests::Requests;
pub use kubernetes::reservations::SeenReservation;
pub use kubernetes::review::Permission;
pub use kubernetes::shortages::SeenShortage;
pub use kubernetes::whereabouts::whereabouts_runs;
pub use lookup::{Cluster, Origin};
pub use pauses::Pauses;
pub use pod::KnownPod;

use std::time::SystemTime;

/// How one try to publish a network status ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The pod has it.
    Written,
    /// The pod is gone; there is nothing to do.
    Gone,
    /// It cannot be: trying again would not help.
    Refused(String),
    /// Denied by a policy or a webhook, which somebody may be about to change.
    Denied(String),
    /// Somebody else wrote the pod at the same time.
    Conflict(String),
    /// Not this time.
    Later(String),
}

/// One try to publish a network status.
#[derive(Debug)]
pub struct Attempt {
    /// How it ended.
    pub outcome: Outcome,
    /// What there is to tell of it.
    pub notice: Option<Notice>,
}

impl From<Outcome> for Attempt {
    fn from(outcome: Outcome) -> Self {
        Attempt { outcome, notice: None }
    }
}

/// How long it has been tried to publish a status.
#[derive(Clone, Debug)]
pub struct Progress {
    /// When the status came to be.
    begun: SystemTime,
}

impl Progress {
    /// A status that came to be at `begun`.
    pub fn since(begun: SystemTime) -> Self {
        Progress { begun }
    }
}
