//! One daemon for each node, as the DaemonSet would run them.

use crate::support::apiserver::ApiServer;
use crate::support::cluster::put_network;
use crate::support::daemon::{Daemon, nad};
use crate::support::wait_within;
use plexus::api::FactsRequest;
use plexus::api::protocol::{Published, Reply, Request};
use plexus::nad::PodRef;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// All of them may need the only API server at the same time.
const PATIENCE: Duration = Duration::from_secs(600);

/// A node: what its daemon is started with, and the pod whose status it writes.
struct Member {
    folder: TempDir,
    kubeconfig: PathBuf,
    name: String,
    pod: PodRef,
    daemon: Option<Daemon>,
}

/// The daemons of a cluster.
pub struct Fleet(Vec<Member>);

impl Fleet {
    /// Creates nodes' daemons as pods, their tokens, a pod on each node, and `networks`.
    pub fn prepare(server: &ApiServer, nodes: usize, networks: usize) -> Self {
        for file in ["service-account.yaml", "rbac.yaml", "status.yaml", "admission-policy.yaml"] {
            let text = std::fs::read_to_string(format!("{}/conf/base/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
            server.kubectl(&["apply", "--server-side", "-f", "-"], Some(&text)).unwrap();
        }
        Fleet::networks(server, networks);
        let pod = |namespace: &str, name: String, node: usize, account: Option<&str>| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name},
                "spec": {
                    "nodeName": format!("node-{node}"), "serviceAccountName": account,
                    "containers": [{"name": "c", "image": "x"}],
                },
            })
        };
        let daemons = (0..nodes).map(|node| pod("kube-system", format!("plexus-{node}"), node, Some("plexus")));
        let pods = (0..nodes).map(|node| pod("default", format!("web-{node}"), node, None));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": daemons.chain(pods).collect::<Vec<_>>()});
        let made = server.kubectl(&["create", "-f", "-", "-o", "json"], Some(&list.to_string())).unwrap();
        let made = serde_json::Deserializer::from_str(&made).into_iter::<Value>().map(Result::unwrap);
        let pods = made.filter(|made| made["metadata"]["namespace"] == "default").map(|made| {
            let text = |key: &str| made["metadata"][key].as_str();
            PodRef::new("default", text("name").unwrap_or_default(), text("uid")).unwrap()
        });
        Fleet(pods.enumerate().map(|(node, pod)| Member::new(server, node, pod)).collect())
    }

    /// Creates so many networks.
    pub fn networks(server: &ApiServer, networks: usize) {
        for number in 0..networks {
            put_network(server, "default", &network(number), &config(0));
        }
    }

    fn daemons(&self) -> impl Iterator<Item = &Daemon> {
        self.0.iter().filter_map(|member| member.daemon.as_ref())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Starts all at once, and waits until each is ready.
    pub fn start(mut self) -> Self {
        for member in &mut self.0 {
            member.daemon = Some(member.spawn());
        }
        for daemon in self.daemons() {
            wait_within(PATIENCE, || daemon.connect().is_some(), || daemon.log());
        }
        self.wait_until_ready();
        self
    }

    /// Waits until each knows the cluster.
    pub fn wait_until_ready(&self) {
        for daemon in self.daemons() {
            wait_within(PATIENCE, || daemon.health().ready, || format!("{:?}\n{}", daemon.health(), daemon.log()));
        }
    }

    /// Ends all.
    pub fn stop(mut self) -> Self {
        for daemon in self.daemons() {
            daemon.signal("TERM");
        }
        self.0.iter_mut().for_each(|member| member.daemon = None);
        self
    }

    /// Changes the first network; answers after how long the last daemon knows.
    pub fn change(&self, server: &ApiServer, round: usize) -> Duration {
        let config = config(round + 1);
        put_network(server, "default", &network(0), &config);
        let begun = Instant::now();
        for daemon in self.daemons() {
            let known = || {
                let request = FactsRequest { networks: vec![nad(&network(0))], ..FactsRequest::default() };
                let facts = daemon.facts(request).unwrap();
                facts.definitions.iter().any(|definition| definition.config.as_deref() == Some(&config))
            };
            wait_within(PATIENCE, known, || daemon.log());
        }
        begun.elapsed()
    }

    /// The status of a pod by the daemon whose turn it is; answers how long that took.
    pub fn publish(&self, number: usize) -> Duration {
        let turn = number % self.0.len();
        let member = &self.0[turn];
        let daemon = member.daemon.as_ref().unwrap();
        let status = json!([{"name": "cbr0", "interface": "eth0", "ips": [format!("10.1.{}.{}", number / 250, number % 250)], "default": true, "dns": {}}]);
        let sandbox = daemon.leave(&format!("sandbox-{number}"), &member.pod, &status.to_string());
        let mut connection = daemon.connect().unwrap();
        let begun = Instant::now();
        let reply = connection.ask(&Request::Publish(sandbox));
        assert!(matches!(reply, Reply::Published(Published::Written)), "{reply:?}");
        begun.elapsed()
    }
}

impl Member {
    fn new(server: &ApiServer, node: usize, pod: PodRef) -> Self {
        let bound = format!("plexus-{node}");
        let bound = ["--bound-object-kind", "Pod", "--bound-object-name", &bound, "--duration", "12h"];
        let arguments = [["-n", "kube-system", "create", "token", "plexus"].as_slice(), &bound].concat();
        let token = server.kubectl(&arguments, None).unwrap();
        let kubeconfig = server.kubeconfig_with_token(token.trim()).unwrap();
        Member { folder: tempfile::tempdir().unwrap(), kubeconfig, name: format!("node-{node}"), pod, daemon: None }
    }

    fn spawn(&self) -> Daemon {
        let arguments = ["--kubeconfig", self.kubeconfig.to_str().unwrap(), "--node-name", &self.name];
        Daemon::spawn(self.folder.path(), &arguments)
    }
}

/// The name of a network.
pub fn network(number: usize) -> String {
    format!("network-{number}")
}

/// As people have them: half a kilobyte.
pub fn config(round: usize) -> String {
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/16", "gateway": "10.9.0.1"}]], "routes": [{"dst": "10.10.0.0/16"}]});
    let note = format!("round {round}: {}", "x".repeat(256));
    json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth0", "mode": "bridge", "ipam": ipam, "note": note})
        .to_string()
}
