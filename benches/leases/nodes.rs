//! Nodes: a daemon each, and the address plugin in this process, with the directories of the node.

use crate::support::apiserver::ApiServer;
use crate::support::cluster::ADDRESS_KINDS;
use crate::support::daemon::Daemon;
use crate::support::leased;
use crate::support::wait_within;
use plexus::api::RunDirectory;
use plexus::api::protocol::{LeaseRequest, Reply, Request};
use plexus::delegate::Call;
use plexus::delegate::ipam::Ipam;
use plexus::ipam::{Grant, PoolName};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// All of them may need the only API server at the same time.
pub const PATIENCE: Duration = Duration::from_secs(600);
/// Seconds for which a node is waited for whose Node was deleted.
pub const QUARANTINE: u64 = 10;
/// Addresses in a block.
pub const BLOCK_SIZE: u32 = 8;
/// Requests at the same time.
const THREADS: usize = 32;

pub struct Node {
    folder: TempDir,
    kubeconfig: String,
    name: String,
    daemon: Option<Daemon>,
    /// When its daemon was started last, in seconds since the boot.
    started: u64,
    pods: usize,
}

pub struct Fleet {
    /// When the pools were created.
    since: Instant,
    nodes: Vec<Node>,
    pools: usize,
    removed: usize,
}

/// A process that ends with this, and its log.
pub struct Controller {
    process: Child,
    folder: TempDir,
}

impl Controller {
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Who leases a block, by its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    node: String,
    lease: String,
    /// Another one where the object was created again.
    uid: String,
}

/// Owners by the names of their blocks.
pub type Owners = BTreeMap<String, Owner>;

fn pool(number: usize) -> String {
    format!("pool-{number}")
}

fn manifest(path: &str) -> String {
    std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn apply(server: &ApiServer, text: &str) {
    server.kubectl(&["apply", "--server-side", "-f", "-"], Some(text)).unwrap();
}

impl Fleet {
    /// The definitions, roles and policies, the pools, the Nodes, the pods of daemons, and their tokens.
    pub fn prepare(server: &ApiServer, count: usize, pools: usize) -> Self {
        apply(server, &manifest("crd/addresses/address-pools.yaml"));
        for name in ADDRESS_KINDS {
            let crd = format!("crd/{name}.ipam.plexus.dev");
            server.kubectl(&["wait", "--for=condition=Established", &crd], None).unwrap();
        }
        for file in ["service-account.yaml", "rbac.yaml", "status.yaml", "admission-policy.yaml"] {
            apply(server, &manifest(&format!("conf/base/{file}")));
        }
        for file in ["rbac.yaml", "controller-rbac.yaml", "admission-policy.yaml"] {
            apply(server, &manifest(&format!("conf/components/ipam/{file}")));
        }
        let spec = |number: usize| {
            json!({
                "blockSize": {"v4": BLOCK_SIZE, "v6": 64}, "ranges": [{"range": format!("10.{}.0.0/18", 20 + number)}],
                "warm": {"min": 0, "max": 64}, "reclaim": {"quarantineSeconds": QUARANTINE},
            })
        };
        let pools_of = (0..pools).map(|number| {
            json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressPool", "metadata": {"name": pool(number)}, "spec": spec(number)})
        });
        let nodes = (0..count)
            .map(|node| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{node}")}}));
        let daemons = (0..count).map(|node| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("plexus-{node}"), "namespace": "kube-system"},
                "spec": {"nodeName": format!("node-{node}"), "serviceAccountName": "plexus", "containers": [{"name": "c", "image": "x"}]},
            })
        });
        let items: Vec<Value> = pools_of.chain(nodes).chain(daemons).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        server.kubectl(&["create", "-f", "-"], Some(&list.to_string())).unwrap();
        let since = Instant::now();
        let nodes = parallel((0..count).collect(), |node| Node::new(server, node));
        Fleet { since, nodes, pools, removed: 0 }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    fn living(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().skip(self.removed)
    }

    /// Starts all at once, and waits until each answers.
    pub fn start(&mut self) {
        self.nodes.iter_mut().for_each(Node::start);
        for node in &self.nodes {
            let daemon = node.daemon.as_ref().unwrap();
            wait_within(PATIENCE, || daemon.connect().is_some(), || daemon.log());
        }
    }

    /// Each node asks for a block of each pool; answers how long each lease took.
    pub fn lease_all(&self) -> Vec<Duration> {
        let wanted = (0..self.pools).flat_map(|number| self.nodes.iter().map(move |node| (node, number))).collect();
        parallel(wanted, |(node, number)| node.lease(number, &[4]))
    }

    /// The last node leases so many blocks, of one pool after the other; answers how long each lease took.
    pub fn lease_one_by_one(&self, count: usize) -> Vec<Duration> {
        let node = self.nodes.last().unwrap();
        (0..count).map(|turn| node.lease(turn % self.pools, &[4])).collect()
    }

    /// The memory of a daemon in KiB, on average.
    pub fn memory(&self) -> u64 {
        let all: u64 = self.nodes.iter().map(|node| node.daemon.as_ref().unwrap().memory()).sum();
        all / self.nodes.len() as u64
    }

    /// A confirmation of each grant.
    pub fn ask_confirmations(&self) {
        let wanted = (0..self.pools).flat_map(|number| self.nodes.iter().map(move |node| (node, number))).collect();
        parallel(wanted, |(node, number)| node.lease(number, &[]));
    }

    /// A tenth of the nodes leases another block of each pool; answers how many these are.
    pub fn lease_more(&self) -> usize {
        let some = self.nodes.iter().step_by(10);
        let wanted: Vec<_> = some.flat_map(|node| (0..self.pools).map(move |number| (node, number))).collect();
        parallel(wanted, |(node, number)| node.lease(number, &[4])).len()
    }

    pub fn add_all(&mut self) {
        let pools = self.pools;
        self.nodes.iter_mut().for_each(|node| node.add(pools));
    }

    /// Waits until the pools are a minute old: of a younger one, a daemon asks more.
    pub fn grow_old(&self) {
        std::thread::sleep(Duration::from_secs(62).saturating_sub(self.since.elapsed()));
    }

    /// `count` pods on the last node: the first ones are removed at the end.
    pub fn crowd(&mut self, count: usize) {
        let (pools, node) = (self.pools, self.nodes.last_mut().unwrap());
        (0..count).for_each(|_| node.add(pools));
    }

    /// Deletes the youngest pod of each node.
    pub fn del_all(&mut self) {
        let pools = self.pools;
        for node in &mut self.nodes {
            let container = format!("{}-c{}", node.name, node.pods);
            (0..pools).for_each(|number| node.call(number, &container, |ipam, call| ipam.del(call).unwrap()));
            node.pods -= 1;
        }
    }

    pub fn restart_each(&mut self) {
        for node in &mut self.nodes {
            node.daemon.as_ref().unwrap().signal("TERM");
            node.daemon.as_mut().unwrap().wait();
            node.start();
        }
    }

    /// Waits until each grant was confirmed after its daemon was started.
    pub fn wait_for_confirmations(&self) {
        for node in self.living() {
            for number in 0..self.pools {
                let is_confirmed =
                    || node.grant(number).is_some_and(|grant| grant.confirmed.since_boot >= node.started);
                wait_within(PATIENCE, is_confirmed, || node.daemon.as_ref().unwrap().log());
            }
        }
    }

    /// Waits until each of the blocks that etcd has `forgotten` is another object of the same node, and its node grants it.
    pub fn wait_until_restored(&self, server: &ApiServer, forgotten: &Owners) {
        let is_back = |owners: &Owners, granted: &BTreeMap<String, String>, name: &str, before: &Owner| {
            let is_new = owners.get(name).is_some_and(|now| now.node == before.node && now.uid != before.uid);
            is_new && granted.get(name) == Some(&before.node)
        };
        let missing = || {
            let (owners, granted) = (owners(server), self.granted());
            let missing = forgotten.iter().find(|(name, before)| !is_back(&owners, &granted, name, before));
            missing.map(|(name, before)| {
                format!("{name} was {before:?}, is {:?}, and {:?} grants it", owners.get(name), granted.get(name))
            })
        };
        let deadline = Instant::now() + PATIENCE;
        while let Some(missing) = missing() {
            assert!(Instant::now() < deadline, "a block is not leased again: {missing}");
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// The node that grants each block, by the name of its object.
    fn granted(&self) -> BTreeMap<String, String> {
        let of = |node: &Node| {
            let names = node.offers(self.pools).into_iter().map(|(name, _)| (name, node.name.clone()));
            names.collect::<Vec<_>>()
        };
        self.living().flat_map(of).collect()
    }

    pub fn start_controller(&self, server: &ApiServer) -> Controller {
        let words = ["-n", "kube-system", "create", "token", "plexus-address-controller", "--duration", "12h"];
        let kubeconfig = server.kubeconfig_with_token(server.kubectl(&words, None).unwrap().trim()).unwrap();
        let mut command = Command::new(Daemon::program());
        command.env_clear().arg("--address-controller").arg("--kubeconfig").arg(kubeconfig);
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.args(["--node-name", "controller"]).stdout(log.try_clone().unwrap()).stderr(log);
        Controller { process: command.spawn().unwrap(), folder }
    }

    /// The first `count` machines are off, and their Nodes are deleted.
    pub fn remove(&mut self, server: &ApiServer, count: usize) {
        self.removed = count;
        for node in &mut self.nodes[..count] {
            node.daemon = None;
        }
        let names: Vec<String> = self.nodes[..count].iter().map(|node| node.name.clone()).collect();
        let words: Vec<&str> = ["delete", "node"].into_iter().chain(names.iter().map(String::as_str)).collect();
        server.kubectl(&words, None).unwrap();
    }

    pub fn blocks_of_removed(&self, server: &ApiServer) -> usize {
        std::thread::sleep(Duration::from_millis(500));
        let owners = owners(server);
        let removed: Vec<&str> = self.nodes[..self.removed].iter().map(|node| node.name.as_str()).collect();
        owners.values().filter(|owner| removed.contains(&owner.node.as_str())).count()
    }

    /// U1 to U3 over all objects and all directories; fails at the first that does not hold.
    pub fn check(&self, server: &ApiServer) -> String {
        let owners = owners(server);
        let mut given: BTreeMap<(usize, IpAddr), &str> = BTreeMap::new();
        let (mut blocks, mut files) = (0, 0);
        for node in self.living() {
            for (name, lease) in node.offers(self.pools) {
                blocks += 1;
                let owner = owners.get(&name).map(|owner| (&owner.node, &owner.lease));
                assert_eq!(owner, Some((&node.name, &lease)), "U2: {name} is granted to {}", node.name);
            }
            for number in 0..self.pools {
                let grant = node.grant(number).unwrap();
                for address in node.files(number) {
                    files += 1;
                    let is_in = grant.offers.iter().any(|offer| offer.has(address));
                    assert!(is_in, "U3: {address} of {} is in no block of it", node.name);
                    let other = given.insert((number, address), &node.name);
                    assert_eq!(other, None, "U1: {} has {address}, too", node.name);
                }
            }
        }
        format!(
            "{} objects, {blocks} granted blocks and {files} addresses of {} nodes: every block belongs to the node that grants it, every address is in a block of its node, and none is there twice.",
            owners.len(),
            self.len() - self.removed
        )
    }
}

/// Who leases each block.
pub fn owners(server: &ApiServer) -> Owners {
    let list = server.kubectl(&["get", "addressblocks", "-o", "json"], None).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |block: &Value| {
        let (node, lease) = (text(&block["spec"]["node"]), text(&block["spec"]["lease"]));
        (text(&block["metadata"]["name"]), Owner { node, lease, uid: text(&block["metadata"]["uid"]) })
    };
    list["items"].as_array().unwrap().iter().map(of).collect()
}

impl Node {
    fn new(server: &ApiServer, node: usize) -> Self {
        let bound = format!("plexus-{node}");
        let bound = ["--bound-object-kind", "Pod", "--bound-object-name", &bound, "--duration", "12h"];
        let words = [["-n", "kube-system", "create", "token", "plexus"].as_slice(), &bound].concat();
        let token = server.kubectl(&words, None).unwrap();
        let kubeconfig = server.kubeconfig_with_token(token.trim()).unwrap().display().to_string();
        let (folder, name) = (tempfile::tempdir().unwrap(), format!("node-{node}"));
        Node { folder, kubeconfig, name, daemon: None, started: 0, pods: 0 }
    }

    fn start(&mut self) {
        let arguments = ["--kubeconfig", &self.kubeconfig, "--node-name", &self.name];
        self.started = plexus::facts::node_blocks::now().since_boot;
        self.daemon = Some(Daemon::spawn(self.folder.path(), &arguments));
    }

    fn run(&self) -> RunDirectory {
        RunDirectory::new(self.folder.path().join("run"))
    }

    /// Asks until it is leased; the daemon answers late where the API server has much to do.
    fn lease(&self, number: usize, families: &[u8]) -> Duration {
        let (begun, daemon) = (Instant::now(), self.daemon.as_ref().unwrap());
        let pool = PoolName::new(pool(number)).unwrap();
        let mut why = String::new();
        while begun.elapsed() < PATIENCE {
            // What was leased although the answer was late is enough.
            let is_late =
                !why.is_empty() && !families.is_empty() && self.grant(number).is_some_and(|g| !g.offers.is_empty());
            let families = if is_late { Vec::new() } else { families.to_vec() };
            let request = LeaseRequest {
                pool: pool.clone(),
                families,
                within: Vec::new(),
                kept_for: None,
                taken: Vec::new(),
                boot: String::new(),
            };
            match daemon.connect().map(|mut connection| connection.ask(&Request::Lease(request))) {
                Some(Reply::Leased { .. }) => return begun.elapsed(),
                other => why = format!("{other:?}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("{} {pool}: {why}\n{}", self.name, daemon.log());
    }

    fn grant(&self, number: usize) -> Option<Grant> {
        let path = self.run().grant(&PoolName::new(pool(number)).unwrap());
        Grant::parse(&std::fs::read_to_string(path).ok()?).ok()
    }

    /// The names and leases of all granted blocks.
    fn offers(&self, pools: usize) -> Vec<(String, String)> {
        let of = |number: usize| {
            let offers = self.grant(number).map(|grant| grant.offers).unwrap_or_default();
            let named = move |granted: plexus::ipam::Granted| {
                (format!("{}.{}", pool(number), granted.block().hex()), granted.lease)
            };
            offers.into_iter().map(move |offer| named(offer.granted))
        };
        (0..pools).flat_map(of).collect()
    }

    /// One more pod, with an address in each of so many pools.
    fn add(&mut self, pools: usize) {
        self.pods += 1;
        let container = format!("{}-c{}", self.name, self.pods);
        (0..pools).for_each(|number| self.call(number, &container, |ipam, call| drop(ipam.add(call).unwrap())));
    }

    fn files(&self, number: usize) -> Vec<IpAddr> {
        let folder = self.folder.path().join("state/pools").join(pool(number));
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).collect()
    }

    fn call(&self, number: usize, container: &str, work: impl FnOnce(&dyn Ipam, &Call<'_>)) {
        let section = json!({"type": "plexus-ipam", "pool": pool(number)});
        leased::call(self.folder.path(), &section, (container, &format!("net{number}")), None, work);
    }
}

/// Does `work` for all of `items`, several at the same time; the answers are in the order of the items.
fn parallel<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let (next, done) = (Mutex::new(items.into_iter().enumerate()), Mutex::new(Vec::new()));
    let one = || {
        loop {
            let Some((at, item)) = next.lock().unwrap().next() else { return };
            let answer = work(item);
            done.lock().unwrap().push((at, answer));
        }
    };
    std::thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(one))));
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}
