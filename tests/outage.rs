//! Daemon and API server are away for long, and the node goes on.
//!
//! `PLEXUS_OUTAGE_SECONDS=600` (`make outage`) really waits; without it what depends on time is made older instead.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::json;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};
use support::cluster::Cluster;
use support::{Call, Node, Pod, Recorder, eventually};

const TEN_MINUTES: Duration = Duration::from_secs(600);
/// Runtimes ask for STATUS about so often.
const EVERY: Duration = Duration::from_secs(6);

fn seconds() -> Option<Duration> {
    std::env::var("PLEXUS_OUTAGE_SECONDS").ok()?.parse().ok().map(Duration::from_secs)
}

/// Makes the file older than it is.
fn age(file: &Path) {
    let time = fs::metadata(file).unwrap().modified().unwrap() - TEN_MINUTES;
    File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
}

/// As if everything on the node that tells a time was of ten minutes ago.
fn ten_minutes_pass(node: &Node, indebted: &Pod) {
    for folder in [node.state().networks(), node.run().networks()] {
        fs::read_dir(folder).unwrap().for_each(|entry| age(&entry.unwrap().path()));
    }
    age(&node.run().path().join("swept"));
    if let Some(mut record) = indebted.record(node) {
        record["attachments"][0]["debt"]["last"] = json!(1);
        fs::write(indebted.record_file(node), record.to_string()).unwrap();
    }
}

/// A pod comes and goes, as on any other day.
fn come_and_go(pod: &Pod) {
    pod.add().result();
    pod.del().silence();
    pod.del_without_netns().silence();
    pod.end_sandbox();
}

#[test]
fn the_node_goes_on_without_daemon_and_api_server() {
    // FAULT-10, FAULT-26
    let Some(mut cluster) = Cluster::new() else { return };
    let network = |kind: &str| json!({"cniVersion": "1.0.0", "type": kind});
    let broken = cluster.node.recorder("broken");
    cluster.node.recorder("a");
    cluster.node.primary(&json!({"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{"type": "primary"}]}));
    cluster.network("default", "a", &network("a"));
    cluster.network("default", "broken", &network("broken"));
    let daemon = cluster.daemon();
    let before = cluster.pod("before", "a");
    before.add().result();
    assert_eq!(cluster.status("before")[1]["name"], "default/a");
    let indebted = cluster.pod("indebted", "broken");
    indebted.add().result();
    let during = cluster.pod("during", "a");
    broken.on("DEL", "fail 103 broken");

    daemon.kill();
    cluster.at_home(|api| api.kill().unwrap());
    indebted.del().refusal(103, &["broken"]);
    during.add().result();
    go_on(&cluster.node, &indebted, &broken);
    before.del().silence();
    // What is not known on the node fails, quickly, and says why; its default network is not touched.
    Pod::new(&cluster.node, "unknown")
        .selecting("never-seen")
        .configured("daemonTimeoutSeconds", json!(0.3))
        .add()
        .refusal(11, &["default/never-seen", "plexusd"]);

    cluster.at_home(|api| api.restart().unwrap());
    let _daemon = cluster.daemon();
    eventually("the status of the pod that came meanwhile", || cluster.status("during")[1]["name"] == "default/a");
}

/// The time of the outage. Of `broken` a DEL is owed: nothing but STATUS calls for it.
fn go_on(node: &Node, indebted: &Pod, broken: &Recorder) {
    let (begun, real) = (Instant::now(), seconds());
    let lasts = real.unwrap_or_default();
    let (mut rounds, mut healed) = (0, false);
    loop {
        if real.is_none() {
            ten_minutes_pass(node, indebted);
        }
        if !healed && begun.elapsed() >= lasts / 2 {
            broken.as_usual("DEL");
            healed = true;
        }
        Call::of_node(node, "STATUS").make().silence();
        come_and_go(&Pod::new(node, &format!("plain{rounds}")));
        come_and_go(
            &Pod::new(node, &format!("known{rounds}")).selecting("a").configured("publishTimeoutSeconds", json!(0.1)),
        );
        rounds += 1;
        if begun.elapsed() >= lasts {
            break;
        }
        std::thread::sleep(EVERY);
    }
    eventually("the debt to be paid", || indebted.record(node).is_none());
    let attempts = broken.calls_of("DEL").len();
    support::say(&format!(
        "without daemon and API server for {:?}: {rounds} times STATUS, a plain pod and one with a network; a debt paid at attempt {attempts}",
        begun.elapsed()
    ));
    assert!(attempts >= 2);
}
