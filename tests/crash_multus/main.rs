//! What happens with Multus 4.3.0, with its daemon ("thick") and without it ("thin"), where `tests/crash_everywhere` and
//! `tests/model` break Plexus: it is killed before its changes, and meets single faults.
//!
//! Runs where `MULTUS_BIN_DIR` names its programs. `tests/data/multus-faults.tsv` has the outcomes, and
//! `docs/reliability.md` is made of them. The test kills before some changes, and fails if Multus does anything else by now.
//! `UPDATE=1 MULTUS_BIN_DIR=… cargo test --test crash_multus` leaves none out, and writes the file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod cluster;
mod disk;
mod found;
mod install;
mod kills;
mod multus;
#[path = "../support/mod.rs"]
mod support;
mod table;
#[path = "../support/thick.rs"]
mod thick;
mod verbs;

use multus::Multus;
use table::Table;

/// Whether it is killed before every change, and outcomes are written.
fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

#[test]
fn multus_does_as_the_table_says() {
    let Some(programs) = support::programs::multus() else { return };
    let Some(mut multus) = Multus::start(&programs) else { return };
    let mut table = Table::default();
    for side in ["thick", "thin"] {
        if side == "thin" {
            multus.become_thin();
        }
        multus.must_leave_nothing_when_all_is_well();
        kills::all(&mut multus, &mut table);
        install::all(&mut multus, &mut table);
        disk::all(&multus, &mut table);
        verbs::all(&multus, &mut table);
        cluster::all(&mut multus, &mut table);
    }
    table.check();
}
