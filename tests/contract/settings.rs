//! The settings of links: all that is below `/proc/sys/net/ipv4/conf` and `/proc/sys/net/ipv6/conf`.
//!
//! Netlink lists them too, in one answer instead of hundreds of files.

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{AfSpecInet, AfSpecInet6, AfSpecUnspec, LinkAttribute, LinkMessage};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use serde_json::{Value, json};
use std::fs;

/// Every setting of every link of the namespace, one line each. A list, because links have random names.
pub fn of_links() -> Value {
    let socket = Socket::new(NETLINK_ROUTE).unwrap();
    let mut question = NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    question.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    question.finalize();
    let mut bytes = vec![0; question.buffer_len()];
    question.serialize(&mut bytes);
    socket.send(&bytes, 0).unwrap();
    let mut links = Vec::new();
    loop {
        let (answer, _) = socket.recv_from_full().unwrap();
        let mut rest = answer.as_slice();
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).unwrap();
            match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => links.push(of_link(link)),
                NetlinkPayload::Done(_) => return links.into(),
                other => panic!("{other:?}"),
            }
            rest = rest.get(usize::try_from(message.header.length.next_multiple_of(4)).unwrap()..).unwrap_or_default();
        }
    }
}

fn of_link(link: LinkMessage) -> Value {
    let (mut name, mut settings) = (String::new(), String::new());
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = text,
            LinkAttribute::AfSpecUnspec(families) => settings = families.iter().map(of_family).collect(),
            _ => {}
        }
    }
    json!({"ifname": name, "settings": settings})
}

fn of_family(family: &AfSpecUnspec) -> String {
    let v4 = |part: &AfSpecInet| match part {
        AfSpecInet::DevConf(settings) => format!("{settings:#?}\n"),
        _ => String::new(),
    };
    let v6 = |part: &AfSpecInet6| match part {
        AfSpecInet6::DevConf(settings) => format!("{settings:#?}\n"),
        _ => String::new(),
    };
    match family {
        AfSpecUnspec::Inet(parts) => parts.iter().map(v4).collect(),
        AfSpecUnspec::Inet6(parts) => parts.iter().map(v6).collect(),
        _ => String::new(),
    }
}

/// Whether the namespace forwards.
pub fn forwarding() -> Vec<Option<String>> {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]
        .map(|key| fs::read_to_string(format!("/proc/sys/net/{key}")).ok())
        .to_vec()
}
