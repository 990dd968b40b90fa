//! Devices that a pod has by resource claims (dynamic resource allocation).
//!
//! Nothing of this is watched: few pods have such devices, and for each the API server is asked for the
//! pod, its claims, and the slices of their drivers on this node.

use super::claims::{Allocated, ClaimObject, PodClaim, PodObject};
use super::error::Error;
use super::kubernetes::Kubernetes;
use super::slices::{SliceObject, describe};
use crate::nad::PodRef;
use futures::future::try_join_all;
use kube::Api;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl Kubernetes {
    /// The devices that resource claims gave to `pod`, by the resource that their drivers publish, in the
    /// order of its claims and of their requests. Devices of which no driver says what a CNI plugin has to
    /// know, such as accelerators, are passed over.
    pub async fn claimed_devices(&self, pod: &PodRef) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let within = PATIENCE;
        let late = |_| Error::Deadline { what: format!("resource claims of pod {pod}"), within };
        tokio::time::timeout(within, self.read_claims(pod)).await.map_err(late)?
    }

    async fn read_claims(&self, pod: &PodRef) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let claims = self.claims_of(pod).await?;
        let allocated = try_join_all(claims.iter().map(|claim| self.allocated(&pod.namespace, claim))).await?;
        let allocated: Vec<(&PodClaim, Allocated)> = claims
            .iter()
            .zip(allocated)
            .flat_map(|(claim, devices)| devices.into_iter().map(move |device| (claim, device)))
            .collect();
        let drivers: BTreeSet<&str> = allocated.iter().map(|(_, device)| device.driver.as_str()).collect();
        let devices: Vec<&Allocated> = allocated.iter().map(|(_, device)| device).collect();
        let slices = try_join_all(drivers.into_iter().map(|driver| self.slices(driver, &devices))).await?.concat();

        let mut by_resource: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (claim, device) in &allocated {
            let Some(described) = describe(&slices, device) else {
                tracing::warn!(%pod, driver = device.driver, pool = device.pool, device = device.device, "no resource slice has a device of this pod");
                continue;
            };
            let resource = described.resource.as_ref().or_else(|| claim.resources.get(&device.request));
            if let (Some(resource), Some(id)) = (resource, described.id) {
                by_resource.entry(resource.clone()).or_default().push(id);
            }
        }
        Ok(by_resource)
    }

    async fn claims_of(&self, pod: &PodRef) -> Result<Vec<PodClaim>, Error> {
        let api: Api<PodObject> = Api::namespaced(self.client.clone(), &pod.namespace);
        let found = self.get(&api, &pod.name, format!("resource claims of pod {pod}")).await?;
        let found = found.ok_or_else(|| Error::NoSuchPod(pod.clone()))?;
        let known = found.known();
        match pod.uid.as_deref() {
            Some(uid) if !known.is(uid) => {
                Err(Error::OtherPod { pod: pod.clone(), found: known.uid().unwrap_or_default().to_owned() })
            }
            _ => Ok(found.claims()),
        }
    }

    /// What `claim` was given for its pod to use.
    async fn allocated(&self, namespace: &str, claim: &PodClaim) -> Result<Vec<Allocated>, Error> {
        let api: Api<ClaimObject> = Api::namespaced(self.client.clone(), namespace);
        let what = format!("resource claim {namespace}/{}", claim.name);
        let unknown = |reason: &str| Error::Api { what: what.clone(), reason: reason.to_owned() };
        let found = self.get(&api, &claim.name, what.clone()).await?.ok_or_else(|| unknown("it does not exist"))?;
        let allocated = found.into_allocated().ok_or_else(|| unknown("no device is allocated to it"))?;
        Ok(allocated.into_iter().filter(|device| !device.admin_access).collect())
    }

    /// The slices of `driver` that may have `devices`: those of this node, and where a device is in none
    /// of them those of no node, as of a device that is reached through the network.
    async fn slices(&self, driver: &str, devices: &[&Allocated]) -> Result<Vec<SliceObject>, Error> {
        let api: Api<SliceObject> = Api::all(self.client.clone());
        let list = async |node: &str| {
            let what = format!("resource slices of driver {driver}");
            self.list(&api, &format!("spec.driver={driver},spec.nodeName={node}"), what).await
        };
        let mut slices = list(&self.node).await?;
        if devices.iter().any(|device| device.driver == driver && describe(&slices, device).is_none()) {
            slices.extend(list("").await?);
        }
        Ok(slices)
    }
}
