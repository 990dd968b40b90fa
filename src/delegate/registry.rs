//! Who runs a plugin.

use super::external::{self, External};
use super::ipam::leased::Lessor;
use super::keys::Declined;
use super::native::{self, Enabled, Sockets};
use super::{Call, Delegate, Error, Ground, Reached, Scope, SeenLinks, ipam};
use crate::cni::{CniArgs, ContainerId, IfName, NetworkConfig, PluginConfig, PluginType, RawObject, Request};
use crate::sys::netlink::Socket;
use crate::sys::netns::Netns;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For a judgement that waits for nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Plugins that start the program of their `ipam` section.
const STARTS_IPAM: [&str; 8] = ["bridge", "macvlan", "ipvlan", "ptp", "vlan", "host-device", "tap", "dummy"];

/// Chained plugins that change neither the addresses of an interface nor what is reached over it.
const KEEPS_ADDRESSES: [&str; 4] = ["tuning", "portmap", "bandwidth", "firewall"];

/// Finds what runs a plugin, by its `type`: Plexus itself or a program.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    natives: Natives,
    sockets: Arc<Sockets>,
    prepared: Arc<Mutex<Prepared>>,
    lessor: Option<Arc<dyn Lessor>>,
}

/// Delegates that have read their settings, by interface and position in the network.
#[derive(Default)]
struct Prepared(BTreeMap<(IfName, usize), Arc<dyn Delegate>>);

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Registry {
    /// A registry that runs in this process what `natives` allow.
    pub fn new(natives: Natives) -> Self {
        Registry { natives, sockets: Arc::default(), prepared: Arc::default(), lessor: None }
    }

    /// With the node's blocks of addresses, for `plexus-ipam`.
    #[must_use]
    pub fn with_lessor(mut self, lessor: Arc<dyn Lessor>) -> Self {
        self.lessor = Some(lessor);
        self
    }

    /// Judges every plugin of `network` before anything is made, and keeps what they have read for ADD. Answers where
    /// gateways will be reached over the network's interface.
    ///
    /// # Errors
    /// The first plugin's that could not succeed.
    pub fn prepare(
        &self,
        network: &NetworkConfig,
        capability_args: &RawObject,
        scope: &Scope<'_>,
        ground: &mut Ground<'_>,
    ) -> Result<Reached, Error> {
        let request = Request { capability_args: Some(capability_args), ..Request::default() };
        let mut reached = None;
        for (position, plugin) in network.plugins.iter().enumerate() {
            if STARTS_IPAM.contains(&plugin.kind.as_str()) {
                ipam::judge_section(&plugin.object).map_err(|e| e.of(plugin.kind.as_str()))?;
            }
            let delegate = self.resolve(plugin);
            ground.is_first = position == 0;
            let now = delegate.prepare(&Call { scope, plugin, stdin: request.derive(network, plugin) }, ground)?;
            if position == 0 {
                reached = now;
            } else if !KEEPS_ADDRESSES.contains(&plugin.kind.as_str()) {
                reached = None;
            }
            if let Some(ifname) = scope.ifname {
                self.prepared().0.insert((ifname.clone(), position), delegate);
            }
        }
        Ok(reached)
    }

    /// As [`Registry::prepare`] for any pod: by the configuration, and by the links of the node where `host` is given.
    ///
    /// # Errors
    /// As [`Registry::prepare`].
    pub fn judge(&self, network: &NetworkConfig, host: Option<&mut Socket>) -> Result<(), Error> {
        let (Ok(container), Ok(ifname)) = (ContainerId::new("any"), IfName::new("net1")) else { return Ok(()) };
        let (args, capabilities) = (CniArgs::default(), RawObject::default());
        let soon = Instant::now() + PATIENCE;
        let scope = Scope {
            container_id: Some(&container),
            ifname: Some(&ifname),
            ..Scope::of_node(&args, &[], PATIENCE, soon)
        };
        let seen = &mut SeenLinks::default();
        let mut ground = Ground { is_first: true, host, inside: None, seen, is_made_before: &|_| false };
        self.prepare(network, &capabilities, &scope, &mut ground).map(drop)
    }

    /// The delegate for the plugin at `position` of the network of `ifname` as it was prepared, else a new one.
    pub fn prepared_or_new(
        &self,
        ifname: Option<&IfName>,
        position: usize,
        plugin: &PluginConfig,
    ) -> Arc<dyn Delegate> {
        let prepared = ifname.and_then(|ifname| self.prepared().0.get(&(ifname.clone(), position)).cloned());
        prepared.unwrap_or_else(|| self.resolve(plugin))
    }

    fn prepared(&self) -> std::sync::MutexGuard<'_, Prepared> {
        // A panic in between leaves a map that is whole.
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What Plexus does not know in `plugin` and a user may have mistyped: the message of a program that failed
    /// rarely names it.
    pub fn unknown_key(&self, plugin: &PluginConfig) -> Option<String> {
        let ipam = plugin.object.read::<RawObject>("ipam").ok().flatten();
        if let Some((kind, section)) = plugin.ipam.as_ref().zip(ipam)
            && let Err(Declined::Unknown(key)) = ipam::find(&section, kind.as_str(), ipam::Enabled::ALL)
        {
            return Some(ipam::unknown_key(kind.as_str(), &key));
        }
        match native::find(plugin, &Enabled::ALL, &self.sockets) {
            Err(Declined::Unknown(key)) => Some(native::unknown_key(plugin.kind.as_str(), &key)),
            _ => None,
        }
    }

    /// The native where it understands all of `plugin`, else the program of that name.
    pub fn resolve(&self, plugin: &PluginConfig) -> Arc<dyn Delegate> {
        match native::find_with(plugin, &self.natives.enabled(), &self.sockets, self.lessor.as_ref()) {
            Ok(found) => found.native,
            Err(_) => Arc::new(External),
        }
    }

    /// Hands natives the sockets with which the namespaces were looked at before: `host`'s and `inside` of `netns`, where
    /// links numbered from `next` on were not.
    pub fn adopt(&self, host: Socket, netns: Arc<Netns>, inside: Socket, next: Option<u32>) {
        self.sockets.adopt(host, netns, inside, next);
    }

    /// Tells natives that the interfaces `names` of `netns` were deleted together, see [`Registry::is_one_link`].
    pub fn note_deleted(&self, netns: &Path, names: &[&str]) {
        self.sockets.note_deleted(netns, names);
    }

    /// Who runs `plugin`, and who the address plugin that it asks.
    pub fn runners(&self, plugin: &PluginConfig) -> Runners {
        match native::find_with(plugin, &self.natives.enabled(), &self.sockets, self.lessor.as_ref()) {
            Err(why) => Runners { main: Runner::Program(why), ipam: plugin.ipam.as_ref().map(|_| Runner::AskedFor) },
            Ok(found) => {
                let ipam = plugin.ipam.as_ref().map(|_| match found.program {
                    Some((_, why)) => Runner::Program(why),
                    None => Runner::Native,
                });
                Runners { main: Runner::Native, ipam }
            }
        }
    }

    /// Whether DEL of `network` deletes one link, and nothing that happens before needs it: such links can go together
    /// first. That holds for the program of a built-in plugin, too, if every key of its configuration is one that Plexus
    /// knows. It gives the addresses back and finds the link gone. A program that masquerades, or releases addresses
    /// through the link, has other keys, or another address plugin.
    pub fn is_one_link(&self, network: &NetworkConfig) -> bool {
        const LINKS: [&str; 5] =
            [native::bridge::TYPE, native::macvlan::TYPE, native::ipvlan::TYPE, native::vlan::TYPE, native::ptp::TYPE];
        let [only] = network.plugins.as_slice() else { return false };
        let is_known = || native::find(only, &Enabled::ALL, &self.sockets).is_ok_and(|found| found.program.is_none());
        LINKS.contains(&only.kind.as_str()) && is_known()
    }

    /// Whether any plugin of `network` starts a program: it sees the disk, and may be slow.
    pub fn needs_programs(&self, network: &NetworkConfig) -> bool {
        network.plugins.iter().any(|plugin| self.starts_programs(plugin))
    }

    /// Whether `plugin` starts a program, itself or for its addresses.
    pub fn starts_programs(&self, plugin: &PluginConfig) -> bool {
        self.programs(plugin).next().is_some()
    }

    /// Finds out before any side effect whether a program is missing, or is none that can be executed.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::NotExecutable`] for the first one.
    pub fn present(&self, network: &NetworkConfig, path: &[PathBuf]) -> Result<(), Error> {
        let mut programs = network.plugins.iter().flat_map(|plugin| self.programs(plugin));
        programs.try_for_each(|kind| external::look(&kind, path))
    }

    /// The programs that run `plugin`.
    ///
    /// An IPAM program counts only where the plugin starts it on the node: Antrea, for one, has its
    /// `host-local` inside its agent.
    fn programs(&self, plugin: &PluginConfig) -> impl Iterator<Item = PluginType> {
        let programs = match native::find_with(plugin, &self.natives.enabled(), &self.sockets, self.lessor.as_ref()) {
            Ok(found) => [None, found.program.map(|(kind, _)| kind)],
            Err(_) => {
                let ipam = plugin.ipam.clone().filter(|_| STARTS_IPAM.contains(&plugin.kind.as_str()));
                [Some(plugin.kind.clone()), ipam]
            }
        };
        programs.into_iter().flatten()
    }
}

/// Who runs a plugin with its address plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runners {
    /// The plugin itself.
    pub main: Runner,
    /// Its address plugin; none where it has none.
    pub ipam: Option<Runner>,
}

/// Who runs one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// This process.
    Native,
    /// The program, and why.
    Program(Declined),
    /// The program of the plugin itself decides: most start the address plugin's program.
    AskedFor,
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Runner::Native => write!(f, "in this process"),
            Runner::Program(why) => write!(f, "by its program ({why})"),
            Runner::AskedFor => write!(f, "as that program asks it"),
        }
    }
}

/// Which plugin types run in this process: the `natives` of our configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Natives {
    others: bool,
    types: BTreeMap<String, bool>,
}

impl Natives {
    /// What the setting may name.
    pub const NAMES: [&str; 10] = [
        native::bridge::TYPE,
        native::macvlan::TYPE,
        native::ipvlan::TYPE,
        native::vlan::TYPE,
        native::ptp::TYPE,
        native::loopback::TYPE,
        ipam::host_local::TYPE,
        ipam::leased::TYPE,
        ipam::static_::TYPE,
        ipam::leased::whereabouts::TYPE,
    ];

    /// What is named and is not a built-in plugin of this release.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(String::as_str).filter(|kind| !Natives::NAMES.contains(kind))
    }

    /// Whether `kind` may run in this process. `whereabouts` has to be named.
    pub fn allow(&self, kind: &str) -> bool {
        let unnamed = self.others && kind != ipam::leased::whereabouts::TYPE;
        self.types.get(kind).copied().unwrap_or(unnamed)
    }

    fn enabled(&self) -> Enabled {
        Enabled {
            bridge: self.allow(native::bridge::TYPE),
            macvlan: self.allow(native::macvlan::TYPE),
            ipvlan: self.allow(native::ipvlan::TYPE),
            vlan: self.allow(native::vlan::TYPE),
            ptp: self.allow(native::ptp::TYPE),
            loopback: self.allow(native::loopback::TYPE),
            ipam: ipam::Enabled {
                host_local: self.allow(ipam::host_local::TYPE),
                leased: self.allow(ipam::leased::TYPE),
                static_: self.allow(ipam::static_::TYPE),
                whereabouts: self.allow(ipam::leased::whereabouts::TYPE),
            },
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
