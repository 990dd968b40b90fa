//! A network of this node, and what it lacks here: judged by the code that judges in ADD.

use crate::api::{PoolsTaken, RunDirectory};
use crate::cli::directories::RuntimeDirectories;
use crate::cli::lint::judgement;
use crate::cli::natives;
use crate::cni::NetworkConfig;
use crate::delegate::Registry;
use crate::delegate::ipam::leased;
use crate::engine::cleanup::pools::{self, Pool};
use crate::engine::planning::default_network;
use crate::engine::planning::refusals::recursion;
use crate::engine::{Settings, node};
use crate::ipam::PoolName;
use crate::nad::Definition;
use crate::sys::netlink::Socket;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Plugins that need a link of the node, and the key that names it.
const MASTERS: [(&str, &str); 5] =
    [("macvlan", "master"), ("ipvlan", "master"), ("vlan", "master"), ("host-device", "device"), ("ipoib", "master")];

/// A network of this node, and what it lacks.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Whether it is the default network.
    pub default: bool,
    /// Why it cannot be read.
    pub error: Option<String>,
    /// It is the default network, and the plugin uses its last good copy until it can be read.
    pub has_last_good: bool,
    /// The program that is missing or cannot be executed, as ADD names it.
    pub missing_program: Option<String>,
    /// The link that is missing.
    pub missing_master: Option<String>,
    /// Why a built-in plugin would refuse it for every pod.
    pub refused: Option<String>,
    /// Why its pool gives no address.
    pub unusable_pool: Option<String>,
    /// A key that nobody knows, as ADD names it.
    pub unknown_key: Option<String>,
    /// The pools of the cluster from which Plexus gives it addresses.
    pub address_pools: Vec<PoolName>,
}

/// The pools of `host-local` that the networks of a node have.
#[derive(Clone, Debug, Default)]
pub struct Pools {
    /// Those whose addresses were counted.
    pub known: Vec<Pool>,
    /// How many were not.
    pub unseen: usize,
    /// How long ago the plugin counted them; none if that was now, or never.
    pub age: Option<Duration>,
}

/// The networks of the node and their pools. `is_on_host`: what only root on the node sees is looked at, too: addresses
/// of bridges, directories of pools.
pub fn look(
    settings: &Settings,
    directories: &RuntimeDirectories,
    definitions: &[Definition],
    is_on_host: bool,
    run: &RunDirectory,
) -> (Vec<Network>, Pools) {
    let found = natives::of_definitions(settings, definitions);
    let mut path: Vec<PathBuf> = settings.bin_dir.iter().cloned().collect();
    path.push(directories.cni_bin_dir.clone());
    let registry = Registry::new(settings.natives.clone());
    let made = found.iter().filter_map(|one| one.config.as_ref()).filter_map(made_bridge).collect();
    let pools = pools(&found, if is_on_host { None } else { Some(pools::left(run)) });
    let mut eye = Eye { settings, registry, path, socket: Socket::in_own().ok(), is_on_host, made };
    (found.into_iter().map(|one| eye.look(one)).collect(), pools)
}

/// The pools of the networks `found`. Who does not see their directories has what the plugin counted: `left`.
fn pools(found: &[natives::Network], left: Option<Option<(PoolsTaken, Duration)>>) -> Pools {
    let age = left.as_ref().and_then(Option::as_ref).map(|(_, age)| *age);
    let mut all = Pools { age, ..Pools::default() };
    for config in found.iter().filter_map(|one| Some((&one.network, one.config.as_ref()?))) {
        let (name, config) = config;
        let Some(pool) = Pool::of(name, config) else { continue };
        let known = match &left {
            None => Some(pool),
            Some(left) => left.as_ref().and_then(|(counts, _)| pool.counted(config, counts)),
        };
        match known {
            Some(pool) => all.known.push(pool),
            None => all.unseen += 1,
        }
    }
    all
}

struct Eye<'a> {
    settings: &'a Settings,
    registry: Registry,
    path: Vec<PathBuf>,
    socket: Option<Socket>,
    is_on_host: bool,
    /// The bridges that a pod's earlier network can make.
    made: BTreeSet<String>,
}

impl Eye<'_> {
    fn look(&mut self, network: natives::Network) -> Network {
        let name = network.network;
        let has_last_good = network.default && network.error.is_some() && default_network::has_last_good(self.settings);
        let seen = Network { default: network.default, error: network.error, has_last_good, ..Network::default() };
        let Some(config) = &network.config else { return Network { name, ..seen } };
        let endless = recursion::names_itself(config).map(|kind| format!("it delegates to {kind}"));
        // A NAD is called by its namespace, too; another one is the operator's own.
        let is_operators = !name.contains('/');
        let missing_master = self.socket.as_mut().and_then(|socket| missing_master(config, socket));
        // It comes with the first pod of that network.
        let is_made = missing_master.as_ref().is_some_and(|name| self.made.contains(name));
        let pool = |eye: &Self| node::unusable_pool(eye.settings, &eye.registry, config, is_operators, true);
        Network {
            has_last_good: seen.has_last_good,
            error: seen.error.or(endless),
            missing_program: self.registry.present(config, &self.path).err().map(|e| e.to_string()),
            missing_master: missing_master.filter(|_| !is_made),
            refused: self.refusal(config, !is_made),
            unusable_pool: if self.is_on_host { pool(self) } else { None },
            address_pools: leased::pools(config).into_iter().filter(|pool| self.gives(pool)).collect(),
            unknown_key: config.plugins.iter().find_map(|one| self.registry.unknown_key(one)),
            default: seen.default,
            name,
        }
    }

    /// Whether Plexus gives addresses of `pool` here. Those that sections of whereabouts imply have its own program otherwise.
    fn gives(&self, pool: &PoolName) -> bool {
        !pool.is_implied() || self.settings.natives.allow(leased::whereabouts::TYPE)
    }

    /// A program judges as the built-in plugin does, but for the keys that this one does not take.
    /// With `looks` at the links of the node.
    fn refusal(&mut self, config: &NetworkConfig, looks: bool) -> Option<String> {
        let host = self.socket.as_mut().filter(|_| self.is_on_host && looks);
        let refused = node::refusal(&self.registry, config, host).map(|error| error.to_cni().msg);
        let first = config.plugins.first()?;
        refused.or_else(|| judgement::refusal(config, first).filter(|_| !node::is_given_addresses(first)))
    }
}

/// The bridge that `network` makes on the node.
fn made_bridge(network: &NetworkConfig) -> Option<String> {
    let plugin = network.plugins.iter().find(|plugin| plugin.kind.as_str() == "bridge")?;
    plugin.object.read::<String>("bridge").ok().flatten()
}

/// The first link of the node that `network` needs and that does not exist.
fn missing_master(network: &NetworkConfig, socket: &mut Socket) -> Option<String> {
    network.plugins.iter().find_map(|plugin| {
        let (_, key) = MASTERS.iter().find(|(kind, _)| *kind == plugin.kind.as_str())?;
        let is_inside = plugin.object.read::<bool>("linkInContainer").ok().flatten().unwrap_or_default();
        let name = plugin.object.read::<String>(key).ok().flatten().filter(|name| !name.is_empty() && !is_inside)?;
        // A link that cannot be asked for is not missing.
        matches!(socket.link_by_name(&name), Ok(None)).then_some(name)
    })
}
