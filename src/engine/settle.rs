//! The default route: it belongs to the network that asked for it, in the kernel and not only on paper.

use super::Turn;
use super::attach::Session;
use crate::cni::result::Route as ResultRoute;
use crate::cni::{CniError, Code, NetworkConfig};
use crate::nad::status;
use crate::store::Attachment;
use crate::sys::netlink::{Route, Socket};
use crate::sys::netns::Netns;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Gives the default route to the attachments that asked for it: of each family of an attachment's gateways it
/// becomes the pod's only one (NPWG-KEY-16, NPWG-KEY-17). Without such an attachment nothing is touched.
///
/// # Errors
/// The kernel refuses a gateway, e.g. one that cannot be reached over the interface.
pub fn settle(turn: &Turn, session: &mut Session<'_>) -> Result<(), CniError> {
    let owners: Vec<usize> =
        (0..session.plan.len()).filter(|owner| session.plan[*owner].default_route.is_some()).collect();
    owners.into_iter().try_for_each(|owner| hand_over(turn, session, owner))
}

/// Gives the default route to the attachment numbered `owner`.
fn hand_over(turn: &Turn, session: &mut Session<'_>, owner: usize) -> Result<(), CniError> {
    let requested = session.plan[owner].default_route.clone().unwrap_or_default();
    let attachments = session.attachments();
    let own = if requested.is_empty() { own_gateways(&attachments[owner]) } else { requested };
    let families: BTreeSet<bool> = own.iter().map(IpAddr::is_ipv4).collect();
    let target = turn.target()?;
    let Some(path) = target.netns.as_deref() else { return Ok(()) };
    let name = attachments[owner].ifname.to_string();
    let failed = |e: &dyn std::fmt::Display| {
        CniError::new(Code::Io, format!("default route: {e}"))
            .about(format!("network {} ({name})", attachments[owner].network))
    };
    let netns = Netns::open(path).map_err(|e| failed(&e))?;
    let mut socket = Socket::in_netns(&netns).map_err(|e| failed(&e))?;
    let link = socket
        .link_by_name(&name)
        .map_err(|e| failed(&e))?
        .ok_or_else(|| failed(&format!("there is no interface {name}")))?;
    replace(&mut socket, &families, &own, link.index).map_err(|e| failed(&e))?;
    for (index, attachment) in attachments.iter_mut().enumerate() {
        remember(attachment, &families, if index == owner { &own } else { &[] });
    }
    Ok(())
}

/// Deletes every default route of `families` in the main table, then adds those through `gateways`.
fn replace(
    socket: &mut Socket,
    families: &BTreeSet<bool>,
    gateways: &[IpAddr],
    oif: u32,
) -> Result<(), crate::sys::netlink::Error> {
    const MAIN: u32 = 254;
    let routes = socket.routes()?;
    let concerned =
        |route: &&Route| route.is_default() && route.table == MAIN && families.contains(&route.dst.addr().is_ipv4());
    for route in routes.iter().filter(concerned) {
        socket.delete_route(route)?;
    }
    for (rank, gateway) in gateways.iter().enumerate() {
        // Several of one family: the order is the preference (NPWG-KEY-18).
        let before = gateways[..rank].iter().filter(|other| other.is_ipv4() == gateway.is_ipv4()).count();
        let mut route = Route::new(everything(gateway.is_ipv4()), Some(*gateway), oif);
        route.priority = u32::try_from(before).unwrap_or(0) * 100;
        socket.replace_route(&route)?;
    }
    Ok(())
}

fn everything(is_v4: bool) -> IpNet {
    if is_v4 {
        Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into()
    }
}

/// The gateways that the attachment's own plugins know: an empty `default-route` means those.
fn own_gateways(attachment: &Attachment) -> Vec<IpAddr> {
    let Some(result) = attachment.add_result() else { return Vec::new() };
    let mut gateways = status::gateways(&result);
    if gateways.is_empty() {
        let mut families = BTreeSet::new();
        gateways = result
            .ips
            .iter()
            .filter_map(|ip| ip.gateway)
            .filter(|gateway| families.insert(gateway.is_ipv4()))
            .collect();
    }
    gateways
}

/// Rewrites what is recorded of `attachment`, so that status and CHECK speak of what holds now.
fn remember(attachment: &mut Attachment, families: &BTreeSet<bool>, gateways: &[IpAddr]) {
    let Some(mut result) = attachment.add_result() else { return };
    let concerned = |route: &ResultRoute| route.is_default() && families.contains(&route.dst.addr().is_ipv4());
    let kept = status::gateways(&result).into_iter().filter(|gateway| !families.contains(&gateway.is_ipv4()));
    attachment.gateways = Some(kept.chain(gateways.iter().copied()).collect());
    let before = result.routes.len();
    result.routes.retain(|route| !concerned(route));
    if result.routes.len() == before && gateways.is_empty() {
        return;
    }
    result.routes.extend(gateways.iter().map(|gateway| ResultRoute {
        dst: everything(gateway.is_ipv4()),
        gw: Some(*gateway),
        mtu: 0,
        advmss: 0,
        priority: 0,
        table: None,
        scope: None,
    }));
    let version = NetworkConfig::parse(attachment.config.get(), None).map(|network| network.version.known());
    if let Ok(Ok(raw)) = version.map(|version| result.to_raw(version)) {
        attachment.result = Some(raw);
    }
}
