//! STATUS fails only when a plain pod could not be attached.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};
use support::{Answer, Call, Node, Pod, Recorder, daemon};

fn status(node: &Node) -> Answer {
    Call::of_node(node, "STATUS").make()
}

/// A default network that knows the verb, with `plugins`.
fn primary(node: &Node, plugins: &[&str]) -> Vec<Recorder> {
    let list: Vec<_> =
        plugins.iter().map(|name| json!({"type": name, "capabilities": {"mac": true}, "x": 1.50})).collect();
    node.primary(&json!({"cniVersion": "1.1.0", "name": "cbr0", "plugins": list}));
    plugins.iter().map(|name| node.recorder(name)).collect()
}

#[test]
fn the_default_network_is_asked() {
    let Some(node) = Node::new() else { return };
    let primary = primary(&node, &["primary", "second"]);
    // CNI-STA-01, CNI-STA-05, CNI-DLG-14
    status(&node).silence();
    for recorder in &primary {
        let call = recorder.call_of("STATUS");
        // CNI-STA-06
        assert_eq!(call.config(), json!({"type": recorder.name, "x": 1.50, "name": "cbr0", "cniVersion": "1.1.0"}));
        assert_ne!(call.env("CNI_PATH"), "");
        for key in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
            assert_eq!(call.env(key), "", "{key}");
        }
    }
}

#[test]
fn a_default_network_that_is_not_there_makes_it_fail() {
    let Some(node) = Node::new() else { return };
    let file = fs::read_to_string(node.primary_file()).unwrap();
    fs::remove_file(node.primary_file()).unwrap();
    // CNI-STA-02
    status(&node).refusal(50, &["10-primary.conflist"]);
    fs::write(node.primary_file(), file).unwrap();
    status(&node).silence();
    // Seen once, a copy serves: pods start all the same.
    fs::remove_file(node.primary_file()).unwrap();
    status(&node).silence();
}

#[test]
fn a_plugin_that_is_missing_makes_it_fail() {
    let Some(node) = Node::new() else { return };
    let primary = primary(&node, &["primary", "second"]);
    primary[1].uninstall();
    // CNI-STA-02
    status(&node).refusal(50, &["cbr0", "second"]);
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_delegates_own_code_passes_unchanged() {
    let Some(node) = Node::new() else { return };
    let primary = primary(&node, &["first", "primary", "third"]);
    // CNI-STA-05, CNI-STA-07
    for code in [50, 51] {
        primary[1].on("STATUS", &format!("fail {code} 'no address is left'"));
        status(&node).refusal(code, &["default network cbr0", "no address is left"]);
    }
    assert!(primary[2].calls().is_empty());
    // CNI-STA-02: any other code means that it cannot serve either.
    primary[1].on("STATUS", "fail 7 'bad key'");
    status(&node).refusal(50, &["bad key"]);
    // CNI-STA-04
    Pod::new(&node, "anyway").add().result();
}

#[test]
fn a_delegate_that_hangs_is_not_waited_for() {
    let Some(node) = Node::new() else { return };
    primary(&node, &["primary"])[0].on("STATUS", "sleep 60");
    let began = Instant::now();
    status(&node).refusal(50, &["cbr0", "primary"]);
    // containerd waits for us without a limit; we wait 2 s.
    assert!(
        began.elapsed() > Duration::from_millis(1900) && began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    node.runs_nothing();
}

#[test]
fn what_plain_pods_do_not_need_is_told_elsewhere() {
    // FAULT-4, FAULT-10
    let Some(node) = Node::new() else { return };
    primary(&node, &["primary"]);
    // A daemon that was killed, and one that is halted.
    let daemon = daemon::Daemon::start(&node);
    daemon.halt();
    status(&node).silence();
    daemon.kill();
    status(&node).silence();
    // A network whose plugin is missing.
    node.network("default/missing", &json!({"cniVersion": "1.1.0", "type": "missing"}));
    status(&node).silence();
    // A debt.
    let broken = node.recorded_network("broken");
    broken.on("DEL", "fail 100 broken");
    let pod = Pod::new(&node, "debt").selecting("broken");
    pod.add().result();
    pod.del().error();
    assert!(pod.record(&node).unwrap()["attachments"][0]["debt"].is_object());
    status(&node).silence();
    assert!(broken.calls_of("STATUS").is_empty());
}

#[test]
fn a_default_network_that_is_a_definition_is_not_waited_for() {
    let Some(mut node) = Node::new() else { return };
    node.config["clusterNetwork"] = json!("chosen");
    node.network("kube-system/chosen", &json!({"cniVersion": "1.1.0", "type": "a"}));
    let a = node.recorder("a");
    let daemon = daemon::Daemon::start(&node);
    daemon.halt();
    let began = Instant::now();
    status(&node).silence();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    a.call_of("STATUS");
}

#[test]
fn versions_without_the_verb() {
    let Some(node) = Node::new() else { return };
    // CNI-STA-07: the default network of this node is of 1.0.0.
    status(&node).silence();
    assert_eq!(node.call_names(), [""; 0]);
    // CNI-STA-08
    for version in ["0.4.0", "1.0.0"] {
        Call::of_node(&node, "STATUS").configured("cniVersion", json!(version)).make().refusal(1, &["STATUS", version]);
    }
}

#[test]
fn chained_it_answers_for_itself_alone() {
    let Some(node) = Node::new() else { return };
    let mut call = Call::of_node(&node, "STATUS");
    call.config.as_object_mut().unwrap().remove("clusterNetwork");
    call.make().silence();
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_built_in_plugin_that_does_not_exist_is_logged_and_fails_nothing() {
    let Some(node) = Node::new() else { return };
    for verb in ["STATUS", "GC"] {
        let answer = Call::of_node(&node, verb).configured("natives", json!(["brigde"])).make();
        answer.silence();
        assert!(answer.stderr.contains("natives") && answer.stderr.contains("brigde"), "{verb}: {}", answer.stderr);
    }
}

#[test]
fn an_uninstallation_is_logged_and_fails_nothing() {
    let Some(node) = Node::new() else { return };
    support::node::write(&node.state().draining(), "");
    let answer = status(&node);
    assert!(answer.status.success() && answer.stderr.contains("is being uninstalled"), "{answer:?}");
}

#[test]
fn a_read_only_state_directory_is_logged_and_fails_nothing() {
    use nix::mount::{MsFlags, mount};
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let none = None::<&str>;
    mount(none, "/var/lib", none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none).unwrap();
    let answer = status(&node);
    let told = "additional networks are not attached: /var/lib/plexus is on a read-only file system";
    assert!(answer.status.success() && answer.stderr.contains(told), "{answer:?}");
    // As it says.
    Pod::new(&node, "plain").add().result();
    Pod::new(&node, "more").selecting("a").add().refusal(5, &["Read-only", "/var/lib/plexus"]);
    mount(none, "/var/lib", none, MsFlags::MS_REMOUNT, none).unwrap();
    assert!(!status(&node).stderr.contains("read-only"));
}

/// Mounts the directory over itself, for nobody to write.
fn read_only(folder: &str) {
    use nix::mount::{MsFlags, mount};
    let none = None::<&str>;
    fs::create_dir_all(folder).unwrap();
    mount(Some(folder), folder, none, MsFlags::MS_BIND, none).unwrap();
    mount(none, folder, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, none).unwrap();
}

/// What every ADD would fail for makes it fail, with the words of ADD.
#[test]
fn a_default_network_that_no_pod_could_get_makes_it_fail() {
    let Some(node) = Node::new() else { return };
    let ipam = json!({"type": "host-local", "subnet": "10.1.0.0/24"});
    let bridge = json!({"type": "bridge", "bridge": "cbr0", "isGateway": true, "ipam": ipam});
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [bridge]}));
    status(&node).silence();
    let pod = |name: &str| Pod::new(&node, name);
    pod("first").add().result();
    status(&node).silence();
    // The bridge has another address, as after a change of the node's range.
    node.ip("address flush dev cbr0");
    node.ip("address add 10.9.0.1/24 dev cbr0");
    let words = ["cbr0", "already has address 10.9.0.1/24"];
    status(&node).refusal(50, &words);
    pod("second").add().refusal(999, &words);
    node.ip("address flush dev cbr0");
    status(&node).silence();
    // Nobody can take an address.
    read_only("/var/lib/cni");
    status(&node).refusal(50, &["cbr0", "/var/lib/cni/networks/cbr0", "Read-only"]);
    pod("third").add().refusal(5, &["/var/lib/cni/networks/cbr0", "Read-only"]);
    nix::mount::umount("/var/lib/cni").unwrap();
    status(&node).silence();
    let pool = std::path::Path::new("/var/lib/cni/networks/cbr0");
    fs::rename(pool, "/var/lib/cni/away").unwrap();
    fs::write(pool, "").unwrap();
    status(&node).refusal(50, &["cbr0", "not a directory"]);
    fs::remove_file(pool).unwrap();
    // The trouble of one network is not that of the node.
    fs::write("/var/lib/cni/networks/lan", "").unwrap();
    let ipam = json!({"type": "host-local", "subnet": "10.2.0.0/24"});
    node.network("default/lan", &json!({"cniVersion": "1.0.0", "name": "lan", "type": "bridge", "ipam": ipam}));
    status(&node).silence();
}

#[test]
fn a_program_of_the_default_network_that_cannot_run_makes_it_fail() {
    let Some(node) = Node::new() else { return };
    let first = primary(&node, &["primary"]);
    fs::write(first[0].program(), "").unwrap();
    status(&node).refusal(50, &["cbr0", "plugin primary", "cannot be executed", "the file is empty"]);
    Pod::new(&node, "p").add().refusal(5, &["the file is empty"]);
}

#[test]
fn a_full_state_directory_and_a_run_directory_are_logged_and_fail_nothing() {
    use nix::mount::{MsFlags, mount, umount};
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    mount(Some("tmpfs"), "/var/lib/plexus", Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
    fs::write("/var/lib/plexus/full", vec![0; 1 << 20]).unwrap_err();
    let answer = status(&node);
    let told = "additional networks are not attached: nothing can be recorded in /var/lib/plexus/sandboxes: No space";
    assert!(answer.status.success() && answer.stderr.contains(told), "{answer:?}");
    // A pod with the default network alone starts: the node stays ready for it.
    Pod::new(&node, "plain").add().result();
    umount("/var/lib/plexus").unwrap();
    read_only("/run/plexus");
    let answer = status(&node);
    assert!(answer.status.success() && answer.stderr.contains("nothing can be written in /run/plexus"), "{answer:?}");
    Pod::new(&node, "more").selecting("a").add().result();
    umount("/run/plexus").unwrap();
    assert!(!status(&node).stderr.contains("nothing can be"));
}

#[test]
fn a_pod_that_starts_without_its_networks_is_told() {
    // D17
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    support::node::write(&node.state().draining(), "");
    let left = |pod: &Pod| {
        let file = node.run().publication(&plexus::cni::ContainerId::new(pod.id.clone()).unwrap());
        let publication: serde_json::Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        publication["leftOut"].clone()
    };
    let pod = Pod::new(&node, "p").selecting("a, other/b");
    let answer = pod.add();
    answer.result();
    for word in ["default/p", "default/a", "other/b", "is being uninstalled"] {
        assert!(answer.stderr.contains(word), "{word}: {}", answer.stderr);
    }
    // The daemon makes an event of it.
    assert_eq!(left(&pod), json!(["default/a", "other/b"]));
    let plain = Pod::new(&node, "plain");
    assert!(!plain.add().stderr.contains("uninstalled"));
    assert_eq!(left(&plain), serde_json::Value::Null);
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD primary eth0"]);
}

#[test]
fn a_status_that_cannot_be_left_for_the_daemon_is_left_by_a_later_call() {
    // FAULT-13: /run is full for a moment.
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let unpublished = node.run().unpublished();
    support::node::write(&unpublished, "no folder");
    let mut pods = vec![Pod::new(&node, "late").selecting("a")];
    let chained = Pod::new(&node, "chained").configured("clusterNetwork", json!(""));
    pods.push(chained.configured("prevResult", json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.9/24"}]})));
    for pod in &pods {
        let answer = pod.add();
        answer.result();
        assert!(answer.stderr.contains("network-status"), "{}", answer.stderr);
    }
    // An operator sees that they wait.
    let plexusctl = |words: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_plexusctl")).args(words).output().unwrap();
        let texts = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (serde_json::from_str::<serde_json::Value>(&texts[0]).unwrap_or_default(), texts[1].clone())
    };
    for command in ["get", "health"] {
        assert_eq!(plexusctl(&[command, "-o", "json"]).0["unpublishedInRecords"], 2, "{command}");
        let told = plexusctl(&[command]).1;
        assert!(told.contains("2 network-statuses wait in the records"), "{told}");
    }
    std::fs::remove_file(&unpublished).unwrap();
    // The next call of anybody sweeps.
    std::fs::remove_file(node.run().path().join("swept")).unwrap();
    Pod::new(&node, "other").add().result();
    for (pod, part) in pods.iter().zip(["net1", "10.0.0.9"]) {
        let file = node.run().publication(&plexus::cni::ContainerId::new(pod.id.clone()).unwrap());
        support::eventually("the publication", || file.exists());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(part) && text.contains(&pod.uid), "{text}");
        support::eventually("the record", || pod.record(&node).unwrap().get("unpublished").is_none());
        pod.del().silence();
        assert!(pod.record(&node).is_none() && !file.exists());
    }
}
