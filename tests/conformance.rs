//! `docs/evidence/conformance.md` is made of the clause IDs that the code and its tests cite, so it cannot drift.
//!
//! `UPDATE=1 cargo test --test conformance` writes it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "support/citations.rs"]
mod citations;

use citations::{Cited, compare, list};
use std::collections::BTreeMap;
use std::path::Path;

const HEAD: &str = "\
# Conformance

Each row lists the tests that verify a clause, and the code that implements it. If there is no test, the row has the reason. An ID
names one clause: of the CNI specification and of the behaviour of libcni and its plugins (`CNI-…`), of the multi-network standard of
the Kubernetes Network Plumbing Working Group (`NPWG-…`), or of its device information standard (`DEVINFO-…`). The letters after it
are the topic, as in the headings. Tests and code cite the clauses in comments; `tests/conformance.rs` generates this page from them.
[multus-differences.md](multus-differences.md) has the cases of `tests/clauses`, compared with Multus and libcni.
";

/// The topics, in the order of the page, and how many clauses each has.
const TOPICS: [(&str, &str, u8); 33] = [
    ("CNI-CFG", "network configuration", 16),
    ("CNI-VER", "version selection", 9),
    ("CNI-ENV", "environment", 14),
    ("CNI-IO", "stdin, stdout and exit", 5),
    ("CNI-ARG", "CNI_ARGS", 7),
    ("CNI-ERR", "errors and codes", 10),
    ("CNI-ADD", "ADD", 11),
    ("CNI-DEL", "DEL", 10),
    ("CNI-CHK", "CHECK", 12),
    ("CNI-STA", "STATUS", 8),
    ("CNI-GC", "GC", 15),
    ("CNI-VSN", "VERSION", 6),
    ("CNI-REQ", "request of one plugin", 8),
    ("CNI-CAP", "capabilities and runtimeConfig", 13),
    ("CNI-CARG", "args.cni", 3),
    ("CNI-CHAIN", "chained plugins", 1),
    ("CNI-RES", "results", 9),
    ("CNI-CONV", "conversion of results", 8),
    ("CNI-RT", "runtimes", 6),
    ("CNI-DLG", "delegation", 17),
    ("CNI-CACHE", "libcni's records", 8),
    ("CNI-LOAD", "loading of configurations", 11),
    ("CNI-EXEC", "execution of plugins", 5),
    ("NPWG-NAD", "NetworkAttachmentDefinition", 10),
    ("NPWG-ANN", "forms of the selection", 10),
    ("NPWG-KEY", "keys of a selection", 23),
    ("NPWG-MUL", "several attachments", 3),
    ("NPWG-RC", "separate runtimeConfig", 3),
    ("NPWG-STA", "network status", 22),
    ("NPWG-DEF", "default network", 8),
    ("NPWG-ERR", "failures", 4),
    ("NPWG-IPC", "IPAMClaim", 8),
    ("DEVINFO", "device information", 16),
];

/// Clauses that no test shows, and why: what they ask is for somebody else, or we decided against it.
const NOT_SHOWN: [(&str, &str); 36] = [
    ("CNI-CFG-12", "the multi-network standard has configurations use `args`, so they are not warned of"),
    ("CNI-CFG-13", "keys of plugins: Plexus starts the program if the built-in plugin does not know a key"),
    ("CNI-IO-05", "answers are compared as JSON, not as text"),
    ("CNI-DEL-10", "for runtimes, which may leave variables out; a record was valid when it was written"),
    (
        "CNI-STA-03",
        "decided against, as in the reference host-local: while STATUS fails the node is not ready, and pods that have addresses are evicted too; an ADD without a free address fails with that reason",
    ),
    (
        "CNI-VSN-05",
        "Plexus does not call VERSION; a plugin that does not support the configured version returns an error (CNI-VER-08)",
    ),
    ("CNI-VSN-06", "Plexus does not call VERSION; every ADD checks that the programs exist (CNI-ADD-06)"),
    ("CNI-CHAIN-01", "for plugins that change an interface of another plugin; the built-in ones make interfaces"),
    ("CNI-RES-06", "for IPAM programs; the built-in ones are part of the plugins that call them"),
    ("CNI-RES-09", "decided against: results of other versions are converted (CNI-ADD-11)"),
    ("CNI-CONV-07", "a bug of the reference: versions are always converted"),
    ("CNI-RT-01", "for the runtime"),
    ("CNI-EXEC-05", "the tests use cnitool as the runtime"),
    ("NPWG-NAD-05", "for implementations that do not delegate to CNI plugins"),
    ("NPWG-KEY-06", "decided against: manifests for Multus rely on addresses in `CNI_ARGS` (ARCHITECTURE.md)"),
    (
        "NPWG-KEY-21",
        "decided against, as by the client library since 1.7.7: plugins that know neither ignore one of them",
    ),
    ("NPWG-STA-03", "not tested: Plexus does not overwrite later changes of the annotation"),
    ("NPWG-STA-07", "Plexus writes no key of its own"),
    (
        "NPWG-STA-18",
        "for the client library; Plexus writes one patch of the pod's status (`tests/daemon_kubernetes.rs`)",
    ),
    ("NPWG-DEF-05", "Plexus implements the alternative, NPWG-DEF-07"),
    ("NPWG-DEF-06", "Plexus implements the alternative, NPWG-DEF-07"),
    ("NPWG-IPC-01", "for the installation of IPAMClaims"),
    ("NPWG-IPC-02", "for the installation of IPAMClaims"),
    ("NPWG-IPC-03", "for IPAM plugins that use claims"),
    ("NPWG-IPC-04", "for IPAM plugins that use claims"),
    ("NPWG-IPC-05", "for the installation of IPAMClaims"),
    ("NPWG-IPC-07", "for controllers that create claims"),
    ("NPWG-IPC-08", "not applicable: an error in the text of the standard"),
    ("DEVINFO-01", "for device plugins: their file is passed on unchanged (DEVINFO-13)"),
    ("DEVINFO-02", "for device plugins"),
    ("DEVINFO-03", "for device plugins"),
    ("DEVINFO-04", "for device plugins"),
    ("DEVINFO-05", "for device plugins"),
    ("DEVINFO-07", "for device plugins"),
    ("DEVINFO-12", "for CNI plugins that know their device"),
    ("DEVINFO-16", "not applicable: an error in the examples of the standard"),
];

#[test]
fn the_page_says_what_the_citations_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    compare("conformance", &page(&citations(root)));
}

#[test]
fn what_is_cited_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for clause in citations(root).keys() {
        assert!(all_of(topic_of(clause)).contains(clause), "{clause} is not in tests/conformance.rs");
    }
}

#[test]
fn every_clause_is_shown_or_it_is_said_why_not() {
    let cited = citations(Path::new(env!("CARGO_MANIFEST_DIR")));
    let is_shown = |clause: &str| cited.get(clause).is_some_and(|cited| !cited.tests.is_empty());
    let all = TOPICS.iter().flat_map(|(topic, ..)| all_of(topic));
    // Both, or neither.
    let wrong: Vec<String> = all.filter(|clause| is_shown(clause) == why_not_shown(clause).is_some()).collect();
    assert!(wrong.is_empty(), "shown by no test and without a reason, or with both: {wrong:?}");
}

fn page(cited: &BTreeMap<String, Cited>) -> String {
    let mut page = HEAD.to_owned();
    for (topic, words, _) in TOPICS {
        page.push_str(&format!(
            "\n## {topic}: {words}\n\n| clause | tests that show it | code that follows it |\n|---|---|---|\n"
        ));
        for clause in all_of(topic) {
            let (tests, code) =
                cited.get(&clause).map(|cited| (list(&cited.tests), list(&cited.code))).unwrap_or_default();
            let tests = why_not_shown(&clause).map_or(tests, |why| format!("none: {why}"));
            page.push_str(&format!("| {clause} | {tests} | {code} |\n"));
        }
    }
    page
}

/// Every clause of `topic`.
fn all_of(topic: &str) -> Vec<String> {
    let count = TOPICS.iter().find(|(name, ..)| *name == topic).map_or(0, |(.., count)| *count);
    (1..=count).map(|number| format!("{topic}-{number:02}")).collect()
}

fn why_not_shown(clause: &str) -> Option<&'static str> {
    NOT_SHOWN.iter().find(|(name, _)| *name == clause).map(|(_, why)| *why)
}

fn topic_of(clause: &str) -> &str {
    clause.rsplit_once('-').map_or(clause, |(topic, _)| topic)
}

fn citations(root: &Path) -> BTreeMap<String, Cited> {
    citations::of(root, &["CNI", "NPWG", "DEVINFO"])
}
