//! What the plugin leaves for who cannot see the pools of `host-local`, as the container of the keeper.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The file [`super::RunDirectory::counted_pools`]; its modification time is when it was counted. Unknown members are passed
/// over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolsTaken {
    /// How many addresses are taken in each directory of a pool.
    pub taken: BTreeMap<PathBuf, u64>,
}
