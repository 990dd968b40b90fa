//! `plexusctl schema`: what an editor needs to check the plugin's configuration while it is written.

use crate::cli::Error;
use crate::cli::config::keys;
use crate::cli::output::Output;
use crate::engine::Settings;
use clap::Args;
use schemars::{JsonSchema, schema_for};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The element of Plexus in a CNI network configuration list.
#[derive(JsonSchema)]
#[schemars(rename = "Plexus", rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Configuration {
    /// The plugin's name.
    r#type: Type,
    /// Capabilities to request from the runtime, as in every CNI configuration.
    capabilities: Option<BTreeMap<String, bool>>,
    /// The default network: the path of a configuration or of a directory, or the name of a
    /// NetworkAttachmentDefinition or of a configuration in `nadConfigDir`.
    cluster_network: Option<String>,
    /// Instead of `clusterNetwork`: configurations. The first is the default network, the others are attached to every pod.
    delegates: Option<Vec<Map<String, Value>>>,
    /// Networks attached to every pod outside of `systemNamespaces`, before the networks of its annotation.
    networks_for_all_pods: Option<Vec<String>>,
    /// Namespaces whose pods do not get `networksForAllPods` [`["kube-system"]`].
    system_namespaces: Option<Vec<String>>,
    /// Namespace of networks that this configuration names without a namespace [`kube-system`].
    default_nad_namespace: Option<String>,
    /// A pod may use only networks of its own namespace and of `globalNamespaces` [`false`].
    namespace_isolation: Option<bool>,
    /// Namespaces whose networks every pod may use [`default`].
    global_namespaces: Option<Namespaces>,
    /// A pod may replace its default network by annotation [`true`].
    default_network_annotation: Option<bool>,
    /// A network without `spec.config` uses the configuration with its name in `nadConfigDir` [`true`].
    networks_from_files: Option<bool>,
    /// Directories in which networks that others define may keep pools of addresses [any directory of root].
    data_dir_roots: Option<Vec<String>>,
    /// The network that has a pod's default route if no `default-route` requests it [`last`].
    default_route: Option<DefaultRoute>,
    /// Directory with the configurations of networks without `spec.config`, by name [`/etc/cni/multus/net.d`].
    nad_config_dir: Option<String>,
    /// Extra directory of CNI plugins, searched before the runtime's.
    extra_plugin_dir: Option<String>,
    /// Multus' state directory, to delete what Multus attached [`/var/lib/cni/multus`].
    multus_state_dir: Option<String>,
    /// A directory whose `results` contains the runtime's records of attachments, in addition to `/var/lib/cni` and
    /// `/var/lib/cni/cache`.
    cni_cache_dir: Option<String>,
    /// Directory with records and cached networks [`/var/lib/plexus`].
    state_directory: Option<String>,
    /// Directory with the daemon's socket, locks, and network-status updates that wait [`/run/plexus`].
    run_directory: Option<String>,
    /// Time limit in seconds for one call of a CNI plugin [120].
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 315_360_000))]
    delegate_timeout_seconds: Option<f64>,
    /// Time limit in seconds for an answer of the daemon [5].
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 315_360_000))]
    daemon_timeout_seconds: Option<f64>,
    /// Seconds that ADD waits for the network-status of a pod with additional networks [2].
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 315_360_000))]
    publish_timeout_seconds: Option<f64>,
    /// Maximum age in seconds of a cached network that is used while the daemon does not answer [any age].
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 315_360_000))]
    last_known_max_age_seconds: Option<f64>,
    /// Built-in plugins to use [`true`].
    natives: Option<Natives>,
    /// Attach networks at the same time if their plugins are programs [`false`].
    parallel: Option<bool>,
    /// Log level of the plugin, which logs to stderr [`error`].
    log_level: Option<LogLevel>,
}

/// The plugin's name.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum Type {
    Plexus,
}

/// The last network that brings one, or the default network.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum DefaultRoute {
    Last,
    Asked,
}

/// A list, or one text with commas.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum Namespaces {
    List(Vec<String>),
    Text(String),
}

/// All or none, a list of types, or types with `true` or `false`.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum Natives {
    All(bool),
    Types(Vec<String>),
    EachType(BTreeMap<String, bool>),
}

/// How much is told, in any case; the others are names of Multus and of the daemon.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "only its schema is used")]
enum LogLevel {
    Off,
    Error,
    Info,
    Debug,
    Panic,
    Verbose,
    Warning,
    Warn,
    Trace,
}

/// Paths that may not contain `..`: they are compared with others.
const OWN_PATHS: [&str; 3] = ["stateDirectory", "runDirectory", "dataDirRoots"];

#[derive(Debug, Args)]
pub struct Arguments {
    /// Schema of a settings file, as for `config`, `install` and the manifests, instead of the entry in a CNI list
    #[arg(long)]
    settings: bool,
}

/// Prints it.
pub fn run(arguments: &Arguments, output: &mut Output) -> Result<(), Error> {
    let mut schema = serde_json::to_value(schema_for!(Configuration)).map_err(|e| Error::Output(e.into()))?;
    accept_any_case(&mut schema);
    accept(&mut schema);
    if arguments.settings {
        reduce(&mut schema);
    }
    output.standard_json(&schema)
}

/// The plugin reads levels in any case. The words themselves stay, for editors that propose them.
fn accept_any_case(schema: &mut Value) {
    let Some(level) = schema.pointer_mut("/$defs/LogLevel").and_then(Value::as_object_mut) else { return };
    let Some(words) = level.remove("enum") else { return };
    let texts: Vec<String> =
        words.as_array().into_iter().flatten().filter_map(Value::as_str).map(in_any_case).collect();
    level.insert("anyOf".to_owned(), json!([{"enum": words}, {"pattern": format!("^({})$", texts.join("|"))}]));
}

/// A pattern for `word`: not every reader of schemas knows a flag for that.
fn in_any_case(word: &str) -> String {
    word.chars().map(|letter| format!("[{}{}]", letter.to_ascii_uppercase(), letter.to_ascii_lowercase())).collect()
}

/// Former names, and keys of Multus that are accepted and have no effect.
fn accept(schema: &mut Value) {
    let Some(properties) = schema["properties"].as_object_mut() else { return };
    for (former, name) in Settings::renamed_keys() {
        let mut property = properties.get(name).cloned().unwrap_or_default();
        property["description"] = json!(format!("Former name of `{name}`."));
        property["deprecated"] = json!(true);
        properties.insert(former.to_owned(), property);
    }
    for key in Settings::without_effect() {
        let description = "Accepted for the sake of Multus' configurations, without effect.";
        properties.insert(key.to_owned(), json!({"description": description, "deprecated": true}));
    }
}

/// Leaves what an operator sets: the rest follows from the cluster's network, or is the runtime's.
fn reduce(schema: &mut Value) {
    schema["title"] = json!("Settings of Plexus");
    schema["description"] = json!("The operator's settings of the plugin.");
    if let Some(object) = schema.as_object_mut() {
        object.remove("required");
    }
    let Some(properties) = schema["properties"].as_object_mut() else { return };
    properties.retain(|key, _| !keys::is_not_the_operators(key));
    require_absolute(properties);
    if let Some(definitions) = schema["$defs"].as_object_mut() {
        definitions.remove("Type");
    }
}

/// A path in settings is absolute, because the runtime may work in any directory.
fn require_absolute(properties: &mut Map<String, Value>) {
    let paths = Settings::PATHS.into_iter().chain(["dataDirRoots"]);
    let former = Settings::renamed_keys().filter(|(_, name)| Settings::PATHS.contains(name)).map(|(former, _)| former);
    for key in paths.chain(former) {
        let property = properties.get_mut(key);
        let property = property.map(|property| if key == "dataDirRoots" { &mut property["items"] } else { property });
        let Some(property) = property else { continue };
        property["pattern"] = json!("^/");
        if OWN_PATHS.contains(&key) {
            property["not"] = json!({"pattern": "(^|/)\\.\\.(/|$)"});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What the runtime adds; nobody writes it.
    const OF_THE_RUNTIME: [&str; 4] =
        ["runtimeConfig", "prevResult", "cni.dev/valid-attachments", "cni.dev/attachments"];

    #[test]
    fn its_keys_are_those_the_plugin_reads() {
        let schema = serde_json::to_value(schema_for!(Configuration)).unwrap();
        let described: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let read = Settings::keys().into_iter().filter(|key| !OF_THE_RUNTIME.contains(key));
        // Of every network configuration.
        let expected: BTreeSet<&str> = read.chain(["type", "capabilities"]).collect();
        assert_eq!(described, expected);
        assert_eq!(schema["required"], json!(["type"]));
    }

    #[test]
    fn every_word_of_it_is_understood() {
        let read = |key: &str, value: Value| {
            let (settings, mistakes) =
                Settings::review(&json!({"name": "n", "cniVersion": "1.0.0", key: value}).to_string()).unwrap();
            assert!(mistakes.is_empty() && settings.unknown.is_empty(), "{key}: {value}: {mistakes:?}");
        };
        for level in ["off", "error", "info", "debug", "panic", "verbose", "warning", "warn", "trace"] {
            read("logLevel", level.into());
        }
        for natives in [json!(true), json!(["bridge"]), json!({"bridge": false})] {
            read("natives", natives);
        }
        read("defaultRoute", "last".into());
        read("defaultRoute", "asked".into());
        read("globalNamespaces", json!("a, b"));
        read("globalNamespaces", json!(["a"]));
        read("delegateTimeoutSeconds", json!(0.5));
    }
}
