//! A node of a cluster: the test plays runtime and kubelet, everything else is what is shipped.

use crate::support::apiserver::ApiServer;
use crate::support::cluster::{put_network, try_server};
use crate::support::daemon::Daemon;
use crate::support::proxy::Proxy;
use crate::support::{self, Answer, Node, Pod, eventually, reported};
use plexus::sys::netns::Netns;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const NODE: &str = "node1";
const DIRECTORIES: [&str; 4] = ["--cni-conf-dir", "/run/node/net.d", "--cni-bin-dir", "/run/node/installed"];
const STATUS: &str = r"jsonpath={.metadata.annotations.k8s\.v1\.cni\.cncf\.io/network-status}";
/// What a macvlan is made on.
pub const MASTER: &str = "eth9";

/// The cluster, and its node.
pub struct Scene {
    pub server: ApiServer,
    pub node: Node,
    pub daemon: Option<Daemon>,
    home: Netns,
    /// Of the daemon's token.
    kubeconfig: PathBuf,
    _wire: Proxy,
}

/// A pod that the kubelet has tried to start.
pub struct Started {
    pub pod: Pod,
    answer: Answer,
}

impl Started {
    /// It runs, and its status was written.
    #[track_caller]
    pub fn is_attached(&self, scene: &Scene) {
        self.answer.result();
        let words = ["get", "pod", &self.pod.name, "-o", STATUS];
        eventually("the network-status", || !scene.kubectl(&words).is_empty());
    }

    /// The plugin has refused it with this code.
    #[track_caller]
    pub fn is_refused(&self, code: u32) {
        self.answer.refusal(code, &[]);
    }

    /// The kubelet tries again, as it does every few seconds: now it starts.
    #[track_caller]
    pub fn starts(mut self, scene: &Scene) {
        self.answer = self.pod.add();
        self.answer.result();
        scene.runs(&self.pod);
        self.is_attached(scene);
        scene.is_well(&format!("default/{}", self.pod.name));
    }
}

/// A macvlan network on [`MASTER`], with addresses of `subnet`.
pub fn macvlan(subnet: &str) -> Value {
    let ipam = json!({"type": "host-local", "subnet": subnet});
    json!({"cniVersion": "1.0.0", "type": "macvlan", "master": MASTER, "ipam": ipam})
}

fn install_manifests(server: &ApiServer) {
    let base = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/base");
    server.kubectl(&["apply", "--server-side", "--force-conflicts", "-k", base], None).unwrap();
}

impl Scene {
    /// None where this machine cannot do it.
    pub fn new() -> Option<Scene> {
        // The server listens where this thread is before it enters its machine.
        let home = Netns::own().unwrap();
        let server = try_server(&[support::cluster::role("unused", &[support::cluster::NETWORKS])]);
        let server = server.map_err(|why| support::cannot_run(&why)).ok()?;
        install_manifests(&server);
        reported::node(&server, NODE);
        reported::plexus(&server, NODE, "plexus");
        let bound = ["--bound-object-kind", "Pod", "--bound-object-name", reported::PLEXUS];
        let token = [&["-n", "kube-system", "create", "token", "plexus"][..], &bound].concat();
        let token = server.kubectl(&token, None).unwrap();
        let kubeconfig = server.kubeconfig_with_token(token.trim()).unwrap();
        let node = Node::new()?;
        let wire = Proxy::into_node(server.url().strip_prefix("https://").unwrap().parse().unwrap(), &home);
        let mut scene = Scene { server, node, daemon: None, home, kubeconfig, _wire: wire };
        scene.install();
        scene.network("lan", &macvlan("10.20.0.0/24").to_string());
        scene.start_daemon();
        Some(scene)
    }

    /// What the node has before the first pod.
    fn install(&self) {
        self.node.ip(&format!("link add {MASTER} type veth peer name {MASTER}-peer"));
        self.node.ip(&format!("link set {MASTER} up"));
        let ipam = json!({"type": "host-local", "subnet": "10.1.0.0/24"});
        let bridge = json!({"type": "bridge", "bridge": "cbr0", "ipam": ipam});
        self.node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [bridge]}));
        let mut install = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        install.env_clear().arg("install").args(DIRECTORIES).args(["--plugin", "/run/node/bin/plexus"]);
        let installed = install.output().unwrap();
        assert!(installed.status.success(), "{installed:?}");
    }

    /// The daemon with the arguments of the manifests. It is ready, and so is its pod.
    pub fn start_daemon(&mut self) {
        self.daemon = Some(self.starting_daemon());
        self.is_ready();
    }

    /// As [`Scene::start_daemon`], and nobody waits until it is ready.
    pub fn starting_daemon(&self) -> Daemon {
        let kubeconfig = self.kubeconfig.to_str().unwrap();
        let own = ["--pod-name", reported::PLEXUS, "--pod-namespace", "kube-system", "--require-policy"];
        Daemon::on_node(&self.node, None, &[&["--kubeconfig", kubeconfig, "--node-name", NODE], &own[..]].concat())
    }

    #[track_caller]
    pub fn is_ready(&self) {
        let daemon = self.daemon.as_ref().unwrap();
        support::wait_until(|| daemon.tested_health().ready, || format!("{:?}\n{}", daemon.health(), daemon.log()));
        self.at_home(|server| {
            reported::plexus_is(server, true);
            let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
            let container =
                json!({"name": "plexusd", "image": "x", "imageID": "x", "ready": true, "restartCount": 0, "state": running});
            reported::pod_is(server, "kube-system", reported::PLEXUS, &json!({"containerStatuses": [container]}));
        });
    }

    /// As whoever installs Plexus does, once more.
    pub fn install_manifests(&self) {
        self.at_home(install_manifests);
    }

    /// Runs `work` where the server is, and not the node.
    pub fn at_home<T: Send>(&self, work: impl FnOnce(&ApiServer) -> T + Send) -> T {
        self.home.run(|| work(&self.server)).unwrap()
    }

    /// kubectl as the administrator.
    #[track_caller]
    pub fn kubectl(&self, words: &[&str]) -> String {
        self.at_home(|server| server.kubectl(words, None)).unwrap()
    }

    /// Makes or changes the network `default/<name>`, and waits until the daemon knows it.
    pub fn network(&self, name: &str, config: &str) {
        self.at_home(|server| put_network(server, "default", name, config));
        let nad = support::daemon::nad(name);
        if let Some(daemon) = &self.daemon {
            eventually("the daemon to know the network", || daemon.config_of(&nad).as_deref() == Some(config));
        }
    }

    /// A new pod is bound to the node; its sandbox is made, and no plugin was called.
    fn bound(&self, name: &str, networks: &str) -> Pod {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": {plexus::nad::NETWORKS: networks}},
            "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "x"}]}});
        let mut made = Pod::new(&self.node, name).selecting(networks);
        made.uid = self.at_home(|server| {
            server.kubectl(&["create", "-f", "-"], Some(&pod.to_string())).unwrap();
            reported::uid(server, "default", name)
        });
        made
    }

    /// The runtime calls another plugin: the pod runs, and has no additional network.
    pub fn start_without_plexus(&self, name: &str, networks: &str) -> Pod {
        let pod = self.bound(name, networks);
        self.runs(&pod);
        pod
    }

    /// The pod ends.
    pub fn delete(&self, pod: Pod) {
        pod.del().silence();
        pod.end_sandbox();
        self.kubectl(&["delete", "pod", &pod.name, "--grace-period=0", "--force"]);
    }

    /// A new pod is bound to the node, and the kubelet has the runtime start it.
    pub fn start(&self, name: &str, networks: &str) -> Started {
        let made = self.bound(name, networks);
        let answer = made.add();
        if answer.status.success() {
            self.runs(&made);
        } else {
            // As containerd and the kubelet put it.
            let told = format!(
                "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"{}\": \
                 plugin type=\"plexus\" failed (add): {}",
                made.id,
                answer.error().msg
            );
            let about = ("Pod", "default", name);
            self.at_home(|server| reported::event(server, about, (0, "Warning", "FailedCreatePodSandBox", &told)));
        }
        Started { pod: made, answer }
    }

    /// The kubelet reports that the pod runs.
    pub fn runs(&self, pod: &Pod) {
        let ready = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        self.at_home(|server| reported::pod_is(server, "default", &pod.name, &ready));
    }

    fn plexusctl(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        command.env_clear().env("HOME", "/nonexistent").env("KUBECONFIG", self.server.kubeconfig());
        command.args(words).stdin(Stdio::null());
        command
    }

    /// On the node, as its administrator.
    pub fn on_node(&self, words: &[&str]) -> Output {
        self.beside_the_files(&[words, &DIRECTORIES].concat())
    }

    /// On the node, without naming its directories.
    pub fn beside_the_files(&self, words: &[&str]) -> Output {
        self.plexusctl(words).output().unwrap()
    }

    /// From a workstation: without the files of the node.
    pub fn afar(&self, words: &[&str]) -> Output {
        let mut command = self.plexusctl(words);
        command.env("PLEXUS_STATE_DIRECTORY", "/nonexistent/plexus").env("PLEXUS_RUN_DIRECTORY", "/nonexistent/run");
        self.home.run(|| command.output()).unwrap().unwrap()
    }
}
