//! Who cites what: pages that are made of the citations in the code and its tests, so that they cannot drift.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MAKERS: [&str; 3] = ["tests/conformance.rs", "tests/faults.rs", "tests/support/citations.rs"];

/// Who cites a clause: functions by file, tests and others.
#[derive(Default)]
pub struct Cited {
    /// Tests.
    pub tests: BTreeSet<String>,
    /// Others.
    pub code: BTreeSet<String>,
}

/// Compares `page` with `docs/<name>.md`; with `UPDATE` set it is written.
pub fn compare(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/evidence/{name}.md"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let differing = page.lines().zip(written.lines()).find(|(a, b)| a != b);
    assert!(
        page == written,
        "docs/evidence/{name}.md is old; UPDATE=1 cargo test --test {name} writes it: {differing:?}"
    );
}

/// For a cell of a table.
pub fn list(functions: &BTreeSet<String>) -> String {
    functions.iter().map(|function| format!("`{function}`")).collect::<Vec<_>>().join(", ")
}

/// What is cited of `families`, and by whom.
pub fn of(root: &Path, families: &[&str]) -> BTreeMap<String, Cited> {
    let mut cited: BTreeMap<String, Cited> = BTreeMap::new();
    for file in ["src", "tests"].into_iter().flat_map(|folder| sources(&root.join(folder))) {
        let name = file.strip_prefix(root).unwrap().display().to_string();
        // The pages' own makers cite nothing.
        if MAKERS.contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            // A row has its clauses as a text.
            let citing = if name.starts_with("tests/clauses/rows/") { line } else { comment };
            for clause in clauses(citing, families) {
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

/// `<family>-[A-Z]*-?\d+` in a comment.
fn clauses(comment: &str, families: &[&str]) -> Vec<String> {
    let words = comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| is_clause(word, families)).map(str::to_owned).collect()
}

fn is_clause(word: &str, families: &[&str]) -> bool {
    let Some((begin, number)) = word.rsplit_once('-') else { return false };
    let mut parts = begin.split('-');
    let family = families.contains(&parts.next().unwrap_or_default());
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
