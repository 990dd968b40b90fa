//! What the kernel says, through ip(8): not through the code under test.

use super::node::PATH;
use plexus::sys::netns::Netns;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs `ip -json <arguments>` in the namespace at `netns`; it must succeed.
pub fn ip_in(netns: &Path, arguments: &str) -> Value {
    Netns::open(netns).unwrap().run(|| ip(arguments)).unwrap()
}

/// Runs `ip -json <arguments>` on the node; it must succeed. What prints nothing is `[]`.
#[track_caller]
pub fn ip(arguments: &str) -> Value {
    let output = Command::new("ip")
        .args(["-json", "-details"])
        .args(arguments.split_whitespace())
        .env("PATH", PATH)
        .output()
        .unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Array(Vec::new()))
}

/// The names of the links in a listing, without `lo`.
pub fn names(listing: &Value) -> Vec<String> {
    let names = listing.as_array().unwrap().iter().filter_map(|link| link["ifname"].as_str());
    let mut names: Vec<String> = names.filter(|name| *name != "lo").map(str::to_owned).collect();
    names.sort();
    names
}

/// Whether this machine's kernel makes the link `probe` by `ip <arguments>`. On the kernel that `e2e/kernel/run` boots,
/// which has everything, it must.
pub fn makes(arguments: &str) -> bool {
    let done = |arguments: &str| {
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace()).env("PATH", PATH).output().unwrap().status.success()
    };
    let is_made = done(arguments) && done("link del probe");
    assert!(is_made || std::env::var_os("PLEXUS_KERNEL").is_none(), "ip {arguments}");
    is_made
}

/// The links of the node.
pub fn host_links() -> Vec<String> {
    names(&ip("link"))
}

/// The links of the namespace at `netns`.
pub fn links(netns: &Path) -> Vec<String> {
    names(&ip_in(netns, "link"))
}

/// The indices of the other ends of the veths of the namespace at `netns`.
pub fn peers(netns: &Path) -> Vec<u64> {
    let listing = ip_in(netns, "link show type veth");
    listing.as_array().unwrap().iter().filter_map(|link| link["link_index"].as_u64()).collect()
}

/// Whether the node has a link with one of these indices.
pub fn has_links(indices: &[u64]) -> bool {
    let is_one = |link: &Value| link["ifindex"].as_u64().is_some_and(|index| indices.contains(&index));
    !indices.is_empty() && ip("link").as_array().unwrap().iter().any(is_one)
}

/// The addresses of global scope of `link`, with prefix lengths, in the kernel's order.
pub fn addresses(netns: &Path, link: &str) -> Vec<String> {
    let listing = ip_in(netns, &format!("address show dev {link}"));
    let addresses = listing[0]["addr_info"].as_array().cloned().unwrap_or_default();
    let global = addresses.iter().filter(|address| address["scope"] == "global");
    global.map(|address| format!("{}/{}", address["local"].as_str().unwrap(), address["prefixlen"])).collect()
}

/// The default routes of the main table as `<gateway> <link>`.
pub fn default_routes(netns: &Path, family: &str) -> Vec<String> {
    let listing = ip_in(netns, &format!("{family} route show default"));
    let text = |route: &Value, key: &str| route[key].as_str().unwrap_or("-").to_owned();
    listing
        .as_array()
        .unwrap()
        .iter()
        .map(|route| format!("{} {}", text(route, "gateway"), text(route, "dev")))
        .collect()
}
