//! The netlink sockets that all natives of one call share.

use crate::delegate::failure::Failure;
use crate::sys::netlink::Socket;
use crate::sys::netns::Netns;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One socket in our own namespace and one in the container's, opened when they are first needed.
///
/// "Our own" is that of the thread that uses them first: all threads of a plugin are in the same.
#[derive(Debug, Default)]
pub struct Sockets(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    host: Option<Socket>,
    container: Option<Container>,
    /// Interfaces that were deleted in this call, by namespace and name.
    deleted: Vec<(PathBuf, String)>,
}

/// The container's namespace with a socket in it.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) netns: Arc<Netns>,
    pub(super) socket: Socket,
    /// The number of the next link, as far as that is known.
    next: Option<u32>,
}

impl Container {
    /// A number that no link there has, unless somebody else has made one meanwhile.
    pub(super) fn next_index(&mut self) -> Option<u32> {
        let index = self.next?;
        self.next = Some(index + 1);
        Some(index)
    }

    /// Somebody else makes links there, too: this one is numbered `index`.
    pub(super) fn note_index(&mut self, index: u32) {
        self.next = self.next.map(|_| index + 1);
    }
}

/// Exclusive use of the sockets. Operations of natives do not overlap; the kernel would serialise them anyway.
pub(super) struct Held<'a>(MutexGuard<'a, Open>);

impl Sockets {
    /// Takes sockets that somebody has looked at both namespaces with, instead of opening others. No link of the
    /// container has a number from `next` on.
    pub fn adopt(&self, host: Socket, netns: Arc<Netns>, socket: Socket, next: Option<u32>) {
        // Natives refuse to work in their own namespace, where they look for themselves.
        if netns.is_own().is_ok_and(|own| !own) {
            let mut open = self.hold();
            open.0.host = Some(host);
            open.0.container = Some(Container { netns, socket, next });
        }
    }

    /// Notes that the interfaces `names` of `netns` were deleted: nobody has to look for them. The kernel answers such a
    /// look only at the end of the grace period in which it deletes others.
    pub fn note_deleted(&self, netns: &Path, names: &[&str]) {
        self.hold().0.deleted.extend(names.iter().map(|name| (netns.to_owned(), (*name).to_owned())));
    }

    pub(super) fn hold(&self) -> Held<'_> {
        // A panic in between leaves sockets that work: answers to old questions are passed over.
        Held(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held<'_> {
    /// Whether the interface `name` of `netns` was deleted in this call.
    pub(super) fn was_deleted(&self, netns: &Path, name: &str) -> bool {
        self.0.deleted.iter().any(|(deleted, of)| deleted == netns && of == name)
    }

    /// The container's socket.
    pub(super) fn container(&mut self, path: &Path) -> Result<&mut Container, Failure> {
        self.0.container(path)
    }

    /// The host's and the container's.
    pub(super) fn both(&mut self, path: &Path) -> Result<(&mut Socket, &mut Container), Failure> {
        self.0.container(path)?;
        let open = &mut *self.0;
        if open.host.is_none() {
            open.host = Some(Socket::in_own()?);
        }
        match (&mut open.host, &mut open.container) {
            (Some(host), Some(container)) => Ok((host, container)),
            _ => Err(Failure::Incomplete("netlink socket")),
        }
    }
}

impl Open {
    /// Opens `path` each time, so that the socket of a namespace that was replaced is not used.
    fn container(&mut self, path: &Path) -> Result<&mut Container, Failure> {
        let known = self.container.take().filter(|container| container.netns.is_at(path));
        let container = match known {
            Some(container) => container,
            None => {
                let netns = Arc::new(Netns::open(path)?);
                if netns.is_own()? {
                    return Err(Failure::OwnNetns(path.display().to_string()));
                }
                Container { socket: Socket::in_netns(&netns)?, netns, next: None }
            }
        };
        Ok(self.container.insert(container))
    }
}
