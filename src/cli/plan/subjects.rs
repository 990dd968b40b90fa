//! What is planned: a pod, its annotations, its networks and its devices.

use crate::api::FactsRequest;
use crate::api::protocol::{Reply, Request};
use crate::cli::Error;
use crate::cli::address_pools::{given, pools_of};
use crate::cli::objects::Objects;
use crate::cli::objects::pod::Pod;
use crate::cli::pods::{DEFAULT_NAMESPACE, named};
use crate::cluster::Inquiry;
use crate::engine::Settings;
use crate::engine::planning::default_network;
use crate::engine::planning::selections::Selections;
use crate::facts::{Annotations, Client, Known};
use crate::ipam::overlap::Claimant;
use crate::nad::reference::InvalidPod;
use crate::nad::{NadRef, PodRef};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

/// What a pod without a name is called in its plan.
const UNNAMED: &str = "unnamed";

/// A pod and what is known of it.
#[derive(Debug)]
pub struct Subject {
    /// The pod.
    pub pod: PodRef,
    /// The kind of the object that it is, or that makes it.
    pub kind: String,
    /// What ADD would know.
    pub known: Known,
    /// Devices are only known to be asked for, not which ones.
    pub has_placeholders: bool,
    /// It is in the node's network and gets none of its own.
    pub is_host_network: bool,
    /// Its node, if its manifest has one.
    pub node: Option<String>,
    /// The AddressPools, or why they are not known.
    pub pools: Result<Vec<Claimant>, String>,
}

/// Whether `subject` is neither a file nor stdin, nor can be the name of a pod.
pub fn is_nothing(subject: &Path) -> bool {
    let is_stdin = subject == Path::new("-");
    !is_stdin && !is_name(subject) && subject.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

/// Whether `subject` names a pod: one or two names, and no file. A name that ends like a file of manifests is a slip.
pub fn is_name(subject: &Path) -> bool {
    let text = subject.to_string_lossy();
    let (namespace, name) = text.split_once('/').unwrap_or((DEFAULT_NAMESPACE, &text));
    let is_manifest = ["yaml", "yml", "json"].iter().any(|end| subject.extension() == Some(end.as_ref()));
    PodRef::new(namespace, name, None).is_ok() && !is_manifest && !subject.exists()
}

impl Subject {
    /// The pod `name` of this node, as the daemon knows it.
    ///
    /// # Errors
    /// The daemon is not asked, or does not know it.
    pub fn of_daemon(name: &str, settings: &Settings) -> Result<Self, Error> {
        let failed = |why: String| Error::Networks { what: format!("{name} is not a file; as a pod"), why };
        let (namespace, own) = name.split_once('/').unwrap_or((DEFAULT_NAMESPACE, name));
        let pod = PodRef::new(namespace, own, None).map_err(|e| failed(e.to_string()))?;
        let of_all = Selections::read(settings, Some(&pod), &Annotations::new()).map_err(|e| failed(e.msg))?.networks();
        let networks = of_all.into_iter().chain(default_network::nad_of(settings)).collect();
        let request = Request::Facts(FactsRequest {
            default_network_namespace: Some(settings.network_namespace.clone()),
            ..FactsRequest::of_tool(Some(pod.clone()), networks)
        });
        let deadline = Instant::now() + settings.daemon_timeout;
        let reply = Client::connect(&settings.run, deadline).and_then(|mut client| client.ask(&request));
        match reply {
            Ok(Reply::Facts(facts)) => Ok(Subject {
                pod,
                kind: "Pod".to_owned(),
                known: Known::from_facts(facts, None),
                has_placeholders: false,
                is_host_network: false,
                node: None,
                pools: Err("plexusd does not list AddressPools; name the cluster with --kubeconfig".to_owned()),
            }),
            Ok(Reply::Unavailable(why) | Reply::Unsupported(why)) => Err(failed(format!(
                "plexusd answered: {why}; a workstation plans it without plexusd: plexusctl plan {name}"
            ))),
            Ok(other) => Err(failed(format!("plexusd answered another question ({})", other.kind()))),
            Err(e) => {
                Err(failed(format!("{e}; if this is not the pod's node, ask its cluster: name one with --kubeconfig")))
            }
        }
    }

    /// The pod `name` and its networks, as the API server has them.
    ///
    /// # Errors
    /// There is no such pod, or something cannot be read.
    pub fn of_cluster(name: &str, inquiry: &Inquiry, settings: &Settings) -> Result<Self, Error> {
        let (namespace, own) = named(name, inquiry.namespace())?;
        let absent = || Error::NoPod(format!("{namespace}/{own}"));
        let mut objects = Objects::default();
        objects.add_object(&inquiry.pod_manifest(&namespace, &own)?.ok_or_else(absent)?);
        let pod = objects.pods.first().cloned().ok_or_else(absent)?;
        let object = objects.object_of(&pod);
        let invalid = |e: InvalidPod| Error::Name(e.to_string());
        let (reference, annotations) = (pod.reference(object).map_err(invalid)?, pod.annotations_read(object));
        // What cannot be read is refused when it is planned.
        let mut wanted = Selections::read(settings, Some(&reference), &annotations).unwrap_or_default().networks();
        wanted.extend(default_network::nad_of(settings));
        wanted.sort();
        wanted.dedup();
        for nad in &wanted {
            inquiry.network_manifest(nad)?.iter().for_each(|manifest| objects.add_object(manifest));
        }
        let mut subject = Subject::of_files(&pod, &objects, settings).map_err(invalid)?;
        // Who uses none needs no right to list them.
        if subject.known.definitions.values().any(|network| !pools_of(network).is_empty()) {
            subject.pools = inquiry.address_pools().map_err(|e| e.to_string());
        }
        Ok(subject)
    }

    /// `pod` of `objects`, with the networks that are there.
    ///
    /// # Errors
    /// It has a name that no pod can have: the API server refuses it.
    pub fn of_files(pod: &Pod, objects: &Objects, settings: &Settings) -> Result<Self, InvalidPod> {
        let object = objects.object_of(pod);
        let reference = match object.name.as_str() {
            "" => PodRef::new(&object.namespace, UNNAMED, None)?,
            _ => pod.reference(object)?,
        };
        let annotations = pod.annotations_read(object);
        // What cannot be read is refused when it is planned.
        let selected = Selections::read(settings, Some(&reference), &annotations).unwrap_or_default().networks();
        let wanted: Vec<NadRef> = selected.into_iter().chain(default_network::nad_of(settings)).collect();
        let (mut known, mut devices) = (Known { annotations, ..Known::default() }, BTreeMap::new());
        for nad in wanted {
            let Some(network) = objects.network(&nad) else {
                let others = objects.networks.iter().map(|network| &network.nad);
                known.meant.extend(nad.nearest(others).map(|meant| (nad.clone(), meant.clone())));
                known.missing.insert(nad);
                continue;
            };
            if let Some(resource) = &network.definition.resource_name {
                let count = pod.requested(object, resource);
                let named = (1..=count).map(|number| format!("(device {number})")).collect();
                devices.insert(resource.clone(), named);
            }
            known.definitions.insert(nad, network.definition.clone());
        }
        known.devices = devices;
        Ok(Subject {
            pod: reference,
            kind: object.kind.clone(),
            has_placeholders: !known.devices.is_empty(),
            known,
            is_host_network: pod.spec(object, &["hostNetwork"]).is_some_and(|flag| flag.is_true()),
            node: pod.spec(object, &["nodeName"]).and_then(|name| name.text()).map(str::to_owned),
            pools: given(objects),
        })
    }
}
