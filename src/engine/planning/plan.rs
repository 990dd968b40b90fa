//! The plan of an ADD: everything that will be attached, decided before the first side effect.
//!
//! Pure: what it is made from was read before, so every mistake of a user that can be known is told
//! here, and a bad additional network never burns an address of the default one.

use crate::cni::config::PluginConfig;
use crate::cni::{CniArgs, CniError, Code, IfName, NetworkConfig, RawObject};
use crate::engine::planning::naming::{self, Requested};
use crate::engine::planning::refusals::{firewall_keys, requests};
use crate::engine::settings::POD_ANNOTATIONS;
use crate::nad::{NadRef, Selection};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// For all networks that a pod selects together: each has a copy of its own, and the record has to hold them.
const MAX_CONFIGURATION: usize = 4 << 20;

/// One network that will be attached.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The name to report.
    pub network: String,
    /// Its configuration, with what the selection adds.
    pub config: NetworkConfig,
    /// Its interface.
    pub ifname: IfName,
    /// Whether it is the default network.
    pub default: bool,
    /// What is offered to its plugins by capability.
    pub capability_args: RawObject,
    /// `CNI_ARGS`.
    pub args: CniArgs,
    /// It has the default route, through these gateways; with none, through its own.
    pub default_route: Option<Vec<IpAddr>>,
    /// It may be attached at the same time as others.
    pub parallel: bool,
    /// The resource and the device it was given.
    pub device: Option<(String, String)>,
    /// The device-info file promised to its plugins.
    pub device_info_file: Option<PathBuf>,
}

impl Planned {
    /// Whether one of its plugins works on a link that one of `others` makes.
    pub fn needs_one_of(&self, others: &[Planned]) -> bool {
        let masters = self.config.plugins.iter().filter_map(|plugin| plugin.object.read::<String>("master").ok()?);
        masters.into_iter().any(|master| others.iter().any(|other| other.makes(&master)))
    }

    fn makes(&self, link: &str) -> bool {
        let bridge = |plugin: &PluginConfig| match plugin.object.read::<String>("bridge") {
            Ok(Some(bridge)) if !bridge.is_empty() => bridge == link,
            // What the bridge plugin makes unasked.
            _ => plugin.kind.as_str() == "bridge" && link == "cni0",
        };
        self.ifname.as_str() == link || self.config.plugins.iter().any(bridge)
    }
}

/// What a plan is made from.
#[derive(Debug)]
pub struct PlanInput<'a> {
    /// `CNI_CONTAINERID`.
    pub container_id: &'a str,
    /// `CNI_IFNAME`.
    pub ifname: &'a IfName,
    /// `CNI_ARGS`.
    pub args: &'a CniArgs,
    /// The runtime's `runtimeConfig`: for the default network only (NPWG-RC-01).
    pub runtime_config: &'a RawObject,
    /// The default network; none where we are chained behind it.
    pub default_network: Option<NetworkConfig>,
    /// The selection that names the default network, if the pod has one.
    pub default_selection: Option<&'a Selection>,
    /// `delegates` after the first.
    pub further_delegates: Vec<NetworkConfig>,
    /// The additional networks.
    pub selections: &'a [Selection],
    /// Their configurations.
    pub networks: &'a BTreeMap<NadRef, NetworkConfig>,
    /// The resource that a network takes a device of.
    pub resources: &'a BTreeMap<NadRef, String>,
    /// Devices allocated to the pod, by resource.
    pub devices: &'a BTreeMap<String, Vec<String>>,
    /// NADs whose attachments may be made at the same time, and whether all may.
    pub parallel: (&'a [NadRef], bool),
}

/// Plans the attachments, in the order in which they are made.
///
/// # Errors
/// Code 7, naming network and interface: interface names collide, two networks want the default
/// route, a network cannot do what is asked of it, there is no device left.
pub fn make(input: &PlanInput<'_>) -> Result<Vec<Planned>, CniError> {
    let mut devices = input.devices.clone();
    let mut plan = default_network(input, &mut devices)?;
    for network in &input.further_delegates {
        plan.push(bare(network.name.to_string(), network.clone(), input));
    }
    bounded(input)?;
    for selection in input.selections {
        plan.push(additional(input, selection, &mut devices)?);
    }
    name(input, &mut plan)?;
    single_default_route(&plan)?;
    for planned in &mut plan {
        offer_device_info(input.container_id, planned);
    }
    // Chained, the first place was the default network's, which is attached already.
    Ok(plan)
}

/// Refuses what would be too much, before any of it is copied.
fn bounded(input: &PlanInput<'_>) -> Result<(), CniError> {
    let selected = || input.default_selection.into_iter().chain(input.selections);
    let size =
        |selection: &Selection| Ok((size(input, network(input, selection)?, selection), selection.nad.to_string()));
    let sizes: Vec<(usize, String)> = selected().map(size).collect::<Result<_, CniError>>()?;
    match sizes.iter().max() {
        Some((longest, nad)) if sizes.iter().map(|(size, _)| size).sum::<usize>() > MAX_CONFIGURATION => {
            Err(invalid(format!(
                "the configurations of the {} selected networks have more than {MAX_CONFIGURATION} bytes together; the longest is network {nad} with {longest} bytes",
                sizes.len()
            )))
        }
        _ => Ok(()),
    }
}

/// What a network will take once everything asked of it was copied into each of its plugins.
fn size(input: &PlanInput<'_>, config: &NetworkConfig, selection: &Selection) -> usize {
    let arguments = selection.cni_args.as_ref().map_or(0, RawObject::size)
        + selection.ipam_claim_reference.as_ref().map_or(0, String::len);
    let annotations = pod_annotations(input, config).map_or(0, |annotations| annotations.get().len());
    config.plugins.iter().map(|plugin| plugin.object.size() + arguments).sum::<usize>() + annotations
}

/// The configuration of what `selection` selects.
fn network<'a>(input: &'a PlanInput<'_>, selection: &Selection) -> Result<&'a NetworkConfig, CniError> {
    let nad = &selection.nad;
    input.networks.get(nad).ok_or_else(|| invalid(format!("network {nad} was not looked up")))
}

/// The pod's annotations, for a network with a plugin that declares them as a capability.
fn pod_annotations<'a>(input: &'a PlanInput<'_>, config: &NetworkConfig) -> Option<&'a RawValue> {
    input.runtime_config.get(POD_ANNOTATIONS).filter(|_| config.has_capability(POD_ANNOTATIONS))
}

fn default_network(
    input: &PlanInput<'_>,
    devices: &mut BTreeMap<String, Vec<String>>,
) -> Result<Vec<Planned>, CniError> {
    let mut planned = match (input.default_selection, &input.default_network) {
        (Some(_), None) => {
            let key = crate::nad::DEFAULT_NETWORK;
            return Err(invalid(format!(
                "annotation {key} cannot be followed: Plexus is chained behind the default network, which is attached already"
            )));
        }
        (Some(selection), Some(_)) => additional(input, selection, devices)?,
        (None, Some(network)) => bare(network.name.to_string(), network.clone(), input),
        (None, None) => return Ok(Vec::new()),
    };
    planned.default = true;
    // What was asked for in the annotation wins over what the runtime offers.
    let mut offered = input.runtime_config.clone();
    offered.remove(POD_ANNOTATIONS);
    offered.merge(&planned.capability_args);
    planned.capability_args = offered;
    Ok(vec![planned])
}

/// A network of which nothing is asked.
fn bare(network: String, config: NetworkConfig, input: &PlanInput<'_>) -> Planned {
    let mut capability_args = RawObject::default();
    if let Some(annotations) = pod_annotations(input, &config) {
        capability_args.set(POD_ANNOTATIONS, annotations.to_owned());
    }
    Planned {
        network,
        config,
        ifname: input.ifname.clone(),
        default: false,
        capability_args,
        args: input.args.clone(),
        default_route: None,
        parallel: input.parallel.1,
        device: None,
        device_info_file: None,
    }
}

fn additional(
    input: &PlanInput<'_>,
    selection: &Selection,
    devices: &mut BTreeMap<String, Vec<String>>,
) -> Result<Planned, CniError> {
    let nad = &selection.nad;
    let config = network(input, selection)?;
    firewall_keys::refuse(&nad.to_string(), config)?;
    let mut planned = bare(nad.to_string(), config.clone(), input);
    planned.default_route.clone_from(&selection.default_route);
    planned.parallel |= input.parallel.0.contains(nad);
    if let Some(resource) = input.resources.get(nad) {
        let device = take_device(devices, resource).ok_or_else(|| no_device(input, nad, resource))?;
        set_device(&mut planned.config, &device);
        planned.device = Some((resource.clone(), device));
    }
    offer(&mut planned, selection)?;
    merge_cni_args(&mut planned.config, selection)?;
    request_by_args(&mut planned.args, selection);
    Ok(planned)
}

/// Each device is given once, in the order of allocation.
fn take_device(devices: &mut BTreeMap<String, Vec<String>>, resource: &str) -> Option<String> {
    devices.get_mut(resource).filter(|left| !left.is_empty()).map(|left| left.remove(0))
}

fn no_device(input: &PlanInput<'_>, nad: &NadRef, resource: &str) -> CniError {
    let had = input.devices.get(resource).map_or(0, Vec::len);
    invalid(match had {
        0 => format!(
            "network {nad}: no device of resource {resource} is allocated to this pod; its containers or claims have to ask for one"
        ),
        _ => format!(
            "network {nad}: no device of resource {resource} is left for this pod: networks before it took all {had}"
        ),
    })
}

/// What device plugins' CNI plugins look for (`multus-behaviour` §3.4): two top-level keys, in every plugin.
fn set_device(config: &mut NetworkConfig, device: &str) {
    for plugin in &mut config.plugins {
        plugin.object.set_value("deviceID", device);
        plugin.object.set_value("pciBusID", device);
    }
}

/// Offers what the selection asks for by capability. Without a plugin that declares it, addresses
/// still go through `CNI_ARGS`; what nobody reads is refused (NPWG-KEY-13, NPWG-KEY-15, NPWG-KEY-19).
fn offer(planned: &mut Planned, selection: &Selection) -> Result<(), CniError> {
    let offered = &mut planned.capability_args;
    if !selection.ips.is_empty() {
        offered.set_value("ips", &selection.ips);
    }
    if let Some(mac) = &selection.mac {
        offered.set_value("mac", mac);
    }
    let device = planned.device.as_ref().map(|(_, device)| device).or(selection.device_id.as_ref());
    if let Some(device) = device {
        offered.set_value("deviceID", device);
    }
    let mut strict: Vec<&str> = Vec::new();
    if !selection.port_mappings.is_empty() {
        offered.set_value("portMappings", &selection.port_mappings);
        strict.push("portMappings");
    }
    if let Some(bandwidth) = &selection.bandwidth {
        offered.set_value("bandwidth", bandwidth);
        strict.push("bandwidth");
    }
    if let Some(guid) = &selection.infiniband_guid {
        offered.set_value("infinibandGUID", guid);
        strict.push("infinibandGUID");
    }
    if let Some(why) = requests::unread(&planned.config, selection) {
        return Err(invalid(format!("network {}: {why}", planned.network)));
    }
    match strict.into_iter().find(|capability| !planned.config.has_capability(capability)) {
        Some(capability) => Err(invalid(format!(
            "network {}: {capability} is requested, but none of its plugins ({}) has that capability",
            planned.network,
            planned.config.kinds()
        ))),
        None => Ok(()),
    }
}

/// Merges `cni-args` into `args.cni` of every plugin; the pod's keys win (NPWG-KEY-11).
fn merge_cni_args(config: &mut NetworkConfig, selection: &Selection) -> Result<(), CniError> {
    let mut own = selection.cni_args.clone().unwrap_or_default();
    if let Some(claim) = &selection.ipam_claim_reference {
        // The standard leaves open how the name reaches the plugin (NPWG-KEY-20).
        own.set_value("ipam-claim-reference", claim);
    }
    if own.is_empty() {
        return Ok(());
    }
    for plugin in &mut config.plugins {
        let not_an_object = |e| invalid(format!("network {}: plugin {}: {e}", selection.nad, plugin.kind));
        let mut args: RawObject = plugin.object.read("args").map_err(not_an_object)?.unwrap_or_default();
        let mut cni: RawObject = args.read("cni").map_err(not_an_object)?.unwrap_or_default();
        cni.merge(&own);
        args.set("cni", cni.to_raw());
        plugin.object.set("args", args.to_raw());
    }
    Ok(())
}

/// Addresses also go through `CNI_ARGS`, as manifests that work on Multus rely on.
fn request_by_args(args: &mut CniArgs, selection: &Selection) {
    if selection.ips.is_empty() && selection.mac.is_none() {
        return;
    }
    if args.get("IgnoreUnknown").is_none() {
        // A plugin that knows neither key would refuse them (CNI-ARG-06).
        args.set("IgnoreUnknown", "1");
    }
    if let Some(mac) = &selection.mac {
        args.set("MAC", mac);
    }
    if !selection.ips.is_empty() {
        args.set("IP", &selection.ips.join(","));
    }
}

fn name(input: &PlanInput<'_>, plan: &mut [Planned]) -> Result<(), CniError> {
    let chained = input.default_network.is_none();
    let default = input.default_selection.and_then(|selection| selection.interface.clone());
    let first = Some(default.unwrap_or_else(|| input.ifname.clone()));
    let further = input.further_delegates.iter().map(|_| None);
    let requested = input.selections.iter().map(|selection| selection.interface.clone());
    let requested = std::iter::once(first).chain(further).chain(requested);
    // Where the default network is attached already, it has a name and no place in the plan.
    let attached = chained.then_some("default");
    let networks = attached.into_iter().chain(plan.iter().map(|planned| planned.network.as_str()));
    let requested: Vec<Requested<'_>> =
        requested.zip(networks).map(|(name, network)| Requested { name, network }).collect();
    let names = naming::name_interfaces(&requested)?;
    for (planned, name) in plan.iter_mut().zip(names.into_iter().skip(usize::from(chained))) {
        planned.ifname = name;
    }
    Ok(())
}

/// Of each family only one network can have the default route. NPWG-KEY-16 allows one in all; pods that get IPv4 from
/// one network and IPv6 from another work with Multus, and nothing about them is ambiguous.
fn single_default_route(plan: &[Planned]) -> Result<(), CniError> {
    for is_v4 in [true, false] {
        // An empty list means the network's own gateways, which are not known yet.
        let wants = |gateways: &Vec<IpAddr>| gateways.is_empty() || gateways.iter().any(|g| g.is_ipv4() == is_v4);
        let wanting: Vec<&str> =
            plan.iter().filter(|p| p.default_route.as_ref().is_some_and(wants)).map(|p| p.network.as_str()).collect();
        if wanting.len() > 1 {
            return Err(invalid(format!(
                "default-route is requested for more than one network: {}",
                wanting.join(", ")
            )));
        }
    }
    Ok(())
}

/// Promises a device-info file to a network that has a device, or a plugin that can write one (DEVINFO-11).
fn offer_device_info(container_id: &str, planned: &mut Planned) {
    let has_device = planned.capability_args.contains("deviceID");
    if planned.default || !(has_device || planned.config.has_capability("CNIDeviceInfoFile")) {
        return;
    }
    let path = naming::promised(container_id, &planned.network, planned.ifname.as_str());
    planned.capability_args.set_value("CNIDeviceInfoFile", &path);
    planned.device_info_file = Some(path);
}

fn invalid(msg: String) -> CniError {
    CniError::new(Code::InvalidConfig, msg)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
