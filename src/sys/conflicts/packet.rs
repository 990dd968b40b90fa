//! The packets: ARP probes and neighbour solicitations, and what others answer. Pure.

use crate::sys::netlink::Mac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of Ethernet.
pub(super) type Hardware = [u8; 6];

/// Somebody on the link has an address, or asks for it at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// Who.
    pub mac: Mac,
}

/// Ethernet and IPv4, with the lengths of their addresses (RFC 826).
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Length of a packet of ARP.
const ARP: usize = 28;
/// Length of the header of IPv6, and of a solicitation without options (RFC 4861 4.3).
const V6: usize = 40;
const SOLICITATION_LENGTH: usize = 24;
const ICMP_V6: u8 = 58;
/// Types of ICMPv6.
pub(super) const SOLICITATION: u8 = 135;
pub(super) const ADVERTISEMENT: u8 = 136;
/// What a router would have lowered: so the packet is of this link (RFC 4861 7.1).
const OF_THIS_LINK: u8 = 255;
/// An option with the address of Ethernet that the target has.
const TARGET_HARDWARE: u8 = 2;
/// To everybody on the link.
pub(super) const BROADCAST: Hardware = [0xff; 6];
/// Where advertisements go that answer a question from no address: to `ff02::1`.
pub(super) const ALL_NODES: Hardware = [0x33, 0x33, 0, 0, 0, 1];

/// An ARP probe (RFC 5227 1.1): from no address, so that nobody's cache changes.
pub(super) fn arp_probe(own: Hardware, address: Ipv4Addr) -> [u8; ARP] {
    let mut packet = [0; ARP];
    packet[..6].copy_from_slice(&ARP_HEAD);
    packet[7] = 1;
    packet[8..14].copy_from_slice(&own);
    packet[24..].copy_from_slice(&address.octets());
    packet
}

/// Who claims what by a packet of ARP: the sender of any, and who probes for an address (RFC 5227 2.1.1).
pub fn read_arp(packet: &[u8]) -> Option<Claim> {
    let packet = packet.get(..ARP).filter(|packet| packet.starts_with(&ARP_HEAD))?;
    let address = |at: usize| <[u8; 4]>::try_from(&packet[at..at + 4]).map(Ipv4Addr::from).ok();
    let operation = u16::from_be_bytes([packet[6], packet[7]]);
    let claimed = match (operation, address(14)?) {
        (1, sender) if sender.is_unspecified() => address(24)?,
        (1 | 2, sender) => sender,
        _ => return None,
    };
    (!claimed.is_unspecified()).then(|| Claim { address: claimed.into(), mac: Mac::new(&packet[8..14]) })
}

/// The address of Ethernet of the group in which who has `address` listens for solicitations, and that group.
pub(super) fn group_of(address: Ipv6Addr) -> (Hardware, Ipv6Addr) {
    let [.., a, b, c] = address.octets();
    ([0x33, 0x33, 0xff, a, b, c], [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c].into())
}

/// A neighbour solicitation from no address (RFC 4862 5.4.2).
pub(super) fn solicitation(address: Ipv6Addr) -> [u8; V6 + SOLICITATION_LENGTH] {
    let mut packet = [0; V6 + SOLICITATION_LENGTH];
    packet[0] = 0x60;
    packet[5] = SOLICITATION_LENGTH as u8;
    (packet[6], packet[7]) = (ICMP_V6, OF_THIS_LINK);
    packet[24..V6].copy_from_slice(&group_of(address).1.octets());
    packet[V6] = SOLICITATION;
    packet[V6 + 8..].copy_from_slice(&address.octets());
    let sum = checksum(&packet);
    packet[V6 + 2..V6 + 4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The checksum of an ICMPv6 packet whose own is zero (RFC 4443 2.3).
fn checksum(packet: &[u8]) -> u16 {
    let length = (packet.len() - V6) as u32;
    let words = packet[8..].chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let mut sum = words.sum::<u32>() + length + u32::from(ICMP_V6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Who claims what by a packet of IPv6 that came `from` there: who advertises an address, and who asks for it from none.
/// The kernel has checked that it is whole, as far as the card has not.
pub fn read_v6(packet: &[u8], from: [u8; 6]) -> Option<Claim> {
    let head = packet.get(..V6 + SOLICITATION_LENGTH)?;
    let is_of_link = head[0] >> 4 == 6 && head[6] == ICMP_V6 && head[7] == OF_THIS_LINK && head[V6 + 1] == 0;
    let target = <[u8; 16]>::try_from(&head[V6 + 8..]).map(Ipv6Addr::from).ok()?;
    let is_from_none = head[8..24].iter().all(|byte| *byte == 0);
    let mac = match head[V6] {
        ADVERTISEMENT => target_hardware(&packet[V6 + SOLICITATION_LENGTH..]).unwrap_or(from),
        SOLICITATION if is_from_none => from,
        _ => return None,
    };
    (is_of_link && !target.is_multicast()).then(|| Claim { address: target.into(), mac: Mac::new(&mac) })
}

/// The option with the target's address of Ethernet, where there is one.
fn target_hardware(mut options: &[u8]) -> Option<Hardware> {
    while let [kind, length, ..] = options {
        let option = options.get(..usize::from(*length) * 8).filter(|option| !option.is_empty())?;
        if *kind == TARGET_HARDWARE && option.len() == 8 {
            return option[2..].try_into().ok();
        }
        options = &options[option.len()..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ONE: Hardware = [2, 0, 0, 0, 0, 1];

    fn claim(address: &str, mac: Hardware) -> Option<Claim> {
        Some(Claim { address: address.parse().unwrap(), mac: Mac::new(&mac) })
    }

    fn arp(operation: u8, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        let mut packet = arp_probe(ONE, target.into()).to_vec();
        packet[7] = operation;
        packet[14..18].copy_from_slice(&sender);
        packet
    }

    #[test]
    fn a_probe_is_as_the_standard_has_it() {
        let packet = arp_probe(ONE, Ipv4Addr::new(10, 9, 0, 2));
        let expected = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 9, 0, 2];
        assert_eq!(packet, expected);
    }

    #[test]
    fn who_sends_from_an_address_or_probes_for_it_claims_it() {
        let (none, a, b) = ([0; 4], [10, 9, 0, 2], [10, 9, 0, 3]);
        for (packet, expected) in [
            (arp(2, a, none), claim("10.9.0.2", ONE)),
            (arp(1, a, b), claim("10.9.0.2", ONE)),
            (arp(1, a, a), claim("10.9.0.2", ONE)),
            (arp(1, none, b), claim("10.9.0.3", ONE)),
            (arp(2, none, b), None),
            (arp(1, none, none), None),
            (arp(3, a, b), None),
            (arp(2, a, none)[..27].to_vec(), None),
        ] {
            assert_eq!(read_arp(&packet), expected, "{packet:?}");
        }
        let padded = [arp(2, a, none), vec![0; 18]].concat();
        assert_eq!(read_arp(&padded), claim("10.9.0.2", ONE), "short frames are filled up");
    }

    #[test]
    fn a_solicitation_is_as_the_standard_has_it() {
        let address: Ipv6Addr = "fd00:9::a2:b3c4".parse().unwrap();
        let packet = solicitation(address);
        let (hardware, group) = group_of(address);
        assert_eq!(group, "ff02::1:ffa2:b3c4".parse::<Ipv6Addr>().unwrap());
        assert_eq!(hardware, [0x33, 0x33, 0xff, 0xa2, 0xb3, 0xc4]);
        assert_eq!(packet[24..40], group.octets());
        assert_eq!((packet[6], packet[7], packet[40]), (58, 255, 135));
        // With its own checksum, the sum is that of a packet that arrived whole.
        assert_eq!(checksum(&packet), 0);
    }

    fn advertisement(address: &str, options: &[u8]) -> Vec<u8> {
        let mut packet = solicitation(address.parse().unwrap()).to_vec();
        packet[8] = 0xfe;
        packet[40] = ADVERTISEMENT;
        packet.extend(options);
        packet
    }

    #[test]
    fn who_advertises_an_address_or_asks_from_none_claims_it() {
        let two = [2, 0, 0, 0, 0, 2];
        let option = [2, 1, 2, 0, 0, 0, 0, 2];
        let (mut routed, mut from_one) = (advertisement("fd00::1", &[]), solicitation("fd00::1".parse().unwrap()));
        (routed[7], from_one[8]) = (64, 0xfe);
        for (packet, expected) in [
            (advertisement("fd00::1", &[]), claim("fd00::1", ONE)),
            (advertisement("fd00::1", &option), claim("fd00::1", two)),
            (advertisement("fd00::1", &[[14, 1, 0, 0, 0, 0, 0, 0], option].concat()), claim("fd00::1", two)),
            (advertisement("fd00::1", &[2, 0, 1, 1]), claim("fd00::1", ONE)),
            (advertisement("ff02::1", &[]), None),
            (solicitation("fd00::1".parse().unwrap()).to_vec(), claim("fd00::1", ONE)),
            (from_one.to_vec(), None),
            (routed, None),
            (advertisement("fd00::1", &[])[..63].to_vec(), None),
        ] {
            assert_eq!(read_v6(&packet, ONE), expected, "{packet:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_of_others_do_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let _ = (read_arp(&bytes), read_v6(&bytes, ONE));
            // What is nearly a packet reaches further.
            let mut near = [advertisement("fd00::1", &[2, 1, 2, 0, 0, 0, 0, 2]), bytes.clone()].concat();
            let mut arp = [arp(2, [10, 9, 0, 2], [0; 4]), bytes].concat();
            for packet in [&mut near, &mut arp] {
                let at = at.index(packet.len());
                packet[at] = byte;
            }
            if let Some(claim) = read_v6(&near, ONE) {
                prop_assert!(claim.address.is_ipv6() && claim.mac.as_bytes().len() == 6);
            }
            if let Some(claim) = read_arp(&arp) {
                prop_assert!(claim.address.is_ipv4() && !claim.address.is_unspecified());
            }
        }
    }
}
