//! What becomes of each key of Multus 4.3: of its network configuration, its shim's and its daemon's.

use crate::cni::json;
use crate::engine::Settings;
use crate::engine::settings::LogLevel;
use serde_json::value::{RawValue, to_raw_value};

/// What becomes of a key.
#[derive(Debug)]
pub enum Fate {
    /// It has the same meaning here, under this name.
    Kept(&'static str, &'static str),
    /// It has another value, or name, here.
    Changed(&'static str, Box<RawValue>, String),
    /// It is kept, in another place of the list.
    Elsewhere(&'static str),
    /// What it sets does not exist here, or is always so.
    NotNeeded(&'static str),
    /// It did something that has to be done in another way here.
    ByHand(&'static str),
}

/// Keys with the same meaning, and what is to be known of them. Some have another name here ([`Settings::renamed_keys`]).
const KEPT: [(&str, &str); 9] = [
    ("delegates", "the first is the default network, the others go to every pod"),
    ("defaultNetworks", "attached to every pod outside systemNamespaces"),
    ("confDir", "configurations by name"),
    ("cniDir", "pods that Multus attached are deleted by what it kept there"),
    ("binDir", "searched before the runtime's directories"),
    ("namespaceIsolation", "also for the default-network annotation, which Multus lets through"),
    ("globalNamespaces", "as before"),
    ("systemNamespaces", "as before"),
    ("multusNamespace", "as before"),
];

/// Those of them that are paths.
const PATHS: [&str; 3] = ["confDir", "cniDir", "binDir"];

const CHAIN: &str = "names a directory whose plugins Multus runs after the default network's: move its files into the directory next to the default network's file that has the name of that network (its key \"name\"), from where Plexus runs them";
const LEVEL: &str = "of the plugin's stderr";
const LOGS: &str = "the plugin logs to stderr, which the runtime logs; the daemon logs to the log of its container";
const OWN_DAEMON: &str = "the daemon has its own command line (docs/configuration.md)";
const INSTALLER: &str = "plexusctl install writes the configuration";
const RUNTIME: &str = "the runtime sets it at each call";
const UNUSED: &str = "Multus does not use it either";

const NOT_NEEDED: [(&str, &str); 30] = [
    ("kubeconfig", "the plugin never asks the API server, and no credentials lie on the host"),
    ("logFile", LOGS),
    ("logToStderr", LOGS),
    ("logOptions", LOGS),
    (
        "readinessindicatorfile",
        "the default network's own file is read at each call, and STATUS reports whether it exists",
    ),
    ("retryDeleteOnError", "always: what cannot be deleted is owed and tried again"),
    ("daemonSocketDir", "the daemon's socket is in runDirectory"),
    ("socketDir", "the daemon's socket is in runDirectory"),
    ("chrootDir", "delegates are started on the host, by the plugin"),
    ("perNodeCertificate", "the daemon has a service account that may change its own node's pods only"),
    ("connectionLimit", OWN_DAEMON),
    ("metricsPort", "--metrics-address of the daemon"),
    ("enablePprof", OWN_DAEMON),
    ("cniConf", INSTALLER),
    ("cniConfigDir", INSTALLER),
    ("multusConfigFile", INSTALLER),
    ("multusAutoconfigDir", INSTALLER),
    ("multusMasterCNI", "clusterNetwork names the file"),
    ("forceCNIVersion", "the default network's own file is never changed"),
    ("overrideNetworkName", "the name is kept, so that the runtime finds what it recorded of running pods"),
    ("args", "it has no effect in Multus, either"),
    ("disableCheck", UNUSED),
    ("disableGC", UNUSED),
    ("loadOnlyInlinedPlugins", "always set in the list of Plexus"),
    ("cniVersions", "1.0.0 and 1.1.0 are offered"),
    ("ipam", UNUSED),
    ("dns", UNUSED),
    ("runtimeConfig", RUNTIME),
    ("prevResult", RUNTIME),
    ("plugins", UNUSED),
];

/// What becomes of `key`, which Multus reads without regard to case.
pub fn fate(key: &str, value: &RawValue) -> Fate {
    let is = |known: &str| known.eq_ignore_ascii_case(key);
    if is("clusterNetwork") {
        return path("clusterNetwork", value, "the default network, read at each call");
    }
    if is("logLevel") {
        return level(value);
    }
    if is("name") {
        return Fate::Elsewhere("of the list, so that the runtime finds what it recorded of running pods");
    }
    if is("capabilities") {
        return Fate::Elsewhere("with the one for the pod's annotations, which spares the daemon a question");
    }
    if is("type") || is("cniVersion") {
        return Fate::NotNeeded("set by the new list: type plexus, versions 1.0.0 and 1.1.0");
    }
    if is("auxiliaryCNIChainName") {
        return Fate::ByHand(CHAIN);
    }
    let in_table = |table: &[(&'static str, &'static str)]| table.iter().copied().find(|(known, _)| is(known));
    match in_table(&KEPT) {
        Some((name, why)) if PATHS.contains(&name) => return path(name_here(name), value, why),
        Some((name, why)) => return Fate::Kept(name_here(name), why),
        None => {}
    }
    match in_table(&NOT_NEEDED) {
        Some((_, why)) => Fate::NotNeeded(why),
        None => Fate::NotNeeded("Multus does not know it"),
    }
}

/// The name of Multus' key `name` here.
fn name_here(name: &'static str) -> &'static str {
    Settings::renamed_keys().find(|(former, _)| *former == name).map_or(name, |(_, name)| name)
}

/// Those of `keys` that are accepted for the sake of Multus' configurations, and why they have no effect.
pub fn without_effect<'a>(keys: impl Iterator<Item = &'a String>) -> Vec<(&'a str, &'static str)> {
    let accepted = |key: &str| Settings::without_effect().any(|known| known.eq_ignore_ascii_case(key));
    let why = |key: &str| match fate(key, RawValue::NULL) {
        Fate::ByHand(why) | Fate::NotNeeded(why) => why,
        _ => UNUSED,
    };
    keys.map(String::as_str).filter(|key| accepted(key)).map(|key| (key, why(key))).collect()
}

/// Multus reads levels in any case, and uses its default for one that it does not know.
fn level(value: &RawValue) -> Fate {
    let text = json::parse::<String>(value.get()).unwrap_or_default();
    let lower = text.to_ascii_lowercase();
    match LogLevel::of(&text) {
        Some(_) if lower != text => match to_raw_value(&lower) {
            Ok(value) => Fate::Changed("logLevel", value, "in lower case".to_owned()),
            Err(_) => Fate::Kept("logLevel", LEVEL),
        },
        None if !text.is_empty() => Fate::NotNeeded("Multus does not know this level, either"),
        _ => Fate::Kept("logLevel", LEVEL),
    }
}

/// The path `value` of the key `name`. Multus' shim and daemon have the host's directories under `/host`; the plugin is
/// on the host.
fn path(name: &'static str, value: &RawValue, why: &'static str) -> Fate {
    let path = json::parse::<String>(value.get()).ok();
    let on_host = path.as_deref().and_then(|path| path.strip_prefix("/host/")).map(|rest| format!("/{rest}"));
    match on_host.and_then(|path| to_raw_value(&path).ok()) {
        Some(path) => Fate::Changed(name, path, "its path on the host: Multus' daemon has it under /host".to_owned()),
        None => Fate::Kept(name, why),
    }
}
