//! Plugin, daemon, tool and records of neighbouring releases work together, in every pairing and both ways.
//!
//! This release is always paired with itself. `PLEXUS_FORMER=<directory>[:<directory>]` adds the programs of other
//! releases; `make prove` builds them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod addresses;
mod installed;
#[path = "../support/mod.rs"]
mod support;

use nix::mount::{MntFlags, umount2};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::cluster::Cluster;
use support::daemon::Daemon;
use support::{Call, Node, eventually, kernel, programs, say, sweeping};

/// What the programs of a release have that knows pools.
const API_GROUP: &[u8] = b"ipam.plexus.dev";

/// The programs of one release.
struct Release {
    name: String,
    plugin: PathBuf,
    daemon: PathBuf,
    tool: PathBuf,
}

impl Release {
    fn in_folder(folder: &Path) -> Self {
        let [plugin, daemon, tool] = ["plexus", "plexusd", "plexusctl"].map(|name| folder.join(name));
        Release { name: folder.file_name().unwrap().to_string_lossy().into_owned(), plugin, daemon, tool }
    }

    fn all() -> Result<Vec<Self>, String> {
        let (plugin, tool) = (programs::plugin()?.to_owned(), env!("CARGO_BIN_EXE_plexusctl").into());
        let mut all = vec![Release { name: "this".to_owned(), plugin, daemon: Daemon::program(), tool }];
        let former = std::env::var("PLEXUS_FORMER").unwrap_or_default();
        all.extend(
            former.split(':').filter(|folder| !folder.is_empty()).map(|folder| Release::in_folder(Path::new(folder))),
        );
        Ok(all)
    }

    /// Makes its plugin the one that the runtime calls, as an installation does: the file is replaced.
    fn install(&self, node: &Node) {
        let file = node.bin().join("plexus");
        let _ = umount2(&file, MntFlags::MNT_DETACH);
        let new = file.with_extension("new");
        // By another process: what this one writes, a child that another test starts may still hold when the file is run.
        assert!(Command::new("cp").arg(&self.plugin).arg(&new).status().unwrap().success());
        fs::rename(&new, &file).unwrap();
    }

    /// Whether it leases addresses of pools.
    fn has_pools(&self) -> bool {
        let program = fs::read(&self.daemon).unwrap();
        program.windows(API_GROUP.len()).any(|text| text == API_GROUP)
    }

    fn plexusctl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.tool).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

fn bridge(name: &str, subnet: &str) -> serde_json::Value {
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [
        {"type": "bridge", "bridge": name, "isGateway": true, "ipam": {"type": "host-local", "subnet": subnet}}]})
}

/// What the node has: links that are not the bridges' own, records, leases.
fn left() -> Vec<String> {
    let names = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let records = names("/var/lib/plexus/sandboxes");
    let leases =
        ["cbr0", "br-lan", "lan", "wan"].into_iter().flat_map(|pool| names(&format!("/var/lib/cni/networks/{pool}")));
    let leases = leases.filter(|path| path.file_name().unwrap().to_string_lossy().parse::<std::net::IpAddr>().is_ok());
    let links = kernel::host_links().into_iter().filter(|name| name.starts_with("veth") || name.starts_with("mac"));
    records.chain(leases).map(|path| path.display().to_string()).chain(links).collect()
}

/// A pod that the plugin of one release attaches, beside the daemon of another, and that the plugin of a third deletes.
fn pair(cluster: &Cluster, [adds, answers, deletes]: [&Release; 3], number: usize) {
    let pairing = format!("added by {}, daemon of {}, deleted by {}", adds.name, answers.name, deletes.name);
    let name = format!("pod{number}");
    let pod = cluster.pod(&name, "lan,wan");
    adds.install(&cluster.node);
    let result = pod.add().result();
    assert_eq!(result["interfaces"].as_array().map(Vec::len), Some(3), "{pairing}: {result}");
    let names = || {
        let status = cluster.status(&name);
        status
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|network| network["name"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    eventually(&format!("the network-status: {pairing}"), || names() == ["cbr0", "default/lan", "default/wan"]);
    deletes.install(&cluster.node);
    let checked = pod.call("CHECK").configured("prevResult", result).make();
    assert!(checked.status.success(), "{pairing}: CHECK: {checked:?}");
    for release in [adds, answers, deletes] {
        let records = release.plexusctl(&["get", "-o", "json"]);
        assert!(
            records.as_ref().is_ok_and(|text| text.contains(&name)),
            "{pairing}: get of {}: {records:?}",
            release.name
        );
    }
    let status = Call::of_node(&cluster.node, "STATUS").make();
    assert!(status.status.success(), "{pairing}: STATUS: {status:?}");
    // GC, of a pod that ended without DEL while the other one runs.
    adds.install(&cluster.node);
    let ended = cluster.pod(&format!("{name}-ended"), "lan");
    ended.add().result();
    ended.end_sandbox();
    deletes.install(&cluster.node);
    let valid = json!([{"containerID": pod.id, "ifname": pod.ifname}]);
    let cleaned = Call::of_node(&cluster.node, "GC").configured("cni.dev/valid-attachments", valid).make();
    assert!(cleaned.status.success(), "{pairing}: GC: {cleaned:?}");
    assert_eq!(kernel::links(&pod.netns).len(), 3, "{pairing}: after GC");
    let records = left().into_iter().filter(|left| left.contains("/sandboxes/")).collect::<Vec<_>>();
    assert!(records.iter().all(|record| record.contains(&pod.id)), "{pairing}: after GC: {records:?}");
    // A sweep, of another one.
    adds.install(&cluster.node);
    let ended = cluster.pod(&format!("{name}-swept"), "lan");
    ended.add().result();
    ended.end_sandbox();
    // A young record may be of a call that works.
    sweeping::age(&cluster.node, &ended);
    deletes.install(&cluster.node);
    let swept = Call::of_node(&cluster.node, "GC").sweep();
    assert!(swept.contains(&ended.id), "{pairing}: {swept}");
    assert!(!left().iter().any(|left| left.contains(&ended.id)), "{pairing}: after a sweep: {:?}", left());
    pod.del().silence();
    assert_eq!(left(), [""; 0], "{pairing}");
    pod.end_sandbox();
    say(&pairing);
}

#[test]
fn every_pairing_of_neighbouring_releases_works() {
    let releases = match Release::all() {
        Ok(releases) => releases,
        Err(why) => return support::cannot_run(&why),
    };
    let Some(cluster) = Cluster::new() else { return };
    cluster.node.primary(&bridge("cbr0", "10.244.0.0/24"));
    cluster.network("default", "lan", &bridge("br-lan", "10.10.0.0/24"));
    cluster.network(
        "default",
        "wan",
        &json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "br-lan",
        "ipam": {"type": "host-local", "subnet": "10.20.0.0/24"}}),
    );
    let mut number = 0;
    for answers in &releases {
        let _daemon = cluster.daemon_of(&answers.daemon);
        for asks in &releases {
            let what = format!("the daemon of {}, asked by the tool of {}", answers.name, asks.name);
            eventually(&what, || asks.plexusctl(&["health"]).is_ok());
        }
        for adds in &releases {
            for deletes in &releases {
                number += 1;
                pair(&cluster, [adds, answers, deletes], number);
            }
        }
    }
    assert_eq!(number, releases.len().pow(3));
    support::tally(number, "pairings: pods");
    support::tally(releases.len(), "pairings: releases");
    for former in releases.iter().skip(1) {
        support::tally(1, &format!("former: {}", former.name));
    }
}
