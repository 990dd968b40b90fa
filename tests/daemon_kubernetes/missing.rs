//! A pod that selects a network that does not exist: its event has the reason that Multus uses.

use super::*;

/// The events about `pod` with that reason.
fn events(server: &ApiServer, pod: &str) -> Vec<Value> {
    let selector = format!("--field-selector=reason=NoNetworkFound,regarding.name={pod}");
    let list = server.kubectl(&["get", "events.v1.events.k8s.io", &selector, "-o", "json"], None).unwrap();
    serde_json::from_str::<Value>(&list).unwrap()["items"].as_array().unwrap().clone()
}

#[test]
fn a_pod_whose_network_does_not_exist_has_one_event() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    put_nad(&server, "storage", "1");
    let daemon = start(&server, folder.path(), "plexusd-missing", "plexus");
    let uid = make_pod(&server, "misspelt", json!({"k8s.v1.cni.cncf.io/networks": "storaeg"}));
    let of = |name: &str, uid: Option<&str>, inspection| FactsRequest {
        pod: Some(pod(name, uid)),
        networks: vec![nad("storaeg"), nad("storage")],
        default_network_namespace: Some("kube-system".to_owned()),
        inspection,
        ..FactsRequest::default()
    };
    // A tool that looks at the pod is not its sandbox.
    daemon.facts(of("misspelt", Some(&uid), true)).unwrap();
    // The kubelet repeats the ADD; the same cause is written once.
    for _ in 0..5 {
        let facts = daemon.facts(of("misspelt", Some(&uid), false)).unwrap();
        assert_eq!(facts.missing, [nad("storaeg")]);
    }
    wait_until(|| !events(&server, "misspelt").is_empty(), || daemon.log());
    let found = events(&server, "misspelt");
    let event = &found[0];
    assert_eq!((found.len(), &event["type"], &event["reportingController"]), (1, &json!("Warning"), &json!("plexus")));
    let note =
        "cannot find a network-attachment-definition (storaeg) in namespace (default); did you mean default/storage?";
    assert_eq!(event["note"], note);
    let described = server.kubectl(&["describe", "pod", "misspelt"], None).unwrap();
    assert!(described.contains("NoNetworkFound") && described.contains(note), "{described}");

    // A file of the node may be the operator's network: only the plugin knows.
    let uid = make_pod(&server, "of-a-file", json!({}));
    let operators =
        FactsRequest { default_network_namespace: Some("default".to_owned()), ..of("of-a-file", Some(&uid), false) };
    daemon.facts(operators).unwrap();
    // And whatever a pod selects in turn, its events are bounded.
    let uid = make_pod(&server, "many", json!({}));
    for number in 0..40 {
        let networks = vec![nad(&format!("gone-{number}"))];
        daemon.facts(FactsRequest { networks, ..of("many", Some(&uid), false) }).unwrap();
    }
    let created = || since(&server, "plexusd-missing", 0).iter().filter(|request| *request == "create events").count();
    wait_until(|| created() >= 21, || daemon.log());
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((created(), events(&server, "many").len(), events(&server, "of-a-file").len()), (21, 20, 0));
    for name in ["misspelt", "of-a-file", "many"] {
        delete_pod(&server, name);
    }
    server.kubectl(&["delete", "nad", "storage"], None).unwrap();
}
