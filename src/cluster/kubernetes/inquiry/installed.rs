//! What a bug report has of Plexus' own objects: their manifests, and the logs of its pods.

use super::{Inquiry, Scope, SeenPod, Unanswered};
use crate::cluster::addresses::{AddressBlock, AddressNode, AddressPool, AddressShortage};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{ListParams, LogParams, ObjectMeta};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt::Debug;

/// What the manifests give all objects of Plexus.
const LABELS: &str = "app.kubernetes.io/name=plexus";
/// The key of a ConfigMap with settings.
const SETTINGS: &str = "settings.json";
/// The longest log.
const LONGEST: i64 = 4 << 20;

impl Inquiry {
    /// The DaemonSets and ConfigMaps of Plexus, by kind, namespace and name, as JSON.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn installation(&self) -> Result<Vec<(String, String)>, Unanswered> {
        let (own, namespace) = (ListParams::default().labels(LABELS), self.daemon_namespace());
        let client = || self.client.clone();
        let sets: Vec<DaemonSet> = self.list(&Api::namespaced(client(), &namespace), own.clone(), "the DaemonSets")?;
        let maps: Vec<ConfigMap> = self.list(&Api::namespaced(client(), &namespace), own, "the ConfigMaps")?;
        let sets = sets.into_iter().map(|set| manifest("daemonset", set));
        Ok(sets.chain(maps.into_iter().map(|map| manifest("configmap", map))).collect())
    }

    /// The settings that DaemonSets of Plexus bring to the plugins of their nodes, each as JSON.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn plugin_settings(&self) -> Result<Vec<String>, Unanswered> {
        let (own, namespace) = (ListParams::default().labels(LABELS), self.daemon_namespace());
        let sets: Vec<DaemonSet> =
            self.list(&Api::namespaced(self.client.clone(), &namespace), own, "the DaemonSets")?;
        // Former ConfigMaps may be left: those that a DaemonSet mounts count.
        let pods = sets.into_iter().filter_map(|set| set.spec?.template.spec);
        let volumes = pods.flat_map(|pod| pod.volumes.unwrap_or_default());
        let names: BTreeSet<String> = volumes.filter_map(|volume| Some(volume.config_map?.name)).collect();
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
        let mut found = Vec::new();
        for name in names {
            let map = self.answer(&format!("the ConfigMap {name}"), maps.get_opt(&name))?;
            found.extend(map.and_then(|map| map.data?.remove(SETTINGS)));
        }
        Ok(found)
    }

    /// The pods of the DaemonSet, and that of the controller of addresses, which serves no node.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`].
    pub fn own_pods(&self) -> Result<Vec<SeenPod>, Unanswered> {
        self.pods(&Scope { labels: Some(LABELS.to_owned()), node: None, namespace: Some(self.daemon_namespace()) })
    }

    /// The AddressPools, AddressBlocks, AddressNodes and AddressShortages, each kind as a JSON list.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`]; the component for pools is not installed.
    pub fn address_objects(&self) -> Result<Vec<(&'static str, String)>, Unanswered> {
        Ok(vec![
            ("pools", self.listed::<AddressPool>("the AddressPools")?),
            ("blocks", self.listed::<AddressBlock>("the AddressBlocks")?),
            ("nodes", self.listed::<AddressNode>("the AddressNodes")?),
            // A former release has none.
            ("shortages", self.listed::<AddressShortage>("the AddressShortages").unwrap_or_else(|e| format!("{e}\n"))),
        ])
    }

    fn listed<K>(&self, what: &str) -> Result<String, Unanswered>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
    {
        let mut all: Vec<K> = self.list(&Api::all(self.client.clone()), ListParams::default(), what)?;
        // They repeat all the others.
        all.iter_mut().for_each(|one| one.meta_mut().managed_fields = None);
        // What was read serialises.
        Ok(serde_json::to_string_pretty(&all).unwrap_or_default() + "\n")
    }

    /// The last `lines` of the log of `container`; with `is_previous` of the container before it was restarted.
    ///
    /// # Errors
    /// As of [`Inquiry::pods`]; there is no such log.
    pub fn log(&self, pod: &SeenPod, container: &str, lines: u32, is_previous: bool) -> Result<String, Unanswered> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let wanted = LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(lines.into()),
            limit_bytes: Some(LONGEST),
            previous: is_previous,
            timestamps: true,
            ..LogParams::default()
        };
        self.answer(&format!("the log of {}/{} {container}", pod.namespace, pod.name), api.logs(&pod.name, &wanted))
    }
}

fn manifest<K: Resource + Serialize>(kind: &str, mut object: K) -> (String, String) {
    let meta: &mut ObjectMeta = object.meta_mut();
    // It repeats all the others.
    meta.managed_fields = None;
    let name = format!("{kind}-{}-{}", object.namespace().unwrap_or_default(), object.name_any());
    // What was read serialises.
    (name, serde_json::to_string_pretty(&object).unwrap_or_default() + "\n")
}
