//! Addresses of a pool: the daemon of one release leases them, the plugins of others take and return them.

use super::support::cluster::{ADDRESS_KINDS, ADDRESSES, Cluster, LEAST, role};
use super::support::{Call, Pod, eventually, say};
use super::{Release, support};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

const POOL: &str = "lan";

/// The definitions, what daemons may do, a pool, and a network of it.
fn prepare(cluster: &Cluster) {
    let apply = |text: &str| cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], Some(text));
    apply(include_str!("../../crd/addresses/address-pools.yaml"));
    for name in ADDRESS_KINDS {
        let crd = format!("crd/{name}.ipam.plexus.dev");
        cluster.kubectl(&["wait", "--for=condition=Established", &crd], None);
    }
    let roles = role("plexus", &[&LEAST[..], &ADDRESSES].concat());
    apply(&json!({"apiVersion": "v1", "kind": "List", "items": roles}).to_string());
    let spec = json!({"blockSize": {"v4": 4, "v6": 4}, "ranges": [{"range": "10.30.0.0/24"}]});
    let pool = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": POOL}, "spec": spec});
    apply(&pool.to_string());
    let plugin = json!({"type": "bridge", "bridge": "br-pool", "ipam": {"type": "plexus-ipam", "pool": POOL}});
    cluster.network("default", "pool", &json!({"cniVersion": "1.0.0", "name": "pool", "plugins": [plugin]}));
}

/// The files of addresses that are taken on the node.
fn taken() -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/var/lib/plexus/pools/{POOL}")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.parse::<std::net::IpAddr>().is_ok()).collect()
}

/// Sweeps, as if all files of addresses were an hour old. A release without copies in the run directory returns an address and
/// leaves the copy: this one takes such an address for one in use, until a sweep sees that nothing speaks for it.
fn swept(cluster: &Cluster) {
    let then = SystemTime::now() - Duration::from_secs(3600);
    for folder in ["/var/lib/plexus/pools", "/run/plexus/taken"] {
        for entry in fs::read_dir(format!("{folder}/{POOL}")).into_iter().flatten().flatten() {
            fs::File::options().write(true).open(entry.path()).unwrap().set_modified(then).unwrap();
        }
    }
    say(&Call::of_node(&cluster.node, "GC").sweep());
}

/// A pod that is attached, the result, and its address; the first one waits for a block.
fn attached(cluster: &Cluster, name: &str) -> (Pod, Value, String) {
    let (pod, before, mut result) = (cluster.pod(name, "pool"), taken(), Value::Null);
    eventually(&format!("an address for {name}"), || {
        let answer = pod.add();
        let is_added = answer.status.success();
        if is_added {
            result = answer.result();
        } else {
            pod.del();
        }
        is_added
    });
    let mut new: Vec<String> = taken().difference(&before).cloned().collect();
    let address = new.pop().filter(|_| new.is_empty()).unwrap_or_else(|| panic!("{name}: {new:?}"));
    // What the pod has is what is marked as taken, and nobody had it before.
    let has = super::support::kernel::addresses(&pod.netns, "net1");
    assert!(has.iter().any(|one| one.split('/').next() == Some(&address)), "{name}: {address} and {has:?}");
    (pod, result, address)
}

/// Whether the plugin of `release` keeps a copy of the file of an address in the run directory, and returns both.
fn makes_copies(cluster: &Cluster, release: &Release) -> bool {
    release.install(&cluster.node);
    let (pod, _, address) = attached(cluster, &format!("copy-{}", release.name));
    let is_there = Path::new("/run/plexus/taken").join(POOL).join(address).exists();
    pod.del().silence();
    is_there
}

/// The blocks that the cluster knows, by their first addresses.
fn blocks(cluster: &Cluster) -> BTreeSet<String> {
    let path = "jsonpath={.items[*].spec.first}";
    cluster.kubectl(&["get", "addressblocks", "-o", path], None).split(' ').map(str::to_owned).collect()
}

#[test]
fn releases_share_the_addresses_of_a_node() {
    let releases = match Release::all() {
        Ok(releases) => releases,
        Err(why) => return support::cannot_run(&why),
    };
    let releases: Vec<Release> = releases.into_iter().filter(Release::has_pools).collect();
    let Some(cluster) = Cluster::new() else { return };
    cluster.node.primary(&super::bridge("cbr0", "10.244.0.0/24"));
    prepare(&cluster);
    // It lives while daemons and plugins come and go.
    let (mut stays, mut number) = (None, 0);
    let mut copying: Vec<bool> = Vec::new();
    for leases in &releases {
        let daemon = cluster.daemon_of(&leases.daemon);
        eventually(&format!("the daemon of {}", leases.name), || leases.plexusctl(&["health"]).is_ok());
        if stays.is_none() {
            leases.install(&cluster.node);
            stays = Some(attached(&cluster, "stays"));
            copying.extend(releases.iter().map(|release| makes_copies(&cluster, release)));
        }
        for (adds, has_copy) in releases.iter().zip(&copying) {
            for (returns, copies) in releases.iter().zip(&copying) {
                number += 1;
                let pairing =
                    format!("leased by {}, taken by {}, returned by {}", leases.name, adds.name, returns.name);
                let before = taken();
                adds.install(&cluster.node);
                let (pod, result, _) = attached(&cluster, &format!("lease{number}"));
                returns.install(&cluster.node);
                let checked = pod.call("CHECK").configured("prevResult", result).make();
                assert!(checked.status.success(), "{pairing}: CHECK: {checked:?}");
                pod.del().silence();
                // Where only one of both builds knows copies, the other one's is what a sweep clears.
                if taken() != before && !(*copies && *has_copy) {
                    pod.end_sandbox();
                    swept(&cluster);
                }
                assert_eq!(taken(), before, "{pairing}");
                say(&pairing);
            }
        }
        drop(daemon);
        // Whoever comes next finds the block with the pod that stays.
        let (_, _, address) = stays.as_ref().unwrap();
        let first = format!("10.30.0.{}", address.rsplit('.').next().unwrap().parse::<u8>().unwrap() / 4 * 4);
        assert!(blocks(&cluster).contains(&first), "{address}: {:?}", blocks(&cluster));
    }
    assert_eq!(number, releases.len().pow(3));
    support::tally(number, "pairings: leases");
}
