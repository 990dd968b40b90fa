//! The two watches that keep the cache as the cluster is. They never end: what goes wrong is logged and tried again.

use crate::cluster::addresses::AddressNode;
use crate::cluster::cache::PodName;
use crate::cluster::error::watch_reason;
use crate::cluster::kubernetes::access::Access;
use crate::cluster::kubernetes::bounded;
use crate::cluster::kubernetes::object::{NadObject, PodHead};
use crate::cluster::kubernetes::requests::Requests;
use crate::cluster::{Cache, KnownPod, Pauses};
use futures::StreamExt;
use futures::stream::BoxStream;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

/// Objects a page of the first list, and the fewest: a page is in memory as a whole. Where a page is longer than
/// what an answer may be ([`bounded`]) the next ones have a fifth of it.
const PAGE: (u32, u32) = (250, 5);
/// The first and the longest pause after a failure; after a quiet time the first one comes again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
const QUIET: Duration = Duration::from_secs(60);
/// How often it is tried whether the API server is back.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// What a watch needs.
pub(in crate::cluster) struct Source<'a> {
    /// What is watched, as the metrics name it.
    pub watch: &'static str,
    /// The way to the API server.
    pub access: &'a Access,
    /// What is filled.
    pub cache: &'a Cache,
    /// Where it is counted.
    pub requests: &'a Requests,
    /// How long the API server keeps it open.
    pub seconds: u32,
    /// Told when a watch broke: the API server may be another one now.
    pub broke: &'a Notify,
}

/// A watch that goes on for ever, by the credentials and with the pages that work.
pub(super) struct Watch<'a, K> {
    source: &'a Source<'a>,
    fields: String,
    page: u32,
    client: u64,
    api: Api<K>,
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    patience: Patience,
    trouble: Trouble,
}

impl<'a, K> Watch<'a, K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    pub(super) fn new(source: &'a Source<'a>, name: &'static str, fields: String) -> Self {
        let (client, number) = source.access.watching();
        let api: Api<K> = Api::all(client);
        let patience = Patience::default();
        let events = events(api.clone(), &fields, source.seconds, PAGE.0, patience.clone());
        Watch { source, fields, page: PAGE.0, client: number, api, events, patience, trouble: Trouble::new(name) }
    }

    /// The next event; none after a failure, which is told and counted.
    pub(super) async fn next(&mut self) -> Option<Event<K>> {
        match self.events.next().await? {
            Ok(event) => {
                // The first one comes before the API server is asked.
                if !matches!(event, Event::Init | Event::InitApply(_)) {
                    self.trouble.is_over();
                    self.patience.worked();
                }
                Some(event)
            }
            Err(error) => {
                self.fail(&error).await;
                None
            }
        }
    }

    async fn fail(&mut self, error: &watcher::Error) {
        use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
        self.source.requests.watch_failed(self.source.watch);
        self.source.broke.notify_one();
        let (InitialListFailed(cause) | WatchFailed(cause) | WatchStartFailed(cause)) = error else {
            return self.trouble.goes_on(&watch_reason(error));
        };
        if bounded::is_too_long(cause) && self.page > PAGE.1 {
            self.page = (self.page / 5).max(PAGE.1);
            tracing::debug!(
                watch = self.trouble.watch,
                objects = self.page,
                "a page of the list is too long; using smaller pages"
            );
        } else {
            self.trouble.goes_on(&watch_reason(error));
            if !self.source.access.renew(self.client, cause).await {
                return;
            }
        }
        let (client, number) = self.source.access.watching();
        (self.api, self.client) = (Api::all(client), number);
        self.events = events(self.api.clone(), &self.fields, self.source.seconds, self.page, self.patience.clone());
    }
}

/// Keeps the definitions in the cache as the cluster has them, for ever.
pub(in crate::cluster) async fn definitions(source: Source<'_>) {
    let cache = source.cache;
    let mut watch = Watch::<NadObject>::new(&source, "network attachment definitions", String::new());
    let mut seen = HashSet::new();
    loop {
        let stale = cache.definitions_synced() && !cache.confirmed();
        let api = watch.api.clone();
        tokio::select! {
            event = watch.next() => match event {
                Some(event) => take_definition(event, cache, &mut seen),
                None => {
                    cache.set_confirmed(false);
                    if !cache.definitions_synced() {
                        cache.set_trouble(&watch.trouble.reason);
                    }
                }
            },
            // A watch that goes on where it stopped says so only with the next change. One look at
            // the API server is enough to know that it is there, and then the watch is too.
            () = sleep(PROBE_EVERY), if stale => {
                let there = timeout(PROBE_EVERY, api.list(&ListParams::default().limit(1))).await;
                source.requests.made("list", matches!(there, Ok(Ok(_))));
                if matches!(there, Ok(Ok(_))) {
                    watch.trouble.is_over();
                    cache.set_confirmed(true);
                }
            }
        }
    }
}

/// What `object` says goes into `cache`, with its version.
fn offer(object: NadObject, cache: &Cache) {
    let version = object.version();
    let Some(definition) = object.into_definition().map(Arc::new) else { return };
    let nad = definition.nad.clone();
    cache.offer_definition(definition);
    version.iter().for_each(|version| cache.note_version(&nad, version));
}

fn take_definition(event: Event<NadObject>, cache: &Cache, seen: &mut HashSet<crate::nad::NadRef>) {
    match event {
        Event::Init => {
            seen.clear();
            cache.set_confirmed(false);
        }
        Event::InitApply(object) => {
            seen.extend(object.reference());
            offer(object, cache);
        }
        Event::InitDone => {
            cache.definitions_are(seen);
            *seen = HashSet::new();
            tracing::info!(definitions = cache.sizes().0, "all NADs are in memory");
        }
        Event::Apply(object) => {
            offer(object, cache);
            cache.set_confirmed(true);
        }
        Event::Delete(object) => {
            object.reference().iter().for_each(|nad| cache.remove_definition(nad));
            cache.set_confirmed(true);
        }
    }
}

/// Keeps the pods of `node` in the cache as the cluster has them, for ever.
pub(in crate::cluster) async fn pods(source: Source<'_>, node: &str) {
    let mut watch = Watch::<PodHead>::new(&source, "pods of this node", format!("spec.nodeName={node}"));
    let mut seen = HashSet::new();
    loop {
        if let Some(event) = watch.next().await {
            take_pod(event, source.cache, &mut seen);
        }
    }
}

fn take_pod(event: Event<PodHead>, cache: &Cache, seen: &mut HashSet<PodName>) {
    match event {
        Event::Init => seen.clear(),
        Event::InitApply(head) => {
            seen.insert(pod_name(&head));
            cache.put_pod(pod_name(&head), known_pod(&head).bounded());
        }
        Event::InitDone => {
            cache.pods_are(seen);
            *seen = HashSet::new();
            tracing::info!(pods = cache.sizes().1, "all pods of this node are in memory");
        }
        Event::Apply(head) => cache.put_pod(pod_name(&head), known_pod(&head).bounded()),
        Event::Delete(head) => cache.remove_pod(&pod_name(&head), head.meta().uid.as_deref()),
    }
}

/// Calls `poke` whenever the AddressNode of `node` may have changed, for ever. What it says is asked for then: an event
/// that waited on its way says nothing of now.
pub(in crate::cluster) async fn address_node(source: Source<'_>, node: &str, poke: impl Fn()) {
    let fields = format!("metadata.name={node}");
    let mut watch = Watch::<AddressNode>::new(&source, "the AddressNode of this node", fields);
    loop {
        if !matches!(watch.next().await, None | Some(Event::Init | Event::InitApply(_))) {
            poke();
        }
    }
}

fn pod_name(head: &PodHead) -> PodName {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&head.meta().namespace), text(&head.meta().name))
}

/// What is kept of a pod.
pub(in crate::cluster) fn known_pod(head: &PodHead) -> KnownPod {
    let meta = head.meta();
    KnownPod::new(meta.uid.as_deref(), |key| meta.annotations.as_ref()?.get(key).map(String::as_str))
}

fn events<K>(
    api: Api<K>,
    fields: &str,
    seconds: u32,
    page: u32,
    patience: Patience,
) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut config = watcher::Config::default().timeout(seconds).page_size(page);
    if !fields.is_empty() {
        config = config.fields(fields);
    }
    watcher(api, config).backoff(patience).boxed()
}

/// The pauses of a watch. They begin again after a whole list or a change, and not already when a list begins.
#[derive(Clone)]
struct Patience(Arc<Mutex<ResetTimerBackoff<Pauses>>>);

impl Default for Patience {
    fn default() -> Self {
        Patience(Arc::new(Mutex::new(ResetTimerBackoff::new(Pauses::new(PAUSES.0, PAUSES.1), QUIET))))
    }
}

impl Patience {
    fn worked(&self) {
        self.pauses().reset();
    }

    fn pauses(&self) -> MutexGuard<'_, ResetTimerBackoff<Pauses>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.pauses().next()
    }
}

impl Backoff for Patience {
    /// The stream calls this for every event, also for those that are no success.
    fn reset(&mut self) {}
}

/// Says once that a watch does not work, and for how long it did not when it works again.
struct Trouble {
    watch: &'static str,
    since: Option<Instant>,
    /// The last one.
    reason: String,
}

impl Trouble {
    fn new(watch: &'static str) -> Self {
        Trouble { watch, since: None, reason: String::new() }
    }

    fn goes_on(&mut self, reason: &str) {
        reason.clone_into(&mut self.reason);
        if self.since.is_none() {
            tracing::warn!(watch = self.watch, reason, "the watch failed; retrying");
            self.since = Some(Instant::now());
        }
    }

    fn is_over(&mut self) {
        if let Some(since) = self.since.take() {
            tracing::info!(watch = self.watch, seconds = since.elapsed().as_secs(), "the watch works again");
        }
    }
}
