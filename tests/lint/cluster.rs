//! `--cluster` against a real API server.

use super::command::text;
use super::support::cluster::{NETWORKS, put_network, role, server};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn lint(kubeconfig: &Path, words: &[&str]) -> Output {
    let own = ["lint", "--cluster", "--cni-conf-dir", "/nonexistent", "--kubeconfig", kubeconfig.to_str().unwrap()];
    Command::new(env!("CARGO_BIN_EXE_plexusctl")).env_clear().args(own).args(words).output().unwrap()
}

#[test]
fn the_objects_of_a_cluster_are_judged() {
    let Some(server) = server(&[role("networks-only", &[NETWORKS])]) else { return };
    server.kubectl(&["create", "namespace", "other"], None).unwrap();
    put_network(&server, "default", "good", r#"{"cniVersion":"1.0.0","type":"bridge"}"#);
    put_network(&server, "other", "bad", r#"{"cniVersion":"1.0.0","type":"macvlan","master":"eth1","mode":"brigde"}"#);
    let pod = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default",
            "annotations": {"k8s.v1.cni.cncf.io/networks": "good, gone"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
    };
    server.kubectl(&["create", "-f", "-"], Some(&pod("p").to_string())).unwrap();
    let template = json!({"metadata": {"labels": {"a": "b"}, "annotations": {"k8s.v1.cni.cncf.io/networks": "other/bad"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "default", "annotations": {"k8s.v1.cni.cncf.io/networks": "good"}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    server.kubectl(&["create", "-f", "-"], Some(&deployment.to_string())).unwrap();
    put_network(
        &server,
        "other",
        "poolless",
        r#"{"cniVersion":"1.0.0","type":"sriov","ipam":{"type":"plexus-ipam","pool":"lam"}}"#,
    );
    let output = lint(server.kubeconfig(), &["-o", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = |rule: &str, object: &str| {
        let findings = document["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["rule"] == rule && finding["object"] == object).count()
    };
    assert_eq!(found("PX011", "NetworkAttachmentDefinition other/bad"), 1, "{document:#}");
    assert_eq!(found("PX029", "Pod default/p"), 1, "{document:#}");
    // A cluster without the kind of pools has none.
    assert_eq!(found("PX084", "NetworkAttachmentDefinition other/poolless"), 1, "{document:#}");
    assert_eq!(found("PX039", "Deployment default/d"), 1, "{document:#}");
    assert!(document["findings"].as_array().unwrap().iter().all(|finding| finding["file"].is_null()), "{document:#}");
    // People see the object instead of a line.
    let shown = text(&lint(server.kubeconfig(), &["-n", "other"]).stdout);
    assert!(shown.starts_with("NetworkAttachmentDefinition other/bad: error PX011: "), "{shown}");
    outdated(&server);
    // Who may list networks only is shown what is not judged.
    let restricted = server.kubeconfig_for("somebody", &["networks-only"]).unwrap();
    let output = lint(&restricted, &[]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("warning: pods cannot be listed"), "{said}");
    let nobody = server.kubeconfig_for("nobody", &[]).unwrap();
    let refused = lint(&nobody, &[]);
    let said = text(&refused.stderr);
    assert!(
        refused.status.code() == Some(1)
            && said.contains("network-attachment-definitions")
            && said.contains("forbidden"),
        "{said}"
    );
    let unknown = lint(server.kubeconfig(), &["--context", "elsewhere"]);
    assert!(text(&unknown.stderr).contains("elsewhere"), "{unknown:?}");
}

/// A network that changes after its pod got it.
fn outdated(server: &super::support::apiserver::ApiServer) {
    let attached = |time: &str| {
        let condition = json!({"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": time});
        let status =
            json!({"status": {"phase": "Running", "startTime": "2020-01-01T00:00:00Z", "conditions": [condition]}});
        let patch = ["patch", "pod", "p", "--subresource=status", "--type=merge", "-p", &status.to_string()];
        server.kubectl(&patch, None).unwrap();
    };
    attached("2020-01-01T00:00:09Z");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    put_network(server, "default", "good", r#"{"cniVersion":"1.0.0","type":"bridge","mtu":1400}"#);
    let shown = text(&lint(server.kubeconfig(), &["-n", "default"]).stdout);
    let line = shown.lines().find(|line| line.contains("PX059")).unwrap_or_else(|| panic!("{shown}"));
    assert!(
        line.starts_with("NetworkAttachmentDefinition default/good: info PX059: ") && line.ends_with("default/p"),
        "{line}"
    );
    // It was created and started before, waited, and got the network as it is now.
    attached("2099-01-01T00:00:00Z");
    let shown = text(&lint(server.kubeconfig(), &["-n", "default"]).stdout);
    assert!(!shown.contains("PX059"), "{shown}");
}
