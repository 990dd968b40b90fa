//! The daemon as a process: its socket, a folder of manifests, its to-do list. No cluster is needed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "daemon/monitoring.rs"]
mod monitoring;
#[path = "daemon/socket.rs"]
mod socket;
#[path = "daemon/statuses.rs"]
mod statuses;
mod support;

use plexus::api::FactsRequest;
use plexus::api::protocol::{MAX_LINE, Published, Reply, Request};
use plexus::cni::ContainerId;
use serde_json::json;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use support::connection::Connection;
use support::daemon::{Daemon, nad, pod, wanted};
use support::{eventually, wait_until};

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";

fn write_nad(folder: &Path, name: &str, config: &str) {
    let manifest = format!(
        "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}}}\nspec: {{config: '{config}'}}\n"
    );
    fs::create_dir_all(folder.join("source")).unwrap();
    fs::write(folder.join("source").join(format!("{name}.yaml")), manifest).unwrap();
}

fn write_pod(folder: &Path, name: &str, uid: &str, networks: &str) {
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, uid: {uid}, annotations: {{{NETWORKS}: '{networks}'}}}}\n"
    );
    fs::create_dir_all(folder.join("source")).unwrap();
    fs::write(folder.join("source").join(format!("pod-{name}.yaml")), manifest).unwrap();
}

fn start(folder: &Path) -> Daemon {
    fs::create_dir_all(folder.join("source")).unwrap();
    Daemon::in_folder(folder, &["--source-directory", folder.join("source").to_str().unwrap()])
}

#[test]
fn facts_are_answered_from_manifests() {
    let folder = tempfile::tempdir().unwrap();
    write_nad(folder.path(), "a", r#"{"type":"bridge"}"#);
    write_pod(folder.path(), "p", "u1", "a, gone");
    let daemon = start(folder.path());
    let facts = daemon.facts(wanted(pod("p", Some("u1")))).unwrap();
    assert_eq!(facts.annotations.unwrap()[NETWORKS], "a, gone");
    assert_eq!(facts.definitions[0].config.as_deref(), Some(r#"{"type":"bridge"}"#));
    assert_eq!(facts.missing, [nad("gone")]);

    // Not asked for: not answered.
    let request = FactsRequest { annotations_wanted: false, ..wanted(pod("p", Some("u1"))) };
    assert_eq!(daemon.facts(request).unwrap().annotations, None);
    let Reply::Health(health) = daemon.ask(&Request::Health { test: false }) else { panic!() };
    assert!(health.ready && health.definitions == 1 && health.unpublished == 0, "{health:?}");
}

#[test]
fn another_pod_of_the_same_name_is_not_answered_for() {
    let folder = tempfile::tempdir().unwrap();
    write_pod(folder.path(), "p", "old", "a");
    let daemon = start(folder.path());
    let refused = daemon.facts(wanted(pod("p", Some("new")))).unwrap_err();
    assert!(refused.contains("default/p") && refused.contains("old") && refused.contains("new"), "{refused}");
    assert!(daemon.facts(wanted(pod("q", Some("u")))).unwrap_err().contains("default/q"));
    write_pod(folder.path(), "p", "new", "b");
    assert_eq!(daemon.facts(wanted(pod("p", Some("new")))).unwrap().missing, [nad("b")]);
}

#[test]
fn networks_are_followed_and_copied() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    assert_eq!(daemon.config_of(&nad("a")), None);
    write_nad(folder.path(), "a", "1");
    assert_eq!(daemon.config_of(&nad("a")).as_deref(), Some("1"));
    write_nad(folder.path(), "unused", "1");

    let copy = daemon.run.network(&nad("a"));
    let says = |config: &str| fs::read_to_string(&copy).is_ok_and(|text| text.contains(config));
    wait_until(|| says(r#""config":"1""#), || "no last-known copy".into());
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    write_nad(folder.path(), "a", "22");
    // Nobody asks: the daemon sees it by itself.
    wait_until(|| says(r#""config":"22""#), || "the copy does not follow".into());
    fs::remove_file(folder.path().join("source/a.yaml")).unwrap();
    wait_until(|| fs::read_to_string(&copy).unwrap().contains("gone"), || "a deleted network stays".into());
    assert!(!daemon.run.network(&nad("unused")).exists());
}

#[test]
fn copies_of_networks_that_went_while_nobody_looked_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    write_nad(folder.path(), "a", "1");
    write_nad(folder.path(), "b", "1");
    let mut daemon = start(folder.path());
    assert!(daemon.config_of(&nad("a")).is_some() && daemon.config_of(&nad("b")).is_some());
    let (a, b) = (daemon.run.network(&nad("a")), daemon.run.network(&nad("b")));
    wait_until(|| a.exists() && b.exists(), || "no last-known copies".into());
    daemon.signal("KILL");
    daemon.wait();
    fs::remove_file(folder.path().join("source/a.yaml")).unwrap();
    File::options().write(true).open(&b).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let _daemon = start(folder.path());
    wait_until(|| fs::read_to_string(&a).unwrap().contains("gone"), || "a deleted network stays".into());
    // What is still so is confirmed.
    let age = || fs::metadata(&b).unwrap().modified().unwrap().elapsed().unwrap();
    wait_until(|| age() < Duration::from_secs(60), || "the copy is not confirmed".into());
}

#[test]
fn a_network_whose_manifest_cannot_be_read_is_not_gone() {
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("source/a.yaml");
    write_nad(folder.path(), "a", "1");
    write_pod(folder.path(), "p", "u1", "a");
    let mut daemon = start(folder.path());
    assert!(daemon.config_of(&nad("a")).is_some());
    let copy = daemon.run.network(&nad("a"));
    wait_until(|| copy.exists(), || "no last-known copy".into());
    assert_eq!(daemon.publish("c1", &pod("p", Some("u1")), "[]"), Published::Written);
    daemon.signal("KILL");
    daemon.wait();
    let good = fs::read_to_string(&a).unwrap();
    fs::write(&a, "a: [").unwrap();
    fs::rename(folder.path().join("source/pod-p.yaml"), folder.path().join("pod-p.yaml")).unwrap();
    let daemon = start(folder.path());
    // The plugin has copies, too: of one that is in no manifest, nothing is left either.
    let ask = |name: &str, copies: &[&str]| {
        let copies = copies.iter().map(|name| nad(name)).collect();
        daemon.facts(FactsRequest { networks: vec![nad(name)], copies, ..FactsRequest::default() })
    };
    assert!(ask("a", &["a", "b"]).unwrap_err().contains("a.yaml"));
    // Whatever is read beside it, nothing becomes certain by that.
    write_nad(folder.path(), "other", "1");
    assert_eq!(ask("other", &[]).unwrap().definitions.len(), 1);
    let other = daemon.run.network(&nad("other"));
    wait_until(|| other.exists(), || "no last-known copy".into());
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!fs::read_to_string(&copy).unwrap().contains("gone") && !daemon.run.network(&nad("b")).exists());
    let status = daemon.run.network_status().join("default_p.json");
    assert!(status.exists());
    // Once everything can be read again, what is gone is gone.
    fs::write(&a, good.replace("name: a", "name: c")).unwrap();
    assert_eq!(ask("a", &[]).unwrap().missing, [nad("a")]);
    let gone = |name: &str| fs::read_to_string(daemon.run.network(&nad(name))).is_ok_and(|text| text.contains("gone"));
    wait_until(|| gone("a") && gone("b") && !status.exists(), || "a deleted network stays".into());
}

#[test]
fn a_folder_that_cannot_be_read_is_not_an_empty_cluster() {
    let folder = tempfile::tempdir().unwrap();
    write_nad(folder.path(), "a", "1");
    let daemon = start(folder.path());
    assert!(daemon.config_of(&nad("a")).is_some());
    fs::rename(folder.path().join("source"), folder.path().join("elsewhere")).unwrap();
    assert_eq!(daemon.config_of(&nad("a")).as_deref(), Some("1"));
    let unknown = daemon.facts(FactsRequest { networks: vec![nad("b")], ..FactsRequest::default() });
    assert!(unknown.unwrap_err().contains("cannot be read"));
}

#[test]
fn a_network_with_a_device_is_not_attached_without_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("source")).unwrap();
    let manifest = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: sriov, annotations: {k8s.v1.cni.cncf.io/resourceName: x.com/vf}}\n";
    fs::write(folder.path().join("source/a.yml"), manifest).unwrap();
    let daemon = start(folder.path());
    let refused = daemon.facts(FactsRequest {
        pod: Some(pod("p", None)),
        networks: vec![nad("sriov")],
        ..FactsRequest::default()
    });
    let refused = refused.unwrap_err();
    assert!(["default/sriov", "x.com/vf", "default/p"].iter().all(|part| refused.contains(part)), "{refused}");
}

#[test]
fn a_manifest_that_cannot_be_read_is_named_and_hides_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let network = |name: &str| {
        format!("apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}}}\n")
    };
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("a.yaml"), network("a")).unwrap();
    fs::write(source.join("b.yaml"), network("b")).unwrap();
    let daemon = start(folder.path());
    let ask = |name: &str| daemon.facts(FactsRequest { networks: vec![nad(name)], ..FactsRequest::default() });
    assert_eq!(ask("c").unwrap().missing, [nad("c")]);
    fs::write(source.join("a.yaml"), "a: [").unwrap();
    assert_eq!(ask("b").unwrap().definitions.len(), 1);
    // It may be the one that has the network.
    let refused = ask("c").unwrap_err();
    assert!(refused.contains("default/c") && refused.contains("a.yaml"), "{refused}");
    let Reply::Health(health) = daemon.ask(&Request::Health { test: false }) else { panic!() };
    assert!(health.remarks["source"].contains("a.yaml"), "{:?}", health.remarks);
    assert!(daemon.log().contains("cannot read a manifest"));
    fs::write(source.join("a.yaml"), network("c")).unwrap();
    assert_eq!(ask("c").unwrap().definitions.len(), 1);
    // The directory itself is gone: doctor is not green.
    let remarks = || {
        let Reply::Health(health) = daemon.ask(&Request::Health { test: false }) else { panic!() };
        health.remarks
    };
    fs::rename(&source, folder.path().join("away")).unwrap();
    ask("b").unwrap();
    assert!(remarks()["source-directory"].contains("No such file"), "{:?}", remarks());
    fs::rename(folder.path().join("away"), &source).unwrap();
    ask("b").unwrap();
    assert!(remarks().is_empty(), "{:?}", remarks());
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_plexusd"));
    daemon.args(["--run-directory".as_ref(), folder.path().as_os_str()]).env("KUBECONFIG", folder.path().join("none"));
    for name in ["PLEXUS_KUBECONFIG", "PLEXUS_METRICS_ADDRESS", "PLEXUS_NODE_NAME", "PLEXUS_SOURCE_DIRECTORY"] {
        daemon.env(name, "");
    }
    // It goes by $KUBECONFIG, which names no file; an option that is wrong would be status 2.
    let output = daemon.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("reach the cluster"), "{output:?}");
    let mut tool = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    let output = tool.args(["get", "-o", "json"]).env("PLEXUS_STATE_DIRECTORY", "").output().unwrap();
    // Where Plexus is not installed it says so of the usual folder.
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || told.contains("/var/lib/plexus"), "{output:?}");
}
