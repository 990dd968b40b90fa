//! Files of ours that are none: FIFOs, folders, a gigabyte of nothing, links that lead nowhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use plexus::cni::ContainerId;
use serde_json::json;
use std::fs::{self, File};
use std::path::Path;
use support::{Node, Pod, kernel};

/// What may lie where a file should be.
const ODDITIES: [&str; 6] = ["FIFO", "folder", "gigabyte", "empty", "loop", "socket"];

/// Makes `path` an odd one.
fn put(path: &Path, oddity: &str) {
    clear(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match oddity {
        "FIFO" => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        "folder" => fs::create_dir(path).unwrap(),
        "gigabyte" => File::create(path).unwrap().set_len(1 << 30).unwrap(),
        "empty" => drop(File::create(path).unwrap()),
        "loop" => std::os::unix::fs::symlink(path, path).unwrap(),
        _ => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    }
}

fn clear(path: &Path) {
    // Whichever of them it is, if any.
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
}

#[test]
fn a_record_that_is_no_file_keeps_no_pod_from_going() {
    let Some(node) = Node::new() else { return };
    node.limit_memory(64);
    for oddity in ODDITIES {
        let pod = Pod::new(&node, &oddity.to_lowercase());
        let record = node.state().record(&ContainerId::new(&*pod.id).unwrap());
        pod.add().result();
        put(&record, oddity);
        node.forget_calls();
        pod.del().silence();
        // CNI-DEL-03: what can be known without it.
        assert_eq!(node.call_names(), ["DEL primary eth0"], "{oddity}");
        put(&record, oddity);
        pod.add().result();
        pod.del().silence();
        clear(&record);
    }
}

#[test]
fn a_copy_that_is_no_file_is_no_copy() {
    let Some(node) = Node::new() else { return };
    let path = node.network("default/a", &json!({"cniVersion": "1.0.0", "type": "primary"}));
    node.limit_memory(64);
    for oddity in ODDITIES {
        put(&path, oddity);
        let pod = Pod::new(&node, &oddity.to_lowercase()).selecting("a").configured("daemonTimeoutSeconds", json!(0.1));
        pod.add().refusal(11, &["default/a"]);
    }
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_default_network_that_is_no_file_is_said_so_and_the_last_good_copy_used() {
    let Some(node) = Node::new() else { return };
    node.limit_memory(64);
    for oddity in ODDITIES {
        put(&node.primary_file(), oddity);
        Pod::new(&node, &oddity.to_lowercase()).add().refusal(11, &["default network"]);
    }
    clear(&node.primary_file());
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary"}]}));
    Pod::new(&node, "good").add().result();
    for oddity in ODDITIES {
        put(&node.primary_file(), oddity);
        let answer = Pod::new(&node, &format!("again-{}", oddity.to_lowercase())).add();
        answer.result();
        assert!(answer.stderr.contains("last good copy"), "{oddity}: {}", answer.stderr);
        put(&node.state().default_network(), oddity);
        Pod::new(&node, &format!("neither-{}", oddity.to_lowercase())).add().refusal(11, &["default network"]);
        clear(&node.state().default_network());
        clear(&node.primary_file());
        node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary"}]}));
        Pod::new(&node, &format!("good-{}", oddity.to_lowercase())).add().result();
    }
}

#[test]
fn locks_and_statuses_that_are_no_files_stop_no_pod() {
    let Some(node) = Node::new() else { return };
    for oddity in ODDITIES {
        let pod = Pod::new(&node, &oddity.to_lowercase());
        let id = ContainerId::new(&*pod.id).unwrap();
        put(&node.run().lock(&id), oddity);
        put(&node.run().publication(&id), oddity);
        pod.add().result();
        pod.del().silence();
        clear(&node.run().lock(&id));
        clear(&node.run().publication(&id));
    }
}

#[test]
fn a_pool_of_addresses_with_strangers_in_it_still_gives_addresses() {
    let Some(node) = Node::new() else { return };
    let ipam = json!({"type": "host-local", "subnet": "10.7.0.0/24", "dataDir": "/run/node/pools"});
    node.network(
        "default/br",
        &json!({"cniVersion": "1.0.0", "name": "br", "type": "bridge", "bridge": "br0", "ipam": ipam}),
    );
    let pool = Path::new("/run/node/pools/br");
    for (index, oddity) in ODDITIES.iter().enumerate() {
        put(&pool.join(format!("10.7.0.{}", 2 + index)), oddity);
        put(&pool.join(format!("odd-{index}")), oddity);
    }
    put(&pool.join("last_reserved_ip.1"), "FIFO");
    node.limit_memory(64);
    let pod = Pod::new(&node, "pool").selecting("br");
    pod.add().result();
    // What is there in whatever form is taken (the empty one was never written, and is free for DEL).
    assert_eq!(kernel::links(&pod.netns), ["net1"]);
    assert!(pool.join("10.7.0.8").is_file());
    pod.del().silence();
    assert!(!pool.join("10.7.0.8").exists() && pool.join("10.7.0.3").is_dir());
    for oddity in ["FIFO", "folder", "loop", "socket"] {
        put(&pool.join("last_reserved_ip.0"), oddity);
        Pod::new(&node, &format!("cursor-{}", oddity.to_lowercase()))
            .selecting("br")
            .add()
            .refusal(5, &["last_reserved_ip.0"]);
        assert!(!pool.join("10.7.0.5").exists() && !pool.join("10.7.0.8").exists(), "{oddity}");
    }
}
