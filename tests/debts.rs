//! What is owed: given up, forgiven, and asked for from a container.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use plexus::sys::lock::FileLock;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;
use support::sweeping::{age, attached, command, edit_record, indebted, last_sweep, plexusctl, status};
use support::{Node, Pod, eventually};

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
fn attempts_that_could_not_be_recorded_count_too() {
    // FAULT-36, FAULT-13: the disk was full at the first two.
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    a.on("DEL", "fail 103 'a is broken'");
    let pod = Pod::new(&node, "full").selecting("a");
    pod.add().result();
    let lock = node.run().lock(&plexus::cni::ContainerId::new(pod.id.clone()).unwrap());
    fs::write(lock.with_file_name(format!("{}.attempts", pod.id)), "2").unwrap();
    pod.del().silence();
    assert_eq!(pod.record(&node).unwrap()["attachments"][0]["debt"]["attempts"], 1);
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

/// A network whose `ipam` has a key that nobody knows: neither ADD nor DEL of it can succeed.
fn mistyped() -> Value {
    json!({"cniVersion": "1.0.0", "name": "typo", "plugins": [
        {"type": "macvlan", "master": "eth1", "ipam": {"type": "host-local", "cidr": "10.78.0.0/24"}}]})
}

#[test]
fn what_was_never_made_is_not_owed() {
    // One wrong key of an ipam section made a debt at every attempt of the kubelet.
    let Some(node) = Node::new() else { return };
    node.ip("link add eth1 type veth peer name eth1-peer");
    node.network("default/typo", &mistyped());
    let pod = Pod::new(&node, "typo").selecting("typo");
    // The code is that of the program.
    assert!(pod.add().error().msg.contains("default/typo"));
    assert!(pod.record(&node).is_none(), "{:?}", pod.record(&node));
    pod.del().silence();
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_lease_of_dhcp_that_no_daemon_can_have_is_not_owed() {
    // The daemon has its leases in memory; the program fails where it does not run, also for DEL.
    let Some(node) = Node::new() else { return };
    node.ip("link add eth1 type veth peer name eth1-peer");
    let ipam = json!({"type": "dhcp"});
    let list =
        |more: Value| json!({"cniVersion": "1.0.0", "name": "dhcp", "type": "macvlan", "master": "eth1", "ipam": more});
    node.network("default/dhcp", &list(ipam));
    let pod = Pod::new(&node, "dhcp").selecting("dhcp");
    assert!(pod.add().error().msg.contains("default/dhcp"));
    assert!(pod.record(&node).is_none(), "{:?}", pod.record(&node));
    pod.del().silence();
    // One that runs may have it.
    let socket = "/run/node/dhcp.sock";
    let _daemon = std::os::unix::net::UnixListener::bind(socket).unwrap();
    node.recorder("dhcp").on("ADD", "fail 11 'no answer'").on("DEL", "fail 11 'no answer'");
    node.network("default/dhcp", &list(json!({"type": "dhcp", "daemonSocketPath": socket})));
    let pod = Pod::new(&node, "served").selecting("dhcp");
    pod.add().refusal(11, &["default/dhcp", "no answer"]);
    assert_eq!(pod.record(&node).unwrap()["attachments"][0]["state"], "owed");
}

#[test]
fn what_a_program_refuses_by_its_configuration_is_not_owed() {
    // E1: what this program makes cannot be seen, but it made nothing. A kubelet that tries again leaves no record.
    let Some(node) = Node::new() else { return };
    let service = node.recorder("service");
    service.on("ADD", "fail 7 'unknown key subnt'").on("DEL", "fail 7 'unknown key subnt'");
    node.network("default/s", &json!({"cniVersion": "1.0.0", "name": "s", "plugins": [{"type": "service"}]}));
    for attempt in 0..5 {
        let pod = Pod::new(&node, &format!("attempt-{attempt}")).selecting("s");
        pod.add().refusal(7, &["default/s", "unknown key subnt"]);
        assert!(pod.record(&node).is_none(), "{:?}", pod.record(&node));
        // Its deletion has nothing to do, and succeeds at once.
        pod.del().silence();
        assert!(pod.record(&node).is_none());
    }
    // ADD may have made something where DEL alone refuses, and where the first one of a chain has answered.
    service.on("ADD", "fail 11 'no answer'");
    let other = Pod::new(&node, "other").selecting("s");
    other.add().refusal(11, &["no answer"]);
    let owed = other.record(&node).unwrap()["attachments"][0].clone();
    assert_eq!((&owed["state"], &owed["refused"]), (&json!("owed"), &Value::Null));
}

#[test]
fn debts_of_a_configuration_that_is_always_refused_end_soon() {
    // E1: most programs have one code for every error.
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let service = node.recorder("service");
    service.on("ADD", "fail 999 'no ranges'").on("DEL", "fail 999 'no ranges'");
    node.network("default/s", &json!({"cniVersion": "1.0.0", "name": "s", "plugins": [{"type": "service"}]}));
    let [_witness] = attached(&node, ["witness"]);
    let pod = Pod::new(&node, "typo").selecting("s");
    pod.add().refusal(999, &["no ranges"]);
    let owed = pod.record(&node).unwrap()["attachments"][0].clone();
    assert_eq!((&owed["state"], &owed["refused"]), (&json!("owed"), &json!(true)));
    // Three DELs, and the pod's deletion succeeds.
    let deleted = (0..3).find(|_| pod.del().status.success());
    assert!(deleted.is_some());
    pod.end_sandbox();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let tried = |attempts: u32, minutes: u64, refused: bool| {
        edit_record(&node, &pod, |record| {
            record["created"] = json!(1);
            record["attachments"][0]["refused"] = json!(refused);
            record["attachments"][0]["debt"] =
                json!({"since": now - 60 * minutes, "last": 1, "attempts": attempts, "error": "no ranges"});
        });
        let (success, text) = command(&node, &[]);
        assert!(success, "{text}");
        pod.record(&node).is_none()
    };
    assert!(!tried(9, 60, false), "its ADD may have made something");
    assert!(!tried(2, 60, true) && !tried(9, 9, true));
    assert!(tried(9, 11, true));
}

#[test]
fn a_debt_of_which_nothing_is_left_is_given_up_after_a_while() {
    let Some(node) = Node::new() else { return };
    node.ip("link add eth1 type veth peer name eth1-peer");
    node.recorded_network("a");
    let [gone, witness] = attached(&node, ["gone", "witness"]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let owe = |attempts: u32, minutes: u64, config: &Value| {
        edit_record(&node, &gone, |record| {
            let mut attachment = record["attachments"].as_array().unwrap().last().unwrap().clone();
            attachment["config"] = config.clone();
            attachment["state"] = json!("owed");
            attachment["debt"] =
                json!({"since": now - 60 * minutes, "last": 1, "attempts": attempts, "error": "no ranges"});
            record["attachments"] = json!([attachment]);
        });
        let (success, text) = command(&node, &[]);
        assert!(success, "{text}");
        gone.record(&node).is_none()
    };
    // While the sandbox lives its DEL may still come: what cannot be seen may be there.
    node.recorder("service").on("DEL", "fail 11 'the API server is away'");
    assert!(!owe(9, 60 * 25, &json!({"cniVersion": "1.0.0", "name": "s", "plugins": [{"type": "service"}]})));
    gone.end_sandbox();
    assert!(!owe(2, 60, &mistyped()), "it was not tried often enough");
    assert!(!owe(9, 9, &mistyped()), "it was not tried for long enough");
    // What another plugin keeps elsewhere cannot be seen here.
    assert!(!owe(9, 60, &json!({"cniVersion": "1.0.0", "name": "s", "plugins": [{"type": "service"}]})));
    // A lease is something that is left.
    let lease = Path::new("/var/lib/cni/networks/typo/10.78.0.2");
    support::node::write(lease, &format!("{}\r\nnet1", gone.id));
    assert!(!owe(9, 60, &mistyped()));
    fs::remove_file(lease).unwrap();
    assert!(owe(9, 60, &mistyped()));
    assert!(witness.record(&node).is_some());
}

#[test]
fn a_debt_is_given_up_although_no_other_sandbox_lives_on_the_node() {
    // FAULT-36
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    node.recorder("service").on("DEL", "fail 11 'the API server is away'");
    let [gone] = attached(&node, ["gone"]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let owe = |minutes: u64, config: Value| {
        edit_record(&node, &gone, |record| {
            let mut attachment = record["attachments"].as_array().unwrap().last().unwrap().clone();
            attachment["config"] = config.clone();
            attachment["state"] = json!("owed");
            attachment["debt"] = json!({"since": now - 60 * minutes, "last": 1, "attempts": 9, "error": "away"});
            record["attachments"] = json!([attachment]);
        });
        let (success, text) = command(&node, &[]);
        assert!(success, "{text}");
        gone.record(&node).is_none()
    };
    let service = || json!({"cniVersion": "1.0.0", "name": "s", "plugins": [{"type": "service"}]});
    assert!(!owe(60 * 25, service()), "the sandbox lives");
    gone.end_sandbox();
    assert!(!owe(60, service()) && !owe(60, mistyped()), "it was not tried for long enough");
    // A lease is something that is left.
    let lease = Path::new("/var/lib/cni/networks/typo/10.78.0.2");
    support::node::write(lease, &format!("{}\r\nnet1", gone.id));
    assert!(!owe(60 * 25, mistyped()));
    fs::remove_file(lease).unwrap();
    assert!(owe(60 * 25, service()));
}

#[test]
fn a_debt_of_a_sandbox_that_lives_is_given_up_where_nothing_is_left() {
    // The link of a host-device is gone, and its program fails for that, as long as the sandbox exists.
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    node.recorder("host-device").on("DEL", "fail 999 'failed to find net1'");
    let [living, _witness] = attached(&node, ["living", "witness"]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let owe = |attempts: u32, minutes: u64| {
        edit_record(&node, &living, |record| {
            let mut attachment = record["attachments"].as_array().unwrap().last().unwrap().clone();
            attachment["config"] = json!({"cniVersion": "1.0.0", "name": "d", "type": "host-device", "device": "eth9"});
            attachment["state"] = json!("owed");
            attachment["debt"] =
                json!({"since": now - 60 * minutes, "last": 1, "attempts": attempts, "error": "failed to find net1"});
            record["attachments"] = json!([attachment]);
        });
        let (success, text) = command(&node, &[]);
        assert!(success, "{text}");
        living.record(&node).is_none()
    };
    assert!(!owe(2, 60) && !owe(9, 9));
    living.ip("link add net1 type veth peer name net9");
    assert!(!owe(9, 60), "there is a link");
    living.ip("link delete net1");
    assert!(owe(9, 60));
}

#[test]
fn a_program_that_cannot_be_executed_does_not_keep_the_rest_of_its_chain() {
    use std::os::unix::fs::PermissionsExt;
    let Some(node) = Node::new() else { return };
    let (first, second) = (node.recorder("first"), node.recorder("second"));
    let plugins = json!([{"type": "first"}, {"type": "second"}]);
    node.network("default/list", &json!({"cniVersion": "1.0.0", "name": "list", "plugins": plugins}));
    let pod = Pod::new(&node, "chmod").selecting("list");
    pod.add().result();
    let mode = |mode| fs::set_permissions(second.program(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    pod.del()
        .refusal(5, &["default/list", "plugin second", "bin/second exists, but cannot be executed: Permission denied"]);
    assert_eq!(first.calls_of("DEL").len(), 1, "{:?}", node.call_names());
    let owed = pod.record(&node).unwrap()["attachments"].clone();
    assert_eq!(owed[0]["config"]["plugins"], json!([{"type": "second"}]), "{owed}");
    mode(0o755);
    pod.del().silence();
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_program_whose_interpreter_is_missing_does_not_keep_the_rest_of_its_chain() {
    let Some(node) = Node::new() else { return };
    let (first, second) = (node.recorder("first"), node.recorder("second"));
    let plugins = json!([{"type": "first"}, {"type": "second"}]);
    node.network("default/list", &json!({"cniVersion": "1.0.0", "name": "list", "plugins": plugins}));
    let [pod, late] = ["interpreter", "late"].map(|name| Pod::new(&node, name).selecting("list"));
    pod.add().result();
    let program = fs::read_to_string(second.program()).unwrap();
    let (_, script) = program.split_once('\n').unwrap();
    fs::write(second.program(), format!("#!/no/such/sh -e\n{script}")).unwrap();
    let words =
        ["plugin second", "bin/second exists, but cannot be executed: its interpreter /no/such/sh does not exist"];
    let refused = pod.del().error();
    assert_eq!(refused.code, 5);
    for words in words {
        assert!(refused.msg.contains(words), "{}", refused.msg);
    }
    // containerd takes these words in a DEL's error for success.
    assert!(!refused.msg.contains("o such file") && !refused.msg.contains("os error"), "{}", refused.msg);
    assert_eq!(first.calls_of("DEL").len(), 1, "{:?}", node.call_names());
    let owed = pod.record(&node).unwrap()["attachments"].clone();
    assert_eq!(owed[0]["config"]["plugins"], json!([{"type": "second"}]), "{owed}");
    // ADD has the same words.
    late.add().refusal(5, &words);
    fs::write(second.program(), &program).unwrap();
    // What is owed is no attachment, and a DEL had come.
    pod.add().refusal(102, &["is not deleted yet", "default/list (net1)", "/no/such/sh does not exist"]);
    pod.del().silence();
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_debt_that_is_given_up_is_shown_as_that_and_each_row_has_its_own_reason() {
    let Some(node) = Node::new() else { return };
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    node.ip("link add eth1 type veth peer name eth1-peer");
    let [a, b] = ["a", "b"].map(|name| node.recorded_network(name));
    let [pod, _witness] = ["two", "witness"].map(|name| Pod::new(&node, name).selecting("a,b"));
    for pod in [&pod, &_witness] {
        pod.add().result();
        age(&node, pod);
    }
    a.on("DEL", "fail 103 'a is broken'");
    b.on("DEL", "fail 103 'b is broken'");
    pod.del().error();
    pod.end_sandbox();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let rows = |text: &str| -> Vec<(String, String, bool, Value)> {
        let document: Value = serde_json::from_str(text).unwrap();
        let row = |row: &Value| {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            (text("network"), text("reason"), row["deleted"].as_bool().unwrap(), row["outcome"].clone())
        };
        document["attachments"].as_array().unwrap().iter().map(row).collect()
    };
    let (code, text) = plexusctl(&node, &["-o", "json"]);
    for (network, reason, deleted, outcome) in rows(&text) {
        let own = network.replace("default/", "");
        assert!(reason.contains(&format!("{own} is broken")) && !deleted && outcome.is_null(), "{code:?} {text}");
    }
    // Of the second nothing is left that this node can show.
    edit_record(&node, &pod, |record| {
        let attachments = record["attachments"].as_array_mut().unwrap();
        let last = attachments.last_mut().unwrap();
        last["config"] = mistyped();
        last["debt"] = json!({"since": now - 3600, "last": 1, "attempts": 9, "error": "no ranges"});
    });
    let (code, text) = plexusctl(&node, &["-o", "json"]);
    let given_up: Vec<_> = rows(&text).into_iter().filter(|row| row.3 == "givenUp").collect();
    assert!(code == Some(3) && given_up.len() == 1 && !given_up[0].2, "{code:?} {text}");
    assert_eq!(pod.record(&node).unwrap()["attachments"].as_array().unwrap().len(), 1);
    a.as_usual("DEL");
    let (code, text) = plexusctl(&node, &[]);
    assert!(code == Some(0) && text.contains(" removed "), "{code:?} {text}");
}

#[test]
fn an_operator_can_forgive_what_is_owed() {
    let Some(node) = Node::new() else { return };
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let (pod, a) = indebted(&node);
    let (code, text) = plexusctl(&node, &["--dry-run", "--forgive"]);
    assert!(code == Some(0) && text.contains("would be forgiven"), "{code:?} {text}");
    assert_eq!(plexusctl(&node, &["--forgive", "another"]).0, Some(1));
    // One name that is wrong, and nothing is forgiven, in any order.
    for names in [["debt", "another"], ["another", "debt"]] {
        assert_eq!(plexusctl(&node, &[&["--forgive"], &names[..]].concat()).0, Some(1));
        assert!(pod.record(&node).is_some(), "{names:?}");
    }
    assert!(pod.record(&node).is_some());
    // Not under a call's hands.
    let lock = FileLock::try_acquire(&node.run().locks().join(format!("{}.lock", pod.id))).unwrap().unwrap();
    let (code, text) = plexusctl(&node, &["--forgive"]);
    assert!(code == Some(3) && text.contains("a call works in the sandbox"), "{code:?} {text}");
    drop(lock);
    let (code, text) = plexusctl(&node, &["-o", "json", "--forgive", "debt-01234567"]);
    let row = &serde_json::from_str::<Value>(&text).unwrap()["attachments"][0];
    assert_eq!((code, &row["forgiven"], &row["deleted"]), (Some(0), &json!(true), &json!(false)));
    assert_eq!((&row["network"], &row["interface"]), (&json!("default/a"), &json!("net1")));
    assert_eq!(row["addresses"], json!(["10.99.0.2/24"]));
    assert!(row["reason"].as_str().unwrap().contains("a is broken"), "{row}");
    assert!(pod.record(&node).is_none());
    assert_eq!(a.calls_of("DEL").len(), 1);
    assert_eq!(plexusctl(&node, &["--forgive"]), (Some(0), String::new()));
}

#[test]
fn an_operator_can_give_up_a_sandbox_that_is_gone_without_its_deletion() {
    let Some(node) = Node::new() else { return };
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let a = node.recorded_network("a");
    let [gone, other] = attached(&node, ["gone", "gone-other"]);
    let both = || gone.record(&node).is_some() && other.record(&node).is_some();
    // It is there.
    assert_eq!(plexusctl(&node, &["--forgive", &gone.id]).0, Some(1));
    for pod in [&gone, &other] {
        pod.end_sandbox();
    }
    // No sandbox of this boot can be seen, so that nothing is deleted; that is printed once.
    let output = Command::new(env!("CARGO_BIN_EXE_plexusctl"))
        .args(["gc", "--cni-conf-dir", node.net_d().to_str().unwrap()])
        .args(["--plugin", node.bin().join("plexus").to_str().unwrap()])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.matches("nothing is deleted:").count()), (Some(3), 1), "{told}");
    // Only by a name that is of no other, and not where nothing of the node can be seen.
    assert_eq!(plexusctl(&node, &["--forgive"]), (Some(0), String::new()));
    assert_eq!(plexusctl(&node, &["--forgive", "gone"]).0, Some(1));
    let (code, _, told) = ended(without_capabilities(&node, &["--forgive", &gone.id]));
    assert!(code == Some(1) && told.contains("on the node only"), "{code:?} {told}");
    let (code, text) = plexusctl(&node, &["--dry-run", "--forgive", &gone.id]);
    assert!(code == Some(0) && text.contains("would be forgiven"), "{code:?} {text}");
    assert!(both());
    let (code, text) = plexusctl(&node, &["-o", "json", "--forgive", &gone.id]);
    let row = &serde_json::from_str::<Value>(&text).unwrap()["attachments"][0];
    assert_eq!((code, &row["forgiven"], &row["addresses"]), (Some(0), &json!(true), &json!(["10.99.0.2/24"])));
    assert!(row["reason"].as_str().unwrap().contains("namespace is missing"), "{row}");
    assert!(gone.record(&node).is_none() && other.record(&node).is_some());
    assert_eq!(a.calls_of("DEL").len(), 0);
}

#[test]
fn a_living_sandbox_is_not_forgiven_where_its_namespace_would_not_be_seen() {
    // A5: a container may have all capabilities and see nothing of the node.
    let Some(node) = Node::new() else { return };
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    node.recorded_network("a");
    let [one, two] = attached(&node, ["one", "two"]);
    let enter = format!("--net={}", two.netns.display());
    let mut process = Command::new("nsenter").args([&enter, "sleep", "60"]).spawn().unwrap();
    eventually("the process in the namespace", || {
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
        inode(format!("/proc/{}/ns/net", process.id()).as_ref()) == inode(&two.netns)
    });
    support::node::tmpfs(Path::new("/run/netns"), "mode=755").unwrap();
    let container = ["--pid", "--fork", "--mount-proc", "--", env!("CARGO_BIN_EXE_plexusctl")];
    let forgive = |id: &str| {
        let mut command = Command::new("unshare");
        command.args(container).arg("gc").arg("--cni-conf-dir").arg(node.net_d());
        command.arg("--plugin").arg(node.bin().join("plexus")).args(["--forgive", id]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = forgive(&one.id);
    assert!(code == Some(1) && told.contains("can be seen on the node only: run this there"), "{code:?} {told}");
    // A stranger's namespace at its path shows nothing.
    let netns = plexus::sys::netns::Netns::create().unwrap();
    let file = fs::File::from(std::os::fd::AsFd::as_fd(&netns).try_clone_to_owned().unwrap());
    support::node::bind(&file, &one.netns).unwrap();
    let (code, told) = forgive(&one.id);
    assert!(code == Some(1) && told.contains("can be seen on the node only: run this there"), "{code:?} {told}");
    // With the node's processes and other mounts, a living one is seen by the process in it (A2).
    assert_eq!(plexusctl(&node, &["--forgive", &two.id]).0, Some(1));
    assert!(one.record(&node).is_some() && two.record(&node).is_some());
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(plexusctl(&node, &["--forgive", &two.id]).0, Some(0));
}

#[test]
fn a_debt_is_not_tried_in_another_network_namespace_than_the_nodes() {
    // A5: in a container the plugins find none of the node's links and leases, and would answer that all is deleted.
    let Some(node) = Node::new() else { return };
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let (pod, a) = indebted(&node);
    a.as_usual("DEL");
    node.forget_calls();
    let gc = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--net", "--", env!("CARGO_BIN_EXE_plexusctl"), "gc", "--cni-conf-dir"]).arg(node.net_d());
        let output = command.arg("--plugin").arg(node.bin().join("plexus")).args(words).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for words in [["--dry-run"].as_slice(), &[]] {
        let (code, told) = gc(words);
        assert!(code == Some(3) && told.contains("not in the node's network namespace"), "{code:?} {told}");
    }
    assert!(pod.record(&node).is_some() && a.calls().is_empty());
    // A record of an older release tells nothing of it.
    edit_record(&node, &pod, |record| drop(record.as_object_mut().unwrap().remove("hostNetnsId")));
    assert_eq!(gc(&[]).0, Some(0));
    assert!(pod.record(&node).is_none());
}

/// `plexusctl gc` as in a container of the manifests: root without any capability.
fn without_capabilities(node: &Node, words: &[&str]) -> std::process::Child {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.arg("gc").args(words).arg("--cni-conf-dir").arg(node.net_d()).arg("--plugin").arg("/nowhere/plexus");
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    // SAFETY: prctl(2) takes numbers.
    unsafe {
        command.pre_exec(|| {
            for capability in 0..64 {
                // What the kernel does not know cannot be dropped.
                nix::libc::prctl(nix::libc::PR_CAPBSET_DROP, capability);
            }
            Ok(())
        });
    }
    command.spawn().unwrap()
}

fn ended(child: std::process::Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn in_a_container_the_nodes_own_plugin_is_asked() {
    // H1
    let Some(node) = Node::new() else { return };
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let (pod, a) = indebted(&node);
    let (code, text, told) = ended(without_capabilities(&node, &["--dry-run"]));
    assert!(code == Some(0) && text.contains("a is broken") && told.contains("only what is owed"), "{text} {told}");
    // No call comes.
    let (code, text, told) = ended(without_capabilities(&node, &["--timeout", "1"]));
    assert!(code == Some(3) && text.contains(" failed "), "{code:?} {text} {told}");
    assert!(told.contains("has not swept within 1 s"), "{told}");
    assert_eq!(a.calls_of("DEL").len(), 1);
    a.as_usual("DEL");
    fs::remove_file(node.run().due().join("all")).unwrap();
    let asking = without_capabilities(&node, &[]);
    eventually("the wish", || node.run().due().join("all").exists());
    last_sweep(6);
    status(&node).silence();
    let (code, text, told) = ended(asking);
    assert_eq!((code, text.as_str()), (Some(0), ""), "{told}");
    assert!(told.contains("sweeping debt-"), "{told}");
    assert!(pod.record(&node).is_none() && !node.run().due().join("all").exists());
    // Where the records cannot be seen there is nothing to ask for.
    fs::rename(node.state().path(), "/var/lib/elsewhere").unwrap();
    let (code, _, told) = ended(without_capabilities(&node, &[]));
    assert!(
        code == Some(1) && told.contains("kubectl -n kube-system exec") && told.contains("-c keeper"),
        "{code:?} {told}"
    );
}

#[test]
fn damaged_records_that_are_kept_are_told() {
    let Some(node) = Node::new() else { return };
    let folder = node.state().damaged();
    for name in ["c1-1", "c2-1"] {
        support::node::write(&folder.join(name), "{");
    }
    let run = |words: &[&str]| {
        let mut gc = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        gc.arg("gc").args(words).arg("--cni-conf-dir").arg(node.net_d()).arg("--plugin").arg(node.bin().join("plexus"));
        gc.output().unwrap()
    };
    let said = String::from_utf8(run(&[]).stderr).unwrap();
    assert!(said.contains(&format!("2 damaged records are kept in {}", folder.display())), "{said}");
    let document: Value = serde_json::from_slice(&run(&["-o", "json"]).stdout).unwrap();
    assert_eq!((&document["damagedFiles"], &document["damagedRecords"]), (&json!(2), &json!(0)), "{document}");
}
