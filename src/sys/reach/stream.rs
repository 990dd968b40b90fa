//! TCP over one link.

use super::over::{over, wait};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    Backlog, SockFlag, SockType, SockaddrStorage, bind, connect as begin, getsockopt, listen as queue, setsockopt,
    sockopt,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Listens on `port` of every address that the link called `interface` has or gets, of both families where the kernel
/// has both.
///
/// # Errors
/// There is no such link, or another program listens there.
pub fn listen(interface: &str, port: u16) -> io::Result<TcpListener> {
    listen_on(interface, SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).or_else(|e| match e.raw_os_error() {
        // The kernel has no IPv6, or it is off in this namespace.
        Some(code) if [Errno::EAFNOSUPPORT as i32, Errno::EADDRNOTAVAIL as i32].contains(&code) => {
            listen_on(interface, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        }
        _ => Err(e),
    })
}

fn listen_on(interface: &str, address: SocketAddr) -> io::Result<TcpListener> {
    let socket = over(interface, &address.ip(), SockType::Stream, SockFlag::empty(), None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    queue(&socket, Backlog::new(128).unwrap_or(Backlog::MAXCONN))?;
    Ok(TcpListener::from(socket))
}

/// Connects over the link called `interface` to `port` of `peer`, within `limit`.
///
/// # Errors
/// `TimedOut` where nobody answers; it was refused; there is no way to the peer.
pub fn connect(interface: &str, peer: IpAddr, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let until = Instant::now() + limit;
    let socket = over(interface, &peer, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
    match begin(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(peer, port))) {
        Ok(()) => {}
        Err(Errno::EINPROGRESS) => {
            if !wait(&socket, PollFlags::POLLOUT, until)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match getsockopt(&socket, sockopt::SocketError)? {
                0 => {}
                code => return Err(io::Error::from_raw_os_error(code)),
            }
        }
        Err(e) => return Err(e.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}
