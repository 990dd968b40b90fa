//! A real plexusd process: on a [`Node`], or in a folder of its own.

use super::connection::Connection;
use super::node::{FOLDER, Node, PATH};
use super::{PATIENCE, manifests, programs, wait_until};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plexus::api::protocol::{Health, Published, Reply, Request};
use plexus::api::{Facts, FactsRequest, Publication, RunDirectory, StateDirectory};
use plexus::cni::ContainerId;
use plexus::nad::{NadRef, PodRef};
use plexus::sys::files::{self, Durability};
use plexus::sys::netns::Netns;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A daemon that runs; it is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Its run directory.
    pub run: RunDirectory,
    /// Its state directory.
    pub state: StateDirectory,
    log: PathBuf,
}

impl Daemon {
    /// Starts one on `node` that knows the cluster of [`manifests::folder`], and waits until it answers.
    pub fn start(node: &Node) -> Self {
        Daemon::on_node(node, None, &["--source-directory", &manifests::folder().to_string_lossy()])
    }

    /// Starts one on `node` with `arguments`, in the network namespace `home` where there is one.
    pub fn on_node(node: &Node, home: Option<&Netns>, arguments: &[&str]) -> Self {
        let daemon = Daemon::of_program(&Path::new(FOLDER).join("daemon/plexusd"), node, home, arguments);
        wait_until(|| daemon.connect().is_some(), || format!("plexusd does not answer:\n{}", daemon.log()));
        daemon
    }

    /// As [`Daemon::on_node`], of another program and without waiting for anything.
    pub fn of_program(program: &Path, node: &Node, home: Option<&Netns>, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(["--log-level", "info"]).args(arguments).env_clear().env("PATH", PATH);
        let home = home.map(|home| home.as_fd().try_clone_to_owned().unwrap());
        let enter = move || {
            set_pdeathsig(Signal::SIGKILL)?;
            home.as_ref().map_or(Ok(()), |home| Ok(setns(home, CloneFlags::CLONE_NEWNET)?))
        };
        // SAFETY: prctl(2) and setns(2) are async-signal-safe.
        unsafe { command.pre_exec(enter) };
        Daemon::spawn_command(command, node.run(), node.state(), Path::new(FOLDER).join("plexusd.log"))
    }

    /// Starts one with `run` and `state` in `folder`, and waits until it answers.
    pub fn in_folder(folder: &Path, arguments: &[&str]) -> Self {
        let daemon = Daemon::spawn(folder, arguments);
        wait_until(|| daemon.connect().is_some(), || format!("plexusd does not answer:\n{}", daemon.log()));
        daemon
    }

    /// As [`Daemon::in_folder`], without waiting for anything.
    pub fn spawn(folder: &Path, arguments: &[&str]) -> Self {
        Daemon::spawn_as(folder, arguments, |_| ())
    }

    /// As [`Daemon::spawn`], as `prepare` has it.
    pub fn spawn_as(folder: &Path, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let (run, state) = (RunDirectory::new(folder.join("run")), StateDirectory::new(folder.join("state")));
        let mut command = Command::new(Daemon::program());
        command.args(["--log-level", "debug", "--run-directory"]).arg(run.path());
        command.arg("--state-directory").arg(state.path()).args(arguments).env_remove("KUBECONFIG");
        prepare(&mut command);
        Daemon::spawn_command(command, run, state, folder.join("plexusd.log"))
    }

    /// The shipped program is tested by naming it.
    pub fn program() -> PathBuf {
        programs::daemon()
    }

    /// As [`Daemon::in_folder`], as the user and group `uid`, who may read `folder` and write where it is theirs.
    pub fn in_folder_as(folder: &Path, uid: u32, arguments: &[&str]) -> Self {
        let (run, state) = (RunDirectory::new(folder.join("run")), StateDirectory::new(folder.join("state")));
        // Who is somebody else may not reach the folder of the build.
        let program = folder.join("plexusd");
        // By another process: what a test starts beside this one would inherit the open file ("text file busy").
        assert!(Command::new("cp").arg(Daemon::program()).arg(&program).status().unwrap().success());
        let mut command = Command::new(program);
        command.args(["--log-level", "debug", "--run-directory"]).arg(run.path());
        command.arg("--state-directory").arg(state.path()).args(arguments).env_remove("KUBECONFIG");
        command.uid(uid).gid(uid).current_dir("/");
        let daemon = Daemon::spawn_command(command, run, state, folder.join("plexusd.log"));
        wait_until(|| daemon.connect().is_some(), || format!("plexusd does not answer:\n{}", daemon.log()));
        daemon
    }

    fn spawn_command(mut command: Command, run: RunDirectory, state: StateDirectory, log: PathBuf) -> Self {
        let lines = File::options().create(true).append(true).open(&log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(lines).spawn().unwrap();
        Daemon { child, run, state, log }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Its process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged, and every daemon before it in the same folder.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A connection that has been greeted.
    pub fn connect(&self) -> Option<Connection> {
        Connection::open(&self.run.socket())
    }

    /// Asks on a connection of its own.
    pub fn ask(&self, request: &Request) -> Reply {
        let mut connection = self.connect().unwrap_or_else(|| panic!("plexusd is not there:\n{}", self.log()));
        connection.ask(request)
    }

    /// The facts, or why there are none.
    pub fn facts(&self, request: FactsRequest) -> Result<Facts, String> {
        match self.ask(&Request::Facts(request)) {
            Reply::Facts(facts) => Ok(facts),
            Reply::Unavailable(line) => Err(line),
            other => panic!("{other:?}"),
        }
    }

    /// The configuration of a network; `None` when it is missing.
    pub fn config_of(&self, nad: &NadRef) -> Option<String> {
        let facts = self.facts(FactsRequest { networks: vec![nad.clone()], ..FactsRequest::default() }).unwrap();
        assert_eq!(facts.definitions.is_empty(), facts.missing == [nad.clone()], "{facts:?}");
        facts.definitions.into_iter().next().map(|definition| definition.config.unwrap_or_default())
    }

    /// Leaves a publication as the plugin does.
    pub fn leave(&self, sandbox: &str, pod: &PodRef, status: &str) -> ContainerId {
        let container_id = ContainerId::new(sandbox).unwrap();
        let publication = Publication {
            container_id: container_id.clone(),
            pod: pod.clone(),
            network_status: status.to_owned(),
            left_out: Vec::new(),
        };
        let text = serde_json::to_vec(&publication).unwrap();
        files::replace(&self.run.publication(&container_id), &text, 0o600, Durability::Cached).unwrap();
        container_id
    }

    /// Leaves a publication and asks for it.
    pub fn publish(&self, sandbox: &str, pod: &PodRef, status: &str) -> Published {
        let sandbox = self.leave(sandbox, pod, status);
        match self.ask(&Request::Publish(sandbox)) {
            Reply::Published(published) => published,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// How it ended, after at most [`PATIENCE`].
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "plexusd does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> u64 {
        self.memory_field("VmRSS:")
    }

    /// The part of its resident memory that is anonymous, in KiB: no file has it.
    pub fn anonymous_memory(&self) -> u64 {
        self.memory_field("RssAnon:")
    }

    /// The most resident memory there has been, in KiB.
    pub fn peak_memory(&self) -> u64 {
        self.memory_field("VmHWM:")
    }

    fn memory_field(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// What it says of itself.
    pub fn health(&self) -> Health {
        match self.ask(&Request::Health { test: false }) {
            Reply::Health(health) => health,
            other => panic!("{other:?}"),
        }
    }

    /// As [`Daemon::health`], after it has tested the admission policy.
    pub fn tested_health(&self) -> Health {
        match self.ask(&Request::Health { test: true }) {
            Reply::Health(health) => health,
            other => panic!("{other:?}"),
        }
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

/// The pod `default/<name>`.
pub fn pod(name: &str, uid: Option<&str>) -> PodRef {
    PodRef::new("default", name, uid).unwrap()
}

/// The network `default/<name>`.
pub fn nad(name: &str) -> NadRef {
    NadRef::new("default", name).unwrap()
}

/// A question about the annotations of a pod, and the networks they name.
pub fn wanted(pod: PodRef) -> FactsRequest {
    FactsRequest { pod: Some(pod), annotations_wanted: true, ..FactsRequest::default() }
}
