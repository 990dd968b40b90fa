//! The keys that can be set are described, and a key that a document names is one that something reads.

use crate::pages;
use clap::CommandFactory;
use std::collections::BTreeSet;

/// Keys of others, of which no source of ours reads any.
const OF_OTHERS: [&str; 16] = [
    "allowPrivilegeEscalation",
    "apiVersion",
    "cniConfFileName",
    "cniVersion",
    "containerPort",
    "disableMultiNetwork",
    "exclusive",
    "hostNetwork",
    "hostPath",
    "hostPort",
    "hostUsers",
    "imagePullSecrets",
    "istioOwnedCNIConfig",
    "nodeName",
    "nodeSelector",
    "seLinuxOptions",
];

/// The first cells of the table under the heading `section`.
fn keys(section: &str) -> BTreeSet<String> {
    pages::page("docs/configuration.md").table(section).into_iter().map(|mut cells| cells.remove(0)).collect()
}

/// The keys that the plugin reads, by the calls that read them.
fn read_keys() -> BTreeSet<String> {
    let code = include_str!("../../src/engine/settings/mod.rs").split("#[cfg(test)]").next().unwrap();
    let calls = code.split("keys.").skip(1).filter(|call| {
        ["get(", "get::<", "seconds(", "absolute_path(", "absolute_paths("].iter().any(|begin| call.starts_with(begin))
    });
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
fn a_key_with_a_former_name_is_described_and_shown_by_its_name() {
    let settings = include_str!("../../conf/settings.sample.jsonc");
    let rows = pages::page("docs/configuration.md").table("The plugin");
    for (former, name) in plexus::engine::Settings::renamed_keys() {
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name} is not described"));
        assert!(row.concat().contains(&format!("Former name: `{former}`.")), "{row:?}");
        assert!(settings.contains(&format!("\"{name}\": ")) && !settings.contains(former), "{name}");
    }
}

#[test]
fn every_option_of_the_daemon_is_described() {
    let command = plexus::daemon::Settings::command();
    let options =
        command.get_arguments().filter_map(|argument| Some((argument.get_long()?, argument.get_env()?.to_str()?)));
    let options: Vec<(&str, &str)> = options.collect();
    assert_eq!(keys("The daemon"), options.iter().map(|(long, _)| format!("--{long}")).collect());
    for (long, environment) in options {
        let text = pages::page("docs/configuration.md").text;
        assert!(text.contains(&format!("| `--{long}` | `{environment}` |")), "--{long} and {environment}");
    }
}

#[test]
fn every_key_that_is_accepted_without_effect_is_listed() {
    let text = pages::page("docs/configuration.md").text;
    for key in plexus::engine::Settings::without_effect() {
        assert!(text.contains(&format!("`{key}`")), "{key} is accepted, and docs/configuration.md does not list it");
    }
}

/// `fooBar`, `"fooBar"`, `fooBar: …`, `"fooBar": …`
fn key(span: &str) -> Option<&str> {
    let key = span.split(':').next().unwrap_or_default().trim_matches('"');
    let is_camel = key.chars().all(char::is_alphanumeric)
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.contains(|c: char| c.is_ascii_uppercase());
    is_camel.then_some(key)
}

#[test]
fn every_key_that_a_document_names_is_read_by_something() {
    let sources = pages::sources().into_iter().filter(|page| page.name.starts_with("src/"));
    let mut sources: String = sources.map(|page| page.text).collect();
    // The chart's values, which its templates read.
    sources.push_str(include_str!("../../charts/plexus/values.schema.json"));
    let mut seen = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    for page in pages::all().iter().filter(|page| !page.is_evidence()) {
        for (number, span) in page.spans() {
            let Some(key) = key(&span) else { continue };
            seen.insert(key.to_owned());
            if !sources.contains(&format!("\"{key}\"")) && !OF_OTHERS.contains(&key) {
                unknown.insert(format!("{}:{number}: {key}", page.name));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(seen.len() > 30, "only {seen:?} were found");
    assert_eq!(key("logLevle"), Some("logLevle"));
}
