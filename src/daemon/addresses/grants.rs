//! The files of grants, which this daemon writes, and of reports, which it reads.

use crate::api::RunDirectory;
use crate::ipam::grant::MAX_FILE;
use crate::ipam::{Grant, PoolName, Report};
use crate::sys::files::{self, Durability};
use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

/// The lock of the one daemon that writes grants: two overlap while a new release is rolled out.
const LOCK: &str = "lock";

/// The grants of one run directory, and the reports beside them.
#[derive(Debug)]
pub struct Grants {
    run: RunDirectory,
    lock: Mutex<Option<File>>,
}

impl Grants {
    /// Those in `run`.
    pub fn new(run: RunDirectory) -> Self {
        Grants { run, lock: Mutex::new(None) }
    }

    /// Whether this daemon is the one that writes grants.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn own(&self) -> io::Result<bool> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            files::make_folder(&self.run.grants())?;
            *lock = files::lock(&self.run.grants().join(LOCK))?;
        }
        Ok(lock.is_some())
    }

    /// The pools of which something was granted since the machine started.
    pub fn pools(&self) -> Vec<PoolName> {
        let entries = files::entries(&self.run.grants()).unwrap_or_default();
        let name = |entry: &std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            PoolName::new(name.strip_suffix(".grant")?).ok()
        };
        entries.iter().filter_map(name).collect()
    }

    /// What is granted; none where that cannot be read.
    pub fn grant(&self, pool: &PoolName) -> Option<Grant> {
        let text = files::read_bounded(&self.run.grant(pool), MAX_FILE).ok()??;
        Grant::parse(&text).ok().filter(|grant| grant.pool == *pool)
    }

    /// Replaces what is granted.
    ///
    /// # Errors
    /// It is as it was.
    pub fn publish(&self, grant: &Grant) -> io::Result<()> {
        files::replace(&self.run.grant(&grant.pool), grant.to_text().as_bytes(), 0o640, Durability::Cached)
    }

    /// What the plugin tells; nothing where that cannot be read.
    pub fn report(&self, pool: &PoolName) -> Report {
        let text = files::read_bounded(&self.run.report(pool), MAX_FILE).ok().flatten();
        text.and_then(|text| Report::parse(&text).ok()).unwrap_or_default()
    }
}
