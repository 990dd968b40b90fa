//! A pool that is deleted and created again with another `blockSize`, while blocks of the former one are in use.

use super::*;

#[test]
fn blocks_of_two_sizes_give_no_address_twice() {
    let Some(server) = server() else { return };
    for (name, former, later) in [("shrunk", 16, 4), ("grown", 4, 16)] {
        let spec = |size: u32| {
            let range = if name == "shrunk" { "10.81.0.0/28" } else { "10.82.0.0/28" };
            json!({"blockSize": {"v4": size, "v6": size}, "ranges": [{"range": range}], "warm": {"min": 0, "max": 0}})
        };
        put_pool(&server, name, &spec(former));
        let before = Machine::new(&server, &format!("{name}-before"));
        let mut taken = BTreeSet::from([before.add(name, "b1").unwrap(), before.add(name, "b2").unwrap()]);
        server.kubectl(&["delete", "addresspool", name], None).unwrap();
        put_pool(&server, name, &spec(later));
        let after = Machine::new(&server, &format!("{name}-after"));
        for number in 0..6 {
            match after.add(name, &format!("a{number}")) {
                Ok(address) => assert!(taken.insert(address.clone()), "{name}: {address} was given twice"),
                Err(error) => {
                    let told = ["have another size", "no block is free"].iter().any(|words| error.contains(words));
                    assert!(told, "{error}\n{}", after.log());
                }
            }
        }
        // What was created before the look is gone again, and what is in use is not touched.
        let mine = blocks(&server, name).into_values().filter(|node| node.ends_with("-after")).count();
        assert_eq!((mine, after.files(name).len(), before.files(name).len()), (0, 0, 2), "{}", after.log());
        assert!(taken.insert(before.add(name, "b3").unwrap()));
        // The last block of the former size is returned: then the pool can be used.
        ["b1", "b2", "b3"].iter().for_each(|container| before.del(name, container));
        wait_until(|| blocks(&server, name).is_empty(), || before.log());
        wait_until(|| after.add(name, "late").is_ok(), || after.log());
    }
}

#[test]
fn a_block_that_somebody_else_has_is_noticed_by_the_next_lease() {
    let Some(server) = server() else { return };
    let range = json!({"range": "10.83.0.0/29"});
    put_pool(
        &server,
        "seized",
        &json!({"blockSize": {"v4": 4, "v6": 4}, "ranges": [range], "warm": {"min": 0, "max": 16}}),
    );
    let (own, other) = (Machine::new(&server, "seized-own"), Machine::new(&server, "seized-other"));
    own.add("seized", "o1").unwrap();
    let first = blocks(&server, "seized").into_keys().next().unwrap();
    let list =
        server.kubectl(&["get", "addressblocks", "-l", "ipam.plexus.dev/pool=seized", "-o", "name"], None).unwrap();
    server.kubectl(&["annotate", list.trim(), "ipam.plexus.dev/force=true"], None).unwrap();
    server.kubectl(&["delete", list.trim()], None).unwrap();
    // The other node takes all that is free, among it the block of the first one.
    for number in 0..6 {
        let _ = other.add("seized", &format!("t{number}"));
    }
    assert_eq!(blocks(&server, "seized")[&first], "seized-other");
    // It asks for a block that nobody has, and looks at its own ones then.
    let held = || own.daemon.as_ref().unwrap().health().remarks.get("addresses").cloned().unwrap_or_default();
    let mut number = 1;
    let told = || {
        number += 1;
        let _ = own.add("seized", &format!("o{number}"));
        held().contains("seized")
    };
    wait_until(told, || own.log());
    assert!(own.add("seized", "last").is_err());
}

#[test]
fn a_block_of_a_former_size_is_not_leased_again() {
    let Some(server) = server() else { return };
    let spec = |size: u32| json!({"blockSize": {"v4": size, "v6": size}, "ranges": [{"range": "10.119.0.0/28"}], "warm": {"min": 0, "max": 0}});
    put_pool(&server, "lately", &spec(8));
    let mut away = Machine::new(&server, "lately-away");
    away.add("lately", "a1").unwrap();
    // The node is away. Its block is freed, and the pool is created again: others lease parts of the block.
    away.daemon = None;
    let list =
        server.kubectl(&["get", "addressblocks", "-l", "ipam.plexus.dev/pool=lately", "-o", "name"], None).unwrap();
    server.kubectl(&["annotate", list.trim(), "ipam.plexus.dev/force=true"], None).unwrap();
    server.kubectl(&["delete", list.trim()], None).unwrap();
    server.kubectl(&["delete", "addresspool", "lately"], None).unwrap();
    put_pool(&server, "lately", &spec(2));
    away.start();
    let told = || away.daemon.as_ref().unwrap().health().remarks.get("addresses").cloned().unwrap_or_default();
    wait_until(|| told().contains("lately"), || away.log());
    let grant = std::fs::read_to_string(away.path("run/daemon/ipam/lately.grant")).unwrap();
    assert!(!grant.contains("\nblock ") && blocks(&server, "lately").is_empty(), "{grant}");
}
