//! The sweep: what no call asks for is done after the answer of one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

#[path = "sweep/asked.rs"]
mod asked;
#[path = "sweep/evidence.rs"]
mod evidence;
mod support;

use plexus::sys::lock::FileLock;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use support::sweeping::{
    MARKER, age, attached, command, edit_record, indebted, last_sweep, plexusctl, since_last_sweep, status, swept,
};
use support::{Call, Node, Pod, eventually};

#[test]
fn a_debt_is_paid_by_nothing_but_status() {
    // FAULT-36
    let Some(node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    age(&node, &pod);
    last_sweep(6);
    // It fails again, and is remembered.
    status(&node).silence();
    swept();
    let debt = pod.record(&node).unwrap()["attachments"][0]["debt"].clone();
    assert_eq!((debt["attempts"].clone(), a.calls_of("DEL").len()), (json!(2), 2));
    // It was tried just now: not again so soon, and nobody looks whether it is time (M11).
    last_sweep(6);
    status(&node).silence();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(a.calls_of("DEL").len(), 2);
    assert!(since_last_sweep() >= Duration::from_secs(6));
    a.as_usual("DEL");
    age(&node, &pod);
    last_sweep(6);
    status(&node).silence();
    eventually("the debt to be paid", || pod.record(&node).is_none());
    // NPWG-MUL-02: as at ADD.
    let (added, deleted) = (a.call_of("ADD"), a.calls_of("DEL").pop().unwrap());
    for key in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS"] {
        assert_eq!(deleted.env(key), added.env(key), "{key}");
    }
    // Nothing is left to do in a hurry.
    eventually("no reason to hurry", || fs::read_dir(node.run().due()).unwrap().next().is_none());
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    // FAULT-14
    let Some(node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    let gone = Pod::new(&node, "gone").selecting("a");
    gone.add().result();
    gone.end_sandbox();
    let in_a_year = SystemTime::now() + Duration::from_secs(365 * 24 * 3600);
    let seconds = in_a_year.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    edit_record(&node, &pod, |record| record["attachments"][0]["debt"]["last"] = json!(seconds));
    edit_record(&node, &gone, |record| record["created"] = json!(seconds));
    fs::File::options().write(true).open(MARKER).unwrap().set_modified(in_a_year).unwrap();
    a.as_usual("DEL");
    status(&node).silence();
    eventually("both to be settled", || pod.record(&node).is_none() && gone.record(&node).is_none());
}

#[test]
fn the_record_of_a_namespace_that_is_gone_is_deleted() {
    // FAULT-11
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let [old, young, alive] = ["old", "young", "alive"].map(|name| Pod::new(&node, name).selecting("a"));
    for pod in [&old, &young, &alive] {
        pod.add().result();
    }
    old.end_sandbox();
    young.end_sandbox();
    age(&node, &old);
    age(&node, &alive);
    last_sweep(3600);
    status(&node).silence();
    eventually("the record to go", || old.record(&node).is_none());
    swept();
    // An ADD may be under way in a way that cannot be seen.
    assert!(young.record(&node).is_some() && alive.record(&node).is_some());
    let call = a.call_of("DEL");
    assert_eq!((call.env("CNI_CONTAINERID"), call.env("CNI_NETNS")), (old.id.as_str(), ""));
}

/// As [`age`], with every other byte as the plugin wrote it.
fn age_in_place(node: &Node, pod: &Pod) {
    let text = fs::read_to_string(pod.record_file(node)).unwrap();
    let (before, after) = text.split_once(r#""created":"#).unwrap();
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    fs::write(pod.record_file(node), format!(r#"{before}"created":1{after}"#)).unwrap();
}

/// Cuts off the last `bytes` of its record.
fn damage(node: &Node, pod: &Pod, bytes: usize) {
    let text = fs::read_to_string(pod.record_file(node)).unwrap();
    fs::write(pod.record_file(node), &text[..text.len() - bytes]).unwrap();
}

#[test]
fn a_damaged_record_of_a_sandbox_that_is_gone_is_settled() {
    // FAULT-12, FAULT-18
    let Some(node) = Node::new() else { return };
    let [a, b] = ["a", "b"].map(|name| node.recorded_network(name));
    let pods = ["gone", "alive", "untold"].map(|name| Pod::new(&node, name).selecting("a,b"));
    let [gone, alive, untold] = &pods;
    for pod in &pods {
        pod.add().result();
        age_in_place(&node, pod);
    }
    // Of the one that is gone the last attachment cannot be read, of another not even the namespace.
    damage(&node, gone, 40);
    damage(&node, alive, 40);
    let length = fs::metadata(untold.record_file(&node)).unwrap().len();
    damage(&node, untold, usize::try_from(length).unwrap() - 50);
    gone.end_sandbox();
    untold.end_sandbox();
    node.forget_calls();
    a.on("DEL", "fail 103 'a is broken'");
    last_sweep(3600);
    status(&node).silence();
    swept();
    assert_eq!(node.call_names(), ["DEL a net1", "DEL primary eth0"]);
    assert_eq!(a.call_of("DEL").env("CNI_CONTAINERID"), gone.id);
    assert!(b.calls().is_empty());
    // What could not be deleted is owed, in a record that is whole again; the damaged one is kept for a person.
    let record = gone.record(&node).unwrap();
    assert_eq!(record["attachments"].as_array().unwrap().len(), 1);
    assert_eq!((&record["attachments"][0]["state"], &record["pod"]["name"]), (&json!("owed"), &json!("gone")));
    assert_eq!(fs::read_dir(node.state().damaged()).unwrap().count(), 1);
    // Who exists, or may, is not touched.
    assert!(alive.record_file(&node).exists() && untold.record_file(&node).exists());
    a.as_usual("DEL");
    age(&node, gone);
    last_sweep(6);
    status(&node).silence();
    eventually("the debt to be paid", || gone.record(&node).is_none());
    // A sweep that was killed had put the record in order, and nothing was left to delete.
    let spent = |pod: &Pod| json!({"version": 1, "containerId": pod.id, "netns": pod.netns, "created": 1, "incomplete": true, "attachments": []});
    for pod in [gone, alive] {
        fs::write(pod.record_file(&node), spent(pod).to_string()).unwrap();
    }
    last_sweep(3600);
    status(&node).silence();
    eventually("the record to be settled", || gone.record(&node).is_none());
    assert!(alive.record(&node).is_some());
}

#[test]
fn a_damaged_record_is_left_to_the_del_of_its_sandbox() {
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "damaged");
    pod.add().result();
    pod.end_sandbox();
    damage(&node, &pod, 1);
    last_sweep(3600);
    status(&node).silence();
    swept();
    assert!(pod.record_file(&node).exists());
    assert!(pod.del_without_netns().status.success());
    assert_eq!(node.call_names(), ["ADD primary eth0", "DEL primary eth0"]);
}

#[test]
fn a_sweep_does_not_hold_the_runtimes_pipes() {
    let Some(node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    a.on("DEL", "sleep 5");
    age(&node, &pod);
    last_sweep(6);
    let began = Instant::now();
    // The answer ends when nobody holds stdout any more.
    status(&node).silence();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    eventually("the debt to be paid", || pod.record(&node).is_none());
    assert!(began.elapsed() > Duration::from_secs(5));
}

#[test]
fn there_is_one_sweep_at_a_time_and_not_all_the_time() {
    let Some(node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    a.on("DEL", "sleep 1");
    age(&node, &pod);
    // Just swept: not again.
    last_sweep(2);
    status(&node).silence();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(a.calls_of("DEL").len(), 1);
    last_sweep(6);
    let running: Vec<_> = (0..8).map(|_| Call::of_node(&node, "STATUS").start()).collect();
    running.into_iter().for_each(|call| call.wait().silence());
    eventually("the debt to be paid", || pod.record(&node).is_none());
    assert_eq!(a.calls_of("DEL").len(), 2);
}

#[test]
fn a_sweep_holds_the_lock_of_the_sandbox_in_which_it_works() {
    // H2
    let Some(node) = Node::new() else { return };
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "bridge", "bridge": "br0"}]}));
    node.network("default/n", &json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "br1"}));
    let a = node.recorded_network("a");
    a.on("DEL", "fail 103 'a is broken'");
    let pod = Pod::new(&node, "debt").selecting("a,n");
    pod.add().result();
    pod.del().refusal(103, &["a is broken"]);
    // As if the native's deletion was owed, too: it looks into the namespace before the program is started.
    let other = Pod::new(&node, "other").selecting("a,n");
    other.add().result();
    let network = other.record(&node).unwrap()["attachments"][2].clone();
    edit_record(&node, &pod, |record| {
        let mut owed = network.clone();
        owed["state"] = json!("owed");
        owed["debt"] = record["attachments"][0]["debt"].clone();
        record["attachments"].as_array_mut().unwrap().push(owed);
    });
    a.on("DEL", "sleep 2");
    age(&node, &pod);
    last_sweep(6);
    // A call that leaves sockets and a namespace open.
    Pod::new(&node, "new").add().result();
    eventually("the program", || a.calls_of("DEL").len() == 2);
    let lock = node.run().locks().join(format!("{}.lock", pod.id));
    assert!(FileLock::try_acquire(&lock).unwrap().is_none(), "the sandbox is not locked");
    eventually("the debt to be paid", || pod.record(&node).is_none());
}

#[test]
fn an_attempt_that_is_cut_off_counts_and_comes_last_the_next_time() {
    // H3
    let Some(node) = Node::new() else { return };
    let [a, b] = ["a", "b"].map(|name| node.recorded_network(name));
    let [hangs, other] = [("hangs", "a"), ("other", "b")].map(|(name, network)| {
        let pod = Pod::new(&node, name).selecting(network);
        pod.add().result();
        pod
    });
    for (recorder, pod) in [(&a, &hangs), (&b, &other)] {
        recorder.on("DEL", "fail 103 broken");
        pod.del().error();
        age(&node, pod);
    }
    edit_record(&node, &other, |record| record["attachments"][0]["debt"]["last"] = json!(2));
    a.on("DEL", "echo $PPID >$here/sweeper; exec sleep 30");
    last_sweep(6);
    status(&node).silence();
    let sweeper = a.folder().join("sweeper");
    eventually("the program that hangs", || fs::read_to_string(&sweeper).is_ok_and(|pid| pid.ends_with('\n')));
    let pid: i32 = fs::read_to_string(&sweeper).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    let debt = hangs.record(&node).unwrap()["attachments"][0]["debt"].clone();
    assert_eq!(debt["attempts"], 2, "{debt}");
    assert!(debt["last"].as_u64().unwrap() > 1000, "{debt}");
    assert!(b.calls_of("DEL").len() == 1 && other.record(&node).is_some());
    a.as_usual("DEL");
    b.as_usual("DEL");
    node.forget_calls();
    eventually("the end of what was left", || {
        command(&node, &[]);
        hangs.record(&node).is_none()
    });
    assert_eq!(node.call_names(), ["DEL b net1", "DEL a net1"]);
}

#[test]
fn whatever_hung_comes_last_however_long_ago_that_was() {
    // H3
    let Some(node) = Node::new() else { return };
    let pods = ["a", "b", "c"].map(|name| {
        let recorder = node.recorded_network(name);
        let pod = Pod::new(&node, name).selecting(name);
        pod.add().result();
        recorder.on("DEL", "fail 103 broken");
        pod.del().error();
        recorder.as_usual("DEL");
        pod
    });
    for (pod, hung, last) in [(&pods[0], true, 1), (&pods[1], false, 3), (&pods[2], false, 2)] {
        edit_record(&node, pod, |record| {
            record["attachments"][0]["debt"]["hung"] = json!(hung);
            record["attachments"][0]["debt"]["last"] = json!(last);
        });
    }
    node.forget_calls();
    assert!(command(&node, &[]).0);
    assert_eq!(node.call_names(), ["DEL c net1", "DEL b net1", "DEL a net1"]);
}

#[test]
fn only_a_regular_sweep_looks_for_addresses() {
    // M11
    let Some(node) = Node::new() else { return };
    let (pod, _a) = indebted(&node);
    let full = "12345";
    let sweep = |last_full: &str, ago: u64| {
        age(&node, &pod);
        fs::write(MARKER, last_full).unwrap();
        last_sweep(ago);
        status(&node).silence();
        swept();
        fs::read_to_string(MARKER).unwrap()
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let recent = (now - 100).to_string();
    assert_eq!(sweep(&recent, 6), recent);
    assert_ne!(sweep(full, 6), full);
    assert_ne!(sweep(&recent, 3600), recent);
}

#[test]
fn files_of_writers_that_were_killed_go_after_a_day() {
    let Some(node) = Node::new() else { return };
    let folders = [node.state().sandboxes(), node.state().networks(), node.run().unpublished()];
    let (old, young) = (".record-json-7-0", ".record-json-8-0");
    for folder in &folders {
        for name in [old, young, "kept"] {
            support::node::write(&folder.join(name), "half");
        }
        for name in [old, "kept"] {
            let two_days_ago = SystemTime::now() - Duration::from_secs(48 * 3600);
            fs::File::options().write(true).open(folder.join(name)).unwrap().set_modified(two_days_ago).unwrap();
        }
    }
    assert!(command(&node, &[]).0);
    for folder in &folders {
        assert!(!folder.join(old).exists() && folder.join(young).exists() && folder.join("kept").exists());
    }
}
