//! How much a namespace's user can have the daemon keep and ask.

use crate::stub::{Stub, status};
use crate::support::apiserver::ApiServer;
use crate::support::cluster::{LEAST, role, server};
use crate::support::daemon::{Daemon, nad};
use crate::support::{self, wait_until};
use futures::StreamExt;
use kube::api::PostParams;
use plexus::api::FactsRequest;
use plexus::cluster::crd::NetworkAttachmentDefinition;
use plexus::nad::NadRef;
use serde_json::json;
use std::time::{Duration, Instant};

/// As on a cluster whose definition is upstream's, which knows no limit.
fn lift_limit(server: &ApiServer) {
    let ours = include_str!("../../crd/network-attachment-definitions.yaml");
    let lines: Vec<&str> = ours.lines().filter(|line| !line.contains("maxLength")).collect();
    assert!(lines.len() < ours.lines().count(), "our definition has no limit");
    server.kubectl(&["replace", "-f", "-"], Some(&lines.join("\n"))).unwrap();
}

/// All of them may need the API server at the same time.
const PATIENCE: Duration = Duration::from_secs(120);

async fn make(server: &ApiServer, count: usize, config: &str) {
    let access = plexus::cluster::configuration(Some(server.kubeconfig())).await.unwrap();
    let api: kube::Api<NetworkAttachmentDefinition> =
        kube::Api::namespaced(kube::Client::try_from(access).unwrap(), "default");
    let make = |n: usize| {
        let api = api.clone();
        async move {
            let object = json!({ "metadata": { "name": format!("long-{n}") }, "spec": { "config": config } });
            let object = serde_json::from_value(object).unwrap();
            let begun = Instant::now();
            loop {
                match api.create(&PostParams::default(), &object).await {
                    Ok(_) => return,
                    // It was made, and the answer came too late.
                    Err(kube::Error::Api(status)) if status.code == 409 => return,
                    // A definition that was just replaced may refuse for a moment by what it was before.
                    Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(200)).await,
                    Err(e) => panic!("long-{n}: {e}"),
                }
            }
        }
    };
    futures::stream::iter((0..count).map(make)).buffer_unordered(4).collect::<Vec<_>>().await;
}

#[test]
fn long_networks_do_not_fill_the_memory() {
    const MIB: u64 = 1024;
    let Some(server) = server(&[role("plexus", &LEAST)]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = server.kubeconfig_for("plexusd-long", &["plexus"]).unwrap();
    let start =
        || Daemon::in_folder(folder.path(), &["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"]);
    let daemon = start();
    wait_until(|| daemon.health().ready, || daemon.log());
    let idle = daemon.memory();

    // With our own definition nobody makes such a one at all.
    let long = format!(r#"{{"cniVersion":"1.0.0","type":"x","filler":"{}"}}"#, "x".repeat(1_300_000));
    let object = json!({ "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": { "name": "refused" }, "spec": { "config": long } });
    let refused = server.kubectl(&["create", "-f", "-"], Some(&object.to_string())).unwrap_err();
    assert!(
        refused.contains("spec.config") && refused.contains("262144"),
        "{}",
        &refused[refused.len().saturating_sub(300)..]
    );
    lift_limit(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(make(&server, 60, &long));
    wait_until(|| daemon.health().definitions == 60, || daemon.log());
    let (watched, watched_peak) = (daemon.memory(), daemon.peak_memory());
    daemon.kill();
    let daemon = start();
    wait_until(|| daemon.health().definitions == 60, || daemon.log());
    let (listed, listed_peak) = (daemon.memory(), daemon.peak_memory());
    support::say(&format!(
        "plexusd: {idle} KiB idle; 60 networks of 1.3 MiB: {watched} KiB ({watched_peak} at most) watched, {listed} KiB ({listed_peak} at most) listed"
    ));
    // It is answered all the same, and followed.
    assert_eq!(daemon.config_of(&nad("long-7")).as_deref(), Some(long.as_str()));
    server.kubectl(&["patch", "nad", "long-7", "--type=merge", "-p", r#"{"spec":{"config":"22"}}"#], None).unwrap();
    wait_until(|| daemon.config_of(&nad("long-7")).as_deref() == Some("22"), || daemon.log());
    server.kubectl(&["delete", "nad", "long-8"], None).unwrap();
    wait_until(|| daemon.config_of(&nad("long-8")).is_none(), || daemon.log());
    support::tally(1, "daemon: long networks");
    // The limit of the container.
    for peak in [watched_peak, listed_peak, daemon.peak_memory()] {
        assert!(peak < 64 * MIB, "{peak} KiB at most, {idle} KiB idle");
    }
}

#[test]
fn names_of_networks_that_do_not_exist_are_few_questions() {
    let stub = Stub::start(Duration::from_millis(50), |_| None);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = stub.kubeconfig(folder.path());
    let daemon = Daemon::in_folder(folder.path(), &["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"]);
    wait_until(|| daemon.health().ready, || daemon.log());
    let asked = || stub.asked("GET", "/namespaces/default/").len();
    let ask = |from: usize| {
        let networks: Vec<NadRef> = (from..from + 200).map(|n| nad(&format!("none-{n:04}"))).collect();
        daemon.facts(FactsRequest { networks, ..FactsRequest::default() }).unwrap()
    };
    // The plugin fails on one; which it is, it is told.
    assert_eq!(ask(0).missing, [nad("none-0000")]);
    assert!(asked() <= 8, "{}", asked());
    // The kubelet tries again at once, and nobody is asked.
    let before = asked();
    assert_eq!(ask(0).missing, [nad("none-0000")]);
    assert_eq!(asked(), before);
    // Twenty pods, each with other names: never more than eight questions at a time.
    std::thread::scope(|scope| (1..=20).for_each(|pod| drop(scope.spawn(move || ask(pod * 200)))));
    assert!(stub.most_at_once() <= 8, "{}", stub.most_at_once());
    // A moment later it may be there.
    std::thread::sleep(Duration::from_millis(1100));
    let before = asked();
    ask(0);
    assert!(asked() > before);
}

#[test]
fn the_operators_own_names_are_not_waited_for() {
    let stub = Stub::start(Duration::ZERO, |asked| {
        status(404, "NotFound", "x").filter(|_| asked.path.contains("/kube-system/"))
    });
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = stub.kubeconfig(folder.path());
    let daemon = Daemon::in_folder(folder.path(), &["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"]);
    wait_until(|| daemon.health().ready, || daemon.log());
    let ask = |networks: &[(&str, &str)]| {
        let begun = Instant::now();
        let request = FactsRequest {
            default_network_namespace: Some("kube-system".into()),
            networks: networks.iter().map(|(namespace, name)| NadRef::new(namespace, name).unwrap()).collect(),
            ..FactsRequest::default()
        };
        (daemon.facts(request).unwrap().missing.len(), begun.elapsed())
    };
    let (missing, fastest) = (0..5).map(|_| ask(&[("kube-system", "a-file")])).min_by_key(|(_, took)| *took).unwrap();
    assert!(missing == 1 && fastest < Duration::from_millis(100), "{fastest:?}");
    // They may all be files: the pod's own network is looked up all the same, with patience.
    let (missing, took) = ask(&[("kube-system", "a"), ("kube-system", "b"), ("zone", "late")]);
    assert!(missing == 3 && took >= Duration::from_millis(150), "{missing} {took:?}");
}
