//! Results between the shapes of the specification's versions (CNI-CONV).

use super::json::{self, InvalidJson, RawObject};
use super::result::{AddResult, Dns, Interface, IpConfig, ResultError, Route, empty_is_none, null_is_default};
use super::version::Version;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::net::IpAddr;
use std::str::FromStr;

impl AddResult {
    /// Reads a result of any version we speak; without `cniVersion` it is of version `assumed` (CNI-ADD-10).
    ///
    /// # Errors
    /// No JSON object, a member of the wrong type, or a version we do not speak.
    pub fn parse(text: &str, assumed: Version) -> Result<Self, ResultError> {
        let head = json::parse::<Option<RawObject>>(text)?.unwrap_or_default();
        let declared = head.read::<String>("cniVersion")?.unwrap_or_default();
        let version = if declared.is_empty() { assumed } else { Version::from_str(&declared)? };
        read(text, version)
    }

    /// The result as a JSON object of `version` (CNI-VER-07, CNI-CONV).
    ///
    /// # Errors
    /// 0.1.0 and 0.2.0 cannot say that there is no address.
    pub fn to_raw(&self, version: Version) -> Result<Box<RawValue>, ResultError> {
        write(self, version)
    }
}

/// Reads `text` as a result of `version`.
fn read(text: &str, version: Version) -> Result<AddResult, ResultError> {
    if version >= Version::V0_3_0 {
        // The `version` of each 0.x address says what the address itself says; unknown members are dropped.
        return Ok(json::parse::<Option<AddResult>>(text)?.unwrap_or_default());
    }
    let old = json::parse::<Option<OldResult>>(text)?.unwrap_or_default();
    let mut result = AddResult { dns: old.dns, ..AddResult::default() };
    for family in [old.ip4, old.ip6].into_iter().flatten() {
        result.ips.push(IpConfig { address: family.ip, gateway: family.gateway, interface: None });
        result.routes.extend(family.routes.into_iter().map(OldRoute::into_route));
    }
    Ok(result)
}

/// Writes `result` in the shape of `version`.
fn write(result: &AddResult, version: Version) -> Result<Box<RawValue>, ResultError> {
    let cni_version = version.as_str();
    let raw = match version {
        Version::V0_1_0 | Version::V0_2_0 => to_raw_value(&OldResult::from_result(result, version)?),
        Version::V0_3_0 | Version::V0_3_1 | Version::V0_4_0 => {
            to_raw_value(&MiddleResult::from_result(result, version))
        }
        Version::V1_0_0 | Version::V1_1_0 => to_raw_value(&NewResult { cni_version, result }),
    };
    Ok(raw.map_err(InvalidJson::from)?)
}

/// 1.0.0 and 1.1.0 differ in the version only (CNI-CONV-01).
#[derive(Serialize)]
struct NewResult<'a> {
    #[serde(rename = "cniVersion")]
    cni_version: &'static str,
    #[serde(flatten)]
    result: &'a AddResult,
}

/// 0.3.0 to 0.4.0: each address says its family, interfaces have three members, `dns` is always there
/// (CNI-CONV-02, CNI-RES-07).
#[derive(Serialize)]
struct MiddleResult<'a> {
    #[serde(rename = "cniVersion")]
    cni_version: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<Interface>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<MiddleIp<'a>>,
    #[serde(skip_serializing_if = "<[Route]>::is_empty")]
    routes: &'a [Route],
    dns: &'a Dns,
}

#[derive(Serialize)]
struct MiddleIp<'a> {
    version: &'static str,
    #[serde(flatten)]
    ip: &'a IpConfig,
}

impl<'a> MiddleResult<'a> {
    fn from_result(result: &'a AddResult, version: Version) -> Self {
        let three_members = |interface: &Interface| Interface {
            name: interface.name.clone(),
            mac: interface.mac.clone(),
            sandbox: interface.sandbox.clone(),
            ..Interface::default()
        };
        let family = |ip: &IpConfig| if matches!(ip.address, IpNet::V4(_)) { "4" } else { "6" };
        MiddleResult {
            cni_version: version.as_str(),
            interfaces: result.interfaces.iter().map(three_members).collect(),
            ips: result.ips.iter().map(|ip| MiddleIp { version: family(ip), ip }).collect(),
            routes: &result.routes,
            dns: &result.dns,
        }
    }
}

/// 0.1.0 and 0.2.0: one address of each family.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct OldResult {
    #[serde(rename = "cniVersion", deserialize_with = "null_is_default")]
    cni_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip4: Option<OldFamily>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip6: Option<OldFamily>,
    #[serde(deserialize_with = "null_is_default")]
    dns: Dns,
}

#[derive(Serialize, Deserialize)]
struct OldFamily {
    ip: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    routes: Vec<OldRoute>,
}

#[derive(Serialize, Deserialize)]
struct OldRoute {
    dst: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "empty_is_none")]
    gw: Option<IpAddr>,
}

impl OldRoute {
    fn into_route(self) -> Route {
        Route::to(self.dst, self.gw)
    }
}

impl OldResult {
    /// The first address of each family stays; a route goes under its family's entry or is dropped (CNI-CONV-04).
    fn from_result(result: &AddResult, version: Version) -> Result<Self, ResultError> {
        let family = |is_v4: bool| {
            let same = |net: &IpNet| matches!(net, IpNet::V4(_)) == is_v4;
            let ip = result.ips.iter().find(|ip| same(&ip.address))?;
            let routes = result.routes.iter().filter(|route| same(&route.dst));
            Some(OldFamily {
                ip: ip.address,
                gateway: ip.gateway,
                routes: routes.map(|route| OldRoute { dst: route.dst, gw: route.gw }).collect(),
            })
        };
        let (ip4, ip6) = (family(true), family(false));
        if ip4.is_none() && ip6.is_none() {
            return Err(ResultError::NoAddress(version));
        }
        Ok(OldResult { cni_version: version.as_str().to_owned(), ip4, ip6, dns: result.dns.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn sample() -> AddResult {
        let text = json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": "br0", "mac": "02:00:00:00:00:01"},
                {"name": "eth0", "mac": "02:00:00:00:00:02", "mtu": 1450, "sandbox": "/run/netns/x", "pciID": "0000:18:02.5"}
            ],
            "ips": [
                {"address": "10.1.0.5/24", "gateway": "10.1.0.1", "interface": 1},
                {"address": "10.1.1.5/24", "interface": 1},
                {"address": "fd00::5/64", "interface": 1}
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400}, {"dst": "fd00:1::/64"}],
            "dns": {"nameservers": ["10.1.0.1"]}
        });
        AddResult::parse(&text.to_string(), Version::V0_1_0).unwrap()
    }

    fn written(version: Version) -> Value {
        serde_json::from_str(sample().to_raw(version).unwrap().get()).unwrap()
    }

    #[test]
    fn newest_shape() {
        // CNI-RES-01, CNI-CONV-01, CNI-VER-07
        let (mut old, new) = (written(Version::V1_0_0), written(Version::V1_1_0));
        assert_eq!(old["cniVersion"], "1.0.0");
        old["cniVersion"] = json!("1.1.0");
        assert_eq!(old, new);
        assert_eq!(new["interfaces"][1]["mtu"], 1450);
        assert_eq!(new["ips"][1], json!({"address": "10.1.1.5/24", "interface": 1}));
    }

    #[test]
    fn middle_shape() {
        // CNI-CONV-02, CNI-RES-07
        let value = written(Version::V0_3_1);
        assert_eq!(
            value["interfaces"][1],
            json!({"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/x"})
        );
        assert_eq!(value["ips"][0]["version"], "4");
        assert_eq!(value["ips"][2]["version"], "6");
        assert_eq!(value["routes"][0], json!({"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1400}));
        let empty: Value = serde_json::from_str(AddResult::default().to_raw(Version::V0_4_0).unwrap().get()).unwrap();
        assert_eq!(empty, json!({"cniVersion": "0.4.0", "dns": {}}));
    }

    #[test]
    fn old_shape() {
        // CNI-CONV-04
        let value = written(Version::V0_2_0);
        assert_eq!(
            value,
            json!({
                "cniVersion": "0.2.0",
                "ip4": {"ip": "10.1.0.5/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
                "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "fd00:1::/64"}]},
                "dns": {"nameservers": ["10.1.0.1"]}
            })
        );
        assert!(AddResult::default().to_raw(Version::V0_1_0).is_err());
    }

    #[test]
    fn every_shape_is_read_back() {
        // CNI-CONV-03, CNI-CONV-05
        for version in Version::ALL {
            let raw = sample().to_raw(version).unwrap();
            let back = AddResult::parse(raw.get(), Version::NEWEST).unwrap();
            assert_eq!(back.ips[0].address, sample().ips[0].address, "{version}");
            assert_eq!(back.routes.len(), 2, "{version}");
            assert_eq!(back.interfaces.len(), if version < Version::V0_3_0 { 0 } else { 2 }, "{version}");
        }
    }

    #[test]
    fn odd_results_are_read() {
        // CNI-ADD-10, CNI-RES-03
        assert_eq!(AddResult::parse("null", Version::V1_0_0).unwrap(), AddResult::default());
        assert_eq!(AddResult::parse("{}", Version::V0_1_0).unwrap(), AddResult::default());
        let text = r#"{"cniVersion":"0.3.1","interfaces":null,"ips":[{"version":"4","address":"10.0.0.1/8","gateway":"","interface":-1}],"routes":null,"dns":null}"#;
        assert_eq!(AddResult::parse(text, Version::V1_0_0).unwrap().ips[0].interface, Some(-1));
        let text = r#"{"interfaces":[{"name":"eth0","mac":null,"mtu":null,"sandbox":null}],"routes":[{"dst":"0.0.0.0/0","gw":null,"mtu":null,"priority":null}]}"#;
        assert_eq!(AddResult::parse(text, Version::V1_0_0).unwrap().interfaces[0].name, "eth0");
        for bad in ["", "[]", "7", r#"{"ips":[{"address":"10.0.0.1"}]}"#, r#"{"cniVersion":"2.0.0"}"#] {
            assert!(AddResult::parse(bad, Version::V1_0_0).is_err(), "{bad}");
        }
    }
}
