//! cnitool: libcni as the runtime, with its own cache and its own way of finding configurations.

use super::answer::{Answer, Running};
use super::node::{Node, PATH};
use super::pod::{Call, POD_ANNOTATIONS, Pod};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs `cnitool <verb> <network> <netns>` for the sandbox of `pod`, with its annotations. The
/// container's ID is made by cnitool of the path of the namespace.
pub fn cnitool(node: &Node, verb: &str, network: &str, pod: &Pod) -> Answer {
    let mut offered = pod.capability_args.clone();
    if let Some(annotations) = &pod.annotations {
        offered.insert(POD_ANNOTATIONS.to_owned(), json!(annotations));
    }
    let args = format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_UID={}",
        pod.namespace, pod.name, pod.uid
    );
    let mut command = Command::new(node.bin().join("cnitool"));
    command.args([verb, network]).arg(&pod.netns).env_clear().env("PATH", PATH).env("CNI_PATH", node.bin());
    command.env("NETCONFPATH", node.net_d()).env("CNI_IFNAME", &pod.ifname).env("CNI_ARGS", args);
    command.env("CAP_ARGS", serde_json::Value::Object(offered).to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::new(command.spawn().unwrap(), String::new()).wait()
}

/// The file that a runtime of Kubernetes loads: the first of its folder, whatever its kind.
pub fn loaded(node: &Node) -> PathBuf {
    let wanted = |path: &PathBuf| {
        path.extension().is_some_and(|extension| ["conf", "conflist", "json"].iter().any(|known| extension == *known))
    };
    let files = fs::read_dir(node.net_d()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(wanted).min().unwrap()
}

/// As [`cnitool`], for the network of the file that a runtime loads.
pub fn runtime(node: &Node, verb: &str, pod: &Pod) -> Answer {
    let list: Value = serde_json::from_str(&fs::read_to_string(loaded(node)).unwrap()).unwrap();
    cnitool(node, verb, list["name"].as_str().unwrap(), pod)
}

/// A call of the plugin with its element of `list`, as libcni makes it, but with the plugin's own answer: cnitool
/// shows neither its code nor its log.
pub fn direct(node: &Node, verb: &str, list: &Value, pod: &Pod) -> Answer {
    let mut config = list["plugins"][0].clone();
    config["name"] = list["name"].clone();
    config["cniVersion"] = json!("1.1.0");
    let mut call = match verb {
        "STATUS" | "GC" => Call::of_node(node, verb),
        _ => pod.call(verb),
    };
    if let Some(offered) = call.config.get("runtimeConfig") {
        config["runtimeConfig"] = offered.clone();
    }
    config.as_object_mut().unwrap().remove("capabilities");
    call.config = config;
    call.make()
}
