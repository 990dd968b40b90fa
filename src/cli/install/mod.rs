//! `plexusctl install`: puts the plugin and its configuration on this node, in this order, each whole or
//! not at all. Done again it changes nothing, so it is the upgrade too.

pub(super) mod address_program;
pub(super) mod multus;
pub(super) mod plugin;

use super::config::{self, Mode, Wanted};
use super::output::Output;
use super::{Error, trust};
use crate::api::{RunDirectory, StateDirectory};
use crate::cli::config::document::{LIST, Written};
use crate::cli::former_wait::FormerWait;
use crate::cni::json;
use crate::cni::{NetworkConfig, RawObject};
use crate::engine::planning::disk;
use crate::keeper::folders;
use crate::sys::files;
use clap::Args;
use clap::builder::BoolishValueParser;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub use crate::cli::install::plugin::PLUGIN;

/// A configuration is a few kilobytes.
const MAX_CONFIG: usize = 1 << 20;
/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is told that we wait.
const TELL: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    wanted: Wanted,

    /// Plugin directory of the runtime
    #[arg(long, env = "PLEXUS_CNI_BIN_DIR", default_value = "/opt/cni/bin", value_name = "DIRECTORY")]
    cni_bin_dir: PathBuf,

    /// Path of the plugin's program; default: `plexus` in the directory of plexusctl
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,

    /// Prepare the run directory for a plexusd that runs with this group instead of as root
    #[arg(long, value_name = "GID")]
    daemon_group: Option<u32>,

    /// Seconds to wait for the CNI file of the cluster's network
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,

    #[command(flatten)]
    former_wait: FormerWait,

    /// Replace Multus: rename its configuration file if the runtime prefers it to that of Plexus. Delete the DaemonSet of
    /// Multus first, because its next start writes the file again
    #[arg(long, env = "PLEXUS_REPLACE_MULTUS", value_parser = BoolishValueParser::new())]
    replace_multus: bool,

    /// Also link the plugin as `plexus-ipam` in the plugin directory: main plugins that are programs, for example sriov, start
    /// it for addresses of a pool. Another file of that name is never replaced
    #[arg(long, env = "PLEXUS_ADDRESS_PROGRAM", value_parser = BoolishValueParser::new())]
    address_program: bool,
}

/// Installs.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<(), Error> {
    let wanted = &arguments.wanted;
    // Before anything is written.
    let keys = wanted.keys()?;
    if arguments.replace_multus {
        multus::announce(wanted, output)?;
    } else {
        multus::refuse(wanted)?;
    }
    if arguments.address_program {
        address_program::judge(&arguments.cni_bin_dir)?;
    }
    let state = keys.directory("stateDirectory").map_or_else(StateDirectory::default, StateDirectory::new);
    let run = keys.directory("runDirectory").map_or_else(RunDirectory::default, RunDirectory::new);
    if let Some(group) = arguments.daemon_group {
        for remark in folders::prepare(&run, &state, group)? {
            output.remark(remark);
        }
    }
    make_state(&state)?;
    plugin::put(arguments.plugin.as_deref(), &arguments.cni_bin_dir, &state, output)?;
    if arguments.address_program {
        address_program::put(&arguments.cni_bin_dir, &state, &run, output)?;
    }
    end_draining(&state, output)?;
    let Some(mut written) = wait_for_primary(arguments, output)? else { return replace_multus(arguments, output) };
    let target = wanted.cni_conf_dir.join(&written.path);
    let was_damaged = target.exists() && !names_us(&target);
    let present = files::read_bounded(&target, MAX_CONFIG).ok().flatten();
    if let Some(kept) = present.and_then(|present| with_others(&present, &written.text)) {
        written.text = kept;
        tell_doubles(&written, output);
    }
    // It may have been written while we waited.
    if !arguments.replace_multus {
        multus::refuse(wanted)?;
    }
    config::put(wanted, &written, output)?;
    if was_damaged {
        output.remark(format!("{} was damaged or overwritten by another program: it is repaired", target.display()));
    }
    replace_multus(arguments, output)
}

fn replace_multus(arguments: &Arguments, output: &Output) -> Result<(), Error> {
    if arguments.replace_multus { multus::replace(&arguments.wanted, output) } else { Ok(()) }
}

/// The plugin's directory of records, for root only: by it `plexusctl` knows that this is a node of Plexus.
fn make_state(state: &StateDirectory) -> Result<(), Error> {
    let path = state.path();
    files::make_folder(path).map_err(|source| Error::Write { path: path.to_owned(), source })?;
    trust::check(path)
}

/// Pods get additional networks again, where Plexus was being uninstalled.
pub fn end_draining(state: &StateDirectory, output: &Output) -> Result<bool, Error> {
    let draining = state.draining();
    let was = draining.exists();
    files::remove(&draining).map_err(|source| Error::Remove { path: draining, source })?;
    if was {
        output.remark("the uninstallation has ended: new pods get their additional networks again");
    }
    Ok(was)
}

/// The configuration, as soon as there is a primary; `None` where ours is there already and goes on working
/// without: the plugin keeps a copy of the primary's for just this.
fn wait_for_primary(arguments: &Arguments, output: &Output) -> Result<Option<Written>, Error> {
    let limit = Duration::from_secs(arguments.former_wait.or(arguments.timeout, output));
    let begin = Instant::now();
    let mut told: Option<(Instant, String)> = None;
    loop {
        let error = match config::make(&arguments.wanted, output) {
            Ok(written) => return Ok(Some(written)),
            Err(error @ (Error::NoPrimary { .. } | Error::Primary { .. })) => error,
            Err(error) => return Err(error),
        };
        let ours = arguments.wanted.cni_conf_dir.join(LIST);
        if names_us(&ours) {
            output.remark(format!("{error}; {} is not changed", ours.display()));
            return Ok(None);
        }
        if begin.elapsed() >= limit {
            return Err(error);
        }
        let why = error.to_string() + damage(&arguments.wanted, &ours);
        if told.as_ref().is_none_or(|(at, last)| at.elapsed() >= TELL || *last != why) {
            output.remark(format!("waiting since {} s: {why}", begin.elapsed().as_secs()));
            told = Some((Instant::now(), why));
        }
        sleep(LOOK);
    }
}

/// Whether the file `ours` can be read and leads to us. One that a power loss or another program left otherwise is
/// written again.
fn names_us(ours: &Path) -> bool {
    let text = files::read_bounded(ours, MAX_CONFIG).ok().flatten();
    let network = text.and_then(|text| NetworkConfig::parse(&text, None).ok());
    network.is_some_and(|network| network.plugins.iter().any(|plugin| plugin.kind.as_str() == PLUGIN))
}

/// What a person must know of a file of ours that the runtime cannot use.
fn damage(wanted: &Wanted, ours: &Path) -> &'static str {
    match wanted.mode {
        Mode::Delegate if ours.exists() => {
            "; 00-plexus.conflist is damaged or was written over, and is written again after that"
        }
        _ => "",
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
            "warning: {double} is in the list of Plexus and in the default network's list: it runs twice for each pod; remove it from one of them (docs/reference/cluster-networks.md)"
        ));
    }
}

/// For comparing: formatting and the order of keys mean nothing.
fn value(object: &RawObject) -> serde_json::Value {
    json::parse(&object.to_json()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
