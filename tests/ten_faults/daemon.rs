//! Faults of the daemon.

use crate::commands;
use crate::scene::{Scene, macvlan};
use crate::support::{reported, wait_until};
use serde_json::json;

pub fn it_does_not_run(scene: &mut Scene) {
    scene.daemon.take().unwrap().kill();
    scene.at_home(|server| {
        reported::plexus_is(server, false);
        let crashes = "back-off 5m0s restarting failed container=plexusd pod=plexus-1_kube-system";
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": crashes}});
        let container = json!({"name": "plexusd", "image": "x", "imageID": "x", "ready": false, "restartCount": 9, "state": waiting});
        reported::pod_is(server, "kube-system", reported::PLEXUS, &json!({"containerStatuses": [container]}));
    });
    // No node has a copy of it.
    scene.network("unseen", &macvlan("10.24.0.0/24").to_string());
    let pod = scene.start("p8", "unseen");
    pod.is_refused(11);
    scene.names_everywhere("daemon-down", "default/p8");
    commands::show_that_the_daemon_is_down(scene, "default/before");
    scene.start_daemon();
    pod.starts(scene);
}

pub fn its_token_is_refused(scene: &mut Scene) {
    scene.kubectl(&["delete", "clusterrolebinding", "plexus"]);
    scene.daemon.take().unwrap().kill();
    scene.daemon = Some(scene.starting_daemon());
    is_not_ready(scene, 1, "definitions", "is forbidden");
    scene.at_home(|server| {
        let config = macvlan("10.25.0.0/24").to_string();
        crate::support::cluster::put_network(server, "default", "fresh", &config);
    });
    let pod = scene.start("p9", "fresh");
    pod.is_refused(11);
    scene.names_everywhere("token-refused", "default/p9");
    scene.install_manifests();
    scene.is_ready();
    pod.starts(scene);
}

/// The watches that are open stay so: only what is asked anew shows it, and the policy does not apply to the token any more.
pub fn its_token_loses_its_rights_while_it_runs(scene: &mut Scene) {
    scene.kubectl(&["delete", "clusterrolebinding", "plexus"]);
    is_not_ready(scene, 2, "policy", "nodes.plexus.dev");
    // It is attached, and its status waits.
    let pod = scene.start("p12", "lan");
    scene.names_everywhere("token-refused", "default/p12");
    scene.install_manifests();
    scene.is_ready();
    pod.is_attached(scene);
    scene.is_well("default/p12");
}

pub fn the_policy_is_away(scene: &mut Scene) {
    scene.kubectl(&["delete", "validatingadmissionpolicybinding", "plexus"]);
    scene.daemon.take().unwrap().kill();
    scene.daemon = Some(scene.starting_daemon());
    is_not_ready(scene, 3, "policy", "labels");
    // It is attached, and its status waits.
    let pod = scene.start("p10", "lan");
    scene.names_everywhere("policy-missing", "default/p10");
    scene.install_manifests();
    scene.is_ready();
    pod.is_attached(scene);
    scene.is_well("default/p10");
}

/// The daemon waits for what `guard` stands for, and the kubelet reports what its probe was told.
#[track_caller]
fn is_not_ready(scene: &Scene, second: u32, guard: &str, word: &str) {
    let daemon = scene.daemon.as_ref().unwrap();
    // A policy that was deleted is in force for a moment: it is tested each time.
    let told = || daemon.tested_health().guards.get(guard).cloned().unwrap_or_default();
    wait_until(|| told().contains(word), || format!("{:?}\n{}", daemon.health(), daemon.log()));
    let why = format!("{guard}: {}", told());
    scene.at_home(|server| {
        reported::plexus_is(server, false);
        reported::is_not_ready(server, second, &why);
    });
}
