//! Reading the keys of a configuration.

use crate::cni::{RawObject, folds_to};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Ten years. What is much longer has no end on the machine's clock.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Keys of Multus that need nothing here: what they set does not exist, or is always on.
pub(super) const NOT_NEEDED: [&str; 11] = [
    "kubeconfig",
    "logFile",
    "logToStderr",
    "logOptions",
    "retryDeleteOnError",
    "readinessindicatorfile",
    "daemonSocketDir",
    "auxiliaryCNIChainName",
    "cniConf",
    "ipam",
    "dns",
];
/// Keys whose former name misleads, most of them Multus': the former name and the name. Both are understood.
pub(super) const RENAMED: [(&str, &str); 5] = [
    ("confDir", "nadConfigDir"),
    ("binDir", "extraPluginDir"),
    ("cniDir", "multusStateDir"),
    ("defaultNetworks", "networksForAllPods"),
    ("multusNamespace", "defaultNadNamespace"),
];
/// Keys that an empty text leaves at their default, as it does in Multus.
const UNSET_IF_EMPTY: [&str; 10] = [
    "nadConfigDir",
    "confDir",
    "extraPluginDir",
    "binDir",
    "multusStateDir",
    "cniDir",
    "defaultNadNamespace",
    "multusNamespace",
    "cniCacheDir",
    "logLevel",
];
/// Keys of every network configuration.
const COMMON: [&str; 9] = [
    "name",
    "type",
    "cniVersion",
    "cniVersions",
    "capabilities",
    "args",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
];

/// Reads keys, remembers which, and collects what is wrong with them.
pub(super) struct Keys<'a> {
    pub(super) object: &'a RawObject,
    pub(super) used: Vec<&'static str>,
    pub(super) mistakes: Vec<(&'static str, String)>,
}

impl Keys<'_> {
    /// The value of `key`; none where it is not there or wrong.
    pub(super) fn get<T: for<'de> Deserialize<'de>>(&mut self, key: &'static str) -> Option<T> {
        self.used.push(key);
        let key = self.name_in_use(key);
        if !self.is_set(key) {
            return None;
        }
        self.object.read(key).unwrap_or_else(|e| {
            self.mistakes.push((key, e.to_string()));
            None
        })
    }

    /// `key`, or its former name where the configuration has that.
    fn name_in_use(&mut self, key: &'static str) -> &'static str {
        let former = RENAMED.iter().find(|(_, name)| *name == key).map(|(former, _)| *former);
        let Some(former) = former.filter(|former| self.is_set(former)) else { return key };
        if !self.is_set(key) {
            return former;
        }
        // The same value twice serves a former release, too.
        if self.object.get(key).map(RawValue::get) != self.object.get(former).map(RawValue::get) {
            let mistake = format!("keys {key:?} and {former:?}, its former name, have different values");
            self.mistakes.push((key, mistake));
        }
        key
    }

    fn is_set(&self, key: &str) -> bool {
        let is_empty = |raw: &RawValue| raw.get() == "null" || (raw.get() == r#""""# && UNSET_IF_EMPTY.contains(&key));
        self.object.get(key).is_some_and(|raw| !is_empty(raw))
    }

    /// The keys that are set by a former name, and the name that each has now.
    pub(super) fn renamed(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        RENAMED.into_iter().filter(|(former, _)| self.is_set(former))
    }

    /// As written; `null` is absent.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<Box<RawValue>> {
        self.used.push(key);
        self.object.get(key).filter(|raw| raw.get() != "null").map(ToOwned::to_owned)
    }

    /// Absolute paths, as they are without a part `..`.
    pub(super) fn absolute_paths(&mut self, key: &'static str) -> Vec<PathBuf> {
        let paths: Vec<PathBuf> = self.get(key).unwrap_or_default();
        for path in &paths {
            self.must_be_absolute(key, path);
        }
        paths
    }

    /// A path that means the same whatever directory the runtime works in.
    pub(super) fn absolute_path(&mut self, key: &'static str) -> Option<PathBuf> {
        let path: PathBuf = self.get(key)?;
        self.must_be_absolute(key, &path).then_some(path)
    }

    fn must_be_absolute(&mut self, key: &'static str, path: &Path) -> bool {
        let is_absolute = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        if !is_absolute {
            let mistake = format!("key {key:?}: {:?} is not an absolute path without \"..\"", path.display());
            self.mistakes.push((key, mistake));
        }
        is_absolute
    }

    /// Seconds, whole or not.
    pub(super) fn seconds(&mut self, key: &'static str) -> Option<Duration> {
        let seconds = self.get::<f64>(key)?;
        let duration = Duration::try_from_secs_f64(seconds).ok();
        let duration = duration.filter(|duration| !duration.is_zero() && *duration <= MAX_DURATION);
        if duration.is_none() {
            let most = MAX_DURATION.as_secs();
            let mistake = format!("key {key:?}: {seconds} is not a positive number of seconds up to {most}");
            self.mistakes.push((key, mistake));
        }
        duration
    }

    /// The keys that mean nothing to us.
    pub(super) fn unknown(&self) -> Vec<String> {
        let former = RENAMED.map(|(former, _)| former);
        let known = |key: &str| {
            let mut all = self.used.iter().chain(&former).chain(&NOT_NEEDED).chain(&COMMON);
            all.any(|known| known.eq_ignore_ascii_case(key))
        };
        self.object.iter().map(|(key, _)| key).filter(|key| !known(key)).map(str::to_owned).collect()
    }

    /// The keys that are there several times, in one spelling or in several.
    pub(super) fn doubled(&self) -> Vec<Doubled> {
        let former = RENAMED.map(|(former, _)| former);
        let known: BTreeSet<&str> =
            self.used.iter().chain(&former).chain(&NOT_NEEDED).chain(&COMMON).copied().collect();
        let doubled = |name: &str| {
            let spellings: Vec<&str> =
                self.object.iter().map(|(key, _)| key).filter(|key| folds_to(key, name)).collect();
            // As RawObject finds it.
            let counts = spellings.iter().find(|key| **key == name).or(spellings.last())?;
            let is_last = spellings.iter().filter(|key| *key == counts).count() > 1;
            (spellings.len() > 1).then(|| Doubled {
                name: name.to_owned(),
                counts: format!("{}{counts:?}", if is_last { "the last " } else { "" }),
                spellings: spellings.iter().map(|key| format!("{key:?}")).collect(),
            })
        };
        known.into_iter().filter_map(doubled).collect()
    }
}

/// A key that is there several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubled {
    name: String,
    spellings: Vec<String>,
    counts: String,
}

impl Doubled {
    /// The spelling whose value is used, in words.
    pub fn counts(&self) -> &str {
        &self.counts
    }
}

impl Display for Doubled {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Doubled { name, spellings, .. } = self;
        write!(f, "key {name:?} is set {} times, as {}", spellings.len(), spellings.join(" and "))
    }
}
