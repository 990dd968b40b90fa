//! Who gets addresses of a pool: a pod that asks for one, pods of some namespaces, some nodes, and the older of two pools.

use super::*;

fn section(pool: &str) -> Value {
    json!({"type": "plexus-ipam", "pool": pool})
}

fn sized(size: u32, more: &Value) -> Value {
    let mut spec = json!({"blockSize": {"v4": size, "v6": size}, "warm": {"min": 0, "max": 16}});
    let more = more.as_object().unwrap().clone();
    spec.as_object_mut().unwrap().extend(more);
    spec
}

/// What a daemon that starts reads.
fn restart(machine: &mut Machine) {
    machine.daemon = None;
    machine.start();
}

#[test]
fn a_requested_address_belongs_to_one_node() {
    // Case 36
    let Some(server) = server() else { return };
    let range = json!({"range": "10.85.0.0/26", "gateway": "10.85.0.1", "exclude": ["10.85.0.2"], "reserved": ["10.85.0.32/28"]});
    put_pool(&server, "asked", &sized(4, &json!({"ranges": [range]})));
    let machines = [Machine::new(&server, "asked1"), Machine::new(&server, "asked2")];
    let log = || machines.iter().map(Machine::log).collect::<String>();
    let ask = |at: usize, container: &str, ip: &str| {
        machines[at].add_as(&section("asked"), container, &format!("IgnoreUnknown=1;IP={ip}"))
    };
    // In no block: that block is leased.
    assert_eq!(ask(0, "a", "10.85.0.21").as_deref(), Ok("10.85.0.21/26"), "{}", log());
    assert_eq!(blocks(&server, "asked").get("10.85.0.20").map(String::as_str), Some("asked1"));
    let error = ask(1, "b", "10.85.0.22").unwrap_err();
    assert!(error.contains("\"code\": 11") && error.contains("10.85.0.22 is in a block of node asked1"), "{error}");
    assert_eq!(ask(0, "b", "10.85.0.22").as_deref(), Ok("10.85.0.22/26"));
    // Reserved: only a pod that asks for it gets it.
    assert_eq!(ask(1, "r", "10.85.0.40").as_deref(), Ok("10.85.0.40/26"), "{}", log());
    assert!(ask(0, "r", "10.85.0.41").unwrap_err().contains("of node asked2"));
    for (ip, why) in [("10.85.0.1", "the gateway"), ("10.85.0.2", "excluded"), ("10.86.0.1", "in no range")] {
        let error = ask(0, "c", ip).unwrap_err();
        assert!(error.contains(why), "{ip}: {error}");
    }
    // At the same time on both nodes: exactly one gets it.
    for turn in 0..6 {
        let ip = format!("IP=10.85.0.{}", 48 + turn * 2);
        let spawn = |at: usize| machines[at].spawn_as("ADD", &section("asked"), &format!("t{turn}"), &ip);
        let got = [spawn(0), spawn(1)].map(|child| child.wait_with_output().unwrap());
        let won = got.iter().filter(|output| output.status.success()).count();
        // The second address of a block is its node's.
        assert!(won == 1, "{ip}: {got:?}\n{}", log());
    }
    // All others, and none of those that are reserved.
    let mut given = BTreeSet::new();
    for turn in 0..64 {
        given.extend(machines[turn % 2].add("asked", &format!("x{turn}")).ok());
        if given.len() == 61 - 1 - 16 - 8 {
            break;
        }
    }
    let is_reserved = |address: &&String| {
        let last: u8 = address.split(['.', '/']).nth(3).unwrap().parse().unwrap();
        (32..48).contains(&last)
    };
    assert_eq!((given.len(), given.iter().find(is_reserved)), (36, None), "{given:?}\n{}", log());
}

#[test]
fn a_pool_is_for_its_namespaces_and_nodes() {
    let Some(server) = server() else { return };
    let labels = json!({"matchLabels": {"zone": "a"}});
    let spec = |nodes: &Value| {
        sized(4, &json!({"ranges": [{"range": "10.87.0.0/28"}], "namespaces": ["web"], "nodes": nodes}))
    };
    put_pool(&server, "zoned", &spec(&labels));
    for (name, zone) in [("zone1", "a"), ("zone2", "b")] {
        let metadata = json!({"name": name, "labels": {"zone": zone}});
        apply(&server, &json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata}).to_string());
    }
    let (mut own, other) = (Machine::new(&server, "zone1"), Machine::new(&server, "zone2"));
    let of = |machine: &Machine, container: &str, namespace: &str| {
        let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=p");
        machine.add_as(&section("zoned"), container, &args)
    };
    of(&own, "a", "web").unwrap_or_else(|error| panic!("{error}\n{}", own.log()));
    let error = of(&own, "b", "db").unwrap_err();
    assert!(error.contains("gives no address to pods of namespace db: it is for web"), "{error}");
    let error = of(&other, "a", "web").unwrap_err();
    assert!(error.contains("\"code\": 11") && error.contains("not for this node (spec.nodes)"), "{error}");
    assert_eq!(blocks(&server, "zoned").into_values().collect::<BTreeSet<_>>(), BTreeSet::from(["zone1".to_owned()]));
    // The pool is for other nodes now: what is in use stays, nothing new is given, and what is empty goes back.
    put_pool(
        &server,
        "zoned",
        &spec(&json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]})),
    );
    restart(&mut own);
    let mut told = String::new();
    eventually("the node to be refused", || {
        told = of(&own, "c", "web").err().unwrap_or_default();
        own.call("DEL", "zoned", "c").unwrap();
        told.contains("not for this node")
    });
    assert_eq!(own.files("zoned").len(), 1);
    of(&other, "b", "web").unwrap_or_else(|error| panic!("{error}\n{}", other.log()));
    own.del("zoned", "a");
    wait_until(|| !blocks(&server, "zoned").values().any(|node| node == "zone1"), || own.log());
    server.kubectl(&["delete", "node", "zone1", "zone2"], None).unwrap();
}

#[test]
fn of_two_pools_with_one_address_the_younger_is_not_used() {
    // Case 43
    let Some(server) = server() else { return };
    let spec = |range: &str, separate: bool| sized(4, &json!({"ranges": [{"range": range}], "separate": separate}));
    put_pool(&server, "aged", &spec("10.88.0.0/28", false));
    put_pool(&server, "young", &spec("10.88.0.128/28", false));
    let mut machine = Machine::new(&server, "overlap1");
    machine.add("young", "a").unwrap_or_else(|error| panic!("{error}\n{}", machine.log()));
    // The older one grows over the other's range.
    put_pool(&server, "aged", &spec("10.88.0.0/24", false));
    restart(&mut machine);
    let mut told = String::new();
    eventually("the younger pool to be refused", || {
        told = machine.add("young", "b").err().unwrap_or_default();
        machine.del("young", "b");
        told.contains("it has addresses of pool aged, which is older")
    });
    assert!(told.contains("\"code\": 11"), "{told}");
    assert_eq!(machine.files("young").len(), 1, "a pod keeps its address");
    machine.add("aged", "a").unwrap_or_else(|error| panic!("{error}\n{}", machine.log()));
    // They are on two networks.
    put_pool(&server, "young", &spec("10.88.0.128/28", true));
    assert!(machine.add("young", "b").is_err(), "both have to say so");
    put_pool(&server, "aged", &spec("10.88.0.0/24", true));
    machine.add("young", "b").unwrap_or_else(|error| panic!("{error}\n{}", machine.log()));
}
