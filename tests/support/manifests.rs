//! The cluster of a daemon that has none: manifests in a folder.

use super::node::{self, FOLDER};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The folder of manifests.
pub fn folder() -> PathBuf {
    Path::new(FOLDER).join("manifests")
}

/// Writes the manifest of the network `nad` (`namespace/name`).
pub fn network(nad: &str, config: &Value) {
    let (namespace, name) = nad.split_once('/').unwrap();
    let manifest = json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"config": config.to_string()},
    });
    node::write(&folder().join(format!("{namespace}-{name}.json")), &manifest.to_string());
}

/// Writes the manifest of the pod `default/<name>`.
pub fn pod(name: &str, annotations: &Value) {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "uid": format!("uid-of-{name}"), "annotations": annotations},
    });
    node::write(&folder().join(format!("pod-{name}.json")), &manifest.to_string());
}
