//! Copies of the definitions that this node has used, for the plugin to read when the daemon is away. A copy's
//! modification time is when it was last known to be what the cluster says.
//!
//! They lie in the daemon's own folder and go with a reboot; the plugin has copies of its own, which stay. It tells
//! of which NADs, so that we can tell it what became of them.

use super::cache::Cache;
use crate::api::layout::MAX_COPY;
use crate::api::{NetworkCopy, RunDirectory};
use crate::cni::json;
use crate::nad::{Definition, NadRef};
use crate::sys::files::{self, Durability};
use crate::sys::handover;
use nix::unistd::{AccessFlags, access};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often the copies are marked as confirmed.
const CONFIRM_EVERY: Duration = Duration::from_secs(60);
/// Changes come in flocks; one pass serves a flock.
const SETTLE: Duration = Duration::from_millis(50);
/// More NADs than these are not followed: a node uses dozens.
const MOST: usize = 10_000;

/// The copies in the daemon's folder.
#[derive(Debug)]
pub struct Copies {
    run: RunDirectory,
    kept: Mutex<HashMap<NadRef, Kept>>,
    wake: Notify,
}

/// A definition that this node has used.
#[derive(Debug, Default)]
struct Kept {
    /// None where there is none (any more), or none is known yet.
    latest: Option<Arc<Definition>>,
    written: bool,
    /// It was in the cluster: once it is not in the list of all definitions, it is deleted. One that was asked for by
    /// name may be newer than the list.
    listed: bool,
}

#[derive(Debug)]
enum Step {
    Write(NetworkCopy),
    Confirm(NadRef),
    /// Nothing is said of it.
    Remove(NadRef),
}

impl Step {
    fn nad(&self) -> &NadRef {
        match self {
            Step::Write(copy) => copy.nad(),
            Step::Confirm(nad) | Step::Remove(nad) => nad,
        }
    }
}

impl Copies {
    /// The copies of an earlier daemon are kept up to date as well.
    pub fn open(run: RunDirectory) -> Self {
        clear_place(&run.networks());
        let kept = match read_all(&run) {
            Ok(kept) => kept,
            Err(e) => {
                tracing::warn!(folder = %run.networks().display(), error = %e, "cannot read the cached NADs");
                HashMap::new()
            }
        };
        Copies { run, kept: Mutex::new(kept), wake: Notify::new() }
    }

    /// From now on there is a copy of `definition`.
    pub fn keep(&self, definition: &Arc<Definition>) {
        let mut kept = self.kept();
        let copy = kept.entry(definition.nad.clone()).or_default();
        if copy.latest.as_ref() == Some(definition) {
            return;
        }
        (copy.latest, copy.written) = (Some(Arc::clone(definition)), false);
        self.wake.notify_one();
    }

    /// From now on it is told of `nads`, of which the plugin has copies, what became of them.
    pub fn follow_too(&self, nads: &[NadRef]) {
        let mut kept = self.kept();
        for nad in nads {
            if kept.len() < MOST && !kept.contains_key(nad) {
                kept.insert(nad.clone(), Kept { listed: true, ..Kept::default() });
                self.wake.notify_one();
            }
        }
    }

    /// Keeps the copies as `cache` is, for ever.
    pub async fn follow(self: Arc<Self>, cache: Arc<Cache>) {
        let mut changes = cache.changes();
        let mut confirming = interval(CONFIRM_EVERY);
        confirming.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut confirmed: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = changes.changed() => sleep(SETTLE).await,
                () = self.wake.notified() => {}
                _ = confirming.tick() => {}
            }
            changes.mark_unchanged();
            let mut steps = self.steps(&cache);
            if !cache.confirmed() {
                // After an outage they are confirmed as soon as that is possible.
                confirmed = None;
            } else if confirmed.is_none_or(|confirmed| confirmed.elapsed() >= CONFIRM_EVERY) {
                confirmed = Some(Instant::now());
                let kept = self.kept();
                steps.extend(kept.iter().filter(|(_, copy)| copy.written).map(|(nad, _)| Step::Confirm(nad.clone())));
            }
            if !steps.is_empty() {
                let copies = Arc::clone(&self);
                // Off the loop: a disk can stall for seconds. The task cannot fail but by a panic, which ends the daemon.
                let _ = tokio::task::spawn_blocking(move || copies.perform(steps)).await;
            }
        }
    }

    /// What has to be done for the copies to be as `cache` is.
    fn steps(&self, cache: &Cache) -> Vec<Step> {
        let complete = cache.definitions_synced() && cache.confirmed();
        let mut steps = Vec::new();
        for (nad, copy) in self.kept().iter_mut() {
            match cache.definition(nad) {
                Some(now) => {
                    copy.listed = true;
                    copy.written &= copy.latest.as_ref() == Some(&now);
                    copy.latest = Some(now);
                }
                // It is not kept in memory: it is answered when it is asked for, and what was written of it may be old.
                None if cache.has_definition(nad) => {
                    if copy.latest.take().is_some() {
                        steps.push(Step::Remove(nad.clone()));
                    }
                    copy.written = false;
                    continue;
                }
                None if copy.listed && complete => copy.written &= copy.latest.take().is_none(),
                None => {}
            }
            let content = match &copy.latest {
                Some(definition) => NetworkCopy::Known((**definition).clone()),
                None if complete => NetworkCopy::Gone { gone: nad.clone() },
                None => continue,
            };
            if !std::mem::replace(&mut copy.written, true) {
                steps.push(Step::Write(content));
            }
        }
        steps
    }

    fn perform(&self, steps: Vec<Step>) {
        for step in steps {
            let path = self.run.network(step.nad());
            let done = match &step {
                Step::Write(copy) => write(&path, copy),
                Step::Confirm(_) => files::touch(&path),
                Step::Remove(_) => files::remove(&path),
            };
            if let Err(e) = done {
                tracing::warn!(nad = %step.nad(), error = %e, "cannot update a cached NAD");
                // Written again on the next pass, at the latest with the next confirmation.
                self.kept().entry(step.nad().clone()).and_modify(|copy| copy.written = false);
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<NadRef, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a daemon that was taken over left in the folder's place is removed or renamed: the folder is made again.
fn clear_place(folder: &Path) {
    let Ok(found) = folder.symlink_metadata() else { return };
    if found.is_dir() && access(folder, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK).is_ok() {
        return;
    }
    match handover::set_aside(folder) {
        Ok(aside) => {
            tracing::warn!(folder = %folder.display(), aside = aside.map(|path| path.display().to_string()), "not a directory of Plexus: created again")
        }
        Err(error) => tracing::warn!(folder = %folder.display(), %error, "not a directory of Plexus: not changed"),
    }
}

/// The group may remove what is in it: an uninstallation is root without capabilities, in the daemon's group.
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o770))
}

fn write(path: &Path, copy: &NetworkCopy) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.is_dir());
    folder.map_or(Ok(()), make_folder)?;
    files::replace(path, &serde_json::to_vec(copy)?, 0o600, Durability::Cached)
}

/// The copies on disk; what is none is removed.
fn read_all(run: &RunDirectory) -> io::Result<HashMap<NadRef, Kept>> {
    let mut kept = HashMap::new();
    let entries = match files::entries(&run.networks()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(kept),
        entries => entries?,
    };
    for path in entries.into_iter().map(|entry| entry.path()) {
        let text = files::read_bounded(&path, MAX_COPY).unwrap_or_default().unwrap_or_default();
        match json::parse::<NetworkCopy>(&text) {
            Ok(copy) if run.network(copy.nad()) == path => {
                let nad = copy.nad().clone();
                let latest = match copy {
                    NetworkCopy::Known(definition) => Some(Arc::new(definition)),
                    NetworkCopy::Gone { .. } => None,
                };
                kept.insert(nad, Kept { latest, written: true, listed: true });
            }
            _ => {
                tracing::warn!(file = %path.display(), "not a cached NAD: removed");
                // One that stays must not hide the others.
                if let Err(error) = files::remove(&path) {
                    tracing::warn!(file = %path.display(), %error, "not a cached NAD, and cannot be removed");
                }
            }
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn definition(name: &str, config: &str) -> Arc<Definition> {
        Arc::new(Definition::new(NadRef::new("default", name).unwrap(), Some(config.to_owned()), |_| None))
    }

    #[test]
    fn copies_follow_the_cache() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::new(folder.path());
        let (cache, copies) = (Cache::default(), Copies::open(run.clone()));
        let (a, unlisted) = (definition("a", "1"), definition("b", "1"));
        let says = |nad: &NadRef, word: &str| fs::read_to_string(run.network(nad)).unwrap().contains(word);
        cache.put_definition(Arc::clone(&a));
        cache.definitions_are(&HashSet::from([a.nad.clone()]));
        copies.keep(&a);
        copies.keep(&unlisted);
        copies.perform(copies.steps(&cache));
        assert!(run.network(&a.nad).exists() && run.network(&unlisted.nad).exists());
        assert!(copies.steps(&cache).is_empty());

        cache.put_definition(definition("a", "2"));
        copies.perform(copies.steps(&cache));
        assert!(says(&a.nad, "\"2\""));

        // A new daemon: nothing is gone before all definitions are known.
        fs::write(run.networks().join("x.json"), "{").unwrap();
        let (cache, copies) = (Cache::default(), Copies::open(run.clone()));
        assert!(copies.steps(&cache).is_empty());
        cache.definitions_are(&HashSet::new());
        copies.perform(copies.steps(&cache));
        assert!(says(&a.nad, "gone") && says(&unlisted.nad, "gone") && !run.networks().join("x.json").exists());
        assert!(copies.steps(&cache).is_empty() && Copies::open(run.clone()).steps(&cache).is_empty());
        cache.put_definition(definition("a", "3"));
        copies.perform(copies.steps(&cache));
        assert!(says(&a.nad, "\"3\""));
    }

    #[test]
    fn of_what_the_plugin_has_it_is_told_what_became() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::new(folder.path());
        let (cache, copies) = (Cache::default(), Copies::open(run.clone()));
        let (a, gone) = (definition("a", "edited"), definition("b", "1"));
        copies.follow_too(&[a.nad.clone(), gone.nad.clone()]);
        assert!(copies.steps(&cache).is_empty());
        cache.put_definition(Arc::clone(&a));
        cache.definitions_are(&HashSet::from([a.nad.clone()]));
        copies.perform(copies.steps(&cache));
        let read = |nad: &NadRef| fs::read_to_string(run.network(nad)).unwrap();
        assert!(read(&a.nad).contains("edited") && read(&gone.nad).contains("gone"));
    }
}
