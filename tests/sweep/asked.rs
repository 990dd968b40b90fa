//! A sweep that a person asks for.

use super::*;

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
}

#[test]
fn a_person_waits_for_the_sweep_of_a_call() {
    // Each call may have started one, a moment before the person asks.
    let Some(node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    a.as_usual("DEL");
    let lock = FileLock::try_acquire(&node.run().sweep_lock()).unwrap().unwrap();
    let mut asked = Call::of_node(&node, "GC").start_as(|command| _ = command.arg("sweep"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!asked.has_ended() && pod.record(&node).is_some());
    drop(lock);
    let answer = asked.wait();
    assert!(answer.status.success() && answer.stderr.contains("another sweep is running"), "{answer:?}");
    assert!(pod.record(&node).is_none());
}

#[test]
fn a_mistake_in_one_value_does_not_stop_a_sweep() {
    // M7
    let Some(mut node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    a.as_usual("DEL");
    node.config["parallel"] = json!("yes");
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [node.config]});
    support::node::write(&node.net_d().join("00-plexus.conflist"), &list.to_string());
    let (code, text) = plexusctl(&node, &[]);
    assert!(code == Some(0) && text.contains("removed"), "{code:?} {text}");
    assert!(pod.record(&node).is_none());
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
    assert_eq!(lines(&text)[0], "POD NETWORK INTERFACE CONTAINER RESULT REASON");
    assert!(
        lines(&text)[1]
            .starts_with("default/debt default/a net1 debt-01234567 would be removed owed: network default/a (net1)"),
        "{text}"
    );
    let (code, text) = plexusctl(&node, &[]);
    assert!(code == Some(3) && text.contains(" failed "), "{code:?} {text}");
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

#[test]
fn programs_that_have_moved_are_found_beside_the_plugin() {
    // H8, FAULT-20: no runtime names the directories of plugins where a person asks.
    let Some(node) = Node::new() else { return };
    let (pod, a) = indebted(&node);
    a.as_usual("DEL");
    let moved = Path::new("/run/node/moved");
    fs::create_dir(moved).unwrap();
    let plugin = fs::File::open(node.bin().join("plexus")).unwrap();
    support::node::bind(&plugin, &moved.join("plexus")).unwrap();
    fs::rename(a.program(), moved.join("a")).unwrap();
    let call = Call::of_node(&node, "GC").of_program(&moved.join("plexus")).without_env("CNI_PATH");
    let answer = call.start_as(|command| _ = command.arg("sweep")).wait();
    assert!(answer.status.success() && pod.record(&node).is_none(), "{answer:?}");
}
