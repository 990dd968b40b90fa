//! What is read of dynamic resource allocation: which claims a pod has, which devices they were given,
//! and what the devices' drivers say of them.

use super::object::{resource, without_managed_fields};
use super::pod::KnownPod;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

/// Under this name a driver publishes what CNI plugins know a device by.
const DEVICE_ID: &str = "k8s.cni.cncf.io/deviceID";
/// Under this name it publishes the resource that networks ask for.
const RESOURCE_NAME: &str = "k8s.cni.cncf.io/resourceName";

/// A pod, reduced to its claims.
#[derive(Clone, Debug, Deserialize)]
pub struct PodObject {
    #[serde(deserialize_with = "without_managed_fields")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    resource_claims: Vec<NamedClaim>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    resource_claim_statuses: Vec<NamedClaim>,
    extended_resource_claim_status: Option<ExtendedClaim>,
}

/// The pod's own name for a claim, and the claim's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NamedClaim {
    name: String,
    resource_claim_name: Option<String>,
}

/// The claim that the scheduler made of resources which containers ask for as they ask for a device plugin's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExtendedClaim {
    resource_claim_name: String,
    request_mappings: Vec<Mapping>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mapping {
    request_name: String,
    resource_name: String,
}

/// A claim that a pod has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodClaim {
    /// The claim's name.
    pub name: String,
    /// The resource that each of its requests is for, where it was made of such resources.
    pub resources: BTreeMap<String, String>,
}

impl PodObject {
    /// The pod as it is known everywhere else.
    pub fn known(&self) -> KnownPod {
        KnownPod::new(self.metadata.uid.as_deref(), |key| self.metadata.annotations.as_ref()?.get(key).map(String::as_str))
    }

    /// Its claims in the order in which it names them, and then the one that was made for it.
    pub fn claims(&self) -> Vec<PodClaim> {
        let made = |name: &str| self.status.resource_claim_statuses.iter().find(|claim| claim.name == name)?.resource_claim_name.clone();
        let named = self.spec.resource_claims.iter().filter_map(|claim| claim.resource_claim_name.clone().or_else(|| made(&claim.name)));
        let extended = self.status.extended_resource_claim_status.iter().map(|extended| PodClaim {
            name: extended.resource_claim_name.clone(),
            resources: extended.request_mappings.iter().map(|m| (m.request_name.clone(), m.resource_name.clone())).collect(),
        });
        let mut claims: Vec<PodClaim> = named.map(|name| PodClaim { name, ..PodClaim::default() }).chain(extended).collect();
        let mut seen = HashSet::new();
        claims.retain(|claim| seen.insert(claim.name.clone()));
        claims
    }
}

/// A ResourceClaim, reduced to what it was given.
#[derive(Clone, Debug, Deserialize)]
pub struct ClaimObject {
    #[serde(deserialize_with = "without_managed_fields")]
    metadata: ObjectMeta,
    #[serde(default)]
    status: ClaimStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimStatus {
    allocation: Option<Allocation>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Allocation {
    devices: AllocatedDevices,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct AllocatedDevices {
    results: Vec<Allocated>,
}

/// A device that was given to a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Allocated {
    /// Which of the claim's requests it is for.
    pub request: String,
    /// With the two others: which device.
    pub driver: String,
    /// See `driver`.
    pub pool: String,
    /// See `driver`.
    pub device: String,
    /// It is somebody else's, to be looked after and not to be used.
    pub admin_access: bool,
}

impl ClaimObject {
    /// The devices it was given, in the order of its requests; `None` while it was given none.
    pub fn into_allocated(self) -> Option<Vec<Allocated>> {
        Some(self.status.allocation?.devices.results)
    }
}

/// A ResourceSlice: devices of one pool of a driver.
#[derive(Clone, Debug, Deserialize)]
pub struct SliceObject {
    #[serde(deserialize_with = "without_managed_fields")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: SliceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SliceSpec {
    driver: String,
    pool: Pool,
    devices: Vec<Device>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Pool {
    name: String,
    generation: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Device {
    name: String,
    attributes: BTreeMap<String, Attribute>,
}

/// Numbers, versions and the like are not read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Attribute {
    string: Option<String>,
}

/// What a driver says of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// What CNI plugins know it by; none for a device that is no network's.
    pub id: Option<String>,
    /// The resource that networks ask for.
    pub resource: Option<String>,
}

/// What the newest of `slices` that has the device says of it; `None` when none has it.
pub fn describe(slices: &[SliceObject], allocated: &Allocated) -> Option<Described> {
    let of_pool = slices.iter().filter(|slice| slice.spec.driver == allocated.driver && slice.spec.pool.name == allocated.pool);
    let with_device = of_pool.filter_map(|slice| Some((slice.spec.pool.generation, slice.spec.devices.iter().find(|d| d.name == allocated.device)?)));
    let (_, device) = with_device.max_by_key(|(generation, _)| *generation)?;
    let text = |key: &str| device.attributes.get(key)?.string.clone().filter(|text| !text.is_empty());
    Some(Described { id: text(DEVICE_ID), resource: text(RESOURCE_NAME) })
}

resource!(PodObject, Pod, NamespaceResourceScope, metadata only: false);
resource!(ClaimObject, ResourceClaim, NamespaceResourceScope, metadata only: false);
resource!(SliceObject, ResourceSlice, ClusterResourceScope, metadata only: false);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_in_the_pods_order() {
        let pod: PodObject = serde_json::from_value(json!({
            "metadata": { "name": "p", "uid": "u" },
            "spec": { "resourceClaims": [
                { "name": "made", "resourceClaimTemplateName": "t" },
                { "name": "own", "resourceClaimName": "mine" },
                { "name": "again", "resourceClaimName": "mine" },
                { "name": "not-needed", "resourceClaimTemplateName": "t" },
            ] },
            "status": {
                "resourceClaimStatuses": [{ "name": "not-needed" }, { "name": "made", "resourceClaimName": "p-made-x7" }],
                "extendedResourceClaimStatus": { "resourceClaimName": "p-extended", "requestMappings": [
                    { "containerName": "c", "requestName": "container-0-request-0", "resourceName": "x.com/nic" } ] },
            },
        }))
        .unwrap();
        let claims = pod.claims();
        assert_eq!(claims.iter().map(|claim| claim.name.as_str()).collect::<Vec<_>>(), ["p-made-x7", "mine", "p-extended"]);
        assert_eq!(claims[2].resources["container-0-request-0"], "x.com/nic");
        let none: PodObject = serde_json::from_value(json!({ "metadata": {} })).unwrap();
        assert!(none.claims().is_empty());
    }

    #[test]
    fn the_newest_slice_with_the_device_describes_it() {
        let slice = |pool: &str, generation: i64, devices: &[(&str, &str)]| -> SliceObject {
            let device = |(name, id): &(&str, &str)| json!({ "name": name, "attributes": {
                "k8s.cni.cncf.io/deviceID": { "string": id }, "k8s.cni.cncf.io/resourceName": { "string": "r" }, "x.com/numa": { "int": 1 } } });
            serde_json::from_value(json!({ "metadata": { "name": "s" }, "spec": {
                "driver": "d", "pool": { "name": pool, "generation": generation, "resourceSliceCount": 1 },
                "devices": devices.iter().map(device).collect::<Vec<_>>() } }))
            .unwrap()
        };
        let slices = [slice("p", 2, &[("a", "new")]), slice("p", 1, &[("a", "old"), ("b", "gone")]), slice("q", 9, &[("a", "other")])];
        let id = |device: &str| {
            let allocated = Allocated { driver: "d".into(), pool: "p".into(), device: device.into(), ..Allocated::default() };
            describe(&slices, &allocated).map(|described| described.id.unwrap())
        };
        assert_eq!(id("a").as_deref(), Some("new"));
        assert_eq!(id("b").as_deref(), Some("gone"));
        assert_eq!(id("c"), None);
    }
}
