//! Statuses on pods: one write each, for the right pod.

use super::*;

#[test]
fn publishing_is_one_write() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&server, folder.path(), "plexusd-publish", "plexus");
    let uid = make_pod(&server, "several", json!({ "other": "stays" }));
    let plain = make_pod(&server, "plain", json!({}));
    let before = server.requests("plexusd-publish").unwrap().len();

    assert_eq!(daemon.publish("c1", &pod("plain", Some(&plain)), PLAIN), Published::Written);
    assert_eq!(status_of(&server, "plain").as_deref(), Some(PLAIN));
    assert_eq!(since(&server, "plexusd-publish", before), ["patch pods/status"]);

    assert_eq!(daemon.publish("c2", &pod("several", Some(&uid)), MULTI), Published::Written);
    assert_eq!(status_of(&server, "several").as_deref(), Some(MULTI));
    wait_until(|| since(&server, "plexusd-publish", before).len() == 3, || "no event".into());
    assert_eq!(since(&server, "plexusd-publish", before)[1..], ["patch pods/status", "create events"]);
    let described = server.kubectl(&["describe", "pod", "several"], None).unwrap();
    assert!(described.contains("AddedInterface"), "{}", daemon.log());
    assert!(described.contains("Add eth0 [10.1.1.2] from cbr0, net1 [] from default/a"), "{described}");
    assert!(described.contains("other: stays"), "{described}");
    let manager = server.kubectl(
        &["get", "pod", "several", "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields[*].manager}"],
        None,
    );
    assert!(manager.unwrap().contains("plexus"));
}

#[test]
fn a_burst_is_one_write_a_pod() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&server, folder.path(), "plexusd-burst", "plexus");
    let names: Vec<String> = (0..100).map(|n| format!("burst-{n}")).collect();
    let pods: Vec<Value> = names
        .iter()
        .map(|name| {
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
                "spec": { "nodeName": "n1", "containers": [{ "name": "c", "image": "x" }] },
            })
        })
        .collect();
    server
        .kubectl(
            &["create", "-f", "-"],
            Some(&json!({ "apiVersion": "v1", "kind": "List", "items": pods }).to_string()),
        )
        .unwrap();
    let uids = server
        .kubectl(&["get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name}={.metadata.uid} {end}"], None)
        .unwrap();
    let uids: std::collections::HashMap<&str, &str> =
        uids.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
    let (idle, before, begun) =
        (daemon.memory(), server.requests("plexusd-burst").unwrap().len(), std::time::Instant::now());
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| {
                // On a busy machine the answer may not be there in time; the status is written all the same.
                let published = daemon.publish(name, &pod(name, Some(uids[name.as_str()])), MULTI);
                assert!(matches!(published, Published::Written | Published::Retrying(_)), "{published:?}");
            });
        }
    });
    let took = begun.elapsed();
    wait_until(|| daemon.health().unpublished == 0, || daemon.log());
    wait_until(|| since(&server, "plexusd-burst", before).len() >= 200, || "not every event was sent".into());
    let requests = since(&server, "plexusd-burst", before);
    assert_eq!(requests.iter().filter(|request| *request == "patch pods/status").count(), 100);
    assert_eq!(requests.iter().filter(|request| *request == "create events").count(), 100);
    support::say(&format!(
        "plexusd: 100 statuses in {took:?}, {idle} KiB before, {} KiB after, {} KiB at most",
        daemon.memory(),
        daemon.peak_memory()
    ));
}

#[test]
fn a_pod_that_is_gone_needs_no_status() {
    // FAULT-19, FAULT-30
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&server, folder.path(), "plexusd-gone", "plexus");
    let never = "00000000-0000-0000-0000-000000000000";
    assert_eq!(daemon.publish("c1", &pod("never", Some(never)), PLAIN), Published::Gone);
    make_pod(&server, "again", json!({}));
    assert_eq!(daemon.publish("c2", &pod("again", Some(never)), PLAIN), Published::Gone);
    assert_eq!(status_of(&server, "again"), None);
    // A runtime that does not say the UID: whichever pod has the name.
    assert_eq!(daemon.publish("c3", &pod("again", None), PLAIN), Published::Written);
    assert_eq!(status_of(&server, "again").as_deref(), Some(PLAIN));
    assert_eq!(daemon.health().unpublished, 0);
}

#[test]
fn a_static_pod_is_known_by_its_file() {
    // FAULT-30
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(&server, folder.path(), "plexusd-static", "plexus");
    let hash = "0123456789abcdef0123456789abcdef";
    // The kubelet has not made the API object yet.
    assert!(matches!(daemon.publish("c1", &pod("static-n1", Some(hash)), MULTI), Published::Retrying(_)));
    make_pod(&server, "static-n1", json!({ "kubernetes.io/config.mirror": hash, "k8s.v1.cni.cncf.io/networks": "a" }));
    wait_until(|| status_of(&server, "static-n1").as_deref() == Some(MULTI), || daemon.log());
    let facts = daemon.facts(wanted(pod("static-n1", Some(hash)))).unwrap();
    assert_eq!(facts.annotations.unwrap()["k8s.v1.cni.cncf.io/networks"], "a");
}

#[test]
fn a_pod_is_never_answered_for_by_its_predecessor() {
    // FAULT-30
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let networks = |name: &str| json!({ "k8s.v1.cni.cncf.io/networks": name, "large": "x".repeat(1000) });
    let daemon = start(&server, folder.path(), "plexusd-pods", "plexus");
    assert!(
        !since(&server, "plexusd-pods", 0).contains(&"list pods".to_owned()),
        "pods are watched before anybody asks"
    );
    let old = make_pod(&server, "web-0", networks("old"));
    let annotations = |uid: &str| daemon.facts(wanted(pod("web-0", Some(uid)))).map(|facts| facts.annotations.unwrap());
    assert_eq!(annotations(&old).unwrap().len(), 1);
    wait_until(|| daemon.health().ready && daemon.health().guards.contains_key("pods"), || daemon.log());

    // From memory now: only the network, which nobody knows, is asked for; its absence is remembered for a second.
    std::thread::sleep(Duration::from_millis(1100));
    let before = server.requests("plexusd-pods").unwrap().len();
    assert_eq!(annotations(&old).unwrap()["k8s.v1.cni.cncf.io/networks"], "old");
    assert_eq!(since(&server, "plexusd-pods", before), ["get network-attachment-definitions"]);

    delete_pod(&server, "web-0");
    let new = make_pod(&server, "web-0", networks("new"));
    assert_eq!(annotations(&new).unwrap()["k8s.v1.cni.cncf.io/networks"], "new");
    let refused = annotations(&old).unwrap_err();
    assert!(refused.contains(&old) && refused.contains(&new), "{refused}");
    // No UID: what the server says now.
    let unsaid = daemon.facts(wanted(pod("web-0", None))).unwrap();
    assert_eq!(unsaid.annotations.unwrap()["k8s.v1.cni.cncf.io/networks"], "new");
}

#[test]
fn what_a_policy_denies_is_tried_seldom_and_told() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let policy = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": { "name": "no-status" }, "spec": {
            "matchConstraints": { "resourceRules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods/status"] }] },
            "validations": [{ "expression": "object.metadata.name != 'guarded'", "message": "guarded pods have no status" }] } },
        { "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": "no-status" },
          "spec": { "policyName": "no-status", "validationActions": ["Deny"] } },
    ] });
    server.kubectl(&["apply", "-f", "-"], Some(&policy.to_string())).unwrap();
    let daemon = start(&server, folder.path(), "plexusd-refused", "plexus");
    let uid = make_pod(&server, "guarded", json!({}));
    let mut last = None;
    // A new policy takes a moment to hold.
    for turn in 0..100 {
        last = Some(daemon.publish(&format!("c{turn}"), &pod("guarded", Some(&uid)), PLAIN));
        if last != Some(Published::Written) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(
        matches!(&last, Some(Published::Retrying(line)) if line.contains("guarded pods have no status")),
        "{last:?}"
    );
    assert_eq!(daemon.health().unpublished, 1);
    server
        .kubectl(&["delete", "validatingadmissionpolicy,validatingadmissionpolicybinding", "no-status"], None)
        .unwrap();
    // It is edited by somebody: what is left for the pod from then on is written.
    wait_until(|| daemon.publish("again", &pod("guarded", Some(&uid)), PLAIN) == Published::Written, || daemon.log());
    let told = || server.kubectl(&["describe", "pod", "guarded"], None).unwrap().contains("NetworkStatusRefused");
    wait_until(told, || "no event".into());
}
