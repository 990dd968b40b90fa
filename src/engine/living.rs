//! Which sandboxes exist, by all that anything on the node tells: what is not in our records may be older
//! than our installation, of another runtime, or damaged.

use super::Turn;
use crate::sys::files;
use crate::sys::netlink::Socket;
use crate::sys::netns::{Error, Netns};
use crate::sys::netns_list;
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
pub struct Living {
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

impl Living {
    /// Who is in our records, in Multus', or in libcni's with a namespace that is not gone.
    ///
    /// # Errors
    /// A folder cannot be read: then nothing is known of anybody.
    pub fn look(turn: &Turn) -> io::Result<Self> {
        let mut living = Living::default();
        living.containers.extend(turn.store.list()?.iter().map(ToString::to_string));
        let multus = &turn.settings.multus_directory;
        living.containers.extend(names(multus)?);
        for folder in RESULTS.map(PathBuf::from).into_iter().chain([multus.join("results")]) {
            for name in names(&folder)? {
                living.read(&folder, name);
            }
        }
        Ok(living)
    }

    fn read(&mut self, folder: &Path, name: String) {
        match files::read_bounded(&folder.join(&name), MAX_FILE) {
            // Deleted meanwhile.
            Ok(None) => {}
            Ok(Some(text)) => match serde_json::from_str::<Cached>(&text) {
                Ok(cached) if cached.netns.as_deref().is_some_and(is_gone) => {}
                Ok(cached) => drop(self.containers.insert(cached.container_id)),
                Err(_) => self.unreadable.push(name),
            },
            Err(_) => self.unreadable.push(name),
        }
    }

    /// Whether `container` may still exist.
    pub fn has(&self, container: &str) -> bool {
        self.containers.contains(container) || self.unreadable.iter().any(|name| name.contains(container))
    }
}

/// Whether the namespace cannot exist any more: it was unmounted, or forgotten by a reboot. What cannot be looked
/// at counts as there.
pub fn is_gone(netns: &Path) -> bool {
    matches!(Netns::open(netns), Err(Error::Missing { .. } | Error::NotANamespace { .. }))
}

/// Every address that a link of any namespace of the machine has.
///
/// # Errors
/// One line: a namespace cannot be looked into.
pub fn addresses() -> Result<BTreeSet<IpAddr>, String> {
    let mut all = BTreeSet::new();
    for netns in netns_list::every().map_err(|e| e.to_string())? {
        let mut socket = Socket::in_netns(&netns).map_err(|e| e.to_string())?;
        let listed = socket.addresses(None).map_err(|e| e.to_string())?;
        all.extend(listed.into_iter().map(|address| address.net.addr()));
    }
    Ok(all)
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => Ok(other?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()),
    }
}
