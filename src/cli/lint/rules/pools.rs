//! Rules about AddressPools, and about pods that get no address of one.

use crate::cli::lint::admitted::{Kind, Refused};
use crate::cli::lint::found::Found;
use crate::cli::lint::judged::{Judged, Selecting};
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cli::objects::network::{self, Network};
use crate::cli::objects::object::Object;
use crate::cluster::addresses::pool_definition;
use crate::cluster::manifests::tree::{Key, Node, Tree};
use crate::cni::{PluginConfig, json};
use crate::delegate::ipam::leased;
use crate::ipam::overlap::{Claimant, Overlap, overlaps};
use crate::ipam::pool::Range;
use crate::ipam::{Pool, PoolName, PoolSpec};
use crate::nad::Selection;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use std::sync::LazyLock;

/// The manifest of a pool: its name, and its specification in one line.
macro_rules! pool {
    ($name:literal, $spec:literal) => {
        concat!(
            "apiVersion: ipam.plexus.dev/v1alpha1\nkind: AddressPool\nmetadata: { name: ",
            $name,
            " }\nspec: ",
            $spec,
            "\n---\n"
        )
    };
}

pub const RULES: &[Rule] = &[
    Rule {
        id: "PX080",
        severity: Severity::Error,
        what: "the API server refuses an AddressPool, or a value of it makes no sense: the pool gives no address",
        fix: "correct the key or the value (docs/how-to/cluster-addresses.md)",
        needs: Needs::Files,
        bad: Example::Manifests(pool!("lan", "{ ranges: [{ range: 10.1.0.1/24 }], probe: Off }")),
        good: Example::Manifests(pool!("lan", "{ ranges: [{ range: 10.1.0.0/24 }], probe: \"Off\" }")),
        judge: |judged| {
            let objects = judged.objects.all.iter().enumerate().filter(|(_, object)| object.is_pool());
            let found = objects.flat_map(|(number, object)| {
                let text = &judged.objects.sources[object.source].text;
                wrong(object, text).into_iter().map(move |one| judged.at(number, one.at, one.text))
            });
            found.collect()
        },
    },
    Rule {
        id: "PX081",
        severity: Severity::Warning,
        what: "two AddressPools have an address in common: the younger one is not used",
        fix: "give them different addresses; if their networks are separate, set `separate` in both",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            pool!("a", "{ ranges: [{ range: 10.1.0.0/24 }] }"),
            pool!("b", "{ ranges: [{ range: 10.1.0.128/25 }] }"),
        )),
        good: Example::Manifests(concat!(
            pool!("a", "{ ranges: [{ range: 10.1.0.0/24, exclude: [10.1.0.128/25] }] }"),
            pool!("b", "{ ranges: [{ range: 10.1.0.0/24, exclude: [10.1.0.0/25] }] }"),
        )),
        judge: |judged| {
            let pools = pools(judged);
            // Their age is not in a file: the one that comes first is taken for the older one.
            let claimant = |(at, pool): (usize, &Listed<'_>)| {
                let (name, spec) = (pool.name.to_owned(), pool.spec.clone().ok()?);
                let place = i64::try_from(at).unwrap_or(i64::MAX);
                Some(Claimant { name, created: created(&judged.objects.all[pool.object]).unwrap_or(place), spec })
            };
            let claimants: Vec<Claimant> = pools.iter().enumerate().filter_map(claimant).collect();
            let shared = |(at, pool): (usize, &Listed<'_>)| {
                let shared = overlaps(&claimant((at, pool))?, &claimants).into_iter().find(|one| one.yields)?;
                let Overlap { other, first, last, .. } = shared;
                let text = format!("AddressPool {other} has addresses of it, too: {first} to {last}");
                Some(judged.in_object(pool.object, pool.at, text))
            };
            pools.iter().enumerate().filter_map(shared).collect()
        },
    },
    Rule {
        id: "PX082",
        severity: Severity::Error,
        what: "a pod selects a network whose AddressPool is not for its namespace: the pod does not start",
        fix: "add the namespace to `namespaces` of the pool, or use another network",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            pool!("lan", "{ ranges: [{ range: 10.1.0.0/24 }], namespaces: [web] }"),
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "sriov", "ipam": { "type": "plexus-ipam", "pool": "lan" } }"#
            ),
            pod!("a"),
        )),
        good: Example::Manifests(concat!(
            pool!("lan", "{ ranges: [{ range: 10.1.0.0/24 }], namespaces: [web, default] }"),
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "sriov", "ipam": { "type": "plexus-ipam", "pool": "lan" } }"#
            ),
            pod!("a"),
        )),
        judge: |judged| {
            let pools = pools(judged);
            let refused = |(pod, index, selection): (&Selecting<'_>, usize, &Selection)| {
                let network = judged.objects.networks.iter().find(|network| network.nad == selection.nad)?;
                let used = leased::pools(network.parsed.as_ref()?.as_ref().ok()?);
                let namespace = pod.name.namespace();
                let is_closed = |pool: &&Listed<'_>| {
                    let spec = pool.spec.as_ref().ok().filter(|spec| !spec.namespaces.is_empty());
                    spec.is_some_and(|spec| !spec.namespaces.iter().any(|name| name == namespace))
                };
                let pool =
                    used.iter().find_map(|used| pools.iter().filter(is_closed).find(|it| it.name == used.as_str()))?;
                let text = format!("AddressPool {} gives no address to pods of namespace {namespace}", pool.name);
                Some(judged.in_element(pod, index, text))
            };
            judged.elements().filter_map(refused).collect()
        },
    },
    Rule {
        id: "PX083",
        severity: Severity::Warning,
        what: "`exclude` or `reserved` of an AddressPool has no address of its range: it has no effect",
        fix: "correct the addresses, or move them to the range that has them",
        needs: Needs::Files,
        bad: Example::Manifests(pool!("lan", "{ ranges: [{ range: 10.1.0.0/24, exclude: [10.2.0.1-10.2.0.9] }] }")),
        good: Example::Manifests(pool!("lan", "{ ranges: [{ range: 10.1.0.0/24, exclude: [10.1.0.1-10.1.0.9] }] }")),
        judge: |judged| {
            let of_range = |range: &Range| -> Vec<String> {
                let told = |(key, text)| format!("{key} {text} has no address of range {}", range.range);
                range.outside().into_iter().map(told).collect()
            };
            let outside = |pool: &Listed<'_>| -> Vec<Found> {
                let ranges = pool.spec.iter().flat_map(|spec| &spec.ranges);
                ranges.flat_map(of_range).map(|text| judged.in_object(pool.object, pool.at, text)).collect()
            };
            pools(judged).iter().flat_map(outside).collect()
        },
    },
    Rule {
        id: "PX084",
        severity: Severity::Error,
        what: "a network takes addresses from an AddressPool that does not exist: its pods do not start",
        fix: "create the AddressPool, or correct the key pool of the network",
        needs: Needs::Cluster,
        bad: Example::Config(
            r#"{ "cniVersion": "1.0.0", "type": "sriov", "ipam": { "type": "plexus-ipam", "pool": "lan" } }"#,
        ),
        good: Example::Manifests(concat!(
            pool!("lan", "{ ranges: [{ range: 10.1.0.0/24 }] }"),
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "sriov", "ipam": { "type": "plexus-ipam", "pool": "lan" } }"#
            ),
        )),
        judge: |judged| {
            if judged.objects.pools_are_unknown {
                return Vec::new();
            }
            let missing = |network: &Network| {
                let used = leased::pools(network.parsed.as_ref()?.as_ref().ok()?);
                let is_missing = |pool: &PoolName| {
                    !pool.is_implied() && judged.objects.pools().all(|object| object.name != pool.as_str())
                };
                let pool = used.into_iter().find(is_missing)?;
                let (_, node) = network.plugins().into_iter().next()?;
                let at = network::ipam(node).map_or(node.at, |ipam| ipam.find("pool").map_or(ipam.at, |pool| pool.at));
                Some(judged.in_config(network, at, format!("there is no AddressPool {pool}")))
            };
            judged.objects.networks.iter().filter_map(missing).collect()
        },
    },
    Rule {
        id: "PX085",
        severity: Severity::Error,
        what: "a network with `sticky` uses an AddressPool without `reserved` addresses: its pods do not start",
        fix: "add `reserved` to a range of each family of the pool, or remove `sticky` (docs/how-to/cluster-addresses.md)",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            pool!("lan", "{ ranges: [{ range: 10.1.0.0/24 }] }"),
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "sriov", "ipam": { "type": "plexus-ipam", "pool": "lan", "sticky": true } }"#
            ),
        )),
        good: Example::Manifests(concat!(
            pool!(
                "lan",
                "{ blockSize: { v4: 1, v6: 1 }, ranges: [{ range: 10.1.0.0/24, reserved: [10.1.0.128/25] }] }"
            ),
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "sriov", "ipam": { "type": "plexus-ipam", "pool": "lan", "sticky": true } }"#
            ),
        )),
        judge: |judged| {
            let without = |_: &PoolSpec, pool: &Pool| pool.families().any(|is_v4| pool.reserved(is_v4).is_empty());
            sticky(judged, without, "has no reserved addresses of a family")
        },
    },
    Rule {
        id: "PX086",
        severity: Severity::Warning,
        what: "a network with `sticky` uses an AddressPool with large blocks: pods with addresses of one block cannot move to different nodes",
        fix: "create the pool with `blockSize: {v4: 1, v6: 1}`",
        needs: Needs::Files,
        bad: Example::Manifests(concat!(
            pool!("lan", "{ ranges: [{ range: 10.1.0.0/24, reserved: [10.1.0.128/25] }] }"),
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "sriov", "ipam": { "type": "plexus-ipam", "pool": "lan", "sticky": true } }"#
            ),
        )),
        good: Example::Manifests(concat!(
            pool!(
                "lan",
                "{ blockSize: { v4: 1, v6: 1 }, ranges: [{ range: 10.1.0.0/24, reserved: [10.1.0.128/25] }] }"
            ),
            nad!(
                "a",
                r#"{ "cniVersion": "1.0.0", "type": "sriov", "ipam": { "type": "plexus-ipam", "pool": "lan", "sticky": true } }"#
            ),
        )),
        judge: |judged| {
            let large = |spec: &PoolSpec, pool: &Pool| {
                let size = |is_v4: bool| if is_v4 { spec.block_size.v4 } else { spec.block_size.v6 };
                pool.families().any(|is_v4| size(is_v4) > 1)
            };
            sticky(judged, large, "has blocks of several addresses")
        },
    },
];

/// AddressPools as the API server judges them.
static KIND: LazyLock<Option<Kind>> = LazyLock::new(|| Kind::new(&pool_definition()));

/// When the API server made `object`, in seconds of Unix time; none of one in a file.
fn created(object: &Object) -> Option<i64> {
    let time = object.root.below(&["metadata", "creationTimestamp"])?.text()?;
    time.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

/// Networks that keep addresses of a pool that is as `is_wrong` says.
fn sticky(judged: &Judged<'_>, is_wrong: impl Fn(&PoolSpec, &Pool) -> bool, what: &str) -> Vec<Found> {
    let pools = pools(judged);
    let is_wrong =
        |it: &&Listed<'_>| it.spec.as_ref().is_ok_and(|spec| Pool::new(spec).is_ok_and(|pool| is_wrong(spec, &pool)));
    let found = |(network, plugin, node): (&Network, &PluginConfig, &Node)| {
        let used = leased::sticky_pool(plugin)?;
        let pool = pools.iter().filter(is_wrong).find(|it| it.name == used.as_str())?;
        let at = node.key("ipam").map_or(node.at, |key| key.at);
        Some(judged.in_config(network, at, format!("AddressPool {} {what}", pool.name)))
    };
    judged.plugins().filter_map(found).collect()
}

/// What is wrong with the pool `object`, which is written in `text`.
fn wrong(object: &Object, text: &str) -> Vec<Refused> {
    let mut found = KIND.as_ref().map_or_else(Vec::new, |kind| kind.refusals(&object.root, &object.name, text));
    let Some(spec) = object.root.get("spec") else { return found };
    // Of one value the plugin's own words are clearer than a pattern.
    for one in spec.get("ranges").map_or(&[] as &[Node], Node::items).iter().filter_map(senseless) {
        found.retain(|other| other.at != one.at);
        found.push(one);
    }
    if found.is_empty() {
        let read = json::parse::<PoolSpec>(&kept(spec).to_string()).map_err(|e| e.to_string());
        let why = read.and_then(|spec| Pool::new(&spec).map_err(|e| e.to_string())).err();
        found.extend(why.map(|text| Refused { at: spec.at, text }));
    }
    found
}

/// Why the plugin takes no address from `range`, if it can be read.
fn senseless(range: &Node) -> Option<Refused> {
    let ranges = vec![json::parse(&kept(range).to_string()).ok()?];
    let text = Pool::new(&PoolSpec { ranges, ..PoolSpec::default() }).err()?.to_string();
    // Each message begins with the key.
    let key = text.split(' ').next().unwrap_or_default();
    Some(Refused { at: range.get(key).unwrap_or(range).at, text })
}

/// `node` as the API server keeps it: without keys that have no value.
fn kept(node: &Node) -> Value {
    let has_value = |(_, value): &&(Key, Node)| value.value != Tree::Null;
    match &node.value {
        Tree::Map(entries) => {
            entries.iter().filter(has_value).map(|(key, value)| (key.text.clone(), kept(value))).collect()
        }
        Tree::List(items) => items.iter().map(kept).collect(),
        _ => node.to_json(),
    }
}

/// An AddressPool among the objects.
struct Listed<'a> {
    object: usize,
    name: &'a str,
    at: &'a Node,
    spec: Result<PoolSpec, String>,
}

fn pools<'a>(judged: &Judged<'a>) -> Vec<Listed<'a>> {
    let listed = |(object, it): (usize, &'a Object)| {
        let at = it.root.get("spec").filter(|_| it.is_pool())?;
        let spec = json::parse(&kept(at).to_string()).map_err(|e| e.to_string());
        Some(Listed { object, name: &it.name, at, spec })
    };
    judged.objects.all.iter().enumerate().filter_map(listed).collect()
}
