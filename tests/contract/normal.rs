//! What a world looks like, without what is random.

use crate::world::{DEFAULT_POOLS, POOLS, inside, ip_batch};
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
pub const BRIDGES: &[&str] = &["br0", "br9", "cni0"];
/// Where every setting of every link is.
const SETTINGS: &[&str] = &["/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"];

/// IFA_F_TENTATIVE.
const TENTATIVE: u32 = 0x40;

/// Host, container and pools of the world that calls.
pub fn snapshot(has_container: bool) -> Value {
    let container = if has_container { inside(namespace) } else { Value::Null };
    json!({
        "host": namespace(),
        "container": container,
        "pools": [files(Path::new(POOLS)), files(Path::new(DEFAULT_POOLS))],
    })
}

/// Whether IPv6 still asks for duplicates somewhere: until then addresses have no local route.
pub fn is_settling(snapshot: &Value) -> bool {
    let links = ["host", "container"].into_iter().filter_map(|side| snapshot[side]["addresses"].as_array()).flatten();
    links.into_iter().any(|link| {
        // Without a carrier nobody can be asked, so that there is nothing to wait for.
        let asks = link["flags"].as_array().is_some_and(|flags| flags.contains(&json!("LOWER_UP")));
        let tentative = |address: &Value| address["tentative"] == true && address["dadfailed"] != true;
        asks && link["addr_info"].as_array().is_some_and(|addresses| addresses.iter().any(tentative))
    })
}

/// The addresses of host and container that IPv6 still asks about, as the kernel writes them.
pub fn questions(has_container: bool) -> Vec<String> {
    let here = || fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap_or_default();
    let all = here() + &if has_container { inside(here) } else { String::new() };
    let asks = |line: &&str| {
        let flags = line.split_whitespace().nth(4).and_then(|flags| u32::from_str_radix(flags, 16).ok());
        flags.is_some_and(|flags| flags & TENTATIVE != 0)
    };
    all.lines().filter(asks).map(str::to_owned).collect()
}

/// Packet filters of host and container.
pub fn firewalls(has_container: bool) -> Value {
    let rules = || {
        let output = Command::new("nft").args(["-j", "list", "ruleset"]).output().unwrap();
        assert!(output.status.success(), "nft list ruleset: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    json!({"host": rules(), "container": has_container.then(|| inside(rules))})
}

fn namespace() -> Value {
    let [links, addresses, routes, rules, neighbours, proxies] = ip_batch(
        "link show
        addr show
        route show table all
        rule show
        neigh show nud permanent
        neigh show proxy",
    );
    let has_bridge = links.as_array().unwrap().iter().any(|link| link["linkinfo"]["info_kind"] == "bridge");
    let settings: Vec<Value> = SETTINGS.iter().map(|folder| settings(Path::new(folder))).collect();
    json!({
        "links": links,
        "addresses": addresses,
        "routes": routes,
        "rules": rules,
        // Others come and go with the packets that are sent.
        "neighbours": [neighbours, proxies],
        "settings": settings,
        "forwarding": fs::read_to_string("/proc/sys/net/ipv4/ip_forward").ok(),
        "ports": has_bridge.then(|| [bridge_json("fdb"), bridge_json("vlan")]),
    })
}

/// What `bridge <what> show` lists. Kernels without VLANs of ports have an empty list of them.
fn bridge_json(what: &str) -> Value {
    let output = Command::new("bridge").args(["-j", what, "show"]).output().unwrap();
    assert!(output.status.success(), "bridge {what} show: {}", String::from_utf8_lossy(&output.stderr));
    let mut listed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if let Some(entries) = listed.as_array_mut() {
        // Learned ones come and go with the packets that are sent.
        entries.retain(|entry| what != "fdb" || entry["state"] == "permanent");
    }
    listed
}

/// Every setting of every link, as a list: links have random names.
fn settings(folder: &Path) -> Value {
    let Ok(links) = fs::read_dir(folder) else { return Value::Null };
    let of_link = |link: std::io::Result<fs::DirEntry>| {
        let link = link.unwrap();
        let mut settings = Map::from_iter([("ifname".to_owned(), json!(link.file_name().to_str().unwrap()))]);
        // A link that is just being deleted has none.
        for file in fs::read_dir(link.path()).into_iter().flatten().flatten() {
            let value = fs::read_to_string(file.path()).ok();
            settings.insert(file.file_name().into_string().unwrap(), json!(value));
        }
        Value::Object(settings)
    };
    links.map(of_link).collect()
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
    let is_constant = ["0a:58:", "33:33:", "01:00:5e:"].iter().any(|prefix| text.starts_with(prefix));
    is_mac && !is_constant && text != "ff:ff:ff:ff:ff:ff" && text != "00:00:00:00:00:00"
}
