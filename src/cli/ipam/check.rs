//! `plexusctl ipam check`: what has to hold of the addresses of a node, whatever was killed or restored.

use super::node::{Node, VERSION};
use super::read::{SeenPool, Taken, pools};
use crate::cli::output::counted::{counted, counted_with};
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Format, Output, Tone};
use crate::cli::{Error, Verdict};
use crate::cni::{AddResult, NetworkConfig, Version};
use crate::delegate::ipam::leased;
use crate::ipam::{PoolName, Stock};
use crate::store::{Attachment, Record, State, Store, record};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A younger address may be of an ADD or DEL that is not done.
const YOUNG: u64 = 600;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    version: u32,
    /// The number of pools that were checked.
    pools: usize,
    /// The number of addresses in use that were checked.
    addresses: usize,
    /// What does not hold.
    problems: Vec<Problem>,
}

impl Described for Document {
    const NAME: &'static str = "ipam-check";
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The rule: `twice`, `block`, `owner`, `record`, `file`, `gateway` or `authority`.
    rule: &'static str,
    /// The pool.
    pool: String,
    /// The address; null if the problem is one of the pool.
    address: Option<String>,
    /// What is wrong, and what follows from it.
    text: String,
}

/// Checks the pools; not well where something does not hold.
pub fn run(node: &Node, only: Option<&str>, format: Format, output: &mut Output) -> Result<Verdict, Error> {
    let pools = pools(node, only)?;
    let unreadable = |source| Error::Records { folder: node.state.sandboxes(), source };
    let (records, damaged) = Store::new(&node.state).survey().map_err(unreadable)?;
    // A record that cannot be read may be that of any address.
    let is_whole = damaged.is_empty() && !records.iter().any(|record| record.incomplete);
    let held = held(&records);
    let mut problems = Vec::new();
    for pool in &pools {
        problems.extend(of_pool(pool, &held, is_whole, record::now()));
    }
    let is_well = problems.is_empty();
    let (pools, addresses) = (pools.len(), pools.iter().map(|pool| pool.taken.len()).sum());
    match format {
        Format::Json => output.json(&Document { version: VERSION, pools, addresses, problems })?,
        Format::Table if is_well => {
            let (pools, addresses) = (counted(pools, "pool"), counted_with(addresses, "address", "is"));
            output.line(&format!("No problem in {pools}: {addresses} in use."))?;
        }
        Format::Table => output.table(&table(&problems))?,
    }
    if !is_whole {
        output.remark("Some records cannot be read, so addresses without a record are not reported.");
    }
    Ok(if is_well { Verdict::Well } else { Verdict::NotWell })
}

/// An attachment with an address of a pool, by the records.
struct Held {
    pool: PoolName,
    address: IpAddr,
    container: String,
    ifname: String,
    pod: String,
    is_attached: bool,
}

fn held(records: &[Record]) -> Vec<Held> {
    records.iter().flat_map(|record| record.attachments.iter().flat_map(move |one| held_by(record, one))).collect()
}

fn held_by(record: &Record, attachment: &Attachment) -> Vec<Held> {
    let network = NetworkConfig::parse(attachment.config.get(), None).ok();
    let pools = network.as_ref().map(leased::pools).unwrap_or_default();
    let [pool] = pools.as_slice() else { return Vec::new() };
    let result = attachment.result.as_ref().and_then(|raw| AddResult::parse(raw.get(), Version::NEWEST).ok());
    let held = |address| Held {
        pool: pool.clone(),
        address,
        container: record.container_id.to_string(),
        ifname: attachment.ifname.to_string(),
        pod: record.pod.as_ref().map_or_else(|| record.container_id.to_string(), ToString::to_string),
        is_attached: attachment.state == State::Attached,
    };
    result.into_iter().flat_map(|result| result.ips).map(|ip| held(ip.address.addr())).collect()
}

fn of_pool(pool: &SeenPool, held: &[Held], is_whole: bool, now: u64) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut tell = |rule, address: Option<IpAddr>, text: String| {
        let address = address.map(|address| address.to_string());
        problems.push(Problem { rule, pool: pool.name.to_string(), address, text });
    };
    if let Some(reason) = pool.refusal() {
        tell("authority", None, format!("no new address is given: {reason}"));
    }
    let of_pool: Vec<&Held> = held.iter().filter(|held| held.pool == pool.name && held.is_attached).collect();
    let mut by_address: BTreeMap<IpAddr, Vec<&Held>> = BTreeMap::new();
    of_pool.iter().for_each(|held| by_address.entry(held.address).or_default().push(held));
    for (address, all) in by_address.iter().filter(|(_, all)| all.len() > 1) {
        let pods: Vec<&str> = all.iter().map(|held| held.pod.as_str()).collect();
        tell("twice", Some(*address), format!("the records of {} have it", pods.join(" and ")));
    }
    // An address of the result that is in no block and has no file is a fixed one of the network's own.
    let is_ours = |address: IpAddr| {
        let grant = pool.grant.as_ref();
        grant.is_some_and(|grant| Stock::new(grant, &pool.report).has(address))
    };
    for held in of_pool {
        match pool.taken.iter().find(|taken| taken.address == held.address) {
            Some(taken) if is_of(taken, held) => {}
            Some(taken) => {
                let text = format!("pod {} has it by its record, and the file is of {}", held.pod, name(taken));
                tell("twice", Some(held.address), text);
            }
            None if is_ours(held.address) => {
                let text = format!("pod {} has it, and it has no file: another pod can get it", held.pod);
                tell("file", Some(held.address), text);
            }
            None => {}
        }
    }
    for taken in &pool.taken {
        if let Some((rule, text)) = of_address(pool, taken, held, is_whole, now) {
            tell(rule, Some(taken.address), text);
        }
    }
    problems
}

fn of_address(
    pool: &SeenPool,
    taken: &Taken,
    held: &[Held],
    is_whole: bool,
    now: u64,
) -> Option<(&'static str, String)> {
    if taken.owner.container.is_empty() {
        return Some(("owner", "its file has no owner; the next ADD or DEL removes it".to_owned()));
    }
    if !taken.has_file {
        let text = format!("{} has it, and its file was deleted; the next ADD or DEL makes it again", name(taken));
        return Some(("file", text));
    }
    if let Some(grant) = &pool.grant {
        if !Stock::new(grant, &pool.report).has(taken.address) {
            return Some(("block", format!("{} has it, and its block is not leased by this node", name(taken))));
        }
        if grant.subnets.iter().any(|subnet| subnet.gateway == Some(taken.address)) {
            return Some(("gateway", format!("{} has the address of the gateway", name(taken))));
        }
    }
    let is_recorded = held.iter().any(|held| is_of(taken, held));
    if is_whole && !is_recorded && now.saturating_sub(taken.since) > YOUNG {
        let text = format!("{} has it, and no record names it; a sweep gives it back if the pod is gone", name(taken));
        return Some(("record", text));
    }
    None
}

fn is_of(taken: &Taken, held: &Held) -> bool {
    taken.owner.container == held.container && taken.owner.ifname == held.ifname
}

fn name(taken: &Taken) -> String {
    match taken.owner.pod.as_str() {
        "" => format!("container {}", taken.owner.container),
        pod => format!("pod {pod}"),
    }
}

fn table(problems: &[Problem]) -> Table {
    let mut table = Table::new(["POOL", "ADDRESS", "RULE", "PROBLEM"]);
    for problem in problems {
        let rule = Cell::new(problem.rule, Tone::Bad);
        let address = problem.address.as_deref().unwrap_or_default();
        table.row(vec![problem.pool.as_str().into(), address.into(), rule, problem.text.as_str().into()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::node_blocks::now;
    use crate::ipam::history::Owner;
    use crate::ipam::{Grant, Report};

    fn pool(taken: &[(&str, &str)]) -> SeenPool {
        let now = now();
        let head =
            format!("pool lan\nconfirmed {} {} {}\nauthority 600\nwarm 1 16\n", now.boot, now.since_boot, now.clock);
        let text = format!("{head}subnet 10.0.0.0/24 10.0.0.1\nblock 10.0.0.0 8 a 10.0.0.2 10.0.0.7\n");
        let owner = |container: &str| Owner { container: container.into(), ifname: "net1".into(), ..Owner::default() };
        let taken = taken.iter().map(|(address, container)| Taken {
            address: address.parse().unwrap(),
            owner: owner(container),
            since: 0,
            has_file: true,
        });
        SeenPool {
            name: PoolName::new("lan").unwrap(),
            taken: taken.collect(),
            former: Vec::new(),
            grant: Some(Grant::parse(&text).unwrap()),
            report: Report::default(),
        }
    }

    fn held(address: &str, container: &str) -> Held {
        Held {
            pool: PoolName::new("lan").unwrap(),
            address: address.parse().unwrap(),
            container: container.into(),
            ifname: "net1".into(),
            pod: format!("ns/{container}"),
            is_attached: true,
        }
    }

    fn rules(pool: &SeenPool, held: &[Held], is_whole: bool) -> Vec<&'static str> {
        of_pool(pool, held, is_whole, 1000).into_iter().map(|problem| problem.rule).collect()
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        // U1, U3, U4, U6, L1
        let good = [held("10.0.0.2", "a"), held("10.0.0.3", "b")];
        let taken = [("10.0.0.2", "a"), ("10.0.0.3", "b")];
        assert_eq!(rules(&pool(&taken), &good, true), [""; 0]);
        assert_eq!(rules(&pool(&taken), &good[..1], true), ["record"]);
        assert_eq!(rules(&pool(&taken), &good[..1], false), [""; 0], "a damaged record may be its");
        assert_eq!(rules(&pool(&taken[..1]), &good, true), ["file"]);
        assert_eq!(rules(&pool(&[("10.0.0.2", "a"), ("10.0.0.3", "c")]), &good, false), ["twice"]);
        let both = [held("10.0.0.2", "a"), held("10.0.0.2", "b")];
        assert_eq!(rules(&pool(&[("10.0.0.2", "a")]), &both, true), ["twice", "twice"]);
        assert_eq!(rules(&pool(&[("10.0.0.9", "a")]), &[held("10.0.0.9", "a")], true), ["block"]);
        assert_eq!(rules(&pool(&[("10.0.0.1", "a")]), &[held("10.0.0.1", "a")], true), ["gateway"]);
        assert_eq!(rules(&pool(&[("10.0.0.2", "")]), &[], true), ["owner"]);
        let mut copied = pool(&taken);
        copied.taken[0].has_file = false;
        assert_eq!(rules(&copied, &good, true), ["file"]);
        // A fixed address of the network's own.
        assert_eq!(rules(&pool(&[]), &[held("192.168.0.9", "a")], true), [""; 0]);
        let mut old = pool(&[]);
        old.grant.as_mut().unwrap().confirmed.boot = "another".to_owned();
        assert_eq!(rules(&old, &[], true), ["authority"]);
    }
}
