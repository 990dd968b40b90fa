//! What delegates cost: ADD and DEL of a pod on three networks (default bridge, bridge, macvlan) by natives, by the
//! reference programs, and by the kernel alone: the fewest netlink messages that make and delete the same links
//! with the same addresses, out of a process that runs already and keeps no record.
//!
//! `make bench-delegates`, as root. Medians of alternating rounds: on a busy machine compare the columns, not the days.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

mod report;
#[path = "../tests/support/mod.rs"]
mod support;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use plexus::sys::netns::Netns;
use report::Times;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};
use support::netlink::Fate;
use support::{Node, Pod};

const ROUNDS: usize = 30;
/// The indices of the container's links: whoever makes a link may choose its index.
const INDICES: [u32; 3] = [100, 101, 102];
/// Added to them for the ends on the node, where other links have low ones.
const OUTER: u32 = 1 << 20;
/// The group by which they are deleted in one message.
const GROUP: u32 = 4711;

fn main() {
    let Some(node) = Node::new() else { return };
    furnish(&node);
    let columns = ["natives", "programs", "kernel"];
    let mut times: [[Times; 2]; 3] = Default::default();
    for round in 0..ROUNDS {
        for (column, times) in columns.iter().zip(&mut times) {
            let pod = Pod::new(&node, &format!("p{round}{column}")).selecting("br,mv");
            let (add, del) = match *column {
                "kernel" => by_the_kernel(&node, &pod),
                column => by_the_plugin(pod.configured("natives", json!(column == "natives"))),
            };
            times[0].push(add);
            times[1].push(del);
        }
    }
    let [natives, programs, kernel] = times.map(|of| of.map(|times| times.median()));
    println!("{}", report::origin());
    println!("default bridge + bridge + macvlan, host-local; medians of {ROUNDS} alternating rounds\n");
    println!(
        "{:6}{:>12}{:>12}{:>12}{:>20}{:>19}",
        "", "natives", "programs", "kernel", "programs/natives", "natives/kernel"
    );
    for (verb, at) in [("ADD", 0), ("DEL", 1)] {
        let [native, program, kernel] = [natives[at], programs[at], kernel[at]].map(|time| time.as_secs_f64() * 1e3);
        let (less, more) = (program / native, native / kernel);
        println!("{verb:6}{native:>9.2} ms{program:>9.2} ms{kernel:>9.2} ms{less:>20.1}{more:>19.1}");
    }
    requests(&node);
    println!("\nThe kernel's DEL waits for the end of its grace periods, natives leave that to a child.");
}

/// The networks, with their bridges made by a pod that comes and goes.
fn furnish(node: &Node) {
    let ipam = |subnet: &str| json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
    let bridge =
        |name: &str, subnet: &str| json!({"type": "bridge", "bridge": name, "isGateway": true, "ipam": ipam(subnet)});
    let network = |name: &str, plugin: Value| json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin]});
    node.primary(&network("cbr0", bridge("cbr0", "10.1.0.0/16")));
    node.network("default/br", &network("br", bridge("br1", "10.2.0.0/16")));
    node.network(
        "default/mv",
        &network("mv", json!({"type": "macvlan", "master": "br1", "ipam": ipam("10.3.0.0/16")})),
    );
    let pod = Pod::new(node, "first").selecting("br,mv");
    pod.add().result();
    pod.del().silence();
    pod.end_sandbox();
}

fn by_the_plugin(pod: Pod) -> (Duration, Duration) {
    let begun = Instant::now();
    pod.add().result();
    let add = begun.elapsed();
    let begun = Instant::now();
    pod.del().silence();
    let del = begun.elapsed();
    pod.end_sandbox();
    (add, del)
}

/// How many netlink messages each takes.
fn requests(node: &Node) {
    let pod = Pod::new(node, "counted").selecting("br,mv");
    let count = |verb: &str| {
        let (answer, requests) = pod.call(verb).make_with(0, Fate::NotSent);
        assert!(answer.status.success(), "{answer:?}");
        requests.len()
    };
    println!("\nnetlink messages of ADD: natives {}, kernel {}", count("ADD"), 3 * INDICES.len());
    println!("netlink messages of DEL: natives {}, kernel 1", count("DEL"));
    pod.end_sandbox();
}

/// A link is made in the container with one message, gets its address with another, and is switched on with a third,
/// since a veth refuses to be until both its ends are there; all are deleted with one.
fn by_the_kernel(node: &Node, pod: &Pod) -> (Duration, Duration) {
    let index = |name: &str| node.ip(&format!("link show dev {name}"))[0]["ifindex"].as_u64().unwrap() as u32;
    let (cbr0, br1) = (index("cbr0"), index("br1"));
    let netns = Netns::open(&pod.netns).unwrap();
    let (host, container) = (socket(), netns.run(socket).unwrap());
    let links = [
        (cable("kernel0", cbr0, inner("eth0", 0, &netns)), address(0)),
        (cable("kernel1", br1, inner("net1", 1, &netns)), address(1)),
        (macvlan(br1, inner("net2", 2, &netns)), address(2)),
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
    let begun = Instant::now();
    for [link, address, up] in &links {
        request(&host, link);
        request(&container, address);
        request(&container, up);
    }
    let add = begun.elapsed();
    let begun = Instant::now();
    request(&container, &group);
    let del = begun.elapsed();
    pod.end_sandbox();
    (add, del)
}

/// The container's end, which is in the group, and has an index that is known.
fn inner(name: &str, number: usize, netns: &Netns) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = INDICES[number];
    let netns = LinkAttribute::NetNsFd(netns.as_fd().as_raw_fd());
    message.attributes = vec![LinkAttribute::IfName(name.to_owned()), netns, LinkAttribute::Group(GROUP)];
    message
}

fn cable(outer: &str, bridge: u32, inner: LinkMessage) -> LinkMessage {
    let mut message = LinkMessage::default();
    // The index of the other end counts only where this end has one too (veth.c: veth_newlink).
    message.header.index = OUTER + inner.header.index;
    (message.header.flags, message.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
    message.attributes = vec![
        LinkAttribute::IfName(outer.to_owned()),
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
