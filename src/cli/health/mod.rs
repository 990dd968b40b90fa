//! `plexusctl health`: how the daemon on this node is.

mod cached;

use super::output::described::Described;
use super::output::{Format, Output, Tone};
use super::{Error, Verdict, get};
use crate::api::protocol::Health;
use crate::api::{Cached, RunDirectory, StateDirectory};
use crate::cli::output::counted::{counted, counted_with};
use crate::cli::output::table::{Cell, Table};
use crate::cli::{daemon_health, directories};
use crate::engine::node;
use crate::engine::sandbox::trust;
use crate::facts::last_known;
use crate::nad::NadRef;
use crate::store::Store;
use crate::sys::is_root;
use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The version of the JSON document.
const VERSION: u32 = 1;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// Also print what the daemon has in memory: NADs with their sizes, pods, statuses that wait
    #[arg(long, conflicts_with_all = ["live", "ready"])]
    verbose: bool,

    /// Run directory, with the daemon's socket [default: from the configuration]
    #[arg(long, env = "PLEXUS_RUN_DIRECTORY", value_name = "DIRECTORY")]
    run_directory: Option<PathBuf>,

    /// State directory, with the plugin's records and cached NetworkAttachmentDefinitions [default: from the
    /// configuration]
    #[arg(long, env = "PLEXUS_STATE_DIRECTORY", value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,

    /// CNI configuration directory of the runtime, which contains the configuration of Plexus
    #[arg(long, env = "PLEXUS_CNI_CONF_DIR", default_value = "/etc/cni/net.d", value_name = "DIRECTORY")]
    cni_conf_dir: PathBuf,

    /// Timeout in seconds
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS", value_parser = seconds)]
    timeout: f64,

    /// For a liveness probe: success while the daemon answers, ready or not; prints one line if it does not
    #[arg(long, conflicts_with_all = ["output", "ready"])]
    live: bool,

    /// For a readiness probe: success if the daemon is ready; otherwise prints the reason in one line
    #[arg(long, conflicts_with = "output")]
    ready: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    if (0.001..=3600.0).contains(&seconds) { Ok(seconds) } else { Err(format!("{text} is not between 0.001 and 3600")) }
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    /// The version of this shape.
    version: u32,
    /// A daemon answers. Without an answer, its members are empty.
    running: bool,
    #[serde(flatten)]
    health: &'a Health,
    /// The error if no daemon answers; null if one answers.
    reason: Option<&'a str>,
    /// The number of network-statuses that wait in the plugin's records. The daemon does not see them.
    unpublished_in_records: usize,
    /// Plexus is being uninstalled from this node.
    draining: bool,
    /// The checks by name.
    checks: BTreeMap<&'a str, Check<'a>>,
    /// Problems of this node that the administrator must repair, one line each.
    problems: &'a [String],
    /// The contents of the daemon's memory; only with `--verbose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<&'a Cached>,
    /// The node's last-known copies of NADs, which the plugin uses while the daemon does not answer; only with `--verbose`.
    /// Null if they cannot be seen, as in the daemon's container.
    #[serde(skip_serializing_if = "Option::is_none")]
    copies: Option<Option<&'a [KnownCopy]>>,
}

/// A last-known copy of a NAD on the node.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownCopy {
    /// Its namespace and name.
    #[serde(flatten)]
    nad: NadRef,
    /// The seconds since the daemon last confirmed it to the plugin.
    age: u64,
}

/// The copies of `state`; none where they cannot be seen.
fn copies(state: &StateDirectory) -> Option<Vec<KnownCopy>> {
    let ages = last_known::ages(state).ok().filter(|_| state.path().exists())?;
    let mut copies: Vec<KnownCopy> = ages.into_iter().map(|(nad, age)| KnownCopy { nad, age: age.as_secs() }).collect();
    copies.sort_by(|a, b| a.nad.cmp(&b.nad));
    Some(copies)
}

impl Described for Document<'_> {
    const NAME: &'static str = "health";
}

/// One check of the daemon's readiness.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check<'a> {
    /// It passes.
    ok: bool,
    /// The reason if it does not pass; otherwise empty.
    waits_for: &'a str,
}

fn checks(health: &Health) -> BTreeMap<&str, Check<'_>> {
    health
        .guards
        .iter()
        .map(|(name, awaited)| (name.as_str(), Check { ok: awaited.is_empty(), waits_for: awaited }))
        .collect()
}

/// Asks the daemon and prints its answer; not well where it is not ready, Plexus is being uninstalled, or a directory of
/// the node cannot be trusted.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let run = directories::run(arguments.run_directory.as_deref(), &arguments.cni_conf_dir)?;
    let deadline = Instant::now() + Duration::from_secs_f64(arguments.timeout);
    let answer = match daemon_health::ask(&run, false, deadline) {
        Ok(_) if arguments.live => return Ok(Verdict::Well),
        Ok(health) if arguments.ready => return Ok(tell_ready(&health, output)),
        answer => answer,
    };
    let state = directories::state(arguments.state_directory.as_deref(), &arguments.cni_conf_dir)?;
    let draining = state.draining().exists();
    let problems = problems(&run, &state);
    // Where the records cannot be seen none is known of.
    let (records, _) = Store::new(&state).survey().unwrap_or_default();
    let unpublished = records.iter().filter(|record| record.unpublished.is_some()).count();
    let ready = answer.as_ref().is_ok_and(|health| health.ready);
    let none = Health::default();
    let copies = if arguments.verbose { copies(&state) } else { None };
    let memory = (arguments.verbose && answer.is_ok()).then(|| cached::ask(&run, deadline));
    match (arguments.output, &answer) {
        (Format::Json, answer) => output.json(&Document {
            version: VERSION,
            running: answer.is_ok(),
            health: answer.as_ref().unwrap_or(&none),
            reason: answer.as_ref().err().map(String::as_str),
            unpublished_in_records: unpublished,
            draining,
            checks: checks(answer.as_ref().unwrap_or(&none)),
            problems: &problems,
            cached: memory.as_ref().and_then(|memory| memory.as_ref().ok()),
            copies: arguments.verbose.then_some(copies.as_deref()),
        })?,
        (Format::Table, Ok(health)) => {
            tell(health, output)?;
            memory
                .as_ref()
                .and_then(|memory| memory.as_ref().ok())
                .map_or(Ok(()), |cached| cached::print(cached, output))?;
        }
        (Format::Table, Err(_)) => {}
    }
    if let (Format::Table, Some(copies)) = (arguments.output, &copies) {
        output.remark(format!("last-known copies on this node: {}", counted(copies.len(), "NAD")));
    }
    if let Some(Err(why)) = &memory {
        output.remark(format!("the daemon's memory cannot be shown: {why}"));
    }
    problems.iter().for_each(|problem| output.remark(format!("Problem: {problem}.")));
    if unpublished > 0 {
        output.remark(get::waiting(unpublished));
    }
    if draining {
        output.remark(get::draining_told());
    }
    if let Err(why) = answer {
        output.error(format!(
            "{why}; without it, pods without additional networks start where the runtime passes the pod's annotations, others with the networks known in {}, and none with devices; see its log, or name another directory with --run-directory",
            state.networks().display()
        ));
    }
    Ok(if ready && !draining && problems.is_empty() { Verdict::Well } else { Verdict::NotWell })
}

/// What the administrator must repair. Whether a directory can be written, only root sees, and where the node's are.
fn problems(run: &RunDirectory, state: &StateDirectory) -> Vec<String> {
    let untrusted = trust::doubts(run, state).into_iter();
    let until = "until then, pods start without additional networks or not at all";
    let untrusted = untrusted.map(|doubt| format!("{doubt}; {until}"));
    let is_seen = is_root() && state.path().exists();
    let flaws = if is_seen { node::directories(run, state, true) } else { Vec::new() };
    untrusted.chain(flaws.into_iter().map(|flaw| flaw.text)).collect()
}

/// For the kubelet, which shows the line in an event.
fn tell_ready(health: &Health, output: &Output) -> Verdict {
    if health.ready {
        return Verdict::Well;
    }
    let awaited = health.guards.iter().filter(|(_, awaited)| !awaited.is_empty());
    let awaited: Vec<String> = awaited.map(|(name, awaited)| format!("{name}: {awaited}")).collect();
    output.remark(format!("not ready: {}", awaited.join("; ")));
    Verdict::NotWell
}

fn tell(health: &Health, output: &mut Output) -> Result<(), Error> {
    output.table(&table(health))?;
    let ready = if health.ready { "ready" } else { "not ready" };
    output.remark(format!(
        "plexusd {} is {ready}; {} in memory, {}.",
        health.release,
        counted(health.definitions, "NAD"),
        counted_with(health.unpublished, "network-status update", "waits")
    ));
    for (name, remark) in &health.remarks {
        output.remark(format!("{name}: {remark}"));
    }
    Ok(())
}

fn table(health: &Health) -> Table {
    let mut table = Table::new(["CHECK", "STATE", "WAITS FOR"]);
    for (name, check) in checks(health) {
        let state = if check.ok { Cell::new("ok", Tone::Good) } else { Cell::new("waiting", Tone::Waiting) };
        table.row(vec![name.into(), state, check.waits_for.into()]);
    }
    table
}
