//! The command as people and programs use it.

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

pub fn lint(words: &[&str]) -> Output {
    let own = ["lint", "--cni-conf-dir", "/nonexistent"];
    Command::new(env!("CARGO_BIN_EXE_plexusctl")).env_clear().args(own).args(words).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

const BAD: &str = "apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: lan
spec:
  config: |
    {
      \"cniVersion\": \"1.0.0\",
      \"type\": \"macvlan\",
      \"master\": \"eth1\",
      \"mode\": \"brigde\",
      \"colour\": \"red\"
    }
---
apiVersion: v1
kind: Pod
metadata:
  name: p
  annotations:
    k8s.v1.cni.cncf.io/networks: lan, lam
spec:
  containers: []
";

/// Settings alone, as somebody checks them who installs with Helm or kustomize from a workstation.
#[test]
fn settings_are_checked_without_manifests() {
    let folder = folder(&[("good.json", r#"{"logLevel": "debug"}"#), ("bad.json", r#"{"logLevl": "debug"}"#)]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let good = lint(&["--settings", &path("good.json")]);
    let told = text(&good.stderr);
    assert!(good.status.success() && told.ends_with("good.json: no problem found in the settings.\n"), "{good:?}");
    let json: Value = serde_json::from_slice(&lint(&["--settings", &path("good.json"), "-o", "json"]).stdout).unwrap();
    assert_eq!(json["errors"], 0);
    let bad = lint(&["--settings", &path("bad.json")]);
    let told = text(&bad.stderr);
    assert!(bad.status.code() == Some(1) && told.contains(r#"did you mean "logLevel"?"#), "{bad:?}");
    assert_eq!(lint(&[]).status.code(), Some(2));
}

/// What a person sees: place, severity, rule, sentence; then the fix; at the end a summary.
#[test]
fn a_finding_is_two_lines_with_its_place() {
    let folder = folder(&[("x.yaml", BAD)]);
    let path = folder.path().join("x.yaml").display().to_string();
    let output = lint(&[&path]);
    let shown = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let findings: Vec<&str> = shown.lines().step_by(2).collect();
    let is_fix = |line: &str| line.starts_with("    fix: ") && line.contains("docs/reference/lint.md#px");
    assert!(shown.lines().skip(1).step_by(2).all(is_fix), "{shown}");
    for (at, begin) in [
        (0, format!("{path}:9:7: info PX042: ")),
        (1, format!("{path}:11:7: error PX011: plugin macvlan: mode \"brigde\" is unknown")),
        (2, format!("{path}:12:7: warning PX009: key \"colour\" is unknown")),
        (3, format!("{path}:20:39: error PX029: network default/lam does not exist; did you mean default/lan?")),
    ] {
        let line = if at == 0 { findings.iter().find(|line| line.contains("PX042")).unwrap() } else { findings[at] };
        let begin = if at == 0 { "PX042".to_owned() } else { begin };
        assert!(line.contains(&begin), "{line}\n{begin}");
    }
    assert_eq!(text(&output.stderr), "1 network, 1 pod in 1 file: 2 errors, 1 warning, 1 remark.\n");
    assert!(!shown.contains('\u{1b}'), "no colour in a pipe: {shown:?}");
}

#[test]
fn exit_codes_and_what_is_silenced() {
    let network = |more: &str, comment: &str| {
        format!(
            "{comment}apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata:\n  name: lan\n{more}spec:\n  config: '{{\"cniVersion\":\"0.3.1\",\"type\":\"bridge\"}}'\n"
        )
    };
    let code = |text: &str, words: &[&str]| {
        let folder = folder(&[("x.yaml", text)]);
        let path = folder.path().join("x.yaml").display().to_string();
        lint(&[words, &[&path]].concat()).status.code().unwrap()
    };
    // A warning alone is none, unless it is asked for.
    assert_eq!((code(&network("", ""), &[]), code(&network("", ""), &["--strict"])), (0, 1));
    assert_eq!(code(&network("", "# lint: ignore PX006 old plugins\n"), &["--strict"]), 0);
    assert_eq!(code(&network("", "# lint: ignore PX007\n"), &["--strict"]), 1);
    assert_eq!(code(&network("  annotations: {plexus.dev/lint-ignore: \"PX001, PX006\"}\n", ""), &["--strict"]), 0);
    assert_eq!(code("a: [", &[]), 1);
    assert_eq!(lint(&[]).status.code(), Some(2));
    assert_eq!(lint(&["--cluster", "x.yaml"]).status.code(), Some(2));
    assert_eq!(lint(&["--context", "c", "x.yaml"]).status.code(), Some(2));
    let folder = folder(&[("a.yaml", "a: ["), ("b.yaml", BAD)]);
    let both = lint(&[&folder.path().display().to_string()]);
    let said = text(&both.stderr);
    assert!(text(&both.stdout).contains("PX011") && both.status.code() == Some(1), "{both:?}");
    assert!(
        said.lines().last().unwrap().contains("1 of the files cannot be read: ") && said.contains("a.yaml: "),
        "{said}"
    );
    let missing = lint(&["/nonexistent.yaml"]);
    assert!(missing.status.code() == Some(1) && text(&missing.stderr).contains("/nonexistent.yaml"), "{missing:?}");
}

#[test]
fn the_examples_are_clean() {
    let output = lint(&[EXAMPLES, "--strict"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stdout));
    assert!(text(&output.stderr).ends_with("no problem found.\n"), "{output:?}");
}

#[test]
fn json_lists_and_directories() {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition", "metadata": {"name": "a"}, "spec": {"config": "{\"type\":"}},
    ]});
    let folder = folder(&[("deep/er/x.json", &list.to_string()), ("other.txt", "a: [")]);
    let output = lint(&[&folder.path().display().to_string(), "-o", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["version"], &document["errors"]), (&json!(1), &json!(1)), "{document:#}");
    let finding = &document["findings"][0];
    assert_eq!((&finding["rule"], &finding["line"]), (&json!("PX001"), &json!(1)), "{document:#}");
    assert!(finding["file"].as_str().unwrap().ends_with("deep/er/x.json"));
    assert_eq!(finding["page"], "docs/reference/lint.md#px001");
}

/// What SARIF 2.1.0 requires of what we write, and what code scanning reads of it.
#[test]
fn sarif_is_a_valid_log() {
    let folder = folder(&[("a b.yaml", BAD)]);
    let path = folder.path().join("a b.yaml").display().to_string();
    let log: Value = serde_json::from_slice(&lint(&[&path, "-o", "sarif"]).stdout).unwrap();
    is_of_schema(&log);
    assert!(log["$schema"].as_str().unwrap().contains("sarif-2.1.0"));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let pages = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/lint.md")).unwrap();
    for rule in rules {
        // An absolute URI, which ends with a heading of the page.
        let (address, heading) = rule["helpUri"].as_str().unwrap().split_once('#').unwrap();
        let release = concat!("/v", env!("CARGO_PKG_VERSION"), "/docs/reference/lint.md");
        assert!(address.starts_with("https://") && address.ends_with(release), "{rule}");
        assert_eq!(Some(heading), rule["id"].as_str().map(str::to_lowercase).as_deref());
        assert!(pages.contains(&format!("\n## {}\n", heading.to_uppercase())), "{rule}");
        assert!(rule["help"]["text"].as_str().unwrap().contains("docs/reference/lint.md#px"), "{rule}");
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 4, "{log:#}");
    for result in results {
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let index = result["ruleIndex"].as_u64().unwrap();
        assert_eq!(rules[usize::try_from(index).unwrap()]["id"], result["ruleId"]);
        let physical = &result["locations"][0]["physicalLocation"];
        let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.starts_with("file:///") && uri.ends_with("a%20b.yaml"), "{uri}");
        assert!(physical["region"]["startLine"].is_u64() && physical["region"]["startColumn"].is_u64(), "{physical}");
        assert!(result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"].is_string());
    }
}

/// Whether the validator finds what the standard forbids, and nothing in `log`.
fn is_of_schema(log: &Value) {
    if !super::support::programs::is_installed("jsonschema") {
        return super::support::cannot_run(
            "jsonschema is missing: Debian's package python3-jsonschema (e2e/release/get)",
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let judge = |log: &Value| {
        let path = folder.path().join("log");
        fs::write(&path, log.to_string()).unwrap();
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sarif-2.1.0.json");
        let mut command = Command::new("jsonschema");
        command.env("PATH", super::support::node::PATH).arg("--instance").arg(path).arg(schema).output().unwrap()
    };
    let valid = judge(log);
    assert!(valid.status.success(), "{valid:?}");
    for (place, value) in [
        ("/version", json!("2.0.0")),
        ("/runs/0/tool/driver/rules/0/helpUri", json!(null)),
        ("/runs/0/results/0/level", json!("info")),
        ("/runs/0/results/0/message", json!({})),
        ("/runs/0/results/0/locations/0/physicalLocation/region/startLine", json!(0)),
        ("/runs/0/results/0/locations/0", json!({"line": 1})),
    ] {
        let mut wrong = log.clone();
        *wrong.pointer_mut(place).unwrap() = value;
        assert!(!judge(&wrong).status.success(), "{place}");
    }
}

/// Code scanning looks for `x.yaml` among the files of a repository.
#[test]
fn sarif_names_files_as_a_repository_does() {
    let folder = folder(&[("deep/x.yaml", BAD)]);
    for given in [".", "./", "./deep", "deep/./x.yaml", "deep"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        command.env_clear().current_dir(folder.path()).args(["lint", "-o", "sarif", "--cni-conf-dir", "/nonexistent"]);
        let log: Value = serde_json::from_slice(&command.arg(given).output().unwrap().stdout).unwrap();
        let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "deep/x.yaml", "{given}");
    }
}

/// On a node the programs and the bridges count.
#[test]
fn on_a_node_the_machine_is_looked_at() {
    let network = |config: &str| {
        format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: a}}\nspec: {{config: '{config}'}}\n"
        )
    };
    let folder =
        folder(&[("x.yaml", &network(r#"{"cniVersion":"1.0.0","type":"strange"}"#)), ("bin/strange", "#!/bin/sh\n")]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::os::unix::fs::symlink("/bin/sh", folder.path().join("sh")).unwrap();
    assert!(lint(&[&path("x.yaml")]).status.success());
    let missing = lint(&[&path("x.yaml"), "--on-node", "--cni-bin-dir", "/nonexistent"]);
    assert!(missing.status.code() == Some(1) && text(&missing.stdout).contains("PX043"), "{missing:?}");
    let strange = Path::new(&path("bin/strange")).to_owned();
    let not_executable = lint(&[&path("x.yaml"), "--on-node", "--cni-bin-dir", &path("bin")]);
    assert!(text(&not_executable.stdout).contains("cannot be executed"), "{not_executable:?}");
    std::fs::set_permissions(strange, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let there = lint(&[&path("x.yaml"), "--on-node", "--cni-bin-dir", &path("bin")]);
    assert!(there.status.success(), "{there:?}");
}

fn network(config: &str) -> String {
    format!(
        "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: a, namespace: kube-system}}\nspec: {{config: '{config}'}}\n---\n"
    )
}

/// What ADD refuses is found, whatever the words of the refusal.
#[test]
fn no_error_of_a_configuration_gets_lost() {
    let pod = |key: &str, value: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: kube-system, annotations: {{{key}: '{value}'}}}}\nspec: {{containers: []}}\n"
        )
    };
    let bridge = network(r#"{"cniVersion":"1.0.0","type":"bridge"}"#);
    let list = |kinds: &[&str]| {
        let plugins: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind, "master": "eth1"})).collect();
        network(&json!({"cniVersion": "1.0.0", "plugins": plugins}).to_string())
    };
    let gateway = |subnet: &str, gateway: &str| {
        let ipam = json!({"type": "host-local", "subnet": subnet, "gateway": gateway});
        network(&json!({"cniVersion": "1.0.0", "type": "bridge", "ipam": ipam}).to_string())
    };
    let fixed = |address: &str, gateway: &str| {
        let ipam = json!({"type": "static", "addresses": [{"address": address, "gateway": gateway}]});
        network(&json!({"cniVersion": "1.0.0", "type": "bridge", "ipam": ipam}).to_string())
    };
    let default_network = "v1.multus-cni.io/default-network";
    let networks = "k8s.v1.cni.cncf.io/networks";
    for (text, rule) in [
        (network(r#"{"cniVersion":"1.0.0","type":"bridge","disableGC":"x"}"#), "PX010"),
        (network(r#"{"cniVersion":"1.0.0","type":"bridge","loadOnlyInlinedPlugins":"y"}"#), "PX010"),
        (list(&["a"; 100]), "PX071"),
        (list(&["bridge", "macvlan"]), "PX075"),
        (list(&["bridge", "tuning", "ptp"]), "PX075"),
        (list(&["tuning", "bridge"]), "PX077"),
        (list(&["portmap"]), "PX077"),
        (gateway("10.1.0.0/24", "10.1.0.0"), "PX076"),
        (gateway("10.1.0.0/16", "10.1.255.255"), "PX076"),
        (fixed("10.1.0.5/24", "10.1.0.255"), "PX076"),
        (pod(default_network, "[{name: a}]"), "PX073"),
        (pod(default_network, ""), "PX073"),
        (bridge.clone() + &pod(default_network, "a, b"), "PX073"),
        (bridge.clone() + &pod(networks, r#"[{"name":"a","mac":"02:00:00:00:00:01:02:03"}]"#), "PX072"),
    ] {
        let folder = folder(&[("x.yaml", &text)]);
        let path = folder.path().display().to_string();
        let output = lint(&[path.as_str()]);
        let shown = text_of(&output);
        assert!(
            shown.contains(&format!("error {rule}: ")) && output.status.code() == Some(1),
            "{rule}:\n{text}\n{shown}"
        );
    }
    for fine in [
        list(&["bridge", "tuning", "portmap"]),
        gateway("10.1.0.0/24", "10.1.0.254"),
        fixed("10.1.0.5/31", "10.1.0.4"),
        bridge.clone() + &pod(default_network, "kube-system/a"),
        network(r#"{"cniVersion":"1.0.0","type":"bridge","disableGC":"true"}"#),
    ] {
        let folder = folder(&[("x.yaml", &fine)]);
        let shown = text_of(&lint(&[&folder.path().display().to_string()]));
        assert!(!shown.contains("error PX"), "{fine}\n{shown}");
    }
}

/// What was not looked at is told, and is not "no problem found".
#[test]
fn what_is_passed_over_is_told() {
    let network = |kind: &str, spec: &str| {
        format!("apiVersion: k8s.cni.cncf.io/v1\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{config: {spec}}}\n---\n")
    };
    let good = "'{\"cniVersion\":\"1.0.0\",\"type\":\"bridge\"}'";
    let nad = "NetworkAttachmentDefinition";
    let pod = |metadata: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{{metadata}}}\nspec: {{containers: []}}\n---\n")
    };
    let key = |key: &str| pod(&format!("name: p, annotations: {{{key}: a}}"));
    for (text, rule) in [
        (network(nad, "{type: bridge}"), "error PX064"),
        (network(nad, "[{type: bridge}]"), "error PX064"),
        (network(nad, "7"), "error PX064"),
        (network("NetworkAttachmentDefinitions", good), "error PX063"),
        (network("networkattachmentdefinition", good), "error PX063"),
        (network("NetworkAttachmentDefintion", good), "error PX063"),
        (network(nad, good).replace("k8s.cni.cncf.io/v1", "k8s.v1.cni.cncf.io/v1"), "error PX063"),
        (pod("name: p").replace("kind: Pod", "kind: Pods"), "error PX063"),
        (
            "apiVersion: ipam.plexus.dev/v1alpha1\nkind: AddressPools\nmetadata: {name: lan}\nspec: {}\n".to_owned(),
            "did you mean AddressPool of ipam.plexus.dev/v1alpha1?",
        ),
        (key("k8s.v1.cni.cncf.io/network"), "warning PX065"),
        (key("k8s.v1.cni.cncf.io/Networks"), "warning PX065"),
        (key("k8s.v1.cni.cnf.io/networks"), "warning PX065"),
        (key("v1.multus-cni.io/default-networks"), "warning PX065"),
        (
            network(nad, good)
                .replace("{name: a}", "{name: a, annotations: {k8s.v1.cni.cncf.io/resourcename: x.com/y}}"),
            "warning PX065",
        ),
        (pod("name: p, annotations: {k8s.v1.cni.cncf.io/networks: [a]}"), "error PX066"),
        (network(nad, good).replace("{name: a}", "{}"), "error PX067"),
        (pod(""), "error PX067"),
        // With a prefix it is judged as another one.
        (pod("generateName: p-, annotations: {k8s.v1.cni.cncf.io/networks: gone}"), "error PX029"),
        (
            format!(
                "kind: {nad}List\napiVersion: k8s.cni.cncf.io/v1\nitems: [{{metadata: {{name: a}}, spec: {{config: '{{'}}}}]\n"
            ),
            "error PX001",
        ),
    ] {
        let folder = folder(&[("x.yaml", &text)]);
        let shown = text_of(&lint(&[&folder.path().display().to_string(), "--strict"]));
        assert!(shown.contains(rule), "{rule}:\n{text}\n{shown}");
    }
    for fine in [
        key("k8s.v1.cni.cncf.io/network-status"),
        key("example.com/networks"),
        "kind: AllowList\napiVersion: x.com/v1\nmetadata: {name: a}\nspec: {}\n".to_owned(),
        "kind: Rollout\napiVersion: argoproj.io/v1\nmetadata: {name: a}\nspec: {}\n".to_owned(),
    ] {
        // Where nothing is checked, `--strict` refuses.
        let folder = folder(&[("x.yaml", &fine), ("y.yaml", &network(nad, good))]);
        let output = lint(&[&folder.path().display().to_string(), "--strict"]);
        assert!(output.status.success(), "{fine}\n{output:?}");
    }
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn the_summary_counts_what_was_checked_and_what_was_not() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n---\n";
    let clean = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: a}\nspec: {config: '{\"cniVersion\":\"1.0.0\",\"type\":\"bridge\"}'}\n";
    let some = folder(&[("a.yaml", &format!("{service}{clean}")), ("b.yaml", service)]);
    let path = some.path().display().to_string();
    let said = text(&lint(&[&path]).stderr);
    assert_eq!(said, "1 network, 0 pods in 2 files; 2 objects of other kinds not checked: no problem found.\n");
    let document: Value = serde_json::from_slice(&lint(&[&path, "-o", "json"]).stdout).unwrap();
    assert_eq!(
        document["checked"],
        json!({"networks": 1, "pods": 0, "pools": 0, "services": 0, "files": 2, "others": 2, "unread": 0})
    );
    let nothing = folder(&[("a.yaml", service)]);
    let said = text(&lint(&[&nothing.path().display().to_string()]).stderr);
    assert_eq!(said, "0 networks, 0 pods in 1 file; 1 object of another kind not checked: nothing was checked.\n");
    let of_network = service.replace("{name: s}", "{name: s, annotations: {k8s.v1.cni.cncf.io/service-network: a}}");
    let headless = folder(&[("a.yaml", &of_network.replace("---", "spec: {clusterIP: None}\n---"))]);
    let said = text(&lint(&["--strict", &headless.path().display().to_string()]).stderr);
    assert_eq!(said, "0 networks, 0 pods, 1 service in 1 file: no problem found.\n");
    let pool = |spec: &str| {
        let text =
            format!("apiVersion: ipam.plexus.dev/v1alpha1\nkind: AddressPool\nmetadata: {{name: lan}}\nspec: {spec}\n");
        let pool = folder(&[("a.yaml", &text)]);
        text_of(&lint(&[&pool.path().display().to_string()]))
    };
    let good = pool("{ranges: [{range: 10.0.0.0/24}]}");
    assert_eq!(good, "0 networks, 0 pods, 1 address pool in 1 file: no problem found.\n");
    let bad = pool("{ranges: [{range: 10.0.0.0/33}]}");
    assert!(bad.contains("error PX080: range \"10.0.0.0/33\" is not a subnet") && bad.contains("1 error."), "{bad}");
}

#[test]
fn a_long_file_and_an_unreadable_directory_hide_nothing() {
    let bad = |number: usize| {
        format!(
            "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: n{number}}}\nspec: {{config: '{{'}}\n---\n"
        )
    };
    let many: String = (0..1500).map(bad).collect();
    let folder = folder(&[("closed/x.yaml", BAD), ("many.yaml", &many), ("z/bad.yaml", BAD)]);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(folder.path(), 0o755);
    mode(&folder.path().join("closed"), 0o000);
    // Root reads every directory, so it asks as another user.
    let words = ["lint", "--cni-conf-dir", "/nonexistent", "-o", "json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().args(words).arg(folder.path());
    if nix::unistd::geteuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
    }
    let output = command.output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let found = |rule: &str| document["findings"].as_array().unwrap().iter().filter(|one| one["rule"] == rule).count();
    assert_eq!((found("PX001"), found("PX011")), (1500, 1), "{}", document["checked"]);
    assert_eq!((&document["checked"]["files"], &document["checked"]["unread"]), (&json!(2), &json!(1)));
    assert!(
        output.status.code() == Some(1) && text(&output.stderr).contains("closed: Permission denied"),
        "{output:?}"
    );
}

/// A program that reads only the findings must not take an unreadable file for a clean one.
#[test]
fn what_cannot_be_read_is_a_finding() {
    let folder = folder(&[("a.yaml", "kind: Pod\nmetadata: {name: p\nspec: {}\n")]);
    let (path, missing) = (folder.path().join("a.yaml").display().to_string(), "/nonexistent.yaml");
    let output = lint(&[&path, missing, "-o", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &document["errors"]), (Some(1), &json!(2)), "{document:#}");
    let place = |finding: &Value| ["rule", "file", "line"].map(|key| finding[key].clone()).to_vec();
    let places: Vec<Vec<Value>> = document["findings"].as_array().unwrap().iter().map(place).collect();
    assert_eq!(
        places,
        [vec![json!("PX000"), json!(path), json!(3)], vec![json!("PX000"), json!(missing), Value::Null]]
    );
    assert_eq!((&document["checked"]["files"], &document["checked"]["unread"]), (&json!(0), &json!(2)));
    let log: Value = serde_json::from_slice(&lint(&[&path, missing, "-o", "sarif"]).stdout).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.iter().map(|one| &one["level"]).collect::<Vec<_>>(), ["error", "error"], "{log:#}");
    let region = |at: usize| &results[at]["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region(0)["startLine"], region(1)), (&json!(3), &Value::Null));
    let shown = text(&lint(&[&path, missing]).stdout);
    assert!(shown.starts_with(&format!("{path}:3:")) && shown.contains(": error PX000: "), "{shown}");
    assert!(shown.contains(&format!("\n{missing}: error PX000: No such file")), "{shown}");
    // A comment in it silences nothing: it was not checked.
    fs::write(&path, "# lint: ignore PX000\na: [").unwrap();
    assert!(text(&lint(&[&path]).stdout).contains("PX000"));
}

#[test]
fn where_nothing_was_checked_strict_refuses() {
    let folder = folder(&[("a.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"), ("s.json", "{}")]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(lint(&[&path("a.yaml")]).status.code(), Some(0));
    assert_eq!(lint(&[&path("a.yaml"), "--strict"]).status.code(), Some(1));
    assert_eq!(lint(&["--settings", &path("s.json"), "--strict"]).status.code(), Some(0));
}
