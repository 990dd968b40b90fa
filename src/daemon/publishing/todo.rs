//! The files of the to-do list: network statuses that are not on their pods yet, one file each.
//!
//! The plugin writes a file, and removes it with its sandbox or when it was answered that the pod has the status. The
//! daemon only reads: what is dealt with is remembered, in memory and in a file of its own for its successor. Where
//! it may write there, as beside a plugin of the former release, it removes what is dealt with.

use crate::api::protocol::Published;
use crate::api::{Publication, RunDirectory};
use crate::cni::ContainerId;
use crate::cni::json;
use crate::sys::files::{self, Durability};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A longer file is damaged: an annotation has 256 KiB at most, and each of its bytes may be written as two.
const MAX_FILE: usize = 1 << 20;
/// What is remembered of 10,000 sandboxes is shorter.
const MAX_DONE: usize = 4 << 20;

/// Which file it is: a file that replaces it is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    seconds: i64,
    nanoseconds: i64,
    inode: u64,
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Stamp { seconds: file.mtime(), nanoseconds: file.mtime_nsec(), inode: file.ino() }
    }

    /// When it was written.
    pub fn written(&self) -> SystemTime {
        let (seconds, nanoseconds) = (self.seconds.try_into().unwrap_or(0), self.nanoseconds.try_into().unwrap_or(0));
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }
}

/// What is in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A status to publish.
    Publication(Publication),
    /// It will not get better.
    Unreadable(String),
}

/// How a file ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    stamp: Stamp,
    outcome: Published,
}

/// The to-do list.
#[derive(Debug)]
pub struct Todo {
    run: RunDirectory,
    done: Mutex<HashMap<ContainerId, Done>>,
}

impl Todo {
    /// The one in `run`, with what an earlier daemon dealt with.
    pub fn open(run: RunDirectory) -> Self {
        let text = files::read_bounded(&run.done(), MAX_DONE).unwrap_or_default().unwrap_or_default();
        let done = json::parse(&text).unwrap_or_default();
        let todo = Todo { run, done: Mutex::new(done) };
        todo.remove_damaged();
        todo
    }

    /// The sandboxes whose files are still to be dealt with.
    pub fn pending(&self) -> Vec<ContainerId> {
        let found = self.files();
        let mut done = self.done();
        let before = done.len();
        done.retain(|sandbox, done| found.get(sandbox) == Some(&done.stamp));
        if done.len() != before {
            self.keep(&done);
        }
        found.into_keys().filter(|sandbox| !done.contains_key(sandbox)).collect()
    }

    /// Whether the file of `sandbox` is still to be dealt with.
    pub fn is_pending(&self, sandbox: &ContainerId) -> bool {
        let stamp = stamp(&self.run.publication(sandbox));
        stamp.is_some_and(|stamp| self.done().get(sandbox).is_none_or(|done| done.stamp != stamp))
    }

    /// How the file of `sandbox` ended, if that is remembered.
    pub fn outcome(&self, sandbox: &ContainerId) -> Option<Published> {
        let stamp = stamp(&self.run.publication(sandbox))?;
        self.done().get(sandbox).filter(|done| done.stamp == stamp).map(|done| done.outcome.clone())
    }

    /// What is in the file of `sandbox`; none where there is none that is to be dealt with.
    pub fn read(&self, sandbox: &ContainerId) -> Option<(Item, Stamp)> {
        if !self.is_pending(sandbox) {
            return None;
        }
        let path = self.run.publication(sandbox);
        let stamp = stamp(&path)?;
        let item = match files::read_bounded(&path, MAX_FILE) {
            Ok(None) => return None,
            Ok(Some(text)) => match json::parse(&text) {
                Ok(publication) => Item::Publication(publication),
                Err(e) => Item::Unreadable(e.to_string()),
            },
            Err(e) => Item::Unreadable(e.to_string()),
        };
        Some((item, stamp))
    }

    /// The file of `sandbox` that has `stamp` is dealt with; one that has replaced it is not. [`Todo::tidy`] follows.
    pub fn finish(&self, sandbox: &ContainerId, file: Stamp, outcome: Published) {
        self.done().insert(sandbox.clone(), Done { stamp: file, outcome });
    }

    /// Removes the finished file of `sandbox` that has `stamp`, or notes for a later daemon that it is finished. Often
    /// the plugin, which knows it since it was answered, has removed it.
    pub fn tidy(&self, sandbox: &ContainerId, file: Stamp) {
        let path = self.run.publication(sandbox);
        let is_gone = stamp(&path) != Some(file) || files::remove(&path).is_ok();
        let mut done = self.done();
        if !is_gone {
            self.keep(&done);
        } else if done.get(sandbox).is_some_and(|done| done.stamp == file) {
            done.remove(sandbox);
        }
    }

    /// Writes down what is remembered, where there is a folder for it.
    fn keep(&self, done: &HashMap<ContainerId, Done>) {
        if !self.run.daemon().is_dir() {
            return;
        }
        let text = serde_json::to_vec(done).unwrap_or_default();
        if let Err(e) = files::replace(&self.run.done(), &text, 0o600, Durability::Cached) {
            tracing::warn!(file = %self.run.done().display(), error = %e, "cannot write the list of published statuses");
        }
    }

    fn files(&self) -> HashMap<ContainerId, Stamp> {
        let entries = files::entries(&self.run.unpublished()).into_iter().flatten();
        let paths = entries.map(|entry| entry.path());
        paths.filter_map(|path| Some((sandbox_of(&path)?, stamp(&path)?))).collect()
    }

    /// A former release moved files aside that it could not read, for ever.
    fn remove_damaged(&self) {
        let entries = files::entries(&self.run.unpublished()).into_iter().flatten();
        let paths = entries.map(|entry| entry.path());
        for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "damaged")) {
            // Where we may not, the plugin does it with the sandbox.
            let _ = files::remove(&path);
        }
    }

    fn done(&self) -> MutexGuard<'_, HashMap<ContainerId, Done>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    fs::symlink_metadata(path).ok().map(|file| Stamp::of(&file))
}

/// The sandbox that a file is about; none for temporary and damaged files.
fn sandbox_of(path: &Path) -> Option<ContainerId> {
    let stem = path.file_stem()?.to_str()?;
    (path.extension()? == "json").then(|| ContainerId::new(stem).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn leave(run: &RunDirectory, sandbox: &ContainerId, text: &str) {
        files::replace(&run.publication(sandbox), text.as_bytes(), 0o600, Durability::Cached).unwrap();
    }

    /// As where the folder is the plugin's: who is root may remove a file anyhow, so it is made a folder.
    fn leave_what_stays(run: &RunDirectory, sandbox: &ContainerId) {
        fs::create_dir_all(run.publication(sandbox)).unwrap();
    }

    /// What is finished is so at once, also before it is tidied up.
    fn finish(todo: &Todo, sandbox: &ContainerId, file: Stamp, outcome: Published) {
        let is_same = stamp(&todo.run.publication(sandbox)) == Some(file);
        todo.finish(sandbox, file, outcome.clone());
        assert_eq!(todo.is_pending(sandbox), !is_same);
        assert_eq!(todo.outcome(sandbox), is_same.then_some(outcome));
        todo.tidy(sandbox, file);
    }

    #[test]
    fn what_cannot_be_removed_is_dealt_with_once() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::new(folder.path());
        let (a, b) = (ContainerId::new("a").unwrap(), ContainerId::new("b").unwrap());
        let todo = Todo::open(run.clone());
        leave_what_stays(&run, &a);
        leave(&run, &b, "{}");
        let (item, first) = todo.read(&a).unwrap();
        assert!(matches!(item, Item::Unreadable(why) if why.contains("regular")));
        fs::create_dir(run.daemon()).unwrap();
        finish(&todo, &a, first, Published::Refused("x".into()));
        finish(&todo, &b, todo.read(&b).unwrap().1, Published::Written);
        assert!(todo.pending().is_empty() && todo.read(&a).is_none() && !run.publication(&b).exists());
        assert_eq!(todo.outcome(&a), Some(Published::Refused("x".into())));

        // A later daemon knows it; one that replaces it is another one.
        let todo = Todo::open(run.clone());
        assert!(todo.pending().is_empty() && !todo.is_pending(&a));
        fs::remove_dir(run.publication(&a)).unwrap();
        leave(&run, &a, "{}");
        assert_eq!(todo.pending(), std::slice::from_ref(&a));
        // What is over is not remembered.
        assert_eq!(todo.outcome(&a), None);
        assert_eq!(fs::read_to_string(run.done()).unwrap(), "{}");
        assert_eq!(fs::metadata(run.done()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_replaced_it_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::new(folder.path());
        let a = ContainerId::new("a").unwrap();
        fs::create_dir_all(run.unpublished()).unwrap();
        fs::write(run.unpublished().join("x.damaged"), "y").unwrap();
        let todo = Todo::open(run.clone());
        assert_eq!(fs::read_dir(run.unpublished()).unwrap().count(), 0);
        leave(&run, &a, "1");
        let (_, first) = todo.read(&a).unwrap();
        leave(&run, &a, "2");
        finish(&todo, &a, first, Published::Written);
        assert_eq!(todo.pending(), std::slice::from_ref(&a));
        let (_, second) = todo.read(&a).unwrap();
        assert!(second > first && second.written() <= SystemTime::now());
        leave(&run, &a, &"x".repeat(MAX_FILE + 1));
        assert!(matches!(todo.read(&a).unwrap().0, Item::Unreadable(why) if why.contains("longer")));
    }
}
