//! Who carries out a plugin.

use super::external::{self, External};
use super::ipam::{self, ExternalIpam, Ipam};
use super::keys::Declined;
use super::native::{self, Enabled, Sockets};
use super::{Delegate, Error};
use crate::cni::{NetworkConfig, PluginConfig, PluginType};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Plugins that start the program of their `ipam` section on the node.
const STARTS_IPAM: [&str; 8] = ["bridge", "macvlan", "ipvlan", "ptp", "vlan", "host-device", "tap", "dummy"];

/// Resolves a plugin's `type` to whoever carries it out.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    natives: Natives,
    sockets: Arc<Sockets>,
}

/// Where a plugin is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In this process, its addresses too.
    Here,
    /// In this process, but a program gives the addresses.
    HereButAddresses,
    /// By a program.
    Program,
}

impl Registry {
    /// A registry that carries out what `natives` allow in this process.
    pub fn new(natives: Natives) -> Self {
        Registry { natives, sockets: Arc::default() }
    }

    /// A native where one understands every key of `plugin`, else the program of that name.
    pub fn resolve(&self, plugin: &PluginConfig) -> Box<dyn Delegate> {
        self.native(plugin, true).unwrap_or_else(|_| Box::new(External))
    }

    /// Why `plugin` is not carried out in this process; none where it is.
    pub fn declined(&self, plugin: &PluginConfig) -> Option<Declined> {
        self.native(plugin, true).err()
    }

    fn native(&self, plugin: &PluginConfig, may_ask_programs: bool) -> Result<Box<dyn Delegate>, Declined> {
        let external = |kind: &PluginType| -> Box<dyn Ipam> { Box::new(ExternalIpam(kind.clone())) };
        native::find(plugin, &self.natives.enabled(), &self.sockets, may_ask_programs.then_some(&external))
    }

    fn place(&self, plugin: &PluginConfig) -> Place {
        match (self.native(plugin, false), self.native(plugin, true)) {
            (Ok(_), _) => Place::Here,
            (Err(_), Ok(_)) => Place::HereButAddresses,
            (Err(_), Err(_)) => Place::Program,
        }
    }

    /// Whether any plugin of `network` starts a program: it sees the disk, and may be slow.
    pub fn needs_programs(&self, network: &NetworkConfig) -> bool {
        network.plugins.iter().any(|plugin| self.place(plugin) != Place::Here)
    }

    /// Finds out before any side effect whether a program is missing.
    ///
    /// An IPAM program is looked for only where the plugin starts it on the node: Antrea, for one,
    /// has its `host-local` inside its agent.
    ///
    /// # Errors
    /// [`Error::Missing`] for the first one.
    pub fn present(&self, network: &NetworkConfig, path: &[PathBuf]) -> Result<(), Error> {
        for plugin in &network.plugins {
            let addresses = plugin.ipam.as_ref().filter(|_| STARTS_IPAM.contains(&plugin.kind.as_str()));
            let programs = match self.place(plugin) {
                Place::Here => [None, None],
                Place::HereButAddresses => [None, addresses],
                Place::Program => [Some(&plugin.kind), addresses],
            };
            if let Some(kind) = programs.into_iter().flatten().find(|kind| external::find(kind.as_str(), path).is_none()) {
                return Err(Error::Missing { plugin: kind.to_string(), path: path.to_vec() });
            }
        }
        Ok(())
    }
}

/// Which plugin types are carried out in this process: the `natives` of our configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Natives {
    others: bool,
    types: BTreeMap<String, bool>,
}

impl Natives {
    fn allow(&self, kind: &str) -> bool {
        self.types.get(kind).copied().unwrap_or(self.others)
    }

    fn enabled(&self) -> Enabled {
        Enabled {
            bridge: self.allow(native::bridge::TYPE),
            macvlan: self.allow(native::macvlan::TYPE),
            ipvlan: self.allow(native::ipvlan::TYPE),
            loopback: self.allow(native::loopback::TYPE),
            ipam: ipam::Enabled { host_local: self.allow(ipam::host_local::TYPE), static_: self.allow(ipam::static_::TYPE) },
        }
    }
}

impl Default for Natives {
    /// All of them.
    fn default() -> Self {
        Natives { others: true, types: BTreeMap::new() }
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
            Types(BTreeMap<String, bool>),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::All(others) => Natives { others, types: BTreeMap::new() },
            Form::List(list) => Natives { others: false, types: list.into_iter().map(|kind| (kind, true)).collect() },
            Form::Types(types) => Natives { others: true, types },
        })
    }
}
