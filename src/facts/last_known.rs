//! Copies of NADs on the node: the plugin's own, which survive a reboot, and the daemon's, which follow the cluster.
//!
//! The plugin writes its own from what the daemon answered. A copy's modification time is when it was last known to
//! be what the cluster says; of two copies the younger one holds.

use crate::api::layout::{DAEMON, MAX_COPY, NETWORKS, copy_name};
use crate::api::{NetworkCopy, RunDirectory, StateDirectory};
use crate::nad::{Definition, NadRef};
use crate::sys::files::Durability;
use crate::sys::trusted::{Folder, TheirFolder};
use std::ffi::OsStr;
use std::io;
use std::time::{Duration, SystemTime};

/// The copy of `nad` and its age: how long ago it was last known that it still holds.
pub(super) fn read(
    state: &StateDirectory,
    run: &RunDirectory,
    nad: &NadRef,
    oldest: Option<Duration>,
) -> Option<(Definition, Duration)> {
    let own = of_plugin(state, nad).map(|(definition, time)| (NetworkCopy::Known(definition), time));
    let (copy, time) = match (own, of_daemon(run, nad)) {
        (Some(own), Some(fresh)) => {
            if own.1 > fresh.1 {
                own
            } else {
                fresh
            }
        }
        (own, fresh) => own.or(fresh)?,
    };
    let NetworkCopy::Known(definition) = copy else { return None };
    let age = time.elapsed().unwrap_or_default();
    oldest.is_none_or(|oldest| age <= oldest).then_some((definition, age))
}

fn of_plugin(state: &StateDirectory, nad: &NadRef) -> Option<(Definition, SystemTime)> {
    let folder = Folder::open(&state.networks()).ok()?;
    let (text, time) = folder.read_dated(OsStr::new(&copy_name(nad)), MAX_COPY).ok()??;
    let definition: Definition = serde_json::from_str(&text).ok()?;
    (definition.nad == *nad).then_some((definition, time))
}

/// What the daemon left is no more than content, as its answers are.
fn of_daemon(run: &RunDirectory, nad: &NadRef) -> Option<(NetworkCopy, SystemTime)> {
    let folder = TheirFolder::open(run.path(), &[DAEMON, NETWORKS]).ok()?;
    let (text, time) = folder.read(OsStr::new(&copy_name(nad)), MAX_COPY).ok()??;
    let copy: NetworkCopy = serde_json::from_str(&text).ok()?;
    (copy.nad() == nad).then_some((copy, time))
}

/// Keeps copies of `definitions`, which the daemon has just confirmed; the copies of `missing` go.
///
/// # Errors
/// The first that could not be written or removed; all are attempted.
pub(super) fn keep<'a>(
    state: &StateDirectory,
    definitions: impl Iterator<Item = &'a Definition>,
    missing: impl Iterator<Item = &'a NadRef>,
) -> io::Result<()> {
    let mut definitions = definitions.peekable();
    let folder = match definitions.peek() {
        Some(_) => Folder::make(&state.networks(), 0o700),
        None => Folder::open(&state.networks()),
    };
    let folder = match folder {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        folder => folder?,
    };
    let kept = definitions.map(|definition| keep_one(&folder, definition));
    let removed = missing.map(|nad| folder.remove(OsStr::new(&copy_name(nad))));
    kept.chain(removed).fold(Ok(()), Result::and)
}

fn keep_one(folder: &Folder, definition: &Definition) -> io::Result<()> {
    let (name, text) = (copy_name(&definition.nad), serde_json::to_string(definition)?);
    let name = OsStr::new(&name);
    match folder.read(name, MAX_COPY) {
        Ok(Some(kept)) if kept == text.as_bytes() => folder.touch(name),
        _ => folder.replace(name, text.as_bytes(), 0o600, None, Durability::Cached),
    }
}

/// Every copy that the plugin has.
///
/// # Errors
/// The folder is there and cannot be read.
pub fn all(state: &StateDirectory) -> io::Result<Vec<Definition>> {
    let folder = match Folder::open(&state.networks()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        folder => folder?,
    };
    let names = folder.names()?;
    let read = |name: &OsStr| serde_json::from_slice(&folder.read(name, MAX_COPY).ok()??).ok();
    Ok(names.iter().filter_map(|name| read(name)).collect())
}

/// Of which NADs the plugin has a copy.
pub(super) fn names(state: &StateDirectory) -> Vec<NadRef> {
    let Ok(folder) = Folder::open(&state.networks()) else { return Vec::new() };
    let nad = |name: &OsStr| {
        let (namespace, rest) = name.to_str()?.strip_suffix(".json")?.split_once('_')?;
        if !rest.contains('_') {
            return NadRef::new(namespace, rest).ok();
        }
        // The whole name is too long for a file name.
        let definition: Definition = serde_json::from_slice(&folder.read(name, MAX_COPY).ok()??).ok()?;
        Some(definition.nad)
    };
    folder.names().unwrap_or_default().iter().filter_map(|name| nad(name)).collect()
}
