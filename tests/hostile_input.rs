//! Input that nobody means well with: stdin, annotations, names. One clear line, bounded memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::process::Command;
use support::{Answer, Call, Node, Pod, kernel};

/// What a call may have; a plugin that read all of its input would need more.
const MEMORY: u32 = 64;

/// `count` brackets of each kind.
fn nested(count: usize) -> String {
    format!("{}{}", "[".repeat(count), "]".repeat(count))
}

/// The call failed with a message for a person.
#[track_caller]
fn assert_is_readable(answer: &Answer) {
    let error = answer.error();
    assert!(error.msg.len() < 5000 && !error.msg.contains(char::is_control), "{error:?}");
}

#[test]
fn any_stdin_is_answered() {
    let Some(node) = Node::new() else { return };
    node.limit_memory(MEMORY);
    let pod = Pod::new(&node, "stdin");
    let whole = pod.call("ADD").config.to_string();
    let cases: [(&str, Vec<u8>, u32); 8] = [
        ("nothing", Vec::new(), 6),
        ("100 MB", vec![b' '; 100 << 20], 5),
        ("NULs", vec![0; 1 << 20], 6),
        ("half", whole.as_bytes()[..whole.len() / 2].to_vec(), 6),
        ("no UTF-8", [whole.as_bytes(), &[0xff, 0xfe]].concat(), 6),
        ("deep", nested(1 << 20).into_bytes(), 6),
        ("unclosed", vec![b'['; 1 << 20], 6),
        ("a text", b"\"plexus\"".to_vec(), 6),
    ];
    for verb in ["ADD", "DEL", "CHECK"] {
        for (name, stdin, code) in &cases {
            let answer = pod.call(verb).start_with(stdin.clone()).wait();
            assert_is_readable(&answer);
            assert_eq!(answer.error().code, *code, "{verb} with {name}");
        }
    }
    // CNI-VSN-01: whatever there is on stdin.
    for (name, stdin, _) in cases {
        let versions = pod.call("VERSION").start_with(stdin).wait().result();
        assert_eq!(versions["supportedVersions"].as_array().unwrap().len(), 7, "{name}");
    }
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_key_that_is_nested_without_end_is_handed_on() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let deep = nested(50_000);
    let config = format!(r#"{{"cniVersion":"1.0.0","type":"a","deep":{deep}}}"#);
    node.network_text("default/a", &config);
    let selection = format!(r#"[{{"name":"a","cni-args":{{"deep":{deep}}}}}]"#);
    let pod = Pod::new(&node, "deep").selecting(selection);
    pod.add().result();
    // CNI-REQ-04, CNI-CFG-14
    assert_eq!(a.call_of("ADD").stdin.matches(&deep).count(), 2);
    pod.del().silence();
    assert_eq!(a.call_of("DEL").stdin.matches(&deep).count(), 2);
    assert!(pod.record(&node).is_none());
}

#[test]
fn nesting_and_letter_case_do_not_hide_a_network_that_never_ends() {
    let Some(node) = Node::new() else { return };
    let deep = nested(200);
    for (name, config) in [
        ("case", r#"{"cniVersion":"1.0.0","Type":"plexus"}"#.to_owned()),
        ("deep", format!(r#"{{"cniVersion":"1.0.0","type":"plexus","x":{deep}}}"#)),
        ("below", format!(r#"{{"cniVersion":"1.0.0","type":"primary","x":{deep},"delegate":{{"TYPE":"multus"}}}}"#)),
    ] {
        node.network_text(&format!("default/{name}"), &config);
        Pod::new(&node, name).selecting(name).add().refusal(7, &[&format!("default/{name}"), "never end"]);
    }
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn an_annotation_does_not_decide_how_much_memory_is_taken() {
    let Some(node) = Node::new() else { return };
    let note = "x".repeat(100_000);
    node.network("default/a", &json!({"cniVersion": "1.0.0", "type": "a", "note": note}));
    node.recorded_network("b");
    node.recorder("a");
    node.limit_memory(MEMORY);
    for (name, network, count) in [("thousands", "b", 131_072), ("thousand", "b", 1000), ("large", "a", 100)] {
        let pod = Pod::new(&node, name).selecting(vec![network; count].join(","));
        let answer = pod.add();
        answer.refusal(7, &[&count.to_string(), if network == "a" { "bytes" } else { "more than 256" }]);
        assert_is_readable(&answer);
        assert!(pod.record(&node).is_none());
    }
    // H5: what a pod asks for is copied into each plugin of each network, and its annotations went with each network.
    let plugins = |count: usize| json!({"name": "l", "plugins": vec![json!({"type": "b"}); count]});
    node.network("default/endless", &plugins(100_000));
    Pod::new(&node, "endless")
        .selecting("endless")
        .add()
        .refusal(7, &["default/endless", "100000 plugins, more than 64"]);
    node.network("default/chain", &plugins(64));
    let arguments = json!([{"name": "chain", "cni-args": {"x": "x".repeat(250_000)}}]);
    Pod::new(&node, "copies").selecting(arguments).add().refusal(7, &["1 selected networks", "bytes"]);
    node.network("default/nobody", &json!({"cniVersion": "1.0.0", "type": "nobody"}));
    let pod = Pod::new(&node, "annotated").selecting(vec!["nobody"; 256].join(",")).annotated("x", "x".repeat(250_000));
    pod.add().refusal(7, &["default/nobody", "nobody"]);
    let list = vec![r#"{"name":"b"}"#; 20_000].join(",");
    Pod::new(&node, "list").selecting(format!("[{list}]")).add().refusal(7, &["20000 networks, more than 256"]);
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_status_that_does_not_fit_into_an_annotation_is_cut_short() {
    // M4
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    a.answers(&json!({"cniVersion": "1.0.0", "interfaces": [{"name": "net1", "sandbox": "/x"}],
        "ips": [{"address": "10.1.0.2/24", "interface": 0}], "dns": {"nameservers": vec!["10.0.0.1"; 50_000]}}));
    let pod = Pod::new(&node, "dns").selecting("a");
    let answer = pod.add();
    answer.result();
    assert!(answer.stderr.contains("default/dns is too long"), "{}", answer.stderr);
    let path = node.run().publication(&plexus::cni::ContainerId::new(pod.id.clone()).unwrap());
    let publication: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let status = publication["networkStatus"].as_str().unwrap();
    assert!(status.len() < 256 << 10 && status.contains("10.1.0.2"), "{}", status.len());
    // What the daemon put aside goes with the sandbox, too.
    let aside = path.with_extension("damaged");
    std::fs::write(&aside, "x").unwrap();
    pod.del().silence();
    assert!(!path.exists() && !aside.exists());
}

#[test]
fn what_a_tenant_may_not_do_is_refused_before_the_default_network() {
    let Some(node) = Node::new() else { return };
    node.recorder("a");
    node.recorder("portmap");
    // N1: rules of its own in the host's firewall.
    let rules = "accept\nadd table inet x\ndelete table inet hostfw\n#";
    let list = json!([{"type": "a"}, {"type": "portmap", "backend": "nftables", "conditionsV4": [rules]}]);
    node.network("default/rules", &json!({"cniVersion": "1.0.0", "name": "rules", "plugins": list}));
    let pod = Pod::new(&node, "rules").selecting("rules");
    pod.add().refusal(7, &["default/rules", "portmap", "conditionsV4", "control character"]);
    // Go takes ſ for an s.
    let list = json!([{"type": "a"}, {"type": "portmap", "backend": "nftables", "conditionſV4": [rules]}]);
    node.network("default/folded", &json!({"cniVersion": "1.0.0", "name": "folded", "plugins": list}));
    let pod = Pod::new(&node, "folded").selecting("folded");
    pod.add().refusal(7, &["default/folded", "portmap", "conditionſV4", "control character"]);
    // N7: the addresses of the cluster's network.
    node.network("default/thief", &json!({"cniVersion": "1.0.0", "name": "cbr0", "type": "a"}));
    Pod::new(&node, "thief").selecting("thief").add().refusal(7, &["default/thief", "cbr0", "default network's"]);
    // N10
    let pod = Pod::new(&node, "eth0").with_default_network("a").configured("defaultNetworkAnnotation", json!(false));
    pod.add().refusal(7, &["default-network", "defaultNetworkAnnotation"]);
    assert_eq!(node.call_names(), [""; 0]);
    // The same configuration under the same name is no theft.
    node.network("default/same", &json!({"cniVersion": "0.4.0", "name": "cbr0", "type": "primary"}));
    Pod::new(&node, "same").selecting("same").add().result();
}

#[test]
fn tens_of_thousands_of_arguments_are_merged() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let arguments: serde_json::Map<String, Value> = (0..20_000).map(|n| (format!("k{n}"), json!(n))).collect();
    let pod = Pod::new(&node, "arguments").selecting(json!([{"name": "a", "cni-args": arguments}]));
    pod.add().result();
    // NPWG-KEY-10
    assert_eq!(a.call_of("ADD").config()["args"]["cni"].as_object().unwrap().len(), 20_000);
    pod.del().silence();
}

#[test]
fn names_that_are_none_are_refused_before_the_default_network() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    // NPWG-KEY-08, CNI-ENV-07: Linux takes none of them, or makes another one of it.
    let numbered = |what: &str, number: usize| Pod::new(&node, &format!("{what}{number}"));
    for (number, name) in [
        "net%d",
        "à",
        "a\u{0}b",
        "a\nb",
        "a/b",
        "..",
        "a\u{1b}[2J",
        "sixteen-bytes-xx",
        "a:b",
        "n\u{435}t1",
        "a\u{202e}b",
    ]
    .into_iter()
    .enumerate()
    {
        let answer = numbered("link", number).selecting(json!([{"name": "a", "interface": name}])).add();
        answer.refusal(7, &["interface name"]);
        assert_is_readable(&answer);
    }
    // NPWG-NAD-06
    for (number, name) in
        ["..", "../../a", "a\u{0}", "a\n", "A", "a/b", "\u{202e}a", &"a".repeat(300)].into_iter().enumerate()
    {
        let answer = numbered("nad", number).selecting(json!([{"name": name}])).add();
        answer.refusal(7, &["not a valid name"]);
        assert_is_readable(&answer);
        let elsewhere = json!([{"name": "a", "namespace": name}]);
        numbered("namespace", number).selecting(elsewhere).add().refusal(7, &["not a valid name"]);
    }
    // CNI-ENV-06, CNI-ENV-07
    let pod = Pod::new(&node, "environment");
    for (key, value) in [("CNI_CONTAINERID", "../x"), ("CNI_CONTAINERID", "a\nb"), ("CNI_IFNAME", "a%d")] {
        pod.call("ADD").env(key, value).make().refusal(4, &[key]);
    }
    assert_eq!(node.call_names(), [""; 0]);
    assert_eq!(kernel::host_links(), [""; 0]);
}

#[test]
fn linux_takes_every_interface_name_that_we_take() {
    let Some(node) = Node::new() else { return };
    let candidates = (1..0x180).filter_map(char::from_u32).map(|c| format!("a{c}"));
    let mut taken: Vec<String> = candidates.filter(|name| plexus::cni::IfName::new(name.as_str()).is_ok()).collect();
    for name in &taken {
        // CNI-ENV-07
        let made = Command::new("ip").args(["link", "add", "name", name, "type", "bridge"]).output().unwrap();
        assert!(made.status.success(), "{name:?}: {made:?}");
    }
    let mut links = kernel::host_links();
    links.sort();
    taken.sort();
    assert_eq!(links, taken);
    assert!(taken.len() > 200, "{}", taken.len());
    drop(node);
}

#[test]
fn a_timeout_beyond_the_clock_is_a_mistake_of_the_configuration() {
    let Some(node) = Node::new() else { return };
    for (number, seconds) in [1e19, 1e300, 0.0, -1.0].into_iter().enumerate() {
        let pod = Pod::new(&node, &format!("clock{number}")).configured("delegateTimeoutSeconds", json!(seconds));
        pod.add().refusal(7, &["delegateTimeoutSeconds"]);
    }
}

#[test]
fn a_network_of_a_version_that_nobody_speaks_is_not_asked_by_gc() {
    // Whoever may write a NAD would make every GC of the node fail: nothing was ever attached to it here.
    let Some(node) = Node::new() else { return };
    node.primary(&json!({"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{"type": "primary"}]}));
    node.network("default/zz", &json!({"cniVersion": "2.0.0", "name": "zz", "type": "future"}));
    let future = node.recorder("future");
    let pod = Pod::new(&node, "p").selecting("zz");
    future.on("ADD", "fail 1 'too new'").on("GC", "fail 1 'too new'");
    assert!(!pod.add().status.success());
    pod.del();
    let gc = Call::of_node(&node, "GC").configured("cni.dev/valid-attachments", json!([])).make();
    assert!(gc.status.success(), "{gc:?}");
    assert!(future.calls_of("GC").is_empty());
}
