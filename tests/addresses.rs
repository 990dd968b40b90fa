//! Addresses that are unique in the cluster, against a real kube-apiserver: daemons with tokens of their own, the
//! program `plexus-ipam`, and what the policy lets a token do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails that way")]

mod support;

#[path = "addresses/churn.rs"]
mod churn;
#[path = "addresses/counted.rs"]
mod counted;
#[path = "addresses/crowd.rs"]
mod crowd;
#[path = "addresses/erased.rs"]
mod erased;
#[path = "addresses/former.rs"]
mod former;
#[path = "addresses/full.rs"]
mod full;
#[path = "addresses/grid.rs"]
mod grid;
#[path = "addresses/huge.rs"]
mod huge;
#[path = "addresses/kept.rs"]
mod kept;
#[path = "addresses/objection.rs"]
mod objection;
#[path = "addresses/ranges.rs"]
mod ranges;
#[path = "addresses/removed.rs"]
mod removed;
#[path = "addresses/resized.rs"]
mod resized;
#[path = "addresses/restored.rs"]
mod restored;
#[path = "addresses/scarce.rs"]
mod scarce;
#[path = "addresses/slow.rs"]
mod slow;
#[path = "addresses/together.rs"]
mod together;
#[path = "addresses/whereabouts.rs"]
mod whereabouts;
#[path = "addresses/whose.rs"]
mod whose;

use plexus::api::protocol::{Reply, Request};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use support::apiserver::ApiServer;
use support::cluster::{ADDRESS_KINDS, ADDRESSES, Cluster, NETWORKS, WHEREABOUTS, put_whereabouts, role, try_server};
use support::daemon::Daemon;
use support::{Call, eventually, wait_until, wait_within};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// For what takes two waits of ten seconds on an idle machine.
const LONG: std::time::Duration = std::time::Duration::from_secs(90);

/// Servers that one test at a time has.
const ALONE: usize = 2;

/// A server with `conf/components/ipam`.
fn prepared() -> Result<ApiServer, String> {
    let server = try_server(&[role("unused", &[NETWORKS])])?;
    prepare(&server);
    Ok(server)
}

/// The server for tests that share it with others: each has pools and nodes of its own.
fn server() -> Option<Arc<ApiServer>> {
    static SHARED: OnceLock<Result<Arc<ApiServer>, String>> = OnceLock::new();
    let found = SHARED.get_or_init(|| prepared().map(Arc::new));
    found.as_ref().inspect_err(|why| support::cannot_run(why)).ok().cloned()
}

/// A server for one test alone: it restarts the server, counts its requests, has a controller, which looks at all nodes, or
/// changes what holds for all pools.
fn server_alone() -> Option<MutexGuard<'static, ApiServer>> {
    type Started = OnceLock<Result<Mutex<ApiServer>, String>>;
    static SERVERS: [Started; ALONE] = [const { Started::new() }; ALONE];
    static TESTS: AtomicUsize = AtomicUsize::new(0);
    let number = TESTS.fetch_add(1, Ordering::Relaxed) % ALONE;
    let found = SERVERS[number].get_or_init(|| prepared().map(Mutex::new)).as_ref();
    let server = found.inspect_err(|why| support::cannot_run(why)).ok()?;
    Some(server.lock().unwrap_or_else(PoisonError::into_inner))
}

fn manifest(path: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/{path}")).unwrap()
}

fn apply(server: &ApiServer, text: &str) {
    server.kubectl(&["apply", "--server-side", "-f", "-"], Some(text)).unwrap();
}

/// The definitions, the account and its roles; the policies only where a test has pods with tokens.
fn prepare(server: &ApiServer) {
    apply(server, &manifest("crd/addresses/address-pools.yaml"));
    for name in ADDRESS_KINDS {
        let crd = format!("crd/{name}.ipam.plexus.dev");
        server.kubectl(&["wait", "--for=condition=Established", &crd], None).unwrap();
    }
    for file in ["base/service-account.yaml", "base/rbac.yaml", "base/status.yaml"] {
        apply(server, &manifest(&format!("conf/{file}")));
    }
    for file in ["rbac.yaml", "controller-rbac.yaml", "admission-policy.yaml"] {
        apply(server, &manifest(&format!("conf/components/ipam/{file}")));
    }
}

fn put_pool(server: &ApiServer, name: &str, spec: &Value) {
    let pool = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": name}, "spec": spec});
    apply(server, &pool.to_string());
}

/// The token of a daemon's pod on `node`.
fn token(server: &ApiServer, node: &str) -> PathBuf {
    let name = format!("daemon-{node}");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"nodeName": node, "serviceAccountName": "plexus", "containers": [{"name": "c", "image": "x"}]},
    });
    apply(server, &pod.to_string());
    let words =
        ["-n", "kube-system", "create", "token", "plexus", "--bound-object-kind", "Pod", "--bound-object-name", &name];
    let token = server.kubectl(&words, None).unwrap();
    server.kubeconfig_with_token(token.trim()).unwrap()
}

/// Starts a program with a configuration that has `section`.
fn start(mut command: Command, section: &Value) -> Child {
    let config = json!({"cniVersion": "1.1.0", "name": "net", "type": "other", "ipam": section});
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    child
}

/// A node: directories, and the daemon while it runs.
struct Machine {
    folder: tempfile::TempDir,
    name: String,
    kubeconfig: PathBuf,
    daemon: Option<Daemon>,
}

impl Machine {
    fn new(server: &ApiServer, name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["plexus-ipam", "whereabouts"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_plexus"), folder.path().join(name)).unwrap();
        }
        let mut machine = Machine { folder, name: name.to_owned(), kubeconfig: token(server, name), daemon: None };
        machine.start();
        machine
    }

    fn start(&mut self) {
        self.start_with(&[]);
    }

    fn start_with(&mut self, more: &[&str]) {
        let kubeconfig = self.kubeconfig.to_str().unwrap();
        let arguments = [&["--kubeconfig", kubeconfig, "--node-name", &self.name], more].concat();
        let daemon = Daemon::in_folder(self.folder.path(), &arguments);
        wait_until(|| daemon.connect().is_some(), || daemon.log());
        self.daemon = Some(daemon);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("plexusd.log")).unwrap_or_default()
    }

    fn call(&self, verb: &str, pool: &str, container: &str) -> Result<Value, String> {
        self.call_with(verb, &json!({"type": "plexus-ipam", "pool": pool}), container)
    }

    fn call_with(&self, verb: &str, section: &Value, container: &str) -> Result<Value, String> {
        let output = self.spawn_with(verb, section, container).wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
        if output.status.success() { Ok(answer) } else { Err(text) }
    }

    fn spawn(&self, verb: &str, pool: &str, container: &str) -> Child {
        self.spawn_with(verb, &json!({"type": "plexus-ipam", "pool": pool}), container)
    }

    /// The program that the section names.
    fn spawn_with(&self, verb: &str, section: &Value, container: &str) -> Child {
        self.spawn_as(verb, section, container, "")
    }

    /// The same with `args` as CNI_ARGS.
    fn spawn_as(&self, verb: &str, section: &Value, container: &str, args: &str) -> Child {
        start(self.command(verb, section, container, args), section)
    }

    fn command(&self, verb: &str, section: &Value, container: &str, args: &str) -> Command {
        let mut command = Command::new(self.path(section["type"].as_str().unwrap()));
        command.env_clear().env("CNI_COMMAND", verb).env("CNI_CONTAINERID", container).env("CNI_IFNAME", "net1");
        command.env("CNI_ARGS", args);
        command.env("CNI_NETNS", "/run/netns/x").env("CNI_PATH", "/opt/cni/bin");
        command.env("PLEXUS_STATE_DIRECTORY", self.path("state")).env("PLEXUS_RUN_DIRECTORY", self.path("run"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn add(&self, pool: &str, container: &str) -> Result<String, String> {
        self.add_with(&json!({"type": "plexus-ipam", "pool": pool}), container)
    }

    fn add_with(&self, section: &Value, container: &str) -> Result<String, String> {
        self.add_as(section, container, "")
    }

    fn add_as(&self, section: &Value, container: &str, args: &str) -> Result<String, String> {
        let output = self.spawn_as("ADD", section, container, args).wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        if !output.status.success() {
            return Err(text);
        }
        let answer: Value = serde_json::from_str(&text).unwrap();
        let ips = answer["ips"].as_array().unwrap().iter().map(|ip| ip["address"].as_str().unwrap());
        Ok(ips.collect::<Vec<_>>().join(" "))
    }

    fn del(&self, pool: &str, container: &str) {
        self.call("DEL", pool, container).unwrap();
    }

    fn files(&self, pool: &str) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.path("state/pools").join(pool)).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.parse::<std::net::IpAddr>().is_ok()).collect()
    }
}

/// The blocks of `pool`: first address and node.
fn blocks(server: &ApiServer, pool: &str) -> BTreeMap<String, String> {
    let list =
        server.kubectl(&["get", "addressblocks", "-l", &format!("ipam.plexus.dev/pool={pool}"), "-o", "json"], None);
    let list: Value = serde_json::from_str(&list.unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| (text(&block["spec"]["first"]), text(&block["spec"]["node"])))
        .collect()
}

#[test]
fn two_nodes_share_a_pool_and_never_an_address() {
    let Some(server) = server() else { return };
    let range = json!({"range": "10.1.0.0/28", "gateway": "10.1.0.1", "exclude": ["10.1.0.6"]});
    put_pool(
        &server,
        "lan",
        &json!({"blockSize": {"v4": 2, "v6": 2}, "ranges": [range], "warm": {"min": 0, "max": 0}}),
    );
    let mut machines = [Machine::new(&server, "n1"), Machine::new(&server, "n2")];
    let mut taken = BTreeMap::new();
    let mut refused = 0;
    for turn in 0..16 {
        let machine = &machines[turn % 2];
        let container = format!("c{turn}");
        match machine.add("lan", &container) {
            Ok(address) => assert_eq!(taken.insert(address, (turn % 2, container)), None, "given twice"),
            Err(error) => {
                assert!(error.contains("\"code\": 11") && error.contains("pool lan"), "{error}\n{}", machine.log());
                refused += 1;
            }
        }
    }
    // 16 addresses without network, broadcast, gateway and exclusion.
    assert_eq!((taken.len(), refused), (12, 4), "{taken:?}\n{}", machines[0].log());
    assert!(taken.keys().all(|address| address.ends_with("/28")));
    // The block of the network and the gateway has nothing to give.
    assert_eq!(blocks(&server, "lan").len(), 7);

    // Case 8: DEL needs nobody. Case 17: what a daemon left is found by the next one.
    machines[0].daemon = None;
    for (_, container) in taken.values().filter(|(at, _)| *at == 0) {
        machines[0].del("lan", container);
    }
    assert!(machines[0].files("lan").is_empty());
    assert!(machines[1].add("lan", "late").is_err());
    machines[0].start();
    let of = |node: &str| blocks(&server, "lan").values().filter(|owner| *owner == node).count();
    wait_until(|| of("n1") == 0, || machines[0].log());
    // What one node gives back another one gets.
    machines[1].add("lan", "late").unwrap();
    let before = taken.values().filter(|(at, _)| *at == 1).count();
    assert_eq!(machines[1].files("lan").len(), before + 1);
}

/// A machine without a daemon that was granted one block of 256 addresses.
fn granted() -> Machine {
    granted_until("10.7.0.254")
}

/// The same, with the addresses of the block until `last`.
fn granted_until(last: &str) -> Machine {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_plexus"), folder.path().join("plexus-ipam")).unwrap();
    let machine = Machine { folder, name: String::new(), kubeconfig: PathBuf::new(), daemon: None };
    let now = plexus::facts::node_blocks::now();
    let text = format!(
        "pool crowd\nconfirmed {} {} {}\nauthority 600\nwarm 1 16\nsubnet 10.7.0.0/24\nblock 10.7.0.0 256 a 10.7.0.1 {last}\n",
        now.boot, now.since_boot, now.clock
    );
    std::fs::create_dir_all(machine.path("run/daemon/ipam")).unwrap();
    std::fs::write(machine.path("run/daemon/ipam/crowd.grant"), text).unwrap();
    machine
}

#[test]
fn a_section_of_whereabouts_implies_a_pool() {
    // Cases 3 and 38: the program under the name `whereabouts`, two nodes, one small range, no AddressPool.
    let Some(server) = server_alone() else { return };
    let (one, other) = (Machine::new(&server, "w1"), Machine::new(&server, "w2"));
    let section = json!({
        "type": "whereabouts", "range": "10.9.0.0/29", "gateway": "10.9.0.1", "exclude": ["10.9.0.6/32"], "log_level": "debug",
        "enable_overlapping_ranges": true, "kubernetes": {"kubeconfig": "/etc/cni/net.d/whereabouts.d/whereabouts.kubeconfig"},
    });
    let machines = [&one, &other];
    let log = || format!("{}\n{}", one.log(), other.log());
    let mut taken = BTreeSet::new();
    for turn in 0..4 {
        let address =
            machines[turn % 2].add_with(&section, &format!("c{turn}")).unwrap_or_else(|e| panic!("{e}\n{}", log()));
        assert!(taken.insert(address), "given twice");
    }
    let expected = ["10.9.0.2/29", "10.9.0.3/29", "10.9.0.4/29", "10.9.0.5/29"].map(str::to_owned);
    assert_eq!(taken, BTreeSet::from(expected));
    let full = one.add_with(&section, "c5").unwrap_err();
    assert!(
        full.contains("\"code\": 11") && full.contains("pool whereabouts.default") && full.contains("of 10.9.0.0/29"),
        "{full}"
    );
    // A range this small keeps nothing on a node: what one gives back another one gets.
    one.call_with("DEL", &section, "c0").unwrap();
    wait_until(|| blocks(&server, "whereabouts.default").len() == 3, log);
    other.add_with(&section, "c6").unwrap_or_else(|e| panic!("{e}\n{}", log()));
    // Ranges with other names of networks are apart.
    let apart = json!({"type": "whereabouts", "range": "10.9.0.0/29", "network_name": "blue"});
    assert_eq!(blocks(&server, "whereabouts.net-blue").len(), 0);
    one.add_with(&apart, "b0").unwrap();
    assert_eq!(blocks(&server, "whereabouts.net-blue").len(), 1);
    whereabouts_that_runs_in_the_cluster_is_left_alone(&server, one);
}

/// With its CRDs the program of whereabouts gives addresses: then nothing new is given here, also of what was leased.
fn whereabouts_that_runs_in_the_cluster_is_left_alone(server: &ApiServer, mut machine: Machine) {
    let section = json!({"type": "whereabouts", "range": "10.10.0.0/16"});
    machine.add_with(&section, "d0").unwrap();
    machine.call_with("DEL", &section, "d0").unwrap();
    // What `doctor` asks the daemon.
    let refused = |machine: &Machine| {
        let pools = vec![plexus::ipam::PoolName::implied("")];
        let Reply::Pools(refused) = machine.daemon.as_ref().unwrap().ask(&Request::Pools(pools)) else {
            panic!("{}", machine.log())
        };
        refused
    };
    assert_eq!(refused(&machine), BTreeMap::new());
    put_whereabouts(server);
    assert_eq!(refused(&machine)["whereabouts.default"], plexus::cluster::whereabouts_runs());
    // A daemon that starts looks at once; one that runs looks every quarter of an hour.
    machine.daemon = None;
    machine.start();
    let mut told = String::new();
    eventually("the grant to be withdrawn", || {
        told = machine.add_with(&section, "d1").err().unwrap_or_default();
        machine.call_with("DEL", &section, "d1").unwrap();
        told.contains("the cluster has whereabouts.cni.cncf.io/v1alpha1")
    });
    assert!(told.contains("\"code\": 11"), "{told}");
    // A pod that came before is deleted all the same.
    machine
        .call_with("DEL", &json!({"type": "whereabouts", "range": "10.9.0.0/29", "network_name": "blue"}), "b0")
        .unwrap();
    server.kubectl(&["delete", "crd", WHEREABOUTS], None).unwrap();
    eventually("the pool to be used again", || machine.add_with(&section, "d2").is_ok());
    machine.call_with("DEL", &section, "d2").unwrap();
}

/// A pod of a worker, and its address where ADD has answered.
type Given = (String, Option<String>);

/// Adds or deletes a pod with a plugin that is killed after so many microseconds, if any.
fn call_and_kill(machine: &Machine, verb: &str, container: &str, after: Option<u64>) -> Option<Value> {
    let mut child = machine.spawn(verb, "crowd", container);
    if let Some(after) = after {
        std::thread::sleep(std::time::Duration::from_micros(after));
        let _ = child.kill();
    }
    let output = child.wait_with_output().unwrap();
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// Gives the address of a pod back. From the moment of DEL another pod may get it; a DEL that was killed comes again.
fn end(machine: &Machine, got: &Mutex<BTreeMap<String, String>>, (container, address): Given, after: Option<u64>) {
    if let Some(address) = address {
        assert_eq!(got.lock().unwrap().remove(&address), Some(container.clone()));
    }
    if call_and_kill(machine, "DEL", &container, after).is_none() {
        machine.del("crowd", &container);
    }
}

/// Adds pods one after another. The worker has twenty at a time, and answers the last ones.
fn work(machine: &Machine, got: &Mutex<BTreeMap<String, String>>, worker: u64, pods: u64) -> VecDeque<Given> {
    let mut own: VecDeque<Given> = VecDeque::new();
    for turn in 0..pods {
        let container = format!("w{worker}-{turn}");
        // Every third is killed, each a little later than the one before.
        let after = turn % 25 * 400 + worker * 37;
        let killed = (worker + turn).is_multiple_of(3).then_some(after);
        let answer = call_and_kill(machine, "ADD", &container, killed);
        let address = answer.map(|answer| answer["ips"][0]["address"].as_str().unwrap().to_owned());
        assert!(killed.is_some() || address.is_some(), "{container} has no address");
        if let Some(address) = &address {
            let before = got.lock().unwrap().insert(address.clone(), container.clone());
            assert_eq!(before, None, "{address} was given twice");
        }
        own.push_back((container, address));
        if own.len() > 20 {
            let killed = ((worker + turn) % 4 == 1).then_some(after);
            end(machine, got, own.pop_front().unwrap(), killed);
        }
    }
    own
}

/// `PLEXUS_IPAM_PODS=500` is the number that the design asks for.
#[test]
fn killed_plugins_never_give_one_address_twice() {
    // Cases 1 and 46
    let pods = std::env::var("PLEXUS_IPAM_PODS").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let machine = granted();
    let got: Mutex<BTreeMap<String, String>> = Mutex::default();
    let left: Vec<VecDeque<Given>> = std::thread::scope(|scope| {
        let spawn = |worker| {
            let (machine, got) = (&machine, &got);
            scope.spawn(move || work(machine, got, worker, pods))
        };
        let workers: Vec<_> = (0..8).map(spawn).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(got.lock().unwrap().len() >= 80);
    for (address, container) in got.lock().unwrap().iter() {
        let file = machine.path("state/pools/crowd").join(address.trim_end_matches("/24"));
        assert!(std::fs::read_to_string(file).unwrap().starts_with(&format!("{container}\r\n")), "{address}");
    }
    left.into_iter().flatten().for_each(|given| end(&machine, &got, given, None));
    // None is lost: nothing is taken, and all of them can be taken again.
    assert!(machine.files("crowd").is_empty());
    let all: BTreeSet<String> = (0..254).map(|n| machine.add("crowd", &format!("all-{n}")).unwrap()).collect();
    assert_eq!(all.len(), 254);
    assert!(machine.add("crowd", "one-more").is_err());
    let files = std::fs::read_dir(machine.path("state/pools/crowd")).unwrap().count();
    assert!(files <= 254 + 8, "{files}");
}

#[test]
fn programs_with_other_directories_give_nothing() {
    // One node has one folder of addresses.
    let machine = granted();
    machine.add("crowd", "c0").unwrap();
    std::fs::write(machine.path("run/ipam/state"), "/elsewhere").unwrap();
    let error = machine.add("crowd", "c1").unwrap_err();
    assert!(error.contains("/elsewhere") && error.contains("\"code\": 11"), "{error}");
    machine.del("crowd", "c0");
    assert!(machine.files("crowd").is_empty());
}

#[test]
fn a_stocked_node_asks_nobody() {
    let Some(mut server) = server_alone() else { return };
    let ranges = json!([{"range": "10.2.0.0/24"}, {"range": "fd02::/64"}]);
    put_pool(&server, "stock", &json!({"blockSize": {"v4": 16, "v6": 16}, "ranges": ranges}));
    let mut machine = Machine::new(&server, "n3");
    let first = machine.add("stock", "c0").unwrap();
    assert!(first.contains("/24 fd02::"), "{first}");
    // Case 5: neither daemon nor API server.
    machine.daemon = None;
    let mut addresses = BTreeSet::from([first]);
    for turn in 1..14 {
        assert!(addresses.insert(machine.add("stock", &format!("c{turn}")).unwrap()));
    }
    let before = blocks(&server, "stock");
    // Case 19: another boot. What was granted before counts for nothing until the daemon has asked.
    let grant = machine.path("run/daemon/ipam/stock.grant");
    let text = std::fs::read_to_string(&grant).unwrap();
    let boot = plexus::facts::node_blocks::now().boot;
    assert!(text.contains(&boot), "{text}");
    std::fs::write(&grant, text.replace(&boot, "another")).unwrap();
    let error = machine.add("stock", "later").unwrap_err();
    assert!(error.contains("since the machine started"), "{error}");
    machine.del("stock", "c1");
    machine.start();
    machine.add("stock", "later").unwrap_or_else(|error| panic!("{error}\n{}", machine.log()));
    assert!(before.iter().all(|(first, node)| blocks(&server, "stock").get(first) == Some(node)));
    // Low: leased ahead, without a question.
    for turn in 20..24 {
        machine.add("stock", &format!("c{turn}")).unwrap();
    }
    wait_until(|| blocks(&server, "stock").len() > before.len(), || machine.log());
    // Case 6: the stock is used up while the API server is away. The runtime tries again.
    server.kill().unwrap();
    let refused = (0..64).find_map(|turn| machine.add("stock", &format!("away{turn}")).err());
    assert!(refused.as_ref().is_some_and(|error| error.contains("\"code\": 11")), "{refused:?}");
    server.restart().unwrap();
    let again = || machine.add("stock", "back").is_ok();
    wait_within(LONG, again, || machine.log());
}

#[test]
fn a_block_that_a_person_deletes_is_leased_again_or_reported() {
    // Case 24
    let Some(server) = server() else { return };
    put_pool(&server, "forced", &json!({"blockSize": {"v4": 4, "v6": 4}, "ranges": [{"range": "10.3.0.0/28"}]}));
    let mut machine = Machine::new(&server, "n4");
    machine.add("forced", "c0").unwrap();
    let (first, _) = blocks(&server, "forced").into_iter().next().unwrap();
    let hex = |first: &str| u32::from(first.parse::<std::net::Ipv4Addr>().unwrap());
    let name = format!("forced.{:08x}", hex(&first));
    eventually("the policy to be in force", || {
        server.kubectl(&["delete", "addressblock", &name, "--dry-run=server"], None).is_err()
    });
    let refused = server.kubectl(&["delete", "addressblock", &name], None).unwrap_err();
    assert!(refused.contains("ipam.plexus.dev/force"), "{refused}");
    for stolen in [false, true] {
        machine.daemon = None;
        server.kubectl(&["annotate", "addressblock", &name, "ipam.plexus.dev/force=true"], None).unwrap();
        server.kubectl(&["delete", "addressblock", &name], None).unwrap();
        if stolen {
            let spec = json!({"pool": "forced", "first": first, "size": 4, "node": "thief", "lease": "t"});
            let labels = json!({"ipam.plexus.dev/pool": "forced"});
            let block = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressBlock", "metadata": {"name": name, "labels": labels}, "spec": spec});
            apply(&server, &block.to_string());
        }
        machine.start();
        if stolen {
            let daemon = machine.daemon.as_ref().unwrap();
            wait_until(
                || daemon.health().remarks.get("addresses").is_some_and(|text| text.contains(&first)),
                || daemon.log(),
            );
            let grant = std::fs::read_to_string(machine.path("run/daemon/ipam/forced.grant")).unwrap();
            assert!(!grant.contains(&format!("block {first} ")), "{grant}");
        } else {
            wait_until(|| blocks(&server, "forced").get(&first).is_some_and(|node| node == "n4"), || machine.log());
        }
    }
}

#[test]
fn a_token_has_the_blocks_of_its_own_node_only() {
    // Case 27, P1
    let Some(server) = server() else { return };
    let of = |node: &str| token(&server, node).to_str().unwrap().to_owned();
    let (own, other) = (of("p1"), of("p2"));
    let block = |node: &str, lease: &str| {
        let spec = json!({"pool": "p", "first": "10.4.0.0", "size": 4, "node": node, "lease": lease});
        json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressBlock", "metadata": {"name": "p.0a040000"}, "spec": spec}).to_string()
    };
    let as_node = |kubeconfig: &str, words: &[&str], body: Option<&str>| {
        server.kubectl(&[&["--kubeconfig", kubeconfig], words].concat(), body)
    };
    let create = &["create", "-f", "-"][..];
    let replace = &["replace", "-f", "-"][..];
    let delete = &["delete", "addressblock", "p.0a040000"][..];
    let refused = |answer: Result<String, String>, why: &str| {
        let said = answer.expect_err("it was let through");
        assert!(said.contains(why), "{said}");
    };
    eventually("the policy to be in force", || {
        as_node(&own, &["create", "--dry-run=server", "-f", "-"], Some(&block("p2", "a"))).is_err()
    });
    refused(as_node(&own, create, Some(&block("p2", "a"))), "its own node");
    as_node(&own, create, Some(&block("p1", "a"))).unwrap();
    refused(as_node(&other, create, Some(&block("p2", "a"))), "already exists");
    refused(as_node(&other, replace, Some(&block("p2", "b"))), "only the lease");
    refused(as_node(&other, replace, Some(&block("p1", "b"))), "its own node");
    refused(as_node(&other, delete, None), "its own node");
    as_node(&own, replace, Some(&block("p1", "b"))).unwrap();
    refused(as_node(&own, replace, Some(&block("p2", "b"))), "");
    refused(server.kubectl(replace, Some(&block("p2", "b"))), "only the lease");
    refused(as_node(&own, &["delete", "addresspools", "--all"], None), "cannot");
    as_node(&own, delete, None).unwrap();
}

#[test]
fn a_pool_that_makes_no_sense_is_refused() {
    // Case 43
    let Some(server) = server() else { return };
    let put = |name: &str, spec: Value| {
        let pool = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": name}, "spec": spec});
        server.kubectl(&["apply", "--server-side", "-f", "-"], Some(&pool.to_string()))
    };
    put("sense", json!({"blockSize": {"v4": 4, "v6": 4}, "ranges": []})).unwrap();
    for (name, spec, why) in [
        ("a", json!({"blockSize": {"v4": 3, "v6": 4}}), "power of two"),
        ("a", json!({"warm": {"min": 5, "max": 1}}), "warm.min"),
        ("a.b", json!({}), "DNS label"),
        ("a", json!({"ranges": [{"range": "192.168.60.0/33"}]}), "spec.ranges[0].range"),
        ("a", json!({"ranges": [{"range": "fd00::/129"}]}), "spec.ranges[0].range"),
        ("sense", json!({"blockSize": {"v4": 8, "v6": 4}, "ranges": []}), "cannot be changed"),
    ] {
        let said = put(name, spec).expect_err(why);
        assert!(said.contains(why), "{said}");
    }
    // What only a computation shows is in the error of the pod.
    put("odd", json!({"ranges": [{"range": "10.5.0.1/24"}]})).unwrap();
    let machine = Machine::new(&server, "n5");
    for (pool, why) in [("odd", "host bits"), ("none", "does not exist")] {
        let error = machine.add(pool, "c").unwrap_err();
        assert!(error.contains("\"code\": 11") && error.contains(why), "{error}");
    }
    // A person is told before a pod asks. A pool that nobody asked for was not leased by that.
    put("right", json!({"ranges": [{"range": "10.5.8.0/24"}]})).unwrap();
    let pools = ["odd", "none", "right"].map(|name| plexus::ipam::PoolName::new(name).unwrap());
    let daemon = machine.daemon.as_ref().unwrap();
    let Reply::Pools(judged) = daemon.ask(&Request::Pools(pools.to_vec())) else { panic!("{}", machine.log()) };
    assert_eq!(judged.keys().collect::<Vec<_>>(), ["none", "odd"]);
    assert!(judged["none"].contains("does not exist") && judged["odd"].contains("host bits"), "{judged:?}");
    assert!(blocks(&server, "right").is_empty());
    // The log names the pool.
    assert!(machine.log().contains("pool none"), "{}", machine.log());
    the_reports_of_bugs_have_pools(&server);
}

/// What a bug report of the cluster has of pools.
fn the_reports_of_bugs_have_pools(server: &ApiServer) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.tar.gz");
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().args(["report", "--node-timeout=1", "--kubeconfig"]).arg(server.kubeconfig());
    let written = command.arg("-o").arg(&path).output().unwrap();
    assert!(written.status.success(), "{written:?}");
    let packed = std::fs::read(&path).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        files.insert(name.split_once('/').unwrap().1.to_owned(), text);
    }
    for (name, has) in [
        ("cluster/addresses/pools.json", "10.5.8.0/24"),
        ("cluster/addresses/blocks.json", "["),
        ("cluster/addresses/nodes.json", "["),
        ("cluster/addresses/shortages.json", "["),
        ("cluster/ipam-show.json", "10.5.8.0/24"),
        ("cluster/ipam-check.json", "problems"),
    ] {
        let text = files.get(name).unwrap_or_else(|| panic!("{name}: {:?}", files.keys()));
        assert!(text.contains(has), "{name}: {text}");
    }
}

/// What `network` says of the pod's own addresses.
fn ip_of(pod: &support::Pod) -> String {
    let links = pod.ip("-j addr show dev net1");
    let addresses = links[0]["addr_info"].as_array().unwrap();
    let global = addresses.iter().find(|address| address["scope"] == "global").unwrap();
    format!("{}/{}", global["local"].as_str().unwrap(), global["prefixlen"])
}

/// The address of the pod, without its prefix length.
fn bare(pod: &support::Pod) -> String {
    ip_of(pod).split('/').next().unwrap().to_owned()
}

/// What `plexusctl ipam <words> -o json` prints on the node.
fn tool(cluster: &Cluster, words: &[&str], code: i32) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().args(["ipam"]).args(words).args(["-o", "json", "--state-directory"]);
    command.arg(cluster.node.state().path()).arg("--run-directory").arg(cluster.node.run().path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn the_tool_shows_them(cluster: &Cluster, pods: &[support::Pod]) {
    let shown = tool(cluster, &["show", "lan"], 0);
    assert_eq!((&shown["pools"][0]["taken"], &shown["pools"][0]["reason"]), (&json!(2), &Value::Null), "{shown}");
    let leases = tool(cluster, &["leases"], 0);
    let of_pods = leases["leases"].as_array().unwrap().iter().filter_map(|one| one["pod"].as_str());
    assert_eq!(of_pods.collect::<BTreeSet<_>>(), BTreeSet::from(["default/a", "default/b"]), "{leases}");
    let first = bare(&pods[0]);
    let who = tool(cluster, &["who", &first], 0);
    assert_eq!((&who["tenures"][0]["pod"], &who["tenures"][0]["until"]), (&json!("default/a"), &Value::Null), "{who}");
    assert_eq!(tool(cluster, &["who", &first, "--at", "1000"], 0)["tenures"], json!([]));
    assert_eq!(tool(cluster, &["check"], 0)["addresses"], json!(2));
}

/// After a sweep: an address that its file no longer protects is found.
fn the_tool_finds_a_file_that_is_wrong(cluster: &Cluster, pod: &support::Pod) {
    let file = cluster.node.state().path().join("pools/lan").join(bare(pod));
    let copy = cluster.node.run().path().join("taken/lan").join(bare(pod));
    let owner = std::fs::read(&file).unwrap();
    let file_problem = || {
        let found = tool(cluster, &["check"], 3);
        assert_eq!(found["problems"][0]["rule"], json!("file"), "{found}");
        found["problems"][0]["text"].as_str().unwrap().to_owned()
    };
    std::fs::remove_file(&file).unwrap();
    assert!(file_problem().contains("makes it again"));
    std::fs::remove_file(copy).unwrap();
    assert!(file_problem().contains("another pod can get it"));
    std::fs::write(&file, "other\r\nnet1\r\nlan-net").unwrap();
    assert_eq!(tool(cluster, &["check"], 3)["problems"][0]["rule"], json!("twice"));
    std::fs::write(&file, owner).unwrap();
    let lost = tool(cluster, &["who", "10.6.0.99"], 0);
    let tenure = &lost["tenures"][0];
    assert!(tenure["from"].is_null() && tenure["until"].is_u64(), "a sweep is in the history: {lost}");
}

#[test]
fn a_pod_gets_such_an_address_from_a_built_in_plugin() {
    let Some(cluster) = Cluster::new() else { return };
    for document in manifest("crd/addresses/address-pools.yaml").split("\n---\n") {
        cluster.kubectl(&["apply", "-f", "-"], Some(document));
    }
    for name in ADDRESS_KINDS {
        cluster.kubectl(&["wait", "--for=condition=Established", &format!("crd/{name}.ipam.plexus.dev")], None);
    }
    let mut role = role("plexus-addresses", &ADDRESSES);
    role[1]["subjects"][0]["name"] = json!("plexus");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": role});
    cluster.kubectl(&["apply", "-f", "-"], Some(&list.to_string()));
    let spec = json!({"ranges": [{"range": "10.6.0.0/24", "gateway": "10.6.0.1"}]});
    let pool = json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": "lan"}, "spec": spec});
    cluster.kubectl(&["apply", "-f", "-"], Some(&pool.to_string()));
    let config = json!({"cniVersion": "1.0.0", "name": "lan-net", "type": "bridge", "bridge": "br-lan", "ipam": {"type": "plexus-ipam", "pool": "lan"}});
    cluster.network("default", "lan", &config);
    let daemon = cluster.daemon();
    let pods = [cluster.pod("a", "lan"), cluster.pod("b", "lan")];
    for pod in &pods {
        // Code 11 asks the runtime to try again, and it does.
        let mut tries = std::iter::repeat_with(|| pod.add()).take(4);
        let answer = tries.find(|answer| !answer.stdout.contains("\"code\": 11")).unwrap();
        assert!(answer.status.success(), "{}\n{}", answer.stdout, daemon.log());
    }
    let addresses: BTreeSet<String> = pods.iter().map(ip_of).collect();
    assert!(
        addresses.len() == 2 && addresses.iter().all(|ip| ip.starts_with("10.6.0.") && ip.ends_with("/24")),
        "{addresses:?}"
    );
    let folder = cluster.node.state().path().join("pools/lan");
    the_tool_shows_them(&cluster, &pods);
    let taken = || {
        std::fs::read_dir(&folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_str().unwrap().starts_with("10."))
            .count()
    };
    assert_eq!(taken(), 2);
    // What nobody has goes with a sweep, and what a pod has stays.
    let lost = folder.join("10.6.0.99");
    std::fs::write(&lost, "lost\r\nnet1\r\nlan-net").unwrap();
    let copy = cluster.node.run().path().join("taken/lan/10.6.0.99");
    std::fs::copy(&lost, &copy).unwrap();
    let file = std::fs::File::options().write(true).open(&lost).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3600)).unwrap();
    let swept = Call::of_node(&cluster.node, "STATUS").sweep();
    assert!(swept.contains("10.6.0.99") && !lost.exists() && !copy.exists(), "{swept}");
    assert_eq!(taken(), 2);
    the_tool_finds_a_file_that_is_wrong(&cluster, &pods[0]);
    let first = bare(&pods[0]);
    assert!(pods[0].del().status.success());
    let who = tool(&cluster, &["who", &first], 0);
    assert!(who["tenures"][0]["until"].is_u64(), "{who}");
    assert_eq!(taken(), 1);
    assert!(pods[1].del_without_netns().status.success());
    assert_eq!(taken(), 0);
    drop(pods);
    the_definitions_are_deleted_with_a_pool_in_use(cluster);
}

/// What keeps a pool from being deleted does not keep the definitions, which a person deletes with all pools.
fn the_definitions_are_deleted_with_a_pool_in_use(mut cluster: Cluster) {
    cluster.at_home(|server| {
        apply(server, &manifest("conf/components/ipam/admission-policy.yaml"));
        let mut pool: Value =
            serde_json::from_str(&server.kubectl(&["get", "addresspool", "lan", "-o", "json"], None).unwrap()).unwrap();
        pool["status"] = json!({"blocks": 1});
        server.kubectl(&["replace", "--subresource=status", "-f", "-"], Some(&pool.to_string())).unwrap();
        let is_kept = || server.kubectl(&["delete", "addresspool", "lan", "--dry-run=server"], None).is_err();
        eventually("the policy to be in force", is_kept);
        server.kubectl(&["delete", "crd", "addresspools.ipam.plexus.dev", "--timeout=60s"], None).unwrap();
    });
}

#[test]
fn every_case_has_a_test_or_a_reason() {
    let page = manifest("docs/evidence/address-cases.md");
    let mut sources = String::new();
    let mut folders = vec![PathBuf::from(ROOT).join("src"), PathBuf::from(ROOT).join("tests")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => sources.push_str(&std::fs::read_to_string(path).unwrap_or_default()),
            }
        }
    }
    let mut cases = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (first, last) = cells[0].split_once('–').unwrap_or((cells[0], cells[0]));
        cases.extend(first.parse::<u32>().unwrap()..=last.parse::<u32>().unwrap());
        let named = cells[2].split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 1);
        let named: Vec<&str> = named.filter(|name| !name.starts_with("PLEXUS")).collect();
        named.iter().for_each(|name| assert!(sources.contains(&format!("fn {name}(")), "case {}: {name}", cells[0]));
        assert!(!cells[2].is_empty(), "case {} has neither a test nor a reason", cells[0]);
    }
    assert_eq!(cases, (1..=48).collect::<Vec<_>>());
}
