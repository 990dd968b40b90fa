//! What many daemons cost one API server: each with a token and connections of its own, bound to a pod on its node, with
//! the roles and policies of `conf/base`. Prints a table for `docs/scale.md`.
//!
//! `make bench-scale NODES=500`, as root. Where `MULTUS_BIN_DIR` names the programs of Multus 4.3, a second table is of as many
//! of its daemons ("thick"), at another API server. On a machine that is busy otherwise only the memory and the requests mean
//! something.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

#[path = "scale/cost.rs"]
mod cost;
#[path = "scale/fleet.rs"]
mod fleet;
mod report;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "scale/thick.rs"]
mod thick;

use cost::{Cost, Meter};
use fleet::Fleet;
use report::Times;
use std::path::Path;
use std::time::{Duration, Instant};
use support::apiserver::ApiServer;
use support::cluster::{NETWORKS as DEFINITIONS, put_network, role, server};
use thick::Thick;

/// Networks of the cluster.
const NETWORKS: usize = 100;
/// The server is watched so long while nothing happens.
const IDLE: Duration = Duration::from_secs(60);
/// After a change it is left alone so long, so that what it put off is done.
const SETTLE: Duration = Duration::from_secs(20);
/// So often a network is changed.
const CHANGES: usize = 20;
/// Statuses are written for so long, so many in a second.
const BURST: Duration = Duration::from_secs(20);
const RATE: u32 = 100;

fn main() {
    let nodes = std::env::var("PLEXUS_SCALE_NODES").ok().and_then(|nodes| nodes.parse().ok()).unwrap_or(100);
    let Some(mut server) = server(&[role("unused", &[DEFINITIONS])]) else { return };
    let fleet = Fleet::prepare(&server, nodes, NETWORKS);
    println!("{}", report::origin());
    println!("{nodes} daemons, {NETWORKS} networks, one API server and etcd\n");
    println!("| | API server and etcd | each daemon |\n|---|--:|--:|");
    let meter = Meter::of(&server);
    let empty = idle(&meter);
    let fleet = start_together(fleet, &meter, nodes);
    let full = idle(&meter);
    memory(empty, full, nodes);
    idle_time(empty, full, nodes);
    change(&server, &fleet, &meter, full);
    burst(&fleet, &meter, full);
    outage(&mut server, &fleet, nodes);
    let stopped = fleet.stop();
    drop(start_together(stopped, &Meter::of(&server), nodes));
    drop(server);
    if let Some(programs) = std::env::var_os("MULTUS_BIN_DIR") {
        thick(programs.as_ref(), nodes);
    }
}

/// The rows that need no question to a daemon, of as many daemons of Multus.
fn thick(programs: &Path, nodes: usize) {
    let Some(server) = server(&[role("unused", &[DEFINITIONS])]) else { return };
    Fleet::networks(&server, NETWORKS);
    let mut thick = Thick::prepare(&server, programs, nodes);
    println!("\n{nodes} multus-daemons\n");
    println!("| | API server and etcd | each daemon |\n|---|--:|--:|");
    let meter = Meter::of(&server);
    let empty = idle(&meter);
    let (begun, before) = (Instant::now(), meter.read());
    thick.start();
    let took = begun.elapsed();
    row(&format!("all start at once: ready after {:.1} s", took.as_secs_f64()), meter.read().since(before).cpu, nodes);
    let full = idle(&meter);
    memory(empty, full, nodes);
    idle_time(empty, full, nodes);
    let (before, begun) = (meter.read(), Instant::now());
    for round in 0..CHANGES {
        put_network(&server, "default", &fleet::network(0), &fleet::config(round + 1));
        std::thread::sleep(Duration::from_secs(1));
    }
    let cost = meter.read().since(before).without(full.share(begun.elapsed(), IDLE));
    row("a network changes", cost.cpu / u32::try_from(CHANGES).unwrap_or(1), nodes);
    println!("\nmemory of each multus-daemon: {} KiB", thick.memory());
}

/// What the server costs in [`IDLE`] while nothing happens.
fn idle(meter: &Meter) -> Cost {
    std::thread::sleep(SETTLE);
    let before = meter.read();
    std::thread::sleep(IDLE);
    meter.read().since(before)
}

fn start_together(fleet: Fleet, meter: &Meter, nodes: usize) -> Fleet {
    let (begun, before) = (Instant::now(), meter.read());
    let fleet = fleet.start();
    let took = begun.elapsed();
    let cost = meter.read().since(before);
    row(&format!("all daemons start at once: ready after {:.1} s", took.as_secs_f64()), cost.cpu, nodes);
    fleet
}

fn memory(empty: Cost, full: Cost, nodes: usize) {
    let more = full.memory.saturating_sub(empty.memory);
    let each = more / nodes as u64;
    println!("| memory, {} MiB without daemons | {} MiB | {each} KiB |", empty.memory >> 10, full.memory >> 10);
}

fn idle_time(empty: Cost, full: Cost, nodes: usize) {
    let per_second = |time: Duration| time.as_secs_f64() * 1e3 / IDLE.as_secs_f64();
    let (empty, full) = (per_second(empty.cpu), per_second(full.cpu));
    let each = (full - empty) / nodes as f64;
    println!("| processor time while idle, {empty:.1} ms/s without daemons | {full:.1} ms/s | {each:.3} ms/s |");
}

/// A network changes, and every daemon has to know.
fn change(server: &ApiServer, fleet: &Fleet, meter: &Meter, idle: Cost) {
    let (mut known, before, begun) = (Times::default(), meter.read(), Instant::now());
    for round in 0..CHANGES {
        known.push(fleet.change(server, round));
    }
    let cost = meter.read().since(before).without(idle.share(begun.elapsed(), IDLE));
    let each = cost.cpu / u32::try_from(CHANGES).unwrap_or(1);
    let what = format!("a network changes: the last daemon knows after {:.0} ms", report::milliseconds(known.median()));
    row(&what, each, fleet.len());
}

/// Statuses at a steady rate, by one daemon after the other.
fn burst(fleet: &Fleet, meter: &Meter, idle: Cost) {
    let (mut answered, before, begun) = (Times::default(), meter.read(), Instant::now());
    let count = RATE * u32::try_from(BURST.as_secs()).unwrap_or(1);
    for number in 0..count {
        let due = begun + Duration::from_secs(1) * number / RATE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        answered.push(fleet.publish(number as usize));
    }
    let took = begun.elapsed();
    let cost = meter.read().since(before).without(idle.share(took, IDLE));
    let rate = f64::from(count) / took.as_secs_f64();
    println!(
        "| {rate:.0} statuses in a second: answered after {:.1} ms, 95 % after {:.1} ms | {:.2} ms for each status | |",
        report::milliseconds(answered.median()),
        report::milliseconds(answered.p95()),
        report::milliseconds(cost.cpu / count)
    );
}

/// The server is started again, and all daemons come back by themselves.
fn outage(server: &mut ApiServer, fleet: &Fleet, nodes: usize) {
    server.restart().unwrap();
    let (begun, meter) = (Instant::now(), Meter::of(server));
    let before = meter.read();
    fleet.wait_until_ready();
    let took = begun.elapsed();
    std::thread::sleep(SETTLE);
    let what = format!("the API server starts again: its first {} s", (took + SETTLE).as_secs());
    row(&what, meter.read().since(before).cpu, nodes);
}

fn row(what: &str, cpu: Duration, nodes: usize) {
    let milliseconds = report::milliseconds(cpu);
    println!("| {what} | {milliseconds:.0} ms | {:.2} ms |", milliseconds / nodes as f64);
}
