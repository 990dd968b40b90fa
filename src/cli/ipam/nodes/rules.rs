//! What has to hold of the addresses and blocks of all nodes together: what one node, or the API server alone, does not show.

use crate::cli::ipam::cluster::rules::{Problem as OfObject, apart};
use crate::cli::ipam::holding::{HeldAddress, HeldBlock, Holding};
use crate::cluster::{SeenAddresses, SeenBlock};
use crate::ipam::{Block, Never, Pool, PoolName};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A daemon needs some seconds for a block that it leases. If it waits for a restored etcd, it needs two minutes.
const YOUNG: u64 = 600;

/// What a node has.
#[derive(Clone, Debug)]
pub struct OfNode {
    /// Its name.
    pub node: String,
    /// Of each pool.
    pub holdings: Vec<Holding>,
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The rule: `twice`, `grant`, `unused`, `block`, `range` or `excluded`, or one of `ipam check` of the cluster.
    pub rule: &'static str,
    /// What it is about: an address, or the name of a pool, a block, a node or an AddressReservation.
    pub object: String,
    /// The pool; null if only the object is known.
    pub pool: Option<String>,
    /// The nodes that are concerned; empty if only the object is known.
    pub nodes: Vec<String>,
    /// What is wrong, and what follows from it.
    pub text: String,
    /// What stays the same while the problem is the same one.
    #[serde(skip)]
    evidence: Vec<String>,
}

impl Problem {
    /// Whether both are the same problem, seen at two times.
    pub fn is_same(&self, other: &Problem) -> bool {
        let key = |one: &Problem| (one.rule, one.object.clone(), one.pool.clone(), one.evidence.clone());
        key(self) == key(other)
    }
}

impl From<OfObject> for Problem {
    fn from(of: OfObject) -> Self {
        let OfObject { rule, object, text } = of;
        Problem { rule, object, pool: None, nodes: Vec::new(), text, evidence: Vec::new() }
    }
}

/// An address, and who has it.
#[derive(Clone, Copy)]
struct Use<'n> {
    node: &'n str,
    pool: &'n str,
    held: &'n HeldAddress,
}

impl Use<'_> {
    fn problem(&self, rule: &'static str, text: String) -> Problem {
        Problem {
            rule,
            object: self.held.address.to_string(),
            pool: Some(self.pool.to_owned()),
            nodes: vec![self.node.to_owned()],
            text,
            evidence: vec![self.node.to_owned(), self.held.container_id.clone(), self.held.interface.clone()],
        }
    }

    fn owner(&self) -> String {
        format!("{} of node {}", self.held.pod, self.node)
    }
}

/// What does not hold of `nodes` at `now`, in seconds of Unix time. Without `seen`, the objects of the cluster, only nodes are
/// compared.
pub fn judge(nodes: &[OfNode], seen: Option<&SeenAddresses>, now: u64) -> Vec<Problem> {
    let uses: Vec<Use<'_>> = nodes.iter().flat_map(uses).collect();
    let mut problems = twice(&uses, seen);
    let Some(seen) = seen else { return problems };
    let blocks = Blocks::of(seen);
    problems.extend(nodes.iter().flat_map(|node| of_grants(node, &blocks)));
    problems.extend(nodes.iter().flat_map(|node| unused(node, seen, now)));
    problems.extend(uses.iter().filter_map(|one| of_block(one, &blocks)));
    problems.extend(of_pools(&uses, seen));
    problems
}

fn uses(node: &OfNode) -> impl Iterator<Item = Use<'_>> {
    node.holdings.iter().flat_map(move |holding| {
        holding.addresses.iter().map(move |held| Use { node: &node.node, pool: &holding.pool, held })
    })
}

/// U1: addresses that two sandboxes have. An address that neither of two has a file for is a fixed one of their network.
fn twice(uses: &[Use<'_>], seen: Option<&SeenAddresses>) -> Vec<Problem> {
    let is_apart = seen.map(apart);
    let is_apart =
        |one: &str, other: &str| one != other && is_apart.as_ref().is_none_or(|is_apart| is_apart(one, other));
    let mut by_address: BTreeMap<IpAddr, Vec<&Use<'_>>> = BTreeMap::new();
    uses.iter().for_each(|one| by_address.entry(one.held.address).or_default().push(one));
    let mut problems = Vec::new();
    for all in by_address.values().filter(|all| all.len() > 1) {
        for (at, one) in all.iter().enumerate() {
            // Of one pool the node itself tells.
            let is_told = |other: &Use<'_>| one.node == other.node && one.pool == other.pool;
            let is_other = |other: &&&Use<'_>| {
                !is_told(other) && !is_apart(one.pool, other.pool) && (one.held.has_file || other.held.has_file)
            };
            problems.extend(all[at + 1..].iter().filter(is_other).map(|other| both(one, other)));
        }
    }
    problems
}

fn both(one: &Use<'_>, other: &Use<'_>) -> Problem {
    let text = format!("{} and {} have it: delete one of both pods", one.owner(), other.owner());
    let (first, second) = (one.problem("twice", text), other.problem("", String::new()));
    let mut nodes = [first.nodes.clone(), second.nodes].concat();
    nodes.dedup();
    Problem { nodes, evidence: [first.evidence.clone(), second.evidence].concat(), ..first }
}

/// The blocks of the cluster, to be found by an address.
struct Blocks<'s>(BTreeMap<(&'s str, IpAddr), &'s SeenBlock>);

impl<'s> Blocks<'s> {
    fn of(seen: &'s SeenAddresses) -> Self {
        Blocks(seen.blocks.iter().map(|block| ((block.pool.as_str(), block.lease.block.first), block)).collect())
    }

    fn with(&self, pool: &str, address: IpAddr) -> Option<&'s SeenBlock> {
        let (_, last) = self.0.range((pool, IpAddr::from([0, 0, 0, 0]))..=(pool, address)).next_back()?;
        last.lease.block.contains(address).then_some(*last)
    }
}

/// Who leases `what`, which is `found`.
fn leased_by(found: Option<&SeenBlock>, what: &str) -> String {
    found.map_or_else(|| format!("no node leases {what}"), |block| format!("node {} leases {what}", block.lease.node))
}

/// U2: blocks in the grant of a node that are not its own at the API server.
fn of_grants(node: &OfNode, blocks: &Blocks<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for holding in &node.holdings {
        for HeldBlock { first, size, lease } in holding.blocks.iter().flatten() {
            let found = blocks.with(&holding.pool, *first);
            let block = Block { first: *first, size: *size };
            if found.is_some_and(|found| found.lease.node == node.node && found.lease.block == block) {
                continue;
            }
            problems.push(Problem {
                rule: "grant",
                object: format!("{}.{}", holding.pool, block.hex()),
                pool: Some(holding.pool.clone()),
                nodes: vec![node.node.clone()],
                text: format!(
                    "node {} takes addresses from its block {first}, and {}: look at the log of plexusd of the node",
                    node.node,
                    leased_by(found, "it")
                ),
                evidence: vec![node.node.clone(), lease.clone()],
            });
        }
    }
    problems
}

/// L3: blocks that a node leases and does not grant. After a restart of the machine it grants nothing of a pool until a pod comes.
fn unused(node: &OfNode, seen: &SeenAddresses, now: u64) -> Vec<Problem> {
    let is_live = seen.nodes.get(&node.node).is_some_and(|record| !record.is_revoked() && !record.is_dead);
    let own = seen.blocks.iter().filter(|block| is_live && block.lease.node == node.node);
    let is_unused = |block: &&SeenBlock| {
        // While whereabouts runs, nothing of such a pool is granted.
        let is_implied = PoolName::new(block.pool.clone()).is_ok_and(|pool| pool.is_implied());
        let granted =
            node.holdings.iter().find(|holding| holding.pool == block.pool).and_then(|one| one.blocks.as_ref());
        let has = |granted: &Vec<HeldBlock>| granted.iter().any(|held| held.first == block.lease.block.first);
        !is_implied && now.saturating_sub(block.created) > YOUNG && granted.is_some_and(|granted| !has(granted))
    };
    let problem = |block: &SeenBlock| Problem {
        rule: "unused",
        object: block.name.clone(),
        pool: Some(block.pool.clone()),
        nodes: vec![node.node.clone()],
        text: format!(
            "node {} leases it and gives no address of it: look at the log of plexusd of the node",
            node.node
        ),
        evidence: vec![node.node.clone(), block.created.to_string()],
    };
    own.filter(is_unused).map(problem).collect()
}

/// U3: an address in a block of another node, or of none.
fn of_block(one: &Use<'_>, blocks: &Blocks<'_>) -> Option<Problem> {
    let found = blocks.with(one.pool, one.held.address);
    if !one.held.has_file || found.is_some_and(|found| found.lease.node == one.node) {
        return None;
    }
    let text = format!("{} has it, and {}: another pod can get it", one.owner(), leased_by(found, "its block"));
    Some(one.problem("block", text))
}

/// U6: addresses that no pod gets by the specification of their pool. The gateway, and the network's own addresses, the node
/// tells.
fn of_pools(uses: &[Use<'_>], seen: &SeenAddresses) -> Vec<Problem> {
    let pools: BTreeMap<&str, Pool> = seen
        .pools
        .iter()
        .filter_map(|pool| Some((pool.claimant.name.as_str(), Pool::new(&pool.claimant.spec).ok()?)))
        .collect();
    let of = |one: &Use<'_>| {
        let never = pools.get(one.pool)?.never_given(one.held.address).filter(|_| one.held.has_file)?;
        let rule = match never {
            Never::Outside => "range",
            Never::Excluded(_) => "excluded",
            Never::Gateway(_) | Never::Network(_) | Never::Broadcast(_) => return None,
        };
        let text =
            format!("{} has it, and it is {never}: it keeps it until it ends, if the pool was changed", one.owner());
        Some(one.problem(rule, text))
    };
    uses.iter().filter_map(of).collect()
}
