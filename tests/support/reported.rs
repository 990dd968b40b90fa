//! What a kubelet reports of its node and of the pods there, where no kubelet runs.

use super::apiserver::ApiServer;
use serde_json::{Value, json};

/// Plexus' pod, in the namespace `kube-system`.
pub const PLEXUS: &str = "plexus-1";

/// Makes the node `name`, which is ready.
pub fn node(server: &ApiServer, name: &str) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    server.kubectl(&["create", "-f", "-"], Some(&node.to_string())).unwrap();
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        "nodeInfo": {"containerRuntimeVersion": "containerd://2.1.0", "operatingSystem": "linux", "architecture": "amd64",
            "bootID": "", "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "osImage": "",
            "systemUUID": ""}}});
    let words = ["patch", "node", name, "--subresource=status", "--type=merge", "-p", &status.to_string()];
    server.kubectl(&words, None).unwrap();
}

/// Makes a pod of Plexus' DaemonSet on `node`, with the account `account`.
pub fn plexus(server: &ApiServer, node: &str, account: &str) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": PLEXUS, "namespace": "kube-system", "labels": {"app.kubernetes.io/name": "plexus"}},
        "spec": {"nodeName": node, "hostNetwork": true, "serviceAccountName": account,
            "containers": [{"name": "plexusd", "image": "x/plexus:v1.2.3"}], "tolerations": [{"operator": "Exists"}]}});
    server.kubectl(&["create", "-f", "-"], Some(&pod.to_string())).unwrap();
}

/// The status of a pod is changed by `status`.
pub fn pod_is(server: &ApiServer, namespace: &str, name: &str, status: &Value) {
    let patch = json!({ "status": status }).to_string();
    let words = ["patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", &patch];
    server.kubectl(&words, None).unwrap();
}

/// Plexus' pod runs, and is ready or not.
pub fn plexus_is(server: &ApiServer, ready: bool) {
    let conditions = json!([{"type": "Ready", "status": if ready { "True" } else { "False" }}]);
    pod_is(server, "kube-system", PLEXUS, &json!({"phase": "Running", "conditions": conditions}));
}

/// The UID of a pod.
pub fn uid(server: &ApiServer, namespace: &str, pod: &str) -> String {
    server.kubectl(&["get", "pod", pod, "-n", namespace, "-o", "jsonpath={.metadata.uid}"], None).unwrap()
}

/// An event about the object of that kind, namespace and name: when (in seconds), type, reason and message.
pub fn event(
    server: &ApiServer,
    (kind, namespace, name): (&str, &str, &str),
    (second, severity, reason, message): (u32, &str, &str, &str),
) {
    let words = ["get", kind, name, "-n", namespace, "-o", "jsonpath={.metadata.uid}"];
    let uid = server.kubectl(&words, None).unwrap();
    let event = json!({"apiVersion": "v1", "kind": "Event", "type": severity, "count": 1, "reason": reason, "message": message,
        "metadata": {"name": format!("{name}.{}.{second}", reason.to_lowercase()), "namespace": namespace},
        "involvedObject": {"kind": kind, "name": name, "namespace": namespace, "uid": uid},
        "lastTimestamp": format!("2026-01-01T00:00:{second:02}Z")});
    server.kubectl(&["create", "-f", "-"], Some(&event.to_string())).unwrap();
}

/// The readiness probe of Plexus' pod failed for this reason.
pub fn is_not_ready(server: &ApiServer, second: u32, why: &str) {
    let message = format!("Readiness probe failed: not ready: {why}");
    event(server, ("Pod", "kube-system", PLEXUS), (second, "Warning", "Unhealthy", &message));
}
