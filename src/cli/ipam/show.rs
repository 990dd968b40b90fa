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
    /// The number of those in use that are not among `addresses`: requested ones that are reserved, and ones whose range or
    /// block the node does not have any more. Pods keep them.
    besides: usize,
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
        besides: pool.taken.len(),
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
    row.besides = taken.iter().filter(|address| !stock.offers(**address)).count();
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
        // They would read as more than there are.
        let taken = match row.besides {
            0 => row.taken.to_string(),
            besides => format!("{} + {besides} others", row.taken.saturating_sub(besides)),
        };
        let numbers = [row.blocks.to_string(), row.addresses.to_string(), taken];
        let numbers = numbers.into_iter().chain([row.free.to_string(), row.cooling.to_string()]).map(Cell::from);
        table.row([row.pool.as_str().into(), ranges.into()].into_iter().chain(numbers).chain([state]).collect());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{RunDirectory, StateDirectory};
    use std::fs;

    /// The range ends at .7 now, and some pods have later addresses of the block.
    const GRANT: &str = "pool lan\nconfirmed b 1 1\nauthority 600\nwarm 1 16\ncooldown 10\nsubnet 10.0.0.0/29\nblock 10.0.0.0 16 a 10.0.0.1 10.0.0.6\n";

    /// A node on which pods have these addresses of the pool `lan`; a network once named the pool `lam`, which there is not.
    fn shown(taken: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (state, run) = (folder.path().join("state"), folder.path().join("run"));
        for name in ["state/pools/lan", "state/pools/lam", "run/daemon/ipam"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for last in taken {
            fs::write(state.join(format!("pools/lan/10.0.0.{last}")), "c1\nnet1\nlan\n").unwrap();
        }
        fs::write(run.join("daemon/ipam/lan.grant"), GRANT).unwrap();
        let node = Node { state: StateDirectory::new(state), run: RunDirectory::new(run), is_node: true };
        let rows: Vec<Row> = pools(&node, None).unwrap().iter().map(row).collect();
        assert_eq!(pools(&node, Some("lam")).unwrap().len(), 1, "whoever asks for it sees it");
        let text = table(&rows).render(false);
        let lines = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_not_among_the_addresses_is_counted_beside_them() {
        assert!(
            shown(&[1, 2, 9, 10]).starts_with("lan 10.0.0.0/29 1 6 2 + 2 others 4 0 "),
            "{}",
            shown(&[1, 2, 9, 10])
        );
        assert!(shown(&[1, 2]).starts_with("lan 10.0.0.0/29 1 6 2 4 0 "), "{}", shown(&[1, 2]));
    }

    #[test]
    fn a_pool_that_was_named_by_mistake_is_not_shown_for_ever() {
        assert_eq!(shown(&[1]).lines().count(), 1, "{}", shown(&[1]));
    }
}
