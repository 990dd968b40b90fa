//! What a person sees whose rights, or whose cluster, are not whole.

use super::{NETWORKS, plexusctl, pod, support, text};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::apiserver::ApiServer;
use support::cluster::{WHEREABOUTS, put_network, put_whereabouts, role};

const NAMESPACE: &str = "tenant";

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A user with a role in one namespace, and with nothing else.
fn tenant(server: &ApiServer) -> PathBuf {
    server.kubectl(&["create", "namespace", NAMESPACE], None).unwrap();
    let verbs = "--verb=get,list,watch";
    let resources = "--resource=pods,events,network-attachment-definitions.k8s.cni.cncf.io";
    server.kubectl(&["create", "role", "own", verbs, resources, "-n", NAMESPACE], None).unwrap();
    server.kubectl(&["create", "rolebinding", "own", "--role=own", "--user=tenant", "-n", NAMESPACE], None).unwrap();
    put_network(server, NAMESPACE, "own", r#"{"cniVersion":"1.0.0","type":"bridge","bridge":"br-own"}"#);
    pod(server, NAMESPACE, "own", &json!({ NETWORKS: "own, default/lan" }), &json!({"phase": "Pending"}));
    server.kubeconfig_for("tenant", &["tenants"]).unwrap()
}

pub fn a_role_in_one_namespace_is_enough(server: &ApiServer) {
    let kubeconfig = tenant(server);
    let run = |words: &[&str]| plexusctl(server, &[words, &["--kubeconfig", kubeconfig.to_str().unwrap()]].concat());
    let drawn = run(&["topology", "-n", NAMESPACE]);
    let tree = text(&drawn, 0);
    assert!(tree.contains("bridge br-own") && tree.contains("default/lan"), "{tree}");
    // Of the other namespace it may see nothing.
    let told = said(&drawn);
    assert!(told.starts_with("some bridges and masters are not shown: network default/lan: "), "{told}");
    assert!(text(&run(&["get", "-n", NAMESPACE]), 0).contains("tenant/own"));
    text(&run(&["lint", "--cluster", "-n", NAMESPACE]), 0);
    for words in [&["topology"][..], &["get", "-A"], &["lint", "--cluster"]] {
        let refused = run(words);
        let told = said(&refused);
        assert!(refused.status.code() == Some(1) && told.trim_end().ends_with("name it with --namespace"), "{told}");
    }
    let why = text(&run(&["why", "tenant/own"]), 0);
    assert!(why.lines().nth(1).unwrap().starts_with("Next step: Ask an administrator"), "{why}");
}

pub fn what_cannot_be_read_is_shown_and_is_short(server: &ApiServer) {
    let long = format!("[{{\"name\":\"{}\"}}", "x".repeat(60_000));
    pod(server, "slips", "unread", &json!({ NETWORKS: long }), &json!({"phase": "Pending"}));
    let tree = text(&plexusctl(server, &["topology", "-n", "slips"]), 0);
    assert!(
        tree.contains("(unreadable)") && tree.contains("slips/unread  annotation k8s.v1.cni.cncf.io/networks: "),
        "{tree}"
    );
    assert!(tree.contains("── (unknown link)\n"), "{tree}");
    let page = text(&plexusctl(server, &["topology", "-n", "slips", "-o", "html"]), 0);
    assert!(
        page.contains("<span class=\"pod\">slips/unread ") && !page.contains("\"interface\">slips/unread"),
        "{page}"
    );
    let status = text(&plexusctl(server, &["status"]), 3);
    assert!(status.contains("pod slips/unread has an annotation that cannot be read"), "{status}");
    for words in [&["get", "-A", "-o", "wide"][..], &["describe", "pod", "slips/unread"], &["lint", "--cluster"]] {
        let shown = plexusctl(server, words);
        let shown = String::from_utf8(shown.stdout).unwrap();
        let longest = shown.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= 1000, "{words:?}: {longest}");
    }
    let whole = plexusctl(server, &["describe", "pod", "slips/unread", "-o", "json"]);
    assert!(whole.stdout.len() > 60_000);
    let problem = text(&plexusctl(server, &["describe", "pod", "slips/unread"]), 0);
    assert!(problem.contains("Problem:       annotation k8s.v1.cni.cncf.io/networks: "), "{problem}");
    server.kubectl(&["delete", "pod", "-n", "slips", "unread", "--grace-period=0", "--force"], None).unwrap();
}

/// The DaemonSet of Plexus, and the settings that it brings to nodes.
fn settings(server: &ApiServer, text: &str) {
    let labels = json!({"app.kubernetes.io/name": "plexus"});
    let volume = json!({"name": "settings", "configMap": {"name": "plexus-1"}});
    let pod = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "plexusd", "image": "x"}], "volumes": [volume]}});
    let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "plexus", "namespace": "kube-system", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": pod}});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plexus-1", "namespace": "kube-system"},
        "data": {"settings.json": text}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [set, map]});
    server.kubectl(&["apply", "-f", "-"], Some(&list.to_string())).unwrap();
}

pub fn a_running_whereabouts_is_told(server: &ApiServer) {
    // Cases 39 to 41
    let line = |output: &Output| {
        let shown = String::from_utf8(output.stdout.clone()).unwrap();
        shown.lines().find(|line| line.contains(" whereabouts ")).map(str::to_owned)
    };
    let status = || plexusctl(server, &["status"]);
    put_network(
        server,
        "slips",
        "where",
        r#"{"cniVersion":"1.0.0","type":"sriov","ipam":{"type":"whereabouts","range":"10.3.0.0/24"}}"#,
    );
    assert_eq!(line(&status()), None, "there is no whereabouts");
    put_whereabouts(server);
    settings(server, "{}");
    let told = line(&status()).unwrap();
    assert!(told.starts_with('✓') && told.contains("(slips/where)") && told.contains("from-whereabouts.md"), "{told}");
    settings(server, r#"{"natives":{"whereabouts":true}}"#);
    let shown = status();
    let told = line(&shown).unwrap();
    assert!(told.starts_with('✗') && told.contains("until its CRDs are deleted"), "{told}");
    assert!(text(&shown, 3).contains("-> Wait until no pod has an address of whereabouts"), "{shown:?}");
    // Without the right to see the settings it is not known who gives the addresses.
    let rules = [
        ("", "pods", &["list"][..]),
        ("", "nodes", &["list"]),
        ("k8s.cni.cncf.io", "network-attachment-definitions", &["list"]),
    ];
    let list = json!({"apiVersion": "v1", "kind": "List", "items": role("looks", &rules)}).to_string();
    server.kubectl(&["apply", "-f", "-"], Some(&list)).unwrap();
    let kubeconfig = server.kubeconfig_for("looks", &["looks"]).unwrap();
    let told = line(&plexusctl(server, &["status", "--kubeconfig", kubeconfig.to_str().unwrap()])).unwrap();
    assert!(told.starts_with('?') && told.contains("daemonsets") && told.contains("is forbidden"), "{told}");
    server.kubectl(&["delete", "crd", WHEREABOUTS], None).unwrap();
    assert_eq!(line(&status()), None, "it is gone");
}

/// The kubeconfig of `server` with another address.
fn elsewhere(server: &ApiServer, folder: &Path, address: &str) -> String {
    let path = folder.join("config");
    let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
    std::fs::write(&path, text.replace(&server.url(), address)).unwrap();
    path.to_str().unwrap().to_owned()
}

pub fn a_server_that_is_away_is_waited_for(server: &ApiServer) {
    let folder = tempfile::tempdir().unwrap();
    // Nobody answers there, but the kernel takes the connection.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", silent.local_addr().unwrap());
    let kubeconfig = elsewhere(server, folder.path(), &address);
    let told = said(&plexusctl(server, &["get", "--kubeconfig", &kubeconfig]));
    assert!(told.contains(&address) && told.contains("no connection was made in time"), "{told}");
    drop(silent);
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().args(["status", "--wait", "--timeout", "600", "--kubeconfig", &kubeconfig]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let first = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    // It waits: it has not ended with that line.
    assert!(first.contains("refused") && first.ends_with("; waiting …"), "{first}");
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
}

pub fn a_missing_crd_is_named_with_the_command(server: &ApiServer) {
    let lint = plexusctl(server, &["lint", "--cluster"]);
    let told = said(&lint);
    assert!(told.contains("its CRD is not installed") && told.contains("`plexusctl crd | kubectl apply"), "{told}");
    assert!(lint.status.code() == Some(1) && !told.contains("page not found"), "{told}");
    // The API server answers of one object as if only that did not exist.
    pod(server, "default", "late", &json!({ NETWORKS: "lan" }), &json!({"phase": "Pending"}));
    let shown = text(&plexusctl(server, &["why", "default/late"]), 3);
    let mut lines = shown.lines();
    let cause =
        "Pod default/late: the CRD NetworkAttachmentDefinition is not installed: network default/lan cannot exist";
    assert_eq!(lines.next(), Some(cause), "{shown}");
    assert!(lines.next().unwrap().contains("`plexusctl crd | kubectl apply --server-side -f -`"), "{shown}");
    assert!(!shown.contains("does not exist"), "{shown}");
}
