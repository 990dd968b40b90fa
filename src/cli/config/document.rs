//! The two forms of our configuration.

use crate::cli::Error;
use crate::cli::config::keys::Keys;
use crate::cni::NetworkConfig;
use crate::engine::settings::POD_ANNOTATIONS;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Our list, in the runtime's folder.
pub const LIST: &str = "00-plexus.conflist";
/// Our element beside the primary's list, where we are chained behind it.
pub const ELEMENT: &str = "90-plexus.conf";

/// A file for the runtime's folder.
#[derive(Debug)]
pub struct Written {
    /// Where it belongs, relative to that folder.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// The list with which a runtime calls us.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a, V> {
    /// The newest libcni goes by the second key and takes 1.1.0; an older one does not know it.
    cni_version: &'static str,
    cni_versions: [&'static str; 2],
    name: &'a str,
    /// The folder of that name holds plugins of the primary's list, and with the primary they are run.
    load_only_inlined_plugins: bool,
    plugins: [Plugin<V>; 1],
}

/// Our element of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Plugin<V> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_network: Option<PathBuf>,
    capabilities: BTreeMap<String, bool>,
    #[serde(flatten)]
    keys: BTreeMap<String, V>,
}

/// Plexus before the cluster's network: a list of its own, named as the primary's, so that the results
/// the runtime keeps of older pods still arrive.
///
/// # Errors
/// It cannot be written as JSON.
pub fn delegate(primary: &Path, network: &NetworkConfig, keys: Keys) -> Result<Written, Error> {
    let offered = network.plugins.iter().flat_map(|plugin| plugin.capabilities()).map(str::to_owned);
    let plugin = Plugin {
        r#type: "plexus",
        cluster_network: Some(primary.to_owned()),
        capabilities: capabilities(&keys, offered),
        keys: keys.others,
    };
    list(network.name.as_str(), plugin)
}

/// The list that takes the place of Multus': `keys` say what the default network is, and every value of
/// them is written as it was read.
///
/// # Errors
/// It cannot be written as JSON.
pub fn migrated(
    name: &str,
    capabilities: BTreeMap<String, bool>,
    keys: BTreeMap<String, Box<RawValue>>,
) -> Result<Written, Error> {
    let ours = Keys { capabilities, others: BTreeMap::new() };
    let capabilities = self::capabilities(&ours, std::iter::empty());
    list(name, Plugin { r#type: "plexus", cluster_network: None, capabilities, keys })
}

fn list<V: Serialize>(name: &str, plugin: Plugin<V>) -> Result<Written, Error> {
    let list = List {
        cni_version: "1.0.0",
        cni_versions: ["1.0.0", "1.1.0"],
        name,
        load_only_inlined_plugins: true,
        plugins: [plugin],
    };
    Ok(Written { path: LIST.into(), text: text(&list)? })
}

/// Plexus behind the cluster's network: a plugin that libcni adds to the primary's list.
///
/// # Errors
/// libcni adds plugins to lists only, and not to those that refuse it.
pub fn chain(primary: &Path, network: &NetworkConfig, keys: Keys) -> Result<Written, Error> {
    let refuse = |why| Err(Error::NotChainable { path: primary.to_owned(), why });
    if primary.extension().is_none_or(|extension| extension != "conflist") {
        return refuse("it is not a list (.conflist), and runtimes add plugins to lists only");
    }
    if network.load_only_inlined_plugins {
        return refuse("it sets loadOnlyInlinedPlugins");
    }
    let capabilities = capabilities(&keys, std::iter::empty());
    let plugin = Plugin { r#type: "plexus", cluster_network: None, capabilities, keys: keys.others };
    let path = Path::new(network.name.as_str()).join(ELEMENT);
    Ok(Written { path, text: text(&plugin)? })
}

/// What the runtime is asked for: what the primary's plugins declare, the pod's annotations, and what
/// the operator says, which wins.
fn capabilities(keys: &Keys, offered: impl Iterator<Item = String>) -> BTreeMap<String, bool> {
    let ours = std::iter::once(POD_ANNOTATIONS.to_owned());
    offered.chain(ours).map(|name| (name, true)).chain(keys.capabilities.clone()).collect()
}

fn text(document: &impl Serialize) -> Result<String, Error> {
    let text = serde_json::to_string_pretty(document).map_err(|e| Error::Output(e.into()))?;
    Ok(text + "\n")
}
