//! The daemon: see [`plexus::daemon`].

use clap::Parser;
use plexus::daemon::{Settings, log, run};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let settings = Settings::parse();
    log::start(&settings);
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "plexusd cannot go on");
            ExitCode::FAILURE
        }
    }
}
