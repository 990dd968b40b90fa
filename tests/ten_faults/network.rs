//! Faults of networks.

use crate::commands;
use crate::scene::{MASTER, Scene, macvlan};
use crate::support::node;
use serde_json::json;
use std::path::Path;

pub fn the_master_is_missing(scene: &Scene) {
    scene.network("bond", &macvlan("10.21.0.0/24").to_string().replace(MASTER, "bond9"));
    let pod = scene.start("p4", "bond");
    pod.is_refused(7);
    scene.names_everywhere("master-missing", "default/p4");
    scene.node.ip("link add bond9 type veth peer name bond9-peer");
    scene.node.ip("link set bond9 up");
    pod.starts(scene);
}

pub fn the_program_is_missing(scene: &Scene) {
    scene.network("vendor", &json!({"cniVersion": "1.0.0", "type": "vendor"}).to_string());
    let pod = scene.start("p5", "vendor");
    pod.is_refused(7);
    scene.names_everywhere("plugin-missing", "default/p5");
    let answer = r#"{"cniVersion":"1.0.0"}"#;
    for folder in ["bin", "installed"] {
        let program = Path::new("/run/node").join(folder).join("vendor");
        node::write_program(&program, &format!("#!/bin/sh\n[ \"$CNI_COMMAND\" != ADD ] || echo '{answer}'\n"));
    }
    pod.starts(scene);
}

pub fn the_configuration_is_broken(scene: &Scene) {
    scene.network("broken", r#"{"cniVersion":"1.0.0","type":"macvlan","#);
    let pod = scene.start("p6", "broken");
    pod.is_refused(7);
    scene.names_everywhere("network-broken", "default/p6");
    commands::show_a_broken_network(scene, "default/p6");
    scene.network("broken", &macvlan("10.22.0.0/24").to_string());
    pod.starts(scene);
    // A value that no plugin takes: the step is the one of `lint`.
    let mistyped = macvlan("10.26.0.0/24").to_string().replace("\"master\"", "\"mode\":\"bridg\",\"master\"");
    scene.network("mistyped", &mistyped);
    let pod = scene.start("p11", "mistyped");
    pod.is_refused(7);
    scene.names("network-broken", "default/p11");
    scene.why_names_afar("network-broken", "default/p11");
    let why = String::from_utf8(scene.afar(&["why", "default/p11"]).stdout).unwrap();
    assert!(why.contains("Next step: Write one of the modes"), "{why}");
    scene.network("mistyped", &macvlan("10.26.0.0/24").to_string());
    pod.starts(scene);
}

/// A range of two addresses, and two pods that have them.
pub fn the_pool_is_full(scene: &Scene) {
    let range = json!({"subnet": "10.23.0.0/24", "rangeStart": "10.23.0.10", "rangeEnd": "10.23.0.11"});
    let mut small = macvlan("");
    small["ipam"] = json!({"type": "host-local", "ranges": [[range]]});
    scene.network("small", &small.to_string());
    let holders = ["h1", "h2"].map(|name| scene.start(name, "small"));
    holders.iter().for_each(|holder| holder.is_attached(scene));
    let pod = scene.start("p7", "small");
    pod.is_refused(999);
    scene.names_everywhere("pool-full", "default/p7");
    holders.into_iter().for_each(|holder| scene.delete(holder.pod));
    pod.starts(scene);
}
