//! What the daemon's tasks share.

use super::addresses::Addresses;
use super::calls::CallMetrics;
use super::devices::pod_resources::PodResources;
use super::health::readiness::Readiness;
use super::metrics::Metrics;
use super::publishing::unpublished::Unpublished;
use crate::cluster::Cluster;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Everything a question may need.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) addresses: Arc<Addresses>,
    pub(super) calls: CallMetrics,
    pub(super) cluster: Arc<Cluster>,
    pub(super) kubelet: PodResources,
    pub(super) unpublished: Arc<Unpublished>,
    pub(super) readiness: Readiness,
    pub(super) metrics: Metrics,
    /// The number of open connections on the socket.
    pub(super) open: AtomicUsize,
}
