//! `docs/evidence/faults.md` is made of the faults that tests cite (`FAULT-<number>`), and of the reasons where none does.
//!
//! `UPDATE=1 cargo test --test faults` writes it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "support/citations.rs"]
mod citations;

use std::path::Path;

const HEAD: &str = "\
# Faults to survive

What goes wrong on nodes, and which test shows that Plexus survives it: no wrong success, nothing left behind, no wait past
the deadline, a reason in the log, and recovery without a person. A test cites the faults it shows in its comments; this
page is made of these citations by `tests/faults.rs`.

| fault | what happens | tests that show it | |
|---|---|---|---|
";

/// Number, words, and what there is to say beside the tests; where there is no test, why.
const FAULTS: [(u8, &str, &str); 48] = [
    (1, "killed at each step of ADD", ""),
    (2, "killed at each step of DEL, GC, CHECK", "GC is made of DELs, and CHECK changes nothing"),
    (3, "told to stop with questions in flight", ""),
    (4, "halted, its socket open", ""),
    (
        5,
        "out of memory while many delegates run",
        "the daemon starts no delegate; `make bench` measures its memory in a burst",
    ),
    (6, "killed again and again while pods start", ""),
    (7, "socket missing, stale, of the wrong owner", ""),
    (8, "programs of neighbouring releases", "`e2e/cases/85-upgrade`"),
    (9, "two daemons at once", ""),
    (10, "never comes back", ""),
    (11, "reboot with pods present", ""),
    (12, "power loss: files cut, zeroed, swapped", ""),
    (13, "disk full or read-only", "out of inodes is the same error"),
    (14, "clock jumps", ""),
    (15, "namespace empty, missing, a plain file, the node's own", ""),
    (16, "the sandbox ends before DEL", ""),
    (17, "DEL before the end of ADD, twice, for nobody; ADD twice, or again", ""),
    (18, "GC never, with an empty list, during an ADD, with damaged records", ""),
    (19, "no UID, no pod", ""),
    (20, "plugin folder moves, a plugin is replaced, is no program", ""),
    (21, "the runtime cancels a call", ""),
    (22, "the primary's file is absent, arrives, is cut", ""),
    (23, "our file is renamed, outsorted, added to", ""),
    (24, "a configuration that names us", ""),
    (25, "the primary changes under running pods", ""),
    (26, "API server away at the start, or for long", ""),
    (27, "token rotated, new CA", ""),
    (28, "watch silently stale, too old", "the test waits for a second where a node waits for two minutes"),
    (29, "conflicts when the status is written", "a merge patch without resourceVersion has none of its own"),
    (30, "pod deleted, made again, static", ""),
    (31, "network deleted, edited, late", ""),
    (32, "annotations of any kind", ""),
    (33, "delegates that hang, print garbage or nothing, or without end", ""),
    (34, "a delegate dies before it answers", ""),
    (35, "one of many delegates fails, and so does an undo", ""),
    (36, "a DEL that fails for ever", ""),
    (
        37,
        "a result that is not true",
        "CHECK tells it; ADD does not look, since a plugin may make what it tells of elsewhere",
    ),
    (38, "a slow plugin holds up others", ""),
    (
        39,
        "few addresses, many pods",
        "two nodes share no pool of `host-local`; other address plugins see to it themselves",
    ),
    (40, "killed between lease and result", ""),
    (41, "node dead for an hour, then back with its pods", ""),
    (42, "DHCP server gone, lease lost", "the `dhcp` plugin's"),
    (
        43,
        "duplicate IPv6 address, neighbours with old entries",
        "announcing an address is the plugin's: `arp_notify`, `ndisc_notify`",
    ),
    (44, "the device or its parent vanishes", ""),
    (45, "DEL of the old owner of a device after ADD of the new", ""),
    (46, "kubelet's devices in another order, slow, absent", ""),
    (47, "the same interface added and removed again and again", "interfaces are not plugged into running pods"),
    (48, "sandbox made anew during a plug", "interfaces are not plugged into running pods"),
];

#[test]
fn the_page_says_what_the_citations_say() {
    let cited = citations::of(Path::new(env!("CARGO_MANIFEST_DIR")), &["FAULT"]);
    let mut page = HEAD.to_owned();
    for (number, words, remark) in FAULTS {
        let tests = cited.get(&format!("FAULT-{number}")).map_or_else(String::new, |by| citations::list(&by.tests));
        page.push_str(&format!("| FAULT-{number} | {words} | {tests} | {remark} |\n"));
    }
    citations::compare("faults", &page);
}

#[test]
fn every_fault_is_shown_or_there_is_a_reason() {
    let cited = citations::of(Path::new(env!("CARGO_MANIFEST_DIR")), &["FAULT"]);
    for (number, words, remark) in FAULTS {
        let is_shown = cited.get(&format!("FAULT-{number}")).is_some_and(|by| !by.tests.is_empty());
        assert!(is_shown || !remark.is_empty(), "FAULT-{number} ({words}) is neither shown nor is there a reason");
    }
    let known = |clause: &String| FAULTS.iter().any(|(number, _, _)| *clause == format!("FAULT-{number}"));
    let unknown: Vec<&String> = cited.keys().filter(|clause| !known(clause)).collect();
    assert!(unknown.is_empty(), "{unknown:?} are in no row of tests/faults.rs");
}
