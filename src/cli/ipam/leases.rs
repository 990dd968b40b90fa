//! `plexusctl ipam leases`: the addresses that pods of this node have.

use super::node::{Node, VERSION};
use super::read::{SeenPool, pools};
use crate::cli::output::age::age;
use crate::cli::output::described::Described;
use crate::cli::output::table::Table;
use crate::cli::output::{Format, Output};
use crate::cli::{Error, Verdict};
use crate::store::record;
use schemars::JsonSchema;
use serde::Serialize;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    version: u32,
    /// The addresses in use, by pool and address.
    leases: Vec<Row>,
}

impl Described for Document {
    const NAME: &'static str = "ipam-leases";
}

/// An address in use.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The address, without a prefix length.
    address: String,
    /// Its pool.
    pool: String,
    /// `<namespace>/<name>` of the pod; null if the runtime did not pass it.
    pod: Option<String>,
    /// The UID of the pod; null if the runtime did not pass it.
    uid: Option<String>,
    /// The ID of the sandbox.
    container_id: String,
    /// The interface in the sandbox.
    interface: String,
    /// The network, as its configuration names it.
    network: String,
    /// Since when, in seconds of Unix time.
    since: u64,
}

/// Prints the addresses.
pub fn run(node: &Node, only: Option<&str>, format: Format, output: &mut Output) -> Result<Verdict, Error> {
    let rows: Vec<Row> = pools(node, only)?.iter().flat_map(rows).collect();
    match format {
        Format::Json => output.json(&Document { version: VERSION, leases: rows })?,
        Format::Table if rows.is_empty() && node.is_node => output.remark("No pod of this node has such an address."),
        Format::Table if rows.is_empty() => {}
        Format::Table => output.table(&table(&rows))?,
    }
    Ok(Verdict::Well)
}

fn rows(pool: &SeenPool) -> Vec<Row> {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let row = |taken: &super::read::Taken| Row {
        address: taken.address.to_string(),
        pool: pool.name.to_string(),
        pod: some(&taken.owner.pod),
        uid: some(&taken.owner.uid),
        container_id: taken.owner.container.clone(),
        interface: taken.owner.ifname.clone(),
        network: taken.owner.network.clone(),
        since: taken.since,
    };
    pool.taken.iter().map(row).collect()
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["POOL", "ADDRESS", "POD", "INTERFACE", "NETWORK", "CONTAINER", "AGE"]);
    for row in rows {
        let short: String = row.container_id.chars().take(13).collect();
        table.row(vec![
            row.pool.as_str().into(),
            row.address.as_str().into(),
            row.pod.as_deref().unwrap_or_default().into(),
            row.interface.as_str().into(),
            row.network.as_str().into(),
            short.into(),
            age(record::now().saturating_sub(row.since)).into(),
        ]);
    }
    table
}
