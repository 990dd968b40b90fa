//! Datagrams between programs of one node: sent without a wait, received with the user of the sender.

use super::trusted::Folder;
use nix::cmsg_space;
use nix::fcntl::{OFlag, openat};
use nix::sys::socket::{
    self, AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, sockopt,
};
use nix::sys::stat::Mode;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What sending has opened. A process that ends anyway need not close it.
#[derive(Debug)]
pub struct Sent {
    _socket: OwnedFd,
    _file: OwnedFd,
}

/// Sends `bytes` to the socket at `name` beneath our folder `folder`, and waits for nothing. A less privileged process
/// may have put anything there: only a socket that lies there itself gets something.
///
/// # Errors
/// Nobody listens, or whoever does has no room now. Or the folder is not to be trusted.
pub fn send(folder: &Path, name: &Path, bytes: &[u8]) -> io::Result<Sent> {
    let folder = Folder::open_once(folder)?;
    // The descriptor of a symbolic link leads to the link itself: that is no socket (ECONNREFUSED).
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(folder.descriptor(), name, flags, Mode::empty())?;
    let address = UnixAddr::new(format!("/proc/self/fd/{}", file.as_raw_fd()).as_str())?;
    let socket = socket::socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    socket::sendto(socket.as_raw_fd(), bytes, &address, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?;
    Ok(Sent { _socket: socket, _file: file })
}

/// A datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How much of the buffer it fills.
    pub length: usize,
    /// Whether all of it is there.
    pub is_whole: bool,
    /// The user of the process that sent it, as the kernel knows it.
    pub uid: Option<u32>,
}

/// From now on the kernel names the sender of each datagram of `socket`.
///
/// # Errors
/// It is no socket.
pub fn name_senders(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(socket::setsockopt(&socket, sockopt::PassCred, &true)?)
}

/// The next datagram of `socket`, whose beginning goes to `buffer`. Does not wait.
///
/// # Errors
/// `WouldBlock`: there is none.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    // No room for more: descriptors that somebody sends along are closed by the kernel.
    let mut control = cmsg_space!(UnixCredentials);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = socket::recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let uid = message.cmsgs().ok().into_iter().flatten().find_map(|message| match message {
        ControlMessageOwned::ScmCredentials(sender) => Some(sender.uid()),
        _ => None,
    });
    Ok(Received { length: message.bytes, is_whole: !message.flags.contains(MsgFlags::MSG_TRUNC), uid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_datagram_arrives_with_its_sender() {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("s")).unwrap();
        name_senders(socket.as_fd()).unwrap();
        let mut buffer = [0; 4];
        assert_eq!(receive(socket.as_fd(), &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        send(folder.path(), Path::new("s"), b"abc").unwrap();
        send(folder.path(), Path::new("s"), b"abcdef").unwrap();
        let uid = Some(nix::unistd::geteuid().as_raw());
        assert_eq!(receive(socket.as_fd(), &mut buffer).unwrap(), Received { length: 3, is_whole: true, uid });
        assert_eq!(&buffer[..3], b"abc");
        assert_eq!(receive(socket.as_fd(), &mut buffer).unwrap(), Received { length: 4, is_whole: false, uid });
    }

    #[test]
    fn only_a_socket_in_its_place_gets_something() {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("s")).unwrap();
        symlink("s", folder.path().join("link")).unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        for name in ["link", "file", "none"] {
            send(folder.path(), Path::new(name), b"abc").unwrap_err();
        }
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_full_queue_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = UnixDatagram::bind(folder.path().join("s")).unwrap();
        let send = || send(folder.path(), Path::new("s"), b"abc");
        let full = (0..100_000).find_map(|_| send().err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }
}
