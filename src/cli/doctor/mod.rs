//! `plexusctl doctor`: whether this node can attach networks, and what to do where it cannot.

mod checks;
mod facts;
mod pools;

use super::diagnosis::{self, Check};
use super::directories::RuntimeDirectories;
use super::output::{Format, Output};
use super::{Error, Verdict, trust};
use crate::api::{RunDirectory, StateDirectory};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// The version of the JSON document.
const VERSION: u32 = 1;

#[derive(Debug, Args)]
#[command(after_help = "It changes nothing. In a pod, run it in the container keeper of the Plexus pod.")]
pub struct Arguments {
    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    #[command(flatten)]
    directories: RuntimeDirectories,

    /// Run directory, with the daemon's socket
    #[arg(long, env = "PLEXUS_RUN_DIRECTORY", default_value = RunDirectory::DEFAULT, value_name = "DIRECTORY")]
    run_directory: PathBuf,

    /// State directory, with the plugin's records
    #[arg(long, env = "PLEXUS_STATE_DIRECTORY", default_value = StateDirectory::DEFAULT, value_name = "DIRECTORY")]
    state_directory: PathBuf,
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    version: u32,
    /// Whether no check is bad.
    well: bool,
    /// The worst first.
    checks: &'a [Check],
}

/// Prints the checklist; not well where a check is bad.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    trust::check(&arguments.directories.cni_conf_dir)?;
    let facts = facts::look(&arguments.directories, &arguments.run_directory, &arguments.state_directory);
    let checks = checks::checks(&facts, env!("CARGO_PKG_VERSION"));
    let well = diagnosis::are_well(&checks);
    match arguments.output {
        Format::Json => output.json(&Document { version: VERSION, well, checks: &checks })?,
        Format::Table => diagnosis::print(&checks, output)?,
    }
    Ok(if well { Verdict::Well } else { Verdict::NotWell })
}
