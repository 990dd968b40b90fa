//! What ADD relies on, on this node: one list for STATUS, `plexusctl doctor`, `health`, and `plan --on-node`.
//!
//! Judged by the code that judges in ADD. What has to be writable is written to; nothing is left.

use crate::api::{RunDirectory, StateDirectory};
use crate::cni::{NetworkConfig, PluginConfig};
use crate::delegate::ipam::host_local;
use crate::delegate::ipam::host_local::leases;
use crate::delegate::registry::Runner;
use crate::delegate::{Error, Registry};
use crate::engine::planning::preflight;
use crate::engine::sandbox::trust::NOT_ATTACHED;
use crate::engine::settings::Settings;
use crate::store::Store;
use crate::sys::location::Landmarks;
use crate::sys::netlink::Socket;
use crate::sys::shared_folder;
use crate::sys::trusted::Untrusted;
use crate::sys::{files, probe};
use std::io;
use std::path::Path;

/// What is wrong with a directory of Plexus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Pods with additional networks do not start. Other pods do.
    pub stops_additional: bool,
    /// The observation with its consequence: one line.
    pub text: String,
}

/// What is wrong with the directories of Plexus; whom they belong to is asked by [`crate::engine::sandbox::trust`].
/// What is written is forced to the disk if `is_synced`.
pub fn directories(run: &RunDirectory, state: &StateDirectory, is_synced: bool) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let sandboxes = state.sandboxes();
    if files::is_read_only(state.path()) {
        let folder = state.path().display();
        let why = format!("{folder} is on a read-only file system, and nothing can be recorded there");
        flaws.push(Flaw { stops_additional: true, text: format!("{NOT_ATTACHED}: {why}") });
    } else if let Err(e) = probe::write(&sandboxes, probe::A_RECORD, is_synced) {
        let text = format!("{NOT_ATTACHED}: nothing can be recorded in {}: {e}", sandboxes.display());
        flaws.push(Flaw { stops_additional: true, text });
    } else if let Some(e) = Store::new(state).list().err().filter(|e| !Untrusted::is(e)) {
        let text = format!("{} cannot be listed: {e}; GC and sweeps see no attachment", sandboxes.display());
        flaws.push(Flaw { stops_additional: false, text });
    }
    let sweep_lock = run.sweep_lock();
    if std::fs::symlink_metadata(&sweep_lock).is_ok_and(|found| !found.is_file()) {
        let text =
            format!("{} is not a file: nothing is swept, and no failed removal is tried again", sweep_lock.display());
        flaws.push(Flaw { stops_additional: false, text });
    }
    let unpublished = run.unpublished();
    let kept = if unpublished.exists() { probe::write(&unpublished, probe::A_BLOCK, false) } else { Ok(()) };
    if let Err(e) = kept {
        let text =
            format!("nothing can be written in {}: {e}; no network-status reaches its pod", unpublished.display());
        flaws.push(Flaw { stops_additional: false, text });
    }
    if let Err(e) = probe::write(&run.locks(), probe::A_BLOCK, false) {
        let what = "calls for one pod are not kept apart, and no network-status reaches its pod";
        let text = format!("nothing can be written in {}: {e}; {what}", run.path().display());
        flaws.push(Flaw { stops_additional: false, text });
    }
    flaws
}

/// Why `network` gets no address of `host-local` on this node; none where it may get one. `is_operators`: it is the
/// default network, whose directories the operator chooses.
pub fn unusable_pool(
    settings: &Settings,
    registry: &Registry,
    network: &NetworkConfig,
    is_operators: bool,
    is_synced: bool,
) -> Option<String> {
    let pools = leases::pools(network);
    let judged = match is_operators {
        false => preflight::judge_pools(settings, network, &Landmarks::default()),
        true if has_native_pool(registry, network) => pools.iter().try_for_each(|pool| {
            let found = shared_folder::find(pool).map(drop);
            found.map_err(|e| told(pool, "used", &e))
        }),
        true => Ok(()),
    };
    let written = || {
        let write = |pool: &std::path::PathBuf| probe::write(pool, probe::A_BLOCK, is_synced);
        pools.iter().try_for_each(|pool| write(pool).map_err(|e| told(pool, "written", &e)))
    };
    judged.and_then(|()| written()).err()
}

fn told(pool: &Path, what: &str, why: &io::Error) -> String {
    format!("plugin {}: dataDir: the pool {} cannot be {what}: {why}", host_local::TYPE, pool.display())
}

fn has_native_pool(registry: &Registry, network: &NetworkConfig) -> bool {
    network.plugins.iter().any(|plugin| registry.runners(plugin).ipam == Some(Runner::Native))
}

/// Why the built-in plugins would refuse `network` for every pod, by its configuration and the links of `host`. What a
/// pod or the runtime hands over by a capability is not missed.
pub fn refusal(registry: &Registry, network: &NetworkConfig, host: Option<&mut Socket>) -> Option<Error> {
    let is_given = network.plugins.first().is_some_and(is_given_addresses);
    registry.judge(network, host).err().filter(|_| !is_given)
}

/// Whether the runtime or the pod may hand over what `plugin` lacks in its configuration.
pub fn is_given_addresses(plugin: &PluginConfig) -> bool {
    ["ips", "ipRanges"].iter().any(|capability| plugin.has_capability(capability))
}
