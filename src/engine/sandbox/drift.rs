//! What differs between the record and the kernel.

use crate::cni::result::{AddResult, Interface, IpConfig, Route as Wanted};
use crate::cni::{CniError, Code, NetworkConfig};
use crate::store::Attachment;
use crate::sys::netlink::{Address, Error, Link, Route, Socket, TABLE_MAIN};
use crate::sys::netns::Netns;

/// What the kernel has in a namespace, read once for all networks of a pod.
struct Kernel {
    links: Vec<Link>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
}

/// Looks for every interface, address and route that `attachments` recorded in `netns`.
///
/// # Errors
/// Code 101 naming all that differs; code 5 when the kernel cannot be asked.
pub fn find(netns: &Netns, attachments: &[&Attachment]) -> Result<(), CniError> {
    let compared = compare(netns, attachments)?;
    let labelled = attachments.iter().zip(compared).flat_map(|(attachment, differences)| {
        let label = format!("network {} ({})", attachment.network, attachment.ifname);
        differences.into_iter().map(move |what| format!("{label}: {what}"))
    });
    match labelled.collect::<Vec<_>>().as_slice() {
        [] => Ok(()),
        all => Err(CniError::new(Code::Drifted, all.join("; "))),
    }
}

/// What differs of each of `attachments`, in their order.
///
/// # Errors
/// Code 5 when the kernel cannot be asked.
pub fn compare(netns: &Netns, attachments: &[&Attachment]) -> Result<Vec<Vec<String>>, CniError> {
    let kernel =
        read(netns).map_err(|e| CniError::new(Code::Io, format!("namespace {}: {e}", netns.path().display())))?;
    Ok(attachments.iter().map(|attachment| differences(&kernel, attachment)).collect())
}

fn read(netns: &Netns) -> Result<Kernel, Error> {
    let mut socket = Socket::in_netns(netns)?;
    Ok(Kernel { links: socket.links()?, addresses: socket.addresses(None)?, routes: socket.routes()? })
}

fn differences(kernel: &Kernel, attachment: &Attachment) -> Vec<String> {
    let Some(result) = attachment.add_result() else { return Vec::new() };
    let mut found = Vec::new();
    for interface in result.interfaces.iter().filter(|interface| !interface.sandbox.is_empty()) {
        let Some(link) = kernel.links.iter().find(|link| link.name == interface.name) else {
            found.push(format!("interface {} is gone", interface.name));
            continue;
        };
        if !interface.mac.is_empty() && !interface.mac.eq_ignore_ascii_case(&link.mac.to_string()) {
            found.push(format!("hardware address of {} is {}, was {}", link.name, link.mac, interface.mac));
        }
        if let Some(mtu) = mtu(attachment, interface).filter(|mtu| *mtu != link.mtu) {
            found.push(format!("MTU of {} is {}, was {mtu}", link.name, link.mtu));
        }
    }
    if found.is_empty() {
        found.extend(result.ips.iter().filter_map(|ip| missing_address(kernel, attachment, &result, ip)));
        found.extend(missing_routes(kernel, &result, has_several_plugins(attachment)));
    }
    found
}

/// The MTU of `interface`: the result's, or since the reference plugins tell none there, the one that a
/// plugin was asked for and no later one could change.
fn mtu(attachment: &Attachment, interface: &Interface) -> Option<u32> {
    if interface.mtu != 0 || interface.name != attachment.ifname.as_str() {
        return Some(interface.mtu).filter(|mtu| *mtu != 0);
    }
    let network = NetworkConfig::parse(attachment.config.get(), None).ok()?;
    let [only] = network.plugins.as_slice() else { return None };
    only.object.read("mtu").ok().flatten().filter(|mtu| *mtu != 0)
}

/// An address that is on no interface it could be on. Those of interfaces on the host are not looked for here.
fn missing_address(kernel: &Kernel, attachment: &Attachment, result: &AddResult, ip: &IpConfig) -> Option<String> {
    let on = match result.interface_of(ip) {
        Some(interface) if interface.sandbox.is_empty() => return None,
        Some(interface) => interface.name.as_str(),
        None => attachment.ifname.as_str(),
    };
    let index = kernel.links.iter().find(|link| link.name == on)?.index;
    let present = kernel.addresses.iter().any(|address| address.index == index && address.net == ip.address);
    (!present).then(|| format!("address {} is not on {on} any more", ip.address))
}

/// Routes are looked for in every table, since a later plugin may have moved them (CNI-CHK-02); the
/// next hop of a default route is not compared, as in the reference plugins. The pod's default route is that of the main
/// table, unless the result names another one, or a later plugin of the list may have moved it.
fn missing_routes<'a>(
    kernel: &'a Kernel,
    result: &'a AddResult,
    may_be_moved: bool,
) -> impl Iterator<Item = String> + 'a {
    let present = move |wanted: &Wanted| {
        let dst = wanted.dst.trunc();
        let in_table = |route: &Route| {
            dst.prefix_len() != 0
                || may_be_moved
                || route.table == wanted.table.filter(|table| *table != 0).unwrap_or(TABLE_MAIN)
        };
        let same = |route: &Route| dst.prefix_len() == 0 || wanted.gw.is_none() || route.gateway == wanted.gw;
        kernel.routes.iter().any(|route| route.dst == dst && in_table(route) && same(route))
    };
    result.routes.iter().filter(move |route| !present(route)).map(|route| format!("route to {} is gone", route.dst))
}

/// Whether `attachment` has more than one plugin: then a later one may change what an earlier one made.
fn has_several_plugins(attachment: &Attachment) -> bool {
    NetworkConfig::parse(attachment.config.get(), None).is_ok_and(|network| network.plugins.len() > 1)
}
