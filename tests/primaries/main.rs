//! Every network that a cluster may have: the file that it really installs (`tests/data/primaries`), with
//! recorders in the place of its plugins. What libcni does with the file alone is the measure of what
//! happens with Plexus before or behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails that way")]

mod capabilities;
mod cilium;
mod document;
mod files;
mod fixture;
mod istio;
mod node;
#[path = "../support/mod.rs"]
mod support;
mod through;

/// One test of each kind a folder of `tests/data/primaries`; `every_fixture_is_tested` compares.
macro_rules! primaries {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        mod delegated {
            $(#[test] fn $name() { crate::through::delegated(stringify!($name)); })*
        }
        mod chained {
            $(#[test] fn $name() { crate::through::chained(stringify!($name)); })*
        }
    };
}

primaries! {
    antrea
    aws
    azure
    azure_overlay
    calico
    calico_operator
    canal
    cilium
    flannel
    k3s
    kindnet
    kube_router
    kubenet
    microk8s
    ovn_kubernetes
    weave
}

#[test]
fn every_fixture_is_tested_and_its_source_is_told() {
    let names: Vec<String> = fixture::all().iter().map(|fixture| fixture.name.replace('-', "_")).collect();
    assert_eq!(names, NAMES);
    let sources = include_str!("../data/primaries/README.md");
    for fixture in fixture::all() {
        assert!(sources.contains(&format!("\n| {} | ", fixture.name)), "{}", fixture.name);
    }
}
