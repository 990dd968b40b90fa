//! The main job: pods and networks in a real API server, links in real namespaces, the status on the pod.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use support::cluster::Cluster;
use support::kernel;

/// A cluster whose default network is a real bridge.
fn cluster() -> Option<Cluster> {
    let cluster = Cluster::new()?;
    cluster.node.primary(&bridge("cni0", "10.244.0.0/24", json!({"isGateway": true, "isDefaultGateway": true})));
    Some(cluster)
}

fn bridge(name: &str, subnet: &str, more: Value) -> Value {
    let mut plugin = json!({"type": "bridge", "bridge": name, "capabilities": {"ips": true, "mac": true},
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}});
    plugin.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin]})
}

fn macvlan(master: &str, subnet: &str) -> Value {
    json!({"cniVersion": "1.0.0", "type": "macvlan", "master": master, "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}})
}

fn leases() -> Vec<String> {
    let mut leases = Vec::new();
    for network in std::fs::read_dir("/var/lib/cni/networks").into_iter().flatten().flatten() {
        for file in std::fs::read_dir(network.path()).into_iter().flatten().flatten() {
            let name = file.file_name().into_string().unwrap();
            if name.parse::<std::net::IpAddr>().is_ok() {
                leases.push(name);
            }
        }
    }
    leases
}

#[test]
fn networks_are_attached_reported_and_removed() {
    let Some(cluster) = cluster() else { return };
    cluster.network("default", "br-a", &bridge("br-a", "10.10.0.0/24", json!({})));
    cluster.network("default", "mv-a", &macvlan("br-a", "10.20.0.0/24"));
    cluster.network("other", "br-o", &bridge("br-o", "10.30.0.0/24", json!({})));
    let _daemon = cluster.daemon();
    let short = cluster.pod("short", "br-a,mv-a@storage0");
    let long = r#"[{"name": "br-o", "namespace": "other", "interface": "foo0", "ips": ["10.30.0.77/24"], "mac": "02:00:00:00:30:77"}]"#;
    let long = cluster.pod("long", long);
    // Warm: both networks were asked for before.
    cluster.pod("warm", "br-a,mv-a").add().result();
    support::eventually("the event of the first pod", || {
        cluster.requests_since(0).iter().any(|request| request == "create events")
    });
    let before = cluster.requests_since(0).len();

    let result = short.add().result();
    assert_eq!(result["ips"][0]["gateway"], "10.244.0.1");
    assert_eq!(kernel::links(&short.netns), ["eth0", "net1", "storage0"]);
    assert_eq!(kernel::addresses(&short.netns, "net1"), ["10.10.0.3/24"]);
    assert_eq!(kernel::addresses(&short.netns, "storage0"), ["10.20.0.3/24"]);
    assert_eq!(kernel::default_routes(&short.netns, "-4"), ["10.244.0.1 eth0"]);

    // NPWG-STA-06, NPWG-STA-08, NPWG-STA-11, NPWG-STA-21: awaited, so it is there when ADD returns.
    let status = cluster.status("short");
    assert_eq!(status[0]["name"], "cni0");
    assert_eq!(
        (&status[0]["interface"], &status[0]["default"], &status[0]["gateway"]),
        (&json!("eth0"), &json!(true), &json!(["10.244.0.1"]))
    );
    assert_eq!(
        (&status[1]["name"], &status[1]["interface"], &status[1]["ips"]),
        (&json!("default/br-a"), &json!("net1"), &json!(["10.10.0.3"]))
    );
    assert_eq!((&status[2]["name"], &status[2]["interface"]), (&json!("default/mv-a"), &json!("storage0")));
    assert!(!status.to_string().contains("nil"), "{status}");

    // With a warm cache: no read, one write, one event.
    support::eventually("the event", || cluster.requests_since(before).len() >= 2);
    let mut requests = cluster.requests_since(before);
    requests.sort();
    assert_eq!(requests, ["create events", "patch pods/status"]);

    // NPWG-KEY-02, NPWG-KEY-03, NPWG-KEY-07, NPWG-KEY-08
    long.add().result();
    assert_eq!(kernel::addresses(&long.netns, "foo0"), ["10.30.0.77/24"]);
    assert_eq!(long.ip("link show dev foo0")[0]["address"], "02:00:00:00:30:77");
    assert_eq!(cluster.status("long")[1]["name"], "other/br-o");

    for pod in [&short, &long] {
        pod.del().silence();
        assert_eq!(kernel::links(&pod.netns), [""; 0]);
        assert!(pod.record(&cluster.node).is_none());
    }
    assert_eq!(leases().len(), 3, "those of the pod that is left: {:?}", leases());
}

#[test]
fn a_pod_made_anew_never_gets_the_status_of_the_old_one() {
    // FAULT-30
    let Some(cluster) = cluster() else { return };
    cluster.network("default", "br-a", &bridge("br-a", "10.10.0.0/24", json!({})));
    let daemon = cluster.daemon();
    let old = cluster.pod("again", "br-a");
    // The daemon stands still, so the status waits in its folder.
    daemon.halt();
    cluster.node.network("default/br-a", &bridge("br-a", "10.10.0.0/24", json!({})));
    old.configured("daemonTimeoutSeconds", json!(0.3)).configured("publishTimeoutSeconds", json!(0.3)).add().result();
    cluster.kubectl(&["delete", "pod", "again", "--grace-period=0", "--force"], None);
    cluster.kubectl(&["run", "again", "--image=x", r#"--overrides={"spec":{"nodeName":"node1"}}"#], None);
    daemon.kill();
    let _daemon = cluster.daemon();
    support::eventually("the to-do list to be empty", || {
        std::fs::read_dir(cluster.node.run().unpublished()).unwrap().next().is_none()
    });
    assert_eq!(cluster.status("again"), Value::Null);
}

#[test]
fn a_bad_second_network_costs_the_default_one_nothing() {
    let Some(cluster) = cluster() else { return };
    cluster.network("default", "lost", &json!({"cniVersion": "1.0.0", "type": "not-installed"}));
    cluster.network("default", "mv-x", &macvlan("no-such-link", "10.20.0.0/24"));
    cluster.network("default", "broken", &json!("{"));
    let _daemon = cluster.daemon();
    let table = [
        ("lost", "not-installed"),
        ("mv-x", "no-such-link"),
        ("unknown", "default/unknown"),
        ("broken", "default/broken"),
        (r#"[{"name":"mv-x","mac":"zz"}]"#, "zz"),
    ];
    for (index, (networks, part)) in table.into_iter().enumerate() {
        let pod = cluster.pod(&format!("bad{index}"), networks);
        pod.add().refusal(7, &[part]);
        pod.del().silence();
    }
    // Not one address of the default network was used up.
    assert!(!std::path::Path::new("/var/lib/cni/networks/cni0/last_reserved_ip.0").exists());
}
