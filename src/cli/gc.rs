//! `plexusctl gc`: deletes what is left of sandboxes that are gone, and tries again what is owed.
//!
//! The plugin does it, as after any call; it is only not waited for that a call comes.

use super::output::{Format, Output, Tone};
use super::table::{Cell, Table};
use super::{Error, Verdict};
use crate::cni::NetworkConfig;
use crate::engine::disk;
use crate::sys::files;
use clap::Args;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The version of the JSON document.
const VERSION: u32 = 1;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// Where the runtime looks for its configuration, ours among it
    // No variable: whoever becomes root keeps another user's environment, and what lies there is run.
    #[arg(long, default_value = "/etc/cni/net.d", value_name = "FOLDER")]
    cni_conf_dir: PathBuf,

    /// The plugin's program
    #[arg(long, default_value = "/opt/cni/bin/plexus", value_name = "FILE")]
    plugin: PathBuf,
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    version: u32,
    dry_run: bool,
    attachments: Vec<Row>,
}

/// What goes, as the plugin tells it.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    container: String,
    pod: Option<String>,
    network: String,
    interface: String,
    reason: String,
    deleted: bool,
}

/// Sweeps, or looks what a sweep would do; not well where something could not be deleted.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let configuration = configuration(&arguments.cni_conf_dir, output);
    let mut rows = sweep(&arguments.plugin, &configuration, arguments.dry_run)?;
    rows.sort_by(|a, b| (&a.pod, &a.container, &a.interface).cmp(&(&b.pod, &b.container, &b.interface)));
    let left = rows.iter().any(|row| !row.deleted);
    match arguments.output {
        Format::Table if rows.is_empty() => {
            output.remark("Nothing is to be deleted: every record is of a sandbox that exists, every address of host-local is held, and nothing is owed.")
        }
        Format::Table => output.table(&table(&rows, arguments.dry_run))?,
        Format::Json => output.json(&Document { version: VERSION, dry_run: arguments.dry_run, attachments: rows })?,
    }
    Ok(if left && !arguments.dry_run { Verdict::NotWell } else { Verdict::Well })
}

/// What the plugin is handed. Where there is no configuration of it (it goes first when Plexus is uninstalled)
/// every key has its default.
fn configuration(folder: &Path, output: &Output) -> String {
    installed(folder).unwrap_or_else(|| {
        output.remark(format!("{} holds no configuration of Plexus: the usual folders are swept", folder.display()));
        r#"{"name":"plexus","cniVersion":"1.0.0","type":"plexus"}"#.to_owned()
    })
}

/// Our element of the list that is installed in `folder`, as a runtime would hand it over.
pub fn installed(folder: &Path) -> Option<String> {
    let networks = disk::candidates(folder).unwrap_or_default().into_iter().filter_map(|path| disk::read(&path).ok());
    if let Some(text) = networks.into_iter().find_map(|network| element(&network)) {
        return Some(text);
    }
    let chained =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path().join("90-plexus.conf"));
    let read = |path: PathBuf| NetworkConfig::parse(&files::read_bounded(&path, 1 << 20).ok()??, Some("plexus")).ok();
    chained.filter_map(read).find_map(|network| element(&network))
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
    serde_json::from_str(&answer)
        .map_err(|e| failed(format!("its answer is not understood: {e}; is it of another release?")))
}

fn table(rows: &[Row], dry_run: bool) -> Table {
    let mut table = Table::new(["POD", "NETWORK", "INTERFACE", "CONTAINER", "OUTCOME", "REASON"]);
    for row in rows {
        let outcome = match (row.deleted, dry_run) {
            (true, _) => Cell::new("deleted", Tone::Good),
            (false, true) => Cell::new("would go", Tone::Waiting),
            (false, false) => Cell::new("still owed", Tone::Bad),
        };
        let short = row.container.chars().take(13).collect::<String>();
        table.row(vec![
            row.pod.clone().unwrap_or_default().into(),
            row.network.as_str().into(),
            row.interface.as_str().into(),
            short.into(),
            outcome,
            row.reason.as_str().into(),
        ]);
    }
    table
}
