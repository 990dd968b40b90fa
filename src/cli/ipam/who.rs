//! `plexusctl ipam who`: which pods of this node have or had an address.

use super::node::{Node, VERSION, moment};
use super::read::{SeenPool, events, pools};
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Format, Output, Tone};
use crate::cli::{Error, Verdict};
use crate::ipam::history::{Tenure, tenures};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    version: u32,
    /// The address that was asked for.
    address: String,
    /// Who has or had it on this node, by pool and time.
    tenures: Vec<Row>,
}

impl Described for Document {
    const NAME: &'static str = "ipam-who";
}

/// A pod, and the time in which it had the address.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The pool.
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
    /// Since when, in seconds of Unix time; null if the history does not go back so far.
    from: Option<u64>,
    /// Until when, in seconds of Unix time; null while the pod has it.
    until: Option<u64>,
}

/// Prints who had `address`, all the time or at one moment.
pub fn run(
    node: &Node,
    address: IpAddr,
    at: Option<u64>,
    format: Format,
    output: &mut Output,
) -> Result<Verdict, Error> {
    let mut rows: Vec<Row> = pools(node, None)?.iter().flat_map(|pool| rows(node, pool, address)).collect();
    let had = |row: &Row, at: u64| row.from.is_none_or(|from| from <= at) && row.until.is_none_or(|until| at < until);
    rows.retain(|row| at.is_none_or(|at| had(row, at)));
    match format {
        Format::Json => output.json(&Document { version: VERSION, address: address.to_string(), tenures: rows })?,
        Format::Table if rows.is_empty() && node.is_node => {
            let then = if at.is_some() { " for that time" } else { "" };
            output.remark(format!("Nothing is known of {address} on this node{then}."));
        }
        Format::Table if rows.is_empty() => {}
        Format::Table => output.table(&table(&rows))?,
    }
    Ok(Verdict::Well)
}

fn rows(node: &Node, pool: &SeenPool, address: IpAddr) -> Vec<Row> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let all = complete(pool, address, tenures(&events(node, &pool.name), address));
    let row = |tenure: Tenure| Row {
        pool: pool.name.to_string(),
        pod: some(tenure.owner.pod),
        uid: some(tenure.owner.uid),
        container_id: tenure.owner.container,
        interface: tenure.owner.ifname,
        network: tenure.owner.network,
        from: tenure.from,
        until: tenure.until,
    };
    all.into_iter().map(row).collect()
}

/// What the files show, where a plugin was killed before it noted it: the file of the address decides who has it now.
fn complete(pool: &SeenPool, address: IpAddr, mut all: Vec<Tenure>) -> Vec<Tenure> {
    let taken = pool.taken.iter().find(|taken| taken.address == address && !taken.owner.container.is_empty());
    let freed = pool.former.iter().filter(|one| one.address == address).map(|one| one.at).max();
    if let Some(last) = all.last_mut().filter(|last| last.until.is_none()) {
        match taken {
            Some(taken) if taken.owner.container == last.owner.container => return all,
            Some(taken) => last.until = Some(taken.since),
            None => last.until = freed.or(last.from),
        }
    }
    let now = taken.map(|taken| Tenure { address, owner: taken.owner.clone(), from: Some(taken.since), until: None });
    all.extend(now);
    all
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["POOL", "POD", "INTERFACE", "CONTAINER", "FROM", "UNTIL"]);
    for row in rows {
        let short: String = row.container_id.chars().take(13).collect();
        let until = if row.until.is_none() { Cell::new("now", Tone::Good) } else { moment(row.until).into() };
        table.row(vec![
            row.pool.as_str().into(),
            row.pod.as_deref().unwrap_or_default().into(),
            row.interface.as_str().into(),
            short.into(),
            moment(row.from).into(),
            until,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::read::Taken;
    use super::*;
    use crate::ipam::history::Owner;
    use crate::ipam::memory::Former;
    use crate::ipam::{PoolName, Report};

    #[test]
    fn the_files_complete_the_history() {
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let owner = |container: &str| Owner { container: container.into(), ..Owner::default() };
        let tenure = |container: &str, from, until| Tenure { address, owner: owner(container), from, until };
        let pool = |taken: Option<&str>, freed: Option<u64>| SeenPool {
            name: PoolName::new("lan").unwrap(),
            taken: taken
                .map(|container| Taken { address, owner: owner(container), since: 9, has_file: true })
                .into_iter()
                .collect(),
            former: freed.map(|at| Former { at, of: 0, address }).into_iter().collect(),
            grant: None,
            report: Report::default(),
            changed: 0,
        };
        let open = || vec![tenure("a", Some(5), None)];
        assert_eq!(complete(&pool(Some("a"), None), address, open()), open());
        let both = [tenure("a", Some(5), Some(9)), tenure("b", Some(9), None)];
        assert_eq!(complete(&pool(Some("b"), None), address, open()), both);
        assert_eq!(complete(&pool(None, Some(7)), address, open()), [tenure("a", Some(5), Some(7))]);
        assert_eq!(complete(&pool(Some("b"), None), address, Vec::new()), [tenure("b", Some(9), None)]);
        assert_eq!(complete(&pool(None, None), address, Vec::new()), []);
    }
}
