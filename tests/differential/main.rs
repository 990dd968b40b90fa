//! Plexus' parsers beside libcni's and the NPWG client's: what both take they understand alike, and what only one takes is in
//! the table of intended differences (`docs/evidence/parsing.md`).
//!
//! A normal run tries every single change of some good texts, and some thousand random ones. `PLEXUS_DIFFERENTIAL` is
//! another number of random texts of each kind, with a new seed; `PLEXUS_SEED` repeats a run. What nothing explains is also in
//! `target/tmp/differential.txt`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "only the shape of one is needed")]
#[path = "../../fuzz/parsers/mod.rs"]
mod parsers;

mod causes;
mod checks;
mod intended;
mod mutate;
mod oracle;
mod plexus;

use intended::{Outcome, Pair};
use oracle::{AT_ONCE, Oracle};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use support::random::Random;

/// Good texts of each kind.
const KINDS: [(&str, &[&str]); 4] = [
    (
        "annotation",
        &[
            r#"[{"name":"lan","namespace":"other","interface":"eth5"},{"name":"b"}]"#,
            r#"[{"name":"lan","ips":["10.1.0.5/24","fd00::5"],"mac":"02:00:00:00:00:0a","infiniband-guid":"02:00:00:00:00:00:00:0a"}]"#,
            r#"[{"name":"lan","portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp","hostIP":"10.0.0.1"}]}]"#,
            r#"[{"name":"lan","bandwidth":{"ingressRate":1000,"ingressBurst":2000,"egressRate":3000,"egressBurst":4000}}]"#,
            r#"[{"name":"lan","cni-args":{"a":"b","c":{"d":[1,2.5,null]}},"default-route":["10.1.0.1","fd00::1"]}]"#,
            r#"[{"name":"lan","ipam-claim-reference":"claim"}]"#,
            r#"[{"name":"lan","ips":["10.1.0.5/24"],"ipam-claim-reference":"claim"}]"#,
        ],
    ),
    (
        "list",
        &[
            r#"{"cniVersion":"1.0.0","name":"lan","plugins":[{"type":"bridge","capabilities":{"ips":true}},{"type":"tuning"}]}"#,
            r#"{"cniVersion":"0.4.0","cniVersions":["0.3.1","1.1.0"],"name":"lan","disableCheck":true,"disableGC":"false","plugins":[{"type":"a","ipam":{"type":"host-local"},"dns":{"nameservers":["10.0.0.1"]}}]}"#,
            r#"{"cniVersion":"1.1.0","name":"lan","loadOnlyInlinedPlugins":true,"plugins":[{"type":"a","prevResult":{},"runtimeConfig":{}}]}"#,
        ],
    ),
    // What a network attachment definition may hold: mostly one plugin, often without a name.
    (
        "nad",
        &[
            concat!(
                r#"{"cniVersion":"0.3.1","type":"macvlan","master":"eth0","mtu":1400,"#,
                r#""ipam":{"type":"host-local","ranges":[[{"subnet":"10.1.0.0/24"}]]}}"#
            ),
            concat!(
                r#"{"cniVersion":"1.0.0","name":"lan","type":"bridge","isGateway":true,"capabilities":{"ips":true,"mac":false},"#,
                r#""dns":{"nameservers":["10.0.0.1"],"search":["s"]},"args":{"cni":{"a":"b"}}}"#
            ),
            concat!(
                r#"{"name":"lan","type":"a","cniVersions":["0.4.0","1.0.0"],"disableCheck":true,"disableGC":"false","#,
                r#""plugins":[{"type":"b"}],"runtimeConfig":{"x":1}}"#
            ),
            concat!(
                r#"{"cniVersion":"1.1.0","plugins":[{"type":"bridge","capabilities":{"mac":true},"prevResult":{"ips":[]}},"#,
                r#"{"type":"tuning","sysctl":{"net.ipv4.conf.all.forwarding":"1"}}]}"#
            ),
        ],
    ),
    (
        "result",
        &[
            r#"{"cniVersion":"1.1.0","interfaces":[{"name":"net1","mac":"02:00:00:00:00:0a","mtu":1500,"sandbox":"/x","socketPath":"/s","pciID":"0000:00:01.0"}],"ips":[{"address":"10.1.0.5/24","gateway":"10.1.0.1","interface":0}],"routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1","mtu":1400,"advmss":1300,"priority":5,"table":100,"scope":0}],"dns":{"nameservers":["10.0.0.1"],"domain":"d","search":["s"],"options":["o"]}}"#,
            r#"{"cniVersion":"0.4.0","interfaces":[{"name":"net1"}],"ips":[{"version":"4","address":"10.1.0.5/24","gateway":"10.1.0.1","interface":0},{"version":"6","address":"fd00::5/64"}],"routes":[{"dst":"::/0","gw":"fd00::1"}]}"#,
            r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.1.0.5/24","gateway":"10.1.0.1","routes":[{"dst":"0.0.0.0/0","gw":"10.1.0.1"}]},"ip6":{"ip":"fd00::5/64"},"dns":{"nameservers":["10.0.0.1"]}}"#,
        ],
    ),
];

/// Texts of the annotation's short form.
const SHORT: [&str; 24] = [
    "",
    " ",
    "a",
    "a,b",
    "a, b",
    "a,,b",
    "a,",
    "other/a",
    "other/a@eth1",
    "a@eth1",
    "/a",
    "a@",
    "a/b/c",
    "a@b@c",
    "@",
    "a@e/b",
    "A",
    "a_b",
    "a.b",
    "a b",
    "null",
    "-a",
    "a@Eth1",
    "ä",
];

/// What thousands of random texts do not show, and millions did.
const FOUND: [(&str, &str); 11] = [
    ("list", r#"{"cniVersion":"0.4.0","cniVersions":["0.3.1","1.1.00"],"name":"lan","plugins":[{"type":"a"}]}"#),
    ("list", r#"{"cniVersion":"0.4.0","name":"lan","plugins":[{"type":"a","ipam":1e0400}]}"#),
    ("result", r#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.1/024"}}"#),
    ("nad", r#"{"name":"lan","type":"a","disableGC":"no","NAME":""}"#),
    ("nad", r#"{"name":"lan","type":"","plugins":[{"type":"b"}],"TYPE":"a"}"#),
    ("nad", r#"{"name":"lan","type":"a","plugins":[{"type":"b"}],"type":null}"#),
    ("annotation", r#"[{"name":"lan","bandwidth":{"egressBurst":4000,"EGRESSBURST":1e2},"BANDWIDTH":1e400}]"#),
    ("annotation", r#"[{"name":"lan","mac":"02:00:00:00:00:0a","MAC":["x"],"NAME":4294967296}]"#),
    (
        "annotation",
        concat!(
            r#"[{"name":"lan","portMappings":[{"containerPort":80,"CONTAINERPORT":80}],"#,
            r#""PORTMAPPINGS":[{"containerPort":1.5,"CONTAINERPORT":4294967296}]}]"#
        ),
    ),
    (
        "annotation",
        r#"[{"name":"lan","ipam-claim-reference":"a","ipam-claim-reference":"b","ipam-claim-reference":7,"ipam-claim-reference":"c"}]"#,
    ),
    ("result", r#"{"cniVersion":"0.4.0","interfaces":[1.5],"CNIVERSION":""}"#),
];

/// A list of so many plugins: no change of a good one makes it so long.
fn list_of(plugins: usize) -> String {
    format!(r#"{{"cniVersion":"1.0.0","name":"lan","plugins":[{}]}}"#, vec![r#"{"type":"a"}"#; plugins].join(","))
}

/// What Plexus and the others make of each of `texts`.
fn ask(oracle: &RefCell<Oracle>, kind: &str, texts: &[String]) -> Vec<Pair> {
    let theirs = oracle.borrow_mut().ask(kind, texts);
    texts.iter().zip(theirs).map(|(text, theirs)| Pair { ours: plexus::understand(kind, text), theirs }).collect()
}

/// Compares all of `texts`; answers how many of each intended difference there were, and what nothing explains.
fn compare(
    oracle: &RefCell<Oracle>,
    kind: &str,
    texts: &[String],
    seen: &mut BTreeMap<&'static str, usize>,
) -> Vec<String> {
    let mut unexplained = Vec::new();
    let again = |texts: &[String]| ask(oracle, kind, texts);
    for asked in texts.chunks(AT_ONCE) {
        for (text, pair) in asked.iter().zip(again(asked)).filter(|(_, pair)| !pair.is_alike()) {
            let Pair { ours, theirs } = &pair;
            match intended::find(&Outcome { kind, text, ours, theirs, ask: &again }) {
                Some(known) => *seen.entry(known).or_default() += 1,
                None => unexplained.push(format!("{kind}: {text}\n  plexus: {ours:?}\n  others: {theirs:?}")),
            }
        }
    }
    unexplained
}

#[test]
fn what_others_understand_is_understood_alike() {
    let oracle = match Oracle::start() {
        Ok(oracle) => RefCell::new(oracle),
        Err(why) => return support::cannot_run(&why),
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let wanted = number("PLEXUS_DIFFERENTIAL");
    // A normal run is the same each time.
    let seed = number("PLEXUS_SEED").unwrap_or_else(|| wanted.map_or(1, |_| now()));
    let count = wanted.unwrap_or(5000);
    let (mut seen, mut unexplained, mut asked) = (BTreeMap::new(), BTreeSet::new(), 0);
    for (kind, originals) in KINDS {
        let mut texts = mutate::every(originals);
        texts.extend(SHORT.iter().filter(|_| kind == "annotation").map(|text| (*text).to_owned()));
        texts.extend([64, 65].iter().filter(|_| matches!(kind, "list" | "nad")).map(|plugins| list_of(*plugins)));
        texts.extend(FOUND.iter().filter(|(of, _)| *of == kind).map(|(_, text)| (*text).to_owned()));
        unexplained.extend(compare(&oracle, kind, &texts, &mut seen));
        asked += texts.len();
        let mut random = Random::new(seed);
        let mut left = count;
        while left > 0 {
            let batch = left.min(AT_ONCE as u64);
            let texts: Vec<String> = (0..batch).map(|_| mutate::random(originals, &mut random)).collect();
            unexplained.extend(compare(&oracle, kind, &texts, &mut seen));
            left -= batch;
            asked += texts.len();
        }
    }
    support::say(&format!("differential: {asked} texts, seed {seed}; differences that are intended: {seen:?}"));
    std::fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential.txt"),
        unexplained.iter().map(|one| format!("{one}\n")).collect::<String>(),
    )
    .unwrap();
    let shown: Vec<&String> = unexplained.iter().take(25).collect();
    assert!(unexplained.is_empty(), "seed {seed}: {} texts: {shown:#?}", unexplained.len());
    let stale: Vec<&str> = intended::ids().filter(|id| !seen.contains_key(id)).collect();
    assert!(stale.is_empty(), "no text shows these differences: {stale:?}");
}

#[test]
fn the_page_of_intended_differences_is_current() {
    let mut page = include_str!("parsing.head.md").to_owned();
    for one in intended::ALL {
        let cells = [one.kind, one.text, one.plexus, one.others, one.reason];
        page.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/evidence/parsing.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(std::fs::read_to_string(&path).is_ok_and(|found| found == page), "UPDATE=1 cargo test --test differential");
}
