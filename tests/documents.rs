//! The documentation says everything that can be set, and nothing that cannot.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

use clap::CommandFactory;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

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
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/configuration.md",
        "docs/faults.md",
        "docs/conformance.md",
        "docs/differences.md",
        "docs/multus-differences.md",
        "docs/natives.md",
        "docs/primaries.md",
        "docs/security.md",
        "conf/README.md",
    ] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|target| !target.contains("://") && !target.starts_with('#'))
        {
            assert!(root.join(document).with_file_name(target).exists(), "{document} links to {target}");
        }
    }
}
