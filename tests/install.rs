//! Installing under running pods, removing it again, and being chained behind the default network;
//! with libcni as the runtime.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::cnitool::cnitool;
use support::{Node, Pod, kernel, node};

/// A bridge with addresses, under the name that the runtime knows the cluster's network by.
fn real_primary(node: &Node) {
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [
        {"type": "bridge", "bridge": "cbr0", "isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]}},
    ]}));
}

/// The head file, as an operator installs it: its name is the primary's own.
fn install(node: &Node) {
    let list =
        json!({"cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "cbr0", "plugins": [node.config]});
    node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
}

fn uninstall(node: &Node) {
    fs::remove_file(node.net_d().join("00-plexus.conflist")).unwrap();
}

/// The element that chains Plexus behind the primary, and the recorder of the network it attaches.
fn chain(node: &Node) -> support::Recorder {
    let element = json!({"type": "plexus", "capabilities": {"io.kubernetes.cri.pod-annotations": true}});
    node::write(&node.net_d().join("cbr0/90-plexus.conf"), &element.to_string());
    node.recorded_network("a")
}

fn leases() -> usize {
    let folder = fs::read_dir("/var/lib/cni/networks/cbr0").into_iter().flatten().flatten();
    folder.filter(|entry| entry.file_name().to_string_lossy().starts_with("10.")).count()
}

#[track_caller]
fn assert_clean(pod: &Pod) {
    assert_eq!(leases(), 0);
    assert_eq!(kernel::host_links(), ["cbr0"]);
    assert_eq!(kernel::links(&pod.netns), [""; 0]);
}

#[test]
fn a_pod_older_than_the_installation_is_deleted_through_it() {
    let Some(node) = Node::new() else { return };
    real_primary(&node);
    let pod = Pod::new(&node, "older");
    let result = cnitool(&node, "add", "cbr0", &pod).result();
    assert_eq!(leases(), 1);
    install(&node);
    cnitool(&node, "del", "cbr0", &pod).silence();
    // CNI-DEL-04, CNI-DEL-02
    assert_clean(&pod);
    assert!(result["ips"][0]["address"].as_str().unwrap().starts_with("10.1.0."));
}

#[test]
fn libcnis_result_of_an_older_pod_reaches_the_primary() {
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "kept");
    cnitool(&node, "add", "cbr0", &pod).result();
    install(&node);
    cnitool(&node, "del", "cbr0", &pod).silence();
    // CNI-DEL-02: it is found because the installed list has the primary's name.
    assert_eq!(node.call_names(), ["ADD primary eth0", "DEL primary eth0"]);
    assert_eq!(node.calls()[1].config()["prevResult"]["ips"][0]["address"], "10.99.0.2/24");
}

#[test]
fn an_older_pod_is_deleted_without_its_namespace_too() {
    let Some(node) = Node::new() else { return };
    real_primary(&node);
    let pod = Pod::new(&node, "rebooted");
    cnitool(&node, "add", "cbr0", &pod).result();
    install(&node);
    pod.end_sandbox();
    cnitool(&node, "del", "cbr0", &pod).silence();
    // CNI-DEL-03
    assert_eq!(leases(), 0);
}

#[test]
fn a_pod_made_through_plexus_is_deleted_after_it_was_removed() {
    let Some(node) = Node::new() else { return };
    real_primary(&node);
    install(&node);
    let pod = Pod::new(&node, "younger");
    let result = cnitool(&node, "add", "cbr0", &pod).result();
    // CNI-VER-01: the newest version that both sides speak.
    assert_eq!(result["cniVersion"], "1.1.0");
    assert_eq!((leases(), kernel::links(&pod.netns)), (1, vec!["eth0".to_owned()]));
    uninstall(&node);
    cnitool(&node, "del", "cbr0", &pod).silence();
    assert_clean(&pod);
}

#[test]
fn installed_it_serves_annotated_pods_through_libcni() {
    let Some(node) = Node::new() else { return };
    real_primary(&node);
    install(&node);
    let a = node.recorded_network("a");
    let pod = Pod::new(&node, "annotated").selecting("a@foo");
    let result = cnitool(&node, "add", "cbr0", &pod).result();
    // CNI-CAP-11, NPWG-DEF-03
    assert_eq!(a.call_of("ADD").env("CNI_IFNAME"), "foo");
    assert!(result["ips"][0]["address"].as_str().unwrap().starts_with("10.1.0."));
    cnitool(&node, "del", "cbr0", &pod).silence();
    assert_eq!(a.calls_of("DEL").len(), 1);
    assert_clean(&pod);
}

#[test]
fn chained_it_only_adds_and_hands_the_result_on() {
    let Some(node) = Node::new() else { return };
    real_primary(&node);
    let bare = Pod::new(&node, "bare");
    let without = cnitool(&node, "add", "cbr0", &bare).result();
    cnitool(&node, "del", "cbr0", &bare).silence();
    let a = chain(&node);
    let pod = Pod::new(&node, "chained").selecting("a");
    let with = cnitool(&node, "add", "cbr0", &pod).result();
    // CNI-RES-05, CNI-ADD-03: of the same shape, whatever the addresses.
    let shape = |result: &Value| {
        (
            result["interfaces"].as_array().unwrap().len(),
            result["ips"].as_array().unwrap().len(),
            result["cniVersion"].clone(),
        )
    };
    assert_eq!(shape(&with), shape(&without));
    // CNI-DLG-10
    assert_eq!(a.call_of("ADD").config().get("prevResult"), None);
    assert_eq!(a.call_of("ADD").env("CNI_IFNAME"), "net1");
    cnitool(&node, "del", "cbr0", &pod).silence();
    assert_eq!(a.calls_of("DEL").len(), 1);
    assert_clean(&pod);
    // A plain pod passes through.
    let plain = Pod::new(&node, "plain");
    cnitool(&node, "add", "cbr0", &plain).result();
    cnitool(&node, "del", "cbr0", &plain).silence();
    assert_clean(&plain);
    assert_eq!(fs::read_dir(node.state().sandboxes()).into_iter().flatten().count(), 0);
}

#[test]
fn chained_it_can_be_removed_and_put_back_under_running_pods() {
    let Some(node) = Node::new() else { return };
    real_primary(&node);
    let a = chain(&node);
    let element = node.net_d().join("cbr0/90-plexus.conf");
    let (one, two) = (Pod::new(&node, "one").selecting("a"), Pod::new(&node, "two").selecting("a"));
    cnitool(&node, "add", "cbr0", &one).result();
    let text = fs::read_to_string(&element).unwrap();
    fs::remove_file(&element).unwrap();
    cnitool(&node, "add", "cbr0", &two).result();
    assert_eq!(a.calls_of("ADD").len(), 1);
    node::write(&element, &text);
    // CNI-DEL-04: the second was never attached through us.
    cnitool(&node, "del", "cbr0", &two).silence();
    cnitool(&node, "del", "cbr0", &one).silence();
    assert_clean(&one);
    assert_clean(&two);
}

#[test]
fn chained_the_default_network_cannot_be_replaced() {
    let Some(node) = Node::new() else { return };
    real_primary(&node);
    chain(&node);
    node.network("kube-system/special", &json!({"cniVersion": "1.0.0", "type": "a"}));
    let pod = Pod::new(&node, "replace").with_default_network("special");
    let refused = cnitool(&node, "add", "cbr0", &pod);
    assert!(!refused.status.success());
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("v1.multus-cni.io/default-network") && said.contains("chained"), "{said}");
    // NPWG-DEF-08: cnitool does not tell the code.
    let mut direct = Pod::new(&node, "direct").with_default_network("special");
    direct.config["clusterNetwork"] = Value::Null;
    let previous = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]});
    direct.call("ADD").configured("prevResult", previous).make().refusal(7, &["default-network", "chained"]);
    // CNI-ADD-08: libcni leaves the DEL to its caller.
    cnitool(&node, "del", "cbr0", &pod).silence();
    assert_clean(&pod);
}

#[test]
fn chained_a_failure_undoes_only_its_own_part() {
    let Some(node) = Node::new() else { return };
    real_primary(&node);
    let a = chain(&node);
    a.on("ADD", "fail 42 'no cable'");
    let pod = Pod::new(&node, "failing").selecting("a");
    let refused = cnitool(&node, "add", "cbr0", &pod);
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(!refused.status.success() && said.contains("no cable") && said.contains("default/a"), "{said}");
    assert_eq!((leases(), a.calls_of("DEL").len()), (1, 1));
    cnitool(&node, "del", "cbr0", &pod).silence();
    assert_clean(&pod);
}

#[test]
fn without_a_default_network_and_without_a_result_there_is_nothing_to_chain_behind() {
    let Some(node) = Node::new() else { return };
    let mut pod = Pod::new(&node, "nothing");
    pod.config["clusterNetwork"] = Value::Null;
    pod.add().refusal(7, &["clusterNetwork", "prevResult"]);
    // CNI-DEL-03
    pod.del().silence();
}
