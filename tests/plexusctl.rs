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
#[expect(clippy::too_many_lines, reason = "a table")]
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
        ("relative.json", r#"{"stateDirectory":"state","binDir":"bin","confDir":"/etc/x","CniDir":"a/b"}"#),
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
        (
            vec!["config".into(), "--cni-conf-dir".into(), path("broken")],
            1,
            vec!["10-a.conflist", "fix or remove it", "--primary"],
        ),
        (vec!["config".into(), "--cni-conf-dir".into(), path("only")], 1, vec!["00-multus.conf", "--primary"]),
        (config(&["--primary", &path("only/00-multus.conf")]), 1, vec!["multus", "never end"]),
        (config(&["--primary", &path("absent.conf")]), 1, vec!["absent.conf", "does not exist"]),
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
        (
            config(&["--settings", &path("relative.json")]),
            2,
            vec!["\"stateDirectory\" is \"state\"", "\"binDir\" is \"bin\"", "\"CniDir\"", "absolute path"],
        ),
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
            vec!["plexusd is not running", "--run-directory"],
        ),
    ];
    for (command, code, words) in cases {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        if code == 2 && words.is_empty() {
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
            "$schema" | "$defs" | "title" | "description" | "format" | "deprecated" => true,
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
        "networksForAllPods": ["a", "b/c"], "delegateTimeoutSeconds": 0.5, "lastKnownMaxAgeSeconds": 3600,
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
    // The file itself has a schema, too, with what is accepted for the sake of Multus.
    let of_settings: Value = serde_json::from_str(&answer(&["schema", "--settings"])).unwrap();
    for settings in &shipped {
        let settings: Value = serde_json::from_str(&fs::read_to_string(settings).unwrap()).unwrap();
        assert!(is_valid(&of_settings, &settings, &of_settings), "{settings}");
    }
    let multus = json!({"kubeconfig": "/k", "logFile": "/l", "parallel": true});
    assert!(is_valid(&of_settings, &multus, &of_settings));
    for key in ["type", "clusterNetwork", "delegates"] {
        assert!(of_settings["properties"].get(key).is_none(), "{key}");
        assert!(!is_valid(&of_settings, &json!({key: "plexus"}), &of_settings), "{key}");
    }
    let cases = [
        (json!({"parallell": true}), "parallell"),
        (json!({"parallel": "yes"}), "parallel"),
        (json!({"logLevel": "loud"}), "logLevel"),
        (json!({"natives": 7}), "natives"),
        (json!({"globalNamespaces": [7]}), "globalNamespaces"),
        (json!({"networksForAllPods": "a"}), "networksForAllPods"),
        (json!({"delegateTimeoutSeconds": 0}), "delegateTimeoutSeconds"),
        (json!({"publishTimeoutSeconds": 1e10}), "publishTimeoutSeconds"),
        (json!({"stateDirectory": {}}), "stateDirectory"),
        (json!({"capabilities": {"mac": "true"}}), "capabilities"),
    ];
    for (settings, key) in cases {
        let mut element = settings.clone();
        element["type"] = json!("plexus");
        assert!(!is_valid(&schema, &element, &schema), "{settings}");
        assert!(!is_valid(&of_settings, &settings, &of_settings), "{settings}");
        let path = folder.path("settings.json");
        fs::write(&path, settings.to_string()).unwrap();
        assert_refuses(&["config", "--cni-conf-dir", &net_d, "--settings", &path], 1, &[key, "docs/configuration.md"]);
    }
}

#[test]
fn a_daemon_that_is_not_there_has_a_document() {
    let folder = Folder::with(&[]);
    let words =
        ["health", "-o", "json", "--run-directory", &folder.path("run"), "--state-directory", &folder.path("s")];
    let output = plexusctl(&words);
    assert_eq!(output.status.code(), Some(3));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["version"], &document["running"], &document["ready"]),
        (&json!(1), &json!(false), &json!(false))
    );
    assert!(document["reason"].as_str().unwrap().contains("plexusd.sock"), "{document:#}");
    let said = text(&output.stderr).to_owned();
    assert!(said.contains(&folder.path("s/networks")), "{said}");
}

#[test]
fn where_plexus_is_not_installed_nothing_is_claimed() {
    let folder = Folder::with(&[("state/sandboxes/c.json", &record("c", "web", "default/a"))]);
    let (state, nowhere) = (folder.path("state"), folder.path("nowhere"));
    let output = plexusctl(&["get", "--state-directory", &nowhere]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("run this on the node") && output.stdout.is_empty(), "{output:?}");
    let output = plexusctl(&["get", "-o", "json", "--state-directory", &nowhere]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &document["isNode"]), (Some(3), &json!(false)));
    answer(&["get", "--state-directory", &state]);
    let natives = ["natives", "--cni-conf-dir", &nowhere, "--state-directory"];
    let output = plexusctl(&[&natives[..], &[&nowhere]].concat());
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("run this on the node"), "{output:?}");
    answer(&[&natives[..], &[&state]].concat());
}

#[test]
fn a_setting_without_effect_is_told() {
    let settings = r#"{"auxiliaryCNIChainName":"vendor-cni-chain","logFile":"/l","parallel":true}"#;
    let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("settings.json", settings)]);
    let output =
        plexusctl(&["config", "--cni-conf-dir", &folder.path("net.d"), "--settings", &folder.path("settings.json")]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    for words in ["\"auxiliaryCNIChainName\" of the settings has no effect: names a directory", "\"logFile\""] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("\"parallel\""), "{said}");
}

#[test]
fn an_uninstallation_under_way_is_seen_and_can_be_ended() {
    let folder = Folder::with(&[("state/sandboxes/c.json", &record("c", "web", "default/a")), ("net.d/x", "")]);
    let path = |name: &str| folder.path(name);
    let folders = [("--cni-conf-dir", "net.d"), ("--cni-bin-dir", "bin"), ("--state-directory", "state")]
        .into_iter()
        .chain([("--run-directory", "run")])
        .map(|(option, name)| format!("{option}={}", path(name)));
    let folders: Vec<String> = folders.collect();
    let uninstall = |more: &[&str]| {
        let words: Vec<&str> = folders.iter().map(String::as_str).chain(more.iter().copied()).collect();
        plexusctl(&[&["uninstall"], words.as_slice()].concat())
    };
    // A pod that still has what it should have lost: its record has no debt any more.
    let attached = record("c", "web", "default/a").replace("\"owed\"", "\"attached\"");
    fs::write(path("state/sandboxes/c.json"), &attached).unwrap();
    let output = uninstall(&[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.lines().next().unwrap().starts_with("warning: from now on, new pods"), "{said}");
    assert!(said.contains("1 pod has networks that only Plexus can delete (default/web)"), "{said}");
    // Whoever confirms it, or has begun already, is not warned.
    assert!(!text(&uninstall(&["--yes"]).stderr).contains("warning"));
    let state = path("state");
    let get = plexusctl(&["get", "--state-directory", &state]);
    assert!(text(&get.stderr).contains("is being uninstalled"), "{get:?}");
    let json: Value = serde_json::from_str(&answer(&["get", "-o", "json", "--state-directory", &state])).unwrap();
    assert_eq!(json["draining"], true);
    let words = ["health", "-o", "json", "--run-directory", &path("run"), "--state-directory", &state];
    let health: Value = serde_json::from_slice(&plexusctl(&words).stdout).unwrap();
    assert_eq!(health["draining"], true);
    let cancelled = uninstall(&["--cancel"]);
    assert!(cancelled.status.success() && text(&cancelled.stderr).contains("has ended"), "{cancelled:?}");
    assert!(!Path::new(&path("state/draining")).exists());
    assert!(text(&uninstall(&["--cancel"]).stderr).contains("is not being uninstalled"));
}

#[test]
fn on_a_terminal_it_is_asked_before() {
    use std::io::Write;
    use std::process::Stdio;
    if !Path::new("/usr/bin/script").exists() {
        assert!(std::env::var_os("CI").is_none(), "cannot run here: script is missing");
        eprintln!("SKIP on_a_terminal_it_is_asked_before: script is missing");
        return;
    }
    let folder = Folder::with(&[("net.d/x", ""), ("state/y", "")]);
    let options =
        [("cni-conf-dir", "net.d"), ("cni-bin-dir", "bin"), ("state-directory", "state"), ("run-directory", "run")];
    let options = options.map(|(option, name)| format!(" --{option}={}", folder.path(name))).concat();
    let command = format!("{} uninstall{options}", env!("CARGO_BIN_EXE_plexusctl"));
    let answered = |answer: &str| {
        let mut script = Command::new("/usr/bin/script");
        script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = answered("n\n");
    assert!(code == Some(1) && said.contains("Continue? [y/N]") && said.contains("not confirmed"), "{code:?} {said}");
    assert_eq!(fs::read_dir(folder.path("state")).unwrap().count(), 1, "something was changed");
    let (code, said) = answered("y\n");
    assert!(code == Some(0) && said.contains("uninstalled"), "{code:?} {said}");
    assert!(!Path::new(&folder.path("state")).exists());
}

#[test]
fn a_container_that_must_not_end_stays_whatever_its_environment() {
    let mut stay = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    stay.args(["uninstall", "--stay"]).env_clear();
    stay.env("PLEXUS_CNI_CONF_DIR", "/nowhere").env("PLEXUS_CNI_BIN_DIR", "/nowhere");
    let mut child = stay.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ended, None);
}

#[test]
fn the_program_that_cargo_builds_beside_the_daemon_is_not_installed() {
    let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("bin/x", "")]);
    let (net_d, bin, state) = (folder.path("net.d"), folder.path("bin"), folder.path("state"));
    let words =
        ["install", "--timeout=0", "--cni-conf-dir", &net_d, "--cni-bin-dir", &bin, "--state-directory", &state];
    // Beside this program, where it is looked for.
    assert_refuses(&words, 1, &["target/plugin/plexus", "make plugin"]);
    assert!(!Path::new(&folder.path("bin/plexus")).exists());
}

#[test]
fn a_former_name_works_and_a_warning_names_the_new_one() {
    for (former, name) in plexus::engine::Settings::renamed_keys() {
        let value = if former == "defaultNetworks" { json!(["a"]) } else { json!("/any") };
        let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL)]);
        let (net_d, settings) = (folder.path("net.d"), folder.path("settings.json"));
        let told = |key: &str| {
            fs::write(&settings, json!({key: value}).to_string()).unwrap();
            let output = plexusctl(&["config", "--cni-conf-dir", &net_d, "--settings", &settings]);
            assert!(output.status.success() && text(&output.stdout).contains(key), "{key}: {output:?}");
            text(&output.stderr).to_owned()
        };
        let warning = format!("warning: key {former:?} of the settings is now called {name:?}");
        assert_eq!((told(former).matches(&warning).count(), told(name).contains("warning")), (1, false), "{former}");
    }
    let folder = Folder::with(&[("bin/x", "")]);
    let (net_d, bin, state) = (folder.path("net.d"), folder.path("bin"), folder.path("s"));
    fs::create_dir(&net_d).unwrap();
    let plugin = format!("\u{7f}ELF {}", plexus::api::build::ABOUT);
    fs::write(folder.path("plugin"), plugin).unwrap();
    let (source, warning) = (folder.path("plugin"), "--wait <SECONDS> is now called --timeout");
    for (option, warnings) in [("--wait", 1), ("--timeout", 0)] {
        let words = ["install", option, "0", "--cni-conf-dir", &net_d, "--cni-bin-dir", &bin, "--plugin", &source];
        let (code, told) = told(&[&words[..], &["--state-directory", &state]].concat());
        assert_eq!((code, told.matches(warning).count()), (Some(1), warnings), "{told}");
    }
}

/// What stands on stderr.
fn told(words: &[&str]) -> (Option<i32>, String) {
    let output = plexusctl(words);
    (output.status.code(), text(&output.stderr).to_owned())
}

#[test]
fn an_installation_prints_what_it_repairs_and_renames() {
    let plugin = format!("\u{7f}ELF {}", plexus::api::build::ABOUT);
    let folder =
        Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("plugin", &plugin), ("bin/x", ""), ("s/x", "")]);
    let path = |name: &str| folder.path(name);
    let (net_d, bin, source, state) = (path("net.d"), path("bin"), path("plugin"), path("s"));
    let install = |more: &[&str]| {
        let words = ["install", "--cni-conf-dir", &net_d, "--cni-bin-dir", &bin, "--plugin", &source];
        told(&[&words[..], &["--state-directory", &state, "--timeout", "1"], more].concat())
    };
    let list = path("net.d/00-plexus.conflist");
    let (code, first) = install(&[]);
    assert!(code == Some(0) && !first.contains("repaired"), "{first}");
    for damaged in ["", "{", "{}", FLANNEL] {
        fs::write(&list, damaged).unwrap();
        let (code, told) = install(&[]);
        assert!(code == Some(0) && told.contains(&format!("{list} was damaged")), "{damaged}: {told}");
    }
    assert!(!install(&[]).1.contains("repaired"));
    // Before anything is changed.
    let multus = path("net.d/00-multus.conf");
    fs::write(&multus, r#"{"name":"m","type":"multus"}"#).unwrap();
    let (code, told) = install(&["--replace-multus"]);
    let (before, after) = (told.find("it will be renamed to"), told.find("wrote ").or(told.find("is up to date")));
    assert!(code == Some(0) && before.is_some() && before < after && told.contains(&multus), "{told}");
    assert!(!Path::new(&multus).exists());
}

#[test]
fn where_nothing_is_installed_nothing_is_uninstalled() {
    let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("bin/bridge", "")]);
    let path = |name: &str| folder.path(name);
    let (net_d, bin, state, run) = (path("net.d"), path("bin"), path("state"), path("run"));
    let words = ["uninstall", "--yes", "--cni-conf-dir", &net_d, "--cni-bin-dir", &bin, "--state-directory", &state];
    let (code, told) = told(&[&words[..], &["--run-directory", &run]].concat());
    assert!(code == Some(0) && told.contains("nothing is uninstalled") && told.contains(&state), "{told}");
    assert!(told.lines().count() == 1 && !Path::new(&state).exists() && !Path::new(&run).exists(), "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_status_1_after_the_others() {
    let nad = |config: &str| {
        format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: a}}\nspec: {{config: {config}}}\n"
        )
    };
    let folder = Folder::with(&[
        ("nads/good.yaml", &nad(r#"'{"cniVersion":"1.0.0","type":"bridge"}'"#)),
        ("nads/map.yaml", &nad("{type: bridge}")),
        ("net.d/x", ""),
    ]);
    let utf16: Vec<u8> = nad("''").encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path("nads/wide.yaml"), [&[0xff, 0xfe][..], &utf16].concat()).unwrap();
    let (nads, net_d) = (folder.path("nads"), folder.path("net.d"));
    let output = plexusctl(&["natives", "--cni-conf-dir", &net_d, &nads]);
    let (table, last) = (text(&output.stdout), text(&output.stderr).lines().last().unwrap_or_default());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for word in ["default/a", "UTF-16", "must be a string"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert!(last.contains("2 of the files cannot be read") && last.contains("wide.yaml"), "{last}");
}

#[test]
fn a_file_without_a_network_is_named() {
    let folder = Folder::with(&[("empty/x.txt", ""), ("net.d/x", ""), ("pod.yaml", "kind: Pod\napiVersion: v1\n")]);
    let natives = |word: &str| plexusctl(&["natives", "--cni-conf-dir", &folder.path("net.d"), word]);
    let (empty, stdin) = (natives(&folder.path("empty")), natives("-"));
    let manifest = folder.path("pod.yaml");
    fs::write(&manifest, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n").unwrap();
    for (output, name) in [
        (empty, "/empty contains no file"),
        (stdin, "stdin contains no "),
        (natives(&manifest), "pod.yaml contains no "),
    ] {
        let told = text(&output.stderr);
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(told.contains(name) && told.contains("NetworkAttachmentDefinition"), "{told}");
        assert!(!told.contains("no pod has used"), "{told}");
    }
}

#[test]
fn an_installation_makes_directories_that_everybody_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL)]);
    fs::write(folder.path("plugin"), format!("\u{7f}ELF {} 1", plexus::api::build::ABOUT)).unwrap();
    let (bin, state, plugin) = (folder.path("opt/cni/bin"), folder.path("var/state"), folder.path("plugin"));
    let (net_d, primary) = (folder.path("etc/net.d"), folder.path("net.d/10-flannel.conflist"));
    fs::create_dir_all(&net_d).unwrap();
    let settings = folder.path("settings.json");
    let install = |content: &str| {
        fs::write(&settings, content).unwrap();
        plexusctl(&[
            "install",
            "--cni-conf-dir",
            &net_d,
            "--cni-bin-dir",
            &bin,
            "--plugin",
            &plugin,
            "--settings",
            &settings,
            "--primary",
            &primary,
            "--wait",
            "0",
        ])
    };
    let refused = install(r#"{"stateDirectory":"var/state"}"#);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("\"stateDirectory\" is \"var/state\""), "{refused:?}");
    assert!(!Path::new(&bin).exists(), "nothing is written before");
    let done = install(&json!({ "stateDirectory": state }).to_string());
    assert!(done.status.success(), "{done:?}");
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&bin), mode(&folder.path("opt/cni")), mode(&folder.path("opt"))], [0o755; 3]);
    assert_eq!(mode(&state), 0o700, "the records are root's, where the settings have them");
}

#[test]
fn root_does_not_believe_what_others_may_write() {
    // L6
    use std::os::unix::fs::{PermissionsExt, chown};
    if !plexus::sys::is_root() {
        return;
    }
    let folder = Folder::with(&[
        ("net.d/10-flannel.conflist", FLANNEL),
        ("settings.json", "{}"),
        ("state/sandboxes/c.json", &record("c", "web", "default/a")),
    ]);
    let (net_d, settings, state) = (folder.path("net.d"), folder.path("settings.json"), folder.path("state"));
    let config = ["config", "--cni-conf-dir", &net_d, "--settings", &settings];
    answer(&config);
    chown(&settings, Some(65534), None).unwrap();
    assert_refuses(&config, 1, &["settings.json", "belongs to user 65534"]);
    chown(&settings, Some(0), None).unwrap();
    for (path, command) in [
        (&net_d, vec!["config", "--cni-conf-dir", &net_d]),
        (&net_d, vec!["natives", "--cni-conf-dir", &net_d]),
        (&net_d, vec!["gc", "--cni-conf-dir", &net_d]),
        (&state, vec!["get", "--state-directory", &state]),
        (&state, vec!["uninstall", "--yes", "--cni-conf-dir", &net_d, "--state-directory", &state]),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        assert_refuses(&command, 1, &[path.as_str(), "every user"]);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    // What it finds is run as root: no variable names where.
    assert!(!answer(&["gc", "--help"]).contains("[env:"));
}

#[test]
fn what_a_daemon_answers_does_not_act_on_a_terminal() {
    // L5
    use std::io::{BufRead, BufReader, Write};
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}";
    for (reply, code) in [
        (json!({"unavailable": hostile}), 3),
        (
            json!({"health": {"release": hostile, "ready": true, "guards": {hostile: hostile}, "definitions": 1, "unpublished": 0}}),
            0,
        ),
    ] {
        let folder = Folder::with(&[("plexusd.sock.d", "")]);
        // Where any release of the daemon listens.
        fs::create_dir(folder.path("daemon")).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(folder.path("plexusd.sock")).unwrap();
        let answers = format!("{}\n{reply}\n", json!({"hello": {"program": "plexusd", "version": 1}}));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                stream.write_all(answers.as_bytes()).unwrap();
            }
        });
        for more in [&[][..], &["-o", "json"]] {
            let run = folder.path("");
            let output = plexusctl(&[&["health", "--run-directory", &run, "--state-directory", &run], more].concat());
            assert_eq!(output.status.code(), Some(code), "{output:?}");
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr)).replace('\n', "");
            assert!(!said.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
        }
    }
}

#[test]
fn a_key_that_is_left_to_a_person_is_status_3() {
    let folder = Folder::with(&[(
        "00-multus.conf",
        r#"{"name":"m","type":"multus","clusterNetwork":"/host/etc/cni/net.d/10-a.conflist","auxiliaryCNIChainName":"vendor-cni-chain"}"#,
    )]);
    let (file, settings) = (folder.path("00-multus.conf"), folder.path("settings.json"));
    for words in [vec!["migrate", &file], vec!["migrate", &file, "--settings", &settings]] {
        let output = plexusctl(&words);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        assert!(text(&output.stderr).contains("manual"), "{output:?}");
    }
    assert_eq!(fs::read_to_string(&settings).unwrap(), "{}\n");
    let printed = plexusctl(&["migrate", &file, "--settings", "-"]);
    assert_eq!(text(&printed.stdout), "{}\n");
}
