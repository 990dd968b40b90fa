//! Plugins in this process: what they make is what the reference plugins v1.9.1 make.
//!
//! [`find`] answers a native only when it understands every key of a configuration; all others go
//! to the program on disk. Natives differ from the reference in what they leave behind when they
//! fail (nothing), and where DEL and CHECK of the reference fail without a reason.

pub mod bridge;
pub mod ipvlan;
pub mod loopback;
pub mod macvlan;

mod interface;
mod parent;
mod sockets;
mod verify;

pub use sockets::Sockets;

use super::ipam::{self, Ipam};
use super::keys::{COMMON, Declined, Key, understand};
use super::{Call, Delegate, Error, failure::Failure};
use crate::cni::{PluginConfig, PluginType, RawObject};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Which natives are switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// `bridge`.
    pub bridge: bool,
    /// `macvlan`.
    pub macvlan: bool,
    /// `ipvlan`.
    pub ipvlan: bool,
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
        loopback: true,
        ipam: ipam::Enabled { host_local: true, static_: true },
    };
}

/// Makes the address plugin of a type that is a program.
pub type ExternalIpam<'a> = &'a dyn Fn(&PluginType) -> Box<dyn Ipam>;

/// What the natives do, in a form that shares the rest of [`Delegate`].
trait Native {
    /// Its `type`.
    fn kind(&self) -> &'static str;
    /// Attaches, or leaves nothing behind.
    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Failure>;
    /// Detaches what may already be detached.
    fn del(&self, call: &Call<'_>) -> Result<(), Failure>;
    /// Compares.
    fn check(&self, call: &Call<'_>) -> Result<(), Failure>;
    /// The address plugin it asks.
    fn ipam(&self) -> Option<&dyn Ipam>;
}

impl<N: Native> Delegate for N {
    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Error> {
        Native::add(self, call).map_err(|e| e.of(self.kind()))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Error> {
        Native::del(self, call).map_err(|e| e.of(self.kind()))
    }

    fn check(&self, call: &Call<'_>) -> Result<(), Error> {
        Native::check(self, call).map_err(|e| e.of(self.kind()))
    }

    fn status(&self, call: &Call<'_>) -> Result<(), Error> {
        self.ipam().map_or(Ok(()), |ipam| ipam.status(call))
    }

    /// The reference plugins do not pass GC on, so that addresses of lost pods stay taken for ever.
    fn gc(&self, call: &Call<'_>) -> Result<(), Error> {
        self.ipam().map_or(Ok(()), |ipam| ipam.gc(call))
    }
}

/// The natives with the keys each knows besides [`COMMON`]: also the source of their documentation.
pub const TABLES: &[(&str, &[Key])] = &[
    (bridge::TYPE, bridge::KEYS),
    (macvlan::TYPE, macvlan::KEYS),
    (ipvlan::TYPE, ipvlan::KEYS),
    (loopback::TYPE, &[]),
];

/// The native for `plugin`.
///
/// Without `external` a configuration whose address plugin is a program is declined too.
///
/// # Errors
/// Why the program has to be called.
pub fn find(
    plugin: &PluginConfig,
    enabled: &Enabled,
    sockets: &Arc<Sockets>,
    external: Option<ExternalIpam<'_>>,
) -> Result<Box<dyn Delegate>, Declined> {
    let declined = || Declined::NoNative(plugin.kind.to_string());
    let (kind, keys) = TABLES.iter().find(|(kind, _)| *kind == plugin.kind.as_str()).ok_or_else(declined)?;
    let on = match *kind {
        bridge::TYPE => enabled.bridge,
        macvlan::TYPE => enabled.macvlan,
        ipvlan::TYPE => enabled.ipvlan,
        _ => enabled.loopback,
    };
    if !on {
        return Err(Declined::Off(kind));
    }
    understand(&plugin.object, &[COMMON, keys])?;
    // Go treats them as IPv4 addresses, the kernel and Rust do not.
    if plugin.object.to_json().to_ascii_lowercase().contains("::ffff:") {
        return Err(Declined::Needs { key: "::ffff:".to_owned(), why: "IPv4 addresses written as IPv6" });
    }
    let sockets = Arc::clone(sockets);
    Ok(match *kind {
        bridge::TYPE => {
            bridge::understand_parts(&plugin.object)?;
            Box::new(bridge::Bridge { sockets, ipam: find_ipam(plugin, enabled.ipam, external)? })
        }
        macvlan::TYPE => Box::new(macvlan::MacVlan { sockets, ipam: find_ipam(plugin, enabled.ipam, external)? }),
        ipvlan::TYPE => Box::new(ipvlan::IpVlan { sockets, ipam: find_ipam(plugin, enabled.ipam, external)? }),
        _ => Box::new(loopback::Loopback { sockets }),
    })
}

type FoundIpam = Option<Box<dyn Ipam>>;

fn find_ipam(plugin: &PluginConfig, enabled: ipam::Enabled, external: Option<ExternalIpam<'_>>) -> Result<FoundIpam, Declined> {
    let section: Option<RawObject> = plugin
        .object
        .read("ipam")
        .map_err(|_| Declined::Needs { key: "ipam".to_owned(), why: "it is no object" })?;
    let (Some(section), Some(kind)) = (section, &plugin.ipam) else { return Ok(None) };
    match (ipam::find(&section, kind.as_str(), enabled), external) {
        (Ok(found), _) => Ok(Some(found)),
        (Err(_), Some(external)) => Ok(Some(external(kind))),
        (Err(declined), None) => Err(declined),
    }
}

#[cfg(test)]
mod tests;
