//! The record of a sandbox: written before the first side effect, enough for DEL whatever became of
//! everything else, and kept while anything is owed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use support::daemon::Daemon;
use support::{Node, Pod, manifests};

#[test]
fn the_record_is_on_the_disk_before_the_first_side_effect() {
    let Some(node) = Node::new() else { return };
    let odd = r#"{"n":123456789012345678901,"f":1.50}"#;
    node.network_text("default/a", &format!(r#"{{"cniVersion":"1.0.0","type":"a","x":{odd}}}"#));
    let (primary, _a) = (node.recorder("primary"), node.recorder("a"));
    let pod = Pod::new(&node, "before").selecting("a@foo");
    primary.on("ADD", &format!("cat {} >$here/seen; result", pod.record_file(&node).display()));
    pod.add().result();
    let seen = fs::read_to_string(primary.folder().join("seen")).unwrap();
    // CNI-DEL-09: everything a DEL needs, and every value as it was written.
    assert!(seen.contains(odd), "{seen}");
    let seen: Value = serde_json::from_str(&seen).unwrap();
    let planned: Vec<_> =
        seen["attachments"].as_array().unwrap().iter().map(|a| (a["ifname"].clone(), a["state"].clone())).collect();
    assert_eq!(planned, [(json!("eth0"), json!("planned")), (json!("foo"), json!("planned"))]);
    // CNI-ADD-07
    let record = pod.record(&node).unwrap();
    assert_eq!(record["attachments"][1]["state"], "attached");
    assert_eq!(record["attachments"][1]["result"]["interfaces"][0]["name"], "foo");
    // It can hold secrets.
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&pod.record_file(&node)), mode(&node.state().sandboxes())), (0o600, 0o700));
    pod.del().silence();
    assert_eq!(fs::read_dir(node.state().sandboxes()).unwrap().count(), 0);
}

#[test]
fn del_uses_the_configuration_of_the_time_of_add() {
    // FAULT-25, FAULT-31
    let Some(node) = Node::new() else { return };
    manifests::network("default/a", &json!({"cniVersion": "1.0.0", "type": "a", "value": "old"}));
    manifests::network("default/b", &json!({"cniVersion": "1.0.0", "type": "b"}));
    let (a, b) = (node.recorder("a"), node.recorder("b"));
    let daemon = Daemon::start(&node);
    let pod = Pod::new(&node, "edited").selecting("a,b");
    pod.add().result();
    manifests::network("default/a", &json!({"cniVersion": "1.0.0", "type": "other", "value": "new"}));
    fs::remove_file(manifests::folder().join("default-b.json")).unwrap();
    node.primary(&json!({"cniVersion": "0.4.0", "name": "new", "plugins": [{"type": "other"}]}));
    daemon.kill();
    // CNI-DLG-17, CNI-RT-04
    pod.del().silence();
    assert_eq!(node.call_names()[3..], ["DEL b net2", "DEL a net1", "DEL primary eth0"]);
    assert_eq!(a.call_of("DEL").config()["value"], "old");
    assert_eq!(b.calls_of("DEL").len(), 1);
}

#[test]
fn del_needs_neither_namespace_nor_annotations() {
    // FAULT-15
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    // CNI-DEL-03: the file is gone, or never named.
    for name in ["gone", "empty", "file"] {
        node.forget_calls();
        let mut pod = Pod::new(&node, name).selecting("a");
        pod.add().result();
        pod.end_sandbox();
        pod.annotations = None;
        match name {
            "empty" => pod.del_without_netns().silence(),
            "file" => {
                fs::write(&pod.netns, "").unwrap();
                pod.del().silence();
            }
            _ => pod.del().silence(),
        }
        assert_eq!(node.call_names()[2..], ["DEL a net1", "DEL primary eth0"], "{name}");
        // CNI-ENV-03: sbr would make a file of a path that is not there.
        let told = a.call_of("DEL").env("CNI_NETNS").to_owned();
        assert!(told.is_empty() || name == "file", "{name}: {told}");
    }
}

#[test]
fn del_can_be_repeated_and_is_cheap_when_nothing_is_left() {
    // FAULT-17
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let pod = Pod::new(&node, "thrice").selecting("a");
    pod.add().result();
    pod.del().silence();
    assert_eq!(node.call_names()[2..], ["DEL a net1", "DEL primary eth0"]);
    node.forget_calls();
    // CNI-DEL-04: kubelet has it sent twice more, without a namespace.
    pod.end_sandbox();
    pod.del_without_netns().silence();
    pod.del_without_netns().silence();
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_container_id_can_be_used_again() {
    // FAULT-17
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "reused");
    for _ in 0..2 {
        node.forget_calls();
        pod.add().result();
        pod.del_without_netns().silence();
        assert_eq!(node.call_names(), ["ADD primary eth0", "DEL primary eth0"]);
    }
}

#[test]
fn del_without_an_add_reaches_the_default_network() {
    // FAULT-17
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let pod = Pod::new(&node, "never").selecting("a");
    // CNI-DEL-04: a pod that is older than we are has addresses to free.
    pod.del().silence();
    assert_eq!(node.call_names(), ["DEL a net1", "DEL primary eth0"]);
    // CNI-DEL-02: with what the runtime kept of its ADD, where it did.
    let result = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.9/24"}]});
    let older = Pod::new(&node, "older");
    older.call("DEL").configured("prevResult", result.clone()).make().silence();
    assert_eq!(node.calls()[2].config()["prevResult"], result);
}

#[test]
fn a_damaged_record_is_used_as_far_as_it_goes_and_kept() {
    // FAULT-12
    let Some(node) = Node::new() else { return };
    let [a, b] = ["a", "b"].map(|name| node.recorded_network(name));
    let primary = node.recorder("primary");
    let mut length = 0;
    for step in 0.. {
        node.forget_calls();
        let mut pod = Pod::new(&node, &format!("cut-{step}")).selecting("a,b");
        pod.add().result();
        let whole = fs::read(pod.record_file(&node)).unwrap();
        if length >= whole.len() {
            break;
        }
        fs::write(pod.record_file(&node), &whole[..length]).unwrap();
        // A runtime that hands over no annotations, and no daemon: the record is all there is.
        if step % 2 == 0 {
            pod.annotations = None;
        }
        pod.del().silence();
        // CNI-DEL-03, CNI-DEL-07
        assert_eq!(primary.calls_of("DEL").len(), 1, "{length}");
        let reached = (a.calls_of("DEL").len(), b.calls_of("DEL").len());
        assert!(reached == (1, 1) || step % 2 == 0 && reached.1 <= reached.0, "{length}: {reached:?}");
        assert!(!pod.record_file(&node).exists());
        length += 97;
    }
    // Never passed over in silence: each is there to be looked at.
    assert!(fs::read_dir(node.state().damaged()).unwrap().count() > 10);
}

#[test]
fn another_containers_record_and_zeros_are_no_record() {
    // FAULT-12
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let (one, two) = (Pod::new(&node, "one").selecting("a"), Pod::new(&node, "two"));
    one.add().result();
    two.add().result();
    fs::copy(one.record_file(&node), two.record_file(&node)).unwrap();
    node.forget_calls();
    two.del().silence();
    // Nothing of the other container is touched under this one's name.
    assert_eq!(node.call_names(), ["DEL primary eth0"]);
    let length = fs::metadata(one.record_file(&node)).unwrap().len();
    fs::write(one.record_file(&node), vec![0; usize::try_from(length).unwrap()]).unwrap();
    one.del().silence();
    assert_eq!(node.call_names()[1..], ["DEL a net1", "DEL primary eth0"]);
    // Bytes that are no text at all.
    one.add().result();
    fs::write(one.record_file(&node), vec![0xff; 100]).unwrap();
    one.del().silence();
    assert_eq!(node.call_names().last().unwrap(), "DEL primary eth0");
}

#[test]
fn what_cannot_be_deleted_is_owed_and_no_pod_is_stuck_for_ever() {
    // FAULT-36
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    a.on("DEL", "fail 7 'Link not found: /x: No such file or directory'");
    let pod = Pod::new(&node, "owed").selecting("a");
    pod.add().result();
    for attempt in 1..=2 {
        let answer = pod.del();
        let error = answer.refusal(7, &["default/a", "net1", "plugin a"]);
        // containerd takes either for success and would never call again.
        let text = answer.stdout.to_lowercase();
        assert!(!text.contains("not found") && !text.contains("no such file or directory"), "{error:?}");
        let record = pod.record(&node).unwrap();
        assert_eq!(record["attachments"].as_array().unwrap().len(), 1, "what is deleted is not owed");
        assert_eq!(
            (&record["attachments"][0]["state"], &record["attachments"][0]["debt"]["attempts"]),
            (&json!("owed"), &json!(attempt))
        );
    }
    // The third gives the pod up, not the debt; also where the runtime has no namespace any more.
    pod.end_sandbox();
    let third = pod.del_without_netns();
    third.silence();
    assert!(third.stderr.contains("get --debts"), "{}", third.stderr);
    assert_eq!(pod.record(&node).unwrap()["attachments"][0]["debt"]["attempts"], 3);
    assert_eq!(a.calls_of("DEL").len(), 3);
    a.as_usual("DEL");
    pod.del_without_netns().silence();
    assert_eq!(a.calls_of("DEL").len(), 4);
    assert!(pod.record(&node).is_none());
    // NPWG-ERR-02: the default network was deleted once, at the first attempt.
    assert_eq!(node.recorder("primary").calls_of("DEL").len(), 1);
}

#[test]
fn a_debt_does_not_stop_the_sandboxs_other_interface() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    a.on("DEL", "fail 7 stuck");
    let mut pod = Pod::new(&node, "mixed").selecting("a");
    pod.add().result();
    pod.del().error();
    pod.ifname = "eth1".to_owned();
    pod.annotations = Some(std::collections::BTreeMap::new());
    pod.add().result();
    pod.del().silence();
    let record = pod.record(&node).unwrap();
    assert_eq!(record["attachments"].as_array().unwrap().len(), 1, "{record}");
    assert_eq!(record["attachments"][0]["state"], "owed");
}

#[test]
fn a_daemon_that_hangs_does_not_hold_up_del() {
    // FAULT-4
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let daemon = Daemon::start(&node);
    daemon.halt();
    let mut pod = Pod::new(&node, "hung");
    pod.add().result();
    pod.annotations = None;
    pod.del().silence();
    // Nor where there is no record to go by.
    let mut unknown = Pod::new(&node, "hung-unknown");
    unknown.annotations = None;
    unknown.del().silence();
    assert_eq!(node.call_names(), ["ADD primary eth0", "DEL primary eth0", "DEL primary eth0"]);
}

/// A pod with the additional network `a`, whose record lost its last bytes and whose network is gone since.
fn damaged(node: &Node, name: &str) -> (Pod, Vec<u8>) {
    let definition = node.network("default/a", &json!({"cniVersion": "1.0.0", "type": "a"}));
    let pod = Pod::new(node, name).selecting("a");
    pod.add().result();
    let whole = fs::read(pod.record_file(node)).unwrap();
    let damaged = whole[..whole.len() - 2].to_vec();
    fs::write(pod.record_file(node), &damaged).unwrap();
    fs::remove_file(definition).unwrap();
    (pod, damaged)
}

#[test]
fn check_and_a_refused_add_leave_a_damaged_record_to_del() {
    // H7, FAULT-12
    let Some(node) = Node::new() else { return };
    let a = node.recorder("a");
    let (mut pod, damaged) = damaged(&node, "looked-at");
    // What recorders answer is not in the kernel.
    assert!(pod.call("CHECK").make().stderr.contains("damaged"));
    assert_eq!(fs::read(pod.record_file(&node)).unwrap(), damaged);
    pod.ifname = "eth1".to_owned();
    pod.configured("daemonTimeoutSeconds", json!(0.2)).add().refusal(11, &[]);
    let pod = Pod { id: "looked-at-0123456789abcdef".to_owned(), ..Pod::new(&node, "again").selecting("a") };
    assert_eq!(fs::read(pod.record_file(&node)).unwrap(), damaged);
    pod.del().silence();
    assert_eq!(a.call_of("DEL").config()["prevResult"]["interfaces"][0]["name"], "net1");
    assert!(pod.record(&node).is_none());
}

#[test]
fn an_add_for_another_interface_keeps_what_a_damaged_record_told() {
    // H7
    let Some(node) = Node::new() else { return };
    let a = node.recorder("a");
    let (mut pod, damaged) = damaged(&node, "second");
    pod.ifname = "eth1".to_owned();
    pod.annotations = Some(std::collections::BTreeMap::new());
    pod.add().result();
    let kept = fs::read_dir(node.state().damaged()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(kept).unwrap(), damaged);
    assert_eq!(pod.record(&node).unwrap()["attachments"].as_array().unwrap().len(), 3);
    pod.del().silence();
    pod.ifname = "eth0".to_owned();
    pod.del().silence();
    assert_eq!(a.calls_of("DEL").len(), 1);
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_del_of_a_damaged_record_that_is_killed_is_completed_by_the_next() {
    // FAULT-2, FAULT-12
    let Some(node) = Node::new() else { return };
    let a = node.recorder("a");
    let (pod, damaged) = damaged(&node, "killed");
    a.on("DEL", "touch $here/began; sleep 60");
    let running = pod.call("DEL").start();
    support::eventually("the slow DEL", || a.folder().join("began").exists());
    running.kill();
    a.as_usual("DEL");
    node.forget_calls();
    pod.del().silence();
    assert_eq!(a.call_of("DEL").config()["prevResult"]["interfaces"][0]["name"], "net1");
    assert!(node.call_names().contains(&"DEL primary eth0".to_owned()));
    assert!(pod.record(&node).is_none());
    let kept = fs::read_dir(node.state().damaged()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(kept).unwrap(), damaged);
}

#[test]
fn a_damaged_record_that_cannot_be_kept_is_used_all_the_same() {
    // M6: a damaged record and a full disk come together.
    let Some(node) = Node::new() else { return };
    let a = node.recorder("a");
    let (pod, damaged) = damaged(&node, "no-room");
    support::node::write(&node.state().damaged(), "no folder");
    let answer = pod.del();
    answer.silence();
    assert!(answer.stderr.contains("stays in its place"), "{}", answer.stderr);
    assert_eq!(a.call_of("DEL").config()["prevResult"]["interfaces"][0]["name"], "net1");
    assert_eq!(fs::read(pod.record_file(&node)).unwrap(), damaged);
    fs::remove_file(node.state().damaged()).unwrap();
    pod.end_sandbox();
    pod.del_without_netns().silence();
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_record_that_cannot_be_read_now_is_neither_replaced_nor_removed() {
    // M6
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let pod = Pod::new(&node, "unreadable").selecting("a");
    pod.add().result();
    let path = pod.record_file(&node);
    // Nothing is mapped at the address 0 of a process, so every read of this file from its beginning ends with EIO.
    let unreadable = mount(Some("/proc/self/mem"), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    unreadable.unwrap();
    node.forget_calls();
    for _ in 1..=2 {
        pod.del().refusal(5, &["record", "cannot be read", "os error 5"]);
        assert_eq!(fs::read(&path).unwrap_err().raw_os_error(), Some(5));
    }
    pod.add().refusal(5, &["record"]);
    // What can be known without it is deleted, and no pod is stuck for ever.
    assert_eq!(node.call_names()[..2], ["DEL a net1", "DEL primary eth0"]);
    umount2(&path, MntFlags::MNT_DETACH).unwrap();
    node.forget_calls();
    pod.del().silence();
    assert_eq!(a.call_of("DEL").config()["prevResult"]["interfaces"][0]["name"], "net1");
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_plugin_that_hung_is_tried_last_by_the_next_del() {
    // H3
    let Some(node) = Node::new() else { return };
    let [_a, b] = ["a", "b"].map(|name| node.recorded_network(name));
    b.on("DEL", "touch $here/began; sleep 60");
    let pod = Pod::new(&node, "hung").selecting("a,b");
    pod.add().result();
    let running = pod.call("DEL").start();
    support::eventually("the slow DEL", || b.folder().join("began").exists());
    running.kill();
    let record = pod.record(&node).unwrap();
    assert_eq!(
        (&record["attachments"][2]["debt"]["attempts"], &record["attachments"][2]["debt"]["hung"]),
        (&json!(1), &json!(true))
    );
    b.as_usual("DEL");
    node.forget_calls();
    pod.del().silence();
    assert_eq!(node.call_names(), ["DEL a net1", "DEL primary eth0", "DEL b net2"]);
    assert!(pod.record(&node).is_none());
}
