//! Deleting the links of a container without waiting for the end of the kernel's work.
//!
//! The kernel first closes all links of the request, and tells of each that it is down (net/core/dev.c:
//! `netif_close_many`). What follows cannot fail any more, and takes most of the time: it waits for a grace period, for
//! one more for each port that leaves a bridge, and for another one at the end (*measured*). All of it happens under the
//! lock of rtnetlink, so that nobody who asks the kernel for a link sees one in between. So a child process makes the
//! request and waits for its end, while we go on as soon as every link is closed. A link that was down before is told of
//! later, when it is in no list any more: RTM_DELLINK.

use super::batch::{Answer, Batch};
use super::error::Error;
use super::listed_link::Link;
use super::listener::Listener;
use super::socket::Socket;
use crate::sys::netns::Netns;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Instant;

/// Deletes the links called `names` of `netns`; those that are gone are deleted.
///
/// When it returns they carry no packets, and whoever asks rtnetlink finds their names and addresses free. The
/// child that sees the rest through has none of our descriptors and ends within the kernel's grace
/// periods (*measured*: some 20 ms). Hardware has to be moved away before.
///
/// # Errors
/// A link is still there: the kernel refuses to delete it.
pub fn teardown(netns: &Netns, names: &[&str], deadline: Instant) -> Result<(), Error> {
    let (mut socket, listener, worker) =
        netns.run(|| Ok::<_, Error>((Socket::in_own()?, Listener::in_own()?, Socket::in_own()?)))??;
    let (found, _) = socket.links_and_kinds(names, &[])?;
    let links: Vec<Link> = found.into_iter().flatten().collect();
    let Some(request) = request(&mut socket, &links)? else { return Ok(()) };
    // From now on: what was changed before is of no interest.
    let mut listener = listener.listen()?;
    let mut awaited: BTreeSet<u32> = links.iter().map(|link| link.index).collect();
    // Without a child it is only slower, and what was not notified in time is looked after below.
    if let Ok(child) = Child::send(&worker, &worker.encode(request)) {
        let _ = child.watch(&mut listener, &mut awaited, deadline);
    }
    awaited.into_iter().try_for_each(|index| socket.delete_link(index))
}

/// One request that deletes all `links`; several are put into a group for it.
fn request(socket: &mut Socket, links: &[Link]) -> Result<Option<RouteNetlinkMessage>, Error> {
    let mut message = LinkMessage::default();
    match links {
        [] => return Ok(None),
        [link] => message.header.index = link.index,
        links => {
            // A number nobody else has chosen: zero is the group of all others.
            let group = (RandomState::new().build_hasher().finish() as u32) | 1;
            let mut batch = Batch::default();
            links.iter().for_each(|link| batch.set_group(link.index, group));
            socket.send_batch(batch)?.into_iter().try_for_each(Answer::done)?;
            message.attributes.push(LinkAttribute::Group(group));
        }
    }
    Ok(Some(RouteNetlinkMessage::DelLink(message)))
}

/// The process that makes the request.
struct Child {
    pid: Pid,
    /// Closed when it has ended.
    ended: OwnedFd,
}

impl Child {
    /// Starts a child that sends `bytes`: the kernel carries a request out before `send` returns.
    fn send(socket: &Socket, bytes: &[u8]) -> io::Result<Self> {
        let (ended, alive) = pipe2(OFlag::O_CLOEXEC)?;
        let (socket, alive_fd) = (socket.as_raw_fd(), alive.as_raw_fd());
        // The child moves them onto 0 and 1, which must not be one of them.
        if socket < 2 || alive_fd < 2 {
            return Err(io::Error::other("standard input and output are closed"));
        }
        // SAFETY: the child only makes system calls (`run_child`) and never returns, so what other
        // threads held when we forked (the allocator's lock) does not matter.
        match unsafe { fork() }? {
            ForkResult::Child => run_child(socket, alive_fd, bytes),
            ForkResult::Parent { child } => Ok(Child { pid: child, ended }),
        }
    }

    /// Takes from `awaited` what is notified as closed or deleted, until nothing is left, the child has ended, or `deadline`.
    fn watch(&self, listener: &mut Listener, awaited: &mut BTreeSet<u32>, deadline: Instant) -> Result<(), Error> {
        while !awaited.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut waiting =
                [PollFd::new(listener.as_fd(), PollFlags::POLLIN), PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let ready = poll(&mut waiting, timeout).unwrap_or(0);
            let notified = waiting[0].any().unwrap_or(false);
            if notified {
                let gone = listener.deleted_links()?;
                awaited.retain(|index| !gone.contains(index));
            } else if ready == 0 && left.is_zero() || waiting[1].any().unwrap_or(false) {
                break;
            }
        }
        // One that is still at it becomes init's when we end.
        let _ = waitpid(self.pid, Some(WaitPidFlag::WNOHANG));
        Ok(())
    }
}

/// All that the child does. It must not hold the runtime's pipe or a lock open.
fn run_child(socket: RawFd, alive: RawFd, bytes: &[u8]) -> ! {
    // SAFETY: system calls on descriptors of our own and on `bytes`, which the child has a copy of.
    unsafe {
        libc::dup2(socket, 0);
        libc::dup2(alive, 1);
        if libc::syscall(libc::SYS_close_range, 2, libc::c_uint::MAX, 0) != 0 {
            // Before kernel 5.9.
            for fd in 2..1024 {
                libc::close(fd);
            }
        }
        libc::send(0, bytes.as_ptr().cast(), bytes.len(), 0);
        libc::_exit(0)
    }
}
