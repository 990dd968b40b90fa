//! etcd is restored from a backup: it has forgotten blocks in which pods have addresses.

use super::*;
use counted::events;

/// More than the API server writes when it starts: the version after that is still lower than before.
const WRITES: usize = 300;

fn write_much(server: &ApiServer) {
    let object = |number: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("much-{number}")}});
    let all: Vec<Value> = (0..WRITES).map(object).collect();
    apply(server, &json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string());
}

fn put(server: &ApiServer, name: &str, range: &str) {
    let (size, warm) = (json!({"v4": 4, "v6": 4}), json!({"min": 0, "max": 16}));
    put_pool(server, name, &json!({"blockSize": size, "ranges": [{"range": range}], "warm": warm}));
}

#[test]
fn a_block_that_a_restored_etcd_forgot_is_not_leased_by_another_node() {
    // Case 23
    let Some(mut server) = server_alone() else { return };
    put(&server, "earlier", "10.46.0.0/28");
    put(&server, "restored", "10.47.0.0/29");
    let (one, other) = (Machine::new(&server, "restored1"), Machine::new(&server, "restored2"));
    let log = || format!("{}\n{}", one.log(), other.log());
    // Their AddressNodes are in the backup; the blocks of the small pool are not. It has two blocks.
    for machine in [&one, &other] {
        machine.add("earlier", "a").unwrap_or_else(|e| panic!("{e}\n{}", log()));
    }
    server.back_up().unwrap();
    write_much(&server);
    let taken = one.add("restored", "b").unwrap_or_else(|e| panic!("{e}\n{}", log()));
    for number in 0..3 {
        other.add("restored", &format!("c{number}")).unwrap_or_else(|e| panic!("{e}\n{}", log()));
    }
    let before = blocks(&server, "restored");
    assert_eq!(before.values().collect::<BTreeSet<_>>().len(), 2, "{before:?}");
    one.daemon.as_ref().unwrap().halt();
    server.restore().unwrap();
    // The other node has no address left, and the block of the first one is free, as etcd has it.
    let mut told = String::new();
    let is_told = || {
        told = match other.add("restored", "more") {
            Ok(address) => panic!("{address} is given, and {taken} may be given twice\n{}", log()),
            Err(error) => error,
        };
        told.contains("etcd was restored")
    };
    wait_within(LONG, is_told, log);
    assert!(told.contains("\"code\": 11"), "{told}");
    // The first one asks for its block as soon as it hears of that.
    one.daemon.as_ref().unwrap().signal("CONT");
    wait_within(LONG, || blocks(&server, "restored") == before, log);
    let event = || events(&server, "restored1").get("EtcdRestored").is_some_and(|note| note.contains("two minutes"));
    wait_within(LONG, event, log);
    assert_eq!(one.daemon.as_ref().unwrap().health().remarks.get("addresses"), None, "nothing is lost");
}
