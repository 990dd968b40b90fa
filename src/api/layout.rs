//! Which file lies where. Both folders belong to root.

use crate::cni::ContainerId;
use crate::nad::NadRef;
use std::path::{Path, PathBuf};

/// What survives a reboot: `/var/lib/plexus` unless configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDirectory(PathBuf);

impl StateDirectory {
    /// Where it is without configuration.
    pub const DEFAULT: &str = "/var/lib/plexus";

    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        StateDirectory(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// One file a sandbox: what is attached there. Written by the plugin only.
    pub fn sandboxes(&self) -> PathBuf {
        self.0.join("sandboxes")
    }

    /// The record of a sandbox.
    pub fn record(&self, id: &ContainerId) -> PathBuf {
        self.sandboxes().join(format!("{id}.json"))
    }

    /// Records that could not be read, moved aside.
    pub fn damaged(&self) -> PathBuf {
        self.0.join("damaged")
    }

    /// Last-known copies of the NADs this node has used. Written by the daemon only.
    pub fn networks(&self) -> PathBuf {
        self.0.join("networks")
    }

    /// The last-known copy of a NAD. `_` is in no Kubernetes name, so the file name is unambiguous.
    pub fn network(&self, nad: &NadRef) -> PathBuf {
        self.networks().join(format!("{}_{}.json", nad.namespace(), nad.name()))
    }

    /// While it is there, no pod is given additional networks: Plexus is being uninstalled.
    pub fn draining(&self) -> PathBuf {
        self.0.join("draining")
    }

    /// The last-good copy of the default network's configuration. Written by the plugin only.
    pub fn default_network(&self) -> PathBuf {
        self.0.join("default-network.json")
    }
}

impl Default for StateDirectory {
    fn default() -> Self {
        StateDirectory::new(StateDirectory::DEFAULT)
    }
}

/// What a reboot may forget: `/run/plexus` unless configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory(PathBuf);

impl RunDirectory {
    /// Where it is without configuration.
    pub const DEFAULT: &str = "/run/plexus";

    /// The folder at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        RunDirectory(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("plexusd.sock")
    }

    /// One lock a sandbox, so that its calls never overlap.
    pub fn locks(&self) -> PathBuf {
        self.0.join("locks")
    }

    /// The lock of a sandbox.
    pub fn lock(&self, id: &ContainerId) -> PathBuf {
        self.locks().join(format!("{id}.lock"))
    }

    /// The daemon's to-do list: network statuses that are not on their pods yet.
    pub fn unpublished(&self) -> PathBuf {
        self.0.join("unpublished")
    }

    /// The status of a sandbox that is to be published.
    pub fn publication(&self, id: &ContainerId) -> PathBuf {
        self.unpublished().join(format!("{id}.json"))
    }

    /// What the plugin is to do on its next turn, one empty file each.
    pub fn due(&self) -> PathBuf {
        self.0.join("due")
    }

    /// Where the daemon writes network statuses when its source is a folder: there is no pod object to patch.
    pub fn network_status(&self) -> PathBuf {
        self.0.join("network-status")
    }
}

impl Default for RunDirectory {
    fn default() -> Self {
        RunDirectory::new(RunDirectory::DEFAULT)
    }
}
