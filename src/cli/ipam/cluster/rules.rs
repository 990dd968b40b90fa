//! What has to hold of pools, blocks and AddressNodes, whoever was killed or restored.

use crate::cluster::{SeenAddresses, SeenBlock, SeenPool, SeenReservation};
use crate::ipam::epoch::Terms;
use crate::ipam::overlap::{Claimant, overlaps};
use crate::ipam::{Pool, PoolName};
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The controller looks so often, in seconds.
const MARGIN: u64 = 60;
/// A block is written when it is leased, and again where its node has a new epoch, or where a request had no answer. That a
/// release or a mistake of people needs more is not likely.
const MOST_WRITES: i64 = 16;

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The rule: `overlap`, `pool`, `range`, `twice`, `orphan`, `epoch`, `writes`, `removed` or `kept`.
    pub rule: &'static str,
    /// The object: the name of a pool, a block, a node or an AddressReservation.
    pub object: String,
    /// What is wrong, and what follows from it.
    pub text: String,
}

/// What does not hold of `seen` at `now`, in seconds of Unix time. `there` are the Nodes.
pub fn judge(seen: &SeenAddresses, there: &BTreeSet<String>, now: u64) -> Vec<Problem> {
    let mut problems = of_pools(&seen.pools);
    problems.extend(seen.blocks.iter().flat_map(|block| of_block(block, seen)));
    problems.extend(twice(seen));
    problems.extend(of_nodes(seen, there, now));
    problems.extend(kept_twice(seen));
    problems
}

/// What of `problems` is about the pool `only`, if one is named.
pub fn only_of(problems: Vec<Problem>, only: Option<&str>) -> Vec<Problem> {
    let is_of =
        |object: &str, only: &str| object == only || object.rsplit_once('.').is_some_and(|(pool, _)| pool == only);
    problems.into_iter().filter(|problem| only.is_none_or(|only| is_of(&problem.object, only))).collect()
}

/// Reservations that share an address with one before.
fn kept_twice(seen: &SeenAddresses) -> Vec<Problem> {
    let mut first: BTreeMap<(&str, IpAddr), &SeenReservation> = BTreeMap::new();
    let mut problems = Vec::new();
    for one in seen.reservations.iter().flatten() {
        for address in &one.reservation.addresses {
            let Some(before) = first.insert((&one.pool, *address), one) else { continue };
            let (whose, other) = (&one.reservation.whose, &before.reservation.whose);
            let text = format!("{address} is kept for {whose} and for {other}: delete one of both, and that pod");
            problems.push(problem("kept", &one.name, text));
        }
    }
    problems
}

/// AddressNodes without a Node and without a mark: the controller has not looked yet, or a daemon objects, or there is no
/// controller.
pub fn unmarked<'a>(seen: &'a SeenAddresses, there: &BTreeSet<String>) -> Vec<&'a str> {
    let is_unmarked = |node: &str| seen.nodes.get(node).is_some_and(|record| !record.is_revoked() && !record.is_dead);
    seen.nodes.keys().map(String::as_str).filter(|node| !there.contains(*node) && is_unmarked(node)).collect()
}

fn problem(rule: &'static str, object: &str, text: String) -> Problem {
    Problem { rule, object: object.to_owned(), text }
}

fn of_pools(pools: &[SeenPool]) -> Vec<Problem> {
    let claimants: Vec<Claimant> = pools.iter().map(|pool| pool.claimant.clone()).collect();
    let of = |pool: &Claimant| {
        let older = overlaps(pool, &claimants).into_iter().filter(|overlap| overlap.yields);
        let text = |overlap: crate::ipam::overlap::Overlap| {
            let (first, last) = (overlap.first, overlap.last);
            problem("overlap", &pool.name, format!("it has {first} to {last}, as the older pool {}", overlap.other))
        };
        older.map(text).collect::<Vec<_>>()
    };
    claimants.iter().flat_map(of).collect()
}

fn of_block(block: &SeenBlock, seen: &SeenAddresses) -> Vec<Problem> {
    let mut problems = Vec::new();
    let node = &block.lease.node;
    match seen.nodes.get(node) {
        None => problems.push(problem("orphan", &block.name, format!("node {node} leases it, and has no AddressNode"))),
        Some(record) if !block.epoch.is_empty() && block.epoch != record.epoch => {
            let text = format!("node {node} leased it before it was removed, and has another epoch now");
            problems.push(problem("epoch", &block.name, text));
        }
        Some(_) => {}
    }
    if block.writes > MOST_WRITES {
        let text = format!("it was written {} times, and node {node} needs to write it once", block.writes);
        problems.push(problem("writes", &block.name, text));
    }
    let is_implied = PoolName::new(block.pool.clone()).is_ok_and(|pool| pool.is_implied());
    match seen.pools.iter().find(|pool| pool.claimant.name == block.pool) {
        None if is_implied => {}
        None => {
            let text = format!(
                "AddressPool {} was deleted, and node {node} keeps it until no pod has an address of it; create the pool again, or no other one with these addresses before that",
                block.pool
            );
            problems.push(problem("pool", &block.name, text));
        }
        Some(pool) if is_outside(block, pool) => {
            let text = format!(
                "it is in no range of pool {}: pods of node {node} keep addresses of it until they end",
                block.pool
            );
            problems.push(problem("range", &block.name, text));
        }
        Some(_) => {}
    }
    problems
}

/// Whether no address of the block is in a range. A specification that is none says nothing.
fn is_outside(block: &SeenBlock, pool: &SeenPool) -> bool {
    let Ok(understood) = Pool::new(&pool.claimant.spec) else { return false };
    let own = block.lease.block;
    !understood.subnets.iter().any(|subnet| own.contains(subnet.net.network()) || subnet.net.contains(&own.first))
}

/// Whether one address of both pools is on two networks.
pub fn apart(seen: &SeenAddresses) -> impl Fn(&str, &str) -> bool + '_ {
    let separate: BTreeSet<&str> =
        seen.pools.iter().filter(|pool| pool.claimant.spec.separate).map(|pool| pool.claimant.name.as_str()).collect();
    let known: BTreeSet<&str> = seen.pools.iter().map(|pool| pool.claimant.name.as_str()).collect();
    move |one: &str, other: &str| {
        // Each network_name of whereabouts has addresses of its own.
        let is_free = |pool: &str| !known.contains(pool) || separate.contains(pool);
        one != other && is_free(one) && is_free(other)
    }
}

/// Blocks that share addresses, each with the ones after it.
fn twice(seen: &SeenAddresses) -> Vec<Problem> {
    let is_apart = apart(seen);
    let mut blocks: Vec<&SeenBlock> = seen.blocks.iter().collect();
    blocks.sort_by_key(|block| (block.lease.block.first, block.lease.block.size));
    let mut problems = Vec::new();
    for (at, one) in blocks.iter().enumerate() {
        let has = |other: &&&SeenBlock| one.lease.block.contains(other.lease.block.first);
        for other in blocks[at + 1..].iter().take_while(has).filter(|other| !is_apart(&one.pool, &other.pool)) {
            let first: IpAddr = other.lease.block.first;
            let text = format!("{}, which node {} leases, has {first}, too", other.name, other.lease.node);
            problems.push(problem("twice", &one.name, format!("node {} leases it: {text}", one.lease.node)));
        }
    }
    problems
}

fn of_nodes(seen: &SeenAddresses, there: &BTreeSet<String>, now: u64) -> Vec<Problem> {
    let terms: BTreeMap<&str, Terms> =
        seen.pools.iter().map(|pool| (pool.claimant.name.as_str(), pool.claimant.spec.terms())).collect();
    let mut problems = Vec::new();
    for (node, record) in seen.nodes.iter().filter(|(node, record)| record.is_revoked() && !there.contains(*node)) {
        let own = seen.blocks.iter().filter(|block| block.lease.node == *node);
        let wait = own.map(|block| terms.get(block.pool.as_str()).copied().unwrap_or_default().wait().as_secs()).max();
        let allowed = wait.unwrap_or_else(|| Terms::default().wait().as_secs()).saturating_mul(2) + MARGIN;
        let since = record.revoked_at.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_second()).ok());
        let Some(passed) = since.map(|since| now.saturating_sub(since)).filter(|passed| *passed > allowed) else {
            continue;
        };
        let text = format!(
            "it was removed {passed} s ago, and its blocks are not free: look at the log of plexus-address-controller"
        );
        problems.push(problem("removed", node, text));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::pool_status::PoolStatus;
    use crate::ipam::epoch::Record;
    use crate::ipam::pool::{PoolSpec, Range};
    use crate::ipam::reservation::{Reservation, Whose};
    use crate::ipam::usage::Lease;

    fn pool(name: &str, created: i64, range: &str) -> SeenPool {
        let range = Range { range: range.to_owned(), ..Range::default() };
        let spec = PoolSpec { ranges: vec![range], ..PoolSpec::implied() };
        let claimant = Claimant { name: name.to_owned(), created, spec };
        SeenPool { claimant, version: Default::default(), generation: 1, status: PoolStatus::default() }
    }

    fn block(pool: &str, first: &str, size: u32, node: &str) -> SeenBlock {
        let block = crate::ipam::Block { first: first.parse().unwrap(), size };
        let lease = Lease { block, node: node.to_owned() };
        let (name, epoch) = (format!("{pool}.{first}"), format!("e-{node}"));
        SeenBlock { name, pool: pool.to_owned(), lease, epoch, created: 1, writes: 1 }
    }

    fn kept(pool: &str, pod: &str, address: &str) -> SeenReservation {
        let (namespace, pod, interface) = ("ns".to_owned(), pod.to_owned(), "net1".to_owned());
        let (name, whose) = (format!("{pool}.{pod}"), Whose { namespace, pod, interface });
        let reservation = Reservation { whose, addresses: vec![address.parse().unwrap()], node: "a".to_owned() };
        SeenReservation { name, version: Default::default(), pool: pool.to_owned(), reservation }
    }

    fn good() -> (SeenAddresses, BTreeSet<String>) {
        let record = |node: &str| Record {
            epoch: format!("e-{node}"),
            version: "1".to_owned(),
            revoked_at: String::new(),
            is_dead: false,
        };
        let nodes: Vec<String> = ["a", "b"].map(str::to_owned).into();
        let seen = SeenAddresses {
            pools: vec![pool("lan", 1, "10.0.0.0/24"), pool("wan", 2, "10.1.0.0/24")],
            blocks: vec![
                block("lan", "10.0.0.0", 16, "a"),
                block("lan", "10.0.0.16", 16, "b"),
                block("wan", "10.1.0.0", 16, "a"),
                block("whereabouts.net-x", "10.9.0.1", 1, "a"),
                block("whereabouts.net-y", "10.9.0.1", 1, "b"),
            ],
            nodes: nodes.iter().map(|node| (node.clone(), record(node))).collect(),
            reservations: Some(vec![kept("lan", "web-0", "10.0.0.9"), kept("lan", "web-1", "10.0.0.10")]),
        };
        (seen, nodes.into_iter().collect())
    }

    fn broken(change: impl Fn(&mut SeenAddresses)) -> Vec<(&'static str, String)> {
        let (mut seen, there) = good();
        change(&mut seen);
        judge(&seen, &there, 1_000_000).into_iter().map(|problem| (problem.rule, problem.object)).collect()
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let one = |rule, object: &str| vec![(rule, object.to_owned())];
        assert_eq!(broken(|_| ()), []);
        assert_eq!(broken(|seen| seen.pools.push(pool("late", 3, "10.1.0.0/16"))), one("overlap", "late"));
        assert_eq!(broken(|seen| drop(seen.pools.pop())), one("pool", "wan.10.1.0.0"));
        let moved = |seen: &mut SeenAddresses| seen.pools[1] = pool("wan", 2, "10.2.0.0/24");
        assert_eq!(broken(moved), one("range", "wan.10.1.0.0"));
        // A block larger than the range.
        assert_eq!(broken(|seen| seen.pools[1] = pool("wan", 2, "10.1.0.8/29")), []);
        let other_size = |seen: &mut SeenAddresses| seen.blocks.push(block("lan", "10.0.0.8", 8, "b"));
        assert_eq!(broken(other_size), one("twice", "lan.10.0.0.0"));
        let orphan = |seen: &mut SeenAddresses| seen.blocks.push(block("wan", "10.1.0.16", 16, "gone"));
        assert_eq!(broken(orphan), one("orphan", "wan.10.1.0.16"));
        let keep = |pool: &'static str| {
            move |seen: &mut SeenAddresses| seen.reservations.as_mut().unwrap().push(kept(pool, "web-2", "10.0.0.9"))
        };
        assert_eq!(broken(keep("lan")), one("kept", "lan.web-2"));
        assert_eq!(broken(keep("wan")), [], "another network");
        assert_eq!(broken(|seen| seen.reservations = None), [], "of a former release");
        let former = |seen: &mut SeenAddresses| seen.blocks[2].epoch = "before".to_owned();
        assert_eq!(broken(former), one("epoch", "wan.10.1.0.0"));
        assert_eq!(broken(|seen| seen.blocks[2].epoch.clear()), [], "of a former release");
        // W1
        assert_eq!(broken(|seen| seen.blocks[2].writes = 16), []);
        assert_eq!(broken(|seen| seen.blocks[2].writes = 17), one("writes", "wan.10.1.0.0"));
        // Two networks that do not reach each other.
        let shared = |separate: bool| {
            broken(move |seen| {
                seen.pools[1] = pool("wan", 2, "10.0.0.0/24");
                seen.blocks[2] = block("wan", "10.0.0.0", 16, "a");
                seen.pools.iter_mut().for_each(|pool| pool.claimant.spec.separate = separate);
            })
        };
        assert_eq!(shared(true), []);
        assert_eq!(shared(false).iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), ["overlap", "twice"]);
    }

    #[test]
    fn a_removed_node_has_its_time() {
        let (mut seen, mut there) = good();
        there.remove("b");
        assert_eq!(unmarked(&seen, &there), ["b"]);
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap().to_string();
        // Twice the quarantine of 300 s, and a minute.
        for (since, expected) in [(661, 1), (660, 0)] {
            seen.nodes.get_mut("b").unwrap().revoked_at = at(1_000_000 - since);
            assert_eq!(judge(&seen, &there, 1_000_000).len(), expected, "{since}");
        }
        assert!(unmarked(&seen, &there).is_empty());
        seen.pools[0].claimant.spec.reclaim.quarantine_seconds = 3600;
        seen.nodes.get_mut("b").unwrap().revoked_at = at(1_000_000 - 7000);
        assert_eq!(judge(&seen, &there, 1_000_000), []);
    }
}
