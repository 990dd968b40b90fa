//! When something goes wrong: what is undone, what is answered, and what is not even begun.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::json;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::{Node, Pod, kernel, manifests};

#[test]
fn after_a_failure_all_that_was_attempted_is_undone_in_reverse() {
    // FAULT-35
    let Some(node) = Node::new() else { return };
    let [a, b, _c] = ["a", "b", "c"].map(|name| node.recorded_network(name));
    b.on("ADD", "fail 42 'no cable'");
    let pod = Pod::new(&node, "undo").selecting("a,b,c");
    // NPWG-ERR-01, CNI-DLG-08
    pod.add().refusal(42, &["default/b", "net2", "plugin b", "no cable"]);
    // CNI-ADD-08, CNI-DLG-09, CNI-DLG-15: the failing one too; what was not attempted is left alone.
    let undone = ["DEL b net2", "DEL a net1", "DEL primary eth0"];
    assert_eq!(node.call_names(), [["ADD primary eth0", "ADD a net1", "ADD b net2"], undone].concat());
    // CNI-DEL-02: each with its own result.
    assert_eq!(a.call_of("DEL").config()["prevResult"]["interfaces"][0]["name"], "net1");
    assert_eq!(b.call_of("DEL").config().get("prevResult"), None);
    assert!(pod.record(&node).is_none());
    // CNI-DEL-09: the DEL that the runtime sends all the same finds nothing to fear.
    pod.del().silence();
}

#[test]
fn a_list_that_fails_in_the_middle_is_undone_as_a_whole() {
    let Some(node) = Node::new() else { return };
    let plugins = json!([{"type": "a"}, {"type": "b"}, {"type": "c"}]);
    node.network("default/abc", &json!({"cniVersion": "1.0.0", "name": "abc", "plugins": plugins}));
    let [_a, b, _c] = ["a", "b", "c"].map(|name| node.recorder(name));
    b.on("ADD", "fail 11 later");
    Pod::new(&node, "middle").selecting("abc").add().refusal(11, &["plugin b", "later"]);
    // CNI-ADD-08, CNI-DLG-09: also plugins that were never reached.
    assert_eq!(node.call_names()[3..], ["DEL c net1", "DEL b net1", "DEL a net1", "DEL primary eth0"]);
}

#[test]
fn the_first_error_is_the_answer_and_what_cannot_be_undone_is_owed() {
    // FAULT-35
    let Some(node) = Node::new() else { return };
    let [a, b] = ["a", "b"].map(|name| node.recorded_network(name));
    b.on("ADD", "fail 42 first");
    a.on("DEL", "fail 43 second");
    let pod = Pod::new(&node, "both").selecting("a,b");
    let error = pod.add().refusal(42, &["first"]);
    // CNI-DLG-09
    assert!(error.details.contains("second") && !error.msg.contains("second"), "{error:?}");
    assert_eq!(node.call_names()[3..], ["DEL b net2", "DEL a net1", "DEL primary eth0"]);
    let record = pod.record(&node).unwrap();
    assert_eq!(record["attachments"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&record["attachments"][0]["ifname"], &record["attachments"][0]["state"]),
        (&json!("net1"), &json!("owed"))
    );
    a.as_usual("DEL");
    pod.del().silence();
    assert!(pod.record(&node).is_none());
}

#[test]
fn the_default_networks_failure_stops_everything() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    node.recorder("primary").on("ADD", "fail 50 starting");
    // NPWG-ERR-01
    Pod::new(&node, "default").selecting("a").add().refusal(50, &["cbr0", "eth0", "starting"]);
    assert_eq!(node.call_names(), ["ADD primary eth0", "DEL primary eth0"]);
}

#[test]
fn what_can_be_known_to_fail_is_refused_before_the_default_network() {
    let Some(node) = Node::new() else { return };
    let conf = |extra: serde_json::Value| {
        let mut conf = json!({"cniVersion": "1.0.0"});
        conf.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        conf
    };
    let cases = [
        ("no-plugin", conf(json!({"type": "not-installed"})), ["net1", "not-installed"]),
        ("no-ipam", conf(json!({"type": "bridge", "ipam": {"type": "no-such-ipam"}})), ["net1", "no-such-ipam"]),
        (
            "second",
            conf(json!({"name": "x", "plugins": [{"type": "primary"}, {"type": "not-installed"}]})),
            ["net1", "not-installed"],
        ),
        ("no-master", conf(json!({"type": "macvlan", "master": "uplink9"})), ["macvlan", "uplink9"]),
        (
            "inside",
            conf(json!({"type": "macvlan", "master": "uplink9", "linkInContainer": true})),
            ["macvlan", "uplink9"],
        ),
        ("itself", conf(json!({"type": "plexus"})), ["plexus", "never end"]),
        (
            "multus",
            conf(json!({"name": "x", "plugins": [{"type": "primary"}, {"type": "multus"}]})),
            ["multus", "never end"],
        ),
        ("no-type", conf(json!({})), ["spec.config", "type"]),
        ("path", conf(json!({"type": "../../bin/sh"})), ["spec.config", "../../bin/sh"]),
    ];
    for (name, config, words) in cases {
        node.network(&format!("default/{name}"), &config);
        let pod = Pod::new(&node, name).selecting(name);
        // NPWG-NAD-10, CNI-CFG-11, CNI-ADD-06
        pod.add().refusal(7, &[&format!("default/{name}"), words[0], words[1]]);
        assert!(pod.record(&node).is_none());
    }
    node.network_text("default/broken", "{ no json");
    Pod::new(&node, "broken").selecting("broken").add().refusal(7, &["default/broken", "spec.config"]);
    assert_eq!(node.call_names(), [""; 0]);
    assert_eq!(kernel::host_links(), [""; 0]);
}

#[test]
fn a_network_that_does_not_exist_is_refused_before_the_default_network() {
    let Some(node) = Node::new() else { return };
    manifests::network("default/a", &json!({"cniVersion": "1.0.0", "type": "primary"}));
    let _daemon = Daemon::start(&node);
    // NPWG-ERR-04, NPWG-NAD-07
    let refused = Pod::new(&node, "unknown").selecting("a,unheard-of").add();
    refused.refusal(7, &["default/unheard-of", "NetworkAttachmentDefinition"]);
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_master_that_an_earlier_network_makes_is_not_missed() {
    let Some(node) = Node::new() else { return };
    node.network("default/br", &json!({"cniVersion": "1.0.0", "type": "br", "bridge": "made0"}));
    node.recorder("br").on("ADD", "ip link add made0 type bridge >&2; ip link set made0 up >&2; result");
    node.network("default/mv", &json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "made0"}));
    let pod = Pod::new(&node, "made").selecting("br,mv");
    pod.add().result();
    assert_eq!(kernel::links(&pod.netns), ["net2"]);
    pod.del().silence();
}

#[test]
fn a_delegate_that_hangs_is_killed_with_its_children_and_deleted() {
    // FAULT-33
    let Some(node) = Node::new() else { return };
    let slow = node.recorded_network("slow");
    slow.on("ADD", "sleep 60 & sleep 60; result");
    let pod = Pod::new(&node, "hang").selecting("slow").configured("delegateTimeoutSeconds", json!(0.5));
    // CNI-EXEC-03, CNI-ERR-10
    pod.add().refusal(11, &["default/slow", "net1", "plugin slow", "killed"]);
    assert_eq!(node.call_names()[2..], ["DEL slow net1", "DEL primary eth0"]);
    assert_eq!(slow.call_of("ADD").stop, None);
    node.runs_nothing();
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_pool_that_is_held_locked_is_waited_for_as_long_as_a_program() {
    let Some(node) = Node::new() else { return };
    node.network(
        "default/lan",
        &json!({"cniVersion": "1.0.0", "name": "lan", "type": "bridge", "bridge": "br0",
        "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"}}),
    );
    let pool = std::path::Path::new("/var/lib/cni/networks/lan");
    fs::create_dir_all(pool).unwrap();
    let lock = fs::File::create(pool.join("lock")).unwrap();
    let pod = |name| Pod::new(&node, name).selecting("lan").configured("delegateTimeoutSeconds", json!(0.5));
    let attached = pod("attached");
    attached.add().result();
    lock.lock().unwrap();
    let begun = Instant::now();
    pod("waits").add().refusal(5, &["default/lan", "net1", "/var/lib/cni/networks/lan"]);
    attached.del().refusal(5, &["default/lan", "net1"]);
    // Without the limit both take more than a minute.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    lock.unlock().unwrap();
    attached.del().silence();
    assert_eq!(fs::read_dir(pool).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "lock").count(), 1);
}

#[test]
fn a_delegate_that_hangs_on_del_is_killed_and_owed() {
    // FAULT-33
    let Some(node) = Node::new() else { return };
    let slow = node.recorded_network("slow");
    slow.on("DEL", "sleep 60 & sleep 60");
    let pod = Pod::new(&node, "hang-del").selecting("slow").configured("delegateTimeoutSeconds", json!(0.5));
    pod.add().result();
    // NPWG-ERR-02, NPWG-ERR-03
    pod.del().refusal(11, &["default/slow", "net1", "plugin slow"]);
    assert_eq!(node.call_names()[2..], ["DEL slow net1", "DEL primary eth0"]);
    node.runs_nothing();
    slow.as_usual("DEL");
    pod.del().silence();
    assert_eq!(node.call_names().last().unwrap(), "DEL slow net1");
    assert!(pod.record(&node).is_none());
}

#[test]
fn an_answer_that_is_no_answer_fails_the_pod_and_is_undone() {
    // FAULT-33
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let cases = [
        // CNI-DLG-04
        ("garbage", "echo '<html>'", "printed no result"),
        ("silent", "exit 0", "nothing at all"),
        ("half", "result | head -c 40", "printed no result"),
        ("two", "result; result", "printed no result"),
        ("version", "echo '{\"cniVersion\":\"7.0.0\"}'", "7.0.0"),
        // CNI-ERR-06
        ("mute", "exit 3", "status 3"),
        ("stderr", "echo 'it rained' >&2; exit 1", "it rained"),
        ("text", "echo 'plain text'; exit 1", "plain text"),
        ("killed", "kill -9 $$", "signal 9"),
        ("flood", "head -c 100000000 /dev/zero", "more than"),
    ];
    for (name, script, word) in cases {
        a.on("ADD", script);
        node.forget_calls();
        let pod = Pod::new(&node, name).selecting("a");
        let error = pod.add().refusal(100, &["default/a", "net1", "plugin a", word]);
        assert!(error.msg.len() < 1000, "{error:?}");
        assert_eq!(node.call_names(), ["ADD primary eth0", "ADD a net1", "DEL a net1", "DEL primary eth0"], "{name}");
    }
    // A result and then a failure is a failure.
    node.forget_calls();
    a.on("ADD", "result; exit 1");
    Pod::new(&node, "late").selecting("a").add().error();
    assert_eq!(a.calls_of("DEL").len(), 1);
    node.runs_nothing();
}

#[test]
fn a_child_that_keeps_the_output_open_is_not_waited_for() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    a.on("ADD", "result; sleep 60 &");
    let pod = Pod::new(&node, "daemonising").selecting("a");
    let began = Instant::now();
    pod.add().result();
    // Far from the child's minute, however slow the machine.
    assert!(began.elapsed() < Duration::from_secs(30));
    pod.del().silence();
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_daemon_that_a_delegate_leaves_behind_is_let_live_and_holds_up_nobody() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    // As dnsname starts dnsmasq: a session of its own, with whatever descriptors it inherited.
    a.on("ADD", "setsid sleep 61 </dev/null >/dev/null 2>&1 & sleep 62 </dev/null >/dev/null 2>&1 & result");
    let mut pod = Pod::new(&node, "dnsmasq").selecting("a");
    let began = Instant::now();
    pod.add().result();
    pod.ifname = "eth1".to_owned();
    pod.annotations = Some(std::collections::BTreeMap::new());
    pod.add().result();
    pod.del().silence();
    assert_eq!(node.processes().len(), 2, "{:?}", node.processes());
    pod.ifname = "eth0".to_owned();
    pod.del().silence();
    // Far from the daemon's minute, however slow the machine.
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(pod.record(&node).is_none());
}

#[test]
fn what_a_delegate_that_crashed_left_running_is_ended() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    a.on("ADD", "(sleep 63; ip link add leak type bridge) </dev/null >/dev/null 2>&1 & kill -9 $$");
    let pod = Pod::new(&node, "crashed").selecting("a");
    pod.add().refusal(100, &["default/a", "signal 9"]);
    node.runs_nothing();
    pod.del().silence();
}

#[test]
fn a_plugin_that_is_being_replaced_is_waited_for() {
    // FAULT-20
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let pod = Pod::new(&node, "busy").selecting("a");
    let writing = OpenOptions::new().append(true).open(a.program()).unwrap();
    let running = pod.call("ADD").start();
    support::eventually("the default network", || node.call_names().len() == 1);
    std::thread::sleep(Duration::from_millis(300));
    assert!(a.calls().is_empty());
    drop(writing);
    // CNI-EXEC-02
    running.wait().result();
    pod.del().silence();
    // One that stays busy is an error that says so, where the reference answers success.
    let _writing = OpenOptions::new().append(true).open(a.program()).unwrap();
    let pod = Pod::new(&node, "busier").selecting("a").configured("delegateTimeoutSeconds", json!(0.5));
    pod.add().refusal(5, &["default/a", "Text file busy"]);
}

#[test]
fn a_plugin_that_cannot_be_executed_is_named() {
    // FAULT-20
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    fs::set_permissions(a.program(), fs::Permissions::from_mode(0o644)).unwrap();
    // CNI-EXEC-01
    Pod::new(&node, "not-executable").selecting("a").add().refusal(5, &["default/a", "plugin a", "Permission denied"]);
    // As a missing one, it is found before the default network is attached.
    assert_eq!(node.call_names(), [""; 0]);
    support::node::write_program(a.program(), "\u{7f}ELF of another machine");
    Pod::new(&node, "foreign").selecting("a").add().refusal(5, &["default/a", "plugin a", "Exec format error"]);
}

#[test]
fn one_network_that_cannot_be_deleted_does_not_keep_the_others() {
    // FAULT-36
    let Some(node) = Node::new() else { return };
    let [_a, b, _c] = ["a", "b", "c"].map(|name| node.recorded_network(name));
    b.on("DEL", "fail 42 stuck");
    let pod = Pod::new(&node, "stuck").selecting("a,b,c");
    pod.add().result();
    // NPWG-ERR-02, NPWG-ERR-03, CNI-DLG-05
    pod.del().refusal(42, &["default/b", "net2", "stuck"]);
    assert_eq!(node.call_names()[4..], ["DEL c net3", "DEL b net2", "DEL a net1", "DEL primary eth0"]);
    let record = pod.record(&node).unwrap();
    assert_eq!(record["attachments"].as_array().unwrap().len(), 1, "{record}");
}

#[test]
fn a_plugin_that_is_missing_on_del_is_a_debt() {
    // FAULT-20
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let pod = Pod::new(&node, "uninstalled").selecting("a");
    pod.add().result();
    a.uninstall();
    // CNI-DEL-05
    let error = pod.del().error();
    assert!(error.msg.contains("plugin a") && error.msg.contains("default/a"), "{error:?}");
    assert_eq!(node.call_names()[2..], ["DEL primary eth0"]);
    let a = node.recorder("a");
    pod.del().silence();
    assert_eq!(a.calls_of("DEL").len(), 1);
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_delegate_that_does_not_read_or_complains_without_end_is_no_problem() {
    // FAULT-33
    let Some(node) = Node::new() else { return };
    let long = "x".repeat(1 << 20);
    node.network("default/deaf", &json!({"cniVersion": "1.0.0", "type": "deaf", "note": long}));
    let answer = r#"{"cniVersion":"1.0.0","ips":[]}"#;
    support::node::write_program(&node.bin().join("deaf"), &format!("#!/bin/sh\nexec <&-\necho '{answer}'\n"));
    let pod = Pod::new(&node, "deaf").selecting("deaf");
    pod.add().result();
    pod.del().silence();
    let loud = node.recorded_network("loud");
    loud.on("ADD", "yes complaint | head -c 50000000 >&2; result").on("DEL", "yes complaint | head -c 50000000 >&2");
    let pod = Pod::new(&node, "loud").selecting("loud");
    let answer = pod.add();
    answer.result();
    // CNI-DLG-03: the beginning of it is passed on.
    assert!(answer.stderr.contains("complaint") && answer.stderr.len() < 1 << 20, "{}", answer.stderr.len());
    pod.del().silence();
}

/// L5: what a plugin prints reaches root's terminal and the runtime's log.
#[test]
fn what_a_delegate_prints_does_not_act_on_a_terminal() {
    let Some(node) = Node::new() else { return };
    let hostile = r"a\033]0;x\007b\033[2Jc\302\2332Jd\342\200\256e\177f";
    let is_harmless = |text: &str| text.chars().all(|c| c == '\n' || !plexus::sys::printable::acts(c));
    let a = node.recorded_network("a");
    for (number, script) in [
        format!("printf '{hostile}\\nmore\\n' >&2; result"),
        format!("printf '{hostile}' >&2; exit 1"),
        format!("printf '{hostile}'; exit 1"),
        // The JSON text names them by escapes, or as they are.
        r#"printf '{"code":7,"msg":"a\\u001b[2Jb\\u202ec\302\2332J","details":"a\\u001b[2Jb\\u202ec"}'; exit 1"#
            .to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        a.on("ADD", &script);
        let pod = Pod::new(&node, &format!("hostile{number}")).selecting("a").configured("logLevel", json!("debug"));
        let answer = pod.add();
        assert!(is_harmless(&answer.stderr), "{script}: {:?}", answer.stderr);
        if number == 0 {
            assert!(answer.stderr.contains("a ]0;x b [2Jc 2Jd e f\nmore\n"), "{:?}", answer.stderr);
        } else {
            let error = answer.error();
            assert!(is_harmless(&error.msg) && is_harmless(&error.details), "{script}: {error:?}");
            assert!(error.msg.contains('b') && error.msg.contains('c'), "{script}: {error:?}");
        }
        pod.del().silence();
    }
}

#[test]
fn a_sandbox_that_ends_during_an_add_is_cleaned_up_by_del() {
    // FAULT-16
    let Some(node) = Node::new() else { return };
    let slow = node.recorded_network("slow");
    slow.on("ADD", "touch $here/began; sleep 0.5; fail 8 'namespace is gone'");
    let pod = Pod::new(&node, "ends").selecting("slow");
    let running = pod.call("ADD").start();
    support::eventually("the slow delegate", || slow.folder().join("began").exists());
    pod.end_sandbox();
    running.wait().refusal(8, &["default/slow"]);
    assert_eq!(node.call_names()[2..], ["DEL slow net1", "DEL primary eth0"]);
    pod.del_without_netns().silence();
    assert!(pod.record(&node).is_none());
}
