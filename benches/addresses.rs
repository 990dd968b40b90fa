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

use plexus::api::{RunDirectory, StateDirectory};
use plexus::cni::{CniArgs, ContainerId, IfName, PluginConfig, RawObject};
use plexus::delegate::ipam::{Enabled, Ipam, find_with};
use plexus::delegate::{Call, Scope};
use plexus::facts::NodeBlocks;
use plexus::sys::trusted::KeptFolders;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 300;
const TAKEN: [usize; 3] = [0, 100, 1000];
/// What the pool may take longer than `host-local`.
const TARGET: Duration = Duration::from_micros(300);

fn main() {
    println!("an address alone, medians of {ROUNDS} alternating rounds\n");
    println!("{:>6} {:6}{:>14}{:>14}{:>14}", "taken", "", "host-local", "plexus-ipam", "more");
    for taken in TAKEN {
        let folder = tempfile::tempdir().unwrap();
        let kinds = [section(folder.path(), "host-local"), section(folder.path(), "plexus-ipam")];
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
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The section of a pool of 4,096 addresses. The blocks of the cluster's pool are granted.
fn section(folder: &Path, kind: &str) -> Value {
    if kind == "host-local" {
        return json!({"type": kind, "subnet": "10.8.0.0/20", "dataDir": folder.join("local")});
    }
    let now = plexus::facts::node_blocks::now();
    let mut grant = format!("pool lan\nconfirmed {} {} {}\nauthority 6000\n", now.boot, now.since_boot, now.clock);
    grant.push_str("warm 1 8192\ncooldown 0\nretain 86400\nsubnet 10.8.0.0/20\n");
    for block in 0..16 {
        writeln!(grant, "block 10.8.{block}.0 256 a{block} 10.8.{block}.1 10.8.{block}.254").unwrap();
    }
    let grants = folder.join("run/daemon/ipam");
    std::fs::create_dir_all(&grants).unwrap();
    std::fs::write(grants.join("lan.grant"), grant).unwrap();
    json!({"type": kind, "pool": "lan"})
}

fn add(folder: &Path, section: &Value, container: &str) -> (Duration, Value) {
    let begin = Instant::now();
    let result = call(folder, section, container, None, |ipam, call| ipam.add(call).unwrap().ips);
    let took = begin.elapsed();
    let ips: Vec<Value> = result.iter().map(|ip| json!({"address": ip.address.to_string()})).collect();
    (took, json!({"cniVersion": "1.0.0", "ips": ips}))
}

fn del(folder: &Path, section: &Value, container: &str, result: &Value) -> Duration {
    let begin = Instant::now();
    call(folder, section, container, Some(result), |ipam, call| ipam.del(call).unwrap());
    begin.elapsed()
}

fn call<T>(
    folder: &Path,
    section: &Value,
    container: &str,
    result: Option<&Value>,
    work: impl FnOnce(&dyn Ipam, &Call<'_>) -> T,
) -> T {
    let mut config = json!({"cniVersion": "1.0.0", "name": "net", "type": "macvlan", "ipam": section});
    if let Some(result) = result {
        config["prevResult"] = result.clone();
    }
    let text = config.to_string();
    let plugin = PluginConfig::new(RawObject::parse(&text).unwrap()).unwrap();
    let (id, ifname) = (ContainerId::new(container).unwrap(), IfName::new("net1").unwrap());
    let args = CniArgs::parse(&format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME={container};K8S_POD_UID=u"));
    let patience = Duration::from_secs(20);
    let scope = Scope {
        container_id: Some(&id),
        ifname: Some(&ifname),
        is_first: true,
        ..Scope::of_node(&args, &[], patience, Instant::now() + patience)
    };
    let blocks = NodeBlocks::new(StateDirectory::new(folder.join("state")), RunDirectory::new(folder.join("run")));
    let section = RawObject::parse(&section.to_string()).unwrap();
    let kind = section.read::<String>("type").unwrap().unwrap();
    let ipam = find_with(&section, &kind, Enabled::ALL, Some(&(Arc::new(blocks) as _))).unwrap();
    // As a call of the plugin does.
    let _kept = KeptFolders::begin();
    work(ipam.as_ref(), &Call { scope: &scope, plugin: &plugin, stdin: text })
}
