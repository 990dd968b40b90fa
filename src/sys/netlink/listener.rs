//! Being told what happens to links.

use super::error::Error;
use super::socket::{ANSWER_SIZE, Message, messages, retry_interrupted};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::os::fd::{AsFd, BorrowedFd};

/// The multicast group of link messages.
const RTNLGRP_LINK: u32 = 1;

/// A socket that is told what happens to the links of its namespace.
#[derive(Debug)]
pub(super) struct Listener {
    socket: netlink_sys::Socket,
    notified: Vec<u8>,
}

impl Listener {
    /// Listens from now on, in the namespace of the calling thread.
    pub(super) fn in_own() -> Result<Self, Error> {
        let failed = |source| Error::Socket { action: "listen".to_owned(), source };
        let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.add_membership(RTNLGRP_LINK).map_err(failed)?;
        Ok(Listener { socket, notified: Vec::with_capacity(ANSWER_SIZE) })
    }

    /// The links that have gone, as far as we were told since the last call.
    pub(super) fn deleted_links(&mut self) -> Result<Vec<u32>, Error> {
        let (socket, notified) = (&self.socket, &mut self.notified);
        notified.clear();
        let received = retry_interrupted(|| socket.recv(notified, nix::libc::MSG_DONTWAIT));
        received.map_err(|source| Error::Socket { action: "listen".to_owned(), source })?;
        // Bridges also tell of ports that leave them, with a family of their own.
        let gone = |message: Message| match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link))
                if link.header.interface_family == AddressFamily::Unspec =>
            {
                Some(link.header.index)
            }
            _ => None,
        };
        Ok(messages(&self.notified).filter_map(Result::ok).filter_map(gone).collect())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
