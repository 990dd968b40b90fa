//! The plugin, the daemon and a kubelet: devices reach the plugins that attach them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/kubelet.rs"]
mod kubelet;
mod support;

use kubelet::Kubelet;
use plexus::nad::NETWORK_STATUS;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use support::daemon::Daemon;
use support::{Node, Pod, manifests, node};

const RESOURCE: &str = "x.com/vf";
/// Where the kubelet has it; on the test's own machine.
const SOCKET: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";
const DEVICE_INFO: &str = "/var/run/k8s.cni.cncf.io/devinfo";
const INFO: &str = r#"{"type":"pci","version":"1.1.0","pci":{"pci-address":"0000:18:02.5"}}"#;

/// The network `default/<name>` of the plugin `<name>`, whose attachments take a device.
fn network(name: &str, capabilities: &Value) {
    let manifest = json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": { "namespace": "default", "name": name, "annotations": { "k8s.v1.cni.cncf.io/resourceName": RESOURCE } },
        "spec": { "config": json!({ "cniVersion": "1.0.0", "type": name, "capabilities": capabilities }).to_string() },
    });
    node::write(&manifests::folder().join(format!("{name}.json")), &manifest.to_string());
}

/// What the device plugin says of a device of [`RESOURCE`].
fn left_by_device_plugin(device: &str) -> PathBuf {
    Path::new(DEVICE_INFO).join(format!("dp/x.com-vf-{device}-device.json"))
}

/// The status of `pod`, as the daemon published it.
fn status(node: &Node, pod: &Pod) -> Vec<Value> {
    let file = node.run().network_status().join(format!("default_{}.json", pod.name));
    let object: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let status = object["metadata"]["annotations"][NETWORK_STATUS].as_str().unwrap();
    serde_json::from_str(status).unwrap()
}

#[test]
fn a_device_reaches_its_plugin_and_the_status() {
    let Some(node) = Node::new() else { return };
    let kubelet = Kubelet::start(Path::new(SOCKET));
    kubelet.pod("vfs", &[&[(RESOURCE, "0000:18:02.5")], &[(RESOURCE, "0000:18:02.1")]]);
    let vf = node.recorder("vf");
    // What was promised is there when the plugin is called (DEVINFO-10).
    vf.on("ADD", "promised=$(sed -n 's/.*\"CNIDeviceInfoFile\" *: *\"\\([^\"]*\\)\".*/\\1/p' \"$stdin\")\ncp \"$promised\" \"$log.promised\" 2>/dev/null\nresult\n");
    network("vf", &json!({ "CNIDeviceInfoFile": true, "deviceID": true }));
    node::write(&left_by_device_plugin("0000:18:02.5"), INFO);
    let _daemon = Daemon::start(&node);

    let pod = Pod::new(&node, "vfs").selecting("vf,vf");
    pod.add().result();
    let configs: Vec<Value> = vf.calls().iter().map(support::Recorded::config).collect();
    for (config, device) in configs.iter().zip(["0000:18:02.5", "0000:18:02.1"]) {
        assert_eq!((&config["deviceID"], &config["pciBusID"]), (&json!(device), &json!(device)));
        assert_eq!(config["runtimeConfig"]["deviceID"], device);
    }
    // DEVINFO-08, DEVINFO-09, DEVINFO-11, CNI-CAP-12
    let promised = |index: usize| PathBuf::from(configs[index]["runtimeConfig"]["CNIDeviceInfoFile"].as_str().unwrap());
    assert_eq!(promised(0), Path::new(DEVICE_INFO).join(format!("cni/default-vf-{}_net1", pod.id)));
    assert_eq!(fs::read_to_string(promised(0)).unwrap(), INFO);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&promised(0)), mode(&Path::new(DEVICE_INFO).join("cni"))), (0o640, 0o755));
    // The device plugin said nothing of the second one.
    assert!(promised(1) != promised(0) && !promised(1).exists());
    let seen: Vec<String> = fs::read_dir(support::recorder::LOG)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "promised"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(seen, [INFO]);

    // DEVINFO-13, NPWG-STA-16
    let status = status(&node, &pod);
    assert_eq!(status[1]["device-info"], serde_json::from_str::<Value>(INFO).unwrap());
    assert!(status[2].get("device-info").is_none() && status[0].get("device-info").is_none(), "{status:?}");

    // DEL gives the same device, without asking anybody, and removes the file (DEVINFO-14).
    drop(kubelet);
    node.forget_calls();
    pod.del().silence();
    let devices: Vec<Value> = vf.calls_of("DEL").iter().map(|call| call.config()["deviceID"].clone()).collect();
    assert_eq!(devices, ["0000:18:02.1", "0000:18:02.5"]);
    assert!(!promised(0).exists() && left_by_device_plugin("0000:18:02.5").exists());
}

#[test]
fn a_pod_whose_devices_are_used_up_is_refused_before_anything_is_attached() {
    let Some(node) = Node::new() else { return };
    let kubelet = Kubelet::start(Path::new(SOCKET));
    kubelet.pod("one", &[&[(RESOURCE, "a")]]);
    kubelet.pod("none", &[&[]]);
    node.recorder("vf");
    network("vf", &json!({}));
    let _daemon = Daemon::start(&node);
    Pod::new(&node, "one").selecting("vf,vf").add().refusal(7, &["default/vf", RESOURCE, "took all 1"]);
    Pod::new(&node, "none").selecting("vf").add().refusal(7, &["default/vf", RESOURCE, "allocated"]);
    assert!(node.calls().is_empty());
}

#[test]
fn the_old_owner_of_a_device_leaves_the_new_one_alone() {
    // FAULT-45
    let Some(node) = Node::new() else { return };
    let kubelet = Kubelet::start(Path::new(SOCKET));
    kubelet.pod("before", &[&[(RESOURCE, "a")]]);
    let vf = node.recorder("vf");
    network("vf", &json!({ "CNIDeviceInfoFile": true }));
    node::write(&left_by_device_plugin("a"), INFO);
    let _daemon = Daemon::start(&node);
    let before = Pod::new(&node, "before").selecting("vf");
    before.add().result();
    // The pod is deleted by force: the kubelet gives its device to the next one before the runtime sends DEL.
    kubelet.pod("before", &[]);
    kubelet.pod("after", &[&[(RESOURCE, "a")]]);
    let after = Pod::new(&node, "after").selecting("vf");
    after.add().result();
    let file = |pod: &Pod| Path::new(DEVICE_INFO).join(format!("cni/default-vf-{}_net1", pod.id));
    assert!(file(&before).exists() && file(&after).exists());

    node.forget_calls();
    before.del().silence();
    let call = vf.call_of("DEL");
    // It is called about its own sandbox, and with the device that it had then.
    assert_eq!(
        (call.env("CNI_CONTAINERID"), call.env("CNI_NETNS")),
        (before.id.as_str(), before.netns.to_str().unwrap())
    );
    assert_eq!(call.config()["deviceID"], "a");
    assert!(!file(&before).exists() && file(&after).exists() && left_by_device_plugin("a").exists());
    assert!(before.record(&node).is_none() && after.record(&node).is_some());
    after.del().silence();
    assert_eq!(vf.calls_of("DEL")[1].config()["deviceID"], "a");
    assert!(!file(&after).exists());
}

#[test]
fn a_resource_that_only_marks_nodes_is_no_device() {
    // ovs-cni and KubeVirt's bridge-marker count bridges as capacity of the node; no device plugin has them.
    let Some(node) = Node::new() else { return };
    let kubelet = Kubelet::start(Path::new(SOCKET));
    kubelet.pod("marked", &[&[]]);
    let vf = node.recorder("vf");
    network("vf", &json!({}));
    let daemon = Daemon::start(&node);
    let pod = Pod::new(&node, "marked").selecting("vf");
    pod.add().result();
    assert!(vf.call_of("ADD").config().get("deviceID").is_none());
    pod.del().silence();
    // Where a device plugin has such devices the pod must have one.
    kubelet.device(RESOURCE, "a");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    pod.add().refusal(7, &["default/vf", RESOURCE, "allocated"]);
    drop(daemon);
}

#[test]
fn a_kubelet_that_does_not_tell_may_have_such_devices() {
    let Some(node) = Node::new() else { return };
    let kubelet = Kubelet::start(Path::new(SOCKET));
    kubelet.tells_no_allocatable();
    kubelet.pod("none", &[&[]]);
    node.recorder("vf");
    network("vf", &json!({}));
    let _daemon = Daemon::start(&node);
    Pod::new(&node, "none").selecting("vf").add().refusal(7, &["default/vf", RESOURCE, "allocated"]);
}

#[test]
fn a_pod_whose_devices_are_not_known_is_tried_again() {
    let Some(node) = Node::new() else { return };
    node.recorder("vf");
    network("vf", &json!({}));
    let daemon = Daemon::start(&node);
    let pod = Pod::new(&node, "later").selecting("vf");
    let refused = pod.add().refusal(11, &["default/vf", RESOURCE, "default/later", SOCKET, "nobody listens"]);
    // On DEL a runtime would take that for success.
    assert!(!refused.msg.to_lowercase().contains("no such file") && !refused.msg.contains("not found"), "{refused:?}");

    let silent = UnixListener::bind(mounted(SOCKET)).unwrap();
    pod.add().refusal(11, &["default/vf", RESOURCE, "did not answer"]);
    drop(silent);
    fs::remove_file(SOCKET).unwrap();

    let kubelet = Kubelet::start(Path::new(SOCKET));
    pod.add().refusal(11, &["default/vf", "the kubelet does not know that pod"]);
    assert!(node.calls().is_empty());
    kubelet.pod("later", &[&[(RESOURCE, "a")]]);
    pod.add().result();
    pod.del().silence();

    // The node's own copy of the network is not enough where a device is to be known.
    daemon.kill();
    pod.configured("daemonTimeoutSeconds", json!(0.2)).add().refusal(11, &["default/vf", "plexusd"]);
}

/// `socket`, in a folder that is there.
fn mounted(socket: &str) -> &Path {
    let socket = Path::new(socket);
    fs::create_dir_all(socket.parent().unwrap()).unwrap();
    socket
}
