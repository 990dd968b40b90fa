//! What can be known to fail is found here, with the last look at the machine before the first side effect.

use crate::cni::{CniError, Code, NetworkConfig, PluginConfig, RawObject, Version};
use crate::delegate::ipam;
use crate::delegate::ipam::host_local::leases::{self, KEEPERS, Place};
use crate::delegate::registry::Runner;
use crate::delegate::{Ground, Reached, Scope, SeenLinks};
use crate::engine::Turn;
use crate::engine::planning::plan::Planned;
use crate::engine::sandbox::{attach, namespace};
use crate::engine::settings::Settings;
use crate::sys::location::Landmarks;
use crate::sys::netlink::Socket;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Plugins whose `master` is a link that has to be there.
const ON_A_MASTER: [&str; 3] = ["macvlan", "ipvlan", "vlan"];
/// The bridge that bridge and flannel make unasked.
const DEFAULT_BRIDGE: &str = "cni0";

/// Checks versions, namespace, plugins, interface names, masters, and all that natives will be asked.
///
/// # Errors
/// Code 8: `CNI_NETNS` is no namespace, or our own. Code 7, naming network and interface: a version is unknown, a
/// plugin or a master is missing, the interface's name is taken, or a native could not do what it is asked.
pub fn check(turn: &Turn, plan: &[Planned]) -> Result<(), CniError> {
    let path = turn.path();
    for planned in plan {
        known_version(planned)?;
        turn.registry.present(&planned.config, &path).map_err(|e| e.to_cni().about(label(planned)))?;
    }
    let target = turn.target()?;
    let Some(netns) = target.netns.as_deref() else { return Ok(()) };
    let netns = namespace::of_call(turn, netns)?;
    let mut inside = Socket::in_netns(&netns)
        .map_err(|e| CniError::new(Code::Io, format!("namespace {}: {e}", netns.path().display())))?;
    let mut host = Socket::in_own().map_err(|e| CniError::new(Code::Io, e.to_string()))?;
    let io = |e: crate::sys::netlink::Error| CniError::new(Code::Io, e.to_string());
    let links = if plan.is_empty() { Vec::new() } else { inside.links().map_err(io)? };
    let mut seen = SeenLinks::look(&mut host, &links_of_natives(plan), &kinds_of_natives(turn, plan));
    for (index, planned) in plan.iter().enumerate() {
        let ifname = planned.ifname.as_str();
        if links.iter().any(|link| link.name == ifname || link.alternative_names.iter().any(|name| name == ifname)) {
            return Err(invalid(planned, format!("the interface exists in {} already", netns.path().display())));
        }
        let is_made_before = |name: &str| is_made_by(&plan[..index], name);
        let (host, inside, seen) = (Some(&mut host), Some(&mut inside), &mut seen);
        let mut ground = Ground { is_first: true, host, inside, seen, is_made_before: &is_made_before };
        masters_of_programs(turn, planned, &mut ground)?;
        judge(turn, planned, &path, &mut ground)?;
    }
    let next = links.iter().map(|link| link.index + 1).max();
    turn.registry.adopt(host, netns, inside, next);
    Ok(())
}

/// As [`check`] somewhere else than on the node: versions and configurations, without a look at the machine.
///
/// # Errors
/// Code 7: a version is unknown, or a native could not do what it is asked.
pub fn check_elsewhere(turn: &Turn, plan: &[Planned]) -> Result<(), CniError> {
    for (index, planned) in plan.iter().enumerate() {
        known_version(planned)?;
        let is_made_before = |name: &str| is_made_by(&plan[..index], name);
        let (host, inside, seen) = (None, None, &mut SeenLinks::default());
        let mut ground = Ground { is_first: true, host, inside, seen, is_made_before: &is_made_before };
        judge(turn, planned, &[], &mut ground)?;
    }
    Ok(())
}

/// Asks the natives of a network, and whether its gateways are reached.
fn judge(turn: &Turn, planned: &Planned, path: &[PathBuf], ground: &mut Ground<'_>) -> Result<(), CniError> {
    let target = turn.target()?;
    let scope = Scope {
        container_id: Some(&target.container_id),
        ifname: Some(&planned.ifname),
        netns: target.netns.as_deref(),
        args: &planned.args,
        path,
        patience: turn.settings.delegate_timeout,
        deadline: turn.until(attach::ADD),
        is_first: false,
        lock: None,
    };
    let prepared = turn.registry.prepare(&planned.config, &planned.capability_args, &scope, ground);
    default_route(planned, prepared.map_err(|e| e.to_cni().about(label(planned)))?)
}

/// The links of the node that natives will ask for: all are looked at with one request.
fn links_of_natives(plan: &[Planned]) -> BTreeSet<String> {
    let plugins = plan.iter().flat_map(|planned| &planned.config.plugins);
    let link = |plugin: &PluginConfig| match plugin.kind.as_str() {
        "bridge" => Some(text(&plugin.object, "bridge").unwrap_or_else(|| DEFAULT_BRIDGE.to_owned())),
        kind if ON_A_MASTER.contains(&kind) => text(&plugin.object, "master"),
        _ => None,
    };
    plugins.filter_map(link).collect()
}

/// A result in a version that we do not know could not be read, after the network was attached.
fn known_version(planned: &Planned) -> Result<(), CniError> {
    match Version::from_str(planned.config.version.as_str()) {
        Ok(_) => Ok(()),
        Err(e) => Err(invalid(planned, format!("plugin {}: cniVersion: {e}", planned.config.kinds()))),
    }
}

/// Whoever may define a network says where root keeps its addresses. Programs do not look at the folder; so we do,
/// before one is called, also for a DEL that has to guess. The operator's own default network is left to the operator.
///
/// # Errors
/// Code 7, naming network, interface and folder: somebody else than root could exchange it, or it is one of Plexus.
pub fn pools(turn: &Turn, plan: &[Planned]) -> Result<(), CniError> {
    let landmarks = Landmarks::default();
    plan.iter().try_for_each(|planned| pools_of(turn, planned, &landmarks))
}

fn pools_of(turn: &Turn, planned: &Planned, landmarks: &Landmarks) -> Result<(), CniError> {
    // A NAD is called by its namespace, too.
    if planned.default && !planned.network.contains('/') {
        return Ok(());
    }
    judge_pools(&turn.settings, &planned.config, landmarks).map_err(|why| invalid(planned, why))
}

/// As [`pools`], of one network that is not the operator's.
///
/// # Errors
/// Names plugin and folder.
pub fn judge_pools(settings: &Settings, network: &NetworkConfig, landmarks: &Landmarks) -> Result<(), String> {
    let own = [settings.state.path(), settings.run.path()];
    for Place { kind, path } in leases::places(network) {
        leases::judge(&path, &own, &settings.data_dir_roots, landmarks).map_err(|why| {
            let what = if KEEPERS.contains(&kind.as_str()) { "directory" } else { "pool" };
            format!("plugin {kind}: dataDir: the {what} {} cannot be used: {why}", path.display())
        })?;
    }
    Ok(())
}

/// The kernel takes the gateways of a `default-route` only in what is `reached` over the interface.
fn default_route(planned: &Planned, reached: Reached) -> Result<(), CniError> {
    let (Some(gateways), Some(subnets)) = (&planned.default_route, reached) else { return Ok(()) };
    let is_reached =
        |gateway: &IpAddr| ipam::is_everywhere(*gateway) || subnets.iter().any(|subnet| subnet.contains(gateway));
    let Some(gateway) = gateways.iter().find(|gateway| !is_reached(gateway)) else { return Ok(()) };
    let reached: Vec<String> = subnets.iter().map(ToString::to_string).collect();
    let why = match reached.as_slice() {
        [] => "the network gives the interface no address".to_owned(),
        reached => format!("it is in no subnet of the network ({})", reached.join(", ")),
    };
    Err(invalid(planned, format!("default-route: gateway {gateway} cannot be reached: {why}")))
}

/// Natives look for their masters themselves.
fn masters_of_programs(turn: &Turn, planned: &Planned, ground: &mut Ground<'_>) -> Result<(), CniError> {
    let on_a_master = |plugin: &&PluginConfig| ON_A_MASTER.contains(&plugin.kind.as_str());
    for plugin in planned.config.plugins.iter().filter(on_a_master) {
        if turn.registry.runners(plugin).main == Runner::Native {
            continue;
        }
        let Some(master) = text(&plugin.object, "master").filter(|master| !master.is_empty()) else { continue };
        let in_container = plugin.object.read::<bool>("linkInContainer").ok().flatten().unwrap_or(false);
        let Some(inside) = ground.inside.as_deref_mut().filter(|_| !(ground.is_made_before)(&master)) else { continue };
        let (found, place) = match in_container {
            true => (inside.link_by_name(&master), "in the container"),
            false => (ground.host_link(&master), "on this node"),
        };
        match found {
            Ok(Some(_)) => {}
            Ok(None) => {
                let why = format!("plugin {}: master {master}: there is no link {master} {place}", plugin.kind);
                return Err(invalid(planned, why));
            }
            Err(e) => return Err(invalid(planned, format!("plugin {}: master: {e}", plugin.kind))),
        }
    }
    Ok(())
}

/// Whether one of the networks `before` makes the link `name`: it is its interface, the bridge or the parent of one
/// of its plugins, or the end of that bridge in a VLAN.
fn is_made_by(before: &[Planned], name: &str) -> bool {
    before.iter().any(|planned| {
        planned.ifname.as_str() == name || planned.config.plugins.iter().any(|plugin| makes(plugin, name))
    })
}

fn makes(plugin: &PluginConfig, name: &str) -> bool {
    let has_bridge = matches!(plugin.kind.as_str(), "bridge" | "flannel");
    let delegate: RawObject = plugin.object.read("delegate").ok().flatten().unwrap_or_default();
    let bridge = text(&plugin.object, "bridge").or(text(&delegate, "bridge"));
    let bridge = bridge.or_else(|| has_bridge.then(|| DEFAULT_BRIDGE.to_owned()));
    let is_vlan_of = |bridge: &str| name.strip_prefix(bridge).is_some_and(|rest| rest.starts_with('.'));
    bridge.is_some_and(|bridge| bridge == name || is_vlan_of(&bridge))
        || ["master", "ifName"].iter().any(|key| text(&plugin.object, key).as_deref() == Some(name))
}

/// The kinds of links on others that natives will ask for.
fn kinds_of_natives(turn: &Turn, plan: &[Planned]) -> BTreeSet<String> {
    let plugins = plan.iter().flat_map(|planned| &planned.config.plugins);
    let on_a_master = plugins.filter(|plugin| ON_A_MASTER.contains(&plugin.kind.as_str()));
    let natives = on_a_master.filter(|plugin| turn.registry.runners(plugin).main == Runner::Native);
    natives.map(|plugin| plugin.kind.to_string()).collect()
}

fn text(object: &RawObject, key: &str) -> Option<String> {
    object.read(key).ok().flatten()
}

fn label(planned: &Planned) -> String {
    format!("network {} ({})", planned.network, planned.ifname)
}

fn invalid(planned: &Planned, why: String) -> CniError {
    CniError::new(Code::InvalidConfig, why).about(label(planned))
}
