//! The files of grants, which this daemon writes, and of reports, which it reads.

use crate::api::RunDirectory;
use crate::ipam::grant::MAX_FILE;
use crate::ipam::{Grant, PoolName, Report};
use crate::sys::boot;
use crate::sys::files::{self, Durability};
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The lock of the one daemon that writes grants: two overlap while a new release is rolled out.
const LOCK: &str = "lock";
/// Keeper and installer are in the group of the daemon, and have no capabilities: one reads grants, the other removes them.
const MODE: u32 = 0o2770;
/// A boot ID is a UUID; it becomes a word of a file.
const LONGEST_BOOT: usize = 64;

/// The grants of one run directory, and the reports beside them.
#[derive(Debug)]
pub struct Grants {
    run: RunDirectory,
    lock: Mutex<Option<File>>,
    /// The boot ID as the plugin sees it, where that is not as here. In files it stands for ours: a container that is a node
    /// (LXC, systemd-nspawn) has one of its own, which containers in it do not see.
    boot: Mutex<Option<String>>,
}

impl Grants {
    /// Those in `run`.
    pub fn new(run: RunDirectory) -> Self {
        Grants { run, lock: Mutex::new(None), boot: Mutex::new(None) }
    }

    /// The plugin asks in this moment, and sees `boot`: it is the one of now.
    pub fn seen_by_plugin(&self, boot: &str) {
        let is_word = (1..=LONGEST_BOOT).contains(&boot.len()) && boot.bytes().all(|byte| byte.is_ascii_graphic());
        let differs = is_word && boot::shown().is_some_and(|own| own != boot);
        *self.boot() = differs.then(|| boot.to_owned());
    }

    fn boot(&self) -> MutexGuard<'_, Option<String>> {
        self.boot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this daemon is the one that writes grants.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn own(&self) -> io::Result<bool> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            files::make_folder(&self.run.grants())?;
            std::fs::set_permissions(self.run.grants(), Permissions::from_mode(MODE))?;
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
        let grant = Grant::parse(&text).ok().filter(|grant| grant.pool == *pool)?;
        let grant = grant.seen_with(&boot::shown().unwrap_or_default());
        Some(Grant { boot_in_containers: String::new(), ..grant })
    }

    /// Replaces what is granted.
    ///
    /// # Errors
    /// It is as it was.
    pub fn publish(&self, grant: &Grant) -> io::Result<()> {
        let mut grant = grant.clone();
        if let (Some(seen), true) = (&*self.boot(), boot::shown().as_ref() == Some(&grant.confirmed.boot)) {
            grant.boot_in_containers = std::mem::replace(&mut grant.confirmed.boot, seen.clone());
        }
        files::replace(&self.run.grant(&grant.pool), grant.to_text().as_bytes(), 0o640, Durability::Cached)
    }

    /// What the plugin tells; nothing where that cannot be read.
    pub fn report(&self, pool: &PoolName) -> Report {
        let text = files::read_bounded(&self.run.report(pool), MAX_FILE).ok().flatten();
        text.and_then(|text| Report::parse(&text).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::node_blocks::now;
    use crate::ipam::PoolSpec;

    #[test]
    fn a_grant_is_stamped_with_the_boot_that_the_plugin_sees() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::new(folder.path().to_owned());
        let (grants, pool) = (Grants::new(run.clone()), PoolName::new("lan").unwrap());
        assert!(grants.own().unwrap());
        // Its group, which keeper and installer have, may read and remove.
        assert_eq!(std::fs::metadata(run.grants()).unwrap().permissions().mode() & 0o7777, MODE);
        let grant = Grant::new(pool.clone(), &PoolSpec::default(), now(), Vec::new());
        let written = |boot: &str| {
            grants.seen_by_plugin(boot);
            grants.publish(&grant).unwrap();
            // Here it is as it was.
            assert_eq!(grants.grant(&pool).as_ref(), Some(&grant));
            Grant::parse(&std::fs::read_to_string(run.grant(&pool)).unwrap()).unwrap().confirmed.boot
        };
        let own = now().boot;
        for (seen, expected) in [("", own.as_str()), ("of-the-node", "of-the-node"), (&own, &own), ("two words", &own)]
        {
            assert_eq!(written(seen), expected, "{seen:?}");
        }
        // What was confirmed in another boot stays so.
        let mut old = grant.clone();
        old.confirmed.boot = "former".to_owned();
        grants.seen_by_plugin("of-the-node");
        grants.publish(&old).unwrap();
        assert_eq!(grants.grant(&pool).unwrap().confirmed.boot, "former");
    }
}
