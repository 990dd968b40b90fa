//! Making links: everything about a link in the one message that makes it.

use super::batch::Batch;
use super::error::Error;
use super::mac::Mac;
use super::mode::{IpVlanMode, MacVlanMode};
use super::name::{self, InvalidLinkName};
use super::socket::Socket;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVeth, InfoVlan, IpVlanFlags, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The number that no VLAN may have (include/linux/if_vlan.h: `VLAN_VID_MASK`).
const NO_VLAN: u16 = 0xfff;

/// A link to be made.
#[derive(Clone, Debug)]
pub struct NewLink<'a> {
    /// Its kind with what belongs to it alone.
    pub kind: Kind<'a>,
    /// Its name.
    pub name: &'a str,
    /// Its namespace; none: that of the socket. A parent is always looked for in the socket's.
    pub netns: Option<BorrowedFd<'a>>,
    /// Its number in its namespace, so that nobody has to look it up; none: the kernel's choice.
    pub index: Option<u32>,
    /// Its MTU; none: the kernel's choice.
    pub mtu: Option<u32>,
    /// Its hardware address; none: the kernel's choice.
    pub mac: Option<&'a Mac>,
    /// Length of its transmit queue; none: the kernel's choice.
    pub tx_queue_len: Option<u32>,
    /// The bridge it becomes a port of.
    pub master: Option<u32>,
    /// Whether it is switched on at once.
    pub up: bool,
}

impl<'a> NewLink<'a> {
    /// A link of which the kernel chooses all that is not said later.
    pub fn new(name: &'a str, kind: Kind<'a>) -> Self {
        let (netns, index, mtu, mac) = (None, None, None, None);
        NewLink { kind, name, netns, index, mtu, mac, tx_queue_len: None, master: None, up: false }
    }
}

/// The kinds we make.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// An Ethernet bridge.
    Bridge {
        /// Whether its ports have VLANs.
        vlan_filtering: bool,
    },
    /// One end of a cable.
    Veth {
        /// The other end.
        peer: Peer<'a>,
    },
    /// A link with its own hardware address on another link.
    MacVlan {
        /// The other link.
        parent: u32,
        /// Who may talk to whom.
        mode: MacVlanMode,
        /// How many broadcasts may wait (IFLA_MACVLAN_BC_QUEUE_LEN).
        broadcast_queue: Option<u32>,
    },
    /// A link with its own addresses on another link.
    IpVlan {
        /// The other link.
        parent: u32,
        /// How it forwards.
        mode: IpVlanMode,
    },
    /// One VLAN (802.1Q) of another link.
    Vlan {
        /// The other link.
        parent: u32,
        /// The VLAN's number.
        id: u16,
    },
    /// A link that swallows packets.
    Dummy,
}

/// The other end of a veth.
#[derive(Clone, Debug)]
pub struct Peer<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace; none: that of the socket.
    pub netns: Option<BorrowedFd<'a>>,
    /// Its number; counts only where this end has one too (veth.c: `veth_newlink`).
    pub index: Option<u32>,
    /// Its MTU.
    pub mtu: Option<u32>,
    /// Its hardware address.
    pub mac: Option<&'a Mac>,
}

impl Socket {
    /// Makes a link.
    ///
    /// # Errors
    /// `EBUSY` when the number is taken, `EEXIST` when the name is taken in its namespace. Before kernel 6.14 also when a link of that
    /// name is in the *socket's* namespace (commit ec061546c6cf), even if `netns` is another.
    pub fn create_link(&mut self, link: &NewLink<'_>) -> Result<(), Error> {
        let action = || link.describe();
        let message = link.to_message().map_err(|why| Error::Name { action: action(), why })?;
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, action)
            .map_err(|e| e.about_kind(&link.kind.info_kind().to_string()))
    }

    /// Whether the kernel can make links of `kind`, which sit on another link, as `macvlan` does. Makes none: a request
    /// that names no other link is refused, for that reason where the kind is known.
    ///
    /// # Errors
    /// The kernel could not be asked.
    pub fn makes_links_on_others(&mut self, kind: &str) -> Result<bool, Error> {
        if has_module(kind) {
            return Ok(true);
        }
        is_made(self.request(question_for_kind(kind), NLM_F_CREATE | NLM_F_EXCL, || asking_for_kind(kind)))
    }

    /// Whether the kernel knows VLANs of bridges; whether any bridge filters by them is another question.
    ///
    /// Nothing is made: a kernel that knows them refuses this one for its default VLAN (br_netlink.c: `br_validate`),
    /// another one because there is a link of that name in every namespace.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn filters_vlans_on_bridges(&mut self) -> Result<bool, Error> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName("lo".to_owned()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::VlanDefaultPvid(NO_VLAN)])),
        ]));
        let action = || "ask for VLANs of bridges".to_owned();
        match self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, action) {
            Err(e) if e.is(Errno::EEXIST) => Ok(false),
            Err(e) if e.errno().is_none() => Err(e),
            _ => Ok(true),
        }
    }
}

impl Batch<'_> {
    /// As [`Socket::makes_links_on_others`]: asks when it is its turn. [`is_made`] reads the answer.
    pub(super) fn link_of_kind(&mut self, kind: &str) {
        let (question, kind) = (question_for_kind(kind), kind.to_owned());
        self.push(question, NLM_F_CREATE | NLM_F_EXCL, move || asking_for_kind(&kind));
    }
}

/// Whether the kernel has loaded the module `kind`; what is built in may be missing there.
pub(super) fn has_module(kind: &str) -> bool {
    std::path::Path::new("/sys/module").join(kind).exists()
}

fn question_for_kind(kind: &str) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName("plexus-asks".to_owned()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Other(kind.to_owned()))]));
    RouteNetlinkMessage::NewLink(message)
}

fn asking_for_kind(kind: &str) -> String {
    format!("ask for links of kind {kind}")
}

/// What the kernel says by refusing.
pub(super) fn is_made(refused: Result<(), Error>) -> Result<bool, Error> {
    match refused {
        Err(e) if e.is(Errno::EOPNOTSUPP) => Ok(false),
        Err(e) if e.errno().is_none() => Err(e),
        _ => Ok(true),
    }
}

impl NewLink<'_> {
    /// With what the kernel may refuse.
    fn describe(&self) -> String {
        let (name, mac, peer) = match &self.kind {
            // What the caller knows it by: the other end has a random name.
            Kind::Veth { peer } => (peer.name, peer.mac, " and its other end"),
            _ => (self.name, self.mac, ""),
        };
        let shown: String = name.chars().take(20).collect();
        let mac = mac.map(|mac| format!(" with MAC {mac}")).unwrap_or_default();
        let mtu = self.mtu.map(|mtu| format!(" with MTU {mtu}")).unwrap_or_default();
        format!("make {} {shown}{peer}{mac}{mtu}", self.kind.info_kind())
    }

    fn to_message(&self) -> Result<LinkMessage, InvalidLinkName> {
        let mut message = end(self.name, self.netns, (self.index, self.mtu), self.mac)?;
        if self.up {
            message.header.flags |= LinkFlags::Up;
            message.header.change_mask |= LinkFlags::Up;
        }
        message.attributes.extend(self.tx_queue_len.map(LinkAttribute::TxQueueLen));
        message.attributes.extend(self.master.map(LinkAttribute::Controller));
        message.attributes.extend(self.kind.parent().map(LinkAttribute::Link));
        let mut info = vec![LinkInfo::Kind(self.kind.info_kind())];
        info.extend(self.kind.info_data()?.map(LinkInfo::Data));
        message.attributes.push(LinkAttribute::LinkInfo(info));
        Ok(message)
    }
}

/// What both ends of a veth are described by.
fn end(
    name: &str,
    netns: Option<BorrowedFd<'_>>,
    (index, mtu): (Option<u32>, Option<u32>),
    mac: Option<&Mac>,
) -> Result<LinkMessage, InvalidLinkName> {
    let mut message = LinkMessage::default();
    message.header.index = index.unwrap_or(0);
    message.attributes.push(name::own(name)?);
    message.attributes.extend(netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.as_bytes().to_vec())));
    Ok(message)
}

impl Kind<'_> {
    fn parent(&self) -> Option<u32> {
        match self {
            Kind::MacVlan { parent, .. } | Kind::IpVlan { parent, .. } | Kind::Vlan { parent, .. } => Some(*parent),
            _ => None,
        }
    }

    fn info_kind(&self) -> InfoKind {
        match self {
            Kind::Bridge { .. } => InfoKind::Bridge,
            Kind::Veth { .. } => InfoKind::Veth,
            Kind::MacVlan { .. } => InfoKind::MacVlan,
            Kind::IpVlan { .. } => InfoKind::IpVlan,
            Kind::Vlan { .. } => InfoKind::Vlan,
            Kind::Dummy => InfoKind::Dummy,
        }
    }

    fn info_data(&self) -> Result<Option<InfoData>, InvalidLinkName> {
        Ok(match self {
            Kind::Bridge { vlan_filtering } => {
                vlan_filtering.then(|| InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]))
            }
            Kind::Veth { peer } => {
                Some(InfoData::Veth(InfoVeth::Peer(end(peer.name, peer.netns, (peer.index, peer.mtu), peer.mac)?)))
            }
            Kind::MacVlan { mode, broadcast_queue, .. } => {
                let mut data = vec![InfoMacVlan::Mode(mode.to_kernel())];
                data.extend(broadcast_queue.map(InfoMacVlan::BcQueueLen));
                Some(InfoData::MacVlan(data))
            }
            Kind::IpVlan { mode, .. } => Some(InfoData::IpVlan(vec![
                InfoIpVlan::Mode(mode.to_kernel()),
                // 0 is the flag set of bridge mode.
                InfoIpVlan::Flags(IpVlanFlags::empty()),
            ])),
            Kind::Vlan { id, .. } => Some(InfoData::Vlan(vec![InfoVlan::Id(*id)])),
            Kind::Dummy => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::Emitable;

    /// Kernels of build machines lack ipvlan; what is sent to those that have it is fixed here.
    #[test]
    fn an_ipvlan_is_one_message() {
        let mut link = NewLink::new("net1", Kind::IpVlan { parent: 7, mode: IpVlanMode::L3s });
        link.mtu = Some(1400);
        let message = link.to_message().unwrap();
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        let expected: &[&[u8]] = &[
            &[0; 16],
            &[9, 0, 3, 0, b'n', b'e', b't', b'1', 0, 0, 0, 0],
            &[8, 0, 4, 0, 0x78, 5, 0, 0],
            &[8, 0, 5, 0, 7, 0, 0, 0],
            // IFLA_LINKINFO { KIND "ipvlan", DATA { MODE 2, FLAGS 0 } }
            &[36, 0, 18, 0, 11, 0, 1, 0, b'i', b'p', b'v', b'l', b'a', b'n', 0, 0],
            &[20, 0, 2, 0, 6, 0, 1, 0, 2, 0, 0, 0, 6, 0, 2, 0, 0, 0, 0, 0],
        ];
        assert_eq!(bytes, expected.concat());
    }
}
