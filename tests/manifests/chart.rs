//! The Helm chart has the same objects as the manifests, for every distribution and with every component.

use super::{Objects, ROOT, daemon_set, kubectl, list, objects, program, render, success};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/plexus");

/// The files of the chart that are copies, and their sources. A chart contains only its own files.
const COPIES: [(&str, &str); 18] = [
    ("manifests/service-account.yaml", "conf/base/service-account.yaml"),
    ("manifests/admission-policy.yaml", "conf/base/admission-policy.yaml"),
    ("manifests/rbac.yaml", "conf/base/rbac.yaml"),
    ("manifests/status.yaml", "conf/base/status.yaml"),
    ("manifests/daemonset.yaml", "conf/base/daemonset.yaml"),
    ("manifests/dra.yaml", "conf/components/dra/rbac.yaml"),
    ("manifests/ipam.yaml", "conf/components/ipam/rbac.yaml"),
    ("manifests/ipam-admission-policy.yaml", "conf/components/ipam/admission-policy.yaml"),
    ("manifests/ipam-controller-rbac.yaml", "conf/components/ipam/controller-rbac.yaml"),
    ("manifests/ipam-controller.yaml", "conf/components/ipam/controller.yaml"),
    ("manifests/ipam-daemonset.yaml", "conf/components/ipam/daemonset.yaml"),
    ("manifests/pod-watch.yaml", "conf/components/pod-watch/rbac.yaml"),
    ("manifests/view.yaml", "conf/components/view/rbac.yaml"),
    ("manifests/metrics.yaml", "conf/components/metrics/rbac.yaml"),
    ("manifests/pod-monitor.yaml", "conf/monitoring/pod-monitor.yaml"),
    ("manifests/uninstall.yaml", "conf/components/uninstall/daemonset.yaml"),
    ("manifests/openshift.yaml", "conf/overlays/openshift/security-context-constraints.yaml"),
    ("crds/network-attachment-definitions.yaml", "crd/network-attachment-definitions.yaml"),
];

#[test]
fn the_copies_in_the_chart_are_the_manifests() {
    for (copy, source) in COPIES {
        let (copy, source) = (Path::new(CHART).join(copy), fs::read(Path::new(ROOT).join(source)).unwrap());
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&copy, &source).unwrap();
        }
        assert!(
            fs::read(&copy).unwrap() == source,
            "{} differs: UPDATE=1 cargo test --test manifests chart",
            copy.display()
        );
    }
    for folder in ["manifests", "crds"] {
        for entry in fs::read_dir(Path::new(CHART).join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            assert!(name.ends_with(".md") || COPIES.iter().any(|(copy, _)| *copy == name), "{name} is no copy");
        }
    }
}

fn helm_answers(helm: &Path, values: &[&str]) -> Output {
    let mut command = Command::new(helm);
    command.args([
        "template",
        "plexus",
        CHART,
        "--namespace",
        "kube-system",
        "--include-crds",
        "--kube-version",
        "1.36",
    ]);
    for value in values {
        command.args(["--set-json", value]);
    }
    command.output().unwrap()
}

/// The objects of the chart with these values.
fn chart(helm: &Path, values: &[&str]) -> Objects {
    let text = success(&helm_answers(helm, values));
    let documents = text.split("\n---\n").filter(|document| document.contains("kind:"));
    objects(documents.collect::<Vec<_>>().join("\n---\n").trim_start_matches("---\n"))
}

/// Without what is meant to differ: kustomize gives the settings a name by their content, the chart an annotation to the
/// pods; kustomize labels only the objects of `base`; a key without content is the same as no key.
fn comparable(mut objects: Objects) -> Objects {
    let settings =
        objects.keys().find(|(kind, name)| kind == "ConfigMap" && name.starts_with("plexus")).unwrap().clone();
    let mut map = objects.remove(&settings).unwrap();
    map["metadata"]["name"] = "plexus".into();
    let data: Value = serde_json::from_str(map["data"]["settings.json"].as_str().unwrap()).unwrap();
    map["data"]["settings.json"] = data;
    objects.insert(("ConfigMap".into(), "plexus".into()), map);
    let set = objects.get_mut(&("DaemonSet".to_owned(), "plexus".to_owned())).unwrap();
    let template = &mut set["spec"]["template"];
    template["metadata"]["annotations"].as_object_mut().unwrap().remove("plexus.dev/settings");
    for volume in template["spec"]["volumes"].as_array_mut().unwrap() {
        if volume["name"] == "settings" {
            volume["configMap"]["name"] = "plexus".into();
        }
    }
    for object in objects.values_mut() {
        if let Some(labels) = object["metadata"]["labels"].as_object_mut() {
            labels.retain(|key, _| !key.starts_with("app.kubernetes.io/"));
        }
    }
    objects.into_iter().map(|(key, object)| (key, without_empty(object))).collect()
}

fn without_empty(value: Value) -> Value {
    let empty = |value: &Value| value.is_null() || *value == json!([]) || *value == json!({});
    match value {
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, without_empty(value))).filter(|(_, value)| !empty(value)).collect()
        }
        // kustomize orders lists of objects with names in its own way.
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(without_empty).collect();
            list.sort_by_key(|element| ["mountPath", "name"].map(|key| element[key].as_str().map(str::to_owned)));
            list.into()
        }
        // kustomize folds the lines of texts in its own way.
        Value::String(text) => text.split_whitespace().collect::<Vec<_>>().join(" ").into(),
        other => other,
    }
}

fn assert_same(what: &str, chart: Objects, manifests: Objects) {
    let (chart, manifests) = (comparable(chart), comparable(manifests));
    let names = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&chart), names(&manifests), "{what}");
    for (key, object) in &manifests {
        let lines = |object: &Value| serde_json::to_string_pretty(object).unwrap();
        let (chart, manifests) = (lines(&chart[key]), lines(object));
        let mut both = chart.lines().zip(manifests.lines()).enumerate();
        let first = both.find(|(_, (chart, manifests))| chart != manifests);
        assert!(first.is_none() && chart.len() == manifests.len(), "{what}: {key:?} at line {first:?} of\n{chart}");
    }
}

/// A folder of manifests and the chart's values that mean the same.
pub const SAME: [(&str, &[&str]); 10] = [
    ("base", &[]),
    ("overlays/cri-o", &[]),
    ("overlays/dra", &["dra.enabled=true"]),
    ("overlays/k3s", &[r#"distribution="k3s""#]),
    ("overlays/microk8s", &[r#"distribution="microk8s""#]),
    ("overlays/microshift", &[r#"distribution="microshift""#]),
    ("overlays/openshift", &[r#"distribution="openshift""#]),
    ("overlays/pod-watch", &["podWatch.enabled=true"]),
    ("overlays/rke2", &[]),
    ("overlays/talos", &[]),
];

#[test]
fn the_chart_has_the_objects_of_every_overlay() {
    let (Some(kubectl), Some(helm)) = (kubectl(), program("helm", "helm")) else { return };
    let conf = Path::new(ROOT).join("conf");
    let overlays = fs::read_dir(conf.join("overlays")).unwrap().count();
    assert_eq!(SAME.len(), overlays + 1, "an overlay is missing in this test");
    for (folder, values) in SAME {
        assert_same(folder, chart(&helm, values), render(&kubectl, &conf.join(folder)));
    }
}

/// A kustomization with components, in a folder of its own: kustomize takes relative paths only.
fn composed(folder: &Path, base: &str, components: &[&str]) -> PathBuf {
    let up = "../".repeat(folder.components().count() - 1);
    let conf = format!("{up}{}/conf", &ROOT[1..]);
    let components: Vec<String> = components.iter().map(|name| format!("{conf}/components/{name}")).collect();
    let text = json!({ "resources": [format!("{conf}/{base}")], "components": components }).to_string();
    fs::write(folder.join("kustomization.yaml"), text).unwrap();
    folder.to_owned()
}

/// A component and the chart's value that means the same.
const COMPONENTS: [(&str, &str); 6] = [
    ("ipam", "ipam.enabled=true"),
    ("ipam-program", "ipam.program=true"),
    ("view", "view.enabled=true"),
    ("replace-multus", "replaceMultus=true"),
    ("metrics", "metrics.authorization=true"),
    ("uninstall", "uninstall=true"),
];

#[test]
fn the_chart_has_the_objects_of_every_component() {
    let (Some(kubectl), Some(helm)) = (kubectl(), program("helm", "helm")) else { return };
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().canonicalize().unwrap();
    let components = fs::read_dir(Path::new(ROOT).join("conf/components")).unwrap().count();
    // Two have overlays of their own.
    assert_eq!(COMPONENTS.len() + 2, components, "a component is missing in this test");
    let without_definition = |mut objects: Objects| {
        objects.retain(|(kind, _), _| kind != "CustomResourceDefinition");
        objects
    };
    for (component, value) in COMPONENTS {
        let manifests = render(&kubectl, &composed(&folder, "base", &[component]));
        let chart = chart(&helm, &[value]);
        // Helm never deletes what is in `crds`, so the chart need not leave it out.
        assert_same(component, without_definition(chart), without_definition(manifests));
    }
    let manifests = render(&kubectl, &composed(&folder, "overlays/k3s", &["uninstall"]));
    let chart = self::chart(&helm, &["uninstall=true", r#"distribution="k3s""#]);
    assert_same("k3s, uninstalled", without_definition(chart), without_definition(manifests));
    let manifests = render(&kubectl, &composed(&folder, "base", &["ipam", "metrics"]));
    let both = self::chart(&helm, &["ipam.enabled=true", "metrics.authorization=true"]);
    let controller = &both[&("Deployment".to_owned(), "plexus-address-controller".to_owned())];
    let container = &controller["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], 9472, "{container}");
    assert_same("ipam, with metrics", without_definition(both), without_definition(manifests));
    let manifests = render(&kubectl, &composed(&folder, "base", &["ipam", "uninstall"]));
    let chart = self::chart(&helm, &["uninstall=true", "ipam.enabled=true"]);
    // No directory is made that the uninstallation would have to remove again.
    let stays = list(daemon_set(&chart), "containers")[0].clone();
    assert!(list(&stays, "volumeMounts").is_empty(), "{stays}");
    assert_same("ipam, uninstalled", without_definition(chart), without_definition(manifests));
}

#[test]
fn values_of_the_chart_reach_the_objects() {
    let Some(helm) = program("helm", "helm") else { return };
    let objects = chart(
        &helm,
        &[
            r#"image={"repository":"registry.example/plexus","tag":"v9","pullPolicy":"Never"}"#,
            r#"settings={"logLevel":"debug"}"#,
            r#"apiServer={"host":"192.0.2.1","port":6443}"#,
            r#"env=[{"name":"PLEXUS_LOG_FORMAT","value":"json"}]"#,
            r#"cni={"confDir":"/a/net.d","binDir":"/b/bin"}"#,
            r#"podLabels={"team":"net"}"#,
            r#"keeperResources={"limits":{"memory":"99Mi"}}"#,
            "status.enabled=false",
            "maxUnavailable=1",
        ],
    );
    let spec = daemon_set(&objects);
    for container in [list(spec, "initContainers"), list(spec, "containers")].concat() {
        assert_eq!(
            (&container["image"], &container["imagePullPolicy"]),
            (&"registry.example/plexus:v9".into(), &"Never".into())
        );
        let paths = list(container, "volumeMounts").into_iter().filter(|mount| mount["name"] == "cni-bin");
        assert!(paths.map(|mount| &mount["mountPath"]).all(|path| path == "/b/bin"));
        let is_keeper = container["name"] == "keeper";
        assert_eq!(container["resources"]["limits"]["memory"] == "99Mi", is_keeper, "{container}");
    }
    let set = &objects[&("DaemonSet".to_owned(), "plexus".to_owned())];
    assert_eq!(set["spec"]["template"]["metadata"]["labels"]["team"], "net");
    assert_eq!(set["spec"]["selector"]["matchLabels"].as_object().unwrap().len(), 2);
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 1);
    let of = |kind: &str, name: &str| objects.get(&(kind.to_owned(), name.to_owned()));
    assert_eq!(of("ConfigMap", "plexus-api-server").unwrap()["data"]["KUBERNETES_SERVICE_PORT"], "6443");
    assert!(of("ClusterRoleBinding", "plexus-status").is_none());
    let settings = of("ConfigMap", "plexus").unwrap()["data"]["settings.json"].as_str().unwrap().to_owned();
    assert_eq!(super::accepted(&settings), "");
    assert!(settings.contains("debug"));
    // A change of the settings restarts the pods.
    let annotation = |objects: &Objects| {
        objects[&("DaemonSet".to_owned(), "plexus".to_owned())]["spec"]["template"]["metadata"]["annotations"]
            ["plexus.dev/settings"]
            .clone()
    };
    assert_ne!(annotation(&objects), annotation(&chart(&helm, &[])));
}

#[test]
fn a_value_that_the_chart_does_not_know_is_refused() {
    let Some(helm) = program("helm", "helm") else { return };
    for (value, word) in [
        (r#"distribution="k4s""#, "distribution"),
        (r#"imge={"tag":"v1"}"#, "imge"),
        (r#"cni={"confDir":"etc/cni"}"#, "confDir"),
        (r#"image={"digest":"4f5c"}"#, "digest"),
        (r#"dra={"enable":true}"#, "enable"),
    ] {
        let output = helm_answers(&helm, &[value]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(word), "{value}: {said}");
    }
}

/// Where the schema of the settings is in the chart's schema.
const OF_SETTINGS: &str = "#/definitions/settings";

/// The schema of `plexusctl schema --settings`, as it is written into the chart's schema.
fn settings_schema() -> String {
    let text = success(&Command::new(env!("CARGO_BIN_EXE_plexusctl")).args(["schema", "--settings"]).output().unwrap());
    let mut schema: Value =
        serde_json::from_str(&text.replace("\"#/$defs/", &format!("\"{OF_SETTINGS}/$defs/"))).unwrap();
    // The whole document has one, of the version that every Helm reads.
    schema.as_object_mut().unwrap().remove("$schema");
    format!("{schema:#}").replace('\n', "\n    ")
}

#[test]
fn the_chart_checks_settings_by_their_schema() {
    let path = Path::new(CHART).join("values.schema.json");
    let (begin, end) = ("\n    \"settings\": ", "\n    }");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let expected = [before, begin, settings_schema().strip_suffix(end).unwrap(), end, after].concat();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let schema = fs::read_to_string(&path).unwrap();
    assert!(schema == expected, "{} is old: UPDATE=1 cargo test --test manifests chart", path.display());
    let schema: Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["properties"]["settings"], json!({ "$ref": OF_SETTINGS }));
    assert_eq!(schema["definitions"]["settings"]["additionalProperties"], false);
}

/// Helm names the key before anything reaches the cluster. What it lets pass, the installer accepts.
#[test]
fn wrong_settings_are_refused_with_their_key() {
    let Some(helm) = program("helm", "helm") else { return };
    for (settings, key) in [
        (r#"{"logLevl":"debug"}"#, "logLevl"),
        (r#"{"logLevel":"debug","loglevel":"off"}"#, "loglevel"),
        (r#"{"logLevel":"loud"}"#, "logLevel"),
        (r#"{"namespaceIsolation":"true"}"#, "namespaceIsolation"),
        (r#"{"stateDirectory":"var/lib"}"#, "stateDirectory"),
        (r#"{"runDirectory":"/run/../x"}"#, "runDirectory"),
        (r#"{"dataDirRoots":["pools"]}"#, "dataDirRoots"),
        (r#"{"natives":7}"#, "natives"),
        (r#"{"delegateTimeoutSeconds":0}"#, "delegateTimeoutSeconds"),
        (r#"{"clusterNetwork":"/a"}"#, "clusterNetwork"),
    ] {
        let output = helm_answers(&helm, &[&format!("settings={settings}")]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(key), "{settings}: {said}");
    }
    let good = r#"{"logLevel":"WARNING","natives":{"bridge":false},"globalNamespaces":"a, b","networksForAllPods":["a","b/c"],
        "delegateTimeoutSeconds":0.5,"stateDirectory":"/s","capabilities":{"mac":true},"confDir":"/c","kubeconfig":"/k"}"#;
    let objects = chart(&helm, &[&format!("settings={good}")]);
    let written = &objects[&("ConfigMap".to_owned(), "plexus".to_owned())]["data"]["settings.json"];
    assert_eq!(super::accepted(written.as_str().unwrap()), "");
}

#[test]
fn every_value_has_a_schema_and_a_comment() {
    let values: Value = serde_saphyr::from_str(&fs::read_to_string(format!("{CHART}/values.yaml")).unwrap()).unwrap();
    let schema = fs::read_to_string(format!("{CHART}/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    let mut known = keys(&schema["properties"]);
    // Helm hands it to every chart.
    known.remove("global");
    assert_eq!(keys(&values), known);
    // One version for the chart, the programs and the manifests.
    let chart: Value = serde_saphyr::from_str(&fs::read_to_string(format!("{CHART}/Chart.yaml")).unwrap()).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!((&chart["version"], &chart["appVersion"]), (&version.into(), &version.into()));
    let page = include_str!("../../docs/install/helm.md");
    for key in keys(&values) {
        assert!(page.contains(&format!("`{key}")), "docs/install/helm.md has no {key}");
    }
}

/// What Helm prints after an installation: each command is of this release, and nothing is left to fill in.
#[test]
fn the_notes_name_the_release_and_its_namespace() {
    let Some(helm) = program("helm", "helm") else { return };
    let notes = |value: &str| {
        let mut install = Command::new(&helm);
        install.args(["install", "nets", CHART, "--namespace", "cni", "--dry-run=client", "--set", value]);
        let text = success(&install.env("KUBECONFIG", "/nonexistent").output().unwrap());
        text.split_once("\nNOTES:\n").unwrap().1.trim_end().to_owned()
    };
    let (installed, drained) = (notes("uninstall=false"), notes("uninstall=true"));
    let begin = "Plexus is being installed on each node that runs Linux.\n\nCheck it:\n  kubectl -n cni rollout status daemonset/plexus\n  plexusctl status\n";
    assert!(installed.starts_with(begin), "{installed}");
    let steps = ["helm upgrade nets <chart> --namespace cni", "-n cni rollout", "helm uninstall nets --namespace cni"];
    let places: Vec<usize> = steps.iter().map(|step| installed.rfind(step).unwrap()).collect();
    assert!(places.is_sorted(), "the order of the uninstallation: {installed}");
    assert!(drained.starts_with("Plexus is being uninstalled. ") && !drained.contains("Check it"), "{drained}");
    assert!(drained.contains(steps[1]) && drained.contains(steps[2]), "{drained}");
    for text in [installed, drained] {
        let wrong = ["{{", "  \n", "%!", "<no value>", "kube-system"].into_iter().find(|wrong| text.contains(wrong));
        assert_eq!(wrong, None, "{text}");
    }
}
