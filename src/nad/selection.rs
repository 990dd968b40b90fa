//! The annotation with which a pod selects networks, in its two forms.

use super::reference::{InvalidReference, NadRef, is_one_part};
use super::requests::{Bandwidth, PortMapping, is_hardware_address};
use crate::cni::json::{self, InvalidJson, InvalidValue, RawObject};
use crate::cni::names::{IfName, InvalidName};
use crate::cni::{folds_to, spelling};
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;

/// One element of the annotation: a network, and what is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The NAD.
    pub nad: NadRef,
    /// The interface's name; none is numbered (NPWG-MUL-02).
    pub interface: Option<IfName>,
    /// Addresses, with or without prefix length, as written (NPWG-KEY-03).
    pub ips: Vec<String>,
    /// Hardware address (NPWG-KEY-07).
    pub mac: Option<String>,
    /// InfiniBand GUID (NPWG-KEY-19).
    pub infiniband_guid: Option<String>,
    /// Host ports (NPWG-KEY-12).
    pub port_mappings: Vec<PortMapping>,
    /// Rates (NPWG-KEY-14).
    pub bandwidth: Option<Bandwidth>,
    /// A device, where the NAD's resource names none.
    pub device_id: Option<String>,
    /// Goes into `args.cni` of every plugin (NPWG-KEY-10).
    pub cni_args: Option<RawObject>,
    /// This attachment has the default route, through these gateways (NPWG-KEY-16).
    pub default_route: Option<Vec<IpAddr>>,
    /// Name of an IPAMClaim (NPWG-KEY-20).
    pub ipam_claim_reference: Option<String>,
    /// Keys of the element that mean nothing here: they are passed over, as by Multus.
    pub unknown: Vec<UnknownKey>,
}

/// A key of an element that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// As it is written.
    pub key: String,
    /// The key that is probably meant.
    pub meant: Option<&'static str>,
}

/// Nobody reads more of them, nor more of one.
const TOLD: usize = 8;
const SHOWN: usize = 60;

/// What an element may have.
const KEYS: [&str; 13] = [
    "name",
    "namespace",
    "interface",
    "interfaceRequest",
    "ips",
    "mac",
    "infiniband-guid",
    "portMappings",
    "bandwidth",
    "deviceID",
    "cni-args",
    "default-route",
    "ipam-claim-reference",
];

/// A pod has a handful of networks. The status of more than this would not fit into an annotation.
pub const MOST: usize = 256;

/// Why an annotation cannot be followed. The pod fails: attaching fewer networks than were asked
/// for, in silence, is worse (`ARCHITECTURE.md`, where the standard says "ignored").
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// The JSON form is no list of objects.
    #[error("not a JSON list of objects: {0}")]
    Json(#[from] InvalidJson),
    /// Whoever may write an annotation would decide how much memory we take on the node, and how long.
    #[error("it selects {0} networks, more than {MOST}")]
    TooMany(usize),
    /// An element of the short form has too many parts.
    #[error("{0:?} is not of the form [<namespace>/]<name>[@<interface>]")]
    Form(String),
    /// A member is wrong.
    #[error("element {index} ({network}): {source}")]
    Element {
        /// Position in the annotation, from 1.
        index: usize,
        /// What the element calls its network.
        network: String,
        /// What is wrong.
        source: ElementError,
    },
}

/// What is wrong with one element.
#[derive(Debug, thiserror::Error)]
pub enum ElementError {
    /// A member of the wrong type.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// No object can have that name.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
    /// No link can have that name.
    #[error(transparent)]
    Interface(#[from] InvalidName),
    /// A value out of its range.
    #[error("{0}")]
    Invalid(String),
}

/// Reads the annotation; NADs without a namespace are in `namespace`.
///
/// It is JSON when it holds any of `[`, `{`, `"`, else the short form (NPWG-ANN-02, NPWG-ANN-10).
///
/// # Errors
/// Names the element and what is wrong with it.
pub fn parse(annotation: &str, namespace: &str) -> Result<Vec<Selection>, SelectionError> {
    if annotation.trim().is_empty() {
        return Ok(Vec::new());
    }
    if annotation.contains(['[', '{', '"']) {
        parse_json(annotation, namespace)
    } else {
        parse_short(annotation, namespace)
    }
}

fn parse_json(annotation: &str, namespace: &str) -> Result<Vec<Selection>, SelectionError> {
    let elements: Vec<RawObject> = json::parse(annotation)?;
    bounded(elements.len())?;
    let read = |(at, element): (usize, &RawObject)| {
        read_element(element, namespace).map_err(|source| SelectionError::Element {
            index: at + 1,
            network: element.read::<String>("name").ok().flatten().unwrap_or_else(|| "unnamed".to_owned()),
            source,
        })
    };
    elements.iter().enumerate().map(read).collect()
}

fn parse_short(annotation: &str, namespace: &str) -> Result<Vec<Selection>, SelectionError> {
    let read = |(at, item): (usize, &str)| {
        let item = item.trim();
        let form = || SelectionError::Form(item.to_owned());
        let (network, interface) = item.split_once('@').unwrap_or((item, ""));
        let (own, name) = network.split_once('/').unwrap_or(("", network));
        let (own, name, interface) = (own.trim(), name.trim(), interface.trim());
        if name.contains('/') || interface.contains(['@', '/']) {
            return Err(form());
        }
        let element = |source| SelectionError::Element { index: at + 1, network: item.to_owned(), source };
        if !is_one_part(name) {
            // Dots are for the JSON form: in the short form the name is one part, as in Multus.
            return Err(element(InvalidReference(name.to_owned()).into()));
        }
        let nad = NadRef::new(if own.is_empty() { namespace } else { own }, name).map_err(|e| element(e.into()))?;
        let interface = Some(interface).filter(|name| !name.is_empty()).map(read_interface).transpose();
        Ok(Selection { interface: interface.map_err(element)?, ..Selection::of(nad) })
    };
    bounded(annotation.split(',').count())?;
    annotation.split(',').enumerate().map(read).collect()
}

fn bounded(selected: usize) -> Result<(), SelectionError> {
    if selected > MOST { Err(SelectionError::TooMany(selected)) } else { Ok(()) }
}

impl Selection {
    /// The network and nothing asked of it.
    pub fn of(nad: NadRef) -> Self {
        Selection {
            nad,
            interface: None,
            ips: Vec::new(),
            mac: None,
            infiniband_guid: None,
            port_mappings: Vec::new(),
            bandwidth: None,
            device_id: None,
            cni_args: None,
            default_route: None,
            ipam_claim_reference: None,
            unknown: Vec::new(),
        }
    }
}

fn read_element(element: &RawObject, namespace: &str) -> Result<Selection, ElementError> {
    let text = |key: &str| Ok::<_, InvalidValue>(element.read::<String>(key)?.filter(|text| !text.is_empty()));
    let name = text("name")?.ok_or_else(|| ElementError::Invalid("it has no name".into()))?;
    let nad = NadRef::new(text("namespace")?.as_deref().unwrap_or(namespace), &name)?;
    let interface = text("interface")?.or(text("interfaceRequest")?);
    let interface = interface.as_deref().map(read_interface).transpose()?;
    let invalid = ElementError::Invalid;
    let ports = element.read::<Vec<FoldedPort>>("portMappings")?.unwrap_or_default();
    let ports = ports.into_iter().map(|port| port.0.validated()).collect::<Result<_, _>>().map_err(invalid)?;
    Ok(Selection {
        interface,
        ips: read_ips(element)?,
        mac: read_hardware(element, "mac", &[6, 8, 20])?,
        infiniband_guid: read_hardware(element, "infiniband-guid", &[8])?,
        port_mappings: ports,
        bandwidth: read_bandwidth(element)?,
        device_id: text("deviceID")?,
        cni_args: element.read::<RawObject>("cni-args")?,
        default_route: read_default_route(element)?,
        ipam_claim_reference: text("ipam-claim-reference")?,
        unknown: unknown_keys(element),
        ..Selection::of(nad)
    })
}

fn unknown_keys(element: &RawObject) -> Vec<UnknownKey> {
    let unknown = element.iter().map(|(key, _)| key).filter(|key| !KEYS.iter().any(|known| folds_to(key, known)));
    let shown = |key: &str| key.chars().take(SHOWN).collect();
    unknown.take(TOLD).map(|key| UnknownKey { key: shown(key), meant: spelling::nearest(key, KEYS) }).collect()
}

/// Linux takes any bytes. Characters that look like others, or that turn the direction of writing, would deceive who
/// reads the name in a table or in a log.
fn read_interface(name: &str) -> Result<IfName, ElementError> {
    if !name.is_ascii() {
        return Err(ElementError::Invalid(format!("interface name {name:?} may hold only ASCII characters")));
    }
    Ok(IfName::new(name)?)
}

fn read_ips(element: &RawObject) -> Result<Vec<String>, ElementError> {
    let ips = element.read::<Vec<String>>("ips")?.unwrap_or_default();
    match ips.iter().find(|ip| ip.parse::<IpNet>().is_err() && ip.parse::<IpAddr>().is_err()) {
        Some(bad) => Err(ElementError::Invalid(format!("ips: {bad:?} is not an address"))),
        None => Ok(ips),
    }
}

fn read_hardware(element: &RawObject, key: &str, lengths: &[usize]) -> Result<Option<String>, ElementError> {
    match element.read::<String>(key)?.filter(|text| !text.is_empty()) {
        Some(text) if !is_hardware_address(&text, lengths) => {
            Err(ElementError::Invalid(format!("{key}: {text:?} is not a hardware address")))
        }
        text => Ok(text),
    }
}

fn read_bandwidth(element: &RawObject) -> Result<Option<Bandwidth>, ElementError> {
    let Some(object) = element.read::<RawObject>("bandwidth")? else { return Ok(None) };
    let rate = |key: &str| Ok::<_, InvalidValue>(object.read::<u64>(key)?.unwrap_or(0));
    let bandwidth = Bandwidth {
        ingress_rate: rate("ingressRate")?,
        ingress_burst: rate("ingressBurst")?,
        egress_rate: rate("egressRate")?,
        egress_burst: rate("egressBurst")?,
    };
    let bandwidth = bandwidth.validated().map_err(ElementError::Invalid)?;
    Ok(Some(bandwidth).filter(|bandwidth| *bandwidth != Bandwidth::default()))
}

fn read_default_route(element: &RawObject) -> Result<Option<Vec<IpAddr>>, ElementError> {
    let Some(texts) = element.read::<Vec<String>>("default-route")? else { return Ok(None) };
    let gateways = texts.iter().map(|text| {
        text.parse().map_err(|_| ElementError::Invalid(format!("default-route: {text:?} is not an address")))
    });
    // As Go has it, ::ffff:10.0.0.1 is 10.0.0.1: a gateway of its family.
    gateways.map(|ip| ip.map(|ip: IpAddr| ip.to_canonical())).collect::<Result<_, _>>().map(Some)
}

/// A port mapping whose keys may be in any letter case.
struct FoldedPort(PortMapping);

impl<'de> Deserialize<'de> for FoldedPort {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = RawObject::deserialize(deserializer)?;
        let number = |key: &str| object.read::<u32>(key).map(|value| value.unwrap_or(0));
        let text = |key: &str| object.read::<String>(key).map(Option::unwrap_or_default);
        let read = || {
            Ok::<_, InvalidValue>(PortMapping {
                host_port: number("hostPort")?,
                container_port: number("containerPort")?,
                protocol: text("protocol")?,
                host_ip: text("hostIP")?,
            })
        };
        read().map(FoldedPort).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
