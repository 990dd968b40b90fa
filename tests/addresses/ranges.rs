//! A pool whose ranges change while pods have addresses of it.

use super::*;
use plexus::api::protocol::LeaseRequest;
use plexus::ipam::PoolName;
use std::net::Ipv4Addr;

/// The pool as it is from now on, and known on the node.
fn change(server: &ApiServer, machine: &Machine, range: &Value) {
    put_pool(
        server,
        "changed",
        &json!({"blockSize": {"v4": 4, "v6": 4}, "ranges": [range], "warm": {"min": 0, "max": 0}}),
    );
    confirm(machine, "changed");
}

/// The daemon asks what the pool is now, and confirms its blocks.
pub(super) fn confirm(machine: &Machine, pool: &str) {
    let request = LeaseRequest {
        pool: PoolName::new(pool).unwrap(),
        families: Vec::new(),
        within: Vec::new(),
        kept_for: None,
        taken: Vec::new(),
        boot: String::new(),
    };
    let reply = machine.daemon.as_ref().unwrap().ask(&Request::Lease(request));
    assert!(matches!(reply, Reply::Leased { .. }), "{reply:?}");
}

/// Adds pods until there is no address; answers their addresses without the prefix length, by container.
fn fill(machine: &Machine, prefix: &str) -> BTreeMap<Ipv4Addr, String> {
    let mut taken = BTreeMap::new();
    for number in 0..64 {
        let container = format!("{prefix}{number}");
        match machine.add("changed", &container) {
            Ok(address) => {
                let other = taken.insert(address.split('/').next().unwrap().parse().unwrap(), container);
                assert_eq!(other, None, "{address} was given twice");
            }
            Err(error) => {
                assert!(error.contains("\"code\": 11"), "{error}");
                return taken;
            }
        }
    }
    panic!("the pool has no end: {taken:?}");
}

#[test]
fn a_range_may_grow_shrink_and_drain_under_its_pods() {
    // Case 37
    let Some(server) = server() else { return };
    let machine = Machine::new(&server, "changed1");
    change(&server, &machine, &json!({"range": "10.118.0.0/29"}));
    let mut pods = fill(&machine, "a");
    assert_eq!(pods.len(), 6, "{pods:?}\n{}", machine.log());
    change(&server, &machine, &json!({"range": "10.118.0.0/28"}));
    pods.extend(fill(&machine, "b"));
    assert_eq!(pods.len(), 14, "{pods:?}\n{}", machine.log());
    // An address in use is excluded: its pod keeps it, and no later one gets it.
    let excluded: Ipv4Addr = "10.118.0.2".parse().unwrap();
    change(&server, &machine, &json!({"range": "10.118.0.0/28", "exclude": ["10.118.0.2"]}));
    assert_eq!(machine.files("changed").len(), 14);
    machine.del("changed", &pods.remove(&excluded).unwrap());
    assert!(fill(&machine, "c").is_empty());
    // The range shrinks: pods outside keep their addresses, and nobody gets one there later.
    change(&server, &machine, &json!({"range": "10.118.0.0/29"}));
    assert_eq!(machine.files("changed").len(), 13);
    let outside: Vec<Ipv4Addr> = pods.keys().copied().filter(|address| address.octets()[3] >= 7).collect();
    assert_eq!(outside.len(), 8, "the broadcast address of the new range is outside");
    for address in &outside[..2] {
        machine.del("changed", &pods.remove(address).unwrap());
    }
    let later: Vec<Ipv4Addr> = fill(&machine, "d").into_keys().collect();
    assert_eq!(later, [excluded], "it is in the range, and not excluded any more");
    // A block goes back with its last pod.
    for address in &outside[2..] {
        machine.del("changed", &pods.remove(address).unwrap());
    }
    let left = || blocks(&server, "changed").into_keys().collect::<Vec<_>>();
    wait_until(|| left() == ["10.118.0.0", "10.118.0.4"], || format!("{:?}\n{}", left(), machine.log()));
    // A range that drains gives nothing, also what was given back.
    change(&server, &machine, &json!({"range": "10.118.0.0/29", "draining": true}));
    let (_, container) = pods.pop_last().unwrap();
    machine.del("changed", &container);
    assert!(fill(&machine, "e").is_empty());
    assert_eq!(machine.files("changed").len(), 5);
}
