//! Links as the kernel lists them, read out of its messages.

use super::mac::Mac;
use super::mode::{IpVlanMode, MacVlanMode};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoMacVlan, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, Prop, State,
};

/// Whether a link can carry packets (RFC 2863).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperState {
    /// It can.
    Up,
    /// Its kind does not say; it is to be taken as up when the link is.
    Unknown,
    /// It cannot.
    Down,
}

/// A link as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number, unique in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its other names (`ip link property add … altname`).
    pub alternative_names: Vec<String>,
    /// "veth", "bridge", "macvlan", …; empty for hardware.
    pub kind: String,
    /// Its hardware address.
    pub mac: Mac,
    /// Its MTU.
    pub mtu: u32,
    /// Switched on (IFF_UP).
    pub up: bool,
    /// Whether it can carry packets.
    pub state: OperState,
    /// It is `lo`.
    pub loopback: bool,
    /// Its packets are Ethernet's.
    pub ethernet: bool,
    /// How many want it promiscuous (IFLA_PROMISCUITY): also the bridge it is a port of.
    pub promiscuity: u32,
    /// The bridge, bond or VRF it belongs to.
    pub master: Option<u32>,
    /// The link it sits on, or the other end of a veth: an index in `parent_netns`.
    pub parent: Option<u32>,
    /// The number this namespace has for the one of `parent`; none: the same namespace.
    pub parent_netns: Option<i32>,
    /// The mode of a macvlan or ipvlan, spelled as plugins configure it.
    pub mode: Option<String>,
    /// The number of a VLAN.
    pub vlan: Option<u16>,
    /// Length of the transmit queue.
    pub tx_queue_len: u32,
    /// The alias somebody gave it.
    pub alias: Option<String>,
    /// Its group; 0 for none.
    pub group: u32,
}

/// The link of a message; `None` for a message of another kind.
pub(super) fn read_link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        alternative_names: Vec::new(),
        kind: String::new(),
        mac: Mac::default(),
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        state: OperState::Unknown,
        loopback: message.header.flags.contains(LinkFlags::Loopback),
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        promiscuity: 0,
        master: None,
        parent: None,
        parent_netns: None,
        mode: None,
        vlan: None,
        tx_queue_len: 0,
        alias: None,
        group: 0,
    };
    for attribute in message.attributes {
        read_attribute(&mut link, attribute);
    }
    Some(link)
}

fn read_attribute(link: &mut Link, attribute: LinkAttribute) {
    match attribute {
        LinkAttribute::IfName(name) => link.name = name,
        LinkAttribute::PropList(properties) => {
            let name = |property| match property {
                Prop::AltIfName(name) => Some(name),
                _ => None,
            };
            link.alternative_names.extend(properties.into_iter().filter_map(name));
        }
        LinkAttribute::Address(mac) => link.mac = Mac::new(&mac),
        LinkAttribute::Mtu(mtu) => link.mtu = mtu,
        LinkAttribute::Promiscuity(count) => link.promiscuity = count,
        LinkAttribute::Controller(master) => link.master = Some(master),
        LinkAttribute::Link(parent) => link.parent = Some(parent),
        LinkAttribute::LinkNetNsId(netns) => link.parent_netns = Some(netns),
        LinkAttribute::TxQueueLen(length) => link.tx_queue_len = length,
        LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
        LinkAttribute::Group(group) => link.group = group,
        LinkAttribute::OperState(State::Up) => link.state = OperState::Up,
        LinkAttribute::OperState(State::Unknown) => link.state = OperState::Unknown,
        LinkAttribute::OperState(_) => link.state = OperState::Down,
        LinkAttribute::LinkInfo(infos) => read_info(link, infos),
        _ => {}
    }
}

fn read_info(link: &mut Link, infos: Vec<LinkInfo>) {
    for info in infos {
        match info {
            LinkInfo::Kind(kind) => link.kind = kind.to_string(),
            LinkInfo::Data(InfoData::MacVlan(data)) => {
                link.mode = data.into_iter().find_map(|item| match item {
                    InfoMacVlan::Mode(mode) => MacVlanMode::from_kernel(mode).map(|mode| mode.as_str().to_owned()),
                    _ => None,
                });
            }
            LinkInfo::Data(InfoData::IpVlan(data)) => {
                link.mode = data.into_iter().find_map(|item| match item {
                    InfoIpVlan::Mode(mode) => IpVlanMode::from_kernel(mode).map(|mode| mode.as_str().to_owned()),
                    _ => None,
                });
            }
            LinkInfo::Data(InfoData::Vlan(data)) => {
                link.vlan = data.into_iter().find_map(|item| match item {
                    InfoVlan::Id(id) => Some(id),
                    _ => None,
                });
            }
            _ => {}
        }
    }
}
