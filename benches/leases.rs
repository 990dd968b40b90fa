//! What pools of addresses cost one API server with many nodes, and whether anything is given twice: daemons with tokens of
//! their own under the roles and policies of `conf`, which start at once, are restarted, lose the API server, and find it
//! restored from a backup; and Nodes that are deleted.
//!
//! `make bench-leases NODES=500 POOLS=10`, as root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

#[path = "leases/bare.rs"]
mod bare;
#[path = "leases/nodes.rs"]
mod nodes;
mod report;
#[path = "../tests/support/mod.rs"]
mod support;

use nodes::{Fleet, PATIENCE};
use std::time::{Duration, Instant};
use support::apiserver::ApiServer;
use support::cluster::{NETWORKS, role, server};
use support::requests::Requests;
use support::wait_within;

/// So many times of one request are taken.
const ALONE: usize = 300;
/// Of all nodes so many are deleted: one of twenty.
const DELETED: usize = 20;

fn main() {
    let number = |name: &str, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (nodes, pools) = (number("PLEXUS_SCALE_NODES", 100), number("PLEXUS_SCALE_POOLS", 10));
    let Some(mut server) = server(&[role("unused", &[NETWORKS])]) else { return };
    println!("{}", report::origin());
    println!("{nodes} daemons, {pools} pools, one API server and etcd\n");
    let mut fleet = Fleet::prepare(&server, nodes, pools);
    println!("| | time | requests to the API server |\n|---|--:|---|");
    storm(&server, &mut fleet);
    pods(&server, &mut fleet);
    alone(&server, &fleet);
    crowd(&server, &mut fleet, number("PLEXUS_SCALE_PODS", 128));
    rolling(&server, &mut fleet);
    outage(&mut server, &mut fleet);
    restored(&mut server, &mut fleet);
    deleted(&server, &mut fleet);
    println!("\n{}", fleet.check(&server));
}

fn row(what: &str, took: Duration, requests: &Requests) {
    println!("| {what} | {:.1} s | {requests} |", took.as_secs_f64());
}

/// All daemons start at once, and each leases a block of each pool.
fn storm(server: &ApiServer, fleet: &mut Fleet) {
    let (before, begun) = (Requests::of(server), Instant::now());
    fleet.start();
    row("all daemons start at once, until each answers", begun.elapsed(), &Requests::of(server).since(&before));
    let without = fleet.memory();
    let (before, begun) = (Requests::of(server), Instant::now());
    let mut leases = fleet.lease_all();
    let requests = Requests::of(server).since(&before);
    row("each node leases a block of each pool at the same time", begun.elapsed(), &requests);
    times("one lease", &mut leases);
    println!("| memory of a daemon: {without} KiB without a pool, {} KiB with the pools | | |", fleet.memory());
}

fn times(what: &str, all: &mut [Duration]) {
    all.sort_unstable();
    let at = |percent: usize| all[(all.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!("| {what}: median {:.1} ms, 95 % {:.1} ms, 99 % {:.1} ms | | |", at(50), at(95), at(99));
}

/// What a pod waits for where nothing else happens, beside one request to the same API server.
fn alone(server: &ApiServer, fleet: &Fleet) {
    fleet.grow_old();
    times("leases of one node, one after another", &mut fleet.lease_one_by_one(ALONE));
    let created = bare::create(server.kubeconfig(), ALONE);
    times("an object is created without Plexus, one after another", &mut created.unwrap());
}

/// A pod on each node in each pool, out of the stock.
fn pods(server: &ApiServer, fleet: &mut Fleet) {
    let (before, begun) = (Requests::of(server), Instant::now());
    fleet.add_all();
    let what = format!("{} pods get an address in each pool, out of the stock", fleet.len());
    row(&what, begun.elapsed(), &Requests::of(server).since(&before));
}

/// So many pods on one node get an address in each pool, one after another; blocks are leased when there is no free address.
fn crowd(server: &ApiServer, fleet: &mut Fleet, pods: usize) {
    fleet.grow_old();
    let (before, begun) = (Requests::of(server), Instant::now());
    fleet.crowd(pods);
    let what = format!("{pods} pods on one node get an address in each pool, in blocks of {}", nodes::BLOCK_SIZE);
    row(&what, begun.elapsed(), &Requests::of(server).since(&before));
}

/// One daemon after the other ends and starts.
fn rolling(server: &ApiServer, fleet: &mut Fleet) {
    let (before, begun) = (Requests::of(server), Instant::now());
    fleet.restart_each();
    fleet.wait_for_confirmations();
    row(
        "the daemons are restarted one after another, until each grant is confirmed",
        begun.elapsed(),
        &Requests::of(server).since(&before),
    );
}

/// The API server is away; pods come and go; it is back.
fn outage(server: &mut ApiServer, fleet: &mut Fleet) {
    server.kill().unwrap();
    let begun = Instant::now();
    fleet.add_all();
    fleet.del_all();
    println!("| the API server is away: as many pods come and go | {:.1} s | |", begun.elapsed().as_secs_f64());
    server.restart().unwrap();
    let begun = Instant::now();
    fleet.ask_confirmations();
    row(
        "the API server is back, until a confirmation of each grant was asked for",
        begun.elapsed(),
        &Requests::of(server),
    );
}

/// What a tenth of the nodes has leased since the backup is forgotten. Each forgotten block has to come back to its node.
fn restored(server: &mut ApiServer, fleet: &mut Fleet) {
    server.back_up().unwrap();
    let before = nodes::owners(server);
    let leased = fleet.lease_more();
    let mut forgotten = nodes::owners(server);
    forgotten.retain(|name, _| !before.contains_key(name));
    assert!(forgotten.len() >= leased && leased > 0, "{leased} leases, and {} new blocks", forgotten.len());
    server.restore().unwrap();
    let begun = Instant::now();
    fleet.wait_until_restored(server, &forgotten);
    let what = format!("etcd is restored from a backup, until {} forgotten blocks are there again", forgotten.len());
    row(&what, begun.elapsed(), &Requests::of(server));
}

/// The machines of some Nodes are off, and their Nodes are deleted.
fn deleted(server: &ApiServer, fleet: &mut Fleet) {
    let gone = fleet.len() / DELETED;
    if gone == 0 {
        return;
    }
    let controller = fleet.start_controller(server);
    let (before, begun) = (Requests::of(server), Instant::now());
    fleet.remove(server, gone);
    wait_within(
        PATIENCE,
        || fleet.blocks_of_removed(server) == 0,
        || format!("blocks of removed nodes are not free\n{}", controller.log()),
    );
    let what = format!("{gone} Nodes are deleted, until their blocks are free, quarantine {} s", nodes::QUARANTINE);
    row(&what, begun.elapsed(), &Requests::of(server).since(&before));
    drop(controller);
}
