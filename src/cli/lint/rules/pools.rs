//! Rules about AddressPools, and about pods that get no address of one.

use crate::cli::lint::judged::{Judged, Selecting};
use crate::cli::lint::rule::{Example, Needs, Rule, Severity};
use crate::cluster::manifests::tree::Node;
use crate::cni::json;
use crate::delegate::ipam::leased;
use crate::ipam::overlap::{Claimant, Overlap, overlaps};
use crate::ipam::{Pool, PoolSpec};
use crate::nad::Selection;

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
        what: "a value of an AddressPool makes no sense: the pool gives no address",
        fix: "correct the value (docs/how-to/cluster-addresses.md)",
        needs: Needs::Files,
        bad: Example::Manifests(pool!("lan", "{ ranges: [{ range: 10.1.0.1/24 }] }")),
        good: Example::Manifests(pool!("lan", "{ ranges: [{ range: 10.1.0.0/24, gateway: 10.1.0.1 }] }")),
        judge: |judged| {
            let wrong = |pool: &Listed<'_>| {
                let why = match &pool.spec {
                    Ok(spec) => Pool::new(spec).err()?.to_string(),
                    Err(why) => why.clone(),
                };
                Some(judged.in_object(pool.object, pool.at, why))
            };
            pools(judged).iter().filter_map(wrong).collect()
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
            // Their age is not in a file.
            let claimant = |pool: &Listed<'_>| {
                let (name, spec) = (pool.name.to_owned(), pool.spec.clone().ok()?);
                Some(Claimant { name, created: 0, spec })
            };
            let shared = |(at, pool): (usize, &Listed<'_>)| {
                let before: Vec<Claimant> = pools[..at].iter().filter_map(claimant).collect();
                let Overlap { other, first, last, .. } = overlaps(&claimant(pool)?, &before).into_iter().next()?;
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
];

/// An AddressPool among the objects.
struct Listed<'a> {
    object: usize,
    name: &'a str,
    at: &'a Node,
    spec: Result<PoolSpec, String>,
}

fn pools<'a>(judged: &Judged<'a>) -> Vec<Listed<'a>> {
    let listed = |(object, it): (usize, &'a crate::cli::objects::object::Object)| {
        let at = it.root.get("spec").filter(|_| it.group == "ipam.plexus.dev" && it.kind == "AddressPool")?;
        let spec = json::parse(&at.to_json().to_string()).map_err(|e| e.to_string());
        Some(Listed { object, name: &it.name, at, spec })
    };
    judged.objects.all.iter().enumerate().filter_map(listed).collect()
}
