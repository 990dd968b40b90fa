//! What all native delegates read from their configuration and call.

use super::Call;
use super::failure::Failure;
use crate::cni::result::{Dns, Route};
use crate::cni::{AddResult, ContainerId, IfName, RawObject, Version};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

/// The configuration a native is handed, with the keys that all share.
#[derive(Debug)]
pub struct Stdin {
    /// Every key.
    pub object: RawObject,
    /// The version of the answer.
    pub version: Version,
    /// The network's name.
    pub network: String,
}

impl Stdin {
    /// Reads the configuration of `call`.
    ///
    /// # Errors
    /// It is no JSON object, or of a version we do not speak.
    pub fn parse(call: &Call<'_>) -> Result<Self, Failure> {
        let object = RawObject::parse(&call.stdin)?;
        let declared = object.read::<String>("cniVersion")?.unwrap_or_default();
        Ok(Stdin { version: Version::from_str(&declared)?, network: object.read("name")?.unwrap_or_default(), object })
    }

    /// The section `key`; empty where it is missing.
    ///
    /// # Errors
    /// It is no object.
    pub fn section(&self, key: &str) -> Result<RawObject, Failure> {
        Ok(self.object.read(key)?.unwrap_or_default())
    }

    /// `args.cni`.
    ///
    /// # Errors
    /// One of the two is no object.
    pub fn cni_args(&self) -> Result<RawObject, Failure> {
        Ok(self.section("args")?.read("cni")?.unwrap_or_default())
    }

    /// The result of the plugin before, or of ADD.
    ///
    /// # Errors
    /// It is no result.
    pub fn prev_result(&self) -> Result<Option<AddResult>, Failure> {
        let raw = self.object.get("prevResult").filter(|raw| raw.get() != "null");
        Ok(raw.map(|raw| AddResult::parse(raw.get(), self.version)).transpose()?)
    }

    /// As [`Stdin::prev_result`] where CHECK cannot do without.
    ///
    /// # Errors
    /// There is none.
    pub fn required_prev_result(&self) -> Result<AddResult, Failure> {
        self.prev_result()?.ok_or_else(|| Failure::Config("prevResult is missing".to_owned()))
    }

    /// The configured `dns`, and whether it says anything: even an empty list does.
    ///
    /// # Errors
    /// A member of the wrong type.
    pub fn dns(&self) -> Result<(Dns, bool), Failure> {
        read_dns(&self.section("dns")?)
    }

    /// `result` as the answer.
    ///
    /// # Errors
    /// It cannot be said in the version of the configuration.
    pub fn answer(&self, result: &AddResult) -> Result<Box<RawValue>, Failure> {
        Ok(result.to_raw(self.version)?)
    }
}

/// Reads a `dns` section, and whether it says anything.
///
/// # Errors
/// A member of the wrong type.
pub fn read_dns(section: &RawObject) -> Result<(Dns, bool), Failure> {
    let list = |key: &str| section.read::<Vec<String>>(key);
    let (nameservers, search, options) = (list("nameservers")?, list("search")?, list("options")?);
    let domain: String = section.read("domain")?.unwrap_or_default();
    let says_something = nameservers.is_some() || search.is_some() || options.is_some() || !domain.is_empty();
    let dns = Dns {
        nameservers: nameservers.unwrap_or_default(),
        domain,
        search: search.unwrap_or_default(),
        options: options.unwrap_or_default(),
    };
    Ok((dns, says_something))
}

/// Reads the list `key` of routes.
///
/// # Errors
/// It is no list of routes.
pub fn read_routes(section: &RawObject, key: &str) -> Result<Vec<Route>, Failure> {
    let listed: Vec<RawObject> = section.read(key)?.unwrap_or_default();
    listed.iter().map(|route| read_route(route).map_err(|e| Failure::Config(format!("{key}: {e}")))).collect()
}

fn read_route(route: &RawObject) -> Result<Route, Failure> {
    Ok(Route {
        dst: route.read::<IpNet>("dst")?.ok_or_else(|| Failure::Config("one has no dst".to_owned()))?,
        gw: read_ip(route, "gw")?,
        mtu: route.read("mtu")?.unwrap_or_default(),
        advmss: route.read("advmss")?.unwrap_or_default(),
        priority: route.read("priority")?.unwrap_or_default(),
        table: route.read("table")?,
        scope: route.read("scope")?,
    })
}

/// The address `key`; an empty text is none, and an IPv4 address written as one of IPv6 is that, as in Go.
///
/// # Errors
/// It is not an address.
pub fn read_ip(section: &RawObject, key: &str) -> Result<Option<IpAddr>, Failure> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "an IP address expected")]
    enum Form {
        Address(IpAddr),
        Empty(Empty),
    }
    #[derive(Deserialize)]
    enum Empty {
        #[serde(rename = "")]
        Nothing,
    }
    Ok(section.read::<Form>(key)?.and_then(|form| match form {
        Form::Address(address) => Some(address.to_canonical()),
        Form::Empty(Empty::Nothing) => None,
    }))
}

/// The container and the interface of a call.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The container.
    pub container_id: &'a ContainerId,
    /// Its interface.
    pub ifname: &'a IfName,
}

impl<'a> Target<'a> {
    /// What `call` is about.
    ///
    /// # Errors
    /// It is about nothing in particular.
    pub fn of(call: &Call<'a>) -> Result<Self, Failure> {
        let container_id = call.scope.container_id.ok_or(Failure::Incomplete("container ID"))?;
        let ifname = call.scope.ifname.ok_or(Failure::Incomplete("interface name"))?;
        Ok(Target { container_id, ifname })
    }
}

/// The namespace's path of `call`.
///
/// # Errors
/// It has none.
pub fn netns_path<'a>(call: &Call<'a>) -> Result<&'a Path, Failure> {
    call.scope.netns.ok_or(Failure::Incomplete("network namespace"))
}

/// The values of `known` in CNI_ARGS, judged as the reference plugins do: a pair has one `=`, and
/// without `IgnoreUnknown` no other key may be there.
///
/// # Errors
/// CNI_ARGS are not as the plugin wants them.
pub fn read_cni_args<const N: usize>(call: &Call<'_>, known: [&str; N]) -> Result<[Option<String>; N], Failure> {
    let text = call.scope.args.to_string();
    let (mut values, mut unknown, mut ignore) = ([const { None }; N], Vec::new(), false);
    for pair in text.split(';').filter(|_| !text.is_empty()) {
        let mut parts = pair.split('=');
        let (Some(name), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Failure::Config(format!("CNI_ARGS: {pair:?} is not a pair key=value")));
        };
        match (known.iter().position(|key| *key == name), name) {
            (Some(at), _) => values[at] = Some(value.to_owned()),
            (None, "IgnoreUnknown") => ignore = read_bool(value)?,
            (None, _) => unknown.push(pair),
        }
    }
    if !unknown.is_empty() && !ignore {
        return Err(Failure::Config(format!("CNI_ARGS: unknown keys: {}", unknown.join(", "))));
    }
    Ok(values.map(|value| value.filter(|value| !value.is_empty())))
}

fn read_bool(value: &str) -> Result<bool, Failure> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Failure::Config(format!("CNI_ARGS: IgnoreUnknown is {value:?}, not true or false"))),
    }
}
