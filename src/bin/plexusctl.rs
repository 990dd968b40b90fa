//! The operator's tool: see [`plexus::cli`].

#![deny(clippy::disallowed_macros, clippy::disallowed_methods)]

use clap::CommandFactory;
use std::process::ExitCode;

fn main() -> ExitCode {
    plexus::sys::environment::forget_empty();
    plexus::cli::run(std::env::args_os(), plexus::daemon::Settings::command)
}
