//! An address that is kept for a pod of one name, on whatever node it comes back (`sticky`).

use super::*;
use removed::{Controller, controller_token};
use scarce::Keeper;
use support::requests::Requests;

fn section(pool: &str) -> Value {
    json!({"type": "plexus-ipam", "pool": pool, "sticky": true})
}

fn args(pod: &str) -> String {
    format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME={pod}")
}

fn put(server: &ApiServer, pool: &str, ranges: &Value, retain: u64) {
    let (size, warm) = (json!({"v4": 1, "v6": 1}), json!({"min": 0, "max": 0}));
    put_pool(server, pool, &json!({"blockSize": size, "warm": warm, "ranges": ranges, "retainSeconds": retain}));
}

/// What is kept in `pool`: the pod and the interface, the addresses and the node.
fn kept(server: &ApiServer, pool: &str) -> BTreeMap<String, (String, String)> {
    let selector = format!("ipam.plexus.dev/pool={pool}");
    let list = server.kubectl(&["get", "addressreservations", "-l", &selector, "-o", "json"], None).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let of = |one: &Value| {
        let spec = &one["spec"];
        let text = |key: &str| spec[key].as_str().unwrap().to_owned();
        let addresses = spec["addresses"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
        let whose = format!("{}/{} {}", text("namespace"), text("pod"), text("interface"));
        (whose, (addresses.collect::<Vec<_>>().join(" "), text("node")))
    };
    list["items"].as_array().unwrap().iter().map(of).collect()
}

/// Two nodes with daemons and keepers.
struct Pair<'a> {
    server: &'a ApiServer,
    pool: &'static str,
    machines: [Machine; 2],
    _keepers: [Keeper; 2],
}

impl<'a> Pair<'a> {
    fn new(server: &'a ApiServer, pool: &'static str) -> Self {
        let machines = [1, 2].map(|at| Machine::new(server, &format!("{pool}{at}")));
        let _keepers = [Keeper::start(&machines[0]), Keeper::start(&machines[1])];
        Pair { server, pool, machines, _keepers }
    }

    fn add(&self, at: usize, container: &str, pod: &str) -> Result<String, String> {
        self.machines[at].add_as(&section(self.pool), container, &args(pod))
    }

    /// As a kubelet does: again and again.
    fn add_at_last(&self, at: usize, container: &str, pod: &str) -> String {
        let mut got = None;
        wait_until(
            || {
                got = self.add(at, container, pod).ok();
                got.is_some()
            },
            || self.log(),
        );
        got.unwrap()
    }

    fn del(&self, at: usize, container: &str) {
        self.machines[at].call_with("DEL", &section(self.pool), container).unwrap();
    }

    fn log(&self) -> String {
        let marks = self.server.kubectl(&["get", "addressshortages", "-o", "yaml"], None).unwrap_or_default();
        let logs = self.machines.iter().map(Machine::log).collect::<String>();
        format!("{:?}\n{:?}\n{marks}\n{logs}", blocks(self.server, self.pool), kept(self.server, self.pool))
    }
}

/// `PLEXUS_IPAM_MOVES=100` is the number that the design asks for.
#[test]
fn an_address_follows_its_pod_over_nodes() {
    // Cases 28 and 29
    let Some(server) = server_alone() else { return };
    let ranges = json!([
        {"range": "10.91.0.0/26", "gateway": "10.91.0.1", "reserved": ["10.91.0.32/28"]},
        {"range": "fd91::/64", "reserved": ["fd91::1:0/112"]},
    ]);
    put(&server, "moved", &ranges, 86_400);
    let pair = Pair::new(&server, "moved");
    let first = pair.add(0, "c0", "web-0").unwrap_or_else(|error| panic!("{error}\n{}", pair.log()));
    assert_eq!(first, "10.91.0.32/26 fd91::1:0/64", "{}", pair.log());
    let addresses = "10.91.0.32 fd91::1:0".to_owned();
    assert_eq!(kept(&server, "moved")["ns/web-0 net1"], (addresses.clone(), "moved1".to_owned()));
    // The former pod is still there: it was deleted by force.
    let error = pair.add(1, "c1", "web-0").unwrap_err();
    let told = ["\"code\": 11", "10.91.0.32 is in a block of node moved1", "pod ns/web-0 still has it"];
    assert!(told.iter().all(|words| error.contains(words)), "{error}");
    let other = pair.add_at_last(0, "o0", "web-1");
    assert_ne!(other, first);
    let moves = std::env::var("PLEXUS_IPAM_MOVES").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let before = Requests::of(&server);
    for turn in 0..moves {
        let (from, to) = (turn % 2, (turn + 1) % 2);
        pair.del(from, &format!("c{turn}"));
        // It was never that of the pod before it.
        pair.del(to, &format!("c{}", turn + 1));
        assert_eq!(pair.add_at_last(to, &format!("c{}", turn + 1), "web-0"), first, "{}", pair.log());
        let node = format!("moved{}", to + 1);
        assert_eq!(kept(&server, "moved")["ns/web-0 net1"], (addresses.clone(), node.clone()));
        assert_eq!(blocks(&server, "moved")["10.91.0.32"], node);
    }
    // Of each family a block is created and deleted. The reservation names the new node, and a mark may ask for the block.
    let came = Requests::of(&server).since(&before);
    let kinds = ["addressblocks", "addressreservations", "addressshortages"];
    let [blocks, reservations, marks] = kinds.map(|kind| came.writes(kind));
    let moves = u64::try_from(moves).unwrap();
    support::say(&format!(
        "{moves} moves: {blocks} writes of blocks, {reservations} of reservations, {marks} of marks"
    ));
    assert!(
        blocks <= 2 * 2 * moves && reservations <= moves && marks <= moves,
        "{blocks} {reservations} {marks}\n{}",
        pair.log()
    );
    assert_eq!(kept(&server, "moved").len(), 2);
    // Another node asked for that block only.
    let marks = server.kubectl(&["get", "addressshortages", "-o", "name"], None).unwrap();
    assert!(marks.contains("/moved.0a5b0020") && !marks.lines().any(|name| name.ends_with("/moved")), "{marks}");
}

#[test]
fn on_the_same_node_nobody_is_asked_for_it() {
    let Some(server) = server() else { return };
    put(&server, "stays", &json!([{"range": "10.92.0.0/26", "reserved": ["10.92.0.32/28"]}]), 86_400);
    let mut pair = Pair::new(&server, "stays");
    let first = pair.add_at_last(0, "c0", "web-0");
    pair.machines[0].daemon = None;
    for turn in 0..3 {
        pair.del(0, &format!("c{turn}"));
        let again = pair.add(0, &format!("c{}", turn + 1), "web-0");
        assert_eq!(again.as_ref(), Ok(&first), "{}", pair.log());
    }
    // A pod that is new here needs the daemon.
    assert!(pair.add(0, "n0", "web-1").unwrap_err().contains("\"code\": 11"));
    // The next daemon knows what is kept, also after the machine has started again.
    for started_again in [false, true] {
        pair.machines[0].daemon = None;
        pair.del(0, "c3");
        if started_again {
            std::fs::remove_file(pair.machines[0].path("run/daemon/ipam/stays.grant")).unwrap();
        }
        pair.machines[0].start();
        assert_eq!(pair.add_at_last(0, "c3", "web-0"), first, "{}", pair.log());
    }
    assert_eq!(kept(&server, "stays").len(), 1);
}

#[test]
fn pods_that_start_together_share_nothing() {
    // Case 33
    let Some(server) = server() else { return };
    put(&server, "both", &json!([{"range": "10.93.0.0/25", "reserved": ["10.93.0.64/26"]}]), 86_400);
    let pair = Pair::new(&server, "both");
    let spawn = |at: usize, container: &str, pod: &str| {
        pair.machines[at].spawn_as("ADD", &section("both"), container, &args(pod))
    };
    for turn in 0..4 {
        // The same pod on two nodes: one has it. Two other pods: both have one.
        let (same, container) = (format!("s{turn}"), format!("c{turn}"));
        let got = [0, 1].map(|at| spawn(at, &container, &same)).map(|child| child.wait_with_output().unwrap());
        let won = got.iter().filter(|output| output.status.success()).count();
        assert!(won == 1, "{got:?}\n{}", pair.log());
        let others = [0, 1].map(|at| (at, format!("a{turn}"), format!("p{turn}-{at}")));
        let children = others.clone().map(|(at, container, pod)| spawn(at, &container, &pod));
        children.into_iter().for_each(|child| drop(child.wait_with_output().unwrap()));
        others.iter().for_each(|(at, container, pod)| drop(pair.add_at_last(*at, container, pod)));
    }
    let kept = kept(&server, "both");
    let addresses: BTreeSet<&String> = kept.values().map(|(addresses, _)| addresses).collect();
    assert_eq!((kept.len(), addresses.len()), (12, 12), "{kept:?}");
    let taken: Vec<String> = pair.machines.iter().flat_map(|machine| machine.files("both")).collect();
    assert_eq!(taken.iter().collect::<BTreeSet<_>>(), addresses, "{}", pair.log());
    assert_eq!(taken.len(), 12);
}

#[test]
fn a_pool_whose_reserved_addresses_are_kept_is_full() {
    let Some(server) = server() else { return };
    put(&server, "kept", &json!([{"range": "10.94.0.0/26", "reserved": ["10.94.0.32/31"]}]), 86_400);
    let pair = Pair::new(&server, "kept");
    for (at, pod) in [(0, "web-0"), (1, "web-1")] {
        pair.add_at_last(at, "c", pod);
    }
    pair.del(0, "c");
    // Any other pod gets none of them, also where the pod does not run for which it is kept.
    let error = pair.add(1, "c2", "web-2").unwrap_err();
    let told = ["\"code\": 11", "pool kept", "all 2 reserved IPv4 addresses are in use or kept: 2 are kept for pods"];
    assert!(told.iter().all(|words| error.contains(words)), "{error}");
    // A person gives one up.
    let name = |pod: &str| {
        let text = server.kubectl(&["get", "addressreservations", "-o", "json"], None).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        let is_it = |one: &&Value| one["spec"]["pod"] == pod && one["spec"]["pool"] == "kept";
        let one = list["items"].as_array().unwrap().iter().find(is_it).unwrap();
        one["metadata"]["name"].as_str().unwrap().to_owned()
    };
    server.kubectl(&["delete", "addressreservation", &name("web-0")], None).unwrap();
    // Its block is still on its node: it goes back within minutes, or when that pod is asked for again.
    assert_eq!(pair.add_at_last(0, "c3", "web-2"), "10.94.0.32/26");
    put(&server, "unkept", &json!([{"range": "10.95.0.0/26"}]), 86_400);
    let error = pair.machines[0].add_as(&section("unkept"), "c4", &args("web-0")).unwrap_err();
    let told = ["\"code\": 7", "no \\\"reserved\\\" IPv4 addresses"];
    assert!(told.iter().all(|words| error.contains(words)), "{error}");
}

#[test]
fn what_nobody_uses_is_kept_for_its_time() {
    // Case 30
    let Some(server) = server_alone() else { return };
    put(&server, "retained", &json!([{"range": "10.96.0.0/26", "reserved": ["10.96.0.32/28"]}]), 11);
    let pair = Pair::new(&server, "retained");
    pair.add_at_last(0, "c0", "web-0");
    let first = pair.add_at_last(0, "c1", "web-1");
    let controller = Controller::start_with(&server, &[]);
    let log = || format!("{}\n{}", controller.log(), pair.log());
    // Scaled down. The block of the pod that is gone is asked for by nobody, and goes back when a pod starts.
    pair.del(0, "c1");
    let mut turn = 0;
    let returned = || {
        turn += 1;
        pair.add_at_last(0, &format!("t{turn}"), "web-0-other");
        pair.del(0, &format!("t{turn}"));
        !blocks(&server, "retained").contains_key(first.split('/').next().unwrap())
    };
    wait_within(LONG, returned, log);
    wait_within(LONG, || !kept(&server, "retained").contains_key("ns/web-1 net1"), log);
    assert!(kept(&server, "retained").contains_key("ns/web-0 net1"), "it runs\n{}", log());
}

#[test]
fn a_daemon_keeps_addresses_for_its_own_node_only() {
    // Case 27, P1
    let Some(server) = server() else { return };
    let (own, other) = (token(&server, "keeps1"), token(&server, "keeps2"));
    let controller = controller_token(&server);
    let object = |node: &str, address: &str, version: &str| {
        let metadata = json!({"name": "policy.00", "resourceVersion": version});
        let spec = json!({"pool": "policy", "namespace": "ns", "pod": "p", "interface": "net1", "addresses": [address], "node": node});
        json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": "AddressReservation", "metadata": metadata, "spec": spec})
            .to_string()
    };
    let call = |who: &PathBuf, words: &[&str], body: &str| {
        server.kubectl(&[&["--kubeconfig", who.to_str().unwrap()], words].concat(), Some(body))
    };
    let (create, replace) = (&["create", "-f", "-"][..], &["replace", "-f", "-"][..]);
    let delete = &["delete", "addressreservation", "policy.00"][..];
    let refused = |answer: Result<String, String>, why: &str| {
        let said = answer.expect_err("it was let through");
        assert!(said.contains(why), "{said}");
    };
    let version = || {
        let words = ["get", "addressreservation", "policy.00", "-o", "jsonpath={.metadata.resourceVersion}"];
        server.kubectl(&words, None).unwrap()
    };
    eventually("the policy to be in force", || {
        call(&own, &["create", "--dry-run=server", "-f", "-"], &object("keeps2", "10.0.0.1", "")).is_err()
    });
    refused(call(&own, create, &object("keeps2", "10.0.0.1", "")), "of its own node");
    refused(call(&controller, create, &object("keeps1", "10.0.0.1", "")), "cannot create");
    call(&own, create, &object("keeps1", "10.0.0.1", "")).unwrap();
    refused(call(&other, replace, &object("keeps1", "10.0.0.1", &version())), "of its own node");
    refused(call(&other, replace, &object("keeps2", "10.0.0.2", &version())), "only the node");
    call(&other, replace, &object("keeps2", "10.0.0.1", &version())).unwrap();
    let admin = server.kubeconfig().to_owned();
    refused(call(&admin, replace, &object("keeps2", "10.0.0.2", &version())), "only the node");
    for who in [&own, &other] {
        refused(call(who, delete, ""), "cannot delete");
    }
    call(&controller, delete, "").unwrap();
}
