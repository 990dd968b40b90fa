//! What a network of a cluster installs, read without the code under test.

use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// One folder of `tests/data/primaries`.
#[derive(Debug)]
pub struct Fixture {
    /// The folder's name.
    pub name: String,
    /// The file's name.
    pub file: String,
    /// What it says.
    pub text: String,
}

/// All of them, by name.
pub fn all() -> Vec<Fixture> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/primaries"));
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut all: Vec<Fixture> = folders
        .map(|folder| {
            let files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(files.len(), 1, "{}", folder.display());
            let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            Fixture { name: name(&folder), file: name(&files[0]), text: fs::read_to_string(&files[0]).unwrap() }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The one whose test is called `test`.
pub fn of(test: &str) -> Fixture {
    all().into_iter().find(|fixture| fixture.name.replace('-', "_") == test).unwrap()
}

impl Fixture {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The network's name.
    pub fn network(&self) -> String {
        self.json()["name"].as_str().unwrap().to_owned()
    }

    /// Its version.
    pub fn version(&self) -> String {
        self.json()["cniVersion"].as_str().unwrap().to_owned()
    }

    /// Whether its version has a verb that came with `since`; versions of one digit a part compare as texts.
    pub fn has(&self, since: &str) -> bool {
        self.version().as_str() >= since
    }

    /// Whether CHECK reaches it.
    pub fn is_checked(&self) -> bool {
        self.has("0.4.0") && self.json()["disableCheck"] != true
    }

    /// Whether it is a list, to which libcni adds the plugins of a folder.
    pub fn is_list(&self) -> bool {
        self.file.ends_with(".conflist")
    }

    fn plugins(&self) -> Vec<Value> {
        let json = self.json();
        json["plugins"].as_array().cloned().unwrap_or_else(|| vec![json])
    }

    /// The types of its plugins, in order.
    pub fn kinds(&self) -> Vec<String> {
        self.plugins().iter().map(|plugin| plugin["type"].as_str().unwrap().to_owned()).collect()
    }

    /// The types of IPAM that they name.
    pub fn ipam(&self) -> BTreeSet<String> {
        self.plugins().iter().filter_map(|plugin| Some(plugin["ipam"]["type"].as_str()?.to_owned())).collect()
    }

    /// What they ask the runtime for, all together.
    pub fn capabilities(&self) -> BTreeSet<String> {
        let declared = self.plugins().into_iter().filter_map(|plugin| plugin["capabilities"].as_object().cloned());
        declared.flatten().filter(|(_, on)| on == true).map(|(name, _)| name).collect()
    }

    /// What the plugin `kind` asks for.
    pub fn capabilities_of(&self, kind: &str) -> BTreeSet<String> {
        let plugin = self.plugins().into_iter().find(|plugin| plugin["type"] == kind).unwrap();
        let declared = plugin["capabilities"].as_object().cloned().unwrap_or_default();
        declared.into_iter().filter(|(_, on)| on == true).map(|(name, _)| name).collect()
    }

    /// The keys of the plugin `kind` as they are written, without those that a runtime sets or takes out.
    pub fn written(&self, kind: &str) -> BTreeMap<String, String> {
        type Raw = BTreeMap<String, Box<RawValue>>;
        let object: Raw = serde_json::from_str(&self.text).unwrap();
        let plugins: Vec<Raw> = match object.get("plugins") {
            Some(list) => serde_json::from_str(list.get()).unwrap(),
            None => vec![object],
        };
        let own = plugins.into_iter().find(|plugin| plugin["type"].get() == format!("{kind:?}")).unwrap();
        let theirs = ["name", "cniVersion", "capabilities", "runtimeConfig"];
        own.into_iter()
            .filter(|(key, _)| !theirs.contains(&key.as_str()))
            .map(|(key, value)| (key, value.get().to_owned()))
            .collect()
    }
}
