//! Network configurations: a list of plugins, or one plugin that is read as a list of one.

use super::json::{self, InvalidJson, InvalidValue, LenientBool, RawObject};
use super::names::{InvalidName, NetworkName, PluginType};
use super::version::{self, DeclaredVersion, UnknownVersion};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A chain has a handful of plugins. What a pod asks for is copied into each of them.
pub const MOST_PLUGINS: usize = 64;

/// Why a text is no network configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not a JSON object.
    #[error("not a JSON object: {0}")]
    Json(#[from] InvalidJson),
    /// A key of the wrong type.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// A name with characters it may not have.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// An entry of `cniVersions` that is no version.
    #[error(transparent)]
    Version(#[from] UnknownVersion),
    /// Neither `type` nor a usable `plugins`.
    #[error("{0}")]
    Shape(&'static str),
    /// Whoever may write a definition would decide how much memory is taken on a node.
    #[error("\"plugins\" has {0} plugins, more than {MOST_PLUGINS}")]
    TooMany(usize),
    /// An element of `plugins` is wrong.
    #[error("plugin {index} of the list: {source}")]
    Plugin {
        /// Position in the list, from 0.
        index: usize,
        /// What is wrong with it.
        source: Box<ConfigError>,
    },
}

/// A network configuration: what one attachment is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// The network's name; handed to every plugin (CNI-REQ-01).
    pub name: NetworkName,
    /// The selected version (CNI-VER-01); handed to every plugin.
    pub version: DeclaredVersion,
    /// CHECK is not to be run (CNI-CFG-05).
    pub disable_check: bool,
    /// GC is not to be run (CNI-CFG-06).
    pub disable_gc: bool,
    /// Plugins in other files are not to be added (CNI-CFG-07).
    pub load_only_inlined_plugins: bool,
    /// The plugins in the order of ADD; never empty once [`NetworkConfig::check`] has passed.
    pub plugins: Vec<PluginConfig>,
}

impl NetworkConfig {
    /// Reads a plugin or a list; without a `name` the network is called `fallback` (NPWG-NAD-08).
    ///
    /// With a non-empty `type` it is one plugin, else `plugins` must be there (CNI-LOAD-10).
    ///
    /// # Errors
    /// Says what is missing or of the wrong type.
    pub fn parse(text: &str, fallback: Option<&str>) -> Result<Self, ConfigError> {
        let config = NetworkConfig::parse_open(text, fallback)?;
        config.check()?;
        Ok(config)
    }

    /// As [`NetworkConfig::parse`], for a file whose plugins may also lie in a folder beside it:
    /// the list may still be empty.
    ///
    /// # Errors
    /// As [`NetworkConfig::parse`].
    pub fn parse_open(text: &str, fallback: Option<&str>) -> Result<Self, ConfigError> {
        let object = RawObject::parse(text)?;
        let name = object.read::<String>("name")?.filter(|name| !name.is_empty());
        let name = NetworkName::new(name.or(fallback.map(str::to_owned)).unwrap_or_default())?;
        let version = read_version(&object)?;
        let flag = |key: &str| object.read::<LenientBool>(key).map(|flag| flag.is_some_and(|flag| flag.0));
        let single = object.read::<String>("type")?.is_some_and(|kind| !kind.is_empty());
        Ok(NetworkConfig {
            name,
            version,
            disable_check: flag("disableCheck")?,
            disable_gc: flag("disableGC")?,
            load_only_inlined_plugins: flag("loadOnlyInlinedPlugins")?,
            plugins: if single { vec![PluginConfig::new(object)?] } else { read_plugins(&object)? },
        })
    }

    /// The version of the network that `text` configures, whatever else is in it.
    ///
    /// # Errors
    /// It is no JSON object, or its version cannot be read.
    pub fn version_of(text: &str) -> Result<DeclaredVersion, ConfigError> {
        read_version(&RawObject::parse(text)?)
    }

    /// Adds a plugin that was found in a file of its own (CNI-LOAD-07).
    ///
    /// # Errors
    /// `text` is no plugin configuration.
    pub fn append(&mut self, text: &str) -> Result<(), ConfigError> {
        self.plugins.push(PluginConfig::new(RawObject::parse(text)?)?);
        Ok(())
    }

    /// Refuses a list that would execute nothing (CNI-CFG-08, CNI-CFG-10).
    ///
    /// # Errors
    /// There is no plugin.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.plugins.is_empty() {
            return Err(ConfigError::Shape("it has neither a \"type\" nor \"plugins\""));
        }
        bounded(self.plugins.len())?;
        Ok(())
    }

    /// Whether any plugin declares `capability`.
    pub fn has_capability(&self, capability: &str) -> bool {
        self.plugins.iter().any(|plugin| plugin.has_capability(capability))
    }

    /// The list as JSON, each plugin's own values byte for byte: what the record keeps.
    pub fn to_raw(&self) -> Box<RawValue> {
        let mut list = RawObject::default();
        list.set_value("cniVersion", self.version.as_str());
        list.set_value("name", self.name.as_str());
        for (key, value) in [
            ("disableCheck", self.disable_check),
            ("disableGC", self.disable_gc),
            ("loadOnlyInlinedPlugins", self.load_only_inlined_plugins),
        ] {
            if value {
                list.set_value(key, &true);
            }
        }
        list.set_value("plugins", &self.plugins.iter().map(|plugin| &plugin.object).collect::<Vec<_>>());
        list.to_raw()
    }

    /// The types of the plugins, `a+b` for messages and tables.
    pub fn kinds(&self) -> String {
        self.plugins.iter().map(|plugin| plugin.kind.as_str()).collect::<Vec<_>>().join("+")
    }
}

fn read_version(object: &RawObject) -> Result<DeclaredVersion, ConfigError> {
    let declared = object.read::<String>("cniVersion")?.unwrap_or_default();
    let all = object.read::<Vec<String>>("cniVersions")?.unwrap_or_default();
    Ok(version::select(&declared, &all)?)
}

fn read_plugins(object: &RawObject) -> Result<Vec<PluginConfig>, ConfigError> {
    let Some(raw) = object.get("plugins") else { return Ok(Vec::new()) };
    const NO_LIST: ConfigError = ConfigError::Shape("\"plugins\" is not a list of objects");
    let list: Vec<Box<RawValue>> = json::parse(raw.get()).map_err(|_| NO_LIST)?;
    if list.is_empty() {
        return Err(ConfigError::Shape("\"plugins\" is empty"));
    }
    bounded(list.len())?;
    let read = |(index, raw): (usize, Box<RawValue>)| {
        let object = RawObject::parse(raw.get()).map_err(|_| NO_LIST)?;
        PluginConfig::new(object).map_err(|source| ConfigError::Plugin { index, source: Box::new(source) })
    };
    list.into_iter().enumerate().map(read).collect()
}

fn bounded(plugins: usize) -> Result<(), ConfigError> {
    if plugins > MOST_PLUGINS { Err(ConfigError::TooMany(plugins)) } else { Ok(()) }
}

/// One plugin of a network configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// The executable's name.
    pub kind: PluginType,
    /// The `type` of its `ipam` section, if it delegates addresses.
    pub ipam: Option<PluginType>,
    /// Every key as it was written.
    pub object: RawObject,
    capabilities: BTreeMap<String, bool>,
}

impl PluginConfig {
    /// Reads the keys we need; the others stay as they are.
    ///
    /// # Errors
    /// `type` is missing or a path, or a key we read is of the wrong type.
    pub fn new(object: RawObject) -> Result<Self, ConfigError> {
        let kind = object.read::<String>("type")?.filter(|kind| !kind.is_empty());
        let kind = PluginType::new(kind.ok_or(ConfigError::Shape("it has no \"type\""))?)?;
        Ok(PluginConfig {
            kind,
            ipam: ipam_type(&object)?,
            capabilities: object.read("capabilities")?.unwrap_or_default(),
            object,
        })
    }

    /// Whether the plugin declares `capability` as `true` (CNI-REQ-05).
    pub fn has_capability(&self, capability: &str) -> bool {
        self.capabilities.get(capability).copied().unwrap_or(false)
    }

    /// The capabilities the plugin declares as `true`.
    pub fn capabilities(&self) -> impl Iterator<Item = &str> {
        self.capabilities.iter().filter(|(_, on)| **on).map(|(name, _)| name.as_str())
    }
}

/// `ipam` may hold anything where a plugin does not delegate addresses; only an object with a `type` counts.
fn ipam_type(object: &RawObject) -> Result<Option<PluginType>, ConfigError> {
    let ipam = object.get("ipam").and_then(|raw| RawObject::parse(raw.get()).ok());
    match ipam.map(|ipam| ipam.read::<String>("type")).transpose()?.flatten() {
        Some(kind) if !kind.is_empty() => Ok(Some(PluginType::new(kind)?)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        NetworkConfig::parse(text, Some("fallback")).unwrap_err().to_string()
    }

    #[test]
    fn a_plugin_is_a_list_of_one() {
        let config =
            NetworkConfig::parse(r#"{"cniVersion":"0.3.1","type":"bridge","ipam":{"type":"host-local"}}"#, Some("nad"))
                .unwrap();
        // NPWG-NAD-08
        assert_eq!(config.name.as_str(), "nad");
        assert_eq!(config.kinds(), "bridge");
        assert_eq!(config.plugins[0].ipam.as_ref().unwrap().as_str(), "host-local");
    }

    #[test]
    fn broken_configurations_are_told_apart() {
        // CNI-CFG-08, CNI-CFG-10, CNI-CFG-11, CNI-LOAD-10, CNI-REQ-07
        for (text, part) in [
            ("[]", "JSON object"),
            ("{}", "neither"),
            (r#"{"plugins":[]}"#, "empty"),
            (r#"{"plugins":{}}"#, "not a list"),
            (r#"{"plugins":[null]}"#, "not a list"),
            (r#"{"loadOnlyInlinedPlugins":true}"#, "neither"),
            (r#"{"plugins":[{"type":"a"},{"x":1}]}"#, "plugin 1 of the list"),
            (r#"{"type":"../x"}"#, "not a path"),
            (r#"{"type":"a","name":"a/b"}"#, "network name"),
            (r#"{"type":"a","capabilities":{"mac":"true"}}"#, "capabilities"),
            (r#"{"type":"a","disableGC":"yes"}"#, "disableGC"),
            (r#"{"type":"a","cniVersions":["1.0.f"]}"#, "1.0.f"),
        ] {
            assert!(error(text).contains(part), "{text}: {}", error(text));
        }
    }

    #[test]
    fn a_list_has_an_end() {
        // H5
        let list = |plugins: usize| format!(r#"{{"plugins":[{}]}}"#, vec![r#"{"type":"a"}"#; plugins].join(","));
        assert_eq!(NetworkConfig::parse(&list(64), Some("n")).unwrap().plugins.len(), 64);
        assert!(error(&list(65)).contains("65 plugins, more than 64"));
        assert!(error(&list(100_000)).contains("100000 plugins"));
    }

    #[test]
    fn the_record_keeps_every_value() {
        // CNI-CFG-14, CNI-DLG-17
        let text = r#"{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"a","x":{"n":123456789012345678901}}]}"#;
        let config = NetworkConfig::parse(text, None).unwrap();
        assert_eq!(config.to_raw().get(), text);
        assert_eq!(NetworkConfig::parse(config.to_raw().get(), None).unwrap(), config);
    }

    #[test]
    fn type_wins_over_plugins_and_flags_may_be_text() {
        let config = NetworkConfig::parse(
            r#"{"name":"n","type":"a","plugins":[{"type":"b"}],"disableCheck":"TRUE","future":1}"#,
            None,
        )
        .unwrap();
        assert_eq!(config.kinds(), "a");
        // CNI-CFG-09, CNI-CFG-16
        assert!(config.disable_check);
    }
}
