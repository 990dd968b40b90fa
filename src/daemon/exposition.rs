//! What `/metrics` answers: what is counted, and what is measured when it is asked for.

use super::Daemon;
use super::http::Site;
use crate::cluster::Kubernetes;
use prometheus_client::encoding::text;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

impl Site for Daemon {
    fn metrics(&self) -> String {
        encode(self)
    }

    fn readiness(&self) -> (bool, Vec<(String, String)>) {
        (self.readiness.is_ready(), self.readiness.tell().into_iter().collect())
    }

    fn kubernetes(&self) -> Option<&Kubernetes> {
        self.cluster.kubernetes()
    }
}

fn encode(daemon: &Daemon) -> String {
    let mut registry = Registry::with_prefix("plexus");
    registry.register("build", "The release", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    daemon.metrics.register(&mut registry);
    daemon.calls.register(&mut registry);
    daemon.addresses.register(&mut registry);
    daemon.cluster.requests().register(&mut registry);
    let mut gauge = |name: &str, help: &str, value: usize| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    let (definitions, pods) = daemon.cluster.cache().sizes();
    gauge("definitions", "NetworkAttachmentDefinitions in memory", definitions);
    gauge("definition_bytes", "Bytes of their configurations in memory", daemon.cluster.cache().bytes());
    gauge("pods", "Pods of this node in memory", pods);
    gauge("unpublished", "network-status updates that wait", daemon.unpublished.count());
    gauge("ready", "1 if every readiness check passed", daemon.readiness.is_ready().into());
    gauge(
        "definitions_confirmed",
        "1 if the NetworkAttachmentDefinitions in memory are in sync with the API server",
        daemon.cluster.cache().confirmed().into(),
    );
    if let Some(guards) = daemon.cluster.canary().guards() {
        gauge("policy_guards", "1 if the admission policy protects the daemon's token", guards.into());
    }
    let mut lines = String::new();
    // Writing to a string cannot fail.
    let _ = text::encode(&mut lines, &registry);
    lines
}
