//! Copies of NADs on the node: the plugin's own, which survive a reboot, and the daemon's, which follow the cluster.
//!
//! The plugin writes its own from what the daemon answered. A copy's modification time is when it was last known to
//! be what the cluster says; of two copies the younger one holds.

use crate::api::layout::{DAEMON, MAX_COPY, NETWORKS, copy_name};
use crate::api::{NetworkCopy, RunDirectory, StateDirectory};
use crate::cni::json;
use crate::nad::{Definition, NadRef};
use crate::sys::files::Durability;
use crate::sys::trusted::{Folder, NewFile, TheirFolder};
use std::ffi::OsStr;
use std::io;
use std::time::{Duration, SystemTime};

/// Why there is no copy to use. An error is not an absence.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("this node has no copy to use instead")]
    Absent,
    #[error("this node has no copy to use instead: the network was deleted")]
    Gone,
    #[error("the copy on this node was last confirmed {} s ago, which is too old", .0.as_secs())]
    TooOld(Duration),
    #[error("the copy on this node cannot be read: {0}")]
    Unread(io::Error),
}

/// The copy of `nad` and its age: how long ago it was last known that it still holds.
pub(super) fn read(
    state: &StateDirectory,
    run: &RunDirectory,
    nad: &NadRef,
    oldest: Option<Duration>,
) -> Result<(Definition, Duration), Unusable> {
    let own = of_plugin(state, nad).map(|own| own.map(|(definition, time)| (NetworkCopy::Known(definition), time)));
    let (copy, time) = match (own, of_daemon(run, nad)) {
        (Ok(Some(own)), Ok(Some(fresh))) => {
            if own.1 > fresh.1 {
                own
            } else {
                fresh
            }
        }
        (Ok(Some(copy)), _) | (_, Ok(Some(copy))) => copy,
        (Err(e), _) | (_, Err(e)) => return Err(Unusable::Unread(e)),
        (Ok(None), Ok(None)) => return Err(Unusable::Absent),
    };
    let NetworkCopy::Known(definition) = copy else { return Err(Unusable::Gone) };
    let age = time.elapsed().unwrap_or_default();
    if oldest.is_some_and(|oldest| age > oldest) { Err(Unusable::TooOld(age)) } else { Ok((definition, age)) }
}

fn of_plugin(state: &StateDirectory, nad: &NadRef) -> io::Result<Option<(Definition, SystemTime)>> {
    let read =
        Folder::open(&state.networks()).and_then(|folder| folder.read_dated(OsStr::new(&copy_name(nad)), MAX_COPY));
    let Some((text, time)) = absent_is_none(read)? else { return Ok(None) };
    let definition: Definition = json::parse(&text)?;
    Ok((definition.nad == *nad).then_some((definition, time)))
}

/// What the daemon left is no more than content, as its answers are.
fn of_daemon(run: &RunDirectory, nad: &NadRef) -> io::Result<Option<(NetworkCopy, SystemTime)>> {
    let folder = TheirFolder::open(run.path(), &[DAEMON, NETWORKS]);
    let read = folder.and_then(|folder| folder.read(OsStr::new(&copy_name(nad)), MAX_COPY));
    let Some((text, time)) = absent_is_none(read)? else { return Ok(None) };
    let copy: NetworkCopy = json::parse(&text)?;
    Ok((copy.nad() == nad).then_some((copy, time)))
}

fn absent_is_none<T>(read: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match read {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read,
    }
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
        _ => {
            let (content, durability) = (text.as_bytes(), Durability::Cached);
            folder.replace(name, NewFile { content, mode: 0o600, group: None, durability })
        }
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
    let read = |name: &OsStr| json::parse_bytes(&folder.read(name, MAX_COPY).ok()??).ok();
    Ok(names.iter().filter_map(|name| read(name)).collect())
}

/// The same with its age: how long ago it was last known that it holds.
///
/// # Errors
/// As of [`all`].
pub fn ages(state: &StateDirectory) -> io::Result<Vec<(NadRef, Duration)>> {
    let folder = match Folder::open(&state.networks()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        folder => folder?,
    };
    let names = folder.names()?;
    let read = |name: &OsStr| {
        let (text, time) = folder.read_dated(name, MAX_COPY).ok()??;
        let definition: Definition = json::parse(&text).ok()?;
        Some((definition.nad, time.elapsed().unwrap_or_default()))
    };
    Ok(names.iter().filter_map(|name| read(name)).collect())
}

/// Those of which the plugin has a copy, each by the younger of both copies: without those that the daemon saw deleted.
/// One that cannot be read is of no use to the plugin either.
///
/// # Errors
/// As of [`all`].
pub fn current(state: &StateDirectory, run: &RunDirectory) -> io::Result<Vec<Definition>> {
    let own = all(state)?;
    Ok(own.iter().filter_map(|own| Some(read(state, run, &own.nad, None).ok()?.0)).collect())
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
        let definition: Definition = json::parse_bytes(&folder.read(name, MAX_COPY).ok()??).ok()?;
        Some(definition.nad)
    };
    folder.names().unwrap_or_default().iter().filter_map(|name| nad(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_copy_that_cannot_be_used_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let (state, run) = (StateDirectory::new(folder.path().join("s")), RunDirectory::new(folder.path().join("r")));
        let nad = NadRef::new("default", "a").unwrap();
        let definition = Definition::new(nad.clone(), Some("1".to_owned()), |_| None);
        let read = |oldest| super::read(&state, &run, &nad, oldest);
        assert!(matches!(read(None), Err(Unusable::Absent)));
        keep(&state, [&definition].into_iter(), std::iter::empty()).unwrap();
        assert_eq!(read(None).unwrap().0, definition);
        std::thread::sleep(Duration::from_millis(20));
        assert!(matches!(read(Some(Duration::ZERO)), Err(Unusable::TooOld(_))));
        fs::write(state.networks().join(copy_name(&nad)), "{").unwrap();
        assert!(matches!(read(None), Err(Unusable::Unread(_))));
        fs::create_dir_all(run.networks()).unwrap();
        fs::write(run.network(&nad), serde_json::to_vec(&NetworkCopy::Known(definition.clone())).unwrap()).unwrap();
        assert_eq!(read(None).unwrap().0, definition);
        fs::write(run.network(&nad), serde_json::to_vec(&NetworkCopy::Gone { gone: nad.clone() }).unwrap()).unwrap();
        assert!(matches!(read(None), Err(Unusable::Gone)));
        keep(&state, [&definition].into_iter(), std::iter::empty()).unwrap();
        fs::File::options()
            .write(true)
            .open(state.network(&nad))
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!((all(&state).unwrap().len(), current(&state, &run).unwrap()), (1, Vec::new()));
    }
}
