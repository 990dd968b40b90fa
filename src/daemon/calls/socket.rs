//! The socket for reports of calls: a datagram socket beside the other one.

use crate::api::RunDirectory;
use crate::daemon::socket::listener;
use crate::sys::datagram::{self, Received};
use crate::sys::files;
use anyhow::Context;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// Root may send whatever the mode is; nobody else has to.
const MODE: u32 = 0o600;

/// The socket. Its file goes with it.
#[derive(Debug)]
pub struct CallsSocket {
    socket: UnixDatagram,
    path: PathBuf,
    inode: u64,
}

impl CallsSocket {
    /// Opens it in the daemon's folder, which exists, in the place of whatever is there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(run: &RunDirectory) -> anyhow::Result<Self> {
        let temporary = run.daemon().join(listener::temporary_name());
        let opened = CallsSocket::open_as(temporary.clone(), run.calls());
        if opened.is_err() {
            // Best effort: the error that matters is the other one.
            let _ = files::remove(&temporary);
        }
        opened
    }

    fn open_as(temporary: PathBuf, path: PathBuf) -> anyhow::Result<Self> {
        let socket = UnixDatagram::bind(&temporary).with_context(|| format!("make {}", temporary.display()))?;
        fs::set_permissions(&temporary, Permissions::from_mode(MODE))?;
        datagram::name_senders(socket.as_fd())?;
        let inode = fs::metadata(&temporary)?.ino();
        listener::take_place(&temporary, &path).with_context(|| format!("put the socket at {}", path.display()))?;
        Ok(CallsSocket { socket, path, inode })
    }

    /// The next datagram.
    ///
    /// # Errors
    /// The socket is broken.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let receive = || datagram::receive(self.socket.as_fd(), buffer);
        self.socket.async_io(Interest::READABLE, receive).await
    }

    /// Throws away what has arrived, and tells each.
    pub(super) fn drain(&self, thrown: impl Fn()) {
        let mut first = [0; 1];
        while self.socket.try_io(Interest::READABLE, || datagram::receive(self.socket.as_fd(), &mut first)).is_ok() {
            thrown();
        }
    }
}

impl Drop for CallsSocket {
    fn drop(&mut self) {
        // A successor may have put its own there.
        if fs::metadata(&self.path).is_ok_and(|now| now.ino() == self.inode) {
            // One that stays is replaced by the next daemon; until then nobody listens either way.
            let _ = files::remove(&self.path);
        }
    }
}
