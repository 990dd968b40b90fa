//! What a pod can ask for with its annotations, and where the annotations come from.

mod support;

use serde_json::{Value, json};
use support::daemon::Daemon;
use support::{Node, Pod, manifests};

#[test]
fn the_short_form_names_networks_namespaces_and_interfaces() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    node.network("other/b", &json!({"cniVersion": "1.0.0", "type": "b"}));
    node.recorder("b");
    let pod = Pod::new(&node, "short").selecting(" a , other/b@foo0,other/b ");
    pod.add().result();
    // NPWG-ANN-02, NPWG-ANN-03, NPWG-ANN-04, NPWG-KEY-08
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD a net1", "ADD b foo0", "ADD b net3"]);
    pod.del().silence();
}

#[test]
fn the_json_form_asks_for_addresses_by_capability_and_by_arguments() {
    let Some(node) = Node::new() else { return };
    node.network("default/a", &json!({"cniVersion": "1.0.0", "type": "a", "capabilities": {"ips": true, "mac": true}}));
    node.network("default/b", &json!({"cniVersion": "1.0.0", "type": "b"}));
    let (a, b) = (node.recorder("a"), node.recorder("b"));
    let wish = |name: &str| json!({"name": name, "ips": ["10.1.1.7/24", "fd00::7/64"], "mac": "02:11:22:33:44:55", "org.foo.x": 1});
    let pod = Pod::new(&node, "json").selecting(json!([wish("a"), wish("b")]));
    pod.add().result();
    // NPWG-KEY-03, NPWG-KEY-05, NPWG-KEY-07, NPWG-ANN-05, NPWG-ANN-06
    let offered = &a.call_of("ADD").config()["runtimeConfig"];
    assert_eq!(*offered, json!({"ips": ["10.1.1.7/24", "fd00::7/64"], "mac": "02:11:22:33:44:55"}));
    // CNI-REQ-05: nothing for a plugin that declares nothing; manifests that work on Multus rely on CNI_ARGS.
    let without = b.call_of("ADD");
    assert_eq!(without.config()["runtimeConfig"], Value::Null);
    for piece in ["IP=10.1.1.7/24,fd00::7/64", "MAC=02:11:22:33:44:55", "IgnoreUnknown=1", "K8S_POD_NAME=json"] {
        assert!(without.env("CNI_ARGS").split(';').any(|pair| pair == piece), "{piece}: {}", without.env("CNI_ARGS"));
    }
    pod.del().silence();
    // CNI-ARG-02: the same on every verb.
    assert_eq!(b.call_of("DEL").env("CNI_ARGS"), without.env("CNI_ARGS"));
    assert_eq!(a.call_of("DEL").config()["runtimeConfig"], *offered);
    // NPWG-RC-01: the default network was asked for nothing.
    assert!(!node.calls()[0].env("CNI_ARGS").contains("IP="));
}

#[test]
fn what_a_network_cannot_do_is_refused_before_the_default_network() {
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let wishes = [
        (json!({"portMappings": [{"hostPort": 80, "containerPort": 80}]}), "portMappings"),
        (json!({"bandwidth": {"ingressRate": 8}}), "bandwidth"),
        (json!({"infiniband-guid": "c2:11:22:33:44:55:66:77"}), "infinibandGUID"),
    ];
    for (mut wish, word) in wishes {
        wish["name"] = json!("a");
        let pod = Pod::new(&node, &word.to_lowercase()).selecting(json!([wish]));
        // NPWG-KEY-13, NPWG-KEY-15, NPWG-KEY-19
        pod.add().refusal(7, &["default/a", word]);
    }
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn port_mappings_and_bandwidth_reach_the_plugin_that_declares_them() {
    let Some(node) = Node::new() else { return };
    let plugins = json!([
        {"type": "a", "capabilities": {"portMappings": true, "bandwidth": false}},
        {"type": "b", "capabilities": {"bandwidth": true}},
    ]);
    node.network("default/ab", &json!({"cniVersion": "1.0.0", "name": "ab", "plugins": plugins}));
    let (a, b) = (node.recorder("a"), node.recorder("b"));
    let wish = json!([{
        "name": "ab",
        "portMappings": [{"hostPort": 8080, "containerPort": 80}, {"hostPort": 53, "containerPort": 53, "protocol": "UDP"}],
        "bandwidth": {"ingressRate": 2048, "ingressBurst": 1600},
    }]);
    let pod = Pod::new(&node, "ports").selecting(wish);
    pod.add().result();
    // NPWG-KEY-12, NPWG-KEY-14, NPWG-KEY-22, CNI-CAP-01, CNI-CAP-03
    let ports = json!({"portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 53, "containerPort": 53, "protocol": "udp"},
    ]});
    assert_eq!(a.call_of("ADD").config()["runtimeConfig"], ports);
    assert_eq!(
        b.call_of("ADD").config()["runtimeConfig"],
        json!({"bandwidth": {"ingressRate": 2048, "ingressBurst": 1600}})
    );
    pod.del().silence();
    // portmap's DEL does nothing without them.
    assert_eq!(a.call_of("DEL").config()["runtimeConfig"], ports);
}

#[test]
fn cni_args_are_merged_into_every_plugin_and_the_pod_wins() {
    let Some(node) = Node::new() else { return };
    node.network(
        "default/a",
        &json!({"cniVersion": "1.0.0", "type": "a", "args": {"cni": {"one": 1, "two": 1}, "kept": true}}),
    );
    let a = node.recorder("a");
    let pod = Pod::new(&node, "args").selecting(json!([{"name": "a", "cni-args": {"two": 2, "three": [3]}}]));
    pod.add().result();
    // NPWG-KEY-10, NPWG-KEY-11, NPWG-KEY-23
    assert_eq!(a.call_of("ADD").config()["args"], json!({"cni": {"one": 1, "two": 2, "three": [3]}, "kept": true}));
    pod.del().silence();
    assert_eq!(a.call_of("DEL").config()["args"]["cni"]["two"], 2);
}

#[test]
fn a_key_that_means_nothing_is_passed_over_and_told() {
    // As by Multus; a slip of the pen is told at every level.
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let element = json!([{"name": "a", "defaultroute": ["10.1.0.1"], "x-team": "blue", "Default-Route": null}]);
    for (name, level, words) in [
        (
            "usual",
            "error",
            ["default/a", "default/usual", "\"defaultroute\"", "did you mean \"default-route\""].as_slice(),
        ),
        ("talkative", "info", &["\"defaultroute\"", "\"x-team\" is ignored"]),
    ] {
        let pod = Pod::new(&node, name).selecting(&element).configured("logLevel", json!(level));
        let answer = pod.add();
        answer.result();
        for word in words {
            assert!(answer.stderr.contains(word), "{word}: {}", answer.stderr);
        }
        assert_eq!(answer.stderr.contains("x-team"), level == "info", "{}", answer.stderr);
        pod.del().silence();
    }
}

#[test]
fn an_annotation_that_cannot_be_followed_is_refused_before_the_default_network() {
    // FAULT-32
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let element = |key: &str, value: Value| json!([{"name": "a", key: value}]).to_string();
    let cases = [
        // NPWG-ANN-09, NPWG-ANN-10
        ("[{\"name\":".to_owned(), "it ends too early (line 1, column 9)"),
        ("[{\"name\":\"a\" \"mac\":1}]".to_owned(), "',' or '}' is expected (line 1, column 14)"),
        ("{\"name\":\"a\"}".to_owned(), "it has an object where a list is expected"),
        ("[null]".to_owned(), "it has null where an object is expected"),
        ("[\"a\"]".to_owned(), "it has \"a\" where an object is expected"),
        ("x/y/z".to_owned(), "x/y/z"),
        ("Net_A".to_owned(), "Net_A"),
        ("a@sixteen-bytes-xx".to_owned(), "sixteen-bytes-xx"),
        // NPWG-KEY-01
        ("[{\"namespace\":\"default\"}]".to_owned(), "name"),
        // NPWG-KEY-03, NPWG-KEY-07, NPWG-KEY-08
        (element("ips", json!(["nonsense"])), "nonsense"),
        (element("mac", json!("zz:zz")), "zz:zz"),
        (element("interface", json!("a b")), "a b"),
        (element("interface", json!("all")), "\"all\" is a name that Linux keeps"),
        (element("interface", json!("default")), "\"default\""),
        (element("interface", json!(".")), "\".\" is not a link name"),
        (element("interface", json!("..")), "\"..\""),
        (element("interface", json!("a/b")), "\"a/b\""),
        (element("interface", json!("a:b")), "\"a:b\""),
        (element("interface", json!(7)), "key \"interface\" is 7 where a string is expected"),
        // NPWG-KEY-12, NPWG-KEY-14
        (element("portMappings", json!([{"hostPort": 65536, "containerPort": 1}])), "65536"),
        (element("bandwidth", json!({"ingressBurst": 1})), "ingressRate"),
        (element("default-route", json!(["gateway"])), "gateway"),
        (element("default-route", json!([""])), "default-route"),
        // NPWG-KEY-16
        (json!([{"name": "a", "default-route": []}, {"name": "a", "default-route": []}]).to_string(), "default-route"),
        // NPWG-KEY-09
        ("a@same,a@same".to_owned(), "same"),
        ("a@eth0".to_owned(), "eth0"),
    ];
    for (index, (annotation, word)) in cases.into_iter().enumerate() {
        let pod = Pod::new(&node, &format!("bad-{index}")).selecting(&annotation);
        pod.add().refusal(7, &[word]);
        assert!(pod.record(&node).is_none(), "{annotation}");
    }
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn an_annotation_that_selects_nothing_is_a_plain_pod() {
    let Some(node) = Node::new() else { return };
    // NPWG-ANN-08
    for (index, nothing) in ["", "  ", "[]"].into_iter().enumerate() {
        let pod = Pod::new(&node, &format!("none-{index}")).selecting(nothing).annotated("example.com/networks", "a");
        pod.add().result();
    }
    assert_eq!(node.call_names(), ["ADD primary eth0"; 3]);
}

#[test]
fn many_networks_and_a_long_annotation_are_no_problem() {
    // FAULT-32
    let Some(node) = Node::new() else { return };
    let a = node.recorded_network("a");
    let elements: Vec<Value> = (0..24).map(|_| json!({"name": "a", "org.example.note": "x".repeat(8 << 10)})).collect();
    let pod = Pod::new(&node, "many").selecting(json!(elements));
    pod.add().result();
    // NPWG-MUL-01, NPWG-MUL-02
    assert_eq!(a.calls_of("ADD").last().unwrap().env("CNI_IFNAME"), "net24");
    pod.del().silence();
    assert_eq!(a.calls_of("DEL").len(), 24);
    assert!(pod.record(&node).is_none());
}

#[test]
fn namespaces_can_be_isolated() {
    let Some(node) = Node::new() else { return };
    for nad in ["team/a", "default/a", "other/a"] {
        node.network(nad, &json!({"cniVersion": "1.0.0", "type": "a"}));
    }
    node.recorder("a");
    let pod = |name: &str, selection: &str| {
        let mut pod = Pod::new(&node, name).selecting(selection).configured("namespaceIsolation", json!(true));
        pod.namespace = "team".to_owned();
        pod
    };
    // NPWG-RC-03
    pod("inside", "a,default/a").add().result();
    node.forget_calls();
    pod("outside", "a,other/a").add().refusal(7, &["other/a", "team", "namespaceIsolation"]);
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn a_pod_can_replace_its_default_network() {
    let Some(node) = Node::new() else { return };
    node.network("kube-system/special", &json!({"cniVersion": "0.4.0", "type": "special"}));
    node.recorder("special");
    node.recorded_network("a");
    let pod = Pod::new(&node, "special").with_default_network("special").selecting("a");
    let result = pod.add().result();
    // NPWG-DEF-08 (of Multus, not of the standard), NPWG-DEF-03, CNI-DLG-11
    assert_eq!(node.call_names(), ["ADD special eth0", "ADD a net1"]);
    assert_eq!(result["cniVersion"], "1.0.0");
    pod.del().silence();
    assert_eq!(node.call_names()[2..], ["DEL a net1", "DEL special eth0"]);
    for (name, wrong) in [("two", "special,special"), ("none", "")] {
        Pod::new(&node, name).with_default_network(wrong).add().refusal(7, &["default-network"]);
    }
}

#[test]
fn a_network_waits_for_the_link_that_another_one_makes() {
    let Some(node) = Node::new() else { return };
    let make = |nad: &str, config: Value| node.network(&format!("default/{nad}"), &config);
    make("maker", json!({"cniVersion": "1.0.0", "type": "maker", "bridge": "br7"}));
    make("user", json!({"cniVersion": "1.0.0", "type": "user", "master": "br7"}));
    make("apart", json!({"cniVersion": "1.0.0", "type": "apart", "master": "eth7"}));
    let recorders = ["maker", "user", "apart"].map(|name| node.recorder(name));
    for recorder in &recorders {
        recorder.on("ADD", "sleep 0.3\nresult\n");
    }
    Pod::new(&node, "parallel").selecting("apart,maker,user").configured("parallel", json!(true)).add().result();
    let [maker, user, apart] = recorders.map(|recorder| recorder.call_of("ADD"));
    assert!(apart.stop.unwrap() > maker.start && maker.stop.unwrap() > apart.start, "not at the same time");
    assert!(user.start > maker.stop.unwrap(), "it did not wait");
}

#[test]
fn what_keeps_a_network_from_being_known_is_named() {
    let Some(node) = Node::new() else { return };
    manifests::network("default/a", &json!({"cniVersion": "1.0.0", "type": "a"}));
    node.recorder("a");
    let _daemon = Daemon::start(&node);
    // The daemon answers: it is the pod that is not known.
    let mut pod = Pod::new(&node, "stranger");
    pod.annotations = None;
    let refusal = pod.add().refusal(11, &["default/stranger", "does not exist"]);
    assert!(!refusal.msg.contains("does not answer"), "{}", refusal.msg);
    let mut pod = Pod::new(&node, "impossible");
    pod.annotations = None;
    pod.name = "Im_possible".to_owned();
    let refusal = pod.add().refusal(11, &["default/Im_possible", "not a name that a pod can have"]);
    assert!(!refusal.msg.contains("does not answer"), "{}", refusal.msg);
    // Nor does it lose its networks where the runtime hands its annotations over.
    let mut pod = Pod::new(&node, "annotated").selecting("a");
    pod.name = "Im_possible".to_owned();
    pod.add().refusal(11, &["default/Im_possible", "not a name that a pod can have"]);
    pod.del().silence();
    // A sandbox that Kubernetes knows nothing of starts with the default network, whatever it is called.
    for (namespace, name) in [("", "Im_possible"), ("default", "Im_possible"), ("", "")] {
        let mut pod = Pod::new(&node, "not-of-kubernetes");
        (pod.namespace, pod.name) = (namespace.to_owned(), name.to_owned());
        pod.add().result();
        pod.del().silence();
        pod.end_sandbox();
    }
}

#[test]
fn a_plain_pod_does_not_wait_for_a_daemon_that_is_away() {
    let Some(mut node) = Node::new() else { return };
    // M3: a name that could be a NAD's and is a file's.
    node.config["confDir"] = json!(node.net_d());
    node.config["clusterNetwork"] = json!("cbr0");
    let pod = Pod::new(&node, "plain");
    let begun = std::time::Instant::now();
    pod.add().result();
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(node.call_names(), ["ADD primary eth0"]);
}

#[test]
fn annotations_and_networks_come_from_the_daemon_where_the_runtime_gives_none() {
    let Some(node) = Node::new() else { return };
    manifests::network("default/a", &json!({"cniVersion": "1.0.0", "type": "a"}));
    manifests::pod("asked", &json!({"k8s.v1.cni.cncf.io/networks": "a@foo"}));
    node.recorder("a");
    let _daemon = Daemon::start(&node);
    let mut pod = Pod::new(&node, "asked");
    pod.annotations = None;
    pod.add().result();
    // NPWG-ANN-01, CNI-ARG-07
    assert_eq!(node.call_names(), ["ADD primary eth0", "ADD a foo"]);
    // NPWG-STA-01, NPWG-STA-06, NPWG-STA-08: written where there is no pod object to patch, before ADD answered.
    let status = std::fs::read_dir(node.run().network_status()).unwrap().next().unwrap().unwrap().path();
    let status = std::fs::read_to_string(status).unwrap();
    assert!(status.contains("default/a") && status.contains("foo") && status.contains("cbr0"), "{status}");
    pod.del().silence();
}

#[test]
fn what_the_runtime_says_is_final() {
    let Some(node) = Node::new() else { return };
    manifests::network("default/a", &json!({"cniVersion": "1.0.0", "type": "a"}));
    manifests::pod("final", &json!({"k8s.v1.cni.cncf.io/networks": "a"}));
    node.recorder("a");
    let _daemon = Daemon::start(&node);
    let mut pod = Pod::new(&node, "final");
    // CNI-CAP-11: a key that is there, even null, is all there is to say.
    pod.annotations = None;
    pod.capability_args.insert(support::pod::POD_ANNOTATIONS.to_owned(), Value::Null);
    pod.add().result();
    assert_eq!(node.call_names(), ["ADD primary eth0"]);
}

#[test]
fn without_annotations_and_without_the_daemon_a_pod_has_to_wait() {
    let Some(node) = Node::new() else { return };
    let mut pod = Pod::new(&node, "unknown").configured("daemonTimeoutSeconds", json!(0.3));
    pod.annotations = None;
    // CNI-ERR-10: the runtime tries again; attaching only the default network would be a silent loss.
    pod.add().refusal(11, &["default/unknown", "plexusd"]);
    assert_eq!(node.call_names(), [""; 0]);
    // A daemon that hangs is no different.
    let daemon = Daemon::start(&node);
    daemon.halt();
    pod.add().refusal(11, &["default/unknown"]);
    assert_eq!(node.call_names(), [""; 0]);
}

#[test]
fn last_known_copies_serve_while_the_daemon_is_away() {
    // FAULT-10
    let Some(node) = Node::new() else { return };
    manifests::network("default/a", &json!({"cniVersion": "1.0.0", "type": "a"}));
    let a = node.recorder("a");
    let daemon = Daemon::start(&node);
    Pod::new(&node, "before").selecting("a").add().result();
    let copy = node.state().network(&plexus::nad::NadRef::new("default", "a").unwrap());
    support::eventually("a copy of the network", || copy.exists());
    daemon.kill();
    let after = Pod::new(&node, "after").selecting("a").add();
    after.result();
    assert!(after.stderr.contains("default/a"), "its age is told: {}", after.stderr);
    assert_eq!(a.calls_of("ADD").len(), 2);
    // One that is not known is not guessed.
    let unknown = Pod::new(&node, "never").selecting("a,never").configured("daemonTimeoutSeconds", json!(0.2));
    unknown.add().refusal(11, &["default/never"]);
    assert_eq!(a.calls_of("ADD").len(), 2);
}

#[test]
fn a_socket_without_a_daemon_is_no_daemon() {
    // FAULT-7
    let Some(node) = Node::new() else { return };
    node.recorded_network("a");
    let socket = node.run().socket();
    std::fs::create_dir(node.run().daemon()).unwrap();
    // Left behind by one that was killed, a file, a folder, and one whose listener never accepts.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    Pod::new(&node, "stale").selecting("a").add().result();
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "").unwrap();
    Pod::new(&node, "file").selecting("a").add().result();
    std::fs::remove_file(&socket).unwrap();
    std::fs::create_dir(&socket).unwrap();
    Pod::new(&node, "folder").selecting("a").add().result();
    std::fs::remove_dir(&socket).unwrap();
    let _deaf = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let pod = Pod::new(&node, "deaf").selecting("a").configured("daemonTimeoutSeconds", json!(0.3));
    pod.configured("publishTimeoutSeconds", json!(0.3)).add().result();
    // A plain pod asks nobody.
    Pod::new(&node, "plain").add().result();
    assert_eq!(node.call_names().len(), 9);
}

#[test]
fn a_part_of_a_name_may_be_longer_than_a_label() {
    // Kubernetes limits the name of an object to 253 characters, and no part of it: so static pods and workflows have them.
    let Some(node) = Node::new() else { return };
    let network = "a".repeat(70);
    node.network(&format!("default/{network}"), &json!({"cniVersion": "1.0.0", "type": "bridge", "bridge": "a"}));
    node.primary(&json!({"cniVersion": "1.0.0", "name": "p", "plugins": [{"type": "bridge", "bridge": "p"}]}));
    for (length, selection) in
        [(64, network.clone()), (200, json!([{"name": network, "namespace": "default"}]).to_string())]
    {
        let mut pod = Pod::new(&node, &"n".repeat(length)).selecting(selection);
        pod.id = format!("container{length}");
        pod.add().result();
        assert_eq!(support::kernel::links(&pod.netns), ["eth0", "net1"]);
        pod.del().silence();
    }
}
