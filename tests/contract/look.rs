//! What a world looks like.

use crate::settings;
use crate::world::{DEFAULT_POOLS, POOLS, inside, ip_batch};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// IFA_F_TENTATIVE.
const TENTATIVE: u32 = 0x40;

/// What the kernel goes on with after a call: links, addresses, routes.
pub fn moving(has_container: bool) -> Value {
    json!({"host": network(), "container": has_container.then(|| inside(network))})
}

/// What is as the call left it: settings, packet filters, address pools.
pub fn standing(has_container: bool) -> Value {
    let namespace =
        || json!({"settings": settings::of_links(), "forwarding": settings::forwarding(), "filters": filters()});
    json!({
        "host": namespace(),
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
        "addresses": addresses,
        "routes": routes,
        "rules": rules,
        // Others come and go with the packets that are sent.
        "neighbours": [neighbours, proxies],
        "ports": has_bridge.then(|| [forwarding_entries(&links), bridge_json("vlan")]),
        "links": links,
    })
}

/// The forwarding entries that somebody made.
///
/// Learned ones come and go with the packets that are sent. Those of the links' own addresses the kernel makes of
/// addresses, ports and VLANs, which are compared themselves. An entry of the address that a bridge shares with a
/// port is the bridge's or the port's, by which random address was the lowest, and when (br_fdb.c:
/// `fdb_delete_local`), so that not even their number is the same in two worlds that are alike.
fn forwarding_entries(links: &Value) -> Value {
    let own: Vec<&Value> = links.as_array().unwrap().iter().map(|link| &link["address"]).collect();
    let mut listed = bridge_json("fdb");
    if let Some(entries) = listed.as_array_mut() {
        entries.retain(|entry| entry["state"] == "permanent" && !own.contains(&&entry["mac"]));
    }
    listed
}

/// What `bridge <what> show` lists. Kernels without VLANs of ports have an empty list of them.
fn bridge_json(what: &str) -> Value {
    let output = Command::new("bridge").args(["-j", what, "show"]).output().unwrap();
    assert!(output.status.success(), "bridge {what} show: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
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

/// What is compared must be seen: every one of these makes a world look different.
#[test]
fn nothing_is_overlooked() {
    let Some(twins) = crate::cases::Twins::quick() else { return };
    let world = &twins.sides[0].1;
    let look = || world.run(|| json!([moving(true), standing(true)]));
    for change in [
        "ip link set master0 mtu 1400",
        "ip addr add 192.0.2.7/24 dev master0",
        "ip route add 10.66.0.0/16 dev master0 table 66",
        "ip rule add from 10.66.0.1 lookup 66",
        "ip neigh add 192.0.2.9 lladdr 0a:58:00:00:00:77 dev master0 nud permanent",
        "ip neigh add proxy 192.0.2.10 dev master0",
        "ip link add br0 type bridge",
        "ip link set master1 master br0",
        "bridge link set dev master1 hairpin on",
        "bridge fdb add 0a:58:00:00:00:78 dev master1 master",
        "nft add table inet seen",
        "sysctl net.ipv4.conf.master0.arp_notify=1",
        "sysctl net.ipv6.conf.master0.ndisc_notify=1",
        "sysctl net.ipv6.conf.master0.keep_addr_on_down=1",
        "sysctl net.ipv4.ip_forward=1",
        "sysctl net.ipv6.conf.all.forwarding=1",
        "touch /tmp/plexus-contract/pools",
        "touch /var/lib/cni/lease",
    ] {
        let before = look();
        world.run(move || {
            let words: Vec<&str> = change.split(' ').collect();
            let done = match words[0] {
                "sysctl" => {
                    let (key, value) = words[1].split_once('=').unwrap();
                    fs::write(format!("/proc/sys/{}", key.replace('.', "/")), value).is_ok()
                }
                "touch" => fs::create_dir(words[1]).is_ok(),
                program => Command::new(program).args(&words[1..]).status().unwrap().success(),
            };
            assert!(done, "{change}");
        });
        assert_ne!(before, look(), "{change} is not seen");
    }
}
