//! GC: what the runtime does not list is deleted, of every network, and every plugin is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::{Answer, Call, Node, Pod, Recorder, eventually, node};

const KEY: &str = "cni.dev/valid-attachments";

fn gc(node: &Node, valid: &Value) -> Answer {
    Call::of_node(node, "GC").configured(KEY, valid.clone()).make()
}

fn valid(pods: &[&Pod]) -> Value {
    pods.iter().map(|pod| json!({"containerID": pod.id, "ifname": "eth0"})).collect()
}

/// A node whose default network knows the verb.
fn new_node() -> Option<Node> {
    let node = Node::new()?;
    node.primary(&json!({"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{"type": "primary"}]}));
    Some(node)
}

fn network(node: &Node, name: &str) -> Recorder {
    node.network(&format!("default/{name}"), &json!({"cniVersion": "1.1.0", "type": name}));
    node.recorder(name)
}

/// Pods that are attached to `networks`, and nothing recorded.
fn attached<const N: usize>(node: &Node, names: [&str; N], networks: &str) -> [Pod; N] {
    let pods = names.map(|name| Pod::new(node, name).selecting(networks));
    pods.iter().for_each(|pod| drop(pod.add().result()));
    node.forget_calls();
    pods
}

#[test]
fn what_is_not_listed_is_deleted_and_every_network_is_told_what_is_left() {
    let Some(node) = new_node() else { return };
    let a = network(&node, "a");
    let unused = network(&node, "unused");
    let [kept, gone] = attached(&node, ["kept", "gone"], "a");
    // CNI-GC-04, CNI-GC-07
    gc(&node, &valid(&[&kept])).silence();
    assert_eq!(node.call_names()[..2], ["DEL a net1", "DEL primary eth0"]);
    assert_eq!(a.call_of("DEL").env("CNI_CONTAINERID"), gone.id);
    assert!(gone.record(&node).is_none() && kept.record(&node).is_some());
    // CNI-GC-01, CNI-GC-02, CNI-GC-06, CNI-DLG-13
    let left = json!([{"containerID": kept.id, "ifname": "eth0"}, {"containerID": kept.id, "ifname": "net1"}]);
    for recorder in [&a, &unused, &node_primary()] {
        let call = recorder.call_of("GC");
        for key in [KEY, "cni.dev/attachments"] {
            assert_eq!(call.config()[key], left, "{key}");
        }
        // CNI-GC-03
        for key in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
            assert_eq!(call.env(key), "", "{key}");
        }
    }
}

/// The recorder that a node is made with.
fn node_primary() -> Recorder {
    Recorder::install(&std::path::Path::new(node::FOLDER).join("bin"), "primary")
}

#[test]
fn the_spelling_of_the_tag_is_understood() {
    let Some(node) = new_node() else { return };
    network(&node, "a");
    let [kept, gone] = attached(&node, ["kept", "gone"], "a");
    // CNI-GC-02
    Call::of_node(&node, "GC").configured("cni.dev/attachments", valid(&[&kept])).make().silence();
    assert!(gone.record(&node).is_none() && kept.record(&node).is_some());
}

#[test]
fn without_a_list_nothing_is_deleted() {
    // FAULT-18
    let Some(node) = new_node() else { return };
    network(&node, "a");
    let [pod] = attached(&node, ["pod"], "a");
    // CNI-GC-13
    Call::of_node(&node, "GC").make().silence();
    gc(&node, &Value::Null).silence();
    assert_eq!(node.call_names(), [""; 0]);
    assert!(pod.record(&node).is_some());
    gc(&node, &json!([])).silence();
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_list_that_is_none_is_refused_before_anything_is_deleted() {
    let Some(node) = new_node() else { return };
    let [pod] = attached(&node, ["pod"], "");
    for wrong in [json!({}), json!("x"), json!([{"containerID": 7}]), json!([{"ifname": "eth0"}])] {
        gc(&node, &wrong).refusal(7, &[KEY]);
    }
    assert!(pod.record(&node).is_some() && node.calls().is_empty());
}

#[test]
fn a_sandbox_in_which_a_call_works_is_passed_over() {
    // FAULT-18
    let Some(node) = new_node() else { return };
    let a = network(&node, "a");
    a.on("ADD", "sleep 2; result");
    let pod = Pod::new(&node, "busy").selecting("a");
    let adding = pod.call("ADD").start();
    eventually("the ADD", || !a.calls_of("ADD").is_empty());
    // CNI-GC-10
    gc(&node, &json!([])).silence();
    // What is being attached is told to be valid: its address must not be freed.
    assert!(
        a.call_of("GC").config()[KEY].as_array().unwrap().contains(&json!({"containerID": pod.id, "ifname": "net1"}))
    );
    adding.wait().result();
    assert!(a.calls_of("DEL").is_empty() && pod.record(&node).is_some());
}

#[test]
fn networks_that_forbid_it_are_left_alone() {
    let Some(node) = new_node() else { return };
    let a = node.recorder("a");
    node.network(
        "default/a",
        &json!({"cniVersion": "1.1.0", "name": "a", "disableGC": true, "plugins": [{"type": "a"}]}),
    );
    let [pod] = attached(&node, ["pod"], "a");
    // CNI-GC-11
    gc(&node, &json!([])).silence();
    assert!(a.calls().is_empty());
    let record = pod.record(&node).unwrap();
    assert_eq!(record["attachments"].as_array().unwrap().len(), 1);
    assert_eq!(record["attachments"][0]["ifname"], "net1");
    pod.del().silence();
    a.call_of("DEL");
}

#[test]
fn errors_are_told_when_everything_was_attempted() {
    let Some(node) = new_node() else { return };
    let [a, b] = ["a", "b"].map(|name| network(&node, name));
    let [pod] = attached(&node, ["pod"], "a,b");
    a.on("DEL", "fail 103 'a is broken'");
    a.on("GC", "fail 104 'a cannot collect'");
    // CNI-GC-05, CNI-GC-08, CNI-DLG-13
    let error = gc(&node, &json!([])).refusal(103, &["network default/a (net1)", "a is broken"]);
    assert!(error.details.contains("a cannot collect"), "{error:?}");
    b.call_of("DEL");
    b.call_of("GC");
    // What could not be deleted is a debt, and not to be freed under it.
    assert_eq!(pod.record(&node).unwrap()["attachments"][0]["debt"]["attempts"], 1);
    assert_eq!(b.call_of("GC").config()[KEY], json!([{"containerID": pod.id, "ifname": "net1"}]));
}

#[test]
fn versions_without_the_verb() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let [pod] = attached(&node, ["pod"], "a");
    // CNI-GC-15
    for version in ["0.4.0", "1.0.0"] {
        Call::of_node(&node, "GC")
            .configured(KEY, json!([]))
            .configured("cniVersion", json!(version))
            .make()
            .refusal(1, &["GC", version]);
    }
    // CNI-GC-12: networks of 1.0.0 get DEL and no GC.
    gc(&node, &json!([])).silence();
    assert!(pod.record(&node).is_none());
    a.call_of("DEL");
    assert!(a.calls_of("GC").is_empty());
}

#[test]
fn a_damaged_record_of_a_valid_sandbox_frees_nothing() {
    // FAULT-18
    let Some(node) = new_node() else { return };
    let a = network(&node, "a");
    let [damaged, gone] = attached(&node, ["damaged", "gone"], "a");
    let file = damaged.record_file(&node);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    // CNI-GC-14: an error is better than to free what cannot be listed.
    gc(&node, &valid(&[&damaged])).refusal(5, &[&damaged.id, "damaged"]);
    assert!(gone.record(&node).is_none() && file.exists());
    assert!(a.calls_of("GC").is_empty());
    // Nor is what it still tells lost for DEL.
    node.forget_calls();
    assert!(damaged.del().status.success());
    assert_eq!(node.call_names(), ["DEL a net1", "DEL primary eth0"]);
    gc(&node, &json!([])).silence();
}

#[test]
fn a_damaged_record_of_a_sandbox_that_is_not_listed_is_settled() {
    // FAULT-18
    let Some(node) = new_node() else { return };
    let a = network(&node, "a");
    let [kept, gone] = attached(&node, ["kept", "gone"], "a");
    let file = gone.record_file(&node);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() - 40]).unwrap();
    // Its last attachment cannot be read: the plugins are told that it is not valid, and free what they know of it.
    gc(&node, &valid(&[&kept])).silence();
    assert_eq!(node.call_names()[0], "DEL primary eth0");
    assert_eq!(
        a.call_of("GC").config()[KEY],
        json!([{"containerID": kept.id, "ifname": "eth0"}, {"containerID": kept.id, "ifname": "net1"}])
    );
    assert!(!file.exists() && kept.record(&node).is_some());
    assert_eq!(fs::read_dir(node.state().damaged()).unwrap().count(), 1);
    // One that says nothing at all is moved aside, too, and is not told again.
    fs::write(&file, [0; 64]).unwrap();
    gc(&node, &valid(&[&kept])).silence();
    assert!(!file.exists());
    gc(&node, &valid(&[&kept])).silence();
    // A GC that was killed had put such a record in order, and removed nothing yet.
    let spent = json!({"version": 1, "containerId": gone.id, "created": 1, "incomplete": true, "attachments": []});
    fs::write(&file, spent.to_string()).unwrap();
    gc(&node, &valid(&[&kept, &gone])).silence();
    assert!(file.exists(), "it is listed");
    gc(&node, &valid(&[&kept])).silence();
    assert!(!file.exists() && kept.record(&node).is_some());
}

#[test]
fn what_multus_attached_is_valid_with_its_sandbox() {
    let Some(node) = new_node() else { return };
    let a = network(&node, "a");
    let delegates = json!([{"Name": "cbr0", "Bytes": "eyJjbmlWZXJzaW9uIjoiMS4wLjAiLCJuYW1lIjoiY2JyMCIsInR5cGUiOiJwcmltYXJ5In0="},
        {"Name": "a", "Bytes": "eyJjbmlWZXJzaW9uIjoiMS4wLjAiLCJuYW1lIjoiYSIsInR5cGUiOiJhIn0="}]);
    node::write(std::path::Path::new("/var/lib/cni/multus/of-multus"), &delegates.to_string());
    gc(&node, &json!([{"containerID": "of-multus", "ifname": "eth0"}])).silence();
    // CNI-GC-04
    assert_eq!(
        a.call_of("GC").config()[KEY],
        json!([{"containerID": "of-multus", "ifname": "eth0"}, {"containerID": "of-multus", "ifname": "net1"}])
    );
    assert!(a.calls_of("DEL").is_empty());
}

const POOL: &str = "/var/lib/cni/networks/br";

/// A network `br` with real addresses, carried out here or by the programs.
fn bridge(node: &mut Node, natives: bool) {
    node.config["natives"] = json!(natives);
    node.network(
        "default/br",
        &json!({"cniVersion": "1.1.0", "name": "br", "type": "bridge", "bridge": "br1",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.62.0.0/24"}]]}}),
    );
}

/// Whose the leases in the pool are.
fn owners() -> Vec<String> {
    let read = |entry: fs::DirEntry| {
        entry.file_name().to_str()?.parse::<std::net::IpAddr>().ok()?;
        Some(fs::read_to_string(entry.path()).unwrap().replace("\r\n", " "))
    };
    let mut owners: Vec<String> = fs::read_dir(POOL).unwrap().flatten().filter_map(read).collect();
    owners.sort();
    owners
}

/// A lease that is older than any call of this test.
fn lease(address: &str, owner: &str) {
    let file = std::path::Path::new(POOL).join(address);
    node::write(&file, owner);
    let hour = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    fs::File::options().write(true).open(file).unwrap().set_modified(hour).unwrap();
}

fn a_listed_sandbox_keeps_its_leases(natives: bool) {
    let Some(mut node) = new_node() else { return };
    bridge(&mut node, natives);
    let [lost, whole] = attached(&node, ["lost", "whole"], "br");
    let [of_lost, of_whole] = [&lost, &whole].map(|pod| format!("{} net1", pod.id));
    // The runtime lists the first interface; the record, which tells of the other, is lost.
    fs::remove_file(lost.record_file(&node)).unwrap();
    for pod in [&lost, &whole] {
        // No link speaks for it.
        pod.ip("address flush dev net1");
    }
    lease("10.62.0.100", "gone\r\nnet1");
    lease("10.62.0.101", &format!("{}\r\nnet7", whole.id));
    lease("10.62.0.102", &format!("{}\r\nnet7", lost.id));
    gc(&node, &valid(&[&lost, &whole])).silence();
    let mut kept = [of_lost.clone(), format!("{} net7", lost.id), of_whole.clone()];
    kept.sort();
    if !natives {
        // The reference plugins free nothing at all: bridge does not ask its address plugin.
        assert!(kept.iter().all(|owner| owners().contains(owner)), "{:?}", owners());
        return;
    }
    // What a readable record does not list goes, and what is of nobody.
    assert_eq!(owners(), kept);
    // Nor without any record: the folder may not be mounted yet.
    fs::rename(node.state().sandboxes(), "/var/lib/elsewhere").unwrap();
    gc(&node, &valid(&[&lost, &whole])).silence();
    assert_eq!(owners(), kept);
}

#[test]
fn a_listed_sandbox_without_a_record_keeps_its_leases_here() {
    // FAULT-18; found by random tests (07).
    a_listed_sandbox_keeps_its_leases(true);
}

#[test]
fn a_listed_sandbox_without_a_record_keeps_its_leases_by_the_programs() {
    // FAULT-18; found by random tests (07).
    a_listed_sandbox_keeps_its_leases(false);
}

#[test]
fn what_is_attached_while_gc_works_keeps_its_leases() {
    // FAULT-18; found by random tests (04).
    let Some(mut node) = new_node() else { return };
    bridge(&mut node, true);
    let a = network(&node, "a");
    let [dead] = attached(&node, ["dead"], "a");
    a.on("DEL", "touch $here/began; while [ ! -e $here/go ]; do sleep 0.05; done");
    let pod = Pod::new(&node, "new").selecting("br");
    let collecting = Call::of_node(&node, "GC").configured(KEY, valid(&[&pod])).start();
    eventually("the DEL of the dead one", || a.folder().join("began").exists());
    pod.add().result();
    fs::write(a.folder().join("go"), "").unwrap();
    collecting.wait().silence();
    assert!(dead.record(&node).is_none());
    assert_eq!(owners(), [format!("{} net1", pod.id)]);
}

#[test]
fn an_address_that_a_link_has_is_not_freed() {
    let Some(mut node) = new_node() else { return };
    bridge(&mut node, true);
    // An address of no other process's test: every namespace of the machine is looked at.
    let used = format!("100.{}.{}.7", 64 + std::process::id() / 256 % 64, std::process::id() % 256);
    lease(&used, "holder\r\nnet1");
    lease("10.62.0.100", "unknown\r\nnet1");
    node.ip(&format!("address add {used}/32 dev lo"));
    gc(&node, &json!([])).silence();
    assert_eq!(owners(), ["holder net1"]);
    node.ip(&format!("address del {used}/32 dev lo"));
    gc(&node, &json!([])).silence();
    assert_eq!(owners(), [""; 0]);
}

#[test]
fn what_cannot_be_read_frees_nothing() {
    // An error is never an empty answer (random tests, 07).
    let Some(mut node) = new_node() else { return };
    bridge(&mut node, true);
    lease("10.62.0.100", "unknown\r\nnet1");
    node::write(std::path::Path::new("/var/lib/cni/results"), "no folder");
    gc(&node, &json!([])).refusal(5, &["network br", "which sandboxes exist"]);
    assert_eq!(owners(), ["unknown net1"]);
    // Where others may write it is not looked either.
    fs::remove_file("/var/lib/cni/results").unwrap();
    fs::set_permissions(POOL, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    gc(&node, &json!([])).refusal(5, &["network br", "cannot be trusted"]);
    assert_eq!(owners(), ["unknown net1"]);
}

#[test]
fn a_list_with_an_impossible_container_deletes_nothing() {
    let Some(node) = new_node() else { return };
    let a = network(&node, "a");
    let [pod] = attached(&node, ["alive"], "a");
    for id in ["", "../x"] {
        let answer = gc(&node, &json!([{"containerID": id, "ifname": "eth0"}]));
        answer.refusal(7, &[KEY, "nothing is deleted"]);
        assert!(pod.record(&node).is_some() && a.calls().is_empty(), "{id}");
    }
}
