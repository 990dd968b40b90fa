//! What the daemon asks of the cluster, whichever source it has.

use super::copies::Copies;
use super::{Access, Attempt, Cache, Claimed, Error, Notice, Outcome, PodWatch, Progress, Requests, UnknownNetwork};
use crate::api::{Publication, RunDirectory, StateDirectory};
use crate::cluster::kubernetes::canary::Canary;
use crate::cluster::kubernetes::client::Kubernetes;
use crate::cluster::kubernetes::event;
use crate::cluster::manifests::publish;
use crate::cluster::manifests::source::Directory;
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
    Directory(Arc<Directory>),
    /// An API server.
    Kubernetes(Box<Kubernetes>),
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
        let origin = Origin::Directory(Arc::new(Directory::new(path, Arc::clone(&cache))));
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

    /// The cluster behind `access`, as `node` sees it; the API server keeps a watch open for `watch_seconds`.
    pub fn in_kubernetes(
        access: Access,
        node: String,
        watch_seconds: u32,
        state: StateDirectory,
        run: RunDirectory,
    ) -> Self {
        let (cache, requests) = (Arc::new(Cache::default()), Requests::default());
        let kubernetes = Kubernetes::new(access, node, watch_seconds, Arc::clone(&cache), requests.clone());
        Cluster {
            cache,
            origin: Origin::Kubernetes(Box::new(kubernetes)),
            copies: Arc::new(Copies::open(run.clone())),
            run,
            state,
            requests,
            canary: Canary::default(),
        }
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

    /// Why the folder of manifests cannot be read: what changes in it is not seen.
    pub fn source_error(&self) -> Option<String> {
        match &self.origin {
            Origin::Directory(directory) => directory.error(),
            Origin::Kubernetes(_) => None,
        }
    }

    /// The API server, where there is one.
    pub fn kubernetes(&self) -> Option<&Kubernetes> {
        match &self.origin {
            Origin::Directory(_) => None,
            Origin::Kubernetes(kubernetes) => Some(kubernetes),
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
                    refresh(directory).await;
                    if self.cache.confirmed() {
                        let (run, state, cache) = (self.run.clone(), self.state.clone(), Arc::clone(&self.cache));
                        off_the_loop(move || publish::forget(&run, &state, &cache)).await;
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

    /// A network-status will have to be written soon: gets ready for it.
    pub fn expect_status(&self) {
        if let Origin::Kubernetes(kubernetes) = &self.origin {
            kubernetes.expect_status();
        }
    }

    /// The definition `nad`; `None` when it is certain that there is none.
    ///
    /// # Errors
    /// It is neither known nor certainly absent.
    pub async fn definition(&self, nad: &NadRef, unknown: UnknownNetwork) -> Result<Option<Arc<Definition>>, Error> {
        let found = match &self.origin {
            Origin::Directory(directory) => {
                refresh(directory).await;
                let nad = || nad.clone();
                // Absence is certain only while the folder and all of its files can be read.
                match (self.cache.definition(&nad()), directory.unreadable().pop()) {
                    (Some(found), _) => Some(found),
                    (None, Some(file)) => return Err(Error::FileUnread { nad: nad(), file }),
                    (None, None) if !self.cache.confirmed() => {
                        return Err(Error::FolderUnread { nad: nad(), folder: directory.path().to_owned() });
                    }
                    (None, None) => None,
                }
            }
            Origin::Kubernetes(kubernetes) => kubernetes.definition(nad, unknown).await?,
        };
        // The copies are in memory, too.
        if let Some(definition) = found.as_ref().filter(|definition| Cache::is_short(definition)) {
            self.copies.keep(definition);
        }
        Ok(found)
    }

    /// The annotations of `pod` that are ours to read; `watch`: whether further questions about pods are expected.
    ///
    /// # Errors
    /// It is not known, or only an older pod of its name is.
    pub async fn annotations(&self, pod: &PodRef, watch: PodWatch) -> Result<BTreeMap<String, String>, Error> {
        match &self.origin {
            Origin::Directory(directory) => {
                refresh(directory).await;
                let known = self.cache.pod(pod).ok_or_else(|| Error::NoSuchPod(pod.clone()))?;
                match pod.uid() {
                    Some(asked) if !known.is(asked) => {
                        Err(Error::OtherPod { pod: pod.clone(), found: known.uid().unwrap_or_default().to_owned() })
                    }
                    _ => Ok(known.annotations().cloned().unwrap_or_default()),
                }
            }
            Origin::Kubernetes(kubernetes) => kubernetes.annotations(pod, watch).await,
        }
    }

    /// The devices that resource claims gave to `pod`; none in a folder of manifests.
    ///
    /// # Errors
    /// They are not known.
    pub async fn claimed_devices(&self, pod: &PodRef) -> Result<Vec<Claimed>, Error> {
        match &self.origin {
            Origin::Directory(_) => Ok(Vec::new()),
            Origin::Kubernetes(kubernetes) => kubernetes.claimed_devices(pod).await,
        }
    }

    /// Whether a driver of resource claims publishes devices of `resource` on this node.
    ///
    /// # Errors
    /// It is not known.
    pub async fn is_published(&self, resource: &str) -> Result<bool, Error> {
        match &self.origin {
            Origin::Directory(_) => Ok(false),
            Origin::Kubernetes(kubernetes) => kubernetes.is_published(resource).await,
        }
    }

    /// Tells in an event of this node, where there is a cluster to tell it to, what is wrong with it.
    pub fn announce_on_node(&self, reason: &str, why: &str) {
        if let Origin::Kubernetes(kubernetes) = &self.origin {
            kubernetes.announce(Notice::new(event::on_node(&kubernetes.node, reason, why)));
        }
    }

    /// Tells in an event of `pod`, where there is a cluster to tell it to, that its network `nad` does not exist.
    pub fn announce_missing(&self, pod: &PodRef, nad: &NadRef, meant: Option<&NadRef>) {
        if let Origin::Kubernetes(kubernetes) = &self.origin {
            kubernetes.announce(Notice::new(event::not_found(&kubernetes.node, pod, nad, meant)));
        }
    }

    /// Tells `notice`, where there is a cluster to tell it to.
    pub fn announce(&self, notice: Notice) {
        if let Origin::Kubernetes(kubernetes) = &self.origin {
            kubernetes.announce(notice);
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
    pub async fn publish(&self, publication: &Publication, progress: &Progress) -> Attempt {
        match &self.origin {
            Origin::Directory(_) => {
                let (run, state) = (self.run.clone(), self.state.clone());
                let (cache, publication) = (Arc::clone(&self.cache), publication.clone());
                let publish = move || publish::publish(&run, &state, &cache, &publication);
                let outcome = off_the_loop(publish).await;
                outcome.unwrap_or_else(|| Outcome::Later("the daemon stops".to_owned())).into()
            }
            Origin::Kubernetes(kubernetes) => match self.canary.objection() {
                Some(why) => Outcome::Later(why).into(),
                None => kubernetes.publish(publication, progress).await,
            },
        }
    }
}

async fn refresh(directory: &Arc<Directory>) {
    let directory = Arc::clone(directory);
    off_the_loop(move || directory.refresh()).await;
}

/// Does `work`, which waits for a disk, where it holds up nobody: a disk can stall for seconds. None when the
/// daemon ends meanwhile.
async fn off_the_loop<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
