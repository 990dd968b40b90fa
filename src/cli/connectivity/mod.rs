//! `plexusctl connectivity`: whether pods reach each other over an additional network, measured by pods of Plexus' image.

mod arguments;
mod clean;
mod found;
mod image;
mod layout;
mod manifest;
mod matrix;
mod print;
mod run;
mod subject;

use super::output::Output;
use super::output::described::Described;
use super::{Error, Verdict};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::counted::counted_with;
use arguments::{CleanArguments, Shape, TestArguments};
use clap::{Args, Subcommand};
use matrix::{Matrix, matrices};
use run::Run;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;
use subject::Subject;

/// The version of the JSON document.
const VERSION: u32 = 1;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure from every node to every other one over additional networks
    Test(TestArguments),
    /// Delete the probe pods that interrupted tests left
    Clean(CleanArguments),
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    /// The version of this shape.
    version: u32,
    /// Whether every pair is connected.
    well: bool,
    /// The run, which is the label of its pods.
    run: &'a str,
    /// The image of its pods.
    image: &'a str,
    /// One for each network.
    networks: &'a [Matrix],
}

impl Described for Document<'_> {
    const NAME: &'static str = "connectivity-test";
}

/// Tests, or cleans up.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    match &arguments.command {
        Command::Test(arguments) => test(arguments, output),
        Command::Clean(arguments) => {
            let inquiry = arguments.access.open()?;
            let count = clean::all(&inquiry, arguments.namespace.as_deref(), output)?;
            output.remark(format!("{} deleted.", counted_with(count, "probe pod", "was")));
            Ok(Verdict::Well)
        }
    }
}

fn test(arguments: &TestArguments, output: &mut Output) -> Result<Verdict, Error> {
    // Before the first thread of the client.
    let interrupt = Interrupt::catch("interrupted again; `plexusctl connectivity clean` deletes the probe pods")?;
    let inquiry = arguments.access.open()?;
    let subject = Subject::ask(&inquiry, arguments)?;
    let run = Run::new(&inquiry, &subject, Duration::from_secs(arguments.timeout), &interrupt);
    let found = run.all(output)?;
    let matrices = matrices(&found);
    let well = matrices.iter().all(|matrix| matrix.pairs.iter().all(|pair| pair.well));
    match arguments.output {
        Shape::Json => output.json(&Document {
            version: VERSION,
            well,
            run: &subject.run,
            image: &subject.image,
            networks: &matrices,
        })?,
        shape => print::print(&matrices, shape == Shape::Wide, output)?,
    }
    Ok(if well { Verdict::Well } else { Verdict::Refused })
}
