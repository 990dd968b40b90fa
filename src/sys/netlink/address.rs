//! Addresses of links.

use super::batch::Batch;
use super::error::{Error, accept};
use super::socket::Socket;
use ipnet::{IpNet, Ipv4Net};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use std::net::IpAddr;

/// An address as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The link it is on.
    pub index: u32,
    /// The address with its prefix length.
    pub net: IpNet,
    /// Its scope: 0 global, 253 link, 254 host.
    pub scope: u8,
    /// It is not usable yet: IPv6 still asks whether somebody else has it.
    pub tentative: bool,
    /// Somebody else has it.
    pub duplicate: bool,
}

impl Socket {
    /// Every address of the namespace, or only those of one link.
    ///
    /// # Errors
    /// The kernel refuses the listing.
    pub fn addresses(&mut self, of_link: Option<u32>) -> Result<Vec<Address>, Error> {
        self.list_addresses(of_link, AddressFamily::Unspec)
    }

    /// The addresses of one family of the link numbered `index`: of one family newer kernels (6.10) list them without
    /// waiting for what other namespaces change.
    ///
    /// # Errors
    /// The kernel refuses the listing.
    pub fn addresses_of_family(&mut self, index: u32, is_v4: bool) -> Result<Vec<Address>, Error> {
        self.list_addresses(Some(index), if is_v4 { AddressFamily::Inet } else { AddressFamily::Inet6 })
    }

    fn list_addresses(&mut self, of_link: Option<u32>, family: AddressFamily) -> Result<Vec<Address>, Error> {
        let mut message = AddressMessage::default();
        (message.header.index, message.header.family) = (of_link.unwrap_or(0), family);
        // The family AF_UNSPEC asks every family; without the filter by link those without addresses answer nothing.
        let read =
            move |message| read_address(message).filter(|address| of_link.is_none_or(|index| address.index == index));
        let listed = self.list(RouteNetlinkMessage::GetAddress(message), read, || "list addresses".to_owned());
        match listed {
            // The link went away while we asked.
            Err(e) if e.is(Errno::ENODEV) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Gives the link numbered `index` an address of global scope.
    ///
    /// An IPv4 address with room for one is given its broadcast address, as ip(8) does with `brd +`.
    ///
    /// # Errors
    /// `EEXIST` when the link has it.
    pub fn add_address(&mut self, index: u32, net: IpNet) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewAddress(address_message(index, net));
        self.request(message, ADD, || addition(index, net))
    }

    /// Takes an address from the link numbered `index`; one that is gone is taken.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn delete_address(&mut self, index: u32, net: IpNet) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelAddress(address_message(index, net));
        let done = self.request(message, 0, || format!("delete address {net} from link {index}"));
        accept(done, &[Errno::EADDRNOTAVAIL, Errno::ENODEV])
    }
}

impl Batch<'_> {
    /// As [`Socket::add_address`].
    pub fn add_address(&mut self, index: u32, net: IpNet) {
        self.push(RouteNetlinkMessage::NewAddress(address_message(index, net)), ADD, move || addition(index, net));
    }
}

/// An address is added where it is not yet.
const ADD: u16 = NLM_F_CREATE | NLM_F_EXCL;

fn addition(index: u32, net: IpNet) -> String {
    format!("add address {net} to link {index}")
}

fn address_message(index: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.header.prefix_len = net.prefix_len();
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(net.addr()));
    message.attributes.push(AddressAttribute::Address(net.addr()));
    if let IpNet::V4(net) = net {
        message.attributes.extend(broadcast(net));
    }
    message
}

/// /31 and /32 have none (RFC 3021).
fn broadcast(net: Ipv4Net) -> Option<AddressAttribute> {
    (net.prefix_len() < 31).then(|| AddressAttribute::Broadcast(net.broadcast()))
}

pub(super) fn read_address(message: RouteNetlinkMessage) -> Option<Address> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let (mut local, mut address, mut flags): (Option<IpAddr>, Option<IpAddr>, _) = (None, None, AddressFlags::empty());
    for attribute in message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(ip),
            AddressAttribute::Address(ip) => address = Some(ip),
            AddressAttribute::Flags(all) => flags = all,
            _ => {}
        }
    }
    Some(Address {
        index: message.header.index,
        // On a point-to-point link IFA_ADDRESS is the other side; IPv6 gives IFA_LOCAL only there.
        net: IpNet::new(local.or(address)?, message.header.prefix_len).ok()?,
        scope: message.header.scope.into(),
        tentative: flags.contains(AddressFlags::Tentative),
        duplicate: flags.contains(AddressFlags::Dadfailed),
    })
}
