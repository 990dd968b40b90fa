//! Which addresses of a range no pod gets, whatever asks for them, and why.

use super::range::{Subnet, has_ends};
use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// Why no pod gets an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {
    /// No range has it.
    Outside,
    /// It is the gateway of this range.
    Gateway(IpNet),
    /// It is the address of this range itself: the network of IPv4, all routers of IPv6.
    Network(IpNet),
    /// All hosts of this range have it.
    Broadcast(IpNet),
    /// This range excludes it.
    Excluded(IpNet),
}

impl Never {
    /// Why no pod gets `address`, as far as one of the ranges `subnets` shows it. What they exclude does not show.
    pub fn by_subnets(subnets: &[Subnet], address: IpAddr) -> Option<Self> {
        let of = |subnet: &Subnet| {
            let net = subnet.net;
            let is_end = |end: IpAddr| address == end && has_ends(net);
            match () {
                () if subnet.gateway == Some(address) => Some(Never::Gateway(net)),
                () if is_end(net.network()) => Some(Never::Network(net)),
                () if address.is_ipv4() && is_end(net.broadcast()) => Some(Never::Broadcast(net)),
                () => None,
            }
        };
        subnets.iter().filter(|subnet| subnet.net.contains(&address)).find_map(of)
    }
}

impl fmt::Display for Never {
    /// What the address is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Never::Outside => write!(f, "in no range of the pool"),
            Never::Gateway(net) => write!(f, "the gateway of range {net}"),
            Never::Network(net) => write!(f, "the network address of range {net}"),
            Never::Broadcast(net) => write!(f, "the broadcast address of range {net}"),
            Never::Excluded(net) => write!(f, "excluded from range {net}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ipam::pool::Range;
    use crate::ipam::{Pool, PoolSpec};

    #[test]
    fn what_no_pod_gets_has_its_reason() {
        let range = |range: &str, gateway: Option<&str>, exclude: &[&str]| Range {
            range: range.to_owned(),
            gateway: gateway.map(str::to_owned),
            exclude: exclude.iter().map(|one| (*one).to_owned()).collect(),
            ..Range::default()
        };
        let mut draining = range("10.2.0.0/29", None, &[]);
        draining.draining = true;
        let ranges = vec![
            range("10.0.0.0/24", Some("10.0.0.1"), &["10.0.0.8/29"]),
            range("10.1.0.0/31", None, &[]),
            range("fd00::/64", None, &[]),
            draining,
            // In another range: what one of both does not give no pod gets.
            range("10.0.0.64/26", None, &[]),
        ];
        let pool = Pool::new(&PoolSpec { ranges, ..PoolSpec::default() }).unwrap();
        let told = |address: &str| pool.never_given(address.parse().unwrap()).map(|never| never.to_string());
        for (address, why) in [
            ("10.0.0.0", Some("the network address of range 10.0.0.0/24")),
            ("10.0.0.1", Some("the gateway of range 10.0.0.0/24")),
            ("10.0.0.7", None),
            ("10.0.0.9", Some("excluded from range 10.0.0.0/24")),
            ("10.0.0.127", Some("the broadcast address of range 10.0.0.64/26")),
            ("10.0.0.255", Some("the broadcast address of range 10.0.0.0/24")),
            ("10.1.0.0", None),
            ("10.1.0.1", None),
            ("10.2.0.3", None),
            ("10.3.0.1", Some("in no range of the pool")),
            ("fd00::", Some("the network address of range fd00::/64")),
            ("fd00::ffff:ffff:ffff:ffff", None),
        ] {
            assert_eq!(told(address).as_deref(), why, "{address}");
        }
        let asked = |address: &str| pool.judge_request(address.parse().unwrap());
        assert_eq!(asked("10.0.0.255"), Err("it is the broadcast address of range 10.0.0.0/24".to_owned()));
        assert_eq!(asked("10.2.0.3"), Err("no new address is taken from range 10.2.0.0/29".to_owned()));
        assert_eq!(asked("10.0.0.7"), Ok(()));
    }
}
