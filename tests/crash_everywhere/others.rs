//! Who is killed is not the plugin: a child of it, or a CNI plugin that it has started. The plugin lives on, and notices it.

use crate::case::{Case, Killed, Then, Victim, with_links};

/// A normal run leaves out so many changes of a sweep after each, and of a CNI plugin.
const STEP_OF_A_SWEEP: usize = 7;
const STEP_OF_A_PROGRAM: usize = 23;

/// Runs `pairs` on the machine.
fn kill_alone(case: &Case, victim: Victim, pairs: &[(Killed, Then)]) {
    for (verb, then) in pairs {
        let (step, what) = match victim {
            Victim::Plugin => (1, format!("plugin, {verb:?}")),
            Victim::Teardown => (1, "child that deletes links".to_owned()),
            Victim::FollowUp => (STEP_OF_A_SWEEP, "sweep after an answer".to_owned()),
            Victim::Program => (STEP_OF_A_PROGRAM, format!("CNI plugin, {verb:?}")),
        };
        case.every_change_of(victim, *verb, *then, step, &what);
    }
    case.temporary_files_go();
}

#[test]
fn the_child_that_waits_for_the_end_of_links() {
    // FAULT-2
    let Some(case) = Case::new("built-in", true, false) else { return };
    let pairs = [
        (Killed::Del, Then::Del),
        (Killed::Del, Then::Gc),
        (Killed::Del, Then::Sweep),
        (Killed::Gc, Then::DelWithoutNetns),
    ];
    kill_alone(&case, Victim::Teardown, &pairs);
}

#[test]
fn the_sweep_that_follows_an_answer() {
    // FAULT-2
    let Some(case) = Case::new("built-in", true, false) else { return };
    let thens = [Then::Sweep, Then::DelWithoutNetns, Then::Gc];
    kill_alone(&case, Victim::FollowUp, &thens.map(|then| (Killed::Status, then)));
}

#[test]
fn a_cni_plugin_in_add() {
    // FAULT-34
    let Some(case) = Case::new("programs", false, false) else { return };
    kill_alone(&case, Victim::Program, &[(Killed::Add, Then::Del)]);
}

#[test]
fn a_cni_plugin_in_del_gc_and_a_sweep() {
    // FAULT-34
    let Some(case) = Case::new("programs", false, false) else { return };
    let pairs = [(Killed::Del, Then::Del), (Killed::Gc, Then::Gc), (Killed::Sweep, Then::Sweep)];
    kill_alone(&case, Victim::Program, &pairs);
}

#[test]
fn a_cni_plugin_that_moves_its_link() {
    // FAULT-34
    let Some(case) = with_links("macvlan as a program", false, "mv", &[]) else { return };
    kill_alone(&case, Victim::Program, &[(Killed::Add, Then::Sweep), (Killed::Del, Then::DelWithoutNetns)]);
}
