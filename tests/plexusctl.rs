//! `plexusctl` as a person sees it: what is wrong is one line that says what to do, tables are aligned,
//! `-o json` is JSON, and the schema describes what is accepted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FLANNEL: &str = r#"{"name":"cbr0","cniVersion":"0.3.1","plugins":[{"type":"flannel"}]}"#;

/// A folder of the test's own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.0.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

fn plexusctl(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plexusctl")).env_clear().args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The command did what was asked; its answer.
#[track_caller]
fn answer(words: &[&str]) -> String {
    let output = plexusctl(words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    text(&output.stdout).to_owned()
}

/// The command ended with `code`, and its last line on stderr holds all of `words`.
#[track_caller]
fn assert_refuses(command: &[&str], code: i32, words: &[&str]) {
    let output = plexusctl(command);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    assert!(output.stdout.is_empty(), "{command:?}: {output:?}");
    // Before it there may be remarks, e.g. which file is taken for the primary's.
    let line = said.lines().last().unwrap_or_default();
    assert!(line.starts_with("plexusctl: ") && !line.contains(char::is_control), "{command:?}: {said}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
}

/// A record of one sandbox.
fn record(id: &str, pod: &str, network: &str) -> String {
    let attachment = |ifname: &str, network: &str| {
        json!({"call": "eth0", "network": network, "ifname": ifname, "state": "owed", "config": {"name": "n", "type": "a", "cniVersion": "1.0.0"},
            "result": {"cniVersion": "1.0.0", "interfaces": [{"name": ifname, "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/x"}], "ips": [{"address": "10.0.0.7/24", "interface": 0}]},
            "debt": {"since": 1, "attempts": 3, "error": "two\nlines \u{1b}[2J and \u{e9}"}})
    };
    json!({"version": 1, "containerId": id, "pod": {"namespace": "default", "name": pod}, "created": 1,
        "attachments": [attachment("eth0", "cbr0"), attachment("net1", network)]})
    .to_string()
}

#[test]
fn what_is_wrong_is_one_line_that_says_what_to_do() {
    let files = [
        ("net.d/10-flannel.conflist", FLANNEL),
        ("empty/x.txt", ""),
        ("broken/10-a.conflist", "{"),
        ("only/00-multus.conf", r#"{"name":"m","type":"multus"}"#),
        ("single/10-a.conf", r#"{"name":"a","cniVersion":"1.0.0","type":"a"}"#),
        ("unknown.json", r#"{"parallell":true,"logLevel":"loud","delegateTimeoutSeconds":1e19}"#),
        ("taken.json", r#"{"clusterNetwork":"/x","name":"y"}"#),
        ("list.json", "[1]"),
        ("multus.json", r#"{"name":"m","type":"bridge"}"#),
        ("file", ""),
    ];
    let folder = Folder::with(&files);
    let path = |name: &str| folder.path(name);
    let (net_d, file) = (path("net.d"), path("file"));
    let config = |more: &[&str]| -> Vec<String> {
        ["config", "--cni-conf-dir", &net_d].iter().chain(more).map(|word| (*word).to_owned()).collect()
    };
    let cases: Vec<(Vec<String>, i32, Vec<&str>)> = vec![
        (config(&["--cni-conf-dir", &path("nowhere")]), 2, vec![]),
        (vec!["config".into(), "--cni-conf-dir".into(), path("empty")], 1, vec!["no configuration", "--primary"]),
        (vec!["config".into(), "--cni-conf-dir".into(), path("nowhere")], 1, vec!["nowhere", "--primary"]),
        (vec!["config".into(), "--cni-conf-dir".into(), path("broken")], 1, vec!["10-a.conflist", "--primary"]),
        (vec!["config".into(), "--cni-conf-dir".into(), path("only")], 1, vec!["00-multus.conf", "--primary"]),
        (config(&["--primary", &path("only/00-multus.conf")]), 1, vec!["multus", "never end"]),
        (config(&["--primary", &path("absent.conf")]), 1, vec!["absent.conf", "not there"]),
        (config(&["--mode", "chain", "--primary", &path("single/10-a.conf")]), 1, vec!["--mode delegate"]),
        (config(&["--settings", &path("absent.json")]), 1, vec!["absent.json", "no such file"]),
        (
            config(&["--settings", &path("unknown.json")]),
            1,
            vec!["\"parallell\" is unknown", "logLevel", "delegateTimeoutSeconds", "docs/configuration.md"],
        ),
        (config(&["--settings", &path("taken.json")]), 1, vec!["clusterNetwork", "name", "is not set here"]),
        (config(&["--settings", &path("list.json")]), 1, vec!["not a JSON object"]),
        (config(&["--settings", &path("net.d")]), 1, vec!["directory"]),
        (vec!["migrate".into(), path("absent")], 1, vec!["absent", "no such file"]),
        (vec!["migrate".into(), path("list.json")], 1, vec!["list.json"]),
        (vec!["migrate".into(), path("multus.json")], 1, vec!["multus.json"]),
        (vec!["get".into(), "--state-directory".into(), file.clone()], 1, vec!["file/sandboxes", "--state-directory"]),
        (
            vec!["gc".into(), "--plugin".into(), path("absent"), "--cni-conf-dir".into(), net_d.clone()],
            1,
            vec!["absent"],
        ),
        (
            vec!["health".into(), "--run-directory".into(), path("absent")],
            3,
            vec!["plexusd is not there", "--run-directory"],
        ),
    ];
    for (command, code, words) in cases {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        if code == 2 {
            // clap's own, with the usage.
            assert_eq!(plexusctl(&command).status.code(), Some(2), "{command:?}");
        } else {
            assert_refuses(&command, code, &words);
        }
    }
    for command in
        [&[][..], &["nonsense"], &["get", "--nonsense"], &["get", "-o", "yaml"], &["health", "--timeout", "x"]]
    {
        assert_eq!(plexusctl(command).status.code(), Some(2), "{command:?}");
    }
}

#[test]
fn tables_are_aligned_and_json_is_json() {
    let folder = Folder::with(&[
        ("sandboxes/c1.json", &record("c1", "web", "default/a-network-with-a-long-name")),
        ("sandboxes/c2.json", &record("c2", "\u{e9}\u{1b}[31m", "x\ty")),
        ("sandboxes/c3.json", "{ damaged"),
    ]);
    let state = folder.path("");
    for (more, columns) in [(&[][..], 7), (&["--debts"], 6)] {
        let table = answer(&[&["get", "--state-directory", &state], more].concat());
        assert_eq!(table.lines().count(), 5, "{table}");
        assert!(!table.replace('\n', "").contains(char::is_control), "{table:?}");
        let heading: Vec<char> = table.lines().next().unwrap().chars().collect();
        let begins: Vec<usize> =
            (0..heading.len()).filter(|at| heading[*at] != ' ' && (*at == 0 || heading[at - 1] == ' ')).collect();
        assert_eq!(begins.len(), columns, "{table}");
        for line in table.lines() {
            let line: Vec<char> = line.chars().collect();
            for begin in &begins[1..] {
                // Each column begins where its heading does.
                assert!(line[begin - 3..*begin] == [' '; 3] && line[*begin] != ' ', "{table}");
            }
        }
        let json: Value =
            serde_json::from_str(&answer(&[&["get", "-o", "json", "--state-directory", &state], more].concat()))
                .unwrap();
        assert_eq!(json["attachments"].as_array().unwrap().len(), 4, "{json:#}");
        assert_eq!(json["damagedRecords"], 1, "{json:#}");
    }
    let remark = plexusctl(&["get", "--state-directory", &state]);
    assert!(text(&remark.stderr).contains("1 record in") && text(&remark.stderr).lines().count() == 1, "{remark:?}");
    serde_json::from_str::<Value>(&answer(&["version", "-o", "json"])).unwrap();
    serde_json::from_str::<Value>(&answer(&["schema"])).unwrap();
}

/// What `schema` has against `value`: as much of JSON Schema as ours uses, and no more is let pass.
fn judge(schema: &Value, value: &Value, root: &Value, at: &str, mistakes: &mut Vec<String>) {
    for (keyword, expected) in schema.as_object().unwrap() {
        let holds = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" => true,
            "$ref" => {
                let target = root.pointer(expected.as_str().unwrap().strip_prefix('#').unwrap()).unwrap();
                judge(target, value, root, at, mistakes);
                true
            }
            "type" => is_of_type(expected, value),
            "enum" => expected.as_array().unwrap().contains(value),
            "const" => expected == value,
            "anyOf" => expected.as_array().unwrap().iter().any(|one| is_valid(one, value, root)),
            "oneOf" => expected.as_array().unwrap().iter().filter(|one| is_valid(one, value, root)).count() == 1,
            "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > expected.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= expected.as_f64().unwrap()),
            "required" => expected.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
            "items" => {
                value.as_array().into_iter().flatten().for_each(|item| judge(expected, item, root, at, mistakes));
                true
            }
            "properties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if let Some(schema) = expected.get(key) {
                        judge(schema, value, root, key, mistakes);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = |key: &String| schema["properties"].get(key).is_some();
                for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| !known(key)) {
                    match expected {
                        Value::Bool(false) => mistakes.push(format!("{key}: unknown")),
                        Value::Bool(true) => {}
                        schema => judge(schema, value, root, key, mistakes),
                    }
                }
                true
            }
            other => panic!("this test does not know the keyword {other}"),
        };
        if !holds {
            mistakes.push(format!("{at}: {value} is against {keyword} {expected}"));
        }
    }
}

fn is_valid(schema: &Value, value: &Value, root: &Value) -> bool {
    let mut mistakes = Vec::new();
    judge(schema, value, root, "", &mut mistakes);
    mistakes.is_empty()
}

fn is_of_type(expected: &Value, value: &Value) -> bool {
    let names = expected.as_array().cloned().unwrap_or_else(|| vec![expected.clone()]);
    names.iter().any(|name| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("this test does not know the type {other}"),
    })
}

/// Every file of settings in the folder `conf`.
fn settings(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => settings(&path),
            false => Some(path).filter(|path| path.ends_with("settings.json")).into_iter().collect(),
        })
        .collect()
}

#[test]
fn the_schema_describes_what_is_written_and_refuses_what_is_refused() {
    let every_kind = json!({
        "natives": {"bridge": false}, "parallel": true, "logLevel": "verbose", "globalNamespaces": "a, b",
        "defaultNetworks": ["a", "b/c"], "delegateTimeoutSeconds": 0.5, "lastKnownMaxAgeSeconds": 3600,
        "capabilities": {"mac": true}, "stateDirectory": "/s", "namespaceIsolation": true,
    });
    let folder =
        Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("conf/settings.json", &every_kind.to_string())]);
    let net_d = folder.path("net.d");
    let schema: Value = serde_json::from_str(&answer(&["schema"])).unwrap();
    let mut shipped = settings(&Path::new(env!("CARGO_MANIFEST_DIR")).join("conf"));
    assert!(!shipped.is_empty());
    shipped.push(folder.path("conf/settings.json").into());
    for mode in ["delegate", "chain"] {
        for settings in &shipped {
            let settings = settings.display().to_string();
            let words = ["config", "--cni-conf-dir", &net_d, "--mode", mode, "--settings", &settings];
            let written: Value = serde_json::from_str(&answer(&words)).unwrap();
            let element = if mode == "chain" { &written } else { &written["plugins"][0] };
            let mut mistakes = Vec::new();
            judge(&schema, element, &schema, "plexus", &mut mistakes);
            assert!(mistakes.is_empty(), "{settings}: {mistakes:?}");
        }
    }
    let cases = [
        (json!({"parallell": true}), "parallell"),
        (json!({"parallel": "yes"}), "parallel"),
        (json!({"logLevel": "loud"}), "logLevel"),
        (json!({"natives": 7}), "natives"),
        (json!({"globalNamespaces": [7]}), "globalNamespaces"),
        (json!({"defaultNetworks": "a"}), "defaultNetworks"),
        (json!({"delegateTimeoutSeconds": 0}), "delegateTimeoutSeconds"),
        (json!({"publishTimeoutSeconds": 1e10}), "publishTimeoutSeconds"),
        (json!({"stateDirectory": {}}), "stateDirectory"),
        (json!({"capabilities": {"mac": "true"}}), "capabilities"),
    ];
    for (settings, key) in cases {
        let mut element = settings.clone();
        element["type"] = json!("plexus");
        assert!(!is_valid(&schema, &element, &schema), "{settings}");
        let path = folder.path("settings.json");
        fs::write(&path, settings.to_string()).unwrap();
        assert_refuses(&["config", "--cni-conf-dir", &net_d, "--settings", &path], 1, &[key, "docs/configuration.md"]);
    }
}

#[test]
fn a_command_that_a_document_tells_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut told = 0;
    for document in ["README.md", "docs/configuration.md", "ARCHITECTURE.md", "conf/README.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for rest in text.split("plexusctl ").skip(1) {
            // Up to the end of the command: a quote, a line, a pipe.
            let command: String = rest.chars().take_while(|c| !"`\n|;.,)".contains(*c)).collect();
            let options = command.split_whitespace().filter(|word| word.starts_with("--"));
            let Some(subcommand) = command.split_whitespace().next().filter(|word| !word.starts_with(['<', '-']))
            else {
                continue;
            };
            let help = plexusctl(&[subcommand, "--help"]);
            if !help.status.success() {
                // A sentence and not a command.
                assert!(!rest.starts_with(&format!("{subcommand}`")), "{document}: plexusctl {subcommand}");
                continue;
            }
            told += 1;
            for option in options {
                assert!(text_of(&help).contains(option), "{document}: plexusctl {command}");
            }
        }
    }
    assert!(told > 10, "only {told} commands were found");
}

fn text_of(output: &Output) -> &str {
    text(&output.stdout)
}
