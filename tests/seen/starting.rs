//! A pod of Plexus that does not run yet: `status` and `why` say what it waits for, and what to do.

use super::support::reported::{self, PLEXUS};
use super::{ApiServer, NETWORKS, plexusctl, pod, text};
use serde_json::{Value, json};

const IMAGE: &str = "x/plexus:v1.2.3";

/// The init container of Plexus' pod is in this state.
fn install_is(server: &ApiServer, state: &Value) {
    let container =
        json!({"name": "install", "image": IMAGE, "imageID": "", "ready": false, "restartCount": 0, "state": state});
    let status = json!({"phase": "Pending", "initContainerStatuses": [container],
        "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotInitialized"}]});
    reported::pod_is(server, "kube-system", PLEXUS, &status);
}

fn waits(server: &ApiServer, reason: &str, message: Option<&str>) {
    install_is(server, &json!({"waiting": {"reason": reason, "message": message}}));
}

/// An event of the kubelet about Plexus' pod.
fn event(server: &ApiServer, second: u32, reason: &str, message: &str) {
    reported::event(server, ("Pod", "kube-system", PLEXUS), (second, "Normal", reason, message));
}

/// The first lines of the checklist of `status`: what is wrong, and what to do.
fn first(server: &ApiServer) -> [String; 2] {
    let shown = text(&plexusctl(server, &["status"]), 3);
    let mut lines = shown.lines().skip_while(|line| !line.starts_with('✗')).map(|line| line.trim().to_owned());
    [lines.next().unwrap(), lines.next().unwrap()]
}

/// From the first event to the failure of the pull: the pod has run nothing yet.
pub fn what_plexus_waits_for_is_told(server: &ApiServer) {
    waits(server, "ContainerCreating", None);
    let [wrong, step] = first(server);
    assert_eq!(wrong, "✗ nodes      node n1: its containers are being created (ContainerCreating)");
    assert!(step.starts_with("-> Wait ") && step.contains("kubectl -n kube-system describe pod plexus-1"), "{step}");

    event(server, 1, "Pulling", &format!("Pulling image \"{IMAGE}\""));
    let [wrong, step] = first(server);
    assert!(wrong.ends_with("node n1: it waits until the image x/plexus:v1.2.3 is pulled"), "{wrong}");
    assert!(step.starts_with("-> Wait until the node has pulled the image"), "{step}");

    event(server, 2, "Failed", &format!("Failed to pull image \"{IMAGE}\": {IMAGE}: not found"));
    waits(server, "ErrImagePull", Some("x/plexus:v1.2.3: not found"));
    let [wrong, step] = first(server);
    let unpulled =
        "container install: the image x/plexus:v1.2.3 cannot be pulled: ErrImagePull: x/plexus:v1.2.3: not found";
    assert!(wrong.ends_with(&format!("node n1: {unpulled}")), "{wrong}");
    assert!(step.starts_with("-> Bring the image to the node"), "{step}");

    // Of an older kubelet, whose pause has no reason.
    waits(server, "ImagePullBackOff", Some("Back-off pulling image \"x/plexus:v1.2.3\""));
    let [wrong, _] = first(server);
    assert!(wrong.ends_with("the image x/plexus:v1.2.3 cannot be pulled: x/plexus:v1.2.3: not found"), "{wrong}");
    let document: Value = serde_json::from_str(&text(&plexusctl(server, &["status", "-o", "json"]), 3)).unwrap();
    assert_eq!(document["nodes"][0]["fault"], "image-missing", "{document:#}");
    let said = text(&plexusctl(server, &["why", "other/far"]), 3);
    assert!(said.contains("kube-system/plexus-1 on node n1 is not ready: container install: the image"), "{said}");
    install_is(server, &json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
}

pub fn a_pod_that_waits_for_a_volume_has_that_cause(server: &ApiServer) {
    pod(server, "watched", "volume", &json!({ NETWORKS: "default/lan" }), &json!({"phase": "Pending"}));
    let message = "MountVolume.SetUp failed for volume \"v\" : configmap \"y\" not found";
    reported::event(server, ("Pod", "watched", "volume"), (0, "Warning", "FailedMount", message));
    let said = text(&plexusctl(server, &["why", "watched/volume"]), 3);
    assert!(said.contains("✗ events ") && said.contains(&format!("FailedMount: {message}")), "{said}");
    server.kubectl(&["delete", "pod", "-n", "watched", "volume", "--grace-period=0", "--force"], None).unwrap();
}

/// Pod Security of its namespace refuses its pods.
pub fn a_daemon_set_without_pods_is_told(server: &ApiServer) {
    let labels = json!({"app.kubernetes.io/name": "plexus"});
    let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "plexus", "namespace": "kube-system", "labels": labels},
        "spec": {"selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "plexusd", "image": "x"}]}}}});
    server.kubectl(&["create", "-f", "-"], Some(&set.to_string())).unwrap();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    server.kubectl(&["create", "-f", "-"], Some(&node.to_string())).unwrap();
    let message =
        "Error creating: pods \"plexus-x\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces";
    reported::event(server, ("DaemonSet", "kube-system", "plexus"), (0, "Warning", "FailedCreate", message));
    let [wrong, step] = first(server);
    assert!(wrong.starts_with("✗ nodes ") && wrong.ends_with(message), "{wrong}");
    assert!(step.contains("kubectl label --overwrite namespace kube-system pod-security"), "{step}");
    let said = text(&plexusctl(server, &["why", "other/far"]), 3);
    assert!(said.contains("the DaemonSet kube-system/plexus has no pod: Error creating"), "{said}");
    // A node that has reported no condition.
    assert!(said.contains("n1 is not ready: its conditions have no reason"), "{said}");
    server.kubectl(&["delete", "node", "n1"], None).unwrap();
    server.kubectl(&["delete", "daemonset", "-n", "kube-system", "plexus"], None).unwrap();
}
