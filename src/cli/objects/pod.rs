//! A pod, or a template of pods: what has the annotation.

use super::object::Object;
use crate::cluster::manifests::tree::{Key, Node, Tree};
use crate::nad::reference::InvalidPod;
use crate::nad::{DEFAULT_NETWORK, NETWORKS, PodRef};
use std::collections::BTreeMap;

/// Where a template of pods stands in an object, and its metadata and specification in it.
const TEMPLATES: [&[&str]; 3] = [
    &["spec", "template"],
    &["spec", "jobTemplate", "spec", "template"],
    &["spec", "virtualMachineTemplate", "spec", "template"],
];

/// A pod or a template.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Which object it is, or is a part of.
    pub object: usize,
    /// Where its `metadata` and `spec` stand in the object.
    path: &'static [&'static str],
    /// How many pods are made of it; 1 for a pod.
    pub replicas: u64,
}

impl Pod {
    /// What of `object` is a pod; `number` is that of the object.
    pub fn read(number: usize, object: &Object) -> Option<Self> {
        if object.group.is_empty() && object.kind == "Pod" {
            return Some(Pod { object: number, path: &[], replicas: 1 });
        }
        if object.kind == "VirtualMachineInstance" {
            return Some(Pod { object: number, path: &[], replicas: 1 });
        }
        let is_template = |path: &&&[&str]| {
            let template = object.root.below(path);
            template.is_some_and(|template| template.get("spec").is_some() || template.get("metadata").is_some())
        };
        let path = TEMPLATES.iter().find(is_template)?;
        let number_of = |key: &str| object.root.below(&["spec", key]).and_then(Node::number);
        let replicas = match object.kind.as_str() {
            // One on each node.
            "DaemonSet" => 2,
            "Job" | "CronJob" => number_of("parallelism").unwrap_or(1).unsigned_abs(),
            _ => number_of("replicas").unwrap_or(1).unsigned_abs(),
        };
        Some(Pod { object: number, path, replicas })
    }

    /// Whether it is a part of another object.
    pub fn is_template(&self) -> bool {
        !self.path.is_empty()
    }

    fn root<'a>(&self, object: &'a Object) -> &'a Node {
        object.root.below(self.path).unwrap_or(&object.root)
    }

    /// Its annotation `key`.
    pub fn annotation<'a>(&self, object: &'a Object, key: &str) -> Option<&'a Node> {
        self.root(object).below(&["metadata", "annotations"])?.get(key)
    }

    /// Its annotations.
    pub fn annotations<'a>(&self, object: &'a Object) -> &'a [(Key, Node)] {
        self.root(object).below(&["metadata", "annotations"]).map_or(&[], Node::entries)
    }

    /// A part of its specification.
    pub fn spec<'a>(&self, object: &'a Object, path: &[&str]) -> Option<&'a Node> {
        self.root(object).get("spec")?.below(path)
    }

    /// Where it stands.
    pub fn node<'a>(&self, object: &'a Object) -> &'a Node {
        self.root(object)
    }

    /// Its name for the plugin. Pods of a template have names of their own, which begin with that of the object.
    ///
    /// # Errors
    /// No pod can have that name.
    pub fn reference(&self, object: &Object) -> Result<PodRef, InvalidPod> {
        PodRef::new(&object.namespace, &object.name, None)
    }

    /// What the plugin reads of its annotations; those that KubeVirt makes of a virtual machine's networks included.
    pub fn annotations_read(&self, object: &Object) -> BTreeMap<String, String> {
        let text = |key: &str| Some((key.to_owned(), self.annotation(object, key)?.text()?.to_owned()));
        let mut read: BTreeMap<String, String> = [NETWORKS, DEFAULT_NETWORK].into_iter().filter_map(text).collect();
        let networks = self.spec(object, &["networks"]).map_or(&[] as &[Node], Node::items);
        let multus =
            networks.iter().filter(|network| network.below(&["multus", "default"]).is_none_or(|d| !d.is_true()));
        let names: Vec<&str> = multus.filter_map(|network| network.below(&["multus", "networkName"])?.text()).collect();
        if !names.is_empty() {
            read.entry(NETWORKS.to_owned()).or_insert_with(|| names.join(","));
        }
        read
    }

    /// How many devices of `resource` its containers ask for.
    pub fn requested(&self, object: &Object, resource: &str) -> u64 {
        let of = |container: &Node| {
            let amount = |kind: &str| match &container.below(&["resources", kind])?.get(resource)?.value {
                Tree::Number(text) | Tree::Text(text) => text.parse::<u64>().ok(),
                _ => None,
            };
            amount("limits").or_else(|| amount("requests")).unwrap_or(0)
        };
        let containers = ["containers", "initContainers"].iter().filter_map(|key| self.spec(object, &[key]));
        containers.flat_map(Node::items).map(of).sum()
    }
}
