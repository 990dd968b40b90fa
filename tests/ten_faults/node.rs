//! Faults of the node.

use crate::scene::Scene;
use serde_json::json;
use std::fs;

const LIST: &str = "/run/node/net.d/00-plexus.conflist";
const OTHER: &str = "/run/node/net.d/05-cilium.conflist";
const PLUGIN: &str = "/run/node/installed/plexus";
const AWAY: &str = "/run/node/away";

pub fn the_default_network_is_missing(scene: &Scene) {
    fs::rename(scene.node.primary_file(), AWAY).unwrap();
    // Without the last good copy.
    fs::remove_file("/var/lib/plexus/default-network.json").unwrap();
    let pod = scene.start("p1", "");
    pod.is_refused(11);
    scene.names_everywhere("primary-missing", "default/p1");
    fs::rename(AWAY, scene.node.primary_file()).unwrap();
    pod.starts(scene);
}

/// As Cilium does with `cni.exclusive`: the runtime calls it, and the pod has one network.
pub fn another_agent_is_first(scene: &Scene) {
    let renamed = format!("{LIST}.cilium_bak");
    fs::rename(LIST, &renamed).unwrap();
    let cilium = json!({"cniVersion": "1.0.0", "name": "cilium", "plugins": [{"type": "cilium-cni"}]});
    fs::write(OTHER, cilium.to_string()).unwrap();
    let pod = scene.start_without_plexus("p2", "lan");
    scene.names("displaced", "default/p2");
    scene.why_names_afar("displaced", "default/p2");
    let next = scene.afar(&["why", "default/p2"]);
    let next = String::from_utf8(next.stdout).unwrap();
    assert!(next.contains("Next step: Run `plexusctl doctor --node node1`: it shows which"), "{next}");
    fs::remove_file(OTHER).unwrap();
    fs::rename(renamed, LIST).unwrap();
    scene.delete(pod);
    scene.is_well("default/before");
}

/// It attaches what it is asked for; only the node knows its release.
pub fn the_plugin_is_of_a_former_release(scene: &Scene) {
    let program = fs::read(PLUGIN).unwrap();
    fs::rename(PLUGIN, AWAY).unwrap();
    fs::write(PLUGIN, of_another_release(program)).unwrap();
    fs::set_permissions(PLUGIN, fs::metadata(AWAY).unwrap().permissions()).unwrap();
    let pod = scene.start("p3", "lan");
    pod.is_attached(scene);
    scene.names("old-plugin", "default/p3");
    fs::rename(AWAY, PLUGIN).unwrap();
    scene.is_well("default/p3");
}

/// The same program, which prints another release.
fn of_another_release(mut program: Vec<u8>) -> Vec<u8> {
    let (own, other) = (env!("CARGO_PKG_VERSION").as_bytes(), "0".repeat(env!("CARGO_PKG_VERSION").len()));
    let mut at = 0;
    while at + own.len() <= program.len() {
        if &program[at..at + own.len()] == own {
            program[at..at + own.len()].copy_from_slice(other.as_bytes());
        }
        at += 1;
    }
    program
}
