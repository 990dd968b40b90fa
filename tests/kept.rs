//! What a call knows is not lost: where programs are today, what a chain made before it failed, what is owed and what
//! is not, and the call itself, whatever becomes of its stderr or of one value of its configuration.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::json;
use std::fs;
use std::time::Duration;
use support::{Node, Pod};

#[test]
fn programs_are_looked_for_where_they_are_today_too() {
    // H8, FAULT-20: an upgrade of the node removes the folder with the old release's name.
    let Some(node) = Node::new() else { return };
    let [a, primary] = [node.recorded_network("a"), node.recorder("primary")];
    let old = node.bin().with_file_name("bin-1");
    fs::create_dir(&old).unwrap();
    for recorder in [&a, &primary] {
        fs::rename(recorder.program(), old.join(&recorder.name)).unwrap();
    }
    let pod = Pod::new(&node, "upgraded").selecting("a");
    pod.call("ADD").env("CNI_PATH", old.display().to_string()).make().result();
    for recorder in [&a, &primary] {
        fs::rename(old.join(&recorder.name), recorder.program()).unwrap();
    }
    pod.del().silence();
    assert_eq!(node.call_names().last().unwrap(), "DEL primary eth0");
    assert_eq!(a.calls_of("DEL").len(), 1);
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_chained_program_that_is_missing_does_not_keep_the_others() {
    // FAULT-20
    let Some(node) = Node::new() else { return };
    let plugins = json!([{"type": "a"}, {"type": "b"}, {"type": "c"}]);
    node.network("default/abc", &json!({"cniVersion": "1.0.0", "name": "abc", "plugins": plugins}));
    let [a, b, c] = ["a", "b", "c"].map(|name| node.recorder(name));
    let pod = Pod::new(&node, "chained").selecting("abc");
    pod.add().result();
    b.uninstall();
    pod.del().refusal(7, &["default/abc", "plugin b"]);
    assert_eq!(node.call_names()[4..], ["DEL c net1", "DEL a net1", "DEL primary eth0"]);
    // What is deleted is not owed.
    let owed = &pod.record(&node).unwrap()["attachments"][0];
    assert_eq!((&owed["state"], &owed["config"]["plugins"]), (&json!("owed"), &json!([{"type": "b"}])));
    let b = node.recorder("b");
    pod.del().silence();
    assert_eq!((a.calls_of("DEL").len(), c.calls_of("DEL").len()), (1, 1));
    assert_eq!(b.call_of("DEL").config()["prevResult"]["interfaces"][0]["name"], "net1");
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_refused_add_owes_nothing() {
    let Some(node) = Node::new() else { return };
    let primary = node.recorder("primary");
    primary.on("DEL", "fail 42 'I know no such container'");
    node.network("default/missing", &json!({"cniVersion": "1.0.0", "type": "missing"}));
    let pod = Pod::new(&node, "refused").selecting("missing");
    pod.add().refusal(7, &["missing"]);
    pod.del().silence();
    assert!(pod.record(&node).is_none());
    // The program of the default network itself.
    primary.uninstall();
    let pod = Pod::new(&node, "nothing");
    pod.add().refusal(7, &["primary"]);
    pod.del().silence();
    assert!(pod.record(&node).is_none());
    // Of a sandbox that nobody refused it is owed.
    Pod::new(&node, "older").del().error();
}

#[test]
fn what_a_chain_made_before_it_failed_is_deleted_with_its_result() {
    let Some(node) = Node::new() else { return };
    let plugins = json!([{"type": "a"}, {"type": "b"}, {"type": "c"}]);
    node.network("default/abc", &json!({"cniVersion": "1.0.0", "name": "abc", "plugins": plugins}));
    let [a, b, c] = ["a", "b", "c"].map(|name| node.recorder(name));
    a.answers(&json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/24"}]}));
    b.answers(&json!({"cniVersion": "1.0.0", "ips": [{"address": "10.2.0.2/24"}]}));
    c.on("ADD", "fail 11 later");
    Pod::new(&node, "half").selecting("abc").add().refusal(11, &["plugin c", "later"]);
    // A firewall deletes its rules by the address in it.
    for recorder in [&a, &b, &c] {
        assert_eq!(recorder.call_of("DEL").config()["prevResult"]["ips"][0]["address"], "10.2.0.2/24");
    }
}

#[test]
fn results_are_kept_while_later_networks_are_attached() {
    // FAULT-1
    let Some(node) = Node::new() else { return };
    let [a, slow] = ["a", "slow"].map(|name| node.recorded_network(name));
    slow.on("ADD", "touch $here/began; sleep 60");
    let pod = Pod::new(&node, "killed").selecting("a,slow");
    let running = pod.call("ADD").start();
    support::eventually("the slow delegate", || slow.folder().join("began").exists());
    running.kill();
    pod.del().silence();
    assert_eq!(a.call_of("DEL").config()["prevResult"]["interfaces"][0]["name"], "net1");
}

#[test]
fn a_chain_that_is_killed_on_its_way_keeps_its_results() {
    // FAULT-1: the call is killed, and with it the chain's second or third plugin.
    let Some(node) = Node::new() else { return };
    let list = |name: &str, last: &str| {
        let plugins = json!([{"type": "a"}, {"type": "b"}, {"type": last}]);
        json!({"cniVersion": "1.0.0", "name": name, "plugins": plugins})
    };
    let [a, b] = ["a", "b"].map(|name| node.recorder(name));
    a.answers(&json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/24"}]}));
    b.answers(&json!({"cniVersion": "1.0.0", "ips": [{"address": "10.2.0.2/24"}]}));
    let addresses = || {
        let calls = [&a, &b].map(|recorder| recorder.calls_of("DEL").pop().unwrap());
        calls.map(|call| call.config()["prevResult"]["ips"][0]["address"].as_str().unwrap().to_owned())
    };
    // As a plain pod's default network, and as one of several that are attached at the same time.
    for (name, parallel) in [("alone", false), ("parallel", true)] {
        let slow = node.recorder(&format!("slow-{name}"));
        slow.on("ADD", "touch $here/began; sleep 60");
        let pod = match parallel {
            false => {
                node.primary(&list("cbr0", &slow.name));
                Pod::new(&node, name)
            }
            true => {
                node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary"}]}));
                node.network("default/chain", &list("chain", &slow.name));
                node.recorded_network("other");
                Pod::new(&node, name).selecting("chain,other").configured("parallel", json!(true))
            }
        };
        let running = pod.call("ADD").start();
        support::eventually("the slow plugin", || slow.folder().join("began").exists());
        running.kill();
        pod.del().silence();
        assert_eq!(addresses(), ["10.2.0.2/24", "10.2.0.2/24"], "{name}");
        assert!(pod.record(&node).is_none());
    }
}

#[test]
fn a_list_without_a_version_hands_its_results_on() {
    let Some(node) = Node::new() else { return };
    for (name, version) in [("none", None), ("first", Some("0.1.0")), ("second", Some("0.2.0"))] {
        let mut list = json!({"name": name, "plugins": [{"type": "a"}, {"type": "b"}]});
        if let Some(version) = version {
            list["cniVersion"] = json!(version);
        }
        node.network(&format!("default/{name}"), &list);
        let [a, b] = ["a", "b"].map(|name| node.recorder(name));
        let result = json!({"cniVersion": version.unwrap_or("0.1.0"), "ip4": {"ip": "10.1.0.2/24"}});
        a.answers(&result);
        b.answers(&result);
        let pod = Pod::new(&node, name).selecting(name);
        pod.add().result();
        pod.del().silence();
        // As libcni does; CNI-DEL-06
        assert_eq!(b.call_of("ADD").config()["prevResult"]["ip4"]["ip"], "10.1.0.2/24", "{name}");
        assert_eq!(a.call_of("ADD").config().get("prevResult"), None, "{name}");
        assert_eq!(b.call_of("DEL").config().get("prevResult"), None, "{name}");
        node.forget_calls();
    }
}

#[test]
fn a_stderr_that_cannot_be_written_is_no_failure() {
    // M5: the runtime was restarted meanwhile, or writes to a disk that is full.
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    for (name, redirection) in [("full", "2>/dev/full"), ("closed", "2>&-")] {
        let program = node.bin().with_file_name(name);
        let text = format!("#!/bin/sh\nexec {} {redirection}\n", node.bin().join("plexus").display());
        support::node::write_program(&program, &text);
        let pod = Pod::new(&node, name).selecting("a").configured("logLevel", json!("debug"));
        pod.call("ADD").of_program(&program).make().result();
        // What recorders answer is not in the kernel.
        pod.call("CHECK").of_program(&program).make().refusal(101, &[]);
        pod.call("DEL").of_program(&program).make().silence();
        assert!(pod.record(&node).is_none());
    }
}

#[test]
fn a_mistake_in_one_value_stops_neither_del_nor_status() {
    // M7
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "mistaken");
    pod.add().result();
    let pod = pod.configured("parallel", json!("yes"));
    pod.add().refusal(7, &["parallel"]);
    pod.call("CHECK").make().refusal(7, &["parallel"]);
    let answer = pod.del();
    answer.silence();
    assert!(answer.stderr.contains("parallel"), "{}", answer.stderr);
    assert_eq!(node.call_names(), ["ADD primary eth0", "DEL primary eth0"]);
    for verb in ["STATUS", "GC"] {
        let answer = support::Call::of_node(&node, verb).configured("parallel", json!("yes")).make();
        answer.silence();
        assert!(answer.stderr.contains("parallel"), "{verb}: {}", answer.stderr);
        // Whoever asks why no pod starts finds it in the log of STATUS.
        assert_eq!(answer.stderr.contains("every ADD is refused"), verb == "STATUS", "{}", answer.stderr);
    }
}

#[test]
fn the_group_in_a_stale_note_is_not_killed() {
    // H4
    use std::os::unix::process::CommandExt;
    let Some(node) = Node::new() else { return };
    let mut innocent = std::process::Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
    let pod = Pod::new(&node, "stale");
    let path = node.run().lock(&plexus::cni::ContainerId::new(pod.id.clone()).unwrap());
    let lock = plexus::sys::lock::FileLock::try_acquire(&path).unwrap().unwrap();
    fs::write(&path, format!("{} 1 {}", i32::MAX, innocent.id())).unwrap();
    let running = pod.call("DEL").start();
    std::thread::sleep(Duration::from_millis(300));
    assert!(innocent.try_wait().unwrap().is_none(), "killed");
    drop(lock);
    running.wait().silence();
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}
