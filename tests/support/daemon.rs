//! The daemon, with a folder of manifests for a cluster.

use super::node::{self, FOLDER, Node, PATH};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plexus::sys::netns::Netns;
use serde_json::{Value, json};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A daemon that runs; it is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts one on `node` and waits until it answers.
    pub fn start(node: &Node) -> Self {
        let mut command = Command::new(Path::new(FOLDER).join("daemon/plexusd"));
        command.arg("--source-directory").arg(manifests()).env_clear().env("PATH", PATH);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).args(["--log-level", "error"]);
        // SAFETY: prctl(2) is async-signal-safe.
        unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
        let daemon = Daemon { child: command.spawn().unwrap() };
        super::eventually("the daemon's socket", || node.run().socket().exists());
        daemon
    }

    /// Starts one on `node` that knows the cluster of `kubeconfig`, which is reached from `home`.
    pub fn of_cluster(node: &Node, home: &Netns, kubeconfig: &Path) -> Self {
        let mut command = Command::new(Path::new(FOLDER).join("daemon/plexusd"));
        command
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(["--node-name", "node1", "--log-level", "warn"])
            .env_clear()
            .env("PATH", PATH);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let home = home.as_fd().try_clone_to_owned().unwrap();
        let enter = move || {
            set_pdeathsig(Signal::SIGKILL)?;
            Ok(setns(&home, CloneFlags::CLONE_NEWNET)?)
        };
        // SAFETY: prctl(2) and setns(2) are async-signal-safe.
        unsafe { command.pre_exec(enter) };
        let daemon = Daemon { child: command.spawn().unwrap() };
        super::eventually("the daemon's socket", || node.run().socket().exists());
        daemon
    }

    /// What it has in memory, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Stops it without warning.
    pub fn kill(self) {
        drop(self);
    }

    /// Halts it: its socket is open and nobody answers.
    pub fn halt(&self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGSTOP).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of manifests.
pub fn manifests() -> PathBuf {
    Path::new(FOLDER).join("manifests")
}

/// Writes the manifest of the network `nad` (`namespace/name`).
pub fn network(nad: &str, config: &Value) {
    let (namespace, name) = nad.split_once('/').unwrap();
    let manifest = json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"config": config.to_string()},
    });
    node::write(&manifests().join(format!("{namespace}-{name}.json")), &manifest.to_string());
}

/// Writes the manifest of the pod `default/<name>`.
pub fn pod(name: &str, annotations: &Value) {
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "uid": format!("uid-of-{name}"), "annotations": annotations},
    });
    node::write(&manifests().join(format!("pod-{name}.json")), &manifest.to_string());
}
