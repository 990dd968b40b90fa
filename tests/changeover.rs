//! An installation changes from kustomize to Helm and back by the commands of the page, on a real API server: no object is
//! made anew, and the new tool owns each of them, so that its upgrade and its uninstallation do what they should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use support::apiserver::ApiServer;
use support::asset::asset;

const PAGE: &str = include_str!("../docs/install/kustomize-and-helm.md");
const DEFINITION: &str = "network-attachment-definitions.k8s.cni.cncf.io";
/// What both tools make, without the settings.
const KINDS: &str = "daemonset,serviceaccount,clusterrole,clusterrolebinding,validatingadmissionpolicy,validatingadmissionpolicybinding,customresourcedefinition";

struct Cluster {
    server: ApiServer,
    programs: Vec<PathBuf>,
}

impl Cluster {
    fn start() -> Result<Self, String> {
        let programs = vec![asset("kubernetes")?, asset("helm")?];
        let cluster = Cluster { server: ApiServer::start()?, programs };
        cluster.run("kubectl apply --server-side -k conf/base");
        cluster.kubectl(&["wait", "--for=condition=Established", &format!("crd/{DEFINITION}")]);
        let network = json!({ "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": { "name": "lan", "namespace": "default" } });
        cluster.server.kubectl(&["create", "-f", "-"], Some(&network.to_string()))?;
        Ok(cluster)
    }

    /// Runs `command` as a reader would, in the directory of the sources.
    #[track_caller]
    fn run(&self, command: &str) -> String {
        let path = self.programs.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":");
        let home = self.server.kubeconfig().parent().unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", command]).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
        bash.env("PATH", format!("{path}:/usr/bin:/bin")).env("HOME", home).env("KUBECONFIG", self.server.kubeconfig());
        let output = bash.output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn kubectl(&self, words: &[&str]) -> String {
        self.server.kubectl(words, None).unwrap()
    }

    fn object(&self, kind: &str, name: &str) -> Value {
        let words = ["-n", "kube-system", "get", kind, name, "-o", "json", "--show-managed-fields"];
        serde_json::from_str(&self.kubectl(&words)).unwrap()
    }

    /// All objects of Plexus, by kind and name.
    fn objects(&self) -> BTreeMap<(String, String), Value> {
        let list = self.kubectl(&["-n", "kube-system", "get", KINDS, "-o", "json", "--show-managed-fields"]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = list["items"].as_array().unwrap().iter();
        let ours = all.filter(|object| object["metadata"]["labels"]["app.kubernetes.io/name"] == "plexus");
        ours.map(|object| ((text(&object["kind"]), text(&object["metadata"]["name"])), object.clone())).collect()
    }

    /// The names of all objects, each with the UID that a new one would not have.
    fn identities(&self) -> BTreeMap<(String, String), Value> {
        let mut identities = self.objects();
        identities.values_mut().for_each(|object| *object = object["metadata"]["uid"].clone());
        let network = self.kubectl(&["get", DEFINITION, "lan", "-o", "jsonpath={.metadata.uid}"]);
        identities.insert(("NAD".to_owned(), "lan".to_owned()), network.into());
        identities
    }

    /// Who owns fields by `apply`.
    fn owners(&self) -> BTreeSet<String> {
        let objects = self.objects();
        let objects = objects.iter().filter(|((kind, _), _)| kind != "CustomResourceDefinition");
        let fields = objects.flat_map(|(_, object)| object["metadata"]["managedFields"].as_array().cloned().unwrap());
        let applied = fields.filter(|fields| fields["operation"] == "Apply");
        applied.map(|fields| fields["manager"].as_str().unwrap().to_owned()).collect()
    }

    /// The names of the settings of Plexus.
    fn settings(&self) -> Vec<String> {
        let names = ["-n", "kube-system", "get", "configmaps", "-l", "app.kubernetes.io/name=plexus", "-o", "name"];
        self.kubectl(&names).lines().map(str::to_owned).collect()
    }

    /// The names of the containers that stay on each node.
    fn containers(&self) -> Vec<Value> {
        let set = self.object("daemonset", "plexus");
        set["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].clone())
            .collect()
    }
}

/// The commands under the heading `section` of the page. No controller makes pods here, so nothing waits for them.
fn commands(section: &str) -> Vec<String> {
    let (_, after) = PAGE.split_once(&format!("\n## {section}\n")).unwrap();
    let block = after.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap();
    let commands = block.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("rollout status"));
    commands.map(|line| line.replace(" --wait", "")).collect()
}

#[test]
fn each_tool_takes_over_from_the_other_one() {
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(why) => return support::cannot_run(&why),
    };
    let before = cluster.identities();
    assert!(before.len() > 10, "{before:?}");

    commands("From kustomize to Helm").iter().for_each(|command| drop(cluster.run(command)));
    assert_eq!(cluster.identities(), before, "something was made anew");
    assert_eq!(cluster.owners(), BTreeSet::from(["helm".to_owned()]));
    assert_eq!(cluster.settings(), ["configmap/plexus"]);
    let volume = |cluster: &Cluster| cluster.object("daemonset", "plexus")["spec"]["template"]["spec"].to_string();
    assert!(volume(&cluster).contains(r#""configMap":{"defaultMode":420,"name":"plexus"}"#), "{}", volume(&cluster));
    // What Helm owns alone, it also removes: the keeper would hold up the uninstallation.
    let upgrade =
        "helm upgrade plexus charts/plexus --namespace kube-system --reset-then-reuse-values --set uninstall=";
    cluster.run(&format!("{upgrade}true"));
    assert_eq!(cluster.containers(), [json!("plexusd")]);
    cluster.run(&format!("{upgrade}false"));
    assert_eq!(cluster.containers(), [json!("plexusd"), json!("keeper")]);

    commands("From Helm to kustomize").iter().for_each(|command| drop(cluster.run(command)));
    assert_eq!(cluster.identities(), before, "something was made anew");
    assert_eq!(cluster.owners(), BTreeSet::from(["kubectl".to_owned()]));
    assert_eq!(cluster.run("helm list --all-namespaces --short"), "");
    assert!(cluster.settings().len() == 1 && cluster.settings() != ["configmap/plexus"], "{:?}", cluster.settings());
    for ((kind, name), object) in cluster.objects() {
        let metadata = object["metadata"]["labels"].to_string() + &object["metadata"]["annotations"].to_string();
        assert!(!metadata.to_lowercase().contains("helm"), "{kind} {name}: {metadata}");
    }
    cluster.run("kubectl apply --server-side -k conf/uninstall");
    assert_eq!(cluster.containers(), [json!("plexusd")]);
}
