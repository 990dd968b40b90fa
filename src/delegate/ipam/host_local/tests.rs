//! Pools in temporary folders.

use super::*;
use crate::cni::{CniArgs, ContainerId, IfName, PluginConfig};
use crate::delegate::Scope;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

struct Network {
    folder: tempfile::TempDir,
    config: Value,
    is_first: bool,
}

impl Network {
    fn new(ipam: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = json!({"cniVersion": "1.1.0", "name": "net", "type": "bridge", "ipam": ipam});
        config["ipam"]["type"] = json!("host-local");
        config["ipam"]["dataDir"] = json!(folder.path());
        Network { folder, config, is_first: false }
    }

    fn pool(&self) -> std::path::PathBuf {
        self.folder.path().join("net")
    }

    fn call<T>(&self, container: &str, args: &str, work: impl FnOnce(&Call<'_>) -> T) -> T {
        let (id, ifname, args) =
            (ContainerId::new(container).unwrap(), IfName::new("eth0").unwrap(), CniArgs::parse(args));
        let plugin = PluginConfig::new(RawObject::parse(&self.config.to_string()).unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        let (container_id, ifname, path) = (Some(&id), Some(&ifname), &[][..]);
        let scope = Scope {
            container_id,
            ifname,
            netns: None,
            args: &args,
            path,
            patience: Duration::from_secs(60),
            deadline,
            is_first: self.is_first,
            lock: None,
        };
        work(&Call { scope: &scope, plugin: &plugin, stdin: self.config.to_string() })
    }

    fn add(&self, container: &str) -> Result<String, String> {
        self.add_with(container, "")
    }

    fn add_with(&self, container: &str, args: &str) -> Result<String, String> {
        let result = self.call(container, args, |call| HostLocal::default().add(call)).map_err(|e| e.to_string())?;
        Ok(result.ips.iter().map(|ip| ip.address.to_string()).collect::<Vec<_>>().join(" "))
    }

    fn del(&self, container: &str) {
        self.call(container, "", |call| HostLocal::default().del(call)).unwrap();
    }

    fn taken(&self) -> Vec<String> {
        let names = fs::read_dir(self.pool()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.contains('.') && !name.starts_with("last")).collect();
        names.sort();
        names
    }
}

#[test]
fn an_ipv4_address_may_be_written_as_one_of_ipv6() {
    let network = Network::new(json!({"subnet": "10.1.2.0/24", "rangeStart": "::ffff:10.1.2.9"}));
    assert_eq!(network.add("c1").unwrap(), "10.1.2.9/24");
    assert_eq!(network.add_with("c2", "IP=::ffff:10.1.2.77").unwrap(), "10.1.2.77/24");
}

#[test]
fn addresses_go_round() {
    let network = Network::new(json!({"subnet": "10.1.2.0/29"}));
    let add = |container: &str| network.add(container).unwrap();
    assert_eq!((add("a"), add("b")), ("10.1.2.2/29".into(), "10.1.2.3/29".into()));
    network.del("a");
    network.del("a");
    // The search goes on after the last one, and comes round.
    assert_eq!((add("c"), add("d"), add("e")), ("10.1.2.4/29".into(), "10.1.2.5/29".into(), "10.1.2.6/29".into()));
    assert_eq!(add("f"), "10.1.2.2/29");
    assert!(network.add("g").unwrap_err().contains("no address is free in 10.1.2.1-10.1.2.6"));
    assert!(network.add("f").unwrap_err().contains("already taken"));
    assert_eq!(fs::read_to_string(network.pool().join("10.1.2.3")).unwrap(), "b\r\neth0");
    assert_eq!(fs::read_to_string(network.pool().join("last_reserved_ip.0")).unwrap(), "10.1.2.2");
}

#[test]
fn one_address_of_every_set_or_none() {
    let network = Network::new(json!({"ranges": [
        [{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.9"}, {"subnet": "10.2.0.0/24", "rangeEnd": "10.2.0.2", "gateway": "10.9.9.9"}],
        [{"subnet": "fd00:0:0::/64", "rangeStart": "fd00::a", "rangeEnd": "fd00::b"}]]}));
    assert_eq!(network.add("a").unwrap(), "10.1.0.9/24 fd00::a/64");
    assert_eq!(network.add("b").unwrap(), "10.2.0.1/24 fd00::b/64");
    // The first set has one more, the second has none: nothing stays taken.
    assert!(network.add("c").unwrap_err().contains("fd00::a-fd00::b"));
    assert_eq!(network.taken(), ["10.1.0.9", "10.2.0.1"]);
    network.del("a");
    assert_eq!(network.add("d").unwrap(), "10.1.0.9/24 fd00::a/64");
}

#[test]
fn requested_addresses() {
    let mut network = Network::new(json!({"subnet": "10.1.2.0/24"}));
    assert_eq!(network.add_with("a", "IP=10.1.2.77/16").unwrap(), "10.1.2.77/24");
    for (args, part) in [
        ("IP=10.1.2.77", "is taken"),
        ("IP=10.1.2.1", "is the gateway"),
        ("IP=10.1.3.1", "is in no range: "),
        ("IP=x", "not an address"),
        ("FOO=1", "unknown keys"),
        ("FOO", "not a pair"),
    ] {
        let error = network.add_with("b", args).unwrap_err();
        assert!(error.contains(part), "{args}: {error}");
    }
    network.config["runtimeConfig"] = json!({"ips": ["10.1.2.78/24"], "ipRanges": [[{"subnet": "10.7.0.0/24"}]]});
    assert_eq!(network.add_with("b", "IgnoreUnknown=1;FOO=1").unwrap(), "10.7.0.2/24 10.1.2.78/24");
    assert_eq!(network.taken(), ["10.1.2.77", "10.1.2.78", "10.7.0.2"]);
}

#[test]
fn broken_ranges_are_refused() {
    for (ipam, part) in [
        (json!({}), "no ranges"),
        (json!({"subnet": "10.0.0.0/31"}), "too small"),
        (json!({"subnet": "10.0.0.1/24"}), "host bits"),
        (json!({"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}), "rangeStart"),
        (json!({"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"}), "before"),
        (json!({"ranges": [[]]}), "empty"),
        (json!({"ranges": [[{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}]]}), "mixes"),
        (json!({"subnet": "10.0.0.0/24", "ranges": [[{"subnet": "10.0.0.0/16"}]]}), "overlaps"),
    ] {
        let error = Network::new(ipam.clone()).add("a").unwrap_err();
        assert!(error.contains(part), "{ipam}: {error}");
    }
}

#[test]
fn no_other_file_is_looked_at_where_what_is_taken_is_known() {
    // What a call costs must not grow with the pool: the files of others, among them one that would count, are not read.
    let mut network = Network::new(json!({"subnet": "10.1.2.0/24"}));
    network.add("b").unwrap();
    fs::write(network.pool().join("10.1.2.9"), "a\r\neth0").unwrap();
    assert!(network.add("a").unwrap_err().contains("10.1.2.9"));
    network.is_first = true;
    assert_eq!(network.add("a").unwrap(), "10.1.2.3/24");
    network.config["prevResult"] = json!({"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.3/24"}]});
    network.del("a");
    assert_eq!(network.taken(), ["10.1.2.2", "10.1.2.9"]);
    // What was told is not there: now all that carries its name goes.
    network.del("a");
    assert_eq!(network.taken(), ["10.1.2.2"]);
    // Another's address is never given back, whatever a result says.
    network.config["prevResult"] = json!({"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.2/24"}]});
    network.del("a");
    assert_eq!(network.taken(), ["10.1.2.2"]);
}

#[test]
fn a_full_pool_gets_back_what_was_never_written() {
    let mut network = Network::new(json!({"subnet": "10.1.2.0/29"}));
    network.is_first = true;
    for container in ["a", "b", "c", "d"] {
        network.add(container).unwrap();
    }
    fs::write(network.pool().join("10.1.2.6"), "").unwrap();
    assert_eq!(network.add("e").unwrap(), "10.1.2.6/29");
    assert!(network.add("f").is_err());
}

#[test]
fn old_files_count_and_go() {
    let network = Network::new(json!({"subnet": "10.1.2.0/24"}));
    network.call("a", "", |call| assert!(HostLocal::default().check(call).is_err()));
    assert!(!network.pool().exists(), "looking makes nothing");
    network.add("b").unwrap();
    fs::write(network.pool().join("10.1.2.9"), "a\n").unwrap();
    network.call("a", "", |call| HostLocal::default().check(call)).unwrap();
    assert!(network.add("a").unwrap_err().contains("10.1.2.9"));
    network.del("a");
    assert_eq!(network.taken(), ["10.1.2.2"]);
}

#[test]
fn a_file_that_nobody_wrote_goes_with_the_next_release() {
    let network = Network::new(json!({"subnet": "10.1.2.0/24"}));
    network.add("a").unwrap();
    fs::write(network.pool().join("10.1.2.9"), "").unwrap();
    network.del("b");
    assert_eq!(network.taken(), ["10.1.2.2"]);
}

#[test]
fn gc_keeps_what_is_valid() {
    let mut network = Network::new(json!({"subnet": "10.1.2.0/24"}));
    for container in ["a", "b", "c"] {
        network.add(container).unwrap();
    }
    fs::write(network.pool().join("10.1.2.9"), "").unwrap();
    let gc = |network: &Network| network.call("a", "", |call| HostLocal::default().gc(call)).unwrap();
    gc(&network);
    assert_eq!(network.taken().len(), 4, "a missing list says nothing");
    network.config["cni.dev/valid-attachments"] =
        json!([{"containerID": "b", "ifname": "eth0"}, {"containerID": "c", "ifname": "eth1"}]);
    gc(&network);
    assert_eq!(network.taken(), ["10.1.2.3"]);
    assert!(Path::new(&network.pool().join("last_reserved_ip.0")).exists());
}
