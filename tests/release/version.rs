//! The version has one place: Cargo.toml. What else names it follows.

use super::{ROOT, VERSION};
use std::fs;
use std::process::Command;

/// Every tracked file but those of others' versions.
fn files() -> Vec<(String, String)> {
    let listed = Command::new("git").args(["-C", ROOT, "ls-files", "-z"]).output().unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    let read = |name: &str| Some((name.to_owned(), fs::read_to_string(format!("{ROOT}/{name}")).ok()?));
    names.split('\0').filter(|name| !name.is_empty()).filter_map(read).collect()
}

/// The version that follows `before` in `line`.
fn version_after<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    let rest = line.split_once(before)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let version = rest[..end].trim_end_matches('.');
    (version.split('.').count() == 3).then_some(version)
}

#[test]
fn every_file_names_the_version_of_cargo() {
    let begins = ["plexus:v", "newTag: v", "release/plexus-v", "plexusd ", "release ", "appVersion: ", "download/v"];
    let (mut seen, mut wrong) = (0, Vec::new());
    for (name, text) in files() {
        let is_of_the_product = ["docs/", "conf/", "charts/", "e2e/", "examples/", "README.md", "Makefile"];
        let is_of_others = ["docs/evidence/", "e2e/assets/", "e2e/cases/", "e2e/release/"];
        if !is_of_the_product.iter().any(|begin| name.starts_with(begin))
            || is_of_others.iter().any(|begin| name.starts_with(begin))
        {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for version in begins.iter().filter_map(|begin| version_after(line, begin)) {
                seen += 1;
                if version != VERSION {
                    wrong.push(format!("{name}:{}: {line}", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "Cargo.toml has {VERSION}: {wrong:#?}");
    assert!(seen >= 5, "only {seen} were found");
}

/// Scripts ask Cargo.toml.
#[test]
fn no_script_has_a_version_of_its_own() {
    let scripts = files().into_iter().filter(|(name, _)| name.starts_with("e2e/release/") || name.ends_with(".mk"));
    let own = format!("v{VERSION}");
    let found: Vec<String> = scripts.filter(|(_, text)| text.contains(&own)).map(|(name, _)| name).collect();
    assert!(found.is_empty(), "{found:?}");
}
