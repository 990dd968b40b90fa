//! The result of ADD, in the shape of the newest version; other versions are converted at the edge.

use super::json::{InvalidJson, InvalidValue};
use super::version::{UnknownVersion, Version};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Why a text is no ADD result.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// Not JSON, or a member of the wrong type.
    #[error("no CNI result: {0}")]
    Json(#[from] InvalidJson),
    /// `cniVersion` is no text.
    #[error("no CNI result: {0}")]
    Value(#[from] InvalidValue),
    /// Its `cniVersion` is not one we speak.
    #[error(transparent)]
    Version(#[from] UnknownVersion),
    /// 0.1.0 and 0.2.0 need an address (CNI-CONV-04).
    #[error("a result without addresses cannot be written in CNI {0}")]
    NoAddress(Version),
}

/// What an ADD made (CNI-RES-01).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddResult {
    /// Every interface that was made, those on the host too (CNI-RES-02).
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub interfaces: Vec<Interface>,
    /// The addresses.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub ips: Vec<IpConfig>,
    /// The routes.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub routes: Vec<Route>,
    /// Name servers for the pod.
    #[serde(skip_serializing_if = "Dns::is_empty", deserialize_with = "null_is_default")]
    pub dns: Dns,
}

/// An interface of a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Its hardware address.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub mac: String,
    /// Its MTU, since 1.1.0.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub mtu: u32,
    /// `CNI_NETNS` for an interface of the container, empty on the host.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub sandbox: String,
    /// Path of a socket, since 1.1.0.
    #[serde(rename = "socketPath", skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub socket_path: String,
    /// PCI address, since 1.1.0.
    #[serde(rename = "pciID", skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub pci_id: String,
}

/// An address of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IpConfig {
    /// Address and prefix length.
    pub address: IpNet,
    /// The gateway of its subnet.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub gateway: Option<IpAddr>,
    /// Index into `interfaces`; old results say -1 for none (CNI-RES-03).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<i64>,
}

/// A route of a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Destination.
    pub dst: IpNet,
    /// Next hop; none means the gateway of an address may be used (CNI-RES-04).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    pub gw: Option<IpAddr>,
    /// Path MTU.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub mtu: u32,
    /// Maximal segment size to advertise.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub advmss: u32,
    /// Metric: the lower is preferred.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    pub priority: u32,
    /// Routing table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Kernel scope: 0 global, 253 link, 254 host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

/// The `dns` of a result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses of name servers.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub nameservers: Vec<String>,
    /// Local domain.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub domain: String,
    /// Search list.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub search: Vec<String>,
    /// Resolver options.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is said at all.
    pub fn is_empty(&self) -> bool {
        *self == Dns::default()
    }
}

impl AddResult {
    /// The first interface inside the container.
    pub fn sandbox_interface(&self) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| !interface.sandbox.is_empty())
    }

    /// The interface that `ip` belongs to, where the result says so.
    pub fn interface_of(&self, ip: &IpConfig) -> Option<&Interface> {
        ip.interface.and_then(|index| usize::try_from(index).ok()).and_then(|index| self.interfaces.get(index))
    }
}

impl Route {
    /// A route with nothing said of it but where it leads.
    pub fn to(dst: IpNet, gw: Option<IpAddr>) -> Self {
        Route { dst, gw, mtu: 0, advmss: 0, priority: 0, table: None, scope: None }
    }

    /// Whether this is a default route: the whole of a family, not merely an address of zeros, in the main table
    /// (254; the kernel reads 0 as that). Another table is only for packets that a rule sends there.
    pub fn is_default(&self) -> bool {
        self.dst.prefix_len() == 0 && matches!(self.table, None | Some(0 | 254))
    }
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// Go writes `null` for an empty list, and reads it as nothing everywhere.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Go writes an absent address as an empty text.
pub(super) fn empty_is_none<'de, D>(deserializer: D) -> Result<Option<IpAddr>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None | Some("" | "<nil>") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}
