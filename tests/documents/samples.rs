//! The output that documents show is what the programs print: it is captured here, on a machine of the test's own, with
//! the pods of the tutorial.
//!
//! A block after `<!-- captured: <name> -->` is compared with the sample of that name, and so is the picture of
//! [`PICTURE`]. [`cluster_samples`] has those that need a cluster.
//! `UPDATE=1 cargo test --test documents samples` writes the blocks again.

use crate::cluster_samples;
use crate::pages;
use crate::support::daemon::Daemon;
use crate::support::sweeping::edit_record;
use crate::support::{Node, Pod, manifests, node};
use plexus::nad::NETWORK_STATUS;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Paths on the test's machine, and where the same is on a node.
const PATHS: [(&str, &str); 5] = [
    ("/run/node/net.d", "/etc/cni/net.d"),
    ("/run/node/installed", "/opt/cni/bin"),
    ("/run/node/bin", "/opt/cni/bin"),
    ("/run/node/settings.json", "settings.json"),
    ("/run/node/web.yaml", "web.yaml"),
];
/// Where the runtime's configuration is.
pub const CONF_DIR: [&str; 2] = ["--cni-conf-dir", "/run/node/net.d"];
/// The picture that the documents show, and its sample.
const PICTURE: (&str, &str) = ("docs/topology.svg", "picture");

/// What `plexusctl <words>` prints, called with `more`.
fn plexusctl(words: &str, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    let output = command.env_clear().args(words.split(' ')).args(more).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    format!("$ plexusctl {words}\n{}", String::from_utf8(text).unwrap())
}

/// `text` without what differs from run to run and from machine to machine. `macs` are those of the samples before: an
/// interface has the same address in all samples.
fn normal(text: &str, macs: &mut Vec<String>) -> String {
    let mut text = text.to_owned();
    for (here, there) in PATHS {
        text = text.replace(here, there);
    }
    let is_mac = |word: &str| word.len() == 17 && word.split(':').count() == 6;
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != ':').filter(|word| is_mac(word));
    for mac in words {
        if !macs.iter().any(|known| known == mac) {
            macs.push(mac.to_owned());
        }
    }
    for (at, mac) in macs.iter().enumerate() {
        text = text.replace(mac, &format!("9a:4d:c1:07:5e:{:02x}", at + 0x10));
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// As if pod and debts were of twelve minutes ago.
pub fn age(node: &Node, pod: &Pod) {
    let then = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() - Duration::from_secs(750);
    edit_record(node, pod, |record| {
        record["created"] = json!(then.as_secs());
        for attachment in record["attachments"].as_array_mut().unwrap() {
            if attachment["debt"].is_object() {
                attachment["debt"]["since"] = json!(then.as_secs());
            }
        }
    });
}

/// A network of its own bridge.
pub fn bridge(name: &str, subnet: &str) -> Value {
    json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": name, "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}})
}

/// The cluster's network, the network of the tutorial, and one that cannot be removed.
fn furnish(node: &Node) {
    let mut primary = bridge("cbr0", "10.244.1.0/24");
    let version = primary.as_object_mut().unwrap().remove("cniVersion").unwrap();
    node.primary(&json!({"cniVersion": version, "name": "cbr0", "plugins": [primary]}));
    manifests::network("default/lan", &bridge("br-lan", "10.10.0.0/24"));
    manifests::network("default/storage", &json!({"cniVersion": "1.0.0", "type": "example"}));
    node.recorder("example").on("DEL", "fail 100 'the storage system does not answer'");
}

/// What the pod's annotation says.
fn status_of(pod: &Pod) -> String {
    let path = format!("/run/plexus/network-status/default_{}.json", pod.name);
    let object: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    object["metadata"]["annotations"][NETWORK_STATUS].as_str().unwrap().to_owned()
}

/// The event in which the kubelet shows `message`, with containerd.
pub fn event(message: &str) -> String {
    let outer = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox";
    format!("{outer} \"<container ID>\": plugin type=\"plexus\" failed (add): {message}\n")
}

/// Installs Plexus on the node: what that prints.
pub fn install() -> String {
    let more = [&CONF_DIR[..], &["--cni-bin-dir", "/run/node/installed", "--plugin", "/run/node/bin/plexus"]].concat();
    plexusctl("install", &more)
}

fn installed(samples: &mut BTreeMap<&str, String>) {
    samples.insert("config", plexusctl("config", &CONF_DIR));
    samples.insert("install", install());
}

fn of_pods(node: &Node, samples: &mut BTreeMap<&str, String>) {
    let pods = ["one", "two"].map(|name| Pod::new(node, name).selecting("lan"));
    for pod in &pods {
        pod.add().result();
        age(node, pod);
    }
    samples.insert("network-status", status_of(&pods[1]));
    samples.insert("get", plexusctl("get", &[]));
    samples.insert("health", plexusctl("health", &[]));
    samples.insert("memory", plexusctl("health --verbose", &[]));
    samples.insert("natives", plexusctl("natives", &CONF_DIR));
    samples.insert("topology", plexusctl("topology", &[]));
    for shape in ["dot", "mermaid"] {
        let graph = plexusctl(&format!("topology -o {shape}"), &[]);
        samples.insert(shape, graph.split_once('\n').unwrap().1.to_owned());
    }
    samples.insert("doctor", plexusctl("doctor", &[&CONF_DIR[..], &["--cni-bin-dir", "/run/node/installed"]].concat()));
    samples.insert("uninstall", plexusctl("uninstall --yes", &CONF_DIR));
    samples.insert("cancel", plexusctl("uninstall --cancel", &CONF_DIR));
    let wrong = Pod::new(node, "wrong").selecting("lam");
    samples.insert("refused", event(&wrong.add().error().msg));
    for pod in &pods {
        pod.del().silence();
        pod.end_sandbox();
    }
}

fn of_debts(node: &Node, samples: &mut BTreeMap<&str, String>) {
    samples.insert("no debts", plexusctl("get --debts", &[]));
    let pod = Pod::new(node, "three").selecting("storage");
    pod.add().result();
    pod.del().error();
    age(node, &pod);
    samples.insert("debts", plexusctl("get --debts", &[]));
    pod.end_sandbox();
    // A sandbox counts as gone only where another one is seen.
    Pod::new(node, "other").add().result();
    let more = [&CONF_DIR[..], &["--plugin", "/run/node/bin/plexus"]].concat();
    samples.insert("gc", plexusctl("gc --dry-run", &more));
}

fn of_multus(samples: &mut BTreeMap<&str, String>) {
    let multus = json!({"cniVersion": "0.3.1", "name": "multus-cni-network", "type": "multus",
        "kubeconfig": "/etc/cni/net.d/multus.d/multus.kubeconfig", "namespaceIsolation": true,
        "clusterNetwork": "/host/etc/cni/net.d/10-primary.conflist", "logLevel": "verbose"});
    node::write(&std::path::Path::new(node::FOLDER).join("net.d/00-multus.conf"), &multus.to_string());
    let mut text = plexusctl("migrate /run/node/net.d/00-multus.conf --settings /run/node/settings.json", &[]);
    text.push_str("$ cat settings.json\n");
    text.push_str(&fs::read_to_string("/run/node/settings.json").unwrap());
    samples.insert("migrate", text);
}

/// Manifests with errors that people make, and one of the examples.
fn of_manifests(samples: &mut BTreeMap<&str, String>) {
    let network = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: lan}\nspec:\n  config: |\n    {\n      \"cniVersion\": \"1.0.0\",\n      \"type\": \"macvlan\",\n      \"mastr\": \"eth1\",\n      \"mode\": \"brigde\"\n    }\n";
    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations: {k8s.v1.cni.cncf.io/networks: lam}\nspec: {containers: []}\n";
    node::write(&std::path::Path::new(node::FOLDER).join("web.yaml"), &format!("{network}{pod}"));
    let shown = format!("$ cat web.yaml\n{network}{pod}");
    samples.insert("lint", shown + &plexusctl("lint /run/node/web.yaml", &CONF_DIR));
    samples.insert("plan", plexusctl("plan examples/default-route.yaml", &["--cni-conf-dir", "/nonexistent"]));
}

/// The samples by their names; of those that need a cluster none where this machine cannot make one.
fn captured() -> Option<BTreeMap<&'static str, String>> {
    // Each on a machine of its own, which a thread enters for good.
    let of_cluster = std::thread::spawn(cluster_samples::captured).join().unwrap();
    let (mut macs, of_cluster) = (Vec::new(), of_cluster.unwrap_or_default());
    let of_cluster = of_cluster.into_iter().map(|(name, text)| (name, normal(&text, &mut macs))).collect::<Vec<_>>();
    let node = Node::new()?;
    furnish(&node);
    let mut samples = BTreeMap::new();
    installed(&mut samples);
    let _daemon = Daemon::start(&node);
    of_pods(&node, &mut samples);
    of_debts(&node, &mut samples);
    of_multus(&mut samples);
    of_manifests(&mut samples);
    // In the order of their names: `get` comes before `network-status`.
    let mut macs = Vec::new();
    Some(samples.into_iter().map(|(name, text)| (name, normal(&text, &mut macs))).chain(of_cluster).collect())
}

const MARK: &str = "<!-- captured: ";

/// `text` with every captured block as in `samples`; the names are added to `used`.
fn with(text: &str, samples: &BTreeMap<&str, String>, used: &mut BTreeSet<String>) -> String {
    let mut parts = text.split(MARK);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").unwrap();
        let (fence, rest) = rest.split_once('\n').unwrap();
        assert!(fence.trim_start().starts_with("```"), "{name} is captured, and no block follows");
        let indent = &fence[..fence.len() - fence.trim_start().len()];
        let end = format!("{indent}```\n");
        let at = if rest.starts_with(&end) { 0 } else { rest.find(&format!("\n{end}")).unwrap() + 1 };
        used.insert(name.to_owned());
        let shown = &rest[..at];
        // This machine cannot make it, and said so.
        let kept = || cluster_samples::NAMES.contains(&name).then(|| unindented(shown, indent));
        let sample = samples.get(name).cloned().or_else(kept).unwrap_or_else(|| panic!("there is no sample {name:?}"));
        let lines = sample.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("{indent}{line}\n") });
        whole.push_str(&format!("{MARK}{name} -->\n{fence}\n{}{}", lines.collect::<String>(), &rest[at..]));
    }
    whole
}

fn unindented(block: &str, indent: &str) -> String {
    block.lines().map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned() + "\n").collect()
}

/// Compares the picture, or writes it.
fn picture(samples: &BTreeMap<&str, String>, used: &mut BTreeSet<String>) {
    let (path, name) = PICTURE;
    used.insert(name.to_owned());
    let Some(sample) = samples.get(name) else { return };
    let path = pages::root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, sample).unwrap();
    }
    let is_shown = fs::read_to_string(&path).is_ok_and(|shown| shown == *sample);
    assert!(is_shown, "{} is old: UPDATE=1 cargo test --test documents samples writes it again", path.display());
}

#[test]
fn the_output_that_documents_show_is_what_the_programs_print() {
    let Some(samples) = captured() else { return };
    let mut used = BTreeSet::new();
    for page in pages::all() {
        let text = with(&page.text, &samples, &mut used);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(pages::root().join(&page.name), &text).unwrap();
        }
        let differing = text.lines().zip(page.text.lines()).find(|(now, shown)| now != shown);
        assert!(
            text == page.text || std::env::var_os("UPDATE").is_some(),
            "{} shows old output; UPDATE=1 cargo test --test documents samples writes it again: {differing:?}",
            page.name
        );
    }
    picture(&samples, &mut used);
    let unused: Vec<_> = samples.iter().filter(|(name, _)| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "no document shows these: {unused:#?}");
}

/// Whoever writes a block of output by hand is told to capture it.
#[test]
fn no_output_is_written_by_hand() {
    for page in pages::all() {
        let lines: Vec<&str> = page.text.lines().collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "```console") {
            let before = at.checked_sub(1).map_or("", |at| lines[at]);
            assert!(before.trim_start().starts_with(MARK), "{}:{}: {line} without {MARK}…", page.name, at + 1);
        }
    }
}
