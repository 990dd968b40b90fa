//! What a built-in plugin would refuse of a configuration, on any node: the code that judges before each ADD is asked.

use crate::cni::{CniArgs, ContainerId, IfName, NetworkConfig, PluginConfig, RawObject};
use crate::delegate::keys::Declined;
use crate::delegate::native::{self, Enabled};
use crate::delegate::registry::Natives;
use crate::delegate::{Ground, Registry, Scope, SeenLinks, ipam};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many keys are left out at most.
const MOST: usize = 32;

/// Why the built-in plugin would refuse `plugin`, the first of `network`; none where it would not, and for other plugins.
///
/// A key that sends a configuration to the program is left out: the program judges the others alike.
pub fn refusal(network: &NetworkConfig, plugin: &PluginConfig) -> Option<String> {
    let plugin = understood(plugin)?;
    let alone = NetworkConfig { plugins: vec![plugin], ..network.clone() };
    let (args, capabilities) = (CniArgs::parse(""), RawObject::default());
    let (container, ifname) = (ContainerId::new("lint").ok()?, IfName::new("net1").ok()?);
    let patience = Duration::from_secs(5);
    let scope = Scope {
        container_id: Some(&container),
        ifname: Some(&ifname),
        netns: None,
        args: &args,
        path: &[],
        patience,
        deadline: Instant::now() + patience,
        is_first: false,
        lock: None,
    };
    let (host, inside, seen) = (None, None, &mut SeenLinks::default());
    let mut ground = Ground { is_first: true, host, inside, seen, is_made_before: &|_| false };
    let registry = Registry::new(Natives::default());
    registry.prepare(&alone, &capabilities, &scope, &mut ground).err().map(|e| e.to_cni().msg)
}

/// `plugin` without the keys that its built-in version does not take; none where there is none.
fn understood(plugin: &PluginConfig) -> Option<PluginConfig> {
    let mut plugin = plugin.clone();
    for _ in 0..MOST {
        let mut object = plugin.object.clone();
        match native::find(&plugin, &Enabled::ALL, &Arc::default()) {
            Ok(_) => {
                let section: Option<RawObject> = plugin.object.read("ipam").ok().flatten();
                let Some((mut section, kind)) = section.zip(plugin.ipam.clone()) else { return Some(plugin) };
                match ipam::find(&section, kind.as_str(), ipam::Enabled::ALL) {
                    Err(Declined::Unknown(key)) if section.contains(&key) => section.remove(&key),
                    _ => return Some(plugin),
                }
                object.set_value("ipam", &section);
            }
            Err(Declined::Unknown(key) | Declined::Needs { key, .. }) if object.contains(&key) => object.remove(&key),
            Err(_) => return None,
        }
        plugin = PluginConfig::new(object).ok()?;
    }
    None
}
