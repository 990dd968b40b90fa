//! `plexusd`: the facts that it answers, the statuses that it publishes, the blocks of addresses that it leases and returns.

use crate::kills::{before_each, step};
use crate::support::apiserver::ApiServer;
use crate::support::changes::Changes;
use crate::support::cluster::{ADDRESS_KINDS, ADDRESSES, LEAST, put_network, role, try_server};
use crate::support::connection::Connection;
use crate::support::daemon::{Daemon, nad};
use crate::support::{self, eventually, wait_until};
use plexus::api::FactsRequest;
use plexus::api::protocol::Request;
use plexus::cni::ContainerId;
use plexus::nad::PodRef;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LAN: &str = r#"{"cniVersion":"1.0.0","type":"bridge"}"#;
/// So many nodes at the same time.
const AT_ONCE: usize = 4;
/// The status of the first one waits when the daemon starts.
const PODS: [&str; 2] = ["before", "now"];

/// A node of the cluster with a pool of its own and two pods: the status of the one waited when the daemon started.
struct Machine<'a> {
    server: &'a ApiServer,
    folder: tempfile::TempDir,
    name: String,
    kubeconfig: PathBuf,
    /// Of both pods.
    uids: Vec<String>,
}

impl<'a> Machine<'a> {
    fn new(server: &'a ApiServer, kubeconfig: &Path, number: usize) -> Self {
        let (name, folder) = (format!("n{number}"), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_plexus"), folder.path().join("plexus-ipam")).unwrap();
        let ranges = json!([{"range": format!("10.{}.{}.0/28", number / 200, number % 200)}]);
        let spec = json!({"blockSize": {"v4": 2, "v6": 2}, "ranges": ranges, "warm": {"min": 0, "max": 0}});
        let pool = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool",
            "metadata": {"name": name}, "spec": spec});
        let pod = |pod: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("{name}-{pod}")},
            "spec": {"nodeName": name, "containers": [{"name": "c", "image": "x"}]}})
        };
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [pool, pod(PODS[0]), pod(PODS[1])]});
        server.kubectl(&["create", "-f", "-"], Some(&list.to_string())).unwrap();
        let mut machine = Machine { server, folder, name, kubeconfig: kubeconfig.to_owned(), uids: Vec::new() };
        machine.uids = machine.pods().iter().map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned()).collect();
        machine
    }

    fn arguments(&self) -> [&str; 4] {
        ["--kubeconfig", self.kubeconfig.to_str().unwrap(), "--node-name", &self.name]
    }

    /// Its pods, as the cluster has them.
    fn pods(&self) -> Vec<Value> {
        let names = PODS.map(|pod| format!("{}-{pod}", self.name));
        let list = self.server.kubectl(&["get", "pod", &names[0], &names[1], "-o", "json"], None).unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Leaves the status of a pod for the daemon.
    fn leave(&self, daemon: &Daemon, pod: usize) -> ContainerId {
        let (name, uid) = (format!("{}-{}", self.name, PODS[pod]), Some(self.uids[pod].as_str()));
        daemon.leave(PODS[pod], &PodRef::new("default", &name, uid).unwrap(), &format!("[\"{}\"]", PODS[pod]))
    }

    /// `plexus-ipam` for `container`: the address, or nothing.
    fn addresses(&self, verb: &str, container: &str) -> Option<String> {
        let section = json!({"type": "plexus-ipam", "pool": self.name});
        let config = json!({"cniVersion": "1.1.0", "name": "net", "type": "other", "ipam": section});
        let mut command = Command::new(self.folder.path().join("plexus-ipam"));
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", container).env("CNI_IFNAME", "net1");
        command.env("CNI_NETNS", "/run/netns/x").env("CNI_PATH", "/opt/cni/bin");
        command.env("PLEXUS_STATE_DIRECTORY", self.folder.path().join("state"));
        command.env("PLEXUS_RUN_DIRECTORY", self.folder.path().join("run"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// What a plugin asks a daemon that may end at any moment.
    fn ask(&self, daemon: &mut Daemon) {
        let mut connection = None;
        eventually("plexusd to answer, or to end", || {
            connection = Connection::open(&daemon.run.socket());
            connection.is_some() || daemon.has_ended()
        });
        let now = self.leave(daemon, 1);
        let requests = [
            Request::Facts(FactsRequest { networks: vec![nad("lan")], ..FactsRequest::default() }),
            Request::Publish(now),
        ];
        for request in requests {
            let line = serde_json::to_string(&request).unwrap();
            let Some(connection) = &mut connection else { break };
            // It may have ended.
            if connection.send(&line).is_err() {
                break;
            }
            let _ = connection.read();
        }
        // Whether it gets one depends on when the daemon ends. The block of the second pod is given back while the first one stays.
        let _ = self.addresses("ADD", "first");
        if self.addresses("ADD", "gone").is_some() {
            self.addresses("DEL", "gone").unwrap();
            let is_returned = || self.in_cluster().0.len() < 2;
            eventually("the block to be given back, or plexusd to end", || is_returned() || daemon.has_ended());
        }
    }

    /// Blocks of the pool, and the statuses of both pods.
    fn in_cluster(&self) -> (BTreeSet<String>, Vec<String>) {
        let words = ["get", "addressblocks", "-l", &format!("ipam.plexus.dev/pool={}", self.name), "-o", "json"];
        let blocks: Value = serde_json::from_str(&self.server.kubectl(&words, None).unwrap()).unwrap();
        let first = |block: &Value| {
            assert_eq!(block["spec"]["node"], self.name.as_str(), "{block}");
            block["spec"]["first"].as_str().unwrap().to_owned()
        };
        let status = |pod: &Value| pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"].to_string();
        (blocks["items"].as_array().unwrap().iter().map(first).collect(), self.pods().iter().map(status).collect())
    }

    /// The blocks that the plugin may take addresses from.
    fn granted(&self) -> BTreeSet<String> {
        let grant = self.folder.path().join(format!("run/daemon/ipam/{}.grant", self.name));
        let text = fs::read_to_string(grant).unwrap_or_default();
        let first = |line: &str| line.strip_prefix("block ")?.split(' ').next().map(str::to_owned);
        text.lines().filter_map(first).collect()
    }

    /// One kill, and a new daemon: answers how many changes the first one made.
    fn kill(&self, number: usize) -> usize {
        let mut changes = None;
        let watch = |command: &mut Command| changes = Some(Changes::of(command, number));
        let mut daemon = Daemon::spawn_as(self.folder.path(), &self.arguments(), watch);
        self.leave(&daemon, 0);
        self.ask(&mut daemon);
        daemon.kill();
        let changes = changes.unwrap().seen();
        let of = format!("plexusd killed before change {number} ({:?})", changes.get(number - 1));
        let daemon = Daemon::in_folder(self.folder.path(), &self.arguments());
        wait_until(|| daemon.health().ready, || format!("{of}: {}", daemon.log()));
        assert_eq!(daemon.config_of(&nad("lan")).as_deref(), Some(LAN), "{of}");
        // The kubelet tries again.
        wait_until(|| self.addresses("ADD", "second").is_some(), || format!("{of}: {}", daemon.log()));
        // An ADD that is repeated has the same address.
        let all = ["first", "second"].map(|container| self.addresses("ADD", container));
        assert!(all[1].is_some() && all[0] != all[1], "{of}: one address for two: {all:?}");
        // Copies are written after the answer.
        let copy = || fs::read_to_string(daemon.run.network(&nad("lan"))).unwrap_or_default();
        let is_whole = || serde_json::from_str::<Value>(&copy()).is_ok_and(|copy| copy["config"] == LAN);
        wait_until(is_whole, || format!("{of}: the copy of the NAD is {:?}", copy()));
        let expected = PODS.map(|pod| json!(format!("[\"{pod}\"]")).to_string());
        let last = std::cell::RefCell::new(None);
        let agree = || {
            let (blocks, statuses) = self.in_cluster();
            let agree = !blocks.is_empty() && blocks.len() <= 2 && blocks == self.granted() && statuses == expected;
            last.replace(Some((blocks, self.granted(), statuses)));
            agree
        };
        wait_until(agree, || format!("{of}: {:?}\n{}", last.borrow(), daemon.log()));
        for container in ["first", "gone", "second"] {
            self.addresses("DEL", container).unwrap();
        }
        let is_left = || self.in_cluster().0.is_empty() && self.granted().is_empty();
        wait_until(is_left, || {
            format!("{of}: blocks are left: {:?} {:?}\n{}", self.granted(), last.borrow(), daemon.log())
        });
        let waiting = || fs::read_dir(daemon.run.unpublished()).into_iter().flatten().count();
        wait_until(|| waiting() == 0, || format!("{of}: {} statuses wait", waiting()));
        changes.len()
    }
}

#[test]
fn a_daemon_that_is_killed_loses_nothing_and_leases_nothing_twice() {
    // FAULT-6
    let server = match try_server(&[role("plexus", &[&LEAST[..], &ADDRESSES].concat())]) {
        Ok(server) => server,
        Err(why) => return support::cannot_run(&why),
    };
    let pools = include_str!("../../crd/addresses/address-pools.yaml");
    server.kubectl(&["apply", "--server-side", "-f", "-"], Some(pools)).unwrap();
    for name in ADDRESS_KINDS {
        let crd = format!("crd/{name}.ipam.plexus.dev");
        server.kubectl(&["wait", "--for=condition=Established", &crd], None).unwrap();
    }
    put_network(&server, "default", "lan", LAN);
    let kubeconfig = server.kubeconfig_for("plexusd", &["plexus"]).unwrap();
    let kills = before_each(step(), AT_ONCE, |number| Machine::new(&server, &kubeconfig, number).kill(number));
    support::tally(kills, "kills: plexusd");
}
