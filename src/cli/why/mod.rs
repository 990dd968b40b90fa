//! `plexusctl why NAMESPACE/POD`: why a pod does not start, or lacks a network.

mod checks;
mod events;
mod facts;
mod network;
mod node;
pub mod plexus;
mod slips;

pub use network::broken;

use super::diagnosis::{self, Check, Fault, Mark};
use super::directories::NodeDirectories;
use super::output::described::Described;
use super::output::{Format, Output};
use super::pods::networks::Standing;
use super::pods::{Asked, PodOption, label};
use super::{Error, Verdict, doctor, remote, sight};
use crate::cluster::Inquiry;
use checks::RECORD;
use clap::Args;
use facts::Facts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the JSON document.
const VERSION: u32 = 1;

#[derive(Debug, Args)]
#[command(
    after_help = "It asks the API server with your own rights, and prints what it could not see. It also asks the pod's node for its records and for what `plexusctl doctor` finds, which needs pods/exec."
)]
pub struct Arguments {
    #[command(flatten)]
    pod: PodOption,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    node: NodeDirectories,
}

/// The check that a node did not answer.
const RECORDS: &str = "records";
/// The check that the API server could not be asked.
const API_SERVER: &str = "API server";

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    /// The version of this shape.
    version: u32,
    /// `<namespace>/<name>`.
    pod: &'a str,
    /// The most probable cause; null for none.
    cause: Option<&'a Check>,
    /// All checks, the worst first.
    checks: &'a [Check],
}

impl Described for Document<'_> {
    const NAME: &'static str = "why";
}

/// Prints the cause, the next step, and what was checked; not well where a cause was found.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let state = arguments.node.state()?;
    sight::check(&state, "why <namespace>/<name>")?;
    let is_node = sight::is_node(&state);
    let Asked { namespace, name, inquiry } = arguments.pod.find(is_node)?;
    let (facts, mut checks) = match &inquiry {
        Ok(inquiry) => {
            let facts = facts::ask(inquiry, &namespace, &name)?;
            let checks = checks::checks(&facts);
            (Some(facts), checks)
        }
        Err(why) => (None, vec![Check::unseen(API_SERVER, why.as_str())]),
    };
    // Of the node's networks only those of the pod are its causes; without API server and record nobody knows which.
    let mut own = facts.as_ref().map(Facts::selected);
    if is_node {
        let uid = facts.as_ref().map(|facts| facts.pod.kubelet_uid.as_str());
        let run = arguments.node.run()?;
        let found = node::look((&state, &run), (&namespace, &name, uid), output)?;
        let elsewhere = if found.networks.is_none() { of_other_node(&inquiry, &facts, output) } else { None };
        match elsewhere {
            Some(part) => checks::add(&mut checks, part),
            None => {
                own = own.or(found.networks);
                checks::add(&mut checks, found.checks);
                checks::add(&mut checks, doctor::findings(&arguments.node, own.as_deref())?);
            }
        }
    } else if let (Ok(inquiry), Some(facts)) = (&inquiry, &facts) {
        checks::add(&mut checks, part_of_node(inquiry, facts, output));
        checks.iter_mut().for_each(|check| asked_from_here(check, facts.pod.node.as_deref()));
    }
    if let Some(facts) = &facts {
        checks::settle_status(facts, &mut checks);
        checks::settle_ended(facts, &mut checks);
    }
    let checks = diagnosis::worst_first(checks);
    let pod = format!("{namespace}/{name}");
    let is_of_pod = |check: &&Check| own.is_some() || check.about_network().is_none();
    let cause = checks.iter().filter(|check| check.mark == Mark::Bad).find(is_of_pod);
    match arguments.output {
        Format::Json => output.json(&Document { version: VERSION, pod: &pod, cause, checks: &checks })?,
        Format::Table => {
            let afar = facts.as_ref().and_then(|facts| facts.pod.node.as_deref()).filter(|_| !is_node);
            match facts.as_ref().and_then(Facts::ended) {
                Some(ended) => {
                    output.line(&format!("Pod {pod}: {ended}."))?;
                    output.text("\n")?;
                }
                None => headline((&pod, afar), cause, (&checks, is_attached(&checks, facts.as_ref())), output)?,
            }
            diagnosis::print(&checks, output)?;
        }
    }
    Ok(if cause.is_some() { Verdict::NotWell } else { Verdict::Well })
}

/// What the pod's node finds, asked from a node without a record of it: that may be another one. None where no node answers.
fn of_other_node(inquiry: &Result<Inquiry, String>, facts: &Option<Facts>, output: &Output) -> Option<Vec<Check>> {
    let part = part_of_node(inquiry.as_ref().ok()?, facts.as_ref()?, output);
    let is_answered = part.iter().any(|check| check.check != RECORDS);
    is_answered.then_some(part)
}

/// What the pod's node finds, asked from here. Without a running pod of Plexus that is a finding already.
fn part_of_node(inquiry: &Inquiry, facts: &Facts, output: &Output) -> Vec<Check> {
    let plexus = facts.plexus.0.as_ref().ok().and_then(Option::as_ref);
    let is_running =
        plexus.is_some_and(|pod| pod.ready || pod.running.iter().any(|name| name == remote::nodes::KEEPER));
    let Some(node) = facts.pod.node.as_deref().filter(|_| is_running && !facts.pod.host_network) else {
        return Vec::new();
    };
    let pod = label(&facts.pod);
    match remote::document::<PartOfNode>(inquiry, node, &["why", "--output=json", "--", &pod], output) {
        Ok(part) => of_pod(part.checks, facts),
        Err(why) => vec![Check::unseen(RECORDS, format!("the records of node {node} were not seen: {why}"))],
    }
}

/// What of a node's checks is about the pod: not the networks of others, and not an earlier pod with its name. The API
/// server was asked from here.
fn of_pod(checks: Vec<Check>, facts: &Facts) -> Vec<Check> {
    let own = facts.selected();
    let is_of_another = |check: &Check| check.pod_uid.as_ref().is_some_and(|uid| *uid != facts.pod.kubelet_uid);
    // A record may have what the annotation no longer selects.
    let is_about = |check: &Check| check.check == RECORD || check.concerns(&own);
    let is_own = |check: &Check| check.check != API_SERVER && is_about(check) && !is_of_another(check);
    checks.into_iter().filter(is_own).collect()
}

/// What is read of the document that a node prints.
#[derive(Debug, Deserialize)]
struct PartOfNode {
    checks: Vec<Check>,
}

/// What a person does who is on the node.
const DOCTOR: &str = "`plexusctl doctor` on the node";

/// The same from elsewhere.
fn doctor_of(node: &str) -> String {
    format!("`plexusctl doctor --node {node}`")
}

/// Whoever is not on the `node` of the pod asks it from here.
fn asked_from_here(check: &mut Check, node: Option<&str>) {
    if let (Some(remedy), Some(node)) = (&mut check.remedy, node) {
        *remedy = remedy.replace(DOCTOR, &doctor_of(node));
    }
}

/// The answer in two lines: the cause, and the next step. `node` is the pod's, where that is elsewhere.
fn headline(
    (pod, node): (&str, Option<&str>),
    cause: Option<&Check>,
    (checks, is_attached): (&[Check], bool),
    output: &mut Output,
) -> Result<(), Error> {
    if let Some(cause) = cause {
        output.line(&format!("Pod {pod}: {}", cause.finding))?;
        let next = cause.remedy.as_deref().unwrap_or_default();
        output.line(&format!("Next step: {next}"))?;
    } else if let Some(other) = checks.iter().find(|check| check.mark == Mark::Bad) {
        // Without the API server and without a record nobody knows the networks of the pod.
        output.line(&format!("Pod {pod}: which networks it selects is not known. Of this node: {}", other.finding))?;
        output.line(&format!("Next step: {}", other.remedy.as_deref().unwrap_or_default()))?;
    } else if let Some(slip) = checks.iter().find(|check| is_slip(check)) {
        // A warning alone must not read as a failure.
        let well = if is_attached {
            "its networks are attached; a warning: "
        } else {
            "no cause was found in what could be seen; a warning: "
        };
        output.line(&format!("Pod {pod}: {well}{}", slip.finding))?;
        output.line(&format!("Next step: {}", slip.remedy.as_deref().unwrap_or_default()))?;
    } else if let Some(unseen) = checks.iter().find(|check| check.mark == Mark::Unseen) {
        let found = if is_attached {
            "its networks are attached, as far as can be seen"
        } else {
            "no cause was found in what could be seen"
        };
        output.line(&format!("Pod {pod}: {found}."))?;
        let doctor = node.map_or_else(|| DOCTOR.to_owned(), doctor_of);
        let usual = format!("Run {doctor}, and look at the events again in a minute.");
        let next = unseen.remedy.as_deref().or((!is_attached).then_some(&usual));
        next.map_or(Ok(()), |next| output.line(&format!("Next step: {next}")))?;
    } else {
        output.line(&format!("Pod {pod}: no problem with its networks was found."))?;
    }
    output.text("\n")
}

/// Whether the network-status has all networks, or where that cannot be seen the records of the node.
fn is_attached(checks: &[Check], facts: Option<&Facts>) -> bool {
    let of = |kind: &'static str| checks.iter().filter(move |check| check.check == kind);
    let is_good = |check: &Check| check.mark == Mark::Good;
    let is_recorded = of(RECORD).next().is_some() && of(RECORD).all(is_good) && of(API_SERVER).next().is_some();
    let is_reported = facts.is_some_and(|facts| facts.networks.in_state(Standing::Attached).next().is_some());
    (is_reported && of(checks::STATUS).any(is_good)) || is_recorded
}

/// Whether the pod may have another network than its author meant, although nothing failed.
fn is_slip(check: &Check) -> bool {
    // The record of a network that was changed since.
    let is_older = check.check == RECORD && check.fault == Some(Fault::Other);
    let is_mistaken = matches!(check.fault, Some(Fault::NetworkBroken | Fault::NetworkMissing | Fault::Annotation));
    check.mark == Mark::Warning && (is_older || is_mistaken)
}
