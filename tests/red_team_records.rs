//! What a record can make root do that somebody else wrote, or that travelled here: restored backups, other folders.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use support::{Call, Node, Pod, node};

fn edit(node: &Node, pod: &Pod, edit: impl Fn(&mut Value)) {
    let mut record = pod.record(node).unwrap();
    edit(&mut record);
    fs::write(pod.record_file(node), record.to_string()).unwrap();
}

#[test]
fn a_record_removes_no_file_but_its_device_info() {
    // D14
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let victim = Path::new(node::FOLDER).join("victim");
    for (number, path) in
        ["/run/node/victim", "/var/run/k8s.cni.cncf.io/devinfo/cni/../../../node/victim"].into_iter().enumerate()
    {
        node::write(&victim, "precious");
        fs::create_dir_all("/run/k8s.cni.cncf.io/devinfo/cni").unwrap();
        let pod = Pod::new(&node, &format!("p{number}")).selecting("a");
        pod.add().result();
        edit(&node, &pod, |record| record["attachments"][1]["deviceInfoFile"] = json!(path));
        let answer = pod.del();
        answer.silence();
        assert!(victim.exists() && pod.record(&node).is_none(), "{path}");
        assert!(answer.stderr.contains("device-info file"), "{}", answer.stderr);
    }
}

#[test]
fn a_sweep_enters_no_namespace_of_another_record() {
    // D15
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    a.on("DEL", "fail 103 broken");
    let (owed, other) = (Pod::new(&node, "owed").selecting("a"), Pod::new(&node, "other").selecting("a"));
    owed.add().result();
    other.add().result();
    owed.del().refusal(103, &["broken"]);
    a.as_usual("DEL");
    edit(&node, &owed, |record| {
        record["netns"] = json!(other.netns);
        record["attachments"][0]["debt"]["last"] = json!(1);
    });
    node.forget_calls();
    let answer = Call::of_node(&node, "GC").sweep();
    let deletions = a.calls_of("DEL");
    assert_eq!(deletions.len(), 1, "{answer}");
    assert_eq!((deletions[0].env("CNI_CONTAINERID"), deletions[0].env("CNI_NETNS")), (owed.id.as_str(), ""));
    assert!(other.record(&node).is_some() && owed.record(&node).is_none());
}

#[test]
fn programs_are_not_started_from_a_folder_that_others_may_write() {
    // M1, L6: "path" of a record
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let folder = Path::new(node::FOLDER).join("tmp");
    let started = Path::new(node::FOLDER).join("started");
    node::write_program(&folder.join("a"), &format!("#!/bin/sh\ntouch {}\n", started.display()));
    for (name, mode, uid, trusted) in
        [("others", 0o777, 0, false), ("strangers", 0o755, 65532, false), ("roots", 0o755, 0, true)]
    {
        let pod = Pod::new(&node, name).selecting("a");
        pod.add().result();
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        chown(&folder, Some(uid), None).unwrap();
        edit(&node, &pod, |record| record["attachments"][1]["path"] = json!([folder]));
        node.forget_calls();
        pod.del().silence();
        assert_eq!((started.exists(), a.calls_of("DEL").len()), (trusted, usize::from(!trusted)), "{name}");
    }
}

#[test]
fn the_record_of_somebody_else_is_none() {
    // L6
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    for (name, mode, uid) in [("others", 0o666, 0), ("strangers", 0o600, 65532)] {
        let pod = Pod::new(&node, name).selecting("a");
        pod.add().result();
        let record = pod.record_file(&node);
        fs::set_permissions(&record, Permissions::from_mode(mode)).unwrap();
        chown(&record, Some(uid), None).unwrap();
        node.forget_calls();
        let answer = pod.del();
        assert!(answer.stderr.contains("cannot be trusted"), "{}", answer.stderr);
        assert_eq!(a.calls_of("DEL").len(), 1, "what is known without it is deleted");
    }
}

#[test]
fn a_damaged_record_is_moved_through_no_link() {
    // D16: a file of the daemon's own bytes in /etc/cron.d
    let Some(node) = Node::new() else { return };
    // On the same file system, so that a file can be moved there.
    let target = Path::new("/var/lib/cron.d");
    fs::create_dir(target).unwrap();
    let pod = Pod::new(&node, "p");
    pod.add().result();
    fs::write(pod.record_file(&node), "* * * * * root touch /x").unwrap();
    symlink(target, node.state().damaged()).unwrap();
    // It cannot be moved aside; what is known without it is deleted.
    pod.del();
    assert_eq!(fs::read_dir(target).unwrap().count(), 0);
    assert!(node.call_names().contains(&"DEL primary eth0".to_owned()));
}

#[test]
fn folders_that_others_may_write_stop_pods_with_networks_only() {
    // Section 3, 1
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let state = node.state();
    for (number, (folder, mode, uid)) in [
        (state.sandboxes(), 0o777, 0),
        (state.sandboxes(), 0o700, 65532),
        (state.path().to_owned(), 0o777, 0),
        (node.run().path().to_owned(), 0o777, 0),
        (node.run().path().to_owned(), 0o711, 65532),
    ]
    .into_iter()
    .enumerate()
    {
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(state.networks()).unwrap();
        let before = Pod::new(&node, &format!("before{number}")).selecting("a");
        before.add().result();
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        chown(&folder, Some(uid), None).unwrap();
        node.forget_calls();
        let networks =
            Pod::new(&node, &format!("networks{number}")).selecting("a").configured("daemonTimeoutSeconds", json!(0.1));
        let refused = networks.add();
        refused.refusal(5, &[folder.to_str().unwrap(), "cannot be trusted"]);
        assert_eq!(node.call_names(), [""; 0], "nothing is attached before it is refused");
        let plain = Pod::new(&node, &format!("plain{number}"));
        plain.add().result();
        let gone = before.del();
        assert!(gone.stderr.contains("cannot be trusted"), "{}", gone.stderr);
        fs::set_permissions(&folder, Permissions::from_mode(0o711)).unwrap();
        chown(&folder, Some(0), None).unwrap();
        plain.del().silence();
    }
}

#[test]
fn started_by_somebody_who_is_not_root_the_plugin_reaches_nothing() {
    // L4: to the node's files and namespaces, root in a user namespace is no more.
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    fs::set_permissions("/run/plexus", Permissions::from_mode(0o711)).unwrap();
    for networks in ["", "a"] {
        let pod =
            Pod::new(&node, &format!("p{networks}")).selecting(networks).configured("daemonTimeoutSeconds", json!(0.1));
        for verb in ["ADD", "DEL"] {
            let answer = pod.call(verb).start_as(|command| _ = command.uid(65534).gid(65534)).wait();
            assert!(answer.stderr.contains("cannot be locked"), "{}", answer.stderr);
        }
        assert!(pod.record(&node).is_none());
    }
    assert!(a.calls().is_empty() && !node.run().locks().exists() && !node.state().default_network().exists());
}
