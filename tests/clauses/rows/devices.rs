//! Devices that the kubelet allocated to a pod, for networks whose definition names their resource.

use crate::kubelet::Kubelet;
use crate::row::{Row, row, success};
use crate::subject::{Subject, World};
use crate::support::daemon::Daemon;
use crate::support::{manifests, node};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Where the kubelet has it; on the test's own machine.
const SOCKET: &str = "/var/lib/kubelet/pod-resources/kubelet.sock";
const CHECKPOINT: &str = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint";
const KEY: &str = "k8s.v1.cni.cncf.io/resourceName";
const RESOURCE: &str = "x.com/vf";
const BARE: &str = "it is attached without a device";

/// The networks that take a device.
const NETWORKS: [(&str, &str); 3] = [("default/a", "a"), ("default/b", "b"), ("kube-system/special", "special")];

pub fn rows() -> Vec<Row> {
    let both = |call| success().sees(call, "/deviceID", json!("d1")).sees(call, "/pciBusID", json!("d1"));
    vec![
        row("a device is in what the plugin reads, and offered", "DEVINFO-10, CNI-CAP-08")
            .networks("a")
            .with(|world| furnish(world, &["d1"]))
            .expect(both("ADD a net1").sees("ADD a net1", "/runtimeConfig/deviceID", json!("d1"))),
        row("every plugin of a list reads it, and its DEL too", "DEVINFO-10")
            .networks("a")
            .with(|world| furnish(world, &["d1"]))
            .then("DEL")
            .expect(success().sees("ADD second net1", "/deviceID", json!("d1")).sees(
                "DEL a net1",
                "/pciBusID",
                json!("d1"),
            )),
        row("two networks of one resource: a device each", "DEVINFO-10")
            .networks("a,b")
            .with(|world| furnish(world, &["d1", "d2"]))
            .expect(both("ADD a net1").sees("ADD b net2", "/deviceID", json!("d2"))),
        row("the device is the one that the kubelet allocated, in spite of the pod's request", "DEVINFO-10")
            .networks(json!([{"name": "a", "deviceID": "other"}]))
            .with(|world| furnish(world, &["d1"]))
            .expect(both("ADD a net1").sees("ADD a net1", "/runtimeConfig/deviceID", json!("d1"))),
        row("more networks than devices", "DEVINFO-10")
            .networks("a,b")
            .with(|world| furnish(world, &["d1"]))
            .refused(&["default/b", RESOURCE])
            .multus_fault(BARE, success().sees("ADD b net2", "/deviceID", Value::Null)),
        row("a pod without a device", "DEVINFO-10")
            .networks("a")
            .with(|world| furnish(world, &[]))
            .refused(&["default/a", RESOURCE])
            .multus_fault(BARE, success().sees("ADD a net1", "/deviceID", Value::Null)),
        row("the default-network annotation and a network of one resource: a device each", "DEVINFO-10")
            .default_network("special")
            .networks("a")
            .with(|world| furnish(world, &["d1", "d2"]))
            .expect(both("ADD special eth0").sees("ADD a net1", "/deviceID", json!("d2")))
            .multus_fault(
                "both get the same one",
                both("ADD special eth0").sees("ADD a net1", "/deviceID", json!("d1")),
            ),
    ]
}

/// A kubelet that allocated `devices` to the pod, and whom the subject asks: ours by its daemon, Multus by what the
/// kubelet keeps on the disk, because its client's requests have an authority that strict servers refuse.
fn furnish(world: &World<'_>, devices: &[&str]) {
    for (nad, plugin) in NETWORKS {
        let plugins = json!([{"type": plugin, "capabilities": {"deviceID": true}}, {"type": "second"}]);
        let config = json!({"cniVersion": "1.0.0", "name": plugin, "plugins": plugins}).to_string();
        world.cluster.network(nad, Some(&config));
        world.cluster.annotate(nad, KEY, RESOURCE);
        let (namespace, name) = nad.split_once('/').unwrap();
        let manifest = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"namespace": namespace, "name": name, "annotations": {KEY: RESOURCE}},
            "spec": {"config": config},
        });
        node::write(&manifests::folder().join(format!("{namespace}-{name}.json")), &manifest.to_string());
    }
    if *world.subject != Subject::Plexus {
        let entry = json!({"PodUID": world.pod.uid, "ContainerName": "c", "ResourceName": RESOURCE, "DeviceIDs": {"-1": devices}});
        let kept = json!({"Data": {"PodDeviceEntries": [entry], "RegisteredDevices": {}}, "Checksum": 0});
        return node::write(Path::new(CHECKPOINT), &kept.to_string());
    }
    // Of these only the daemon tells: no copies.
    fs::remove_dir_all(world.node.state().networks()).unwrap();
    let kubelet = Kubelet::start(Path::new(SOCKET));
    let devices: Vec<(&str, &str)> = devices.iter().map(|device| (RESOURCE, *device)).collect();
    kubelet.pod(&world.pod.name, &[&devices]);
    // A device plugin has the resource: it is no marker.
    kubelet.device(RESOURCE, "another-pods");
    world.beside.borrow_mut().push(Box::new(kubelet));
    world.beside.borrow_mut().push(Box::new(Daemon::start(world.node)));
}
