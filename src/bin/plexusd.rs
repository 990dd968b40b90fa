//! The daemon: see [`plexus::daemon`].

#![deny(clippy::disallowed_macros, clippy::disallowed_methods)]

use clap::Parser;
use plexus::daemon::{Settings, log, run};
use plexus::sys::environment;
use std::process::ExitCode;

fn main() -> ExitCode {
    environment::forget_empty();
    let settings = Settings::parse();
    log::start(&settings);
    start(settings)
}

#[tokio::main(flavor = "current_thread")]
async fn start(settings: Settings) -> ExitCode {
    match run(settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Within the macro `log` is another one.
            let error = log::in_one_line(&error);
            tracing::error!(error, "plexusd ends with an error");
            ExitCode::FAILURE
        }
    }
}
