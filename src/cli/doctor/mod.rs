//! `plexusctl doctor`: whether this node can attach networks, and what to do where it cannot.

mod checks;
mod facts;
mod network;
mod plugin;
mod runtime;

use super::diagnosis::{self, Check, Mark};
use super::directories::NodeDirectories;
use super::output::described::Described;
use super::output::{Format, Output};
use super::{Error, Verdict, sight, trust};
use clap::Args;
use facts::Facts;
use runtime::Runtime;
use schemars::JsonSchema;
use serde::Serialize;

/// The version of the JSON document.
const VERSION: u32 = 1;

#[derive(Debug, Args)]
#[command(
    after_help = "It changes nothing, and writes only to see whether that is possible. In a pod, run it in the container keeper of the Plexus pod; from a workstation, with --node or --all-nodes."
)]
pub struct Arguments {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    directories: NodeDirectories,
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    /// The version of this shape.
    version: u32,
    /// No check is bad.
    well: bool,
    /// The release of the plugin; null if it does not print one.
    plugin: Option<&'a str>,
    /// The release of the daemon; null if it does not answer.
    daemon: Option<&'a str>,
    /// The release of this program.
    tool: &'static str,
    /// The CNI configuration that the runtime loads first; null if there is none.
    configuration: Option<Configuration<'a>>,
    /// The container runtimes whose sockets exist; empty in a container without them.
    runtimes: &'a [Runtime],
    /// The worst first.
    checks: &'a [Check],
}

/// The CNI configuration that the runtime loads first.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Configuration<'a> {
    /// The name of the file.
    file: &'a str,
    /// The newest version of CNI that it declares; null if the file cannot be read.
    cni_version: Option<&'a str>,
}

impl Described for Document<'_> {
    const NAME: &'static str = "doctor";
}

/// Prints the checklist; not well where a check is bad.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let facts = look(&arguments.directories)?;
    let checks = checks::checks(&facts, env!("CARGO_PKG_VERSION"));
    let well = diagnosis::are_well(&checks);
    match arguments.output {
        Format::Json => output.json(&Document {
            version: VERSION,
            well,
            plugin: facts.release.as_deref().ok(),
            daemon: facts.daemon.as_ref().ok().map(|health| health.release.as_str()),
            tool: env!("CARGO_PKG_VERSION"),
            configuration: facts
                .files
                .first()
                .map(|first| Configuration { file: &first.name, cni_version: first.cni_version.as_deref() }),
            runtimes: &facts.runtimes,
            checks: &checks,
        })?,
        Format::Table => diagnosis::print(&checks, output)?,
    }
    Ok(if well { Verdict::Well } else { Verdict::NotWell })
}

/// What is bad on this node, and what may become bad with the networks `own`. Without them everything that is bad.
///
/// # Errors
/// Another user can write the runtime's directory.
pub fn findings(directories: &NodeDirectories, own: Option<&[String]>) -> Result<Vec<Check>, Error> {
    let checks = checks::checks(&look(directories)?, env!("CARGO_PKG_VERSION"));
    let is_wanted = |check: &Check| match own {
        None => check.mark == Mark::Bad,
        Some(own) => check.is_finding() && check.concerns(own) && (check.mark == Mark::Bad || check.network.is_some()),
    };
    Ok(checks.into_iter().filter(is_wanted).collect())
}

fn look(directories: &NodeDirectories) -> Result<Facts, Error> {
    trust::check(&directories.runtime.cni_conf_dir)?;
    let state = directories.state()?;
    sight::check(&state, "doctor")?;
    Ok(facts::look(&directories.runtime, &directories.run()?, &state))
}
