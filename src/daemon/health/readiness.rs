//! Readiness: a set of named checks, each of which says what is awaited until it is met.

use crate::cluster::{Cache, Cluster};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is awaited or to be known, by name; an empty text says that nothing is.
type Texts = Arc<Mutex<BTreeMap<&'static str, String>>>;

/// What readiness consists of, by name; the text says what is awaited, empty when nothing is. Beside it what an
/// operator has to know although the daemon is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    checks: Texts,
    remarks: Texts,
}

/// Until it is met the daemon is not ready; nor where it is given up.
#[derive(Debug)]
#[must_use]
pub struct Check {
    readiness: Readiness,
    name: &'static str,
}

impl Readiness {
    /// Makes readiness wait for the check that is returned.
    pub fn await_check(&self, name: &'static str, awaited: &'static str) -> Check {
        self.checks().insert(name, awaited.to_owned());
        Check { readiness: self.clone(), name }
    }

    /// Says what `name` awaits, empty when nothing: for what may be lost again.
    pub fn set(&self, name: &'static str, awaited: String) {
        self.checks().insert(name, awaited);
    }

    /// Whether every check holds.
    pub fn is_ready(&self) -> bool {
        self.checks().values().all(|awaited| awaited.is_empty())
    }

    /// The checks and what each awaits.
    pub fn tell(&self) -> BTreeMap<String, String> {
        self.checks().iter().map(|(name, awaited)| ((*name).to_owned(), awaited.clone())).collect()
    }

    /// Tells what an operator has to know about `name`; nothing any more when `text` is empty.
    pub fn remark(&self, name: &'static str, text: &str) {
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_empty() {
            remarks.remove(name);
        } else {
            remarks.insert(name, text.to_owned());
        }
    }

    /// What an operator has to know, by name.
    pub fn remarks(&self) -> BTreeMap<String, String> {
        let remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        remarks.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect()
    }

    fn checks(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    /// What was awaited is there.
    pub fn pass(self) {
        self.readiness.set(self.name, String::new());
        let awaited: Vec<&str> =
            self.readiness.checks().iter().filter(|(_, awaited)| !awaited.is_empty()).map(|(name, _)| *name).collect();
        match awaited.is_empty() {
            true => tracing::info!(check = self.name, "readiness check passed: the daemon is ready"),
            false => tracing::info!(check = self.name, still = awaited.join(", "), "readiness check passed"),
        }
    }
}

impl Readiness {
    /// Lets `definitions` go once every definition is known, and makes readiness wait for the pods of
    /// this node once they are wanted.
    pub async fn follow(self, cluster: Arc<Cluster>, definitions: Check) {
        let cache = cluster.cache();
        let definitions = self.definitions(cache, definitions);
        let pods = async {
            cluster.pods_wanted().await;
            let pods = self.await_check("pods", "pods of this node are not known yet");
            until(cache, Cache::pods_synced).await;
            pods.pass();
        };
        tokio::join!(definitions, pods);
    }

    /// Lets `check` go once every definition is known. Until then it names what keeps the list from being read.
    async fn definitions(&self, cache: &Cache, check: Check) {
        let mut changes = cache.changes();
        while !cache.definitions_synced() {
            let trouble = cache.trouble();
            if !trouble.is_empty() {
                self.set(check.name, format!("network attachment definitions are not known yet: {trouble}"));
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
        check.pass();
    }
}

async fn until(cache: &Cache, holds: impl Fn(&Cache) -> bool) {
    let mut changes = cache.changes();
    while !holds(cache) {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_keeps_the_definitions_from_being_known_is_named() {
        // FAULT-26
        let (readiness, cache) = (Readiness::default(), Cache::default());
        let check = readiness.await_check("definitions", "they are not known yet");
        let told = || readiness.tell()["definitions"].clone();
        let named = async {
            assert_eq!(told(), "they are not known yet");
            cache.set_trouble("network-attachment-definitions is forbidden: User \"x\"");
            while !told().contains("is forbidden: User") {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = readiness.definitions(&cache, check) => panic!("the definitions are not known"),
            () = named => {}
        }
        assert!(!readiness.is_ready());
    }

    #[test]
    fn ready_is_when_every_check_is_met() {
        let readiness = Readiness::default();
        let (a, b) = (readiness.await_check("a", "x"), readiness.await_check("b", "y"));
        a.pass();
        assert!(!readiness.is_ready());
        assert_eq!(readiness.tell()["b"], "y");
        // Given up is not met.
        drop(readiness.await_check("c", "z"));
        assert!(!readiness.is_ready());
        readiness.set("c", String::new());
        b.pass();
        assert!(readiness.is_ready());
        assert_eq!(readiness.tell()["a"], "");
    }
}
