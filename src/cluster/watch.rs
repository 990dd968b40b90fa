//! The two watches that keep the cache as the cluster is. They never end: what goes wrong is logged and tried again.

use super::cache::PodName;
use super::error::watch_reason;
use super::object::{NadObject, PodHead};
use super::requests::Requests;
use super::{Cache, KnownPod, Pauses};
use futures::{Stream, StreamExt};
use kube::api::ListParams;
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long the API server keeps a watch open. A connection that died in silence is noticed a little after it.
const LENGTH_SECONDS: u32 = 120;
/// A connection on which nothing comes for so long is dead.
pub(super) const SILENCE: Duration = Duration::from_secs(LENGTH_SECONDS as u64 + 30);
/// Objects a page of the first list: a page is in memory as a whole.
const PAGE: u32 = 250;
/// The first and the longest pause after a failure; after a quiet time the first one comes again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
const QUIET: Duration = Duration::from_secs(60);
/// How often it is tried whether the API server is back.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Keeps the definitions in `cache` as the cluster has them, for ever.
pub(super) async fn definitions(client: Client, cache: &Cache, requests: &Requests) {
    let api: Api<NadObject> = Api::all(client);
    let mut events = pin!(events(api.clone(), watcher::Config::default()));
    let mut seen = HashSet::new();
    let mut trouble = Trouble::new("network attachment definitions");
    loop {
        let stale = cache.definitions_synced() && !cache.confirmed();
        tokio::select! {
            Some(event) = events.next() => match event {
                Ok(event) => {
                    trouble.is_over();
                    take_definition(event, cache, &mut seen);
                }
                Err(error) => {
                    requests.watch_failed("definitions");
                    trouble.goes_on(&watch_reason(&error));
                    cache.set_confirmed(false);
                }
            },
            // A watch that goes on where it stopped says so only with the next change. One look at
            // the API server is enough to know that it is there, and then the watch is too.
            () = sleep(PROBE_EVERY), if stale => {
                let there = timeout(PROBE_EVERY, api.list(&ListParams::default().limit(1))).await;
                requests.made("list", matches!(there, Ok(Ok(_))));
                if matches!(there, Ok(Ok(_))) {
                    trouble.is_over();
                    cache.set_confirmed(true);
                }
            }
            // A watch has no end.
            else => return,
        }
    }
}

fn take_definition(event: Event<NadObject>, cache: &Cache, seen: &mut HashSet<crate::nad::NadRef>) {
    match event {
        Event::Init => {
            seen.clear();
            cache.set_confirmed(false);
        }
        Event::InitApply(object) => {
            seen.extend(object.reference());
            object.into_definition().map(Arc::new).into_iter().for_each(|definition| cache.put_definition(definition));
        }
        Event::InitDone => {
            cache.definitions_are(seen);
            *seen = HashSet::new();
            tracing::info!(definitions = cache.sizes().0, "network attachment definitions are known");
        }
        Event::Apply(object) => {
            object.into_definition().map(Arc::new).into_iter().for_each(|definition| cache.put_definition(definition));
            cache.set_confirmed(true);
        }
        Event::Delete(object) => {
            object.reference().iter().for_each(|nad| cache.remove_definition(nad));
            cache.set_confirmed(true);
        }
    }
}

/// Keeps the pods of `node` in `cache` as the cluster has them, for ever.
pub(super) async fn pods(client: Client, node: &str, cache: &Cache, requests: &Requests) {
    let api: Api<PodHead> = Api::all(client);
    let mut events = pin!(events(api, watcher::Config::default().fields(&format!("spec.nodeName={node}"))));
    let mut seen = HashSet::new();
    let mut trouble = Trouble::new("pods of this node");
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                trouble.is_over();
                take_pod(event, cache, &mut seen);
            }
            Err(error) => {
                requests.watch_failed("pods");
                trouble.goes_on(&watch_reason(&error));
            }
        }
    }
}

fn take_pod(event: Event<PodHead>, cache: &Cache, seen: &mut HashSet<PodName>) {
    match event {
        Event::Init => seen.clear(),
        Event::InitApply(head) => {
            seen.insert(pod_name(&head));
            cache.put_pod(pod_name(&head), known_pod(&head));
        }
        Event::InitDone => {
            cache.pods_are(seen);
            *seen = HashSet::new();
            tracing::info!(pods = cache.sizes().1, "pods of this node are known");
        }
        Event::Apply(head) => cache.put_pod(pod_name(&head), known_pod(&head)),
        Event::Delete(head) => cache.remove_pod(&pod_name(&head), head.meta().uid.as_deref()),
    }
}

fn pod_name(head: &PodHead) -> PodName {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (text(&head.meta().namespace), text(&head.meta().name))
}

/// What is kept of a pod.
pub(super) fn known_pod(head: &PodHead) -> KnownPod {
    let meta = head.meta();
    KnownPod::new(meta.uid.as_deref(), |key| meta.annotations.as_ref()?.get(key).map(String::as_str))
}

fn events<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = watcher::Result<Event<K>>>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let pauses = Pauses::new(PAUSES.0, PAUSES.1);
    watcher(api, config.timeout(LENGTH_SECONDS).page_size(PAGE)).backoff(ResetTimerBackoff::new(pauses, QUIET))
}

/// Says once that a watch does not work, and for how long it did not when it works again.
struct Trouble {
    watch: &'static str,
    since: Option<Instant>,
}

impl Trouble {
    fn new(watch: &'static str) -> Self {
        Trouble { watch, since: None }
    }

    fn goes_on(&mut self, reason: &str) {
        if self.since.is_none() {
            tracing::warn!(watch = self.watch, reason, "the watch does not work; it is tried again");
            self.since = Some(Instant::now());
        }
    }

    fn is_over(&mut self) {
        if let Some(since) = self.since.take() {
            tracing::info!(watch = self.watch, seconds = since.elapsed().as_secs(), "the watch works again");
        }
    }
}
