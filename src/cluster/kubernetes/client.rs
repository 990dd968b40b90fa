//! The cluster as the API server tells it: two watches, and a question where they are not enough.

use crate::cluster::Cache;
use crate::cluster::error::{Error, READ_PODS, reason};
use crate::cluster::kubernetes::absent::Absent;
use crate::cluster::kubernetes::access::Access;
use crate::cluster::kubernetes::event::{Announcer, Notice};
use crate::cluster::kubernetes::object::{NadObject, PodHead};
use crate::cluster::kubernetes::ready::LastUse;
use crate::cluster::kubernetes::requests::Requests;
use crate::cluster::kubernetes::revisions::Revisions;
use crate::cluster::kubernetes::watch;
use crate::cluster::pod::KnownPod;
use crate::nad::{Definition, NadRef, PodRef};
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

/// How long a definition that is not known may take to arrive by the watch: it was made just before its pod.
const DEFINITION_WAIT: Duration = Duration::from_millis(150);
/// The same while the first list is not complete.
const LIST_WAIT: Duration = Duration::from_millis(1000);
/// How long a pod that is not known may take to arrive by the watch.
const POD_WAIT: Duration = Duration::from_millis(1000);
/// How long the API server may take to answer a question.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// The code with which a server refuses a request because it is busy, or has just started: nothing was done.
const TOO_MANY_REQUESTS: u16 = 429;
/// So often such a request is made again, after so long.
const BUSY: (u32, Duration) = (2, Duration::from_millis(700));
/// Questions at one time, of all pods together: each is a connection, and an answer in memory.
const AT_ONCE: usize = 8;

/// Where pods are read for their annotations only.
const NO_PODS_NEEDED: &str = "grant it (conf/overlays/pod-watch does), or let the runtime pass the pod's annotations (capability io.kubernetes.cri.pod-annotations)";

/// Whether a definition that is not known may have been made a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownNetwork {
    /// It may: somebody makes a network and a pod that selects it with one command.
    MayBeNew,
    /// It is the operator's own name, which every pod of the node asks for, or a tool looks at it: nobody waits for it.
    IsMissing,
}

/// Whether a question about a pod makes the daemon watch the pods of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodWatch {
    /// A runtime that hands no annotations over asks for every pod.
    FromNowOn,
    /// A tool asks once: what is watched, and therefore what readiness waits for, stays as it is.
    AsBefore,
}

/// A cluster's API server.
pub struct Kubernetes {
    pub(in crate::cluster) access: Access,
    pub(in crate::cluster) node: String,
    pub(in crate::cluster) requests: Requests,
    pub(in crate::cluster) announcer: Announcer,
    pub(super) last_use: LastUse,
    broke: Notify,
    /// Of blocks of addresses.
    pub(super) revisions: Revisions,
    watch_seconds: u32,
    cache: Arc<Cache>,
    absent: Absent,
    places: Semaphore,
    pods_wanted: tokio::sync::watch::Sender<bool>,
}

impl Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// The cluster behind `access`, as `node` sees it; fills `cache`. The API server keeps a watch open for
    /// `watch_seconds`.
    pub fn new(access: Access, node: String, watch_seconds: u32, cache: Arc<Cache>, requests: Requests) -> Self {
        Kubernetes {
            access,
            node,
            announcer: Announcer::new(requests.clone()),
            requests,
            last_use: LastUse::now(),
            broke: Notify::new(),
            revisions: Revisions::default(),
            watch_seconds,
            cache,
            absent: Absent::default(),
            places: Semaphore::new(AT_ONCE),
            pods_wanted: tokio::sync::watch::Sender::new(false),
        }
    }

    /// The name of this node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Tells `notice`, sooner or later.
    pub(in crate::cluster) fn announce(&self, notice: Notice) {
        self.announcer.announce(self.access.client().0, notice);
    }

    /// Opens a connection, if none may be open: somebody asks for what is attached now, and a status will follow.
    pub(in crate::cluster) fn expect_status(&self) {
        if !self.last_use.note() {
            return;
        }
        let (client, requests) = (self.access.client().0, self.requests.clone());
        tokio::spawn(async move {
            // Everybody who is known to the API server may ask for this. Only the connection matters.
            let answer = tokio::time::timeout(ANSWER_LIMIT, client.apiserver_version()).await;
            requests.made("get", matches!(answer, Ok(Ok(_))));
        });
    }

    /// Watches definitions, and pods from the first question about one on, for ever.
    pub async fn follow(&self) {
        let pods = async {
            let mut wanted = self.pods_wanted.subscribe();
            // The sender lives as long as we do.
            if wanted.wait_for(|wanted| *wanted).await.is_ok() {
                watch::pods(self.source("pods"), &self.node).await;
            }
        };
        tokio::join!(watch::definitions(self.source("definitions")), pods);
    }

    pub(super) fn source(&self, watch: &'static str) -> watch::Source<'_> {
        let (access, cache, requests, seconds) = (&self.access, &*self.cache, &self.requests, self.watch_seconds);
        watch::Source { watch, access, cache, requests, seconds, broke: &self.broke }
    }

    /// Waits until any watch breaks, which one that broke before is, too.
    pub async fn watch_broke(&self) {
        self.broke.notified().await;
    }

    /// Calls `poke` whenever the AddressNode of this node may have changed, for ever.
    pub async fn follow_address_node(&self, poke: impl Fn()) {
        watch::address_node(self.source("address_node"), &self.node, poke).await;
    }

    /// Whether pods are watched.
    pub fn pods_wanted(&self) -> tokio::sync::watch::Receiver<bool> {
        self.pods_wanted.subscribe()
    }

    /// The definition `nad`; `None` when it is certain that there is none.
    pub async fn definition(&self, nad: &NadRef, unknown: UnknownNetwork) -> Result<Option<Arc<Definition>>, Error> {
        let patience = match (self.cache.definitions_synced(), unknown) {
            // Who tries again does not wait again.
            _ if self.absent.was_just_seen(nad) => Duration::ZERO,
            (false, _) => LIST_WAIT,
            (true, UnknownNetwork::MayBeNew) => DEFINITION_WAIT,
            (true, UnknownNetwork::IsMissing) => Duration::ZERO,
        };
        // One that is too long to be kept has to be asked for each time, at once.
        let look = |cache: &Cache| {
            let found = cache.definition(nad);
            (found.is_some() || cache.is_too_long(nad)).then_some(found)
        };
        let known = self.cache.wait(patience, look).await;
        match known {
            Some(Some(definition)) => return Ok(Some(definition)),
            None if self.absent.was_just_seen(nad) => return Ok(None),
            _ => {}
        }
        // Not put into the cache: the watch may have seen it go since.
        let found = self.get::<NadObject>(nad.namespace(), nad.name(), format!("network {nad}")).await?;
        if found.is_none() {
            self.absent.note(nad);
        }
        Ok(found.and_then(NadObject::into_definition).map(Arc::new))
    }

    /// The annotations of `pod` that are ours to read.
    pub async fn annotations(&self, pod: &PodRef, watch: PodWatch) -> Result<BTreeMap<String, String>, Error> {
        if watch == PodWatch::FromNowOn {
            self.pods_wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        }
        if let Some(uid) = pod.uid() {
            let is_asked = |cache: &Cache| cache.pod(pod).filter(|known| known.is(uid));
            if let Some(known) = self.cache.wait(POD_WAIT, is_asked).await
                && let Some(annotations) = known.annotations()
            {
                return Ok(annotations.clone());
            }
        }
        // Without a UID the one in memory may be the one before.
        let found = self
            .pod(pod)
            .await
            .map_err(|e| e.mended_by(NO_PODS_NEEDED))?
            .ok_or_else(|| Error::NoSuchPod(pod.clone()))?;
        match pod.uid() {
            Some(uid) if !found.is(uid) => {
                Err(Error::OtherPod { pod: pod.clone(), found: found.uid().unwrap_or_default().to_owned() })
            }
            _ => Ok(found.annotations().cloned().unwrap_or_default()),
        }
    }

    /// Asks the API server for the pod of that namespace and name.
    pub(in crate::cluster) async fn pod(&self, pod: &PodRef) -> Result<Option<KnownPod>, Error> {
        let found = self.get::<PodHead>(pod.namespace(), pod.name(), format!("pod {pod}")).await?;
        Ok(found.map(|head| watch::known_pod(&head)))
    }

    /// Asks the API server for one object; `None` when it is certain that there is none.
    pub(in crate::cluster) async fn get<K>(&self, namespace: &str, name: &str, what: String) -> Result<Option<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        self.ask::<K, _, _>("get", what, |client| {
            let api: Api<K> = Api::namespaced(client, namespace);
            async move { api.get_opt(name).await }
        })
        .await
    }

    /// Asks the API server for every object of the cluster that `fields` select.
    pub(in crate::cluster) async fn list<K>(&self, fields: &str, what: String) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let params = &ListParams::default().fields(fields);
        let list = |client| {
            let api: Api<K> = Api::all(client);
            async move { api.list(params).await }
        };
        Ok(self.ask::<K, _, _>("list", what, list).await?.items)
    }

    pub(in crate::cluster) async fn ask<K, T, F>(
        &self,
        verb: &'static str,
        what: String,
        request: impl Fn(Client) -> F,
    ) -> Result<T, Error>
    where
        K: Resource<DynamicType = ()>,
        F: Future<Output = kube::Result<T>>,
    {
        let answer = tokio::time::timeout(ANSWER_LIMIT, async {
            // The semaphore is never closed.
            let _place = self.places.acquire().await;
            for _ in 0..BUSY.0 {
                match self.send(&request).await {
                    Err(kube::Error::Api(status)) if status.code == TOO_MANY_REQUESTS => {
                        tokio::time::sleep(BUSY.1).await;
                    }
                    answer => return answer,
                }
            }
            self.send(&request).await
        })
        .await;
        self.requests.made(verb, matches!(answer, Ok(Ok(_))));
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => {
                Err(Error::Forbidden { what, permission: permission(&K::plural(&())), mend: "grant it" })
            }
            Ok(Err(e)) => Err(Error::Api { what, reason: reason(&e) }),
            Err(_) => Err(Error::Deadline { what, within: ANSWER_LIMIT }),
        }
    }

    /// Sends `request`; once more where it is refused for credentials that were rotated.
    pub(in crate::cluster) async fn send<T, F>(&self, request: impl Fn(Client) -> F) -> kube::Result<T>
    where
        F: Future<Output = kube::Result<T>>,
    {
        self.last_use.note();
        let (client, awaited) = self.access.request().await;
        let number = awaited.number();
        let answer = request(client).await;
        awaited.answered();
        match answer {
            Err(e) if self.access.renew(number, &e).await => request(self.access.client().0).await,
            answer => answer,
        }
    }
}

/// What has to be granted to read `plural`.
fn permission(plural: &str) -> &'static str {
    match plural {
        "pods" => READ_PODS,
        "resourceclaims" => "get resourceclaims.resource.k8s.io",
        "addresspools" => "get and list (the controller of addresses: list and watch) addresspools.ipam.plexus.dev",
        "addressblocks" => "get, list, watch, create, update and delete addressblocks.ipam.plexus.dev",
        "nodes" => "get, list and watch nodes",
        "leases" => "get, create and update leases.coordination.k8s.io",
        "addressnodes" => "get, list, watch, create and update addressnodes.ipam.plexus.dev",
        "addressshortages" => "list, watch, create, update and delete addressshortages.ipam.plexus.dev",
        "addressreservations" => {
            "get, list, create and update (the controller of addresses: list, watch and delete) addressreservations.ipam.plexus.dev"
        }
        "resourceslices" => "list resourceslices.resource.k8s.io",
        "tokenreviews" => "create tokenreviews.authentication.k8s.io",
        "subjectaccessreviews" => "create subjectaccessreviews.authorization.k8s.io",
        _ => "get, list and watch network-attachment-definitions.k8s.cni.cncf.io",
    }
}
