//! Delegates whose results are not true.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use support::{Node, Pod};

#[test]
fn a_result_that_is_not_true_is_told_by_check_and_deleted_as_it_was_told() {
    // FAULT-37
    let Some(node) = Node::new() else { return };
    // It tells an interface and an address, and makes none: both pods have the same address.
    let liar = node.recorded_network("liar");
    let pods = ["one", "two"].map(|name| Pod::new(&node, name).selecting("liar"));
    // A plugin may make what it tells of elsewhere, or later: ADD does not judge.
    pods.iter().for_each(|pod| drop(pod.add().result()));
    for pod in &pods {
        let error = pod.call("CHECK").make().refusal(101, &["eth0"]);
        assert!(!error.msg.contains('\n'), "{error:?}");
    }
    // Each is deleted with what was told of it, and nothing stays.
    pods[0].del().silence();
    let told = liar.call_of("DEL").config();
    assert_eq!(told["prevResult"]["ips"][0]["address"], "10.99.0.2/24");
    assert!(pods[0].record(&node).is_none() && pods[1].record(&node).is_some());
    pods[1].del().silence();
    assert!(pods[1].record(&node).is_none());
}
