//! Which sandboxes exist, by all that anything on the node tells: what is not in our records may be older
//! than our installation, of another runtime, or damaged.

use crate::cni::json;
use crate::engine::Turn;
use crate::engine::cleanup::fate::{Fate, Sight, Witness};
use crate::engine::cleanup::survey::Survey;
use crate::sys::files;
use crate::sys::netlink::Socket;
use crate::sys::netns_list;
use crate::sys::proc_net;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Where libcni keeps its records: containerd and CRI-O, and cri-dockerd (CNI-CACHE-01).
const RESULTS: [&str; 2] = ["/var/lib/cni/results", "/var/lib/cni/cache/results"];
/// A record of libcni holds a configuration and a result.
const MAX_FILE: usize = 4 << 20;

/// Who may still exist.
#[derive(Debug, Default)]
pub struct LiveSandboxes {
    containers: BTreeSet<String>,
    /// Names of files that do not tell whom they are about; the container's ID is in each.
    unreadable: Vec<String>,
}

/// What is read of libcni's record of an attachment (CNI-CACHE-02).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    container_id: String,
    #[serde(default)]
    netns: Option<PathBuf>,
}

/// What can be seen of the sandboxes of `survey`, with the help of what the runtime recorded.
pub fn sight(turn: &Turn, survey: &Survey) -> Sight {
    Sight::of(survey.all(), || witnesses(&results(turn)))
}

/// Whether a sandbox that we or the runtime recorded is alive here: then these are the namespaces of the node.
pub fn is_one_shown(turn: &Turn, sight: &Sight) -> bool {
    sight.shows_a_sandbox(|| witnesses(&results(turn)))
}

/// The folders of libcni's records.
fn results(turn: &Turn) -> Vec<PathBuf> {
    let of_multus = turn.settings.multus_directory.join("results");
    let configured = turn.settings.cni_cache_directory.iter().map(|folder| folder.join("results"));
    RESULTS.map(PathBuf::from).into_iter().chain([of_multus]).chain(configured).collect()
}

/// The sandboxes that libcni recorded. What cannot be read is no witness.
fn witnesses(folders: &[PathBuf]) -> Vec<Witness> {
    let files = folders.iter().filter_map(|folder| Some((folder, names(folder).ok()?)));
    let paths = files.flat_map(|(folder, names)| names.into_iter().map(|name| folder.join(name)));
    paths.filter_map(|path| cached(&path).ok()??.netns.map(witness)).collect()
}

fn witness(netns: PathBuf) -> Witness {
    Witness { netns, identity: None }
}

fn cached(path: &Path) -> io::Result<Option<Cached>> {
    let text = files::read_bounded(path, MAX_FILE)?;
    Ok(text.map(|text| json::parse(&text)).transpose()?)
}

impl LiveSandboxes {
    /// Who is in our records (`survey`), in Multus', or in libcni's with a namespace of which `sight` does not show that
    /// it is gone.
    ///
    /// # Errors
    /// A folder cannot be read: then nothing is known of anybody.
    pub fn look(turn: &Turn, survey: &Survey, sight: &Sight) -> io::Result<Self> {
        let mut living = LiveSandboxes::default();
        living.containers.extend(survey.all().map(|record| record.container_id.to_string()));
        living.containers.extend(survey.unreadable.iter().map(ToString::to_string));
        living.containers.extend(names(&turn.settings.multus_directory)?);
        for folder in results(turn) {
            for name in names(&folder)? {
                living.read(&folder.join(&name), name, sight);
            }
        }
        Ok(living)
    }

    fn read(&mut self, path: &Path, name: String, sight: &Sight) {
        let Cached { container_id, netns } = match cached(path) {
            // Deleted meanwhile.
            Ok(None) => return,
            Ok(Some(cached)) => cached,
            Err(_) => return self.unreadable.push(name),
        };
        let witness = netns.map(witness);
        if !witness.is_some_and(|witness| matches!(sight.fate_of(&witness), Fate::Gone(_))) {
            self.containers.insert(container_id);
        }
    }

    /// Whether `container` may still exist.
    pub fn has(&self, container: &str) -> bool {
        self.containers.contains(container) || self.unreadable.iter().any(|name| name.contains(container))
    }
}

/// Every address that a link of any namespace of the machine has.
///
/// # Errors
/// One line: a namespace cannot be looked into, or the machine's may not be seen here.
pub fn addresses(turn: &Turn, sight: &Sight) -> Result<BTreeSet<IpAddr>, String> {
    let mut all = BTreeSet::new();
    let namespaces = netns_list::every().map_err(|e| e.to_string())?;
    if let Some(file) = namespaces.unclear.first() {
        return Err(format!("{} is not a namespace here, and may be that of a running pod", file.display()));
    }
    // A container may have namespaces of its own: only one that is recorded shows that these are the node's.
    if !namespaces.shows_every_process && !is_one_shown(turn, sight) {
        return Err("no recorded sandbox can be seen here, and not all processes of the node are visible".into());
    }
    for process in namespaces.closed {
        all.extend(proc_net::addresses(&process).map_err(|e| format!("{}: {e}", process.display()))?);
    }
    for netns in namespaces.open {
        let mut socket = Socket::in_netns(&netns).map_err(|e| e.to_string())?;
        let listed = socket.addresses(None).map_err(|e| e.to_string())?;
        all.extend(listed.into_iter().map(|address| address.net.addr()));
    }
    Ok(all)
}

/// The names in `folder`; none where it does not exist.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match files::entries(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    Ok(entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
