//! Who carries out a plugin.

use super::external::{self, External};
use super::{Delegate, Error};
use crate::cni::{NetworkConfig, PluginConfig, PluginType};
use std::path::PathBuf;

/// Plugins that start the program of their `ipam` section.
const STARTS_IPAM: [&str; 8] = ["bridge", "macvlan", "ipvlan", "ptp", "vlan", "host-device", "tap", "dummy"];

/// Resolves a plugin's `type` to whoever carries it out.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    natives: Natives,
}

impl Registry {
    /// A registry that carries out what `natives` allow in this process.
    pub fn new(natives: Natives) -> Self {
        Registry { natives }
    }

    /// The program of that name.
    pub fn resolve(&self, _plugin: &PluginConfig) -> Box<dyn Delegate> {
        Box::new(External)
    }

    /// Whether any plugin of `network` is a program: it sees the disk, and may be slow.
    pub fn needs_programs(&self, _network: &NetworkConfig) -> bool {
        true
    }

    /// Finds out before any side effect whether a program is missing.
    ///
    /// An IPAM program is looked for only where the plugin starts it on the node: Antrea, for one,
    /// has its `host-local` inside its agent.
    ///
    /// # Errors
    /// [`Error::Missing`] for the first one.
    pub fn present(&self, network: &NetworkConfig, path: &[PathBuf]) -> Result<(), Error> {
        let ipam = |plugin: &PluginConfig| plugin.ipam.clone().filter(|_| STARTS_IPAM.contains(&plugin.kind.as_str()));
        let kinds = network.plugins.iter().flat_map(|plugin| [Some(plugin.kind.clone()), ipam(plugin)]);
        let missing = |kind: &PluginType| external::find(kind.as_str(), path).is_none();
        match kinds.flatten().find(missing) {
            Some(kind) => Err(Error::Missing { plugin: kind.to_string(), path: path.to_vec() }),
            None => Ok(()),
        }
    }
}

/// Which plugin types are carried out in this process: the `natives` of our configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Natives {
    others: bool,
    types: std::collections::BTreeMap<String, bool>,
}

impl Natives {
    /// Whether `kind` may be carried out in this process.
    pub fn allow(&self, kind: &str) -> bool {
        self.types.get(kind).copied().unwrap_or(self.others)
    }
}

impl Default for Natives {
    /// All of them.
    fn default() -> Self {
        Natives { others: true, types: std::collections::BTreeMap::new() }
    }
}

impl<'de> serde::Deserialize<'de> for Natives {
    /// `true`, `false`, a list of types, or types with `true` or `false`.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged, expecting = "true, false, a list of plugin types, or types with true or false expected")]
        enum Form {
            All(bool),
            List(Vec<String>),
            Types(std::collections::BTreeMap<String, bool>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::All(others) => Natives { others, types: std::collections::BTreeMap::new() },
            Form::List(list) => Natives { others: false, types: list.into_iter().map(|kind| (kind, true)).collect() },
            Form::Types(types) => Natives { others: true, types },
        })
    }
}
