//! What a world looks like.

use crate::world::{DEFAULT_POOLS, POOLS, inside, ip_batch};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Where every setting of every link is.
const SETTINGS: [&str; 2] = ["/proc/sys/net/ipv4/conf", "/proc/sys/net/ipv6/conf"];

/// IFA_F_TENTATIVE.
const TENTATIVE: u32 = 0x40;

/// What the kernel goes on with after a call: links, addresses, routes.
pub fn moving(has_container: bool) -> Value {
    json!({"host": network(), "container": has_container.then(|| inside(network))})
}

/// What is as the call left it: settings, packet filters, address pools.
pub fn standing(has_container: bool) -> Value {
    let namespace = || json!({"settings": SETTINGS.map(|folder| settings(Path::new(folder))), "filters": filters()});
    json!({
        "host": namespace(),
        "forwarding": fs::read_to_string("/proc/sys/net/ipv4/ip_forward").ok(),
        "container": has_container.then(|| inside(namespace)),
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

fn filters() -> Value {
    let output = Command::new("nft").args(["-j", "list", "ruleset"]).output().unwrap();
    assert!(output.status.success(), "nft list ruleset: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn network() -> Value {
    let [links, addresses, routes, rules, neighbours, proxies] = ip_batch(
        "link show
        addr show
        route show table all
        rule show
        neigh show nud permanent
        neigh show proxy",
    );
    let has_bridge = links.as_array().unwrap().iter().any(|link| link["linkinfo"]["info_kind"] == "bridge");
    json!({
        "links": links,
        "addresses": addresses,
        "routes": routes,
        "rules": rules,
        // Others come and go with the packets that are sent.
        "neighbours": [neighbours, proxies],
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

/// Every setting of every link, one line each. A list, because links have random names.
fn settings(folder: &Path) -> Value {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let of_link = |link: fs::DirEntry| {
        let line = |file: fs::DirEntry| {
            let value = fs::read_to_string(file.path());
            format!("{} = {}", file.file_name().to_str().unwrap(), value.as_deref().map_or("-", str::trim_end))
        };
        let mut lines: Vec<String> = entries(&link.path()).map(line).collect();
        lines.sort();
        json!({"ifname": link.file_name().to_str().unwrap(), "settings": lines.join("\n")})
    };
    entries(folder).map(of_link).collect()
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
