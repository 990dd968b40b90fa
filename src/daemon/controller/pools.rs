//! The statuses of the pools: what is leased, and what is wrong with a pool. They are written when they change, and then
//! not again for a while.

use crate::cluster::pool_status::{PoolCondition, PoolStatus};
use crate::cluster::{Kubernetes, Mirror, SeenPool, ShownBlock, Subject, Written};
use crate::ipam::PoolName;
use crate::ipam::name::number_of;
use crate::ipam::overlap::{Claimant, Overlap, overlaps};
use crate::ipam::pool::InvalidPool;
use crate::ipam::usage::{Lease, Usage};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A status is written so often at most, and up to half as long later, so that not all of them are written together.
const WRITE_EVERY: Duration = Duration::from_secs(10);

const ACCEPTED: &str = "Accepted";
const OVERLAPS: &str = "Overlaps";
const EXHAUSTED: &str = "Exhausted";

/// Writes the statuses.
pub struct Statuses<'a> {
    kubernetes: &'a Kubernetes,
    pools: &'a Mirror<SeenPool>,
    blocks: &'a Mirror<ShownBlock>,
    /// When the status of each pool was written last.
    written: BTreeMap<String, Instant>,
}

impl<'a> Statuses<'a> {
    /// Of what is shown by the mirrors.
    pub fn new(kubernetes: &'a Kubernetes, pools: &'a Mirror<SeenPool>, blocks: &'a Mirror<ShownBlock>) -> Self {
        Statuses { kubernetes, pools, blocks, written: BTreeMap::new() }
    }

    /// Looks once, and writes what has changed. Answers what is leased of each pool; none before that is known.
    pub async fn look(&mut self) -> Option<Vec<(String, Usage)>> {
        let (pools, blocks) = (self.pools.all()?, self.blocks.all()?);
        let mut leases: BTreeMap<String, Vec<Lease>> = BTreeMap::new();
        blocks.into_iter().for_each(|block| leases.entry(block.pool).or_default().push(block.lease));
        let claimants: Vec<Claimant> = pools.iter().map(|pool| pool.claimant.clone()).collect();
        self.written.retain(|name, _| claimants.iter().any(|pool| pool.name == *name));
        let mut usages = Vec::new();
        for pool in &pools {
            let own = leases.remove(&pool.claimant.name).unwrap_or_default();
            let usage = Usage::of(&pool.claimant.spec, &own);
            let status = judge(pool, &usage, &overlaps(&pool.claimant, &claimants), &Timestamp::now().to_string());
            if status != pool.status && self.is_due(&pool.claimant.name) {
                self.write(pool, status).await;
            }
            usages.extend(usage.ok().map(|usage| (pool.claimant.name.clone(), usage)));
        }
        let is_implied = |name: &str| PoolName::new(name).is_ok_and(|name| name.is_implied());
        let implied = leases.iter().filter(|(name, _)| is_implied(name));
        usages.extend(implied.map(|(name, leases)| (name.clone(), Usage::of_implied(leases))));
        Some(usages)
    }

    fn is_due(&self, name: &str) -> bool {
        let half = u64::try_from(WRITE_EVERY.as_millis() / 2).unwrap_or(u64::MAX);
        let pause = WRITE_EVERY + Duration::from_millis(number_of(name) % half);
        self.written.get(name).is_none_or(|written| written.elapsed() >= pause)
    }

    async fn write(&mut self, pool: &SeenPool, status: PoolStatus) {
        let name = &pool.claimant.name;
        self.written.insert(name.clone(), Instant::now());
        match self.kubernetes.write_pool_status(pool, status.clone()).await {
            Ok(Written::Done) => self.tell(pool, &status),
            // Another version, which the watch will show; or a cluster with the definitions of a former release.
            Ok(other) => tracing::debug!(pool = name, ?other, "the status of a pool was not written"),
            Err(reason) => tracing::warn!(pool = name, reason, "the status of a pool cannot be written"),
        }
    }

    /// An event for each condition that has become a bad one.
    fn tell(&self, pool: &SeenPool, status: &PoolStatus) {
        let subject = Subject { kind: "AddressPool", name: pool.claimant.name.clone(), uid: pool.version.0.clone() };
        let became = |kind: &str, value: &str| {
            let was = pool.status.condition(kind).is_some_and(|before| before.status == value);
            status.condition(kind).filter(|now| now.status == value && !was)
        };
        if let Some(condition) = became(ACCEPTED, "False") {
            self.kubernetes.tell_of(&subject, "Warning", "PoolInvalid", &condition.message);
        }
        if let Some(condition) = became(OVERLAPS, "True") {
            self.kubernetes.tell_of(&subject, "Warning", "PoolOverlaps", &condition.message);
        }
        if let Some(condition) = became(EXHAUSTED, "True") {
            self.kubernetes.tell_of(&subject, "Warning", "PoolExhausted", &condition.message);
        }
    }
}

/// What is to be written of `pool` at `now`. Conditions that others write stay as they are.
fn judge(pool: &SeenPool, usage: &Result<Usage, InvalidPool>, overlaps: &[Overlap], now: &str) -> PoolStatus {
    let mut status = usage.as_ref().map(PoolStatus::of).unwrap_or_default();
    let others = pool.status.conditions.iter();
    status.conditions =
        others.filter(|one| ![ACCEPTED, OVERLAPS, EXHAUSTED].contains(&one.kind.as_str())).cloned().collect();
    let mut add = |kind: &str, is: bool, reason: &str, message: String| {
        let value = if is { "True" } else { "False" };
        let before = pool.status.condition(kind).filter(|before| before.status == value);
        status.conditions.push(PoolCondition {
            kind: kind.to_owned(),
            status: value.to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(1000).collect(),
            last_transition_time: before.map_or(now, |before| before.last_transition_time.as_str()).to_owned(),
            observed_generation: pool.generation,
        });
    };
    match usage {
        Ok(_) => add(ACCEPTED, true, "Valid", String::new()),
        Err(e) => add(ACCEPTED, false, "Invalid", e.to_string()),
    }
    match overlaps.first() {
        None => add(OVERLAPS, false, "NoSharedAddress", String::new()),
        Some(overlap) => {
            let Overlap { other, first, last, yields } = overlap;
            let (reason, age) = if *yields { ("OlderPool", "older") } else { ("YoungerPool", "younger") };
            let mend = "change the ranges, or set `separate` in both pools if their networks do not reach each other";
            add(OVERLAPS, true, reason, format!("pool {other}, which is {age}, also has {first} to {last}: {mend}"));
        }
    }
    let full: Vec<&str> =
        usage.iter().flat_map(Usage::parts).filter(|(_, part)| part.is_exhausted()).map(|(name, _)| name).collect();
    match full.as_slice() {
        [] => add(EXHAUSTED, false, "FreeBlocks", String::new()),
        full => add(EXHAUSTED, true, "NoFreeBlock", format!("nodes lease all {} addresses of it", full.join(" and "))),
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::pool::{PoolSpec, Range};

    fn seen(range: &str) -> SeenPool {
        let range = Range { range: range.to_owned(), ..Range::default() };
        let spec = PoolSpec { ranges: vec![range], ..PoolSpec::implied() };
        SeenPool {
            claimant: Claimant { name: "lan".to_owned(), created: 2, spec },
            version: ("u".to_owned(), "1".to_owned()),
            generation: 3,
            status: PoolStatus::default(),
        }
    }

    fn told(status: &PoolStatus) -> Vec<(&str, &str, &str, &str)> {
        status
            .conditions
            .iter()
            .map(|one| (one.kind.as_str(), one.status.as_str(), one.reason.as_str(), one.last_transition_time.as_str()))
            .collect()
    }

    #[test]
    fn conditions_say_what_is_wrong_and_since_when() {
        let mut pool = seen("10.0.0.0/30");
        let lease = |first: &str, size| Lease {
            block: crate::ipam::Block { first: first.parse().unwrap(), size },
            node: "n1".to_owned(),
        };
        let usage = |leases: &[Lease]| Usage::of(&seen("10.0.0.0/30").claimant.spec, leases);
        let first = judge(&pool, &usage(&[]), &[], "t1");
        assert_eq!(
            told(&first),
            [
                ("Accepted", "True", "Valid", "t1"),
                ("Overlaps", "False", "NoSharedAddress", "t1"),
                ("Exhausted", "False", "FreeBlocks", "t1")
            ]
        );
        assert_eq!((first.in_use.as_str(), first.nodes), ("0/2", 0));
        // The same again is the same.
        pool.status = first.clone();
        assert_eq!(judge(&pool, &usage(&[]), &[], "t2"), first);
        // Somebody else's condition stays.
        let foreign = PoolCondition { kind: "Scarce".to_owned(), ..PoolCondition::default() };
        pool.status.conditions.insert(0, foreign.clone());
        let overlap = Overlap {
            other: "old".to_owned(),
            first: "10.0.0.1".parse().unwrap(),
            last: "10.0.0.2".parse().unwrap(),
            yields: true,
        };
        let full = judge(&pool, &usage(&[lease("10.0.0.0", 4)]), &[overlap], "t3");
        assert_eq!(full.conditions[0], foreign);
        assert_eq!(
            told(&full)[1..],
            [
                ("Accepted", "True", "Valid", "t1"),
                ("Overlaps", "True", "OlderPool", "t3"),
                ("Exhausted", "True", "NoFreeBlock", "t3")
            ]
        );
        assert!(
            full.condition("Overlaps")
                .unwrap()
                .message
                .contains("pool old, which is older, also has 10.0.0.1 to 10.0.0.2")
        );
        assert_eq!((full.in_use.as_str(), full.blocks, full.nodes), ("2/2", 1, 1));
        let odd = judge(&seen("10.0.0.1/30"), &Usage::of(&seen("10.0.0.1/30").claimant.spec, &[]), &[], "t");
        assert_eq!(told(&odd)[0], ("Accepted", "False", "Invalid", "t"));
    }
}
