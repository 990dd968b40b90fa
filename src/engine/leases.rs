//! Addresses of `host-local` that are taken for nobody: a DEL was lost, or the node with its sandboxes.
//!
//! GC frees them, but containerd never calls it. Here nobody lists what is valid, so an address is given back
//! only when nothing on the node speaks for it: no record of ours, of Multus or of libcni, and no link that has it.

use super::Turn;
use super::gc::known_networks;
use super::living::{self, Living};
use crate::delegate::ipam::host_local::leases::{self, Lease};
use crate::store::Found;
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
        format!("address {} is taken for a container that is gone", self.lease.address)
    }

    /// Whether it is still taken.
    pub fn is_taken(&self) -> bool {
        self.pool.join(self.lease.address.to_string()).exists()
    }
}

/// The leases that nobody holds. Where anything that might speak for one cannot be read there are none.
pub fn orphans(turn: &Turn) -> Vec<Orphan> {
    // The leases first: what is attached after this look is younger.
    let mut found = Vec::new();
    for (pool, network) in pools(turn) {
        match leases::older_than(&pool, YOUNG) {
            Ok(leases) => {
                let orphan = |lease| Orphan { network: network.clone(), lease, pool: pool.clone() };
                found.extend(leases.into_iter().map(orphan));
            }
            Err(e) => turn.warn(format!("{}: {e}", pool.display())),
        }
    }
    let living = match Living::look(turn) {
        Ok(living) => living,
        Err(e) => {
            turn.warn(format!("addresses are not given back, for it is not known which sandboxes exist: {e}"));
            return Vec::new();
        }
    };
    found.retain(|orphan| !living.has(&orphan.lease.container));
    if found.is_empty() {
        return found;
    }
    match living::addresses() {
        Ok(used) => found.retain(|orphan| !used.contains(&orphan.lease.address)),
        Err(e) => {
            turn.warn(format!("addresses are not given back, for it is not known which are used: {e}"));
            found.clear();
        }
    }
    found
}

/// Gives them back.
pub fn give_back(turn: &Turn, orphans: &[Orphan], deadline: Instant) {
    for orphan in orphans {
        match leases::give_back(&orphan.pool, &orphan.lease, deadline) {
            Ok(true) => turn.warn(format!("network {}: {}: given back", orphan.network, orphan.why())),
            Ok(false) => {}
            Err(e) => turn.warn(format!("network {}: {} and cannot be given back: {e}", orphan.network, orphan.why())),
        }
    }
}

/// The pools of the default network, of every network this node has used and of what is attached, unless the
/// network forbids it (CNI-CFG-06).
fn pools(turn: &Turn) -> BTreeMap<PathBuf, String> {
    let mut networks = known_networks(turn);
    for id in turn.store.list().unwrap_or_default() {
        if let Ok(Found::Record(record)) = turn.store.look(&id) {
            record.attachments.iter().for_each(|attachment| super::gc::remember(&mut networks, attachment));
        }
    }
    let mut all = BTreeMap::new();
    let forbidden: Vec<PathBuf> =
        networks.values().filter(|network| network.disable_gc).flat_map(leases::pools).collect();
    for network in networks.values() {
        for pool in leases::pools(network).into_iter().filter(|pool| !forbidden.contains(pool)) {
            all.entry(pool).or_insert_with(|| network.name.to_string());
        }
    }
    all
}
