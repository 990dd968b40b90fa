//! `docs/evidence/faults.md` is made of the faults that tests cite (`FAULT-<number>`), and of the reasons where none does.
//!
//! `UPDATE=1 cargo test --test faults` writes it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "support/citations.rs"]
mod citations;

use std::path::Path;

const HEAD: &str = "\
# Faults

Failures on nodes, and the tests that show the behaviour of Plexus. The expected behaviour: no false success, no leftovers, no
unlimited wait, a reason in the log, and automatic recovery. FAULT-23 is the exception: after three attempts a person has to act.
A test cites the faults that it shows in its comments. `tests/faults.rs` generates this page from these citations. A row without a
test has a note.

| fault | what happens | tests | note |
|---|---|---|---|
";

/// Number, words, and a note; where no test shows the fault, the reason.
const FAULTS: [(u8, &str, &str); 48] = [
    (1, "the plugin is killed at any step of ADD", ""),
    (2, "the plugin is killed at any step of DEL, GC or CHECK", "GC consists of DELs, and CHECK changes nothing"),
    (3, "the daemon is stopped while it answers", ""),
    (4, "the daemon is suspended (SIGSTOP) with its socket open", ""),
    (
        5,
        "the daemon runs out of memory while many CNI plugins run",
        "no test: the daemon starts no CNI plugin; `make bench` measures its memory in a burst",
    ),
    (6, "the daemon is killed repeatedly while pods start", ""),
    (7, "the daemon's socket is missing, stale, or has the wrong owner", ""),
    (8, "plugin and daemon are of different releases", "`e2e/cases/85-upgrade`"),
    (9, "two daemons run at once", ""),
    (10, "the daemon stays down", ""),
    (11, "the node reboots with pods on it", ""),
    (12, "power loss: files are truncated, zeroed or swapped", ""),
    (13, "the disk is full or read-only", "a disk without free inodes gives the same error"),
    (14, "the clock jumps", ""),
    (15, "CNI_NETNS is empty, missing, a regular file, or the host's namespace", ""),
    (16, "the sandbox is deleted before DEL", ""),
    (17, "DEL during ADD, repeated DEL, DEL of an unknown container; repeated ADD", ""),
    (18, "GC is never called, or with an empty list, during an ADD, or with damaged records", ""),
    (19, "a container without a pod or without a UID", ""),
    (20, "the plugin directory moves; a plugin is replaced, or is not a program", ""),
    (21, "the runtime cancels a call", ""),
    (22, "the default network's file is missing, appears later, or is truncated", ""),
    (23, "Plexus' CNI file is renamed, preceded by another file, or edited", ""),
    (24, "a configuration calls Plexus again", ""),
    (25, "the default network changes while pods run", ""),
    (26, "the API server is unavailable at the start, or for a long time", ""),
    (27, "the token is rotated, the CA is new", ""),
    (28, "a watch is silently stale, or too old", "the test waits for one second, a node for two minutes"),
    (29, "a conflict when the status is written", "no test: a merge patch without resourceVersion cannot conflict"),
    (30, "a pod is deleted, recreated, or static", ""),
    (31, "a NAD is deleted, edited, or created late", ""),
    (32, "invalid annotations", ""),
    (33, "a CNI plugin hangs, prints garbage, nothing, or endlessly", ""),
    (34, "a CNI plugin dies before it answers", ""),
    (35, "one of several networks fails, and so does its removal", ""),
    (36, "a DEL that always fails", ""),
    (
        37,
        "a plugin reports a wrong result",
        "CHECK finds it; ADD does not look, because a plugin may configure something outside of the container",
    ),
    (38, "a slow plugin delays others", ""),
    (
        39,
        "an address pool is exhausted",
        "two nodes do not share a pool of `host-local`; other IPAM plugins handle this themselves",
    ),
    (40, "the plugin is killed between lease and result", ""),
    (41, "a node is down for an hour, then returns with its pods", ""),
    (42, "the DHCP server is gone, a lease is lost", "no test: this is the task of the `dhcp` plugin"),
    (
        43,
        "a duplicate IPv6 address, neighbours with old entries",
        "plugins announce addresses: `arp_notify`, `ndisc_notify`",
    ),
    (44, "the device or its parent disappears", ""),
    (45, "DEL of a device's old owner after ADD of the new one", ""),
    (46, "the kubelet reports devices in another order, slowly, or not at all", ""),
    (
        47,
        "an interface is plugged and unplugged repeatedly",
        "no test: Plexus does not plug interfaces into running pods",
    ),
    (48, "a sandbox is recreated during a plug", "no test: Plexus does not plug interfaces into running pods"),
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
