//! The manifest of a probe pod: the Pod Security Standard `restricted` admits it. Pure.

use crate::cli::connectivity::layout::Probe;
use crate::nad::NETWORKS;
use serde_json::{Value, json};

/// The labels of every probe pod, as a selector.
pub const OWNED: &str = "app.kubernetes.io/name=plexus-probe,app.kubernetes.io/managed-by=plexusctl";
/// The label with the run.
pub const RUN: &str = "plexus.dev/run";
/// The annotation with the task, which the kubelet writes to a file in the pod.
pub const TASK: &str = "plexus.dev/probe-task";
/// The interface of the network in a probe pod.
pub const INTERFACE: &str = "net1";
/// The user of the pod, whose group may send echo requests.
const USER: u32 = 65532;

/// What all pods of a run have.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// The run.
    pub run: &'a str,
    /// The image, which has this program.
    pub image: &'a str,
    /// After so many seconds the kubelet ends a pod that nobody has deleted.
    pub lifetime: u64,
}

/// The pod of `probe`.
pub fn manifest(probe: &Probe, common: &Common<'_>) -> Value {
    let Common { run, lifetime, .. } = common;
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": probe.pod,
            "namespace": probe.namespace,
            "labels": {
                "app.kubernetes.io/name": "plexus-probe",
                "app.kubernetes.io/managed-by": "plexusctl",
                RUN: run,
                // A proxy in the pod would answer instead of the network.
                "sidecar.istio.io/inject": "false",
            },
            "annotations": {
                NETWORKS: format!("{}@{INTERFACE}", probe.network),
                "linkerd.io/inject": "disabled",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": lifetime,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // By the scheduler, as a DaemonSet's pods: it knows about devices and resources.
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [probe.node]}]},
            ]}}},
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
                // Echo requests without a capability; `restricted` allows this sysctl.
                "sysctls": [{"name": "net.ipv4.ping_group_range", "value": format!("{USER} {USER}")}],
            },
            "containers": [container(probe, common)],
            "volumes": [{"name": "task", "downwardAPI": {"items": [
                {"path": "task", "fieldRef": {"fieldPath": format!("metadata.annotations['{TASK}']")}},
            ]}}],
        },
    })
}

fn container(probe: &Probe, common: &Common<'_>) -> Value {
    let Common { image, lifetime, .. } = common;
    let devices: Value =
        probe.resource.iter().map(|name| (name.clone(), json!("1"))).collect::<serde_json::Map<_, _>>().into();
    let mut limits = json!({"cpu": "500m", "memory": "64Mi"});
    let mut requests = json!({"cpu": "10m", "memory": "32Mi"});
    for amounts in [&mut limits, &mut requests] {
        if let (Some(amounts), Some(devices)) = (amounts.as_object_mut(), devices.as_object()) {
            amounts.extend(devices.clone());
        }
    }
    json!({
        "name": "probe",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/plexusctl", "probe"],
        "args": [
            format!("--interface={INTERFACE}"),
            format!("--name={}", probe.pod),
            "--task=/task/task",
            format!("--lifetime={lifetime}"),
        ],
        "volumeMounts": [{"name": "task", "mountPath": "/task", "readOnly": true}],
        "resources": {"requests": requests, "limits": limits},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nad::NadRef;

    #[test]
    fn the_labels_are_those_of_the_selector_and_devices_are_requested() {
        let probe = Probe {
            place: "a".into(),
            node: "a".into(),
            network: NadRef::new("n", "fast").unwrap(),
            resource: Some("vendor/vf".into()),
            namespace: "m".into(),
            pod: "plexus-probe-r-0".into(),
        };
        let pod = manifest(&probe, &Common { run: "r", image: "x/plexus:1", lifetime: 90 });
        for pair in OWNED.split(',') {
            let (key, value) = pair.split_once('=').unwrap();
            assert_eq!(pod["metadata"]["labels"][key], value);
        }
        assert_eq!(pod["metadata"]["annotations"][NETWORKS], "n/fast@net1");
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["resources"]["limits"]["vendor/vf"], "1");
        assert_eq!(container["resources"]["requests"]["vendor/vf"], "1");
        assert_eq!(pod["spec"]["activeDeadlineSeconds"], 90);
    }
}
