//! `PLEXUS_TRACE`: where the time of a call goes.

#![allow(clippy::unwrap_used, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use support::{Node, Pod};

const FILE: &str = "/run/node/trace.txt";

/// A bridge for the default network, and a program for another one.
fn node() -> Option<Node> {
    let node = Node::new()?;
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/16"}]]});
    let bridge = json!({"type": "bridge", "bridge": "br0", "isGateway": true, "ipam": ipam});
    node.primary(&json!({"cniVersion": "1.0.0", "name": "br0", "plugins": [bridge]}));
    node.recorded_network("program");
    Some(node)
}

fn traced(pod: &Pod, verb: &str, file: &str) -> String {
    let answer = pod.call(verb).env("PLEXUS_TRACE", file).make();
    assert!(answer.status.success(), "{answer:?}");
    answer.stderr
}

#[test]
fn a_table_has_each_step_of_a_call() {
    let Some(node) = node() else { return };
    let pod = Pod::new(&node, "traced").selecting("program");
    traced(&pod, "ADD", FILE);
    traced(&pod, "DEL", FILE);
    let text = fs::read_to_string(FILE).unwrap();
    let (add, del) = text.split_once("\n\n").unwrap();
    assert!(add.starts_with(&format!("plexus ADD {} eth0: ", pod.id)), "{add}");
    assert!(del.starts_with(&format!("plexus DEL {} eth0: ", pod.id)), "a second call is appended: {del}");
    let mut rest = add;
    for step in [
        "  read",
        "  lock",
        "  facts",
        "  plexusd",
        "  select and resolve",
        "  preflight",
        "    netlink: list links",
        "  begin",
        "  attach",
        "    network br0 (eth0)",
        "      plugin bridge",
        "netlink: make veth eth0",
        "        addresses",
        "netlink: add address 10.1.0.2/16 to link ",
        "    network default/program (net1)",
        "        program /run/node/bin/program",
        "  settle and commit",
        "  publish",
        "  answer",
    ] {
        let at = rest.find(step);
        assert!(at.is_some(), "{step:?} is missing, or at another place: {text}");
        rest = &rest[at.unwrap_or(0) + step.len()..];
    }
    // "  from (ms)   took (ms)  step", and then a line a step.
    for line in add.lines().skip(2) {
        let numbers: Vec<f64> = line.split_whitespace().take(2).map(|number| number.parse().unwrap()).collect();
        assert!(numbers.iter().all(|number| (0.0..60_000.0).contains(number)), "{line}");
    }
    assert_eq!(fs::metadata(FILE).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_file_called_json_is_a_chrome_trace() {
    let Some(node) = node() else { return };
    let (pod, file) = (Pod::new(&node, "chrome"), "/run/node/trace.json");
    traced(&pod, "ADD", file);
    traced(&pod, "DEL", file);
    let text = fs::read_to_string(file).unwrap();
    // The array needs no end (Trace Event Format, "JSON Array Format").
    let events: Vec<Value> = serde_json::from_str(&format!("{}]", text.trim_end().trim_end_matches(','))).unwrap();
    let titles = events.iter().filter(|event| event["ph"] == "M").count();
    assert_eq!(titles, 2, "one of each call");
    let steps: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
    assert!(steps.iter().any(|step| step["name"] == "plugin bridge"));
    for step in steps {
        assert!(step["ts"].as_f64().unwrap() > 1e15 && step["dur"].as_f64().unwrap() >= 0.0, "{step}");
        assert!(step["pid"].is_u64() && step["tid"].is_u64(), "{step}");
    }
}

#[test]
fn without_the_variable_nothing_is_written() {
    let Some(node) = node() else { return };
    let pod = Pod::new(&node, "silent");
    let files = || fs::read_dir("/run/node").unwrap().flatten().map(|entry| entry.path()).collect::<BTreeSet<_>>();
    let before = files();
    let added = pod.add();
    assert!(added.status.success() && !added.stderr.contains("PLEXUS_TRACE"), "{added:?}");
    assert!(!traced(&pod, "DEL", "").contains("PLEXUS_TRACE"));
    assert_eq!(files(), before);
}

#[test]
fn a_file_that_is_not_roots_alone_is_not_written() {
    let Some(node) = node() else { return };
    let victim = Path::new("/run/node/victim");
    fs::write(victim, "precious").unwrap();
    symlink(victim, "/run/node/link").unwrap();
    fs::create_dir("/run/node/open").unwrap();
    fs::set_permissions("/run/node/open", fs::Permissions::from_mode(0o1777)).unwrap();
    let pod = Pod::new(&node, "refused");
    for (file, verb) in [("/run/node/link", "ADD"), ("/run/node/open/trace", "DEL")] {
        let stderr = traced(&pod, verb, file);
        let told = stderr.lines().find(|line| line.starts_with("PLEXUS_TRACE: ")).unwrap_or_default();
        assert!(told.contains(file), "{stderr}");
    }
    assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
    assert!(!Path::new("/run/node/open/trace").exists());
}
