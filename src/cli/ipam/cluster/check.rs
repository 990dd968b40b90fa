//! `plexusctl ipam check` of a cluster: what has to hold of the objects. What holds on a node is checked there.

use super::rules::{Problem, judge, only_of, unmarked};
use crate::cli::ipam::node::VERSION;
use crate::cli::output::counted::counted;
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Format, Output, Tone};
use crate::cli::{Error, Verdict};
use crate::cluster::Inquiry;
use crate::store::record;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    version: u32,
    /// The number of AddressPools.
    pools: usize,
    /// The number of blocks that nodes lease.
    blocks: usize,
    /// The number of AddressNodes.
    nodes: usize,
    /// What does not hold.
    problems: Vec<Problem>,
}

impl Described for Document {
    const NAME: &'static str = "ipam-check-cluster";
}

/// Checks the pools, or the one called `only`; not well where something does not hold.
pub fn run(inquiry: &Inquiry, only: Option<&str>, format: Format, output: &mut Output) -> Result<Verdict, Error> {
    let mut seen = inquiry.addresses()?;
    let there: BTreeSet<String> = inquiry.nodes()?.into_iter().map(|node| node.name).collect();
    let problems = only_of(judge(&seen, &there, record::now()), only);
    if let Some(only) = only {
        seen.pools.retain(|pool| pool.claimant.name == only);
        seen.blocks.retain(|block| block.pool == only);
    }
    let is_well = problems.is_empty();
    let (pools, blocks, nodes) = (seen.pools.len(), seen.blocks.len(), seen.nodes.len());
    match format {
        Format::Json => output.json(&Document { version: VERSION, pools, blocks, nodes, problems })?,
        Format::Table if is_well => {
            let (pools, blocks) = (counted(pools, "pool"), counted(blocks, "block"));
            output.line(&format!("No problem in {pools} with {blocks} of {}.", counted(nodes, "node")))?;
        }
        Format::Table => output.table(&table(&problems))?,
    }
    let unmarked = unmarked(&seen, &there);
    if !unmarked.is_empty() {
        let names = unmarked.join(", ");
        output.remark(format!(
            "No Node, and not marked as removed: {names}. A minute after the deletion of a Node that means that plexusd of the node objects, or that plexus-address-controller does not run."
        ));
    }
    Ok(if is_well { Verdict::Well } else { Verdict::NotWell })
}

fn table(problems: &[Problem]) -> Table {
    let mut table = Table::new(["OBJECT", "RULE", "PROBLEM"]);
    for problem in problems {
        let rule = Cell::new(problem.rule, Tone::Bad);
        table.row(vec![problem.object.as_str().into(), rule, problem.text.as_str().into()]);
    }
    table
}
