//! Address plugins: in this process or a program, behind one trait.

pub mod address;
pub mod host_local;
pub mod leased;
mod plugin;
mod program;
mod requested;
pub mod static_;

pub use plugin::{Foreseen, Ipam, is_everywhere};
pub use program::Program;
pub use requested::asked_by;

use super::failure::Failure;
use super::keys::{Declined, Key, nearest, understand, unknown};
use crate::cni::RawObject;
use leased::{Lessor, whereabouts};
use std::sync::Arc;

/// Which address plugins run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// `host-local`.
    pub host_local: bool,
    /// `plexus-ipam`.
    pub leased: bool,
    /// `static`.
    pub static_: bool,
    /// Sections of `whereabouts`, as pools of the cluster.
    pub whereabouts: bool,
}

impl Enabled {
    /// All that run where nobody chooses. `whereabouts` is the program of a service that may run in the cluster: two of
    /// them would give one address twice.
    pub const ALL: Enabled = Enabled { host_local: true, leased: true, static_: true, whereabouts: false };
}

/// Judges the section `ipam` of a plugin that starts the program it names: an address plugin that nobody calls is not
/// missed before the pod has no address.
///
/// # Errors
/// It is no object, or has keys and no `type`.
pub fn judge_section(plugin: &RawObject) -> Result<(), Failure> {
    let section: RawObject = plugin.read("ipam")?.unwrap_or_default();
    let named = section.read::<String>("type")?.is_some_and(|kind| !kind.is_empty());
    match section.iter().map(|(key, _)| key).find(|key| !key.eq_ignore_ascii_case("type")) {
        Some(key) if !named => {
            Err(Failure::Config(format!("ipam has {key:?} and no \"type\", which names its plugin")))
        }
        _ => judge_mapped(&section),
    }
}

/// The reference reads a subnet of `host-local` that is IPv4 written as IPv6, and then never takes an address from it.
/// Here it is left to the program, because others of its addresses may be written so.
fn judge_mapped(section: &RawObject) -> Result<(), Failure> {
    if section.read::<String>("type")?.as_deref() != Some(host_local::TYPE) {
        return Ok(());
    }
    // What cannot be read is another error, which whatever runs it reports.
    let sets: Vec<Vec<RawObject>> = section.read("ranges").ok().flatten().unwrap_or_default();
    for range in std::iter::once(section).chain(sets.iter().flatten()) {
        if let Some(text) = range.read::<String>("subnet").ok().flatten()
            && let Ok(ipnet::IpNet::V6(subnet)) = text.parse()
            && let Some(v4) = subnet.addr().to_ipv4_mapped()
        {
            let length = subnet.prefix_len().checked_sub(96);
            let meant = length.map(|length| format!(", write {v4}/{length}")).unwrap_or_default();
            return Err(Failure::Config(format!("ipam: subnet {text} is of IPv4 and written as IPv6{meant}")));
        }
    }
    Ok(())
}

/// What to say of a `key` that the address plugin `kind` does not know.
pub fn unknown_key(kind: &str, key: &str) -> String {
    format!("ipam of type {kind}: {}", unknown(key, tables(kind)))
}

/// Every key of an address plugin of this process, in its section and the lists of it.
pub fn tables(kind: &str) -> &'static [&'static [Key]] {
    match kind {
        host_local::TYPE => &[host_local::KEYS, host_local::RANGE_KEYS, static_::ROUTE_KEYS],
        leased::TYPE => &[leased::KEYS, static_::ROUTE_KEYS],
        static_::TYPE => &[static_::KEYS, static_::ADDRESS_KEYS, static_::ROUTE_KEYS],
        whereabouts::TYPE => &[whereabouts::KEYS, whereabouts::RANGE_KEYS, static_::ADDRESS_KEYS, static_::ROUTE_KEYS],
        _ => &[],
    }
}

/// The program `kind`, to which the section is left because of a `key`. If that is one of the native's keys with a slip,
/// the program knows it no more than the native, which therefore judges the rest.
pub fn program(kind: &crate::cni::PluginType, why: &Declined) -> Program {
    let Declined::Unknown(key) = why else { return Program::new(kind.clone()) };
    let judge: Option<Box<dyn Ipam>> = match kind.as_str() {
        _ if nearest(key, tables(kind.as_str())).is_none() => None,
        host_local::TYPE => Some(Box::new(host_local::HostLocal::default())),
        static_::TYPE => Some(Box::new(static_::Static::default())),
        _ => None,
    };
    Program { judge: judge.map(|judge| (judge, unknown_key(kind.as_str(), key))), kind: kind.clone() }
}

/// The address plugin of this process for the section `ipam`.
///
/// # Errors
/// Why it is left to the program.
pub fn find(ipam: &RawObject, kind: &str, enabled: Enabled) -> Result<Box<dyn Ipam>, Declined> {
    find_with(ipam, kind, enabled, None)
}

/// As [`find`], on the node with the blocks of `lessor`.
///
/// # Errors
/// As [`find`].
pub fn find_with(
    ipam: &RawObject,
    kind: &str,
    enabled: Enabled,
    lessor: Option<&Arc<dyn Lessor>>,
) -> Result<Box<dyn Ipam>, Declined> {
    match kind {
        host_local::TYPE if !enabled.host_local => Err(Declined::Off(host_local::TYPE)),
        leased::TYPE if !enabled.leased => Err(Declined::Off(leased::TYPE)),
        static_::TYPE if !enabled.static_ => Err(Declined::Off(static_::TYPE)),
        whereabouts::TYPE if !enabled.whereabouts => Err(Declined::NotChosen(whereabouts::TYPE)),
        host_local::TYPE => {
            understand(ipam, &[host_local::KEYS])?;
            host_local::understand_parts(ipam)?;
            Ok(Box::new(host_local::HostLocal::default()))
        }
        leased::TYPE => {
            understand(ipam, &[leased::KEYS])?;
            leased::understand_parts(ipam)?;
            Ok(Box::new(leased::Leased::new(leased::TYPE, lessor.cloned())))
        }
        static_::TYPE => {
            understand(ipam, &[static_::KEYS])?;
            static_::understand_parts(ipam)?;
            Ok(Box::new(static_::Static::default()))
        }
        // It passes over what it does not know, as whereabouts does.
        whereabouts::TYPE => Ok(Box::new(leased::Leased::new(whereabouts::TYPE, lessor.cloned()))),
        other => Err(Declined::NoNative(other.to_owned())),
    }
}
