//! What can be known to fail is found here, with the last look at the machine before the first side effect.

use super::plan::Planned;
use super::{Turn, namespace};
use crate::cni::{CniError, Code};
use crate::sys::netlink::Socket;

/// Plugins whose `master` is a link that has to be there.
const ON_A_MASTER: [&str; 3] = ["macvlan", "ipvlan", "vlan"];

/// Checks namespace, plugins, interface names and masters.
///
/// # Errors
/// Code 8: `CNI_NETNS` is no namespace, or our own. Code 7, naming network and interface: a plugin
/// or a master is missing, or the interface's name is taken.
pub fn check(turn: &Turn, plan: &[Planned]) -> Result<(), CniError> {
    let path = turn.path();
    for planned in plan {
        turn.registry.present(&planned.config, &path).map_err(|e| e.to_cni().about(label(planned)))?;
    }
    let target = turn.target()?;
    let Some(netns) = target.netns.as_deref() else { return Ok(()) };
    let netns = namespace::open(netns)?;
    let mut inside = Socket::in_netns(&netns)
        .map_err(|e| CniError::new(Code::Io, format!("namespace {}: {e}", netns.path().display())))?;
    let mut host = Socket::in_own().map_err(|e| CniError::new(Code::Io, e.to_string()))?;
    for (index, planned) in plan.iter().enumerate() {
        if has_link(&mut inside, planned.ifname.as_str())? {
            return Err(invalid(
                planned,
                format!("an interface of that name is in {} already", netns.path().display()),
            ));
        }
        for plugin in planned.config.plugins.iter().filter(|plugin| ON_A_MASTER.contains(&plugin.kind.as_str())) {
            let master = plugin.object.read::<String>("master").ok().flatten().filter(|master| !master.is_empty());
            let Some(master) = master else { continue };
            let in_container = plugin.object.read::<bool>("linkInContainer").ok().flatten().unwrap_or(false);
            let socket = if in_container { &mut inside } else { &mut host };
            if !is_made_before(&plan[..index], &master) && !has_link(socket, &master)? {
                let place = if in_container { "in the container" } else { "on this node" };
                return Err(invalid(planned, format!("plugin {}: there is no link {master} {place}", plugin.kind)));
            }
        }
    }
    turn.registry.adopt(host, netns, inside);
    Ok(())
}

fn has_link(socket: &mut Socket, name: &str) -> Result<bool, CniError> {
    socket.link_by_name(name).map(|link| link.is_some()).map_err(|e| CniError::new(Code::Io, e.to_string()))
}

/// Whether a network that is attached before makes the link `name`: it is its interface, or its
/// configuration mentions it (a bridge, a parent), or it is the bridge that bridge and flannel make unasked.
fn is_made_before(before: &[Planned], name: &str) -> bool {
    let quoted = format!("\"{name}\"");
    before.iter().any(|planned| {
        planned.ifname.as_str() == name
            || planned.config.plugins.iter().any(|plugin| {
                let makes_cni0 = matches!(plugin.kind.as_str(), "bridge" | "flannel");
                (name == "cni0" && makes_cni0) || plugin.object.to_json().contains(&quoted)
            })
    })
}

fn label(planned: &Planned) -> String {
    format!("network {} ({})", planned.network, planned.ifname)
}

fn invalid(planned: &Planned, why: String) -> CniError {
    CniError::new(Code::InvalidConfig, why).about(label(planned))
}
