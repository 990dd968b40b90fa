//! `plexusctl ipam show` of a cluster: a line for each pool, and of one pool a line for each node.

use crate::cli::Error;
use crate::cli::ipam::node::VERSION;
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Format, Output, Tone};
use crate::cluster::pool_status::compact;
use crate::cluster::{Inquiry, SeenAddresses, SeenPool, SeenReservation};
use crate::ipam::overlap::{Claimant, overlaps};
use crate::ipam::reservation::Whose;
use crate::ipam::usage::{Lease, Usage};
use crate::ipam::{PoolName, PoolSpec};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    version: u32,
    /// The pools of the cluster, by name.
    pools: Vec<Row>,
}

impl Described for Document {
    const NAME: &'static str = "ipam-show-cluster";
}

/// A pool of the cluster.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pool: String,
    /// Sections of type whereabouts imply it: there is no AddressPool of that name.
    implied: bool,
    /// The ranges of the AddressPool.
    ranges: Vec<String>,
    /// The families that it has addresses of.
    families: Vec<Family>,
    /// The number of blocks that nodes lease.
    blocks: usize,
    /// The nodes that lease blocks, by name.
    nodes: Vec<OfNode>,
    /// The addresses that are kept for pods, by pod; null if they cannot be listed.
    kept: Option<Vec<Kept>>,
    /// What is wrong with the pool.
    problems: Vec<String>,
    /// The conditions that the controller of addresses wrote.
    conditions: Vec<Condition>,
}

/// The addresses of one family.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Family {
    /// `IPv4` or `IPv6`.
    family: &'static str,
    /// The number of addresses that can be given to pods; 0 if the ranges are in the networks.
    capacity: u64,
    /// The number of those in blocks that nodes lease.
    leased: u64,
    /// The number of those in no block of a node.
    free: u64,
}

/// What a node leases of a pool.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfNode {
    /// The name of the node.
    node: String,
    /// The number of its blocks.
    blocks: usize,
    /// The number of their addresses that can be given to pods.
    addresses: u64,
}

/// The addresses that are kept for a pod.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// The name of the AddressReservation.
    name: String,
    /// The pod: `<namespace>/<name>`.
    pod: String,
    /// The interface in the pod.
    interface: String,
    /// One address of each family of the pool.
    addresses: Vec<String>,
    /// The node that had the pod last.
    node: String,
}

impl Kept {
    fn of(one: &SeenReservation) -> Self {
        let Whose { namespace, pod, interface } = &one.reservation.whose;
        Kept {
            name: one.name.clone(),
            pod: format!("{namespace}/{pod}"),
            interface: interface.clone(),
            addresses: one.reservation.addresses.iter().map(ToString::to_string).collect(),
            node: one.reservation.node.clone(),
        }
    }
}

/// A condition of an AddressPool.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    kind: String,
    /// `True` or `False`.
    status: String,
    /// The reason, in one word.
    reason: String,
    /// The reason, for people.
    message: String,
}

/// Prints the pools, or the one called `only`.
pub fn run(inquiry: &Inquiry, only: Option<&str>, format: Format, output: &mut Output) -> Result<(), Error> {
    let rows = rows(&inquiry.addresses()?, only);
    if let Some(only) = only.filter(|_| rows.is_empty()) {
        return Err(Error::Name(format!("the cluster has no pool {only}, and no block of it")));
    }
    match format {
        Format::Json => return output.json(&Document { version: VERSION, pools: rows }),
        Format::Table if rows.is_empty() => output.remark("The cluster has no AddressPool."),
        Format::Table => output.table(&table(&rows))?,
    }
    let nodes: Vec<&OfNode> = rows.iter().filter(|_| only.is_some()).flat_map(|row| &row.nodes).collect();
    if !nodes.is_empty() {
        output.line("")?;
        output.table(&table_of_nodes(&nodes))?;
    }
    let kept: Vec<&Kept> = rows.iter().filter(|_| only.is_some()).flat_map(|row| &row.kept).flatten().collect();
    if !kept.is_empty() {
        output.line("")?;
        output.table(&table_of_kept(&kept))?;
    }
    Ok(())
}

fn rows(seen: &SeenAddresses, only: Option<&str>) -> Vec<Row> {
    let claimants: Vec<Claimant> = seen.pools.iter().map(|pool| pool.claimant.clone()).collect();
    let mut names: BTreeSet<&str> = claimants.iter().map(|pool| pool.name.as_str()).collect();
    names.extend(seen.blocks.iter().map(|block| block.pool.as_str()));
    names.retain(|name| only.is_none_or(|only| only == *name));
    let row = |name: &str| {
        let leases = seen.blocks.iter().filter(|block| block.pool == name).map(|block| block.lease.clone());
        let pool = seen.pools.iter().find(|pool| pool.claimant.name == name);
        Row { kept: kept(seen, name), ..row(name, pool, &leases.collect::<Vec<_>>(), &claimants) }
    };
    names.into_iter().map(row).collect()
}

fn kept(seen: &SeenAddresses, pool: &str) -> Option<Vec<Kept>> {
    let own = seen.reservations.as_ref()?.iter().filter(|one| one.pool == pool);
    let mut kept: Vec<Kept> = own.map(Kept::of).collect();
    kept.sort_by(|one, other| (&one.pod, &one.interface).cmp(&(&other.pod, &other.interface)));
    Some(kept)
}

fn row(name: &str, pool: Option<&SeenPool>, leases: &[Lease], all: &[Claimant]) -> Row {
    let implied = PoolName::new(name).is_ok_and(|name| name.is_implied());
    let mut problems = Vec::new();
    let usage = match pool {
        Some(pool) => Usage::of(&pool.claimant.spec, leases).unwrap_or_else(|why| {
            problems.push(why.to_string());
            Usage::of_implied(leases)
        }),
        None => Usage::of_implied(leases),
    };
    if pool.is_none() && !implied {
        problems.push("its AddressPool was deleted".to_owned());
    }
    for overlap in pool.map(|pool| overlaps(&pool.claimant, all)).unwrap_or_default() {
        let age = if overlap.yields { "older" } else { "younger" };
        problems.push(format!("shares {} to {} with the {age} pool {}", overlap.first, overlap.last, overlap.other));
    }
    let full: Vec<&str> = usage.parts().filter(|(_, part)| part.is_exhausted()).map(|(family, _)| family).collect();
    problems.extend((!full.is_empty()).then(|| format!("nodes lease all {} addresses", full.join(" and "))));
    let of_spec = |spec: &PoolSpec| spec.ranges.iter().map(|range| range.range.clone()).collect();
    let family = |(family, part): (&'static str, crate::ipam::usage::Part)| Family {
        family,
        capacity: part.capacity,
        leased: part.leased,
        free: part.free(),
    };
    let of_node = |(node, addresses): (&String, &u64)| OfNode {
        node: node.clone(),
        blocks: leases.iter().filter(|lease| lease.node == *node).count(),
        addresses: *addresses,
    };
    Row {
        pool: name.to_owned(),
        implied,
        ranges: pool.map(|pool| of_spec(&pool.claimant.spec)).unwrap_or_default(),
        families: usage.parts().map(family).collect(),
        blocks: usage.blocks,
        nodes: usage.nodes.iter().map(of_node).collect(),
        kept: None,
        problems,
        conditions: pool.map(conditions).unwrap_or_default(),
    }
}

fn conditions(pool: &SeenPool) -> Vec<Condition> {
    let of = |one: &crate::cluster::pool_status::PoolCondition| Condition {
        kind: one.kind.clone(),
        status: one.status.clone(),
        reason: one.reason.clone(),
        message: one.message.clone(),
    };
    pool.status.conditions.iter().map(of).collect()
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["POOL", "RANGES", "LEASED", "FREE", "BLOCKS", "NODES", "STATE"]);
    for row in rows {
        let each = |text: &dyn Fn(&Family) -> String| match row.families.as_slice() {
            [one] => text(one),
            several => several.iter().map(|one| format!("{} {}", one.family, text(one))).collect::<Vec<_>>().join(", "),
        };
        let (leased, free) = match row.implied {
            true => (each(&|one| one.leased.to_string()), String::new()),
            false => (each(&|one| format!("{}/{}", one.leased, compact(one.capacity))), each(&|one| compact(one.free))),
        };
        let state = match row.problems.as_slice() {
            [] => Cell::new("ok", Tone::Good),
            problems => Cell::new(problems.join("; "), Tone::Bad),
        };
        let ranges = if row.implied { "in the networks".to_owned() } else { row.ranges.join(",") };
        let counts = [row.blocks.to_string(), row.nodes.len().to_string()].map(Cell::from);
        let texts = [row.pool.clone(), ranges, leased, free].map(Cell::from);
        table.row(texts.into_iter().chain(counts).chain([state]).collect());
    }
    table
}

fn table_of_nodes(nodes: &[&OfNode]) -> Table {
    let mut table = Table::new(["NODE", "BLOCKS", "ADDRESSES"]);
    for node in nodes {
        table.row([node.node.clone(), node.blocks.to_string(), node.addresses.to_string()].map(Cell::from).into());
    }
    table
}

fn table_of_kept(kept: &[&Kept]) -> Table {
    let mut table = Table::new(["KEPT FOR", "INTERFACE", "ADDRESSES", "LAST NODE"]);
    for one in kept {
        let texts = [one.pod.clone(), one.interface.clone(), one.addresses.join(","), one.node.clone()];
        table.row(texts.map(Cell::from).into());
    }
    table
}
