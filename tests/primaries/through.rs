//! A pod of the bare network, the same pod through Plexus, and a pod of the bare network again.

use crate::fixture::{self, Fixture};
use crate::node::{Bare, enter, offered, program};
use crate::support::Pod;
use crate::support::cnitool::runtime;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

const POD_ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// `name` on the node, asking for the additional network; what is bare passes that over.
fn pod(bare: &Bare, name: &str) -> Pod {
    offered(Pod::new(&bare.node, name).selecting("a"))
}

/// Plexus before the network.
pub fn delegated(name: &str) {
    let Some(mut bare) = enter(fixture::of(name)) else { return };
    let alone = pod(&bare, "alone");
    let expected_result = shape(&bare.live(&alone, bare.fixture.has("0.4.0"), || {}));
    let expected = bare.read_by_plugins(&alone);
    assert_keys_and_capabilities(&bare.fixture, &expected);

    let told = bare.install(&[]);
    let (file, network) = (bare.fixture.file.clone(), bare.fixture.network());
    assert!(told.contains(&format!("{file} (network {network}, {})", bare.fixture.kinds().join("+"))), "{told}");
    assert_head(&bare);

    let through = pod(&bare, "through");
    // Plexus' own list has CHECK; it reaches the network where its version has it.
    let mut container = String::new();
    let result = bare.live(&through, true, || {
        container = bare.node.calls()[0].env("CNI_CONTAINERID").to_owned();
    });
    assert_eq!((shape(&result), calls_of_a(&bare)), (expected_result.clone(), 3));
    assert_bytes(&bare);
    // CNI-REQ-04, CNI-REQ-05, CNI-DEL-02, CNI-CHK-08, CNI-STA-07
    assert_same(&bare.read_by_plugins(&through), &expected);
    assert_gc(&mut bare, &container);

    // A pod that is older than we are, and one that is younger than our removal.
    fs::remove_file(bare.node.net_d().join("00-plexus.conflist")).unwrap();
    let after = pod(&bare, "after");
    let result = bare.live(&after, false, || {
        bare.install(&[]);
        bare.node.forget_calls();
        runtime(&bare.node, "check", &after).silence();
    });
    assert_eq!(shape(&result), expected_result);
    // CNI-CHK-08, CNI-DEL-02: in the network's own version, which is not that of our list.
    let kept: Vec<_> = expected.into_iter().filter(|(verb, ..)| matches!(verb.as_str(), "CHECK" | "DEL")).collect();
    assert_same(&bare.read_by_plugins(&after), &kept);
}

/// Plexus behind the network, where it is a list.
pub fn chained(name: &str) {
    let Some(bare) = enter(fixture::of(name)) else { return };
    if !bare.fixture.is_list() {
        let program = program().display().to_string();
        let refused = bare.plexusctl("install", &["--plugin", &program, "--mode", "chain", "--timeout=0"]);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && told.contains("--mode delegate"), "{told}");
        return;
    }
    let alone = pod(&bare, "alone");
    let checked = bare.fixture.has("0.4.0");
    let expected_result = shape(&bare.live(&alone, checked, || {}));
    let expected = bare.read_by_plugins(&alone);

    bare.install(&["--mode", "chain"]);
    let element = bare.node.net_d().join(bare.fixture.network()).join("90-plexus.conf");
    assert!(element.exists());
    let through = pod(&bare, "through");
    let result = bare.live(&through, checked, || {});
    let names = bare.node.call_names();
    assert_eq!(shape(&result), expected_result);
    // CNI-LOAD-07, CNI-DLG-10: the network is attached first, and deleted last.
    assert_eq!(calls_of_a(&bare), if bare.fixture.is_checked() { 3 } else { 2 });
    let (first, last) =
        (format!("ADD {} eth0", bare.fixture.kinds()[0]), format!("DEL {} eth0", bare.fixture.kinds()[0]));
    assert_eq!((names.first(), names.last()), (Some(&first), Some(&last)));
    assert_same(&bare.read_by_plugins(&through), &expected);

    fs::remove_file(element).unwrap();
    let after = pod(&bare, "after");
    bare.live(&after, checked, || {});
    assert_same(&bare.read_by_plugins(&after), &expected);
}

/// What a pod learns of its interfaces and addresses; the version is that of whoever was asked.
fn shape(result: &Value) -> Value {
    let part = |list: &str, key: &str| -> Vec<Value> {
        result[list].as_array().unwrap().iter().map(|element| element[key].clone()).collect()
    };
    json!([part("interfaces", "name"), part("interfaces", "mac"), part("ips", "address")])
}

/// One by one, so that a difference can be read.
fn assert_same(read: &[(String, String, Value)], expected: &[(String, String, Value)]) {
    for (read, expected) in read.iter().zip(expected) {
        assert_eq!(read, expected);
    }
    assert_eq!(read.len(), expected.len());
}

fn calls_of_a(bare: &Bare) -> usize {
    bare.node.call_names().iter().filter(|name| name.ends_with(" a net1")).count()
}

/// The measure measures something: every plugin was called, and was offered what it asks for.
fn assert_keys_and_capabilities(fixture: &Fixture, read: &[(String, String, Value)]) {
    for kind in fixture.kinds() {
        let of = |verb: &str| read.iter().filter(|(read, plugin, _)| read == verb && *plugin == kind).count();
        let expected = (1, usize::from(fixture.is_checked()), usize::from(fixture.has("1.1.0")), 1);
        assert_eq!((of("ADD"), of("CHECK"), of("STATUS"), of("DEL")), expected, "{kind}");
        for capability in fixture.capabilities_of(&kind) {
            let (.., stdin) = read.iter().find(|(verb, plugin, _)| verb == "ADD" && *plugin == kind).unwrap();
            // CNI-CAP-01, CNI-CAP-03
            assert_ne!(stdin["runtimeConfig"][&capability], Value::Null, "{kind} {capability}");
        }
    }
}

/// Our list: the network's name, and all that its plugins ask for.
fn assert_head(bare: &Bare) {
    let head = bare.head();
    let plugin = &head["plugins"][0];
    let asked: BTreeSet<String> = plugin["capabilities"].as_object().unwrap().keys().cloned().collect();
    let mut expected = bare.fixture.capabilities();
    expected.insert(POD_ANNOTATIONS.to_owned());
    assert_eq!(asked, expected);
    assert_eq!(head["name"], bare.fixture.network());
    assert_eq!(plugin["clusterNetwork"], bare.node.net_d().join(&bare.fixture.file).to_str().unwrap());
}

/// Every value in the file reached its plugin as it is written there, on each call.
fn assert_bytes(bare: &Bare) {
    for recorder in &bare.recorders {
        let written = bare.fixture.written(&recorder.name);
        assert!(!written.is_empty() && !recorder.calls().is_empty());
        for call in recorder.calls() {
            for (key, value) in &written {
                // CNI-CFG-14
                assert!(call.stdin.contains(&format!("{key:?}:{value}")), "{} {key}: {}", call.verb(), call.stdin);
            }
        }
    }
}

/// GC reaches the network where its version has it, with what is valid.
fn assert_gc(bare: &mut Bare, container: &str) {
    let valid = json!([{"containerID": container, "ifname": "eth0"}]);
    bare.gc(&valid);
    if bare.fixture.has("1.1.0") {
        assert_bytes(bare);
    }
    for recorder in &bare.recorders {
        let calls = recorder.calls_of("GC");
        assert_eq!(calls.len(), usize::from(bare.fixture.has("1.1.0")));
        // CNI-GC-01, CNI-DLG-13
        assert!(calls.iter().all(|call| call.config()["cni.dev/valid-attachments"] == valid));
    }
    bare.node.forget_calls();
}
