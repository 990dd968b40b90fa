//! Pods that Multus 4.3 attached are deleted from what it kept of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use support::{Node, Pod, Recorder, node};

const FOLDER: &str = "/var/lib/cni/multus";

fn base64(config: &Value) -> String {
    STANDARD.encode(config.to_string())
}

/// The default network's configuration; what `x` says is lost where Multus lost it.
fn primary_list() -> Value {
    json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [
        {"type": "primary", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]}, "x": 1.50},
        {"type": "second", "capabilities": {"portMappings": true}},
    ]})
}

/// The default network as Multus 4.3 keeps a `clusterNetwork` that is a list: `Bytes` of the whole has
/// lost every key that its own types do not know (multus-cni issue 1449); those of the plugins have not.
fn default_network() -> Value {
    let (primary, second) = (&primary_list()["plugins"][0], &primary_list()["plugins"][1]);
    let lossy = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"cniVersion": "", "name": "", "type": "primary", "ipam": {"type": "host-local"}, "dns": {}}, {"type": "second", "ipam": {}, "dns": {}}]});
    let network =
        |config: &Value| json!({"Network": {"type": config["type"], "ipam": {}, "dns": {}}, "Bytes": base64(config)});
    json!({
        "Conf": {"ipam": {}, "dns": {}},
        "ConfList": {"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary", "ipam": {"type": "host-local"}, "dns": {}}, {"type": "second", "ipam": {}, "dns": {}}]},
        "CNINetworkConfigList": {
            "Name": "cbr0", "CNIVersion": "1.0.0", "DisableCheck": false, "DisableGC": false, "LoadOnlyInlinedPlugins": false,
            "Plugins": [network(primary), network(second)], "Bytes": null,
        },
        "Name": "", "IsFilterV4Gateway": false, "IsFilterV6Gateway": false, "Bytes": base64(&lossy),
    })
}

/// The configuration of an additional network of one plugin.
fn plugin_of(name: &str, plugin: &str) -> Value {
    json!({"cniVersion": "0.3.1", "name": name, "type": plugin, "master": "eth1", "n": 123456789012345678901_f64})
}

/// An additional network of one plugin.
fn additional(name: &str, plugin: &str, request: Option<&str>) -> Value {
    let config = plugin_of(name, plugin);
    let mut delegate = json!({
        "Conf": {"cniVersion": "0.3.1", "name": name, "type": plugin, "ipam": {}, "dns": {}},
        "ConfList": {"plugins": null},
        "CNINetworkConfigList": {"Name": "", "CNIVersion": "", "DisableCheck": false, "DisableGC": false, "LoadOnlyInlinedPlugins": false, "Plugins": null, "Bytes": null},
        "Name": format!("default/{name}"), "IsFilterV4Gateway": false, "IsFilterV6Gateway": false, "Bytes": base64(&config),
    });
    if let Some(ifname) = request {
        delegate["ifnameRequest"] = json!(ifname);
    }
    delegate
}

/// libcni's record of one attachment (CNI-CACHE-02).
fn result_file(pod: &Pod, config: &Value, ifname: &str, address: &str) -> PathBuf {
    let network = config["name"].as_str().unwrap();
    let path = Path::new(FOLDER).join("results").join(format!("{network}-{}-{ifname}", pod.id));
    let record = json!({
        "kind": "cniCacheV1", "containerId": pod.id, "config": base64(config), "ifName": ifname, "networkName": network,
        "netns": pod.netns,
        "cniArgs": [["IgnoreUnknown", "true"], ["K8S_POD_NAMESPACE", "default"], ["K8S_POD_NAME", pod.name], ["K8S_POD_INFRA_CONTAINER_ID", pod.id], ["K8S_POD_UID", pod.uid]],
        "capabilityArgs": {"portMappings": [{"hostPort": 8080}]},
        "result": {"cniVersion": "1.0.0", "ips": [{"address": address}]},
    });
    node::write(&path, &record.to_string());
    path
}

fn scratch(pod: &Pod) -> PathBuf {
    Path::new(FOLDER).join(&pod.id)
}

/// A node on which Multus attached a pod to `cbr0`, `a` as `net1` and `b` as `eth7`.
struct Moved {
    node: Node,
    pod: Pod,
    plugins: [Recorder; 4],
    files: Vec<PathBuf>,
}

fn moved() -> Option<Moved> {
    let node = Node::new()?;
    let plugins = ["primary", "second", "a", "b"].map(|name| node.recorder(name));
    let pod = Pod::new(&node, "moved").selecting("something,else");
    let delegates = json!([default_network(), additional("a", "a", None), additional("b", "b", Some("eth7"))]);
    node::write(&scratch(&pod), &delegates.to_string());
    let files = vec![
        scratch(&pod),
        result_file(&pod, &primary_list(), "eth0", "10.1.0.2/24"),
        result_file(&pod, &plugin_of("a", "a"), "net1", "10.9.0.2/24"),
        result_file(&pod, &plugin_of("b", "b"), "eth7", "10.8.0.2/24"),
    ];
    // The default network of today is another one.
    node.primary(&json!({"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "other"}]}));
    Some(Moved { node, pod, plugins, files })
}

#[test]
fn everything_is_deleted_as_multus_attached_it() {
    let Some(Moved { node, pod, plugins: [primary, second, a, b], files }) = moved() else { return };
    pod.del().silence();
    // CNI-DLG-15, CNI-DLG-17, CNI-CACHE-01, CNI-CACHE-02
    assert_eq!(node.call_names(), ["DEL b eth7", "DEL a net1", "DEL second eth0", "DEL primary eth0"]);
    let config = primary.call_of("DEL").config();
    assert_eq!(
        (config["x"].clone(), config["ipam"]["ranges"][0][0]["subnet"].clone()),
        (json!(1.5), json!("10.1.0.0/24"))
    );
    assert_eq!(config["prevResult"]["ips"][0]["address"], "10.1.0.2/24");
    assert_eq!(second.call_of("DEL").config()["runtimeConfig"]["portMappings"][0]["hostPort"], 8080);
    // 0.3.1 has no prevResult at DEL.
    for recorder in [&a, &b] {
        assert_eq!(
            (
                recorder.call_of("DEL").config()["master"].clone(),
                recorder.call_of("DEL").config()["prevResult"].clone()
            ),
            (json!("eth1"), Value::Null)
        );
    }
    let args = format!(
        "IgnoreUnknown=true;K8S_POD_NAMESPACE=default;K8S_POD_NAME=moved;K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
        pod.id, pod.uid
    );
    assert_eq!(a.call_of("DEL").env("CNI_ARGS"), args);
    assert_eq!(a.call_of("DEL").env("CNI_NETNS"), pod.netns.display().to_string());
    assert!(files.iter().all(|file| !file.exists()), "{files:?}");
    assert!(pod.record(&node).is_none());
    // kubelet's later ones find nothing.
    pod.del_without_netns().silence();
    assert_eq!(node.calls().len(), 4);
}

#[test]
fn without_its_namespace_too() {
    let Some(Moved { node, pod, plugins: [primary, ..], files }) = moved() else { return };
    pod.end_sandbox();
    pod.del_without_netns().silence();
    assert_eq!(node.calls().len(), 4);
    assert_eq!(primary.call_of("DEL").env("CNI_NETNS"), "");
    assert!(files.iter().all(|file| !file.exists()), "{files:?}");
}

#[test]
fn what_fails_is_owed_and_multus_files_stay_until_it_is_paid() {
    let Some(Moved { node, pod, plugins: [_, _, a, _], files }) = moved() else { return };
    a.on("DEL", "fail 103 'a is broken'");
    pod.del().refusal(103, &["default/a (net1)", "a is broken"]);
    // NPWG-ERR-02
    assert_eq!(node.calls().len(), 4);
    assert!(files.iter().all(|file| file.exists()));
    assert_eq!(pod.record(&node).unwrap()["attachments"][0]["ifname"], "net1");
    node.forget_calls();
    a.as_usual("DEL");
    pod.del().silence();
    assert_eq!(node.call_names(), ["DEL a net1"]);
    assert!(!scratch(&pod).exists());
}

#[test]
fn without_results_the_configurations_are_enough() {
    let Some(Moved { node, pod, plugins: [primary, ..], files }) = moved() else { return };
    files[1..].iter().for_each(|file| fs::remove_file(file).unwrap());
    pod.del().silence();
    assert_eq!(node.calls().len(), 4);
    assert_eq!(primary.call_of("DEL").config()["prevResult"], Value::Null);
    assert!(primary.call_of("DEL").env("CNI_ARGS").contains("K8S_POD_NAME=moved"));
}

#[test]
fn the_files_of_later_releases_are_read() {
    let Some(Moved { node, pod, plugins: [primary, ..], .. }) = moved() else { return };
    // Since 4.3 the list is gone and `Bytes` is whole.
    let whole = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary", "x": 1.50}]});
    node::write(
        &scratch(&pod),
        &json!([{"Conf": {}, "ConfList": {}, "Name": "", "Bytes": base64(&whole)}]).to_string(),
    );
    pod.del().silence();
    assert_eq!(node.call_names(), ["DEL primary eth0"]);
    assert_eq!(primary.call_of("DEL").config()["x"], 1.5);
}

#[test]
fn without_multus_list_libcnis_records_are_enough() {
    let Some(Moved { node, pod, plugins: [primary, second, a, _], files }) = moved() else { return };
    let kept: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    // Gone, empty, cut off (multus-cni issues 948 and 1087), or of a fault that left nothing in it.
    for broken in [None, Some(""), Some("[]"), Some("[null]"), Some(&kept[0][..kept[0].len() / 2])] {
        files.iter().zip(&kept).for_each(|(file, text)| fs::write(file, text).unwrap());
        match broken {
            Some(text) => fs::write(scratch(&pod), text).unwrap(),
            None => fs::remove_file(scratch(&pod)).unwrap(),
        }
        pod.del().silence();
        // CNI-CACHE-02, CNI-CACHE-05, CNI-CACHE-07
        assert_eq!(
            node.call_names(),
            ["DEL a net1", "DEL b eth7", "DEL second eth0", "DEL primary eth0"],
            "{broken:?}"
        );
        let config = primary.call_of("DEL").config();
        assert_eq!((&config["x"], &config["prevResult"]["ips"][0]["address"]), (&json!(1.5), &json!("10.1.0.2/24")));
        assert_eq!(second.call_of("DEL").config()["runtimeConfig"]["portMappings"][0]["hostPort"], 8080);
        assert!(a.call_of("DEL").env("CNI_ARGS").starts_with("IgnoreUnknown=true;K8S_POD_NAMESPACE=default"));
        assert!(files.iter().all(|file| !file.exists()), "{broken:?}: {files:?}");
        node.forget_calls();
    }
}

#[test]
fn libcnis_records_of_others_are_not_mistaken() {
    let Some(Moved { node, pod, plugins: [primary, ..], files }) = moved() else { return };
    fs::remove_file(scratch(&pod)).unwrap();
    let record: Value = serde_json::from_str(&fs::read_to_string(&files[1]).unwrap()).unwrap();
    let beside = |name: &str, key: &str, value: Value| {
        let mut record = record.clone();
        record[key] = value;
        node::write(&files[1].with_file_name(name.replace("ID", &pod.id)), &record.to_string());
    };
    // CNI-CACHE-06, CNI-CACHE-07, CNI-CACHE-08: the members decide, not the file's name.
    beside("x-ID-net5", "containerId", json!(format!("y-{}", pod.id)));
    beside("x-ID-net6", "kind", json!("cniCacheV0"));
    beside("x-ID-net7", "networkName", json!(""));
    beside("x-ID-net8", "ifName", json!("a/b"));
    beside("x-ID-net9", "config", Value::Null);
    node::write(&files[1].with_file_name(format!("x-{}-net10", pod.id)), "{");
    // The default network's own is damaged: then it is today's.
    fs::write(&files[1], "{").unwrap();
    node.recorder("other");
    pod.del().silence();
    assert_eq!(node.call_names(), ["DEL a net1", "DEL b eth7", "DEL other eth0"]);
    assert!(primary.calls().is_empty());
}

#[test]
fn with_neither_there_is_todays_default_network() {
    let Some(Moved { node, pod, files, .. }) = moved() else { return };
    files[1..].iter().for_each(|file| fs::remove_file(file).unwrap());
    let text = fs::read_to_string(scratch(&pod)).unwrap();
    for broken in ["", "[]", "[null]", &text[..text.len() / 2]] {
        let other = node.recorder("other");
        fs::write(scratch(&pod), broken).unwrap();
        let answer = pod.del();
        assert!(answer.status.success(), "{broken:?}: {answer:?}");
        other.call_of("DEL");
        node.forget_calls();
    }
}

#[test]
fn a_result_as_old_releases_of_libcni_kept_it_is_read() {
    let Some(Moved { node, pod, plugins: [primary, ..], files }) = moved() else { return };
    // CNI-CACHE-04: the result alone.
    fs::write(&files[1], r#"{"cniVersion":"1.0.0","ips":[{"address":"10.1.0.3/24"}]}"#).unwrap();
    pod.del().silence();
    assert_eq!(primary.call_of("DEL").config()["prevResult"]["ips"][0]["address"], "10.1.0.3/24");
    assert_eq!(node.calls().len(), 4);
}

#[test]
fn the_folder_can_be_elsewhere() {
    let Some(Moved { node, pod, .. }) = moved() else { return };
    fs::rename(FOLDER, "/var/lib/elsewhere").unwrap();
    pod.configured("cniDir", json!("/var/lib/elsewhere")).del().silence();
    assert_eq!(node.calls().len(), 4);
}
