//! What monitoring is shown of the controller. One that does not work shows no pools: another one does.

use crate::cluster::{Kubernetes, Requests};
use crate::daemon::http::Site;
use crate::ipam::tally::Labels;
use crate::ipam::usage::{Part, Usage};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Parts = Family<[(&'static str, Cow<'static, str>); 2], Gauge>;

/// What is shown.
#[derive(Debug)]
pub struct Shown {
    kubernetes: Arc<Kubernetes>,
    requests: Requests,
    freed: Counter,
    objections: Counter,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    leads: bool,
    /// Why the last look failed.
    trouble: String,
    pools: Option<Vec<(String, Usage)>>,
    revoking: Option<usize>,
    orphans: Option<usize>,
}

impl Shown {
    /// Nothing yet.
    pub fn new(kubernetes: Arc<Kubernetes>, requests: Requests) -> Self {
        let (freed, objections) = (Counter::default(), Counter::default());
        Shown { kubernetes, requests, freed, objections, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this controller works. What one has seen that does not is out of date.
    pub fn leads(&self, leads: bool) {
        let mut seen = self.seen();
        if leads {
            seen.leads = true;
        } else {
            *seen = Seen::default();
        }
    }

    /// Why removed nodes cannot be looked for; nothing where they can.
    pub fn trouble(&self, reason: &str) {
        reason.clone_into(&mut self.seen().trouble);
    }

    /// What is leased of each pool; none before it is known.
    pub fn pools(&self, pools: Option<Vec<(String, Usage)>>) {
        self.seen().pools = pools;
    }

    /// So many nodes were removed, and their blocks are not free yet.
    pub fn revoking(&self, nodes: usize) {
        self.seen().revoking = Some(nodes);
    }

    /// So many blocks are of nodes without an AddressNode.
    pub fn orphans(&self, blocks: usize) {
        self.seen().orphans = Some(blocks);
    }

    /// The blocks of a removed node are free.
    pub fn freed(&self) {
        self.freed.inc();
    }

    /// A daemon has taken the mark of a removal away.
    pub fn objected(&self) {
        self.objections.inc();
    }
}

impl Site for Shown {
    fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("plexus");
        registry.register("build", "The release", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        self.requests.register(&mut registry);
        let help = "Removed nodes whose blocks were freed";
        registry.register("ipam_nodes_freed", help, self.freed.clone());
        let help = "Marks of a removal that the daemon of the node took away";
        registry.register("ipam_objections", help, self.objections.clone());
        let seen = self.seen();
        let mut gauge = |name: &str, help: &str, value: usize| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        };
        gauge("ipam_controller_leads", "1 if this controller works, and no other one", seen.leads.into());
        if let Some(nodes) = seen.revoking {
            gauge("ipam_revoking", "Removed nodes whose blocks are not free yet", nodes);
        }
        if let Some(blocks) = seen.orphans {
            gauge("ipam_orphan_blocks", "Blocks of nodes that have no AddressNode", blocks);
        }
        if let Some(pools) = &seen.pools {
            register_pools(&mut registry, pools);
        }
        let mut lines = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut lines, &registry);
        lines
    }

    fn readiness(&self) -> (bool, Vec<(String, String)>) {
        let trouble = self.seen().trouble.clone();
        (trouble.is_empty(), vec![("nodes".to_owned(), trouble)])
    }

    fn kubernetes(&self) -> Option<&Kubernetes> {
        Some(&self.kubernetes)
    }
}

fn register_pools(registry: &mut Registry, pools: &[(String, Usage)]) {
    let (mut labels, mut sums) = (Labels::default(), BTreeMap::<(String, &'static str), Part>::new());
    for (pool, usage) in pools {
        for (family, part) in usage.parts() {
            let sum = sums.entry((labels.of(pool).to_owned(), family)).or_default();
            sum.capacity = sum.capacity.saturating_add(part.capacity);
            sum.leased = sum.leased.saturating_add(part.leased);
        }
    }
    let (capacity, leased) = (Parts::default(), Parts::default());
    for ((pool, family), part) in sums {
        let labels = [("pool", Cow::Owned(pool)), ("family", Cow::Borrowed(family))];
        let clamped = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        capacity.get_or_create(&labels).set(clamped(part.capacity));
        leased.get_or_create(&labels).set(clamped(part.leased));
    }
    registry.register("ipam_pool_capacity", "Addresses of the pool that can be given to pods", capacity);
    registry.register("ipam_pool_leased", "Those of them in blocks that nodes lease", leased);
}
