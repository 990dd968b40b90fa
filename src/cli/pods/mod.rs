//! What the API server's objects tell of a pod's networks, for every command that asks the cluster.

mod asked;
pub mod networks;

pub use asked::{Asked, PodOption};

use super::Error;
use crate::cluster::SeenPod;

/// Where a pod without a namespace is, if no kubeconfig names one.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A pod as a person names it: `NAMESPACE/NAME`, `pod/NAME`, or `NAME` in `namespace`.
///
/// # Errors
/// No pod can have that name.
pub fn named(text: &str, namespace: &str) -> Result<(String, String), Error> {
    let text = ["pod/", "pods/", "po/"].iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text);
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    crate::nad::PodRef::new(namespace, name, None).map_err(|e| Error::Name(e.to_string()))?;
    Ok((namespace.to_owned(), name.to_owned()))
}

/// `NAMESPACE/NAME`.
pub fn label(pod: &SeenPod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}
