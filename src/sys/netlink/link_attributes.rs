//! Reading links out of the kernel's messages.

use super::link::{Link, OperState};
use super::mac::Mac;
use super::mode::{IpVlanMode, MacVlanMode};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoMacVlan, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, State,
};

/// The link of a message; `None` for a message of another kind.
pub(super) fn read_link(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
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
