//! `plexusctl ipam show`: a line for each pool of this node.

use super::node::{Node, VERSION};
use super::read::{SeenPool, pools};
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Format, Output, Tone};
use crate::cli::{Error, Verdict};
use crate::facts::node_blocks::now;
use crate::ipam::Stock;
use crate::ipam::tally::{Tally, small};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    version: u32,
    /// The pools that this node has blocks or addresses of, by name.
    pools: Vec<Row>,
}

impl Described for Document {
    const NAME: &'static str = "ipam-show";
}

/// A pool on this node.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its name.
    pool: String,
    /// Sections of type whereabouts imply it: there is no AddressPool of that name.
    implied: bool,
    /// The ranges of the AddressPool.
    ranges: Vec<String>,
    /// The number of blocks that this node leases.
    blocks: usize,
    /// The number of addresses of these blocks that can be given to pods.
    addresses: u64,
    /// The number of addresses in use.
    taken: usize,
    /// The number of addresses that can be given now.
    free: u64,
    /// The number of free addresses that another pod had less than `cooldownSeconds` ago.
    cooling: u64,
    /// When the API server last confirmed the blocks, in seconds of Unix time; null without blocks.
    confirmed: Option<u64>,
    /// Why no new address is given now; null if addresses are given.
    reason: Option<String>,
}

/// Prints the pools.
pub fn run(node: &Node, only: Option<&str>, format: Format, output: &mut Output) -> Result<Verdict, Error> {
    let rows: Vec<Row> = pools(node, only)?.iter().map(row).collect();
    match format {
        Format::Json => output.json(&Document { version: VERSION, pools: rows })?,
        Format::Table if rows.is_empty() && node.is_node => output.remark("This node has no addresses of a pool."),
        Format::Table if rows.is_empty() => {}
        Format::Table => output.table(&table(&rows))?,
    }
    Ok(Verdict::Well)
}

fn row(pool: &SeenPool) -> Row {
    let mut row = Row {
        pool: pool.name.to_string(),
        implied: pool.name.is_implied(),
        ranges: Vec::new(),
        blocks: 0,
        addresses: 0,
        taken: pool.taken.len(),
        free: 0,
        cooling: 0,
        confirmed: pool.grant.as_ref().map(|grant| grant.confirmed.clock).filter(|clock| *clock > 0),
        reason: pool.refusal(),
    };
    let Some(grant) = &pool.grant else { return row };
    let stock = Stock::new(grant, &pool.report);
    row.ranges = grant.subnets.iter().map(|subnet| subnet.net.to_string()).collect();
    row.blocks = stock.open().count();
    row.addresses = small(stock.open().map(|offer| offer.count()).sum());
    let taken: Vec<IpAddr> = pool.taken.iter().map(|taken| taken.address).collect();
    let mut tally = Tally::default();
    for is_v4 in [true, false] {
        tally.add(Tally::of(&stock, is_v4, &taken, &pool.former, now().clock));
    }
    row.free = tally.free.saturating_add(tally.cooling);
    row.cooling = tally.cooling;
    row
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["POOL", "RANGES", "BLOCKS", "ADDRESSES", "TAKEN", "FREE", "COOLING", "STATE"]);
    for row in rows {
        let state = match &row.reason {
            None => Cell::new("ok", Tone::Good),
            Some(reason) => Cell::new(reason.as_str(), Tone::Bad),
        };
        let ranges = if row.implied { "in the networks".to_owned() } else { row.ranges.join(",") };
        let numbers = [row.blocks.to_string(), row.addresses.to_string(), row.taken.to_string()];
        let numbers = numbers.into_iter().chain([row.free.to_string(), row.cooling.to_string()]).map(Cell::from);
        table.row([row.pool.as_str().into(), ranges.into()].into_iter().chain(numbers).chain([state]).collect());
    }
    table
}
