//! The cluster as the API server tells it: two watches, and a question where they are not enough.

use super::error::{ConfigurationError, Error, READ_PODS, reason};
use super::object::{NadObject, PodHead};
use super::pod::KnownPod;
use super::requests::Requests;
use super::{Cache, watch};
use crate::nad::{Definition, NadRef, PodRef};
use kube::api::ListParams;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Resource};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a definition that is not known may take to arrive by the watch: it was made just before its pod.
const DEFINITION_PATIENCE: Duration = Duration::from_millis(150);
/// The same while the first list is not complete.
const LIST_PATIENCE: Duration = Duration::from_millis(1000);
/// How long a pod that is not known may take to arrive by the watch.
const POD_PATIENCE: Duration = Duration::from_millis(1000);
/// How long the API server may take to answer a question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Where pods are read for their annotations only.
const NO_PODS_NEEDED: &str =
    "let the runtime hand over the pod's annotations (capability io.kubernetes.cri.pod-annotations)";

/// A cluster's API server.
pub struct Kubernetes {
    pub(super) client: Client,
    pub(super) node: String,
    pub(super) requests: Requests,
    cache: Arc<Cache>,
    pods_wanted: tokio::sync::watch::Sender<bool>,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("node", &self.node).finish_non_exhaustive()
    }
}

/// How the cluster is reached: by the file at `kubeconfig`, else by $KUBECONFIG, else as a pod of it.
///
/// # Errors
/// There is no such file, it is wrong, or this is no pod.
pub async fn configuration(kubeconfig: Option<&Path>) -> Result<Config, ConfigurationError> {
    let options = KubeConfigOptions::default();
    let mut config = match kubeconfig {
        Some(path) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
        None if std::env::var_os("KUBECONFIG").is_some() => Config::from_kubeconfig(&options).await?,
        None => Config::incluster()?,
    };
    config.connect_timeout = Some(CONNECT_PATIENCE);
    // For lists; watches notice silence themselves, everything else has a deadline of ours.
    config.read_timeout = Some(watch::SILENCE);
    // A request that fails is answered or repeated by us, who know how long there is.
    config.default_retry = false;
    Ok(config)
}

impl Kubernetes {
    /// The cluster that `config` reaches, as `node` sees it; fills `cache`.
    ///
    /// # Errors
    /// The credentials or certificates cannot be used.
    pub fn new(config: Config, node: String, cache: Arc<Cache>, requests: Requests) -> Result<Self, kube::Error> {
        let client = Client::try_from(config)?;
        Ok(Kubernetes { client, node, cache, requests, pods_wanted: tokio::sync::watch::Sender::new(false) })
    }

    /// Watches definitions, and pods from the first question about one on, for ever.
    pub async fn follow(&self) {
        let definitions = watch::definitions(self.client.clone(), &self.cache, &self.requests);
        let pods = async {
            let mut wanted = self.pods_wanted.subscribe();
            // The sender lives as long as we do.
            if wanted.wait_for(|wanted| *wanted).await.is_ok() {
                watch::pods(self.client.clone(), &self.node, &self.cache, &self.requests).await;
            }
        };
        tokio::join!(definitions, pods);
    }

    /// Whether pods are watched.
    pub fn pods_wanted(&self) -> tokio::sync::watch::Receiver<bool> {
        self.pods_wanted.subscribe()
    }

    /// The definition `nad`; `None` when it is certain that there is none.
    pub async fn definition(&self, nad: &NadRef) -> Result<Option<Arc<Definition>>, Error> {
        let patience = if self.cache.definitions_synced() { DEFINITION_PATIENCE } else { LIST_PATIENCE };
        if let Some(known) = self.cache.wait(patience, |cache| cache.definition(nad)).await {
            return Ok(Some(known));
        }
        // Not put into the cache: the watch may have seen it go since.
        let api: Api<NadObject> = Api::namespaced(self.client.clone(), nad.namespace());
        let found = self.get(&api, nad.name(), format!("network {nad}")).await?;
        Ok(found.and_then(NadObject::into_definition).map(Arc::new))
    }

    /// The annotations of `pod` that are ours to read.
    pub async fn annotations(&self, pod: &PodRef) -> Result<BTreeMap<String, String>, Error> {
        self.pods_wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        if let Some(uid) = pod.uid.as_deref() {
            let is_asked = |cache: &Cache| cache.pod(pod).filter(|known| known.is(uid));
            if let Some(known) = self.cache.wait(POD_PATIENCE, is_asked).await {
                return Ok(known.annotations().clone());
            }
        }
        // Without a UID the one in memory may be the one before.
        let found =
            self.pod(pod).await.map_err(|e| e.or(NO_PODS_NEEDED))?.ok_or_else(|| Error::NoSuchPod(pod.clone()))?;
        match pod.uid.as_deref() {
            Some(uid) if !found.is(uid) => {
                Err(Error::OtherPod { pod: pod.clone(), found: found.uid().unwrap_or_default().to_owned() })
            }
            _ => Ok(found.annotations().clone()),
        }
    }

    /// Asks the API server for the pod of that namespace and name.
    pub(super) async fn pod(&self, pod: &PodRef) -> Result<Option<KnownPod>, Error> {
        let api: Api<PodHead> = Api::namespaced(self.client.clone(), &pod.namespace);
        Ok(self.get(&api, &pod.name, format!("pod {pod}")).await?.map(|head| watch::known_pod(&head)))
    }

    /// Asks the API server for one object; `None` when it is certain that there is none.
    pub(super) async fn get<K>(&self, api: &Api<K>, name: &str, what: String) -> Result<Option<K>, Error>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        self.ask::<K, _>("get", what, api.get_opt(name)).await
    }

    /// Asks the API server for every object that `fields` select.
    pub(super) async fn list<K>(&self, api: &Api<K>, fields: &str, what: String) -> Result<Vec<K>, Error>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let params = ListParams::default().fields(fields);
        Ok(self.ask::<K, _>("list", what, api.list(&params)).await?.items)
    }

    async fn ask<K: Resource<DynamicType = ()>, T>(
        &self,
        verb: &'static str,
        what: String,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        let answer = tokio::time::timeout(ANSWER_PATIENCE, answer).await;
        self.requests.made(verb, matches!(answer, Ok(Ok(_))));
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => {
                Err(Error::Forbidden { what, permission: permission(&K::plural(&())), hint: None })
            }
            Ok(Err(e)) => Err(Error::Api { what, reason: reason(&e) }),
            Err(_) => Err(Error::Deadline { what, within: ANSWER_PATIENCE }),
        }
    }
}

/// What has to be granted to read `plural`.
fn permission(plural: &str) -> &'static str {
    match plural {
        "pods" => READ_PODS,
        "resourceclaims" => "get resourceclaims.resource.k8s.io",
        "resourceslices" => "list resourceslices.resource.k8s.io",
        _ => "get, list and watch network-attachment-definitions.k8s.cni.cncf.io",
    }
}
