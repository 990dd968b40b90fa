//! Types of plugins, and which one is meant where another is written.

use crate::cni::spelling::nearest;

/// Types of plugins and of address plugins that are in wide use: near a name of these is probably a slip.
const KNOWN: [&str; 28] = [
    "bandwidth",
    "bond",
    "bridge",
    "dhcp",
    "dummy",
    "firewall",
    "host-device",
    "host-local",
    "ib-sriov",
    "ipoib",
    "ipvlan",
    "ipvtap",
    "loopback",
    "macvlan",
    "macvtap",
    "ovs",
    "plexus-ipam",
    "portmap",
    "ptp",
    "rdma",
    "route-override",
    "sbr",
    "sriov",
    "static",
    "tap",
    "tuning",
    "vlan",
    "vrf",
];

/// The type that is probably meant by `kind`, which names no plugin that is in wide use.
pub fn meant(kind: &str) -> Option<&'static str> {
    nearest(kind, KNOWN).filter(|_| !KNOWN.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_meant_by_a_slip_and_not_by_another_type() {
        assert_eq!(meant("mcvlan"), Some("macvlan"));
        assert_eq!(meant("brigde"), Some("bridge"));
        for known in KNOWN {
            assert_eq!(meant(known), None, "{known}");
        }
        assert_eq!(meant("vendor"), None);
    }
}
