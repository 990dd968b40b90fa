//! `plexusctl uninstall`: takes Plexus off this node without losing an address or an interface.
//!
//! A runtime sends DEL to whatever configuration is loaded then. So ours stays while a pod has networks that
//! the cluster's own plugin knows nothing of, and until then new pods get no such networks. Then it goes,
//! then the plugin, then its records. Pods with the default network only are deleted by its own plugin,
//! which finds its result because our configuration has the same name.

use super::install::PLUGIN;
use super::output::Output;
use super::{Error, Verdict, config};
use crate::api::{RunDirectory, StateDirectory};
use crate::engine::disk;
use crate::store::{Record, Store};
use crate::sys::files::{self, Durability};
use crate::sys::lock::FileLock;
use clap::Args;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often the records are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is told that we wait.
const TELL: Duration = Duration::from_secs(10);
/// Until the runtime has loaded what is left, and calls under the old configuration are over.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the runtime looks for its configuration
    #[arg(long, env = "PLEXUS_CNI_CONF_DIR", default_value = "/etc/cni/net.d", value_name = "FOLDER")]
    cni_conf_dir: PathBuf,

    /// Where the runtime looks for plugins
    #[arg(long, env = "PLEXUS_CNI_BIN_DIR", default_value = "/opt/cni/bin", value_name = "FOLDER")]
    cni_bin_dir: PathBuf,

    /// Where the plugin keeps its records
    #[arg(long, default_value = StateDirectory::DEFAULT, value_name = "FOLDER")]
    state_directory: PathBuf,

    /// Where the daemon's socket is
    #[arg(long, default_value = RunDirectory::DEFAULT, value_name = "FOLDER")]
    run_directory: PathBuf,

    /// Wait until the pods that need the plugin are gone
    #[arg(long)]
    wait: bool,

    /// Do nothing but sleep: for a container that must not end
    #[arg(long, exclusive = true)]
    stay: bool,
}

/// Uninstalls; not well while pods need the plugin.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    if arguments.stay {
        loop {
            sleep(Duration::from_secs(3600));
        }
    }
    let state = StateDirectory::new(&arguments.state_directory);
    let draining = state.draining();
    files::replace(&draining, b"", 0o600, Durability::Synced)
        .map_err(|source| Error::Write { path: draining.clone(), source })?;
    if !drain(arguments, &state, output)? {
        return Ok(Verdict::NotWell);
    }
    if remove_configuration(&arguments.cni_conf_dir, output)? {
        sleep(SETTLE);
    }
    remove(&arguments.cni_bin_dir.join(PLUGIN), output)?;
    empty(&arguments.run_directory)?;
    empty(&arguments.state_directory)?;
    output.remark("uninstalled");
    Ok(Verdict::Well)
}

/// Waits until no pod needs the plugin, if that is wanted; answers whether none does.
fn drain(arguments: &Arguments, state: &StateDirectory, output: &Output) -> Result<bool, Error> {
    let (store, name) = (Store::new(state), own_name(&arguments.cni_conf_dir));
    let mut told: Option<Instant> = None;
    loop {
        // Looked at in this order: a call that runs now may still leave a record.
        let busy = is_busy(&RunDirectory::new(&arguments.run_directory));
        let survey = store.survey().map_err(|source| Error::Records { folder: state.sandboxes(), source });
        let (records, damaged) = survey?;
        let needing: Vec<&Record> = records.iter().filter(|record| needs_us(record, name.as_deref())).collect();
        if needing.is_empty() && damaged == 0 && !busy {
            return Ok(true);
        }
        let may_wait = arguments.wait || (busy && needing.is_empty());
        if told.is_none_or(|at| at.elapsed() >= TELL) {
            output.remark(summary(&needing, damaged, busy));
            told = Some(Instant::now());
        }
        if !may_wait {
            return Ok(false);
        }
        sleep(LOOK);
    }
}

fn summary(needing: &[&Record], damaged: usize, busy: bool) -> String {
    let pods: Vec<String> = needing
        .iter()
        .take(3)
        .map(|record| record.pod.as_ref().map_or(record.container_id.to_string(), ToString::to_string))
        .collect();
    let more = if needing.len() > pods.len() { ", …" } else { "" };
    let list = if pods.is_empty() { String::new() } else { format!(" ({}{more})", pods.join(", ")) };
    let call = if busy { ", and a call is running" } else { "" };
    format!(
        "draining: {} pods have networks that only Plexus can delete{list}, {damaged} records cannot be read{call}; new pods get none",
        needing.len()
    )
}

/// Whether only we can delete what is attached there: anything but the cluster's own network.
fn needs_us(record: &Record, own: Option<&str>) -> bool {
    record.attachments.iter().any(|attachment| !attachment.default || own.is_some_and(|own| attachment.network != own))
}

/// The name of our list, which is that of the cluster's own network.
fn own_name(folder: &Path) -> Option<String> {
    disk::read(&folder.join("00-plexus.conflist")).ok().map(|list| list.name.to_string())
}

/// Whether a call holds the lock of its sandbox.
fn is_busy(run: &RunDirectory) -> bool {
    let locks = fs::read_dir(run.locks()).into_iter().flatten().flatten();
    locks.into_iter().any(|entry| matches!(FileLock::try_acquire(&entry.path()), Ok(None)))
}

/// Removes our list, or our element beside the primary's; answers whether there was one.
fn remove_configuration(folder: &Path, output: &Output) -> Result<bool, Error> {
    let found = remove(&folder.join("00-plexus.conflist"), output)?;
    // Cilium renames what others install, and names it back when it is itself removed: without the plugin
    // no pod would start then.
    remove(&folder.join("00-plexus.conflist.cilium_bak"), output)?;
    let failed = |source| Error::Records { folder: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(failed)?.flatten();
    let elements: Vec<PathBuf> =
        entries.map(|entry| entry.path().join("90-plexus.conf")).filter(|path| path.exists()).collect();
    if elements.is_empty() {
        return Ok(found);
    }
    config::and_tell_runtime(folder, || elements.iter().try_for_each(|element| remove_element(element, output)))?;
    Ok(true)
}

fn remove_element(element: &Path, output: &Output) -> Result<(), Error> {
    remove(element, output)?;
    // Others may have plugins there.
    let _ = element.parent().map(fs::remove_dir);
    Ok(())
}

fn remove(path: &Path, output: &Output) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => {
            output.remark(format!("removed {}", path.display()));
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Remove { path: path.to_owned(), source }),
    }
}

/// Removes what is in `folder`, and the folder where it is no mount point.
fn empty(folder: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let removed = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(|source| Error::Remove { path, source })?;
    }
    let _ = fs::remove_dir(folder);
    Ok(())
}

#[cfg(test)]
#[path = "uninstall_tests.rs"]
mod tests;
