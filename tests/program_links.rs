//! DEL of programs: their links go together first, where no program can tell the difference.

#![allow(clippy::unwrap_used, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use support::{Node, Pod, kernel};

#[test]
fn links_of_programs_go_together() {
    // One wait for the kernel's grace period instead of one for each program.
    let Some(node) = Node::new() else { return };
    let programs = [node.recorder("macvlan"), node.recorder("dhcp"), node.recorder("tuning")];
    node.ip("link add master0 type veth peer name master1");
    let macvlan = |keys: Value| {
        let mut plugin = json!({"type": "macvlan", "master": "master0"});
        plugin.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        plugin
    };
    for (name, plugins) in [
        ("one", json!([macvlan(json!({}))])),
        ("two", json!([macvlan(json!({"mode": "bridge"}))])),
        // What these mean nobody here knows, or they need the link.
        ("key", json!([macvlan(json!({"bogus": 1}))])),
        ("lease", json!([macvlan(json!({"ipam": {"type": "dhcp"}}))])),
        ("chain", json!([macvlan(json!({})), {"type": "tuning"}])),
    ] {
        node.network(&format!("default/{name}"), &json!({"cniVersion": "1.0.0", "name": name, "plugins": plugins}));
    }
    let pod = Pod::new(&node, "programs").selecting("one,two,key,lease,chain").configured("natives", json!(false));
    pod.add().result();
    // The recorders make none.
    for number in 1..=5 {
        kernel::ip_in(&pod.netns, &format!("link add net{number} type bridge"));
    }
    node.forget_calls();
    pod.del().silence();
    assert_eq!(kernel::links(&pod.netns), ["net3", "net4", "net5"], "these are left to their programs");
    assert_eq!(programs[0].calls_of("DEL").len(), 5, "every program is called all the same");
}
