use super::*;
use serde_json::{Value, json};
use std::fs;

/// A node with Plexus installed as `natives` says, and networks that its pods have used.
fn node(natives: &Value, networks: &[(&str, Value)]) -> (tempfile::TempDir, Settings) {
    let node = tempfile::tempdir().unwrap();
    let path = |name: &str| node.path().join(name);
    let primary = json!({"name": "cbr0", "cniVersion": "1.0.0", "plugins": [
        {"type": "bridge", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]}}, {"type": "portmap"}]});
    fs::write(path("10-primary.conflist"), primary.to_string()).unwrap();
    let plugin = json!({"type": "plexus", "natives": natives, "stateDirectory": node.path(), "runDirectory": path("run"),
        "clusterNetwork": path("10-primary.conflist"), "nadConfigDir": node.path()});
    let list = json!({"name": "cbr0", "cniVersion": "1.0.0", "plugins": [plugin]});
    fs::write(path("00-plexus.conflist"), list.to_string()).unwrap();
    fs::create_dir(path("networks")).unwrap();
    for (name, config) in networks {
        let nad = crate::nad::NadRef::new("default", name).unwrap();
        let text = if config.is_null() { None } else { Some(config.to_string()) };
        let copy = serde_json::to_string(&Definition::new(nad.clone(), text, |_| None)).unwrap();
        fs::write(StateDirectory::new(node.path()).network(&nad), copy).unwrap();
    }
    let settings = Settings::parse(&super::super::gc::installed(node.path()).unwrap()).unwrap();
    (node, settings)
}

/// The rows without their network: `plugin by why`.
fn rows(networks: &[Network]) -> Vec<String> {
    let text = table(networks).render(false);
    text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn each_plugin_and_its_reason() {
    let networks = [
        ("a", json!({"cniVersion": "1.0.0", "type": "macvlan", "ipam": {"type": "dhcp"}})),
        ("b", json!({"cniVersion": "1.0.0", "type": "bridge", "ipMasq": true, "ipam": {"type": "host-local"}})),
        ("c", json!({"cniVersion": "1.0.0", "type": "ipvlan", "future": 1})),
        ("d", Value::Null),
    ];
    let (_node, settings) = node(&json!(true), &networks);
    let found = rows(&of_node(&settings, None).unwrap());
    assert_eq!(
        found[..8],
        [
            "cbr0 (default) bridge built-in -",
            "cbr0 (default) host-local built-in -",
            "cbr0 (default) portmap program there is no built-in portmap",
            "default/a macvlan built-in -",
            "default/a dhcp program there is no built-in dhcp",
            "default/b bridge program ipMasq: masquerading needs iptables or nftables",
            "default/b host-local program the program bridge calls it",
            "default/c ipvlan program key \"future\" is not known",
        ]
    );
    assert!(found[8].starts_with("default/d - error spec.config is empty"), "{found:?}");
}

#[test]
fn a_network_that_was_deleted_is_not_listed() {
    let used = json!({"cniVersion": "1.0.0", "type": "macvlan"});
    let (node, settings) = node(&json!(true), &[("deleted", used.clone()), ("used", used)]);
    // As a daemon leaves it that saw the deletion and does not answer now.
    let networks = crate::api::RunDirectory::new(node.path().join("run")).networks();
    fs::create_dir_all(&networks).unwrap();
    let gone = json!({"gone": {"namespace": "default", "name": "deleted"}});
    fs::write(networks.join("default_deleted.json"), gone.to_string()).unwrap();
    let found = of_node(&settings, None).unwrap();
    let names: Vec<&str> = found.iter().map(|network| network.network.as_str()).collect();
    assert_eq!(names, ["cbr0", "default/used"]);
}

#[test]
fn what_is_switched_off_is_said() {
    let (_node, settings) = node(&json!({"host-local": false}), &[]);
    let found = rows(&of_node(&settings, None).unwrap());
    assert_eq!(found[0], "cbr0 (default) bridge built-in -");
    assert_eq!(
        found[1],
        "cbr0 (default) host-local program built-in host-local is switched off by the setting natives"
    );
    let (_node, settings) = node(&json!(false), &[]);
    assert_eq!(
        rows(&of_node(&settings, None).unwrap())[0],
        "cbr0 (default) bridge program built-in bridge is switched off by the setting natives"
    );
}

#[test]
fn manifests_and_configurations_are_judged() {
    let (node, settings) = node(&json!(true), &[]);
    let manifest = node.path().join("nads.yaml");
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: k8s.cni.cncf.io/v1\n  kind: NetworkAttachmentDefinition\n  metadata: {name: mv, namespace: blue}\n  spec: {config: '{\"cniVersion\":\"1.0.0\",\"type\":\"macvlan\"}'}\n";
    fs::write(&manifest, text).unwrap();
    let (found, unread) =
        of_files(&settings, &[manifest.clone(), node.path().join("10-primary.conflist")], &Output::of_process())
            .unwrap();
    assert_eq!(rows(&found)[..2], ["blue/mv macvlan built-in -", "cbr0 bridge built-in -"]);
    assert!(unread.is_empty());
    fs::write(&manifest, "kind: [").unwrap();
    let error = of_files(&settings, &[manifest], &Output::of_process()).unwrap_err().to_string();
    assert!(error.contains("nads.yaml"), "{error}");
    // In a folder the others are shown all the same.
    fs::write(node.path().join("other.yaml"), text).unwrap();
    let (found, unread) = of_files(&settings, &[node.path().to_owned()], &Output::of_process()).unwrap();
    let failed: Vec<_> = found.iter().filter(|network| network.error.is_some()).map(|n| n.network.as_str()).collect();
    assert_eq!(unread, failed);
    assert!(failed.len() == 1 && failed[0].ends_with("nads.yaml"), "{failed:?}");
    assert!(found.iter().any(|network| network.network == "blue/mv" && network.error.is_none()));
}

#[test]
fn the_document_keeps_its_shape() {
    let (_node, settings) =
        node(&json!(true), &[("a", json!({"cniVersion": "1.0.0", "type": "macvlan", "ipam": {"type": "dhcp"}}))]);
    let document = Document { version: VERSION, networks: of_node(&settings, None).unwrap() };
    assert_eq!(
        serde_json::to_value(document).unwrap()["networks"][1],
        json!({"network": "default/a", "default": false, "error": null, "plugins": [{"type": "macvlan", "native": true,
            "reason": null, "ipam": {"type": "dhcp", "native": false, "reason": "there is no built-in dhcp", "ipam": null}}]})
    );
}
