//! Credentials that are rotated while the daemon runs.

use crate::support::apiserver::ApiServer;
use crate::support::cluster::{LEAST, role, server};
use crate::support::daemon::{Daemon, pod};
use crate::support::{self, wait_until};
use plexus::api::protocol::Published;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const PLAIN: &str = r#"[{"name":"cbr0","interface":"eth0","default":true,"dns":{}}]"#;

/// The service account `name`, which may do what the daemon has to; a kubeconfig with its token, as text.
fn account(server: &ApiServer, name: &str) -> String {
    server.kubectl(&["create", "serviceaccount", name], None).unwrap();
    let binding = ["create", "clusterrolebinding", name, "--clusterrole=plexus"];
    server.kubectl(&[&binding[..], &[&format!("--serviceaccount=default:{name}")]].concat(), None).unwrap();
    let token = server.kubectl(&["create", "token", name], None).unwrap();
    fs::read_to_string(server.kubeconfig_with_token(token.trim()).unwrap()).unwrap()
}

fn make_pod(server: &ApiServer, name: &str) -> String {
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "x" }] } });
    server.kubectl(&["create", "-f", "-"], Some(&pod.to_string())).unwrap();
    server.kubectl(&["get", "pod", name, "-o", "jsonpath={.metadata.uid}"], None).unwrap()
}

fn start(folder: &Path, kubeconfig: &Path) -> Daemon {
    Daemon::in_folder(
        folder,
        &["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1", "--watch-seconds", "2"],
    )
}

#[test]
fn a_token_that_was_rotated_is_read_again_at_once() {
    // FAULT-27
    let Some(server) = server(&[role("plexus", &LEAST)]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("rotated");
    fs::write(&kubeconfig, account(&server, "before")).unwrap();
    let daemon = start(folder.path(), &kubeconfig);
    wait_until(|| daemon.health().ready, || daemon.log());
    let uid = make_pod(&server, "p");
    assert_eq!(daemon.publish("c1", &pod("p", Some(&uid)), PLAIN), Published::Written);

    // Nobody has said so to the daemon: the old token is good for nothing from some moment on, and the file has the new one.
    let after = account(&server, "after");
    fs::write(&kubeconfig, after).unwrap();
    server.kubectl(&["delete", "serviceaccount", "before"], None).unwrap();
    let begun = Instant::now();
    let mut count = 0;
    // The API server remembers a good token for ten seconds.
    while !daemon.log().contains("rotated credentials") {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", daemon.log());
        count += 1;
        assert_eq!(
            daemon.publish(&format!("n{count}"), &pod("p", Some(&uid)), PLAIN),
            Published::Written,
            "{}",
            daemon.log()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(daemon.publish("last", &pod("p", Some(&uid)), PLAIN), Published::Written);
    // The watch too: what changes from now on is seen.
    support::cluster::put_network(&server, "default", "seen", "1");
    wait_until(|| daemon.health().definitions == 1, || daemon.log());
    assert_eq!(daemon.log().matches("rotated credentials").count(), 1, "{}", daemon.log());
}

#[test]
fn a_certificate_authority_that_was_replaced_is_read_again() {
    // FAULT-27
    let Some(server) = server(&[role("plexus", &LEAST)]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.crt");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=other",
            "-days",
            "2",
            "-keyout",
            "/dev/null",
            "-out",
        ])
        .arg(&other)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let right = fs::read_to_string(server.kubeconfig_for("plexusd-ca", &["plexus"]).unwrap()).unwrap();
    let mut wrong: Value = serde_json::from_str(&right).unwrap();
    wrong["clusters"][0]["cluster"]["certificate-authority"] = json!(other);
    let kubeconfig = folder.path().join("replaced");
    fs::write(&kubeconfig, wrong.to_string()).unwrap();
    let daemon = start(folder.path(), &kubeconfig);
    wait_until(|| daemon.log().contains("the watch failed"), || daemon.log());
    assert!(!daemon.health().ready);
    fs::write(&kubeconfig, right).unwrap();
    wait_until(|| daemon.health().ready, || daemon.log());
}
