//! `plexusctl plan`: what it prints is what ADD does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use support::daemon::Daemon;
use support::{Node, Pod, manifests};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

fn plexusctl(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plexusctl")).env_clear().arg("plan").args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The document of `plan <words> -o json`, and the exit code.
#[track_caller]
fn document(words: &[&str]) -> (Value, i32) {
    let output = plexusctl(&[words, &["-o", "json"]].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{words:?}: {e}: {output:?}"));
    (document, output.status.code().unwrap())
}

/// A folder with the files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn nad(name: &str, config: &str) -> String {
    format!(
        "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {{name: {name}}}\nspec:\n  config: '{config}'\n---\n"
    )
}

fn pod(annotation: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations:\n    k8s.v1.cni.cncf.io/networks: '{annotation}'\nspec: {{containers: [{{name: c}}]}}\n---\n"
    )
}

/// Not on the node: where no configuration of Plexus is.
fn elsewhere(path: &str) -> Vec<&str> {
    vec![path, "--cni-conf-dir", "/nonexistent"]
}

#[test]
fn every_example_is_planned_on_a_workstation() {
    let (document, code) = document(&elsewhere(EXAMPLES));
    assert_eq!(code, 0, "{document:#}");
    let pods = document["pods"].as_array().unwrap();
    let interfaces = |pod: &Value| -> String {
        let networks = pod["networks"].as_array().unwrap().iter();
        networks.map(|network| network["interface"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
    };
    let found: Vec<(&str, String)> = pods.iter().map(|pod| (pod["pod"].as_str().unwrap(), interfaces(pod))).collect();
    for (pod, expected) in [
        ("default/default-route", "eth0 net1"),
        ("default/interface-names", "eth0 front back"),
        ("default/one", "eth0 net1 net2 net3"),
        ("default/static-addresses", "eth0 storage0"),
        ("kube-public/guest", "eth0 net1"),
    ] {
        assert!(found.contains(&(pod, expected.to_owned())), "{pod}: {found:?}");
    }
    assert!(pods.iter().all(|pod| pod["refused"].is_null() && pod["preflight"] == false), "{document:#}");
    let route = pods.iter().find(|pod| pod["pod"] == "default/default-route").unwrap();
    assert_eq!(route["defaultRoute"], json!({"ipv4": "net1", "ipv6": "eth0"}));
    let published = pods.iter().find(|pod| pod["pod"] == "default/published").unwrap();
    let plugins = &published["networks"][1]["plugins"];
    assert_eq!((&plugins[0]["native"], &plugins[1]["native"]), (&json!(true), &json!(false)), "{plugins}");
    assert!(published["networks"][1]["capabilities"]["portMappings"].is_array());
}

#[test]
fn a_refusal_is_that_of_add_and_status_1() {
    let lan =
        nad("lan", r#"{"cniVersion":"1.0.0","type":"bridge","ipam":{"type":"host-local","subnet":"10.1.0.0/24"}}"#);
    let wrong = nad("lan", r#"{"cniVersion":"1.0.0","type":"macvlan","mode":"brigde"}"#);
    let device = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: lan, annotations: {k8s.v1.cni.cncf.io/resourceName: x.com/y}}\nspec: {config: '{\"type\":\"sriov\",\"cniVersion\":\"1.0.0\"}'}\n---\n";
    for (networks, annotation, words) in [
        (lan.as_str(), "lam", &["default/lam", "does not exist; did you mean default/lan?"][..]),
        (&lan, r#"[{"name":"lan","interface":"a"},{"name":"lan","interface":"a"}]"#, &["requested twice"]),
        (
            &lan,
            r#"[{"name":"lan","portMappings":[{"hostPort":1,"containerPort":1}]}]"#,
            &["portMappings", "capability"],
        ),
        (&lan, r#"[{"name":"lan","default-route":["10.2.0.1"]}]"#, &["10.2.0.1 cannot be reached"]),
        (&lan, r#"[{"name":"lan","mac":"zz"}]"#, &["not a hardware address"]),
        (&wrong, "lan", &["net1", "macvlan", "brigde"]),
        (device, "lan", &["x.com/y", "no device"]),
    ] {
        let folder = folder(&[("x.yaml", &format!("{networks}{}", pod(annotation)))]);
        let path = folder.path().join("x.yaml").display().to_string();
        let (document, code) = document(&elsewhere(&path));
        let refused = &document["pods"][0]["refused"];
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(code == 1 && refused["code"] == 7, "{annotation}: {document:#}");
        assert!(words.iter().all(|word| message.contains(word)), "{annotation}: {message}");
        let shown = plexusctl(&elsewhere(&path));
        assert!(shown.status.code() == Some(1) && text(&shown.stdout).contains("refused: code 7: "), "{shown:?}");
    }
}

#[test]
fn a_pool_that_gives_no_address_is_a_refusal() {
    let lan = nad(
        "lan",
        r#"{"cniVersion":"1.0.0","type":"macvlan","master":"eth1","ipam":{"type":"plexus-ipam","pool":"lan"}}"#,
    );
    let pool = |name: &str, namespaces: &str| {
        format!(
            "apiVersion: ipam.plexus.dev/v1alpha1\nkind: AddressPool\nmetadata: {{name: {name}}}\nspec: {{ranges: [{{range: 10.9.0.0/24}}]{namespaces}}}\n---\n"
        )
    };
    for (pools, refused) in [
        (pool("lan", ""), None),
        (pool("lan", ", namespaces: [default]"), None),
        (pool("other", ""), Some((11, "network default/lan (net1): AddressPool lan does not exist"))),
        (
            pool("lan", ", namespaces: [web]"),
            Some((7, "network default/lan (net1): AddressPool lan gives no address to pods of namespace default")),
        ),
    ] {
        let folder = folder(&[("x.yaml", &format!("{lan}{pools}{}", pod("lan")))]);
        let path = folder.path().join("x.yaml").display().to_string();
        let (document, code) = document(&elsewhere(&path));
        let found = &document["pods"][0]["refused"];
        let expected = refused.map_or(Value::Null, |(code, message)| json!({"code": code, "message": message}));
        assert_eq!((found, code), (&expected, i32::from(refused.is_some())), "{document:#}");
        let said = text(&plexusctl(&elsewhere(&path)).stderr);
        assert!(!said.contains("AddressPool"), "{said}");
    }
    // Without manifests of pools nothing is asserted.
    let folder = folder(&[("x.yaml", &format!("{lan}{}", pod("lan")))]);
    let output = plexusctl(&elsewhere(&folder.path().join("x.yaml").display().to_string()));
    let said = text(&output.stderr);
    assert!(output.status.success() && said.contains("AddressPool lan was not looked at"), "{output:?}");
}

#[test]
fn templates_devices_and_other_directories() {
    let networks = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: vf, namespace: apps, annotations: {k8s.v1.cni.cncf.io/resourceName: x.com/y}}\nspec: {config: '{\"type\":\"sriov\",\"cniVersion\":\"1.0.0\"}'}\n";
    let workload = |kind: &str, begin: &str| {
        format!(
            "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: d, namespace: apps}}\nspec: {{{begin}template: {{metadata: {{annotations: {{k8s.v1.cni.cncf.io/networks: vf}}}}, spec: {{containers: [{{name: c, resources: {{limits: {{x.com/y: 1}}}}}}]}}}}"
        )
    };
    let manifests =
        ["Deployment", "StatefulSet", "DaemonSet", "Job", "VirtualMachine"].map(|kind| workload(kind, "") + "}\n");
    let cron = workload("CronJob", "jobTemplate: {spec: {") + "}}}\n";
    let machine = "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: vm, namespace: apps}\nspec: {template: {spec: {networks: [{name: a, pod: {}}, {name: b, multus: {networkName: vf}}], containers: [{resources: {limits: {x.com/y: \"1\"}}}]}}}\n";
    let all = [&manifests[..], &[cron, machine.to_owned()]].concat().join("---\n");
    let (files, source) = (folder(&[("x.yaml", &all)]), folder(&[("nads.yaml", networks)]));
    let (path, source) = (files.path().display().to_string(), source.path().display().to_string());
    let (document, code) = document(&[elsewhere(&path), vec!["--source-directory", &source]].concat());
    let pods = document["pods"].as_array().unwrap();
    assert!(code == 0 && pods.len() == 7, "{document:#}");
    for pod in pods {
        assert_eq!(pod["networks"][1]["network"], "apps/vf", "{pod:#}");
        assert_eq!(pod["networks"][1]["device"], "(device 1)", "{pod:#}");
    }
    // Without them the networks do not exist.
    assert_eq!(plexusctl(&elsewhere(&path)).status.code(), Some(1));
}

#[test]
fn what_cannot_be_read_is_one_line() {
    let folder = folder(&[("bad.yaml", "a: ["), ("none.yaml", "kind: Service\napiVersion: v1\n")]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let bad = plexusctl(&elsewhere(&path("bad.yaml")));
    let said = text(&bad.stderr);
    assert!(bad.status.code() == Some(1) && said.lines().count() == 1 && said.contains("bad.yaml"), "{said}");
    let none = plexusctl(&elsewhere(&path("none.yaml")));
    assert!(none.status.success() && text(&none.stderr).contains("none.yaml: no pod"), "{none:?}");
    let nothing = plexusctl(&["no.yaml", "--cni-conf-dir", "/nonexistent"]);
    let said = text(&nothing.stderr);
    assert!(nothing.status.code() == Some(1) && said.lines().count() == 1, "{said}");
    assert!(said.contains("no.yaml: there is no such file; a pod is NAMESPACE/NAME, or NAME"), "{said}");
    // As `why` and `describe`.
    let bare = plexusctl(&["nopod", "--cni-conf-dir", "/nonexistent", "--run-directory", "/nonexistent"]);
    assert!(text(&bare.stderr).contains("nopod is not a file; as a pod: plexusd is not running"), "{bare:?}");
    assert!(text(&bare.stderr).trim_end().ends_with("name one with --kubeconfig"), "{bare:?}");
    let away = plexusctl(&["default/p", "--cni-conf-dir", "/nonexistent", "--run-directory", "/nonexistent"]);
    assert!(away.status.code() == Some(1) && text(&away.stderr).contains("plexusd is not running"), "{away:?}");
    assert_eq!(plexusctl(&[]).status.code(), Some(2));
}

/// No pod hides the ones after it.
#[test]
fn pods_without_a_name_are_planned() {
    let lan = nad("lan", r#"{"cniVersion":"1.0.0","type":"bridge"}"#);
    let named = |name: &str| pod("lan").replace("name: p", name);
    let all =
        [&lan, &named("generateName: job-"), &named("labels: {}"), &named("name: Not_A_Name"), &named("name: last")];
    let folder = folder(&[("x.yaml", &all.map(String::as_str).concat())]);
    let (document, code) = document(&elsewhere(&folder.path().display().to_string()));
    let pods = document["pods"].as_array().unwrap();
    let names: Vec<&str> = pods.iter().map(|pod| pod["pod"].as_str().unwrap()).collect();
    assert_eq!(names, ["default/job-xxxxx", "default/unnamed", "default/Not_A_Name", "default/last"]);
    let refused: Vec<bool> = pods.iter().map(|pod| !pod["refused"].is_null()).collect();
    assert_eq!((refused, code), (vec![false, false, true, false], 1), "{document:#}");
}

/// The words for the node of the test.
fn on_node(node: &Node) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    vec!["--cni-conf-dir".into(), path(&node.net_d()), "--cni-bin-dir".into(), path(&node.bin())]
}

fn bridge(name: &str) -> Value {
    json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": name, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]], "routes": [{"dst": "10.99.0.0/16"}]}})
}

/// Interfaces and plugins of a plan are those of ADD; nothing on the machine changes before it.
#[test]
fn on_the_node_the_plan_is_what_add_does() {
    let Some(node) = Node::new() else { return };
    manifests::network("default/lan", &bridge("br-lan"));
    manifests::network("default/lost", &json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "gone0"}));
    manifests::network("default/strange", &json!({"cniVersion": "1.0.0", "type": "stranger"}));
    let mut config = node.config.clone();
    config["name"] = json!("cbr0");
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [config]});
    fs::write(node.net_d().join("00-plexus.conflist"), list.to_string()).unwrap();
    let daemon = Daemon::start(&node);
    let words = on_node(&node);
    let planned = |name: &str| {
        let own = [&[format!("default/{name}")][..], &words].concat();
        document(&own.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let pods = [("good", "lan, lan@x"), ("lost", "lost"), ("strange", "strange")];
    let [good, lost, strange] = pods.map(|(name, networks)| {
        manifests::pod(name, &json!({"k8s.v1.cni.cncf.io/networks": networks}));
        Pod::new(&node, name).selecting(networks)
    });
    let state = || {
        let mut names: Vec<String> = fs::read_dir(node.state().path())
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let before = state();
    let (document, code) = planned("good");
    assert!(code == 0 && document["pods"][0]["preflight"] == true, "{document:#}\n{}", daemon.log());
    assert_eq!(state(), before, "a plan writes nothing");
    without_the_right(&words);
    good.add().result();
    let status: Value = serde_json::from_str(&status_of(&good)).unwrap();
    let attached: Vec<(&str, &str)> = status
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap(), entry["interface"].as_str().unwrap()))
        .collect();
    let networks = document["pods"][0]["networks"].as_array().unwrap();
    let expected: Vec<(&str, &str)> = networks
        .iter()
        .map(|network| (network["network"].as_str().unwrap(), network["interface"].as_str().unwrap()))
        .collect();
    assert_eq!(expected, attached);
    assert_eq!(networks[1]["routes"], json!(["10.99.0.0/16"]));
    for pod in [&lost, &strange] {
        let (document, code) = planned(&pod.name);
        let refused = &document["pods"][0]["refused"];
        let error = pod.add().error();
        assert_eq!(code, 1);
        assert_eq!(
            (refused["code"].as_u64(), refused["message"].as_str()),
            (Some(error.code.into()), Some(&*error.msg))
        );
    }
    good.del().silence();
}

/// A process that may not make namespaces, as in the keeper's container, plans without a look at the machine.
fn without_the_right(words: &[String]) {
    let plan = |more: &[&str]| {
        let mut command = Command::new("setpriv");
        command.env_clear().args(["--bounding-set", "-sys_admin", env!("CARGO_BIN_EXE_plexusctl"), "plan"]);
        command.args(words).args(more).output().unwrap()
    };
    let output = plan(&["default/good", "-o", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let pod = &document["pods"][0];
    assert!(output.status.success() && pod["preflight"] == false && pod["refused"].is_null(), "{document:#}");
    let asked = plan(&["--on-node", EXAMPLES]);
    assert!(asked.status.code() == Some(1) && text(&asked.stderr).contains("as root on the node"), "{asked:?}");
}

#[test]
fn on_a_machine_without_plexus_the_additional_networks_are_looked_at() {
    let Some(_node) = Node::new() else { return };
    let of = |master: &str| {
        let config = format!(r#"{{"cniVersion":"1.0.0","type":"macvlan","master":"{master}"}}"#);
        let folder = folder(&[("x.yaml", &(nad("lan", &config) + &pod("lan")))]);
        let path = folder.path().join("x.yaml").display().to_string();
        let shown = plexusctl(&[&elsewhere(&path)[..], &["--on-node"]].concat());
        (shown.status.code(), text(&shown.stdout))
    };
    let (code, said) = of("lo9");
    assert!(code == Some(1) && said.contains("there is no link lo9"), "{said}");
    assert!(said.contains("note: Plexus is not installed on this machine"), "{said}");
    assert!(!said.contains("plexus.dev"), "{said}");
}

#[test]
fn a_pod_of_the_nodes_network_gets_none() {
    let lan = nad("lan", r#"{"cniVersion":"1.0.0","type":"bridge"}"#);
    let manifest = pod("lan").replace("{containers", "{hostNetwork: true, containers");
    let folder = folder(&[("x.yaml", &format!("{lan}{manifest}"))]);
    let path = folder.path().display().to_string();
    let shown = plexusctl(&elsewhere(&path));
    let said = text(&shown.stdout);
    assert!(shown.status.success() && said.contains("hostNetwork") && !said.contains("planned:"), "{said}");
}

fn status_of(pod: &Pod) -> String {
    let path = format!("/run/plexus/network-status/default_{}.json", pod.name);
    let object: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    object["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"].as_str().unwrap().to_owned()
}

#[test]
fn what_only_a_program_refuses_is_not_planned_as_well() {
    let config = r#"{"cniVersion":"1.0.0","type":"macvlan","master":"eth1","foo":1,"ipam":{"type":"host-local","subnt":"10.78.0.0/24"}}"#;
    let files = folder(&[("p.yaml", &(nad("mistyped", config) + &pod("mistyped")))]);
    let (document, code) = document(&elsewhere(files.path().to_str().unwrap()));
    let message = document["pods"][0]["refused"]["message"].as_str().unwrap_or_default();
    assert!(code == 1 && message.contains("subnt") && message.contains("mistyped (net1)"), "{document:#}");
}
