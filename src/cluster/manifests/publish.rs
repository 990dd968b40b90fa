//! Publishing where there is no pod object: the status goes into a file that looks like one.

use crate::api::{Publication, RunDirectory, StateDirectory};
use crate::cluster::{Cache, Outcome};
use crate::cni::json;
use crate::nad::{NETWORK_STATUS, PodRef};
use crate::store::Store;
use crate::sys::files::{self, Durability};
use nix::unistd::{AccessFlags, access};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// On the status of a pod of which there is neither a manifest nor a record: a plain pod of a chained Plexus has none,
/// so their absence does not show that the pod is gone.
const UNRECORDED: &str = "plexus.dev/unrecorded";
/// A status is at most what an annotation may be, quoted once more.
const MAX_FILE: usize = 4 << 20;

/// The directory of statuses: beside the daemon's own, or in that where the daemon may write nowhere else.
fn statuses(run: &RunDirectory) -> PathBuf {
    let usual = run.network_status();
    let is_writable = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    let may_be_made = || !usual.exists() && is_writable(run.path());
    if is_writable(&usual) || may_be_made() { usual } else { run.daemon().join("network-status") }
}

/// Writes `publication` to `<run directory>/network-status/<namespace>_<pod>.json`, for the daemon's group to read.
pub fn publish(run: &RunDirectory, state: &StateDirectory, cache: &Cache, publication: &Publication) -> Outcome {
    let pod = &publication.pod;
    let known = cache.pod(pod);
    let uid = pod.uid().or(known.as_ref().and_then(|known| known.uid()));
    let is_recorded = known.is_some() || state.record(&publication.container_id).exists();
    let mut annotations = serde_json::Map::new();
    annotations.insert(NETWORK_STATUS.to_owned(), json!(publication.network_status));
    if !is_recorded {
        annotations.insert(UNRECORDED.to_owned(), json!("true"));
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name(),
            "namespace": pod.namespace(),
            "uid": uid,
            "annotations": annotations,
        },
    });
    let path = statuses(run).join(format!("{}_{}.json", pod.namespace(), pod.name()));
    match files::replace(&path, object.to_string().as_bytes(), 0o640, Durability::Cached) {
        Ok(()) => Outcome::Written,
        Err(e) => Outcome::Later(format!("write {}: {e}", path.display())),
    }
}

/// Removes the files of pods that are gone: no manifest has them, and nothing is attached to them. A pod whose
/// annotations the runtime hands over needs no manifest.
pub fn forget(run: &RunDirectory, state: &StateDirectory, cache: &Cache) {
    let names = files::entries(&statuses(run)).into_iter().flatten();
    let pod = |path: PathBuf| {
        let (namespace, name) = path.file_name()?.to_str()?.strip_suffix(".json")?.split_once('_')?;
        let pod = PodRef::new(namespace, name, None).ok()?;
        cache.pod(&pod).is_none().then_some((path, pod))
    };
    let without: Vec<_> = names.filter_map(|entry| pod(entry.path())).filter(|(path, _)| is_recorded(path)).collect();
    if without.is_empty() {
        return;
    }
    // Records that cannot be read may be of any of them.
    let Ok((records, damaged)) = Store::new(state).survey() else { return };
    if !damaged.is_empty() {
        return;
    }
    let is_attached = |pod: &PodRef| {
        let pods = records.iter().filter_map(|record| record.pod.as_ref());
        pods.into_iter().any(|other| (other.namespace(), other.name()) == (pod.namespace(), pod.name()))
    };
    for (path, _) in without.iter().filter(|(_, pod)| !is_attached(pod)) {
        if let Err(e) = files::remove(path) {
            tracing::warn!(file = %path.display(), error = %e, "cannot remove the network-status of a deleted pod");
        }
    }
}

/// Whether there was a manifest or a record of the pod when its status was written to `path`.
fn is_recorded(path: &Path) -> bool {
    let text = files::read_bounded(path, MAX_FILE).ok().flatten().unwrap_or_default();
    let object: Value = json::parse(&text).unwrap_or_default();
    object["metadata"]["annotations"].get(UNRECORDED).is_none()
}
