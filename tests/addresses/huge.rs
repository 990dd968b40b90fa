//! A range that nobody counts, of which a small part may be used.

use super::*;
use plexus::cluster::addresses::AddressBlock;
use plexus::ipam::{Block, PoolName};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

const SIZE: u32 = 256;
/// The last block of the /112 that is not excluded.
const LAST: &str = "fd48::ff00";

/// What another node leases: all blocks of the /112 but the last one.
fn of_another_node() -> Value {
    let begin = u128::from("fd48::".parse::<Ipv6Addr>().unwrap());
    let pool = PoolName::new("huge").unwrap();
    let object = |number: u128| {
        let first = Ipv6Addr::from(begin + number * u128::from(SIZE));
        let block = Block { first: first.into(), size: SIZE };
        serde_json::to_value(AddressBlock::of(&pool, &block, ("elsewhere", ""), "l")).unwrap()
    };
    json!({"apiVersion": "v1", "kind": "List", "items": (0..255).map(object).collect::<Vec<_>>()})
}

#[test]
fn the_free_part_of_a_huge_range_is_used_up() {
    // Case 48
    let Some(server) = server() else { return };
    let range = json!({"range": "fd48::/64", "exclude": ["fd48::1:0-fd48::ffff:ffff:ffff:ffff"]});
    let (size, warm) = (json!({"v4": SIZE, "v6": SIZE}), json!({"min": 0, "max": 0}));
    put_pool(&server, "huge", &json!({"blockSize": size, "ranges": [range], "warm": warm}));
    server.kubectl(&["create", "-f", "-"], Some(&of_another_node().to_string())).unwrap();
    let machine = Machine::new(&server, "huge1");
    let begun = Instant::now();
    let got = machine.add("huge", "c0").unwrap_or_else(|error| panic!("{error}\n{}", machine.log()));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(got, format!("{LAST}/64"), "{}", machine.log());
    // Pods have the others of this block.
    let last = u128::from(LAST.parse::<Ipv6Addr>().unwrap());
    for number in 1..u128::from(SIZE) {
        let path = machine.path("state/pools/huge").join(Ipv6Addr::from(last + number).to_string());
        std::fs::write(path, format!("planted{number}\r\nnet1\r\nnet")).unwrap();
    }
    let error = machine.add("huge", "c1").unwrap_err();
    for told in ["\"code\": 11", "pool huge: no IPv6 address is free in the blocks of this node", "nodes hold all 256"]
    {
        assert!(error.contains(told), "{error}");
    }
    // One of them ends.
    let one = Ipv6Addr::from(last + 77).to_string();
    for folder in ["run/taken/huge", "state/pools/huge"] {
        std::fs::remove_file(machine.path(folder).join(&one)).unwrap();
    }
    assert_eq!(machine.add("huge", "c1"), Ok(format!("{one}/64")));
    let _ = server
        .kubectl(&["annotate", "addressblocks", "-l", "ipam.plexus.dev/pool=huge", "ipam.plexus.dev/force=true"], None);
    server.kubectl(&["delete", "addressblocks", "-l", "ipam.plexus.dev/pool=huge"], None).unwrap();
}
