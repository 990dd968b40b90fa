//! Being told what happens to links.

use super::error::Error;
use super::socket::{ANSWER_SIZE, Message, messages, retry_interrupted};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::link::{LinkFlags, LinkHeader};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The multicast group of link messages.
const RTNLGRP_LINK: u32 = 1;

/// A socket that will be told what happens to the links of its namespace.
#[derive(Debug)]
pub(super) struct Deaf(netlink_sys::Socket);

impl Deaf {
    /// Listens from now on.
    pub(super) fn listen(self) -> Result<Listener, Error> {
        let Deaf(mut socket) = self;
        socket.bind_auto().map_err(failed)?;
        socket.add_membership(RTNLGRP_LINK).map_err(failed)?;
        Ok(Listener { socket, notified: Vec::with_capacity(ANSWER_SIZE) })
    }
}

/// A socket that is told what happens to the links of its namespace.
#[derive(Debug)]
pub(super) struct Listener {
    socket: netlink_sys::Socket,
    notified: Vec<u8>,
}

fn failed(source: io::Error) -> Error {
    Error::Socket { action: "listen".to_owned(), source }
}

impl Listener {
    /// One in the namespace of the calling thread, which does not listen yet.
    pub(super) fn in_own() -> Result<Deaf, Error> {
        netlink_sys::Socket::new(NETLINK_ROUTE).map(Deaf).map_err(failed)
    }

    /// The links that the kernel has closed for good, or that have gone, as far as we were told since the last call.
    pub(super) fn deleted_links(&mut self) -> Result<Vec<u32>, Error> {
        let (socket, notified) = (&self.socket, &mut self.notified);
        notified.clear();
        let received = retry_interrupted(|| socket.recv(notified, nix::libc::MSG_DONTWAIT));
        received.map_err(failed)?;
        Ok(told(&self.notified).collect())
    }
}

/// The links that `datagram` tells to be deleted, or to be closed for that. What cannot be read tells of none.
pub fn told(datagram: &[u8]) -> impl Iterator<Item = u32> {
    messages(datagram).filter_map(Result::ok).filter_map(deleted)
}

/// The link that `message` tells to be deleted, or to be closed for that.
///
/// A link that somebody only sets down is not: what changes of it is that it is up. Of one that the kernel closes, what
/// changes is also that it runs (net/core/dev.c: `netif_change_flags`, `netif_close_many`). A VLAN whose master goes down at
/// that moment is told of in the same way (net/8021q/vlan.c: `vlan_device_event`): it is the request that deletes it.
fn deleted(message: Message) -> Option<u32> {
    const CLOSED: LinkFlags = LinkFlags::Up.union(LinkFlags::Running);
    let NetlinkPayload::InnerMessage(message) = message.payload else { return None };
    let link = match message {
        RouteNetlinkMessage::DelLink(link) => link.header,
        RouteNetlinkMessage::NewLink(link) => {
            let LinkHeader { flags, change_mask, .. } = link.header;
            Some(link.header).filter(|_| !flags.contains(LinkFlags::Up) && change_mask.contains(CLOSED))?
        }
        _ => return None,
    };
    // Bridges also tell of ports that leave them, with a family of their own.
    (link.interface_family == AddressFamily::Unspec).then_some(link.index)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
