//! What a node is asked: its directories, its links, and the daemon's socket. What has to be writable is written to, and
//! nothing is left.

use crate::api::protocol::{Health, Reply, Request};
use crate::api::{Keeping, RunDirectory, StateDirectory};
use crate::cli::directories::RuntimeDirectories;
use crate::cli::doctor::network::{self, Network, Pools};
use crate::cli::doctor::plugin;
use crate::cli::doctor::runtime::{self, Runtime};
use crate::cli::{daemon_health, natives, networks_now};
use crate::cni::json;
use crate::engine::Settings;
use crate::engine::node::{self, Flaw};
use crate::engine::planning::disk;
use crate::engine::sandbox::trust;
use crate::facts::Client;
use crate::ipam::PoolName;
use crate::store::{State, Store};
use crate::sys::{capabilities, files, is_root};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the daemon may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// How long it may take to test the admission policy before it answers. A policy that lets something pass is tested again.
const TEST_LIMIT: Duration = Duration::from_secs(8);
/// How long it may take for its answer about pools: it asks the API server.
const POOLS_LIMIT: Duration = Duration::from_secs(5);
/// The keeper's report is a line.
const MAX_REPORT: usize = 1 << 20;
/// How the names of Plexus' own files begin.
const OWN: &str = "00-plexus.";

/// A file that the runtime may load.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Whether it calls Plexus.
    pub calls_plexus: bool,
    /// The newest version of CNI that it declares; none if it cannot be read.
    pub cni_version: Option<String>,
    /// Why it cannot be read.
    pub error: Option<String>,
}

impl File {
    /// Whether it has the name that Plexus gives to its configuration.
    pub fn is_own(&self) -> bool {
        self.name.starts_with(OWN)
    }
}

/// Everything that was seen.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The state directory, and whether it exists.
    pub state: (PathBuf, bool),
    /// Whether Plexus is being uninstalled.
    pub draining: bool,
    /// The runtimes whose sockets exist.
    pub runtimes: Vec<Runtime>,
    /// The runtime's configuration directory, and its files in the runtime's order.
    pub conf_dir: PathBuf,
    /// See above.
    pub files: Vec<File>,
    /// Plexus' file by another name.
    pub renamed: Option<String>,
    /// Whether Plexus is chained behind the network of a file: its own is in a directory of that network.
    pub chained: bool,
    /// Why the configuration of Plexus cannot be used.
    pub settings_error: Option<String>,
    /// What an operator probably mistyped in it.
    pub settings_remarks: Vec<String>,
    /// The plugin's path.
    pub plugin: PathBuf,
    /// Its release; an error where it is missing or another program.
    pub release: Result<String, String>,
    /// The networks.
    pub networks: Vec<Network>,
    /// Their pools.
    pub pools: Pools,
    /// The pools of the cluster that give this node no new address, each with the reason.
    pub refused_pools: Result<BTreeMap<String, String>, String>,
    /// The daemon's answer.
    pub daemon: Result<Health, String>,
    /// The keeper's report.
    pub keeper: Option<Keeping>,
    /// Failed removals.
    pub debts: usize,
    /// Records that cannot be read.
    pub damaged: usize,
    /// A record of a pod shows that the runtime has called the plugin.
    pub was_called: bool,
    /// Statuses that the records keep.
    pub unpublished: usize,
    /// Why the records cannot be listed.
    pub unlisted: Option<String>,
    /// Directories that another user may write.
    pub untrusted: Vec<String>,
    /// What is wrong with the directories of Plexus; none if only root could find out.
    pub flaws: Option<Vec<Flaw>>,
}

/// How the daemon is. What it knows of the admission policy may be an hour old, so that is tested first; a daemon that
/// does not answer is not waited for twice.
fn health(run: &RunDirectory) -> Result<Health, String> {
    let known = daemon_health::ask(run, false, Instant::now() + ANSWER_LIMIT)?;
    Ok(daemon_health::ask(run, true, Instant::now() + TEST_LIMIT).unwrap_or(known))
}

/// Looks at the node.
pub fn look(directories: &RuntimeDirectories, run: &RunDirectory, state: &StateDirectory) -> Facts {
    let installed = crate::cli::gc::installed(&directories.cni_conf_dir);
    let parsed = Settings::parse(installed.as_deref().unwrap_or(natives::DEFAULTS));
    let settings_error = parsed.as_ref().err().map(|e| e.msg.clone());
    let settings = parsed.or_else(|_| Settings::parse(natives::DEFAULTS)).ok();
    let settings_remarks = settings.as_ref().map(remarks).unwrap_or_default();
    let plugin = directories.cni_bin_dir.join("plexus");
    let is_on_host = is_root() && capabilities::may_change_networks();
    // A folder that cannot be read is told by the directories.
    let definitions = networks_now::definitions(state, run).unwrap_or_default();
    let networks = settings.map(|settings| network::look(&settings, directories, &definitions, is_on_host, run));
    let (networks, pools) = networks.unwrap_or_default();
    let used: BTreeSet<PoolName> = networks.iter().flat_map(|one| &one.address_pools).cloned().collect();
    let survey = Store::new(state).survey();
    let unlisted = survey.as_ref().err().map(|e| files::told(&state.sandboxes(), e));
    let (records, damaged) = survey.unwrap_or_default();
    let owed = records.iter().flat_map(|record| &record.attachments).filter(|one| one.state == State::Owed);
    Facts {
        draining: state.draining().exists(),
        runtimes: runtime::look(),
        files: files_of(&directories.cni_conf_dir),
        renamed: renamed(&directories.cni_conf_dir),
        chained: crate::cli::gc::is_chained(&directories.cni_conf_dir),
        conf_dir: directories.cni_conf_dir.clone(),
        settings_error,
        settings_remarks,
        release: plugin::release(&plugin),
        plugin,
        networks,
        pools,
        refused_pools: refused_pools(run, used),
        daemon: health(run),
        keeper: keeper(run),
        debts: owed.count(),
        damaged: damaged.len(),
        was_called: !records.is_empty(),
        unpublished: records.iter().filter(|record| record.unpublished.is_some()).count(),
        unlisted,
        untrusted: trust::doubts(run, state),
        // Where there is no state directory, nothing is installed, or this is a container without it.
        flaws: (is_root() && state.path().exists()).then(|| node::directories(run, state, true)),
        state: (state.path().to_owned(), state.path().exists()),
    }
}

/// What was probably mistyped first, then other keys that mean nothing.
fn remarks(settings: &Settings) -> Vec<String> {
    let strangers = settings.unknown.iter().filter(|key| Settings::meant_by(key).is_none());
    let strangers = strangers.map(|key| Settings::unknown_key(key) + ", and is ignored");
    settings.remarks().into_iter().chain(strangers).collect()
}

fn files_of(folder: &Path) -> Vec<File> {
    let file = |path: PathBuf| {
        let read = disk::read(&path);
        File {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            calls_plexus: read
                .as_ref()
                .is_ok_and(|network| network.plugins.iter().any(|one| one.kind.as_str() == "plexus")),
            cni_version: read.as_ref().ok().map(|network| network.version.as_str().to_owned()),
            error: read.err().map(|e| e.to_string()),
        }
    };
    disk::candidates(folder).unwrap_or_default().into_iter().map(file).collect()
}

/// `00-plexus.conflist.cilium_bak` and the like.
fn renamed(folder: &Path) -> Option<String> {
    let names = files::entries(folder).ok()?.into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    let is_renamed = |name: &String| name.strip_prefix("00-plexus.conflist").is_some_and(|rest| !rest.is_empty());
    names.into_iter().find(is_renamed)
}

/// What the daemon says of the pools `used`.
fn refused_pools(run: &RunDirectory, used: BTreeSet<PoolName>) -> Result<BTreeMap<String, String>, String> {
    if used.is_empty() {
        return Ok(BTreeMap::new());
    }
    let request = Request::Pools(used.into_iter().collect());
    let asked = Client::connect(run, Instant::now() + POOLS_LIMIT).and_then(|mut client| client.ask(&request));
    match asked.map_err(|e| e.to_string())? {
        Reply::Pools(refused) => Ok(refused),
        Reply::Unsupported(_) => Err("plexusd is of a former release".to_owned()),
        Reply::Unavailable(why) => Err(why),
        other => Err(format!("plexusd answered another question ({})", other.kind())),
    }
}

fn keeper(run: &RunDirectory) -> Option<Keeping> {
    json::parse(&files::read_bounded(&run.keeping(), MAX_REPORT).ok()??).ok()
}
