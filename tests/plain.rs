//! A pod that asks for nothing extra starts and stops when everything but its own network is gone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::json;
use std::fs;
use std::path::Path;
use support::{Node, Pod, node};

/// Mounts a small disk over `folder`.
fn small_disk(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    node::tmpfs(folder, "size=64k,nr_inodes=32").unwrap();
}

/// Fills a small disk, so that not even an empty file has room.
fn fill(folder: &Path) {
    // The last writes fail; that is the purpose.
    let _ = fs::write(folder.join("filler"), vec![0; 64 << 10]);
    let full = (0..64).any(|number| fs::write(folder.join(format!("inode-{number}")), "").is_err());
    assert!(full && fs::write(folder.join("more"), "x").is_err());
}

#[test]
fn a_full_disk_and_a_dead_daemon_do_not_stop_a_plain_pod() {
    // FAULT-10, FAULT-13
    let Some(node) = Node::new() else { return };
    small_disk(node.state().path());
    fill(node.state().path());
    let pod = Pod::new(&node, "full");
    pod.add().result();
    pod.del().silence();
    assert_eq!(node.call_names(), ["ADD primary eth0", "DEL primary eth0"]);
    // Where locks are made there is no room either.
    fs::remove_dir_all(node.run().path()).unwrap();
    small_disk(node.run().path());
    fill(node.run().path());
    let pod = Pod::new(&node, "fuller");
    pod.add().result();
    pod.del().silence();
    assert_eq!(node.call_names()[2..], ["ADD primary eth0", "DEL primary eth0"]);
}

#[test]
fn a_read_only_disk_does_not_stop_a_plain_pod() {
    // FAULT-13
    let Some(node) = Node::new() else { return };
    for folder in [node.state().path(), node.run().path()] {
        fs::create_dir_all(folder).unwrap();
        node::tmpfs(folder, "ro").unwrap();
    }
    let pod = Pod::new(&node, "ro");
    pod.add().result();
    pod.del().silence();
    pod.del_without_netns().silence();
    assert_eq!(node.call_names()[..2], ["ADD primary eth0", "DEL primary eth0"]);
}

#[test]
fn a_full_disk_refuses_additional_networks_before_anything_is_attached() {
    // FAULT-13
    let Some(node) = Node::new() else { return };
    small_disk(node.state().path());
    node.recorded_network("a");
    fill(node.state().path());
    // Without a record a crash would lose them.
    Pod::new(&node, "full").selecting("a").add().refusal(5, &["record"]);
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn the_last_good_copy_serves_while_the_default_networks_file_is_missing_or_broken() {
    // FAULT-22
    let Some(node) = Node::new() else { return };
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary", "value": 1.50}]}));
    let primary = node.recorder("primary");
    Pod::new(&node, "good").add().result();
    for (name, text) in [
        ("empty", Some("")),
        ("half", Some(r#"{"cniVersion":"1.0.0","name":"cb"#)),
        ("other", Some("[]")),
        ("gone", None),
    ] {
        match text {
            Some(text) => fs::write(node.primary_file(), text).unwrap(),
            None => fs::remove_file(node.primary_file()).unwrap(),
        }
        let pod = Pod::new(&node, name);
        let answer = pod.add();
        answer.result();
        assert!(answer.stderr.contains("last good copy"), "{}", answer.stderr);
        pod.del().silence();
        assert_eq!(primary.calls().last().unwrap().config()["value"], 1.5);
    }
    // A new one is taken at once.
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary", "value": 2}]}));
    Pod::new(&node, "new").add().result();
    assert_eq!(primary.calls().last().unwrap().config()["value"], 2);
}

#[test]
fn a_default_network_that_was_never_there_is_waited_for_by_the_runtime() {
    // FAULT-22
    let Some(node) = Node::new() else { return };
    fs::remove_file(node.primary_file()).unwrap();
    // NPWG-DEF-07, CNI-ERR-10
    Pod::new(&node, "early").add().refusal(11, &["10-primary.conflist"]);
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_default_network_that_changed_is_deleted_as_it_was_made() {
    // FAULT-25
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "changed");
    pod.add().result();
    node.primary(&json!({"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "other"}]}));
    node.recorder("other");
    pod.del().silence();
    // CNI-RT-04, CNI-DLG-17
    assert_eq!(node.call_names(), ["ADD primary eth0", "DEL primary eth0"]);
}

#[test]
fn plexus_never_delegates_to_itself() {
    // FAULT-24
    let Some(node) = Node::new() else { return };
    let nested = json!({"name": "n", "type": "genie", "delegates": [{"plugins": [{"type": "multus-shim"}]}]});
    let lists = [
        ("plexus", json!({"name": "n", "plugins": [{"type": "plexus"}]})),
        ("multus", json!({"name": "n", "plugins": [{"type": "primary"}, {"type": "multus"}]})),
        ("multus-shim", nested),
    ];
    for (kind, mut list) in lists {
        list["cniVersion"] = json!("1.0.0");
        node.primary(&list);
        Pod::new(&node, kind).add().refusal(7, &["never end", kind]);
        // As an inline delegate, too.
        let inline = Pod::new(&node, &format!("{kind}-inline"))
            .configured("clusterNetwork", json!(""))
            .configured("delegates", json!([list]));
        inline.add().refusal(7, &["never end", kind]);
    }
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_folder_means_the_first_file_that_is_not_ours() {
    let Some(node) = Node::new() else { return };
    node::write(
        &node.net_d().join("00-plexus.conflist"),
        &json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "plexus"}]}).to_string(),
    );
    node::write(
        &node.net_d().join("05-multus.conf"),
        &json!({"cniVersion": "0.3.1", "name": "m", "type": "multus"}).to_string(),
    );
    let pod = Pod::new(&node, "folder").configured("clusterNetwork", json!(node.net_d()));
    pod.add().result();
    pod.del().silence();
    assert_eq!(node.call_names(), ["ADD primary eth0", "DEL primary eth0"]);
}

#[test]
fn a_default_network_can_be_inline_or_a_name() {
    let Some(node) = Node::new() else { return };
    let delegates = json!([{"cniVersion": "0.4.0", "name": "inline", "type": "primary"}, {"cniVersion": "0.4.0", "name": "second", "type": "a"}]);
    node.recorder("a");
    let pod = Pod::new(&node, "inline").configured("clusterNetwork", json!("")).configured("delegates", delegates);
    pod.add().result();
    pod.del().silence();
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD a net1", "DEL a net1", "DEL primary eth0"]);
    node.forget_calls();
    // NPWG-DEF-01: the name of a configuration on disk; nobody answers whether there is such a NAD.
    let named =
        Pod::new(&node, "named").configured("clusterNetwork", json!("cbr0")).configured("confDir", json!(node.net_d()));
    named.configured("daemonTimeoutSeconds", json!(0.2)).add().result();
    node.forget_calls();
    // The name of a NAD, in the operator's namespace.
    node.network("kube-system/chosen", &json!({"cniVersion": "1.0.0", "type": "a"}));
    Pod::new(&node, "nad").configured("clusterNetwork", json!("chosen")).add().result();
    assert_eq!(node.call_names(), ["ADD a eth0"]);
}

#[test]
fn operators_networks_are_attached_to_every_pod_outside_the_system_namespaces() {
    let Some(node) = Node::new() else { return };
    node.network("kube-system/every", &json!({"cniVersion": "1.0.0", "type": "every"}));
    node.recorder("every");
    node.recorded_network("a");
    let mut pod = Pod::new(&node, "user").selecting("a").configured("defaultNetworks", json!(["every"]));
    pod.add().result();
    // NPWG-DEF-02
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD every net1", "ADD a net2"]);
    pod.del().silence();
    node.forget_calls();
    pod = Pod::new(&node, "system").configured("defaultNetworks", json!(["every"]));
    pod.namespace = "kube-system".to_owned();
    pod.add().result();
    assert_eq!(node.call_names(), ["ADD primary eth0"]);
}

/// A plugin's script that fills the state directory's small disk while it attaches.
fn filling(node: &Node) -> String {
    let folder = node.state().path().display().to_string();
    format!(
        "head -c 65536 /dev/zero >{folder}/filler 2>/dev/null; i=0; while [ $i -lt 64 ]; do touch {folder}/$i 2>/dev/null; i=$((i+1)); done; result"
    )
}

#[test]
fn a_pod_whose_results_cannot_be_kept_is_undone() {
    // FAULT-13: without them CHECK would fail for ever, and a firewall's rules would stay.
    let Some(node) = Node::new() else { return };
    small_disk(node.state().path());
    let a = node.recorded_network("a");
    let usual = "result";
    a.on("ADD", &filling(&node));
    let pod = Pod::new(&node, "full").selecting("a");
    pod.add().refusal(5, &["results", "No space left"]);
    assert_eq!(node.call_names()[2..], ["DEL a net1", "DEL primary eth0"]);
    assert_eq!(a.call_of("DEL").config()["prevResult"]["interfaces"][0]["name"], "net1");
    assert!(pod.record(&node).is_none());
    a.on("ADD", usual);
    pod.del().silence();
}

#[test]
fn a_plain_pod_whose_result_cannot_be_kept_is_checked_and_deleted_by_what_the_runtime_kept() {
    // FAULT-13
    let Some(node) = Node::new() else { return };
    small_disk(node.state().path());
    let primary = node.recorder("primary");
    primary.on("ADD", &filling(&node)).on("CHECK", "exit 0");
    let pod = Pod::new(&node, "plain");
    pod.add().result();
    assert_eq!(pod.record(&node).unwrap()["attachments"][0].get("result"), None);
    // What can be seen in the kernel would be compared with it.
    let result = json!({"cniVersion": "1.0.0", "dns": {"domain": "kept"}});
    pod.call("CHECK").configured("prevResult", result.clone()).make().silence();
    pod.call("DEL").configured("prevResult", result.clone()).make().silence();
    for verb in ["CHECK", "DEL"] {
        assert_eq!(primary.call_of(verb).config()["prevResult"], result, "{verb}");
    }
    assert!(pod.record(&node).is_none());
}
