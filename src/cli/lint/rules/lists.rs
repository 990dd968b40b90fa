//! Rules about the order of plugins in a list.

use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::network::Network;

const GOOD: Example = Example::Config(
    r#"{ "cniVersion": "1.0.0", "plugins": [{ "type": "macvlan", "master": "eth1" }, { "type": "tuning" }] }"#,
);
/// Plugins that make the interface of the call, or move one there under that name.
const MAKE_AN_INTERFACE: [&str; 14] = [
    "bridge",
    "dummy",
    "host-device",
    "ib-sriov",
    "ipoib",
    "ipvlan",
    "ipvtap",
    "macvlan",
    "macvtap",
    "ovs",
    "ptp",
    "sriov",
    "tap",
    "vlan",
];
/// Plugins that change what one before them has made, and fail where there is none.
const CHANGE_ONE: [&str; 7] = ["bandwidth", "firewall", "portmap", "route-override", "sbr", "tuning", "vrf"];

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX075",
        severity: Severity::Error,
        what: "a list has two plugins that make an interface: the second one finds its name in use, or replaces it",
        fix: "make a network of each, and select both",
        needs: Needs::Files,
        bad: Example::Config(
            r#"{ "cniVersion": "1.0.0", "plugins": [{ "type": "bridge" }, { "type": "macvlan", "master": "eth1" }] }"#,
        ),
        good: GOOD,
        judge: |judged| {
            let second = |network: &Network| {
                let plugins = network.plugins();
                let mut makers = plugins.iter().filter(|(plugin, _)| MAKE_AN_INTERFACE.contains(&plugin.kind.as_str()));
                let ((first, _), (plugin, node)) = (makers.next()?, makers.next()?);
                let text = format!("{} and {} make the same interface", first.kind, plugin.kind);
                Some(judged.in_config(network, node.at, text))
            };
            judged.objects.networks.iter().filter_map(second).collect()
        },
    },
    Rule {
        id: "PX077",
        severity: Severity::Error,
        what: "the first plugin makes no interface: it changes the one of a plugin before it, and there is none",
        fix: "put a plugin that makes an interface first",
        needs: Needs::Files,
        bad: Example::Config(
            r#"{ "cniVersion": "1.0.0", "plugins": [{ "type": "tuning" }, { "type": "macvlan", "master": "eth1" }] }"#,
        ),
        good: GOOD,
        judge: |judged| {
            let bad = |network: &Network| {
                let (plugin, node) = network.plugins().into_iter().next()?;
                let is_bad = CHANGE_ONE.contains(&plugin.kind.as_str());
                let text = format!("{} is the first plugin, and makes no interface", plugin.kind);
                is_bad.then(|| judged.in_config(network, node.at, text))
            };
            judged.objects.networks.iter().filter_map(bad).collect()
        },
    },
];
