//! The clauses as rows: what is given, what is called, what a delegate sees and what comes of it. Every row is carried
//! out by our plugin and, where `MULTUS_BIN_DIR` names its programs, by that of Multus 4.3; rows about a list of
//! plugins also by libcni, through cnitool. So what we call a fault is shown, and the rows themselves are proven.
//!
//! `docs/evidence/multus-differences.md` is made of the rows: `UPDATE=1 MULTUS_BIN_DIR=… cargo test --test clauses` writes it
//! once they all hold of Multus.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails that way")]

#[path = "../support/kubelet.rs"]
mod kubelet;
#[path = "../support/mod.rs"]
mod support;

mod build;
mod cluster;
mod expected;
mod page;
mod row;
mod rows;
mod run;
mod subject;

use row::Row;
use std::fs;
use subject::Subject;

/// Carries out the rows of every topic by `subject`, each topic on a machine of its own; whether that could be done.
#[must_use]
fn run_all(subject: &Subject, topics: &[(&'static str, Vec<Row>)]) -> bool {
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    let wrong: Option<Vec<Vec<String>>> = std::thread::scope(|scope| {
        let thread = || std::thread::Builder::new().name(name.clone());
        let running: Vec<_> = topics
            .iter()
            .map(|(_, rows)| thread().spawn_scoped(scope, move || run::all(subject, rows)).unwrap())
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let wrong = wrong.map(|wrong| wrong.concat());
    let failed = wrong.as_deref().unwrap_or_default();
    assert!(failed.is_empty(), "{} rows do not hold:\n{}", failed.len(), failed.join("\n"));
    wrong.is_some()
}

#[test]
fn ours_does_as_the_rows_say() {
    let _ = run_all(&Subject::Plexus, &rows::topics());
}

#[test]
fn libcni_does_as_the_rows_say_of_it() {
    let _ = run_all(&Subject::Libcni, &rows::topics());
}

#[test]
fn multus_does_as_the_rows_say_of_it() {
    let Some(folder) = support::programs::multus() else { return };
    let topics = rows::topics();
    if run_all(&Subject::Multus(folder.join("multus")), &topics) {
        println!("{}", page::of(&topics));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(page::path(), page::of(&topics)).unwrap();
        }
    }
}

#[test]
fn no_case_stands_twice() {
    for (topic, rows) in rows::topics() {
        let mut seen = std::collections::BTreeSet::new();
        for row in &rows {
            assert!(seen.insert((row.what, row.clauses)), "{topic}: {}", row.what);
        }
    }
}

#[test]
fn the_page_is_made_of_the_rows() {
    if std::env::var_os("UPDATE").is_some() {
        return;
    }
    let (page, written) = (page::of(&rows::topics()), fs::read_to_string(page::path()).unwrap_or_default());
    let differing = page.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        page == written,
        "docs/evidence/multus-differences.md is old; UPDATE=1 MULTUS_BIN_DIR=… cargo test --test clauses writes it: {differing:?}"
    );
}
