//! What the project depends on is what `deny.toml` allows: licences, banned libraries, no foreign sources. And the words
//! that people read are the usual ones.
//! Duplicates are printed; `cargo test --test policy -- --nocapture` shows them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "documents/pages.rs"]
#[allow(dead_code, reason = "tests/documents uses the rest")]
mod pages;
#[path = "policy/words.rs"]
mod words;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const POLICY: &str = include_str!("../deny.toml");

/// The texts of the list `key` in the section `section` of the policy.
fn list(section: &str, key: &str) -> BTreeSet<&'static str> {
    let (_, section) = POLICY.split_once(&format!("[{section}]\n")).unwrap();
    let (_, list) =
        section.split_once(&format!("\n{key} = [")).or_else(|| section.split_once(&format!("{key} = ["))).unwrap();
    let (list, _) = list.split_once("\n]").unwrap();
    list.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect()
}

/// Every package that is built for a node.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--locked", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output =
        metadata.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let built: BTreeSet<&str> =
        document["resolve"]["nodes"].as_array().unwrap().iter().map(|node| text(node, "id")).collect();
    document["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| built.contains(text(package, "id")))
        .cloned()
        .collect()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

fn label(package: &Value) -> String {
    format!("{} {}", text(package, "name"), text(package, "version"))
}

/// Whether an SPDX expression can be satisfied with `allowed` licences: AND binds closer than OR, and
/// the `/` of old manifests is an OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "\u{0}");
    let words: Vec<String> = spaced.split_whitespace().map(|word| word.replace('\u{0}', " WITH ")).collect();
    let mut rest = words.iter().map(String::as_str).peekable();
    either(&mut rest, allowed) && rest.peek().is_none()
}

fn either<'a>(rest: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>, allowed: &BTreeSet<&str>) -> bool {
    let mut holds = false;
    loop {
        let mut all = true;
        loop {
            let term = match rest.next() {
                Some("(") => {
                    let inner = either(rest, allowed);
                    inner & (rest.next() == Some(")"))
                }
                Some(licence) => allowed.contains(licence),
                None => false,
            };
            all &= term;
            if rest.next_if_eq(&"AND").is_none() {
                break;
            }
        }
        holds |= all;
        if rest.next_if_eq(&"OR").is_none() {
            return holds;
        }
    }
}

#[test]
fn every_licence_is_allowed() {
    let allowed = list("licenses", "allow");
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| !is_allowed(text(package, "license"), &allowed))
        .map(|package| format!("{}: {:?}", label(package), text(package, "license")))
        .collect();
    assert!(refused.is_empty(), "licences that deny.toml does not allow: {refused:#?}");
}

#[test]
fn nothing_banned_is_used() {
    let banned = list("bans", "deny");
    let is_banned = |package: &Value| {
        let mut parts = text(package, "version").splitn(3, '.');
        let minor = format!("{}@{}.{}", text(package, "name"), parts.next().unwrap(), parts.next().unwrap());
        banned.contains(text(package, "name")) || banned.contains(minor.as_str())
    };
    let used: Vec<String> = packages().iter().filter(|package| is_banned(package)).map(label).collect();
    assert!(used.is_empty(), "deny.toml bans these: {used:?}");
}

#[test]
fn every_package_is_from_the_registry() {
    let foreign = |package: &Value| package["source"].as_str().is_some_and(|source| !source.starts_with("registry+"));
    let foreign: Vec<String> = packages().iter().filter(|package| foreign(package)).map(label).collect();
    assert!(foreign.is_empty(), "not from a registry: {foreign:?}");
}

#[test]
fn duplicates_are_told() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        versions.entry(text(&package, "name").to_owned()).or_default().push(text(&package, "version").to_owned());
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        println!("in several versions: {name} {}", versions.join(", "));
    }
}

#[test]
fn expressions_are_understood() {
    let allowed = BTreeSet::from(["A", "B WITH e"]);
    let table = [
        ("A", true),
        ("C", false),
        ("", false),
        ("A OR C", true),
        ("C/A", true),
        ("A AND C", false),
        ("C OR A AND A", true),
        ("(C OR A) AND B WITH e", true),
        ("(C OR A) AND (C OR D)", false),
        ("A AND", false),
        ("(A", false),
    ];
    for (expression, expected) in table {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression:?}");
    }
}

/// Every file below `folder`.
fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn no_script_pipes_into_head() {
    // head ends before its writer, which then dies of SIGPIPE; with `pipefail` that fails the script, now and then.
    let scripts = files_below(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e"));
    let texts = scripts.iter().filter_map(|path| Some((path, std::fs::read_to_string(path).ok()?)));
    let lines = texts.flat_map(|(path, text)| {
        let found = text.lines().filter(|line| line.contains("| head ")).map(str::to_owned).collect::<Vec<_>>();
        found.into_iter().map(move |line| format!("{}: {line}", path.display()))
    });
    assert_eq!(lines.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_failed_test_is_run_again_by_its_name() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut log, mut expected) = (String::new(), String::new());
    let mut failed = |file: &str, target: &str| {
        log += &format!("     Running {file} (target/debug/deps/x-0)\ntest a::good ... ok\ntest a::bad ... FAILED\n");
        expected += &format!("{target} a::bad\n");
    };
    failed("unittests src/lib.rs", "--lib");
    failed("unittests src/bin/plexus.rs", "--bin plexus");
    let entries = std::fs::read_dir(root.join("tests")).unwrap().map(|entry| entry.unwrap().path());
    for path in entries {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let target = format!("--test {name}");
        match path.extension() {
            Some(_) => failed(&format!("tests/{name}.rs"), &target),
            None if path.join("main.rs").exists() => failed(&format!("tests/{name}/main.rs"), &target),
            None => {}
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), log).unwrap();
    let output = Command::new(root.join(".ci/again")).arg("--list").arg(file.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
}
