//! The JSON documents of commands: each has a published schema, and what the commands print is valid by it, for another
//! implementation of JSON Schema than the one that makes the schemas.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "schemas/cluster.rs"]
mod cluster;
#[path = "schemas/node.rs"]
mod node;
mod support;
#[path = "schemas/valid.rs"]
mod valid;

use clap::Command;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What documents were seen, by the names of their schemas.
type Seen = BTreeMap<&'static str, Vec<Value>>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/schemas")
}

#[test]
fn the_published_schemas_are_those_of_the_types() {
    let mut expected = BTreeSet::new();
    for (name, schema) in plexus::cli::schemas() {
        let (path, text) = (folder().join(format!("{name}.json")), format!("{schema:#}\n"));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let published = fs::read_to_string(&path).unwrap_or_default();
        assert!(published == text, "{} is old: UPDATE=1 cargo test --test schemas published", path.display());
        expected.insert(format!("{name}.json"));
    }
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), expected);
}

/// The names of the commands below `command` that print JSON.
fn printing_json(command: &Command, path: &[&str], found: &mut Vec<String>) {
    let output = command.get_arguments().find(|argument| argument.get_long() == Some("output"));
    let values = output.map(|output| output.get_possible_values()).unwrap_or_default();
    if values.iter().any(|value| value.get_name() == "json") {
        found.push(path.join("-"));
    }
    command.get_subcommands().for_each(|below| printing_json(below, &[path, &[below.get_name()]].concat(), found));
}

#[test]
fn every_command_that_prints_json_has_a_schema_and_a_row() {
    let mut commands = Vec::new();
    printing_json(&plexus::cli::command(), &[], &mut commands);
    assert!(commands.len() > 10, "{commands:?}");
    let schemas = plexus::cli::schemas();
    for command in &commands {
        assert!(
            schemas.contains_key(command.as_str()),
            "plexusctl {command} -o json has no schema in src/cli/schemas.rs"
        );
    }
    let page = fs::read_to_string(folder().with_file_name("json.md")).unwrap();
    for name in schemas.keys() {
        assert!(page.contains(&format!("](schemas/{name}.json)")), "docs/reference/json.md has no row for {name}");
        let is_of_a_command = |command: &String| {
            name.strip_prefix(command.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        assert!(*name == OF_NODES || commands.iter().any(is_of_a_command), "{name} is the schema of no command");
    }
}

/// A type that is not in the table would have no schema.
#[test]
fn every_document_is_in_the_table() {
    let mut count = 0;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                count += fs::read_to_string(path)
                    .unwrap()
                    .lines()
                    .filter(|line| line.starts_with("impl Described for"))
                    .count();
            }
        }
    }
    assert_eq!(count, plexus::cli::schemas().len());
}

/// A schema is read by people: each member is described.
#[test]
fn every_member_is_described() {
    fn look(name: &str, schema: &Value, missing: &mut Vec<String>) {
        for (key, member) in schema["properties"].as_object().into_iter().flatten() {
            if member["description"].as_str().is_none_or(|text| !text.ends_with('.')) {
                missing.push(format!("{name}: {key}"));
            }
        }
        schema["$defs"]
            .as_object()
            .into_iter()
            .flatten()
            .for_each(|(of, schema)| look(&format!("{name}: {of}"), schema, missing));
    }
    let mut missing = Vec::new();
    plexus::cli::schemas().iter().for_each(|(name, schema)| look(name, schema, &mut missing));
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The document of every command with `--node` or `--all-nodes`.
const OF_NODES: &str = "all-nodes";
/// Both kinds of documents together are all that exist.
const OF_A_NODE: [&str; 15] = [
    "describe-pod",
    "doctor",
    "gc",
    "get",
    "health",
    "ipam-check",
    "ipam-leases",
    "ipam-show",
    "ipam-who",
    "lint",
    "natives",
    "plan",
    "topology",
    "version",
    "why",
];
/// tests/connectivity.rs prints and validates this one.
const OF_CONNECTIVITY: &str = "connectivity-test";
const OF_A_CLUSTER: [&str; 10] = [
    OF_NODES,
    "describe-pod",
    "get-cluster",
    "ipam-check-cluster",
    "ipam-check-nodes",
    "ipam-show-cluster",
    "lint",
    "status",
    "topology",
    "why",
];

#[test]
fn every_document_is_printed_in_a_test() {
    let seen: BTreeSet<&str> = OF_A_NODE.into_iter().chain(OF_A_CLUSTER).chain([OF_CONNECTIVITY]).collect();
    assert_eq!(seen, plexus::cli::schemas().into_keys().collect());
}

#[test]
fn the_documents_of_a_node_are_valid() {
    let Some(seen) = node::documents() else { return };
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), OF_A_NODE);
    valid::assert_valid(&seen);
}

#[test]
fn the_documents_of_a_cluster_are_valid() {
    let Some(seen) = cluster::documents() else { return };
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), OF_A_CLUSTER);
    valid::assert_valid(&seen);
}
