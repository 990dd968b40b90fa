//! Echo requests over the kernel's ICMP datagram sockets (icmp(7), `net.ipv4.ping_group_range`): no capability is
//! needed. The kernel chooses the identifier, computes the checksum, and delivers only answers to this socket.

use super::over::{over, wait};
use nix::errno::Errno;
use nix::libc;
use nix::poll::PollFlags;
use nix::sys::socket::{
    MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, recv, send, setsockopt, sockopt,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

/// `IP_PMTUDISC_PROBE` of `linux/in.h`, and the same for IPv6: no packet is fragmented, and what the kernel believes of
/// the path does not count.
const PROBE: libc::c_int = 3;
/// Header of an echo request.
const ICMP: usize = 8;
/// So much of answers is kept: sixteen of the largest packets, in the kernel's own measure.
const KEPT: usize = 2 << 20;

/// A way to send echo requests to one address over one link, none of which is fragmented.
#[derive(Debug)]
pub struct Echo {
    socket: OwnedFd,
    is_v4: bool,
}

impl Echo {
    /// For `peer`, over the link called `interface`.
    ///
    /// # Errors
    /// `EACCES`: the process' group is not in `net.ipv4.ping_group_range`. There is no such link, or no route over it.
    pub fn open(interface: &str, peer: IpAddr) -> io::Result<Self> {
        let protocol = if peer.is_ipv4() { SockProtocol::Icmp } else { SockProtocol::IcmpV6 };
        let socket = over(interface, &peer, SockType::Datagram, SockFlag::empty(), protocol)?;
        let (level, name) = match peer {
            IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
            IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
        };
        set(&socket, level, name, PROBE)?;
        if peer.is_ipv6() {
            set(&socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 1)?;
        }
        // Without it, answers may be lost here; the kernel takes what it allows.
        let _ = setsockopt(&socket, sockopt::RcvBuf, &KEPT);
        connect(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(peer, 0)))?;
        Ok(Echo { socket, is_v4: peer.is_ipv4() })
    }

    /// Sends the request `number` in a packet of `size` bytes, with all headers. Whether it left: it does not where it is
    /// too large for the link.
    ///
    /// # Errors
    /// There is no way to the peer.
    pub fn send(&self, number: u16, size: usize) -> io::Result<bool> {
        let mut message = vec![0; size.saturating_sub(self.header()).max(ICMP)];
        message[0] = if self.is_v4 { 8 } else { 128 };
        message[6..8].copy_from_slice(&number.to_be_bytes());
        match send(self.socket.as_raw_fd(), &message, MsgFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::EMSGSIZE) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The number of a request that was answered, and the size of the answer's packet; `None` where none comes until then.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn receive(&self, until: Instant) -> io::Result<Option<(u16, usize)>> {
        let mut message = vec![0; 1 << 16];
        while wait(&self.socket, PollFlags::POLLIN, until)? {
            match recv(self.socket.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
                Ok(length) if length >= ICMP => {
                    let number = u16::from_be_bytes([message[6], message[7]]);
                    return Ok(Some((number, length + self.header())));
                }
                // Too short, or an error of the path that the kernel reports: the answer may still come.
                _ => {}
            }
        }
        Ok(None)
    }

    /// The length of the header before ICMP's.
    fn header(&self) -> usize {
        if self.is_v4 { 20 } else { 40 }
    }
}

fn set(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    // SAFETY: the descriptor is open, and the kernel reads `length` bytes of an integer that lives until it returns.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    Errno::result(done).map(drop).map_err(io::Error::from)
}
