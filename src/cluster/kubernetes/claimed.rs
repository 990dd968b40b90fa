//! Devices that a pod has by resource claims (dynamic resource allocation).
//!
//! Nothing of this is watched: few pods have such devices, and for each the API server is asked for the
//! pod, its claims, and the slices of their drivers on this node.

use crate::cluster::error::Error;
use crate::cluster::kubernetes::claims::{Allocated, ClaimObject, PodClaim, PodObject};
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::slices::{Described, SliceObject, describe, names_resource};
use crate::nad::PodRef;
use futures::future::try_join_all;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(2);
/// What grants all of it.
const OVERLAY: &str = "grant it (conf/overlays/dra does)";

/// A device that a pod has by a resource claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The names by which the pod's author knows it: the claim's, the pod's own name of the claim, the request's.
    pub names: Vec<String>,
    /// With the two others: which device.
    pub driver: String,
    /// See `driver`.
    pub pool: String,
    /// See `driver`.
    pub device: String,
    /// The resource that its driver publishes it as, or that the claim was made of.
    pub resource: Option<String>,
    /// What its driver publishes for CNI plugins.
    pub id: Option<String>,
}

impl Kubernetes {
    /// The devices that resource claims gave to `pod`, in the order of its claims and of their requests.
    pub async fn claimed_devices(&self, pod: &PodRef) -> Result<Vec<Claimed>, Error> {
        let within = LIMIT;
        let late = |_| Error::Deadline { what: format!("resource claims of pod {pod}"), within };
        let read = tokio::time::timeout(within, self.read_claims(pod)).await.map_err(late)?;
        read.map_err(|e| e.mended_by(OVERLAY))
    }

    /// Whether a driver publishes devices of `resource` on this node.
    pub async fn is_published(&self, resource: &str) -> Result<bool, Error> {
        let late = |_| Error::Deadline { what: format!("resource slices with {resource}"), within: LIMIT };
        let all = async {
            for node in [self.node.as_str(), ""] {
                let what = format!("resource slices with {resource}");
                let slices: Vec<SliceObject> = self.list(&format!("spec.nodeName={node}"), what).await?;
                if slices.iter().any(|slice| names_resource(slice, resource)) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        tokio::time::timeout(LIMIT, all).await.map_err(late)?
    }

    async fn read_claims(&self, pod: &PodRef) -> Result<Vec<Claimed>, Error> {
        let claims = self.claims_of(pod).await?;
        let allocated = try_join_all(claims.iter().map(|claim| self.allocated(pod.namespace(), claim))).await?;
        let allocated: Vec<(&PodClaim, Allocated)> = claims
            .iter()
            .zip(allocated)
            .flat_map(|(claim, devices)| devices.into_iter().map(move |device| (claim, device)))
            .collect();
        let drivers: BTreeSet<&str> = allocated.iter().map(|(_, device)| device.driver.as_str()).collect();
        let devices: Vec<&Allocated> = allocated.iter().map(|(_, device)| device).collect();
        let slices = try_join_all(drivers.into_iter().map(|driver| self.slices(driver, &devices))).await?.concat();
        let claimed = |(claim, device): &(&PodClaim, Allocated)| {
            let described = describe(&slices, device);
            if described.is_none() {
                tracing::warn!(%pod, driver = device.driver, pool = device.pool, device = device.device, "no resource slice has a device of this pod");
            }
            one(claim, device, described.unwrap_or_default())
        };
        Ok(allocated.iter().map(claimed).collect())
    }

    async fn claims_of(&self, pod: &PodRef) -> Result<Vec<PodClaim>, Error> {
        let what = format!("resource claims of pod {pod}");
        let found: Option<PodObject> = self.get(pod.namespace(), pod.name(), what).await?;
        let found = found.ok_or_else(|| Error::NoSuchPod(pod.clone()))?;
        let known = found.known();
        match pod.uid() {
            Some(uid) if !known.is(uid) => {
                Err(Error::OtherPod { pod: pod.clone(), found: known.uid().unwrap_or_default().to_owned() })
            }
            _ => Ok(found.claims()),
        }
    }

    /// What `claim` was given for its pod to use.
    async fn allocated(&self, namespace: &str, claim: &PodClaim) -> Result<Vec<Allocated>, Error> {
        let what = format!("resource claim {namespace}/{}", claim.name);
        let unknown = |reason: &str| Error::Api { what: what.clone(), reason: reason.to_owned() };
        let found: Option<ClaimObject> = self.get(namespace, &claim.name, what.clone()).await?;
        let found = found.ok_or_else(|| unknown("it does not exist"))?;
        let allocated = found.into_allocated().ok_or_else(|| unknown("no device is allocated to it"))?;
        Ok(allocated.into_iter().filter(|device| !device.admin_access).collect())
    }

    /// The slices of `driver` that may have `devices`: those of this node, and where a device is in none
    /// of them those of no node, as of a device that is reached through the network.
    async fn slices(&self, driver: &str, devices: &[&Allocated]) -> Result<Vec<SliceObject>, Error> {
        let list = async |node: &str| {
            let what = format!("resource slices of driver {driver}");
            self.list::<SliceObject>(&format!("spec.driver={driver},spec.nodeName={node}"), what).await
        };
        let mut slices = list(&self.node).await?;
        if devices.iter().any(|device| device.driver == driver && describe(&slices, device).is_none()) {
            slices.extend(list("").await?);
        }
        Ok(slices)
    }
}

fn one(claim: &PodClaim, device: &Allocated, described: Described) -> Claimed {
    let Allocated { request, driver, pool, device, .. } = device.clone();
    Claimed {
        names: [Some(claim.name.clone()), claim.name_in_pod.clone(), Some(request.clone())]
            .into_iter()
            .flatten()
            .collect(),
        driver,
        pool,
        device,
        resource: described.resource.or_else(|| claim.resources.get(&request).cloned()),
        id: described.id,
    }
}
