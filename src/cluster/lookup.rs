//! What the daemon asks of the cluster, whichever source it has.

use super::canary::Canary;
use super::copies::Copies;
use super::directory::Directory;
use super::kubernetes::Kubernetes;
use super::{Cache, Error, Outcome, Progress, Requests, event, has_valid_name, publish_file};
use crate::api::{Publication, RunDirectory, StateDirectory};
use crate::nad::{Definition, NadRef, PodRef};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How often a folder is looked at when nobody asks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where pods and definitions come from.
#[derive(Debug)]
pub enum Origin {
    /// A folder of manifests.
    Directory(Directory),
    /// An API server.
    Kubernetes(Kubernetes),
}

/// The cluster as the daemon sees it.
#[derive(Debug)]
pub struct Cluster {
    cache: Arc<Cache>,
    origin: Origin,
    copies: Arc<Copies>,
    run: RunDirectory,
    state: StateDirectory,
    requests: Requests,
    canary: Canary,
}

impl Cluster {
    /// The cluster in the folder of manifests at `path`.
    pub fn in_directory(path: PathBuf, state: StateDirectory, run: RunDirectory) -> Self {
        let cache = Arc::new(Cache::default());
        let origin = Origin::Directory(Directory::new(path, Arc::clone(&cache)));
        Cluster {
            cache,
            origin,
            copies: Arc::new(Copies::open(run.clone())),
            run,
            state,
            requests: Requests::default(),
            canary: Canary::default(),
        }
    }

    /// The cluster that `config` reaches, as `node` sees it.
    ///
    /// # Errors
    /// The credentials or certificates cannot be used.
    pub fn in_kubernetes(
        config: kube::Config,
        node: String,
        state: StateDirectory,
        run: RunDirectory,
    ) -> Result<Self, kube::Error> {
        let (cache, requests) = (Arc::new(Cache::default()), Requests::default());
        let origin = Origin::Kubernetes(Kubernetes::new(config, node, Arc::clone(&cache), requests.clone())?);
        Ok(Cluster {
            cache,
            origin,
            copies: Arc::new(Copies::open(run.clone())),
            run,
            state,
            requests,
            canary: Canary::default(),
        })
    }

    /// Where pods and definitions come from, in words.
    pub fn source(&self) -> String {
        match &self.origin {
            Origin::Directory(directory) => format!("folder {}", directory.path().display()),
            Origin::Kubernetes(kubernetes) => format!("kubernetes, as node {}", kubernetes.node),
        }
    }

    /// What an operator should mend: manifests of the folder that cannot be read.
    pub fn warnings(&self) -> Vec<String> {
        match &self.origin {
            Origin::Directory(directory) => directory.unreadable(),
            Origin::Kubernetes(_) => Vec::new(),
        }
    }

    /// What was asked of the API server, counted.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Waits until pods are watched; for ever where they need not be.
    pub async fn pods_wanted(&self) {
        match &self.origin {
            // The sender lives as long as we do.
            Origin::Kubernetes(kubernetes) => drop(kubernetes.pods_wanted().wait_for(|wanted| *wanted).await),
            Origin::Directory(_) => std::future::pending().await,
        }
    }

    /// What is known in memory.
    pub fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Follows the source and keeps the last-known copies, for ever.
    pub async fn follow(&self) {
        let copies = Arc::clone(&self.copies).follow(Arc::clone(&self.cache));
        let source = async {
            match &self.origin {
                Origin::Directory(directory) => loop {
                    directory.refresh();
                    if self.cache.confirmed() {
                        publish_file::forget(&self.run, &self.state, &self.cache);
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                },
                Origin::Kubernetes(kubernetes) => {
                    tokio::join!(kubernetes.follow(), self.canary.follow(kubernetes));
                }
            }
        };
        tokio::join!(copies, source);
    }

    /// The plugin has copies of `nads`: from now on it is left word of what becomes of them.
    pub fn follow_copies(&self, nads: &[NadRef]) {
        self.copies.follow_too(nads);
    }

    /// The definition `nad`; `None` when it is certain that there is none.
    ///
    /// # Errors
    /// It is neither known nor certainly absent.
    pub async fn definition(&self, nad: &NadRef) -> Result<Option<Arc<Definition>>, Error> {
        let found = match &self.origin {
            Origin::Directory(directory) => {
                directory.refresh();
                let nad = || nad.clone();
                // Absence is certain only while the folder and all of its files can be read.
                match (self.cache.definition(&nad()), directory.unreadable().pop()) {
                    (Some(found), _) => Some(found),
                    (None, _) if !self.cache.confirmed() => {
                        return Err(Error::FolderUnread { nad: nad(), folder: directory.path().to_owned() });
                    }
                    (None, Some(file)) => return Err(Error::FileUnread { nad: nad(), file }),
                    (None, None) => None,
                }
            }
            Origin::Kubernetes(kubernetes) => kubernetes.definition(nad).await?,
        };
        if let Some(definition) = &found {
            self.copies.keep(definition);
        }
        Ok(found)
    }

    /// The annotations of `pod` that are ours to read.
    ///
    /// # Errors
    /// It is not known, or only an older pod of its name is.
    pub async fn annotations(&self, pod: &PodRef) -> Result<BTreeMap<String, String>, Error> {
        if !has_valid_name(pod) {
            return Err(Error::InvalidPod(pod.clone()));
        }
        match &self.origin {
            Origin::Directory(directory) => {
                directory.refresh();
                let known = self.cache.pod(pod).ok_or_else(|| Error::NoSuchPod(pod.clone()))?;
                match pod.uid.as_deref() {
                    Some(asked) if !known.is(asked) => {
                        Err(Error::OtherPod { pod: pod.clone(), found: known.uid().unwrap_or_default().to_owned() })
                    }
                    _ => Ok(known.annotations().clone()),
                }
            }
            Origin::Kubernetes(kubernetes) => kubernetes.annotations(pod).await,
        }
    }

    /// The devices that resource claims gave to `pod`, by resource; none in a folder of manifests.
    ///
    /// # Errors
    /// They are not known.
    pub async fn claimed_devices(&self, pod: &PodRef) -> Result<BTreeMap<String, Vec<String>>, Error> {
        if !has_valid_name(pod) {
            return Err(Error::InvalidPod(pod.clone()));
        }
        match &self.origin {
            Origin::Directory(_) => Ok(BTreeMap::new()),
            Origin::Kubernetes(kubernetes) => kubernetes.claimed_devices(pod).await,
        }
    }

    /// Tells in an event of this node, where there is a cluster to tell it to, what is wrong with it.
    pub fn announce_on_node(&self, reason: &str, why: &str) {
        if let Origin::Kubernetes(kubernetes) = &self.origin {
            kubernetes.announce(Some(event::on_node(&kubernetes.node, reason, why)));
        }
    }

    /// Whether the admission policy guards what the daemon may write.
    pub fn canary(&self) -> &Canary {
        &self.canary
    }

    /// Tests the admission policy on `own`, the daemon's own pod, from [`Cluster::follow`] on; with `required`
    /// nothing is published before it is seen to guard.
    #[must_use]
    pub fn with_canary(mut self, own: Option<PodRef>, required: bool) -> Self {
        self.canary = Canary::new(own, required);
        self
    }

    /// Tries once to put `publication` on its pod.
    pub async fn publish(&self, publication: &Publication, progress: &mut Progress) -> Outcome {
        match &self.origin {
            Origin::Directory(_) => publish_file::publish(&self.run, &self.state, &self.cache, publication),
            Origin::Kubernetes(kubernetes) => match self.canary.objection() {
                Some(why) => Outcome::Later(why),
                None => kubernetes.publish(publication, progress).await,
            },
        }
    }
}
