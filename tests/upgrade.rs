//! From the release before to this one on a node that runs, and back: what lies there goes on being used.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use plexus::api::protocol::{Facts, Hello, Reply};
use plexus::cni::ContainerId;
use plexus::nad::{Definition, NadRef};
use serde_json::json;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::Path;
use support::{Call, Node, Pod, node};

/// Lays a file out as the former release did.
fn lay_out(path: &Path, text: &str) {
    node::write(path, text);
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o700)).unwrap();
}

/// The record of `pod` as the former release wrote it: what is new since is not in it.
fn former_record(pod: &Pod, debt: bool) -> String {
    let attachment = |network: &str, ifname: &str, kind: &str| {
        json!({
            "call": "eth0", "network": network, "ifname": ifname, "state": "attached", "default": ifname == "eth0",
            "config": {"cniVersion": "1.0.0", "name": kind, "plugins": [{"type": kind}]}, "args": "A=1",
            "path": [format!("{}/bin", node::FOLDER)],
            "result": {"cniVersion": "1.0.0", "interfaces": [{"name": ifname, "sandbox": pod.netns}]},
        })
    };
    let mut attachments = vec![attachment("cbr0", "eth0", "primary"), attachment("default/a", "net1", "a")];
    if debt {
        attachments.remove(0);
        attachments[0]["state"] = json!("owed");
        attachments[0]["debt"] = json!({"since": 1, "last": 1, "attempts": 3, "error": "a is broken"});
    }
    json!({
        "version": 1, "containerId": pod.id, "netns": pod.netns, "created": 1, "attachments": attachments,
        "pod": {"namespace": "default", "name": pod.name, "uid": pod.uid},
    })
    .to_string()
}

#[test]
fn records_copies_debts_and_locks_of_the_release_before_go_on() {
    let Some(node) = Node::new() else { return };
    let (a, run, state) = (node.recorder("a"), node.run(), node.state());
    let definition = Definition::new(
        NadRef::new("default", "a").unwrap(),
        Some(json!({"cniVersion": "1.0.0", "type": "a"}).to_string()),
        |_| None,
    );
    lay_out(&state.network(&definition.nad), &serde_json::to_string(&definition).unwrap());
    let (attached, owed) = (Pod::new(&node, "attached").selecting("a"), Pod::new(&node, "owed"));
    let id = |pod: &Pod| ContainerId::new(&*pod.id).unwrap();
    lay_out(&state.record(&id(&attached)), &former_record(&attached, false));
    lay_out(&state.record(&id(&owed)), &former_record(&owed, true));
    lay_out(&run.due().join("debts"), "");
    lay_out(&run.lock(&id(&attached)), "");
    lay_out(&run.lock(&ContainerId::new("deleted").unwrap()), "deleted");
    lay_out(&run.publication(&id(&attached)), "{}");
    // The daemon is being replaced: its socket is there, and nobody listens.
    drop(UnixListener::bind(run.former_socket()).unwrap());
    // What the installation makes before the new daemon comes.
    fs::create_dir(run.daemon()).unwrap();
    chown(run.daemon(), Some(0), Some(65532)).unwrap();

    let fresh = Pod::new(&node, "fresh").selecting("a");
    fresh.add().result();
    let unpublished = fs::metadata(run.unpublished()).unwrap();
    assert_eq!((unpublished.mode() & 0o7777, unpublished.gid()), (0o750, 65532));
    attached.del().silence();
    assert!(attached.record(&node).is_none() && !run.publication(&id(&attached)).exists());
    assert_eq!(a.calls_of("DEL").len(), 1);
    Call::of_node(&node, "GC").sweep();
    assert!(owed.record(&node).is_none(), "the debt is paid");
    assert_eq!(a.calls_of("DEL").len(), 2);
    fresh.del().silence();
}

#[test]
fn the_daemon_of_the_release_before_is_asked() {
    let Some(node) = Node::new() else { return };
    let a = node.recorder("a");
    let config = json!({"cniVersion": "1.0.0", "type": "a"}).to_string();
    let facts = Facts {
        definitions: vec![Definition::new(NadRef::new("default", "a").unwrap(), Some(config), |_| None)],
        ..Facts::default()
    };
    let listener = UnixListener::bind(node.run().former_socket()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let replies = [Reply::Hello(Hello::from_program("plexusd")), Reply::Facts(facts.clone())];
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for (_, reply) in lines.zip(replies) {
                writeln!(stream, "{}", serde_json::to_string(&reply).unwrap()).unwrap();
            }
        }
    });
    Pod::new(&node, "p").selecting("a").configured("publishTimeoutSeconds", json!(0.2)).add().result();
    assert_eq!(a.calls_of("ADD").len(), 1);
    // Whatever release comes next: the plugin has a copy of its own, where the former one looks as well.
    assert!(node.state().network(&NadRef::new("default", "a").unwrap()).is_file());
}

#[test]
fn copies_follow_the_cluster_while_the_daemon_lives_and_stay_when_it_goes() {
    // FAULT-10
    let Some(node) = Node::new() else { return };
    let a = node.recorder("a");
    let config = |note: &str| json!({"cniVersion": "1.0.0", "type": "a", "note": note});
    for name in ["edited", "deleted", "as-it-was"] {
        support::manifests::network(&format!("default/{name}"), &config("first"));
    }
    let daemon = support::daemon::Daemon::start(&node);
    Pod::new(&node, "before").selecting("edited,deleted,as-it-was").add().result();
    // A reboot takes the daemon's copies; the plugin has its own, and tells of them with its next question.
    daemon.kill();
    fs::remove_dir_all(node.run().daemon()).unwrap();
    let daemon = support::daemon::Daemon::start(&node);
    Pod::new(&node, "after-reboot").selecting("as-it-was").add().result();
    support::manifests::network("default/edited", &config("second"));
    fs::remove_file(support::manifests::folder().join("default-deleted.json")).unwrap();
    let says = |name: &str, word: &str| {
        let copy = node.run().network(&NadRef::new("default", name).unwrap());
        support::eventually(name, || fs::read_to_string(&copy).is_ok_and(|text| text.contains(word)));
    };
    says("edited", "second");
    says("deleted", "gone");
    daemon.kill();
    node.forget_calls();
    let pod = Pod::new(&node, "without").selecting("edited,as-it-was");
    pod.add().result();
    let notes: Vec<_> = a.calls_of("ADD").iter().map(|call| call.config()["note"].clone()).collect();
    assert_eq!(notes, ["second", "first"]);
    let gone = Pod::new(&node, "gone").selecting("deleted").configured("daemonTimeoutSeconds", json!(0.1));
    gone.add().refusal(11, &["default/deleted"]);
    // Also where the daemon's folder is gone with it.
    fs::remove_dir_all(node.run().daemon()).unwrap();
    Pod::new(&node, "own").selecting("as-it-was").add().result();
}
