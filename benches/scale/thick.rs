//! One multus-daemon ("thick") for each node, where `MULTUS_BIN_DIR` names the programs of Multus 4.3: each with a token and
//! connections of its own, in a mount namespace in which it finds what a pod has.

use crate::support::apiserver::ApiServer;
use crate::support::node::PATH;
use crate::support::wait_within;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(600);
/// Gives it the files of a service account, which it expects at a fixed place.
const IN_A_POD: &str = "mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io && \
    cp -r \"$1/account\" /run/secrets/kubernetes.io/serviceaccount && exec \"$0\" -config \"$1/config.json\"";

/// The daemons of a cluster.
pub struct Thick {
    programs: PathBuf,
    server: String,
    nodes: Vec<TempDir>,
    daemons: Vec<Child>,
}

impl Thick {
    /// Makes a token and a configuration for each of so many daemons.
    pub fn prepare(server: &ApiServer, programs: &Path, nodes: usize) -> Self {
        let kubectl = |arguments: &str| server.kubectl(&arguments.split(' ').collect::<Vec<_>>(), None).unwrap();
        kubectl("create serviceaccount multus --namespace kube-system");
        kubectl("create clusterrolebinding multus --clusterrole cluster-admin --serviceaccount kube-system:multus");
        let kubeconfig: Value = serde_json::from_str(&fs::read_to_string(server.kubeconfig()).unwrap()).unwrap();
        let authority = kubeconfig["clusters"][0]["cluster"]["certificate-authority"].as_str().unwrap();
        let node = |_| {
            let folder = tempfile::tempdir().unwrap();
            let (path, account) = (folder.path(), folder.path().join("account"));
            for made in ["account", "net.d", "bin", "sockets"] {
                fs::create_dir(path.join(made)).unwrap();
            }
            let token = kubectl("create token multus --namespace kube-system --duration 10h");
            fs::write(account.join("token"), token.trim()).unwrap();
            fs::write(account.join("namespace"), "kube-system").unwrap();
            fs::copy(authority, account.join("ca.crt")).unwrap();
            let primary = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "bridge"}]});
            fs::write(path.join("net.d/10-primary.conflist"), primary.to_string()).unwrap();
            fs::write(path.join("config.json"), configuration(path).to_string()).unwrap();
            folder
        };
        let nodes = (0..nodes).map(node).collect();
        Thick { programs: programs.to_owned(), server: server.url(), nodes, daemons: Vec::new() }
    }

    /// Starts all at once, and waits until each answers.
    pub fn start(&mut self) {
        self.daemons = self.nodes.iter().enumerate().map(|(number, node)| self.spawn(number, node.path())).collect();
        for node in &self.nodes {
            let log = || fs::read_to_string(node.path().join("log")).unwrap_or_default();
            wait_within(PATIENCE, || node.path().join("net.d/00-multus.conf").exists(), log);
        }
    }

    /// Resident memory of a daemon in the middle, in KiB.
    pub fn memory(&self) -> u64 {
        let mut all: Vec<u64> = self.daemons.iter().map(|daemon| crate::cost::of_process(daemon.id()).memory).collect();
        all.sort_unstable();
        all[all.len() / 2]
    }

    fn spawn(&self, number: usize, node: &Path) -> Child {
        let (host, port) = self.server.strip_prefix("https://").unwrap().rsplit_once(':').unwrap();
        let mut daemon = Command::new("unshare");
        daemon.args(["--mount", "--", "sh", "-c", IN_A_POD]).arg(self.programs.join("multus-daemon")).arg(node);
        daemon.env_clear().env("PATH", PATH).env("MULTUS_NODE_NAME", format!("node-{number}"));
        daemon.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
        let log = fs::File::create(node.join("log")).unwrap();
        daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // SAFETY: prctl(2) is async-signal-safe.
        unsafe { daemon.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
        daemon.spawn().unwrap()
    }
}

impl Drop for Thick {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            // It may have ended by itself.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn configuration(node: &Path) -> Value {
    let folder = |name: &str| node.join(name);
    json!({
        "cniVersion": "1.0.0", "binDir": folder("bin"), "cniDir": folder("cni"), "cniConfigDir": folder("net.d"),
        "multusAutoconfigDir": folder("net.d"), "multusConfigFile": "auto", "socketDir": folder("sockets"),
        "daemonSocketDir": folder("sockets"), "logLevel": "error", "logToStderr": true,
    })
}
