//! What one selection may ask of its network: port mappings, bandwidth, addresses of hardware.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A host port that leads into the pod (NPWG-KEY-12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// 1–65535.
    pub host_port: u32,
    /// 1–65535.
    pub container_port: u32,
    /// `tcp`, `udp` or `sctp`. Always written: the portmap plugin breaks on an empty one.
    #[serde(default)]
    pub protocol: String,
    /// Only on this address of the host.
    #[serde(rename = "hostIP", default, skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
}

impl PortMapping {
    /// Checks the ranges and fills in the protocol.
    ///
    /// # Errors
    /// Says which member is wrong.
    pub fn validated(mut self) -> Result<Self, String> {
        for (key, port) in [("hostPort", self.host_port), ("containerPort", self.container_port)] {
            if !(1..=65535).contains(&port) {
                return Err(format!("portMappings: {key} {port} is not in 1..65535"));
            }
        }
        self.protocol = match self.protocol.to_ascii_lowercase().as_str() {
            "" => "tcp".to_owned(),
            known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
            _ => return Err(format!("portMappings: protocol {:?} is none of TCP, UDP, SCTP", self.protocol)),
        };
        // It becomes an argument of iptables, or a part of a rule of nftables.
        if !self.host_ip.is_empty() && self.host_ip.parse::<IpAddr>().is_err() {
            return Err(format!("portMappings: hostIP {:?} is not an address", self.host_ip));
        }
        Ok(self)
    }
}

/// Rates in bits per second, bursts in bits (NPWG-KEY-14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bandwidth {
    /// Towards the pod.
    #[serde(skip_serializing_if = "is_zero")]
    pub ingress_rate: u64,
    /// Towards the pod.
    #[serde(skip_serializing_if = "is_zero")]
    pub ingress_burst: u64,
    /// From the pod.
    #[serde(skip_serializing_if = "is_zero")]
    pub egress_rate: u64,
    /// From the pod.
    #[serde(skip_serializing_if = "is_zero")]
    pub egress_burst: u64,
}

impl Bandwidth {
    /// Checks that every burst has its rate.
    ///
    /// # Errors
    /// Says which burst has none.
    pub fn validated(self) -> Result<Self, String> {
        for (key, rate, burst) in
            [("ingress", self.ingress_rate, self.ingress_burst), ("egress", self.egress_rate, self.egress_burst)]
        {
            if burst != 0 && rate == 0 {
                return Err(format!("bandwidth: {key}Burst without {key}Rate"));
            }
        }
        Ok(self)
    }
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Whether `text` is a hardware address of one of `lengths` bytes, written with `:`, `-` or in dotted quads.
pub fn is_hardware_address(text: &str, lengths: &[usize]) -> bool {
    let separator = if text.contains(':') {
        ':'
    } else if text.contains('-') {
        '-'
    } else {
        '.'
    };
    let width = if separator == '.' { 4 } else { 2 };
    let groups: Vec<&str> = text.split(separator).collect();
    let hex = |group: &&str| group.len() == width && group.bytes().all(|b| b.is_ascii_hexdigit());
    lengths.contains(&(groups.len() * width / 2)) && groups.iter().all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        for good in ["02:00:00:00:00:01", "02-00-00-00-00-0A", "0200.0000.0001"] {
            assert!(is_hardware_address(good, &[6]), "{good}");
        }
        for bad in ["", "zz", "02:00:00:00:00", "02:00:00:00:00:1", "02:00:00:00:00:00:00:01", "0200000001"] {
            assert!(!is_hardware_address(bad, &[6]), "{bad}");
        }
        assert!(is_hardware_address("c2:11:22:33:44:55:66:77", &[8]));
    }

    #[test]
    fn ports_and_protocols() {
        // NPWG-KEY-12
        let read = |text: &str| serde_json::from_str::<PortMapping>(text).map_err(|e| e.to_string())?.validated();
        assert_eq!(read(r#"{"hostPort":1,"containerPort":65535}"#).unwrap().protocol, "tcp");
        assert_eq!(read(r#"{"hostPort":1,"containerPort":2,"protocol":"SCTP"}"#).unwrap().protocol, "sctp");
        for bad in [
            r#"{"hostPort":0,"containerPort":1}"#,
            r#"{"hostPort":1,"containerPort":65536}"#,
            r#"{"hostPort":1}"#,
            r#"{"hostPort":1,"containerPort":1,"protocol":"icmp"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_burst_needs_its_rate() {
        // NPWG-KEY-14
        assert!(Bandwidth { ingress_burst: 1, ..Bandwidth::default() }.validated().is_err());
        assert!(Bandwidth { egress_rate: 1, ..Bandwidth::default() }.validated().is_ok());
    }
}
