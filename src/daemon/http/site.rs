//! Whom monitoring asks: the daemon, or the controller of addresses.

use crate::cluster::Kubernetes;

/// A program that is monitored.
pub trait Site: Send + Sync {
    /// Everything that is counted or measured, as text for Prometheus.
    fn metrics(&self) -> String;

    /// Whether every check passed, and what each of them waits for: nothing where it passed.
    fn readiness(&self) -> (bool, Vec<(String, String)>);

    /// The API server, which knows tokens; none where there is none.
    fn kubernetes(&self) -> Option<&Kubernetes>;
}
