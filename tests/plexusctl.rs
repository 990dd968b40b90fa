//! `plexusctl` as a person sees it: what is wrong is one line that says what to do, tables are aligned,
//! `-o json` is JSON, and the schema describes what is accepted.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "plexusctl/directories.rs"]
mod directories;
#[path = "plexusctl/install.rs"]
mod install;
#[path = "plexusctl/schema.rs"]
mod schema;
#[path = "plexusctl/terminal.rs"]
mod terminal;
#[path = "plexusctl/trust.rs"]
mod trust;
#[path = "plexusctl/uninstall.rs"]
mod uninstall;

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
    assert!(line.starts_with("error: ") && !line.contains(char::is_control), "{command:?}: {said}");
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
        [&[][..], &["nonsense"], &["get", "--nonsense"], &["get", "-o", "xml"], &["health", "--timeout", "x"]]
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
    let settings = r#"{"auxiliaryCNIChainName":"vendor-cni-chain","logFile":"/l","ipam":{},"dns":{},"parallel":true}"#;
    let folder = Folder::with(&[("net.d/10-flannel.conflist", FLANNEL), ("settings.json", settings)]);
    let output =
        plexusctl(&["config", "--cni-conf-dir", &folder.path("net.d"), "--settings", &folder.path("settings.json")]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let chain = "\"auxiliaryCNIChainName\" of the settings has no effect: names a directory";
    for words in [chain, "\"logFile\"", "\"ipam\"", "\"dns\""] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("\"parallel\""), "{said}");
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
