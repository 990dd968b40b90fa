//! What a person's tool asks of the API server: single questions and whole lists, with the rights of that person.
//!
//! Synchronous: a command asks, waits, and prints. The daemon has [`super::client`] instead.

mod addresses;
mod changes;
mod events;
mod exec;
mod installed;
mod manifests;
mod objects;
mod probes;
mod trust;
mod way;

pub use addresses::{SeenAddresses, SeenBlock};
pub use events::SeenDaemonSet;
pub use exec::{Finished, Job};
pub use objects::{SeenEvent, SeenNode, SeenPod};
pub use trust::SeenPolicy;
pub(in crate::cluster) use way::configuration;

use crate::cluster::error::reason;
use crate::cluster::kubernetes::object::NadObject;
use crate::cluster::kubernetes::whereabouts;
use crate::nad::{Definition, NadRef};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// So many objects of a list come in one answer.
const PAGE: u32 = 250;
/// How long the API server may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// What every pod of Plexus' DaemonSet has.
const DAEMON_LABELS: &str = "app.kubernetes.io/name=plexus,app.kubernetes.io/component!=address-controller";
/// Where the manifests put them.
const DAEMON_NAMESPACE: &str = "kube-system";

/// Why a question has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unanswered {
    /// There is no way to the cluster.
    #[error("the cluster cannot be reached: {0}")]
    NoWay(String),
    /// The API server refused.
    #[error("{what}: {reason}")]
    Refused {
        /// What was asked.
        what: String,
        /// What the API server answered.
        reason: String,
    },
    /// There is no API server at its address now.
    #[error("{what}: {reason}")]
    Unreachable {
        /// What was asked.
        what: String,
        /// Why, with the address.
        reason: String,
    },
    /// It did not answer.
    #[error("{what}: the API server {server} did not answer within {limit} s", limit = ANSWER_LIMIT.as_secs())]
    Silent {
        /// What was asked.
        what: String,
        /// Its address.
        server: String,
    },
    /// The API server does not let this person run a command in a container.
    #[error("{what}: {reason}; grant the verbs get and create of pods/exec in namespace {namespace}")]
    NoExec {
        /// The container.
        what: String,
        /// What the API server answered.
        reason: String,
        /// The namespace of the pod.
        namespace: String,
    },
    /// A command did not end in time.
    #[error("{what}: the command did not end within {seconds} s")]
    Late {
        /// The container.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl Unanswered {
    /// Whether it is for want of a right.
    pub fn is_forbidden(&self) -> bool {
        match self {
            Unanswered::NoExec { .. } => true,
            Unanswered::Refused { reason, .. } => reason.contains(" is forbidden: "),
            _ => false,
        }
    }

    /// Whether a moment later there may be an answer: nobody has refused.
    pub fn can_pass(&self) -> bool {
        matches!(self, Unanswered::Unreachable { .. } | Unanswered::Silent { .. })
    }
}

/// Which pods.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Of this namespace; of all where there is none.
    pub namespace: Option<String>,
    /// With these labels.
    pub labels: Option<String>,
    /// On this node.
    pub node: Option<String>,
}

/// A change of the pods that are watched.
#[derive(Debug)]
pub enum Change {
    /// All that there are now.
    All(Vec<SeenPod>),
    /// One is new, or another than before.
    One(Box<SeenPod>),
    /// One is gone.
    Gone(Box<SeenPod>),
}

/// The way to a cluster.
pub struct Inquiry {
    runtime: Runtime,
    client: Client,
    namespace: String,
    /// The address of the API server.
    server: String,
}

impl Debug for Inquiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inquiry").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Inquiry {
    /// The cluster of `context` in `kubeconfig`; without them the one that kubectl would ask.
    ///
    /// # Errors
    /// There is no such file or context, or its credentials cannot be used.
    pub fn open(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Self, Unanswered> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|e| Unanswered::NoWay(e.to_string()))?;
        let config = runtime.block_on(configuration(kubeconfig, context)).map_err(Unanswered::NoWay)?;
        let (namespace, server) = (config.default_namespace.clone(), config.cluster_url.to_string());
        let inside = runtime.enter();
        let user = config.auth_info.clone();
        let client = Client::try_from(config);
        let client = client.map_err(|e| Unanswered::NoWay(way::without_credentials(&user, &reason(&e))))?;
        drop(inside);
        Ok(Inquiry { runtime, client, namespace, server })
    }

    /// The namespace of the context.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The pods of `scope`.
    ///
    /// # Errors
    /// The API server refused, or did not answer.
    pub fn pods(&self, scope: &Scope) -> Result<Vec<SeenPod>, Unanswered> {
        let mut params = ListParams::default();
        params.label_selector.clone_from(&scope.labels);
        params.field_selector = scope.node.as_ref().map(|node| format!("spec.nodeName={node}"));
        Ok(self.list::<Pod>(&self.of(scope), params, "the pods")?.into_iter().map(SeenPod::from).collect())
    }

    /// The pod `namespace/name`; `None` where there is none.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn pod(&self, namespace: &str, name: &str) -> Result<Option<SeenPod>, Unanswered> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = self.answer(&format!("pod {namespace}/{name}"), api.get_opt(name))?;
        Ok(found.map(SeenPod::from))
    }

    /// The pods of Plexus' DaemonSet. A pod of another namespace is not Plexus', whatever its labels.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn daemons(&self, node: Option<&str>) -> Result<Vec<SeenPod>, Unanswered> {
        let namespace = Some(self.daemon_namespace());
        self.pods(&Scope { labels: Some(DAEMON_LABELS.to_owned()), node: node.map(str::to_owned), namespace })
    }

    /// The NAD `nad`; `None` where there is none.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn definition(&self, nad: &NadRef) -> Result<Option<Definition>, Unanswered> {
        let api: Api<NadObject> = Api::namespaced(self.client.clone(), nad.namespace());
        let found = self.answer(&format!("network {nad}"), api.get_opt(nad.name()))?;
        Ok(found.and_then(NadObject::into_definition))
    }

    /// Every NAD.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn definitions(&self) -> Result<Vec<Definition>, Unanswered> {
        self.definitions_of(&Scope::default())
    }

    /// Every NAD of the namespace of `scope`, or of all.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn definitions_of(&self, scope: &Scope) -> Result<Vec<Definition>, Unanswered> {
        let api: Api<NadObject> = self.of(scope);
        let found = self.list(&api, ListParams::default(), "the NetworkAttachmentDefinitions")?;
        Ok(found.into_iter().filter_map(NadObject::into_definition).collect())
    }

    /// Every node.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn nodes(&self) -> Result<Vec<SeenNode>, Unanswered> {
        let api: Api<Node> = Api::all(self.client.clone());
        Ok(self.list(&api, ListParams::default(), "the nodes")?.into_iter().map(SeenNode::from).collect())
    }

    /// Whether the cluster has whereabouts.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn has_whereabouts(&self) -> Result<bool, Unanswered> {
        self.answer("the resources of whereabouts", whereabouts::is_there(self.client.clone()))
    }

    /// The node `name`; `None` where there is none.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn node(&self, name: &str) -> Result<Option<SeenNode>, Unanswered> {
        let api: Api<Node> = Api::all(self.client.clone());
        Ok(self.answer(&format!("node {name}"), api.get_opt(name))?.map(SeenNode::from))
    }

    /// Calls `changed` for the pods of `scope`, and for each change, until it breaks off.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`]; the watch was interrupted.
    pub fn watch(&self, scope: &Scope, mut changed: impl FnMut(Change) -> ControlFlow<()>) -> Result<(), Unanswered> {
        let mut config = watcher::Config::default();
        config.label_selector.clone_from(&scope.labels);
        let failed = |e: watcher::Error| Unanswered::Refused {
            what: "the watch of the pods".to_owned(),
            reason: crate::cluster::error::watch_reason(&e),
        };
        self.runtime.block_on(async {
            let mut events = pin!(watcher(self.of::<Pod>(scope), config));
            let mut first = Vec::new();
            while let Some(event) = events.try_next().await.map_err(failed)? {
                let change = match event {
                    watcher::Event::Init => continue,
                    watcher::Event::InitApply(pod) => {
                        first.push(SeenPod::from(pod));
                        continue;
                    }
                    watcher::Event::InitDone => Change::All(std::mem::take(&mut first)),
                    watcher::Event::Apply(pod) => Change::One(Box::new(pod.into())),
                    watcher::Event::Delete(pod) => Change::Gone(Box::new(pod.into())),
                };
                if changed(change).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The objects of `scope`'s namespace, or of all.
    fn of<K>(&self, scope: &Scope) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match &scope.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    fn list<K>(&self, api: &Api<K>, params: ListParams, what: &str) -> Result<Vec<K>, Unanswered>
    where
        K: Resource + Clone + Debug + DeserializeOwned,
    {
        let mut params = params.limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = self.answer(what, api.list(&params))?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(found),
            }
        }
    }

    fn answer<T>(&self, what: &str, asked: impl Future<Output = kube::Result<T>>) -> Result<T, Unanswered> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(ANSWER_LIMIT, asked).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => {
                let (what, reason) = (what.to_owned(), self.reason(&e));
                let is_answer = matches!(e, kube::Error::Api(_));
                Err(if is_answer {
                    Unanswered::Refused { what, reason }
                } else {
                    Unanswered::Unreachable { what, reason }
                })
            }
            Err(_) => Err(Unanswered::Silent { what: what.to_owned(), server: self.server.clone() }),
        }
    }

    /// What went wrong in one line: of a connection with the address, and of an unknown kind of objects what it means.
    fn reason(&self, error: &kube::Error) -> String {
        match error {
            kube::Error::Api(status) if status.code == 401 => {
                format!(
                    "{}: the API server does not take the credentials of the kubeconfig; log in again",
                    reason(error)
                )
            }
            kube::Error::Api(_) => reason(error),
            _ => format!("{}: {}", self.server.trim_end_matches('/'), reason(error)),
        }
    }
}
