//! Addresses that are taken for nobody, on a node whose runtime never calls GC.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use nix::mount::{MntFlags, umount2};
use plexus::sys::netns::Netns;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use support::{Call, Node, Pod, eventually, node};

const HOUR: Duration = Duration::from_secs(3600);

/// A default network of a subnet that no other process's test uses: whether an address is used is looked up in
/// every namespace of the machine.
fn primary(node: &Node, number: u32, more: &Value) {
    let net = std::process::id() % (64 * 64) * 4 + number;
    let subnet = format!("100.{}.{}.0/24", 64 + net / 256, net % 256);
    let mut network = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [
        {"type": "bridge", "bridge": "cbr0", "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}}]});
    network.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    node.primary(&network);
}

fn pool() -> &'static Path {
    Path::new("/var/lib/cni/networks/cbr0")
}

fn leases() -> BTreeSet<String> {
    let names = fs::read_dir(pool()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.parse::<std::net::IpAddr>().is_ok()).collect()
}

/// Makes `file` an hour old.
fn age(file: &Path) {
    File::options().write(true).open(file).unwrap().set_modified(SystemTime::now() - HOUR).unwrap();
}

/// A pod of which Plexus has no record, as if the default network had attached it alone, and its lease.
fn unrecorded(node: &Node, name: &str) -> (Pod, PathBuf) {
    let pod = Pod::new(node, name);
    let result = pod.add().result();
    fs::remove_file(pod.record_file(node)).unwrap();
    let address = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    let lease = pool().join(address);
    age(&lease);
    (pod, lease)
}

/// libcni's record of `pod`'s attachment.
fn cached(pod: &Pod, netns: Option<&Path>) {
    let mut record = json!({"kind": "cniCacheV1", "containerId": pod.id, "ifName": "eth0", "networkName": "cbr0"});
    if let Some(netns) = netns {
        record["netns"] = json!(netns);
    }
    node::write(&Path::new("/var/lib/cni/results").join(format!("cbr0-{}-eth0", pod.id)), &record.to_string());
}

/// Takes its address away: nothing but the records speaks for it.
fn without_address(pod: &Pod) {
    pod.ip("address flush dev eth0");
}

/// `plexus sweep`, as `plexusctl gc` starts it: what goes, or would.
fn sweep(node: &Node, words: &[&str]) -> Vec<Value> {
    let file = Path::new(node::FOLDER).join("config.json");
    fs::write(&file, node.config.to_string()).unwrap();
    let mut command = Command::new(node.bin().join("plexus"));
    command.arg("sweep").args(words).env("CNI_PATH", node.bin()).stdin(File::open(file).unwrap());
    serde_json::from_slice(&command.output().unwrap().stdout).unwrap()
}

/// A person is told that nothing was judged.
#[track_caller]
fn assert_doubt(rows: &[Value]) {
    assert!(rows.len() == 1 && rows[0]["doubt"] == true, "{rows:?}");
    assert!(rows[0]["reason"].as_str().unwrap().starts_with("no address is released: "), "{rows:?}");
}

#[test]
fn a_lease_is_given_back_when_nothing_speaks_for_it() {
    // FAULT-11, FAULT-18, FAULT-41
    let Some(node) = Node::new() else { return };
    primary(&node, 0, &json!({}));
    let names = ["lost", "used", "before", "unsaid", "unreadable", "multus", "young", "recorded"];
    let pods = names.map(|name| unrecorded(&node, name));
    let [lost, used, before, unsaid, unreadable, multus, young, recorded] = &pods;
    // Each but the first has one thing that speaks for it.
    for (pod, _) in [before, unsaid, unreadable, multus, young, recorded] {
        without_address(pod);
    }
    // Of bare primaries' attachments libcni keeps a record.
    cached(&before.0, Some(&before.0.netns));
    cached(&unsaid.0, None);
    node::write(&Path::new("/var/lib/cni/results").join(format!("cbr0-{}-eth0", unreadable.0.id)), "{");
    node::write(&Path::new("/var/lib/cni/multus").join(&multus.0.id), "[]");
    File::options().write(true).open(&young.1).unwrap().set_modified(SystemTime::now()).unwrap();
    node::write(&recorded.0.record_file(&node), "damaged");
    lost.0.end_sandbox();
    // That it is alive shows that namespaces would be seen.
    Pod::new(&node, "witness").add().result();
    assert_eq!(leases().len(), names.len() + 1);

    let address = lost.1.file_name().unwrap().to_str().unwrap();
    let row = |deleted: bool| {
        vec![json!({"container": lost.0.id, "pod": null, "network": "cbr0", "interface": "eth0",
            "reason": format!("address {address} is taken for a container that is gone"), "deleted": deleted})]
    };
    assert_eq!(sweep(&node, &["--dry-run"]), row(false));
    assert!(lost.1.exists());
    assert_eq!(sweep(&node, &[]), row(true));
    assert_eq!(leases().len(), names.len());
    assert_eq!(sweep(&node, &[]), [Value::Null; 0]);

    // A sandbox that ends, without a DEL that anybody would send: after the next look of a runtime it is free.
    before.0.end_sandbox();
    used.0.end_sandbox();
    age(Path::new("/run/plexus/swept"));
    Call::of_node(&node, "STATUS").make().silence();
    eventually("the leases to go", || !before.1.exists() && !used.1.exists());
    assert_eq!(leases().len(), names.len() - 2);
}

#[test]
fn a_lease_that_nobody_is_written_into_is_given_back() {
    // FAULT-18: the program host-local was killed between open(2) and write(2).
    let Some(node) = Node::new() else { return };
    primary(&node, 7, &json!({}));
    let (pod, used) = unrecorded(&node, "used");
    let address = used.file_name().unwrap().to_str().unwrap().to_owned();
    let beside = |last: &str| pool().join(format!("{}.{last}", address.rsplit_once('.').unwrap().0));
    let (old, young) = (beside("200"), beside("201"));
    for lease in [&old, &young, &used] {
        fs::write(lease, "").unwrap();
    }
    [&old, &used].into_iter().for_each(|lease| age(lease));
    let row = |address: &str| {
        json!([{"container": "", "pod": null, "network": "cbr0", "interface": "",
            "reason": format!("address {address} is taken for nobody: its file is empty"), "deleted": true}])
    };
    // One may be written now, and a link has the other one.
    assert_eq!(json!(sweep(&node, &[])), row(old.file_name().unwrap().to_str().unwrap()));
    assert!(!old.exists() && young.exists() && used.exists());
    pod.end_sandbox();
    assert_eq!(json!(sweep(&node, &[])), row(&address));
    assert!(!used.exists());
}

#[test]
fn plexusctl_shows_them_in_its_table() {
    let Some(node) = Node::new() else { return };
    primary(&node, 1, &json!({}));
    let (pod, lease) = unrecorded(&node, "lost");
    pod.end_sandbox();
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command
        .args(["gc", "--dry-run", "--cni-conf-dir"])
        .arg(node.net_d())
        .arg("--plugin")
        .arg(node.bin().join("plexus"));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let address = lease.file_name().unwrap().to_str().unwrap();
    let row = text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        row,
        format!(
            "- cbr0 eth0 {} would be removed address {address} is taken for a container that is gone",
            &pod.id[..13]
        )
    );
    assert!(output.status.success() && lease.exists());
}

#[test]
fn a_network_that_forbids_gc_keeps_its_leases() {
    // CNI-CFG-06
    let Some(node) = Node::new() else { return };
    primary(&node, 2, &json!({"disableGC": true}));
    let (pod, lease) = unrecorded(&node, "lost");
    pod.end_sandbox();
    assert_eq!(sweep(&node, &[]), [Value::Null; 0]);
    assert!(lease.exists());
}

#[test]
fn nothing_is_given_back_while_it_is_not_known_who_exists() {
    let Some(node) = Node::new() else { return };
    primary(&node, 3, &json!({}));
    let (pod, lease) = unrecorded(&node, "lost");
    pod.end_sandbox();
    // No folder: it cannot be listed.
    node::write(Path::new("/var/lib/cni/results"), "");
    assert_doubt(&sweep(&node, &[]));
    assert!(lease.exists());
    fs::remove_file("/var/lib/cni/results").unwrap();
    assert_eq!(sweep(&node, &[]).len(), 1);
    assert!(!lease.exists());
}

#[test]
fn nothing_is_given_back_where_a_living_namespace_may_be_hidden() {
    // H1: in a mount namespace that was made earlier, the namespace of a younger pod is an empty file.
    let Some(node) = Node::new() else { return };
    primary(&node, 5, &json!({}));
    let (pod, lease) = unrecorded(&node, "lost");
    pod.end_sandbox();
    let hidden = Path::new("/run/netns/hidden");
    node::write(hidden, "");
    assert_doubt(&sweep(&node, &[]));
    assert!(lease.exists());
    fs::remove_file(hidden).unwrap();
    assert_eq!(sweep(&node, &[]).len(), 1);
    assert!(!lease.exists());
}

#[test]
fn nothing_is_given_back_where_no_sandbox_of_the_node_can_be_seen() {
    // H1: without a record, a living pod's lease has its namespace as the only witness, and a container sees neither
    // the runtime's folder nor the processes of the node.
    let Some(node) = Node::new() else { return };
    primary(&node, 6, &json!({}));
    let (pod, lease) = unrecorded(&node, "living");
    node::tmpfs(Path::new("/run/netns"), "mode=755").unwrap();
    let answer = Call::of_node(&node, "GC").sweep_in_a_container();
    assert!(answer.status.success() && lease.exists(), "{answer:?}");
    assert!(answer.stdout.contains("no address is released: "), "{answer:?}");
    // A namespace of the container's own shows nothing of the node's.
    let own = Path::new("/run/netns/of-the-container");
    let sandbox = File::from(Netns::create().unwrap().as_fd().try_clone_to_owned().unwrap());
    node::bind(&sandbox, own).unwrap();
    let answer = Call::of_node(&node, "GC").sweep_in_a_container();
    assert!(answer.status.success() && lease.exists(), "{answer:?}");
    assert!(answer.stdout.contains("no address is released: "), "{answer:?}");
    umount2(own, MntFlags::MNT_DETACH).unwrap();
    umount2("/run/netns", MntFlags::MNT_DETACH).unwrap();
    // On the node itself the namespace speaks for it, and nothing does when it has ended.
    assert_eq!(sweep(&node, &[]), [Value::Null; 0]);
    pod.end_sandbox();
    assert_eq!(sweep(&node, &[]).len(), 1);
    assert!(!lease.exists());
}

#[test]
fn a_tenants_network_forbids_nothing_in_the_default_networks_pool() {
    // N8
    let Some(node) = Node::new() else { return };
    primary(&node, 4, &json!({}));
    let forbidding = |name: &str| {
        json!({"cniVersion": "1.0.0", "name": name, "disableGC": true, "plugins": [
            {"type": "macvlan", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}]})
    };
    node.network("tenant/same", &forbidding("cbr0"));
    node.network("tenant/own", &forbidding("own"));
    let own = Path::new("/var/lib/cni/networks/own/10.1.0.2");
    node::write(own, "gone\r\nnet1");
    age(own);
    let (pod, lease) = unrecorded(&node, "lost");
    pod.end_sandbox();
    assert_eq!(sweep(&node, &[]).len(), 1);
    // In its own it does.
    assert!(!lease.exists() && own.exists());
}

#[test]
fn a_pool_below_a_folder_that_others_may_write_is_not_looked_into() {
    // D7
    let Some(node) = Node::new() else { return };
    primary(&node, 5, &json!({}));
    let open = Path::new("/var/lib/open");
    let pool = |folder: &Path| folder.join("pool");
    for (name, folder) in [("open", open), ("closed", Path::new("/var/lib/closed"))] {
        node.network(
            &format!("default/{name}"),
            &json!({"cniVersion": "1.0.0", "name": "pool", "type": "macvlan",
                "ipam": {"type": "host-local", "dataDir": folder, "subnet": "10.1.0.0/24"}}),
        );
        node::write(&pool(folder).join("10.1.0.2"), "gone\r\nnet1");
        age(&pool(folder).join("10.1.0.2"));
    }
    fs::set_permissions(open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    // What is not looked into is a doubt, and what is sound is released.
    let rows = sweep(&node, &[]);
    assert!(rows.len() == 2 && rows[0]["deleted"] == true && rows[1]["doubt"] == true, "{rows:?}");
    let doubt = rows[1]["reason"].as_str().unwrap();
    for words in
        ["no address is released: network pool: its leases are not checked: ", "/var/lib/open", "others may write"]
    {
        assert!(doubt.contains(words), "{doubt}");
    }
    assert!(pool(open).join("10.1.0.2").exists() && !pool(Path::new("/var/lib/closed")).join("10.1.0.2").exists());
    // plexusctl says so by its exit code.
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.args(["gc", "--cni-conf-dir"]).arg(node.net_d()).arg("--plugin").arg(node.bin().join("plexus"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    // Not even its lock is made.
    assert!(!pool(open).join("lock").exists());
    // A sticky folder lets nobody move what is root's: where ADD takes an address, GC gives it back.
    fs::set_permissions(open, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    assert_eq!(sweep(&node, &[]).len(), 1);
    assert!(!pool(open).join("10.1.0.2").exists());
}

#[test]
fn the_records_of_a_runtime_with_a_folder_of_its_own_speak_for_addresses() {
    // S6
    let Some(mut node) = Node::new() else { return };
    primary(&node, 6, &json!({}));
    let (pod, lease) = unrecorded(&node, "elsewhere");
    without_address(&pod);
    let record = json!({"kind": "cniCacheV1", "containerId": pod.id, "ifName": "eth0", "networkName": "cbr0",
        "netns": pod.netns});
    node::write(&Path::new("/var/lib/other/results").join(format!("cbr0-{}-eth0", pod.id)), &record.to_string());
    node.config["cniCacheDir"] = json!("/var/lib/other");
    assert_eq!(sweep(&node, &[]), [Value::Null; 0]);
    node.config["cniCacheDir"] = json!("/var/lib/another");
    assert_eq!(sweep(&node, &[]).len(), 1);
    assert!(!lease.exists());
}
