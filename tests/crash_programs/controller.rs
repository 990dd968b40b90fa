//! `plexusd --address-controller`: it is killed before and after each of its writes, while it frees the blocks of removed nodes.
//!
//! It works over plain HTTP through this test, which sees its requests: killed before a write, the API server never gets it;
//! killed after one, the controller never gets the answer.

use crate::support::apiserver::ApiServer;
use crate::support::cluster::{ADDRESS_KINDS, NETWORKS, role, try_server};
use crate::support::{self, wait_within};
use plexus::cluster::addresses::node_label;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The shortest that a pool may have.
const QUARANTINE: Duration = Duration::from_secs(10);
/// For a quarantine, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const POOL: &str = "p";
const KEPT: &str = "kept";

/// When a controller is killed: at which of its writes, and whether the API server has got that.
const FATES: [(usize, bool); 3] = [(1, true), (2, true), (1, false)];

/// What the requests of all controllers have shown.
#[derive(Default)]
struct Seen {
    /// The controller that works now, its writes, and its fate.
    child: Option<Child>,
    writes: usize,
    fate: Option<(usize, bool)>,
    kills: usize,
    /// When each node was first marked as removed.
    revoked: BTreeMap<String, Instant>,
    /// What must never be written.
    wrong: Vec<String>,
}

impl Seen {
    /// Judges a write before the API server gets it.
    fn judge(&mut self, method: &str, path: &str) {
        let name = path.split('?').next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        if path.contains("/addressnodes/") && method != "DELETE" {
            self.revoked.entry(name.clone()).or_insert_with(Instant::now);
        }
        // A block is named by its pool and its first address; here its last byte is the number of the node.
        let node = match path.contains("/addressblocks/") {
            true => format!("n{}", u8::from_str_radix(&name[name.len() - 2..], 16).unwrap() / 4),
            false => name.clone(),
        };
        let waited = self.revoked.get(&node).is_some_and(|since| since.elapsed() >= QUARANTINE);
        let frees = method == "DELETE" && (path.contains("/addressblocks/") || path.contains("/addressnodes/"));
        if name == KEPT || (frees && !waited) {
            self.wrong.push(format!("{method} {path}"));
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            self.kills += 1;
        }
    }
}

/// A request, as it came.
fn request(from: &mut impl BufRead) -> Option<(String, String, Vec<u8>)> {
    let (mut text, mut length) = (Vec::new(), 0);
    loop {
        let begin = text.len();
        if from.read_until(b'\n', &mut text).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&text[begin..]).to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let head = String::from_utf8_lossy(&text).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    text.extend(body);
    Some((method, path, text))
}

/// Hands the requests of one connection on, until a controller has met its fate.
fn serve(client: TcpStream, upstream: &str, seen: &Mutex<Seen>) -> Option<()> {
    let mut server = TcpStream::connect(upstream).ok()?;
    let (mut answers, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
    let mut from = BufReader::new(client);
    std::thread::spawn(move || std::io::copy(&mut answers, &mut to));
    loop {
        let (method, path, text) = request(&mut from)?;
        let is_write = method != "GET";
        let mut dies = None;
        if is_write {
            let mut seen = seen.lock().unwrap();
            seen.writes += 1;
            dies = seen.fate.filter(|(number, _)| *number == seen.writes).map(|(_, carried_out)| carried_out);
            if dies == Some(false) {
                seen.kill();
                return None;
            }
            seen.judge(&method, &path);
        }
        if dies == Some(true) {
            // The answer goes nowhere.
            seen.lock().unwrap().kill();
            let mut alone = TcpStream::connect(upstream).ok()?;
            alone.write_all(&text).ok()?;
            alone.read_exact(&mut [0]).ok()?;
            return None;
        }
        server.write_all(&text).ok()?;
    }
}

/// Where controllers are served.
fn listen(upstream: String, seen: &Arc<Mutex<Seen>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::clone(seen);
    // It ends with the test's process.
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (upstream, seen) = (upstream.clone(), Arc::clone(&seen));
            std::thread::spawn(move || serve(client, &upstream, &seen));
        }
    });
    format!("http://{address}")
}

fn list(server: &ApiServer, kind: &str) -> Vec<Value> {
    let text = server.kubectl(&["get", kind, "-o", "json"], None).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// A pool, `removed` nodes that are in no list of Nodes, and one that is; each has a block.
fn prepare(server: &ApiServer, removed: usize) {
    server
        .kubectl(&["apply", "--server-side", "-f", "-"], Some(include_str!("../../crd/addresses/address-pools.yaml")))
        .unwrap();
    for name in ADDRESS_KINDS {
        let crd = format!("crd/{name}.ipam.plexus.dev");
        server.kubectl(&["wait", "--for=condition=Established", &crd], None).unwrap();
    }
    let of = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "ipam.plexus.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let reclaim = json!({"quarantineSeconds": QUARANTINE.as_secs()});
    let ranges = json!([{"range": "10.0.0.0/24"}]);
    let mut items = vec![
        of("AddressPool", POOL, json!({"blockSize": {"v4": 4, "v6": 4}, "ranges": ranges, "reclaim": reclaim})),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": KEPT}}),
    ];
    let nodes: Vec<String> = (1..=removed).map(|number| format!("n{number}")).chain([KEPT.to_owned()]).collect();
    items.extend(nodes.iter().map(|node| of("AddressNode", node, json!({"revokedAt": "", "dead": false}))));
    for (number, node) in nodes.iter().enumerate() {
        let first = 4 * (number + 1);
        let spec = json!({"pool": POOL, "first": format!("10.0.0.{first}"), "size": 4, "node": node, "lease": "l"});
        let mut block = of("AddressBlock", &format!("{POOL}.0a0000{first:02x}"), spec);
        block["metadata"]["labels"] = json!({"ipam.plexus.dev/pool": POOL, "ipam.plexus.dev/node": node_label(node)});
        items.push(block);
    }
    let all = json!({"apiVersion": "v1", "kind": "List", "items": items});
    server.kubectl(&["create", "-f", "-"], Some(&all.to_string())).unwrap();
}

#[test]
fn a_controller_that_is_killed_frees_each_block_once_and_no_other() {
    let server = match try_server(&[role("unused", &[NETWORKS])]) {
        Ok(server) => server,
        Err(why) => return support::cannot_run(&why),
    };
    let removed = if std::env::var_os("PLEXUS_PROVE").is_some() { 2 } else { 1 };
    prepare(&server, removed);
    let (mut proxy, upstream) = server.proxy();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let cluster = json!({"name": "c", "cluster": {"server": listen(upstream, &seen)}});
    let context = json!({"name": "x", "context": {"cluster": "c", "user": "u"}});
    let config = json!({"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context],
        "users": [{"name": "u", "user": {}}], "current-context": "x"});
    std::fs::write(&kubeconfig, config.to_string()).unwrap();
    let is_done = || list(&server, "addressnodes").len() == 1;
    let log = tempfile::NamedTempFile::new().unwrap();
    for fate in FATES.iter().cycle() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusd"));
        command.env_clear().arg("--address-controller").arg("--kubeconfig").arg(&kubeconfig);
        command.args(["--node-name", "controller", "--log-format", "text"]);
        command.stdin(Stdio::null()).stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap());
        {
            let mut seen = seen.lock().unwrap();
            (seen.writes, seen.fate, seen.child) = (0, Some(*fate), Some(command.spawn().unwrap()));
        }
        let has_ended = || seen.lock().unwrap().child.is_none();
        let told = || std::fs::read_to_string(log.path()).unwrap();
        wait_within(PATIENCE, || has_ended() || is_done(), told);
        if is_done() {
            break;
        }
    }
    let mut seen = seen.lock().unwrap();
    let kills = seen.kills;
    seen.kill();
    proxy.kill().unwrap();
    proxy.wait().unwrap();
    assert_eq!(seen.wrong, [""; 0], "written too early, or about a node that lives");
    let blocks = list(&server, "addressblocks");
    let owners: Vec<&Value> = blocks.iter().map(|block| &block["spec"]["node"]).collect();
    assert_eq!(owners, [KEPT]);
    let nodes = list(&server, "addressnodes");
    assert_eq!((&nodes[0]["metadata"]["name"], &nodes[0]["metadata"]["generation"]), (&json!(KEPT), &json!(1)));
    assert!(kills > 2 * removed, "{kills} kills");
    support::tally(kills, "kills: address controller");
}
