//! What a world looks like, without what is random.

use crate::world::{POOLS, inside, ip_batch, ip_json};
use plexus::sys::sysctl::{self, Family};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Numbers and timers that depend on when something was made.
const PASSING: &[&str] = &[
    "ifindex",
    "link_index",
    "link_netnsid",
    "bridge_id",
    "root_id",
    "designated_bridge",
    "designated_root",
    "root_port",
    "no",
    "id",
    "port_id",
    "designated_port",
    "tentative",
    "max_mtu",
];
/// The bridges that the cases make.
const BRIDGES: &[&str] = &["br0", "br9", "cni0"];
const SETTINGS: &[(Family, &str)] = &[
    (Family::V4, "arp_notify"),
    (Family::V4, "forwarding"),
    (Family::V6, "accept_ra"),
    (Family::V6, "accept_dad"),
    (Family::V6, "enhanced_dad"),
    (Family::V6, "ndisc_notify"),
    (Family::V6, "disable_ipv6"),
    (Family::V6, "keep_addr_on_down"),
    (Family::V6, "forwarding"),
];

/// Host, container and pools of the world that calls.
pub fn snapshot(has_container: bool) -> Value {
    let container = if has_container { inside(namespace) } else { Value::Null };
    json!({"host": namespace(), "container": container, "pools": files(Path::new(POOLS))})
}

fn namespace() -> Value {
    // One process for most of it: where the kernel test emulates a processor, each start costs.
    let [links, addresses, routes] = ip_batch("link show\naddr show\nroute show table all\n");
    let names = links.as_array().unwrap().iter().filter_map(|link| link["ifname"].as_str());
    let settings: Map<_, _> = names.map(|name| (name.to_owned(), settings(name))).collect();
    json!({
        "links": links,
        "addresses": addresses,
        "routes": [routes, ip_json("-6 route show table all")],
        "settings": settings,
        "vlans": port_vlans(),
    })
}

/// The VLANs of bridges and their ports. Kernels without them have an empty list.
fn port_vlans() -> Value {
    let output = Command::new("bridge").args(["-j", "vlan", "show"]).output().unwrap();
    assert!(output.status.success(), "bridge vlan show: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn settings(link: &str) -> Value {
    let read =
        |(family, key): &(Family, &str)| (format!("{family:?} {key}"), json!(sysctl::read(*family, link, key).ok()));
    Value::Object(SETTINGS.iter().map(read).collect())
}

/// Every file with its mode and content.
fn files(folder: &Path) -> Value {
    let Ok(entries) = fs::read_dir(folder) else { return Value::Null };
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        let content =
            if entry.path().is_dir() { files(&entry.path()) } else { json!(fs::read_to_string(entry.path()).unwrap()) };
        (entry.file_name().into_string().unwrap(), json!({"mode": format!("{mode:o}"), "content": content}))
    };
    Value::Object(entries.map(entry).collect())
}

/// Gives random names and addresses the same names in every world: by the order in which they appear.
#[derive(Default)]
pub struct Normaliser {
    names: HashMap<String, String>,
    /// All have the same name.
    is_blind: bool,
}

impl Normaliser {
    /// `value` without what is random or passing; lists in an order of their own.
    pub fn even_out(&mut self, value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let is_bridge = ["ifname", "name"].iter().any(|key| {
                    members.get(*key).is_some_and(|name| name.as_str().is_some_and(|name| BRIDGES.contains(&name)))
                });
                let kept =
                    members.into_iter().filter(|(key, _)| !PASSING.contains(&key.as_str()) && !key.ends_with("_timer"));
                let even = |(key, value): (String, Value)| {
                    let is_mac = matches!(key.as_str(), "address" | "mac") && value.as_str().is_some_and(is_random_mac);
                    // A bridge takes the lowest among those of its ports.
                    let value = if is_bridge && is_mac { json!("MAC of a port") } else { self.even_out(value) };
                    (self.text(key), value)
                };
                Value::Object(kept.map(even).collect())
            }
            Value::Array(mut items) => {
                // The order in which the kernel lists is that of making.
                if items.iter().any(|item| item.get("ifname").is_some() || item.get("dst").is_some()) {
                    items.sort_by_cached_key(|item| {
                        Normaliser { is_blind: true, ..Normaliser::default() }.even_out(item.clone()).to_string()
                    });
                }
                Value::Array(items.into_iter().map(|item| self.even_out(item)).collect())
            }
            Value::String(text) => Value::String(self.text(text)),
            other => other,
        }
    }

    fn text(&mut self, text: String) -> String {
        let is_port = text.len() == 12 && text.starts_with("veth");
        let is_link_local = text.starts_with("fe80::") && text != "fe80::/64" && text != "fe80::";
        match () {
            // Ports differ in what they are, their names say nothing.
            () if is_port => "vethXXXXXXXX".to_owned(),
            () if is_link_local => "fe80::X".to_owned(),
            () if is_random_mac(&text) && self.is_blind => "MAC".to_owned(),
            () if is_random_mac(&text) => {
                let next = format!("MAC {}", self.names.len());
                self.names.entry(text).or_insert(next).clone()
            }
            () => text,
        }
    }
}

/// Those of the cases are chosen, not random.
fn is_random_mac(text: &str) -> bool {
    let is_mac = text.len() == 17 && text.bytes().filter(|b| *b == b':').count() == 5;
    is_mac && !text.starts_with("0a:58:") && text != "ff:ff:ff:ff:ff:ff" && text != "00:00:00:00:00:00"
}
