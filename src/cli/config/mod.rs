//! `plexusctl config`: the CNI configuration that puts Plexus before or behind a cluster's network.

pub(super) mod document;
pub(super) mod keys;
pub(super) mod multus_keys;
pub(super) mod schema;

use super::output::Output;
use super::{Error, trust};
use crate::cli::config::document::Written;
use crate::cli::install::plugin::PLUGIN;
use crate::cni::NetworkConfig;
use crate::engine::Settings;
use crate::engine::planning::disk;
use crate::engine::planning::disk::DiskError;
use crate::engine::planning::refusals::recursion;
use crate::sys::files::{self, Durability};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Everybody may read it: it names files, and holds no secret.
const MODE: u32 = 0o644;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    wanted: Wanted,

    /// Write the file instead of printing it, in one step; a file with the same content is not written again
    #[arg(long)]
    write: bool,
}

/// What the configuration follows from.
#[derive(Debug, Args)]
pub struct Wanted {
    /// CNI file of the cluster's default network; default: the first file in --cni-conf-dir that does not belong to
    /// Plexus or Multus
    #[arg(long, value_name = "FILE")]
    primary: Option<PathBuf>,

    /// Install mode
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,

    /// CNI configuration directory of the runtime
    #[arg(long, env = "PLEXUS_CNI_CONF_DIR", default_value = "/etc/cni/net.d", value_name = "DIRECTORY")]
    pub cni_conf_dir: PathBuf,

    /// JSON file with settings of the plugin; unknown keys are errors (`plexusctl schema --settings` lists the keys)
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// State directory, with the plugin's records [default: /var/lib/plexus]
    #[arg(long, value_name = "DIRECTORY")]
    pub state_directory: Option<PathBuf>,

    /// Run directory, with the daemon's socket [default: /run/plexus]
    #[arg(long, value_name = "DIRECTORY")]
    pub run_directory: Option<PathBuf>,
}

impl Wanted {
    /// The operator's keys.
    pub fn keys(&self) -> Result<keys::Keys, Error> {
        keys::read(self.settings.as_deref(), self.state_directory.as_deref(), self.run_directory.as_deref())
    }
}

/// The two ways of being installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// The runtime calls Plexus, and Plexus calls the cluster's network
    #[default]
    Delegate,
    /// The runtime calls the cluster's network, then Plexus (needs libcni 1.3 in the runtime)
    Chain,
}

/// Prints or writes the configuration.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<(), Error> {
    let written = make(&arguments.wanted, output)?;
    if !arguments.write {
        return output.document(&written.text);
    }
    put(&arguments.wanted, &written, output)
}

/// The configuration for what the runtime's folder holds now.
pub fn make(wanted: &Wanted, output: &Output) -> Result<Written, Error> {
    // First: what is wrong with them can be seen on every machine.
    let keys = wanted.keys()?;
    trust::check(&wanted.cni_conf_dir)?;
    let (path, network) = match &wanted.primary {
        Some(path) => (std::path::absolute(path).unwrap_or_else(|_| path.clone()), read(path)?),
        None => first_of(&wanted.cni_conf_dir, output)?,
    };
    for (key, why) in multus_keys::without_effect(keys.others.keys()) {
        output.remark(format!("warning: key {key:?} of the settings has no effect: {why}"));
    }
    for (former, name) in Settings::renamed_keys().filter(|(former, _)| keys.others.contains_key(*former)) {
        output.remark(format!(
            "warning: key {former:?} of the settings is now called {name:?}; the former name still works"
        ));
    }
    match wanted.mode {
        Mode::Delegate => document::delegate(&path, &network, keys),
        Mode::Chain => document::chain(&path, &network, keys),
    }
}

/// Writes it where the runtime finds it.
pub fn put(wanted: &Wanted, written: &Written, output: &Output) -> Result<(), Error> {
    let folder = &wanted.cni_conf_dir;
    match wanted.mode {
        Mode::Delegate => write(folder, written, output).and_then(|()| tell_rivals(folder, written, output)),
        Mode::Chain => and_tell_runtime(folder, || write(folder, written, output)),
    }
}

/// [`disk::and_tell_runtime`], with our errors.
pub fn and_tell_runtime<T>(folder: &Path, change: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    disk::and_tell_runtime(folder, |path, source| Error::Write { path, source }, change)
}

/// The network in `path`, if we may delegate to it.
fn read(path: &Path) -> Result<NetworkConfig, Error> {
    let network = disk::read(path).map_err(|source| Error::Primary { source })?;
    match recursion::names_itself(&network) {
        Some(kind) => Err(Error::Recursion { path: path.to_owned(), kind }),
        None => Ok(network),
    }
}

/// The file a runtime would take without us, and without Multus.
fn first_of(folder: &Path, output: &Output) -> Result<(PathBuf, NetworkConfig), Error> {
    let source = |source: DiskError| Error::Primary { source };
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let mut ignored = Vec::new();
    let mut candidates = disk::candidates(&folder).map_err(source)?.into_iter();
    while let Some(path) = candidates.next() {
        // Whatever is in it: damaged, or written over, it is ours to write.
        if path.file_name().is_some_and(|name| name == document::LIST) {
            ignored.push(format!("{} ({PLUGIN})", document::LIST));
            continue;
        }
        let network = disk::read(&path).map_err(source)?;
        match recursion::names_itself(&network) {
            None => {
                // Whoever meant a file after it sees that it is not used, and how to name it.
                let others: Vec<String> = candidates.map(|path| file_name(&path).to_string()).collect();
                let hint = if others.is_empty() { "" } else { "; --primary names another" };
                ignored.extend(others);
                output.remark(format!(
                    "default network: {} (network {}, {}): the first in {}{}{hint}",
                    path.display(),
                    network.name,
                    network.kinds(),
                    folder.display(),
                    in_words(&ignored)
                ));
                return Ok((path, network));
            }
            Some(kind) => ignored.push(format!("{} ({kind})", file_name(&path))),
        }
    }
    Err(Error::NoPrimary { folder, ignored: in_words(&ignored) })
}

/// The files that are not used.
fn in_words(ignored: &[String]) -> String {
    if ignored.is_empty() { String::new() } else { format!("; ignored: {}", ignored.join(", ")) }
}

fn file_name(path: &Path) -> impl std::fmt::Display {
    path.file_name().unwrap_or_default().display()
}

fn write(folder: &Path, written: &Written, output: &Output) -> Result<(), Error> {
    let path = folder.join(&written.path);
    let failed = |source| Error::Write { path: path.clone(), source };
    files::remove_unfinished(&path);
    // Every change makes the runtime load its configuration again, and calls wait meanwhile.
    if files::read_bounded(&path, 1 << 20).ok().flatten().as_deref() == Some(&written.text) {
        output.remark(format!("{} is up to date", path.display()));
        return Ok(());
    }
    // Chained, it has a folder of its own.
    if let Some(folder) = path.parent() {
        files::make_public_folder(folder).map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    }
    files::replace(&path, written.text.as_bytes(), MODE, Durability::Synced).map_err(failed)?;
    output.remark(format!("wrote {}", path.display()));
    Ok(())
}

/// A runtime takes the first file of its folder: one that stands before ours makes ours useless.
fn tell_rivals(folder: &Path, written: &Written, output: &Output) -> Result<(), Error> {
    let ours = folder.join(&written.path);
    for rival in disk::candidates(folder).map_err(|source| Error::Primary { source })? {
        if rival < ours {
            output.remark(format!(
                "warning: {} sorts before it: the runtime uses that file until it is removed or renamed",
                rival.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
