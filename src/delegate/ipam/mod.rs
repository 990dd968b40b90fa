//! Address plugins: in this process or a program, behind one trait.

pub mod address;
pub mod host_local;
mod program;
pub mod static_;

pub use program::Program;

use super::failure::Failure;
use super::keys::{Declined, Key, nearest, understand, unknown};
use super::prepare::Reached;
use super::{Call, Error};
use crate::cni::result::{IpConfig, Route};
use crate::cni::{AddResult, RawObject};
use ipnet::IpNet;
use std::net::IpAddr;

/// A plugin that another one asks for addresses. It is handed the same call as that one (CNI-DLG-02).
pub trait Ipam: Send + Sync {
    /// Judges what ADD will be called with, and takes nothing. A program cannot be asked.
    ///
    /// # Errors
    /// ADD could not succeed.
    fn prepare(&self, _call: &Call<'_>) -> Result<Foreseen, Error> {
        Ok(Foreseen::default())
    }

    /// Takes addresses.
    ///
    /// # Errors
    /// There is none, and none was taken.
    fn add(&self, call: &Call<'_>) -> Result<AddResult, Error>;

    /// Gives back what the attachment has; nothing to give back is success.
    ///
    /// # Errors
    /// Something is still taken.
    fn del(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Whether they are given back through the attachment's link, which therefore has to be there still.
    fn needs_link(&self) -> bool {
        false
    }

    /// Are they still taken?
    ///
    /// # Errors
    /// They are not.
    fn check(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Could one be taken?
    ///
    /// # Errors
    /// Not now.
    fn status(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Gives back what belongs to no valid attachment.
    ///
    /// # Errors
    /// Something could not be given back.
    fn gc(&self, call: &Call<'_>) -> Result<(), Error>;
}

/// Which address plugins run in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// `host-local`.
    pub host_local: bool,
    /// `static`.
    pub static_: bool,
}

impl Enabled {
    /// All of them.
    pub const ALL: Enabled = Enabled { host_local: true, static_: true };
}

/// What is known of the addresses before they are taken.
#[derive(Clone, Debug, Default)]
pub struct Foreseen {
    /// The addresses, where they do not depend on what is free.
    pub ips: Vec<IpConfig>,
    /// The subnets they will be in; none where that is not known.
    pub subnets: Reached,
    /// Their gateways.
    pub gateways: Vec<IpAddr>,
    /// The routes.
    pub routes: Vec<Route>,
}

impl Foreseen {
    /// Whether `gateway` may be reached for the route to `dst`; so it may where nobody knows.
    pub fn reaches(&self, gateway: IpAddr, dst: &IpNet) -> bool {
        // Another route may lead there; the kernel decides in which order.
        let led = || self.routes.iter().any(|r| r.dst != *dst && r.dst.prefix_len() > 0 && r.dst.contains(&gateway));
        is_everywhere(gateway)
            || led()
            || self.subnets.as_ref().is_none_or(|subnets| subnets.iter().any(|subnet| subnet.contains(&gateway)))
    }

    /// What is reached over the interface without a gateway, by the subnets and by routes.
    pub fn reached(self) -> Reached {
        let led = self.routes.into_iter().map(|route| route.dst).filter(|dst| dst.prefix_len() > 0);
        self.subnets.map(|subnets| subnets.into_iter().chain(led).collect())
    }
}

/// Whether a gateway needs no subnet: it stands for none, or every IPv6 interface reaches it.
pub fn is_everywhere(gateway: IpAddr) -> bool {
    gateway.is_unspecified() || matches!(gateway, IpAddr::V6(gateway) if gateway.is_unicast_link_local())
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
        _ => Ok(()),
    }
}

/// What to say of a `key` that the address plugin `kind` does not know.
pub fn unknown_key(kind: &str, key: &str) -> String {
    format!("ipam of type {kind}: {}", unknown(key, tables(kind)))
}

/// Every key of an address plugin of this process, in its section and the lists of it.
pub fn tables(kind: &str) -> &'static [&'static [Key]] {
    match kind {
        host_local::TYPE => &[host_local::KEYS, host_local::RANGE_KEYS, static_::ROUTE_KEYS],
        static_::TYPE => &[static_::KEYS, static_::ADDRESS_KEYS, static_::ROUTE_KEYS],
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
    match kind {
        host_local::TYPE if !enabled.host_local => Err(Declined::Off(host_local::TYPE)),
        static_::TYPE if !enabled.static_ => Err(Declined::Off(static_::TYPE)),
        host_local::TYPE => {
            understand(ipam, &[host_local::KEYS])?;
            host_local::understand_parts(ipam)?;
            Ok(Box::new(host_local::HostLocal::default()))
        }
        static_::TYPE => {
            understand(ipam, &[static_::KEYS])?;
            static_::understand_parts(ipam)?;
            Ok(Box::new(static_::Static::default()))
        }
        other => Err(Declined::NoNative(other.to_owned())),
    }
}
