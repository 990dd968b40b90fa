//! Addresses that no interface can have, and those that exclude each other.

use crate::delegate::failure::Failure;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr};

/// The family of `address`, for messages.
pub fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Why no interface can have `address`, if so. The kernel refuses some of these late, and overlooks others.
pub fn fault(address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_multicast() => Some("it is a multicast address"),
        _ if address.is_unspecified() => Some("it stands for no address"),
        IpAddr::V4(address) if address.is_broadcast() => Some("it is a broadcast address"),
        IpAddr::V6(address) if address.is_loopback() => Some("only a loopback interface can have it"),
        _ => None,
    }
}

/// As [`fault`], for an address with its subnet.
fn fault_in_subnet(net: IpNet) -> Option<&'static str> {
    match net {
        IpNet::V4(net)
            if net.prefix_len() < 31 && net.addr() == net.broadcast() && net.addr() != Ipv4Addr::BROADCAST =>
        {
            Some("it is the broadcast address of its subnet")
        }
        _ => fault(net.addr()),
    }
}

/// Whether the kernel refuses the second of the two (inet_insert_ifa, ipv6_add_addr).
fn are_the_same(one: IpNet, other: IpNet) -> bool {
    if one.addr().is_ipv6() { one.addr() == other.addr() } else { one == other }
}

/// Judges the addresses that an interface is to have together.
///
/// # Errors
/// One of them cannot be had, or occurs twice.
pub fn judge(addresses: &[IpNet]) -> Result<(), Failure> {
    for (at, address) in addresses.iter().enumerate() {
        if let Some(why) = fault_in_subnet(*address) {
            return Err(Failure::Config(format!("address {address} cannot be used: {why}")));
        }
        if addresses[..at].iter().any(|before| are_the_same(*before, *address)) {
            return Err(Failure::Config(format!("address {address} is requested twice")));
        }
    }
    Ok(())
}

/// Judges the `gateway` of what is called `of`, in which it is to be reached.
///
/// # Errors
/// It is of the other family.
pub fn same_family(gateway: IpAddr, of: &str, net: IpNet) -> Result<(), Failure> {
    if gateway.is_ipv4() == net.addr().is_ipv4() {
        return Ok(());
    }
    let (wrong, right) = (family(gateway), family(net.addr()));
    Err(Failure::Config(format!("gateway {gateway} of {of} {net} is {wrong}, and the {of} is {right}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(addresses: &[&str]) -> String {
        let nets: Vec<IpNet> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        judge(&nets).map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn what_an_interface_can_have() {
        for good in
            ["10.7.0.0/24", "10.7.0.255/16", "10.7.0.1/31", "10.7.0.0/31", "10.7.0.255/32", "fd00::/64", "127.0.0.9/8"]
        {
            assert_eq!(told(&[good]), "", "{good}");
        }
        assert_eq!(told(&["10.7.0.5/24", "10.7.0.5/16"]), "", "the kernel takes both");
        for (bad, why) in [
            ("10.7.0.255/24", "broadcast address of its subnet"),
            ("255.255.255.255/32", "broadcast"),
            ("0.0.0.0/8", "no address"),
            ("::/64", "no address"),
            ("::1/128", "loopback"),
            ("224.0.0.5/24", "multicast"),
            ("ff02::5/64", "multicast"),
        ] {
            assert!(told(&[bad]).contains(why), "{bad}: {}", told(&[bad]));
        }
        assert!(told(&["10.7.0.5/24", "10.7.0.5/24"]).contains("twice"));
        assert!(told(&["fd00::5/64", "fd00::5/48"]).contains("twice"));
    }
}
