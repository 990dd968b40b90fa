//! Last-known copies of the definitions that this node has used, for the plugin to read when the
//! daemon is away. A copy's modification time is when it was last known to be what the cluster says.

use super::cache::Cache;
use crate::api::StateDirectory;
use crate::nad::{Definition, NadRef};
use crate::sys::files::{self, Durability};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often the copies are marked as confirmed.
const CONFIRM_EVERY: Duration = Duration::from_secs(60);
/// Changes come in flocks; one pass serves a flock.
const SETTLE: Duration = Duration::from_millis(50);
/// A longer copy is not ours.
const MAX_COPY: usize = 4 << 20;

/// The copies in the state directory.
#[derive(Debug)]
pub struct Copies {
    state: StateDirectory,
    kept: Mutex<HashMap<NadRef, Kept>>,
    wake: Notify,
}

/// A definition that was asked for.
#[derive(Debug)]
struct Kept {
    latest: Arc<Definition>,
    written: bool,
    /// It has been in the list of all definitions: once it is no longer, it is deleted. One that was
    /// asked for by name may be newer than the list.
    listed: bool,
}

#[derive(Debug)]
enum Step {
    Write(Arc<Definition>),
    Remove(NadRef),
    Confirm(NadRef),
}

impl Step {
    fn nad(&self) -> &NadRef {
        match self {
            Step::Write(definition) => &definition.nad,
            Step::Remove(nad) | Step::Confirm(nad) => nad,
        }
    }
}

impl Copies {
    /// The copies of an earlier daemon are kept up to date as well.
    pub fn open(state: StateDirectory) -> Self {
        let kept = match read_all(&state) {
            Ok(kept) => kept,
            Err(e) => {
                tracing::warn!(folder = %state.networks().display(), error = %e, "last-known copies cannot be read");
                HashMap::new()
            }
        };
        Copies { state, kept: Mutex::new(kept), wake: Notify::new() }
    }

    /// From now on there is a copy of `definition`.
    pub fn keep(&self, definition: &Arc<Definition>) {
        let mut kept = self.kept();
        match kept.get_mut(&definition.nad) {
            Some(copy) if copy.latest == *definition => return,
            Some(copy) => (copy.latest, copy.written) = (Arc::clone(definition), false),
            None => {
                let copy = Kept { latest: Arc::clone(definition), written: false, listed: false };
                kept.insert(definition.nad.clone(), copy);
            }
        }
        self.wake.notify_one();
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
                steps.extend(self.kept().keys().cloned().map(Step::Confirm));
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
        self.kept().retain(|nad, copy| {
            match cache.definition(nad) {
                Some(now) => {
                    copy.listed = true;
                    copy.written &= copy.latest == now;
                    copy.latest = now;
                }
                None if copy.listed && complete => {
                    steps.push(Step::Remove(nad.clone()));
                    return false;
                }
                None => {}
            }
            if !copy.written {
                copy.written = true;
                steps.push(Step::Write(Arc::clone(&copy.latest)));
            }
            true
        });
        steps
    }

    fn perform(&self, steps: Vec<Step>) {
        for step in steps {
            let done = match &step {
                Step::Write(definition) => self.write(definition),
                Step::Remove(nad) => files::remove(&self.state.network(nad)),
                Step::Confirm(nad) => confirm(&self.state.network(nad)),
            };
            if let Err(e) = done {
                tracing::warn!(nad = %step.nad(), error = %e, "a last-known copy is not up to date");
                // Written again on the next pass, at the latest with the next confirmation.
                self.kept().entry(step.nad().clone()).and_modify(|copy| copy.written = false);
            }
        }
    }

    fn write(&self, definition: &Definition) -> io::Result<()> {
        files::replace(
            &self.state.network(&definition.nad),
            &serde_json::to_vec(definition)?,
            0o600,
            Durability::Cached,
        )
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<NadRef, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks the copy at `path` as confirmed now.
fn confirm(path: &Path) -> io::Result<()> {
    File::options().write(true).open(path)?.set_modified(SystemTime::now())
}

/// The copies on disk; what is none is removed.
fn read_all(state: &StateDirectory) -> io::Result<HashMap<NadRef, Kept>> {
    let mut kept = HashMap::new();
    let entries = match fs::read_dir(state.networks()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(kept),
        entries => entries?,
    };
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let text = files::read_bounded(&path, MAX_COPY).unwrap_or_default().unwrap_or_default();
        match serde_json::from_str::<Definition>(&text) {
            Ok(definition) if state.network(&definition.nad) == path => {
                let copy = Kept { latest: Arc::new(definition), written: true, listed: true };
                kept.insert(copy.latest.nad.clone(), copy);
            }
            _ => {
                tracing::warn!(file = %path.display(), "this is no last-known copy: removed");
                files::remove(&path)?;
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
        let state = StateDirectory::new(folder.path());
        let (cache, copies) = (Cache::default(), Copies::open(state.clone()));
        let (a, unlisted) = (definition("a", "1"), definition("b", "1"));
        cache.put_definition(Arc::clone(&a));
        cache.definitions_are(&HashSet::from([a.nad.clone()]));
        copies.keep(&a);
        copies.keep(&unlisted);
        copies.perform(copies.steps(&cache));
        assert!(state.network(&a.nad).exists() && state.network(&unlisted.nad).exists());
        assert!(copies.steps(&cache).is_empty());

        cache.put_definition(definition("a", "2"));
        copies.perform(copies.steps(&cache));
        assert!(fs::read_to_string(state.network(&a.nad)).unwrap().contains("\"2\""));

        // A new daemon: nothing is removed before all definitions are known.
        fs::write(state.networks().join("x.json"), "{").unwrap();
        let (cache, copies) = (Cache::default(), Copies::open(state.clone()));
        assert!(copies.steps(&cache).is_empty());
        cache.definitions_are(&HashSet::new());
        copies.perform(copies.steps(&cache));
        assert_eq!(fs::read_dir(state.networks()).unwrap().count(), 0);
    }
}
