//! The bridge as the gateway of its containers.

use super::super::cable::find_end;
use super::super::interface::enable_forwarding;
use super::super::routes;
use super::port::{Cable, find_bridge};
use super::settings::{Settings, Vlans};
use crate::cni::result::{Interface, IpConfig};
use crate::cni::{AddResult, IfName};
use crate::delegate::Ground;
use crate::delegate::failure::Failure;
use crate::delegate::ipam::Foreseen;
use crate::sys::netlink::{Answer, Change, Link, Mac, PortFlags, Socket};
use ipnet::IpNet;
use nix::errno::Errno;
use std::net::IpAddr;

/// The position of the container's interface in a result, after the bridge and its port.
const CONTAINER_INTERFACE: i64 = 2;

/// Fills in the gateways and default routes that `result` leaves open; answers the bridge's addresses.
pub(super) fn complete(result: &mut AddResult, settings: &Settings) -> Result<Vec<IpNet>, Failure> {
    let mut addresses = Vec::new();
    for ip in &mut result.ips {
        ip.interface = Some(CONTAINER_INTERFACE);
        if !settings.is_gateway {
            continue;
        }
        let gateway = gateway_of(ip);
        if settings.is_default_gateway {
            routes::add_default(&mut result.routes, gateway);
        }
        let address = IpNet::new(gateway, ip.address.prefix_len());
        addresses.push(address.map_err(|e| Failure::Failed(format!("gateway {gateway}: {e}")))?);
    }
    // IPv4 first, as the reference sets them.
    addresses.sort_by_key(|address| matches!(address, IpNet::V6(_)));
    Ok(addresses)
}

/// What [`complete`] will make of addresses that are known before.
pub(super) fn foresee(foreseen: Foreseen, settings: &Settings) -> Foreseen {
    let Foreseen { mut ips, routes, .. } = match foreseen {
        known if settings.is_gateway && !known.ips.is_empty() => known,
        other => return other,
    };
    for ip in &mut ips {
        gateway_of(ip);
    }
    Foreseen::of(ips, routes)
}

/// The gateway of `ip`, which has one from now on.
fn gateway_of(ip: &mut IpConfig) -> IpAddr {
    *ip.gateway.get_or_insert_with(|| after(ip.address.network()))
}

/// The first address of a subnet.
fn after(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V4(network) => u32::from(network).wrapping_add(1).to_be_bytes().into(),
        IpAddr::V6(network) => u128::from(network).wrapping_add(1).to_be_bytes().into(),
    }
}

/// Gives the bridge (or its end in the VLAN, which is answered) the addresses `gateways` and lets the host forward.
pub(super) fn set_up(
    host: &mut Socket,
    bridge: &Link,
    settings: &Settings,
    gateways: &[IpNet],
) -> Result<Option<Interface>, Failure> {
    let in_vlan = match settings.vlans.untagged {
        0 => None,
        _ => Some(ensure_vlan_end(host, bridge, settings)?),
    };
    for gateway in gateways {
        ensure_address(host, in_vlan.as_ref().unwrap_or(bridge), *gateway, settings.force_address)?;
    }
    enable_forwarding(host.settings(), gateways.iter().copied())?;
    Ok(in_vlan.map(|link| Interface { name: link.name, mac: link.mac.to_string(), ..Interface::default() }))
}

/// The gateway of a VLAN cannot be on the bridge itself, which is in VLAN 1: it is on a cable of its own.
fn ensure_vlan_end(host: &mut Socket, bridge: &Link, settings: &Settings) -> Result<Link, Failure> {
    let name = settings.vlan_end()?;
    let name = name.as_str();
    if let Some(link) = host.link_by_name(name)? {
        return Ok(link);
    }
    let Vlans { untagged, keep_default, .. } = settings.vlans;
    let vlans = Vlans { untagged, keep_default, ..Vlans::default() };
    let cable = Cable {
        name,
        netns: None,
        index: None,
        mtu: Some(bridge.mtu),
        mac: None,
        port: PortFlags::default(),
        vlans: &vlans,
    };
    cable.plug_in(host, bridge.index)?;
    let link = find_end(host, name)?;
    host.change_link(link.index, &Change { up: Some(true), ..Change::default() })?;
    Ok(link)
}

/// Judges before anything is made whether a bridge that is there can have the gateway's addresses, where they are
/// certain. Answers those that it has.
pub(super) fn judge(
    bridge: Option<&Link>,
    foreseen: &Foreseen,
    settings: &Settings,
    ground: &mut Ground<'_>,
) -> Result<Vec<IpNet>, Failure> {
    let mut there = Vec::new();
    let is_made_before = (ground.is_made_before)(settings.name.as_str());
    if foreseen.implied.is_empty() || !settings.is_gateway || settings.force_address || is_made_before {
        return Ok(there);
    }
    let Some(host) = ground.host.as_deref_mut() else { return Ok(there) };
    let in_vlan = match settings.vlans.untagged {
        0 => None,
        _ => host.link_by_name(settings.vlan_end()?.as_str())?,
    };
    let Some(link) = in_vlan.as_ref().or(bridge.filter(|_| settings.vlans.untagged == 0)) else { return Ok(there) };
    for is_v4 in [true, false] {
        let subnets = foreseen.subnets.iter().flatten().filter(|subnet| subnet.addr().is_ipv4() == is_v4);
        let (subnets, gateways): (Vec<_>, _) = (subnets.collect(), foreseen.implied_of(is_v4));
        if let ([subnet], [Some(gateway)]) = (subnets.as_slice(), gateways.as_slice())
            && let Ok(wanted) = IpNet::new(*gateway, subnet.prefix_len())
        {
            match in_the_way(host, link, wanted)? {
                InTheWay::Address(net) => return Err(occupied(link, net, wanted)),
                InTheWay::Itself if settings.vlans.untagged == 0 => there.push(wanted),
                _ => {}
            }
        }
    }
    Ok(there)
}

/// Completes what was asked for with [`Batch::add_address`](crate::sys::netlink::Batch): the bridge had the address
/// before anything was made, and has it, unless somebody has taken it away meanwhile.
pub(super) fn confirm(host: &mut Socket, bridge: &IfName, answer: Answer) -> Result<(), Failure> {
    match answer.done() {
        Err(e) if e.is(Errno::EEXIST) => Ok(()),
        Err(e) => Err(e.into()),
        Ok(()) => {
            let bridge = find_bridge(host, bridge)?;
            keep_mac(host, &bridge)
        }
    }
}

/// What keeps a link from an address.
enum InTheWay {
    /// It has it.
    Itself,
    /// Another one.
    Address(IpNet),
    /// Nothing.
    Nothing,
}

/// The addresses are looked at in the kernel's order, as the reference does. Another IPv4 address, or an IPv6 one of an
/// overlapping subnet, is in the way.
fn in_the_way(host: &mut Socket, link: &Link, wanted: IpNet) -> Result<InTheWay, Failure> {
    let is_v4 = matches!(wanted, IpNet::V4(_));
    for net in host.addresses_of_family(link.index, is_v4)?.into_iter().map(|address| address.net) {
        if net == wanted {
            return Ok(InTheWay::Itself);
        }
        if is_v4 || net.contains(&wanted.addr()) || wanted.contains(&net.addr()) {
            return Ok(InTheWay::Address(net));
        }
    }
    Ok(InTheWay::Nothing)
}

fn occupied(link: &Link, net: IpNet, wanted: IpNet) -> Failure {
    let name = &link.name;
    Failure::Failed(format!(
        "{name} already has address {net}, not the gateway's {wanted}; forceAddress would replace it"
    ))
}

/// Gives `link` the address `wanted` unless it has it; what is in the way goes if `force`.
fn ensure_address(host: &mut Socket, link: &Link, wanted: IpNet, force: bool) -> Result<(), Failure> {
    loop {
        match in_the_way(host, link, wanted)? {
            InTheWay::Itself => return Ok(()),
            InTheWay::Nothing => break,
            InTheWay::Address(net) if force => host.delete_address(link.index, net)?,
            InTheWay::Address(net) => return Err(occupied(link, net, wanted)),
        }
    }
    // First, unlike the reference: who is killed in between leaves a bridge that the next ADD finds with its address, and
    // whose MAC would change with its ports for ever.
    keep_mac(host, link)?;
    match host.add_address(link.index, wanted) {
        Err(e) if !e.is(Errno::EEXIST) => Err(e.into()),
        _ => Ok(()),
    }
}

/// A bridge takes the lowest address among its ports unless it was given one: a gateway must not change it.
fn keep_mac(host: &mut Socket, link: &Link) -> Result<(), Failure> {
    let mac = lasting_mac(host, link)?;
    Ok(host.change_link(link.index, &Change { mac: Some(&mac), ..Change::default() })?)
}

/// The MAC that `link` keeps. It had none if it was a bridge that had lost its last port (br_stp_if.c:
/// `br_stp_recalculate_bridge_id`); by now there is one again, and with it a MAC.
fn lasting_mac(host: &mut Socket, link: &Link) -> Result<Mac, Failure> {
    if !link.mac.is_zero() {
        return Ok(link.mac.clone());
    }
    let now = host.link_by_index(link.index)?;
    now.map(|link| link.mac).ok_or_else(|| Failure::Failed(format!("bridge {} is gone", link.name)))
}
