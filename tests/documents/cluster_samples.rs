//! The samples that need a cluster: an API server, a node on which pods are attached, and two nodes that only the API
//! server knows.

use crate::samples::{CONF_DIR, age, bridge, event, install};
use crate::support::Pod;
use crate::support::cluster::Cluster;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// The samples: a machine without an API server has none of them.
pub const NAMES: [&str; 6] = ["describe", "get wide", "picture", "plan pod", "status", "why"];
const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";

/// What `plexusctl <words>` prints, called with `more`: on the node, or on a workstation.
fn plexusctl(cluster: &mut Cluster, is_node: bool, words: &str, more: &[&str]) -> String {
    let output = cluster.at_home(|api| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        command.env_clear().env("KUBECONFIG", api.kubeconfig());
        if !is_node {
            command.env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus");
        }
        command.args(words.split(' ')).args(more).output().unwrap()
    });
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    with_ages(&format!("$ plexusctl {words}\n{text}"))
}

/// `text` as if its pods were of twelve minutes ago. The API server has the time of their creation.
fn with_ages(text: &str) -> String {
    let is_age = |word: &str| word.strip_suffix('s').is_some_and(|number| number.parse::<u8>().is_ok());
    let line = |line: &str| {
        let mut aged = format!(" {line}");
        for word in line.split(' ').filter(|word| is_age(word)) {
            // The columns stay where they are.
            aged = aged.replacen(&format!(" {word:<3}"), " 12m", 1);
        }
        aged[1..].to_owned() + "\n"
    };
    text.lines().map(line).collect()
}

fn create(cluster: &Cluster, object: &Value) {
    cluster.kubectl(&["create", "-f", "-"], Some(&object.to_string()));
}

fn set_status(cluster: &Cluster, object: &[&str], status: &Value) {
    let patch = json!({ "status": status }).to_string();
    let words = [&["patch"], object, &["--subresource=status", "--type=merge", "-p", &patch]].concat();
    cluster.kubectl(&words, None);
}

/// The event `reason` of a pod, of twelve minutes ago.
fn tell(cluster: &Cluster, namespace: &str, pod: &str, reason: &str, message: &str) {
    let uid = cluster.kubectl(&["get", "pod", pod, "-n", namespace, "-o", "jsonpath={.metadata.uid}"], None);
    let then = SystemTime::now() - Duration::from_secs(750);
    let then = then.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let then = k8s_openapi::jiff::Timestamp::from_second(then.cast_signed()).unwrap().to_string();
    create(
        cluster,
        &json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{pod}.1"), "namespace": namespace},
            "involvedObject": {"kind": "Pod", "name": pod, "namespace": namespace, "uid": uid}, "type": "Warning", "count": 3,
            "reason": reason, "lastTimestamp": then, "message": message.trim()}),
    );
}

/// The node `name` with a pod of Plexus, which is ready, or not ready for the reason `why`.
fn node(cluster: &Cluster, name: &str, pod: &str, why: Option<&str>) {
    create(cluster, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
    let system = json!({"containerRuntimeVersion": "containerd://2.1.4", "operatingSystem": "linux", "architecture": "amd64",
        "bootID": "", "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "", "machineID": "", "osImage": "", "systemUUID": ""});
    let ready =
        json!({"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}], "nodeInfo": system});
    set_status(cluster, &["node", name], &ready);
    let image = concat!("ghcr.io/plexus-cni/plexus:v", env!("CARGO_PKG_VERSION"));
    let containers = ["plexusd", "keeper"].map(|container| json!({"name": container, "image": image}));
    create(
        cluster,
        &json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod, "namespace": "kube-system", "labels": {"app.kubernetes.io/name": "plexus"}},
            "spec": {"nodeName": name, "hostNetwork": true, "containers": containers, "tolerations": [{"operator": "Exists"}]}}),
    );
    let is_ready = if why.is_none() { "True" } else { "False" };
    let status = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": is_ready}]});
    set_status(cluster, &["pod", pod, "-n", "kube-system"], &status);
    if let Some(why) = why {
        tell(cluster, "kube-system", pod, "Unhealthy", &format!("Readiness probe failed: not ready: {why}"));
    }
}

/// Two pods that are attached, and one whose network needs an interface that the node does not have.
fn pods(cluster: &Cluster) -> Vec<Pod> {
    let mut attached = Vec::new();
    for name in ["cart", "web"] {
        let pod = cluster.pod(name, "lan");
        pod.add().result();
        age(&cluster.node, &pod);
        set_status(cluster, &["pod", name], &json!({"phase": "Running"}));
        attached.push(pod);
    }
    let waiting = cluster.pod("db", "storage");
    let message = event(&waiting.add().error().msg);
    set_status(cluster, &["pod", "db"], &json!({"phase": "Pending"}));
    tell(cluster, "default", "db", "FailedCreatePodSandBox", &message);
    // On a node that only the API server knows.
    let far = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "far", "annotations": {NETWORKS: "lan"}},
        "spec": {"nodeName": "node2", "containers": [{"name": "c", "image": "x"}]}});
    create(cluster, &far);
    attached.push(waiting);
    attached
}

/// The samples; `None`, with a line, where this machine cannot make them.
pub fn captured() -> Option<BTreeMap<&'static str, String>> {
    let mut cluster = Cluster::new()?;
    let mut primary = bridge("cbr0", "10.244.1.0/24");
    primary["isDefaultGateway"] = json!(true);
    let version = primary.as_object_mut().unwrap().remove("cniVersion").unwrap();
    cluster.node.primary(&json!({"cniVersion": version, "name": "cbr0", "plugins": [primary]}));
    cluster.network("default", "lan", &bridge("br-lan", "10.10.0.0/24"));
    let storage = json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth9", "ipam": {"type": "dhcp"}});
    cluster.network("default", "storage", &storage);
    install();
    let _daemon = cluster.daemon();
    cluster.kubectl(&["apply", "-f", "-"], Some(include_str!("../../conf/base/admission-policy.yaml")));
    node(&cluster, "node1", "plexus-4xk2b", None);
    node(&cluster, "node2", "plexus-hq7wd", None);
    let displaced = "installation: the runtime takes 05-cilium.conflist before 00-plexus.conflist";
    node(&cluster, "node3", "plexus-t9zlc", Some(displaced));
    let pods = pods(&cluster);
    let mut samples = BTreeMap::new();
    let mut take = |name, is_node, words: &str, more: &[&str]| {
        samples.insert(name, plexusctl(&mut cluster, is_node, words, more));
    };
    take("describe", true, "describe pod default/web", &CONF_DIR);
    take("get wide", false, "get -A -o wide", &[]);
    take("picture", false, "topology -o svg", &[]);
    let elsewhere = ["--cni-conf-dir", "/nonexistent", "--run-directory", "/nonexistent"];
    take("plan pod", false, "plan default/db", &elsewhere);
    take("status", false, "status", &[]);
    take("why", false, "why default/db", &[]);
    for pod in &pods {
        pod.del().silence();
        pod.end_sandbox();
    }
    let picture = samples["picture"].split_once('\n').unwrap().1.to_owned();
    samples.insert("picture", picture);
    Some(samples)
}
