//! The plugin's own configuration: what the runtime writes to its stdin.

mod keys;

use crate::api::{RunDirectory, StateDirectory};
use crate::cni::request::ValidAttachment;
use crate::cni::{CniError, Code, NetworkName, RawObject, Version, spelling};
use crate::delegate::registry::Natives;
use crate::nad::NadRef;
pub use keys::Doubled;
use keys::{Keys, NOT_NEEDED, RENAMED};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The capability under which runtimes hand over pod annotations (CNI-CAP-11).
pub const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// Where the default network comes from.
#[derive(Clone, Debug)]
pub enum Primary {
    /// `clusterNetwork`: a file, a folder, or the name of a NAD or of a configuration on disk.
    Named(String),
    /// `delegates`: the first is the default network, the others go to every pod.
    Inline(Vec<RawObject>),
    /// Neither: we are chained behind the default network, which is attached when we are called.
    Chained,
}

/// How much is told on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing but the answer.
    Off,
    /// What went wrong and was survived.
    #[default]
    Error,
    /// What an operator may want to know.
    Info,
    /// Every step.
    Debug,
}

impl LogLevel {
    /// The level called `name`, in our words or in Multus', in any case.
    pub fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "off" | "panic" => Some(LogLevel::Off),
            "error" => Some(LogLevel::Error),
            "info" | "verbose" | "warning" | "warn" => Some(LogLevel::Info),
            "debug" | "trace" => Some(LogLevel::Debug),
            _ => None,
        }
    }
}

/// Which network has the pod's default route where no `default-route` asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultRoute {
    /// The last network that brings one.
    Last,
    /// The default network: the routes that additional networks bring are left out.
    Asked,
}

/// The configuration, with every default filled in. The keys are documented in `docs/configuration.md`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `name`.
    pub name: NetworkName,
    /// `cniVersion`: the version of our answer.
    pub version: Version,
    /// `clusterNetwork` or `delegates`.
    pub primary: Primary,
    /// `networksForAllPods`: attached to every pod outside the system namespaces.
    pub default_networks: Vec<String>,
    /// `nadConfigDir`: configurations by name.
    pub conf_dir: PathBuf,
    /// `multusStateDir`: what Multus kept of the sandboxes it attached.
    pub multus_directory: PathBuf,
    /// `cniCacheDir`: where the runtime keeps libcni's records, beside the usual folders.
    pub cni_cache_directory: Option<PathBuf>,
    /// `extraPluginDir`: plugins, before `CNI_PATH`.
    pub bin_dir: Option<PathBuf>,
    /// `defaultNadNamespace`: where NADs without a namespace are that the operator names.
    pub network_namespace: String,
    /// `namespaceIsolation`.
    pub isolation: bool,
    /// `globalNamespaces`: NADs in these may be used from everywhere.
    pub global_namespaces: Vec<String>,
    /// `defaultNetworkAnnotation`: a pod may replace its default network.
    pub default_network_annotation: bool,
    /// `networksFromFiles`: a NAD without `spec.config` means a file of its name.
    pub networks_from_files: bool,
    /// `dataDirRoots`: where NADs may keep pools of addresses; anywhere if empty.
    pub data_dir_roots: Vec<PathBuf>,
    /// `defaultRoute`.
    pub default_route: DefaultRoute,
    /// `systemNamespaces`: pods here get no `networksForAllPods`.
    pub system_namespaces: Vec<String>,
    /// `stateDirectory`.
    pub state: StateDirectory,
    /// `runDirectory`.
    pub run: RunDirectory,
    /// `delegateTimeoutSeconds`.
    pub delegate_timeout: Duration,
    /// `daemonTimeoutSeconds`.
    pub daemon_timeout: Duration,
    /// `publishTimeoutSeconds`.
    pub publish_timeout: Duration,
    /// `lastKnownMaxAgeSeconds`; none for any age.
    pub last_known_max_age: Option<Duration>,
    /// `natives`.
    pub natives: Natives,
    /// `parallel`.
    pub parallel: bool,
    /// `logLevel`.
    pub log_level: LogLevel,
    /// A `logLevel` that there is not: no pod is refused for it, as in Multus.
    pub unknown_log_level: Option<String>,
    /// `runtimeConfig`, as the runtime filled it.
    pub runtime_config: RawObject,
    /// `prevResult`.
    pub prev_result: Option<Box<RawValue>>,
    /// `cni.dev/valid-attachments`; none where the runtime does not say.
    pub valid_attachments: Option<Vec<ValidAttachment>>,
    /// Keys that mean nothing to us.
    pub unknown: Vec<String>,
    /// Keys by a former name, and the name that each has now.
    pub renamed: Vec<(&'static str, &'static str)>,
    /// Keys that are there several times: one value of each is used.
    pub doubled: Vec<Doubled>,
}

/// What the runtime says is valid (CNI-GC-01, CNI-GC-02).
const VALID_ATTACHMENTS: [&str; 2] = ["cni.dev/valid-attachments", "cni.dev/attachments"];
impl Settings {
    /// Reads stdin.
    ///
    /// # Errors
    /// In the order of the reference frame: code 6 no JSON object, 7 no usable `name`, 1 a version we
    /// do not speak, 7 with every other mistake at once (CNI-IO-04, CNI-VER-06).
    pub fn parse(stdin: &str) -> Result<Self, CniError> {
        match Settings::review(stdin)? {
            (settings, mistakes) if mistakes.is_empty() => Ok(settings),
            (_, mistakes) => {
                Err(CniError::new(Code::InvalidConfig, format!("the configuration of Plexus: {}", mistakes.join("; "))))
            }
        }
    }

    /// As [`Settings::parse`], for whoever writes a configuration: answers also what is wrong with
    /// values, whose keys then have their default, so that unknown keys can be told together with it.
    ///
    /// # Errors
    /// No JSON object, no usable `name`, or a version we do not speak.
    pub fn review(text: &str) -> Result<(Self, Vec<String>), CniError> {
        let (object, name, version) = read_object(text)?;
        let mut keys = Keys { object: &object, used: Vec::new(), mistakes: Vec::new() };
        let settings = read_settings(&mut keys, name, version);
        Ok((settings, keys.mistakes.into_iter().map(|(_, mistake)| mistake).collect()))
    }

    /// As [`Settings::review`], for a verb that a mistake of an operator must not stop.
    ///
    /// # Errors
    /// As [`Settings::review`]. Code 7: what the runtime itself says cannot be read.
    pub fn lenient(text: &str) -> Result<(Self, Vec<String>), CniError> {
        let (object, name, version) = read_object(text)?;
        let mut keys = Keys { object: &object, used: Vec::new(), mistakes: Vec::new() };
        let settings = read_settings(&mut keys, name, version);
        let (runtimes, operators): (Vec<_>, Vec<_>) =
            keys.mistakes.into_iter().partition(|(key, _)| VALID_ATTACHMENTS.contains(key));
        match runtimes.into_iter().next() {
            Some((_, mistake)) => {
                Err(CniError::new(Code::InvalidConfig, format!("the configuration of Plexus: {mistake}")))
            }
            None => Ok((settings, operators.into_iter().map(|(_, mistake)| mistake).collect())),
        }
    }

    /// Every key that means something to us, beside those of every network configuration.
    pub fn keys() -> Vec<&'static str> {
        let object = RawObject::default();
        let mut keys = Keys { object: &object, used: Vec::new(), mistakes: Vec::new() };
        if let Ok(name) = NetworkName::new("any") {
            read_settings(&mut keys, name, Version::NEWEST);
        }
        keys.used
    }

    /// The keys whose value is one path.
    pub const PATHS: [&str; 6] =
        ["nadConfigDir", "multusStateDir", "cniCacheDir", "extraPluginDir", "stateDirectory", "runDirectory"];

    /// Keys that have a former name, most of them from Multus, which is understood, too: the former name and the name.
    pub fn renamed_keys() -> impl Iterator<Item = (&'static str, &'static str)> {
        RENAMED.into_iter()
    }

    /// Keys of Multus that are accepted and have no effect: what they set does not exist here, or is always on.
    pub fn without_effect() -> impl Iterator<Item = &'static str> {
        NOT_NEEDED.into_iter()
    }

    /// What an operator probably mistyped, one line each; nothing is refused for it, because another release may know it.
    pub fn remarks(&self) -> Vec<String> {
        let natives = self.natives.strangers();
        let natives = natives.map(|name| format!("key \"natives\": {name:?} is not a built-in plugin, and is ignored"));
        let slips = self.unknown.iter().filter(|key| Settings::meant_by(key).is_some());
        let level = self.unknown_level().map(|mistake| mistake + "; error is used");
        let slips = slips.map(|key| Settings::unknown_key(key) + ", and is ignored");
        let doubled =
            self.doubled.iter().map(|doubled| format!("{doubled}; the value of {} is used", doubled.counts()));
        natives.chain(level).chain(slips).chain(doubled).collect()
    }

    /// What is wrong with `logLevel`, where it names no level. Pods start all the same.
    pub fn unknown_level(&self) -> Option<String> {
        let told = |level: &String| format!("key \"logLevel\": {level:?} is not a level (off, error, info, debug)");
        self.unknown_log_level.as_ref().map(told)
    }

    /// What is to be said of `key`, which means nothing to us: the nearest key, if one is near.
    pub fn unknown_key(key: &str) -> String {
        let hint = Settings::meant_by(key).map_or_else(String::new, |meant| format!(" (did you mean {meant:?}?)"));
        format!("key {key:?} is unknown{hint}")
    }

    /// The key that is probably meant by `key`.
    pub fn meant_by(key: &str) -> Option<&'static str> {
        spelling::nearest(key, Settings::keys())
    }

    /// `networksForAllPods`, each as the object that it names.
    ///
    /// # Errors
    /// What is wrong with one.
    pub fn networks_for_all_pods(&self) -> impl Iterator<Item = Result<NadRef, String>> {
        self.default_networks.iter().map(|entry| {
            if entry.starts_with('/') {
                let why = "a path is not a network; make a NetworkAttachmentDefinition of the file, and name it";
                return Err(format!("key \"networksForAllPods\": {entry:?}: {why}"));
            }
            let (namespace, name) = entry.split_once('/').unwrap_or((&self.network_namespace, entry));
            NadRef::new(namespace, name).map_err(|e| format!("key \"networksForAllPods\": {entry:?}: {e}"))
        })
    }

    /// The pod's annotations as the runtime handed them over. A key that is there is final, even `null`.
    ///
    /// # Errors
    /// It is no map of texts.
    pub fn pod_annotations(&self) -> Result<Option<BTreeMap<String, String>>, CniError> {
        if !self.runtime_config.contains(POD_ANNOTATIONS) {
            return Ok(None);
        }
        let read = self.runtime_config.read(POD_ANNOTATIONS);
        read.map(|annotations| Some(annotations.unwrap_or_default()))
            .map_err(|e| CniError::new(Code::InvalidConfig, format!("runtimeConfig: {e}")))
    }
}

fn read_object(text: &str) -> Result<(RawObject, NetworkName, Version), CniError> {
    let object =
        RawObject::parse(text).map_err(|e| CniError::new(Code::Decode, format!("stdin is not a JSON object: {e}")))?;
    let (name, version) = read_head(&object)?;
    Ok((object, name, version))
}

fn read_head(object: &RawObject) -> Result<(NetworkName, Version), CniError> {
    let invalid = |e: &dyn Display| CniError::new(Code::InvalidConfig, format!("the configuration of Plexus: {e}"));
    let decode = |e: &dyn Display| CniError::new(Code::Decode, format!("the configuration of Plexus: {e}"));
    let name = object.read::<String>("name").map_err(|e| decode(&e))?.unwrap_or_default();
    let name = NetworkName::new(name).map_err(|e| invalid(&e))?;
    let version = object.read::<String>("cniVersion").map_err(|e| decode(&e))?.unwrap_or_default();
    let version = Version::from_str(&version).map_err(|e| CniError::new(Code::IncompatibleVersion, e.to_string()))?;
    Ok((name, version))
}

fn read_settings(keys: &mut Keys<'_>, name: NetworkName, version: Version) -> Settings {
    let [name_of_list, former_name] = VALID_ATTACHMENTS;
    let valid = keys.get(name_of_list).or(keys.get(former_name));
    let level = keys.get::<String>("logLevel");
    let known_level = level.as_deref().map_or(Some(LogLevel::default()), LogLevel::of);
    let mut settings = Settings {
        name,
        version,
        primary: read_primary(keys),
        default_networks: keys.get("networksForAllPods").unwrap_or_default(),
        conf_dir: keys.get("nadConfigDir").unwrap_or_else(|| "/etc/cni/multus/net.d".into()),
        multus_directory: keys.get("multusStateDir").unwrap_or_else(|| "/var/lib/cni/multus".into()),
        cni_cache_directory: keys.get("cniCacheDir"),
        bin_dir: keys.get("extraPluginDir"),
        network_namespace: keys.get("defaultNadNamespace").unwrap_or_else(|| "kube-system".into()),
        isolation: keys.get("namespaceIsolation").unwrap_or(false),
        global_namespaces: read_global_namespaces(keys),
        default_network_annotation: keys.get("defaultNetworkAnnotation").unwrap_or(true),
        networks_from_files: keys.get("networksFromFiles").unwrap_or(true),
        data_dir_roots: keys.absolute_paths("dataDirRoots"),
        default_route: keys.get("defaultRoute").unwrap_or(DefaultRoute::Last),
        system_namespaces: keys.get("systemNamespaces").unwrap_or_else(|| vec!["kube-system".into()]),
        state: keys.absolute_path("stateDirectory").map(StateDirectory::new).unwrap_or_default(),
        run: keys.absolute_path("runDirectory").map(RunDirectory::new).unwrap_or_default(),
        delegate_timeout: keys.seconds("delegateTimeoutSeconds").unwrap_or(Duration::from_secs(120)),
        daemon_timeout: keys.seconds("daemonTimeoutSeconds").unwrap_or(Duration::from_secs(5)),
        publish_timeout: keys.seconds("publishTimeoutSeconds").unwrap_or(Duration::from_secs(2)),
        last_known_max_age: keys.seconds("lastKnownMaxAgeSeconds"),
        natives: keys.get("natives").unwrap_or_default(),
        parallel: keys.get("parallel").unwrap_or(false),
        log_level: known_level.unwrap_or_default(),
        unknown_log_level: level.filter(|_| known_level.is_none()),
        runtime_config: keys.get("runtimeConfig").unwrap_or_default(),
        prev_result: keys.raw("prevResult"),
        valid_attachments: valid,
        unknown: Vec::new(),
        renamed: Vec::new(),
        doubled: Vec::new(),
    };
    settings.unknown = keys.unknown();
    settings.renamed = keys.renamed().collect();
    settings.doubled = keys.doubled();
    settings
}

/// `clusterNetwork` wins over `delegates`, as in Multus.
fn read_primary(keys: &mut Keys<'_>) -> Primary {
    let named = keys.get::<String>("clusterNetwork").filter(|name| !name.is_empty());
    let inline = keys.get::<Vec<RawObject>>("delegates").filter(|list| !list.is_empty());
    match (named, inline) {
        (Some(name), _) => Primary::Named(name),
        (None, Some(list)) => Primary::Inline(list),
        (None, None) => Primary::Chained,
    }
}

/// A comma-separated text, as in Multus, or a list.
fn read_global_namespaces(keys: &mut Keys<'_>) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a comma-separated string or a list of strings")]
    enum Form {
        Text(String),
        List(Vec<String>),
    }
    let list = match keys.get("globalNamespaces") {
        Some(Form::Text(text)) => {
            text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        }
        Some(Form::List(list)) => list,
        None => Vec::new(),
    };
    if list.is_empty() { vec!["default".to_owned()] } else { list }
}

#[cfg(test)]
mod tests;
