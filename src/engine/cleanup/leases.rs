//! Addresses of `host-local` and `plexus-ipam` that are taken for nobody: a DEL was lost, or the node with its sandboxes.
//!
//! GC frees them, but containerd never calls it. Here nobody lists what is valid, so an address is given back
//! only when nothing on the node speaks for it: no record of ours, of Multus or of libcni, and no link that has it.

use crate::cni::NetworkConfig;
use crate::delegate::ipam::host_local::leases::{self, Lease};
use crate::delegate::ipam::leased;
use crate::engine::Turn;
use crate::engine::cleanup::fate::Sight;
use crate::engine::cleanup::live_sandboxes;
use crate::engine::cleanup::live_sandboxes::LiveSandboxes;
use crate::engine::cleanup::survey::Survey;
use crate::engine::cleanup::used_networks::Networks;
use crate::ipam::PoolName;
use crate::ipam::history::Owner;
use crate::sys::shared_folder;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// libcni writes its record at the end of ADD, and kubelet allows 4 minutes for that.
const YOUNG: Duration = Duration::from_secs(600);

/// A lease that nobody holds.
#[derive(Debug)]
pub struct Orphan {
    /// The network whose pool it is in.
    pub network: String,
    /// The lease.
    pub lease: Lease,
    pool: PathBuf,
}

impl Orphan {
    /// One line for a person.
    pub fn why(&self) -> String {
        let address = self.lease.address;
        if self.lease.container.is_empty() {
            return format!("address {address} is taken for nobody: its file is empty");
        }
        format!("address {address} is taken for a container that is gone")
    }

    /// Whether it is still taken.
    pub fn is_taken(&self) -> bool {
        self.pool.join(self.lease.address.to_string()).exists()
    }
}

/// Begins the line that says why no address is released.
pub const DOUBT: &str = "no address is released:";

/// The leases that nobody holds, and why others could not be judged: one line that begins with [`DOUBT`].
#[derive(Debug, Default)]
pub struct Judged {
    /// The leases that nobody holds.
    pub orphans: Vec<Orphan>,
    /// Of a pool that cannot be read, or of all where it cannot be known who holds them.
    pub doubt: Option<String>,
}

/// Looks which leases nobody holds. A pool that cannot be read keeps its own only.
pub fn judge(turn: &Turn, survey: &Survey, sight: &Sight) -> Judged {
    // The leases first: what is attached after this look is younger.
    let mut judged = Judged::default();
    let Pools { readable, doubt } = pools(turn, survey);
    judged.doubt = doubt;
    for (pool, network) in readable {
        match leases::older_than_or_ownerless(&pool, YOUNG) {
            Ok(leases) => {
                let orphan = |lease| Orphan { network: network.clone(), lease, pool: pool.clone() };
                judged.orphans.extend(leases.into_iter().map(orphan));
            }
            Err(e) => judged.doubt = Some(format!("{DOUBT} network {network}: pool {}: {e}", pool.display())),
        }
    }
    if let Err(doubt) = keep_unheld(&mut judged.orphans, turn, sight) {
        judged = Judged { orphans: Vec::new(), doubt: Some(format!("{DOUBT} {doubt}")) };
    }
    judged
}

/// Keeps of `found` what nothing speaks for.
///
/// # Errors
/// What might speak for one cannot be read.
fn keep_unheld(found: &mut Vec<Orphan>, turn: &Turn, sight: &Sight) -> Result<(), String> {
    if found.is_empty() {
        return Ok(());
    }
    // Read again: a record may be younger than the survey, and with it the container's other leases.
    let living = Survey::read(&turn.store).and_then(|survey| LiveSandboxes::look(turn, &survey, sight));
    let living = living.map_err(|e| format!("the existing sandboxes cannot be listed: {e}"))?;
    found.retain(|orphan| !living.has(&orphan.lease.container));
    if found.is_empty() {
        return Ok(());
    }
    let used = live_sandboxes::addresses(turn, sight);
    let used = used.map_err(|e| format!("the used addresses cannot be listed: {e}"))?;
    found.retain(|orphan| !used.contains(&orphan.lease.address));
    Ok(())
}

/// Gives them back.
pub fn give_back(turn: &Turn, orphans: &[Orphan], deadline: Instant) {
    for orphan in orphans {
        let Orphan { network, lease, pool } = orphan;
        let of_cluster = of_cluster(turn, orphan);
        // Under the lock of the pool, so that no call takes the copy for an address that lost its file.
        let uncopy = || match &of_cluster {
            Some((pool, owner)) => leased::remove_copy(&turn.settings.run.taken(pool), lease.address, owner, deadline),
            None => Ok(()),
        };
        match leases::give_back(pool, lease, deadline, uncopy) {
            Ok(true) => {
                turn.warn(format!("network {network}: {}: released", orphan.why()));
                if let Some((_, owner)) = of_cluster {
                    leased::note_lost(pool, lease.address, owner, deadline);
                }
            }
            Ok(false) => {}
            Err(e) => turn.warn(format!("network {network}: {} and cannot be released: {e}", orphan.why())),
        }
    }
}

/// The pool of the cluster that the lease is in, and who had it, for its history.
fn of_cluster(turn: &Turn, orphan: &Orphan) -> Option<(PoolName, Owner)> {
    let name = orphan.pool.strip_prefix(turn.settings.state.pools()).ok()?.to_str()?;
    let (container, network) = (orphan.lease.container.clone(), orphan.network.clone());
    let ifname = orphan.lease.ifname.clone().unwrap_or_default();
    Some((PoolName::new(name).ok()?, Owner { container, ifname, network, ..Owner::default() }))
}

/// The pools of `network` that can be looked into: no other user than root may lead us elsewhere (D7). A pool that does
/// not exist holds nothing.
///
/// # Errors
/// One that exists cannot be looked into.
pub(in crate::engine) fn pools_of(turn: &Turn, network: &NetworkConfig) -> Result<Vec<PathBuf>, String> {
    existing(folders(turn, network))
}

/// As [`pools_of`], of `host-local` only.
///
/// # Errors
/// One that exists cannot be looked into.
pub(in crate::engine) fn local_pools_of(network: &NetworkConfig) -> Result<Vec<PathBuf>, String> {
    existing(leases::pools(network))
}

/// The folders in which plugins of `network` keep the addresses that they have taken.
fn folders(turn: &Turn, network: &NetworkConfig) -> Vec<PathBuf> {
    let leased = leased::pools(network);
    leases::pools(network).into_iter().chain(leased.iter().map(|pool| turn.settings.state.pool(pool))).collect()
}

fn existing(folders: Vec<PathBuf>) -> Result<Vec<PathBuf>, String> {
    let mut all = Vec::new();
    for pool in folders {
        match shared_folder::find(&pool) {
            Ok(Some(_)) => all.push(pool),
            Ok(None) => {}
            Err(e) => return Err(format!("{}: {e}", pool.display())),
        }
    }
    Ok(all)
}

/// The pools whose leases are judged.
#[derive(Debug, Default)]
struct Pools {
    /// Each with its network.
    readable: BTreeMap<PathBuf, String>,
    /// Why another one is not looked into: one line that begins with [`DOUBT`].
    doubt: Option<String>,
}

/// The pools of the default network, of every network this node has used and of what is attached, unless the
/// network forbids it (CNI-CFG-06). A network that others define forbids nothing in the default network's pools.
fn pools(turn: &Turn, survey: &Survey) -> Pools {
    let networks = Networks::known(turn, survey.records.values());
    let (mut all, mut doubt) = (BTreeMap::new(), None);
    let forbidding = networks.others.values().filter(|network| network.disable_gc);
    let forbidden: Vec<PathBuf> = forbidding.flat_map(|network| folders(turn, network)).collect();
    let default = networks.default.iter().map(|network| (network, true));
    for (network, is_default) in default.chain(networks.others.values().map(|network| (network, false))) {
        let pools = pools_of(turn, network).unwrap_or_else(|e| {
            let why = format!("network {}: its leases are not checked: {e}", network.name);
            // A network that forbids it has none to release. The first doubt is printed with the answer.
            if doubt.is_none() && !network.disable_gc {
                doubt = Some(format!("{DOUBT} {why}"));
            } else {
                turn.warn(why);
            }
            Vec::new()
        });
        let allowed = |pool: &PathBuf| !network.disable_gc && (is_default || !forbidden.contains(pool));
        for pool in pools.into_iter().filter(allowed) {
            all.entry(pool).or_insert_with(|| network.name.to_string());
        }
    }
    let own = networks.default.iter().filter(|network| network.disable_gc).flat_map(|network| folders(turn, network));
    own.for_each(|pool| drop(all.remove(&pool)));
    Pools { readable: all, doubt }
}
