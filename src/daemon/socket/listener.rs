//! The daemon's socket: opened without a gap, left without harm to a successor.

use crate::api::RunDirectory;
use crate::api::layout::{DAEMON, SOCKET};
use crate::sys::{files, handover};
use anyhow::Context;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
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
    /// Where the socket of former releases was.
    former: Option<PathBuf>,
}

impl Socket {
    /// Opens the socket of `run`, in the place of whatever is there: it is made under another name and
    /// moved over, so that whoever connects meanwhile finds the old daemon or the new one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(run: &RunDirectory) -> anyhow::Result<Self> {
        let folder = run.daemon();
        make_folder(&folder).with_context(|| format!("make {}", folder.display()))?;
        let temporary = folder.join(temporary_name());
        let mut opened = Socket::open_as(&temporary, &run.socket());
        match &mut opened {
            // Best effort: the error that matters is the one above.
            Err(_) => drop(files::remove(&temporary)),
            Ok(socket) => {
                leave_link(run);
                socket.former = Some(run.former_socket());
            }
        }
        opened
    }

    fn open_as(temporary: &Path, path: &Path) -> anyhow::Result<Self> {
        let listener = UnixListener::bind(temporary).with_context(|| format!("make {}", temporary.display()))?;
        // The folder's group is root's tool in a container without capabilities; who may speak is asked at each call.
        fs::set_permissions(temporary, Permissions::from_mode(0o660))?;
        let inode = fs::metadata(temporary)?.ino();
        take_place(temporary, path).with_context(|| format!("put the socket at {}", path.display()))?;
        Ok(Socket { listener, path: path.to_owned(), inode, former: None })
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
            self.withdraw_link();
        }
    }

    /// Removes the link of [`leave_link`], which leads nowhere now. Another file in its place is not ours.
    fn withdraw_link(&self) {
        let is_ours = |link: &PathBuf| fs::read_link(link).is_ok_and(|target| target == link_target());
        if let Some(link) = self.former.as_ref().filter(|link| is_ours(link)) {
            let _ = files::remove(link);
        }
    }

    /// The next connection whose peer may speak to us: root, or whoever runs this daemon.
    pub async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match stream.peer_cred() {
                    Ok(peer) if may_speak(peer.uid()) => return stream,
                    Ok(peer) => tracing::warn!(uid = peer.uid(), "rejected a connection: its user is not root"),
                    Err(error) => tracing::warn!(%error, "rejected a connection: its user is unknown"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATHE).await;
                }
            }
        }
    }
}

/// Moves the socket over whatever is at `path`. A folder, which no file can replace, is renamed.
pub fn take_place(temporary: &Path, path: &Path) -> io::Result<()> {
    let Err(error) = fs::rename(temporary, path) else { return Ok(()) };
    let aside = handover::set_aside(path)?;
    tracing::warn!(socket = %path.display(), %error, aside = shown(aside.as_deref()), "another object was at the socket's path; it was moved or removed");
    fs::rename(temporary, path)
}

/// Makes the daemon's folder, for a daemon that is started by hand: in a cluster it is there, with its owner.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    // Who may not look into the run directory could not reach a daemon that is not root, either.
    DirBuilder::new().recursive(true).mode(0o711).create(folder.parent().unwrap_or(Path::new("/")))?;
    DirBuilder::new().mode(0o750).create(folder)
}

/// Leads programs of former releases, and scripts, to the socket. Where the daemon may not write there, as in a
/// cluster, nobody looks there either.
fn leave_link(run: &RunDirectory) {
    let temporary = run.path().join(temporary_name());
    let left = symlink(link_target(), &temporary).and_then(|()| fs::rename(&temporary, run.former_socket()));
    if let Err(error) = left {
        // Best effort.
        let _ = files::remove(&temporary);
        tracing::debug!(link = %run.former_socket().display(), %error, "cannot create the link at the socket's former path");
    }
}

/// Where the link leads.
fn link_target() -> PathBuf {
    Path::new(DAEMON).join(SOCKET)
}

/// Where a file was moved to; nothing where it was removed.
fn shown(aside: Option<&Path>) -> Option<String> {
    aside.map(|path| path.display().to_string())
}

fn may_speak(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

/// Unlike any other's: two daemons in containers may have the same process ID. Short, because a
/// socket's path is at most 107 bytes.
pub fn temporary_name() -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!(".{:x}-{:x}", std::process::id(), now.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_link_for_former_programs_goes_with_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDirectory::new(folder.path());
        let former = run.former_socket();
        let socket = Socket::open(&run).unwrap();
        assert_eq!(fs::canonicalize(&former).unwrap(), fs::canonicalize(run.socket()).unwrap());
        socket.withdraw();
        assert!(!former.is_symlink() && !run.socket().exists());
        // Another file in its place is not ours, and a successor's link stays.
        let socket = Socket::open(&run).unwrap();
        fs::remove_file(&former).unwrap();
        symlink("elsewhere", &former).unwrap();
        socket.withdraw();
        assert!(former.is_symlink());
        let (first, _second) = (Socket::open(&run).unwrap(), Socket::open(&run).unwrap());
        first.withdraw();
        assert!(run.socket().exists() && fs::read_link(&former).unwrap() == link_target());
    }
}
