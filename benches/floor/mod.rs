//! What the kernel alone needs for a pod of three networks (default bridge, bridge, macvlan): the fewest netlink messages
//! that make the same links with the same addresses and settings as the plugins do.

use super::support::{Node, Pod};
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use plexus::sys::netlink::told;
use plexus::sys::netns::Netns;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// The indices of the container's links: whoever makes a link may choose its index.
const INDICES: [u32; 3] = [100, 101, 102];
/// How many messages make them.
#[allow(dead_code, reason = "one bench prints it")]
pub const MESSAGES: usize = 3 * INDICES.len();
/// From here on the ends on the node are numbered, where other links have low numbers, or those that Plexus chooses.
const OUTER: u32 = 1 << 20;
/// The group by which they are deleted in one message.
const GROUP: u32 = 4711;

/// The bridges of the node, which are there.
#[derive(Clone, Copy)]
pub struct Bridges {
    cbr0: u32,
    br1: u32,
}

/// An attachment whose messages are made.
pub struct Prepared {
    netns: Netns,
    host: Socket,
    container: Arc<Socket>,
    links: [[Vec<u8>; 3]; 3],
    group: Vec<u8>,
}

impl Bridges {
    /// Those of `node`.
    pub fn of(node: &Node) -> Self {
        let index = |name: &str| node.ip(&format!("link show dev {name}"))[0]["ifindex"].as_u64().unwrap() as u32;
        Bridges { cbr0: index("cbr0"), br1: index("br1") }
    }

    /// The messages for `pod`; those that are attached at one time have different numbers.
    ///
    /// A link is made in the container with one message, gets its address with another, and is switched on with a third,
    /// since a veth refuses to be until both its ends are there; all are deleted with one.
    pub fn prepare(self, pod: &Pod, number: u32) -> Prepared {
        let netns = Netns::open(&pod.netns).unwrap();
        let (host, container) = (socket(), Arc::new(netns.run(socket).unwrap()));
        let outer = OUTER + 2 * number;
        let links = [
            (cable(outer, self.cbr0, inner("eth0", 0, &netns)), address(0)),
            (cable(outer + 1, self.br1, inner("net1", 1, &netns)), address(1)),
            (macvlan(self.br1, inner("net2", 2, &netns)), address(2)),
        ]
        .map(|(link, address)| {
            let create = NLM_F_CREATE | NLM_F_EXCL;
            let mut up = LinkMessage::default();
            up.header.index = address.header.index;
            (up.header.flags, up.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
            [
                encode(RouteNetlinkMessage::NewLink(link), create),
                encode(RouteNetlinkMessage::NewAddress(address), create),
                encode(RouteNetlinkMessage::SetLink(up), 0),
            ]
        });
        let mut group = LinkMessage::default();
        group.attributes.push(LinkAttribute::Group(GROUP));
        let group = encode(RouteNetlinkMessage::DelLink(group), 0);
        Prepared { netns, host, container, links, group }
    }
}

impl Prepared {
    /// Makes the links.
    pub fn add(&self) {
        for (number, [link, address, up]) in self.links.iter().enumerate() {
            request(&self.host, link);
            self.netns.run(|| settings(number)).unwrap();
            request(&self.container, address);
            request(&self.container, up);
        }
    }

    /// Deletes them.
    pub fn del(&self) {
        request(&self.container, &self.group);
    }

    /// A socket that is told what happens to the links from now on: of one that is made, it would be told as of one that is not up.
    #[allow(dead_code, reason = "one bench needs it")]
    pub fn listen(&self) -> Socket {
        self.netns.run(listening).unwrap()
    }

    /// Has a thread delete them, and returns when the kernel has told `listener` that all of them are closed: what follows cannot fail.
    /// The thread ends when they are gone.
    #[allow(dead_code, reason = "one bench measures it")]
    pub fn close(&self, listener: &Socket) -> JoinHandle<()> {
        let (container, group) = (Arc::clone(&self.container), self.group.clone());
        let deleting = thread::spawn(move || request(&container, &group));
        let mut open = BTreeSet::from(INDICES);
        let mut notified = Vec::with_capacity(1 << 16);
        while !open.is_empty() {
            notified.clear();
            listener.recv(&mut notified, 0).unwrap();
            told(&notified).for_each(|index| _ = open.remove(&index));
        }
        deleting
    }
}

/// What the plugins set too, as the reference plugins do: the announcement of an address goes to all ports of a bridge.
fn settings(number: usize) {
    let name = ["eth0", "net1", "net2"][number];
    std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/arp_notify"), "1").unwrap();
    let v6 = if number == 2 { ("ndisc_notify", "1") } else { ("accept_dad", "0") };
    // A kernel without IPv6 has no such setting.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/{}", v6.0), v6.1);
}

/// The container's end, which is in the group, and has an index that is known.
fn inner(name: &str, number: usize, netns: &Netns) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = INDICES[number];
    let netns = LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd());
    message.attributes = vec![LinkAttribute::IfName(name.to_owned()), netns, LinkAttribute::Group(GROUP)];
    message
}

/// A cable to the bridge; `outer` is the number of its end on the node, and a part of its name.
fn cable(outer: u32, bridge: u32, inner: LinkMessage) -> LinkMessage {
    let mut message = LinkMessage::default();
    // The index of the other end counts only where this end has one too (veth.c: veth_newlink).
    message.header.index = outer;
    (message.header.flags, message.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
    message.attributes = vec![
        LinkAttribute::IfName(format!("kernel{outer}")),
        LinkAttribute::TxQueueLen(0),
        LinkAttribute::Controller(bridge),
        of_kind(InfoKind::Veth, InfoData::Veth(InfoVeth::Peer(inner))),
    ];
    message
}

fn macvlan(parent: u32, mut inner: LinkMessage) -> LinkMessage {
    let data = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
    inner.attributes.extend([LinkAttribute::Link(parent), of_kind(InfoKind::MacVlan, data)]);
    inner
}

fn of_kind(kind: InfoKind, data: InfoData) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)])
}

fn address(number: usize) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = netlink_packet_route::AddressFamily::Inet;
    message.header.prefix_len = 16;
    message.header.index = INDICES[number];
    let address = IpAddr::V4(Ipv4Addr::new(10, number as u8 + 1, 255, 1));
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    message
}

fn socket() -> Socket {
    let socket = Socket::new(NETLINK_ROUTE).unwrap();
    socket.set_cap_ack(true).unwrap();
    socket
}

/// A socket that is told what happens to links.
fn listening() -> Socket {
    /// The multicast group of link messages, RTNLGRP_LINK.
    const LINKS: u32 = 1;
    let mut socket = socket();
    socket.bind_auto().unwrap();
    socket.add_membership(LINKS).unwrap();
    socket
}

fn encode(message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut packet = NetlinkMessage::from(message);
    packet.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    bytes
}

/// One message, and its acknowledgement.
fn request(socket: &Socket, bytes: &[u8]) {
    socket.send(bytes, 0).unwrap();
    let mut answer = Vec::with_capacity(4096);
    socket.recv(&mut answer, 0).unwrap();
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).unwrap();
    let NetlinkPayload::Error(error) = answer.payload else { panic!("{answer:?}") };
    assert!(error.code.is_none(), "{error:?}");
}
