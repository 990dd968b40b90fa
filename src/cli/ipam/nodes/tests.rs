use super::*;
use crate::cli::ipam::holding::{HeldAddress, HeldBlock, Holding};
use crate::cluster::Finished;
use crate::cluster::SeenBlock;
use crate::cluster::pool_status::PoolStatus;
use crate::ipam::epoch::Record;
use crate::ipam::overlap::Claimant;
use crate::ipam::pool::{PoolSpec, Range};
use crate::ipam::usage::Lease;

const NOW: u64 = 1_000_000;

fn address(address: &str, container: &str) -> HeldAddress {
    HeldAddress {
        address: address.parse().unwrap(),
        pod: format!("ns/{container}"),
        container_id: container.to_owned(),
        interface: "net1".to_owned(),
        has_file: true,
    }
}

fn block(pool: &str, first: &str, node: &str) -> SeenBlock {
    let block = crate::ipam::Block { first: first.parse().unwrap(), size: 16 };
    let lease = Lease { block, node: node.to_owned() };
    let (name, epoch) = (format!("{pool}.{}", block.hex()), format!("e-{node}"));
    SeenBlock { name, pool: pool.to_owned(), lease, epoch, created: 1, writes: 1 }
}

fn holding(pool: &str, first: &str, addresses: Vec<HeldAddress>) -> Holding {
    let block = HeldBlock { first: first.parse().unwrap(), size: 16, lease: format!("lease-{first}") };
    Holding { pool: pool.to_owned(), blocks: Some(vec![block]), addresses }
}

/// Two nodes with a block each of one pool, and one with the same address of a network of whereabouts.
struct World {
    nodes: Vec<OfNode>,
    seen: SeenAddresses,
}

fn good() -> World {
    let implied = |address: HeldAddress| Holding {
        pool: format!("whereabouts.net-{}", address.container_id),
        blocks: Some(vec![HeldBlock { first: "10.9.0.1".parse().unwrap(), size: 1, lease: "w".to_owned() }]),
        addresses: vec![address],
    };
    let of = |node: &str, holdings: Vec<Holding>| OfNode { node: node.to_owned(), holdings };
    let nodes = vec![
        of("a", vec![holding("lan", "10.0.0.0", vec![address("10.0.0.2", "a2")]), implied(address("10.9.0.1", "x"))]),
        of(
            "b",
            vec![holding("lan", "10.0.0.16", vec![address("10.0.0.17", "b17")]), implied(address("10.9.0.1", "y"))],
        ),
    ];
    let single = |node: &str, net: &str| {
        let mut block = block(&format!("whereabouts.net-{net}"), "10.9.0.1", node);
        block.lease.block.size = 1;
        block
    };
    let blocks =
        vec![block("lan", "10.0.0.0", "a"), block("lan", "10.0.0.16", "b"), single("a", "x"), single("b", "y")];
    let range =
        Range { range: "10.0.0.0/24".to_owned(), exclude: vec!["10.0.0.20-10.0.0.25".to_owned()], ..Range::default() };
    let spec = PoolSpec { ranges: vec![range], ..PoolSpec::implied() };
    let claimant = Claimant { name: "lan".to_owned(), created: 1, spec };
    let pool = crate::cluster::SeenPool {
        claimant,
        version: Default::default(),
        generation: 1,
        status: PoolStatus::default(),
    };
    let record = |node: &str| Record {
        epoch: format!("e-{node}"),
        version: "1".to_owned(),
        revoked_at: String::new(),
        is_dead: false,
    };
    let records = ["a", "b"].map(|node| (node.to_owned(), record(node))).into();
    World { nodes, seen: SeenAddresses { pools: vec![pool], blocks, nodes: records, reservations: None } }
}

fn broken(change: impl Fn(&mut World)) -> Vec<String> {
    let mut world = good();
    change(&mut world);
    let told = |problem: &Problem| format!("{} {} {}", problem.rule, problem.object, problem.nodes.join(","));
    judge(&world.nodes, Some(&world.seen), NOW).iter().map(told).collect()
}

fn addresses(world: &mut World, node: usize) -> &mut Vec<HeldAddress> {
    &mut world.nodes[node].holdings[0].addresses
}

#[test]
fn nothing_is_wrong_with_two_nodes_that_share_a_pool() {
    assert_eq!(broken(|_| ()), [""; 0]);
}

#[test]
fn an_address_on_two_nodes_is_found() {
    // U1. The second node has it in a block that is not its own, which is found too.
    let both = |world: &mut World| addresses(world, 1).push(address("10.0.0.2", "b2"));
    assert_eq!(broken(both), ["twice 10.0.0.2 a,b", "block 10.0.0.2 b"]);
    let mut world = good();
    both(&mut world);
    let alone: Vec<&str> = judge(&world.nodes, None, NOW).iter().map(|problem| problem.rule).collect();
    assert_eq!(alone, ["twice"], "without the objects of the cluster");
    // One of both has a record only: its file is lost.
    assert_eq!(
        broken(|world| {
            both(world);
            addresses(world, 1)[1].has_file = false;
        }),
        ["twice 10.0.0.2 a,b"]
    );
    // Fixed addresses of a network, which nobody takes.
    assert_eq!(
        broken(|world| {
            (0..2).for_each(|node| {
                addresses(world, node).push(HeldAddress { has_file: false, ..address("192.168.9.9", "f") });
            });
        }),
        [""; 0]
    );
}

#[test]
fn what_a_node_grants_is_what_it_leases() {
    // U2
    let lost = |world: &mut World| drop(world.seen.blocks.remove(1));
    assert_eq!(broken(lost), ["grant lan.0a000010 b", "block 10.0.0.17 b"]);
    let stolen = |world: &mut World| world.seen.blocks[1].lease.node = "a".to_owned();
    assert_eq!(broken(stolen), ["grant lan.0a000010 b", "unused lan.0a000010 a", "block 10.0.0.17 b"]);
    let resized = |world: &mut World| world.nodes[0].holdings[0].blocks.as_mut().unwrap()[0].size = 8;
    assert_eq!(broken(resized), ["grant lan.0a000000 a"]);
    // L3
    let unused = |world: &mut World| world.seen.blocks.push(block("lan", "10.0.0.32", "a"));
    assert_eq!(broken(unused), ["unused lan.0a000020 a"]);
    for excused in [
        |world: &mut World| world.seen.blocks[4].created = NOW - 600,
        |world: &mut World| world.nodes[0].holdings[0].blocks = None,
        |world: &mut World| world.seen.nodes.get_mut("a").unwrap().is_dead = true,
        |world: &mut World| world.seen.nodes.get_mut("a").unwrap().revoked_at = "2026-01-01T00:00:00Z".to_owned(),
    ] {
        assert_eq!(
            broken(|world| {
                unused(world);
                excused(world);
            }),
            [""; 0]
        );
    }
}

#[test]
fn an_address_that_no_pod_gets_is_found() {
    // U6
    assert_eq!(broken(|world| addresses(world, 1).push(address("10.0.0.21", "b21"))), ["excluded 10.0.0.21 b"]);
    let outside = |world: &mut World| {
        world.seen.pools[0].claimant.spec.ranges[0].range = "10.0.0.0/28".to_owned();
        world.seen.pools[0].claimant.spec.ranges[0].exclude.clear();
    };
    assert_eq!(broken(outside), ["range 10.0.0.17 b"]);
    // Of a range that drains a pod keeps its address.
    assert_eq!(broken(|world| world.seen.pools[0].claimant.spec.ranges[0].draining = true), [""; 0]);
}

#[test]
fn only_what_stays_is_told() {
    let mut world = good();
    addresses(&mut world, 1).push(address("10.0.0.2", "b2"));
    let seen = Some(&world.seen);
    let found = judge(&world.nodes, seen, NOW);
    let rules = |problems: Vec<Problem>| problems.iter().map(|problem| problem.rule).collect::<Vec<_>>();
    assert_eq!(rules(confirmed(found.clone(), &world.nodes, seen)), ["twice", "block"]);
    // The pod of one node ended meanwhile, and its address went to the other one.
    assert_eq!(rules(confirmed(found.clone(), &good().nodes, seen)), [""; 0]);
    // Another pod has it now: that is another problem, if any.
    let mut later = world.nodes.clone();
    later[1].holdings[0].addresses[1].container_id = "b3".to_owned();
    assert_eq!(rules(confirmed(found.clone(), &later, seen)), [""; 0]);
    // A node that does not answer again may still have it.
    assert_eq!(rules(confirmed(found, &world.nodes[..1], seen)), ["twice", "block"]);
}

#[test]
fn an_answer_of_a_node_is_read() {
    let answer = |node: &str, stdout: &str| {
        let finished = Finished { code: 3, stdout: stdout.into(), stderr: Vec::new() };
        Answer { node: node.to_owned(), result: Ok(finished) }
    };
    let now = r#"{"version":1,"pools":1,"addresses":1,"problems":[{"rule":"idle","pool":"lan","address":null,"text":"t"}],
        "holdings":[{"pool":"lan","blocks":[{"first":"10.0.0.0","size":16,"lease":"l"}],"addresses":[
        {"address":"10.0.0.2","pod":"ns/a","containerId":"a","interface":"net1","hasFile":true,"later":1}]}]}"#;
    let former = r#"{"version":1,"pools":0,"addresses":0,"problems":[]}"#;
    let unreachable = Answer { node: "c".to_owned(), result: Err("there is no Plexus pod on it".to_owned()) };
    let answers = [answer("a", now), answer("b", former), unreachable];
    let nodes = held(&answers);
    assert_eq!((nodes.len(), nodes[0].node.as_str()), (1, "a"));
    assert_eq!(nodes[0].holdings[0].addresses[0].address.to_string(), "10.0.0.2");
    assert!(read(&answers[1]).is_some_and(|own| own.holdings.is_none()));
}

#[test]
fn nodes_are_asked_for_what_can_be_read() {
    let words = |line: &str| as_json(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(" ");
    assert_eq!(words("ipam check"), "ipam check --output=json");
    assert_eq!(words("ipam check --output=table -- lan"), "ipam check --output=json -- lan");
}
