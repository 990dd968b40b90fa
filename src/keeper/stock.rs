//! Gives back addresses that this node keeps beyond its need, when the daemon calls them back.
//!
//! Calls of the plugin do so, too. But a node on which no pod comes or goes has no call, while elsewhere a pod waits. The
//! daemon may not write the plugin's directory; this is the part of root that runs between calls. It does what a call does:
//! under the lock of the pool it tells the daemon which blocks will not be used again.

use crate::api::{RunDirectory, StateDirectory};
use crate::delegate::ipam::leased::{self, Lessor};
use crate::facts::node_blocks::NodeBlocks;
use crate::ipam::PoolName;
use crate::sys::files;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// Calls of the plugin hold the lock for less.
const LOCK_LIMIT: Duration = Duration::from_secs(2);

/// What the node keeps of pools.
#[derive(Debug)]
pub struct Stock {
    run: RunDirectory,
    blocks: NodeBlocks,
    known: BTreeMap<PoolName, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Which file the grant was, and of which time.
    file: (u64, i64, i64),
    /// What was served last, see [`crate::ipam::Grant::calls_back`].
    served: String,
}

impl Stock {
    /// That of the node with these directories.
    pub fn new(state: StateDirectory, run: RunDirectory) -> Self {
        Stock { blocks: NodeBlocks::new(state, run.clone()), run, known: BTreeMap::new() }
    }

    /// Looks once, and answers what could not be done.
    pub fn look(&mut self) -> Vec<String> {
        // Before the first lease there is no such folder.
        let entries = files::entries(&self.run.grants()).unwrap_or_default();
        let pool = |entry: &std::fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            Some((PoolName::new(name.strip_suffix(".grant")?).ok()?, entry.metadata().ok()?))
        };
        entries.iter().filter_map(pool).filter_map(|(pool, file)| self.serve(&pool, &file).err()).collect()
    }

    fn serve(&mut self, pool: &PoolName, file: &Metadata) -> Result<(), String> {
        let file = (file.ino(), file.mtime(), file.mtime_nsec());
        let known = self.known.entry(pool.clone()).or_default();
        if known.file == file {
            return Ok(());
        }
        let called = self.blocks.grant(pool)?.map(|grant| grant.calls_back()).unwrap_or_default();
        if called != known.served && !called.is_empty() {
            leased::give_back(&self.blocks, pool, Instant::now() + LOCK_LIMIT)
                .map_err(|e| format!("addresses of pool {pool} cannot be released: {e}"))?;
        }
        (known.file, known.served) = (file, called);
        Ok(())
    }
}
