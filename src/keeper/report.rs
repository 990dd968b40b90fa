//! The file in which the keeper tells the daemon what it has found.

use crate::api::Keeping;
use crate::sys::files::{self, Durability};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The file is written so often although nothing changes, so that the daemon sees that the keeper lives.
pub const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// The daemon, which is of the folder's group, reads it.
const MODE: u32 = 0o640;

/// The file, and what is in it.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    written: Option<(Instant, Keeping)>,
}

impl Report {
    /// The file at `path`, which is not written yet.
    pub fn at(path: PathBuf) -> Self {
        Report { path, written: None }
    }

    /// Writes `found` if it has changed, or was not written for a while.
    ///
    /// # Errors
    /// It cannot be written; the next call tries again.
    pub fn tell(&mut self, found: &Keeping) -> io::Result<()> {
        let is_known = |(at, last): &(Instant, Keeping)| last == found && at.elapsed() < ALIVE_EVERY;
        if self.written.as_ref().is_some_and(is_known) {
            return Ok(());
        }
        files::replace(&self.path, &serde_json::to_vec(found)?, MODE, Durability::Cached)?;
        self.written = Some((Instant::now(), found.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_change_is_told_at_once_and_the_rest_now_and_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut report = Report::at(path.clone());
        let mut found = Keeping::default();
        report.tell(&found).unwrap();
        fs::remove_file(&path).unwrap();
        report.tell(&found).unwrap();
        assert!(!path.exists(), "the same was written again at once");
        found.displaced = "x".to_owned();
        report.tell(&found).unwrap();
        let read: Keeping = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(read, found);
    }
}
