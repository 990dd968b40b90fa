//! What lies in `conf/`: every overlay, rendered as kubectl does, agrees with the programs that it starts and with the
//! distribution it is for; the sample of the settings is complete and holds the defaults.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "support/asset.rs"]
mod asset;
#[path = "manifests/chart.rs"]
mod chart;
#[path = "manifests/platforms.rs"]
mod platforms;

use asset::program;
use plexus::engine::Settings;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Where a distribution's runtime looks for configurations and for plugins, and what the daemon may read beside networks.
struct Place {
    folder: &'static str,
    conf: &'static str,
    bin: &'static str,
    roles: &'static [&'static str],
}

const fn place(folder: &'static str, conf: &'static str, bin: &'static str, roles: &'static [&'static str]) -> Place {
    Place { folder, conf, bin, roles }
}

const CONF: &str = "/etc/cni/net.d";
const BIN: &str = "/opt/cni/bin";
/// Pods are watched for runtimes that do not pass annotations.
const PODS: &[&str] = &["plexus-pods"];

/// By the documentation of each: k3s-io/docs (installation, Multus and IPAM), microk8s.io (change-cidr), Talos (Multus),
/// OpenShift's cluster-network-operator (`SystemCNIConfDir`, `CNIBinDir`), MicroShift's `packaging/crio.conf.d`.
const PLACES: [Place; 10] = [
    place("base", CONF, BIN, &[]),
    place("overlays/cri-o", CONF, BIN, &[]),
    place("overlays/dra", CONF, BIN, &["plexus-claims"]),
    place("overlays/k3s", "/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/cni", &[]),
    place(
        "overlays/microk8s",
        "/var/snap/microk8s/current/args/cni-network",
        "/var/snap/microk8s/current/opt/cni/bin",
        &[],
    ),
    place("overlays/microshift", CONF, "/run/cni/bin", &[]),
    place("overlays/openshift", "/etc/kubernetes/cni/net.d", "/var/lib/cni/bin", &[]),
    place("overlays/pod-watch", CONF, BIN, PODS),
    place("overlays/rke2", CONF, BIN, &[]),
    place("overlays/talos", CONF, BIN, &[]),
];

fn kubectl() -> Option<PathBuf> {
    program("kubernetes", "kubectl")
}

/// Objects by kind and name.
type Objects = BTreeMap<(String, String), Value>;

/// The objects of `folder`.
fn render(kubectl: &Path, folder: &Path) -> Objects {
    objects(&success(&Command::new(kubectl).arg("kustomize").arg(folder).output().unwrap()))
}

/// The objects of a YAML file.
fn objects(text: &str) -> Objects {
    let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    let name =
        |object: &Value, of: &Value, key: &str| of[key].as_str().unwrap_or_else(|| panic!("{object}")).to_owned();
    documents
        .map(|object| ((name(&object, &object, "kind"), name(&object, &object["metadata"], "name")), object))
        .collect()
}

fn success(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn list<'a>(object: &'a Value, key: &str) -> Vec<&'a Value> {
    object[key].as_array().map_or_else(Vec::new, |list| list.iter().collect())
}

/// The texts `key` of the elements of a list.
fn texts(elements: &[&Value], key: &str) -> BTreeSet<String> {
    elements.iter().filter_map(|element| element[key].as_str()).map(str::to_owned).collect()
}

fn daemon_set(objects: &Objects) -> &Value {
    &objects[&("DaemonSet".to_owned(), "plexus".to_owned())]["spec"]["template"]["spec"]
}

/// The container `name`, and the variables it is started with.
fn container<'a>(spec: &'a Value, kind: &str, name: &str) -> (&'a Value, BTreeMap<String, Option<String>>) {
    let container = list(spec, kind).into_iter().find(|container| container["name"] == name).unwrap();
    let variables = list(container, "env")
        .into_iter()
        .map(|variable| (variable["name"].as_str().unwrap().to_owned(), variable["value"].as_str().map(str::to_owned)));
    (container, variables.collect())
}

/// The container's program takes its arguments and knows its variables: with `--help` last, the program reads all that
/// stands before, and does nothing.
fn assert_accepted(container: &Value, variables: &BTreeMap<String, Option<String>>) {
    let words: Vec<&str> = [list(container, "command"), list(container, "args")]
        .concat()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    let program = match words[0] {
        "/plexusctl" => env!("CARGO_BIN_EXE_plexusctl"),
        "/plexusd" => env!("CARGO_BIN_EXE_plexusd"),
        other => panic!("{other} is not in the image"),
    };
    let help = success(&Command::new(program).args(&words[1..]).arg("--help").output().unwrap());
    for variable in variables.keys() {
        assert!(help.contains(&format!("[env: {variable}=")), "{words:?} knows no {variable}:\n{help}");
    }
}

/// Every mount is of a volume, and what is the node's lies where it lies on the node: the paths are written into its
/// configuration. Answers the node's folders that the container sees.
fn node_folders(spec: &Value, container: &Value) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for mount in list(container, "volumeMounts") {
        let volume = list(spec, "volumes").into_iter().find(|volume| volume["name"] == mount["name"]);
        let volume = volume.unwrap_or_else(|| panic!("{mount} is of no volume"));
        if let Some(path) = volume["hostPath"]["path"].as_str() {
            assert_eq!(mount["mountPath"], path);
            folders.insert(path.to_owned());
        }
    }
    folders
}

/// Who writes what: the daemon, which reads what others write, is nobody on the node and writes one folder; who writes
/// the node's folders has no token.
fn assert_least_power(spec: &Value) {
    // M1, D10, T12
    let pod = &spec["securityContext"];
    assert_eq!((&spec["automountServiceAccountToken"], &pod["runAsNonRoot"]), (&false.into(), &true.into()));
    assert_eq!((&pod["runAsUser"], &pod["runAsGroup"]), (&65532.into(), &65532.into()));
    for container in [list(spec, "initContainers"), list(spec, "containers")].concat() {
        let context = &container["securityContext"];
        for (key, value) in
            [("privileged", false), ("allowPrivilegeEscalation", false), ("readOnlyRootFilesystem", true)]
        {
            assert_eq!(context[key], Value::from(value), "{}: {key}", container["name"]);
        }
        assert_eq!(context["capabilities"], serde_json::json!({ "drop": ["ALL"] }), "{}", container["name"]);
        let mounts = list(container, "volumeMounts");
        let writable = mounts.iter().filter(|mount| mount["readOnly"] != true && mount["name"] != "settings");
        let writable: Vec<&str> = writable.map(|mount| mount["name"].as_str().unwrap()).collect();
        let has_token = mounts.iter().any(|mount| mount["name"] == "token");
        if container["name"] == "plexusd" {
            assert_eq!((writable, has_token, &context["runAsUser"]), (vec!["run-daemon"], true, &Value::Null));
        } else {
            assert!(!has_token && context["runAsUser"] == 0, "{}", container["name"]);
            // Without it SELinux refuses every folder of the node.
            assert_eq!(context["seLinuxOptions"]["type"], "spc_t", "{}", container["name"]);
        }
    }
}

#[test]
fn every_overlay_agrees_with_its_distribution_and_with_the_programs() {
    let Some(kubectl) = kubectl() else { return };
    let overlays = fs::read_dir(format!("{ROOT}/conf/overlays")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut folders: BTreeSet<String> = overlays.map(|name| format!("overlays/{}", name.to_str().unwrap())).collect();
    folders.insert("base".to_owned());
    assert_eq!(folders, PLACES.iter().map(|place| place.folder.to_owned()).collect());
    let readme = include_str!("../conf/README.md");
    for place in &PLACES {
        let objects = render(&kubectl, &Path::new(ROOT).join("conf").join(place.folder));
        let spec = daemon_set(&objects);
        let (install, variables) = container(spec, "initContainers", "install");
        assert_accepted(install, &variables);
        let set = |name: &str| variables[name].clone().unwrap();
        assert_eq!(
            (set("PLEXUS_CNI_CONF_DIR"), set("PLEXUS_CNI_BIN_DIR")),
            (place.conf.into(), place.bin.into()),
            "{}",
            place.folder
        );
        let own = [place.conf, place.bin, "/var/lib/plexus", "/run/plexus"].map(str::to_owned);
        assert_eq!(node_folders(spec, install), BTreeSet::from(own.clone()), "{}", place.folder);
        let (keeper, variables) = container(spec, "containers", "keeper");
        assert_accepted(keeper, &variables);
        let mut expected = BTreeSet::from(own);
        expected.insert("/var/lib/kubelet/pod-resources".to_owned());
        assert_eq!(node_folders(spec, keeper), expected, "{}", place.folder);
        let told = |name: &str| variables.get(name).cloned().flatten();
        let folders = (told("PLEXUS_CNI_CONF_DIR"), told("PLEXUS_CNI_BIN_DIR"));
        assert_eq!(folders, (Some(place.conf.to_owned()), Some(place.bin.to_owned())), "{}", place.folder);
        let (daemon, variables) = container(spec, "containers", "plexusd");
        assert_accepted(daemon, &variables);
        let expected = ["daemon", "keeper", "unpublished"].map(|name| format!("/run/plexus/{name}"));
        assert_eq!(node_folders(spec, daemon), BTreeSet::from(expected), "{}", place.folder);
        // No volume is left over from a distribution's patch.
        let mounted =
            [list(install, "volumeMounts"), list(keeper, "volumeMounts"), list(daemon, "volumeMounts")].concat();
        assert_eq!(texts(&list(spec, "volumes"), "name"), texts(&mounted, "name"), "{}", place.folder);
        assert_least_power(spec);
        let roles = objects.keys().filter(|(kind, _)| kind == "ClusterRole").map(|(_, name)| name.as_str());
        let beyond: Vec<&str> = roles.filter(|name| !["plexus", "plexus-status"].contains(name)).collect();
        assert_eq!(beyond, place.roles, "{}", place.folder);
        assert!(readme.contains(&format!("`{}`", place.folder)), "{}", place.folder);
    }
}

#[test]
fn the_settings_of_the_manifests_are_some() {
    let Some(kubectl) = kubectl() else { return };
    let objects = render(&kubectl, &Path::new(ROOT).join("conf/base"));
    let (_, map) = objects.iter().find(|((kind, _), _)| kind == "ConfigMap").unwrap();
    let spec = daemon_set(&objects);
    let volume = list(spec, "volumes").into_iter().find(|volume| volume["name"] == "settings").unwrap();
    assert_eq!(volume["configMap"]["name"], map["metadata"]["name"]);
    let (install, _) = container(spec, "initContainers", "install");
    let file = install["args"][0].as_str().unwrap().strip_prefix("--settings=").unwrap();
    let mount = list(install, "volumeMounts").into_iter().find(|mount| mount["name"] == "settings").unwrap();
    let name = Path::new(file).strip_prefix(mount["mountPath"].as_str().unwrap()).unwrap();
    assert_eq!(accepted(map["data"][name.to_str().unwrap()].as_str().unwrap()), "");
}

#[test]
fn the_removal_of_any_overlay_has_what_it_removes_and_leaves_the_definitions() {
    let Some(kubectl) = kubectl() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap();
    // kustomize takes relative paths only.
    let up = "../".repeat(folder.components().count() - 1);
    for place in &PLACES {
        let conf = format!("{up}{}/conf", &ROOT[1..]);
        // The component ipam mounts one directory more, which a runtime would make again.
        let components = format!("[{conf}/components/ipam, {conf}/components/uninstall]");
        let text = format!("resources: [{conf}/{}]\ncomponents: {components}\n", place.folder);
        fs::write(folder.join("kustomization.yaml"), text).unwrap();
        let objects = render(&kubectl, &folder);
        assert!(!objects.keys().any(|(kind, _)| kind == "CustomResourceDefinition"), "{}", place.folder);
        let spec = daemon_set(&objects);
        let (uninstall, variables) = container(spec, "initContainers", "install");
        assert_accepted(uninstall, &variables);
        let expected = [place.conf, place.bin, "/var/lib/plexus", "/run/plexus"].map(str::to_owned);
        assert_eq!(node_folders(spec, uninstall), BTreeSet::from(expected), "{}", place.folder);
        let (stays, _) = container(spec, "containers", "plexusd");
        assert_eq!(list(spec, "containers").len(), 1, "{}: something keeps what is to go", place.folder);
        // Not even what a runtime would make because a mount lacks it.
        assert!(list(stays, "volumeMounts").is_empty(), "{}: {stays}", place.folder);
        let volumes = list(spec, "volumes");
        assert!(volumes.iter().all(|volume| volume["name"] != "run-ipam"), "{}: {volumes:?}", place.folder);
        assert_eq!((&stays["command"][1], &stays["command"][2]), (&"uninstall".into(), &"--stay".into()));
    }
}

#[test]
fn pools_of_addresses_stay_when_an_installation_goes() {
    let Some(kubectl) = kubectl() else { return };
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap();
    let up = "../".repeat(folder.components().count() - 1);
    let conf = format!("{up}{}/conf", &ROOT[1..]);
    let text = format!("resources: [{conf}/base]\ncomponents: [{conf}/components/ipam]\n");
    fs::write(folder.join("kustomization.yaml"), text).unwrap();
    let names = |folder: &Path, kind: &str| -> BTreeSet<String> {
        render(&kubectl, folder).into_keys().filter(|(of, _)| of == kind).map(|(_, name)| name).collect()
    };
    let definitions = names(&folder, "CustomResourceDefinition");
    assert!(definitions.iter().all(|name| !name.contains("ipam.plexus.dev")), "{definitions:?}");
    for kind in ["ClusterRole", "ClusterRoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"] {
        assert!(names(&folder, kind).contains("plexus-addresses"), "{kind}");
    }
    let objects = render(&kubectl, &folder);
    let spec = daemon_set(&objects);
    let (daemon, _) = container(spec, "containers", "plexusd");
    let reports = list(daemon, "volumeMounts").into_iter().find(|mount| mount["mountPath"] == "/run/plexus/ipam");
    assert_eq!(reports.unwrap()["readOnly"], true);
    assert!(node_folders(spec, daemon).contains("/run/plexus/ipam"));
    let controller = &objects[&("Deployment".to_owned(), "plexus-address-controller".to_owned())];
    let (controller, variables) = container(&controller["spec"]["template"]["spec"], "containers", "controller");
    assert_accepted(controller, &variables);
    assert_eq!(variables["PLEXUS_METRICS_ADDRESS"].as_deref(), Some("127.0.0.1:9472"));
    let apart = names(&Path::new(ROOT).join("crd/addresses"), "CustomResourceDefinition");
    let kinds = ["addressblocks", "addressnodes", "addresspools", "addressreservations", "addressshortages"]
        .map(|kind| format!("{kind}.ipam.plexus.dev"));
    assert_eq!(apart, kinds.into());
}

/// What `plexusctl config` says against `settings`; nothing where it takes them.
fn accepted(settings: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("settings.json"), settings).unwrap();
    fs::write(path("10-cluster.conflist"), r#"{"name":"cluster","plugins":[{"type":"bridge"}]}"#).unwrap();
    let mut config = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    config.args(["config", "--cni-conf-dir"]).arg(folder.path()).arg("--settings").arg(path("settings.json"));
    let output = config.output().unwrap();
    if output.status.success() { String::new() } else { String::from_utf8(output.stderr).unwrap() }
}

const SAMPLE: &str = include_str!("../conf/settings.sample.jsonc");

fn is_comment(line: &&str) -> bool {
    line.trim_start().starts_with("//")
}

/// The sample as a program reads it.
fn sample() -> String {
    SAMPLE.lines().filter(|line| !is_comment(line)).collect()
}

/// The keys that are shown without being set, because they have no default.
fn only_shown() -> BTreeSet<String> {
    let shown = SAMPLE.lines().filter(is_comment).filter_map(|line| line.trim_start().strip_prefix("// \""));
    shown.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn the_sample_has_every_setting() {
    let document: Value =
        serde_json::from_str(&success(&Command::new(env!("CARGO_BIN_EXE_plexusctl")).arg("schema").output().unwrap()))
            .unwrap();
    let mut expected: BTreeSet<String> = document["properties"].as_object().unwrap().keys().cloned().collect();
    // Of Multus, and without effect.
    expected.retain(|key| document["properties"][key]["deprecated"] != true);
    // They follow from the primary.
    for set_by_plexusctl in ["type", "clusterNetwork", "delegates"] {
        assert!(expected.remove(set_by_plexusctl));
    }
    let set: Value = serde_json::from_str(&sample()).unwrap();
    let set: BTreeSet<String> = set.as_object().unwrap().keys().cloned().collect();
    assert_eq!(set.union(&only_shown()).cloned().collect::<BTreeSet<_>>(), expected);
    assert!(set.is_disjoint(&only_shown()));
    // With what is only shown, too.
    let with_all: String = SAMPLE
        .lines()
        .filter_map(|line| match line.trim_start().strip_prefix("// \"") {
            Some(shown) => Some(format!("\"{shown}\n")),
            None => (!is_comment(&line)).then(|| format!("{line}\n")),
        })
        .collect();
    for settings in [sample(), with_all] {
        assert_eq!(accepted(&settings), "");
    }
}

#[test]
fn the_sample_changes_nothing() {
    let mut set: Value = serde_json::from_str(&sample()).unwrap();
    set["name"] = "any".into();
    set["cniVersion"] = "1.0.0".into();
    let read = |text: &str| format!("{:?}", Settings::parse(text).unwrap());
    assert_eq!(read(&set.to_string()), read(r#"{"name":"any","cniVersion":"1.0.0"}"#));
}
