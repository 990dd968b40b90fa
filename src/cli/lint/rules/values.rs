//! Rules about values, judged by the code that judges them before each ADD. Each takes the messages that are its own.

use super::shape;
use crate::cli::lint::found::Found;
use crate::cli::lint::judged::{Judged, Judgement};
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::network::Network;
use crate::cluster::manifests::tree::{Key, Node};
use std::collections::BTreeSet;

/// The rules to which a message of a built-in plugin belongs, by words that it contains: the first that fits.
const WORDS: &[(&str, &[&[&str]])] = &[
    (
        "PX010",
        &[&["key ", " where ", " is expected"], &["cannot be read", " is expected"], &["neither true nor false"]],
    ),
    ("PX071", &[&["plugins, more than"]]),
    ("PX011", &[&["mode ", " is unknown"]]),
    ("PX012", &[&["vlanId"], &["VLAN", "it must"], &["vlanTrunk"], &["bridge with vlan"]]),
    ("PX013", &[&["mtu "]]),
    ("PX020", &[&["with a prefix length"]]),
    ("PX015", &[&["overlap"]]),
    ("PX019", &[&["addresses is empty"]]),
    ("PX021", &[&["is in no subnet of the interface"]]),
    ("PX014", &[&["subnet"], &["range"], &["gateway"]]),
    // That rule looks at the versions itself.
    ("PX005", &[&["incompatible CNI versions"]]),
    // What is left.
    ("PX061", &[&[]]),
];

/// A list that is too long by one.
macro_rules! many {
    () => {
        concat!(
            r#"{ "cniVersion": "1.0.0", "plugins": ["#,
            eight!(),
            ",",
            eight!(),
            ",",
            eight!(),
            ",",
            eight!(),
            ",",
            eight!(),
            ",",
            eight!(),
            ",",
            eight!(),
            ",",
            eight!(),
            r#",{"type":"a"}] }"#
        )
    };
}

macro_rules! eight {
    () => {
        r#"{"type":"a"},{"type":"a"},{"type":"a"},{"type":"a"},{"type":"a"},{"type":"a"},{"type":"a"},{"type":"a"}"#
    };
}

const fn rule(
    id: &'static str,
    what: &'static str,
    fix: &'static str,
    bad: &'static str,
    good: &'static str,
    judge: fn(&Judged<'_>) -> Vec<Found>,
) -> Rule {
    Rule {
        id,
        severity: Severity::Error,
        what,
        fix,
        needs: Needs::Files,
        bad: Example::Config(bad),
        good: Example::Config(good),
        judge,
    }
}

pub const RULES: &[Rule] = &[
    rule(
        "PX010",
        "the value of a key has the wrong type",
        "write a value of the type that is named",
        r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mtu": "1500" }"#,
        r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mtu": 1500 }"#,
        |judged| judged_as(judged, "PX010"),
    ),
    rule(
        "PX011",
        "the mode does not exist",
        "write one of the modes that are named",
        r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mode": "brigde" }"#,
        r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mode": "bridge" }"#,
        |judged| judged_as(judged, "PX011"),
    ),
    rule(
        "PX012",
        "a VLAN ID is out of range, or a trunk is incomplete",
        "use IDs from 1 to 4094",
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "vlan": 4095 }"#,
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "vlan": 100 }"#,
        |judged| judged_as(judged, "PX012"),
    ),
    rule(
        "PX013",
        "the MTU is out of range, or too small for IPv6",
        "use an MTU of 68 or more, and with IPv6 of 1280 or more",
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "mtu": 1000, "ipam": { "type": "host-local", "ranges": [[{ "subnet": "fd00:1::/64" }]] } }"#,
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "mtu": 1280, "ipam": { "type": "host-local", "ranges": [[{ "subnet": "fd00:1::/64" }]] } }"#,
        |judged| judged_as(judged, "PX013"),
    ),
    rule(
        "PX014",
        "`host-local` cannot use a range: subnet, start, end and gateway do not fit",
        "correct the range that is named",
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.2" }]] } }"#,
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24", "rangeStart": "10.1.0.2", "rangeEnd": "10.1.0.9" }]] } }"#,
        |judged| judged_as(judged, "PX014"),
    ),
    rule(
        "PX015",
        "ranges overlap",
        "give each range its own addresses",
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }, { "subnet": "10.1.0.0/24" }]] } }"#,
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }, { "subnet": "10.2.0.0/24" }]] } }"#,
        |judged| judged_as(judged, "PX015"),
    ),
    rule(
        "PX019",
        "`static` has no addresses, and the network does not declare the capability `ips`",
        "add \"addresses\", or \"capabilities\": { \"ips\": true } if pods request their addresses",
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "static" } }"#,
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "capabilities": { "ips": true }, "ipam": { "type": "static" } }"#,
        |judged| judged_as(judged, "PX019"),
    ),
    rule(
        "PX020",
        "an address has no prefix length",
        "write the address with its prefix length, for example 10.1.1.1/24",
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "static", "addresses": [{ "address": "10.1.1.1" }] } }"#,
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "static", "addresses": [{ "address": "10.1.1.1/24" }] } }"#,
        |judged| judged_as(judged, "PX020"),
    ),
    rule(
        "PX021",
        "a route has a gateway outside of all subnets of the interface",
        "use a gateway of the network's own subnet",
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]], "routes": [{ "dst": "10.9.0.0/16", "gw": "10.2.0.1" }] } }"#,
        r#"{ "cniVersion": "1.0.0", "type": "bridge", "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]], "routes": [{ "dst": "10.9.0.0/16", "gw": "10.1.0.9" }] } }"#,
        |judged| judged_as(judged, "PX021"),
    ),
    rule(
        "PX071",
        "the list has more plugins than Plexus takes",
        "remove plugins: a list has 64 of them at most",
        many!(),
        r#"{ "cniVersion": "1.0.0", "plugins": [{ "type": "bridge" }, { "type": "tuning" }] }"#,
        |judged| judged_as(judged, "PX071"),
    ),
    rule(
        "PX061",
        "the built-in plugin refuses the configuration for another reason",
        "correct the part that is named",
        r#"{ "cniVersion": "1.0.0", "type": "vlan", "vlanId": 5, "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]] } }"#,
        r#"{ "cniVersion": "1.0.0", "type": "vlan", "master": "eth1", "vlanId": 5, "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.0.0/24" }]] } }"#,
        |judged| judged_as(judged, "PX061"),
    ),
];

/// The rule of `message`.
fn rule_of(message: &str) -> &'static str {
    let fits = |patterns: &[&[&str]]| patterns.iter().any(|words| words.iter().all(|word| message.contains(word)));
    WORDS.iter().find(|(_, patterns)| fits(patterns)).map_or("PX061", |(id, _)| id)
}

/// What belongs to the rule `id`.
fn judged_as(judged: &Judged<'_>, id: &str) -> Vec<Found> {
    let own = judged.judgements.iter().filter(|judgement| rule_of(&judgement.message) == id);
    let own = own.filter(|judgement| id != "PX019" || !gets_addresses(judged, judgement));
    let found = own.map(|judgement| {
        judged.in_config(judgement.network, place(judgement.node, &judgement.message), judgement.message.clone())
    });
    found.chain(unread(judged, id)).collect()
}

/// Pods can request addresses without the capability, too: they go through `CNI_ARGS`.
fn gets_addresses(judged: &Judged<'_>, judgement: &Judgement<'_>) -> bool {
    let requests = |(_, _, selection): (_, _, &crate::nad::Selection)| {
        selection.nad == judgement.network.nad && !selection.ips.is_empty()
    };
    judgement.has_ips || judged.elements().any(requests)
}

/// What ADD would refuse, and the rules of the shape do not find: no error of a configuration gets lost here.
fn unread(judged: &Judged<'_>, id: &str) -> Vec<Found> {
    let of_id = |network: &&Network| {
        let why = network.parsed.as_ref().and_then(|parsed| parsed.as_ref().err());
        why.is_some_and(|why| rule_of(why) == id)
    };
    let networks: Vec<&Network> = judged.objects.networks.iter().filter(of_id).collect();
    if networks.is_empty() {
        return Vec::new();
    }
    let of_shape = shape::RULES.iter().filter(|rule| rule.severity == Severity::Error);
    let told: BTreeSet<usize> =
        of_shape.flat_map(|rule| (rule.judge)(judged)).filter_map(|found| found.object).collect();
    let left = networks.into_iter().filter(|network| !told.contains(&network.object));
    left.filter_map(|network| {
        let why = network.parsed.as_ref()?.as_ref().err()?;
        let tree = network.config.as_ref()?.tree.as_ref().ok()?;
        Some(judged.in_config(network, place(tree, why), why.clone()))
    })
    .collect()
}

/// Where in `node` the key stands that `message` names: the longest one.
fn place(node: &Node, message: &str) -> usize {
    let words: Vec<&str> = message.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-').collect();
    let mut best: Option<&Key> = None;
    let mut left = vec![node];
    while let Some(node) = left.pop() {
        left.extend(node.entries().iter().map(|(_, value)| value).chain(node.items()));
        for (key, _) in node.entries() {
            let is_named = words.contains(&key.text.as_str()) && key.text != "type";
            if is_named && best.is_none_or(|best| best.text.len() < key.text.len()) {
                best = Some(key);
            }
        }
    }
    best.map_or(node.at, |key| key.at)
}
