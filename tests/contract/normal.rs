//! Evens out what is random or passing in what a world looks like.

use serde_json::{Value, json};
use std::collections::HashMap;

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
/// What has one of these is an element of a listing of the kernel, which is a set.
const LISTED: &[&str] = &["ifname", "dst", "dev"];
/// The bridges that the cases make.
pub const BRIDGES: &[&str] = &["br0", "br9", "cni0"];

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
                // A forwarding entry of an address that no link has.
                let is_entry = members.contains_key("mac") && members.contains_key("ifname");
                let kept =
                    members.into_iter().filter(|(key, _)| !PASSING.contains(&key.as_str()) && !key.ends_with("_timer"));
                let even = |(key, value): (String, Value)| {
                    let is_mac = matches!(key.as_str(), "address" | "mac") && value.as_str().is_some_and(is_random_mac);
                    // A bridge takes the lowest among those of its ports.
                    let value =
                        if (is_bridge || is_entry) && is_mac { json!("MAC of a port") } else { self.even_out(value) };
                    (self.text(key), value)
                };
                Value::Object(kept.map(even).collect())
            }
            Value::Array(mut items) => {
                // The kernel promises no order of links, addresses, routes, next hops, ports and entries.
                if items.iter().any(|item| LISTED.iter().any(|key| item.get(*key).is_some())) {
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
            // Of addresses that the link has: all that is random are the last bytes.
            () if text.starts_with("33:33:ff:") => "33:33:ff:X".to_owned(),
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
    let is_constant = ["0a:58:00:00:00:", "33:33:", "01:00:5e:"].iter().any(|prefix| text.starts_with(prefix));
    is_mac && !is_constant && text != "ff:ff:ff:ff:ff:ff" && text != "00:00:00:00:00:00"
}
