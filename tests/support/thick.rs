//! Multus 4.3 with its daemon ("thick"), from the folder that `MULTUS_BIN_DIR` names: what we are compared with,
//! and what nodes are taken over from. Nothing of it is part of this project.
//!
//! Its daemon takes the cluster from the variables and files of a pod, and attaches in its own namespaces: so the
//! API server, the daemon and the calls are all on the test's [`Node`].

#![allow(dead_code, reason = "every test crate uses a part of it")]

use super::support::apiserver::ApiServer;
use super::support::node::{self, FOLDER, Node, PATH};
use super::support::pod::{Call, Pod};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where a pod finds who it is; on the test's machine.
const ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount";
/// Its sockets.
const SOCKETS: &str = "/run/multus";

/// The daemon, a cluster and a node.
pub struct Thick {
    /// The cluster; `node1` is the machine.
    pub api: ApiServer,
    /// The machine.
    pub node: Node,
    programs: PathBuf,
    daemon: Child,
}

impl Thick {
    /// Starts all three on a new machine, with `primary` as the default network; `None`, with a line that says why, where that is not possible.
    pub fn start(programs: &Path, primary: &Value) -> Option<Thick> {
        Thick::start_on(Node::new()?, programs, primary)
    }

    /// As [`Thick::start`], with a default network of one plugin: its file is no list.
    pub fn start_without_list(programs: &Path, primary: &Value) -> Option<Thick> {
        let node = Node::new()?;
        fs::remove_file(node.primary_file()).unwrap();
        node::write(&node.primary_file().with_extension("conf"), &primary.to_string());
        Thick::start_on(node, programs, primary)
    }

    /// As [`Thick::start`], on `node`.
    pub fn start_on(node: Node, programs: &Path, primary: &Value) -> Option<Thick> {
        if node.primary_file().exists() {
            node.primary(primary);
        }
        let api = match ApiServer::start() {
            Ok(api) => api,
            Err(why) if std::env::var_os("CI").is_some() => panic!("cannot run here: {why}"),
            Err(why) => {
                eprintln!("SKIP: {why}");
                return None;
            }
        };
        let crd = include_str!("../../crd/network-attachment-definitions.yaml");
        api.kubectl(&["apply", "-f", "-"], Some(crd)).unwrap();
        api.kubectl(
            &["wait", "--for=condition=Established", "crd/network-attachment-definitions.k8s.cni.cncf.io"],
            None,
        )
        .unwrap();
        credentials(&api);
        let daemon = daemon(programs, &api, |_| ());
        let thick = Thick { api, node, programs: programs.to_owned(), daemon };
        thick.wait_for_daemon();
        Some(thick)
    }

    /// Waits until the daemon, which was not there before, answers.
    fn wait_for_daemon(&self) {
        super::support::eventually("the socket of multus-daemon", || Path::new(SOCKETS).join("multus.sock").exists());
        // Written when the daemon answers itself, and not at once.
        let is_whole = |text: String| serde_json::from_str::<Value>(&text).is_ok();
        super::support::eventually("the configuration of multus-daemon", || {
            fs::read_to_string(self.head_file()).is_ok_and(is_whole)
        });
    }

    /// Starts the daemon again, which has ended, as `prepare` has it.
    pub fn start_daemon(&mut self, prepare: impl FnOnce(&mut Command)) {
        // What is waited for is not of the one before, which may have made neither.
        for of_former in [Path::new(SOCKETS).join("multus.sock"), self.head_file()] {
            let _ = fs::remove_file(of_former);
        }
        self.spawn_daemon(prepare);
        self.wait_for_daemon();
    }

    /// The process of its daemon.
    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }

    /// The configuration that the runtime loads.
    pub fn head_file(&self) -> PathBuf {
        self.node.net_d().join("00-multus.conf")
    }

    /// Ends the daemon without warning; its configuration stays.
    pub fn end_daemon(&mut self) {
        // It may have ended by itself.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }

    /// Ends the daemon, and has the node installed as without one ("thin"), by its own installer; answers the
    /// configuration that the runtime loads from then on.
    pub fn become_thin(&mut self) -> PathBuf {
        self.end_daemon();
        self.spawn_installer(|installer| _ = installer.arg("--skip-multus-binary-copy"));
        let head = self.thin_head_file();
        super::support::eventually("the configuration of the installer", || head.exists());
        head
    }

    /// Starts the installer of a node without a daemon as `prepare` has it, where the daemon was.
    pub fn spawn_installer(&mut self, prepare: impl FnOnce(&mut Command)) {
        let (net_d, bin) = (self.node.net_d(), self.node.bin());
        let mut installer = Command::new(self.programs.join("thin_entrypoint"));
        installer.arg("--cni-conf-dir").arg(&net_d).arg("--multus-autoconfig-dir").arg(&net_d);
        installer.arg("--cni-bin-dir").arg(&bin).arg("--additional-bin-dir").arg(&bin);
        installer.arg("--multus-bin-file").arg(self.programs.join("multus"));
        installer.arg("--multus-kubeconfig-file-host").arg(net_d.join("multus.d/multus.kubeconfig"));
        installer.arg("--multus-cni-conf-dir").arg(Path::new(FOLDER).join("multus.d"));
        self.daemon = of_pod(installer, &self.api, prepare);
    }

    /// Starts the daemon as `prepare` has it, and waits for nothing.
    pub fn spawn_daemon(&mut self, prepare: impl FnOnce(&mut Command)) {
        self.daemon = daemon(&self.programs, &self.api, prepare);
    }

    /// Whether the daemon, or the installer, has ended.
    pub fn has_ended(&mut self) -> bool {
        self.daemon.try_wait().unwrap().is_some()
    }

    /// The configuration that the runtime loads without a daemon.
    pub fn thin_head_file(&self) -> PathBuf {
        self.node.net_d().join("00-multus.conflist")
    }

    /// Creates the network `default/<name>`.
    pub fn network(&self, name: &str, config: &Value) {
        let manifest = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"namespace": "default", "name": name}, "spec": {"config": config.to_string()},
        });
        self.api.kubectl(&["apply", "-f", "-"], Some(&manifest.to_string())).unwrap();
    }

    /// Creates the pod `default/<name>` in the cluster and its sandbox on the node.
    pub fn pod(&self, name: &str, networks: &str) -> Pod {
        let manifest = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "annotations": {"k8s.v1.cni.cncf.io/networks": networks}},
            "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "x"}]},
        });
        // `apply` would keep a copy of annotations, which may be long.
        self.api.kubectl(&["create", "-f", "-"], Some(&manifest.to_string())).unwrap();
        let mut pod = Pod::new(&self.node, name).selecting(networks);
        pod.uid = self.api.kubectl(&["get", "pod", name, "-o", "jsonpath={.metadata.uid}"], None).unwrap();
        pod
    }

    /// A call to the plugin that asks the daemon, with the configuration that the daemon wrote.
    pub fn call(&self, pod: &Pod, verb: &str) -> Call {
        let mut call = pod.call(verb).of_program(&self.programs.join("multus-shim"));
        call.config = serde_json::from_str(&fs::read_to_string(self.head_file()).unwrap()).unwrap();
        call
    }

    /// A call to the plugin that has no daemon, with the configuration that its installer wrote, as libcni makes it.
    pub fn thin_call(&self, pod: &Pod, verb: &str) -> Call {
        let list: Value = serde_json::from_str(&fs::read_to_string(self.thin_head_file()).unwrap()).unwrap();
        let mut call = pod.call(verb).of_program(&self.programs.join("multus"));
        call.config = list["plugins"][0].clone();
        for key in ["name", "cniVersion"] {
            call.config[key] = list[key].clone();
        }
        call
    }
}

impl Drop for Thick {
    fn drop(&mut self) {
        self.end_daemon();
    }
}

/// A service account that may do everything, where the daemon looks for it.
fn credentials(api: &ApiServer) {
    let kubectl = |arguments: &str| api.kubectl(&arguments.split(' ').collect::<Vec<_>>(), None).unwrap();
    kubectl("create serviceaccount multus --namespace kube-system");
    kubectl("create clusterrolebinding multus --clusterrole cluster-admin --serviceaccount kube-system:multus");
    let token = kubectl("create token multus --namespace kube-system --duration 10h");
    let account = Path::new(ACCOUNT);
    node::write(&account.join("token"), token.trim());
    node::write(&account.join("namespace"), "kube-system");
    let kubeconfig: Value = serde_json::from_str(&fs::read_to_string(api.kubeconfig()).unwrap()).unwrap();
    let authority = kubeconfig["clusters"][0]["cluster"]["certificate-authority"].as_str().unwrap();
    fs::copy(authority, account.join("ca.crt")).unwrap();
}

/// Starts the daemon: it finds the default network in the node's folder and writes its own configuration there.
fn daemon(programs: &Path, api: &ApiServer, prepare: impl FnOnce(&mut Command)) -> Child {
    let net_d = format!("{FOLDER}/net.d");
    let config = json!({
        "cniVersion": version_of_primary(), "binDir": format!("{FOLDER}/bin"), "cniDir": "/var/lib/cni/multus",
        "cniConfigDir": net_d, "multusAutoconfigDir": net_d, "multusConfigFile": "auto",
        "socketDir": SOCKETS, "daemonSocketDir": SOCKETS, "logLevel": "error", "logToStderr": true,
    });
    let file = Path::new(FOLDER).join("multus-daemon.json");
    node::write(&file, &config.to_string());
    let mut daemon = Command::new(programs.join("multus-daemon"));
    daemon.arg("-config").arg(&file);
    of_pod(daemon, api, prepare)
}

/// The version of the default network's configuration: the daemon refuses one that differs from its own.
fn version_of_primary() -> String {
    let files = fs::read_dir(format!("{FOLDER}/net.d")).unwrap().flatten().map(|entry| entry.path());
    let mut configs = files.filter(|file| !file.to_string_lossy().contains("multus"));
    let version = configs.find_map(|file| {
        let config: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
        Some(config["cniVersion"].as_str()?.to_owned())
    });
    version.unwrap_or_else(|| "1.0.0".to_owned())
}

/// Starts a program as in a pod of the cluster; it ends with the test.
fn of_pod(mut command: Command, api: &ApiServer, prepare: impl FnOnce(&mut Command)) -> Child {
    let url = api.url();
    let (host, port) = url.strip_prefix("https://").unwrap().rsplit_once(':').unwrap();
    command.env_clear().env("PATH", PATH).env("MULTUS_NODE_NAME", "node1");
    command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
    let log = fs::File::create(Path::new(FOLDER).join("multus-daemon.log")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // SAFETY: prctl(2) is async-signal-safe.
    unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
    prepare(&mut command);
    command.spawn().unwrap()
}
