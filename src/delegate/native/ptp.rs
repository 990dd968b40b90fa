//! `ptp`: a cable between the container and the host, which routes.

use super::interface::{self, read_mtu};
use super::sockets::Container;
use super::{Native, Sockets, cable, parent, routes, verify};
use crate::cni::AddResult;
use crate::cni::result::{Interface, IpConfig};
use crate::delegate::failure::Failure;
use crate::delegate::ipam::{Foreseen, Ipam};
use crate::delegate::keys::{Key, declined, key};
use crate::delegate::stdin::{Stdin, Target, netns_path};
use crate::delegate::{Call, Ground, Reached};
use crate::sys::netlink::{Link, Peer, Route, SCOPE_HOST, SCOPE_LINK, Socket};
use ipnet::IpNet;
use nix::errno::Errno;
use serde_json::value::RawValue;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

/// Its `type`.
pub const TYPE: &str = "ptp";

/// Its keys.
pub const KEYS: &[Key] = &[
    declined("ipMasq", "masquerading needs iptables or nftables"),
    // Only ipMasq, which is declined, looks at it.
    key("ipMasqBackend"),
    key("mtu"),
];

/// The position of the container's interface in a result, after the host's end.
const CONTAINER_INTERFACE: i64 = 1;

/// The plugin.
pub struct Ptp {
    pub(super) sockets: Arc<Sockets>,
    pub(super) ipam: Option<Box<dyn Ipam>>,
}

impl Ptp {
    fn needed_ipam(&self) -> Result<&dyn Ipam, Failure> {
        self.ipam().ok_or_else(|| Failure::Config("ipam is missing: both ends of the cable need addresses".to_owned()))
    }
}

impl Native for Ptp {
    fn kind(&self) -> &'static str {
        TYPE
    }

    fn prepare(&self, call: &Call<'_>, _: &mut Ground<'_>) -> Result<Reached, Failure> {
        let stdin = Stdin::parse(call)?;
        let mtu = read_mtu(&stdin.object)?;
        stdin.dns()?;
        let foreseen = interface::foresee(Some(self.needed_ipam()?), call, &stdin)?;
        mtu.map_or(Ok(()), |mtu| interface::judge_mtu(mtu, "", &foreseen))?;
        foreseen.ips.iter().try_for_each(|ip| Hop::read(ip).map(drop))?;
        judge_subnet_route(&foreseen)?;
        // The subnets are not on the cable, only the gateways are.
        Ok(foreseen.subnets.map(|_| foreseen.gateways.into_iter().map(IpNet::from).collect()))
    }

    fn add(&self, call: &Call<'_>) -> Result<Box<RawValue>, Failure> {
        let stdin = Stdin::parse(call)?;
        let mtu = read_mtu(&stdin.object)?;
        let ipam = self.needed_ipam()?;
        let mut held = self.sockets.hold();
        let (host, container) = held.both(netns_path(call)?)?;
        interface::with_addresses(ipam, call, |result| attach(call, &stdin, (host, container), mtu, result))
    }

    fn del(&self, call: &Call<'_>) -> Result<(), Failure> {
        parent::del(call, &self.sockets, self.ipam())
    }

    /// The host's end is not looked at, as by the reference.
    fn check(&self, call: &Call<'_>) -> Result<(), Failure> {
        if let Some(ipam) = self.ipam() {
            ipam.check(call)?;
        }
        let result = Stdin::parse(call)?.required_prev_result()?;
        let mut held = self.sockets.hold();
        let container = held.container(netns_path(call)?)?;
        let inner = verify::container_link(call, container, &result, "veth")?;
        verify::addresses_and_routes(&mut container.socket, &inner, &result)
    }

    fn ipam(&self) -> Option<&dyn Ipam> {
        self.ipam.as_deref()
    }
}

/// The route to the subnet is made by the plugin; there is no place for another one.
fn judge_subnet_route(foreseen: &Foreseen) -> Result<(), Failure> {
    for subnet in foreseen.subnets.iter().flatten() {
        let of_family =
            foreseen.subnets.iter().flatten().filter(|other| other.addr().is_ipv4() == subnet.addr().is_ipv4());
        let is_certain = of_family.count() == 1;
        if is_certain && foreseen.routes.iter().any(|route| routes::is_in_place_of(route, *subnet)) {
            return Err(Failure::Config(format!("routes: the route to {subnet} is the plugin's own")));
        }
    }
    Ok(())
}

/// Makes the cable for the addresses of `result`, or none.
fn attach(
    call: &Call<'_>,
    stdin: &Stdin,
    (host, container): (&mut Socket, &mut Container),
    mtu: Option<u32>,
    mut result: AddResult,
) -> Result<Box<RawValue>, Failure> {
    for ip in &mut result.ips {
        ip.interface = Some(CONTAINER_INTERFACE);
    }
    let hops = result.ips.iter().map(Hop::read).collect::<Result<Vec<_>, _>>()?;
    interface::enable_forwarding(host.settings(), result.ips.iter().map(|ip| ip.address))?;
    let netns = Some(container.netns.as_fd());
    let name = Target::of(call)?.ifname.as_str();
    let peer = Peer { name, netns, index: None, mtu, mac: None };
    let end = cable::make(host, &peer, None)?.name;
    let answer = route_both(call, container, &hops, &mut result)
        .and_then(|inner| Ok((inner, route_back(host, &end, &hops)?)))
        .and_then(|(inner, outer)| finish(call, stdin, &inner, &outer, result));
    if answer.is_err() {
        // Best effort: the error that matters is the one above.
        let _ = host.delete_link_by_name(&end);
    }
    answer
}

/// An address of the container, and the host's through which it reaches everything else.
struct Hop {
    address: IpNet,
    gateway: IpAddr,
}

impl Hop {
    fn read(ip: &IpConfig) -> Result<Self, Failure> {
        let gateway = ip.gateway.ok_or_else(|| {
            Failure::Config(format!("address {} has no gateway: it is the address of the host's end", ip.address))
        })?;
        if matches!(ip.address, IpNet::V4(net) if net.prefix_len() == 32) {
            return Err(Failure::Config(format!("address {} is in no subnet that could be routed", ip.address)));
        }
        Ok(Hop { address: ip.address, gateway })
    }
}

/// Gives the container's end its addresses. Its subnet is not on the cable, only the gateway is.
fn route_both(
    call: &Call<'_>,
    container: &mut Container,
    hops: &[Hop],
    result: &mut AddResult,
) -> Result<Link, Failure> {
    let name = Target::of(call)?.ifname.as_str();
    interface::set_up_sysctls(container, name, &[], &result.ips)?;
    let inner = interface::find(&mut container.socket, name)?;
    container.note_index(inner.index);
    let socket = &mut container.socket;
    interface::configure(socket, (name, inner.index), result)?;
    for Hop { address, gateway } in hops {
        let subnet = address.trunc();
        // Made by the kernel with the address, so that our own protocol does not tell it.
        socket.delete_route(&Route { protocol: 0, ..Route::new(subnet, None, inner.index) })?;
        let source = Some(address.addr());
        let to_gateway = Route::new(IpNet::from(*gateway), None, inner.index);
        socket.add_new_route(&Route { scope: SCOPE_LINK, source, ..to_gateway })?;
        socket.add_new_route(&Route { source, ..Route::new(subnet, Some(*gateway), inner.index) })?;
    }
    Ok(inner)
}

/// Gives the host's end the gateways, and the host its routes to the container.
fn route_back(host: &mut Socket, end: &str, hops: &[Hop]) -> Result<Link, Failure> {
    let outer = cable::find_end(host, end)?;
    for Hop { address, gateway } in hops {
        host.add_address(outer.index, IpNet::from(*gateway))?;
        let route = Route { scope: SCOPE_HOST, ..Route::new(IpNet::from(address.addr()), None, outer.index) };
        match host.add_new_route(&route) {
            Err(e) if !e.is(Errno::EEXIST) => return Err(e.into()),
            _ => {}
        }
    }
    Ok(outer)
}

fn finish(
    call: &Call<'_>,
    stdin: &Stdin,
    inner: &Link,
    outer: &Link,
    mut result: AddResult,
) -> Result<Box<RawValue>, Failure> {
    let on_host = Interface { name: outer.name.clone(), mac: outer.mac.to_string(), ..Interface::default() };
    result.interfaces = vec![on_host, parent::interface_in_container(call, &inner.name, &inner.mac)?];
    let (dns, says_something) = stdin.dns()?;
    if says_something {
        result.dns = dns;
    }
    stdin.answer(&result)
}
