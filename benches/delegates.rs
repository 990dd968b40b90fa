//! What delegates cost: ADD and DEL of a pod on three networks (default bridge, bridge, macvlan) by natives, by the
//! reference programs, and by the kernel alone: the fewest netlink messages that make and delete the same links
//! with the same addresses and settings, out of a process that runs already and keeps no record. Then how natives and the kernel grow
//! with the pods that are attached already: what the kernel alone takes longer, no plugin can save.
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
use nix::sys::resource::{UsageWho, getrusage};
use plexus::sys::netns::Netns;
use report::Times;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};
use support::netlink::Fate;
use support::{Node, Pod};

const ROUNDS: usize = 30;
/// A node that fills.
const ATTACHED: [usize; 2] = [250, 500];
/// The indices of the container's links: whoever makes a link may choose its index.
const INDICES: [u32; 3] = [100, 101, 102];
/// Added to them for the ends on the node, where other links have low ones.
const OUTER: u32 = 1 << 20;
/// The group by which they are deleted in one message.
const GROUP: u32 = 4711;

fn main() {
    let Some(node) = Node::new() else { return };
    furnish(&node);
    let [natives, programs, kernel] = rounds(&node, ["natives", "programs", "kernel"], "");
    println!("{}", report::origin());
    println!("default bridge + bridge + macvlan, host-local; medians of {ROUNDS} alternating rounds\n");
    println!(
        "{:6}{:>12}{:>12}{:>12}{:>20}{:>19}",
        "", "natives", "programs", "kernel", "programs/natives", "natives/kernel"
    );
    for (verb, at) in [("ADD", 0), ("DEL", 1)] {
        let [native, program, kernel] =
            [&natives, &programs, &kernel].map(|times| report::milliseconds(times.wall[at].median()));
        let (less, more) = (program / native, native / kernel);
        println!("{verb:6}{native:>9.2} ms{program:>9.2} ms{kernel:>9.2} ms{less:>20.1}{more:>19.1}");
    }
    println!("\nprocessor time, user and system:");
    for (verb, at) in [("ADD", 0), ("DEL", 1)] {
        let [native, program, kernel] =
            [&natives, &programs, &kernel].map(|times| report::milliseconds(times.processor[at].median()));
        println!("{verb:6}{native:>9.2} ms{program:>9.2} ms{kernel:>9.2} ms");
    }
    requests(&node);
    growth(&node);
    println!("\nThe kernel's DEL waits for the end of its grace periods, natives leave that to a child.");
}

/// How long ADD and DEL take, and how much processor time they use.
#[derive(Default)]
struct Measured {
    wall: [Times; 2],
    processor: [Times; 2],
}

/// Pods that come and go in alternating rounds, one of each column in each.
fn rounds<const N: usize>(node: &Node, columns: [&str; N], label: &str) -> [Measured; N] {
    let mut measured = [(); N].map(|()| Measured::default());
    for round in 0..ROUNDS {
        for (column, measured) in columns.iter().zip(&mut measured) {
            let pod = Pod::new(node, &format!("p{label}{round}{column}")).selecting("br,mv");
            let calls = match *column {
                "kernel" => by_the_kernel(node, &pod),
                column => by_the_plugin(pod.configured("natives", json!(column == "natives"))),
            };
            for (at, (wall, processor)) in calls.into_iter().enumerate() {
                measured.wall[at].push(wall);
                measured.processor[at].push(processor);
            }
        }
    }
    measured
}

/// What ADD and DEL cost on a node with many pods, beside what they cost on an empty one.
fn growth(node: &Node) {
    let columns = ["natives", "kernel"];
    let milliseconds = |measured: [Measured; 2]| {
        measured.map(|of| [of.wall, of.processor].map(|times| times.map(|times| report::milliseconds(times.median()))))
    };
    let empty = milliseconds(rounds(node, columns, "e"));
    println!("\n{:>8} pods{:>14}{:>14}{:>26}{:>26}", "", "natives", "kernel", "natives more than empty", "kernel");
    let mut crowd: Vec<Pod> = Vec::new();
    for count in ATTACHED {
        while crowd.len() < count {
            let pod = Pod::new(node, &format!("crowd{}", crowd.len())).selecting("br,mv");
            pod.add().result();
            crowd.push(pod);
        }
        let full = milliseconds(rounds(node, columns, &count.to_string()));
        for (what, time) in [("wall", 0), ("cpu", 1)] {
            for (verb, at) in [("ADD", 0), ("DEL", 1)] {
                let [natives, kernel] = [0, 1].map(|column| full[column][time][at]);
                let [more, floor] = [0, 1].map(|column| full[column][time][at] - empty[column][time][at]);
                println!(
                    "{count:>8} {verb} {what:4}{natives:>11.2} ms{kernel:>11.2} ms{more:>23.2} ms{floor:>23.2} ms"
                );
            }
        }
    }
    for pod in crowd {
        pod.del().silence();
        pod.end_sandbox();
    }
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

/// Wall time and processor time of a call.
type Cost = (Duration, Duration);

fn by_the_plugin(pod: Pod) -> [Cost; 2] {
    let add = cost(UsageWho::RUSAGE_CHILDREN, || drop(pod.add().result()));
    let del = cost(UsageWho::RUSAGE_CHILDREN, || pod.del().silence());
    pod.end_sandbox();
    [add, del]
}

/// What `work` costs `whom`.
fn cost(whom: UsageWho, work: impl FnOnce()) -> Cost {
    let used = || {
        let usage = getrusage(whom).unwrap();
        let time = |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
        time(usage.user_time()) + time(usage.system_time())
    };
    let (begun, before) = (Instant::now(), used());
    work();
    let wall = begun.elapsed();
    (wall, used() - before)
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
fn by_the_kernel(node: &Node, pod: &Pod) -> [Cost; 2] {
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
    let add = cost(UsageWho::RUSAGE_SELF, || {
        for (number, [link, address, up]) in links.iter().enumerate() {
            request(&host, link);
            netns.run(|| settings(number)).unwrap();
            request(&container, address);
            request(&container, up);
        }
    });
    let del = cost(UsageWho::RUSAGE_SELF, || request(&container, &group));
    pod.end_sandbox();
    [add, del]
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
