//! A pool with fewer addresses than its nodes would like to keep: an address that is free anywhere reaches a pod that waits.

use super::*;
use std::time::Instant;
use support::requests::Requests;

/// The program `plexusctl keep` of a node.
pub(super) struct Keeper(Child);

impl Keeper {
    pub(super) fn start(machine: &Machine) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        command.env_clear().arg("keep").arg("--cni-conf-dir").arg(machine.path("net.d"));
        command.arg("--cni-bin-dir").arg(machine.path("bin")).arg("--state-directory").arg(machine.path("state"));
        command.arg("--run-directory").arg(machine.path("run"));
        let log = std::fs::File::create(machine.path("keeper.log")).unwrap();
        Keeper(command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nodes with daemons and keepers, and the pods that have addresses.
struct Many<'a> {
    server: &'a ApiServer,
    pool: &'static str,
    machines: Vec<Machine>,
    _keepers: Vec<Keeper>,
    pods: BTreeMap<String, (usize, String)>,
}

impl<'a> Many<'a> {
    fn new(server: &'a ApiServer, pool: &'static str, nodes: usize) -> Self {
        let machines: Vec<Machine> = (0..nodes).map(|at| Machine::new(server, &format!("{pool}-{at}"))).collect();
        let keepers = machines.iter().map(Keeper::start).collect();
        Many { server, pool, machines, _keepers: keepers, pods: BTreeMap::new() }
    }

    fn log(&self) -> String {
        let marks = self.server.kubectl(&["get", "addressshortages", "-o", "yaml"], None).unwrap_or_default();
        let keepers = self.machines.iter().map(|one| std::fs::read_to_string(one.path("keeper.log")).unwrap());
        format!(
            "{:?}\n{marks}\n{}\n{}",
            blocks(self.server, self.pool),
            keepers.collect::<String>(),
            self.machines[0].log()
        )
    }

    /// Adds a pod on the node `at`, as a kubelet does: again and again.
    fn add(&mut self, at: usize, container: &str) {
        let mut got = None;
        wait_until(
            || {
                got = self.machines[at].add(self.pool, container).ok();
                got.is_some()
            },
            || self.log(),
        );
        let before = self.pods.insert(got.clone().unwrap(), (at, container.to_owned()));
        assert_eq!(before, None, "{got:?} was given twice");
    }

    fn del(&mut self, address: &str) -> usize {
        let (at, container) = self.pods.remove(address).unwrap();
        self.machines[at].del(self.pool, &container);
        at
    }

    fn end_all(&mut self) {
        let addresses: Vec<String> = self.pods.keys().cloned().collect();
        addresses.iter().for_each(|address| {
            self.del(address);
        });
    }
}

/// `PLEXUS_IPAM_NODES=40` is the number that the design asks for, with 61 pods in a /26. An address can stay unused until the
/// next mark; then its pod tries again.
#[test]
fn every_address_of_a_small_pool_can_be_used() {
    // Cases 2 and 3
    let Some(server) = server_alone() else { return };
    let nodes: usize = std::env::var("PLEXUS_IPAM_NODES").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let (range, pods) = if nodes >= 40 { ("10.84.0.0/26", 61) } else { ("10.84.0.0/28", 13) };
    // Each node keeps addresses, as long as nobody waits for one.
    let spec = json!({
        "blockSize": {"v4": 1, "v6": 1}, "ranges": [{"range": range, "gateway": "10.84.0.1"}], "warm": {"min": 1, "max": 16},
    });
    put_pool(&server, "small", &spec);
    let mut many = Many::new(&server, "small", nodes);
    (0..pods).for_each(|pod| many.add(pod % nodes, &format!("a{pod}")));
    let begun = Instant::now();
    // The kubelet has the message in the event of the pod.
    let error = many.machines[0].add("small", "more").unwrap_err();
    let refused = begun.elapsed();
    assert!(error.contains("\"code\": 11") && error.contains("pool small"), "{error}");
    // A pod that ends anywhere lets it start.
    assert_eq!(many.pods.len(), pods);
    let last = many.pods.keys().next_back().unwrap().clone();
    let at = many.del(&last);
    let begun = Instant::now();
    many.add((at + 1) % nodes, "more");
    let started = begun.elapsed();
    support::say(&format!(
        "a pod too many is refused after {refused:?}, and has an address {started:?} after another one ended"
    ));
    // All of them again, on other nodes.
    let before = Requests::of(&server);
    many.end_all();
    (0..pods).for_each(|pod| many.add((pod + 1) % nodes, &format!("b{pod}")));
    let written = Requests::of(&server).since(&before).writes("addressblocks");
    let most = u64::try_from(2 * pods + nodes).unwrap();
    println!("{written} writes for {pods} pods on {nodes} nodes");
    assert!(written <= most, "{written} writes, at most {most} are expected");
    // Nothing is kept while the pool is scarce.
    many.end_all();
    wait_until(|| blocks(&server, "small").is_empty(), || many.log());
    server.kubectl(&["get", "addressshortage", "small"], None).unwrap();
}

#[test]
fn a_node_asks_for_addresses_in_its_own_name_only() {
    // Case 27
    let Some(server) = server() else { return };
    let own = token(&server, "short1").to_str().unwrap().to_owned();
    let of = |node: &str, version: &str| {
        let metadata = json!({"name": "whereabouts.none", "resourceVersion": version});
        let spec = json!({"node": node, "word": format!("w-{version}")});
        json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressShortage", "metadata": metadata, "spec": spec})
            .to_string()
    };
    let call = |words: &[&str], body: &str| server.kubectl(&[&["--kubeconfig", &own], words].concat(), Some(body));
    eventually("the policy to be in force", || {
        call(&["create", "--dry-run=server", "-f", "-"], &of("short2", "")).is_err()
    });
    let refused = call(&["create", "-f", "-"], &of("short2", "")).unwrap_err();
    assert!(refused.contains("for its own node"), "{refused}");
    call(&["create", "-f", "-"], &of("short1", "")).unwrap();
    let version = || {
        let words = ["get", "addressshortage", "whereabouts.none", "-o", "jsonpath={.metadata.resourceVersion}"];
        server.kubectl(&words, None).unwrap()
    };
    call(&["replace", "-f", "-"], &of("short1", &version())).unwrap();
    assert!(call(&["replace", "-f", "-"], &of("short2", &version())).unwrap_err().contains("for its own node"));
    server.kubectl(&["--kubeconfig", &own, "delete", "addressshortage", "whereabouts.none"], None).unwrap();
}
