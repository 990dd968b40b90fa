//! `plexusctl ipam check --all-nodes`: each node by itself, and then all of them together with the objects of the cluster.
//!
//! Nodes and objects are looked at one after another, and pods come and go meanwhile. So what does not hold is looked at once
//! more, and only what is there both times is told: in between it was there, too.

mod rules;

use super::check::Document as OfNodeDocument;
use super::cluster::rules::{judge as judge_objects, only_of};
use super::node::VERSION;
use crate::cli::output::counted::counted;
use crate::cli::output::described::Described;
use crate::cli::output::table::{Cell, Table};
use crate::cli::output::{Output, Tone, without_error};
use crate::cli::remote::answer::{self, Answer};
use crate::cli::remote::ask;
use crate::cli::remote::nodes::{Target, find};
use crate::cli::remote::options::Request;
use crate::cli::{Error, Verdict};
use crate::cluster::{Inquiry, SeenAddresses, Unanswered};
use crate::cni::json;
use crate::store::record;
use rules::{OfNode, Problem, judge};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeSet;

/// The member of the document that no node can be called.
const MEMBER: &str = "_cluster";
/// How the option begins that says how an answer is printed.
const OUTPUT: &str = "--output";

/// What the comparison of all nodes shows. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// The version of this shape.
    version: u32,
    /// The number of nodes that were compared.
    nodes: usize,
    /// The number of addresses that their pods have.
    addresses: usize,
    /// The number of blocks that nodes lease; null if the objects of the cluster cannot be listed.
    blocks: Option<usize>,
    /// What does not hold.
    problems: Vec<Problem>,
}

impl Described for Document {
    const NAME: &'static str = "ipam-check-nodes";
}

/// Whether `request` is for this.
pub fn is_meant(request: &Request) -> bool {
    request.nodes.all_nodes && request.words.iter().take(2).eq(["ipam", "check"])
}

/// Checks every node, and all of them together.
pub fn run(request: &Request, output: &mut Output) -> Result<Verdict, Error> {
    let inquiry = request.access.open()?;
    let targets = find(&inquiry, &[])?;
    if targets.is_empty() {
        return Err(Error::NoNodes);
    }
    let words = as_json(&request.words);
    let answers = ask(&inquiry, &targets, &words, request.limit, output);
    let look = |targets: &[Target]| ask(&inquiry, targets, &words, request.limit, output);
    let only = request.words.iter().skip_while(|word| *word != "--").nth(1).map(String::as_str);
    let (document, unlisted) = compare(&inquiry, &answers, &targets, only, look);
    let is_well = document.problems.is_empty();
    match request.format.as_str() {
        "json" => answer::print_with(&answers, MEMBER, &document, output)?,
        _ => print(&answers, &document, output)?,
    }
    if let Some(why) = &unlisted {
        output.remark(format!("nodes are not compared with the objects of the cluster: {why}"));
    }
    tell_older(&answers, output);
    let own = match (unlisted, is_well) {
        (Some(_), _) => Verdict::Refused,
        (None, true) => Verdict::Well,
        (None, false) => Verdict::NotWell,
    };
    Ok(answer::worse(answer::verdict(&answers), own))
}

/// The command line for a node, so that its answer can be read.
fn as_json(words: &[String]) -> Vec<String> {
    let mut words: Vec<String> = words.iter().filter(|word| !word.starts_with(OUTPUT)).cloned().collect();
    words.insert(2.min(words.len()), format!("{OUTPUT}=json"));
    words
}

/// What a node answered; none where it has no answer.
fn read(answer: &Answer) -> Option<OfNodeDocument> {
    json::parse_bytes(&answer.done().ok()?.stdout).ok()
}

/// What the nodes have that answered.
fn held(answers: &[Answer]) -> Vec<OfNode> {
    let of = |answer: &Answer| Some(OfNode { node: answer.node.clone(), holdings: read(answer)?.holdings? });
    answers.iter().filter_map(of).collect()
}

/// Pools, blocks and AddressNodes, and the names of the Nodes.
type Objects = (SeenAddresses, BTreeSet<String>);

fn objects(inquiry: &Inquiry) -> Result<Objects, String> {
    let told = |e: Unanswered| e.to_string();
    let seen = inquiry.addresses().map_err(told)?;
    Ok((seen, inquiry.nodes().map_err(told)?.into_iter().map(|node| node.name).collect()))
}

/// Compares what the nodes answered, and asks those once more with `look` that something seems to be wrong with. Also answers
/// why the objects cannot be listed.
fn compare(
    inquiry: &Inquiry,
    answers: &[Answer],
    targets: &[Target],
    only: Option<&str>,
    look: impl Fn(&[Target]) -> Vec<Answer>,
) -> (Document, Option<String>) {
    let nodes = held(answers);
    let mut listed = objects(inquiry);
    let mut problems = judge(&nodes, listed.as_ref().ok().map(|(seen, _)| seen), record::now());
    if !problems.is_empty() {
        let concerned: BTreeSet<&String> = problems.iter().flat_map(|problem| &problem.nodes).collect();
        let again: Vec<Target> = targets.iter().filter(|target| concerned.contains(&target.node)).cloned().collect();
        let again = held(&look(&again));
        listed = listed.and_then(|_| objects(inquiry));
        problems = confirmed(problems, &again, listed.as_ref().ok().map(|(seen, _)| seen));
    }
    let is_empty = nodes.iter().all(|node| node.holdings.is_empty());
    let (blocks, unlisted) = match &listed {
        Ok((seen, there)) => {
            let of_objects = only_of(judge_objects(seen, there, record::now()), only);
            problems.extend(of_objects.into_iter().map(Problem::from));
            let is_of = |pool: &str| only.is_none_or(|only| only == pool);
            (Some(seen.blocks.iter().filter(|block| is_of(&block.pool)).count()), None)
        }
        // A cluster without pools has no definition of them.
        Err(_) if is_empty => (None, None),
        Err(why) => (None, Some(why.clone())),
    };
    let addresses = nodes.iter().flat_map(|node| &node.holdings).map(|holding| holding.addresses.len()).sum();
    (Document { version: VERSION, nodes: nodes.len(), addresses, blocks, problems }, unlisted)
}

/// What of `problems` is there after another look, or cannot be looked at again.
fn confirmed(problems: Vec<Problem>, again: &[OfNode], seen: Option<&SeenAddresses>) -> Vec<Problem> {
    let now = judge(again, seen, record::now());
    let has_answered = |node: &String| again.iter().any(|answered| answered.node == *node);
    let stays =
        |problem: &Problem| now.iter().any(|other| other.is_same(problem)) || !problem.nodes.iter().all(has_answered);
    problems.into_iter().filter(stays).collect()
}

/// A page for each node, and one for all.
fn print(answers: &[Answer], document: &Document, output: &mut Output) -> Result<(), Error> {
    for answer in answers {
        output.sentence(&format!("Node {}", answer.node), Tone::Heading)?;
        if let Some(own) = read(answer) {
            own.print(output)?;
        }
        output.text("\n")?;
        let beside = answer.result.as_ref().map(|one| String::from_utf8_lossy(&one.stderr).into_owned());
        for line in beside.unwrap_or_default().lines().filter(|line| !line.trim().is_empty()) {
            output.remark(format!("{}: {}", answer.node, without_error(line)));
        }
        if let Err(why) = &answer.result {
            output.remark(format!("{}: {why}", answer.node));
        }
    }
    output.sentence("All nodes", Tone::Heading)?;
    if document.problems.is_empty() {
        let blocks = document.blocks.map(|blocks| format!(" and {}", counted(blocks, "block"))).unwrap_or_default();
        let (nodes, addresses) = (counted(document.nodes, "node"), counted(document.addresses, "address"));
        return output.line(&format!("No problem between {nodes}: {addresses}{blocks} compared."));
    }
    output.table(&table(&document.problems))
}

fn table(problems: &[Problem]) -> Table {
    let mut table = Table::new(["POOL", "OBJECT", "NODES", "RULE", "PROBLEM"]);
    for problem in problems {
        let (pool, nodes) = (problem.pool.as_deref().unwrap_or_default(), problem.nodes.join(","));
        let rule = Cell::new(problem.rule, Tone::Bad);
        table.row(vec![pool.into(), problem.object.as_str().into(), nodes.into(), rule, problem.text.as_str().into()]);
    }
    table
}

/// Nodes that do not say what they have.
fn tell_older(answers: &[Answer], output: &Output) {
    let is_older = |answer: &&Answer| read(answer).is_some_and(|own| own.holdings.is_none());
    let older: Vec<&str> = answers.iter().filter(is_older).map(|answer| answer.node.as_str()).collect();
    if !older.is_empty() {
        output.remark(format!("not compared, because plexusctl there is of a former release: {}", older.join(", ")));
    }
}

#[cfg(test)]
mod tests;
