//! The daemon against a real kube-apiserver.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "daemon_kubernetes/missing.rs"]
mod missing;
#[path = "daemon_kubernetes/statuses.rs"]
mod statuses;
mod support;

use futures::StreamExt;
use kube::api::{DeleteParams, ListParams, PostParams};
use plexus::api::FactsRequest;
use plexus::api::protocol::Published;
use plexus::cluster::crd::NetworkAttachmentDefinition;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use support::apiserver::ApiServer;
use support::cluster::{LEAST, NETWORKS, put_network, role, try_server};
use support::daemon::{Daemon, nad, pod, wanted};
use support::wait_until;

const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
const MULTI: &str = r#"[{"name":"cbr0","interface":"eth0","ips":["10.1.1.2"],"default":true,"dns":{}},{"name":"default/a","interface":"net1","dns":{}}]"#;
const PLAIN: &str = r#"[{"name":"cbr0","interface":"eth0","default":true,"dns":{}}]"#;

/// One server for all tests of this file, one test at a time: two cores are few.
fn server() -> Option<MutexGuard<'static, ApiServer>> {
    static SERVER: OnceLock<Result<Mutex<ApiServer>, String>> = OnceLock::new();
    let started = SERVER.get_or_init(|| {
        // All of it for the group `plexus`, all but pods for `plexus-without-pods`.
        let all = [&LEAST[..], &[("", "pods", &["get", "list", "watch"])]].concat();
        try_server(&[role("plexus", &all), role("plexus-without-pods", &[NETWORKS])]).map(Mutex::new)
    });
    match started {
        Ok(server) => Some(server.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(why) => {
            support::cannot_run(why);
            None
        }
    }
}

/// A daemon of its own user, so that the audit log tells what it asked.
fn start(server: &ApiServer, folder: &Path, user: &str, group: &str) -> Daemon {
    let kubeconfig = server.kubeconfig_for(user, &[group]).unwrap();
    let daemon = Daemon::in_folder(folder, &["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"]);
    wait_until(|| daemon.health().ready, || daemon.log());
    daemon
}

fn put_nad(server: &ApiServer, name: &str, config: &str) {
    put_network(server, "default", name, config);
}

#[test]
fn a_tool_that_looks_at_networks_waits_for_none_and_needs_no_pod() {
    // `plexusctl doctor` on a node that has copies of many networks that were deleted since.
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in ["looked-at", "device"] {
        put_nad(&server, name, "1");
    }
    server.kubectl(&["annotate", "nad", "device", "k8s.v1.cni.cncf.io/resourceName=x.com/vf"], None).unwrap();
    let daemon = start(&server, folder.path(), "plexusd-looks", "plexus");
    wait_until(|| daemon.config_of(&nad("looked-at")).is_some(), || daemon.log());
    let begun = Instant::now();
    for number in 0..40 {
        let networks = vec![nad(&format!("deleted-{number}")), nad("device"), nad("looked-at"), nad("never")];
        let seen = daemon.facts(FactsRequest { networks, inspection: true, ..FactsRequest::default() }).unwrap();
        assert_eq!((seen.definitions.len(), seen.missing.len()), (2, 2));
    }
    // A pod's call waits for each network 150 ms, because somebody may just have made it.
    assert!(begun.elapsed() < Duration::from_millis(40 * 150), "{:?}", begun.elapsed());
    for name in ["looked-at", "device"] {
        server.kubectl(&["delete", "nad", name], None).unwrap();
    }
}

#[test]
fn a_tool_that_asks_for_a_pod_changes_no_readiness() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    make_pod(&server, "planned", json!({"k8s.v1.cni.cncf.io/networks": "looked-at"}));
    let pod = Some(pod("planned", None));
    let questions = FactsRequest::of_tool(pod, Vec::new());
    // As with the usual manifests: the daemon may not read pods.
    let without = start(&server, folder.path(), "plexusd-asked", "plexus-without-pods");
    let before = without.health();
    let why = without.facts(questions.clone()).unwrap_err();
    assert!(why.contains("plexusd may not get, list and watch pods"), "{why}");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(without.health(), before, "{}", without.log());
    drop(without);
    // And one that may answers, and watches nothing more.
    let folder = tempfile::tempdir().unwrap();
    let with = start(&server, folder.path(), "plexusd-answers", "plexus");
    let facts = with.facts(questions).unwrap();
    assert_eq!(facts.annotations.unwrap().len(), 1);
    assert!(!with.health().guards.contains_key("pods"), "{:?}", with.health());
    delete_pod(&server, "planned");
}

/// Makes a pod on node `n1` and returns its UID.
fn make_pod(server: &ApiServer, name: &str, annotations: Value) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default", "annotations": annotations },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "x" }] },
    });
    server.kubectl(&["create", "-f", "-"], Some(&pod.to_string())).unwrap();
    server.kubectl(&["get", "pod", name, "-o", "jsonpath={.metadata.uid}"], None).unwrap()
}

fn delete_pod(server: &ApiServer, name: &str) {
    server.kubectl(&["delete", "pod", name, "--force", "--grace-period=0"], None).unwrap();
}

fn status_of(server: &ApiServer, name: &str) -> Option<String> {
    let pod = server.kubectl(&["get", "pod", name, "-o", "json"], None).unwrap();
    let pod: Value = serde_json::from_str(&pod).unwrap();
    pod["metadata"]["annotations"][STATUS].as_str().map(str::to_owned)
}

/// What `user` asked for after `before` requests; open watches are not told.
fn since(server: &ApiServer, user: &str, before: usize) -> Vec<String> {
    server.requests(user).unwrap().split_off(before)
}

#[test]
fn networks_are_watched_and_answered_from_memory() {
    // FAULT-31
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    put_nad(&server, "early", "1");
    let daemon = start(&server, folder.path(), "plexusd-nads", "plexus");
    assert_eq!(daemon.config_of(&nad("early")).as_deref(), Some("1"));
    put_nad(&server, "late", "1");
    // Just made: whether the watch has it already or not.
    assert_eq!(daemon.config_of(&nad("late")).as_deref(), Some("1"));
    wait_until(|| daemon.health().definitions >= 2, || daemon.log());

    let before = server.requests("plexusd-nads").unwrap().len();
    for _ in 0..20 {
        let both = FactsRequest { networks: vec![nad("early"), nad("late")], ..FactsRequest::default() };
        assert_eq!(daemon.facts(both).unwrap().definitions.len(), 2);
    }
    assert_eq!(since(&server, "plexusd-nads", before), [""; 0]);
    // Absence is certain only when the server says so.
    assert_eq!(daemon.config_of(&nad("never")), None);
    assert_eq!(since(&server, "plexusd-nads", before), ["get network-attachment-definitions"]);

    let copy = daemon.run.network(&nad("late"));
    put_nad(&server, "late", "22");
    wait_until(|| daemon.config_of(&nad("late")).as_deref() == Some("22"), || daemon.log());
    wait_until(
        || std::fs::read_to_string(&copy).is_ok_and(|text| text.contains("22")),
        || "the copy does not follow".into(),
    );
    server.kubectl(&["delete", "net-attach-def", "late"], None).unwrap();
    let gone = || std::fs::read_to_string(&copy).unwrap().contains("gone");
    wait_until(gone, || "the copy of a deleted network stays".into());
    assert_eq!(daemon.config_of(&nad("late")), None);
}

#[test]
fn every_definition_the_standard_allows_is_taken() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let metadata = |name: &str| json!({ "name": name, "namespace": "default" });
    let (api, kind) = ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition");
    for (name, rest) in [
        ("no-spec", json!({})),
        ("empty-spec", json!({ "spec": {} })),
        ("more", json!({ "spec": { "config": "x", "more": 1 }, "status": {} })),
    ] {
        let mut object = json!({ "apiVersion": api, "kind": kind, "metadata": metadata(name) });
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        server.kubectl(&["create", "--validate=false", "-f", "-"], Some(&object.to_string())).unwrap();
    }
    let daemon = start(&server, folder.path(), "plexusd-odd", "plexus");
    assert_eq!(daemon.config_of(&nad("no-spec")).as_deref(), Some(""));
    assert_eq!(daemon.config_of(&nad("empty-spec")).as_deref(), Some(""));
    assert_eq!(daemon.config_of(&nad("more")).as_deref(), Some("x"));
    server.kubectl(&["annotate", "nad", "more", "k8s.v1.cni.cncf.io/resourceName=x.com/vf"], None).unwrap();
    let table = server.kubectl(&["get", "nad", "more"], None).unwrap();
    assert!(table.contains("RESOURCE") && table.contains("x.com/vf") && table.contains("AGE"), "{table}");
    // What the daemon believes has the version of the object.
    let version = server.kubectl(&["get", "nad", "more", "-o", "jsonpath={.metadata.resourceVersion}"], None).unwrap();
    let believed = || -> Value {
        let mut health = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        health.env_clear().args(["health", "--verbose", "-o", "json", "--run-directory"]).arg(daemon.run.path());
        serde_json::from_slice(&health.output().unwrap().stdout).unwrap()
    };
    let is_current = || {
        let document = believed();
        let networks = document["cached"]["networks"].as_array().unwrap();
        networks.iter().any(|one| one["name"] == "more" && one["resourceVersion"] == version.as_str())
    };
    wait_until(is_current, || format!("{version}: {:#}", believed()));
    let connections = &believed()["cached"]["connections"];
    assert_eq!((&connections["networks"], &connections["trouble"]), (&json!(true), &Value::Null), "{connections}");
    assert!(connections["socket"].as_u64().unwrap() >= 1, "{connections}");
}

#[test]
fn a_missing_permission_is_named() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&server, folder.path(), "plexusd-few", "plexus-without-pods");
    let uid = make_pod(&server, "unseen", json!({}));
    let refused = daemon.facts(wanted(pod("unseen", Some(&uid)))).unwrap_err();
    assert!(refused.contains("may not get, list and watch pods") && refused.contains("pod-annotations"), "{refused}");
    // Somebody will grant it: it is retried.
    assert!(
        matches!(daemon.publish("c1", &pod("unseen", Some(&uid)), PLAIN), Published::Retrying(line) if line.contains("cannot patch"))
    );
}

#[test]
fn an_outage_is_survived() {
    // FAULT-26
    let Some(mut server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    put_nad(&server, "kept", "1");
    let uid = make_pod(&server, "during", json!({}));
    let (kubeconfig, address) =
        (server.kubeconfig_for("plexusd-outage", &["plexus"]).unwrap(), support::http::free_address());
    let arguments =
        ["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1", "--metrics-address", &address.to_string()];
    let daemon = Daemon::in_folder(folder.path(), &arguments);
    wait_until(|| daemon.health().ready, || daemon.log());
    assert!(daemon.config_of(&nad("kept")).is_some());
    let confirmed =
        |value: u8| support::http::get(address, "/metrics").contains(&format!("plexus_definitions_confirmed {value}"));

    server.kill().unwrap();
    assert_eq!(daemon.config_of(&nad("kept")).as_deref(), Some("1"));
    let unknown = daemon.facts(FactsRequest { networks: vec![nad("other")], ..FactsRequest::default() }).unwrap_err();
    assert!(unknown.contains("network default/other") && unknown.to_lowercase().contains("refused"), "{unknown}");
    assert!(matches!(daemon.publish("c1", &pod("during", Some(&uid)), PLAIN), Published::Retrying(_)));
    assert!(daemon.health().ready && confirmed(0));

    server.restart().unwrap();
    // Although nothing changes that a watch would tell.
    wait_until(|| confirmed(1), || daemon.log());
    // The line comes after the number, and through a pipe.
    wait_until(|| daemon.log().contains("the watch works again"), || daemon.log());
    // One line when it begins and one when it is over, however many requests failed.
    for line in ["the watch failed", "the watch works again"] {
        assert_eq!(daemon.log().matches(line).count(), 1, "{line}: {}", daemon.log());
    }
    assert!(!daemon.log().contains("\"level\":\"ERROR\""), "{}", daemon.log());
    wait_until(|| status_of(&server, "during").as_deref() == Some(PLAIN), || daemon.log());
    put_nad(&server, "kept", "22");
    wait_until(|| daemon.config_of(&nad("kept")).as_deref() == Some("22"), || daemon.log());

    // A server that hangs is worse than one that is away: every question has an end all the same.
    server.pause().unwrap();
    let begun = std::time::Instant::now();
    let hung = daemon.facts(FactsRequest { networks: vec![nad("hung")], ..FactsRequest::default() });
    assert!(hung.unwrap_err().contains("default/hung"));
    assert!(matches!(daemon.publish("c2", &pod("during", Some(&uid)), MULTI), Published::Retrying(_)));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    server.resume().unwrap();
    wait_until(|| status_of(&server, "during").as_deref() == Some(MULTI), || daemon.log());
}

#[test]
fn a_daemon_that_starts_without_a_server_becomes_ready() {
    // FAULT-26
    let Some(mut server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    put_nad(&server, "sometime", "1");
    server.kill().unwrap();
    let kubeconfig = server.kubeconfig_for("plexusd-first", &["plexus"]).unwrap();
    let daemon = Daemon::in_folder(folder.path(), &["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"]);
    assert!(!daemon.health().ready);
    assert!(daemon.facts(FactsRequest { networks: vec![nad("sometime")], ..FactsRequest::default() }).is_err());
    server.restart().unwrap();
    wait_until(|| daemon.health().ready, || daemon.log());
    assert_eq!(daemon.config_of(&nad("sometime")).as_deref(), Some("1"));
}

async fn definitions(kubeconfig: &Path) -> kube::Api<NetworkAttachmentDefinition> {
    let config = plexus::cluster::configuration(Some(kubeconfig)).await.unwrap();
    kube::Api::namespaced(kube::Client::try_from(config).unwrap(), "default")
}

/// Makes `count` definitions of a usual size.
async fn make_many(kubeconfig: &Path, count: usize) {
    let api = definitions(kubeconfig).await;
    let make = |n: usize| {
        let api = api.clone();
        async move {
            let config = json!({ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mode": "bridge", "mtu": 1500,
                "ipam": { "type": "host-local", "ranges": [[{ "subnet": format!("10.{}.{}.0/24", n / 256, n % 256) }]], "routes": [{ "dst": "192.168.0.0/16" }] } });
            let object = json!({ "metadata": { "name": format!("many-{n}"), "labels": { "made-by": "test" } }, "spec": { "config": config.to_string() } });
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        }
    };
    futures::stream::iter((0..count).map(make)).buffer_unordered(8).collect::<Vec<_>>().await;
}

#[test]
fn five_thousand_networks_fit() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let daemon = start(&server, folder.path(), "plexusd-idle", "plexus");
    std::thread::sleep(Duration::from_secs(1));
    let (idle, before) = (daemon.memory(), daemon.health().definitions);
    runtime.block_on(make_many(server.kubeconfig(), 5000));
    wait_until(|| daemon.health().definitions == before + 5000, || daemon.log());
    let watched = daemon.memory();
    drop(daemon);
    // Listed at the start instead of watched as they come.
    let daemon = start(&server, folder.path(), "plexusd-many", "plexus");
    wait_until(|| daemon.health().definitions == before + 5000, || daemon.log());
    std::thread::sleep(Duration::from_secs(1));
    let (listed, peak) = (daemon.memory(), daemon.peak_memory());
    assert!(daemon.config_of(&nad("many-4999")).is_some());
    let all = async {
        definitions(server.kubeconfig()).await.delete_collection(&DeleteParams::default(), &ListParams::default()).await
    };
    runtime.block_on(all).unwrap();
    support::say(&format!(
        "plexusd: {idle} KiB idle, {watched} KiB having watched and {listed} KiB having listed 5,000 networks, {peak} KiB at most"
    ));
    // Twice what is promised of a release build: this may be a debug build.
    // What a network costs is the same in every build; what is shipped is measured by `make bench`.
    assert!(listed.saturating_sub(idle) < 12 << 10, "5,000 networks take {} KiB", listed.saturating_sub(idle));
}
