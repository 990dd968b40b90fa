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

mod floor;
#[path = "floor/burst.rs"]
mod floor_burst;
#[path = "multus/growth.rs"]
mod growth;
mod report;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/support/thick.rs"]
mod thick;

use floor::Bridges;
use growth::{Measured, factors, mean, told};
use nix::sys::resource::{UsageWho, getrusage};
use report::processors::Used;
use report::{Figure, Row, Times};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::{Call, Node, Pod, kernel};
use thick::Thick;

const ROUNDS: usize = 25;
/// Bursts of each side, whose median counts.
const BURSTS: usize = 3;
const BURST: usize = 100;
const AT_ONCE: usize = 16;
const NETWORKS: &str = "br,mv";
/// A pool that fills, a node that fills, a cluster that fills.
const LEASES: usize = 1000;
const ATTACHED: usize = 250;
const DEFINITIONS: usize = 5000;
/// The label of NADs that no pod selects.
const IDLE: &str = "idle";

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
    kubeconfig: PathBuf,
    rows: Mutex<Vec<Row>>,
    /// Sandboxes are numbered: a pod is made once.
    made: AtomicUsize,
}

/// One of them.
struct Burst {
    wall: Duration,
    processor: Duration,
    spent: Spent,
}

/// What the processors had been used for before and after a burst, and what the plugins of the burst used.
struct Spent {
    before: Used,
    after: Used,
    plugin: Duration,
}

fn main() {
    let Some(programs) = support::programs::multus() else { return };
    // Before a node covers the folder where it may be.
    let flannel = support::programs::flannel().map(|path| std::fs::read(path).unwrap());
    let programs = &programs;
    // Each has a machine of its own, which is that of a thread.
    std::thread::scope(|scope| {
        let usual = scope.spawn(|| {
            usual(Bench::on(Node::new()?, programs, &bridge("cbr0", "10.1.0.0/16"))?);
            Some(())
        });
        if usual.join().unwrap().is_none() {
            return;
        }
        match flannel {
            Ok(program) => _ = scope.spawn(move || with_flannel(programs, &program)),
            Err(why) => println!("\nFlannel as the default network is not measured: {why}"),
        }
    });
}

/// With a bridge as the default network.
fn usual(bench: Bench) {
    let origin = report::origin();
    println!("Multus 4.3 (thick) beside Plexus: {origin}\n{ROUNDS} alternating rounds\n");
    report::head();
    let idle = bench.memory();
    bench.pods("three networks", NETWORKS, Side::Plexus);
    bench.pods("plain pod", "", Side::Plexus);
    bench.pods("reference plugins, three networks", NETWORKS, Side::Programs);
    bench.requests();
    bench.processors();
    let spent = bench.bursts();
    bench.once("daemon's memory, idle (MiB)", idle, 1);
    bench.once("daemon's memory, after the bursts (MiB)", bench.memory(), 1);
    println!();
    let named = ["plexusd", "kube-apiserver", "etcd"];
    spent.after.print_since(&spent.before, &named, ("the plugin, of Plexus", spent.plugin));
    let picture = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-multus.svg");
    std::fs::write(&picture, report::picture::svg(&bench.rows.lock().unwrap(), &origin)).unwrap();
    println!("\nthe same as a picture: {}", picture.display());
    bench.steps();
    println!();
    bench.growth();
    bench.masquerading();
}

/// With Flannel's default network, as its manifest installs it.
fn with_flannel(programs: &Path, program: &[u8]) -> Option<()> {
    let node = Node::new()?;
    let file = node.bin().join("flannel");
    std::fs::write(&file, program).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    // What its daemon writes.
    std::fs::create_dir_all("/run/flannel").unwrap();
    let subnet = "FLANNEL_NETWORK=10.4.0.0/16\nFLANNEL_SUBNET=10.4.0.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
    std::fs::write("/run/flannel/subnet.env", subnet).unwrap();
    let flannel = json!({"type": "flannel", "delegate": {"hairpinMode": true, "isDefaultGateway": true}});
    let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    let config = json!({"cniVersion": "0.3.1", "name": "cbr0", "plugins": [flannel, portmap]});
    let bench = Bench::on(node, programs, &config)?;
    println!();
    report::head();
    bench.pods("plain pod, Flannel", "", Side::Plexus);
    bench.pods("three networks, the first Flannel's", NETWORKS, Side::Plexus);
    Some(())
}

fn bridge(name: &str, subnet: &str) -> Value {
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
    let plugin = json!({"type": "bridge", "bridge": name, "isGateway": true, "ipam": ipam});
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin]})
}

impl Bench {
    /// Both on `node`, which has the default network `primary`.
    fn on(node: Node, programs: &Path, primary: &Value) -> Option<Bench> {
        let thick = Thick::start_on(node, programs, primary)?;
        thick.network("br", &bridge("br1", "10.2.0.0/16"));
        let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "10.3.0.0/16"}]]});
        thick.network(
            "mv",
            &json!({"cniVersion": "1.0.0", "name": "mv", "type": "macvlan", "master": "br1", "ipam": ipam}),
        );
        // Multus is the cluster's administrator too.
        let kubeconfig = thick.api.kubeconfig_for("plexus", &["system:masters"]).unwrap();
        let arguments = ["--kubeconfig", &kubeconfig.to_string_lossy(), "--node-name", "node1"];
        let daemon = Daemon::on_node(&thick.node, None, &arguments);
        Some(Bench { thick, daemon, kubeconfig, rows: Mutex::default(), made: AtomicUsize::new(0) })
    }

    /// Prints a row, and keeps it for the picture.
    fn row(&self, what: String, sides: [Figure; 2], digits: usize) {
        let row = Row { what, sides, digits };
        report::print(&row);
        self.rows.lock().unwrap().push(row);
    }

    /// A row of single measurements of Multus and Plexus.
    fn once(&self, what: &str, (multus, plexus): (f64, f64), digits: usize) {
        self.row(what.to_owned(), [multus, plexus].map(Figure::once), digits);
    }

    /// ADD and DEL of pod after pod, in turn.
    fn pods(&self, what: &str, networks: &str, own: Side) {
        let [multus, plexus] = self.rounds([Side::Multus, own], networks);
        self.row(format!("{what}: ADD (ms)"), [&multus[0], &plexus[0]].map(Figure::of), 2);
        self.row(format!("{what}: DEL (ms)"), [&multus[1], &plexus[1]].map(Figure::of), 2);
    }

    /// The times of ADD and DEL for each of `sides`, in alternating rounds.
    fn rounds<const N: usize>(&self, sides: [Side; N], networks: &str) -> [[Times; 2]; N] {
        let pods = sides.map(|side| self.create(side, networks, ROUNDS + 1));
        let mut times = [(); N].map(|()| <[Times; 2]>::default());
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
        times
    }

    /// How ADD and DEL of each side grow with what there is already: factors of its own medians.
    fn growth(&self) {
        println!(
            "| growth: median with, over median without: the first, its 95th percentile (ms) | Multus ADD | DEL | Plexus ADD | DEL |\n|---|--:|--:|--:|--:|"
        );
        let (few, many) = (self.measured("br"), self.measured(&["br", "mv"].repeat(8)[..15].join(",")));
        factors("16 networks over 2", few, many);
        // A machine changes in the minutes of a row: what is without stands before and after what is with.
        let mut without = vec![self.measured(NETWORKS)];
        lease(LEASES);
        let leased = self.measured(NETWORKS);
        free(LEASES);
        without.push(self.measured(NETWORKS));
        factors(&format!("{LEASES} leases in each pool"), mean(&without), leased);
        // Each side has its own pods: records and caches are its own too.
        let sides = [Side::Multus, Side::Plexus];
        let crowds = sides.map(|side| {
            let pods = self.create(side, NETWORKS, ATTACHED);
            self.at_once(&pods, |pod| self.call(side, pod, "ADD").timed());
            pods
        });
        let attached = self.measured(NETWORKS);
        for (side, pods) in sides.iter().zip(&crowds) {
            self.at_once(pods, |pod| self.call(*side, pod, "DEL").timed());
            pods.iter().for_each(Pod::end_sandbox);
        }
        without.push(self.measured(NETWORKS));
        factors(&format!("{ATTACHED} attached pods of each side"), mean(&without[1..]), attached);
        let others = self.daemon.health().definitions;
        self.define(DEFINITIONS);
        let (defined, (multus, plexus)) = (self.measured(NETWORKS), self.memory());
        self.undefine(others);
        without.push(self.measured(NETWORKS));
        factors(&format!("{DEFINITIONS} more NADs"), mean(&without[2..]), defined);
        println!(
            "\nthree networks without any of that, in turn: {}",
            without.iter().map(told).collect::<Vec<_>>().join("; ")
        );
        println!("\ndaemons with {DEFINITIONS} more NADs: Multus {multus:.1} MiB, Plexus {plexus:.1} MiB");
    }

    /// ADD and DEL in milliseconds, of Multus and of Plexus.
    fn measured(&self, networks: &str) -> Measured {
        let times = self.rounds([Side::Multus, Side::Plexus], networks);
        times.map(|of| of.map(|times| [times.median(), times.p95()].map(report::milliseconds)))
    }

    /// Creates `count` NADs that no pod selects.
    fn define(&self, count: usize) {
        for begin in (0..count).step_by(1000) {
            let items: Vec<Value> = (begin..(begin + 1000).min(count)).map(idle_network).collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            self.thick.api.kubectl(&["create", "--validate=false", "-f", "-"], Some(&list.to_string())).unwrap();
        }
        support::wait_until(|| self.daemon.health().definitions >= count, || self.daemon.log());
    }

    /// Deletes them, until `left` NADs are left.
    fn undefine(&self, left: usize) {
        self.thick.api.kubectl(&["delete", "net-attach-def", "-l", IDLE, "--wait=false"], None).unwrap();
        support::wait_until(|| self.daemon.health().definitions == left, || self.daemon.log());
    }

    /// What one pod with three networks asks of the API server, when everything was asked for before.
    fn requests(&self) {
        let counts = [(Side::Multus, "system:serviceaccount:kube-system:multus"), (Side::Plexus, "plexus")].map(
            |(side, user)| {
                let pods = self.create(side, NETWORKS, 5);
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
        self.once("requests to the API server per pod", (counts[0], counts[1]), 1);
    }

    /// What one ADD after another costs: all of it, and the process that the runtime starts.
    fn processors(&self) {
        let costs = [Side::Multus, Side::Plexus].map(|side| {
            let pods = self.create(side, NETWORKS, ROUNDS);
            let before = [self.processor(side), children()];
            for pod in &pods {
                self.call(side, pod, "ADD").timed();
            }
            let after = [self.processor(side), children()];
            for pod in &pods {
                self.call(side, pod, "DEL").timed();
                pod.end_sandbox();
            }
            [0, 1].map(|at| report::milliseconds(after[at] - before[at]) / ROUNDS as f64)
        });
        let [multus, plexus] = costs;
        self.once("three networks: ADD, processor time (ms)", (multus[0], plexus[0]), 2);
        self.once("of it the plugin and what it starts (ms)", (multus[1], plexus[1]), 2);
    }

    /// A default network as many clusters have it: masquerading, and with ports of the host. It is left to its programs.
    fn masquerading(&self) {
        if !support::programs::is_installed("iptables") {
            println!("\niptables is missing: a default network that masquerades is not measured");
            return;
        }
        let mut config = bridge("cbr0", "10.1.0.0/16");
        config["plugins"][0]["ipMasq"] = json!(true);
        let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
        config["plugins"].as_array_mut().unwrap().push(portmap);
        self.default_network(&config);
        println!();
        report::head();
        self.pods("plain pod, masqueraded, with portmap", "", Side::Plexus);
        self.pods("three networks, the first masqueraded, with portmap", NETWORKS, Side::Plexus);
    }

    /// Replaces the default network. Multus' daemon writes its configuration again then, in place.
    fn default_network(&self, config: &Value) {
        let head = self.thick.head_file();
        let written = || std::fs::metadata(&head).and_then(|file| file.modified()).ok();
        let before = written();
        self.thick.node.primary(config);
        let is_whole = || {
            let text = std::fs::read_to_string(&head).unwrap_or_default();
            written() != before && serde_json::from_str::<Value>(&text).is_ok()
        };
        support::eventually("the configuration of multus-daemon", is_whole);
    }

    /// Many pods at once, as after a reboot. Answers who used the processors in the last burst of Plexus.
    fn bursts(&self) -> Spent {
        let mut wall: [Times; 2] = Default::default();
        let mut processor: [Times; 2] = Default::default();
        let mut spent = None;
        for _ in 0..BURSTS {
            for (n, side) in [Side::Multus, Side::Plexus].into_iter().enumerate() {
                let burst = self.burst(side);
                wall[n].push(burst.wall);
                processor[n].push(burst.processor);
                spent = Some(burst.spent);
            }
        }
        let [multus, plexus] = wall.map(|times| times.median().as_secs_f64());
        self.once(&format!("{BURST} pods, {AT_ONCE} at once: ADD of all (s)"), (multus, plexus), 2);
        let [multus, plexus] = processor.map(|times| report::milliseconds(times.median()) / BURST as f64);
        self.once("processor time of such an ADD (ms)", (multus, plexus), 1);
        let mut floor = Times::default();
        for _ in 0..BURSTS {
            let pods = self.create(Side::Plexus, NETWORKS, BURST);
            floor.push(floor_burst::burst(Bridges::of(&self.thick.node), &self.kubeconfig, &pods, AT_ONCE));
        }
        let floor = floor.median().as_secs_f64();
        println!("| the same by kernel, API server and etcd alone (s) | {floor:.2} | | | | |");
        spent.unwrap()
    }

    /// One burst of pods, which go again.
    fn burst(&self, side: Side) -> Burst {
        let pods = self.create(side, NETWORKS, BURST);
        let processor = self.processor(side);
        let (before, started) = (Used::now(), children());
        let begun = Instant::now();
        self.at_once(&pods, |pod| self.call(side, pod, "ADD").timed());
        let wall = begun.elapsed();
        let processor = self.processor(side) - processor;
        let spent = Spent { before, after: Used::now(), plugin: children() - started };
        for pod in &pods {
            assert_eq!(kernel::links(&pod.netns), ["eth0", "net1", "net2"]);
        }
        self.at_once(&pods, |pod| self.call(side, pod, "DEL").timed());
        pods.iter().for_each(Pod::end_sandbox);
        Burst { wall, processor, spent }
    }

    /// Where the time of such calls goes, with an API server that takes the status.
    fn steps(&self) {
        let pods = self.create(Side::Plexus, NETWORKS, 2 * ROUNDS);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("steps.json");
        let mut whole: [Times; 2] = Default::default();
        for (number, pod) in pods.iter().enumerate() {
            for (verb, whole) in ["ADD", "DEL"].into_iter().zip(&mut whole) {
                let call = self.call(Side::Plexus, pod, verb);
                if number % 2 == 0 {
                    whole.push(call.timed());
                } else {
                    call.env("PLEXUS_TRACE", file.to_string_lossy()).timed();
                }
            }
            pod.end_sandbox();
        }
        println!("\nmedians of the steps of Plexus, three networks, {ROUNDS} pods");
        report::steps::print(&std::fs::read_to_string(file).unwrap(), &whole);
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
    fn create(&self, side: Side, networks: &str, count: usize) -> Vec<Pod> {
        let name = format!("{}-{}", side.name(), self.made.fetch_add(1, Ordering::Relaxed));
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
        Duration::from_millis(ticks * 10) + children()
    }
}

/// What the processes have used that this one has started and waited for.
fn children() -> Duration {
    let children = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let seconds = |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
    seconds(children.user_time()) + seconds(children.system_time())
}

/// A number of a file of lines with names.
fn field(file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The leases that [`lease`] makes: of addresses that are not reached otherwise.
fn leases(count: usize) -> impl Iterator<Item = std::path::PathBuf> {
    let pools = [("cbr0", 1), ("br1", 2), ("mv", 3)];
    pools.into_iter().flat_map(move |(pool, network)| {
        (0..count).map(move |n| {
            std::path::Path::new("/var/lib/cni/networks").join(pool).join(format!(
                "10.{network}.{}.{}",
                100 + n / 250,
                1 + n % 250
            ))
        })
    })
}

/// `count` leases in each pool, as the program writes them.
fn lease(count: usize) {
    for (n, file) in leases(count).enumerate() {
        std::fs::write(file, format!("{n:064x}\r\neth0")).unwrap();
    }
}

/// Removes them again.
fn free(count: usize) {
    leases(count).for_each(|file| std::fs::remove_file(file).unwrap());
}

fn idle_network(n: usize) -> Value {
    let config = json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mode": "bridge",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": format!("10.{}.{}.0/24", n / 256, n % 256)}]]}});
    json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": format!("idle-{n}"), "labels": {IDLE: ""}}, "spec": {"config": config.to_string()}})
}
