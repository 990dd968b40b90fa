//! Devices that were allocated to a pod: by the kubelet's device plugins, or by resource claims.
//!
//! A network names a resource. Its devices are, in this order: what device plugins gave to the pod's containers; what
//! resource claims gave to the pod and their driver publishes as that resource; what a claim gave that has the
//! resource's name (Multus 4.3: the claim's name, and what CDI knows the device by), or whose request has.
//! Where nobody on this node has devices of that resource the name is a marker, as of the bridges that ovs-cni and
//! KubeVirt's bridge-marker count as capacity of the node, and the network is attached without a device.

pub mod pod_resources;

use crate::cluster::{Claimed, Cluster};
use crate::daemon::devices::pod_resources::{Allocated, ClaimDevice, Devices, PodResources};
use crate::nad::{Definition, NadRef, PodRef};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

/// What networks of a pod get.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The pod's devices by resource, for the resources that its networks name. One of which it has no device is not
    /// there: the plugin, which knows how many are needed, says so.
    pub devices: Devices,
    /// Resources that are no devices on this node.
    pub markers: BTreeSet<String>,
}

/// The devices of `pod` for the resources that `definitions` name; nobody is asked where they name none.
///
/// # Errors
/// Which network takes a device that cannot be known now.
pub async fn devices_of(
    kubelet: &PodResources,
    cluster: &Cluster,
    pod: Option<&PodRef>,
    definitions: &[Arc<Definition>],
) -> Result<Found, String> {
    let wanted: BTreeMap<&str, &NadRef> =
        definitions.iter().filter_map(|d| Some((d.resource_name.as_deref()?, &d.nad))).collect();
    let Some((resource, nad)) = wanted.first_key_value() else { return Ok(Found::default()) };
    let Some(pod) = pod else {
        return Err(format!("network {nad} takes a device of {resource}, but it is not known for which pod"));
    };
    let unknown = |resource: &str, nad: &NadRef, why: &dyn Display| {
        format!("network {nad} takes a device of {resource}, and which one pod {pod} has is not known: {why}")
    };
    let allocated = kubelet.allocated(pod).await.map_err(|e| unknown(resource, nad, &e))?;
    let Allocated { mut devices, claims, uses_claims } = allocated;
    for (name, ids) in by_claim_name(&claims) {
        devices.entry(name).or_insert(ids);
    }
    let missing = |devices: &Devices| {
        wanted.iter().find(|(resource, _)| !devices.contains_key(**resource)).map(|(r, n)| (*r, *n))
    };
    if let Some((resource, nad)) = missing(&devices) {
        let claimed = match cluster.claimed_devices(pod).await {
            // Where claims are not used nobody grants that: the pod simply has no such device.
            Err(e) if e.hides_pods() && !uses_claims => Vec::new(),
            claimed => claimed.map_err(|e| unknown(resource, nad, &e))?,
        };
        for resource in wanted.keys() {
            // A device plugin's devices come first, and alone: the pod's containers have them.
            let ids = claimed_as(resource, &claimed, &claims);
            if !devices.contains_key(*resource) && !ids.is_empty() {
                devices.insert((*resource).to_owned(), ids);
            }
        }
    }
    let mut markers = BTreeSet::new();
    if missing(&devices).is_some() {
        for resource in wanted.keys().filter(|resource| !devices.contains_key(**resource)) {
            if is_marker(kubelet, cluster, resource).await {
                tracing::debug!(%pod, resource, "no device plugin and no claim's driver has devices of this resource: its networks are attached without one");
                markers.insert((*resource).to_owned());
            }
        }
    }
    devices.retain(|resource, _| wanted.contains_key(resource.as_str()));
    Ok(Found { devices, markers })
}

/// Whether nobody on this node has devices of `resource`. Where that cannot be known there may be some.
async fn is_marker(kubelet: &PodResources, cluster: &Cluster, resource: &str) -> bool {
    // Who may not read slices has no devices by claims.
    let is_published = match cluster.is_published(resource).await {
        Err(e) => !e.is_forbidden(),
        Ok(is_published) => is_published,
    };
    !is_published && matches!(kubelet.has_plugin(resource).await, Ok(false))
}

/// What the kubelet tells of claims: CDI names, by the claim's name.
fn by_claim_name(claims: &[ClaimDevice]) -> Devices {
    let mut devices = Devices::new();
    for claimed in claims {
        devices.entry(claimed.claim.clone()).or_default().extend(claimed.ids.iter().cloned());
    }
    devices.retain(|_, ids| !ids.is_empty());
    devices
}

/// The devices of `claimed` that are published as `resource`; without one those of a claim or request of that name.
fn claimed_as(resource: &str, claimed: &[Claimed], told: &[ClaimDevice]) -> Vec<String> {
    let published = claimed.iter().filter(|device| device.resource.as_deref() == Some(resource));
    let ids: Vec<String> = published.filter_map(|device| device.id.clone()).collect();
    if !ids.is_empty() {
        return ids;
    }
    let of_cdi = |device: &Claimed| {
        let is_it = |told: &&ClaimDevice| {
            (&told.driver, &told.pool, &told.device) == (&device.driver, &device.pool, &device.device)
        };
        told.iter().find(is_it).map(|told| told.ids.clone()).unwrap_or_default()
    };
    let named = claimed.iter().filter(|device| device.names.iter().any(|name| name == resource));
    named.flat_map(|device| device.id.clone().map_or_else(|| of_cdi(device), |id| vec![id])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_known_by_what_is_published_or_by_its_names() {
        let device = |device: &str, resource: Option<&str>, id: Option<&str>| Claimed {
            names: vec!["p-gpu-x7".into(), "gpu".into(), "single-gpu".into()],
            driver: "d".into(),
            pool: "n1".into(),
            device: device.into(),
            resource: resource.map(Into::into),
            id: id.map(Into::into),
        };
        let told = [ClaimDevice {
            claim: "p-gpu-x7".into(),
            driver: "d".into(),
            pool: "n1".into(),
            device: "a".into(),
            ids: vec!["gpu-0".into()],
        }];
        let claimed = [device("a", None, None), device("b", Some("x/vf"), Some("0000:01"))];
        assert_eq!(claimed_as("x/vf", &claimed, &told), ["0000:01"]);
        for name in ["p-gpu-x7", "gpu", "single-gpu"] {
            assert_eq!(claimed_as(name, &claimed, &told), ["gpu-0", "0000:01"], "{name}");
        }
        assert!(claimed_as("other", &claimed, &told).is_empty());
        assert_eq!(by_claim_name(&told)["p-gpu-x7"], ["gpu-0"]);
    }
}
