//! A stub of the kubelet's pod-resources service: real gRPC on a real socket, with the kubelet's habits.
//! Like it, it tells a device at a time, once for each NUMA node, in no particular order, and lets 10
//! calls at once and 100 a second through.

#![allow(dead_code, reason = "every test crate uses a part of it")]

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tonic::server::{Grpc, UnaryService};
use tonic::{Response, Status};
use tonic_prost::ProstCodec;

const BURST: f64 = 10.0;
const PER_SECOND: f64 = 100.0;
/// In the place of a resource.
pub const CLAIM: &str = "claim";

/// A stub that serves; it ends, and its socket goes, when this is dropped.
pub struct Kubelet {
    told: Arc<Mutex<Answers>>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
    socket: std::path::PathBuf,
}

/// What it tells, and how it was asked.
struct Answers {
    pods: Vec<PodResources>,
    healthy: Vec<(String, String)>,
    tells_allocatable: bool,
    takes: Duration,
    answered: usize,
    rejected: usize,
    tokens: f64,
    filled: Instant,
}

/// A container's devices: resource and ID; of the resource [`CLAIM`] the name of a resource claim, and behind `=` the
/// name by which CDI knows its device.
pub type Container<'a> = &'a [(&'a str, &'a str)];

impl Kubelet {
    /// Serves on `socket`, in the namespaces of the calling thread.
    pub fn start(socket: &Path) -> Kubelet {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let told = Answers {
            pods: Vec::new(),
            healthy: Vec::new(),
            tells_allocatable: true,
            takes: Duration::ZERO,
            answered: 0,
            rejected: 0,
            tokens: BURST,
            filled: Instant::now(),
        };
        let told = Arc::new(Mutex::new(told));
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&told);
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Kubelet { told, stop: Some(stop), serving: Some(serving), socket: socket.to_owned() }
    }

    /// Has a pod of the namespace `default`, in the place of the one of that name.
    pub fn pod(&self, name: &str, containers: &[Container<'_>]) {
        let pod = PodResources {
            name: name.into(),
            namespace: "default".into(),
            containers: containers.iter().enumerate().map(|(number, devices)| container(number, devices)).collect(),
        };
        let mut told = self.told.lock().unwrap();
        told.pods.retain(|known| known.name != name);
        told.pods.push(pod);
    }

    /// Has a healthy device of a device plugin, which no pod need have.
    pub fn device(&self, resource: &str, id: &str) {
        self.told.lock().unwrap().healthy.push((resource.into(), id.into()));
    }

    /// Is one that does not tell which devices there are.
    pub fn tells_no_allocatable(&self) {
        self.told.lock().unwrap().tells_allocatable = false;
    }

    /// Takes so long for every answer.
    pub fn takes(&self, time: Duration) {
        self.told.lock().unwrap().takes = time;
    }

    /// How many calls were answered, and how many rejected.
    pub fn calls(&self) -> (usize, usize) {
        let told = self.told.lock().unwrap();
        (told.answered, told.rejected)
    }

    /// Lets nothing through for about this time, as when somebody else asks all the time.
    pub fn exhaust(&self, time: Duration) {
        let mut told = self.told.lock().unwrap();
        told.tokens = 1.0 - time.as_secs_f64() * PER_SECOND;
        told.filled = Instant::now();
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.serving.take().map(JoinHandle::join);
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Each device on its own and twice, the last one first, beside what nobody reads.
fn container(number: usize, devices: Container<'_>) -> ContainerResources {
    let claims = devices.iter().filter(|(resource, _)| *resource == CLAIM);
    let claims = claims.map(|(_, claim)| {
        let (name, cdi) = claim.split_once('=').unwrap_or((claim, ""));
        let device = ClaimResource {
            cdi_devices: vec![CdiDevice { name: format!("example.com/class={cdi}") }],
            driver_name: "gpu.example.com".into(),
            pool_name: "n1".into(),
            device_name: "g0".into(),
        };
        let claim_resources = if cdi.is_empty() { Vec::new() } else { vec![device] };
        DynamicResource { claim_name: name.into(), claim_namespace: "default".into(), claim_resources }
    });
    let claims = claims.collect();
    let told = devices.iter().rev().filter(|(resource, _)| *resource != CLAIM).flat_map(|(resource, id)| {
        [0, 1].map(|node| ContainerDevices {
            resource_name: (*resource).into(),
            device_ids: vec![(*id).into()],
            topology: Some(TopologyInfo { nodes: vec![NumaNode { id: node }] }),
        })
    });
    ContainerResources {
        name: format!("c{number}"),
        devices: told.collect(),
        cpu_ids: vec![1, 2, 300],
        dynamic_resources: claims,
    }
}

async fn serve(listener: UnixListener, told: Arc<Mutex<Answers>>) {
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let told = Arc::clone(&told);
        let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let told = Arc::clone(&told);
            async move {
                if request.uri().path() == "/v1.PodResourcesLister/GetAllocatableResources" {
                    let allocatable = Allocatable { told };
                    return Ok(Grpc::new(ProstCodec::default()).unary(allocatable, request).await);
                }
                let list = List { told, known: request.uri().path() == "/v1.PodResourcesLister/List" };
                Ok::<_, Infallible>(Grpc::new(ProstCodec::default()).unary(list, request).await)
            }
        });
        tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer));
    }
}

struct List {
    told: Arc<Mutex<Answers>>,
    known: bool,
}

impl UnaryService<ListPodResourcesRequest> for List {
    type Response = ListPodResourcesResponse;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ListPodResourcesResponse>, Status>> + Send>>;

    fn call(&mut self, _: tonic::Request<ListPodResourcesRequest>) -> Self::Future {
        let (told, known) = (Arc::clone(&self.told), self.known);
        Box::pin(async move {
            if !known {
                return Err(Status::unimplemented("unknown method"));
            }
            let takes = told.lock().unwrap().admit()?;
            tokio::time::sleep(takes).await;
            let pod_resources = told.lock().unwrap().pods.clone();
            Ok(Response::new(ListPodResourcesResponse { pod_resources }))
        })
    }
}

struct Allocatable {
    told: Arc<Mutex<Answers>>,
}

impl UnaryService<ListPodResourcesRequest> for Allocatable {
    type Response = AllocatableResourcesResponse;
    type Future = Pin<Box<dyn Future<Output = Result<Response<AllocatableResourcesResponse>, Status>> + Send>>;

    fn call(&mut self, _: tonic::Request<ListPodResourcesRequest>) -> Self::Future {
        let told = Arc::clone(&self.told);
        Box::pin(async move {
            let mut told = told.lock().unwrap();
            if !told.tells_allocatable {
                return Err(Status::unimplemented("API GetAllocatableResources disabled"));
            }
            told.admit()?;
            let devices = told.healthy.iter().map(|(resource, id)| ContainerDevices {
                resource_name: resource.clone(),
                device_ids: vec![id.clone()],
                topology: None,
            });
            Ok(Response::new(AllocatableResourcesResponse { devices: devices.collect() }))
        })
    }
}

impl Answers {
    fn admit(&mut self) -> Result<Duration, Status> {
        let now = Instant::now();
        self.tokens = BURST.min(self.tokens + (now - self.filled).as_secs_f64() * PER_SECOND);
        self.filled = now;
        if self.tokens < 1.0 {
            self.rejected += 1;
            return Err(Status::resource_exhausted("rejected by rate limit"));
        }
        self.tokens -= 1.0;
        self.answered += 1;
        Ok(self.takes)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ListPodResourcesRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct ListPodResourcesResponse {
    #[prost(message, repeated, tag = "1")]
    pod_resources: Vec<PodResources>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PodResources {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(message, repeated, tag = "3")]
    containers: Vec<ContainerResources>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ContainerResources {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    devices: Vec<ContainerDevices>,
    #[prost(int64, repeated, tag = "3")]
    cpu_ids: Vec<i64>,
    #[prost(message, repeated, tag = "5")]
    dynamic_resources: Vec<DynamicResource>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DynamicResource {
    #[prost(string, tag = "2")]
    claim_name: String,
    #[prost(string, tag = "3")]
    claim_namespace: String,
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
    #[prost(message, optional, tag = "3")]
    topology: Option<TopologyInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TopologyInfo {
    #[prost(message, repeated, tag = "1")]
    nodes: Vec<NumaNode>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct NumaNode {
    #[prost(int64, tag = "1")]
    id: i64,
}
