//! The ten faults that people have, on a node with its daemon and a real API server, as the manifests install them: `doctor`
//! names each first, `why` does on the node and from a workstation, and nothing is left of it after the repair.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "../support/mod.rs"]
mod support;

mod asked;
mod commands;
mod daemon;
mod network;
mod node;
mod scene;

use scene::Scene;

#[test]
fn each_fault_is_named_first_and_none_after_its_repair() {
    let Some(mut scene) = Scene::new() else { return };
    scene.start("before", "lan").is_attached(&scene);
    scene.is_well("default/before");

    commands::show_that_all_is_well(&scene, "default/before");
    node::the_default_network_is_missing(&scene);
    node::another_agent_is_first(&scene);
    node::the_plugin_is_of_a_former_release(&scene);
    network::the_master_is_missing(&scene);
    network::the_program_is_missing(&scene);
    network::the_configuration_is_broken(&scene);
    network::the_pool_is_full(&scene);
    daemon::it_does_not_run(&mut scene);
    daemon::its_token_is_refused(&mut scene);
    daemon::its_token_loses_its_rights_while_it_runs(&mut scene);
    daemon::the_policy_is_away(&mut scene);

    scene.is_well("default/before");
}
