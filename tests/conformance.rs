//! `docs/conformance.md` is made of the clause IDs that the code and its tests cite, so it cannot drift.
//!
//! `UPDATE=1 cargo test --test conformance` writes it again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Conformance

Which clause of the standards is shown by which test. An ID names one clause of the CNI specification and of libcni's and
its plugins' behaviour (`CNI-…`), of the Kubernetes Network Plumbing Working Group's multi-network standard (`NPWG-…`), or of
its device information standard (`DEVINFO-…`); the letters after it are the topic, as in the headings. A test cites the
clauses it shows in its comments; code cites those that are the reason it is as it is. This page is made of these
citations by `tests/conformance.rs`.
";

/// The topics, in the order of the page.
const TOPICS: [(&str, &str); 33] = [
    ("CNI-CFG", "network configuration"),
    ("CNI-VER", "version selection"),
    ("CNI-ENV", "environment"),
    ("CNI-IO", "stdin, stdout and exit"),
    ("CNI-ARG", "CNI_ARGS"),
    ("CNI-ERR", "errors and codes"),
    ("CNI-ADD", "ADD"),
    ("CNI-DEL", "DEL"),
    ("CNI-CHK", "CHECK"),
    ("CNI-STA", "STATUS"),
    ("CNI-GC", "GC"),
    ("CNI-VSN", "VERSION"),
    ("CNI-REQ", "request of one plugin"),
    ("CNI-CAP", "capabilities and runtimeConfig"),
    ("CNI-CARG", "args.cni"),
    ("CNI-RES", "results"),
    ("CNI-CONV", "conversion of results"),
    ("CNI-RT", "what a runtime does"),
    ("CNI-DLG", "delegation"),
    ("CNI-CACHE", "libcni's records"),
    ("CNI-LOAD", "loading of configurations"),
    ("CNI-EXEC", "starting of plugins"),
    ("CNI-IPAM", "address management"),
    ("NPWG-NAD", "NetworkAttachmentDefinition"),
    ("NPWG-ANN", "forms of the selection"),
    ("NPWG-KEY", "keys of a selection"),
    ("NPWG-MUL", "several attachments"),
    ("NPWG-RC", "runtimeConfig apart"),
    ("NPWG-STA", "network status"),
    ("NPWG-DEF", "default network"),
    ("NPWG-ERR", "failures"),
    ("NPWG-IPC", "IPAMClaim"),
    ("DEVINFO", "device information"),
];

/// Who cites a clause: functions by file, tests and others.
#[derive(Default)]
struct Cited {
    tests: BTreeSet<String>,
    code: BTreeSet<String>,
}

#[test]
fn the_page_says_what_the_citations_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("docs/conformance.md");
    let page = page(&citations(root));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differing = page.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        page == written,
        "docs/conformance.md is old; UPDATE=1 cargo test --test conformance writes it: {differing:?}"
    );
}

#[test]
fn a_clause_is_of_a_topic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for clause in citations(root).keys() {
        assert!(
            TOPICS.iter().any(|(topic, _)| *topic == topic_of(clause)),
            "{clause} is of no topic of tests/conformance.rs"
        );
    }
}

#[test]
fn the_verbs_are_shown() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cited = citations(root);
    for topic in ["CNI-ADD", "CNI-DEL", "CNI-CHK", "CNI-STA", "CNI-GC", "CNI-VSN", "CNI-DLG"] {
        assert!(
            cited.iter().any(|(clause, cited)| topic_of(clause) == topic && !cited.tests.is_empty()),
            "no test shows {topic}"
        );
    }
}

fn page(cited: &BTreeMap<String, Cited>) -> String {
    let mut page = HEAD.to_owned();
    for (topic, words) in TOPICS {
        let clauses: Vec<_> = cited.iter().filter(|(clause, _)| topic_of(clause) == topic).collect();
        if clauses.is_empty() {
            continue;
        }
        page.push_str(&format!(
            "\n## {topic}: {words}\n\n| clause | tests that show it | code that follows it |\n|---|---|---|\n"
        ));
        for (clause, cited) in clauses {
            page.push_str(&format!("| {clause} | {} | {} |\n", list(&cited.tests), list(&cited.code)));
        }
    }
    page
}

fn list(functions: &BTreeSet<String>) -> String {
    functions.iter().map(|function| format!("`{function}`")).collect::<Vec<_>>().join(", ")
}

fn topic_of(clause: &str) -> &str {
    clause.rsplit_once('-').map_or(clause, |(topic, _)| topic)
}

fn citations(root: &Path) -> BTreeMap<String, Cited> {
    let mut cited: BTreeMap<String, Cited> = BTreeMap::new();
    for file in ["src", "tests"].into_iter().flat_map(|folder| sources(&root.join(folder))) {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        // This page's own maker cites nothing.
        if name == "tests/conformance.rs" {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            // A row has its clauses as a text.
            let citing = if name.starts_with("tests/clauses/rows/") { line } else { comment };
            for clause in clauses(citing) {
                let (function, is_marked) = function_of(&lines, at);
                // In the tests' own folder every function serves a test; some are made into tests by a macro.
                let is_test = is_marked || name.starts_with("tests/");
                let cited = cited.entry(clause).or_default();
                let by = if is_test { &mut cited.tests } else { &mut cited.code };
                by.insert(format!("{name}{}", function.map_or_else(String::new, |function| format!("::{function}"))));
            }
        }
    }
    cited
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => files.extend(sources(&path)),
            Some("rs") => files.push(path),
            _ => {}
        }
    }
    files
}

/// `(CNI|NPWG|DEVINFO)-[A-Z]*-?\d+` in a comment.
fn clauses(comment: &str) -> Vec<String> {
    let words = comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| is_clause(word)).map(str::to_owned).collect()
}

fn is_clause(word: &str) -> bool {
    let Some((begin, number)) = word.rsplit_once('-') else { return false };
    let mut parts = begin.split('-');
    let family = ["CNI", "NPWG", "DEVINFO"].contains(&parts.next().unwrap_or_default());
    let topic = parts.all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase()));
    family && topic && !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
}

/// The function that the comment in line `at` belongs to, and whether it is marked as a test: the one it stands
/// in, or, where it describes an item, the one that follows.
fn function_of<'a>(lines: &[&'a str], at: usize) -> (Option<&'a str>, bool) {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let describes = lines[at].trim_start().starts_with("///");
    let is_around = |line: &str| name_of(line).is_some() && indent(line) < indent(lines[at]);
    let line = if describes {
        // An item of the same depth: a comment on a field or a type is of no function.
        let next = (at..lines.len())
            .find(|line| !lines[*line].trim_start().starts_with("//") && !lines[*line].trim_start().starts_with("#["));
        next.filter(|line| name_of(lines[*line]).is_some())
    } else {
        (0..at).rev().find(|line| is_around(lines[*line]))
    };
    let Some(line) = line else { return (None, false) };
    let attributes = lines[..line]
        .iter()
        .rev()
        .take_while(|line| line.trim_start().starts_with("#[") || line.trim_start().starts_with("//"));
    let name = name_of(lines[line]);
    (name, attributes.into_iter().any(|line| line.contains("#[test]")))
}

fn name_of(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let known =
        before.split_whitespace().all(|word| word.starts_with("pub") || ["const", "unsafe", "async"].contains(&word));
    known.then(|| after.split(['(', '<']).next().unwrap_or_default())
}
