//! Two nodes and what works on them, as far as the API server sees it. The kubelet's logs come from openssl(1), which
//! serves files over TLS.

use super::support;
use super::support::apiserver::ApiServer;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// The labels of probe pods.
pub const PROBES: &str = "app.kubernetes.io/name=plexus-probe";
const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

pub struct Nodes<'a> {
    pub server: &'a ApiServer,
    /// The namespaces of all probe pods so far.
    pub seen: Vec<String>,
    logs: tempfile::TempDir,
    kubelet: Child,
}

impl Drop for Nodes<'_> {
    fn drop(&mut self) {
        let _ = self.kubelet.kill();
        let _ = self.kubelet.wait();
    }
}

impl<'a> Nodes<'a> {
    /// n1 and n2, with Plexus on both.
    pub fn new(server: &'a ApiServer) -> Option<Self> {
        if !support::programs::is_installed("openssl") {
            support::cannot_run("openssl is missing");
            return None;
        }
        let logs = tempfile::tempdir().unwrap();
        let (key, certificate) = (logs.path().join("key"), logs.path().join("certificate"));
        let mut request = Command::new("openssl");
        request.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=kubelet", "-days", "1"]);
        let made = request.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut serve = Command::new("openssl");
        serve.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-WWW", "-quiet"]);
        serve.arg("-key").arg(&key).arg("-cert").arg(&certificate).current_dir(logs.path());
        let kubelet = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nodes = Nodes { server, seen: Vec::new(), logs, kubelet };
        ["n1", "n2"].iter().for_each(|name| nodes.node(name, port));
        for (name, node) in [("plexus-1", "n1"), ("plexus-2", "n2")] {
            let plexus = json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "kube-system", "labels": {"app.kubernetes.io/name": "plexus"}},
                "spec": {"nodeName": node, "containers": [{"name": "plexusd", "image": "x/plexus:v1"}]}});
            server.kubectl(&["create", "-f", "-"], Some(&plexus.to_string())).unwrap();
        }
        Some(nodes)
    }

    fn node(&self, name: &str, port: u16) {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        self.server.kubectl(&["create", "-f", "-"], Some(&node.to_string())).unwrap();
        let status = json!({"status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }});
        self.patch(&["node", name, "--subresource=status"], &status);
    }

    fn patch(&self, object: &[&str], patch: &Value) {
        let patch = patch.to_string();
        let words = [&["patch"], object, &["--type=merge", "-p", &patch]].concat();
        // The pod may be gone by now.
        if let Err(e) = self.server.kubectl(&words, None) {
            assert!(e.contains("NotFound") || e.contains("not found"), "{e}");
        }
    }

    /// One look at all probe pods: each is brought a step further.
    pub fn work(&mut self) {
        let list = self.server.kubectl(&["get", "pods", "-A", "-l", PROBES, "-o", "json"], None).unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        for pod in list["items"].as_array().unwrap() {
            self.step(pod);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }

    fn step(&mut self, pod: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        if !self.seen.contains(&namespace) {
            self.seen.push(namespace.clone());
        }
        let annotations = &pod["metadata"]["annotations"];
        let network = text(&annotations[NETWORKS]);
        let task = text(&annotations["plexus.dev/probe-task"]);
        if pod["metadata"]["deletionTimestamp"].is_string() {
            let _ =
                self.server.kubectl(&["delete", "pod", &name, "-n", &namespace, "--force", "--grace-period=0"], None);
        } else if !pod["spec"]["nodeName"].is_string() {
            self.bind(&namespace, &name, pod);
        } else if !annotations[STATUS].is_string() {
            self.begin(&namespace, &name, &network, &text(&pod["spec"]["nodeName"]));
        } else if !task.is_empty() {
            self.measure(&namespace, &name, &serde_json::from_str(&task).unwrap());
        }
    }

    fn bind(&self, namespace: &str, name: &str, pod: &Value) {
        let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let node = &terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0];
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
        let _ = self.server.kubectl(&["create", "--raw", &path, "-f", "-"], Some(&binding.to_string()));
    }

    /// The sandbox is made, or not.
    fn begin(&self, namespace: &str, name: &str, network: &str, node: &str) {
        let (nad, interface) = network.split_once('@').unwrap();
        if nad == "apps/imageless" {
            return self.pull_fails(namespace, name);
        }
        if nad == "apps/never" {
            return;
        }
        if nad == "apps/far" && node == "n2" {
            let own = ["get", "pod", name, "-n", namespace, "-o", "jsonpath={.metadata.uid}"];
            let uid = self.server.kubectl(&own, None).unwrap_or_default();
            let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.1"), "namespace": namespace},
                "involvedObject": {"kind": "Pod", "name": name, "namespace": namespace, "uid": uid}, "type": "Warning", "count": 2,
                "reason": "FailedCreatePodSandBox", "lastTimestamp": "2026-01-01T00:00:00Z",
                "message": "rpc error: code = Unknown desc = plugin type=\"plexus\" name=\"cbr0\" failed (add): network apps/far (net1): plugin macvlan: master eth9: there is no link eth9 on this node"});
            // Once is enough.
            let _ = self.server.kubectl(&["create", "-f", "-"], Some(&event.to_string()));
            return;
        }
        let number = if nad == "apps/twins" { "9" } else { &node[1..] };
        let status = json!([{"name": nad, "interface": interface, "dns": {}, "ips": [format!("10.0.0.{number}"), format!("fd00::{number}")]}]);
        self.patch(&["pod", name, "-n", namespace, "--subresource=status"], &json!({"status": {"phase": "Running"}}));
        self.patch(
            &["pod", name, "-n", namespace],
            &json!({"metadata": {"annotations": {STATUS: status.to_string()}}}),
        );
    }

    /// The kubelet has asked the registry, which has no such image.
    fn pull_fails(&self, namespace: &str, name: &str) {
        let message = "failed to pull and unpack image \"docker.io/library/nosuch:latest\": pull access denied, repository does not exist";
        let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": message}});
        let container = json!({"name": "probe", "image": "nosuch", "imageID": "", "ready": false, "restartCount": 0, "state": waiting});
        let status = json!({"status": {"phase": "Pending", "containerStatuses": [container]}});
        self.patch(&["pod", name, "-n", namespace, "--subresource=status"], &status);
    }

    /// What the probe prints.
    fn measure(&self, namespace: &str, name: &str, task: &Value) {
        let mut log = "{\"line\":\"ready\",\"mtu\":1500}\n".to_owned();
        for at in 0..task["targets"].as_array().unwrap().len() {
            let result = json!({"line": "result", "target": at, "packet": {"expected": 1500, "largest": 1500},
                "ping": {"sent": 3, "received": 3, "milliseconds": 0.1, "problem": null},
                "tcp": {"milliseconds": 0.2, "problem": null}});
            log.push_str(&format!("{result}\n"));
        }
        log.push_str("{\"line\":\"done\"}\n");
        // A file for each request, with what is asked for in it.
        let folder = self.logs.path().join("containerLogs").join(namespace).join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("probe?limitBytes=4194304"), log).unwrap();
    }
}
