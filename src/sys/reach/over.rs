//! Sockets that use one link only. Without that an answer over the default network would count for another one.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// A socket of `peer`'s family that uses only the link called `interface`.
pub(super) fn over(
    interface: &str,
    peer: &IpAddr,
    kind: SockType,
    flags: SockFlag,
    protocol: impl Into<Option<SockProtocol>>,
) -> io::Result<OwnedFd> {
    let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, kind, flags | SockFlag::SOCK_CLOEXEC, protocol)?;
    match setsockopt(&socket, sockopt::BindToDevice, &OsString::from(interface)) {
        // Kernels before 5.7 want CAP_NET_RAW for it. The route decides then, and leads over the link in nearly all networks.
        Ok(()) | Err(Errno::EPERM) => Ok(socket),
        Err(e) => Err(e.into()),
    }
}

/// Waits until `socket` has one of `events`, or `until` has come: whether it has.
pub(super) fn wait(socket: &impl AsFd, events: PollFlags, until: Instant) -> io::Result<bool> {
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        // Rounded up: else the last part of a millisecond would be spent in a loop.
        let rest = PollTimeout::try_from(rest + std::time::Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), events)], rest) {
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
            Ok(count) => return Ok(count > 0),
        }
    }
}
