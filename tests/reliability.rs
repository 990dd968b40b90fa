//! `docs/reliability.md` is made of what the last `UPDATE=1 make prove` counted (`tests/data/prove.tsv`), of what Multus did
//! (`tests/data/multus-faults.tsv`, which `tests/crash_multus` writes), and of the table of what must hold.
//!
//! `UPDATE=1 cargo test --test reliability` writes it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What `make prove` counted, by its words.
type Counts = BTreeMap<String, u64>;

/// A fault and what must hold; the words under which it is counted; what Multus does, where that was run: `{fault/thin}` is an
/// outcome of `tests/crash_multus`.
struct Row {
    fault: &'static str,
    must: &'static str,
    counted: &'static [&'static str],
    multus: &'static str,
}

const fn row(fault: &'static str, must: &'static str, counted: &'static [&'static str], multus: &'static str) -> Row {
    Row { fault, must, counted, multus }
}

const NOT_RUN: &str = "not run";
const NO_SUCH: &str = "it has no such thing";
const NOTHING_LEFT: &str = "the next DEL, GC or sweep leaves nothing";
const AS_BEFORE: &str = "running pods keep their interfaces and addresses; the next DEL leaves nothing";

/// A program is killed before each system call that changes something.
const KILLS: &[Row] = &[
    row(
        "the plugin, in ADD",
        "DEL, GC or a sweep leaves nothing; a second ADD attaches the pod or is refused",
        &["kills: plugin, Add"],
        "left something: thin {kill plugin ADD/thin}; thick {kill plugin ADD/thick}; its daemon \
         {kill daemon ADD, DEL later/thick}, and {kill daemon ADD, DEL at once/thick} if DEL came before it was back",
    ),
    row(
        "the plugin, in DEL",
        NOTHING_LEFT,
        &["kills: plugin, Del"],
        "left something: thin {kill plugin DEL/thin}; thick {kill plugin DEL/thick}; its daemon \
         {kill daemon DEL, DEL later/thick}, and {kill daemon DEL, DEL at once/thick} if DEL came before it was back",
    ),
    row(
        "the plugin, in CHECK or STATUS",
        "nothing changes",
        &["kills: plugin, Check", "kills: plugin, Status"],
        "changed something: thin {kill plugin CHECK and STATUS/thin}; thick {kill plugin CHECK and STATUS/thick}",
    ),
    row(
        "the plugin, in GC",
        NOTHING_LEFT,
        &["kills: plugin, Gc"],
        "left something after DEL: thin {kill plugin GC/thin}; thick {kill plugin GC/thick}. \
         [GC deletes no attachment](evidence/multus-differences.md)",
    ),
    row("the plugin, in a sweep", NOTHING_LEFT, &["kills: plugin, Sweep"], NO_SUCH),
    row(
        "a CNI plugin that Plexus starts, alone",
        "ADD fails, and the error has the signal; the next DEL, GC or sweep leaves nothing",
        &["kills: CNI plugin, Add", "kills: CNI plugin, Del", "kills: CNI plugin, Gc", "kills: CNI plugin, Sweep"],
        NOT_RUN,
    ),
    row(
        "the plugin's child that deletes links, alone",
        "the same DEL or GC succeeds, and leaves nothing",
        &["kills: child that deletes links"],
        NO_SUCH,
    ),
    row(
        "the sweep that a call starts after its answer, alone",
        NOTHING_LEFT,
        &["kills: sweep after an answer"],
        NO_SUCH,
    ),
    row(
        "`plexusctl install`",
        "the runtime's directory has the old or the new file; the next `install` finishes it, and leaves nothing",
        &["kills: plexusctl install"],
        "thin, its installer: {kill install, copy left/thin} left a copy of the program, {kill install, file torn/thin} a file \
         that is not JSON. Thick, its daemon, while it writes the runtime's file: {kill install, file/thick}, until its next start",
    ),
    row(
        "`plexusctl uninstall`",
        "files of others stay; the next `uninstall` finishes it",
        &["kills: plexusctl uninstall"],
        NO_SUCH,
    ),
    row(
        "`plexusctl keep`, while it restores files",
        "each file is whole or away; the next start of its pod restores both",
        &["kills: plexusctl keep"],
        NOT_RUN,
    ),
    row(
        "`plexusd`, while it answers, publishes, leases addresses and returns them",
        "the next one answers, publishes what waits, and holds the blocks that the cluster knows",
        &["kills: plexusd"],
        "its daemon: see ADD and DEL",
    ),
    row(
        "`plexusd --address-controller`, before and after its writes, while it frees the blocks of removed nodes",
        "no block is freed before the quarantine has passed, none of a node that lives; in the end the others are free",
        &["kills: address controller"],
        NO_SUCH,
    ),
];

/// Faults at random times, among the operations of the model test.
const RANDOM: &[Row] = &[
    row(
        "the plugin is killed in ADD, DEL, GC or a sweep",
        "nothing is lost: deleted, or recorded as a debt",
        &["model: AddKilled", "model: DelKilled", "model: GcKilled", "model: SweepKilled"],
        "see the table above",
    ),
    row(
        "a CNI plugin fails, fails late, or its call is cancelled: calls of the plugin for such a pod",
        "what it could not delete is recorded and retried; other networks are deleted",
        &["model: Mood"],
        "[a failed deletion is lost](evidence/multus-differences.md). A call is cancelled while a plugin works: {call cancelled}",
    ),
    row(
        "the daemon is away, slow or silent, sends wrong data, or answers that the API server is away: calls of the plugin meanwhile",
        "pods that need no daemon start; DEL works",
        &["model: Daemon"],
        "the daemon is away: {daemon away/thick}. The API server is away: {API server away}",
    ),
    row(
        "the disk is full or read-only: calls of the plugin meanwhile",
        "pods without additional networks start; the others may be refused",
        &["model: DiskFull", "model: ReadOnly"],
        "the disk is full: {disk full}",
    ),
    row(
        "a record loses its end, or all of it",
        "if only the end is lost, DEL deletes everything; if more is lost, no address is taken in the end",
        &["model: Torn"],
        "its list of networks loses half: {cache cut}. It is empty: {cache empty}. The cached result of a network is empty: \
         {result empty}",
    ),
    row("the clock jumps, up to a year, in both directions", AS_BEFORE, &["model: Clock"], "{clock}"),
    row(
        "an interface of a pod loses its bridge",
        "CHECK fails, and succeeds when it is back",
        &["model: CheckCut"],
        "{interface without bridge}",
    ),
    row(
        "the node restarts",
        "DEL succeeds, and deletes everything of the former boot",
        &["model: Reboot"],
        "{restart}",
    ),
    row(
        "a namespace ends without DEL",
        NOTHING_LEFT,
        &["model: End"],
        "[the same as Plexus](evidence/multus-differences.md)",
    ),
    row(
        "a NAD is edited, deleted, or created again",
        AS_BEFORE,
        &["model: NadGone", "model: NadBack"],
        "[the same as Plexus](evidence/multus-differences.md)",
    ),
    row(
        "the default network cannot be used for a moment: its file, a program, its pool, or its bridge. Or its plugin refuses STATUS",
        "STATUS fails with code 50 or 51 exactly then, as far as a program of the default network knows it. ADD of a plain pod fails, too, unless only STATUS is refused",
        &["model: StatusFails", "model: StatusHolds"],
        "{default network unusable}",
    ),
    row(
        "DEL comes before ADD",
        "DEL succeeds and leaves nothing; ADD attaches the pod",
        &["model: AddAfterDel"],
        "{DEL before ADD}",
    ),
    row("CHECK of a pod that was deleted", "CHECK fails", &["model: CheckGone"], "{CHECK after DEL}"),
    row(
        "the default network is exchanged: another MTU, another name and bridge, a chain, a program",
        AS_BEFORE,
        &["model: DefaultReplaced"],
        "{default network replaced}",
    ),
    row(
        "the directory of plugins moves",
        AS_BEFORE,
        &["model: PluginsMoved"],
        "only the runtime has the new one: {plugins moved}",
    ),
    row(
        "a sweep runs in a container that cannot see the namespaces of the node",
        "nothing of running pods is deleted",
        &["model: SweepBlind"],
        NO_SUCH,
    ),
    row(
        "DEL is repeated, later or while the first one works",
        "both succeed, unless a plugin fails",
        &["model: DelAgain", "model: DelTwice"],
        "[a later one deletes everything again](evidence/multus-differences.md)",
    ),
    row(
        "the number of a process in the note of a killed call is used again",
        "no process of others is killed",
        &["model: NumbersReused"],
        "it keeps no numbers of processes",
    ),
    row(
        "plugins of former builds make ADD and DEL among those of this one",
        "this one checks and sweeps what they attached; each deletes pods of the others",
        &["model: calls of a former release"],
        NOT_RUN,
    ),
    row("a pod asks for more than a node may copy", "it is refused, within 128 MiB", &["model: AddGreedy"], "{greedy}"),
];

/// What is tried beside them.
const OTHERS: &[Row] = &[
    row(
        "plugin, daemon, tool and records of this build and of former ones, in each combination",
        "ADD, CHECK, STATUS, GC, a sweep, the network-status, `plexusctl get`, `plexusctl health` and DEL work",
        &["pairings: pods"],
        NOT_RUN,
    ),
    row(
        "`plexusctl install` of each build over that of each, then `plexusctl uninstall`",
        "the runtime finds the plugin that was installed last; nothing is left in the end",
        &["pairings: installations"],
        NOT_RUN,
    ),
    row(
        "addresses of a pool: a daemon leases them, plugins take and return them, in each combination of builds that know pools",
        "no address twice; DEL, or a sweep after it, frees the address; blocks in use stay with their node",
        &["pairings: leases"],
        NO_SUCH,
    ),
    row("60 NADs of 1.3 MiB", "the daemon stays under 64 MiB, and answers", &["daemon: long networks"], NOT_RUN),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The day, the commit, and the counts.
fn counts() -> (String, String, Counts) {
    counts_in(&root().join("tests/data/prove.tsv"))
}

fn counts_in(path: &Path) -> (String, String, Counts) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Counts = BTreeMap::new();
    let (mut date, mut commit) = (String::new(), String::new());
    for line in text.lines() {
        match line.split_once('\t').unwrap() {
            ("date", day) => day.clone_into(&mut date),
            ("commit", name) => name.clone_into(&mut commit),
            (what, number) => _ = lines.insert(what.to_owned(), number.parse().unwrap()),
        }
    }
    (date, commit, lines)
}

fn count(counts: &Counts, of: &str) -> u64 {
    *counts.get(of).unwrap_or_else(|| panic!("the last `UPDATE=1 make prove` did not count {of:?}"))
}

/// What Multus did, by the words in braces; and the day.
struct Multus {
    date: String,
    outcomes: BTreeMap<String, String>,
}

impl Multus {
    fn read() -> Multus {
        let text = fs::read_to_string(root().join("tests/data/multus-faults.tsv")).unwrap();
        let mut multus = Multus { date: String::new(), outcomes: BTreeMap::new() };
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["date", "", date] => date.clone_into(&mut multus.date),
                [what, side, outcome] => _ = multus.outcomes.insert(format!("{what}/{side}"), outcome.to_owned()),
                _ => panic!("{line:?}"),
            }
        }
        multus
    }

    /// The outcome of both sides where `what` names none.
    fn outcome(&self, what: &str) -> String {
        let of = |side: &str| self.outcomes.get(&format!("{what}/{side}"));
        match (self.outcomes.get(what), of("thin"), of("thick")) {
            (Some(outcome), ..) => outcome.clone(),
            (None, Some(thin), Some(thick)) if thin == thick => thin.clone(),
            (None, Some(thin), Some(thick)) => format!("thin: {thin}; thick: {thick}"),
            _ => panic!("tests/crash_multus has not tried {what:?}"),
        }
    }

    /// `text` with the outcomes that it names.
    fn fill(&self, text: &str) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, (what, after))) =
            rest.split_once('{').map(|(before, after)| (before, after.split_once('}').unwrap()))
        {
            filled.push_str(before);
            filled.push_str(&self.outcome(what));
            rest = after;
        }
        filled + rest
    }
}

fn table(title: &str, rows: &[Row], counts: &Counts, multus: &Multus) -> String {
    let mut text = format!("| {title} | what must hold | Plexus | Multus 4.3.0 |\n|---|---|---|---|\n");
    for row in rows {
        let times: u64 = row.counted.iter().map(|what| count(counts, what)).sum();
        let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
        let multus = multus.fill(row.multus);
        text.push_str(&format!("| {} | {} | held, {times} | {multus} |\n", row.fault, row.must));
    }
    text
}

fn page() -> String {
    let ((date, commit, counts), multus) = (counts(), Multus::read());
    let former: Vec<&str> = counts.keys().filter_map(|what| what.strip_prefix("former: ")).collect();
    let sum = |begin: &str| -> u64 { counts.iter().filter(|(what, _)| what.starts_with(begin)).map(|(_, n)| n).sum() };
    let number = |what: &str| count(&counts, what);
    include_str!("data/reliability.md")
        .replace("{date}", &date)
        .replace("{commit}", &commit)
        // The runs of a former script were not timed.
        .replace("{took}", &counts.get("seconds").map_or(String::new(), |seconds| format!(", and took {seconds} s")))
        .replace("{former}", &former.join(", "))
        .replace("{day of Multus}", &multus.date)
        .replace("{seeds}", &number("model: seeds").to_string())
        .replace("{first seed}", &number("model: first seed").to_string())
        .replace("{operations}", &number("model: operations").to_string())
        .replace("{effective}", &number("model: operations with an effect").to_string())
        .replace("{runs}", &number("model: runs that once failed").to_string())
        .replace("{failed}", &number("model: ADDs that failed or were killed").to_string())
        .replace("{attached}", &number("model: pods attached").to_string())
        .replace("{deleted}", &number("model: pods deleted").to_string())
        .replace("{kills}", &sum("kills: ").to_string())
        .replace("{pairings}", &number("pairings: pods").to_string())
        .replace("{releases}", &number("pairings: releases").to_string())
        .replace("{table of kills}\n", &table("killed before each change", KILLS, &counts, &multus))
        .replace("{table of faults}\n", &table("fault", RANDOM, &counts, &multus))
        .replace("{table of others}\n", &table("tried", OTHERS, &counts, &multus))
}

#[test]
fn the_page_says_what_was_counted() {
    let (path, page) = (root().join("docs/reliability.md"), page());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differing = page.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        page == written,
        "docs/reliability.md is old; UPDATE=1 cargo test --test reliability writes it: {differing:?}"
    );
}

#[test]
fn every_fault_of_the_model_has_a_row() {
    let rows = || KILLS.iter().chain(RANDOM).chain(OTHERS).flat_map(|row| row.counted);
    // The usual operations are no faults.
    let usual = ["Add", "AddAsked", "Del", "Check", "Status", "Gc", "Sweep"].map(|name| format!("model: {name}"));
    let is_operation =
        |what: &str| what.strip_prefix("model: ").is_some_and(|name| name.starts_with(char::is_uppercase));
    let is_fault =
        |what: &str| is_operation(what) && !what.starts_with("model: ADDs") && !usual.iter().any(|usual| usual == what);
    let (_, _, counts) = counts();
    let faults = counts.keys().filter(|what| is_fault(what) || what.starts_with("kills: "));
    let missing: Vec<&String> = faults.filter(|what| !rows().any(|row| row == what)).collect();
    assert!(missing.is_empty(), "{missing:?} are in no row of tests/reliability.rs");
}

#[test]
fn every_row_was_tried() {
    // `make prove` names its own counts: a fault that it does not try any more makes it fail.
    let proved = std::env::var_os("PLEXUS_PROVED").map(PathBuf::from);
    let (_, _, counts) = proved.map_or_else(counts, |path| counts_in(&path));
    let rows = KILLS.iter().chain(RANDOM).chain(OTHERS).flat_map(|row| row.counted);
    let missing: Vec<&&str> = rows.filter(|what| counts.get(**what).is_none_or(|number| *number == 0)).collect();
    assert!(missing.is_empty(), "{missing:?} were not tried once; more seeds (SEEDS) try more of the random ones");
}

#[test]
fn every_outcome_of_multus_is_in_a_row() {
    let rows: Vec<&str> = KILLS.iter().chain(RANDOM).chain(OTHERS).map(|row| row.multus).collect();
    let is_named = |what: &str| {
        let of_both = what.rsplit_once('/').unwrap().0;
        rows.iter().any(|row| row.contains(&format!("{{{what}}}")) || row.contains(&format!("{{{of_both}}}")))
    };
    let outcomes = Multus::read().outcomes;
    let missing: Vec<&String> = outcomes.keys().filter(|what| !is_named(what)).collect();
    assert!(missing.is_empty(), "{missing:?} are in no row of tests/reliability.rs");
}
