//! What a delegate is handed, byte for byte, and what becomes of its answer.

mod support;

use serde_json::{Value, json};
use support::{Node, Pod, node};

/// The versions whose results differ, and one of each shape.
const VERSIONS: [&str; 4] = ["0.3.1", "0.4.0", "1.0.0", "1.1.0"];

#[test]
fn every_key_of_a_plugin_reaches_it_byte_for_byte() {
    let Some(node) = Node::new() else { return };
    let odd = r#"{"deep":[1,"é",null,1.50,1e3,{"n":123456789012345678901}],"u":"\u00e9\/"}"#;
    let text =
        format!(r#"{{"cniVersion":"1.0.0","name":"odd-name","type":"a","x":{odd},"name2":"","Upper":{{"Case":1}}}}"#);
    node.network_text("default/a", &text);
    let a = node.recorder("a");
    let pod = Pod::new(&node, "bytes").selecting("a");
    pod.add().result();
    pod.del().silence();
    for verb in ["ADD", "DEL"] {
        let call = a.call_of(verb);
        // CNI-CFG-14, CNI-REQ-04
        assert!(call.stdin.contains(odd), "{}", call.stdin);
        assert_eq!(call.config()["Upper"], json!({"Case": 1}));
        // NPWG-NAD-09
        assert_eq!(call.config()["name"], "odd-name");
    }
}

#[test]
fn name_and_version_of_the_list_are_given_to_every_plugin() {
    let Some(node) = Node::new() else { return };
    let plugins = json!([{"type": "a", "name": "own", "cniVersion": "0.1.0"}, {"type": "b"}]);
    node.network("default/ab", &json!({"cniVersion": "0.4.0", "cniVersions": ["0.4.0", "1.0.0", "99.0.0"], "name": "list", "plugins": plugins}));
    let (a, b) = (node.recorder("a"), node.recorder("b"));
    let pod = Pod::new(&node, "names").selecting("ab");
    pod.add().result();
    for call in [a.call_of("ADD"), b.call_of("ADD")] {
        // CNI-REQ-01, NPWG-MUL-03, CNI-VER-01
        assert_eq!((&call.config()["name"], &call.config()["cniVersion"]), (&json!("list"), &json!("1.0.0")));
    }
    pod.del().silence();
}

#[test]
fn the_environment_is_the_runtimes_with_the_attachments_own_variables() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let pod = Pod::new(&node, "env").selecting("a@foo");
    pod.call("ADD").env("FOO", "1").make().result();
    pod.call("DEL").env("FOO", "1").make().silence();
    for (verb, other) in [("ADD", "CNI_NETNS"), ("DEL", "CNI_NETNS")] {
        let call = a.call_of(verb);
        // CNI-ENV-01, CNI-ENV-12
        assert_eq!(call.env("FOO"), "1");
        assert_eq!(call.env("CNI_IFNAME"), "foo");
        assert_eq!(call.env("CNI_CONTAINERID"), pod.id);
        assert_eq!(call.env(other), pod.netns.to_str().unwrap());
        // CNI-RT-06
        assert_eq!(call.env("CNI_PATH"), node.bin().to_str().unwrap());
        // CNI-ARG-01, CNI-ARG-02
        assert_eq!(call.env("CNI_ARGS"), node.calls()[0].env("CNI_ARGS"));
        assert!(call.env("CNI_ARGS").ends_with("K8S_POD_NAME=env"));
    }
}

#[test]
fn what_the_runtime_offers_is_for_the_default_network_alone() {
    let Some(node) = Node::new() else { return };
    let caps = json!({"portMappings": true, "io.kubernetes.cri.pod-annotations": true});
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [
        {"type": "primary", "capabilities": caps}, {"type": "second", "capabilities": {"portMappings": false}},
    ]}));
    node.network("default/a", &json!({"cniVersion": "1.0.0", "type": "a", "capabilities": caps}));
    node.network("default/b", &json!({"cniVersion": "1.0.0", "type": "b"}));
    let (second, a, b) = (node.recorder("second"), node.recorder("a"), node.recorder("b"));
    let mut pod = Pod::new(&node, "offer").selecting("a,b");
    let ports = json!([{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}]);
    pod.capability_args.insert("portMappings".to_owned(), ports.clone());
    pod.add().result();
    let primary = node.calls()[0].config();
    // CNI-REQ-05, NPWG-RC-01, CNI-CAP-11
    assert_eq!(primary["runtimeConfig"]["portMappings"], ports);
    assert_eq!(second.call_of("ADD").config()["runtimeConfig"], Value::Null);
    assert_eq!(
        a.call_of("ADD").config()["runtimeConfig"],
        json!({"io.kubernetes.cri.pod-annotations": pod.annotations})
    );
    assert_eq!(b.call_of("ADD").config()["runtimeConfig"], Value::Null);
    // CNI-REQ-03
    assert!(node.calls().iter().all(|call| call.config().get("capabilities").is_none()));
    pod.del().silence();
    let deleted: Vec<Value> = node
        .calls()
        .iter()
        .filter(|call| call.verb() == "DEL" && call.plugin == "primary")
        .map(support::Recorded::config)
        .collect();
    assert_eq!(deleted[0]["runtimeConfig"]["portMappings"], ports);
}

#[test]
fn a_list_is_called_in_order_with_its_predecessors_result_and_deleted_in_reverse() {
    let Some(node) = Node::new() else { return };
    let plugins = json!([{"type": "a"}, {"type": "b"}, {"type": "c"}]);
    node.network("default/abc", &json!({"cniVersion": "1.0.0", "name": "abc", "plugins": plugins}));
    let (a, b, c) = (node.recorder("a"), node.recorder("b"), node.recorder("c"));
    let results = ["10.1.0.2/24", "10.2.0.2/24", "10.3.0.2/24"]
        .map(|address| json!({"cniVersion": "1.0.0", "ips": [{"address": address}]}));
    for (recorder, result) in [&a, &b, &c].into_iter().zip(&results) {
        recorder.answers(result);
    }
    let pod = Pod::new(&node, "chain").selecting("abc");
    pod.add().result();
    pod.del().silence();
    // CNI-ADD-06, CNI-REQ-02, CNI-DLG-10
    assert_eq!(a.call_of("ADD").config().get("prevResult"), None);
    assert_eq!(b.call_of("ADD").config()["prevResult"], results[0]);
    assert_eq!(c.call_of("ADD").config()["prevResult"], results[1]);
    // CNI-DEL-05, CNI-DEL-02, CNI-ADD-07
    assert_eq!(node.call_names()[4..], ["DEL c net1", "DEL b net1", "DEL a net1", "DEL primary eth0"]);
    for recorder in [&a, &b, &c] {
        assert_eq!(recorder.call_of("DEL").config()["prevResult"], results[2]);
    }
}

#[test]
fn a_list_older_than_0_4_0_gets_no_result_on_del() {
    let Some(node) = Node::new() else { return };
    node.network("default/a", &json!({"cniVersion": "0.3.1", "type": "a"}));
    let a = node.recorder("a");
    let pod = Pod::new(&node, "old").selecting("a");
    pod.add().result();
    pod.del().silence();
    // CNI-DEL-06, CNI-VER-09
    assert_eq!(a.call_of("DEL").config().get("prevResult"), None);
}

#[test]
fn the_answer_is_in_the_version_that_was_asked_for_whatever_the_delegate_speaks() {
    let Some(node) = Node::new() else { return };
    for delegate in ["0.2.0", VERSIONS[0], VERSIONS[1], VERSIONS[2], VERSIONS[3]] {
        node.primary(&json!({"cniVersion": delegate, "name": "cbr0", "plugins": [{"type": "primary"}]}));
        for asked in ["0.2.0", VERSIONS[0], VERSIONS[1], VERSIONS[2], VERSIONS[3]] {
            let pod = Pod::new(&node, &format!("v-{delegate}-{asked}")).configured("cniVersion", json!(asked));
            let result = pod.add().result();
            // CNI-VER-07, CNI-DLG-11
            assert_eq!(result["cniVersion"], asked, "{delegate} → {asked}");
            match asked {
                // CNI-CONV-04, CNI-CONV-05
                "0.2.0" => assert_eq!(result["ip4"]["ip"], "10.99.0.2/24"),
                // CNI-CONV-02
                "0.3.1" | "0.4.0" => assert_eq!(
                    (&result["ips"][0]["address"], &result["ips"][0]["version"]),
                    (&json!("10.99.0.2/24"), &json!("4"))
                ),
                // CNI-CONV-01, CNI-CONV-03
                _ => assert_eq!(
                    (&result["ips"][0]["address"], &result["ips"][0]["version"]),
                    (&json!("10.99.0.2/24"), &Value::Null)
                ),
            }
            let named = asked != "0.2.0" && delegate != "0.2.0";
            assert_eq!(
                result["interfaces"][0]["name"],
                if named { json!("eth0") } else { Value::Null },
                "{delegate} → {asked}"
            );
            pod.del().silence();
        }
    }
}

#[test]
fn within_a_list_results_are_handed_on_in_the_lists_version() {
    let Some(node) = Node::new() else { return };
    let plugins = json!([{"type": "a"}, {"type": "b"}]);
    node.network("default/ab", &json!({"cniVersion": "1.1.0", "name": "ab", "plugins": plugins}));
    let (a, b) = (node.recorder("a"), node.recorder("b"));
    let answers = [
        // CNI-ADD-11: another version than asked for is converted, because b reads no other.
        json!({"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.0.0.2/24"}], "dns": {}}),
        // CNI-ADD-10: without a version it is of the list's.
        json!({"ips": [{"address": "10.0.0.2/24"}]}),
    ];
    for (index, answer) in answers.iter().enumerate() {
        a.answers(answer);
        let pod = Pod::new(&node, &format!("mixed-{index}")).selecting("ab");
        pod.add().result();
        let given = &b.calls_of("ADD")[index].config()["prevResult"];
        assert_eq!((&given["cniVersion"], &given["ips"]), (&json!("1.1.0"), &json!([{"address": "10.0.0.2/24"}])));
        pod.del().silence();
    }
    a.answers(&Value::Null);
    let pod = Pod::new(&node, "null").selecting("ab");
    pod.add().result();
    // CNI-ADD-10
    assert_eq!(b.calls_of("ADD")[2].config()["prevResult"]["cniVersion"], "1.1.0");
    pod.del().silence();
}

#[test]
fn a_delegates_own_error_code_goes_on_unchanged() {
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    for code in [2, 3, 7, 11, 101, 999] {
        a.on("ADD", &format!("fail {code} 'pool is empty'"));
        let pod = Pod::new(&node, &format!("code-{code}")).selecting("a");
        let error = pod.add().refusal(code, &["default/a", "net1", "plugin a", "pool is empty"]);
        // CNI-DLG-08, CNI-ERR-08, CNI-ERR-01; with code 3 the runtime may leave DEL out (CNI-ERR-09), and all is undone.
        assert_eq!(error.cni_version, "1.0.0");
    }
    // CNI-ERR-02: an error without version and details is read as well.
    a.on("ADD", r#"printf '{"code":7,"msg":"x","details":"long story"}'; exit 1"#);
    let error = Pod::new(&node, "bare").selecting("a").add().refusal(7, &["x"]);
    assert!(error.details.contains("long story"), "{error:?}");
}

#[test]
fn a_plugin_is_the_first_regular_file_of_its_name() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let empty = std::path::Path::new(node::FOLDER).join("empty");
    // CNI-EXEC-01: a folder of that name is passed over.
    std::fs::create_dir_all(empty.join("a")).unwrap();
    let path = format!("{}:{}", empty.display(), node.bin().display());
    let pod = Pod::new(&node, "path").selecting("a");
    pod.call("ADD").env("CNI_PATH", &path).make().result();
    // CNI-ENV-08, CNI-DLG-01, CNI-RT-06
    assert_eq!(node.calls().last().unwrap().env("CNI_PATH"), path);
    // What was found at ADD is found at DEL, wherever the runtime looks now.
    pod.call("DEL").env("CNI_PATH", "/nowhere").make().silence();
    assert_eq!(node.call_names()[2..], ["DEL a net1", "DEL primary eth0"]);
}

#[test]
fn a_definition_without_configuration_means_a_file_of_its_name() {
    let Some(node) = Node::new() else { return };
    let folder = std::path::Path::new(node::FOLDER).join("conf");
    node::write(&folder.join("00-a.conf"), r#"{"cniVersion":"1.0.0","name":"a","type":"single"}"#);
    node::write(&folder.join("90-a.conflist"), r#"{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"list"}]}"#);
    node.network_text("default/a", " ");
    node.recorder("list");
    let pod = Pod::new(&node, "file").selecting("a").configured("confDir", json!(folder));
    pod.add().result();
    // NPWG-NAD-02, NPWG-NAD-04, NPWG-NAD-07
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD list net1"]);
    // CNI-DLG-17
    std::fs::remove_dir_all(&folder).unwrap();
    pod.del().silence();
    assert_eq!(node.call_names()[2..], ["DEL list net1", "DEL primary eth0"]);
}

#[test]
fn plugins_in_the_folder_of_the_default_networks_name_belong_to_it() {
    let Some(node) = Node::new() else { return };
    node::write(&node.net_d().join("cbr0/50-mesh.conf"), r#"{"type":"mesh"}"#);
    node.recorder("mesh");
    let pod = Pod::new(&node, "mesh");
    pod.add().result();
    pod.del().silence();
    // CNI-LOAD-07, CNI-DLG-16
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD mesh eth0", "DEL mesh eth0", "DEL primary eth0"]);
}
