//! `plexusctl ipam check`: what has to hold of the addresses of a node, whatever was killed or restored.

use super::holding::Holding;
use super::idle::kept_idly;
use super::node::{Node, VERSION};
use super::read::{SeenPool, Taken, pools};
use super::records::{Recorded, recorded};
use crate::cli::output::counted::{counted, counted_with};
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Format, Output, Tone};
use crate::cli::{Error, Verdict};
use crate::facts::node_blocks::now;
use crate::ipam::{Confirmed, Never, Stock};
use crate::store::Store;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A younger address may be of an ADD or DEL that is not done.
const YOUNG: u64 = 600;

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize, Deserialize)]
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
    /// What this node has of each pool, for a comparison with other nodes. Nodes with a former release leave it out.
    #[serde(default)]
    pub holdings: Option<Vec<Holding>>,
}

impl Described for Document {
    const NAME: &'static str = "ipam-check";
}

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The rule: `twice`, `block`, `owner`, `record`, `file`, `gateway`, `network`, `reserved`, `idle` or `authority`.
    rule: Cow<'static, str>,
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
    let (recorded, now) = (recorded(&records), now());
    let problems: Vec<Problem> = pools.iter().flat_map(|pool| of_pool(pool, &recorded, is_whole, &now)).collect();
    let holdings = Some(pools.iter().map(|pool| Holding::of(pool, &recorded)).collect());
    let (pools, addresses) = (pools.len(), pools.iter().map(|pool| pool.taken.len()).sum());
    let document = Document { version: VERSION, pools, addresses, problems, holdings };
    match format {
        Format::Json => output.json(&document)?,
        Format::Table if node.is_node => document.print(output)?,
        Format::Table => {}
    }
    if !is_whole {
        output.remark("Some records cannot be read, so addresses without a record are not reported.");
    }
    Ok(if document.problems.is_empty() { Verdict::Well } else { Verdict::NotWell })
}

impl Document {
    /// Prints it for a person.
    pub fn print(&self, output: &mut Output) -> Result<(), Error> {
        if !self.problems.is_empty() {
            return output.table(&table(&self.problems));
        }
        let (pools, addresses) = (counted(self.pools, "pool"), counted_with(self.addresses, "address", "is"));
        output.line(&format!("No problem in {pools}: {addresses} in use."))
    }
}

fn of_pool(pool: &SeenPool, held: &[Recorded], is_whole: bool, now: &Confirmed) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut tell = |rule: &'static str, address: Option<IpAddr>, text: String| {
        let (rule, address) = (Cow::Borrowed(rule), address.map(|address| address.to_string()));
        problems.push(Problem { rule, pool: pool.name.to_string(), address, text });
    };
    if let Some(reason) = pool.refusal() {
        tell("authority", None, format!("no new address is given: {reason}"));
    }
    if let Some(text) = kept_idly(pool, now) {
        tell("idle", None, text);
    }
    let of_pool: Vec<&Recorded> = held.iter().filter(|held| held.pool == pool.name && held.is_attached).collect();
    let mut by_address: BTreeMap<IpAddr, Vec<&Recorded>> = BTreeMap::new();
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
        if let Some((rule, text)) = of_address(pool, taken, held, is_whole, now.clock) {
            tell(rule, Some(taken.address), text);
        }
    }
    problems
}

fn of_address(
    pool: &SeenPool,
    taken: &Taken,
    held: &[Recorded],
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
    let records = || held.iter().filter(|held| is_of(taken, held));
    if let Some(grant) = &pool.grant {
        let stock = Stock::new(grant, &pool.report);
        if !stock.has(taken.address) {
            return Some(("block", format!("{} has it, and its block is not leased by this node", name(taken))));
        }
        if let Some(never) = stock.never_given(taken.address) {
            let rule = if matches!(never, Never::Gateway(_)) { "gateway" } else { "network" };
            return Some((rule, format!("{} has it, and it is {never}", name(taken))));
        }
        let is_reserved = stock.offers_on_request(taken.address) && !stock.offers(taken.address);
        if is_reserved && records().any(|record| record.address == taken.address && !record.is_asked_for) {
            let text = format!(
                "{} has it and did not ask for it, and it is reserved; it may be reserved since then",
                name(taken)
            );
            return Some(("reserved", text));
        }
    }
    if is_whole && records().next().is_none() && now.saturating_sub(taken.since) > YOUNG {
        let text = format!("{} has it, and no record names it; a sweep gives it back if the pod is gone", name(taken));
        return Some(("record", text));
    }
    None
}

fn is_of(taken: &Taken, held: &Recorded) -> bool {
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
        let rule = Cell::new(problem.rule.as_ref(), Tone::Bad);
        let address = problem.address.as_deref().unwrap_or_default();
        table.row(vec![problem.pool.as_str().into(), address.into(), rule, problem.text.as_str().into()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::history::Owner;
    use crate::ipam::pool::Warm;
    use crate::ipam::{Grant, PoolName, Report};

    fn pool(taken: &[(&str, &str)]) -> SeenPool {
        let now = now();
        let head =
            format!("pool lan\nconfirmed {} {} {}\nauthority 600\nwarm 1 16\n", now.boot, now.since_boot, now.clock);
        let text = format!(
            "{head}subnet 10.0.0.0/24 10.0.0.1\nblock 10.0.0.0 8 a 10.0.0.2 10.0.0.6\nreserved 10.0.0.7 10.0.0.7\n"
        );
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
            changed: 0,
        }
    }

    fn held(address: &str, container: &str) -> Recorded {
        Recorded {
            pool: PoolName::new("lan").unwrap(),
            address: address.parse().unwrap(),
            container: container.into(),
            ifname: "net1".into(),
            pod: format!("ns/{container}"),
            is_attached: true,
            is_asked_for: false,
        }
    }

    fn rules(pool: &SeenPool, held: &[Recorded], is_whole: bool) -> Vec<String> {
        of_pool(pool, held, is_whole, &now()).into_iter().map(|problem| problem.rule.into_owned()).collect()
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
        assert_eq!(rules(&pool(&[("10.0.0.0", "a")]), &[held("10.0.0.0", "a")], true), ["network"]);
        let (reserved, asked) = (held("10.0.0.7", "a"), Recorded { is_asked_for: true, ..held("10.0.0.7", "a") });
        assert_eq!(rules(&pool(&[("10.0.0.7", "a")]), &[reserved], true), ["reserved"]);
        assert_eq!(rules(&pool(&[("10.0.0.7", "a")]), &[asked], true), [""; 0]);
        assert_eq!(rules(&pool(&[("10.0.0.2", "")]), &[], true), ["owner"]);
        let mut copied = pool(&taken);
        copied.taken[0].has_file = false;
        assert_eq!(rules(&copied, &good, true), ["file"]);
        // A fixed address of the network's own.
        assert_eq!(rules(&pool(&[]), &[held("192.168.0.9", "a")], true), [""; 0]);
        let mut old = pool(&[]);
        old.grant.as_mut().unwrap().confirmed.boot = "another".to_owned();
        assert_eq!(rules(&old, &[], true), ["authority"]);
        let mut idle = pool(&[]);
        idle.grant.as_mut().unwrap().warm = Warm { min: 0, max: 0 };
        idle.changed = now().clock - 901;
        let later = Confirmed { since_boot: now().since_boot + 5000, ..now() };
        let told = of_pool(&idle, &[], true, &later);
        assert_eq!(told.iter().map(|problem| &*problem.rule).collect::<Vec<_>>(), ["idle"]);
    }
}
