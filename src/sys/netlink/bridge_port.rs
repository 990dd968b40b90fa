//! Ports of bridges: their flags and their VLANs.

use super::error::Error;
use super::socket::Socket;
use netlink_packet_route::link::{
    AfSpecBridge, BridgeFlag, BridgeVlanInfo, BridgeVlanInfoFlags, InfoBridgePort, InfoPortData, InfoPortKind,
    LinkAttribute, LinkExtentMask, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

/// The flags of a port that plugins set; a new port has neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortFlags {
    /// Frames may go back where they came from.
    pub hairpin: bool,
    /// It cannot talk to other isolated ports.
    pub isolated: bool,
}

/// A VLAN of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortVlan {
    /// Its number.
    pub id: u16,
    /// Frames that come in without a tag belong to it.
    pub pvid: bool,
    /// Its frames go out without a tag.
    pub untagged: bool,
}

impl Socket {
    /// Sets the flags of the port numbered `index`.
    ///
    /// # Errors
    /// It is no port of a bridge.
    pub fn set_port_flags(&mut self, index: u32, flags: PortFlags) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![
                InfoBridgePort::HairpinMode(flags.hairpin),
                InfoBridgePort::Isolated(flags.isolated),
            ])),
        ]));
        // RTM_NEWLINK without NLM_F_CREATE changes; RTM_SETLINK overlooks port data (rtnetlink.c: rtnl_changelink).
        self.request(RouteNetlinkMessage::NewLink(message), 0, || {
            let on = |on: bool| if on { "on" } else { "off" };
            format!(
                "switch hairpin mode {}, isolation {} on bridge port {index}",
                on(flags.hairpin),
                on(flags.isolated)
            )
        })
    }

    /// The VLANs of the port numbered `index`.
    ///
    /// # Errors
    /// The kernel refuses the listing.
    pub fn port_vlans(&mut self, index: u32) -> Result<Vec<PortVlan>, Error> {
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Brvlan]));
        // The kernel has no filter for this listing (rtnetlink.c: rtnl_bridge_getlink).
        let read = |message| match message {
            RouteNetlinkMessage::NewLink(link) if link.header.index == index => Some(read_vlans(link)),
            _ => None,
        };
        let ports = self
            .list(RouteNetlinkMessage::GetLink(message), read, || format!("list the VLANs of bridge port {index}"))?;
        Ok(ports.into_iter().flatten().collect())
    }

    /// Gives the port numbered `index` these VLANs besides those it has.
    ///
    /// # Errors
    /// It is no port of a bridge, or the bridge's driver knows no VLANs.
    pub fn add_port_vlans(&mut self, index: u32, vlans: &[PortVlan]) -> Result<(), Error> {
        let message = RouteNetlinkMessage::SetLink(vlan_message(index, vlans));
        self.request(message, 0, || format!("add VLANs {} to bridge port {index}", ids(vlans)))
    }

    /// Takes these VLANs from the port numbered `index`.
    ///
    /// # Errors
    /// It is no port of a bridge, or does not have one of them.
    pub fn remove_port_vlans(&mut self, index: u32, vlans: &[PortVlan]) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelLink(vlan_message(index, vlans));
        self.request(message, 0, || format!("remove VLANs {} from bridge port {index}", ids(vlans)))
    }
}

/// The numbers of the first few.
fn ids(vlans: &[PortVlan]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = vlans.iter().take(SHOWN).map(|vlan| vlan.id.to_string()).collect();
    shown.join(", ") + if vlans.len() > SHOWN { ", …" } else { "" }
}

fn vlan_message(index: u32, vlans: &[PortVlan]) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = index;
    let mut spec = vec![AfSpecBridge::Flags(BridgeFlag::Controller)];
    for vlan in vlans {
        let mut flags = BridgeVlanInfoFlags::empty();
        flags.set(BridgeVlanInfoFlags::Pvid, vlan.pvid);
        flags.set(BridgeVlanInfoFlags::Untagged, vlan.untagged);
        spec.push(AfSpecBridge::VlanInfo(BridgeVlanInfo { flags, vid: vlan.id }));
    }
    message.attributes.push(LinkAttribute::AfSpecBridge(spec));
    message
}

pub(super) fn read_vlans(link: LinkMessage) -> Vec<PortVlan> {
    let specs = link.attributes.into_iter().filter_map(|attribute| match attribute {
        LinkAttribute::AfSpecBridge(spec) => Some(spec),
        _ => None,
    });
    let vlan = |spec| match spec {
        AfSpecBridge::VlanInfo(info) => Some(PortVlan {
            id: info.vid,
            pvid: info.flags.contains(BridgeVlanInfoFlags::Pvid),
            untagged: info.flags.contains(BridgeVlanInfoFlags::Untagged),
        }),
        _ => None,
    };
    specs.flatten().filter_map(vlan).collect()
}
