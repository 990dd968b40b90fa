//! `plexusctl install`: puts the plugin and its configuration on this node, in this order, each whole or
//! not at all. Done again it changes nothing, so it is the upgrade too.

use super::Error;
use super::config::{self, Wanted};
use super::config_document::Written;
use super::output::Output;
use crate::api::StateDirectory;
use crate::cni::{NetworkConfig, RawObject};
use crate::engine::disk;
use crate::sys::files::{self, Durability};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The plugin's name, which is its `type` in the configuration.
pub const PLUGIN: &str = "plexus";
/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is told that we wait.
const TELL: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    wanted: Wanted,

    /// Where the runtime looks for plugins
    #[arg(long, env = "PLEXUS_CNI_BIN_DIR", default_value = "/opt/cni/bin", value_name = "FOLDER")]
    cni_bin_dir: PathBuf,

    /// The plugin's program; without it, the one beside this program
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,

    /// How long to wait for the cluster's own network, which may be configured after us
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    wait: u64,
}

/// Installs.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<(), Error> {
    put_plugin(arguments, output)?;
    let state = arguments.wanted.state_directory.as_deref().map_or_else(StateDirectory::default, StateDirectory::new);
    let draining = state.draining();
    files::remove(&draining).map_err(|source| Error::Remove { path: draining, source })?;
    let Some(mut written) = wait_for_primary(arguments, output)? else { return Ok(()) };
    let present = files::read_bounded(&arguments.wanted.cni_conf_dir.join(&written.path), 1 << 20).ok().flatten();
    if let Some(kept) = present.and_then(|present| with_others(&present, &written.text)) {
        written.text = kept;
        tell_doubles(&written, output);
    }
    config::put(&arguments.wanted, &written, output)
}

/// Copies the plugin beside its place and renames it: a runtime that starts it meanwhile starts the old one or the new one.
fn put_plugin(arguments: &Arguments, output: &Output) -> Result<(), Error> {
    let beside = || std::env::current_exe().unwrap_or_default().with_file_name(PLUGIN);
    let source = arguments.plugin.clone().unwrap_or_else(beside);
    let program = fs::read(&source).map_err(|e| Error::Plugin { path: source, source: e })?;
    let path = arguments.cni_bin_dir.join(PLUGIN);
    remove_leftovers(&arguments.cni_bin_dir);
    if is_same(&path, &program) {
        output.remark(format!("{} is this release's already", path.display()));
        return Ok(());
    }
    files::replace(&path, &program, 0o755, Durability::Synced)
        .map_err(|source| Error::Write { path: path.clone(), source })?;
    output.remark(format!("wrote {}, release {}", path.display(), env!("CARGO_PKG_VERSION")));
    Ok(())
}

fn is_same(path: &Path, program: &[u8]) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let executable = fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o777 == 0o755);
    executable && fs::read(path).is_ok_and(|present| present == program)
}

/// Temporary files of an installer that was killed. There is one installer a node.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(".plexus-")) {
            // Best effort: it is only in the way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The configuration, as soon as there is a primary; `None` where ours is there already and goes on working
/// without: the plugin keeps a copy of the primary's for just this.
fn wait_for_primary(arguments: &Arguments, output: &Output) -> Result<Option<Written>, Error> {
    let begin = Instant::now();
    let mut told: Option<(Instant, String)> = None;
    loop {
        let error = match config::make(&arguments.wanted, output) {
            Ok(written) => return Ok(Some(written)),
            Err(error @ (Error::NoPrimary { .. } | Error::Primary { .. })) => error,
            Err(error) => return Err(error),
        };
        let ours = arguments.wanted.cni_conf_dir.join("00-plexus.conflist");
        if ours.exists() {
            output.remark(format!("{error}; {} stays as it is", ours.display()));
            return Ok(None);
        }
        if begin.elapsed() >= Duration::from_secs(arguments.wait) {
            return Err(error);
        }
        let why = error.to_string();
        if told.as_ref().is_none_or(|(at, last)| at.elapsed() >= TELL || *last != why) {
            output.remark(format!("waiting for {} s: {why}", begin.elapsed().as_secs()));
            told = Some((Instant::now(), why));
        }
        sleep(LOOK);
    }
}

/// `present` with our own element as in `wanted`: what others put beside it (Istio's plugin) stays. `None`
/// where nobody did.
fn with_others(present: &str, wanted: &str) -> Option<String> {
    let (mut list, wanted) = (RawObject::parse(present).ok()?, RawObject::parse(wanted).ok()?);
    let plugins = |list: &RawObject| list.read::<Vec<RawObject>>("plugins").ok().flatten();
    let name = |list: &RawObject| list.read::<String>("name").ok().flatten();
    let (mut elements, ours) = (plugins(&list)?, plugins(&wanted)?.into_iter().next()?);
    if elements.len() < 2 || name(&list) != name(&wanted) {
        return None;
    }
    let is_ours = |element: &RawObject| element.read::<String>("type").ok().flatten().as_deref() == Some(PLUGIN);
    let at = elements.iter().position(is_ours)?;
    if value(&elements[at]) == value(&ours) {
        return Some(present.to_owned());
    }
    elements[at] = ours;
    list.set_value("plugins", &elements);
    serde_json::to_string_pretty(&value(&list)).ok()
}

/// A plugin that was put into our list, and into that of the primary before, is called twice for each pod.
fn tell_doubles(written: &Written, output: &Output) {
    let kinds = |network: &NetworkConfig| network.plugins.iter().map(|plugin| plugin.kind.to_string()).collect();
    let Ok(list) = NetworkConfig::parse(&written.text, None) else { return };
    let primary = list.plugins.iter().find_map(|plugin| plugin.object.read::<PathBuf>("clusterNetwork").ok().flatten());
    let theirs = primary.and_then(|path| disk::read(&path).ok()).map_or_else(Vec::new, |primary| kinds(&primary));
    for double in kinds(&list).into_iter().filter(|kind| theirs.contains(kind)) {
        output.remark(format!(
            "warning: {double} is in our list and in the primary's: it is called twice for each pod; leave it in one of them (docs/primaries.md)"
        ));
    }
}

/// For comparing: formatting and the order of keys mean nothing.
fn value(object: &RawObject) -> serde_json::Value {
    serde_json::from_str(&object.to_json()).unwrap_or_default()
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod tests;
