//! A picture of all that a call may leave, to be compared with one from before the call.

use super::{Node, Pod, kernel};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// Where the pools are.
const POOLS: &str = "/var/lib/cni/networks";

/// All that a call may leave, as far as it does not depend on the time.
#[derive(Debug, PartialEq)]
pub struct Picture {
    /// The links of the machine.
    pub links: Vec<Value>,
    /// Their addresses.
    pub addresses: Vec<String>,
    /// Their routes.
    pub routes: Vec<String>,
    /// Addresses and routes in the sandbox.
    pub pod: [Value; 3],
    /// Leases, records, statuses.
    pub files: BTreeMap<String, String>,
}

impl Picture {
    /// Looks at the machine and at `pod`, once nothing runs any more.
    pub fn take(node: &Node, pod: &Pod) -> Self {
        // DEL leaves a child in the kernel's grace period.
        node.quiet();
        Picture {
            links: rows(&kernel::ip("link"), link),
            addresses: rows(&kernel::ip("address"), |link| format!("{} {}", link["ifname"], nets(link))),
            routes: ["-4", "-6"]
                .iter()
                .flat_map(|family| rows(&kernel::ip(&format!("{family} route show table all")), route))
                .collect(),
            pod: ["address", "-4 route show table all", "-6 route show table all"].map(|what| pod.ip(what)),
            files: files(node),
        }
    }
}

impl Picture {
    /// What is in `self` and not in `other`, and the other way round; nothing where they are equal.
    pub fn difference(&self, other: &Self) -> String {
        let lines = |picture: &Picture| -> Vec<String> {
            let mut lines: Vec<String> = picture.links.iter().map(ToString::to_string).collect();
            lines.extend(picture.addresses.iter().chain(&picture.routes).cloned());
            let pod = picture.pod.iter().flat_map(|listing| listing.as_array().unwrap());
            lines.extend(pod.map(|row| format!("in the pod: {row}")));
            lines.extend(picture.files.iter().map(|(path, text)| format!("{path}: {text:?}")));
            lines
        };
        let (mine, theirs) = (lines(self), lines(other));
        let only = |these: &[String], those: &[String], sign: char| -> String {
            these.iter().filter(|line| !those.contains(line)).map(|line| format!("\n{sign} {line}")).collect()
        };
        only(&mine, &theirs, '+') + &only(&theirs, &mine, '-')
    }
}

fn rows<T>(listing: &Value, row: impl Fn(&Value) -> T) -> Vec<T> {
    listing.as_array().unwrap().iter().map(row).collect()
}

fn link(link: &Value) -> Value {
    let keys = ["ifindex", "ifname", "master", "mtu", "address", "promiscuity", "allmulti", "group", "txqlen"];
    let mut kept: serde_json::Map<_, _> = keys.map(|key| (key.to_owned(), link[key].clone())).into_iter().collect();
    kept.insert("kind".to_owned(), link["linkinfo"]["info_kind"].clone());
    kept.into()
}

fn nets(link: &Value) -> String {
    rows(&link["addr_info"], |address| format!("{}/{}", address["local"], address["prefixlen"])).join(" ")
}

fn route(route: &Value) -> String {
    ["type", "dst", "dev", "gateway", "table", "scope", "metric"].map(|key| route[key].to_string()).join(" ")
}

/// The leases with their owners, the records, what waits to be published.
fn files(node: &Node) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let pools = fs::read_dir(POOLS).into_iter().flatten().flatten().map(|pool| pool.path());
    for folder in pools.chain([node.state().sandboxes(), node.run().unpublished()]) {
        for file in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = file.file_name().into_string().unwrap();
            // Where the next search begins is no lease.
            if !name.starts_with("last_reserved_ip.") && name != "lock" {
                files.insert(file.path().display().to_string(), fs::read_to_string(file.path()).unwrap());
            }
        }
    }
    files
}
