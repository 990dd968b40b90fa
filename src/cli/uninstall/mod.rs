//! `plexusctl uninstall`: takes Plexus off this node without losing an address or an interface.
//!
//! A runtime sends DEL to whatever configuration is loaded then. So ours stays while a pod has networks that
//! the cluster's own plugin knows nothing of, and until then new pods get no such networks. Then it goes,
//! then the plugin, then its records. Pods with the default network only are deleted by its own plugin,
//! which finds its result because our configuration has the same name.

mod drain;
mod remove;

use super::output::Output;
use super::{Error, Verdict, config, install, trust};
use crate::api::{DAEMON, RunDirectory, StateDirectory};
use crate::cli::config::document::{ELEMENT, LIST};
use crate::cli::directories::{self, RuntimeDirectories};
use crate::cli::install::address_program::{self, Found};
use crate::cli::install::multus;
use crate::cli::install::plugin::PLUGIN;
use crate::cli::uninstall::drain::{Drained, MANIFESTS};
use crate::cli::uninstall::remove::{empty, empty_of_daemon, remove};
use crate::sys::files::{self, Durability};
use clap::Args;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Until the runtime has loaded what is left, and calls under the old configuration are over.
const SETTLE: Duration = Duration::from_secs(5);

/// What a container writes to the file of an uninstallation that it has begun.
const OF_CONTAINER: &str = "container\n";
/// The file has a word.
const MAX_NOTE: usize = 256;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    runtime: RuntimeDirectories,

    /// State directory, with the plugin's records [default: from the configuration]
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,

    /// Run directory, with the daemon's socket [default: from the configuration]
    #[arg(long, value_name = "DIRECTORY")]
    run_directory: Option<PathBuf>,

    /// Wait until no pod on this node needs the plugin
    #[arg(long)]
    wait: bool,

    /// Do not ask for confirmation; from now on new pods start without their additional networks
    #[arg(long)]
    yes: bool,

    /// Cancel the uninstallation: new pods get their additional networks again
    #[arg(long, conflicts_with_all = ["wait", "stay"])]
    cancel: bool,

    /// Only sleep, for a container that must not end; the environment variables for directories have no effect
    #[arg(long, conflicts_with = "wait")]
    stay: bool,
}

/// Uninstalls; not well while pods need the plugin.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Error> {
    if arguments.stay {
        loop {
            sleep(Duration::from_secs(3600));
        }
    }
    let conf = &arguments.runtime.cni_conf_dir;
    let state = directories::state(arguments.state_directory.as_deref(), conf)?;
    let run = directories::run(arguments.run_directory.as_deref(), conf)?;
    // What is read, or emptied. The directory of plugins is the runtime's to trust: only our own file is removed.
    for folder in [conf, state.path(), run.path()] {
        trust::check(folder)?;
    }
    if arguments.cancel {
        return cancel(&state, output);
    }
    if is_nothing_there(&arguments.runtime, &state, &run) {
        output.remark(format!(
            "nothing is uninstalled: Plexus is not installed on this machine, {} contains no file of Plexus and {} does not exist; run this on the node",
            conf.display(),
            state.path().display()
        ));
        return Ok(Verdict::Well);
    }
    confirm(arguments, state.draining().exists(), output)?;
    let is_container = is_first_process();
    begin(&state, is_container)?;
    match drain::drain(&state, &run, conf, (arguments.wait, is_container), output)? {
        Drained::Empty => {}
        Drained::Needed => return Ok(Verdict::NotWell),
        Drained::Cancelled => {
            output.remark("the uninstallation was cancelled: nothing is removed");
            return Ok(Verdict::NotWell);
        }
    }
    if remove_configuration(conf, output)? {
        sleep(SETTLE);
    }
    // The link first: it leads to the plugin. A file of somebody else stays.
    if is_linked(&arguments.runtime) {
        remove(&address_program::place(&arguments.runtime.cni_bin_dir), output)?;
    }
    remove(&arguments.runtime.cni_bin_dir.join(PLUGIN), output)?;
    empty_of_daemon(&run.daemon(), output);
    empty(run.path(), |name| RunDirectory::is_own(name) && name != DAEMON, output)?;
    empty(state.path(), StateDirectory::is_own, output)?;
    for path in multus::replaced(conf) {
        output.remark(format!(
            "{} is Multus' configuration, which Plexus replaced: rename it to use Multus again",
            path.display()
        ));
    }
    output.remark("uninstalled");
    Ok(Verdict::Well)
}

/// Whether an installer or a person made the plugin the program of addresses, too.
fn is_linked(runtime: &RuntimeDirectories) -> bool {
    address_program::found(&runtime.cni_bin_dir).is_ok_and(|found| found == Found::Ours)
}

/// Whether there is no trace of Plexus: what an uninstallation would make, it would only remove again.
fn is_nothing_there(runtime: &RuntimeDirectories, state: &StateDirectory, run: &RunDirectory) -> bool {
    let elements = elements(&runtime.cni_conf_dir).unwrap_or_default();
    let ours = [runtime.cni_conf_dir.join(LIST), runtime.cni_bin_dir.join(PLUGIN)];
    let all = ours.iter().chain(&elements).map(PathBuf::as_path).chain([state.path(), run.path()]);
    !is_linked(runtime)
        && all.into_iter().all(|path| matches!(path.symlink_metadata(), Err(e) if e.kind() == io::ErrorKind::NotFound))
}

/// Whether the kubelet starts this process again when it ends: it is the first one of a container.
fn is_first_process() -> bool {
    std::process::id() == 1
}

/// From now on new pods get no additional networks. It stays known that a container of the manifests has begun it.
fn begin(state: &StateDirectory, is_container: bool) -> Result<(), Error> {
    let path = state.draining();
    if path.exists() && !is_container {
        return Ok(());
    }
    let note = if is_container { OF_CONTAINER } else { "" };
    files::replace(&path, note.as_bytes(), 0o600, Durability::Synced).map_err(|source| Error::Write { path, source })
}

fn cancel(state: &StateDirectory, output: &Output) -> Result<Verdict, Error> {
    // What cannot be read is a hint less.
    let note = files::read_bounded(&state.draining(), MAX_NOTE).ok().flatten().unwrap_or_default();
    if !install::end_draining(state, output)? {
        output.remark(format!("Plexus is not being uninstalled: {} does not exist", state.draining().display()));
    }
    if note == OF_CONTAINER {
        output.remark(MANIFESTS);
    }
    Ok(Verdict::Well)
}

/// Pods that start from now on lack networks that they ask for, and no error shows it: a person is asked, a script is
/// told. Once it is under way it is not asked again.
fn confirm(arguments: &Arguments, under_way: bool, output: &Output) -> Result<(), Error> {
    const FROM_NOW_ON: &str = "from now on, new pods on this node start without their additional networks";
    if arguments.yes || under_way {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        output.remark(format!("warning: {FROM_NOW_ON}; `plexusctl uninstall --cancel` ends that"));
        return Ok(());
    }
    output.remark(format!("{FROM_NOW_ON}, and Plexus is removed when no pod needs it. Continue? [y/N]"));
    let mut answer = String::new();
    // A terminal that cannot be read does not say yes.
    let _ = io::stdin().lock().take(64).read_line(&mut answer);
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") { Ok(()) } else { Err(Error::Unconfirmed) }
}

/// Removes our list, or our element beside the primary's; answers whether there was one.
fn remove_configuration(folder: &Path, output: &Output) -> Result<bool, Error> {
    let found = remove(&folder.join(LIST), output)?;
    // Cilium renames what others install, and names it back when it is itself removed: without the plugin
    // no pod would start then.
    remove(&folder.join(format!("{LIST}.cilium_bak")), output)?;
    let elements = elements(folder)?;
    if elements.is_empty() {
        return Ok(found);
    }
    config::and_tell_runtime(folder, || elements.iter().try_for_each(|element| remove_element(element, output)))?;
    Ok(true)
}

/// Our elements beside the list of a network. Other programs' directories may not be readable to us, who may be root
/// without capabilities: what is in there is not ours, because the runtime could not read it either.
fn elements(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Directory { folder: folder.to_owned(), source };
    let entries = files::entries(folder).map_err(failed)?.into_iter();
    Ok(entries.map(|entry| entry.path().join(ELEMENT)).filter(|path| path.exists()).collect())
}

fn remove_element(element: &Path, output: &Output) -> Result<(), Error> {
    remove(element, output)?;
    // Others may have plugins there.
    let _ = element.parent().map(fs::remove_dir);
    Ok(())
}

#[cfg(test)]
mod tests;
