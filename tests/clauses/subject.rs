//! Who carries rows out: our plugin, Multus', or libcni by its own tool.

use super::cluster::Cluster;
use super::row::{Given, Step};
use crate::support::node::{self, FOLDER, Node};
use crate::support::pod::Pod;
use crate::support::{Answer, cnitool, manifests};
use plexus::cni::CniError;
use serde_json::{Value, json};
use std::any::Any;
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

/// One of those that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Plexus,
    /// The plugin's file.
    Multus(PathBuf),
    Libcni,
}

/// A row's setting, on a machine, for one subject.
pub struct World<'a> {
    pub subject: &'a Subject,
    pub node: &'a Node,
    pub cluster: &'a Cluster,
    pub pod: Pod,
    /// What runs beside it, until the row ends.
    pub beside: RefCell<Vec<Box<dyn Any>>>,
}

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    Success(Value),
    /// Code (none where the subject tells none) and message.
    Failure(Option<u32>, String),
    /// No answer; what stood on stderr.
    Crash(String),
}

/// Networks that every row has: `default/a`, `default/b`, `default/c`, `other/b` and `kube-system/special`, one
/// recorder each; and recorders for `second` and `third`, for lists.
const NETWORKS: [(&str, &str); 5] =
    [("default/a", "a"), ("default/b", "b"), ("default/c", "c"), ("other/b", "b"), ("kube-system/special", "special")];
const RECORDERS: [&str; 7] = ["primary", "second", "third", "a", "b", "c", "special"];

impl<'a> World<'a> {
    /// Sets the row's stage; `name` is the pod's.
    pub fn new(subject: &'a Subject, node: &'a Node, cluster: &'a Cluster, name: &str, given: &Given) -> World<'a> {
        clear(node, cluster);
        let mut pod = Pod::new(node, name);
        pod.namespace = given.namespace.unwrap_or("default").to_owned();
        pod.capability_args.extend(given.offered.clone());
        for (key, text) in &given.annotations {
            pod = pod.annotated(key, text);
        }
        if given.is_unknown_pod {
            pod.annotations = None;
        }
        let primary = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary"}]});
        node.primary(given.primary.as_ref().unwrap_or(&primary));
        let world = World { subject, node, cluster, pod, beside: RefCell::default() };
        for (nad, plugin) in NETWORKS {
            world.network(nad, Some(&json!({"cniVersion": "1.0.0", "type": plugin}).to_string()));
        }
        for (nad, text) in &given.networks {
            world.network(nad, text.as_deref());
        }
        for (plugin, verb, script) in &given.scripts {
            node.recorder(plugin).on(verb, script);
        }
        given.deeds.iter().for_each(|deed| deed(&world));
        let (pod, annotations) = (&world.pod, json!(world.pod.annotations));
        if !given.is_unknown_pod {
            cluster.pod(&pod.namespace, &pod.name, &pod.uid, &annotations);
        }
        world
    }

    /// Has a network, wherever this subject looks for it.
    pub fn network(&self, nad: &str, config: Option<&str>) {
        self.node.network_text(nad, config.unwrap_or_default());
        self.cluster.network(nad, config);
    }

    /// Makes the call of `step`.
    pub fn call(&self, step: &Step, given: &Given) -> Outcome {
        step.before.iter().for_each(|deed| deed(self));
        let answer = match self.subject {
            Subject::Libcni => self.cnitool(step.verb),
            Subject::Plexus => self.plugin(step, given, None),
            Subject::Multus(program) => self.plugin(step, given, Some(program)),
        };
        outcome(answer)
    }

    fn plugin(&self, step: &Step, given: &Given, multus: Option<&Path>) -> Answer {
        let mut call = self.pod.call(step.verb);
        if let Some(program) = multus {
            call = call.of_program(program);
            for (key, value) in [
                ("type", json!("multus")),
                ("kubeconfig", json!(kubeconfig(self.cluster))),
                ("binDir", json!(self.node.bin())),
                ("logToStderr", json!(false)),
            ] {
                call = call.configured(key, value);
            }
        }
        for (key, value) in given.config.iter().chain(&step.config) {
            call = call.configured(key, self.filled(value));
            if value.is_null() {
                call.config.as_object_mut().unwrap().remove(*key);
            }
        }
        for (key, value) in &step.environment {
            call = call.env(key, *value);
        }
        call.make()
    }

    fn cnitool(&self, verb: &str) -> Answer {
        let file = fs::read_to_string(self.node.primary_file()).unwrap();
        let name = serde_json::from_str::<Value>(&file).unwrap()["name"].as_str().unwrap().to_owned();
        cnitool::cnitool(self.node, &verb.to_lowercase(), &name, &self.pod)
    }

    /// With the container's ID in the place of `{id}`.
    fn filled(&self, value: &Value) -> Value {
        serde_json::from_str(&value.to_string().replace("{id}", &self.pod.id)).unwrap()
    }

    /// The network status, as this subject hands it over.
    pub fn status(&self) -> Value {
        let text = match self.subject {
            Subject::Multus(_) => self.cluster.status(&self.pod.namespace, &self.pod.name),
            Subject::Plexus | Subject::Libcni => {
                let id = plexus::cni::ContainerId::new(self.pod.id.clone()).unwrap();
                let publication = fs::read_to_string(self.node.run().publication(&id)).ok();
                publication.map(|text| {
                    serde_json::from_str::<Value>(&text).unwrap()["networkStatus"].as_str().unwrap().to_owned()
                })
            }
        };
        text.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
    }

    /// Whether the subject has no record of the sandbox any more.
    pub fn is_forgotten(&self) -> Result<(), String> {
        let records = match self.subject {
            Subject::Plexus => fs::read_dir(self.node.state().path().join("sandboxes")),
            Subject::Multus(_) => fs::read_dir("/var/lib/cni/multus"),
            Subject::Libcni => fs::read_dir("/var/lib/cni/results"),
        };
        let left: Vec<PathBuf> =
            records.into_iter().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    }

    /// The calls of delegates so far.
    pub fn calls(&self) -> Vec<String> {
        self.node.call_names()
    }
}

fn outcome(answer: Answer) -> Outcome {
    if answer.status.success() {
        return Outcome::Success(serde_json::from_str(&answer.stdout).unwrap_or(Value::Null));
    }
    match serde_json::from_str::<CniError>(&answer.stdout) {
        Ok(error) => Outcome::Failure(Some(error.code), format!("{} {}", error.msg, error.details)),
        // cnitool says it on stderr, in words.
        Err(_) if !answer.stderr.contains("panic") && !answer.stderr.is_empty() => {
            Outcome::Failure(None, answer.stderr)
        }
        Err(_) => Outcome::Crash(answer.stderr),
    }
}

fn kubeconfig(cluster: &Cluster) -> PathBuf {
    let path = Path::new(FOLDER).join("kubeconfig");
    node::write(&path, &cluster.kubeconfig().to_string());
    path
}

/// As if nothing had been before.
fn clear(node: &Node, cluster: &Cluster) {
    cluster.forget_all();
    node.forget_calls();
    for folder in [
        node.state().path().to_owned(),
        node.net_d(),
        "/var/lib/cni".into(),
        conf_dir(),
        "/run/plexus/unpublished".into(),
        manifests::folder(),
    ] {
        // It may not be there.
        let _ = fs::remove_dir_all(folder);
    }
    for name in RECORDERS {
        let recorder = node.recorder(name);
        fs::remove_dir_all(recorder.folder()).unwrap();
        fs::create_dir(recorder.folder()).unwrap();
    }
}

/// Where rows put configurations that are found by name.
pub fn conf_dir() -> PathBuf {
    Path::new(FOLDER).join("conf")
}
