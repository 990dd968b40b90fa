//! Cables between host and container: veth pairs.

use super::parent::{is_taken, random_index, random_name};
use crate::delegate::failure::Failure;
use crate::sys::netlink::{Kind, Link, NewLink, Peer, Socket};
use crate::sys::sysctl::Family;
use nix::errno::Errno;

/// How many random names are tried.
const NAME_TRIES: u32 = 10;

/// A cable that was made.
pub(super) struct Cable {
    /// The name of the end that is here.
    pub(super) name: String,
    /// The number of the other end, where it was chosen.
    pub(super) peer: Option<u32>,
}

/// Makes a cable whose one end is `peer`; the other one is here, switched on, and a port of the bridge numbered
/// `bridge` if there is one. On failure there is none.
///
/// It is made from this side, because only the end a request is about can be given a master in it.
pub(super) fn make(host: &mut Socket, peer: &Peer<'_>, bridge: Option<u32>) -> Result<Cable, Failure> {
    let mut peer = peer.clone();
    for _ in 0..NAME_TRIES {
        let name = random_name();
        let mut link = NewLink::new(&name, Kind::Veth { peer: peer.clone() });
        (link.mtu, link.master, link.up) = (peer.mtu, bridge, true);
        link.index = peer.index.map(|_| random_index());
        // As the reference, since its v1.8.0: no queue on the host's end.
        link.tx_queue_len = Some(0);
        match host.create_link(&link) {
            Ok(()) => {
                // No stateless configuration from what a container sends; without IPv6 there is no such setting.
                let _ = host.settings().write(Family::V6, &name, "accept_ra", "0");
                return Ok(Cable { name, peer: peer.index });
            }
            // One of the two numbers may be taken: the kernel chooses.
            Err(e) if is_taken(&e) && peer.index.is_some() => peer.index = None,
            // Which of the two names is taken is told by whether ours is.
            Err(e) if e.is(Errno::EEXIST) && host.link_by_name(&name)?.is_some() => {}
            Err(e) if e.is(Errno::EEXIST) => {
                return Err(Failure::Failed(format!("interface {} already exists", peer.name)));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Err(Failure::Failed(format!("{NAME_TRIES} random names for the host's end were all taken")))
}

/// The host's end `name`.
pub(super) fn find_end(host: &mut Socket, name: &str) -> Result<Link, Failure> {
    host.link_by_name(name)?.ok_or_else(|| is_gone(name))
}

/// There is no port `name`.
pub(super) fn is_gone(name: &str) -> Failure {
    Failure::Failed(format!("port {name} is gone from the host"))
}
