//! What a daemon's token can do against a real kube-apiserver, with the manifests' roles and policies; and what the
//! daemon does where there are none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails that way")]

mod support;

use hyper::Request;
use kube::Client;
use plexus::api::protocol::Published;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use support::apiserver::ApiServer;
use support::cluster::{NETWORKS, role, try_server};
use support::daemon::{Daemon, pod};
use support::{eventually, wait_until};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
const PLAIN: &str = r#"[{"name":"cbr0","interface":"eth0","default":true,"dns":{}}]"#;
const MERGE: &str = "application/merge-patch+json";

/// One server for all tests of this file, one test at a time.
fn server() -> Option<MutexGuard<'static, ApiServer>> {
    static SERVER: OnceLock<Result<Mutex<ApiServer>, String>> = OnceLock::new();
    match SERVER.get_or_init(|| try_server(&[role("unused", &[NETWORKS])]).map(Mutex::new)) {
        Ok(server) => Some(server.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(why) => {
            support::cannot_run(why);
            None
        }
    }
}

/// The documents of `conf/base/<file>`, with the account in `namespace` as kustomize's `namespace:` has it.
fn manifests(file: &str, namespace: &str) -> String {
    let text = std::fs::read_to_string(format!("{ROOT}/conf/base/{file}")).unwrap();
    text.replace("namespace: kube-system", &format!("namespace: {namespace}"))
}

/// Makes the objects of `text`.
fn apply(server: &ApiServer, text: &str) {
    server.kubectl(&["apply", "--server-side", "-f", "-"], Some(text)).unwrap();
}

/// The roles and the account, without the policies.
fn grant(server: &ApiServer) {
    apply(server, &manifests("service-account.yaml", "kube-system"));
    for file in ["rbac.yaml", "status.yaml"] {
        apply(server, &manifests(file, "kube-system"));
    }
}

fn take_policies_away(server: &ApiServer) {
    let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy";
    server.kubectl(&["delete", kinds, "plexus", "plexus-events", "--ignore-not-found"], None).unwrap();
}

/// Makes a pod on `node` and returns its UID.
fn make_pod(server: &ApiServer, namespace: &str, name: &str, node: &str, account: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "labels": { "app": "a" }, "finalizers": ["a.b/c"] },
        "spec": { "nodeName": node, "serviceAccountName": account, "containers": [{ "name": "c", "image": "x" }] },
    });
    // Left by a test that failed.
    let _ =
        server.kubectl(&["-n", namespace, "delete", "pod", name, "--force", "--grace-period=0", "--wait=false"], None);
    remove_finalizers(server, namespace, name);
    server.kubectl(&["create", "-f", "-"], Some(&pod.to_string())).unwrap();
    server.kubectl(&["-n", namespace, "get", "pod", name, "-o", "jsonpath={.metadata.uid}"], None).unwrap()
}

fn remove_finalizers(server: &ApiServer, namespace: &str, name: &str) {
    let patch = r#"{"metadata":{"finalizers":null}}"#;
    // There may be no such pod.
    let _ = server.kubectl(&["-n", namespace, "patch", "pod", name, "--type=merge", "-p", patch], None);
}

fn remove_pod(server: &ApiServer, namespace: &str, name: &str) {
    remove_finalizers(server, namespace, name);
    server.kubectl(&["-n", namespace, "delete", "pod", name, "--force", "--grace-period=0"], None).unwrap();
}

/// Whoever has a token.
struct Holder {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Holder {
    /// Has the token of `account`, bound to `pod` where one is named.
    fn of(server: &ApiServer, namespace: &str, account: &str, pod: Option<&str>) -> Holder {
        let mut arguments = vec!["-n", namespace, "create", "token", account];
        arguments.extend(pod.iter().flat_map(|pod| ["--bound-object-kind", "Pod", "--bound-object-name", *pod]));
        let token = server.kubectl(&arguments, None).unwrap();
        let kubeconfig = server.kubeconfig_with_token(token.trim()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let config = plexus::cluster::configuration(Some(&kubeconfig)).await.unwrap();
            Client::try_from(config).unwrap()
        });
        Holder { runtime, client }
    }

    /// What the server answers, or what it says against it.
    fn ask(&self, method: &str, path: &str, kind: &str, body: &Value) -> Result<String, String> {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        let request = request.body(body.to_string().into_bytes()).unwrap();
        self.runtime.block_on(self.client.request_text(request)).map_err(|e| match e {
            kube::Error::Api(status) => status.message.clone(),
            e => panic!("{e}"),
        })
    }

    fn patch(&self, pod: &str, body: &Value) -> Result<String, String> {
        self.ask("PATCH", &format!("/api/v1/namespaces/{pod}/status?fieldManager=plexus"), MERGE, body)
    }

    fn event(&self, namespace: &str, changes: &Value) -> Result<String, String> {
        let mut event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": { "generateName": null, "name": format!("e{}", unique()), "namespace": namespace },
            "regarding": { "apiVersion": "v1", "kind": "Pod", "name": "own", "namespace": namespace },
            "type": "Normal", "reason": "AddedInterface", "action": "Attach", "note": "Add eth0 [10.1.1.2] from cbr0, é",
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "plexus", "reportingInstance": "n1",
        });
        json_patch::merge(&mut event, changes);
        self.ask("POST", &format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"), "application/json", &event)
    }
}

fn unique() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn status(text: &str) -> Value {
    json!({ "metadata": { "annotations": { STATUS: text } } })
}

#[track_caller]
fn assert_refused(answer: Result<String, String>, why: &str) {
    let said = answer.expect_err("it was let through");
    assert!(said.contains(why), "refused, but not for {why:?}: {said}");
}

/// Waits until the policies are in force, which takes a moment.
fn guarded(holder: &Holder, pod: &str) {
    let label = json!({ "metadata": { "labels": { "x": "y" } } });
    let path = format!("/api/v1/namespaces/{pod}/status?fieldManager=plexus&dryRun=All");
    eventually("the policies to be in force", || holder.ask("PATCH", &path, MERGE, &label).is_err());
}

#[test]
fn a_token_changes_one_annotation_of_its_nodes_pods() {
    // T1, T3, T4, T10
    let Some(server) = server() else { return };
    grant(&server);
    apply(&server, &manifests("admission-policy.yaml", "kube-system"));
    make_pod(&server, "kube-system", "daemon", "n1", "plexus");
    make_pod(&server, "default", "own", "n1", "default");
    make_pod(&server, "default", "other", "n2", "default");
    let token = Holder::of(&server, "kube-system", "plexus", Some("daemon"));
    guarded(&token, "default/pods/own");
    let own = |body: Value| token.patch("default/pods/own", &body);
    own(status(PLAIN)).unwrap();
    // 256 networks, each of which has much to tell.
    own(status(&format!("[{}]", vec![format!("{{\"name\":\"{}\"}}", "x".repeat(700)); 256].join(",")))).unwrap();
    own(status("[]")).unwrap();
    own(status("[\n\t{\"name\": \"é\"}\n]")).unwrap();
    assert_refused(own(status("{}")), "a list");
    // Not to be read by a person, or by `kubectl describe` in a terminal.
    assert_refused(own(status("[\u{1b}[2J")), "a list");
    for control in ["\u{1b}[2J", "\u{7}", "\r", "\u{7f}", "\u{9b}2J"] {
        assert_refused(own(status(&format!("[\"{control}\"]"))), "control characters");
    }
    assert_refused(own(json!({ "metadata": { "annotations": { STATUS: null } } })), "only change the annotation");
    assert_refused(own(json!({ "metadata": { "annotations": { "x": "y" } } })), "only change the annotation");
    assert_refused(own(json!({ "metadata": { "labels": { "app": null } } })), "labels");
    assert_refused(own(json!({ "metadata": { "labels": { "x": "y" } } })), "labels");
    assert_refused(own(json!({ "metadata": { "finalizers": [] } })), "finalizers");
    assert_refused(own(json!({ "metadata": { "generateName": "x-" } })), "generateName");
    let forged = json!({ "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": { "f:metadata": { "f:labels": { "f:app": {} } } } });
    // Refused, or passed over by the API server.
    match own(json!({ "metadata": { "managedFields": [forged] } })) {
        Err(said) => assert!(said.contains("manages"), "{said}"),
        Ok(pod) => assert!(!pod.contains("kubelet"), "{pod}"),
    }
    assert_refused(own(json!({ "status": { "message": "x" } })), "the status");
    let as_kubelet = "/api/v1/namespaces/default/pods/own/status?fieldManager=another";
    assert_refused(token.ask("PATCH", as_kubelet, MERGE, &status(PLAIN)), "manages");
    assert_refused(token.patch("default/pods/other", &status(PLAIN)), "its own node");
    // A token that is bound to no pod, and so to no node, is no daemon's.
    let unbound = Holder::of(&server, "kube-system", "plexus", None);
    assert_refused(unbound.patch("default/pods/own", &status(PLAIN)), "its own node");
    // The administrator, who may do everything, is not meant.
    server.kubectl(&["label", "pod", "own", "by=admin"], None).unwrap();
    for name in ["own", "other"] {
        remove_pod(&server, "default", name);
    }
    remove_pod(&server, "kube-system", "daemon");
    take_policies_away(&server);
}

#[test]
fn another_account_in_another_namespace_is_guarded_too() {
    // T10: as kustomize's namespace: and namePrefix: make it; the policies are unchanged
    let Some(server) = server() else { return };
    server.kubectl(&["create", "namespace", "networks"], None).unwrap();
    for file in ["service-account.yaml", "rbac.yaml", "status.yaml", "admission-policy.yaml"] {
        // With another name of every object, as `namePrefix:` makes it.
        let renamed = manifests(file, "networks")
            .replace("name: plexus", "name: my-plexus")
            .replace("policyName: plexus", "policyName: my-plexus");
        apply(&server, &renamed);
    }
    make_pod(&server, "networks", "daemon", "n1", "my-plexus");
    make_pod(&server, "default", "own", "n1", "default");
    let token = Holder::of(&server, "networks", "my-plexus", Some("daemon"));
    guarded(&token, "default/pods/own");
    token.patch("default/pods/own", &status(PLAIN)).unwrap();
    assert_refused(token.patch("default/pods/own", &json!({ "metadata": { "labels": { "x": "y" } } })), "labels");
    remove_pod(&server, "default", "own");
    remove_pod(&server, "networks", "daemon");
    let kinds = "validatingadmissionpolicybinding,validatingadmissionpolicy,clusterrolebinding,clusterrole";
    server
        .kubectl(&["delete", kinds, "my-plexus", "my-plexus-events", "my-plexus-status", "--ignore-not-found"], None)
        .unwrap();
}

#[test]
fn a_token_reports_in_its_own_name_only() {
    // T8
    let Some(server) = server() else { return };
    grant(&server);
    apply(&server, &manifests("admission-policy.yaml", "kube-system"));
    make_pod(&server, "kube-system", "daemon", "n1", "plexus");
    let token = Holder::of(&server, "kube-system", "plexus", Some("daemon"));
    let event = |changes: Value| token.event("default", &changes);
    eventually("the policies to be in force", || event(json!({ "reportingController": "kubelet" })).is_err());
    event(json!({})).unwrap();
    let node = json!({ "apiVersion": null, "kind": "Node", "name": "n1", "uid": "n1", "namespace": null });
    event(json!({ "regarding": node, "reason": "Displaced" })).unwrap();
    for (what, changes, why) in [
        ("another node", json!({ "regarding": { "kind": "Node", "name": "n2", "namespace": null } }), "its own node"),
        ("a secret", json!({ "regarding": { "kind": "Secret" } }), "about pods"),
        ("another controller", json!({ "reportingController": "kubelet" }), "in its own name"),
        ("another instance", json!({ "reportingInstance": "n2" }), "in its own name"),
        ("labels", json!({ "metadata": { "labels": { "x": "y" } } }), "nothing else"),
        ("annotations", json!({ "metadata": { "annotations": { "x": "y" } } }), "nothing else"),
        ("finalizers", json!({ "metadata": { "finalizers": ["a.b/c"] } }), "nothing else"),
        ("another object", json!({ "related": { "kind": "Node", "name": "n2" } }), "nothing else"),
        ("an action of another kind", json!({ "action": "\u{1b}[2Jabc" }), "nothing else"),
        ("a field", json!({ "regarding": { "fieldPath": "\u{1b}]0;owned\u{7}" } }), "names its object"),
        ("a long field", json!({ "regarding": { "fieldPath": "x".repeat(900_000) } }), "names its object"),
        ("a long UID", json!({ "regarding": { "uid": "x".repeat(900_000) } }), "names its object"),
        ("a name that moves the cursor", json!({ "regarding": { "name": "\u{1b}[2J" } }), "names its object"),
        ("a long name", json!({ "regarding": { "name": "z".repeat(900_000) } }), "names its object"),
        ("another version", json!({ "regarding": { "apiVersion": "\u{1b}[2J" } }), "names its object"),
        ("a state", json!({ "regarding": { "resourceVersion": "1" } }), "names its object"),
        (
            "a node in a namespace",
            json!({ "regarding": { "kind": "Node", "name": "n1", "namespace": "\u{1b}" } }),
            "names its object",
        ),
        ("a reason of another kind", json!({ "reason": "Killing\u{1b}[2J" }), "nothing else"),
        ("an escape sequence", json!({ "note": "\u{1b}[31m" }), "control"),
        ("text in another direction", json!({ "note": "a\u{202e}b" }), "control"),
    ] {
        let said = event(changes).expect_err(what);
        assert!(said.contains(why), "{what}: {said}");
    }
    let unbound = Holder::of(&server, "kube-system", "plexus", None);
    assert_refused(unbound.event("default", &json!({})), "in its own name");
    remove_pod(&server, "kube-system", "daemon");
    take_policies_away(&server);
}

/// A daemon that is told to be in the pod `kube-system/daemon`.
fn daemon(server: &ApiServer, folder: &std::path::Path, more: &[&str]) -> Daemon {
    let token = [
        "-n",
        "kube-system",
        "create",
        "token",
        "plexus",
        "--bound-object-kind",
        "Pod",
        "--bound-object-name",
        "daemon",
    ];
    let kubeconfig = server.kubeconfig_with_token(server.kubectl(&token, None).unwrap().trim()).unwrap();
    let arguments = [&["--kubeconfig", kubeconfig.to_str().unwrap(), "--node-name", "n1"], more].concat();
    Daemon::in_folder(folder, &arguments)
}

const OWN_POD: [&str; 4] = ["--pod-name", "daemon", "--pod-namespace", "kube-system"];

#[test]
fn without_the_policy_nothing_is_published_where_it_is_required() {
    // T9, T11
    let Some(server) = server() else { return };
    take_policies_away(&server);
    grant(&server);
    make_pod(&server, "kube-system", "daemon", "n1", "plexus");
    let uid = make_pod(&server, "default", "own", "n1", "default");
    let folder = tempfile::tempdir().unwrap();
    let required = daemon(&server, folder.path(), &[&OWN_POD[..], &["--require-policy"]].concat());
    let told = |daemon: &Daemon| daemon.health().guards.get("policy").cloned().unwrap_or_default();
    wait_until(|| told(&required).contains("lets the daemon's token change labels"), || required.log());
    assert!(!required.health().ready);
    assert!(
        matches!(required.publish("c1", &pod("own", Some(&uid)), PLAIN), Published::Retrying(why) if why.contains("labels"))
    );
    let events = || server.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"], None).unwrap();
    eventually("an event of the node", || events().contains("TokenNotGuarded"));
    let pods = server.kubectl(&["get", "pod", "own", "-o", "jsonpath={.metadata}"], None).unwrap();
    assert!(!pods.contains(STATUS), "{pods}");

    // Where it is not required it is told, and the daemon does what it did before.
    let beside = tempfile::tempdir().unwrap();
    let relaxed = daemon(&server, beside.path(), &OWN_POD);
    wait_until(|| relaxed.health().remarks.get("policy").is_some_and(|why| why.contains("labels")), || relaxed.log());
    wait_until(|| relaxed.health().ready, || relaxed.log());
    assert_eq!(relaxed.publish("c2", &pod("own", Some(&uid)), PLAIN), Published::Written);

    // The policy comes: what was held back goes out.
    apply(&server, &manifests("admission-policy.yaml", "kube-system"));
    wait_until(|| required.health().ready, || required.log());
    wait_until(|| required.health().unpublished == 0, || required.log());
    let own =
        server.kubectl(&["-n", "kube-system", "get", "pod", "daemon", "-o", "jsonpath={.metadata}"], None).unwrap();
    assert!(!own.contains("canary"), "the test of the policy is no change: {own}");
    wait_until(|| relaxed.health().remarks.is_empty(), || relaxed.log());

    // The next test by the clock is in an hour. A person who asks does not wait for it.
    let asked = |daemon: &Daemon| daemon.tested_health().guards.get("policy").cloned().unwrap_or_default();
    assert_eq!(asked(&required), "");
    take_policies_away(&server);
    eventually("a policy that was deleted", || asked(&required).contains("lets the daemon's token change labels"));
    assert!(!required.health().ready);
    remove_pod(&server, "default", "own");
    remove_pod(&server, "kube-system", "daemon");
    take_policies_away(&server);
}

#[test]
fn a_daemon_without_a_pod_of_its_own_tells_that_nothing_is_tested() {
    let Some(server) = server() else { return };
    grant(&server);
    make_pod(&server, "kube-system", "daemon", "n1", "plexus");
    let uid = make_pod(&server, "default", "own", "n1", "default");
    let folder = tempfile::tempdir().unwrap();
    let by_hand = daemon(&server, folder.path(), &[]);
    wait_until(|| by_hand.health().ready, || by_hand.log());
    assert!(by_hand.health().remarks["policy"].contains("not tested"), "{:?}", by_hand.health());
    assert_eq!(by_hand.publish("c1", &pod("own", Some(&uid)), PLAIN), Published::Written);
    remove_pod(&server, "default", "own");
    remove_pod(&server, "kube-system", "daemon");
}
