//! A sandbox on the node, and the runtime's side of the protocol.

use super::answer::{Answer, Running};
use super::changes::{Change, Changes};
use super::netlink::{Fate, Requests, Seen};
use super::node::{self, Node, PATH};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plexus::cni::ContainerId;
use plexus::nad::{DEFAULT_NETWORK, NETWORKS};
use plexus::sys::netns::Netns;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// The capability under which runtimes hand over annotations.
pub const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// How long the kernel may take a namespace apart. One that somebody holds stays longer.
const END_OF_NAMESPACE: Duration = Duration::from_secs(3);

/// A pod whose sandbox exists, as the runtime sees it.
#[derive(Debug)]
pub struct Pod {
    /// `CNI_CONTAINERID`.
    pub id: String,
    /// The pod's name.
    pub name: String,
    /// The pod's namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Its annotations, handed over on every call; none where the runtime does not do that.
    pub annotations: Option<BTreeMap<String, String>>,
    /// What else is offered by capability.
    pub capability_args: Map<String, Value>,
    /// The configuration of Plexus.
    pub config: Value,
    /// `CNI_IFNAME`.
    pub ifname: String,
    /// `CNI_NETNS`.
    pub netns: PathBuf,
}

impl Pod {
    /// The pod `name` of the namespace `default`, with a new sandbox on `node`.
    pub fn new(node: &Node, name: &str) -> Self {
        let netns = Path::new("/run/netns").join(format!("cni-{name}"));
        let created = Netns::create().unwrap();
        let file = File::from(created.as_fd().try_clone_to_owned().unwrap());
        node::bind(&file, &netns).unwrap();
        Pod {
            id: format!("{name}-0123456789abcdef"),
            name: name.to_owned(),
            namespace: "default".to_owned(),
            uid: format!("uid-of-{name}"),
            annotations: Some(BTreeMap::new()),
            capability_args: Map::new(),
            config: node.config.clone(),
            ifname: "eth0".to_owned(),
            netns,
        }
    }

    /// With the annotation that selects `networks`.
    pub fn selecting(self, networks: impl ToString) -> Self {
        self.annotated(NETWORKS, networks)
    }

    /// With the annotation that replaces the default network.
    pub fn with_default_network(self, networks: impl ToString) -> Self {
        self.annotated(DEFAULT_NETWORK, networks)
    }

    /// With any annotation.
    pub fn annotated(mut self, key: &str, value: impl ToString) -> Self {
        self.annotations.get_or_insert_default().insert(key.to_owned(), value.to_string());
        self
    }

    /// With `key` of the configuration of Plexus.
    pub fn configured(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// A call as a runtime makes it; what is special about it can be changed before it is made.
    pub fn call(&self, verb: &str) -> Call {
        let mut offered = self.capability_args.clone();
        if let Some(annotations) = &self.annotations {
            offered.insert(POD_ANNOTATIONS.to_owned(), json!(annotations));
        }
        let mut config = self.config.clone();
        if let Some(config) = config.as_object_mut() {
            config.remove("capabilities");
            if !offered.is_empty() {
                config.insert("runtimeConfig".to_owned(), Value::Object(offered));
            }
        }
        let args = format!(
            "K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={};IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={}",
            self.id, self.uid, self.namespace, self.name
        );
        let bin = format!("{}/bin", node::FOLDER);
        let environment = [
            ("CNI_COMMAND", verb.to_owned()),
            ("CNI_CONTAINERID", self.id.clone()),
            ("CNI_NETNS", self.netns.display().to_string()),
            ("CNI_IFNAME", self.ifname.clone()),
            ("CNI_ARGS", args),
            ("CNI_PATH", bin.clone()),
            ("PATH", PATH.to_owned()),
        ];
        Call { program: Path::new(&bin).join("plexus"), environment: environment.into(), config }
    }

    /// ADD.
    pub fn add(&self) -> Answer {
        self.call("ADD").make()
    }

    /// DEL.
    pub fn del(&self) -> Answer {
        self.call("DEL").make()
    }

    /// DEL as kubelet has it sent a minute after the first: the namespace is gone.
    pub fn del_without_netns(&self) -> Answer {
        self.call("DEL").env("CNI_NETNS", "").make()
    }

    /// The record of the sandbox, where there is one.
    pub fn record(&self, node: &Node) -> Option<Value> {
        let text = fs::read_to_string(self.record_file(node)).ok()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// Where its record is.
    pub fn record_file(&self, node: &Node) -> PathBuf {
        node.state().record(&ContainerId::new(self.id.clone()).unwrap())
    }

    /// Ends the sandbox: the file goes, and with it, unless somebody holds it, the namespace. The kernel takes its links
    /// apart later (net/core/net_namespace.c: `cleanup_net`): this waits until the ends of them on the node are gone.
    pub fn end_sandbox(&self) {
        let peers = super::kernel::peers(&self.netns);
        nix::mount::umount2(&self.netns, nix::mount::MntFlags::MNT_DETACH).unwrap();
        fs::remove_file(&self.netns).unwrap();
        let deadline = Instant::now() + END_OF_NAMESPACE;
        while Instant::now() < deadline && super::kernel::has_links(&peers) {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs ip(8) with `-json` in the sandbox.
    pub fn ip(&self, arguments: &str) -> Value {
        super::kernel::ip_in(&self.netns, arguments)
    }
}

/// A call that was not made yet.
#[derive(Clone, Debug)]
pub struct Call {
    program: PathBuf,
    environment: BTreeMap<&'static str, String>,
    /// What goes to stdin.
    pub config: Value,
}

impl Call {
    /// A call about no pod (STATUS, GC), as libcni makes it: what names an attachment is there and empty.
    pub fn of_node(node: &Node, verb: &str) -> Call {
        let bin = format!("{}/bin", node::FOLDER);
        let mut config = node.config.clone();
        config["cniVersion"] = json!("1.1.0");
        config.as_object_mut().unwrap().remove("capabilities");
        let empty = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"].map(|key| (key, String::new()));
        let environment = [("CNI_COMMAND", verb.to_owned()), ("CNI_PATH", bin.clone()), ("PATH", PATH.to_owned())];
        Call {
            program: Path::new(&bin).join("plexus"),
            environment: environment.into_iter().chain(empty).collect(),
            config,
        }
    }

    /// To another program.
    pub fn of_program(mut self, program: &Path) -> Self {
        program.clone_into(&mut self.program);
        self
    }

    /// With another value of a variable.
    pub fn env(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.environment.insert(key, value.into());
        self
    }

    /// Without a variable.
    pub fn without_env(mut self, key: &str) -> Self {
        self.environment.remove(key);
        self
    }

    /// With a key of the configuration.
    pub fn configured(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// Makes the call and waits for its end.
    pub fn make(self) -> Answer {
        self.start().wait()
    }

    /// Makes the call and says how long it took, from the start of the process to its end. It must succeed.
    #[track_caller]
    pub fn timed(self) -> Duration {
        let stdin = self.config.to_string();
        let begun = Instant::now();
        let mut child = self.command().spawn().unwrap();
        // All of it goes into the pipe at once; one that ends early has said so by its answer.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let taken = begun.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        taken
    }

    /// Starts the call.
    pub fn start(self) -> Running {
        let stdin = self.config.to_string();
        self.start_with(stdin)
    }

    /// Starts the call as `prepare` has it.
    pub fn start_as(self, prepare: impl FnOnce(&mut Command)) -> Running {
        let mut command = self.command();
        prepare(&mut command);
        Running::new(command.spawn().unwrap(), self.config.to_string())
    }

    /// Sweeps with the configuration, as `plexusctl gc` does; answers what was printed. It must succeed.
    #[track_caller]
    pub fn sweep(self) -> String {
        let answer = self.start_as(|command| _ = command.arg("sweep")).wait();
        assert!(answer.status.success(), "{}", answer.stdout);
        answer.stdout
    }

    /// Starts the call with anything on stdin.
    pub fn start_with(self, stdin: impl Into<Vec<u8>>) -> Running {
        Running::new(self.command().spawn().unwrap(), stdin)
    }

    /// Makes the call while its netlink request numbered `chosen`, from 1, meets `fate`; answers the types of all.
    pub fn make_with(self, chosen: usize, fate: Fate) -> (Answer, Vec<u16>) {
        let mut command = self.command();
        let requests = Requests::of(&mut command, chosen, fate);
        let running = Running::new(command.spawn().unwrap(), self.config.to_string());
        drop(command);
        (running.wait(), requests.seen().requests)
    }

    /// Makes the call, and answers what it asked of the kernel.
    pub fn make_counted(self) -> (Answer, Seen) {
        let mut command = self.command();
        let requests = Requests::counted(&mut command);
        let running = Running::new(command.spawn().unwrap(), self.config.to_string());
        drop(command);
        (running.wait(), requests.seen())
    }

    /// Makes the call, and kills the plugin before its change numbered `chosen`, from 1; answers the names of all changes.
    pub fn killed_at(self, chosen: usize) -> (Answer, Vec<&'static str>) {
        self.killed_as(chosen, |_| ())
    }

    /// As [`Call::killed_at`], as `prepare` has it.
    pub fn killed_as(self, chosen: usize, prepare: impl FnOnce(&mut Command)) -> (Answer, Vec<&'static str>) {
        let mut command = self.command();
        prepare(&mut command);
        let changes = Changes::of(&mut command, chosen);
        let running = Running::new(command.spawn().unwrap(), self.config.to_string());
        drop(command);
        (running.wait(), changes.seen())
    }

    /// Makes the call. Of its changes those count for which `victim` names a process; before the one numbered `chosen`, from 1,
    /// that process alone is killed. Answers the names of those that counted.
    pub fn other_killed_at(
        self,
        chosen: usize,
        mut victim: impl FnMut(Change) -> Option<i32> + Send + 'static,
        prepare: impl FnOnce(&mut Command),
    ) -> (Answer, Vec<&'static str>) {
        let mut command = self.command();
        prepare(&mut command);
        let (counted, seen) = channel();
        let mut number = 0;
        let changes = Changes::decided(&mut command, move |change| {
            let Some(process) = victim(change) else { return true };
            number += 1;
            // The test has failed where nobody listens, and the process may have ended.
            let _ = counted.send(change.name);
            let is_killed = number == chosen;
            if is_killed {
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
            // Another process makes its change.
            !(is_killed && change.process() == process)
        });
        let running = Running::new(command.spawn().unwrap(), self.config.to_string());
        drop(command);
        let answer = running.wait();
        changes.seen();
        (answer, seen.into_iter().collect())
    }

    /// Makes the call, which is halted before its change numbered `chosen`, from 1, and makes `other` meanwhile. This one
    /// goes on once `other` has ended, or waits for a lock. Answers also whether it came so far.
    pub fn halted_at(self, chosen: usize, other: Call) -> (Answer, Answer, bool) {
        /// So often only a call tries to get a lock that waits for it.
        const WAITS: usize = 12;
        // Its first change is execve(2), for which the start of a process waits.
        let chosen = chosen.max(2);
        let ((reached, is_reached), (go_on, goes_on)) = (channel::<()>(), channel::<()>());
        let first = self.watched(move |change| {
            if change.number == chosen {
                // Nobody waits for it any more where the test has failed.
                let _ = reached.send(());
                let _ = goes_on.recv();
            }
        });
        // An error: it has ended before.
        let is_halted = is_reached.recv().is_ok();
        let ((waits, is_waiting), mut locks) = (channel::<()>(), 0);
        let second = other.watched(move |change| {
            locks += usize::from(change.name == "flock");
            if locks == WAITS {
                let _ = waits.send(());
            }
        });
        let _ = is_waiting.recv();
        drop(go_on);
        let end = |(running, changes): (Running, Changes)| {
            let answer = running.wait();
            changes.seen();
            answer
        };
        (end(first), end(second), is_halted)
    }

    /// Starts the call; `before` is told of each of its changes, see [`Changes::watched`].
    fn watched(self, before: impl FnMut(Change) + Send + 'static) -> (Running, Changes) {
        let mut command = self.command();
        let changes = Changes::watched(&mut command, before);
        (Running::new(command.spawn().unwrap(), self.config.to_string()), changes)
    }

    /// `plexus sweep`, as it runs in a container that shares no processes with the node.
    pub fn sweep_in_a_container(self) -> Answer {
        let mut command = self.command_of(Path::new("unshare"));
        command.args(["--pid", "--fork", "--mount-proc", "--"]).arg(&self.program).arg("sweep");
        let running = Running::new(command.spawn().unwrap(), self.config.to_string());
        running.wait()
    }

    /// The process that would make it.
    pub fn command(&self) -> Command {
        self.command_of(&self.program)
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.environment);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}
