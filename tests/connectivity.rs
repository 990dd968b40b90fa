//! `plexusctl connectivity` against a real kube-apiserver. Nodes are played: a scheduler, a kubelet with its logs, and the
//! network-status. `tests/probe.rs` has what the pods do, and `e2e/cases/38-connectivity` the whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "connectivity/nodes.rs"]
mod nodes;
mod support;
#[path = "schemas/valid.rs"]
mod valid;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nodes::{Nodes, PROBES};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::apiserver::ApiServer;
use support::cluster::{LEAST, put_network, role, try_server};

/// The documents, by the names of their schemas.
type Seen = BTreeMap<&'static str, Vec<Value>>;

/// The rights that the page asks for, as it shows them.
fn rights() -> String {
    let page = include_str!("../docs/how-to/test-connectivity.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let role = rest.split_once("```").unwrap().0;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "testers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "plexus-connectivity-test"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "testers"}]});
    format!("{role}---\n{binding}\n")
}

fn start(kubeconfig: &Path, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.arg("connectivity").args(words).spawn().unwrap()
}

/// Runs it to its end, while the nodes work.
fn run(nodes: &mut Nodes<'_>, kubeconfig: &Path, words: &[&str]) -> Output {
    let mut child = start(kubeconfig, words);
    while child.try_wait().unwrap().is_none() {
        nodes.work();
    }
    child.wait_with_output().unwrap()
}

#[track_caller]
fn text(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn pods(server: &ApiServer) -> Vec<Value> {
    let list = server.kubectl(&["get", "pods", "-A", "-l", PROBES, "-o", "json"], None).unwrap();
    serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
}

fn pairs(document: &Value) -> Vec<&Value> {
    document["networks"].as_array().unwrap().iter().flat_map(|network| network["pairs"].as_array().unwrap()).collect()
}

fn a_network_that_works(nodes: &mut Nodes<'_>, tester: &Path) {
    let output = run(nodes, tester, &["test", "--network", "apps/lan", "-o", "json"]);
    let document: Value = serde_json::from_str(&text(&output, 0)).unwrap();
    assert_eq!((&document["version"], &document["well"]), (&json!(1), &json!(true)));
    assert_eq!(document["image"], "x/plexus:v1");
    valid::assert_valid(&Seen::from([("connectivity-test", vec![document.clone()])]));
    let pairs = pairs(&document);
    assert_eq!(pairs.len(), 4, "two families, two directions: {document}");
    assert!(pairs.iter().all(|pair| pair["well"] == true && pair["packet"]["largest"] == 1500), "{document}");
    assert_eq!(document["networks"][0]["places"][1]["addresses"], json!(["10.0.0.2", "fd00::2"]));
    let said = String::from_utf8_lossy(&output.stderr);
    for step in ["creating 2 probe pods", "waiting for", "measuring", "deleting"] {
        assert!(said.contains(step), "{step}: {said}");
    }
    assert!(pods(nodes.server).is_empty());
}

/// The sample of the page is what was printed here; `UPDATE=1` writes it.
fn the_page_shows(printed: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to/test-connectivity.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let begin = "<!-- printed in tests/connectivity.rs -->\n```text\n";
    let (before, rest) = page.split_once(begin).unwrap();
    let (_, after) = rest.split_once("```\n").unwrap();
    let wanted = format!("{before}{begin}{printed}```\n{after}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, wanted).unwrap();
    } else {
        assert_eq!(page, wanted, "UPDATE=1 writes the page");
    }
}

fn a_network_that_fails_on_a_node(nodes: &mut Nodes<'_>, tester: &Path) {
    // The pods are where the person says; one of them is not attached, and the other network is measured.
    let output = run(nodes, tester, &["test", "--network", "apps/lan,apps/far", "-n", "other"]);
    let shown = text(&output, 1);
    assert!(shown.contains("apps/lan IPv4") && shown.contains("0.10 ms"), "{shown}");
    assert!(shown.contains("no pod") && shown.contains("apps/far on n2: network apps/far (net1)"), "{shown}");
    assert!(shown.contains("-> Correct the key master") && shown.contains("4 of 8 pairs are connected."), "{shown}");
    assert_eq!(shown.matches("there is no link eth9").count(), 1, "each reason once: {shown}");
    the_page_shows(&shown);
    assert!(nodes.seen.iter().any(|namespace| namespace == "other"), "{:?}", nodes.seen);
    let wide = text(&run(nodes, tester, &["test", "--network", "apps/twins", "-o", "wide"]), 1);
    assert!(wide.contains("RESULT") && wide.contains("same address"), "{wide}");
    assert!(wide.contains("apps/twins has the address 10.0.0.9 on n1 and on n2"), "{wide}");
}

/// It ends when the registry has refused, and not by the time-out.
fn an_image_that_does_not_exist_is_named_soon(nodes: &mut Nodes<'_>, tester: &Path) {
    let begun = Instant::now();
    let words = ["test", "--network", "apps/imageless", "--image", "nosuch", "--timeout", "300"];
    let shown = text(&run(nodes, tester, &words), 1);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let reason = "apps/imageless on n1: container probe: the image nosuch cannot be pulled: ErrImagePull: failed to pull and unpack image \"docker.io/library/nosuch:latest\": pull access denied";
    assert!(shown.contains(reason) && shown.contains("-> Correct the name of the image"), "{shown}");
    assert!(pods(nodes.server).is_empty());
}

fn pods_are_deleted_however_it_ends(nodes: &mut Nodes<'_>, tester: &Path) {
    // A pod that never starts, and Ctrl-C.
    let mut child = start(tester, &["test", "--network", "apps/never"]);
    support::eventually("pods to wait", || {
        nodes.work();
        pods(nodes.server).len() == 2
    });
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    while child.try_wait().unwrap().is_none() {
        nodes.work();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("interrupted; the probe pods are deleted"), "{said}");
    assert!(pods(nodes.server).is_empty());

    // What a killed run left is removed by `clean`, and what has ended by the next run.
    let mut child = start(tester, &["test", "--network", "apps/never"]);
    support::eventually("pods to wait", || pods(nodes.server).len() == 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let left = pods(nodes.server);
    assert!(left.iter().all(|pod| pod["spec"]["activeDeadlineSeconds"].is_u64()), "{left:?}");
    let output = run(nodes, nodes.server.kubeconfig(), &["clean"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 probe pods were deleted"), "{output:?}");
    let over = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "over", "namespace": "apps", "labels": left[0]["metadata"]["labels"]},
        "spec": left[0]["spec"]});
    nodes.server.kubectl(&["create", "-f", "-"], Some(&over.to_string())).unwrap();
    let words = [
        "patch",
        "pod",
        "over",
        "-n",
        "apps",
        "--subresource=status",
        "--type=merge",
        "-p",
        r#"{"status":{"phase":"Failed"}}"#,
    ];
    nodes.server.kubectl(&words, None).unwrap();
    text(&run(nodes, tester, &["test", "--network", "apps/lan"]), 0);
    assert!(pods(nodes.server).is_empty());
}

fn what_cannot_be_tested_is_one_line(nodes: &mut Nodes<'_>, tester: &Path) {
    let nobody = nodes.server.kubeconfig_for("nobody", &["nobody"]).unwrap();
    let cases: [(&Path, &[&str], &str); 5] = [
        (tester, &["test", "--network", "apps/broken"], "network apps/broken: spec.config: not a JSON object"),
        (tester, &["test", "--network", "apps/lam"], "the NetworkAttachmentDefinition apps/lam does not exist"),
        (tester, &["test", "--network", "apps/lan", "--node", "n7"], "node n7 does not exist"),
        (tester, &["test", "--network", "a_b"], "a_b"),
        (&nobody, &["test", "--network", "apps/lan"], "nobody"),
    ];
    for (kubeconfig, words, expected) in cases {
        let output = run(nodes, kubeconfig, words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.lines().count() == 1 && said.contains(expected), "{said}");
    }
}

#[test]
fn connectivity_is_tested_with_the_rights_of_the_page() {
    let server = match try_server(&[role("plexus", &LEAST)]) {
        Ok(server) => server,
        Err(why) => return support::cannot_run(&why),
    };
    server.kubectl(&["apply", "-f", "-"], Some(&rights())).unwrap();
    for namespace in ["apps", "other"] {
        server.kubectl(&["create", "namespace", namespace], None).unwrap();
        // Kubernetes' own judgement of the pods.
        server
            .kubectl(&["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"], None)
            .unwrap();
    }
    for name in ["lan", "far", "twins", "never", "imageless"] {
        put_network(&server, "apps", name, r#"{"cniVersion":"1.0.0","type":"macvlan","master":"eth9"}"#);
    }
    put_network(&server, "apps", "broken", "{");
    let tester = server.kubeconfig_for("tester", &["testers"]).unwrap();
    let Some(mut nodes) = Nodes::new(&server) else { return };
    what_cannot_be_tested_is_one_line(&mut nodes, &tester);
    a_network_that_works(&mut nodes, &tester);
    a_network_that_fails_on_a_node(&mut nodes, &tester);
    an_image_that_does_not_exist_is_named_soon(&mut nodes, &tester);
    pods_are_deleted_however_it_ends(&mut nodes, &tester);
}
