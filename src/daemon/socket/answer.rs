//! The answers to questions.

use crate::api::protocol::{Health, Hello, Reply, Request, SOURCE_DIRECTORY};
use crate::api::{Cached, Connections, Facts, FactsRequest, cached};
use crate::cluster::{PodWatch, UnknownNetwork};
use crate::daemon::addresses::NoLease;
use crate::daemon::health::policy;
use crate::daemon::http::Site;
use crate::daemon::{Daemon, devices};
use crate::nad::{DEFAULT_NETWORK, Definition, NETWORKS, NadRef, PodRef, selection};
use futures::{StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Networks of one question that are looked up at one time.
const AT_ONCE: usize = 8;
/// The operator's own names of which so many are missing are all right: each may be a file's.
const MOST_OPERATORS: usize = 16;

/// The plugin waits 5 s unless it is configured otherwise; an answer that comes later helps nobody.
const ANSWER_LIMIT: Duration = Duration::from_millis(4500);

impl Daemon {
    /// Answers one request; never later than the plugin waits.
    pub async fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Hello(_) => Reply::Hello(Hello::from_program("plexusd")),
            Request::Health { test } => {
                if test {
                    policy::test(&self.cluster, &self.readiness).await;
                }
                Reply::Health(self.health())
            }
            Request::Cached {} => Reply::Cached(self.cached()),
            Request::Metrics {} => Reply::Metrics(Site::metrics(self)),
            Request::Publish(sandbox) => match self.unpublished.publish(&sandbox).await {
                Ok(published) => Reply::Published(published),
                Err(line) => Reply::Unavailable(line),
            },
            Request::Lease(request) => match self.addresses.lease(request).await {
                Ok(addresses) => Reply::Leased { addresses },
                Err(NoLease::Later(line)) => Reply::Unavailable(line),
                Err(NoLease::Never(line)) => Reply::Refused(line),
            },
            Request::Pools(pools) => match tokio::time::timeout(ANSWER_LIMIT, self.addresses.judge(&pools)).await {
                Ok(Ok(judged)) => Reply::Pools(judged),
                Ok(Err(line)) => Reply::Unavailable(line),
                Err(_) => Reply::Unavailable(format!("the API server did not answer within {ANSWER_LIMIT:?}")),
            },
            Request::Facts(request) => match tokio::time::timeout(ANSWER_LIMIT, self.facts(request)).await {
                Ok(Ok(facts)) => Reply::Facts(facts),
                Ok(Err(line)) => Reply::Unavailable(line),
                Err(_) => Reply::Unavailable(format!("the cluster did not answer within {ANSWER_LIMIT:?}")),
            },
        }
    }

    fn health(&self) -> Health {
        let mut remarks = self.readiness.remarks();
        let unread = self.cluster.warnings();
        if !unread.is_empty() {
            remarks.insert("source".to_owned(), unread.join("; "));
        }
        if let Some(why) = self.cluster.source_error() {
            remarks.insert(SOURCE_DIRECTORY.to_owned(), format!("it cannot be read: {why}"));
        }
        Health {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            ready: self.readiness.is_ready(),
            guards: self.readiness.tell(),
            remarks,
            definitions: self.cluster.cache().sizes().0,
            unpublished: self.unpublished.count(),
            status_age: self.calls.status_age().map(|age| age.as_secs()),
        }
    }

    fn cached(&self) -> Cached {
        let cache = self.cluster.cache();
        let mut unpublished = self.unpublished.waiting();
        unpublished.truncate(cached::MOST);
        Cached {
            source: self.cluster.source().to_string(),
            confirmed: cache.confirmed(),
            bytes: cache.bytes(),
            networks: cache.networks(cached::MOST),
            pods: cache.pods(cached::MOST),
            unpublished,
            connections: Some(Connections {
                socket: self.open.load(Ordering::Relaxed),
                networks: cache.definitions_synced() && cache.confirmed(),
                pods: cache.pods_synced(),
                trouble: Some(cache.trouble()).filter(|why| !why.is_empty()),
            }),
        }
    }

    async fn facts(&self, request: FactsRequest) -> Result<Facts, String> {
        let mut facts = Facts::default();
        self.cluster.follow_copies(&request.copies);
        let mut networks: BTreeSet<NadRef> = request.networks.into_iter().collect();
        if request.annotations_wanted {
            let pod = request.pod.as_ref().ok_or("annotations of no pod were asked for")?;
            let watch = if request.inspection { PodWatch::AsBefore } else { PodWatch::FromNowOn };
            let annotations = self.cluster.annotations(pod, watch).await.map_err(|e| e.to_string())?;
            networks.extend(named_networks(&annotations, pod, request.default_network_namespace.as_deref()));
            facts.annotations = Some(annotations);
        }
        let operators = request.default_network_namespace.as_deref();
        if !networks.is_empty() && !request.inspection {
            self.cluster.expect_status();
        }
        let unknown = if request.inspection { UnknownNetwork::IsMissing } else { UnknownNetwork::MayBeNew };
        let (definitions, missing) = self.definitions(networks, operators, unknown).await?;
        let cache = self.cluster.cache();
        facts.meant = missing.iter().filter_map(|nad| Some((nad.clone(), cache.meant(nad)?))).collect();
        if let Some(pod) = request.pod.as_ref().filter(|_| !request.inspection) {
            // Those of the operator may be files, which only the plugin sees.
            for nad in missing.iter().filter(|nad| Some(nad.namespace()) != operators) {
                self.cluster.announce_missing(pod, nad, cache.meant(nad).as_ref());
            }
        }
        facts.missing = missing;
        let found = match (request.inspection, &request.pod) {
            (true, None) => devices::Found::default(),
            (_, pod) => devices::devices_of(&self.kubelet, &self.cluster, pod.as_ref(), &definitions).await?,
        };
        facts.devices = found.devices;
        facts.definitions = definitions.iter().map(|definition| (**definition).clone()).collect();
        for definition in &mut facts.definitions {
            // To the plugin a network takes a device or not.
            definition.resource_name.take_if(|resource| found.markers.contains(resource));
        }
        Ok(facts)
    }

    /// The definitions of `networks` and those that do not exist. A network of a pod's annotation that does not
    /// exist fails the pod: the rest is not looked up then. Those in the namespace `operators` may be files' names.
    /// `unknown` is what an unknown network in another namespace is taken for.
    async fn definitions(
        &self,
        networks: BTreeSet<NadRef>,
        operators: Option<&str>,
        unknown: UnknownNetwork,
    ) -> Result<(Vec<Arc<Definition>>, Vec<NadRef>), String> {
        let of_operator = |nad: &NadRef| Some(nad.namespace()) == operators;
        let find = |nad: NadRef| async {
            let unknown = if of_operator(&nad) { UnknownNetwork::IsMissing } else { unknown };
            let found = self.cluster.definition(&nad, unknown).await;
            (nad, found)
        };
        let mut found = stream::iter(networks).map(find).buffered(AT_ONCE);
        let (mut definitions, mut missing) = (Vec::new(), Vec::new());
        while let Some((nad, found)) = found.next().await {
            match found.map_err(|e| e.to_string())? {
                Some(definition) => definitions.push(definition),
                None => missing.push(nad),
            }
            let fails_the_pod = |nad: &NadRef| unknown == UnknownNetwork::MayBeNew && !of_operator(nad);
            if missing.len() > MOST_OPERATORS || missing.last().is_some_and(fails_the_pod) {
                break;
            }
        }
        Ok((definitions, missing))
    }
}

/// The networks that the annotations of `pod` name. An annotation that cannot be read names none: the
/// plugin, which gets it as it is, says what is wrong with it.
fn named_networks(
    annotations: &BTreeMap<String, String>,
    pod: &PodRef,
    default_namespace: Option<&str>,
) -> Vec<NadRef> {
    let named = |key: &str, namespace: &str| {
        let text = annotations.get(key).map_or("", String::as_str);
        selection::parse(text, namespace).unwrap_or_default().into_iter().map(|selection| selection.nad)
    };
    let default_namespace = default_namespace.unwrap_or(pod.namespace());
    named(NETWORKS, pod.namespace()).chain(named(DEFAULT_NETWORK, default_namespace)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_named_by_both_annotations() {
        let pod = PodRef::new("ns", "p", None).unwrap();
        let with = |networks: &str| {
            BTreeMap::from([(NETWORKS.to_owned(), networks.to_owned()), (DEFAULT_NETWORK.to_owned(), "d".to_owned())])
        };
        let names = |annotations| {
            let named = named_networks(&annotations, &pod, Some("kube-system"));
            named.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(names(with("a, other/b@net1")), ["ns/a", "other/b", "kube-system/d"]);
        assert_eq!(names(with("a b c/d/e")), ["kube-system/d"]);
    }
}
