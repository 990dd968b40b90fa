//! The daemon's socket: opened without a gap, left without harm to a successor.

use crate::sys::files;
use anyhow::Context;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::net::{UnixListener, UnixStream};

/// How long to wait when the process has no descriptor left for a connection.
const BREATHE: Duration = Duration::from_millis(100);

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// Opens the socket at `path`, in the place of whatever is there: it is made under another name and
    /// moved over, so that whoever connects meanwhile finds the old daemon or the new one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        files::make_folder(folder).with_context(|| format!("make {}", folder.display()))?;
        let temporary = folder.join(temporary_name());
        let opened = Socket::open_as(&temporary, path);
        if opened.is_err() {
            // Best effort: the error that matters is the one above.
            let _ = files::remove(&temporary);
        }
        opened
    }

    fn open_as(temporary: &Path, path: &Path) -> anyhow::Result<Self> {
        let listener = UnixListener::bind(temporary).with_context(|| format!("make {}", temporary.display()))?;
        fs::set_permissions(temporary, Permissions::from_mode(0o600))?;
        let inode = fs::metadata(temporary)?.ino();
        fs::rename(temporary, path).with_context(|| format!("put the socket at {}", path.display()))?;
        Ok(Socket { listener, path: path.to_owned(), inode })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, unless a successor has put its own there. Connections that wait in the queue
    /// can still be accepted.
    pub fn withdraw(&self) {
        if fs::metadata(&self.path).is_ok_and(|now| now.ino() == self.inode) {
            // A file that stays is replaced by the next daemon; until then nobody listens either way.
            let _ = files::remove(&self.path);
        }
    }

    /// The next connection whose peer may speak to us: root, or whoever runs this daemon.
    pub async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if may_speak(peer.uid()) => return stream,
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "a peer that is not root was refused"),
                    Err(error) => tracing::warn!(%error, "a peer that cannot be told was refused"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(BREATHE).await;
                }
            }
        }
    }
}

fn may_speak(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

/// Unlike any other's: two daemons in containers may have the same process ID. Short, because a
/// socket's path is at most 107 bytes.
fn temporary_name() -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!(".{:x}-{:x}", std::process::id(), now.subsec_nanos())
}
