//! What is counted of calls. No label is a pod, a network or a sandbox, as everywhere in the daemon.

use super::labels::{self, Kinds};
use crate::api::calls::{CallReport, DelegateReport, NodeCounts, PoolCounts};
use crate::ipam::{PoolName, tally};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::borrow::Cow;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// From a built-in plugin's millisecond to a call that its caller gives up.
const BUCKETS: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0];
/// No call takes longer: what is reported to do so must not spoil the sum.
const LONGEST: Duration = Duration::from_secs(600);

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// The counters. A clone counts on the same ones.
#[derive(Clone, Debug)]
pub struct CallMetrics {
    calls: Family<Labels<2>, Counter>,
    durations: Histograms<1>,
    delegate_calls: Family<Labels<4>, Counter>,
    delegate_durations: Histograms<3>,
    conflicts: Family<Labels<1>, Counter>,
    refused: Family<Labels<1>, Counter>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    kinds: Kinds,
    pools: tally::Labels,
    counts: NodeCounts,
    /// When the plugin counted last, in seconds since 1970.
    counted: Option<u64>,
    /// When the runtime called STATUS last.
    status: Option<Instant>,
}

impl Default for CallMetrics {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        CallMetrics {
            calls: Family::default(),
            durations: Family::new_with_constructor(histogram),
            delegate_calls: Family::default(),
            delegate_durations: Family::new_with_constructor(histogram),
            conflicts: Family::default(),
            refused: Family::default(),
            seen: Arc::default(),
        }
    }
}

impl CallMetrics {
    /// A call was reported.
    pub(super) fn count(&self, report: CallReport) {
        let verb = Cow::Borrowed(labels::verb(&report.verb));
        let outcome = Cow::Borrowed(labels::outcome(report.code));
        self.calls.get_or_create(&[("verb", verb.clone()), ("outcome", outcome)]).inc();
        self.durations.get_or_create(&[("verb", verb)]).observe(seconds(report.us));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if report.verb == "STATUS" {
            seen.status = Some(Instant::now());
        }
        for delegate in report.delegates {
            self.count_delegate(delegate, &mut seen.kinds);
        }
        for pool in report.conflicts.into_iter().filter_map(|pool| PoolName::new(pool).ok()) {
            let label = seen.pools.of(pool.as_str()).to_owned();
            self.conflicts.get_or_create(&[("pool", Cow::Owned(label))]).inc();
        }
        if let Some(counts) = report.node {
            let is_complete = counts.attachments.is_some();
            seen.counts.update(counts);
            if is_complete {
                seen.counted = Some(SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs());
            }
        }
    }

    fn count_delegate(&self, DelegateReport { kind, program, verb, code, us }: DelegateReport, kinds: &mut Kinds) {
        let plugin: Cow<'static, str> = Cow::Owned(kinds.label(kind));
        let [by, verb, outcome] = [labels::by(program), labels::verb(&verb), labels::outcome(code)].map(Cow::Borrowed);
        let call = [("plugin", plugin.clone()), ("by", by.clone()), ("verb", verb.clone()), ("outcome", outcome)];
        self.delegate_calls.get_or_create(&call).inc();
        let duration = [("plugin", plugin), ("by", by), ("verb", verb)];
        self.delegate_durations.get_or_create(&duration).observe(seconds(us));
    }

    /// How long ago the runtime called STATUS; none if it was not heard of.
    pub fn status_age(&self) -> Option<Duration> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).status.map(|at| at.elapsed())
    }

    /// A datagram was no report.
    pub(super) fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", Cow::Borrowed(reason))]).inc();
    }

    /// Adds them to what is exported.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("calls", "Calls of the plugin by a runtime, and its own sweeps", self.calls.clone());
        let help = "Time that a call took";
        registry.register_with_unit("call_duration", help, Unit::Seconds, self.durations.clone());
        registry.register("delegate_calls", "Calls of plugins by Plexus", self.delegate_calls.clone());
        let help = "Time that a plugin took";
        registry.register_with_unit("delegate_duration", help, Unit::Seconds, self.delegate_durations.clone());
        let help = "Addresses of pools that another device has, by answers to the plugin";
        registry.register("ipam_probe_conflicts", help, self.conflicts.clone());
        let help = "Datagrams that the daemon refused to count as a call";
        registry.register("call_reports_refused", help, self.refused.clone());
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        register_counts(&seen.counts, registry);
        if let Some(counted) = seen.counted {
            let gauge: Gauge = Gauge::default();
            gauge.set(clamped(counted));
            let help = "Time of the last sweep of the plugin, which counted the node's records";
            registry.register_with_unit("counted_timestamp", help, Unit::Seconds, gauge);
        }
    }
}

/// What the plugin has counted; what it has not is missing.
fn register_counts(counts: &NodeCounts, registry: &mut Registry) {
    let NodeCounts { sandboxes, attachments, debts, damaged, aside, pools, copies } = counts;
    let mut gauge = |name: &str, help: &str, value: Option<u64>| {
        let Some(value) = value else { return };
        let gauge: Gauge = Gauge::default();
        gauge.set(clamped(value));
        registry.register(name, help, gauge);
    };
    gauge("sandboxes", "Sandboxes of this node that have a record", *sandboxes);
    gauge("attachments", "Networks that are attached to them", *attachments);
    gauge("debts", "Removals that failed and are tried again", *debts);
    gauge("pools", "Pools of host-local on this node", pools.map(|pools| pools.all));
    gauge("pools_nearly_full", "Pools with at most a tenth of their addresses left", pools.map(|p| p.nearly_full));
    if let Some(PoolCounts { fullest, .. }) = pools {
        let gauge: Gauge<f64, AtomicU64> = Gauge::default();
        gauge.set(f64::from((*fullest).min(1000)) / 1000.0);
        registry.register("fullest_pool_ratio", "Taken part of the fullest pool", gauge);
    }
    let places = [("records", damaged), ("aside", aside)];
    if let Some(family) = labelled("place", places.iter().filter_map(|(place, count)| Some((*place, (**count)?)))) {
        registry.register("damaged_records", "Damaged records, by their place", family);
    }
    let ages = ["hour", "day", "week", "older"].into_iter().zip(copies.iter().flatten().copied());
    if let Some(family) = labelled("age", ages) {
        registry.register("network_copies", "Last-known copies of NADs, by their age", family);
    }
}

/// A gauge whose one label is called `label`; none without a value.
fn labelled(
    label: &'static str,
    values: impl Iterator<Item = (&'static str, u64)>,
) -> Option<Family<[(&'static str, &'static str); 1], Gauge>> {
    let family: Family<[(&'static str, &'static str); 1], Gauge> = Family::default();
    let mut any = false;
    for (value, count) in values {
        family.get_or_create(&[(label, value)]).set(clamped(count));
        any = true;
    }
    any.then_some(family)
}

fn clamped(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(us: u64) -> f64 {
    Duration::from_micros(us).min(LONGEST).as_secs_f64()
}
