//! What an address of a pool of the cluster costs beside one of `host-local`: ADD and DEL of the address alone, each on a
//! node with so many other addresses in use. Both are called in this process, as built-in main plugins call them.
//!
//! `cargo bench --bench addresses`. Medians of alternating rounds: compare the columns, not the days.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

#[path = "../tests/support/leased.rs"]
mod leased;

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: usize = 300;
const TAKEN: [usize; 3] = [0, 100, 1000];
/// Pods of one node, and their networks: each of a pool of its own.
const CROWD: [usize; 2] = [128, 17];
/// What all their addresses may take.
const CROWD_TARGET: Duration = Duration::from_secs(5);
/// What the pool may take longer than `host-local`.
const TARGET: Duration = Duration::from_micros(300);

fn main() {
    println!("an address alone, medians of {ROUNDS} alternating rounds\n");
    println!("{:>6} {:6}{:>14}{:>14}{:>14}", "taken", "", "host-local", "plexus-ipam", "more");
    for taken in TAKEN {
        let folder = tempfile::tempdir().unwrap();
        let kinds = [local(folder.path()), pool(folder.path(), "lan")];
        for (container, section) in (0..taken).flat_map(|n| kinds.iter().map(move |section| (n, section))) {
            drop(add(folder.path(), section, &format!("c{container}")));
        }
        let mut times: [[Vec<Duration>; 2]; 2] = Default::default();
        for round in 0..ROUNDS {
            for (kind, section) in kinds.iter().enumerate() {
                let container = format!("r{round}");
                let (took, result) = add(folder.path(), section, &container);
                times[kind][0].push(took);
                times[kind][1].push(del(folder.path(), section, &container, &result));
            }
        }
        for (at, verb) in ["ADD", "DEL"].into_iter().enumerate() {
            let [local, ours] = [0, 1].map(|kind| median(&mut times[kind][at]));
            let more = ours.as_secs_f64() * 1e6 - local.as_secs_f64() * 1e6;
            let told = if more <= TARGET.as_secs_f64() * 1e6 { "" } else { "  more than the target" };
            println!("{taken:>6} {verb:6}{:>11.0} us{:>11.0} us{more:>11.0} us{told}", us(local), us(ours));
        }
    }
    crowd();
}

/// All pods start, one after another, and all addresses are in stock. On a machine with other work only the processor time
/// means something.
fn crowd() {
    let [pods, networks] = CROWD;
    println!("\n{pods} pods with {networks} networks, all addresses in stock\n");
    println!("{:14}{:>10}{:>16}", "", "time", "processor time");
    for kind in ["host-local", "plexus-ipam"] {
        let folder = tempfile::tempdir().unwrap();
        let section = |number| match kind {
            "host-local" => local(&folder.path().join(format!("{number}"))),
            _ => pool(folder.path(), &format!("lan{number}")),
        };
        let sections: Vec<Value> = (0..networks).map(section).collect();
        let (begun, before) = (Instant::now(), used());
        for (pod, section) in (0..pods).flat_map(|pod| sections.iter().map(move |section| (pod, section))) {
            drop(add(folder.path(), section, &format!("p{pod}")));
        }
        let (took, used) = (begun.elapsed(), used() - before);
        let told = if took <= CROWD_TARGET { "" } else { "  more than the target" };
        println!("{kind:14}{:>8.2} s{:>14.2} s{told}", took.as_secs_f64(), used.as_secs_f64());
    }
}

/// The processor time of this process.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let time = |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
    time(usage.user_time()) + time(usage.system_time())
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The section of a pool of 4,096 addresses.
fn local(folder: &Path) -> Value {
    json!({"type": "host-local", "subnet": "10.8.0.0/20", "dataDir": folder.join("local")})
}

/// The section of such a pool of the cluster. All its blocks are granted.
fn pool(folder: &Path, name: &str) -> Value {
    let now = plexus::facts::node_blocks::now();
    let mut grant = format!("pool {name}\nconfirmed {} {} {}\nauthority 6000\n", now.boot, now.since_boot, now.clock);
    grant.push_str("warm 1 8192\ncooldown 0\nretain 86400\nsubnet 10.8.0.0/20\n");
    for block in 0..16 {
        writeln!(grant, "block 10.8.{block}.0 256 a{block} 10.8.{block}.1 10.8.{block}.254").unwrap();
    }
    let grants = folder.join("run/daemon/ipam");
    std::fs::create_dir_all(&grants).unwrap();
    std::fs::write(grants.join(format!("{name}.grant")), grant).unwrap();
    json!({"type": "plexus-ipam", "pool": name})
}

fn add(folder: &Path, section: &Value, container: &str) -> (Duration, Value) {
    let begin = Instant::now();
    let result = leased::call(folder, section, (container, "net1"), None, |ipam, call| ipam.add(call).unwrap().ips);
    let took = begin.elapsed();
    let ips: Vec<Value> = result.iter().map(|ip| json!({"address": ip.address.to_string()})).collect();
    (took, json!({"cniVersion": "1.0.0", "ips": ips}))
}

fn del(folder: &Path, section: &Value, container: &str, result: &Value) -> Duration {
    let begin = Instant::now();
    leased::call(folder, section, (container, "net1"), Some(result), |ipam, call| ipam.del(call).unwrap());
    begin.elapsed()
}
