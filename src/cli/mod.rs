//! `plexusctl`, which also runs as `kubectl plexus`: one file or folder a subcommand.
//!
//! What was asked for goes to stdout, what is to be known about it to stderr. Exit codes, which
//! scripts may rely on:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success |
//! | 1 | it could not be done; the last line on stderr begins with `error: `, as those of a wrong command line, and says what and on which object; or `plan` shows a refusal, `lint` an error, or `connectivity test` a pair that is not connected |
//! | 2 | the command line is wrong |
//! | 3 | done, and what was looked at is not well: `health` of a daemon that is not ready or does not run, `uninstall` while pods need the plugin, `gc` that could not delete everything or does not know what is gone, `get` and `natives` where Plexus is not installed, `migrate` with a key that is left to a person, `why`, `doctor` and `status` that found a cause, `ipam check` that found a problem, `describe` of a pod that differs from its record, `topology` and `report` without a node or cluster |
//! | 141 | whoever reads stdout has gone: as a shell has it of a program that SIGPIPE ends |

mod address_pools;
mod completion;
mod config;
mod connectivity;
mod crd;
mod daemon_health;
mod describe;
mod diagnosis;
mod directories;
mod doctor;
pub mod error;
mod former_wait;
mod gc;
mod get;
mod health;
mod install;
mod interrupt;
mod ipam;
mod keep;
mod kubeconfig;
pub mod lint;
mod man;
mod meant;
mod migrate;
mod natives;
mod networks_now;
mod objects;
mod older;
mod output;
mod plan;
mod pods;
mod probe;
mod remote;
mod report;
mod runs_as;
mod schemas;
mod settings_of_node;
mod sight;
mod status;
mod topology;
mod trust;
mod uninstall;
mod verdict;
mod version;
mod why;

pub use error::Error;
pub use schemas::schemas;
pub(crate) use verdict::Verdict;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use config::schema;
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;

/// Inspects and manages Plexus on this node, and shows the networks of a cluster's pods.
#[derive(Debug, Parser)]
#[command(name = "plexusctl", version, subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 success, 1 failure, 2 wrong command line, 3 success, but a problem was found, 141 the reader of the output has gone."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the attached network interfaces on this node, or of the pods of a cluster
    Get(get::Arguments),
    /// Show everything about the networks of one pod
    Describe(describe::Arguments),
    /// Show Plexus in the cluster, a line for each node, and check what concerns all of them
    Status(status::Arguments),
    /// Draw pods, interfaces, networks, and the bridges and masters of nodes
    Topology(topology::Arguments),
    /// Test whether pods reach each other over additional networks
    Connectivity(connectivity::Arguments),
    /// Find out why a pod does not start, or lacks a network
    Why(why::Arguments),
    /// Check whether this node can attach networks, and what to do if it cannot
    Doctor(doctor::Arguments),
    /// Print, or write, the CNI configuration of Plexus for this node
    Config(config::Arguments),
    /// Install or upgrade Plexus on this node
    Install(install::Arguments),
    /// Restore Plexus' files when another agent changes them, at most three times an hour; for the DaemonSet
    Keep(keep::Arguments),
    /// Answer and measure in a probe pod; for `connectivity test`
    Probe(probe::Arguments),
    /// Remove Plexus from this node after its last pod with additional networks; new pods get none from now on
    Uninstall(uninstall::Arguments),
    /// Show the addresses of pools that pods of this node have or had, and check them
    Ipam(ipam::Arguments),
    /// Clean up leftovers of deleted pods, and retry failed removals
    Gc(gc::Arguments),
    /// Show which plugins run inside Plexus, which run as programs, and why
    Natives(natives::Arguments),
    /// Find errors in manifests, or in the objects of a cluster, before a pod meets them
    Lint(lint::Arguments),
    /// Show what would be attached to a pod, without doing it: from manifests, or for a pod of this node
    Plan(plan::Arguments),
    /// Convert a Multus configuration, and show the result for each key
    Migrate(migrate::Arguments),
    /// Print the JSON Schema of the plugin's configuration, or of a settings file
    Schema(schema::Arguments),
    /// Print the CRD NetworkAttachmentDefinition
    Crd,
    /// Show whether the daemon on this node is ready
    Health(health::Arguments),
    /// Print a script that completes command lines in a shell
    Completion(completion::Arguments),
    /// Write one archive for a bug report, without secrets: of this node, or of a cluster and its nodes
    Report(report::Arguments),
    /// Print the version, and the supported CNI versions
    Version(version::Arguments),
    /// Write the manual pages
    #[command(hide = true)]
    Man(man::Arguments),
    /// Print the possible words of a command line, for `kubectl plexus`
    #[command(name = "__complete", hide = true)]
    Complete(completion::Words),
}

/// The exit code of a program that SIGPIPE ends, as a shell has it: `kubectl` and most others end so.
const READER_GONE: u8 = 128 + 13;

/// Runs the command line `words`, of which the first is the program's name. `daemon` is the command line of the daemon, which
/// has a manual page, too.
pub fn run(words: impl IntoIterator<Item = OsString>, daemon: fn() -> clap::Command) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    let parser = parser(words.first());
    let parsed = parser.clone().try_get_matches_from(words);
    let parsed = parsed.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(e) => {
            // Help is no mistake: clap tells the two apart, and prints each where it belongs.
            let _ = e.print();
            return if e.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let mut output = Output::of_process();
    let done = match remote::options::requested(&parser, &matches) {
        Ok(Some(request)) if ipam::is_check_of_all_nodes(&request) => ipam::check_all_nodes(&request, &mut output),
        Ok(Some(request)) => remote::run(&request, &mut output),
        Ok(None) => dispatch(cli.command, daemon, &mut output),
        Err(e) => Err(e),
    };
    match done {
        Ok(Verdict::Well) => ExitCode::SUCCESS,
        Ok(Verdict::NotWell) => ExitCode::from(3),
        Ok(Verdict::Refused) => ExitCode::FAILURE,
        // Whoever read us has seen enough, as in `plexusctl get | head`: what was not printed cannot be called well.
        Err(Error::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(READER_GONE),
        Err(e) => {
            output.error(&e);
            ExitCode::from(e.exit_code())
        }
    }
}

/// The command line, for tests and for documents that are compared with it.
pub fn command() -> clap::Command {
    remote::options::extend(Cli::command())
}

/// The parser; started as `kubectl-plexus` its help says what people type, `kubectl plexus`.
fn parser(program: Option<&OsString>) -> clap::Command {
    match output::is_kubectl_plugin(program) {
        true => command().bin_name("kubectl plexus").display_name("kubectl plexus"),
        false => command(),
    }
}

fn dispatch(command: Command, daemon: fn() -> clap::Command, output: &mut Output) -> Result<Verdict, Error> {
    match command {
        Command::Get(arguments) => get::run(&arguments, output),
        Command::Describe(arguments) => describe::run(&arguments, output),
        Command::Status(arguments) => status::run(&arguments, output),
        Command::Topology(arguments) => topology::run(&arguments, output),
        Command::Connectivity(arguments) => connectivity::run(&arguments, output),
        Command::Why(arguments) => why::run(&arguments, output),
        Command::Doctor(arguments) => doctor::run(&arguments, output),
        Command::Config(arguments) => config::run(&arguments, output).map(|()| Verdict::Well),
        Command::Install(arguments) => install::run(&arguments, output).map(|()| Verdict::Well),
        Command::Keep(arguments) => keep::run(&arguments, output).map(|()| Verdict::Well),
        Command::Probe(arguments) => probe::run(&arguments, output).map(|()| Verdict::Well),
        Command::Uninstall(arguments) => uninstall::run(&arguments, output),
        Command::Gc(arguments) => trust::check(arguments.folder()).and_then(|()| gc::run(&arguments, output)),
        Command::Ipam(arguments) => ipam::run(&arguments, output),
        Command::Natives(arguments) => natives::run(&arguments, output),
        Command::Lint(arguments) => lint::run(&arguments, output),
        Command::Plan(arguments) => plan::run(&arguments, output),
        Command::Migrate(arguments) => migrate::run(&arguments, output),
        Command::Schema(arguments) => schema::run(&arguments, output).map(|()| Verdict::Well),
        Command::Crd => crd::run(output).map(|()| Verdict::Well),
        Command::Health(arguments) => health::run(&arguments, output),
        Command::Completion(arguments) => completion::run(&arguments, self::command(), output).map(|()| Verdict::Well),
        Command::Complete(words) => completion::complete(&words, self::command(), output).map(|()| Verdict::Well),
        Command::Man(arguments) => man::run(&arguments, self::command(), daemon(), output).map(|()| Verdict::Well),
        Command::Report(arguments) => report::run(&arguments, output),
        Command::Version(arguments) => version::run(&arguments, output).map(|()| Verdict::Well),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn kubectl_is_told_in_its_own_words() {
        let usage = |program: &str| parser(Some(&program.into())).render_help().to_string();
        assert!(usage("/usr/bin/kubectl-plexus").contains("Usage: kubectl plexus <COMMAND>"));
        assert!(usage("target/plexusctl").contains("Usage: plexusctl <COMMAND>"));
    }
}
