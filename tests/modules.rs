//! Which folder and which file of `src` may use which, and how long a file may be: the table of the design, enforced.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "modules/files.rs"]
mod files;
#[path = "modules/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use text::{paths, source, sources, without_tests};

/// Folders, low to high: an arrow goes down only, and those of one row do not know each other.
const ROWS: [&[&str]; 7] = [
    &["cni", "sys"],
    &["nad", "ipam"],
    &["delegate", "store", "api"],
    &["facts", "engine"],
    &["grpc", "keeper"],
    &["cluster", "daemon", "cli"],
    &["bin"],
];

/// Arrows within a row, and why.
const WITHIN_A_ROW: &[(&str, &str, &str)] = &[
    ("store", "api", "which file lies where is api::layout: plugin, daemon and CLI have to agree on it"),
    ("engine", "facts", "a verb asks for its facts; facts knows no verb"),
    (
        "cli",
        "cluster",
        "`plexusctl crd` prints the definition that is generated from the type, `natives` reads manifests",
    ),
    ("daemon", "cluster", "the daemon wires the cluster to its socket; the cluster knows no socket"),
];

/// Libraries that only one folder may know, by the beginning of their names.
const ONLY_IN: [(&str, &[&str]); 3] =
    [("netlink_", &["sys"]), ("kube", &["cluster"]), ("tokio", &["grpc", "cluster", "daemon", "cli", "bin"])];

/// What the daemon's folders may wait for a disk in, and why that holds up nobody: the daemon has one loop.
const MAY_WAIT_FOR_A_DISK: &[(&str, &str)] = &[
    ("cluster/kubernetes/access.rs", "reads credentials on a thread of its own"),
    ("cluster/kubernetes/inquiry/way.rs", "the tool alone asks by a kubeconfig"),
    ("cluster/copies.rs", "reads at the start, writes on a thread of its own"),
    ("cluster/manifests/source.rs", "cluster/lookup.rs calls it on a thread of its own"),
    ("cluster/manifests/publish.rs", "cluster/lookup.rs calls it on a thread of its own"),
    ("daemon/health/installation.rs", "looks on a thread of its own"),
    ("daemon/socket/listener.rs", "the run directory is in memory"),
    ("daemon/calls/socket.rs", "the run directory is in memory"),
    ("daemon/addresses/grants.rs", "the run directory is in memory"),
    ("daemon/publishing/todo.rs", "the run directory is in memory"),
];

#[test]
fn the_daemons_loop_waits_for_no_disk() {
    for (folder, file, text) in sources() {
        let name = file.display().to_string();
        let allowed = MAY_WAIT_FOR_A_DISK.iter().any(|(allowed, _)| *allowed == name);
        if allowed || !["cluster", "daemon"].contains(&folder.as_str()) {
            continue;
        }
        let waits = |path: &Vec<String>| {
            path.iter().any(|part| part == "fs" || part == "files") || path.last().is_some_and(|part| part == "exists")
        };
        let found = paths(&text).into_iter().find(waits);
        assert!(found.is_none(), "{name} uses {found:?}: a disk can stall for seconds; see MAY_WAIT_FOR_A_DISK");
    }
    let sources: BTreeSet<String> = sources().into_iter().map(|(_, file, _)| file.display().to_string()).collect();
    for (allowed, _) in MAY_WAIT_FOR_A_DISK {
        assert!(sources.contains(*allowed), "{allowed} is no file any more: take it out of the table");
    }
}

#[test]
fn arrows_go_down_only() {
    let mut used = BTreeSet::new();
    for (from, to) in arrows() {
        let down = row(&from) > row(&to);
        let allowed = WITHIN_A_ROW.iter().any(|(a, b, _)| (*a, *b) == (from.as_str(), to.as_str()));
        assert!(down || allowed, "{from} uses {to}: the table in tests/modules.rs and ARCHITECTURE.md forbids it");
        used.insert((from, to));
    }
    for &(from, to, _) in WITHIN_A_ROW {
        assert!(
            used.contains(&(from.to_owned(), to.to_owned())),
            "{from} does not use {to} any more: take it out of the table"
        );
    }
}

#[test]
fn the_arrows_within_rows_make_no_circle() {
    let arrows = arrows();
    for start in ROWS.concat() {
        let mut reached = BTreeSet::from([start.to_owned()]);
        loop {
            let next: BTreeSet<String> =
                arrows.iter().filter(|(from, _)| reached.contains(from)).map(|(_, to)| to.clone()).collect();
            assert!(!next.contains(start), "a circle through {start}");
            if next.is_subset(&reached) {
                break;
            }
            reached.extend(next);
        }
    }
}

#[test]
fn every_folder_is_in_the_table() {
    for entry in fs::read_dir(source()).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name().into_string().unwrap();
        assert!(ROWS.concat().contains(&name.as_str()), "src/{name} is in no row of tests/modules.rs");
    }
}

#[test]
fn libraries_stay_where_they_belong() {
    for (folder, file, text) in sources() {
        for (library, folders) in ONLY_IN {
            let known = paths(&text).into_iter().any(|path| path.len() > 1 && path[0].starts_with(library));
            assert!(
                !known || folders.contains(&folder.as_str()),
                "{} uses {library}, which belongs to {folders:?}",
                file.display()
            );
        }
    }
}

#[test]
fn paths_are_found_however_they_are_written() {
    let text = "use crate::{api, store::{Found, Record}, sys::files as f};\n// crate::no\nlet x = super::super::nad::y(); // crate::no\nuse plexus::cni;";
    let found = |at: &[&str]| {
        let file: PathBuf = at.iter().collect();
        folders_used(&file, text).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(found(&["engine", "x.rs"]), ["api", "cni", "nad", "store", "sys"]);
    assert_eq!(found(&["engine", "deep", "x.rs"]), ["api", "cni", "store", "sys"]);
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n crate::x\n}\n"), "a\n");
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests;\nb\n"), "a\nb\n");
}

fn row(folder: &str) -> usize {
    ROWS.iter().position(|row| row.contains(&folder)).unwrap_or_else(|| panic!("{folder} is in no row"))
}

/// Which folder uses which, by the code that is shipped.
fn arrows() -> BTreeSet<(String, String)> {
    let mut arrows = BTreeSet::new();
    for (folder, file, text) in sources() {
        let used = folders_used(&file, &text);
        arrows.extend(used.into_iter().filter(|used| *used != folder).map(|used| (folder.clone(), used)));
    }
    arrows
}

/// The folders of `src` that the code in `file` names.
fn folders_used(file: &Path, text: &str) -> BTreeSet<String> {
    let depth = file.iter().count() - usize::from(file.ends_with("mod.rs"));
    let all = ROWS.concat();
    let of = |path: Vec<String>| {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let rest = match path.first().map(String::as_str) {
            Some("crate" | "plexus") => &path[1..],
            Some("super") if supers == depth => &path[supers..],
            _ => return None,
        };
        rest.first().filter(|head| all.contains(&head.as_str())).cloned()
    };
    paths(text).into_iter().filter_map(of).collect()
}
