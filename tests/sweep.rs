//! The sweep: what no call asks for is done after the answer of one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use plexus::sys::lock::FileLock;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use support::{Answer, Call, Node, Pod, Recorder, eventually};

const MARKER: &str = "/run/plexus/swept";

/// Makes it so that the last sweep was `seconds` ago.
fn last_sweep(seconds: u64) {
    fs::File::options()
        .write(true)
        .open(MARKER)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

/// Waits until a sweep has begun since [`last_sweep`], and ended.
fn swept() {
    let age = || fs::metadata(MARKER).unwrap().modified().unwrap().elapsed().unwrap_or_default();
    eventually("a sweep", || age() < Duration::from_secs(4));
    let lock = Path::new("/run/plexus/sweep.lock");
    eventually("the end of the sweep", || FileLock::try_acquire(lock).unwrap().is_some());
}

fn edit_record(node: &Node, pod: &Pod, edit: impl Fn(&mut Value)) {
    let mut record = pod.record(node).unwrap();
    edit(&mut record);
    fs::write(pod.record_file(node), record.to_string()).unwrap();
}

/// As if it had been made long ago: the pauses between attempts at its debts are over, too.
fn age(node: &Node, pod: &Pod) {
    edit_record(node, pod, |record| {
        record["created"] = json!(1);
        for attachment in record["attachments"].as_array_mut().unwrap() {
            if attachment["debt"].is_object() {
                attachment["debt"]["last"] = json!(1);
            }
        }
    });
}

/// All that a runtime goes on calling.
fn status(node: &Node) -> Answer {
    Call::of_node(node, "STATUS").make()
}

/// A pod of which `a` could not be deleted.
fn indebted(node: &Node) -> (Pod, Recorder) {
    let a = node.recorded_network("a");
    a.on("DEL", "fail 103 'a is broken'");
    let pod = Pod::new(node, "debt").selecting("a");
    pod.add().result();
    pod.del().refusal(103, &["a is broken"]);
    (pod, a)
}

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
    // It was tried just now: not again so soon.
    last_sweep(6);
    status(&node).silence();
    swept();
    assert_eq!(a.calls_of("DEL").len(), 2);
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
fn a_debt_does_not_keep_the_pod_for_ever() {
    // FAULT-36
    let Some(node) = Node::new() else { return };
    let (pod, _a) = indebted(&node);
    pod.del().refusal(103, &["a is broken"]);
    pod.del().silence();
    // It is owed all the same.
    assert_eq!(pod.record(&node).unwrap()["attachments"][0]["debt"]["attempts"], 3);
}

#[test]
fn a_debt_of_a_network_that_forbids_gc_is_paid() {
    let Some(node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    edit_record(&node, &pod, |record| {
        record["attachments"][0]["config"] =
            json!({"cniVersion": "1.0.0", "name": "a", "disableGC": true, "plugins": [{"type": "a"}]})
    });
    a.as_usual("DEL");
    age(&node, &pod);
    last_sweep(6);
    status(&node).silence();
    eventually("the debt to be paid", || pod.record(&node).is_none());
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

/// `plexus sweep`, as `plexusctl gc` starts it.
fn command(node: &Node, words: &[&str]) -> (bool, String) {
    let file = Path::new("/run/node/config.json");
    fs::write(file, node.config.to_string()).unwrap();
    let output = Command::new(node.bin().join("plexus"))
        .arg("sweep")
        .args(words)
        .env("CNI_PATH", node.bin())
        .stdin(fs::File::open(file).unwrap())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_person_can_ask_for_it_and_need_not_wait() {
    let Some(node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    let row = |deleted: bool| json!([{"container": pod.id, "pod": "default/debt", "network": "default/a", "interface": "net1", "reason": "owed: network default/a (net1): a is broken", "deleted": deleted}]);
    let rows = |text: &str| {
        let mut rows: Value = serde_json::from_str(text).unwrap();
        rows[0]["reason"] = json!(rows[0]["reason"].as_str().unwrap().replace("plugin a: ", ""));
        rows
    };
    // It still fails.
    for words in [["--dry-run"].as_slice(), &[]] {
        let (success, text) = command(&node, words);
        assert!(success, "{text}");
        assert_eq!(rows(&text), row(false));
    }
    assert_eq!(a.calls_of("DEL").len(), 2);
    a.as_usual("DEL");
    let (_, text) = command(&node, &[]);
    assert_eq!(rows(&text), row(true));
    assert!(pod.record(&node).is_none());
    assert_eq!(command(&node, &[]), (true, "[]".to_owned()));
    // Not while another works.
    let lock = FileLock::try_acquire(Path::new("/run/plexus/sweep.lock")).unwrap().unwrap();
    assert!(!command(&node, &[]).0);
    drop(lock);
}

/// `plexusctl gc` on `node`: its exit code, and what it printed.
fn plexusctl(node: &Node, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command
        .arg("gc")
        .args(words)
        .arg("--cni-conf-dir")
        .arg(node.net_d())
        .arg("--plugin")
        .arg(node.bin().join("plexus"));
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn plexusctl_shows_what_would_go_and_what_went() {
    let Some(node) = Node::new() else { return };
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "istio-cni"}, node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let (pod, a) = indebted(&node);
    let lines =
        |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    let (code, text) = plexusctl(&node, &["--dry-run"]);
    assert_eq!(code, Some(0));
    assert_eq!(lines(&text)[0], "POD NETWORK INTERFACE CONTAINER OUTCOME REASON");
    assert!(
        lines(&text)[1]
            .starts_with("default/debt default/a net1 debt-01234567 would go owed: network default/a (net1)"),
        "{text}"
    );
    let (code, text) = plexusctl(&node, &[]);
    assert!(code == Some(3) && text.contains("still owed"), "{code:?} {text}");
    a.as_usual("DEL");
    let (code, text) = plexusctl(&node, &["-o", "json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &document["dryRun"], &document["attachments"][0]["deleted"]),
        (Some(0), &json!(false), &json!(true))
    );
    assert!(pod.record(&node).is_none());
    assert_eq!(plexusctl(&node, &[]), (Some(0), String::new()));
}
