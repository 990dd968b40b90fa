//! Resource claims (dynamic resource allocation) against a real kube-apiserver, with a stub kubelet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/kubelet.rs"]
mod kubelet;
mod support;

use kubelet::{CLAIM, Kubelet};
use plexus::api::{Facts, FactsRequest};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use support::apiserver::ApiServer;
use support::cluster::{NETWORKS, role, server};
use support::daemon::{Daemon, nad, pod};
use support::wait_until;

const DRIVER: &str = "nic.example.com";
const OTHER_DRIVER: &str = "gpu.example.com";

/// All the daemon needs for the group `plexus`, nothing of claims for `plexus-without-claims`, nothing of pods
/// either, as where nobody uses claims, for `plexus-without-pods`.
fn started() -> Option<ApiServer> {
    let few = [NETWORKS, ("", "pods", &["get"])];
    let claims: [support::cluster::Rule<'_>; 2] =
        [("resource.k8s.io", "resourceclaims", &["get"]), ("resource.k8s.io", "resourceslices", &["list"])];
    server(&[
        role("plexus", &[few, claims].concat()),
        role("plexus-without-claims", &few),
        role("plexus-without-pods", &[NETWORKS]),
    ])
}

fn put(server: &ApiServer, object: &Value) {
    server.kubectl(&["create", "-f", "-"], Some(&object.to_string())).unwrap();
}

fn put_status(server: &ApiServer, what: &str, name: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    server.kubectl(&["patch", what, name, "--subresource=status", "--type=merge", "-p", &patch], None).unwrap();
}

fn put_network(server: &ApiServer, name: &str, resource: &str) {
    put(
        server,
        &json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": { "name": name, "namespace": "default", "annotations": { "k8s.v1.cni.cncf.io/resourceName": resource } },
            "spec": { "config": "{}" },
        }),
    );
}

/// Devices by name, with what CNI plugins know them by and the resource; empty for neither.
fn put_slice(server: &ApiServer, name: &str, driver: &str, node: Option<&str>, devices: &[(&str, &str, &str)]) {
    let device = |(name, id, resource): &(&str, &str, &str)| {
        let attributes = json!({ "k8s.cni.cncf.io/deviceID": { "string": id }, "k8s.cni.cncf.io/resourceName": { "string": resource }, "numa": { "int": 1 } });
        json!({ "name": name, "attributes": if id.is_empty() { json!({}) } else { attributes } })
    };
    let mut spec = json!({
        "driver": driver, "pool": { "name": node.unwrap_or("fabric"), "generation": 1, "resourceSliceCount": 1 },
        "devices": devices.iter().map(device).collect::<Vec<_>>(),
    });
    match node {
        Some(node) => spec["nodeName"] = json!(node),
        None => spec["allNodes"] = json!(true),
    }
    put(
        server,
        &json!({ "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": { "name": name }, "spec": spec }),
    );
}

/// A claim to which `devices` (driver, pool, device) are allocated, a request each.
fn put_claim(server: &ApiServer, name: &str, devices: &[(&str, &str, &str)]) {
    let request = |number: usize| format!("r{number}");
    let numbers = 0..devices.len().max(1);
    let requests: Vec<Value> =
        numbers.map(|number| json!({ "name": request(number), "exactly": { "deviceClassName": "any" } })).collect();
    put(
        server,
        &json!({ "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": { "name": name, "namespace": "default" },
        "spec": { "devices": { "requests": requests } } }),
    );
    let result = |(number, (driver, pool, device)): (usize, &(&str, &str, &str))| json!({ "request": request(number), "driver": driver, "pool": pool, "device": device });
    if !devices.is_empty() {
        let results: Vec<Value> = devices.iter().enumerate().map(result).collect();
        put_status(server, "resourceclaim", name, &json!({ "allocation": { "devices": { "results": results } } }));
    }
}

/// A pod on the node `n1` with claims; its UID.
fn put_pod(server: &ApiServer, name: &str, claims: &[Value]) -> String {
    let names: Vec<Value> = claims.iter().map(|claim| json!({ "name": claim["name"] })).collect();
    put_pod_of(server, name, claims, &json!({ "claims": names }))
}

fn put_pod_of(server: &ApiServer, name: &str, claims: &[Value], resources: &Value) -> String {
    put(
        server,
        &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
        "spec": { "nodeName": "n1", "resourceClaims": claims, "containers": [{ "name": "c", "image": "x", "resources": resources }] } }),
    );
    server.kubectl(&["get", "pod", name, "-o", "jsonpath={.metadata.uid}"], None).unwrap()
}

fn start(server: &ApiServer, folder: &Path, user: &str, group: &str) -> Daemon {
    let (kubeconfig, socket) = (server.kubeconfig_for(user, &[group]).unwrap(), folder.join("kubelet.sock"));
    let arguments = [
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        "--node-name",
        "n1",
        "--pod-resources-socket",
        socket.to_str().unwrap(),
    ];
    let daemon = Daemon::in_folder(folder, &arguments);
    wait_until(|| daemon.health().ready, || daemon.log());
    daemon
}

fn ask(daemon: &Daemon, name: &str, uid: &str, networks: &[&str]) -> Result<Facts, String> {
    let networks = networks.iter().map(|name| nad(name)).collect();
    daemon.facts(FactsRequest { pod: Some(pod(name, Some(uid))), networks, ..FactsRequest::default() })
}

fn expected(pairs: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    pairs
        .iter()
        .map(|(resource, ids)| ((*resource).to_owned(), ids.iter().map(|id| (*id).to_owned()).collect()))
        .collect()
}

/// One server for all of it: two cores are few.
#[test]
fn devices_of_claims_are_found() {
    let Some(server) = started() else { return };
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&folder.path().join("kubelet.sock"));
    for resource in ["vf", "fabric", "plugged"] {
        put_network(&server, resource, &format!("x.com/{resource}"));
    }
    put_slice(
        &server,
        "n1-nics",
        DRIVER,
        Some("n1"),
        &[("vf-a", "0000:18:02.5", "x.com/vf"), ("vf-b", "0000:18:02.1", "x.com/vf")],
    );
    // The same names on another node are other devices.
    put_slice(&server, "n2-nics", DRIVER, Some("n2"), &[("vf-a", "wrong", "x.com/vf")]);
    put_slice(&server, "fabric-nics", DRIVER, None, &[("f0", "fab0", "x.com/fabric")]);
    put_slice(&server, "n1-gpus", OTHER_DRIVER, Some("n1"), &[("g0", "", "")]);
    let daemon = start(&server, folder.path(), "plexusd-all", "plexus");

    by_template_and_by_name_in_the_pods_order(&server, &kubelet, &daemon);
    without_claims_there_are_none(&server, &kubelet, &daemon);
    of_an_ordinary_resource_request(&server, &kubelet, &daemon);
    by_the_names_of_claim_and_request(&server, &kubelet, &daemon);
    markers_are_no_devices(&server, &kubelet, &daemon);
    what_is_not_there_yet_is_asked_for_again(&server, &kubelet, &daemon);
    a_missing_permission_is_named(&server);
    where_nobody_uses_claims_no_permission_is_needed(&server);
}

fn by_template_and_by_name_in_the_pods_order(server: &ApiServer, kubelet: &Kubelet, daemon: &Daemon) {
    let count = || server.requests("plexusd-all").unwrap().len();
    let asked = |before: usize| server.requests("plexusd-all").unwrap().split_off(before);
    // A GPU beside them says nothing of CNI.
    let claims = [
        json!({ "name": "made", "resourceClaimTemplateName": "t" }),
        json!({ "name": "gpu", "resourceClaimName": "gpu" }),
        json!({ "name": "own", "resourceClaimName": "own" }),
    ];
    let uid = put_pod(server, "p", &claims);
    put_status(
        server,
        "pod",
        "p",
        &json!({ "resourceClaimStatuses": [{ "name": "made", "resourceClaimName": "p-made-x7" }] }),
    );
    put_claim(server, "p-made-x7", &[(DRIVER, "n1", "vf-b")]);
    put_claim(server, "own", &[(DRIVER, "n1", "vf-a"), (DRIVER, "fabric", "f0")]);
    put_claim(server, "gpu", &[(OTHER_DRIVER, "n1", "g0")]);
    kubelet.pod("p", &[&[("x.com/plugged", "dp0")]]);

    let before = count();
    let facts = ask(daemon, "p", &uid, &["vf", "fabric", "plugged"]).unwrap();
    let all =
        [("x.com/vf", &["0000:18:02.1", "0000:18:02.5"][..]), ("x.com/fabric", &["fab0"]), ("x.com/plugged", &["dp0"])];
    assert_eq!(facts.devices, expected(&all));
    let mut requests = asked(before);
    requests.sort();
    let (claim, slices) = ("get resourceclaims", "list resourceslices");
    assert_eq!(requests, ["get pods", claim, claim, claim, slices, slices, slices]);

    // What the kubelet's device plugins gave is enough: the API server is not asked.
    let before = count();
    assert_eq!(ask(daemon, "p", &uid, &["plugged"]).unwrap().devices, expected(&all[2..]));
    assert_eq!(asked(before), [""; 0]);
}

fn without_claims_there_are_none(server: &ApiServer, kubelet: &Kubelet, daemon: &Daemon) {
    let uid = put_pod(server, "without", &[]);
    kubelet.pod("without", &[&[]]);
    // That is for the plugin to judge.
    assert!(ask(daemon, "without", &uid, &["vf"]).unwrap().devices.is_empty());
}

/// The scheduler makes a claim of it.
fn of_an_ordinary_resource_request(server: &ApiServer, kubelet: &Kubelet, daemon: &Daemon) {
    let uid = put_pod_of(server, "extended", &[], &json!({ "limits": { "x.com/vf": "1" } }));
    kubelet.pod("extended", &[]);
    put_claim(server, "extended-x7", &[(DRIVER, "n1", "vf-a")]);
    let mapping = json!({ "containerName": "c", "requestName": "r0", "resourceName": "x.com/vf" });
    let status = json!({ "resourceClaimName": "extended-x7", "requestMappings": [mapping] });
    put_status(server, "pod", "extended", &json!({ "extendedResourceClaimStatus": status }));
    assert_eq!(ask(daemon, "extended", &uid, &["vf"]).unwrap().devices, expected(&[("x.com/vf", &["0000:18:02.5"])]));
}

/// As with Multus 4.3: the resource is the claim's name, the device what CDI knows it by. The pod's own name of a
/// claim from a template, and the request's, find it too.
fn by_the_names_of_claim_and_request(server: &ApiServer, kubelet: &Kubelet, daemon: &Daemon) {
    for name in ["named", "single-gpu", "r0"] {
        put_network(server, name, name);
    }
    let uid = put_pod(server, "cdi", &[json!({ "name": "single-gpu", "resourceClaimTemplateName": "t" })]);
    let made = json!({ "resourceClaimStatuses": [{ "name": "single-gpu", "resourceClaimName": "named" }] });
    put_status(server, "pod", "cdi", &made);
    put_claim(server, "named", &[(OTHER_DRIVER, "n1", "g0")]);
    kubelet.pod("cdi", &[&[(CLAIM, "named=gpu-0")], &[(CLAIM, "named=gpu-0")]]);
    let before = server.requests("plexusd-all").unwrap().len();
    assert_eq!(ask(daemon, "cdi", &uid, &["named"]).unwrap().devices, expected(&[("named", &["gpu-0"])]));
    // The kubelet has told it.
    assert_eq!(server.requests("plexusd-all").unwrap().len(), before);
    for name in ["single-gpu", "r0"] {
        assert_eq!(ask(daemon, "cdi", &uid, &[name]).unwrap().devices, expected(&[(name, &["gpu-0"])]), "{name}");
    }
}

fn markers_are_no_devices(server: &ApiServer, kubelet: &Kubelet, daemon: &Daemon) {
    put_network(server, "marker", "ovs-cni.network.kubevirt.io/br1");
    let uid = put_pod(server, "marked", &[]);
    kubelet.pod("marked", &[&[]]);
    let resource_of = |name: &str| ask(daemon, "marked", &uid, &[name]).unwrap().definitions[0].resource_name.clone();
    assert_eq!(resource_of("marker"), None);
    assert!(daemon.log().contains("attached without one"), "{}", daemon.log());
    // A driver of claims publishes these.
    assert_eq!(resource_of("vf").as_deref(), Some("x.com/vf"));
    kubelet.device("ovs-cni.network.kubevirt.io/br1", "x");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(resource_of("marker").as_deref(), Some("ovs-cni.network.kubevirt.io/br1"));
}

fn what_is_not_there_yet_is_asked_for_again(server: &ApiServer, kubelet: &Kubelet, daemon: &Daemon) {
    let uid = put_pod(server, "early", &[json!({ "name": "own", "resourceClaimName": "early" })]);
    kubelet.pod("early", &[]);
    let refused = || ask(daemon, "early", &uid, &["vf"]).unwrap_err();
    let line = refused();
    assert!(
        ["default/vf", "x.com/vf", "resource claim default/early", "does not exist"]
            .iter()
            .all(|part| line.contains(part)),
        "{line}"
    );
    put_claim(server, "early", &[]);
    assert!(refused().contains("no device is allocated"), "{}", refused());
    // A pod is never answered for with the claims of its predecessor.
    assert!(ask(daemon, "early", "another", &["vf"]).unwrap_err().contains("not known yet"));
}

/// Without the right to read claims, that is what is said; devices of device plugins do not need it.
fn a_missing_permission_is_named(server: &ApiServer) {
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&folder.path().join("kubelet.sock"));
    kubelet.pod("p", &[&[("x.com/plugged", "dp0")]]);
    let daemon = start(server, folder.path(), "plexusd-few", "plexus-without-claims");
    let uid = server.kubectl(&["get", "pod", "p", "-o", "jsonpath={.metadata.uid}"], None).unwrap();
    let refused = ask(&daemon, "p", &uid, &["vf"]).unwrap_err();
    assert!(
        ["default/vf", "x.com/vf", "may not get resourceclaims.resource.k8s.io", "conf/overlays/dra"]
            .iter()
            .all(|part| refused.contains(part)),
        "{refused}"
    );
    assert!(!refused.contains("pod-annotations"), "{refused}");
    assert_eq!(ask(&daemon, "p", &uid, &["plugged"]).unwrap().devices["x.com/plugged"], ["dp0"]);
}

/// A pod that takes a device and was given none is told so; one with a claim is told what is missing.
fn where_nobody_uses_claims_no_permission_is_needed(server: &ApiServer) {
    let folder = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&folder.path().join("kubelet.sock"));
    kubelet.pod("without", &[&[]]);
    kubelet.pod("p", &[&[], &[(CLAIM, "own")]]);
    let daemon = start(server, folder.path(), "plexusd-least", "plexus-without-pods");
    assert!(ask(&daemon, "without", "u", &["vf"]).unwrap().devices.is_empty());
    let refused = ask(&daemon, "p", "u", &["vf"]).unwrap_err();
    assert!(refused.contains("default/vf") && refused.contains("may not get, list and watch pods"), "{refused}");
    assert!(refused.contains("conf/overlays/dra"), "{refused}");
}
