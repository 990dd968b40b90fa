//! What a node is asked: its directories, its links, and the daemon's socket. Nothing is changed.

use crate::api::protocol::{Health, Reply, Request};
use crate::api::{Keeping, RunDirectory, StateDirectory, build};
use crate::cli::directories::RuntimeDirectories;
use crate::cli::doctor::fresh;
use crate::cli::lint::judgement;
use crate::cli::natives;
use crate::cni::{NetworkConfig, json};
use crate::delegate::Registry;
use crate::engine::Settings;
use crate::engine::cleanup::pools::Pool;
use crate::engine::planning::disk;
use crate::engine::planning::refusals::recursion;
use crate::engine::sandbox::trust;
use crate::facts::Client;
use crate::nad::Definition;
use crate::store::{State, Store};
use crate::sys::files;
use crate::sys::netlink::Socket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the daemon may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// A plugin is a few megabytes; built for development, some more.
const MAX_PROGRAM: usize = 512 << 20;
/// The keeper's report is a line.
const MAX_REPORT: usize = 1 << 20;
/// Where runtimes listen, and how they are called.
const RUNTIMES: [(&str, &str); 5] = [
    ("containerd", "/run/containerd/containerd.sock"),
    ("CRI-O", "/run/crio/crio.sock"),
    ("k3s or RKE2 (containerd)", "/run/k3s/containerd/containerd.sock"),
    ("k0s (containerd)", "/run/k0s/containerd.sock"),
    ("MicroK8s (containerd)", "/var/snap/microk8s/common/run/containerd.sock"),
];
/// Plugins that need a link of the node, and the key that names it.
const MASTERS: [(&str, &str); 5] =
    [("macvlan", "master"), ("ipvlan", "master"), ("vlan", "master"), ("host-device", "device"), ("ipoib", "master")];

/// A file that the runtime may load.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Whether it calls Plexus.
    pub calls_plexus: bool,
    /// Why it cannot be read.
    pub error: Option<String>,
}

/// A network of this node, and what it lacks.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Whether it is the default network.
    pub default: bool,
    /// Why it cannot be read.
    pub error: Option<String>,
    /// The program that is missing, as ADD names it.
    pub missing_program: Option<String>,
    /// The link that is missing.
    pub missing_master: Option<String>,
    /// Why a built-in plugin would refuse it for every pod.
    pub refused: Option<String>,
    /// A key that nobody knows, as ADD names it.
    pub unknown_key: Option<String>,
}

/// Everything that was seen.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The state directory, and whether it exists.
    pub state: (PathBuf, bool),
    /// Whether Plexus is being uninstalled.
    pub draining: bool,
    /// The runtimes whose sockets exist.
    pub runtimes: Vec<&'static str>,
    /// The runtime's configuration directory, and its files in the runtime's order.
    pub conf_dir: PathBuf,
    /// See above.
    pub files: Vec<File>,
    /// Plexus' file by another name.
    pub renamed: Option<String>,
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
    pub pools: Vec<Pool>,
    /// The daemon's answer.
    pub daemon: Result<Health, String>,
    /// The keeper's report.
    pub keeper: Option<Keeping>,
    /// Failed removals.
    pub debts: usize,
    /// Records that cannot be read.
    pub damaged: usize,
    /// Statuses that the records keep.
    pub unpublished: usize,
    /// Directories that another user may write.
    pub untrusted: Vec<String>,
}

/// Looks at the node.
pub fn look(directories: &RuntimeDirectories, run: &RunDirectory, state: &StateDirectory) -> Facts {
    let installed = crate::cli::gc::installed(&directories.cni_conf_dir);
    let parsed = Settings::parse(installed.as_deref().unwrap_or(natives::DEFAULTS));
    let settings_error = parsed.as_ref().err().map(|e| e.msg.clone());
    let settings = parsed.or_else(|_| Settings::parse(natives::DEFAULTS)).ok();
    let settings_remarks = settings.as_ref().map(Settings::remarks).unwrap_or_default();
    let plugin = directories.cni_bin_dir.join("plexus");
    let definitions = fresh::definitions(state, run, Instant::now() + ANSWER_LIMIT);
    let (networks, pools) = settings.map(|settings| networks(&settings, directories, &definitions)).unwrap_or_default();
    let (records, damaged) = Store::new(state).survey().unwrap_or_default();
    let owed = records.iter().flat_map(|record| &record.attachments).filter(|one| one.state == State::Owed);
    Facts {
        draining: state.draining().exists(),
        runtimes: RUNTIMES.iter().filter(|(_, socket)| Path::new(socket).exists()).map(|(name, _)| *name).collect(),
        files: files_of(&directories.cni_conf_dir),
        renamed: renamed(&directories.cni_conf_dir),
        conf_dir: directories.cni_conf_dir.clone(),
        settings_error,
        settings_remarks,
        release: release(&plugin),
        plugin,
        networks,
        pools,
        daemon: daemon(run),
        keeper: keeper(run),
        debts: owed.count(),
        damaged: damaged.len(),
        unpublished: records.iter().filter(|record| record.unpublished.is_some()).count(),
        untrusted: trust::doubts(run, state),
        state: (state.path().to_owned(), state.path().exists()),
    }
}

fn files_of(folder: &Path) -> Vec<File> {
    let file = |path: PathBuf| {
        let read = disk::read(&path);
        File {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            calls_plexus: read
                .as_ref()
                .is_ok_and(|network| network.plugins.iter().any(|one| one.kind.as_str() == "plexus")),
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

/// The release that the program prints of itself. It is root's own program: the runtime starts it, too.
fn release(plugin: &Path) -> Result<String, String> {
    let program = files::read_bytes_bounded(plugin, MAX_PROGRAM).map_err(|e| e.to_string())?;
    let program = program.ok_or_else(|| "it does not exist".to_owned())?;
    if !build::is_plugin(&program) {
        return Err("it is not the plugin of Plexus".to_owned());
    }
    crate::cli::trust::check(plugin).map_err(|e| e.to_string())?;
    let printed = Command::new(plugin).arg("--version").stdin(Stdio::null()).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&printed.stderr).into_owned();
    let release = text.strip_prefix("plexus ").and_then(|rest| rest.split(':').next());
    release.map(str::to_owned).ok_or_else(|| "it does not print its release".to_owned())
}

fn networks(
    settings: &Settings,
    directories: &RuntimeDirectories,
    definitions: &[Definition],
) -> (Vec<Network>, Vec<Pool>) {
    let found = natives::of_definitions(settings, definitions);
    let registry = Registry::new(settings.natives.clone());
    let mut path: Vec<PathBuf> = settings.bin_dir.iter().cloned().collect();
    path.push(directories.cni_bin_dir.clone());
    let mut socket = Socket::in_own().ok();
    let pools = found.iter().filter_map(|one| Pool::of(&one.network, one.config.as_ref()?)).collect();
    let network = |one: natives::Network| {
        let config = one.config.as_ref();
        let endless = config.and_then(recursion::names_itself).map(|kind| format!("it delegates to {kind}"));
        Network {
            error: one.error.clone().or(endless),
            missing_program: config.and_then(|config| registry.present(config, &path).err()).map(|e| e.to_string()),
            missing_master: config.and_then(|config| missing_master(config, socket.as_mut()?)),
            refused: config.and_then(refusal),
            unknown_key: config.and_then(|config| config.plugins.iter().find_map(|one| registry.unknown_key(one))),
            name: one.network,
            default: one.default,
        }
    };
    (found.into_iter().map(network).collect(), pools)
}

/// Why the built-in plugin would refuse `network`; what a pod or the runtime hands over by a capability is not missed.
fn refusal(network: &NetworkConfig) -> Option<String> {
    let first = network.plugins.first()?;
    let is_given = ["ips", "ipRanges"].iter().any(|capability| first.has_capability(capability));
    judgement::refusal(network, first).filter(|_| !is_given)
}

/// The first link of the node that `network` needs and that does not exist.
fn missing_master(network: &NetworkConfig, socket: &mut Socket) -> Option<String> {
    network.plugins.iter().find_map(|plugin| {
        let (_, key) = MASTERS.iter().find(|(kind, _)| *kind == plugin.kind.as_str())?;
        let is_inside = plugin.object.read::<bool>("linkInContainer").ok().flatten().unwrap_or_default();
        let name = plugin.object.read::<String>(key).ok().flatten().filter(|name| !name.is_empty() && !is_inside)?;
        // A link that cannot be asked for is not missing.
        matches!(socket.link_by_name(&name), Ok(None)).then_some(name)
    })
}

fn daemon(run: &RunDirectory) -> Result<Health, String> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    match Client::connect(run, deadline).and_then(|mut client| client.ask(&Request::Health {})) {
        Ok(Reply::Health(health)) => Ok(health),
        Ok(Reply::Unsupported(why) | Reply::Unavailable(why)) => Err(why),
        Ok(other) => Err(format!("plexusd answered another question ({})", other.kind())),
        Err(e) => Err(e.to_string()),
    }
}

fn keeper(run: &RunDirectory) -> Option<Keeping> {
    json::parse(&files::read_bounded(&run.keeping(), MAX_REPORT).ok()??).ok()
}
