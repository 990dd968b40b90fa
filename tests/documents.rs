//! The documentation says everything that can be set, and nothing that cannot.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

use clap::CommandFactory;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CONFIGURATION: &str = include_str!("../docs/configuration.md");

/// The first cells of the table under the heading `section`, without their quotes.
fn keys(section: &str) -> BTreeSet<String> {
    let (_, text) = CONFIGURATION.split_once(&format!("\n## {section}\n")).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    text.lines().filter_map(cell).collect()
}

/// The keys that the plugin reads, by the calls that read them.
fn read_keys() -> BTreeSet<String> {
    let code = include_str!("../src/engine/settings.rs").split("#[cfg(test)]").next().unwrap();
    let calls = code
        .split("keys.")
        .skip(1)
        .filter(|call| ["get(", "get::<", "seconds("].iter().any(|begin| call.starts_with(begin)));
    calls.filter_map(|call| Some(call.split_once("(\"")?.1.split_once('"')?.0.to_owned())).collect()
}

#[test]
fn every_key_of_the_plugin_is_described() {
    let not_the_operators = ["cni.dev/valid-attachments", "cni.dev/attachments", "runtimeConfig"].map(str::to_owned);
    let mut expected: BTreeSet<String> = read_keys().difference(&BTreeSet::from(not_the_operators)).cloned().collect();
    assert!(expected.len() > 15, "the calls that read keys are not found any more: {expected:?}");
    expected.insert("capabilities".to_owned());
    assert_eq!(keys("The plugin"), expected);
}

#[test]
fn every_option_of_the_daemon_is_described() {
    let command = plexus::daemon::Settings::command();
    let options =
        command.get_arguments().filter_map(|argument| Some((argument.get_long()?, argument.get_env()?.to_str()?)));
    let options: Vec<(&str, &str)> = options.collect();
    assert_eq!(keys("The daemon"), options.iter().map(|(long, _)| format!("--{long}")).collect());
    for (long, environment) in options {
        assert!(CONFIGURATION.contains(&format!("| `--{long}` | `{environment}` |")), "--{long} and {environment}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = documents(root);
    assert!(documents.len() > 25, "the documents are not found any more: {documents:?}");
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { document.clone() } else { document.with_file_name(file) };
            assert!(file.exists(), "{} links to {target}", document.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(&file).unwrap();
                assert!(
                    text.lines().any(|line| anchor(line).as_deref() == Some(heading)),
                    "{} links to {target}, and no heading has that name",
                    document.display()
                );
            }
        }
    }
}

/// Every document for people: those at the top, in `docs` and in `conf`.
fn documents(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("docs"), root.join("conf")];
    let is_document = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    found.extend(fs::read_dir(root).unwrap().flatten().map(|entry| entry.path()).filter(is_document));
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if is_document(&path) {
                found.push(path);
            }
        }
    }
    found
}

/// The name by which a heading is linked to.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}
