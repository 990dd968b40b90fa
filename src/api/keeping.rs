//! What the keeper of the installation tells the daemon.

use crate::ipam::tally::Tally;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file [`super::RunDirectory::keeping`]: written by the keeper, which is root, and read by the daemon, which
/// cannot see the folders that it is about. Unknown members are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Keeping {
    /// The keeper's release.
    pub release: String,
    /// Why the runtime does not call Plexus, and which file is the cause; empty while it does.
    pub displaced: String,
    /// How often each file (`configuration`, `plugin`) was put back since the keeper started.
    pub put_back: BTreeMap<String, u64>,
    /// Whether Plexus is being uninstalled: new pods get no additional networks.
    pub draining: bool,
    /// How many addresses of the cluster there are on the node, by pool and family.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<PoolTally>,
}

/// The addresses of one family of a pool on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolTally {
    /// The pool; one name stands for all beyond a bound, see [`crate::ipam::tally::Labels`].
    pub pool: String,
    /// 4 or 6.
    pub family: u8,
    /// How many there are.
    pub tally: Tally,
}
