//! The devices that the kubelet allocated to pods, as its pod-resources socket tells them.
//!
//! It is always asked for all pods of the node (`List`, there since Kubernetes 1.20). `Get`, for one pod, is
//! on by default since 1.34, but the kubelet lets 10 calls at once and 100 a second through, from
//! everybody on the node together, and one `List` answers everybody who waits. Neither tells a pod's UID:
//! it is the kubelet that knows only one pod of a name at a time.

use crate::grpc;
use crate::grpc::GrpcError;
use crate::nad::PodRef;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

/// How long the kubelet may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// The shortest time from one call to the next: half of what the kubelet lets through is for others.
const PAUSE: Duration = Duration::from_millis(20);
const LIST: &str = "/v1.PodResourcesLister/List";
const ALLOCATABLE: &str = "/v1.PodResourcesLister/GetAllocatableResources";
/// How long it is remembered which resources device plugins have.
const REMEMBERED: Duration = Duration::from_secs(1);

/// Devices by resource, in the order in which they are given to networks.
pub type Devices = BTreeMap<String, Vec<String>>;

/// What the kubelet tells of a pod.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// What its containers got from device plugins.
    pub devices: Devices,
    /// What they got from resource claims, as far as CDI knows it.
    pub claims: Vec<ClaimDevice>,
    /// Whether its containers use resource claims; a pod may have others beside these.
    pub uses_claims: bool,
}

/// A device that a resource claim gave to a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimDevice {
    /// The claim's name.
    pub claim: String,
    /// With the two others: which device.
    pub driver: String,
    /// See `driver`.
    pub pool: String,
    /// See `driver`.
    pub device: String,
    /// What CDI knows it by, without vendor and class.
    pub ids: Vec<String>,
}

/// Why it is not known which devices a pod has.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubelet did not answer in time.
    #[error("the kubelet did not answer on {socket} within {within:?}")]
    Deadline {
        /// Where it was asked.
        socket: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The kubelet cannot be asked.
    #[error("the kubelet cannot be asked on {socket}: {source}")]
    Unasked {
        /// Where it was asked.
        socket: String,
        /// Why it did not work.
        source: Arc<GrpcError>,
    },
    /// It has no such pod, or not yet.
    #[error("the kubelet does not know that pod")]
    UnknownPod,
}

/// The kubelet's pod-resources socket.
#[derive(Debug)]
pub struct PodResources {
    socket: PathBuf,
    /// Locked while the kubelet is asked: who comes meanwhile waits for the next call, together.
    last: Mutex<Option<Call>>,
    /// The resources of device plugins, when they were asked for last.
    plugins: Mutex<Option<(Instant, BTreeSet<String>)>>,
}

/// A call that has ended.
#[derive(Debug)]
struct Call {
    begun: Instant,
    answer: Answer,
}

type Answer = Result<Arc<ListPodResourcesResponse>, Arc<GrpcError>>;

impl PodResources {
    /// The one at `socket`, which need not be there yet.
    pub fn at(socket: PathBuf) -> Self {
        PodResources { socket, last: Mutex::new(None), plugins: Mutex::new(None) }
    }

    /// What was allocated to `pod`.
    ///
    /// # Errors
    /// It is not known; asking again may help.
    pub async fn allocated(&self, pod: &PodRef) -> Result<Allocated, Error> {
        let socket = || self.socket.display().to_string();
        let answer = timeout(ANSWER_LIMIT, self.answer_since(Instant::now())).await;
        let answer = answer.map_err(|_| Error::Deadline { socket: socket(), within: ANSWER_LIMIT })?;
        let pods = answer.map_err(|source| Error::Unasked { socket: socket(), source })?;
        pods.allocated(pod).ok_or(Error::UnknownPod)
    }

    /// Whether a device plugin of this node has, or gave, devices of `resource`.
    ///
    /// # Errors
    /// It is not known: a kubelet before 1.28 may not tell.
    pub async fn has_plugin(&self, resource: &str) -> Result<bool, Error> {
        let socket = || self.socket.display().to_string();
        let resources = timeout(ANSWER_LIMIT, self.plugins()).await;
        let resources = resources.map_err(|_| Error::Deadline { socket: socket(), within: ANSWER_LIMIT })?;
        let resources = resources.map_err(|source| Error::Unasked { socket: socket(), source })?;
        Ok(resources.contains(resource))
    }

    async fn plugins(&self) -> Result<BTreeSet<String>, Arc<GrpcError>> {
        let mut last = self.plugins.lock().await;
        if let Some((asked, known)) = last.as_ref().filter(|(asked, _)| asked.elapsed() < REMEMBERED) {
            tracing::trace!(age = ?asked.elapsed(), "resources of device plugins are known");
            return Ok(known.clone());
        }
        let asked = Instant::now();
        // A plugin that went, or whose devices are ill, has some that pods still have.
        let given = self.answer_since(asked).await?;
        sleep_until(Instant::now() + PAUSE).await;
        let healthy: AllocatableResourcesResponse =
            grpc::call(&self.socket, ALLOCATABLE, &AllocatableResourcesRequest {}, ANSWER_LIMIT).await?;
        let containers = given.pod_resources.iter().flat_map(|pod| &pod.containers);
        let devices = containers.flat_map(|container| &container.devices).chain(&healthy.devices);
        let resources: BTreeSet<String> = devices.map(|devices| devices.resource_name.clone()).collect();
        *last = Some((asked, resources.clone()));
        Ok(resources)
    }

    /// The answer of a call that began after `asked`: an older one may be about a predecessor of the pod.
    async fn answer_since(&self, asked: Instant) -> Answer {
        let mut last = self.last.lock().await;
        loop {
            if let Some(call) = last.as_ref() {
                let exhausted = call.answer.as_ref().is_err_and(|e| e.is_exhausted());
                if call.begun >= asked && !exhausted {
                    return call.answer.clone();
                }
                sleep_until(call.begun + PAUSE).await;
            }
            let begun = Instant::now();
            let answer = grpc::call(&self.socket, LIST, &ListPodResourcesRequest {}, ANSWER_LIMIT).await;
            *last = Some(Call { begun, answer: answer.map(Arc::new).map_err(Arc::new) });
        }
    }
}

/// What was allocated to `pod` by the `body` of the kubelet's answer; none where the kubelet does not know the pod.
///
/// # Errors
/// It is no answer.
pub fn allocated_in(body: &[u8], pod: &PodRef) -> Result<Option<Allocated>, GrpcError> {
    let pods: ListPodResourcesResponse = grpc::unframed(body)?;
    Ok(pods.allocated(pod))
}

impl ListPodResourcesResponse {
    fn allocated(&self, pod: &PodRef) -> Option<Allocated> {
        let mut pods = self.pod_resources.iter();
        let known = pods.find(|known| known.namespace == pod.namespace() && known.name == pod.name())?;
        let uses_claims = known.containers.iter().any(|container| !container.dynamic_resources.is_empty());
        Some(Allocated { devices: known.in_order(), claims: known.claims(), uses_claims })
    }
}

impl PodDevices {
    /// Container by container as the pod has them, so that a container's devices stay together and
    /// the first network takes the first container's (multus-cni#1540). The order within a container is
    /// the alphabet's: the kubelet keeps no order there and tells another one each time. A device that
    /// belongs to several NUMA nodes is told once for each of them.
    fn in_order(&self) -> Devices {
        let mut all = Devices::new();
        for container in &self.containers {
            let mut own: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for devices in &container.devices {
                own.entry(&devices.resource_name).or_default().extend(devices.device_ids.iter().map(String::as_str));
            }
            for (resource, ids) in own {
                let before = all.entry(resource.to_owned()).or_default();
                for id in ids {
                    if !before.iter().any(|known| known == id) {
                        before.push(id.to_owned());
                    }
                }
            }
        }
        all.retain(|_, devices| !devices.is_empty());
        all
    }

    /// What claims gave, each device once, in the containers' order.
    fn claims(&self) -> Vec<ClaimDevice> {
        let mut all: Vec<ClaimDevice> = Vec::new();
        for claim in self.containers.iter().flat_map(|container| &container.dynamic_resources) {
            for given in &claim.claim_resources {
                let device = ClaimDevice {
                    claim: claim.claim_name.clone(),
                    driver: given.driver_name.clone(),
                    pool: given.pool_name.clone(),
                    device: given.device_name.clone(),
                    // vendor/class=name
                    ids: given
                        .cdi_devices
                        .iter()
                        .filter_map(|cdi| Some(cdi.name.split_once('=')?.1.to_owned()))
                        .collect(),
                };
                if !all.contains(&device) {
                    all.push(device);
                }
            }
        }
        all
    }
}

// What we read of k8s.io/kubelet/pkg/apis/podresources/v1/api.proto; the rest is passed over.

#[derive(Clone, PartialEq, prost::Message)]
struct ListPodResourcesRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct ListPodResourcesResponse {
    #[prost(message, repeated, tag = "1")]
    pod_resources: Vec<PodDevices>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodDevices {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(message, repeated, tag = "3")]
    containers: Vec<ContainerResources>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerResources {
    #[prost(message, repeated, tag = "2")]
    devices: Vec<ContainerDevices>,
    #[prost(message, repeated, tag = "5")]
    dynamic_resources: Vec<DynamicResource>,
}

/// A claim.
#[derive(Clone, PartialEq, prost::Message)]
struct DynamicResource {
    #[prost(string, tag = "2")]
    claim_name: String,
    #[prost(message, repeated, tag = "4")]
    claim_resources: Vec<ClaimResource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ClaimResource {
    #[prost(message, repeated, tag = "1")]
    cdi_devices: Vec<CdiDevice>,
    #[prost(string, tag = "2")]
    driver_name: String,
    #[prost(string, tag = "3")]
    pool_name: String,
    #[prost(string, tag = "4")]
    device_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CdiDevice {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AllocatableResourcesRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct AllocatableResourcesResponse {
    #[prost(message, repeated, tag = "1")]
    devices: Vec<ContainerDevices>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerDevices {
    #[prost(string, tag = "1")]
    resource_name: String,
    #[prost(string, repeated, tag = "2")]
    device_ids: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod whose containers have these devices, each told on its own as the kubelet does.
    fn pod(containers: &[&[(&str, &str)]]) -> PodDevices {
        let devices = |(resource, id): &(&str, &str)| ContainerDevices {
            resource_name: (*resource).into(),
            device_ids: vec![(*id).into()],
        };
        let container = |told: &&[(&str, &str)]| ContainerResources {
            devices: told.iter().map(devices).collect(),
            ..ContainerResources::default()
        };
        PodDevices { name: "p".into(), namespace: "ns".into(), containers: containers.iter().map(container).collect() }
    }

    #[test]
    fn containers_stay_in_order_and_their_devices_get_one() {
        let devices = pod(&[&[("r", "b2"), ("q", "x"), ("r", "b1")], &[], &[("r", "a2"), ("r", "a1")]]).in_order();
        assert_eq!(devices["r"], ["b1", "b2", "a1", "a2"]);
        assert_eq!(devices["q"], ["x"]);
    }

    #[test]
    fn a_device_of_two_numa_nodes_is_one_device() {
        assert_eq!(pod(&[&[("r", "a"), ("r", "b"), ("r", "a")], &[("r", "b")]]).in_order()["r"], ["a", "b"]);
        let mut none = pod(&[&[("r", "a")]]);
        none.containers[0].devices[0].device_ids.clear();
        assert!(none.in_order().is_empty());
    }
}
