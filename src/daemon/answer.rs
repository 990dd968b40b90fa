//! The answers to questions.

use super::{Daemon, devices};
use crate::api::protocol::{Health, Hello, Reply, Request};
use crate::api::{Facts, FactsRequest};
use crate::nad::{DEFAULT_NETWORK, Definition, NETWORKS, NadRef, PodRef, selection};
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The plugin waits 5 s unless it is configured otherwise; an answer that comes later helps nobody.
const PATIENCE: Duration = Duration::from_millis(4500);

impl Daemon {
    /// Answers one request; never later than the plugin waits.
    pub async fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Hello(_) => Reply::Hello(Hello::from_program("plexusd")),
            Request::Health {} => Reply::Health(self.health()),
            Request::Publish(sandbox) => match self.unpublished.publish(&sandbox).await {
                Ok(published) => Reply::Published(published),
                Err(line) => Reply::Unavailable(line),
            },
            Request::Facts(request) => match tokio::time::timeout(PATIENCE, self.facts(request)).await {
                Ok(Ok(facts)) => Reply::Facts(facts),
                Ok(Err(line)) => Reply::Unavailable(line),
                Err(_) => Reply::Unavailable(format!("the cluster did not answer within {PATIENCE:?}")),
            },
        }
    }

    fn health(&self) -> Health {
        let mut remarks = self.readiness.remarks();
        let unread = self.cluster.warnings();
        if !unread.is_empty() {
            remarks.insert("source".to_owned(), unread.join("; "));
        }
        Health {
            release: env!("CARGO_PKG_VERSION").to_owned(),
            ready: self.readiness.is_ready(),
            guards: self.readiness.tell(),
            remarks,
            definitions: self.cluster.cache().sizes().0,
            unpublished: self.unpublished.count(),
        }
    }

    async fn facts(&self, request: FactsRequest) -> Result<Facts, String> {
        let mut facts = Facts::default();
        self.cluster.follow_copies(&request.copies);
        let mut networks: BTreeSet<NadRef> = request.networks.into_iter().collect();
        if request.annotations_wanted {
            let pod = request.pod.as_ref().ok_or("annotations of no pod were asked for")?;
            let annotations = self.cluster.annotations(pod).await.map_err(|e| e.to_string())?;
            networks.extend(named_networks(&annotations, pod, request.default_network_namespace.as_deref()));
            facts.annotations = Some(annotations);
        }
        let found = join_all(networks.iter().map(|nad| self.cluster.definition(nad))).await;
        let mut definitions: Vec<Arc<Definition>> = Vec::new();
        for (nad, found) in networks.iter().zip(found) {
            match found.map_err(|e| e.to_string())? {
                Some(definition) => definitions.push(definition),
                None => facts.missing.push(nad.clone()),
            }
        }
        facts.devices = devices::devices_of(&self.kubelet, &self.cluster, request.pod.as_ref(), &definitions).await?;
        facts.definitions = definitions.iter().map(|definition| (**definition).clone()).collect();
        Ok(facts)
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
    let default_namespace = default_namespace.unwrap_or(&pod.namespace);
    named(NETWORKS, &pod.namespace).chain(named(DEFAULT_NETWORK, default_namespace)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_named_by_both_annotations() {
        let pod = PodRef { namespace: "ns".into(), name: "p".into(), uid: None };
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
