//! The copies of NADs that the daemon leaves on the node.

use crate::api::StateDirectory;
use crate::nad::{Definition, NadRef};
use crate::sys::files;
use std::time::Duration;

/// A definition is at most what an object in the cluster may be.
const MAX_DEFINITION: usize = 2 << 20;

/// The copy of `nad` and its age: how long ago the daemon last saw that it still holds.
pub(super) fn read(state: &StateDirectory, nad: &NadRef, oldest: Option<Duration>) -> Option<(Definition, Duration)> {
    let path = state.network(nad);
    let text = files::read_bounded(&path, MAX_DEFINITION).ok()??;
    let age = std::fs::metadata(&path).and_then(|file| file.modified()).ok()?.elapsed().unwrap_or_default();
    let definition: Definition = serde_json::from_str(&text).ok()?;
    (definition.nad == *nad && oldest.is_none_or(|oldest| age <= oldest)).then_some((definition, age))
}
