//! `plexusctl natives`: which plugins run inside Plexus, which run as programs, and why.
//!
//! Judged by the code that judges at each call, so it cannot say anything else.

mod rows;

use super::output::{Format, Output};
use super::{Error, Verdict, get, networks_now, sight, trust};
use crate::api::StateDirectory;
use crate::cli::natives::rows::table;
pub use crate::cli::natives::rows::{Document, Network};
use crate::cluster::manifests::manifest;
use crate::cni::{CniError, NetworkConfig};
use crate::delegate::Registry;
use crate::engine::Settings;
use crate::engine::planning::refusals::namesakes;
use crate::engine::planning::{default_network, disk, networks};
use crate::engine::settings::Primary;
use crate::facts::Known;
use crate::nad::Definition;
use crate::sys::files;
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};

/// The version of the JSON document.
const VERSION: u32 = 1;
/// A copy of a definition, or a file of manifests, is at most so long.
const MAX_FILE: usize = 64 << 20;
/// Without a configuration of Plexus every key has its default.
pub const DEFAULTS: &str = r#"{"name":"plexus","cniVersion":"1.0.0","type":"plexus"}"#;

#[derive(Debug, Args)]
#[command(
    after_help = "The networks of a whole cluster:\n  kubectl get net-attach-def -A -o yaml | plexusctl natives -"
)]
pub struct Arguments {
    /// Manifests with NetworkAttachmentDefinitions, directories of them, or CNI configurations; `-` reads stdin.
    /// Default: the default network of this node, and the networks that its pods have used
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Output format
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,

    /// CNI configuration directory of the runtime, which contains the configuration of Plexus
    #[arg(long, env = "PLEXUS_CNI_CONF_DIR", default_value = "/etc/cni/net.d", value_name = "DIRECTORY")]
    cni_conf_dir: PathBuf,

    /// State directory, with cached NetworkAttachmentDefinitions [default: from the configuration]
    #[arg(long, env = "PLEXUS_STATE_DIRECTORY", value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
}

/// Prints who runs what; not well where there is nothing to tell because this is no node.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    let settings = arguments.settings(output)?;
    let (networks, unread) = match arguments.files.as_slice() {
        [] => (of_node(&settings, arguments.state_directory.as_deref())?, Vec::new()),
        files => of_files(&settings, files, output)?,
    };
    let configured = networks.iter().filter_map(|network| Some((network.network.clone(), network.config.as_ref()?)));
    namesakes::remarks(configured).into_iter().for_each(|remark| output.remark(format!("Warning: {remark}")));
    let state = arguments.state_directory.as_deref().map_or_else(|| settings.state.clone(), StateDirectory::new);
    let is_node = !networks.is_empty() || !arguments.files.is_empty() || sight::is_node(&state);
    match arguments.output {
        Format::Json => output.json(&Document { version: VERSION, networks })?,
        Format::Table if !is_node => {}
        // Each file without one was told.
        Format::Table if networks.is_empty() && !arguments.files.is_empty() => {}
        Format::Table if networks.is_empty() => {
            output.remark("No network: there is no default network, and no pod has used another one on this node.");
        }
        Format::Table => output.table(&table(&networks))?,
    }
    if !unread.is_empty() {
        return Err(Error::Unread { files: unread });
    }
    if is_node {
        return Ok(Verdict::Well);
    }
    output.error(get::not_a_node(&state, "natives"));
    Ok(Verdict::NotWell)
}

impl Arguments {
    /// The configuration that the plugin is called with on this node.
    fn settings(&self, output: &Output) -> Result<Settings, Error> {
        trust::check(&self.cni_conf_dir)?;
        let installed = super::gc::installed(&self.cni_conf_dir);
        if installed.is_none() {
            let folder = self.cni_conf_dir.display();
            output.remark(format!("{folder} contains no configuration of Plexus: every key has its default"));
        }
        let invalid = |e: CniError| Error::Networks { what: self.cni_conf_dir.display().to_string(), why: e.msg };
        Settings::parse(installed.as_deref().unwrap_or(DEFAULTS)).map_err(invalid)
    }
}

/// The default network first, then those that pods of this node used and that still exist.
fn of_node(settings: &Settings, state: Option<&Path>) -> Result<Vec<Network>, Error> {
    let state = state.map_or_else(|| settings.state.clone(), StateDirectory::new);
    let failed = |e: io::Error| Error::Networks { what: state.networks().display().to_string(), why: e.to_string() };
    Ok(of_definitions(settings, &networks_now::definitions(&state, &settings.run).map_err(failed)?))
}

/// The default network first, then `definitions`.
pub fn of_definitions(settings: &Settings, definitions: &[Definition]) -> Vec<Network> {
    let registry = Registry::new(settings.natives.clone());
    let known = Known {
        definitions: definitions.iter().map(|definition| (definition.nad.clone(), definition.clone())).collect(),
        ..Known::default()
    };
    let mut found = Vec::new();
    match &settings.primary {
        Primary::Chained => {}
        Primary::Named(name) => {
            let network = default_network::named(settings, name, &known);
            let name = network.as_ref().map_or_else(|_| name.clone(), |network| network.name.to_string());
            found.push(Network::of(name, true, &registry, network));
        }
        Primary::Inline(list) => found.extend(list.iter().enumerate().map(|(number, object)| {
            let network = NetworkConfig::parse(&object.to_json(), None).map_err(|e| e.to_string());
            let name = network.as_ref().map_or_else(|_| format!("delegates {number}"), |n| n.name.to_string());
            Network::of(name, number == 0, &registry, network)
        })),
    }
    found.extend(definitions.iter().map(|definition| of_definition(settings, &registry, definition)));
    found
}

fn of_definition(settings: &Settings, registry: &Registry, definition: &Definition) -> Network {
    Network::of(definition.nad.to_string(), false, registry, networks::of_definition(settings, definition))
}

/// The networks of `files`, and which files of directories among them cannot be read.
fn of_files(settings: &Settings, files: &[PathBuf], output: &Output) -> Result<(Vec<Network>, Vec<String>), Error> {
    let registry = Registry::new(settings.natives.clone());
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for file in files {
        let before = found.len();
        if file.is_dir() {
            let failed = |e: io::Error| Error::Networks { what: file.display().to_string(), why: e.to_string() };
            let entries = files::entries(file).map_err(failed)?.into_iter().map(|entry| entry.path());
            let wanted = |path: &PathBuf| {
                ["yaml", "yml", "json"].iter().any(|e| path.extension() == Some(e.as_ref())) && path.is_file()
            };
            let mut paths: Vec<PathBuf> = entries.filter(wanted).collect();
            paths.sort();
            for path in paths {
                // One file that cannot be read does not hide the others.
                found.extend(of_file(settings, &registry, &path).unwrap_or_else(|e| {
                    let why = if let Error::Networks { why, .. } = e { why } else { e.to_string() };
                    unread.push(path.display().to_string());
                    vec![Network::of(path.display().to_string(), false, &registry, Err(why))]
                }));
            }
        } else {
            found.extend(of_file(settings, &registry, file)?);
        }
        if found.len() == before {
            output.remark(nothing_in(file));
        }
    }
    Ok((found, unread))
}

/// What is told of a file or directory without networks.
fn nothing_in(path: &Path) -> String {
    let what = if path.is_dir() { "no file *.yaml, *.yml or *.json with a" } else { "no" };
    let name = if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() };
    format!("{name} contains {what} NetworkAttachmentDefinition or CNI configuration.")
}

/// A manifest has a `kind`, a CNI configuration a `type` or `plugins`.
fn of_file(settings: &Settings, registry: &Registry, path: &Path) -> Result<Vec<Network>, Error> {
    let failed = |why: String| Error::Networks { what: path.display().to_string(), why };
    let bytes = if path == Path::new("-") {
        files::read_to_end_bounded(io::stdin().lock(), MAX_FILE)
    } else {
        files::read_named_bytes_bounded(path, MAX_FILE)
    };
    let text = bytes
        .map_err(|e| failed(e.to_string()))
        .and_then(|bytes| manifest::text(bytes).map_err(|e| failed(e.to_string())))?;
    if let Ok(network) = NetworkConfig::parse(&text, None) {
        // As the plugin reads it, with the plugins in the folder beside it.
        let network = if path.is_file() { disk::read(path).map_err(|e| failed(e.to_string()))? } else { network };
        return Ok(vec![Network::of(network.name.to_string(), false, registry, Ok(network))]);
    }
    let objects = manifest::read(&text).map_err(|e| failed(e.to_string()))?;
    Ok(objects.definitions.iter().map(|definition| of_definition(settings, registry, definition)).collect())
}

#[cfg(test)]
mod tests;
