//! DEL: what the runtime may do wrong or twice.

mod support;

use serde_json::json;
use std::collections::BTreeMap;
use support::{Node, Pod, kernel};

#[test]
fn networks_are_deleted_in_reverse_each_with_its_own_result() {
    let Some(node) = Node::new() else { return };
    let [a, b] = ["a", "b"].map(|name| node.recorded_network(name));
    a.answers(&json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/24"}]}));
    b.answers(&json!({"cniVersion": "1.0.0", "ips": [{"address": "10.2.0.2/24"}]}));
    let pod = Pod::new(&node, "reverse").selecting("a,b");
    pod.add().result();
    pod.del().silence();
    // CNI-DLG-15, CNI-DEL-02, CNI-ADD-07
    assert_eq!(node.call_names()[3..], ["DEL b net2", "DEL a net1", "DEL primary eth0"]);
    assert_eq!(a.call_of("DEL").config()["prevResult"]["ips"][0]["address"], "10.1.0.2/24");
    assert_eq!(b.call_of("DEL").config()["prevResult"]["ips"][0]["address"], "10.2.0.2/24");
    // NPWG-MUL-02: the same container, interface and arguments as at ADD.
    for key in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS"] {
        assert_eq!(a.call_of("DEL").env(key), a.call_of("ADD").env(key), "{key}");
    }
}

#[test]
fn the_annotations_of_today_do_not_change_what_is_deleted() {
    let Some(node) = Node::new() else { return };
    let [_a, b] = ["a", "b"].map(|name| node.recorded_network(name));
    let mut pod = Pod::new(&node, "changed").selecting("a");
    pod.add().result();
    pod = pod.selecting("b,b");
    pod.del().silence();
    // CNI-DLG-17
    assert_eq!(node.call_names()[2..], ["DEL a net1", "DEL primary eth0"]);
    assert!(b.calls().is_empty());
}

#[test]
fn a_broken_annotation_does_not_stop_a_del() {
    let Some(node) = Node::new() else { return };
    // CNI-DEL-03
    let pod = Pod::new(&node, "broken").selecting("[{");
    pod.del().silence();
    assert_eq!(node.call_names(), ["DEL primary eth0"]);
}

#[test]
fn a_default_network_that_cannot_be_known_keeps_no_pod() {
    // M7: nothing was made, so there is nothing to delete and nothing to owe.
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "nowhere").configured("clusterNetwork", json!("/nope"));
    pod.add().refusal(11, &["/nope"]);
    pod.del().silence();
    pod.end_sandbox();
    pod.del_without_netns().silence();
    assert!(pod.record(&node).is_none());
    // One that may be older than our installation is asked for three times, and not for ever.
    let pod = Pod::new(&node, "unknown").configured("clusterNetwork", json!("/nope"));
    for _ in 1..=2 {
        pod.del().refusal(11, &["/nope"]);
    }
    let answer = pod.del();
    answer.silence();
    assert!(answer.stderr.contains("after 3 attempts"), "{}", answer.stderr);
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_plugin_that_always_fails_keeps_nothing_of_its_chain_once_the_sandbox_is_gone() {
    // As tuning does with a value that it cannot read: the address of the plugin before it was held for ever.
    let Some(node) = Node::new() else { return };
    let [a, b] = ["a", "b"].map(|name| node.recorder(name));
    b.on("DEL", "fail 999 'no such value'");
    node.network("default/ab", &json!({"cniVersion": "1.0.0", "plugins": [{"type": "a"}, {"type": "b"}]}));
    let pod = Pod::new(&node, "chain").selecting("ab");
    pod.add().result();
    // CNI-DEL-05: while the namespace is there, the first error ends it.
    pod.del().refusal(999, &["default/ab", "no such value"]);
    assert!(a.calls_of("DEL").is_empty());
    pod.end_sandbox();
    pod.del_without_netns().refusal(999, &["default/ab", "no such value"]);
    assert_eq!(a.calls_of("DEL").len(), 1);
    // Only what failed is owed.
    pod.del_without_netns();
    assert_eq!((a.calls_of("DEL").len(), b.calls_of("DEL").len()), (1, 3));
}

#[test]
fn variables_that_del_needs_are_told() {
    let Some(node) = Node::new() else { return };
    let pod = Pod::new(&node, "wrong");
    // CNI-ENV-03
    for key in ["CNI_CONTAINERID", "CNI_IFNAME"] {
        pod.call("DEL").without_env(key).make().refusal(4, &[key]);
    }
    pod.call("DEL").without_env("CNI_NETNS").without_env("CNI_ARGS").make().silence();
    assert_eq!(node.call_names(), ["DEL primary eth0"]);
}

#[test]
fn del_of_another_interface_touches_nothing_of_the_first() {
    let Some(node) = Node::new() else { return };
    let mut pod = Pod::new(&node, "other");
    pod.add().result();
    pod.ifname = "eth7".to_owned();
    pod.annotations = Some(BTreeMap::new());
    pod.del().silence();
    pod.ifname = "eth0".to_owned();
    assert_eq!(pod.record(&node).unwrap()["attachments"][0]["ifname"], "eth0");
    // CNI-RT-05
    assert!(!node.call_names().contains(&"DEL primary eth0".to_owned()));
}

#[test]
fn many_calls_at_once_for_one_sandbox_do_not_overlap() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let pod = Pod::new(&node, "storm").selecting("a");
    let running: Vec<_> = ["ADD", "DEL", "DEL", "ADD", "DEL"].map(|verb| pod.call(verb).start()).into_iter().collect();
    for call in running {
        // Which order they get is open, so an ADD may meet another's attachment.
        let answer = call.wait();
        assert!(answer.status.success() || answer.error().code == 102, "{answer:?}");
    }
    // CNI-RT-02
    let calls = node.calls();
    assert!(calls.windows(2).all(|pair| pair[0].stop.unwrap() <= pair[1].start), "{calls:?}");
    pod.del().silence();
    assert!(pod.record(&node).is_none());
}

#[test]
fn many_sandboxes_at_once_are_no_problem() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let pods: Vec<Pod> = (0..20).map(|number| Pod::new(&node, &format!("many-{number}")).selecting("a")).collect();
    for verb in ["ADD", "DEL"] {
        let running: Vec<_> = pods.iter().map(|pod| pod.call(verb).start()).collect();
        for call in running {
            let answer = call.wait();
            assert!(answer.status.success(), "{answer:?}");
        }
    }
    // CNI-RT-03
    assert_eq!(node.calls().len(), 80);
    assert!(pods.iter().all(|pod| pod.record(&node).is_none()));
}

#[test]
fn a_lease_is_given_back_through_the_link_and_an_address_after_it() {
    let Some(node) = Node::new() else { return };
    node.ip("link add uplink0 type veth peer name uplink1");
    // A DHCP client cannot send its release without the link; an address must not be free while it is in use.
    let bridge = json!({"cniVersion": "1.0.0", "type": "bridge"});
    let macvlan = json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "uplink0"});
    for (mut config, ipam) in [(bridge.clone(), "dhcp"), (macvlan, "dhcp"), (bridge, "other")] {
        let name = format!("{}-{ipam}", config["type"].as_str().unwrap());
        let program = node.recorder(ipam);
        program.on(
            "DEL",
            "nsenter --net=$CNI_NETNS ip link show dev $CNI_IFNAME >$here/link 2>/dev/null || : >$here/link\n",
        );
        config["ipam"] = json!({"type": ipam});
        node.network(&format!("default/{name}"), &config);
        let pod = Pod::new(&node, &name).selecting(&name);
        pod.add().result();
        pod.del().silence();
        let there = !std::fs::read_to_string(program.folder().join("link")).unwrap().is_empty();
        assert_eq!(there, ipam == "dhcp", "the link of {name} during the addresses' DEL");
        assert_eq!(kernel::links(&pod.netns), Vec::<String>::new());
    }
}

#[test]
fn a_chained_pod_without_a_record_is_deleted_without_a_result_too() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let pod = Pod::new(&node, "chained").selecting("a").configured("clusterNetwork", json!(""));
    let result = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.9/24"}], "future": {"kept": true}});
    let answer = pod.call("ADD").configured("prevResult", result.clone()).make();
    // CNI-RES-05: with what means nothing to us.
    assert_eq!(answer.result(), result);
    std::fs::remove_file(pod.record_file(&node)).unwrap();
    pod.del().silence();
    assert_eq!(node.call_names(), ["ADD a net1", "DEL a net1"]);
    assert_eq!(a.calls_of("DEL").len(), 1);
    pod.add().refusal(7, &["no default network"]);
}

#[test]
fn a_namespace_that_is_another_sandboxs_by_now_is_left_alone() {
    // H1: its path was made anew, as that of a process whose ID another one has.
    let Some(node) = Node::new() else { return };
    let pool = |n: u8| json!({"type": "host-local", "ranges": [[{"subnet": format!("10.{n}.0.0/24")}]]});
    node.primary(&json!({"cniVersion": "1.1.0", "name": "br0", "plugins": [{"type": "bridge", "bridge": "br0", "ipam": pool(1)}]}));
    node.network(
        "default/a",
        &json!({"cniVersion": "1.1.0", "name": "a", "plugins": [{"type": "bridge", "bridge": "a", "ipam": pool(2)}]}),
    );
    let old = Pod::new(&node, "old").selecting("a");
    old.add().result();
    old.end_sandbox();
    let mut new = Pod::new(&node, "new").selecting("a");
    let netns = std::fs::File::open(&new.netns).unwrap();
    support::node::bind(&netns, &old.netns).unwrap();
    new.netns.clone_from(&old.netns);
    new.add().result();
    let leases = |pod: &Pod| {
        let files = ["br0", "a"].map(|name| std::fs::read_dir(format!("/var/lib/cni/networks/{name}")).unwrap());
        let texts = files.into_iter().flatten().flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.filter(|text| text.starts_with(&pod.id)).count()
    };
    let is_whole = || kernel::links(&new.netns).len() == 2 && leases(&new) == 2 && new.record(&node).is_some();
    let answer = old.del();
    assert!(answer.status.success() && answer.stderr.contains("the namespace of another sandbox now"), "{answer:?}");
    assert!(is_whole() && leases(&old) == 0 && old.record(&node).is_none(), "{answer:?}");
    // Without a record of its own: the namespace is that of a record.
    for id in ["old-0123456789abcdef", "unknown"] {
        let answer = old.call("DEL").env("CNI_CONTAINERID", id).make();
        assert!(answer.status.success() && is_whole(), "{id}: {answer:?}");
    }
    new.del().silence();
    assert_eq!(kernel::links(&new.netns), [""; 0]);
}

#[test]
fn a_link_that_a_program_left_at_a_failed_add_is_not_owed() {
    // The reference program of macvlan leaves its link where its address plugin refuses the configuration.
    let Some(node) = Node::new() else { return };
    node.ip("link add master0 type veth peer name master1");
    for ipam in [
        json!({"type": "host-local", "subnt": "10.78.0.0/24"}),
        json!({"type": "host-local", "subnet": "10.78.0.0/33"}),
    ] {
        let plugin = json!({"type": "macvlan", "master": "master0", "unheardOf": 1, "ipam": ipam});
        node.network("default/mistyped", &json!({"cniVersion": "1.0.0", "name": "mistyped", "plugins": [plugin]}));
        for attempt in ["first", "second"] {
            let pod = Pod::new(&node, attempt).selecting("mistyped");
            assert!(!pod.add().status.success());
            assert_eq!(kernel::links(&pod.netns), [""; 0]);
            assert!(pod.record(&node).is_none(), "{:?}", pod.record(&node));
            pod.del().silence();
            pod.end_sandbox();
        }
    }
}
