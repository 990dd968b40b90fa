//! What the kernel tells of a link, without what nobody here reads: most of the message, and of the time to read it.

use std::borrow::Cow;

/// `struct nlmsghdr`.
const MESSAGE_HEADER: usize = 16;
/// That and `struct ifinfomsg`, which begins with the address family.
const HEADERS: usize = 32;
/// `struct nlattr`.
const ATTRIBUTE_HEADER: usize = 4;
/// `RTM_NEWLINK`.
const NEW_LINK: u16 = 16;
/// `NLA_TYPE_MASK`: the other two bits are flags.
const KIND_MASK: u16 = 0x3fff;

/// `IFLA_LINKINFO`.
const INFO: u16 = 18;
/// The attributes that a [`Link`](super::Link) is made of: `IFLA_ADDRESS`, `IFNAME`, `MTU`, `LINK`, `MASTER`, `TXQLEN`,
/// `OPERSTATE`, `LINKINFO`, `IFALIAS`, `GROUP`, `PROMISCUITY`, `LINK_NETNSID`, `PROP_LIST`.
const READ: [u16; 13] = [1, 3, 4, 5, 10, 13, 16, INFO, 20, 27, 30, 37, 52];
/// `IFLA_INFO_KIND`.
const INFO_KIND: u16 = 1;
/// `IFLA_INFO_DATA`.
const INFO_DATA: u16 = 2;
/// Kinds of links whose data is read.
const WITH_DATA: [&[u8]; 3] = [b"macvlan", b"ipvlan", b"vlan"];

/// `message`, whole where it is no link as such (those of bridge ports are of another family), or malformed: whoever
/// reads it says why.
pub(super) fn pruned(message: &[u8]) -> Cow<'_, [u8]> {
    match prune(message) {
        Some(pruned) => Cow::Owned(pruned),
        None => Cow::Borrowed(message),
    }
}

fn prune(message: &[u8]) -> Option<Vec<u8>> {
    let (headers, attributes) = message.split_at_checked(HEADERS)?;
    if number(headers, 4)? != NEW_LINK || headers[MESSAGE_HEADER] != 0 {
        return None;
    }
    let mut pruned = Vec::with_capacity(message.len());
    pruned.extend_from_slice(headers);
    each(attributes, |kind, attribute| match kind {
        INFO => info(&mut pruned, attribute),
        kind if READ.contains(&kind) => append(&mut pruned, attribute),
        _ => Some(()),
    })?;
    let length = u32::try_from(pruned.len()).ok()?;
    pruned[..4].copy_from_slice(&length.to_ne_bytes());
    Some(pruned)
}

/// Appends the kind of the link, and its data if somebody reads them.
fn info(pruned: &mut Vec<u8>, attribute: &[u8]) -> Option<()> {
    let (header, nested) = attribute.split_at_checked(ATTRIBUTE_HEADER)?;
    let start = pruned.len();
    pruned.extend_from_slice(header);
    let mut has_data = false;
    each(nested, |kind, attribute| match kind {
        INFO_KIND => {
            let name = attribute.get(ATTRIBUTE_HEADER..)?.split(|byte| *byte == 0).next()?;
            has_data = WITH_DATA.contains(&name);
            append(pruned, attribute)
        }
        INFO_DATA if has_data => append(pruned, attribute),
        _ => Some(()),
    })?;
    let length = u16::try_from(pruned.len() - start).ok()?;
    pruned[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    Some(())
}

/// Attributes begin at multiples of four bytes.
fn append(pruned: &mut Vec<u8>, attribute: &[u8]) -> Option<()> {
    pruned.extend_from_slice(attribute);
    pruned.resize(pruned.len().next_multiple_of(4), 0);
    Some(())
}

/// Hands each of `attributes` to `take`, with its kind; none where one is malformed.
fn each<'m>(mut attributes: &'m [u8], mut take: impl FnMut(u16, &'m [u8]) -> Option<()>) -> Option<()> {
    while !attributes.is_empty() {
        let length = usize::from(number(attributes, 0)?);
        let kind = number(attributes, 2)? & KIND_MASK;
        let attribute = attributes.get(..length).filter(|attribute| attribute.len() >= ATTRIBUTE_HEADER)?;
        take(kind, attribute)?;
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(())
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::netlink::listed_link::read_link;
    use crate::sys::netlink::socket::encode;
    use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{
        AfSpecUnspec, InfoBridge, InfoData, InfoKind, InfoMacVlan, InfoVlan, LinkAttribute, LinkFlags, LinkInfo,
        LinkMessage, MacVlanMode, Prop, State, Stats,
    };
    use netlink_packet_route::{AddressFamily, link::AfSpecInet};

    fn message(info: Vec<LinkInfo>) -> LinkMessage {
        let mut link = LinkMessage::default();
        (link.header.index, link.header.flags) = (7, LinkFlags::Up);
        link.attributes = vec![
            LinkAttribute::IfName("net1".to_owned()),
            LinkAttribute::TxQueueLen(9),
            LinkAttribute::OperState(State::Up),
            LinkAttribute::Mtu(1400),
            LinkAttribute::Group(3),
            LinkAttribute::Promiscuity(1),
            LinkAttribute::Stats(Stats::default()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
            LinkAttribute::Link(5),
            LinkAttribute::LinkNetNsId(-1),
            LinkAttribute::Controller(4),
            LinkAttribute::LinkInfo(info),
            LinkAttribute::IfAlias("of somebody".to_owned()),
            LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConf(Default::default())])]),
            LinkAttribute::PropList(vec![Prop::AltIfName("another".to_owned()), Prop::AltIfName("third".to_owned())]),
        ];
        link
    }

    fn read(bytes: &[u8]) -> Option<super::super::Link> {
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).unwrap().payload {
            NetlinkPayload::InnerMessage(inner) => read_link(inner),
            _ => None,
        }
    }

    #[test]
    fn nothing_is_lost_that_is_read() {
        let macvlan = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
        let bridge = InfoData::Bridge(vec![InfoBridge::AgeingTime(1), InfoBridge::VlanFiltering(true)]);
        for (kind, data) in [
            (InfoKind::MacVlan, macvlan),
            (InfoKind::Vlan, InfoData::Vlan(vec![InfoVlan::Id(12)])),
            (InfoKind::Bridge, bridge),
        ] {
            let link = message(vec![LinkInfo::Kind(kind.clone()), LinkInfo::Data(data)]);
            let whole = encode(RouteNetlinkMessage::NewLink(link), 0, 1);
            let pruned = pruned(&whole);
            assert!(pruned.len() < whole.len() / 2, "{kind:?}: {} of {}", pruned.len(), whole.len());
            let link = read(&whole).unwrap();
            assert_eq!(read(&pruned).unwrap(), link);
            assert_eq!((link.alternative_names.len(), link.kind.is_empty()), (2, false));
            assert_eq!(link.mode.is_some() || link.vlan.is_some(), kind != InfoKind::Bridge);
        }
    }

    #[test]
    fn what_is_no_link_or_cut_stays_as_it_is() {
        let mut port = message(Vec::new());
        port.header.interface_family = AddressFamily::Bridge;
        let port = encode(RouteNetlinkMessage::NewLink(port), 0, 1);
        assert_eq!(*pruned(&port), *port);
        let link = encode(RouteNetlinkMessage::NewLink(message(Vec::new())), 0, 1);
        let other = encode(RouteNetlinkMessage::DelLink(message(Vec::new())), 0, 1);
        assert_eq!(*pruned(&other), *other);
        for length in 0..link.len() {
            let cut = &link[..length];
            // At the end of an attribute it is a shorter message.
            if let Cow::Owned(shorter) = pruned(cut) {
                assert!(shorter.len() <= length.next_multiple_of(4));
            }
        }
        let mut lying = link.clone();
        lying[HEADERS..HEADERS + 2].copy_from_slice(&3_u16.to_ne_bytes());
        assert_eq!(*pruned(&lying), *lying);
    }
}
