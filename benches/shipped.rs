//! What the shipped programs cost on this machine, side by side in one run: VERSION and the sizes, ADD and DEL of
//! a pod with three networks (default bridge, bridge, macvlan) in this process and by programs, and the daemon's memory.
//!
//! `make bench`, as root. Medians of alternating rounds: on a busy machine compare the columns, not the days.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::{Node, Pod};

const ROUNDS: usize = 30;

fn main() {
    let Some(node) = Node::new() else { return };
    version(&node);
    attach(&node);
    memory(&node);
}

/// How long a process takes that does next to nothing.
fn version(node: &Node) {
    let plugin = node.bin().join("plexus");
    let call = |program: &PathBuf| {
        let begun = Instant::now();
        Command::new(program)
            .env_clear()
            .env("CNI_COMMAND", "VERSION")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        begun.elapsed()
    };
    let reference = node.bin().join("bridge");
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS * 3 {
        own.push(call(&plugin));
        others.push(call(&reference));
    }
    println!("plugin     {} bytes", std::fs::metadata(&plugin).unwrap().len());
    println!("VERSION    plexus {:.2?}, reference bridge {:.2?} (process start included)", median(own), median(others));
}

/// ADD and DEL with natives and with programs, in turn.
fn attach(node: &Node) {
    let ipam = |subnet: &str| json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
    let bridge =
        |name: &str, subnet: &str| json!({"type": "bridge", "bridge": name, "isGateway": true, "ipam": ipam(subnet)});
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [bridge("cbr0", "10.1.0.0/16")]}));
    let network = |plugin: serde_json::Value| json!({"cniVersion": "1.0.0", "name": "n", "plugins": [plugin]});
    node.network("default/br", &network(bridge("br1", "10.2.0.0/16")));
    node.network("default/mv", &network(json!({"type": "macvlan", "master": "br1", "ipam": ipam("10.3.0.0/16")})));
    let mut times = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for round in 0..ROUNDS {
        for (natives, times) in [true, false].into_iter().zip(&mut times) {
            let pod =
                Pod::new(node, &format!("p{round}{natives}")).selecting("br,mv").configured("natives", json!(natives));
            let begun = Instant::now();
            pod.add().result();
            times[0].push(begun.elapsed());
            let begun = Instant::now();
            pod.del().silence();
            times[1].push(begun.elapsed());
            pod.end_sandbox();
        }
    }
    let [native, programs] = times.map(|of| of.map(median));
    for (verb, native, program) in [("ADD", native[0], programs[0]), ("DEL", native[1], programs[1])] {
        let ratio = program.as_secs_f64() / native.as_secs_f64();
        println!("{verb} of 3    natives {native:.2?}, programs {program:.2?}: {ratio:.1} times");
    }
}

/// What the daemon holds when nothing happens; `cargo bench` builds it as a release.
fn memory(node: &Node) {
    let daemon = Daemon::start(node);
    std::thread::sleep(Duration::from_secs(2));
    println!("plexusd    {} KiB resident, idle", daemon.memory());
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
