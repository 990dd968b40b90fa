//! `plexusctl health`: how the daemon on this node is.

use super::output::{Format, Output, Tone};
use super::table::{Cell, Table};
use super::{Error, Verdict};
use crate::api::protocol::{Health, Reply, Request};
use crate::api::{RunDirectory, StateDirectory};
use crate::facts::Client;
use clap::Args;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct Arguments {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// Where the daemon's socket is
    #[arg(long, env = "PLEXUS_RUN_DIRECTORY", default_value = RunDirectory::DEFAULT, value_name = "FOLDER")]
    run_directory: PathBuf,

    /// How long to wait for the answer
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS", value_parser = seconds)]
    timeout: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    if (0.001..=3600.0).contains(&seconds) { Ok(seconds) } else { Err(format!("{text} is not between 0.001 and 3600")) }
}

/// Asks the daemon and prints what it says of itself.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let run = RunDirectory::new(&arguments.run_directory);
    let deadline = Instant::now() + Duration::from_secs_f64(arguments.timeout);
    let reply = Client::connect(&run, deadline).and_then(|mut client| client.ask(&Request::Health {}));
    let why = match reply {
        Ok(Reply::Health(health)) => return tell(arguments.output, &health, output),
        Ok(Reply::Unsupported(why) | Reply::Unavailable(why)) => why,
        Ok(other) => format!("plexusd answered another question: {other:?}"),
        Err(e) => e.to_string(),
    };
    output.remark(format!(
        "plexusctl: {why}; plain pods start without it, others with the networks known in {}. See its log, or name another folder with --run-directory",
        StateDirectory::default().networks().display()
    ));
    Ok(Verdict::NotWell)
}

fn tell(format: Format, health: &Health, output: &mut Output) -> Result<Verdict, Error> {
    match format {
        Format::Json => output.json(health)?,
        Format::Table => {
            output.table(&table(health))?;
            let ready = if health.ready { "ready" } else { "not ready" };
            output.remark(format!(
                "plexusd {} is {ready}; it knows {} network{}, and {} network status{} to be published.",
                health.release,
                health.definitions,
                if health.definitions == 1 { "" } else { "s" },
                health.unpublished,
                if health.unpublished == 1 { " waits" } else { "es wait" }
            ));
        }
    }
    Ok(if health.ready { Verdict::Well } else { Verdict::NotWell })
}

fn table(health: &Health) -> Table {
    let mut table = Table::new(["GUARD", "STATE", "AWAITED"]);
    for (name, awaited) in &health.guards {
        let state =
            if awaited.is_empty() { Cell::new("holds", Tone::Good) } else { Cell::new("awaited", Tone::Waiting) };
        table.row(vec![name.as_str().into(), state, awaited.as_str().into()]);
    }
    table
}
