//! Devices that the kubelet allocated to a pod.

use crate::nad::{Definition, PodRef};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The devices of `pod`, by resource, for the resources that `definitions` name; none where they name none.
///
/// This is where the kubelet's pod-resources socket will be asked. Until then a network that takes a
/// device cannot be attached: a pod must not come up without the device it was given.
///
/// # Errors
/// Which network takes a device that cannot be known.
pub async fn devices_of(pod: Option<&PodRef>, definitions: &[Arc<Definition>]) -> Result<BTreeMap<String, Vec<String>>, String> {
    let Some((nad, resource)) = definitions.iter().find_map(|d| Some((&d.nad, d.resource_name.as_ref()?))) else {
        return Ok(BTreeMap::new());
    };
    let pod = pod.map_or_else(|| "the pod".to_owned(), |pod| format!("pod {pod}"));
    Err(format!("network {nad} takes a device of {resource}, and which one {pod} has is not known: there is no pod-resources socket to ask"))
}
