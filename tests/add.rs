//! ADD: the default network and the networks a pod selects, in order, and what is answered.

mod support;

use serde_json::json;
use std::fs;
use support::{Node, Pod, kernel};

#[test]
fn a_plain_pod_gets_the_default_network_and_nothing_else() {
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "plain");
    let result = pod.add().result();
    // NPWG-DEF-03, NPWG-ANN-08
    assert_eq!(result["interfaces"][0]["name"], "eth0");
    assert_eq!(result["ips"][0]["address"], "10.99.0.2/24");
    // CNI-VER-07
    assert_eq!(result["cniVersion"], "1.0.0");
    assert_eq!(node.call_names(), ["ADD primary eth0"]);
    pod.del().silence();
}

#[test]
fn networks_are_attached_after_the_default_one_in_the_order_of_the_annotation() {
    let Some(node) = Node::new() else { return };
    for name in ["c", "a", "b"] {
        node.recorded_network(name);
    }
    let pod = Pod::new(&node, "order").selecting("b,c,a");
    pod.add().result();
    // NPWG-DEF-02, NPWG-ANN-03, NPWG-MUL-02
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD b net1", "ADD c net2", "ADD a net3"]);
    // NPWG-RC-02, CNI-RT-02
    let calls = node.calls();
    assert!(calls.windows(2).all(|pair| pair[0].stop.unwrap() <= pair[1].start), "{calls:?}");
    pod.del().silence();
}

#[test]
fn the_same_network_can_be_attached_twice() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let pod = Pod::new(&node, "twice").selecting("a,a@second");
    pod.add().result();
    // NPWG-MUL-01, NPWG-ANN-04, CNI-ADD-05
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD a net1", "ADD a second"]);
    // NPWG-NAD-08
    assert_eq!(a.calls()[0].config()["name"], "a");
    pod.del().silence();
}

#[test]
fn a_second_add_of_the_same_interface_is_refused_and_harms_nothing() {
    // FAULT-17
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "again");
    pod.add().result();
    node.forget_calls();
    // CNI-ADD-05
    pod.add().refusal(102, &["eth0", "attached already"]);
    assert_eq!(node.call_names(), [""; 0]);
    pod.del().silence();
    assert_eq!(node.call_names(), ["DEL primary eth0"]);
}

#[test]
fn a_sandbox_can_be_attached_under_two_interfaces() {
    let Some(node) = Node::new() else { return };
    let mut pod = Pod::new(&node, "two");
    pod.add().result();
    pod.ifname = "eth1".to_owned();
    pod.add().result();
    // CNI-RT-05: DEL of one leaves the other.
    pod.del().silence();
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD primary eth1", "DEL primary eth1"]);
    pod.ifname = "eth0".to_owned();
    pod.del().silence();
    assert_eq!(node.call_names().last().unwrap(), "DEL primary eth0");
    assert!(pod.record(&node).is_none());
}

#[test]
fn an_interface_that_exists_is_refused_before_anything_is_attached() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let pod = Pod::new(&node, "taken").selecting("a@taken0");
    pod.ip("link add taken0 type bridge");
    // CNI-ADD-04, CNI-ENV-07
    pod.add().refusal(7, &["default/a", "taken0"]);
    assert_eq!(node.call_names(), [""; 0]);
    assert_eq!(kernel::links(&pod.netns), ["taken0"]);
}

#[test]
fn the_runtimes_own_namespace_is_refused() {
    // FAULT-15
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "host");
    // CNI-ENV-11
    let own = pod.call("ADD").env("CNI_NETNS", "/proc/self/ns/net").make();
    own.refusal(8, &["CNI_NETNS"]);
    // CNI-ENV-03: what is no namespace at all.
    fs::write("/run/netns/file", "").unwrap();
    for path in ["/run/netns/none", "/run/netns/file", "/proc/self/ns/uts"] {
        pod.call("ADD").env("CNI_NETNS", path).make().refusal(8, &[path]);
    }
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn variables_and_configuration_are_judged_before_anything_is_done() {
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "wrong");
    let add = || pod.call("ADD");
    // CNI-ENV-03, CNI-ENV-05
    for key in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_COMMAND"] {
        add().without_env(key).make().refusal(4, &[key]);
    }
    // CNI-ENV-04: the specification leaves it optional; without it plugins are looked for in the usual folder.
    add().without_env("CNI_PATH").make().refusal(7, &["primary", "/opt/cni/bin"]);
    // CNI-ENV-06, CNI-ENV-07
    for (key, bad) in
        [("CNI_CONTAINERID", "../x"), ("CNI_IFNAME", "a:b"), ("CNI_IFNAME", "sixteen-bytes-xx"), ("CNI_IFNAME", "..")]
    {
        add().env(key, bad).make().refusal(4, &[key]);
    }
    // CNI-ENV-02
    pod.call("FOO").make().refusal(4, &["unknown CNI_COMMAND: FOO"]);
    // CNI-IO-04, CNI-VER-06
    for (stdin, code) in
        [("{", 6), ("[]", 6), ("", 6), ("{}", 7), (r#"{"name":"a/b"}"#, 7), (r#"{"name":"n","cniVersion":"9.9.9"}"#, 1)]
    {
        add().start_with(stdin.to_owned()).wait().refusal(code, &[]);
    }
    // CNI-CFG-03
    for bad in ["", "-a", "a/b", "a b", "é"] {
        add().configured("name", json!(bad)).make().refusal(7, &[]);
    }
    assert_eq!(node.call_names(), [""; 0]);
    assert!(pod.record(&node).is_none());
}

#[test]
fn the_versions_spoken_are_told_without_a_configuration() {
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "version");
    let version = || {
        ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH", "CNI_ARGS"]
            .iter()
            .fold(pod.call("VERSION"), |call, key| call.without_env(key))
    };
    // CNI-VSN-01, CNI-VSN-02
    let answer = version().start_with(r#"{"cniVersion":"0.4.0"}"#.to_owned()).wait().result();
    assert_eq!(answer["cniVersion"], "0.4.0");
    assert_eq!(answer["supportedVersions"].as_array().unwrap().last().unwrap(), "1.1.0");
    // CNI-VSN-03
    let answer = version().start_with(String::new()).wait().result();
    assert_eq!(answer["cniVersion"], "1.1.0");
}

#[test]
fn a_delegate_works_in_the_nodes_namespace() {
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "where");
    pod.add().result();
    // CNI-ENV-10
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert_eq!(node.calls()[0].netns, own.to_str().unwrap());
    pod.del().silence();
}

#[test]
fn an_answer_is_one_json_document_and_complaints_go_to_stderr() {
    let Some(node) = Node::new() else { return };
    let primary = node.recorder("primary");
    primary.on("ADD", "echo complaint >&2; result; echo");
    let pod = Pod::new(&node, "talk");
    let answer = pod.add();
    // CNI-IO-01, CNI-IO-03, CNI-DLG-03
    answer.result();
    assert!(answer.stderr.contains("complaint"), "{answer:?}");
    primary.on("DEL", "echo more >&2; fail 5 disk");
    let answer = pod.del();
    // CNI-DLG-03, CNI-EXEC-04, CNI-ERR-07: on failure too, where the reference drops it.
    assert!(answer.stderr.contains("more"), "{answer:?}");
    answer.refusal(5, &["disk"]);
}

#[test]
fn a_container_of_no_pod_gets_the_default_network() {
    // FAULT-19
    let Some(node) = Node::new() else { return };
    let mut pod = Pod::new(&node, "podless");
    pod.annotations = None;
    // CNI-ARG-07: podman, cnitool and others name no pod; nobody needs to be asked.
    for args in ["", "IgnoreUnknown=1", "FOO=bar;;X"] {
        pod.id = format!("podless-{}", args.len());
        pod.call("ADD").env("CNI_ARGS", args).make().result();
        pod.call("DEL").env("CNI_ARGS", args).make().silence();
    }
    assert_eq!(node.call_names().len(), 6);
    // Older runtimes do not say the pod's UID.
    let pod = Pod::new(&node, "no-uid");
    let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=no-uid";
    pod.call("ADD").env("CNI_ARGS", args).make().result();
    // CNI-ARG-02: handed on as it is.
    assert_eq!(node.calls().last().unwrap().env("CNI_ARGS"), args);
    pod.call("DEL").env("CNI_ARGS", args).make().silence();
}
