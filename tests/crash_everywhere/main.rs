//! The plugin, a child of it, or a CNI plugin that it has started is killed before every system call that changes something:
//! whatever comes next leaves nothing, and nothing twice.
//!
//! `tests/crash.rs` kills by the clock, and `tests/requests.rs` before each netlink request; here files, locks and
//! programs count, too. A normal run kills before every few changes; with `PLEXUS_PROVE` set it leaves none out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "../support/mod.rs"]
mod support;

mod case;
mod others;

use case::{Case, Killed, Then, kill_everywhere, with_links};
use plexus::cni::ContainerId;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use support::Node;

#[test]
fn add_of_built_in_plugins() {
    // FAULT-1, FAULT-40
    let pairs = [Then::Del, Then::DelWithoutNetns, Then::AddAndDel, Then::Gc, Then::Sweep];
    kill_everywhere("built-in", true, false, &pairs.map(|then| (Killed::Add, then)));
}

#[test]
fn del_of_built_in_plugins() {
    // FAULT-2
    let pairs = [Then::Del, Then::DelWithoutNetns, Then::Gc, Then::Sweep];
    kill_everywhere("built-in", true, false, &pairs.map(|then| (Killed::Del, then)));
}

#[test]
fn check_and_status() {
    let pairs = [
        (Killed::Check, Then::Del),
        (Killed::Check, Then::DelWithoutNetns),
        (Killed::Check, Then::Gc),
        (Killed::Status, Then::Del),
        (Killed::Status, Then::Sweep),
    ];
    kill_everywhere("built-in", true, false, &pairs);
    kill_everywhere("programs", false, false, &[(Killed::Check, Then::Del), (Killed::Status, Then::Gc)]);
}

#[test]
fn gc_and_sweep_of_built_in_plugins() {
    // FAULT-2, FAULT-18
    let pairs = [
        (Killed::Gc, Then::Gc),
        (Killed::Gc, Then::Del),
        (Killed::Sweep, Then::Sweep),
        (Killed::Sweep, Then::DelWithoutNetns),
    ];
    kill_everywhere("built-in", true, false, &pairs);
}

#[test]
fn calls_that_make_their_bridges() {
    // FAULT-1, FAULT-2
    kill_everywhere(
        "cold",
        true,
        true,
        &[(Killed::Add, Then::Del), (Killed::Add, Then::AddAndDel), (Killed::Del, Then::Del)],
    );
}

#[test]
fn programs_that_make_their_bridges() {
    // FAULT-1, FAULT-2
    kill_everywhere("cold programs", false, true, &[(Killed::Add, Then::Del), (Killed::Del, Then::Del)]);
}

#[test]
fn chains_of_a_built_in_plugin_and_a_program() {
    // FAULT-1, FAULT-2, FAULT-34
    let Some(case) = Case::new("chain", true, false) else { return };
    let case = case.of_networks("chain");
    for (verb, then) in [(Killed::Add, Then::Del), (Killed::Add, Then::Gc), (Killed::Del, Then::Del)] {
        case.every_change(verb, then);
    }
    case.temporary_files_go();
}

#[test]
fn macvlan_as_a_program() {
    // FAULT-1, FAULT-2
    let Some(case) = with_links("macvlan as a program", false, "mv", &[]) else { return };
    case.every_change(Killed::Add, Then::Del);
    case.every_change(Killed::Del, Then::Del);
    case.temporary_files_go();
}

/// `e2e/kernel/run` runs it on a kernel that has both.
#[test]
fn ipvlan_and_vlan() {
    // FAULT-1, FAULT-2
    let links = ["type ipvlan", "type vlan id 4000"];
    let Some(case) = with_links("ipvlan and vlan", true, "ipvlan,vlan", &links) else { return };
    for then in [Then::Del, Then::DelWithoutNetns, Then::Sweep] {
        case.every_change(Killed::Add, then);
    }
    for then in [Then::Del, Then::Gc] {
        case.every_change(Killed::Del, then);
    }
    case.temporary_files_go();
}

/// `e2e/kernel/run` runs it on a kernel that has both.
#[test]
fn ipvlan_and_vlan_as_programs() {
    // FAULT-1, FAULT-2
    let links = ["type ipvlan", "type vlan id 4000"];
    let Some(case) = with_links("ipvlan and vlan as programs", false, "ipvlan,vlan", &links) else { return };
    case.every_change(Killed::Add, Then::Del);
    case.every_change(Killed::Del, Then::Del);
    case.temporary_files_go();
}

#[test]
fn add_of_programs() {
    // FAULT-1, FAULT-34, FAULT-40
    kill_everywhere("programs", false, false, &[(Killed::Add, Then::Del), (Killed::Add, Then::Gc)]);
}

#[test]
fn del_gc_and_sweep_of_programs() {
    // FAULT-2
    kill_everywhere(
        "programs",
        false,
        false,
        &[(Killed::Del, Then::Del), (Killed::Gc, Then::Gc), (Killed::Sweep, Then::Sweep)],
    );
}

/// Where a test waits for the end of all calls, it takes each lock for a moment. A process that another test forks at that moment
/// has a copy of the open file, until it becomes a program.
#[test]
fn whoever_waits_for_calls_to_end_keeps_no_lock() {
    let ends = AtomicBool::new(false);
    let forks = || {
        while !ends.load(Ordering::Relaxed) {
            let mut command = Command::new("true");
            let waits = || {
                thread::sleep(Duration::from_millis(5));
                Ok(())
            };
            // SAFETY: between fork and exec it only sleeps.
            unsafe { command.pre_exec(waits) };
            command.status().unwrap();
        }
    };
    thread::scope(|scope| {
        // It is not on the machine that this thread enters: the machine would never be quiet.
        scope.spawn(forks);
        let held = Node::new().map(|node| {
            let path = node.run().lock(&ContainerId::new("p0").unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = File::create(path).unwrap();
            let is_held = |_: &i32| {
                node.unlocked();
                let is_held = file.try_lock().is_err();
                file.unlock().unwrap();
                is_held
            };
            (0..20_000).filter(is_held).count()
        });
        ends.store(true, Ordering::Relaxed);
        assert_eq!(held.unwrap_or_default(), 0);
    });
}
