//! Plexus beside Multus 4.3 with its daemon, in one run on one node with one API server: how long a pod's ADD and
//! DEL take, what they cost in processor time and in requests, how many pods a node starts at once, the daemons' memory.
//!
//! `MULTUS_BIN_DIR=… make bench-multus`, as root. Rounds alternate, so the ratios hold on a busy machine; the times
//! are of that machine and that hour.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/support/thick.rs"]
mod thick;

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::{Call, Pod, kernel, median};
use thick::Thick;

const ROUNDS: usize = 25;
const BURST: usize = 100;
const AT_ONCE: usize = 16;
const NETWORKS: &str = "br,mv";

/// Who does the work.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Multus,
    Plexus,
    /// With the reference plugins in place of its own.
    Programs,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Multus => "multus",
            Side::Plexus => "plexus",
            Side::Programs => "programs",
        }
    }
}

/// One node with both of them, and one cluster.
struct Bench {
    thick: Thick,
    daemon: Daemon,
}

fn main() {
    let Some(programs) = support::programs::multus() else { return };
    let Some(thick) = Thick::start(&programs, &bridge("cbr0", "10.1.0.0/16")) else { return };
    thick.network("br", &bridge("br1", "10.2.0.0/16"));
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "10.3.0.0/16"}]]});
    thick
        .network("mv", &json!({"cniVersion": "1.0.0", "name": "mv", "type": "macvlan", "master": "br1", "ipam": ipam}));
    // Multus is the cluster's administrator too.
    let kubeconfig = thick.api.kubeconfig_for("plexus", &["system:masters"]).unwrap();
    let arguments = ["--kubeconfig", &kubeconfig.to_string_lossy(), "--node-name", "node1"];
    let daemon = Daemon::on_node(&thick.node, None, &arguments);
    let bench = Bench { thick, daemon };
    let idle = bench.memory();
    println!("| | Multus 4.3 | Plexus | ratio |\n|---|--:|--:|--:|");
    bench.pods("three networks", NETWORKS, Side::Plexus);
    bench.pods("plain pod", "", Side::Plexus);
    bench.pods("three networks, reference plugins", NETWORKS, Side::Programs);
    bench.requests();
    bench.bursts();
    row("daemon's memory, idle (MiB)", idle.0, idle.1, 1);
    let (multus, plexus) = bench.memory();
    row("daemon's memory, after the bursts (MiB)", multus, plexus, 1);
}

/// A line of the table; more is worse.
fn row(what: &str, multus: f64, plexus: f64, digits: usize) {
    println!("| {what} | {multus:.digits$} | {plexus:.digits$} | {:.1} |", multus / plexus);
}

fn bridge(name: &str, subnet: &str) -> Value {
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
    let plugin = json!({"type": "bridge", "bridge": name, "isGateway": true, "ipam": ipam});
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin]})
}

impl Bench {
    /// ADD and DEL of pod after pod, in turn.
    fn pods(&self, what: &str, networks: &str, own: Side) {
        let sides = [Side::Multus, own];
        let pods = sides.map(|side| {
            self.create(&format!("{}-beside-{}-{}", side.name(), own.name(), networks.len()), networks, ROUNDS + 1)
        });
        let mut times = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
        // The first round warms caches and is not counted.
        for round in 0..=ROUNDS {
            for ((side, pods), times) in sides.iter().zip(&pods).zip(&mut times) {
                let pod = &pods[round];
                let add = self.call(*side, pod, "ADD").timed();
                assert_eq!(kernel::links(&pod.netns).len(), 1 + networks.split_terminator(',').count());
                let del = self.call(*side, pod, "DEL").timed();
                assert!(kernel::links(&pod.netns).is_empty());
                pod.end_sandbox();
                if round > 0 {
                    times[0].push(add);
                    times[1].push(del);
                }
            }
        }
        let [multus, plexus] = times.map(|of| of.map(|times| median(times).as_secs_f64() * 1e3));
        row(&format!("{what}: ADD (ms)"), multus[0], plexus[0], 2);
        row(&format!("{what}: DEL (ms)"), multus[1], plexus[1], 2);
    }

    /// What one pod with three networks asks of the API server, when everything was asked for before.
    fn requests(&self) {
        let counts = [(Side::Multus, "system:serviceaccount:kube-system:multus"), (Side::Plexus, "plexus")].map(
            |(side, user)| {
                let pods = self.create(&format!("requests-{}", side.name()), NETWORKS, 5);
                let count = || self.thick.api.requests(user).unwrap().len();
                let before = count();
                for pod in &pods {
                    self.call(side, pod, "ADD").timed();
                }
                // Events are sent when there is time.
                std::thread::sleep(Duration::from_secs(2));
                let requests = count() - before;
                for pod in &pods {
                    self.call(side, pod, "DEL").timed();
                    pod.end_sandbox();
                }
                requests as f64 / pods.len() as f64
            },
        );
        row("requests to the API server per pod of three networks", counts[0], counts[1], 1);
    }

    /// Many pods at once, as after a reboot.
    fn bursts(&self) {
        let mut wall = [Duration::ZERO; 2];
        let mut processor = [Duration::ZERO; 2];
        for (n, side) in [Side::Multus, Side::Plexus].into_iter().enumerate() {
            let pods = self.create(&format!("burst-{}", side.name()), NETWORKS, BURST);
            let before = self.processor(side);
            let begun = Instant::now();
            self.at_once(&pods, |pod| self.call(side, pod, "ADD").timed());
            wall[n] = begun.elapsed();
            processor[n] = self.processor(side) - before;
            for pod in &pods {
                assert_eq!(kernel::links(&pod.netns), ["eth0", "net1", "net2"]);
            }
            self.at_once(&pods, |pod| self.call(side, pod, "DEL").timed());
            pods.iter().for_each(Pod::end_sandbox);
        }
        let seconds = wall.map(|time| time.as_secs_f64());
        row(&format!("{BURST} pods of three networks, {AT_ONCE} at once: ADD of all (s)"), seconds[0], seconds[1], 2);
        let each = processor.map(|time| time.as_secs_f64() * 1e3 / BURST as f64);
        row("processor time of such a pod's ADD, daemon and programs (ms)", each[0], each[1], 1);
    }

    fn at_once(&self, pods: &[Pod], work: impl Fn(&Pod) -> Duration + Sync) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                        work(pod);
                    }
                });
            }
        });
    }

    fn call(&self, side: Side, pod: &Pod, verb: &str) -> Call {
        match side {
            Side::Multus => self.thick.call(pod, verb),
            Side::Plexus => pod.call(verb),
            Side::Programs => pod.call(verb).configured("natives", json!(false)),
        }
    }

    /// Pods of the cluster, with a sandbox each on the node.
    fn create(&self, name: &str, networks: &str, count: usize) -> Vec<Pod> {
        let manifest = |n| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": format!("{name}-{n}"), "annotations": {plexus::nad::NETWORKS: networks}},
                "spec": {"nodeName": "node1", "containers": [{"name": "c", "image": "x"}]},
            })
        };
        let list = json!({"apiVersion": "v1", "kind": "List", "items": (0..count).map(manifest).collect::<Vec<_>>()});
        let made = self.thick.api.kubectl(&["create", "-f", "-", "-o", "json"], Some(&list.to_string())).unwrap();
        let made = serde_json::Deserializer::from_str(&made).into_iter::<Value>().map(Result::unwrap);
        let sandbox = |made: Value| {
            let mut pod = Pod::new(&self.thick.node, made["metadata"]["name"].as_str().unwrap()).selecting(networks);
            made["metadata"]["uid"].as_str().unwrap().clone_into(&mut pod.uid);
            pod
        };
        made.map(sandbox).collect()
    }

    /// Resident memory of both daemons, in MiB.
    fn memory(&self) -> (f64, f64) {
        std::thread::sleep(Duration::from_secs(2));
        let of = |pid: u32| field(&format!("/proc/{pid}/status"), "VmRSS:") / 1024.0;
        (of(self.thick.pid()), of(self.daemon.pid()))
    }

    /// What a side has used so far: its daemon, what that started, and what this process started and waited for.
    fn processor(&self, side: Side) -> Duration {
        let pid = if side == Side::Multus { self.thick.pid() } else { self.daemon.pid() };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // Behind the name, which may hold anything: utime, stime, cutime, cstime are fields 14 to 17 (proc(5)), in 1/100 s.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..15].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        let children = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
        let seconds = |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
        Duration::from_millis(ticks * 10) + seconds(children.user_time()) + seconds(children.system_time())
    }
}

/// A number of a file of lines with names.
fn field(file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
