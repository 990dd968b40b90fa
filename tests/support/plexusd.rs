//! A real plexusd process for a test, and the plugin's side of its socket.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]
#![allow(dead_code, reason = "every test crate uses a part of it")]

use plexus::api::protocol::{Hello, Reply, Request};
use plexus::api::{Facts, FactsRequest, Publication, RunDirectory, StateDirectory};
use plexus::cni::ContainerId;
use plexus::nad::{NadRef, PodRef};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running daemon; it is killed when this is dropped.
pub struct Daemon {
    child: Child,
    pub run: RunDirectory,
    pub state: StateDirectory,
    log: PathBuf,
}

impl Daemon {
    /// Starts a daemon with `run` and `state` in `folder`, and waits until it answers.
    pub fn start(folder: &Path, arguments: &[&str]) -> Daemon {
        let daemon = Daemon::spawn(folder, arguments);
        wait_until(|| daemon.connect().is_some(), || format!("plexusd does not answer:\n{}", daemon.log()));
        daemon
    }

    /// Starts a daemon without waiting for anything.
    pub fn spawn(folder: &Path, arguments: &[&str]) -> Daemon {
        let (run, state) = (RunDirectory::new(folder.join("run")), StateDirectory::new(folder.join("state")));
        let log = folder.join("plexusd.log");
        let lines = File::options().create(true).append(true).open(&log).unwrap();
        // The shipped program is tested by naming it.
        let program = std::env::var_os("PLEXUSD").unwrap_or_else(|| env!("CARGO_BIN_EXE_plexusd").into());
        let child = Command::new(program)
            .args(["--log-level", "debug", "--run-directory"])
            .arg(run.path())
            .arg("--state-directory")
            .arg(state.path())
            .args(arguments)
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(lines)
            .spawn()
            .unwrap();
        Daemon { child, run, state, log }
    }

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
        let publication =
            Publication { container_id: container_id.clone(), pod: pod.clone(), network_status: status.to_owned() };
        let text = serde_json::to_vec(&publication).unwrap();
        plexus::sys::files::replace(
            &self.run.publication(&container_id),
            &text,
            0o600,
            plexus::sys::files::Durability::Cached,
        )
        .unwrap();
        container_id
    }

    /// Leaves a publication and asks for it.
    pub fn publish(&self, sandbox: &str, pod: &PodRef, status: &str) -> plexus::api::protocol::Published {
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

    /// The most resident memory there has been, in KiB.
    pub fn peak_memory(&self) -> u64 {
        self.memory_field("VmHWM:")
    }

    fn memory_field(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to a daemon.
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects and greets; `None` when nobody answers.
    pub fn open(socket: &Path) -> Option<Connection> {
        let stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut connection = Connection(BufReader::new(stream));
        connection.send(&serde_json::to_string(&Request::Hello(Hello::from_program("plexus"))).ok()?).ok()?;
        matches!(connection.read(), Some(Reply::Hello(hello)) if hello.program == "plexusd").then_some(connection)
    }

    /// Connects without a word.
    pub fn silent(socket: &Path) -> Connection {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(BufReader::new(stream))
    }

    pub fn send(&mut self, line: &str) -> std::io::Result<()> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes())
    }

    /// The next answer; `None` when the daemon has closed.
    pub fn read(&mut self) -> Option<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    pub fn ask(&mut self, request: &Request) -> Reply {
        self.send(&serde_json::to_string(request).unwrap()).unwrap();
        self.read().unwrap()
    }
}

pub fn pod(name: &str, uid: Option<&str>) -> PodRef {
    PodRef { namespace: "default".into(), name: name.into(), uid: uid.map(Into::into) }
}

pub fn nad(name: &str) -> NadRef {
    NadRef::new("default", name).unwrap()
}

/// A question about the annotations of a pod, and the networks they name.
pub fn wanted(pod: PodRef) -> FactsRequest {
    FactsRequest { pod: Some(pod), annotations_wanted: true, ..FactsRequest::default() }
}

/// Waits until `holds`; `otherwise` says what did not happen.
pub fn wait_until(holds: impl Fn() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        thread::sleep(Duration::from_millis(10));
    }
}

/// What a daemon's monitoring answers, head and body.
pub fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// An address where nobody listens.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Says that a test could not run; in CI that is a failure.
pub fn cannot_run(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    say(&format!("not run: {why}"));
}

/// Writes a line past the test's captured output, which is shown only once the test has failed.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
