//! What a person sees of a cluster from a workstation: against a real kube-apiserver, with a kubeconfig and nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};
use support::apiserver::ApiServer;
use support::cluster::{LEAST, put_network, role, try_server};

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

fn plexusctl(server: &ApiServer, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().env("KUBECONFIG", server.kubeconfig()).stdin(Stdio::null());
    // There is none: this is a workstation.
    command.env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus").args(words).output().unwrap()
}

#[track_caller]
fn text(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn answer(server: &ApiServer, words: &[&str]) -> Value {
    serde_json::from_str(&text(&plexusctl(server, words), 0)).unwrap()
}

/// Makes the pod `name` on node `n1`, with what is said of its state.
fn pod(server: &ApiServer, namespace: &str, name: &str, annotations: &Value, status: &Value) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations, "labels": {"app": name}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "x"}]},
    });
    server.kubectl(&["create", "-f", "-"], Some(&pod.to_string())).unwrap();
    let patch = json!({ "status": status }).to_string();
    let words = ["patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", &patch];
    server.kubectl(&words, None).unwrap();
}

fn attached() -> String {
    json!([
        {"name": "cbr0", "interface": "eth0", "ips": ["10.1.1.2"], "default": true, "dns": {}, "gateway": ["10.1.1.1"]},
        {"name": "default/lan", "interface": "net1", "ips": ["10.2.0.5"], "mac": "02:00:00:00:00:05", "dns": {}},
    ])
    .to_string()
}

fn get_shows_the_pods_of_the_cluster(server: &ApiServer) {
    let shown = text(&plexusctl(server, &["get"]), 0);
    assert!(shown.starts_with("POD ") && shown.contains("default/web") && shown.contains("10.2.0.5"), "{shown}");
    assert!(shown.contains("attached") && !shown.contains("other/far") && !shown.contains("default/plain"), "{shown}");
    let all = text(&plexusctl(server, &["get", "-A", "-o", "wide"]), 0);
    assert!(all.contains("other/far") && all.contains("waiting") && all.contains("10.1.1.1"), "{all}");
    let names = text(&plexusctl(server, &["get", "-A", "-l", "app=far", "-o", "name"]), 0);
    assert_eq!(names, "pod/far\n");
    let document = answer(server, &["get", "-n", "other", "-o", "json"]);
    assert_eq!((&document["version"], &document["pods"][0]["pod"]), (&json!(1), &json!("far")));
    assert_eq!(document["pods"][0]["networks"][0]["state"], "waiting");
    let yaml = text(&plexusctl(server, &["get", "-n", "other", "-o", "yaml"]), 0);
    assert!(yaml.contains("version: 1") && yaml.contains("pod: far"), "{yaml}");
    // Without anything to show it is no error, as with kubectl.
    let none = plexusctl(server, &["get", "-n", "kube-system"]);
    assert!(text(&none, 0).is_empty() && String::from_utf8_lossy(&none.stderr).contains("No pods"), "{none:?}");
}

fn get_watches(server: &ApiServer) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().env("KUBECONFIG", server.kubeconfig()).args(["get", "-w", "-n", "watched", "-o", "name"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    pod(server, "watched", "late", &json!({ NETWORKS: "default/lan" }), &json!({"phase": "Pending"}));
    let line = lines.next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(line, "pod/late");
}

fn why_names_the_cause_first(server: &ApiServer) {
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "far.1", "namespace": "other"},
        "involvedObject": {"kind": "Pod", "name": "far", "namespace": "other"}, "type": "Warning", "count": 3,
        "reason": "FailedCreatePodSandBox", "lastTimestamp": "2026-01-01T00:00:00Z",
        "message": "rpc error: code = Unknown desc = failed to setup network: plugin type=\"plexus\" name=\"cbr0\" failed (add): network default/lan (net1): plugin macvlan: master bond9: there is no link bond9 on this node",
    });
    server.kubectl(&["create", "-f", "-"], Some(&event.to_string())).unwrap();
    let shown = plexusctl(server, &["why", "other/far"]);
    let said = text(&shown, 3);
    let mut lines = said.lines();
    assert_eq!(
        lines.next(),
        Some(
            "Pod other/far: network default/lan (net1): plugin macvlan: master bond9: there is no link bond9 on this node"
        )
    );
    assert!(lines.next().unwrap().starts_with("Next step: Correct the key master"), "{said}");
    assert!(said.contains("node n1 has no Plexus pod") && said.contains("default/lan is readable"), "{said}");
    let document = text(&plexusctl(server, &["why", "far", "-n", "other", "-o", "json"]), 3);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["version"], &document["cause"]["fault"]), (&json!(1), &json!("master-missing")));
    // All is attached: nothing is wrong, although Plexus' pod is away now.
    let well = text(&plexusctl(server, &["why", "pod/web"]), 0);
    assert!(well.contains("no problem with its networks"), "{well}");
    let absent = plexusctl(server, &["why", "default/absent"]);
    let said = String::from_utf8_lossy(&absent.stderr);
    assert!(absent.status.code() == Some(1) && said.contains("pod default/absent does not exist"), "{said}");
}

fn an_error_is_one_line(server: &ApiServer) {
    let refused = plexusctl(server, &["get", "--context", "nowhere"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.lines().count() == 1 && said.contains("cannot be reached") && said.contains("nowhere"), "{said}");
    let kubeconfig = server.kubeconfig_for("nobody", &["nobody"]).unwrap();
    let refused = plexusctl(server, &["get", "--kubeconfig", kubeconfig.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("nobody") && said.contains("pods"), "{said}");
}

#[test]
fn a_cluster_is_seen_from_a_workstation() {
    let server = match try_server(&[role("plexus", &LEAST)]) {
        Ok(server) => server,
        Err(why) => return support::cannot_run(&why),
    };
    for namespace in ["other", "watched"] {
        server.kubectl(&["create", "namespace", namespace], None).unwrap();
    }
    put_network(&server, "default", "lan", r#"{"cniVersion":"1.0.0","type":"bridge","bridge":"br-lan"}"#);
    let running = json!({"phase": "Running"});
    pod(&server, "default", "web", &json!({ NETWORKS: "lan", STATUS: attached() }), &running);
    pod(&server, "default", "plain", &json!({}), &running);
    pod(&server, "other", "far", &json!({ NETWORKS: "default/lan" }), &json!({"phase": "Pending"}));
    get_shows_the_pods_of_the_cluster(&server);
    get_watches(&server);
    why_names_the_cause_first(&server);
    an_error_is_one_line(&server);
}
