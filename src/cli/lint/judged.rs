//! What rules look at: the objects, and what is read from them once for all rules.

use super::found::Found;
use super::judgement;
use crate::cli::objects::Objects;
use crate::cli::objects::network::Network;
use crate::cli::objects::pod::Pod;
use crate::cli::objects::source::{Place, within};
use crate::cluster::manifests::tree::{self, Node};
use crate::cni::PluginConfig;
use crate::delegate::Registry;
use crate::engine::Settings;
use crate::nad::{NETWORKS, PodRef, Selection, selection};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is known of the machine.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Where the runtime's plugins are.
    pub programs: Vec<PathBuf>,
    /// The bridges that are there, and whether each filters VLANs.
    pub bridges: BTreeMap<String, bool>,
    /// The MTU of each link.
    pub mtus: BTreeMap<String, u32>,
}

/// Everything that a rule may look at.
#[derive(Debug)]
pub struct Judged<'a> {
    /// The manifests.
    pub objects: &'a Objects,
    /// The plugin's configuration.
    pub settings: &'a Settings,
    /// Who runs plugins.
    pub registry: Registry,
    /// The machine; none where it is not looked at.
    pub machine: Option<Machine>,
    /// The pods with the annotation.
    pub pods: Vec<Selecting<'a>>,
    /// What the built-in plugins would refuse, for each network with a configuration.
    pub judgements: Vec<Judgement<'a>>,
}

/// A pod with the annotation.
#[derive(Debug)]
pub struct Selecting<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its name for the plugin.
    pub name: PodRef,
    /// The annotation.
    pub annotation: &'a Node,
    /// What it selects, or why it cannot be read.
    pub selections: Result<Vec<Selection>, String>,
    elements: Vec<usize>,
}

/// What a built-in plugin would refuse.
#[derive(Debug)]
pub struct Judgement<'a> {
    /// Of which network.
    pub network: &'a Network,
    /// The plugin's place in the configuration.
    pub node: &'a Node,
    /// The plugin declares the capability `ips`.
    pub has_ips: bool,
    /// Why.
    pub message: String,
}

impl<'a> Judged<'a> {
    /// Reads `objects` for rules.
    pub fn new(objects: &'a Objects, settings: &'a Settings, machine: Option<Machine>) -> Self {
        let pods = objects.pods.iter().filter_map(|pod| Selecting::read(pod, objects));
        let networks = objects.networks.iter();
        Judged {
            objects,
            settings,
            registry: Registry::new(settings.natives.clone()),
            machine,
            pods: pods.collect(),
            judgements: networks.filter_map(judgement_of).collect(),
        }
    }

    /// Every plugin of every network.
    pub fn plugins(&self) -> impl Iterator<Item = (&'a Network, &'a PluginConfig, &'a Node)> {
        let of =
            |network: &'a Network| network.plugins().into_iter().map(move |(plugin, node)| (network, plugin, node));
        self.objects.networks.iter().flat_map(of)
    }

    /// Something wrong at the byte `at` of the configuration of `network`.
    pub fn in_config(&self, network: &Network, at: usize, text: impl Into<String>) -> Found {
        let object = &self.objects.all[network.object];
        let place = match &network.config {
            Some(config) => config.place(&self.objects.sources, at),
            None => object.place(&object.root),
        };
        Found { place, object: Some(network.object), text: text.into(), fix: None }
    }

    /// Something wrong at `node` of the object numbered `object`.
    pub fn in_object(&self, object: usize, node: &Node, text: impl Into<String>) -> Found {
        Found { place: self.objects.all[object].place(node), object: Some(object), text: text.into(), fix: None }
    }

    /// Something wrong at the byte `at` of the object numbered `object`.
    pub fn at(&self, object: usize, at: usize, text: impl Into<String>) -> Found {
        Found {
            place: Place { source: self.objects.all[object].source, at },
            object: Some(object),
            text: text.into(),
            fix: None,
        }
    }

    /// Something wrong with the element `index` of the annotation of `pod`.
    pub fn in_element(&self, pod: &Selecting<'_>, index: usize, text: impl Into<String>) -> Found {
        let object = &self.objects.all[pod.pod.object];
        let begin = pod.annotation.at;
        let source = &self.objects.sources[object.source].text;
        let inner = pod.annotation.text().unwrap_or_default();
        let at = pod.elements.get(index).map_or(begin, |at| within(source, begin, inner, *at));
        Found { place: Place { source: object.source, at }, object: Some(pod.pod.object), text: text.into(), fix: None }
    }

    /// Every element of every annotation that can be read: the pod, its number in the annotation, and the element.
    pub fn elements(&self) -> impl Iterator<Item = (&Selecting<'a>, usize, &Selection)> {
        self.pods.iter().flat_map(Selecting::numbered)
    }
}

impl<'a> Selecting<'a> {
    fn numbered(&self) -> impl Iterator<Item = (&Self, usize, &Selection)> {
        self.selections.iter().flatten().enumerate().map(move |(index, selection)| (self, index, selection))
    }

    fn read(pod: &'a Pod, objects: &'a Objects) -> Option<Self> {
        let object = objects.object_of(pod);
        // A pod that a controller of the cluster made has the annotation of its template.
        if objects.is_cluster && is_owned(&object.root) {
            return None;
        }
        let annotation = pod.annotation(object, NETWORKS)?;
        let text = annotation.text()?;
        let name = pod.reference(object).ok()?;
        Some(Selecting {
            selections: selection::parse(text, name.namespace()).map_err(|e| e.to_string()),
            elements: elements(text),
            pod,
            name,
            annotation,
        })
    }
}

fn is_owned(root: &Node) -> bool {
    let owners = root.below(&["metadata", "ownerReferences"]).map_or(&[] as &[Node], Node::items);
    owners.iter().any(|owner| owner.get("kind").and_then(Node::text).is_some_and(|kind| kind != "Node"))
}

/// Where the elements of an annotation begin.
fn elements(text: &str) -> Vec<usize> {
    if text.contains(['[', '{', '"']) {
        let list = tree::read_json(text);
        return list.map(|list| list.items().iter().map(|item| item.at).collect()).unwrap_or_default();
    }
    let begins = std::iter::once(0).chain(text.match_indices(',').map(|(at, _)| at + 1));
    begins.map(|at| at + text[at..].len() - text[at..].trim_start().len()).collect()
}

/// A later plugin of a chain may work with what the one before leaves: only the first is judged.
fn judgement_of(network: &Network) -> Option<Judgement<'_>> {
    let config = network.parsed.as_ref()?.as_ref().ok()?;
    let (plugin, node) = network.plugins().into_iter().next()?;
    let message = judgement::refusal(config, plugin)?;
    Some(Judgement { network, node, has_ips: plugin.has_capability("ips"), message })
}
