//! Many pods with many networks on one node.

use super::{Machine, apply, server};
use crate::support::apiserver::ApiServer;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NETWORKS: usize = 17;
const PODS: usize = 8;
const BLOCK: usize = 4;

/// How often the API server was asked to write blocks, by verb.
fn writes(server: &ApiServer) -> BTreeMap<String, u64> {
    let text = server.kubectl(&["get", "--raw", "/metrics"], None).unwrap();
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let verb =
            ["POST", "PUT", "PATCH", "DELETE"].into_iter().find(|verb| line.contains(&format!("verb=\"{verb}\"")));
        if let Some(verb) = verb.filter(|_| line.contains("resource=\"addressblocks\"")) {
            let count: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
            *all.entry(verb.to_owned()).or_default() += count as u64;
        }
    }
    all
}

#[test]
fn pods_with_many_networks_cost_one_write_for_each_block() {
    // Case 4, with fewer pods; `make bench-leases POOLS=17` has the time.
    let Some(server) = server() else { return };
    let pool = |number: usize| {
        let range =
            json!({"range": format!("10.42.{number}.0/26"), "exclude": [format!("10.42.{number}.0-10.42.{number}.3")]});
        json!({
            "apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": format!("crowd-{number}")},
            "spec": {"blockSize": {"v4": BLOCK, "v6": BLOCK}, "warm": {"min": 0, "max": 0}, "ranges": [range]},
        })
    };
    let pools: Vec<Value> = (0..NETWORKS).map(pool).collect();
    apply(&server, &json!({"apiVersion": "v1", "kind": "List", "items": pools}).to_string());
    let machine = Machine::new(&server, "crowd1");
    let before = writes(&server);
    let mut given = BTreeSet::new();
    for pod in 0..PODS {
        for number in 0..NETWORKS {
            let address = machine.add(&format!("crowd-{number}"), &format!("p{pod}"));
            assert!(given.insert(address.unwrap_or_else(|e| panic!("{e}\n{}", machine.log()))), "given twice");
        }
    }
    let more = |verb: &str, after: &BTreeMap<String, u64>| {
        let count = |all: &BTreeMap<String, u64>| all.get(verb).copied().unwrap_or_default();
        count(after) - count(&before)
    };
    let after = writes(&server);
    let made = ["POST", "PUT", "PATCH", "DELETE"].map(|verb| more(verb, &after));
    assert_eq!(made, [(NETWORKS * PODS / BLOCK) as u64, 0, 0, 0], "{before:?} {after:?}\n{}", machine.log());
}
