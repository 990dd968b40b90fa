//! What devices on a link answer when they are asked who has an address: packets of ARP and of IPv6's neighbour discovery.

use plexus::sys::conflicts::{read_arp, read_v6};

/// A packet behind the address of Ethernet that it came from.
pub fn run(data: &[u8]) {
    let Some((from, packet)) = data.split_first_chunk::<6>() else { return };
    if let Some(claim) = read_arp(packet) {
        assert!(claim.address.is_ipv4() && !claim.address.is_unspecified(), "{claim:?}");
        assert_eq!(claim.mac.as_bytes(), &packet[8..14]);
    }
    if let Some(claim) = read_v6(packet, *from) {
        assert!(claim.address.is_ipv6() && !claim.address.is_multicast(), "{claim:?}");
        // The sender's, or one of an option.
        let mac = claim.mac.as_bytes();
        assert!(
            mac == from || packet[64..].windows(8).any(|option| option[..2] == [2, 1] && option[2..] == *mac),
            "{claim:?}"
        );
    }
}
