//! Plugins in this process: what they make is what the reference plugins v1.9.1 make.
//!
//! [`find`] answers a native only when it understands every key of a configuration; all others go
//! to the program on disk. Natives differ from the reference in what they leave behind when they
//! fail (nothing), and where DEL and CHECK of the reference fail without a reason.

pub mod bridge;
pub mod ipvlan;
pub mod loopback;
pub mod macvlan;
pub mod ptp;
pub mod vlan;

mod cable;
mod interface;
mod parent;
mod plugin;
mod routes;
mod sockets;
mod verify;

pub(in crate::delegate) use plugin::Native;
pub use sockets::Sockets;

use super::Delegate;
use super::ipam::leased::Lessor;
use super::ipam::{self, Ipam};
use super::keys::{COMMON, Declined, Key, understand, unknown};
use super::prepare::Once;
use crate::cni::{PluginConfig, PluginType, RawObject};
use std::sync::{Arc, OnceLock};

/// Which natives are switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// `bridge`.
    pub bridge: bool,
    /// `macvlan`.
    pub macvlan: bool,
    /// `ipvlan`.
    pub ipvlan: bool,
    /// `vlan`.
    pub vlan: bool,
    /// `ptp`.
    pub ptp: bool,
    /// `loopback`.
    pub loopback: bool,
    /// The address plugins, where a native main plugin asks for addresses.
    pub ipam: ipam::Enabled,
}

impl Enabled {
    /// All of them.
    pub const ALL: Enabled = Enabled {
        bridge: true,
        macvlan: true,
        ipvlan: true,
        vlan: true,
        ptp: true,
        loopback: true,
        ipam: ipam::Enabled::ALL,
    };
}

/// The native for a plugin.
pub struct Found {
    /// It.
    pub native: Arc<dyn Delegate>,
    /// The address plugin it asks, where that is a program, and why it is.
    pub program: Option<(PluginType, Declined)>,
}

/// The natives with the keys each knows besides [`COMMON`]: also the source of their documentation.
pub const TABLES: &[(&str, &[Key])] = &[
    (bridge::TYPE, bridge::KEYS),
    (macvlan::TYPE, macvlan::KEYS),
    (ipvlan::TYPE, ipvlan::KEYS),
    (vlan::TYPE, vlan::KEYS),
    (ptp::TYPE, ptp::KEYS),
    (loopback::TYPE, &[]),
];

/// The native for `plugin`. Those that are to work one after the other share `sockets`.
///
/// # Errors
/// Why the program has to be called.
pub fn find(plugin: &PluginConfig, enabled: &Enabled, sockets: &Arc<Sockets>) -> Result<Found, Declined> {
    find_with(plugin, enabled, sockets, None)
}

/// As [`find`], on the node with the blocks of `lessor`.
///
/// # Errors
/// As [`find`].
pub fn find_with(
    plugin: &PluginConfig,
    enabled: &Enabled,
    sockets: &Arc<Sockets>,
    lessor: Option<&Arc<dyn Lessor>>,
) -> Result<Found, Declined> {
    let declined = || Declined::NoNative(plugin.kind.to_string());
    let (kind, keys) = TABLES.iter().find(|(kind, _)| *kind == plugin.kind.as_str()).ok_or_else(declined)?;
    let on = match *kind {
        bridge::TYPE => enabled.bridge,
        macvlan::TYPE => enabled.macvlan,
        ipvlan::TYPE => enabled.ipvlan,
        vlan::TYPE => enabled.vlan,
        ptp::TYPE => enabled.ptp,
        _ => enabled.loopback,
    };
    if !on {
        return Err(Declined::Off(kind));
    }
    understand(&plugin.object, &[COMMON, keys])?;
    // Go treats them as IPv4 addresses, the kernel and Rust do not.
    if plugin.object.mentions("::ffff:") {
        return Err(Declined::Needs { key: "::ffff:".to_owned(), why: "IPv4 addresses written as IPv6" });
    }
    let (ipam, program) = if *kind == loopback::TYPE { (None, None) } else { find_ipam(plugin, enabled.ipam, lessor)? };
    // A program may be slow: networks that are attached at the same time must not wait for each other's.
    let sockets = if program.is_some() { Arc::default() } else { Arc::clone(sockets) };
    let native: Arc<dyn Delegate> = match *kind {
        bridge::TYPE => {
            bridge::understand_parts(&plugin.object)?;
            Arc::new(bridge::Bridge { sockets, ipam, settings: Once::default(), seen: OnceLock::new() })
        }
        macvlan::TYPE => Arc::new(macvlan::MacVlan { sockets, ipam, settings: Once::default() }),
        ipvlan::TYPE => Arc::new(ipvlan::IpVlan { sockets, ipam, settings: Once::default() }),
        vlan::TYPE => Arc::new(vlan::Vlan { sockets, ipam, settings: Once::default() }),
        ptp::TYPE => Arc::new(ptp::Ptp { sockets, ipam }),
        _ => Arc::new(loopback::Loopback { sockets }),
    };
    Ok(Found { native, program })
}

/// What to say of a `key` that the native `kind` does not know.
pub fn unknown_key(kind: &str, key: &str) -> String {
    let own = TABLES.iter().find(|(native, _)| *native == kind).map_or(&[] as &[Key], |(_, keys)| keys);
    format!("{kind}: {}", unknown(key, &[COMMON, own]))
}

type FoundIpam = (Option<Box<dyn Ipam>>, Option<(PluginType, Declined)>);

/// The address plugin; the program where its own native does not take the section.
fn find_ipam(
    plugin: &PluginConfig,
    enabled: ipam::Enabled,
    lessor: Option<&Arc<dyn Lessor>>,
) -> Result<FoundIpam, Declined> {
    let section: Option<RawObject> = plugin
        .object
        .read("ipam")
        .map_err(|_| Declined::Needs { key: "ipam".to_owned(), why: "it is not an object" })?;
    let (Some(section), Some(kind)) = (section, &plugin.ipam) else { return Ok((None, None)) };
    Ok(match ipam::find_with(&section, kind.as_str(), enabled, lessor) {
        Ok(found) => (Some(found), None),
        Err(why) => (Some(Box::new(ipam::program(kind, &why))), Some((kind.clone(), why))),
    })
}

#[cfg(test)]
mod tests;
