//! A node on which pods come and go for a long time, with the plugin in this process.

use super::*;
use std::time::{Duration, Instant};
use support::leased::call;

/// Pods that stay.
const STAYS: usize = 250;
/// As the plugin divides its history.
const HISTORY: u64 = 16 << 20;

/// How many files there are, and how many bytes of history.
fn sizes(machine: &Machine) -> (usize, u64) {
    let files = |folder: &str| std::fs::read_dir(machine.path(folder)).unwrap().flatten().collect::<Vec<_>>();
    let own = files("state/pools/crowd");
    let is_history = |entry: &&std::fs::DirEntry| entry.file_name().to_str().unwrap().starts_with("history");
    let history = own.iter().filter(is_history).map(|entry| entry.metadata().unwrap().len()).sum();
    (own.len() + files("run/taken/crowd").len(), history)
}

/// What 99 of 100 took at most.
fn p99(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) * 99 / 100]
}

/// `PLEXUS_IPAM_CHURN=1000000` is the number that the design asks for.
#[test]
fn a_million_pods_leave_the_node_as_it_was() {
    // Case 46
    let turns = std::env::var("PLEXUS_IPAM_CHURN").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let machine = granted();
    let grant = machine.path("run/daemon/ipam/crowd.grant");
    let text = std::fs::read_to_string(&grant).unwrap();
    let until = "authority 31536000\nretain 86400";
    std::fs::write(&grant, text.replace("authority 600", until)).unwrap();
    let (folder, section) = (machine.path(""), json!({"type": "plexus-ipam", "pool": "crowd"}));
    let add = |pod: &str| call(&folder, &section, (pod, "net1"), None, |ipam, call| drop(ipam.add(call).unwrap()));
    let del = |pod: &str| call(&folder, &section, (pod, "net1"), None, |ipam, call| ipam.del(call).unwrap());
    (0..STAYS).for_each(|pod| add(&format!("stays{pod}")));
    // Each of the others was somebody's once.
    (0..8).for_each(|pod| {
        add(&format!("first{pod}"));
        del(&format!("first{pod}"));
    });
    let (before, _) = sizes(&machine);
    let one = |turn: usize| {
        let container = format!("pod{turn}");
        let begun = Instant::now();
        add(&container);
        let took = begun.elapsed();
        del(&container);
        took
    };
    let times: Vec<Duration> = (0..turns).map(one).collect();
    let (after, history) = sizes(&machine);
    assert!(after <= before + 8, "{before} files before, {after} files after {turns} pods");
    assert!(history <= HISTORY + (1 << 20), "{history} bytes of history");
    assert_eq!(machine.files("crowd").len(), STAYS);
    let (early, late) = times.split_at(turns / 2);
    support::say(&format!(
        "{turns} pods: 99 % of ADD within {:?} in the first half, {:?} in the second; {after} files, {history} bytes of history",
        p99(early),
        p99(late)
    ));
}
