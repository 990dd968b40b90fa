//! What a built-in plugin would refuse of a configuration, on any node: the code that judges before each ADD is asked.

use crate::cni::{NetworkConfig, PluginConfig, RawObject};
use crate::delegate::keys::Declined;
use crate::delegate::native::{self, Enabled};
use crate::delegate::registry::Natives;
use crate::delegate::{Registry, ipam};
use std::sync::Arc;

/// So many keys are left out at most.
const MOST: usize = 32;

/// Why the built-in plugin would refuse `plugin`, the first of `network`; none where it would not, and for other plugins.
///
/// A key that sends a configuration to the program is left out: the program judges the others alike.
pub fn refusal(network: &NetworkConfig, plugin: &PluginConfig) -> Option<String> {
    let plugin = understood(plugin)?;
    let alone = NetworkConfig { plugins: vec![plugin], ..network.clone() };
    let registry = Registry::new(Natives::default());
    registry.judge(&alone, None).err().map(|e| e.to_cni().msg)
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
