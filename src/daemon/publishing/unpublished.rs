//! Publishing what is on the to-do list. Each status is tried on its own, so that one pod's trouble delays no other;
//! of two statuses of one pod the newer one stays.

use crate::api::protocol::Published;
use crate::api::{Publication, RunDirectory};
use crate::cluster::{Attempt, Cluster, Notice, Outcome, Pauses, Progress};
use crate::cni::ContainerId;
use crate::daemon::metrics::Metrics;
use crate::daemon::publishing::todo::{Item, Stamp, Todo};
use crate::daemon::publishing::turns::{Order, PodTurns};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};

/// The plugin waits 2 s unless it is configured otherwise.
const ANSWER_LIMIT: Duration = Duration::from_millis(1500);
/// How often the folder is looked at when nobody asks.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long it is remembered how a publication ended.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Between two tries of a status that no policy denies.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Tries at one time; more wait their turn.
const AT_ONCE: usize = 16;
/// Tries of a status that a policy denies, after which it is given up.
const DENIALS: u32 = 5;

/// The to-do list and who works on it.
#[derive(Debug)]
pub struct Unpublished {
    todo: Todo,
    cluster: Arc<Cluster>,
    metrics: Metrics,
    works: Mutex<HashMap<ContainerId, Work>>,
    turns: Semaphore,
    pods: PodTurns,
    /// Between two tries of a status that a policy denies.
    denied_pause: Duration,
}

/// What is told to those who wait for a publication.
type LastOutcome = Option<Published>;

/// Work on one file. It stays for a while after its end: the sweep may have been faster than the
/// plugin's question.
#[derive(Debug)]
struct Work {
    told: watch::Receiver<LastOutcome>,
    nudge: Arc<Notify>,
    ended: Option<Instant>,
}

/// What is left to do of a file that is dealt with, when whoever waits for it has been answered.
struct Rest {
    stamp: Stamp,
    notice: Option<Notice>,
}

/// How long to wait before the next try of one file.
struct Patience {
    usual: Pauses,
    conflict: Pauses,
    denied: Duration,
    denials: u32,
}

impl Patience {
    fn new(denied: Duration) -> Self {
        let usual = Pauses::new(Duration::from_millis(200), LONGEST_PAUSE);
        let conflict = Pauses::new(Duration::from_millis(20), Duration::from_millis(500));
        Patience { usual, conflict, denied, denials: 0 }
    }

    /// The pause after `outcome`; none where there is nothing more to try.
    fn after(&mut self, outcome: &Outcome) -> Option<Duration> {
        match outcome {
            Outcome::Written | Outcome::Gone | Outcome::Refused(_) => None,
            Outcome::Conflict(_) => self.conflict.next(),
            Outcome::Later(_) => self.usual.next(),
            Outcome::Denied(_) => {
                self.denials += 1;
                (self.denials < DENIALS).then_some(self.denied)
            }
        }
    }
}

impl Unpublished {
    /// The to-do list in `run`.
    pub fn new(run: RunDirectory, cluster: Arc<Cluster>, metrics: Metrics, denied_pause: Duration) -> Self {
        Unpublished {
            todo: Todo::open(run),
            cluster,
            metrics,
            works: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            pods: PodTurns::new(denied_pause.max(LONGEST_PAUSE)),
            denied_pause,
        }
    }

    /// How many statuses wait.
    pub fn count(&self) -> usize {
        self.waiting().len()
    }

    /// The sandboxes whose statuses wait.
    pub fn waiting(&self) -> Vec<ContainerId> {
        self.todo.pending()
    }

    /// Looks for files that nobody asked about, for ever: those of an earlier daemon, and those whose
    /// plugin could not reach us.
    pub async fn sweep(self: Arc<Self>) {
        loop {
            for sandbox in self.todo.pending() {
                if self.works().get(&sandbox).is_none_or(|work| work.ended.is_some()) {
                    self.work_on(&sandbox);
                }
            }
            self.works().retain(|_, work| work.ended.is_none_or(|ended| ended.elapsed() < REMEMBERED));
            self.pods.forget();
            sleep(LOOK_EVERY).await;
        }
    }

    /// Publishes the status of `sandbox` and says how it ended, or that it goes on.
    ///
    /// # Errors
    /// There is no file of that name.
    pub async fn publish(self: &Arc<Self>, sandbox: &ContainerId) -> Result<Published, String> {
        if let Some(outcome) = self.todo.outcome(sandbox) {
            return Ok(outcome);
        }
        let mut told = self.work_on(sandbox);
        // In time or not, or without a word because there was no file: what was told last is the answer.
        let _ = timeout(ANSWER_LIMIT, told.wait_for(|told| told.as_ref().is_some_and(is_final))).await;
        let last = told.borrow().clone();
        match last {
            Some(published) => Ok(published),
            None if self.todo.is_pending(sandbox) => {
                Ok(Published::Retrying("no answer from the cluster yet".to_owned()))
            }
            None => Err(format!("there is no unpublished status of sandbox {sandbox}")),
        }
    }

    /// Starts work on the file of `sandbox`; somebody who is at it already is told not to pause.
    fn work_on(self: &Arc<Self>, sandbox: &ContainerId) -> watch::Receiver<LastOutcome> {
        let mut works = self.works();
        match works.get(sandbox) {
            Some(work) if work.ended.is_none() => {
                work.nudge.notify_one();
                return work.told.clone();
            }
            Some(work) if !self.todo.is_pending(sandbox) => return work.told.clone(),
            _ => {}
        }
        let (tell, told) = watch::channel(None);
        let nudge = Arc::new(Notify::new());
        works.insert(sandbox.clone(), Work { told: told.clone(), nudge: Arc::clone(&nudge), ended: None });
        let (list, sandbox) = (Arc::clone(self), sandbox.clone());
        tokio::spawn(async move {
            loop {
                let rest = list.work(&sandbox, &tell, &nudge).await;
                // A new ADD may have left another file since, and asked for it.
                let ended = {
                    let mut works = list.works();
                    let ended = !list.todo.is_pending(&sandbox);
                    if ended {
                        works.entry(sandbox.clone()).and_modify(|work| work.ended = Some(Instant::now()));
                    }
                    ended
                };
                // Whoever waits has its answer first.
                tokio::task::yield_now().await;
                if let Some(Rest { stamp, notice }) = rest {
                    list.todo.tidy(&sandbox, stamp);
                    notice.into_iter().for_each(|notice| list.cluster.announce(notice));
                }
                if ended {
                    return;
                }
            }
        });
        told
    }

    /// Tries until the file of `sandbox` is dealt with, or gone.
    async fn work(&self, sandbox: &ContainerId, tell: &watch::Sender<LastOutcome>, nudge: &Notify) -> Option<Rest> {
        let begun = Instant::now();
        let (mut patience, mut before) = (Patience::new(self.denied_pause), None);
        while let Some((item, stamp)) = self.todo.read(sandbox) {
            let publication = match item {
                Item::Publication(publication) => publication,
                Item::Unreadable(reason) => return Some(self.give_up(sandbox, stamp, reason, tell)),
            };
            // The first turn, or a new ADD of the same sandbox has replaced the file.
            let is_first = before.replace(stamp) != Some(stamp);
            if is_first {
                patience = Patience::new(self.denied_pause);
            }
            let Attempt { outcome, notice } = self.attempt(sandbox, &publication, stamp).await;
            let pause = patience.after(&outcome);
            // A denial is told once.
            let notice = notice.filter(|_| !matches!(outcome, Outcome::Denied(_)) || patience.denials == 1);
            if let (Some(pause), Outcome::Denied(why) | Outcome::Conflict(why) | Outcome::Later(why)) =
                (pause, &outcome)
            {
                self.metrics.publication_retried();
                // Once a pod: in an outage there are many, and the watch has told of it.
                if is_first {
                    tracing::info!(pod = %publication.pod, %sandbox, reason = why, "the network-status is not written yet; retrying");
                }
                tell.send_replace(Some(Published::Retrying(why.clone())));
                tokio::task::yield_now().await;
                notice.into_iter().for_each(|notice| self.cluster.announce(notice));
                // Nudged or not, the next try comes now.
                let _ = timeout(pause, nudge.notified()).await;
                continue;
            }
            let published = self.conclude(&publication, outcome, begun);
            self.todo.finish(sandbox, stamp, published.clone());
            tell.send_replace(Some(published));
            return Some(Rest { stamp, notice });
        }
        None
    }

    async fn attempt(&self, sandbox: &ContainerId, publication: &Publication, stamp: Stamp) -> Attempt {
        let turn = self.pods.take(&publication.pod, sandbox, stamp).await;
        if turn.order() == Order::Superseded {
            tracing::debug!(pod = %publication.pod, %sandbox, "skipped a network-status: a newer sandbox of the pod has written its own");
            return Outcome::Gone.into();
        }
        // The semaphore is never closed.
        let _place = self.turns.acquire().await;
        self.cluster.publish(publication, &Progress::since(stamp.written())).await
    }

    /// A file that cannot be read will not get better.
    fn give_up(&self, sandbox: &ContainerId, stamp: Stamp, reason: String, tell: &watch::Sender<LastOutcome>) -> Rest {
        tracing::error!(%sandbox, reason, "cannot read a waiting network-status");
        let refused = Published::Refused(format!("the file of the waiting network-status cannot be read: {reason}"));
        self.metrics.published("unreadable", Duration::ZERO);
        self.todo.finish(sandbox, stamp, refused.clone());
        tell.send_replace(Some(refused));
        Rest { stamp, notice: None }
    }

    /// Counts and logs how `publication` ended.
    fn conclude(&self, publication: &Publication, outcome: Outcome, begun: Instant) -> Published {
        let (pod, sandbox) = (&publication.pod, &publication.container_id);
        let (published, name) = match outcome {
            Outcome::Gone => (Published::Gone, "gone"),
            Outcome::Refused(reason) | Outcome::Denied(reason) => {
                tracing::warn!(%pod, %sandbox, reason, "the network-status was refused");
                (Published::Refused(reason), "refused")
            }
            Outcome::Written | Outcome::Conflict(_) | Outcome::Later(_) => (Published::Written, "written"),
        };
        tracing::debug!(%pod, %sandbox, outcome = name, "the update of a network-status has ended");
        self.metrics.published(name, begun.elapsed());
        published
    }

    fn works(&self) -> MutexGuard<'_, HashMap<ContainerId, Work>> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_final(published: &Published) -> bool {
    !matches!(published, Published::Retrying(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_those_of_the_trouble() {
        let mut patience = Patience::new(Duration::from_secs(60));
        let conflict = Outcome::Conflict(String::new());
        let ten: Duration = (0..10).filter_map(|_| patience.after(&conflict)).sum();
        assert!(ten < Duration::from_secs(5), "{ten:?}");
        let denied = Outcome::Denied(String::new());
        for _ in 1..DENIALS {
            assert_eq!(patience.after(&denied), Some(Duration::from_secs(60)));
        }
        assert_eq!(patience.after(&denied), None);
        assert!(patience.after(&Outcome::Later(String::new())).is_some());
        assert_eq!(patience.after(&Outcome::Written), None);
    }
}
