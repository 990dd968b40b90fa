//! What a listing of the kernel's contains, read without asking for it: fuzzing reads bytes that no kernel sent.

use super::address::{Address, read_address};
use super::bridge_port::{PortVlan, read_vlans};
use super::listed_link::{Link, read_link};
use super::route::{Route, read_route};
use super::socket::messages;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A link.
    Link(Box<Link>),
    /// The VLANs of a bridge port.
    Vlans(Vec<PortVlan>),
    /// An address.
    Address(Address),
    /// A route, once for each of its next hops.
    Routes(Vec<Route>),
}

/// The objects in `datagram`, by the code that reads the kernel's answers; acknowledgements and other kinds are passed
/// over.
///
/// # Errors
/// A message cannot be read; why.
pub fn listed(datagram: &[u8]) -> Result<Vec<Listed>, String> {
    let mut objects = Vec::new();
    for message in messages(datagram) {
        let NetlinkPayload::InnerMessage(inner) = message?.payload else { continue };
        objects.extend(match inner {
            RouteNetlinkMessage::NewLink(link) if link.header.interface_family == AddressFamily::Bridge => {
                Some(Listed::Vlans(read_vlans(link)))
            }
            RouteNetlinkMessage::NewLink(_) => read_link(inner).map(Box::new).map(Listed::Link),
            RouteNetlinkMessage::NewAddress(_) => read_address(inner).map(Listed::Address),
            RouteNetlinkMessage::NewRoute(_) => read_route(inner).map(Listed::Routes),
            _ => None,
        });
    }
    Ok(objects)
}
