//! Pods that Multus itself attached, with its real programs, are deleted by ours: no lease and no link is left.
//!
//! Runs where `MULTUS_BIN_DIR` names a folder with the programs of Multus 4.3.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

#[path = "support/apiserver.rs"]
mod apiserver;
#[path = "support/thick.rs"]
mod thick;

use serde_json::{Value, json};
use support::{kernel, programs};
use thick::Thick;

fn bridge(name: &str, subnet: &str) -> Value {
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [
        {"type": "bridge", "bridge": name, "isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}},
    ]})
}

#[test]
fn what_its_daemon_attached_is_deleted() {
    let Some(multus) = programs::multus() else { return };
    let Some(thick) = Thick::start(&multus, &bridge("cni0", "10.244.0.0/24")) else { return };
    thick.network("br", &bridge("br1", "10.1.0.0/24"));
    thick.network("mv", &json!({"cniVersion": "1.0.0", "name": "mv", "plugins": [
        {"type": "macvlan", "master": "br1", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.2.0.0/24"}]]}}]}));
    let pod = thick.pod("thick", "br,mv");
    let begun = std::time::Instant::now();
    println!("{}", thick.call(&pod, "ADD").make().result());
    println!("{:?}", begun.elapsed());
    assert_eq!(kernel::links(&pod.netns), ["eth0", "net1", "net2"]);
    for entry in std::fs::read_dir("/var/lib/cni/multus/results").unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        println!("RES {text}");
    }
    println!("SCR {}", std::fs::read_to_string(format!("/var/lib/cni/multus/{}", pod.id)).unwrap());
    pod.del().silence();
    println!("{:?}", kernel::links(&pod.netns));
}
