//! Every file in `examples/` is what it says: manifests that the daemon reads, networks that can be
//! parsed, and pods whose annotation can be planned with these networks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails that way")]

use plexus::cluster::manifests::manifest::{self, Objects};
use plexus::cni::{CniArgs, IfName, NetworkConfig, RawObject};
use plexus::engine::planning::plan::{self, PlanInput, Planned};
use plexus::nad::{NETWORKS, NadRef, selection};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// The interfaces that each pod of the examples gets, in their order.
const INTERFACES: [(&str, &str); 8] = [
    ("default/default-route", "eth0 net1"),
    ("default/interface-names", "eth0 front back"),
    ("default/one", "eth0 net1 net2 net3"),
    ("default/published", "eth0 net1"),
    ("default/static-addresses", "eth0 storage0"),
    ("default/tuned", "eth0 net1"),
    ("default/two", "eth0 net1 net2 net3"),
    ("kube-public/guest", "eth0 net1"),
];

fn files() -> Vec<(PathBuf, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn objects() -> Vec<Objects> {
    let read =
        |(path, text): (PathBuf, String)| manifest::read(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    files().into_iter().map(read).collect()
}

fn networks() -> BTreeMap<NadRef, NetworkConfig> {
    let all = objects();
    let definitions = all.iter().flat_map(|objects| &objects.definitions);
    let parse = |config: Option<&str>, nad: &NadRef| {
        NetworkConfig::parse(config.expect("an example has a configuration"), Some(nad.name()))
            .unwrap_or_else(|e| panic!("{nad}: {e}"))
    };
    let networks: Vec<_> = definitions.map(|d| (d.nad.clone(), parse(d.config.as_deref(), &d.nad))).collect();
    let by_name: BTreeMap<_, _> = networks.iter().cloned().collect();
    assert_eq!(by_name.len(), networks.len(), "a network is in two files");
    by_name
}

fn plan(annotation: &str, namespace: &str, networks: &BTreeMap<NadRef, NetworkConfig>) -> Vec<Planned> {
    let cluster = r#"{"cniVersion":"1.0.0","name":"cluster","type":"bridge","ipam":{"type":"host-local"}}"#;
    let selections = selection::parse(annotation, namespace).unwrap_or_else(|e| panic!("{annotation}: {e}"));
    let input = PlanInput {
        container_id: "sandbox",
        ifname: &IfName::new("eth0").unwrap(),
        args: &CniArgs::parse(""),
        runtime_config: &RawObject::default(),
        default_network: Some(NetworkConfig::parse(cluster, None).unwrap()),
        default_selection: None,
        further_delegates: Vec::new(),
        selections: &selections,
        networks,
        resources: &BTreeMap::new(),
        devices: &BTreeMap::new(),
        parallel: (&[], false),
    };
    plan::make(&input).unwrap_or_else(|e| panic!("{annotation}: {e}"))
}

#[test]
fn every_pod_can_be_planned_and_every_network_is_used() {
    let networks = networks();
    let mut used = BTreeSet::new();
    let mut interfaces = BTreeMap::new();
    for ((namespace, name), pod) in objects().iter().flat_map(|objects| &objects.pods) {
        let planned = plan(&pod.annotations().unwrap()[NETWORKS], namespace, &networks);
        used.extend(planned.iter().map(|planned| planned.network.clone()));
        let names: Vec<String> = planned.iter().map(|planned| planned.ifname.to_string()).collect();
        let twice = interfaces.insert(format!("{namespace}/{name}"), names.join(" "));
        assert_eq!(twice, None, "pod {namespace}/{name} is in two files");
    }
    let expected = INTERFACES.iter().map(|(pod, names)| (pod.to_string(), names.to_string()));
    assert_eq!(interfaces, expected.collect());
    for nad in networks.keys() {
        assert!(used.contains(&nad.to_string()), "no pod of the examples uses network {nad}");
    }
}

#[test]
fn every_file_begins_with_what_it_shows() {
    for (path, text) in files() {
        assert!(
            path.extension().is_some_and(|extension| extension == "yaml"),
            "{}: only manifests lie here",
            path.display()
        );
        assert!(text.starts_with("# "), "{}: no comment on top", path.display());
    }
}

#[test]
fn what_a_pod_asks_for_reaches_the_plugins() {
    let networks = networks();
    let pods = objects();
    let planned = |wanted: &str| {
        let pod = pods.iter().flat_map(|objects| &objects.pods).find(|((_, name), _)| name == wanted).unwrap();
        plan(&pod.1.annotations().unwrap()[NETWORKS], &pod.0.0, &networks).remove(1)
    };
    let fixed = planned("static-addresses").capability_args.to_json();
    assert!(
        fixed.contains(r#""ips":["10.30.0.7/24","fd00:30::7/64"]"#) && fixed.contains("02:00:0a:1e:00:07"),
        "{fixed}"
    );
    assert!(planned("published").capability_args.to_json().contains(r#""hostPort":8080"#));
    assert_eq!(planned("default-route").default_route, Some(vec!["10.40.0.1".parse().unwrap()]));
}
