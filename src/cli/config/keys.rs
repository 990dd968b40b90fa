//! The operator's keys of our configuration, checked before they are written: what the plugin passes
//! over with a log line is refused here.

use crate::cli::{Error, trust};
use crate::cni::json;
use crate::delegate::registry::Natives;
use crate::engine::Settings;
use crate::sys::files;
use serde_json::{Map, Value};
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
        let (_, value) = self.others.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))?;
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
            object.insert(key.to_owned(), folder.to_string_lossy().into());
        }
    }
    let file = path.unwrap_or(Path::new("the command line")).to_owned();
    let (mistakes, relative) = (mistakes(&object), relative(&object));
    if !relative.is_empty() {
        return Err(Error::Relative { path: file, mistakes: relative.into_iter().chain(mistakes).collect() });
    }
    if !mistakes.is_empty() {
        return Err(Error::Settings { path: file, mistakes });
    }
    let capabilities =
        object.remove("capabilities").and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    Ok(Keys { capabilities, others: object.into_iter().collect() })
}

/// Checks `text`, which is to be written to `path`, as [`read`] would.
///
/// # Errors
/// Every mistake at once.
pub fn review(path: &Path, text: &str) -> Result<(), Error> {
    let refuse = |mistakes: Vec<String>| Error::Settings { path: path.to_owned(), mistakes };
    let object = json::parse(text).map_err(|e| refuse(vec![format!("not a JSON object: {e}")]))?;
    let mistakes: Vec<String> = relative(&object).into_iter().chain(mistakes(&object)).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(refuse(mistakes)) }
}

/// Whether `key` follows from the primary, or is the runtime's to set.
pub fn is_not_the_operators(key: &str) -> bool {
    NOT_THE_OPERATORS.iter().any(|known| known.eq_ignore_ascii_case(key))
}

fn read_object(path: &Path) -> Result<Map<String, Value>, Error> {
    let refuse = |mistake: String| Error::Settings { path: path.to_owned(), mistakes: vec![mistake] };
    let text = files::read_named_bounded(path, MAX_SETTINGS).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => refuse("there is no such file".to_owned()),
        _ => refuse(e.to_string()),
    })?;
    json::parse(&text).map_err(|e| refuse(format!("not a JSON object: {e}")))
}

/// Paths that are not absolute: the plugin would take them from wherever the runtime stands.
fn relative(object: &Map<String, Value>) -> Vec<String> {
    let is_path = |name: &str| Settings::PATHS.contains(&name);
    let former = Settings::renamed_keys().filter(|(_, name)| is_path(name)).map(|(former, _)| former);
    let relative = Settings::PATHS.into_iter().chain(former).filter_map(|key| {
        let (key, path) = object.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        let path = path.as_str().filter(|path| !Path::new(path).is_absolute())?;
        Some(format!("key {key:?} is {path:?} where an absolute path is expected"))
    });
    relative.collect()
}

/// Everything else that is wrong with `object`, as the plugin would read it.
fn mistakes(object: &Map<String, Value>) -> Vec<String> {
    let ours = is_not_the_operators;
    let (taken, mut rest): (Vec<_>, Map<_, _>) = (
        object
            .keys()
            .filter(|key| ours(key))
            .map(|key| format!("key {key:?} is not set here: plexusctl or the runtime sets it"))
            .collect(),
        object.iter().filter(|(key, _)| !ours(key)).map(|(key, value)| (key.clone(), value.clone())).collect(),
    );
    rest.insert("name".to_owned(), "any".into());
    rest.insert("cniVersion".to_owned(), "1.0.0".into());
    let (unknown, wrong) = match Settings::review(&Value::Object(rest).to_string()) {
        Ok((settings, wrong)) => {
            let named = settings.networks_for_all_pods().filter_map(Result::err).collect();
            let level = settings.unknown_level().into_iter().collect();
            (settings.unknown, [wrong, named, level].concat())
        }
        Err(e) => (Vec::new(), vec![e.to_string()]),
    };
    // The plugin passes over a name that it does not know, because a newer release may know it.
    let natives = named_natives(object).into_iter().filter(|name| !Natives::NAMES.contains(name));
    let natives = natives.map(|name| format!("key \"natives\": {name:?} is not a built-in plugin"));
    let capabilities =
        object.get("capabilities").map(|value| serde_json::from_value::<BTreeMap<String, bool>>(value.clone()));
    let capabilities =
        capabilities.and_then(Result::err).map(|e| format!("key \"capabilities\": it {}", json::told(&e.to_string())));
    let unknown = unknown.iter().map(|key| Settings::unknown_key(key));
    taken.into_iter().chain(unknown).chain(wrong).chain(natives).chain(capabilities).collect()
}

/// The built-in plugins that the key `natives` names.
fn named_natives(object: &Map<String, Value>) -> Vec<&str> {
    match object.iter().find(|(key, _)| key.eq_ignore_ascii_case("natives")).map(|(_, value)| value) {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(Value::Object(names)) => names.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}
