//! A real kube-apiserver and etcd for a test, on loopback, with nothing else of a cluster:
//! no scheduler, no controllers, no nodes. What the test creates stays as it is.
//!
//! `e2e/assets/get` provides the programs. Several servers may run at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "every test crate uses a part of it")]

mod credentials;
mod janitor;
mod processes;

use std::fs::{self, DirBuilder};
use std::io::{self, BufRead, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub use super::asset::asset;
use credentials::{free_port, make_certificate, make_credentials, next_number, own_address, subject};
use janitor::Janitor;
use processes::{exit_status, signal, spawn_logged, tail};
use serde_json::{Value, json};

/// How long a server may take to answer "ready"; about 2 s are usual on two idle cores.
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// How long a server may take to end after SIGTERM; about 1 s is usual.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Time between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(50);

/// A kube-apiserver with its etcd. Both end, and their directory goes, when this is dropped or
/// the test process ends in any other way.
///
/// RBAC and Node authorization, and the default admission plugins but one: ServiceAccount would
/// refuse every pod, because nobody creates service accounts here.
pub struct ApiServer {
    directory: PathBuf,
    programs: PathBuf,
    kubeconfig: PathBuf,
    address: SocketAddr,
    etcd_program: PathBuf,
    /// For clients, and for peers.
    etcd_urls: [String; 2],
    etcd: Child,
    /// The process group of both.
    group: u32,
    apiserver: Option<Child>,
    janitor: Janitor,
}

impl ApiServer {
    /// Starts both and waits until the server is ready. May build the programs first, which takes
    /// minutes and shows its progress on stderr. The error says what is missing or what failed;
    /// on a laptop a caller may skip its test then, with `CI` set it must fail.
    pub fn start() -> Result<Self, String> {
        let programs = asset("kubernetes")?;
        let etcd_program = asset("etcd")?.join("etcd");

        let ip = own_address();
        let address = SocketAddr::from((ip, free_port(ip)?));
        let etcd_url = format!("http://{ip}:{}", free_port(ip)?);
        let peer_url = format!("http://{ip}:{}", free_port(ip)?);

        let name = format!("plexus-apiserver-{}-{}", process::id(), address.port());
        let directory = std::env::temp_dir().join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(|error| format!("create {}: {error}", directory.display()))?;
        let mut janitor = Janitor::start(&directory)?;
        make_credentials(&directory, ip)?;

        let urls = [etcd_url.as_str(), peer_url.as_str()];
        let etcd = start_etcd(&etcd_program, &directory, urls, 0)?;
        janitor.watch(etcd.id())?;

        let mut server = Self {
            kubeconfig: directory.join("admin.kubeconfig"),
            directory,
            programs,
            address,
            group: etcd.id(),
            etcd_program,
            etcd_urls: [etcd_url, peer_url],
            etcd,
            apiserver: None,
            janitor,
        };
        server.write_kubeconfig(&server.kubeconfig, &server.certificate_user("admin"))?;
        server.launch()?;
        Ok(server)
    }

    /// `https://127.…:port`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The process IDs of the server and of etcd.
    pub fn processes(&self) -> [u32; 2] {
        [self.apiserver.as_ref().map_or(0, Child::id), self.etcd.id()]
    }

    /// The kubeconfig of user `admin` in `system:masters`, to whom nothing is forbidden.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Writes a kubeconfig for any user in any groups. It authenticates by a client certificate,
    /// so the server need not know the user beforehand; RBAC says what the user may do.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf, String> {
        let name = format!("user-{}", next_number());
        make_certificate(&self.directory, &name, &subject(user, groups), "extendedKeyUsage=clientAuth")?;
        let path = self.directory.join(format!("{name}.kubeconfig"));
        self.write_kubeconfig(&path, &self.certificate_user(&name))?;
        Ok(path)
    }

    /// Writes a kubeconfig for whoever a bearer token speaks for, such as a service account of
    /// `kubectl create token` (whose claims can name a pod and its node).
    pub fn kubeconfig_with_token(&self, token: &str) -> Result<PathBuf, String> {
        let path = self.directory.join(format!("token-{}.kubeconfig", next_number()));
        self.write_kubeconfig(&path, &json!({ "token": token }))?;
        Ok(path)
    }

    /// After a definition is established, the server answers 429 to lists until its cache is ready.
    fn wait_until_listed(&self, args: &[&str]) {
        if !args.contains(&"--for=condition=Established") {
            return;
        }
        for kind in args.iter().filter_map(|arg| arg.strip_prefix("crd/")) {
            let list = ["get", kind, "--all-namespaces", "--chunk-size=0"];
            let end = Instant::now() + Duration::from_secs(10);
            while self.kubectl(&list, None).is_err() && Instant::now() < end {
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// Runs kubectl as `admin` and returns its standard output, or its standard error when it
    /// fails. `--kubeconfig` among the arguments makes it somebody else.
    pub fn kubectl(&self, args: &[&str], stdin: Option<&str>) -> Result<String, String> {
        let mut kubectl = Command::new(self.programs.join("kubectl"))
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.directory) // its cache belongs to this server, not to the user
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("run kubectl: {error}"))?;

        let pipe = kubectl.stdin.take();
        let output = thread::scope(|scope| {
            // Beside reading the output: kubectl writes some before it has read all.
            scope.spawn(move || {
                if let (Some(mut pipe), Some(text)) = (pipe, stdin) {
                    // A kubectl that stops reading says itself why.
                    let _ = pipe.write_all(text.as_bytes());
                }
            });
            kubectl.wait_with_output()
        })
        .map_err(|error| format!("wait for kubectl: {error}"))?;

        if output.status.success() {
            self.wait_until_listed(args);
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let reason = String::from_utf8_lossy(&output.stderr);
            Err(format!("kubectl {}: {}", args.join(" "), reason.trim()))
        }
    }

    /// A `kubectl proxy`, as `admin` and without TLS, and where it listens. The caller ends it.
    pub fn proxy(&self) -> (Child, String) {
        let mut kubectl = Command::new(self.programs.join("kubectl"));
        kubectl.args(["proxy", "--port=0"]).env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.directory);
        let mut proxy = kubectl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        io::BufReader::new(proxy.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        (proxy, address)
    }

    /// Every request the server has answered, oldest first, as `audit.k8s.io/v1` events of level
    /// Metadata. A watch is answered when it ends, so one that is open is not in it yet.
    pub fn audit_log(&self) -> Result<Vec<Value>, String> {
        let path = self.directory.join("audit.log");
        let text = fs::read_to_string(&path).map_err(|error| format!("read {}: {error}", path.display()))?;
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n')) // the last one may be half written
            .map(|line| serde_json::from_str(line).map_err(|error| format!("audit event: {error}: {line}")))
            .collect()
    }

    /// What one user has asked for so far, such as `["list pods", "patch pods/status"]`; paths
    /// that are no resource are given as they are, such as `get /readyz`.
    pub fn requests(&self, user: &str) -> Result<Vec<String>, String> {
        let events = self.audit_log()?;
        let own = events.iter().filter(|event| event["user"]["username"] == user);
        Ok(own.map(request).collect())
    }

    /// Ends the server as an upgrade does, by SIGTERM: it lets requests finish and closes its
    /// watches. etcd goes on.
    pub fn stop(&mut self) -> Result<(), String> {
        let Some(apiserver) = &mut self.apiserver else {
            return Ok(());
        };
        signal(apiserver, "TERM")?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while exit_status(apiserver)?.is_none() {
            if Instant::now() > deadline {
                return self.kill();
            }
            thread::sleep(POLL);
        }
        self.apiserver = None;
        Ok(())
    }

    /// Ends the server as a crash does, by SIGKILL. etcd goes on.
    pub fn kill(&mut self) -> Result<(), String> {
        let Some(mut apiserver) = self.apiserver.take() else {
            return Ok(());
        };
        apiserver
            .kill()
            .and_then(|()| apiserver.wait())
            .map(|_| ())
            .map_err(|error| format!("kill kube-apiserver: {error}"))
    }

    /// Starts the server again, on the same address and with the same contents, killing it first
    /// if it runs. Waits until it is ready.
    pub fn restart(&mut self) -> Result<(), String> {
        self.kill()?;
        self.launch()
    }

    /// Keeps a copy of what etcd holds now, as of a machine that loses its power.
    pub fn back_up(&self) -> Result<(), String> {
        signal(&self.etcd, "STOP")?;
        let copied = self.copy("etcd", "backup");
        signal(&self.etcd, "CONT")?;
        copied
    }

    /// Starts etcd with what [`ApiServer::back_up`] has kept, and the server: what was written since is forgotten.
    pub fn restore(&mut self) -> Result<(), String> {
        // It stays in the process group until etcd is in it again.
        self.pause()?;
        self.etcd.kill().and_then(|()| self.etcd.wait()).map_err(|error| format!("kill etcd: {error}"))?;
        self.copy("backup", "etcd")?;
        let urls = [self.etcd_urls[0].as_str(), self.etcd_urls[1].as_str()];
        self.etcd = start_etcd(&self.etcd_program, &self.directory, urls, self.group)?;
        self.restart()
    }

    /// Replaces the directory `to` by a copy of `from`.
    fn copy(&self, from: &str, to: &str) -> Result<(), String> {
        let script = "rm -rf -- \"$1\" && cp -a -- \"$0\" \"$1\"";
        let folders = [from, to].map(|name| self.directory.join(name));
        let status = Command::new("sh").args(["-c", script]).args(folders).status();
        let status = status.map_err(|error| format!("run sh: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("copy {from} to {to}: {status}")) }
    }

    /// Makes the server hang, by SIGSTOP: connections are accepted, requests are not answered.
    pub fn pause(&self) -> Result<(), String> {
        self.signal("STOP")
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<(), String> {
        self.signal("CONT")
    }

    /// The last lines of what etcd and the server logged; the files go with the directory.
    pub fn log_tail(&self) -> String {
        ["etcd.log", "apiserver.log"].map(|name| tail(&self.directory.join(name))).join("\n")
    }

    fn signal(&self, name: &str) -> Result<(), String> {
        let apiserver = self.apiserver.as_ref().ok_or("kube-apiserver does not run")?;
        signal(apiserver, name)
    }

    fn launch(&mut self) -> Result<(), String> {
        let file = |name: &str| self.directory.join(name).display().to_string();
        let mut apiserver = Command::new(self.programs.join("kube-apiserver"));
        apiserver
            .arg(option("--bind-address", self.address.ip()))
            .arg(option("--secure-port", self.address.port()))
            .arg(option("--etcd-servers", &self.etcd_urls[0]))
            .arg(option("--tls-cert-file", file("apiserver.crt")))
            .arg(option("--tls-private-key-file", file("apiserver.key")))
            .arg(option("--client-ca-file", file("ca.crt")))
            .arg(option("--service-account-issuer", "https://kubernetes.default.svc"))
            .arg(option("--service-account-signing-key-file", file("accounts.key")))
            .arg(option("--service-account-key-file", file("accounts.pub")))
            .arg(option("--service-cluster-ip-range", "10.96.0.0/16"))
            .arg(option("--authorization-mode", "Node,RBAC"))
            .arg(option("--disable-admission-plugins", "ServiceAccount"))
            .arg("--allow-privileged")
            // Loopback may not be advertised and a machine without a network has nothing else:
            // an address that nobody has, which is not published either.
            .arg(option("--advertise-address", "192.0.2.1"))
            .arg(option("--endpoint-reconciler-type", "none"))
            .arg(option("--audit-policy-file", file("audit-policy.json")))
            .arg(option("--audit-log-path", file("audit.log")))
            .arg(option("--audit-log-mode", "blocking"))
            .process_group(self.group.cast_signed());
        self.apiserver = Some(spawn_logged(&mut apiserver, &self.directory.join("apiserver.log"))?);
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.is_ready() {
            if let Some(end) = self.unexpected_end()? {
                return Err(format!("{end}:\n{}", self.log_tail()));
            }
            if Instant::now() > deadline {
                return Err(format!("kube-apiserver is not ready in time:\n{}", self.log_tail()));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn unexpected_end(&mut self) -> Result<Option<String>, String> {
        for (name, child) in [("etcd", Some(&mut self.etcd)), ("kube-apiserver", self.apiserver.as_mut())] {
            if let Some(child) = child
                && let Some(status) = exit_status(child)?
            {
                return Ok(Some(format!("{name} ended with {status}")));
            }
        }
        Ok(None)
    }

    fn is_ready(&self) -> bool {
        // kubectl costs more than a look at the port. The default namespace comes last: the
        // server creates it itself, but /readyz does not wait for that.
        TcpStream::connect_timeout(&self.address, POLL).is_ok()
            && ["/readyz", "/api/v1/namespaces/default"]
                .iter()
                .all(|path| self.kubectl(&["get", "--raw", path, "--request-timeout=5s"], None).is_ok())
    }

    fn certificate_user(&self, name: &str) -> Value {
        json!({
            "client-certificate": self.directory.join(format!("{name}.crt")),
            "client-key": self.directory.join(format!("{name}.key")),
        })
    }

    fn write_kubeconfig(&self, path: &Path, user: &Value) -> Result<(), String> {
        let cluster = json!({ "server": self.url(), "certificate-authority": self.directory.join("ca.crt") });
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": cluster }],
            "users": [{ "name": "test", "user": user }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
            "current-context": "test",
        });
        write(path, &kubeconfig)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.janitor.finish();
        // Killed by now; waited for, so that no zombie stays in a long test process.
        for child in [Some(&mut self.etcd), self.apiserver.as_mut()].into_iter().flatten() {
            let _ = child.wait();
        }
    }
}

/// Starts etcd in `directory`, in the process group `group`; 0 makes a new one.
fn start_etcd(program: &Path, directory: &Path, [url, peer]: [&str; 2], group: u32) -> Result<Child, String> {
    let mut etcd = Command::new(program);
    etcd.arg("--unsafe-no-fsync")
        .arg(option("--data-dir", directory.join("etcd").display()))
        .arg(option("--listen-client-urls", url))
        .arg(option("--advertise-client-urls", url))
        .arg(option("--listen-peer-urls", peer))
        .arg(option("--initial-advertise-peer-urls", peer))
        .arg(option("--initial-cluster", format_args!("default={peer}")))
        .process_group(group.cast_signed());
    spawn_logged(&mut etcd, &directory.join("etcd.log"))
}

/// `get pods/status` or `get /readyz` of an audit event.
fn request(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let what = match (text(&object["resource"]), text(&object["subresource"])) {
        (resource, _) if resource.is_empty() => text(&event["requestURI"]),
        (resource, subresource) if subresource.is_empty() => resource,
        (resource, subresource) => format!("{resource}/{subresource}"),
    };
    format!("{} {what}", text(&event["verb"]))
}

fn option(name: &str, value: impl std::fmt::Display) -> String {
    format!("{name}={value}")
}

fn write(path: &Path, value: &Value) -> Result<(), String> {
    fs::write(path, value.to_string()).map_err(|error| format!("write {}: {error}", path.display()))
}
