//! Which file lies where, and who writes it.
//!
//! Two writers never share a folder. What the daemon may write, root's plugin only reads; what the plugin writes, the
//! daemon only reads, if it sees it at all.

use crate::cni::ContainerId;
use crate::ipam::PoolName;
use crate::ipam::name::number_of;
use crate::nad::NadRef;
use std::path::{Path, PathBuf};

/// The daemon's folder in the run directory.
pub const DAEMON: &str = "daemon";
/// Its folder of copies, and the plugin's.
pub const NETWORKS: &str = "networks";
/// Its socket.
pub const SOCKET: &str = "plexusd.sock";
/// Its socket for the reports of calls.
pub const CALLS: &str = "calls.sock";
/// The folder of records that could not be read, in the state directory.
pub const DAMAGED: &str = "damaged";
/// The folder of [`RunDirectory::taken`].
const TAKEN: &str = "taken";
/// The name of [`RunDirectory::comparisons`].
const COMPARED: &str = "compared";
/// The name of [`RunDirectory::counted_pools`].
const COUNTED: &str = "pools.json";
/// A longer copy of a NAD is none: an object in the cluster is at most half of it, before its text is quoted.
pub const MAX_COPY: usize = 4 << 20;
/// The longest name of a file (`NAME_MAX`).
const MAX_NAME: usize = 255;

/// The file name of a copy of `nad`. `_` is in no Kubernetes name, so it is unambiguous: once in it, or twice where
/// the whole would be too long for a file name and the end of the NAD's name is given as a number.
pub fn copy_name(nad: &NadRef) -> String {
    let whole = format!("{}_{}", nad.namespace(), nad.name());
    const EXTENSION: &str = ".json";
    if whole.len() + EXTENSION.len() <= MAX_NAME {
        return whole + EXTENSION;
    }
    // Two NADs that meet in one file take turns in it, for each copy tells whose it is.
    let number = number_of(&whole);
    format!("{}_{number:016x}{EXTENSION}", &whole[..MAX_NAME - EXTENSION.len() - 17])
}

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

    /// Whether Plexus makes an entry called `name` here; a name that begins with a dot is that of an unfinished file.
    pub fn is_own(name: &str) -> bool {
        name.starts_with('.')
            || ["sandboxes", DAMAGED, NETWORKS, "pools", "draining", "installed", "default-network.json"]
                .contains(&name)
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
        self.0.join(DAMAGED)
    }

    /// Last-known copies of the NADs this node has used. Written by the plugin only, from what the daemon answered.
    pub fn networks(&self) -> PathBuf {
        self.0.join(NETWORKS)
    }

    /// The last-known copy of a NAD.
    pub fn network(&self, nad: &NadRef) -> PathBuf {
        self.networks().join(copy_name(nad))
    }

    /// The pools that pods of this node have addresses from.
    pub fn pools(&self) -> PathBuf {
        self.0.join("pools")
    }

    /// The addresses that pods of this node have from `pool`, one file each. Written by the plugin only.
    pub fn pool(&self, pool: &PoolName) -> PathBuf {
        self.pools().join(pool.as_str())
    }

    /// While it is there, no pod is given additional networks: Plexus is being uninstalled.
    pub fn draining(&self) -> PathBuf {
        self.0.join("draining")
    }

    /// Which plugin an installer put on this node last, see [`super::build::identity`]. Written by installers only.
    pub fn installed(&self) -> PathBuf {
        self.0.join("installed")
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

    /// As [`StateDirectory::is_own`]; former releases have the daemon's socket and its statuses here, too.
    pub fn is_own(name: &str) -> bool {
        let folders = [DAEMON, "ipam", TAKEN, "keeper", "locks", "unpublished", "due", COMPARED, "network-status"];
        let files = [SOCKET, "swept", "sweep.lock", "sweep.log", COUNTED];
        name.starts_with('.') || folders.contains(&name) || files.contains(&name)
    }

    /// The log of the last sweeps.
    pub fn sweep_log(&self) -> PathBuf {
        self.0.join("sweep.log")
    }

    /// The only folder the daemon writes. The plugin reads what is in it as content, and nothing else.
    pub fn daemon(&self) -> PathBuf {
        self.0.join(DAEMON)
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.daemon().join(SOCKET)
    }

    /// Where the daemon receives a [`super::CallReport`] of each call.
    pub fn calls(&self) -> PathBuf {
        self.daemon().join(CALLS)
    }

    /// Where the socket of former releases is. A daemon that may write there leaves a link to [`Self::socket`].
    pub fn former_socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    /// The daemon's copies of the NADs this node has used, as they are now.
    pub fn networks(&self) -> PathBuf {
        self.daemon().join(NETWORKS)
    }

    /// The daemon's copy of a NAD, or its word that there is none any more.
    pub fn network(&self, nad: &NadRef) -> PathBuf {
        self.networks().join(copy_name(nad))
    }

    /// What the daemon has published.
    pub fn done(&self) -> PathBuf {
        self.daemon().join("done.json")
    }

    /// The name of the daemon's folder of grants.
    pub const GRANTS: &str = "ipam";

    /// What the daemon grants of each pool. Written by the daemon only.
    pub fn grants(&self) -> PathBuf {
        self.daemon().join(RunDirectory::GRANTS)
    }

    /// The blocks of `pool` that the plugin may take addresses from.
    pub fn grant(&self, pool: &PoolName) -> PathBuf {
        self.grants().join(format!("{pool}.grant"))
    }

    /// What the plugin tells the daemon of each pool. Written by the plugin only.
    pub fn reports(&self) -> PathBuf {
        self.0.join("ipam")
    }

    /// What the plugin has given back of `pool`, and what runs low.
    pub fn report(&self, pool: &PoolName) -> PathBuf {
        self.reports().join(format!("{pool}.report"))
    }

    /// Copies of the files in [`StateDirectory::pool`], which count if those are deleted. Written by the plugin only.
    pub fn taken(&self, pool: &PoolName) -> PathBuf {
        self.0.join(TAKEN).join(pool.as_str())
    }

    /// What the keeper tells the daemon. Written by the keeper only, who is root.
    pub fn keeper(&self) -> PathBuf {
        self.0.join("keeper")
    }

    /// One lock a sandbox, so that its calls never overlap.
    pub fn locks(&self) -> PathBuf {
        self.0.join("locks")
    }

    /// The lock of a sandbox.
    pub fn lock(&self, id: &ContainerId) -> PathBuf {
        self.locks().join(format!("{id}.lock"))
    }

    /// The daemon's to-do list: network statuses that are not on their pods yet. Written by the plugin only.
    pub fn unpublished(&self) -> PathBuf {
        self.0.join("unpublished")
    }

    /// The status of a sandbox that is to be published.
    pub fn publication(&self, id: &ContainerId) -> PathBuf {
        self.unpublished().join(format!("{id}.json"))
    }

    /// What the keeper has found.
    pub fn keeping(&self) -> PathBuf {
        self.keeper().join("state.json")
    }

    /// The kubelet's pod-resources socket, as the keeper passes it on.
    pub fn pod_resources(&self) -> PathBuf {
        self.keeper().join("pod-resources.sock")
    }

    /// What the plugin is to do on its next turn, one empty file each.
    pub fn due(&self) -> PathBuf {
        self.0.join("due")
    }

    /// Where sweeps leave what differs between sandboxes and their records, where somebody asked.
    pub fn comparisons(&self) -> PathBuf {
        self.0.join(COMPARED)
    }

    /// What differs between the sandbox `id` and its record.
    pub fn compared(&self, id: &ContainerId) -> PathBuf {
        self.comparisons().join(format!("{id}.json"))
    }

    /// Its modification time is when the last sweep began.
    pub fn swept(&self) -> PathBuf {
        self.0.join("swept")
    }

    /// A [`super::PoolsTaken`]: what the last full sweep counted. Written by the plugin only.
    pub fn counted_pools(&self) -> PathBuf {
        self.0.join(COUNTED)
    }

    /// Held by the one sweep there is at a time.
    pub fn sweep_lock(&self) -> PathBuf {
        self.0.join("sweep.lock")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_in_a_directory_is_known_as_its_own() {
        let id = ContainerId::new("c").unwrap();
        let nad = NadRef::new("a", "b").unwrap();
        let name = |path: PathBuf| path.strip_prefix("/d").unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
        let state = StateDirectory::new("/d");
        let pool = PoolName::new("p").unwrap();
        let own = [state.record(&id), state.damaged(), state.network(&nad), state.draining(), state.default_network()];
        for path in own.into_iter().chain([state.pool(&pool), state.installed()]) {
            assert!(StateDirectory::is_own(&name(path)));
        }
        let run = RunDirectory::new("/d");
        let daemons = [run.socket(), run.calls(), run.former_socket(), run.network(&nad), run.done(), run.grant(&pool)];
        let plugins = [run.lock(&id), run.publication(&id), run.due(), run.swept(), run.sweep_lock(), run.sweep_log()];
        for path in daemons.into_iter().chain(plugins).chain([
            run.keeping(),
            run.pod_resources(),
            run.network_status(),
            run.report(&pool),
            run.taken(&pool),
            run.counted_pools(),
        ]) {
            assert!(RunDirectory::is_own(&name(path)));
        }
        assert!(!RunDirectory::is_own("x") && !StateDirectory::is_own("x"));
    }

    #[test]
    fn every_nad_has_a_file_name_of_its_own() {
        let name = |namespace: &str, name: &str| copy_name(&NadRef::new(namespace, name).unwrap());
        assert_eq!(name("default", "a.b"), "default_a.b.json");
        let (namespace, long) = ("n".repeat(63), format!("{}a", "a.".repeat(126)));
        let other = format!("{}b", &long[..252]);
        let (one, two) = (name(&namespace, &long), name(&namespace, &other));
        assert!(one.len() == MAX_NAME && two.len() == MAX_NAME && one != two);
        let longest = MAX_NAME - ".json".len() - 64;
        assert_eq!(name(&namespace, &format!("a{}", &long[..longest - 1])).matches('_').count(), 1);
        assert_eq!(name(&namespace, &long[..=longest]).matches('_').count(), 2);
    }
}
