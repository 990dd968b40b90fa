//! What the commands print of a cluster: pods that are attached, wait and fail, nodes that are ready and not.

use super::Seen;
use crate::support::apiserver::ApiServer;
use crate::support::cannot_run;
use crate::support::cluster::{LEAST, put_network, role, try_server};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

fn see(server: &ApiServer, seen: &mut Seen, name: &'static str, words: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().env("KUBECONFIG", server.kubeconfig()).env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus");
    let output = command.args(words.split(' ')).args(["-o", "json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{words}: {e}: {output:?}"));
    seen.entry(name).or_default().push(document);
}

fn create(server: &ApiServer, object: &Value) {
    server.kubectl(&["create", "-f", "-"], Some(&object.to_string())).unwrap();
}

fn state(server: &ApiServer, kind: &str, name: &str, namespace: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    let words = ["patch", kind, name, "-n", namespace, "--subresource=status", "--type=merge", "-p", &patch];
    server.kubectl(&words, None).unwrap();
}

fn furnish(server: &ApiServer) {
    for name in ["n1", "n2"] {
        create(server, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
        let status = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {"containerRuntimeVersion": "containerd://2.1.0", "operatingSystem": "linux", "architecture": "arm64",
                "bootID": "", "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "osImage": "",
                "systemUUID": ""}});
        state(server, "node", name, "", &status);
    }
    let pod = |namespace: &str, name: &str, annotations: &Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace,
            "annotations": annotations, "labels": {"app.kubernetes.io/name": "plexus"}},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "x/plexus:v1.2.3"}]}})
    };
    let networks = json!([
        {"name": "cbr0", "interface": "eth0", "ips": ["10.1.1.2"], "default": true, "dns": {}, "gateway": ["10.1.1.1"]},
        {"name": "default/lan", "interface": "net1", "ips": ["10.2.0.5"], "mac": "02:00:00:00:00:05", "dns": {}},
    ])
    .to_string();
    let (selects, status) = ("k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status");
    create(server, &pod("default", "web", &json!({selects: "lan", status: networks})));
    create(server, &pod("default", "waits", &json!({selects: "absent"})));
    create(server, &pod("default", "broken", &json!({selects: "["})));
    create(server, &pod("kube-system", "plexus-1", &json!({})));
    state(server, "pod", "web", "default", &json!({"phase": "Running"}));
    let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    state(server, "pod", "plexus-1", "kube-system", &ready);
    put_network(server, "default", "lan", r#"{"cniVersion":"1.0.0","type":"bridge","bridge":"br-lan"}"#);
    let uid = server.kubectl(&["get", "pod", "waits", "-o", "jsonpath={.metadata.uid}"], None).unwrap();
    create(
        server,
        &json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "waits.1", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": "waits", "namespace": "default", "uid": uid}, "type": "Warning", "count": 3,
            "reason": "FailedCreatePodSandBox", "lastTimestamp": "2026-01-01T00:00:00Z",
            "message": "plugin type=\"plexus\" name=\"cbr0\" failed (add): network default/absent does not exist"}),
    );
}

/// Two pools that share addresses, and a block whose node is gone.
fn furnish_addresses(server: &ApiServer) {
    let definitions = include_str!("../../crd/addresses/address-pools.yaml");
    server.kubectl(&["apply", "--server-side", "-f", "-"], Some(definitions)).unwrap();
    for kind in crate::support::cluster::ADDRESS_KINDS {
        let crd = format!("crd/{kind}.ipam.plexus.dev");
        server.kubectl(&["wait", "--for=condition=Established", &crd], None).unwrap();
    }
    let version = "ipam.plexus.dev/v1alpha1";
    for name in ["lan", "late"] {
        let spec = json!({"ranges": [{"range": "10.1.0.0/24"}, {"range": "fd01::/64"}]});
        create(
            server,
            &json!({"apiVersion": version, "kind": "AddressPool", "metadata": {"name": name}, "spec": spec}),
        );
    }
    let condition = json!({"type": "Overlaps", "status": "True", "reason": "YoungerPool", "message": "x"});
    state(server, "addresspool", "lan", "", &json!({"use": "0/254", "conditions": [condition]}));
    let spec = json!({"pool": "lan", "first": "10.1.0.16", "size": 16, "node": "gone", "lease": "a"});
    create(
        server,
        &json!({"apiVersion": version, "kind": "AddressBlock", "metadata": {"name": "lan.0a010010"}, "spec": spec}),
    );
}

/// `get -w`: the first document, and the one of a change.
fn see_watch(server: &ApiServer, seen: &mut Seen) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().env("KUBECONFIG", server.kubeconfig()).env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus");
    let mut watch = command.args(["get", "-A", "-w", "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let documents = serde_json::Deserializer::from_reader(watch.stdout.take().unwrap()).into_iter::<Value>();
    let mut documents = documents.map(Result::unwrap);
    let mut found = vec![documents.next().unwrap()];
    server.kubectl(&["annotate", "pod", "web", "-n", "default", "example.com/changed=1"], None).unwrap();
    found.push(documents.next().unwrap());
    watch.kill().unwrap();
    watch.wait().unwrap();
    seen.entry("get-cluster").or_default().extend(found);
}

/// What every command prints of nodes whose keeper does not run. Of one that answers, a test of `remote` has the document.
fn of_nodes(server: &ApiServer, seen: &mut Seen) {
    let commands =
        ["get", "describe pod default/web", "gc --dry-run", "natives", "doctor", "health", "version", "ipam check"];
    for command in commands {
        see(server, seen, "all-nodes", &format!("{command} --node n1 --node n2"));
    }
}

/// What is compared of all nodes: one node has no keeper that runs, and the other one is not there.
fn see_comparison(server: &ApiServer, seen: &mut Seen) {
    see(server, seen, "all-nodes", "ipam check --all-nodes");
    let all = seen["all-nodes"].last().unwrap();
    let of_all = all["_cluster"].clone();
    let rules = |document: &Value| document["problems"].as_array().unwrap().len();
    assert!(all["n1"]["error"].is_string() && of_all["nodes"] == 0 && of_all["blocks"] == 1, "{all}");
    // The same objects have the same problems.
    assert_eq!(rules(&of_all), rules(&seen["ipam-check-cluster"][0]), "{all}");
    seen.entry("ipam-check-nodes").or_default().push(of_all);
}

pub fn documents() -> Option<Seen> {
    let server = match try_server(&[role("plexus", &LEAST)]) {
        Ok(server) => server,
        Err(why) => {
            cannot_run(&why);
            return None;
        }
    };
    furnish(&server);
    let mut seen = Seen::new();
    see(&server, &mut seen, "get-cluster", "get -A");
    see_watch(&server, &mut seen);
    see(&server, &mut seen, "lint", "lint --cluster");
    see(&server, &mut seen, "status", "status --nodes");
    of_nodes(&server, &mut seen);
    furnish_addresses(&server);
    see(&server, &mut seen, "ipam-show-cluster", "ipam show");
    see(&server, &mut seen, "ipam-check-cluster", "ipam check");
    see_comparison(&server, &mut seen);
    see(&server, &mut seen, "status", "status");
    see(&server, &mut seen, "topology", "topology --default-network");
    for pod in ["web", "waits", "broken"] {
        see(&server, &mut seen, "why", &format!("why {pod}"));
        see(&server, &mut seen, "describe-pod", &format!("describe pod {pod}"));
    }
    Some(seen)
}
