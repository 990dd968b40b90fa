//! Publishing where there is no pod object: the status goes into a file that looks like one.

use super::{Cache, Outcome, has_valid_name};
use crate::api::{Publication, RunDirectory};
use crate::nad::NETWORK_STATUS;
use crate::sys::files::{self, Durability};
use serde_json::json;

/// Writes `publication` to `<run directory>/network-status/<namespace>_<pod>.json`.
pub fn publish(run: &RunDirectory, cache: &Cache, publication: &Publication) -> Outcome {
    let pod = &publication.pod;
    if !has_valid_name(pod) {
        return Outcome::Refused(format!("{pod} is not a name that a pod can have"));
    }
    let known = cache.pod(pod);
    let uid = pod.uid.as_deref().or(known.as_ref().and_then(|known| known.uid()));
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "uid": uid,
            "annotations": { NETWORK_STATUS: publication.network_status },
        },
    });
    let path = run.network_status().join(format!("{}_{}.json", pod.namespace, pod.name));
    match files::replace(&path, object.to_string().as_bytes(), 0o600, Durability::Cached) {
        Ok(()) => Outcome::Written,
        Err(e) => Outcome::Later(format!("write {}: {e}", path.display())),
    }
}
