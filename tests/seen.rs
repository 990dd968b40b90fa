//! What a person sees of a cluster from a workstation: against a real kube-apiserver, with a kubeconfig and nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "seen/rights.rs"]
mod rights;
#[path = "seen/starting.rs"]
mod starting;
mod support;

use serde_json::{Value, json};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;
use support::apiserver::ApiServer;
use support::cluster::{LEAST, put_network, role, try_server};
use support::reported::{self, plexus_is, uid};

const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

fn plexusctl(server: &ApiServer, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().env("KUBECONFIG", server.kubeconfig()).stdin(Stdio::null());
    // There is none: this is a workstation.
    command.env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus").env("PLEXUS_RUN_DIRECTORY", "/nonexistent/run");
    command.args(words).output().unwrap()
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
    reported::pod_is(server, namespace, name, status);
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
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(
        text(&none, 0).is_empty() && said.contains("No pods") && said.contains("in namespace kube-system"),
        "{said}"
    );
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
    // Of an earlier pod with this name: no cause of this one.
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "far.0", "namespace": "other"},
        "involvedObject": {"kind": "Pod", "name": "far", "namespace": "other", "uid": "earlier"}, "type": "Warning",
        "reason": "FailedCreatePodSandBox", "lastTimestamp": "2026-02-01T00:00:00Z", "message": "no address is free",
    });
    server.kubectl(&["create", "-f", "-"], Some(&event.to_string())).unwrap();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "far.1", "namespace": "other"},
        "involvedObject": {"kind": "Pod", "name": "far", "namespace": "other", "uid": uid(server, "other", "far")}, "type": "Warning", "count": 3,
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
    assert!(!said.contains("no address is free"), "{said}");
    assert!(said.contains("the cluster has no node n1") && said.contains("default/lan is readable"), "{said}");
    let document = text(&plexusctl(server, &["why", "far", "-n", "other", "-o", "json"]), 3);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["version"], &document["cause"]["fault"]), (&json!(1), &json!("master-missing")));
    // All is attached: nothing is wrong, although Plexus' pod is away now.
    let well = text(&plexusctl(server, &["why", "pod/web"]), 0);
    assert!(well.contains("no problem with its networks"), "{well}");
    let workload = plexusctl(server, &["why", "deployment/web"]);
    assert!(String::from_utf8_lossy(&workload.stderr).contains("kubectl get pods"), "{workload:?}");
    let absent = plexusctl(server, &["why", "default/absent"]);
    let said = String::from_utf8_lossy(&absent.stderr);
    assert!(absent.status.code() == Some(1) && said.contains("pod default/absent does not exist"), "{said}");
}

/// A typing error that no plugin refuses: the pod is ready, on another bridge than meant.
fn why_shows_a_slip(server: &ApiServer) {
    put_network(server, "slips", "slip", r#"{"cniVersion":"1.0.0","type":"bridge","brigde":"br-t"}"#);
    let status =
        json!([{"name": "cbr0", "default": true, "dns": {}}, {"name": "slips/slip", "interface": "net1", "dns": {}}]);
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    pod(server, "slips", "ready", &json!({ NETWORKS: "slip", STATUS: status.to_string() }), &ready);
    let said = text(&plexusctl(server, &["why", "slips/ready"]), 0);
    assert_eq!(
        said.lines().next(),
        Some(
            "Pod slips/ready: its networks are attached; a warning: network slips/slip: key \"brigde\" is unknown; did you mean \"bridge\"?"
        )
    );
    pod(server, "slips", "key", &json!({ "k8s.v1.cni.cncf.io/network": "slip" }), &ready);
    let said = text(&plexusctl(server, &["why", "slips/key"]), 0);
    assert!(said.lines().next().unwrap().ends_with("did you mean k8s.v1.cni.cncf.io/networks?"), "{said}");
    // Its configuration may be in a file of the node, which nobody has looked at.
    let bare = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": "slips", "name": "bare"}, "spec": {}});
    server.kubectl(&["apply", "-f", "-"], Some(&bare.to_string())).unwrap();
    pod(server, "slips", "bare", &json!({ NETWORKS: "bare" }), &json!({"phase": "Pending"}));
    let shown = plexusctl(server, &["why", "slips/bare"]);
    let said = String::from_utf8_lossy(&shown.stdout);
    assert!(
        said.contains("has no configuration: whether a file of the node")
            && !said.contains("nadConfigDir")
            && !said.contains("no file in"),
        "{said}"
    );
    pod(server, "slips", "lost", &json!({ NETWORKS: "slp" }), &json!({"phase": "Pending"}));
    let said = text(&plexusctl(server, &["why", "slips/lost"]), 3);
    assert!(said.lines().next().unwrap().ends_with("slips/slp does not exist; did you mean slips/slip?"), "{said}");
}

/// A pod that waits for an address of a pool that is not there, before its kubelet has reported anything.
fn why_names_a_pool_that_is_missing(server: &ApiServer) {
    let ipam = json!({"type": "plexus-ipam", "pool": "storge"});
    let config = json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": ipam});
    put_network(server, "slips", "pooled", &config.to_string());
    pod(server, "slips", "pooled", &json!({ NETWORKS: "pooled" }), &json!({"phase": "Pending"}));
    // Whether there is a pool was not seen, while the API server does not know such objects.
    let before = plexusctl(server, &["why", "slips/pooled"]);
    assert!(!String::from_utf8_lossy(&before.stdout).contains("does not exist"), "{before:?}");
    server.kubectl(&["apply", "--server-side", "-k", "crd/addresses"], None).unwrap();
    let pool = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": "storage"},
        "spec": {"ranges": [{"range": "10.9.0.0/24"}]}});
    let apply = || server.kubectl(&["apply", "-f", "-"], Some(&pool.to_string()));
    // A definition is served some moments after it was taken.
    assert!((0..50).any(|_| apply().is_ok() || {
        thread::sleep(Duration::from_millis(200));
        false
    }));
    let document = text(&plexusctl(server, &["why", "slips/pooled", "-o", "json"]), 3);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["cause"]["fault"], "address-pool", "{document:#}");
    let finding = "network slips/pooled: AddressPool storge does not exist; did you mean storage?";
    assert_eq!(document["cause"]["finding"], finding, "{document:#}");
    let planned = plexusctl(server, &["plan", "slips/pooled", "-o", "json"]);
    let document: Value = serde_json::from_str(&text(&planned, 1)).unwrap();
    let refused = json!({"code": 11, "message": finding.replace("pooled:", "pooled (net1):")});
    assert_eq!(document["pods"][0]["refused"], refused, "{document:#}");
}

/// `plan` reads pod and networks with the rights of the person.
fn a_pod_is_planned_from_a_workstation(server: &ApiServer) {
    let plan = answer(server, &["plan", "default/web", "-o", "json"]);
    let networks = plan["pods"][0]["networks"].as_array().unwrap();
    let names: Vec<&Value> = networks.iter().map(|network| &network["network"]).collect();
    assert!(names.contains(&&json!("default/lan")), "{plan:#}");
    assert_eq!(plan["pods"][0]["node"], "n1");
    // What only its node knows is not asserted, and the command that sees it is named.
    let printed = plexusctl(server, &["plan", "default/web"]);
    let said = String::from_utf8_lossy(&printed.stderr);
    assert!(said.lines().count() == 1 && said.starts_with("Node n1 was not looked at: programs, masters"), "{said}");
    assert!(said.contains("plexusctl plan default/web --on-node") && said.contains("doctor --node n1"), "{said}");
}

fn far_is(server: &ApiServer, phase: &str) {
    reported::pod_is(server, "other", "far", &json!({ "phase": phase }));
}

fn status_shows_every_node(server: &ApiServer) {
    reported::node(server, "n1");
    reported::plexus(server, "n1", "default");
    starting::what_plexus_waits_for_is_told(server);
    plexus_is(server, false);
    reported::is_not_ready(server, 0, "installation: the runtime takes 05-cilium.conflist before 00-plexus.conflist");
    let shown = text(&plexusctl(server, &["status"]), 3);
    let first = shown.lines().nth(1).unwrap();
    assert!(first.starts_with("n1") && first.contains("not ready") && first.contains("05-cilium.conflist"), "{shown}");
    assert!(first.contains("v1.2.3") && first.contains("containerd://2.1.0"), "{shown}");
    let document: Value = serde_json::from_str(&text(&plexusctl(server, &["status", "-o", "json"]), 3)).unwrap();
    assert_eq!((&document["nodes"][0]["fault"], &document["well"]), (&json!("displaced"), &json!(false)));
    // The policies are not there, and one pod waits.
    let faults: Vec<&Value> = document["checks"].as_array().unwrap().iter().map(|check| &check["fault"]).collect();
    assert!(faults.contains(&&json!("policy-missing")) && faults.contains(&&json!("status-missing")), "{faults:?}");
    let waited = plexusctl(server, &["status", "--wait", "--timeout", "1"]);
    assert!(String::from_utf8_lossy(&waited.stderr).contains("ready on 0 of 1 node"), "{waited:?}");
    plexus_is(server, true);
    let policies =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/base/admission-policy.yaml")).unwrap();
    server.kubectl(&["apply", "-f", "-"], Some(&policies)).unwrap();
    let failed = text(&plexusctl(server, &["status", "--wait"]), 3);
    let far = failed.lines().find(|line| line.starts_with("✗ pods ")).unwrap();
    assert!(far.contains("other/far does not start: network default/lan (net1): plugin macvlan"), "{failed}");
    assert!(failed.contains("Plexus is ready on 1 of 1 node"), "{failed}");
    // It runs, and its status is not written: that may be a moment.
    far_is(server, "Running");
    let well = text(&plexusctl(server, &["status", "--wait"]), 0);
    assert!(well.contains("! pods ") && well.contains("plexusctl why other/far"), "{well}");
    // A tenant's pod is not Plexus', whatever it is called; a policy that only audits guards nothing.
    let fake = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a-fake", "namespace": "other", "labels": {"app.kubernetes.io/name": "plexus"}},
        "spec": {"nodeName": "n1", "containers": [{"name": "keeper", "image": "x/fake:v0"}]}});
    server.kubectl(&["create", "-f", "-"], Some(&fake.to_string())).unwrap();
    let well = text(&plexusctl(server, &["status"]), 0);
    assert!(well.contains("Plexus is ready on 1 of 1 node") && !well.contains("v0"), "{well}");
    server.kubectl(&["delete", "pod", "-n", "other", "a-fake", "--grace-period=0", "--force"], None).unwrap();
    the_controller_of_addresses_is_no_daemon(server);
    let audit = r#"{"spec":{"validationActions":["Audit"]}}"#;
    let words = ["patch", "validatingadmissionpolicybinding", "plexus", "--type=merge", "-p", audit];
    server.kubectl(&words, None).unwrap();
    assert!(text(&plexusctl(server, &["status"]), 3).contains("no binding lets them deny: plexus"));
    server.kubectl(&["apply", "-f", "-"], Some(&policies)).unwrap();
    far_is(server, "Pending");
}

/// It runs on some node, with the name and a label of the daemon's pods, and serves no node.
fn the_controller_of_addresses_is_no_daemon(server: &ApiServer) {
    let labels = json!({"app.kubernetes.io/name": "plexus", "app.kubernetes.io/component": "address-controller"});
    let controller = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "plexus-0", "namespace": "kube-system", "labels": labels},
        "spec": {"nodeName": "n1", "containers": [{"name": "controller", "image": "x/plexus:v0"}]}});
    server.kubectl(&["create", "-f", "-"], Some(&controller.to_string())).unwrap();
    let shown = text(&plexusctl(server, &["status"]), 0);
    assert!(shown.contains("Plexus is ready on 1 of 1 node") && !shown.contains("v0"), "{shown}");
    server.kubectl(&["delete", "pod", "-n", "kube-system", "plexus-0", "--grace-period=0", "--force"], None).unwrap();
}

/// The keeper of Plexus' pod runs, as its status has it. There is no kubelet that would run a command in it.
fn keeper_runs(server: &ApiServer) {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let container =
        json!({"name": "keeper", "image": "x", "imageID": "x", "ready": true, "restartCount": 0, "state": running});
    reported::pod_is(server, "kube-system", reported::PLEXUS, &json!({"containerStatuses": [container]}));
}

fn a_node_that_cannot_be_asked_is_a_line(server: &ApiServer) {
    let stderr = |output: &Output| String::from_utf8(output.stderr.clone()).unwrap();
    let shown = plexusctl(server, &["get", "--node", "n1", "--node", "n9"]);
    assert_eq!(text(&shown, 1), "Node n1\n\nNode n9\n");
    let said = stderr(&shown);
    assert!(said.contains("n1: the container keeper of kube-system/plexus-1 does not run"), "{said}");
    assert!(said.contains("n9: there is no node n9") && said.lines().count() == 2, "{said}");
    let document: Value =
        serde_json::from_str(&text(&plexusctl(server, &["doctor", "--all-nodes", "-o", "json"]), 1)).unwrap();
    assert!(document["n1"]["error"].as_str().unwrap().contains("does not run"), "{document}");
    // Commands that no node is asked.
    let refused = plexusctl(server, &["install", "--node", "n1"]);
    assert!(refused.status.code() == Some(2) && stderr(&refused).contains("the machine where it runs"), "{refused:?}");

    keeper_runs(server);
    // There is no kubelet: the API server says so, and nothing hangs.
    let shown = plexusctl(server, &["health", "--node", "n1", "--node-timeout", "20"]);
    assert!(
        text(&shown, 1).starts_with("Node n1\n") && stderr(&shown).starts_with("n1: container keeper"),
        "{shown:?}"
    );
    let page = plexusctl(server, &["describe", "pod", "default/web"]);
    assert!(
        text(&page, 0).contains("10.2.0.5") && stderr(&page).contains("not seen: the records of node n1"),
        "{page:?}"
    );

    // A person who may look, and not run commands.
    let look = role("look", &[("", "pods", &["get", "list"]), ("", "nodes", &["list"]), ("", "events", &["list"])]);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": look}).to_string();
    server.kubectl(&["apply", "-f", "-"], Some(&list)).unwrap();
    let kubeconfig = server.kubeconfig_for("viewer", &["look"]).unwrap();
    let kubeconfig = ["--kubeconfig", kubeconfig.to_str().unwrap()];
    let shown = plexusctl(server, &[&["doctor", "--all-nodes"], &kubeconfig[..]].concat());
    let granted = "grant the verbs get and create of pods/exec in namespace kube-system";
    assert!(shown.status.code() == Some(1) && stderr(&shown).contains(granted), "{shown:?}");
    let page = plexusctl(server, &[&["describe", "pod", "default/web"], &kubeconfig[..]].concat());
    assert!(text(&page, 0).contains("10.2.0.5") && stderr(&page).contains(granted), "{page:?}");
    let why = text(&plexusctl(server, &[&["why", "default/web"], &kubeconfig[..]].concat()), 0);
    assert!(why.contains("? records") && why.contains(granted), "{why}");
    let wide = text(&plexusctl(server, &[&["status", "-o", "wide"], &kubeconfig[..]].concat()), 3);
    assert!(wide.lines().next().unwrap().ends_with("DOCTOR") && wide.contains(granted), "{wide}");

    // What cannot be brought back is not given up on several nodes by one word.
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}});
    server.kubectl(&["create", "-f", "-"], Some(&node.to_string())).unwrap();
    let refused = plexusctl(server, &["gc", "--all-nodes", "--forgive"]);
    assert!(refused.status.code() == Some(1) && stderr(&refused).contains("not confirmed for 2 nodes"), "{refused:?}");
}

/// The files of an archive, by their names.
fn unpacked(path: &std::path::Path) -> std::collections::BTreeMap<String, String> {
    let packed = std::fs::read(path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        let path = entry.path().unwrap().display().to_string();
        // One directory, which has the time in its name.
        let (top, name) = path.split_once('/').unwrap();
        assert!(top.strip_prefix("plexus-report-2").is_some_and(|time| time.len() == 14), "{path}");
        (name.to_owned(), text)
    });
    files.collect()
}

fn a_report_has_what_can_be_seen(server: &ApiServer) {
    put_network(server, "other", "vpn", r#"{"cniVersion":"1.0.0","type":"wireguard","privateKey":"s3cr3t"}"#);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.tar.gz");
    let file = path.to_str().unwrap();
    let written = plexusctl(server, &["report", "-o", file, "--node-timeout", "20"]);
    text(&written, 0);
    let files = unpacked(&path);
    for name in [
        "MANIFEST",
        "cluster/status.json",
        "cluster/get.json",
        "cluster/lint.json",
        "cluster/networks/default/lan.json",
    ] {
        assert!(files.contains_key(name), "{name}: {:?}", files.keys());
    }
    assert!(files["cluster/status.json"].contains("\"nodes\""), "{}", files["cluster/status.json"]);
    // There is no kubelet: no logs, and no answer of a node. The reason is in the archive.
    assert!(files["nodes/n1.log"].contains("keeper") && files["nodes/n2.log"].contains("no Plexus pod"), "{files:?}");
    assert!(files.contains_key("cluster/pods/plexus-1/plexusd.txt.log"), "{:?}", files.keys());
    assert!(files["cluster/pods/plexus-1/events.txt"].contains("Unhealthy"), "{files:?}");
    assert!(files["cluster/failures.txt"].contains("other/far FailedCreatePodSandBox (3): "), "{files:?}");
    assert!(files.values().all(|text| !text.contains("s3cr3t")), "a secret");
    assert!(
        files["MASKED.txt"].contains("cluster/networks/other/vpn.json: /config: /privateKey"),
        "{}",
        files["MASKED.txt"]
    );
    let refused = plexusctl(server, &["report", "-o", file]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("exists, and was not overwritten"), "{said}");
}

#[test]
fn the_container_that_sees_the_files_is_named() {
    for (words, code) in [(&["doctor"][..], 1), (&["get"], 3), (&["describe", "pod", "n/p"], 1), (&["why", "n/p"], 1)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        // As in the container plexusd.
        command.env_clear().env("PLEXUS_POD_NAME", "plexus-x").env("PLEXUS_POD_NAMESPACE", "kube-system");
        command.env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus");
        let output = command.args(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let there = format!("kubectl -n kube-system exec plexus-x -c keeper -- plexusctl {}", words[0]);
        assert!(output.status.code() == Some(code) && said.contains(&there), "{words:?}: {said}");
    }
}

fn describe_is_one_page(server: &ApiServer) {
    let page = text(&plexusctl(server, &["describe", "pod", "default/web"]), 0);
    assert!(page.contains("Default route: eth0 (cbr0), gateway 10.1.1.1") && page.contains("10.2.0.5"), "{page}");
    let page = text(&plexusctl(server, &["describe", "pod", "-n", "other", "far"]), 0);
    assert!(page.contains("FailedCreatePodSandBox") && page.contains("waiting"), "{page}");
    let document = answer(server, &["describe", "pod", "web", "-o", "json"]);
    assert_eq!((&document["version"], &document["defaultRoutes"][0]["interface"]), (&json!(1), &json!("eth0")));
}

fn topology_is_drawn(server: &ApiServer) {
    let tree = text(&plexusctl(server, &["topology"]), 0);
    assert!(
        tree.starts_with("n1\n") && tree.contains("bridge br-lan") && tree.contains("default/web net1  10.2.0.5"),
        "{tree}"
    );
    assert!(tree.contains("other/far  waiting") && !tree.contains("cbr0"), "{tree}");
    for (shape, begin) in
        [("svg", "<svg "), ("html", "<!doctype html>"), ("mermaid", "flowchart"), ("dot", "graph plexus")]
    {
        assert!(text(&plexusctl(server, &["topology", "-o", shape]), 0).starts_with(begin), "{shape}");
    }
    // The page that is looked at in a browser, with the interfaces of a cluster.
    let page = text(&plexusctl(server, &["topology", "-o", "html"]), 0);
    for line in tree.lines().filter(|line| line.contains(" net1  ")) {
        let shown = line.trim_start_matches(['│', '├', '└', '─', ' ']).split_once("  ").unwrap().0;
        assert!(page.contains(&format!("<span class=\"interface\">{shown} <small>")), "{shown}: {page}");
    }
    let document = answer(server, &["topology", "-o", "json", "-n", "other"]);
    assert_eq!(document["nodes"][0]["children"][0]["name"], "bridge br-lan");
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

fn a_way_to_no_cluster_is_named(server: &ApiServer) {
    let said = |words: &[&str], home: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        command.env_clear().env("HOME", home).env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus").args(words);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    for words in [&["status"][..], &["why", "a/b"], &["doctor", "--node", "n"], &["lint", "--cluster"]] {
        let said = said(words, "/nonexistent");
        assert!(said.contains("name one with --kubeconfig"), "{words:?}: {said}");
    }
    // An address at which nobody listens.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let way = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let begin = way.find("https://").unwrap();
    let end = begin + way[begin..].find(|c: char| c.is_whitespace() || c == '"').unwrap();
    std::fs::write(&path, format!("{}https://127.0.0.1:9{}", &way[..begin], &way[end..])).unwrap();
    let of_path = |words: &[&str]| said(&[words, &["--kubeconfig", path.to_str().unwrap()]].concat(), "/nonexistent");
    let said = of_path(&["status"]);
    assert!(said.contains("https://127.0.0.1:9: ") && said.contains("refused"), "{said}");
    // What the kubeconfig names and nobody has: a file, a program.
    let user = |user: Value| {
        let mut config: Value = serde_json::from_str(&way).unwrap();
        config["users"][0]["user"] = user;
        std::fs::write(&path, config.to_string()).unwrap();
        of_path(&["get"])
    };
    let key = user(json!({"client-certificate": "/nonexistent/crt", "client-key": "/nonexistent/key"}));
    assert!(key.contains("kubeconfig: client-certificate /nonexistent/crt: No such file"), "{key}");
    let exec =
        json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "get-a-token", "interactiveMode": "Never"});
    let exec = user(json!({ "exec": exec }));
    assert!(exec.contains("kubeconfig: the program get-a-token, which gets the credentials: "), "{exec}");
    let token = user(json!({"token": "refused"}));
    assert!(token.contains("Unauthorized: the API server does not take the credentials of the kubeconfig"), "{token}");
    // As for kubectl, a file of the list that does not exist is left out.
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().env("KUBECONFIG", format!("/nonexistent:{}", server.kubeconfig().display()));
    text(&command.args(["get", "-A"]).output().unwrap(), 0);
    server.kubectl(&["delete", "crd", "network-attachment-definitions.k8s.cni.cncf.io"], None).unwrap();
    let status = plexusctl(server, &["status"]);
    let shown = text(&status, 3);
    let crd = shown.lines().find(|line| line.contains("its CRD is not installed")).unwrap();
    assert!(crd.starts_with("✗ networks ") && !shown.contains("page not found"), "{shown}");
    assert!(shown.contains("-> Install it: `plexusctl crd | kubectl apply"), "{shown}");
}

#[test]
fn a_cluster_is_seen_from_a_workstation() {
    let server = match try_server(&[role("plexus", &LEAST)]) {
        Ok(server) => server,
        Err(why) => return support::cannot_run(&why),
    };
    for namespace in ["other", "watched", "slips"] {
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
    starting::a_pod_that_waits_for_a_volume_has_that_cause(&server);
    starting::a_daemon_set_without_pods_is_told(&server);
    a_pod_is_planned_from_a_workstation(&server);
    status_shows_every_node(&server);
    describe_is_one_page(&server);
    topology_is_drawn(&server);
    a_node_that_cannot_be_asked_is_a_line(&server);
    a_report_has_what_can_be_seen(&server);
    an_error_is_one_line(&server);
    why_shows_a_slip(&server);
    rights::a_role_in_one_namespace_is_enough(&server);
    rights::what_cannot_be_read_is_shown_and_is_short(&server);
    rights::a_running_whereabouts_is_told(&server);
    why_names_a_pool_that_is_missing(&server);
    rights::a_server_that_is_away_is_waited_for(&server);
    a_way_to_no_cluster_is_named(&server);
    rights::a_missing_crd_is_named_with_the_command(&server);
}
