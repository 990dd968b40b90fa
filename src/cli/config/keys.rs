//! The operator's keys of our configuration, checked before they are written: what the plugin passes
//! over with a log line is refused here.

use crate::cli::{Error, trust};
use crate::cni::{RawObject, folds_to, json};
use crate::delegate::registry::Natives;
use crate::engine::Settings;
use crate::sys::files;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Settings are a few lines; what is longer is none.
const MAX_SETTINGS: usize = 1 << 20;
/// Keys that follow from the primary, or are the runtime's to set.
const NOT_THE_OPERATORS: [&str; 13] = [
    "name",
    "type",
    "cniVersion",
    "cniVersions",
    "plugins",
    "clusterNetwork",
    "delegates",
    "args",
    "runtimeConfig",
    "prevResult",
    "loadOnlyInlinedPlugins",
    "cni.dev/valid-attachments",
    "cni.dev/attachments",
];

/// The keys that an operator sets.
#[derive(Debug, Default)]
pub struct Keys {
    /// `capabilities`, beside those that follow from the primary.
    pub capabilities: BTreeMap<String, bool>,
    /// All others.
    pub others: BTreeMap<String, Value>,
}

impl Keys {
    /// The directory that the operator sets as `key`.
    pub fn directory(&self, key: &str) -> Option<&Path> {
        let (_, value) = self.others.iter().find(|(name, _)| folds_to(name, key))?;
        value.as_str().map(Path::new)
    }
}

/// Reads the keys in the file `path`; the folders of the command line win over those in it.
///
/// # Errors
/// Every mistake at once.
pub fn read(path: Option<&Path>, state: Option<&Path>, run: Option<&Path>) -> Result<Keys, Error> {
    path.map_or(Ok(()), trust::check)?;
    let mut object = path.map(read_object).transpose()?.unwrap_or_default();
    for (key, folder) in [("stateDirectory", state), ("runDirectory", run)] {
        if let Some(folder) = folder {
            let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            object.set_value(key, &folder.to_string_lossy());
        }
    }
    let file = path.unwrap_or(Path::new("the command line")).to_owned();
    let (relative, mistakes) = judge(&object);
    if !relative.is_empty() {
        return Err(Error::Relative { path: file, mistakes: [relative, mistakes].concat() });
    }
    if !mistakes.is_empty() {
        return Err(Error::Settings { path: file, mistakes });
    }
    let capabilities = object.read("capabilities").ok().flatten().unwrap_or_default();
    object.remove("capabilities");
    let others = object.iter().filter_map(|(key, raw)| Some((key.to_owned(), json::parse(raw.get()).ok()?))).collect();
    Ok(Keys { capabilities, others })
}

/// Checks `text`, which is to be written to `path`, as [`read`] would.
///
/// # Errors
/// Every mistake at once.
pub fn review(path: &Path, text: &str) -> Result<(), Error> {
    let refuse = |mistakes: Vec<String>| Error::Settings { path: path.to_owned(), mistakes };
    let object = RawObject::parse(text).map_err(|e| refuse(vec![format!("not a JSON object: {e}")]))?;
    let (relative, mistakes) = judge(&object);
    let mistakes = [relative, mistakes].concat();
    if mistakes.is_empty() { Ok(()) } else { Err(refuse(mistakes)) }
}

/// Whether `key` follows from the primary, or is the runtime's to set.
pub fn is_not_the_operators(key: &str) -> bool {
    NOT_THE_OPERATORS.iter().any(|known| known.eq_ignore_ascii_case(key))
}

fn read_object(path: &Path) -> Result<RawObject, Error> {
    let refuse = |mistake: String| Error::Settings { path: path.to_owned(), mistakes: vec![mistake] };
    let text = files::read_named_bounded(path, MAX_SETTINGS).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => refuse("there is no such file".to_owned()),
        _ => refuse(e.to_string()),
    })?;
    RawObject::parse(&text).map_err(|e| refuse(format!("not a JSON object: {e}")))
}

/// What is wrong with `object`: paths that are not absolute, and everything else.
fn judge(object: &RawObject) -> (Vec<String>, Vec<String>) {
    let mut rest = object.clone();
    let mut relative = Vec::new();
    for (key, path) in relative_paths(object) {
        relative.push(format!("key {key:?} is {path:?} where an absolute path is expected"));
        // It is told once.
        rest.remove(key);
    }
    (relative, mistakes(object, rest))
}

/// Paths that are not absolute: the plugin would take them from wherever the runtime stands.
fn relative_paths(object: &RawObject) -> Vec<(&str, String)> {
    let is_path = |name: &str| Settings::PATHS.contains(&name);
    let former = Settings::renamed_keys().filter(|(_, name)| is_path(name)).map(|(former, _)| former);
    let paths: Vec<&str> = Settings::PATHS.into_iter().chain(former).collect();
    let relative =
        object.iter().filter(|(key, _)| paths.iter().any(|path| folds_to(key, path))).filter_map(|(key, raw)| {
            let path = json::parse::<String>(raw.get()).ok().filter(|path| !Path::new(path).is_absolute())?;
            Some((key, path))
        });
    relative.collect()
}

/// What is wrong with `object`, and with the values of `rest`, as the plugin would read it.
fn mistakes(object: &RawObject, mut rest: RawObject) -> Vec<String> {
    let taken = object.iter().map(|(key, _)| key).filter(|key| is_not_the_operators(key));
    let taken = taken.map(|key| format!("key {key:?} is not set here: plexusctl or the runtime sets it"));
    NOT_THE_OPERATORS.iter().for_each(|key| rest.remove(key));
    rest.set_value("name", "any");
    rest.set_value("cniVersion", "1.0.0");
    let (unknown, wrong) = match Settings::review(&rest.to_json()) {
        Ok((settings, wrong)) => {
            let named = settings.networks_for_all_pods().filter_map(Result::err).collect();
            let level = settings.unknown_level().into_iter().collect();
            let doubled = settings.doubled.iter().map(|doubled| format!("{doubled}: remove all but one")).collect();
            (settings.unknown, [wrong, named, level, doubled].concat())
        }
        Err(e) => (Vec::new(), vec![e.to_string()]),
    };
    // The plugin passes over a name that it does not know, because a newer release may know it.
    let natives = named_natives(object).into_iter().filter(|name| !Natives::NAMES.contains(&name.as_str()));
    let natives = natives.map(|name| format!("key \"natives\": {name:?} is not a built-in plugin"));
    let capabilities = object.read::<BTreeMap<String, bool>>("capabilities").err().map(|e| e.to_string());
    let unknown = unknown.iter().map(|key| Settings::unknown_key(key));
    taken.chain(unknown).chain(wrong).chain(natives).chain(capabilities).collect()
}

/// The built-in plugins that the key `natives` names.
fn named_natives(object: &RawObject) -> Vec<String> {
    match object.read("natives") {
        Ok(Some(Value::Array(names))) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Ok(Some(Value::Object(names))) => names.into_iter().map(|(name, _)| name).collect(),
        _ => Vec::new(),
    }
}
