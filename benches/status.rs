//! What a pod waits for its network-status, beside what the API server needs for it: the plugin's question to the
//! daemon on a connection that is open, until its answer, and the same patch by the same client library on a connection
//! that is open, too.
//!
//! `make bench-status`, as root. Medians of alternating rounds: on a busy machine compare the columns, not the days.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

mod report;
#[path = "../tests/support/mod.rs"]
mod support;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use plexus::api::protocol::{Published, Reply, Request};
use plexus::nad::NETWORK_STATUS;
use report::Times;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::cluster::{LEAST, role};

const ROUNDS: usize = 60;

fn main() {
    // On a machine of its own, as every thread that enters one; the client is where the server is.
    let Some(server) = support::cluster::server(&[role("plexus", &LEAST)]) else { return };
    let kubeconfig = server.kubeconfig_for("plexusd", &["plexus"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "node1"];
    let daemon = support::daemon::Daemon::in_folder(folder.path(), &arguments);
    support::eventually("the daemon to know the cluster", || daemon.health().ready);
    let pods = create(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let access = runtime.block_on(plexus::cluster::Access::open(Some(kubeconfig))).unwrap();
    let api: Api<Pod> = Api::namespaced(access.client().0, "default");
    let mut connection = daemon.connect().unwrap();
    let (mut bare, mut asked, mut over) = (Times::default(), Times::default(), Vec::new());
    for (round, pod) in pods.iter().enumerate() {
        let patched = |status: String| {
            let by_us = json!({"metadata": {"uid": pod.uid(), "annotations": {NETWORK_STATUS: status}}});
            let begun = Instant::now();
            let name = pod.name().to_owned();
            let parameters = PatchParams { field_manager: Some("plexus".to_owned()), ..PatchParams::default() };
            runtime.block_on(api.patch_status(&name, &parameters, &Patch::Merge(by_us))).unwrap();
            begun.elapsed()
        };
        let mut answered = || {
            let sandbox = daemon.leave(&format!("sandbox-{round}"), pod, &status(round).replace("10.1", "10.2"));
            let begun = Instant::now();
            let reply = connection.ask(&Request::Publish(sandbox));
            let answer = begun.elapsed();
            assert!(matches!(reply, Reply::Published(Published::Written)), "{reply:?}");
            answer
        };
        // Neither meets a pod that nobody has patched, and each comes first in half of the rounds, after the same pause.
        patched(status(round).replace("10.1", "10.3"));
        pause();
        let (patch, answer) = if round.is_multiple_of(2) {
            let patch = patched(status(round));
            pause();
            (patch, answered())
        } else {
            let answer = answered();
            pause();
            (patched(status(round)), answer)
        };
        // The first rounds open the connections.
        if round >= 6 {
            bare.push(patch);
            asked.push(answer);
            over.push(answer.as_secs_f64() - patch.as_secs_f64());
        }
        pause();
    }
    let (bare, asked) = (bare.median(), asked.median());
    over.sort_by(f64::total_cmp);
    println!("{}", report::origin());
    println!(
        "status     bare patch {bare:.2?}, question to answer {asked:.2?}, median of the differences {:.2} ms",
        over[over.len() / 2] * 1e3
    );
}

/// The event of a status that was written is not in the way of the next.
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Three networks'.
fn status(round: usize) -> String {
    let entry = |name: &str, ifname: &str, default: bool| json!({"name": name, "interface": ifname, "ips": [format!("10.1.2.{round}")], "mac": "aa:bb:cc:dd:ee:ff", "default": default, "dns": {}});
    json!([entry("cbr0", "eth0", true), entry("default/br", "net1", false), entry("default/mv", "net2", false)])
        .to_string()
}

fn create(server: &support::apiserver::ApiServer) -> Vec<plexus::nad::PodRef> {
    let manifest = |n| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("status-{n}")},
            "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "x"}]},
        })
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": (0..ROUNDS).map(manifest).collect::<Vec<_>>()});
    let made = server.kubectl(&["create", "-f", "-", "-o", "json"], Some(&list.to_string())).unwrap();
    let made = serde_json::Deserializer::from_str(&made).into_iter::<Value>().map(Result::unwrap);
    let pod = |made: Value| {
        support::daemon::pod(made["metadata"]["name"].as_str().unwrap(), made["metadata"]["uid"].as_str())
    };
    made.map(pod).collect()
}
