//! The to-do list: network statuses that are not on their pods yet, one file each.
//!
//! The plugin writes a file and may ask for it; the daemon removes it when the pod has the status, is
//! gone, or refuses it. Each file is tried on its own, so that one pod's trouble delays no other.

use super::metrics::Metrics;
use crate::api::protocol::Published;
use crate::api::{Publication, RunDirectory};
use crate::cluster::{Cluster, Outcome, Pauses, Progress};
use crate::cni::ContainerId;
use crate::sys::files;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};

/// The plugin waits 2 s unless it is configured otherwise.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How often the folder is looked at when nobody asks.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long it is remembered how a publication ended.
const REMEMBERED: Duration = Duration::from_secs(30);
/// A longer file is damaged.
const MAX_FILE: usize = 4 << 20;
/// Tries at one time; more wait their turn.
const AT_ONCE: usize = 16;

/// The folder and who works on it.
#[derive(Debug)]
pub struct Unpublished {
    run: RunDirectory,
    cluster: Arc<Cluster>,
    metrics: Metrics,
    works: Mutex<HashMap<ContainerId, Work>>,
    turns: Semaphore,
}

/// What is told to those who wait for a publication.
type Told = Option<Published>;

/// Work on one file. It stays for a while after its end: the sweep may have been faster than the
/// plugin's question.
#[derive(Debug)]
struct Work {
    told: watch::Receiver<Told>,
    nudge: Arc<Notify>,
    ended: Option<Instant>,
}

impl Unpublished {
    /// The to-do list in `run`.
    pub fn new(run: RunDirectory, cluster: Arc<Cluster>, metrics: Metrics) -> Self {
        Unpublished { run, cluster, metrics, works: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }

    /// How many statuses wait.
    pub fn count(&self) -> usize {
        self.pending().len()
    }

    /// Looks for files that nobody asked about, for ever: those of an earlier daemon, and those whose
    /// plugin could not reach us.
    pub async fn sweep(self: Arc<Self>) {
        loop {
            for sandbox in self.pending() {
                if self.works().get(&sandbox).is_none_or(|work| work.ended.is_some()) {
                    self.work_on(&sandbox);
                }
            }
            self.works().retain(|_, work| work.ended.is_none_or(|ended| ended.elapsed() < REMEMBERED));
            sleep(LOOK_EVERY).await;
        }
    }

    /// Publishes the status of `sandbox` and says how it ended, or that it goes on.
    ///
    /// # Errors
    /// There is no file of that name.
    pub async fn publish(self: &Arc<Self>, sandbox: &ContainerId) -> Result<Published, String> {
        let mut told = self.work_on(sandbox);
        // In time or not, or without a word because there was no file: what was told last is the answer.
        let _ = timeout(PATIENCE, told.wait_for(|told| told.as_ref().is_some_and(is_final))).await;
        let last = told.borrow().clone();
        match last {
            Some(published) => Ok(published),
            None if self.run.publication(sandbox).exists() => {
                Ok(Published::Retrying("no answer from the cluster yet".to_owned()))
            }
            None => Err(format!("there is no unpublished status of sandbox {sandbox}")),
        }
    }

    /// Starts work on the file of `sandbox`; somebody who is at it already is told not to pause.
    fn work_on(self: &Arc<Self>, sandbox: &ContainerId) -> watch::Receiver<Told> {
        let mut works = self.works();
        match works.get(sandbox) {
            Some(work) if work.ended.is_none() => {
                work.nudge.notify_one();
                return work.told.clone();
            }
            Some(work) if !self.run.publication(sandbox).exists() => return work.told.clone(),
            _ => {}
        }
        let (tell, told) = watch::channel(None);
        let nudge = Arc::new(Notify::new());
        works.insert(sandbox.clone(), Work { told: told.clone(), nudge: Arc::clone(&nudge), ended: None });
        let (list, sandbox) = (Arc::clone(self), sandbox.clone());
        tokio::spawn(async move {
            list.work(&sandbox, &tell, &nudge).await;
            list.works().entry(sandbox).and_modify(|work| work.ended = Some(Instant::now()));
        });
        told
    }

    /// Tries until the file of `sandbox` is gone.
    async fn work(&self, sandbox: &ContainerId, tell: &watch::Sender<Told>, nudge: &Notify) {
        let path = self.run.publication(sandbox);
        let (begun, mut pauses, mut progress) = (Instant::now(), pauses(), progress_of(&path));
        let mut before = None;
        while let Some(publication) = read(&path) {
            let is_first = before.as_ref() != Some(&publication);
            if is_first {
                // The first turn, or a new ADD of the same sandbox has replaced the file.
                (pauses, progress) = (self::pauses(), progress_of(&path));
            }
            let outcome = self.attempt(&publication, &mut progress).await;
            if let Outcome::Later(reason) = outcome {
                self.metrics.publication_retried();
                // Once a pod: in an outage there are many, and the watch has told of it.
                if is_first {
                    tracing::info!(pod = %publication.pod, %sandbox, reason, "a network status is not published yet");
                }
                tell.send_replace(Some(Published::Retrying(reason)));
                // Nudged or not, the next try comes now.
                let _ = timeout(pauses.next().unwrap_or_default(), nudge.notified()).await;
            } else if remove_if_same(&path, &publication) {
                let published = self.conclude(&publication, outcome, begun);
                tell.send_replace(Some(published));
                return;
            }
            before = Some(publication);
        }
    }

    async fn attempt(&self, publication: &Publication, progress: &mut Progress) -> Outcome {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        self.cluster.publish(publication, progress).await
    }

    /// Counts and logs how `publication` ended.
    fn conclude(&self, publication: &Publication, outcome: Outcome, begun: Instant) -> Published {
        let (pod, sandbox) = (&publication.pod, &publication.container_id);
        let (published, name) = match outcome {
            Outcome::Gone => (Published::Gone, "gone"),
            Outcome::Refused(reason) => {
                tracing::warn!(%pod, %sandbox, reason, "a network status was refused");
                (Published::Refused(reason), "refused")
            }
            _ => (Published::Written, "written"),
        };
        tracing::debug!(%pod, %sandbox, outcome = name, "a network status is dealt with");
        self.metrics.published(name, begun.elapsed());
        published
    }

    /// The sandboxes that have a file.
    fn pending(&self) -> Vec<ContainerId> {
        let Ok(entries) = std::fs::read_dir(self.run.unpublished()) else { return Vec::new() };
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        paths.filter_map(|path| sandbox_of(&path)).collect()
    }

    fn works(&self) -> MutexGuard<'_, HashMap<ContainerId, Work>> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pauses between two tries.
fn pauses() -> Pauses {
    Pauses::new(Duration::from_millis(200), Duration::from_secs(15))
}

fn is_final(published: &Published) -> bool {
    !matches!(published, Published::Retrying(_))
}

/// The sandbox that a file is about; none for temporary and damaged files.
fn sandbox_of(path: &Path) -> Option<ContainerId> {
    let stem = path.file_stem()?.to_str()?;
    (path.extension()? == "json").then(|| ContainerId::new(stem).ok()).flatten()
}

/// Nothing is learned yet of the file at `path`.
fn progress_of(path: &Path) -> Progress {
    let written = std::fs::metadata(path).and_then(|file| file.modified());
    Progress::since(written.unwrap_or_else(|_| SystemTime::now()))
}

/// The publication at `path`. One that cannot be read will not get better: it is put aside, and said so.
fn read(path: &PathBuf) -> Option<Publication> {
    let damaged = match files::read_bounded(path, MAX_FILE) {
        Ok(None) => return None,
        Ok(Some(text)) => match serde_json::from_str(&text) {
            Ok(publication) => return Some(publication),
            Err(e) => e.to_string(),
        },
        Err(e) => e.to_string(),
    };
    let aside = path.with_extension("damaged");
    let moved = std::fs::rename(path, &aside).map_or_else(|e| e.to_string(), |()| aside.display().to_string());
    tracing::error!(file = %path.display(), reason = damaged, aside = moved, "an unpublished status cannot be read");
    None
}

/// Removes the file at `path` if it still holds `publication`; whether it did.
fn remove_if_same(path: &PathBuf, publication: &Publication) -> bool {
    match read(path) {
        Some(now) if now != *publication => false,
        Some(_) => {
            if let Err(e) = files::remove(path) {
                tracing::error!(file = %path.display(), error = %e, "a published status cannot be removed");
            }
            true
        }
        None => true,
    }
}
