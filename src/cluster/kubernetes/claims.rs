//! What is read of pods and claims for dynamic resource allocation: which claims a pod has, and which
//! devices they were given.

use crate::cluster::kubernetes::object::{resource, without_managed_fields};
use crate::cluster::pod::KnownPod;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::ResourceClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};

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
    /// The pod's own name for it; none for one that the scheduler made.
    pub name_in_pod: Option<String>,
    /// The resource that each of its requests is for, where it was made of such resources.
    pub resources: BTreeMap<String, String>,
}

impl PodObject {
    /// The pod as it is known everywhere else.
    pub fn known(&self) -> KnownPod {
        KnownPod::new(self.metadata.uid.as_deref(), |key| {
            self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
        })
    }

    /// Its claims in the order in which it names them, and then the one that was made for it.
    pub fn claims(&self) -> Vec<PodClaim> {
        let made = |name: &str| {
            self.status.resource_claim_statuses.iter().find(|claim| claim.name == name)?.resource_claim_name.clone()
        };
        let named = self.spec.resource_claims.iter().filter_map(|claim| {
            let name = claim.resource_claim_name.clone().or_else(|| made(&claim.name))?;
            Some(PodClaim { name, name_in_pod: Some(claim.name.clone()), ..PodClaim::default() })
        });
        let extended = self.status.extended_resource_claim_status.iter().map(|extended| PodClaim {
            name: extended.resource_claim_name.clone(),
            name_in_pod: None,
            resources: extended
                .request_mappings
                .iter()
                .map(|m| (m.request_name.clone(), m.resource_name.clone()))
                .collect(),
        });
        let mut claims: Vec<PodClaim> = named.chain(extended).collect();
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

resource!(PodObject, Pod, NamespaceResourceScope, metadata only: false);
resource!(ClaimObject, ResourceClaim, NamespaceResourceScope, metadata only: false);

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
        assert_eq!(
            claims.iter().map(|claim| claim.name.as_str()).collect::<Vec<_>>(),
            ["p-made-x7", "mine", "p-extended"]
        );
        assert_eq!((claims[0].name_in_pod.as_deref(), &claims[2].name_in_pod), (Some("made"), &None));
        assert_eq!(claims[2].resources["container-0-request-0"], "x.com/nic");
        let none: PodObject = serde_json::from_value(json!({ "metadata": {} })).unwrap();
        assert!(none.claims().is_empty());
    }
}
