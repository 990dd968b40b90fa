//! Many pods with many networks on one node.

use super::{Machine, apply, server_alone};
use crate::support::apiserver::ApiServer;
use crate::support::requests::Requests;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NETWORKS: usize = 17;
const PODS: usize = 8;
const BLOCK: usize = 4;

/// How often the API server was asked for `resource`, by verb.
pub(super) fn requests(server: &ApiServer, resource: &str) -> BTreeMap<String, u64> {
    Requests::of(server).by_verb(resource)
}

/// How many requests with each of `verbs` came after `before`.
pub(super) fn more<const N: usize>(
    verbs: [&str; N],
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> [u64; N] {
    let count = |all: &BTreeMap<String, u64>, verb: &str| all.get(verb).copied().unwrap_or_default();
    verbs.map(|verb| count(after, verb) - count(before, verb))
}

/// Pool `crowd-<number>`.
fn pool(number: usize) -> Value {
    let range =
        json!({"range": format!("10.42.{number}.0/26"), "exclude": [format!("10.42.{number}.0-10.42.{number}.3")]});
    json!({
        "apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": format!("crowd-{number}")},
        "spec": {"blockSize": {"v4": BLOCK, "v6": BLOCK}, "warm": {"min": 0, "max": 0}, "ranges": [range]},
    })
}

#[test]
fn pods_with_many_networks_cost_one_write_for_each_block() {
    // Case 4, with fewer pods; `make bench-leases POOLS=17` has the time.
    let Some(server) = server_alone() else { return };
    let pools: Vec<Value> = (0..NETWORKS).map(pool).collect();
    apply(&server, &json!({"apiVersion": "v1", "kind": "List", "items": pools}).to_string());
    let machine = Machine::new(&server, "crowd1");
    let before = requests(&server, "addressblocks");
    let mut given = BTreeSet::new();
    for pod in 0..PODS {
        for number in 0..NETWORKS {
            let address = machine.add(&format!("crowd-{number}"), &format!("p{pod}"));
            assert!(given.insert(address.unwrap_or_else(|e| panic!("{e}\n{}", machine.log()))), "given twice");
        }
    }
    let after = requests(&server, "addressblocks");
    let made = more(["POST", "PUT", "PATCH", "DELETE"], &before, &after);
    assert_eq!(made, [(NETWORKS * PODS / BLOCK) as u64, 0, 0, 0], "{before:?} {after:?}\n{}", machine.log());
}

/// The line `confirmed` of the grant of `crowd-<number>`: boot, seconds since then, and the time.
fn confirmed(machine: &Machine, number: usize) -> String {
    let text = std::fs::read_to_string(machine.path(&format!("run/daemon/ipam/crowd-{number}.grant"))).unwrap();
    text.lines().find(|line| line.starts_with("confirmed ")).unwrap().to_owned()
}

#[test]
fn a_daemon_that_starts_asks_once_for_all_pools() {
    const POOLS: std::ops::Range<usize> = 30..40;
    let Some(server) = server_alone() else { return };
    let pools: Vec<Value> = POOLS.map(pool).collect();
    apply(&server, &json!({"apiVersion": "v1", "kind": "List", "items": pools}).to_string());
    let mut machine = Machine::new(&server, "crowd2");
    for number in POOLS {
        machine.add(&format!("crowd-{number}"), "p").unwrap_or_else(|e| panic!("{e}\n{}", machine.log()));
    }
    machine.daemon = None;
    // What it confirmed before is older than what it confirms now, also within one second.
    let former = |number: usize| {
        let path = machine.path(&format!("run/daemon/ipam/crowd-{number}.grant"));
        let (text, line) = (std::fs::read_to_string(&path).unwrap(), confirmed(&machine, number));
        let mut words = line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        words[3] = (words[3].parse::<u64>().unwrap() - 1).to_string();
        std::fs::write(&path, text.replace(&line, &words.join(" "))).unwrap();
        words.join(" ")
    };
    let former: Vec<String> = POOLS.map(former).collect();
    let kinds = ["addressblocks", "addresspools", "addressnodes"];
    let before = kinds.map(|kind| requests(&server, kind));
    machine.start();
    let is_new = || POOLS.zip(&former).all(|(number, former)| confirmed(&machine, number) != *former);
    super::wait_until(is_new, || machine.log());
    let after = kinds.map(|kind| requests(&server, kind));
    let made: Vec<[u64; 3]> =
        before.iter().zip(&after).map(|(before, after)| more(["LIST", "GET", "POST"], before, after)).collect();
    // The pools read the AddressNode twice. The others are the reads of the guard and its watch.
    let [[1, 0, 0], [1, 0, 0], [0, 2..=9, 0]] = made[..] else { panic!("{made:?}\n{}", machine.log()) };

    // So it is where the node begins a new epoch: a person deletes its AddressNode.
    let asked = std::cell::Cell::new(0);
    let epochs = || {
        asked.set(asked.get() + 1);
        let words = ["get", "addressblocks", "-l", &node_selector("crowd2"), "-o", "jsonpath={.items[*].spec.epoch}"];
        let text = server.kubectl(&words, None).unwrap();
        text.split(' ').map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let former = epochs();
    server.kubectl(&["annotate", "addressnode", "crowd2", "ipam.plexus.dev/force=true"], None).unwrap();
    server.kubectl(&["delete", "addressnode", "crowd2"], None).unwrap();
    assert!(!former.contains(""), "{former:?}");
    let is_new = |epochs: BTreeSet<String>| epochs.is_disjoint(&former) && !epochs.contains("");
    super::wait_until(|| is_new(epochs()), || machine.log());
    let lists = more(["LIST"], &after[0], &requests(&server, "addressblocks"))[0] - asked.get();
    assert!(lists <= 2, "{lists} lists of blocks for {} pools\n{}", POOLS.len(), machine.log());
}

/// Selects the blocks of `node`.
fn node_selector(node: &str) -> String {
    format!("{}={}", plexus::cluster::addresses::NODE, plexus::cluster::addresses::node_label(node))
}
