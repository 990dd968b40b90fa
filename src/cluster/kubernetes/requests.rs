//! What was asked of the API server, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The counters. A clone counts on the same ones.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    made: Family<[(&'static str, &'static str); 2], Counter>,
    watch_failures: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Requests {
    /// A request of `verb` came back, with an answer or not.
    pub(in crate::cluster) fn made(&self, verb: &'static str, answered: bool) {
        let outcome = if answered { "answered" } else { "failed" };
        self.made.get_or_create(&[("verb", verb), ("outcome", outcome)]).inc();
    }

    /// A watch was interrupted.
    pub(in crate::cluster) fn watch_failed(&self, watch: &'static str) {
        self.watch_failures.get_or_create(&[("watch", watch)]).inc();
    }

    /// Shows the counters in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("api_requests", "Requests to the API server, without watches", self.made.clone());
        registry.register("watch_failures", "Interruptions of a watch", self.watch_failures.clone());
    }
}
