//! Routes of all tables.

use super::batch::Batch;
use super::error::{Error, accept};
use super::socket::Socket;
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteProtocol, RouteScope, RouteType,
    RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The table of ordinary routes.
pub const TABLE_MAIN: u32 = 254;
/// The scope of a route through a gateway.
pub const SCOPE_UNIVERSE: u8 = 0;
/// The scope of a route to what is on the link.
pub const SCOPE_LINK: u8 = 253;
/// The scope of a route to ourselves.
pub const SCOPE_HOST: u8 = 254;

/// A route to one next hop. A route with several is listed once for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Destination; the default route is `0.0.0.0/0` or `::/0`.
    pub dst: IpNet,
    /// Next hop; may be of the other family.
    pub gateway: Option<IpAddr>,
    /// The link it leaves by.
    pub oif: Option<u32>,
    /// Its table.
    pub table: u32,
    /// Its metric; for IPv6 0 means 1024 when it is added (net/ipv6: IP6_RT_PRIO_USER).
    pub priority: u32,
    /// Who made it: 2 the kernel, 3 a plugin or a person, 4 an administrator.
    pub protocol: u8,
    /// How far it goes; IPv6 knows only 0.
    pub scope: u8,
    /// Its type: 1 unicast, 2 local, 3 broadcast, …
    pub kind: u8,
    /// The address that packets are given.
    pub source: Option<IpAddr>,
}

impl Route {
    /// A unicast route in the main table, made by hand.
    pub fn new(dst: IpNet, gateway: Option<IpAddr>, oif: u32) -> Self {
        Route {
            dst,
            gateway,
            oif: Some(oif),
            table: TABLE_MAIN,
            priority: 0,
            protocol: RouteProtocol::Boot.into(),
            scope: SCOPE_UNIVERSE,
            kind: RouteType::Unicast.into(),
            source: None,
        }
    }

    /// Whether it is a default route.
    pub fn is_default(&self) -> bool {
        self.dst.prefix_len() == 0
    }
}

impl Batch<'_> {
    /// As [`Socket::add_route`].
    pub fn add_route(&mut self, route: Route) {
        let message = RouteNetlinkMessage::NewRoute(route.to_message());
        self.push(message, NLM_F_CREATE, move || format!("add {}", route.describe()));
    }
}

impl Socket {
    /// Every route of the namespace: all tables, both families.
    ///
    /// # Errors
    /// The kernel refuses the listing.
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        self.list_routes(None)
    }

    /// The default routes of the main table, of both families. A node can have thousands of others.
    ///
    /// # Errors
    /// The kernel refuses the listing.
    pub fn default_routes(&mut self) -> Result<Vec<Route>, Error> {
        let routes = self.list_routes(Some(TABLE_MAIN))?;
        Ok(routes.into_iter().filter(|route| route.is_default() && route.table == TABLE_MAIN).collect())
    }

    fn list_routes(&mut self, table: Option<u32>) -> Result<Vec<Route>, Error> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            message.attributes.extend(table.map(RouteAttribute::Table));
            let listed = self.list(RouteNetlinkMessage::GetRoute(message), read_route, || "list routes".to_owned());
            match listed {
                // With a filter: the family has no such table (fib_frontend.c: inet_dump_fib).
                Err(e) if table.is_some() && e.is(Errno::ENOENT) => {}
                listed => routes.extend(listed?.into_iter().flatten()),
            }
        }
        Ok(routes)
    }

    /// The number of the link over which packets from `source` to `destination` leave, by rules and routes.
    ///
    /// # Errors
    /// `ENETUNREACH` or `EHOSTUNREACH`: there is no route.
    pub fn link_to(&mut self, destination: IpAddr, source: IpAddr) -> Result<Option<u32>, Error> {
        let mut message = RouteMessage::default();
        let bits = if destination.is_ipv4() { 32 } else { 128 };
        message.header.address_family = family(destination);
        (message.header.destination_prefix_length, message.header.source_prefix_length) = (bits, bits);
        message.attributes.push(RouteAttribute::Destination(to_kernel(destination)));
        message.attributes.push(RouteAttribute::Source(to_kernel(source)));
        let action = || format!("look up the route from {source} to {destination}");
        let routes = self.get(RouteNetlinkMessage::GetRoute(message), read_route, action)?;
        Ok(routes.into_iter().find_map(|route| route.oif))
    }

    /// Adds a route. Another one to the same destination with another metric or next hop may exist.
    ///
    /// # Errors
    /// `EEXIST` when there is exactly this one.
    pub fn add_route(&mut self, route: &Route) -> Result<(), Error> {
        self.request(RouteNetlinkMessage::NewRoute(route.to_message()), NLM_F_CREATE, || {
            format!("add {}", route.describe())
        })
    }

    /// Adds a route where there is none to this destination with this metric.
    ///
    /// # Errors
    /// `EEXIST` when there is one.
    pub fn add_new_route(&mut self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(route.to_message());
        self.request(message, NLM_F_CREATE | NLM_F_EXCL, || format!("add {}", route.describe()))
    }

    /// Adds a route instead of the one to this destination with this metric.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn replace_route(&mut self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(route.to_message());
        self.request(message, NLM_F_CREATE | NLM_F_REPLACE, || format!("replace {}", route.describe()))
    }

    /// Deletes a route; one that is gone is deleted.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), Error> {
        let mut message = route.to_message();
        // Any scope (fib_trie.c: fib_table_delete); the other fields say which route is meant.
        message.header.scope = RouteScope::NoWhere;
        let done = self.request(RouteNetlinkMessage::DelRoute(message), 0, || format!("delete {}", route.describe()));
        accept(done, &[Errno::ESRCH])
    }
}

impl Route {
    fn describe(&self) -> String {
        let gateway = self.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        let oif = self.oif.map(|oif| format!(" on link {oif}")).unwrap_or_default();
        format!("route {}{gateway}{oif} (table {}, metric {})", self.dst, self.table, self.priority)
    }

    fn to_message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header.address_family = family(self.dst.addr());
        message.header.destination_prefix_length = self.dst.prefix_len();
        message.header.protocol = self.protocol.into();
        message.header.scope = self.scope.into();
        message.header.kind = self.kind.into();
        // Tables above 255 are only in the attribute.
        message.header.table = u8::try_from(self.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        let attributes = &mut message.attributes;
        if !self.is_default() {
            attributes.push(RouteAttribute::Destination(to_kernel(self.dst.addr())));
        }
        attributes.extend(self.gateway.map(|gateway| match gateway {
            same if family(same) == family(self.dst.addr()) => RouteAttribute::Gateway(to_kernel(same)),
            IpAddr::V4(other) => RouteAttribute::Via(RouteVia::Inet(other)),
            IpAddr::V6(other) => RouteAttribute::Via(RouteVia::Inet6(other)),
        }));
        attributes.extend(self.source.map(|source| RouteAttribute::PrefSource(to_kernel(source))));
        attributes.extend(self.oif.map(RouteAttribute::Oif));
        attributes.push(RouteAttribute::Table(self.table));
        if self.priority != 0 {
            attributes.push(RouteAttribute::Priority(self.priority));
        }
        message
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn to_kernel(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn from_kernel(address: RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(address.into()),
        RouteAddress::Inet6(address) => Some(address.into()),
        _ => None,
    }
}

pub(super) fn read_route(message: RouteNetlinkMessage) -> Option<Vec<Route>> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let header = message.header;
    let any: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Inet6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let mut route = Route {
        dst: IpNet::new(any, header.destination_prefix_length).ok()?,
        gateway: None,
        oif: None,
        table: header.table.into(),
        priority: 0,
        protocol: header.protocol.into(),
        scope: header.scope.into(),
        kind: header.kind.into(),
        source: None,
    };
    let mut hops = Vec::new();
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(dst) => {
                route.dst = IpNet::new(from_kernel(dst)?, header.destination_prefix_length).ok()?
            }
            RouteAttribute::MultiPath(listed) => hops = listed,
            other => read_attribute(&mut route, other),
        }
    }
    if hops.is_empty() { Some(vec![route]) } else { Some(hops.into_iter().map(|hop| over(&route, hop)).collect()) }
}

fn read_attribute(route: &mut Route, attribute: RouteAttribute) {
    match attribute {
        RouteAttribute::Gateway(gateway) => route.gateway = from_kernel(gateway),
        RouteAttribute::Via(RouteVia::Inet(gateway)) => route.gateway = Some(gateway.into()),
        RouteAttribute::Via(RouteVia::Inet6(gateway)) => route.gateway = Some(gateway.into()),
        RouteAttribute::Oif(oif) => route.oif = Some(oif),
        RouteAttribute::Table(table) => route.table = table,
        RouteAttribute::Priority(priority) => route.priority = priority,
        RouteAttribute::PrefSource(source) => route.source = from_kernel(source),
        _ => {}
    }
}

/// `route` over one of its next hops.
fn over(route: &Route, hop: RouteNextHop) -> Route {
    let mut route = Route { oif: Some(hop.interface_index), ..route.clone() };
    for attribute in hop.attributes {
        read_attribute(&mut route, attribute);
    }
    route
}
