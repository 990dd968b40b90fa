//! Pods come and go for half an hour beside a real API server, and what must stay flat is measured: memory, descriptors,
//! threads and files of the daemon and the plugin, links of the node, requests to the API server for each pod.
//!
//! `make soak`, as root; `PLEXUS_SOAK_MINUTES` is 30 unless set. It prints where each figure began and ended and its slope,
//! and fails where one grows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

#[path = "soak/flat.rs"]
mod flat;
#[path = "../tests/support/mod.rs"]
mod support;

use flat::{Figure, Samples};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use support::cluster::Cluster;
use support::daemon::Daemon;
use support::{Call, Pod, kernel};

/// Pods that live at a time.
const PODS: usize = 8;
/// After so many rounds something happens beside pods that come and go.
const EVENT: usize = 20;

/// A sweep comes each ten minutes, and removes locks of pods that went ten minutes ago: older ones should be gone.
const NOTED: Duration = Duration::from_secs(2 * 600 + 60);

/// What must not grow: its name, and by how much it may differ over the whole time.
const FIGURES: [Figure; 7] = [
    Figure::new("daemon's memory, KiB", 512.0),
    Figure::new("daemon's descriptors", 2.0),
    Figure::new("daemon's threads", 1.0),
    Figure::new("files of Plexus", 2.0),
    Figure::new("leases and records of plugins", 1.0),
    Figure::new("links of the node", 1.0),
    Figure::new("API requests for each pod", 0.3),
];

fn main() -> ExitCode {
    let minutes: u64 = std::env::var("PLEXUS_SOAK_MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let Some(cluster) = Cluster::new() else { return ExitCode::FAILURE };
    furnish(&cluster);
    let daemon = cluster.daemon();
    let (begun, every) = (Instant::now(), Duration::from_secs(minutes).max(Duration::from_secs(5)));
    let (mut samples, mut rounds, mut asked, mut due) = (Samples::default(), 0, 0, every);
    let mut since = 0;
    while begun.elapsed() < Duration::from_secs(60 * minutes) {
        round(&cluster, rounds);
        rounds += 1;
        if rounds % EVENT == 0 {
            event(&cluster, rounds / EVENT);
        }
        if begun.elapsed() >= due {
            let requests = cluster.requests_since(0).len();
            let for_each = (requests - asked) as f64 / ((rounds - since) * PODS) as f64;
            (asked, since, due) = (requests, rounds, due + every);
            samples.push(begun.elapsed(), figures(&daemon, for_each));
            support::say(&format!("{:4} s: {} pods came and went", begun.elapsed().as_secs(), rounds * PODS));
        }
    }
    println!("soak: {} pods with three networks in {minutes} minutes", rounds * PODS);
    let flat = samples.report(&FIGURES);
    println!("{}", if flat { "everything is flat" } else { "something grows" });
    if flat { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn furnish(cluster: &Cluster) {
    let bridge = |name: &str, subnet: &str| {
        json!({"cniVersion": "1.0.0", "name": name, "plugins": [
            {"type": "bridge", "bridge": name, "isGateway": true, "ipam": {"type": "host-local", "subnet": subnet}}]})
    };
    cluster.node.primary(&bridge("cbr0", "10.244.0.0/24"));
    cluster.network("default", "lan", &bridge("br-lan", "10.10.0.0/24"));
    cluster.network("default", "wan", &macvlan(0));
}

fn macvlan(number: usize) -> Value {
    json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "br-lan", "comment": number,
        "ipam": {"type": "host-local", "subnet": "10.20.0.0/24"}})
}

/// New pods come: what is kept of a pod that is gone shows. Each is attached, checked now and then, and deleted; now and then its DEL
/// comes twice. Then the pods end.
fn round(cluster: &Cluster, number: usize) {
    let names: Vec<String> = (0..PODS).map(|place| format!("soak-{number}-{place}")).collect();
    let pods = cluster.new_pods(&names, "lan,wan,lan");
    calls(&pods, number);
    pods.iter().for_each(Pod::end_sandbox);
    cluster.kubectl(&["delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false"], None);
}

fn calls(pods: &[Pod], number: usize) {
    let results: Vec<Value> = pods.iter().map(|pod| pod.add().result()).collect();
    for (place, (pod, result)) in pods.iter().zip(results).enumerate() {
        if (number + place).is_multiple_of(5) {
            let checked = pod.call("CHECK").configured("prevResult", result).make();
            assert!(checked.status.success(), "{checked:?}");
        }
        pod.del().silence();
        if (number + place).is_multiple_of(7) {
            pod.del().silence();
        }
    }
}

/// A network is changed, and the runtime asks for STATUS and GC.
fn event(cluster: &Cluster, number: usize) {
    cluster.network("default", "wan", &macvlan(number));
    Call::of_node(&cluster.node, "STATUS").make().silence();
    let collected = Call::of_node(&cluster.node, "GC").configured("cni.dev/valid-attachments", json!([])).make();
    assert!(collected.status.success(), "{collected:?}");
}

fn figures(daemon: &Daemon, requests: f64) -> Vec<f64> {
    let process = format!("/proc/{}", daemon.pid());
    let count = |folder: &str| fs::read_dir(folder).unwrap().count() as f64;
    let of_plexus = ["/run/plexus", "/var/lib/plexus"].iter().map(|folder| files(Path::new(folder))).sum::<usize>();
    let of_plexus = of_plexus - recent(Path::new("/run/plexus/locks"));
    vec![
        daemon.memory() as f64,
        count(&format!("{process}/fd")),
        count(&format!("{process}/task")),
        of_plexus as f64,
        files(Path::new("/var/lib/cni")) as f64,
        kernel::host_links().len() as f64,
        requests,
    ]
}

/// The files in `folder` that a sweep leaves for the time being: the lock of a pod that is gone tells for a while that everything was
/// deleted, so there are as many as pods went meanwhile.
fn recent(folder: &Path) -> usize {
    let ages =
        fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok()?.modified().ok());
    ages.filter(|at| at.elapsed().is_ok_and(|age| age < NOTED)).count()
}

/// The files below `folder`.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.map(|path| if path.is_dir() && !path.is_symlink() { files(&path) } else { 1 }).sum()
}
