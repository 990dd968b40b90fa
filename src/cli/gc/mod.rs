//! `plexusctl gc`: deletes what is left of sandboxes that are gone, and tries again what is owed.
//!
//! The plugin does it, as after any call; it is only not waited for that a call comes. Where we may not do what the
//! plugin has to do, which is so in a container, we ask the node's own plugin for it.

mod ask;
mod damaged;
mod rows;

use super::output::{Format, Output};
use super::{Error, Verdict};
use crate::api::StateDirectory;
use crate::cli::former_wait::FormerWait;
use crate::cli::gc::damaged::Kept;
pub use crate::cli::gc::rows::Document;
use crate::cli::gc::rows::{Row, VERSION, forgiven_table, table};
use crate::cni::NetworkConfig;
use crate::cni::json;
use crate::engine::Settings;
use crate::engine::cleanup::forgive;
use crate::engine::cleanup::forgive::{Forgiven, Place};
use crate::engine::cleanup::sweep_command;
use crate::engine::planning::disk;
use crate::engine::sandbox::trust as engine_trust;
use crate::sys::capabilities::may_change_networks;
use crate::sys::files;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the plugin is handed where there is no configuration of it (it goes first when Plexus is uninstalled): every key
/// has its default.
const DEFAULTS: &str = r#"{"name":"plexus","cniVersion":"1.0.0","type":"plexus"}"#;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only show what would be removed or forgiven
    #[arg(long)]
    dry_run: bool,

    /// Drop failed removals, of these containers or of all, and the record of a named container that is gone; you have to
    /// remove its leftovers yourself
    #[arg(long, num_args = 0.., value_name = "CONTAINER", value_parser = NonEmptyStringValueParser::new())]
    forgive: Option<Vec<String>>,

    /// Do not ask before removals are forgiven on several nodes
    #[arg(long)]
    yes: bool,

    /// In a container: seconds to wait for the cleanup by the node's own plugin
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    timeout: u64,

    #[command(flatten)]
    former_wait: FormerWait,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// CNI configuration directory of the runtime, which contains the configuration of Plexus
    // No variable: whoever becomes root keeps another user's environment, and what lies there is run.
    #[arg(long, default_value = "/etc/cni/net.d", value_name = "DIRECTORY")]
    cni_conf_dir: PathBuf,

    /// Path of the plugin's program
    #[arg(long, default_value = "/opt/cni/bin/plexus", value_name = "FILE")]
    plugin: PathBuf,
}

/// Sweeps, or looks what a sweep would do; not well where something could not be deleted.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let timeout = arguments.former_wait.or(arguments.timeout, output);
    let installed = installed(&arguments.cni_conf_dir);
    let is_installed = installed.is_some();
    let configuration = installed.unwrap_or_else(|| DEFAULTS.to_owned());
    let failed = |why: String| Error::Sweep { plugin: arguments.plugin.clone(), why };
    let (settings, mistakes) = Settings::review(&configuration).map_err(|e| failed(e.to_string()))?;
    // In a container nobody else prints them; on the node the plugin does.
    if !may_change_networks() {
        let mistakes = mistakes.into_iter().map(|mistake| format!("{mistake}; its default is used"));
        for remark in mistakes.chain(settings.remarks()) {
            output.remark(format!("warning: the configuration of Plexus: {remark}"));
        }
    }
    if !is_installed && may_change_networks() && !arguments.plugin.exists() && !settings.state.path().exists() {
        return Err(Error::NotInstalled {
            folder: arguments.cni_conf_dir.clone(),
            plugin: arguments.plugin.clone(),
            state: settings.state.path().to_owned(),
        });
    }
    if !is_installed {
        output.remark(format!(
            "{} contains no configuration of Plexus: gc uses the default directories",
            arguments.cni_conf_dir.display()
        ));
    }
    if let Some(doubt) = engine_trust::doubts(&settings.run, &settings.state).into_iter().next() {
        return Err(Error::NotOurs(doubt));
    }
    if let Some(chosen) = &arguments.forgive {
        ask::see_records(&settings)?;
        return forgive(arguments, settings, chosen, output);
    }
    if !may_change_networks() {
        let rows = ask::ask(&settings, arguments.dry_run, timeout, output)?;
        return print(arguments, &settings.state, rows, output);
    }
    let rows = sweep(&arguments.plugin, &configuration, arguments.dry_run)?;
    print(arguments, &settings.state, rows, output)
}

fn print(arguments: &Arguments, state: &StateDirectory, rows: Vec<Row>, output: &mut Output) -> Result<Verdict, Error> {
    let (doubts, mut rows): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.doubt);
    rows.sort_by(|a, b| (&a.pod, &a.container, &a.interface).cmp(&(&b.pod, &b.container, &b.interface)));
    let left = rows.iter().any(|row| !row.deleted) && !arguments.dry_run;
    let doubt = doubts.into_iter().next().map(|row| row.reason);
    let kept = Kept::of(state);
    let well = !left && doubt.is_none();
    if let Some(doubt) = &doubt {
        output.remark(doubt);
    }
    match arguments.output {
        Format::Table if rows.is_empty() && doubt.is_some() => {}
        Format::Table if rows.is_empty() => output.remark(
            "Nothing to clean up: no removal failed, every record is of a sandbox that exists or is younger than a minute, and every address of host-local is held or was taken less than ten minutes ago.",
        ),
        Format::Table => output.table(&table(&rows, arguments.dry_run))?,
        Format::Json => {
            let (damaged_records, damaged_files) = (kept.records, kept.files);
            output.json(&Document {
                version: VERSION,
                dry_run: arguments.dry_run,
                attachments: rows,
                doubt,
                damaged_records,
                damaged_files,
            })?;
        }
    }
    kept.tell(state, output);
    Ok(if well { Verdict::Well } else { Verdict::NotWell })
}

fn forgive(
    arguments: &Arguments,
    settings: Settings,
    chosen: &[String],
    output: &mut Output,
) -> Result<Verdict, Error> {
    let (folder, state) = (settings.state.sandboxes(), settings.state.clone());
    let turn = sweep_command::turn(settings, Vec::new());
    let place = if may_change_networks() { Place::Node } else { Place::Container };
    let forgiven = forgive::forgive(&turn, chosen, place, arguments.dry_run)
        .map_err(|e| Error::Forgive { folder, why: e.to_string() })?;
    let kept = forgiven.iter().any(|one| one.kept.is_some());
    let rows: Vec<Row> = forgiven.iter().map(|one: &Forgiven| Row::forgiven(one, arguments.dry_run)).collect();
    match arguments.output {
        Format::Table if rows.is_empty() => output.remark(
            "There are no failed removals to forgive. A container that is gone without its removal is forgiven by its ID.",
        ),
        Format::Table => output.table(&forgiven_table(&rows, arguments.dry_run))?,
        Format::Json => {
            let of = Kept::of(&state);
            output.json(&Document {
                version: VERSION,
                dry_run: arguments.dry_run,
                attachments: rows,
                doubt: None,
                damaged_records: of.records,
                damaged_files: of.files,
            })?;
        }
    }
    Ok(if kept { Verdict::NotWell } else { Verdict::Well })
}

/// Our element of the list that is installed in `folder`, as a runtime would hand it over.
pub fn installed(folder: &Path) -> Option<String> {
    let networks = disk::candidates(folder).unwrap_or_default().into_iter().filter_map(|path| disk::read(&path).ok());
    if let Some(text) = networks.into_iter().find_map(|network| element(&network)) {
        return Some(text);
    }
    chained(folder)
}

/// Our element where it is chained behind a network of `folder`.
fn chained(folder: &Path) -> Option<String> {
    let chained = files::entries(folder).into_iter().flatten().map(|entry| entry.path().join("90-plexus.conf"));
    let read = |path: PathBuf| NetworkConfig::parse(&files::read_bounded(&path, 1 << 20).ok()??, Some("plexus")).ok();
    chained.filter_map(read).find_map(|network| element(&network))
}

/// Whether Plexus is chained behind a network of `folder`.
pub fn is_chained(folder: &Path) -> bool {
    chained(folder).is_some()
}

impl Arguments {
    /// Where the configuration is that says what is run.
    pub fn folder(&self) -> &Path {
        &self.cni_conf_dir
    }
}

fn element(network: &NetworkConfig) -> Option<String> {
    let mut element =
        network.plugins.iter().find(|plugin| plugin.kind.as_str() == super::install::PLUGIN)?.object.clone();
    element.set_value("name", network.name.as_str());
    // What is asked of the plugin is of no version; the list's may be missing.
    element.set_value("cniVersion", "1.0.0");
    Some(element.to_json())
}

fn sweep(plugin: &Path, configuration: &str, dry_run: bool) -> Result<Vec<Row>, Error> {
    let failed = |why: String| Error::Sweep { plugin: plugin.to_owned(), why };
    let mut command = Command::new(plugin);
    command.arg("sweep").args(dry_run.then_some("--dry-run")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child =
        command.spawn().map_err(|e| failed(format!("it cannot be started: {e}; name the plugin with --plugin")))?;
    // It reads all of it before it works, and ends by itself; whoever does not read it says so by the answer.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(configuration.as_bytes()));
    let finished = child.wait_with_output().map_err(|e| failed(e.to_string()))?;
    let answer = String::from_utf8_lossy(&finished.stdout);
    if !finished.status.success() {
        return Err(failed(answer.trim().to_owned()));
    }
    json::parse(&answer).map_err(|e| failed(format!("its answer is not understood: {e}; is it of another release?")))
}
