//! Requests for addresses that no plugin of a network reads: the pod would run without what it asked for, and nobody
//! would say so.

use crate::cni::NetworkConfig;
use crate::nad::Selection;

/// IPAM plugins that choose addresses whatever is requested.
const CHOOSE_IP: [&str; 1] = ["dhcp"];
/// Reference plugins that leave addresses to their IPAM plugin.
const LEAVE_IP: [&str; 15] = [
    "bandwidth",
    "bridge",
    "dummy",
    "firewall",
    "host-device",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "sbr",
    "tap",
    "tuning",
    "vlan",
    "vrf",
];
/// Reference plugins that set no requested hardware address. `tuning` does, also in a chain: it reads `CNI_ARGS`.
const IGNORE_MAC: [&str; 10] =
    ["bandwidth", "firewall", "host-device", "ipvlan", "loopback", "portmap", "ptp", "sbr", "vlan", "vrf"];

/// What `selection` requests of `network` and none of its plugins reads; none also where that is not known, because
/// one of them is no plugin of the reference.
pub fn unread(network: &NetworkConfig, selection: &Selection) -> Option<String> {
    let all_of = |known: &[&str]| network.plugins.iter().all(|plugin| known.contains(&plugin.kind.as_str()));
    let mut ipams = network.plugins.iter().filter_map(|plugin| plugin.ipam.as_ref().map(|kind| kind.as_str()));
    let may_read = |ipam: &str| !CHOOSE_IP.contains(&ipam) || network.has_capability("ips");
    if !selection.ips.is_empty() && all_of(&LEAVE_IP) && !ipams.clone().any(may_read) {
        let kinds = network.kinds();
        return Some(match ipams.next() {
            None => format!("ips are requested, but its plugins ({kinds}) have no IPAM plugin"),
            Some(ipam) => format!("ips are requested, but IPAM plugin {ipam} of its plugins ({kinds}) reads none"),
        });
    }
    if selection.mac.is_some() && all_of(&IGNORE_MAC) && !network.has_capability("mac") {
        return Some(format!("mac is requested, but no plugin of it ({}) reads one", network.kinds()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nad::selection;

    fn unread_of(network: &str, request: &str) -> Option<String> {
        let network = NetworkConfig::parse(network, Some("n")).unwrap();
        let selections = selection::parse(&format!(r#"[{{"name":"n",{request}}}]"#), "default").unwrap();
        unread(&network, &selections[0])
    }

    #[test]
    fn an_address_that_nobody_reads() {
        let ips = r#""ips":["10.1.1.1/24"]"#;
        for none in [
            r#"{"type":"macvlan"}"#,
            r#"{"type":"bridge","ipam":{}}"#,
            r#"{"type":"macvlan","capabilities":{"ips":true}}"#,
            r#"{"plugins":[{"type":"macvlan"},{"type":"tuning"}]}"#,
        ] {
            let why = unread_of(none, ips).unwrap();
            assert!(why.ends_with(") have no IPAM plugin"), "{none}: {why}");
        }
        let dhcp = r#"{"type":"macvlan","ipam":{"type":"dhcp"}}"#;
        let why = "ips are requested, but IPAM plugin dhcp of its plugins (macvlan) reads none";
        assert_eq!(unread_of(dhcp, ips).unwrap(), why);
        for read in [
            r#"{"type":"macvlan","ipam":{"type":"static"}}"#,
            r#"{"type":"macvlan","capabilities":{"ips":true},"ipam":{"type":"dhcp"}}"#,
            r#"{"type":"ovn-k8s-cni-overlay"}"#,
            r#"{"plugins":[{"type":"macvlan"},{"type":"somebodys"}]}"#,
        ] {
            assert_eq!(unread_of(read, ips), None, "{read}");
        }
    }

    #[test]
    fn a_hardware_address_that_nobody_reads() {
        let mac = r#""mac":"02:00:00:00:00:01""#;
        assert!(unread_of(r#"{"type":"ipvlan"}"#, mac).unwrap().contains("(ipvlan)"));
        for read in [
            r#"{"type":"macvlan"}"#,
            r#"{"type":"ipvlan","capabilities":{"mac":true}}"#,
            r#"{"plugins":[{"type":"ipvlan"},{"type":"tuning"}]}"#,
            r#"{"type":"sriov"}"#,
        ] {
            assert_eq!(unread_of(read, mac), None, "{read}");
        }
    }
}
