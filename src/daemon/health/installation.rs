//! Whether the runtime calls Plexus: by our own looks, or by those of the keeper, which may see the node's folders.

use crate::api::Keeping;
use crate::cluster::Cluster;
use crate::cni::json;
use crate::daemon::Daemon;
use crate::daemon::addresses::AddressMetrics;
use crate::daemon::health::readiness::Readiness;
use crate::daemon::metrics::Metrics;
use crate::daemon::settings::Settings;
use crate::keeper::{Guard, LOOK_EVERY, Pools};
use crate::sys::files;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// The name of the readiness check.
const CHECK: &str = "installation";
/// The file is a few hundred bytes.
const LONGEST: usize = 64 << 10;
/// The keeper writes every five seconds. After so long it does not run.
const SILENCE: Duration = Duration::from_secs(30);
/// Which files are counted, by the names that the keeper gives them.
const FILES: [&str; 2] = ["configuration", "plugin"];

/// Who looks.
#[derive(Debug)]
pub enum Source {
    /// We: the folders were named to us.
    Own(Box<(Guard, Pools)>),
    /// The keeper, which tells it here.
    Keeper(Report),
}

impl Source {
    /// None where neither the folders were named nor the keeper's folder is there.
    pub fn of(settings: &Settings) -> Option<Self> {
        let run = settings.run_directory();
        match &settings.cni_conf_dir {
            Some(folder) => {
                let guard = Guard::new(folder, settings.cni_bin_dir.as_deref(), settings.state_directory());
                Some(Source::Own(Box::new((guard, Pools::new(settings.state_directory(), run)))))
            }
            None => run.keeper().is_dir().then(|| Source::Keeper(Report::at(run.keeping()))),
        }
    }

    /// What there is to see now; nothing where the keeper has not told it yet.
    fn look(&mut self) -> (Option<Keeping>, Vec<String>) {
        match self {
            Source::Own(own) => {
                let (guard, pools) = own.as_mut();
                let found = Keeping { addresses: pools.counted().to_vec(), ..guard.look().clone() };
                (Some(found), guard.notes())
            }
            Source::Keeper(report) => (report.read(), Vec::new()),
        }
    }
}

/// The keeper's file.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    /// When the file was replaced last, by our clock: the node's may jump.
    seen: Option<(u64, Keeping)>,
    changed: Instant,
}

impl Report {
    fn at(path: PathBuf) -> Self {
        Report { path, seen: None, changed: Instant::now() }
    }

    /// What the keeper tells. A keeper that has fallen silent tells nothing, and that it has.
    fn read(&mut self) -> Option<Keeping> {
        use std::os::unix::fs::MetadataExt;
        let changed = std::fs::metadata(&self.path).map(|file| file.mtime_nsec().unsigned_abs() ^ file.ino()).ok();
        if let Some(changed) = changed
            && self.seen.as_ref().is_none_or(|(before, _)| *before != changed)
            && let Ok(Some(text)) = files::read_bounded(&self.path, LONGEST)
            && let Ok(keeping) = json::parse::<Keeping>(&text)
        {
            self.seen = Some((changed, keeping));
            self.changed = Instant::now();
        }
        if self.changed.elapsed() > SILENCE {
            let silent = "the keeper container does not look at the installation any more: see its log".to_owned();
            let last = self.seen.as_ref().map(|(_, keeping)| keeping.clone()).unwrap_or_default();
            return Some(Keeping { displaced: silent, addresses: Vec::new(), ..last });
        }
        self.seen.as_ref().map(|(_, keeping)| keeping.clone())
    }
}

/// What was told already.
#[derive(Debug)]
pub struct Installation {
    told: String,
    draining: bool,
    counted: BTreeMap<String, u64>,
    readiness: Readiness,
    metrics: Metrics,
    addresses: AddressMetrics,
    cluster: Arc<Cluster>,
}

impl Installation {
    /// Nothing is told yet.
    pub fn new(daemon: &Daemon) -> Self {
        Installation {
            told: String::new(),
            draining: false,
            counted: BTreeMap::new(),
            readiness: daemon.readiness.clone(),
            metrics: daemon.metrics.clone(),
            addresses: daemon.addresses.metrics().clone(),
            cluster: Arc::clone(&daemon.cluster),
        }
    }

    /// Looks, for ever.
    pub async fn follow(mut self, mut source: Source) {
        let awaited = if matches!(source, Source::Own(_)) { "" } else { "the keeper has not looked yet" };
        self.readiness.set(CHECK, awaited.to_owned());
        loop {
            let looked = spawn_blocking(move || {
                let looked = source.look();
                (source, looked)
            });
            // It neither panics nor is it aborted.
            let Ok((returned, (found, notes))) = looked.await else { return };
            source = returned;
            for note in notes {
                tracing::warn!("{note}");
            }
            if let Some(found) = found {
                self.count(&found);
                self.addresses.counted(found.addresses.clone());
                self.tell(found);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Counts what was put back since the last look. A keeper that was started again begins from zero.
    fn count(&mut self, found: &Keeping) {
        for file in FILES {
            let now = found.put_back.get(file).copied().unwrap_or_default();
            let before = self.counted.insert(file.to_owned(), now).unwrap_or_default();
            let more = if now < before { now } else { now - before };
            if more > 0 {
                self.metrics.displaced(file, more);
            }
        }
    }

    /// One line in the log and one event, when what there is to tell changes.
    fn tell(&mut self, found: Keeping) {
        if found.draining != self.draining {
            self.draining = found.draining;
            self.readiness.remark(CHECK, if found.draining { DRAINING } else { "" });
            if found.draining {
                tracing::warn!("{DRAINING}");
                self.cluster.announce_on_node("Draining", DRAINING);
            }
        }
        self.readiness.set(CHECK, found.displaced.clone());
        if found.displaced == self.told {
            return;
        }
        if found.displaced.is_empty() {
            tracing::info!("Plexus is active on this node again");
        } else {
            tracing::error!(reason = found.displaced, "Plexus is not active on this node");
            self.cluster.announce_on_node("Displaced", &found.displaced);
        }
        self.told = found.displaced;
    }
}

/// What an operator has to know while `plexusctl uninstall` is at work.
const DRAINING: &str = "Plexus is being uninstalled from this node: new pods get no additional networks";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::files::{Durability, replace};

    #[test]
    fn what_the_keeper_writes_is_read_and_its_silence_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut report = Report::at(path.clone());
        assert_eq!(report.read(), None);
        replace(
            &path,
            br#"{"displaced":"x","future":1,"addresses":[{"pool":"lan","family":4}]}"#,
            0o640,
            Durability::Cached,
        )
        .unwrap();
        assert_eq!(report.read().unwrap().addresses.len(), 1);
        // Half a file, which a keeper never writes, changes nothing.
        replace(&path, b"{", 0o640, Durability::Cached).unwrap();
        assert_eq!(report.read().unwrap().displaced, "x");
        report.changed = Instant::now().checked_sub(2 * SILENCE).unwrap();
        let silent = report.read().unwrap();
        assert!(silent.displaced.contains("keeper") && silent.addresses.is_empty(), "{silent:?}");
        replace(&path, b"{}", 0o640, Durability::Cached).unwrap();
        assert_eq!(report.read().unwrap().displaced, "");
    }
}
