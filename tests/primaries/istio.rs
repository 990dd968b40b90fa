//! Istio's CNI agent: it appends its plugin to the first list of the folder, which is ours, and watches it.

use crate::fixture;
use crate::node::{Bare, enter};
use crate::support::cnitool::runtime;
use crate::support::{Pod, Recorder, cnitool, node};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const OURS: &str = "00-plexus.conflist";
const PRIMARY: &str = "10-flannel.conflist";

/// What its agent appends.
fn element() -> Value {
    json!({
        "ambient_enabled": false, "cni_agent_run_dir": "/var/run/istio-cni", "dns": {}, "enable_ambient_detection_retry": false,
        "enablement_selectors": [], "exclude_namespaces": ["kube-system"], "ipam": {}, "name": "istio-cni",
        "native_nftables": false, "plugin_log_level": "info", "pod_namespace": "istio-system", "type": "istio-cni",
    })
}

fn rewrite(path: &Path, change: impl Fn(&mut Vec<Value>)) {
    let mut list: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    change(list["plugins"].as_array_mut().unwrap());
    // It writes maps: every key in alphabetical order.
    node::write(path, &(serde_json::to_string_pretty(&list).unwrap() + "\n"));
}

fn is_istios(plugin: &Value) -> bool {
    plugin["type"] == "istio-cni"
}

/// What its agent does with the list in `file`.
fn insert(bare: &Bare, file: &str) {
    rewrite(&bare.node.net_d().join(file), |plugins| {
        plugins.retain(|plugin| !is_istios(plugin));
        plugins.push(element());
    });
}

/// What it does when it ends.
fn take_out(bare: &Bare, file: &str) {
    rewrite(&bare.node.net_d().join(file), |plugins| plugins.retain(|plugin| !is_istios(plugin)));
}

fn flannel() -> Option<(Bare, Recorder)> {
    let bare = enter(fixture::of("flannel"))?;
    let istio = bare.node.recorder("istio-cni");
    Some((bare, istio))
}

/// The calls of a pod with an additional network, from ADD to DEL.
fn calls(bare: &Bare, name: &str) -> Vec<String> {
    let pod = Pod::new(&bare.node, name).selecting("a");
    runtime(&bare.node, "add", &pod).result();
    runtime(&bare.node, "del", &pod).silence();
    let calls = bare.node.call_names();
    bare.node.forget_calls();
    calls
}

const WITHOUT: [&str; 6] =
    ["ADD flannel eth0", "ADD portmap eth0", "ADD a net1", "DEL a net1", "DEL portmap eth0", "DEL flannel eth0"];
const BEHIND_US: [&str; 8] = [
    "ADD flannel eth0",
    "ADD portmap eth0",
    "ADD a net1",
    "ADD istio-cni eth0",
    "DEL istio-cni eth0",
    "DEL a net1",
    "DEL portmap eth0",
    "DEL flannel eth0",
];
const IN_THE_PRIMARY: [&str; 8] = [
    "ADD flannel eth0",
    "ADD portmap eth0",
    "ADD istio-cni eth0",
    "ADD a net1",
    "DEL a net1",
    "DEL istio-cni eth0",
    "DEL portmap eth0",
    "DEL flannel eth0",
];

#[test]
fn in_our_list_it_runs_survives_an_upgrade_and_can_go() {
    let Some((bare, istio)) = flannel() else { return };
    bare.install(&[]);
    insert(&bare, OURS);
    let pod = Pod::new(&bare.node, "meshed").selecting("a");
    runtime(&bare.node, "add", &pod).result();
    // It sees the default network's result, in the version of our list.
    let read = istio.call_of("ADD").config();
    assert_eq!((&read["prevResult"]["interfaces"][0]["name"], &read["name"]), (&json!("eth0"), &json!("cbr0")));
    runtime(&bare.node, "check", &pod).silence();
    runtime(&bare.node, "status", &pod).silence();
    runtime(&bare.node, "del", &pod).silence();
    bare.node.forget_calls();

    // An upgrade with other settings changes our element alone.
    bare.install_with(r#"{"natives": false, "logLevel": "info"}"#, &[]);
    let plugins = bare.head()["plugins"].clone();
    assert_eq!((&plugins[0]["logLevel"], &plugins[1]), (&json!("info"), &element()));
    assert_eq!(calls(&bare, "upgraded"), BEHIND_US);

    take_out(&bare, OURS);
    assert_eq!(calls(&bare, "alone"), WITHOUT);
    let without = bare.head();
    bare.install_with(r#"{"natives": false, "logLevel": "info"}"#, &[]);
    assert_eq!(bare.head(), without);
}

#[test]
fn our_removal_leaves_it_the_clusters_own_list() {
    let Some((bare, istio)) = flannel() else { return };
    bare.install(&[]);
    insert(&bare, OURS);
    bare.uninstall();
    assert_eq!(bare.files(), [PRIMARY]);
    // Its agent sees that its list has gone, and takes the first that is left.
    insert(&bare, PRIMARY);
    let pod = Pod::new(&bare.node, "meshed");
    runtime(&bare.node, "add", &pod).result();
    assert_eq!(istio.calls_of("ADD").len(), 1);
}

#[test]
fn in_the_primarys_list_it_runs_within_the_default_network() {
    let Some((bare, _)) = flannel() else { return };
    // Its setting cniConfFileName: it stays there, whichever file is the first.
    insert(&bare, PRIMARY);
    bare.install(&[]);
    assert_eq!(calls(&bare, "meshed"), IN_THE_PRIMARY);
    take_out(&bare, PRIMARY);
    assert_eq!(calls(&bare, "alone"), WITHOUT);
}

#[test]
fn in_both_lists_it_would_run_twice_and_that_is_told() {
    let Some((bare, _)) = flannel() else { return };
    insert(&bare, PRIMARY);
    bare.install(&[]);
    // Without that setting it follows the first list.
    insert(&bare, OURS);
    let told = bare.install(&[]);
    assert!(told.contains("istio-cni is in the list of Plexus and in the default network's"), "{told}");
    take_out(&bare, PRIMARY);
    let told = bare.install(&[]);
    assert!(!told.contains("istio-cni"), "{told}");
    assert_eq!(calls(&bare, "once"), BEHIND_US);
}

#[test]
fn a_list_of_its_own_that_it_makes_of_ours_is_not_followed() {
    let Some((bare, _)) = flannel() else { return };
    // Its setting istioOwnedCNIConfig: a copy of the primary's list with its plugin.
    let owned = bare.node.net_d().join("02-istio-cni.conflist");
    fs::copy(bare.node.net_d().join(PRIMARY), &owned).unwrap();
    insert(&bare, "02-istio-cni.conflist");
    let told = bare.install(&[]);
    assert!(told.contains("02-istio-cni.conflist (network cbr0") && told.contains("ignored: 10-flannel"), "{told}");
    assert_eq!(calls(&bare, "owned"), IN_THE_PRIMARY);
    // Its agent starts again, finds ours to be the first, and copies that.
    fs::copy(bare.node.net_d().join(OURS), &owned).unwrap();
    insert(&bare, "02-istio-cni.conflist");
    let pod = Pod::new(&bare.node, "copied").selecting("a");
    let added = cnitool::direct(&bare.node, "ADD", &bare.head(), &pod);
    added.result();
    assert!(added.stderr.contains("would never end") && added.stderr.contains("last good copy"), "{}", added.stderr);
    assert_eq!(bare.node.call_names(), IN_THE_PRIMARY[..4]);
    cnitool::direct(&bare.node, "STATUS", &bare.head(), &pod).silence();
}
