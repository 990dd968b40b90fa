//! What is counted of addresses. The number of pools that have a label of their own is bounded.

use crate::api::PoolTally;
use crate::ipam::tally::Labels;
use crate::ipam::{Confirmed, Grant, PoolName};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Labelled<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// The counters. A clone counts on the same ones.
#[derive(Clone, Debug)]
pub struct AddressMetrics {
    lease_duration: Histogram,
    conflicts: Counter,
    exhausted: Family<Labelled<1>, Counter>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    labels: Labels,
    /// What the keeper has counted; none where it has not.
    counts: Option<Vec<PoolTally>>,
}

impl Default for AddressMetrics {
    fn default() -> Self {
        AddressMetrics {
            lease_duration: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]),
            conflicts: Counter::default(),
            exhausted: Family::default(),
            seen: Arc::default(),
        }
    }
}

impl AddressMetrics {
    /// The plugin has waited so long for a lease.
    pub fn leased(&self, took: Duration) {
        self.lease_duration.observe(took.as_secs_f64());
    }

    /// Somebody else was faster.
    pub(super) fn conflicted(&self) {
        self.conflicts.inc();
    }

    /// No block of `pool` was free.
    pub(super) fn exhausted(&self, pool: &PoolName) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let label = seen.labels.of(pool.as_str()).to_owned();
        self.exhausted.get_or_create(&[("pool", label.into())]).inc();
    }

    /// The files of the plugin were counted.
    pub fn counted(&self, counts: Vec<PoolTally>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).counts = Some(counts);
    }

    /// Adds them to what is exported, with what `grants` show at `now`.
    pub fn register(&self, registry: &mut Registry, grants: &[Grant], now: &Confirmed) {
        let help = "Time that the plugin waited for a lease of a block";
        registry.register_with_unit("ipam_lease_duration", help, Unit::Seconds, self.lease_duration.clone());
        let help = "Requests about blocks in which somebody else was faster";
        registry.register("ipam_lease_conflicts", help, self.conflicts.clone());
        let help = "Requests for a block of a pool that has no free one";
        registry.register("ipam_exhausted", help, self.exhausted.clone());
        register_grants(registry, grants, now);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = &seen.counts {
            register_counts(registry, counts);
        }
    }
}

fn register_grants(registry: &mut Registry, grants: &[Grant], now: &Confirmed) {
    let (mut labels, mut blocks) = (Labels::default(), BTreeMap::<String, usize>::new());
    for grant in grants {
        *blocks.entry(labels.of(grant.pool.as_str()).to_owned()).or_default() += grant.offers.len();
    }
    let family: Family<Labelled<1>, Gauge> = Family::default();
    for (pool, count) in blocks {
        family.get_or_create(&[("pool", pool.into())]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    if !grants.is_empty() {
        registry.register("ipam_blocks", "Blocks of addresses that this node leases", family);
    }
    let oldest = grants.iter().filter(|grant| !grant.offers.is_empty()).map(|grant| age(&grant.confirmed, now)).max();
    if let Some(oldest) = oldest {
        let gauge: Gauge = Gauge::default();
        gauge.set(clamped(oldest));
        let help = "Time since the API server last confirmed the blocks of this node, of the pool where it is longest";
        registry.register_with_unit("ipam_authority_age", help, Unit::Seconds, gauge);
    }
}

/// How old a confirmation is, by the clock that shows more. One that was withdrawn is as old as the boot at most.
fn age(confirmed: &Confirmed, now: &Confirmed) -> u64 {
    if confirmed.boot != now.boot {
        return now.since_boot;
    }
    let ages = (now.since_boot.saturating_sub(confirmed.since_boot), now.clock.saturating_sub(confirmed.clock));
    ages.0.max(ages.1)
}

fn register_counts(registry: &mut Registry, counts: &[PoolTally]) {
    let family: Family<Labelled<3>, Gauge> = Family::default();
    let mut lost = 0_u64;
    for PoolTally { pool, family: number, tally } in counts {
        let states =
            [("taken", tally.taken), ("free", tally.free), ("cooling", tally.cooling), ("excluded", tally.excluded)];
        for (state, count) in states {
            let labels = [
                ("pool", Cow::Owned(pool.clone())),
                ("family", Cow::Borrowed(if *number == 4 { "IPv4" } else { "IPv6" })),
                ("state", Cow::Borrowed(state)),
            ];
            family.get_or_create(&labels).set(clamped(count));
        }
        lost = lost.saturating_add(tally.lost);
    }
    if !counts.is_empty() {
        registry.register("ipam_addresses", "Addresses of pools on this node, by what has become of them", family);
    }
    let gauge: Gauge = Gauge::default();
    gauge.set(clamped(lost));
    let help = "Addresses that pods of this node have in blocks that it does not lease";
    registry.register("ipam_lost_addresses", help, gauge);
}

fn clamped(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::tally::Tally;
    use prometheus_client::encoding::text;

    #[test]
    fn what_there_is_on_the_node_is_shown() {
        let grant = |pool: &str, at: u64| {
            let block = if at > 0 { "block 10.0.0.0 8 a 10.0.0.1 10.0.0.7\n" } else { "" };
            Grant::parse(&format!("pool {pool}\nconfirmed b {at} {at}\nauthority 600\nwarm 1 16\n{block}")).unwrap()
        };
        let grants = [grant("lan", 80), grant("old", 30), grant("unused", 0)];
        let metrics = AddressMetrics::default();
        let shown = || {
            let (mut registry, mut lines) = (Registry::with_prefix("plexus"), String::new());
            metrics.register(&mut registry, &grants, &Confirmed { boot: "b".into(), since_boot: 100, clock: 100 });
            text::encode(&mut lines, &registry).unwrap();
            lines
        };
        assert!(!shown().contains("lost_addresses"), "nobody has counted");
        let tally = Tally { taken: 3, free: 2, cooling: 1, excluded: 4, lost: 5 };
        metrics.counted(vec![PoolTally { pool: "lan".into(), family: 4, tally }]);
        metrics.exhausted(&PoolName::new("lan").unwrap());
        metrics.conflicted();
        metrics.leased(Duration::from_millis(7));
        let shown = shown();
        for line in [
            r#"plexus_ipam_addresses{pool="lan",family="IPv4",state="taken"} 3"#,
            r#"plexus_ipam_addresses{pool="lan",family="IPv4",state="cooling"} 1"#,
            r#"plexus_ipam_blocks{pool="lan"} 1"#,
            r#"plexus_ipam_blocks{pool="unused"} 0"#,
            "plexus_ipam_authority_age_seconds 70",
            "plexus_ipam_lost_addresses 5",
            r#"plexus_ipam_exhausted_total{pool="lan"} 1"#,
            "plexus_ipam_lease_conflicts_total 1",
            "plexus_ipam_lease_duration_seconds_count 1",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
        }
    }

    #[test]
    fn an_age_counts_by_the_clock_that_shows_more() {
        let at = |boot: &str, since_boot, clock| Confirmed { boot: boot.to_owned(), since_boot, clock };
        let now = at("b", 1000, 1000);
        for (confirmed, expected) in [
            (at("b", 990, 500), 500),
            (at("b", 400, 2000), 600),
            (at("a", 999, 999), 1000),
            (Confirmed::default(), 1000),
        ] {
            assert_eq!(age(&confirmed, &now), expected, "{confirmed:?}");
        }
    }
}
