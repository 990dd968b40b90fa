//! Devices that were allocated to a pod: by the kubelet's device plugins, or by resource claims.

use super::pod_resources::{Allocated, Devices, PodResources};
use crate::cluster::Cluster;
use crate::nad::{Definition, NadRef, PodRef};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The devices of `pod`, by resource, for the resources that `definitions` name; nobody is asked where they
/// name none. A resource of which the pod has no device is not in the answer: the plugin, which knows
/// how many are needed, says so.
///
/// # Errors
/// Which network takes a device that cannot be known now.
pub async fn devices_of(
    kubelet: &PodResources,
    cluster: &Cluster,
    pod: Option<&PodRef>,
    definitions: &[Arc<Definition>],
) -> Result<Devices, String> {
    let wanted: BTreeMap<&str, &NadRef> =
        definitions.iter().filter_map(|d| Some((d.resource_name.as_deref()?, &d.nad))).collect();
    let Some((resource, nad)) = wanted.first_key_value() else { return Ok(Devices::new()) };
    let Some(pod) = pod else {
        return Err(format!("network {nad} takes a device of {resource}, but it is not known for which pod"));
    };
    let unknown = |resource: &str, nad: &NadRef, why: &dyn std::fmt::Display| {
        format!("network {nad} takes a device of {resource}, and which one pod {pod} has is not known: {why}")
    };
    let Allocated { mut devices, uses_claims } =
        kubelet.allocated(pod).await.map_err(|e| unknown(resource, nad, &e))?;
    if let Some((resource, nad)) = wanted.iter().find(|(resource, _)| !devices.contains_key(**resource)) {
        let claimed = match cluster.claimed_devices(pod).await {
            // Where claims are not used nobody grants that: the pod simply has no such device.
            Err(e) if e.hides_pods() && !uses_claims => Devices::new(),
            claimed => claimed.map_err(|e| unknown(resource, nad, &e))?,
        };
        for (resource, claimed) in claimed {
            // A device plugin's devices come first, and alone: the pod's containers have them.
            devices.entry(resource).or_insert(claimed);
        }
    }
    devices.retain(|resource, _| wanted.contains_key(resource.as_str()));
    Ok(devices)
}
