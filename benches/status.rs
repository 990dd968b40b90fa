//! What a pod waits for its network-status, beside what the API server needs for it: the plugin's question to the
//! daemon on a connection that is open, until its answer, and the same patch by the same client library on a connection
//! that is open, too.
//!
//! `make bench-status`, as root. Medians of alternating rounds: on a busy machine compare the columns, not the days. The audit
//! log of the API server has what it needed itself: a second line divides both times by it.

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
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, Patch, PatchParams};
use plexus::api::protocol::{Published, Reply, Request};
use plexus::nad::NETWORK_STATUS;
use report::Times;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::cluster::{LEAST, role};
use support::daemon::Daemon;

const ROUNDS: usize = 60;
/// The first round that counts.
const FIRST: usize = 6;

fn main() {
    // On a machine of its own, as every thread that enters one; the client is where the server is.
    let Some(server) = support::cluster::server(&[role("plexus", &LEAST)]) else { return };
    let kubeconfig = server.kubeconfig_for("plexusd", &["plexus"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "node1"];
    let daemon = Daemon::in_folder(folder.path(), &arguments);
    support::eventually("the daemon to know the cluster", || daemon.health().ready);
    let pods = create(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let access = runtime.block_on(plexus::cluster::Access::open(Some(kubeconfig))).unwrap();
    let api: Api<Pod> = Api::namespaced(access.client().0, "default");
    let Measured { bare, asked, greeted, mut over } = measure(&daemon, &pods, |name, status| {
        let parameters = PatchParams { field_manager: Some("plexus".to_owned()), ..PatchParams::default() };
        runtime.block_on(api.patch_status(name, &parameters, &Patch::Merge(status))).unwrap();
    });
    over.sort_by(f64::total_cmp);
    println!("{}", report::origin());
    println!(
        "status     bare patch {:.2?}, question to answer {:.2?}, median of the differences {:.2} ms",
        bare.median(),
        asked.median(),
        over[over.len() / 2] * 1e3
    );
    let [patch, answer] = served(&server, &pods).map(|times| times.median());
    println!(
        "  of that  the API server {patch:.2?} and {answer:.2?}, everything else {:.2?} and {:.2?}; an answer of the daemon alone {:.2?}",
        bare.median().saturating_sub(patch),
        asked.median().saturating_sub(answer),
        greeted.median()
    );
}

/// The times of all rounds.
#[derive(Default)]
struct Measured {
    bare: Times,
    asked: Times,
    /// A question that the daemon answers by itself.
    greeted: Times,
    /// How much longer the question took than the patch, in seconds.
    over: Vec<f64>,
}

fn measure(daemon: &Daemon, pods: &[plexus::nad::PodRef], patch: impl Fn(&str, &Value)) -> Measured {
    let mut connection = daemon.connect().unwrap();
    let mut times = Measured::default();
    for (round, pod) in pods.iter().enumerate() {
        let patched = |status: String| {
            let by_us = json!({"metadata": {"uid": pod.uid(), "annotations": {NETWORK_STATUS: status}}});
            let begun = Instant::now();
            patch(pod.name(), &by_us);
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
        pause();
        let begun = Instant::now();
        assert!(matches!(connection.ask(&Request::Health { test: false }), Reply::Health(_)));
        // The first rounds open the connections.
        if round >= FIRST {
            times.greeted.push(begun.elapsed());
            times.bare.push(patch);
            times.asked.push(answer);
            times.over.push(answer.as_secs_f64() - patch.as_secs_f64());
        }
        pause();
    }
    times
}

/// What the API server needed for a bare patch, and for that of a question, from its audit log.
fn served(server: &support::apiserver::ApiServer, pods: &[plexus::nad::PodRef]) -> [Times; 2] {
    let events = server.audit_log().unwrap();
    let mut times = [Times::default(), Times::default()];
    for (round, pod) in pods.iter().enumerate().skip(FIRST) {
        let is_of_pod = |event: &&Value| event["verb"] == "patch" && event["objectRef"]["name"] == pod.name();
        let patches: Vec<&Value> = events.iter().filter(is_of_pod).collect();
        // The first one is neither.
        assert_eq!(patches.len(), 3, "{patches:?}");
        let question = if round.is_multiple_of(2) { 2 } else { 1 };
        for (time, number) in times.iter_mut().zip([3 - question, question]) {
            let at = |key: &str| serde_json::from_value::<MicroTime>(patches[number][key].clone()).unwrap().0;
            let needed = at("stageTimestamp").duration_since(at("requestReceivedTimestamp"));
            time.push(needed.try_into().unwrap());
        }
    }
    times
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
