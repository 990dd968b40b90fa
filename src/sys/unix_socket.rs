//! Sockets of other programs.

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use std::os::fd::AsRawFd;
use std::path::Path;

/// Whether a program may listen on the socket at `path`. It does not where there is no file, or one that a program left
/// that has ended. Does not wait.
pub fn has_listener(path: &Path) -> bool {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let connect = || {
        let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
    };
    !matches!(connect(), Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ECONNREFUSED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_that_was_left_has_no_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(!has_listener(&path) && !has_listener(&path.join("below")));
        let listener = UnixListener::bind(&path).unwrap();
        assert!(has_listener(&path));
        drop(listener);
        assert!(path.exists() && !has_listener(&path));
        // What cannot be told is not nothing.
        assert!(has_listener(&folder.path().join("x".repeat(200))));
    }
}
