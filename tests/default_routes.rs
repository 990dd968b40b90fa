//! Networks whose own plugins bring a default route: of each family one network has the pod's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::{Node, Pod, kernel};

/// Each of these holds for the reference plugins and for those in this process.
macro_rules! for_both {
    ($($test:ident)*) => {
        mod reference {
            $(#[test] fn $test() { super::$test(false); })*
        }
        mod native {
            $(#[test] fn $test() { super::$test(true); })*
        }
    };
}

for_both! {
    of_networks_that_bring_a_default_route_the_last_has_it
    a_network_that_brings_one_family_leaves_the_other
    the_last_network_has_it_whatever_its_metric
    a_default_route_of_another_table_is_not_the_pods
    the_network_that_asked_for_one_family_has_both
    a_node_can_leave_out_default_routes_that_nobody_asked_for
    chained_the_last_network_has_the_default_route_too
}

/// A node whose Plexus carries out plugins itself, or never does, and whose default network has a default route of
/// both families.
fn node(natives: bool) -> Option<Node> {
    let mut node = Node::new()?;
    node.config["natives"] = json!(natives);
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{
        "type": "bridge", "bridge": "cbr0", "isDefaultGateway": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd01::/64"}]]},
    }]}));
    Some(node)
}

/// The network status that waits for the daemon.
fn status(node: &Node) -> Vec<Value> {
    let file = fs::read_dir(node.run().unpublished()).unwrap().next().unwrap().unwrap().path();
    let publication: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    serde_json::from_str(publication["networkStatus"].as_str().unwrap()).unwrap()
}

/// A bridge `default/<name>` in 10.<subnet>.0.0/24 and fd<subnet>::/64, with `routes` of its address plugin.
fn bringing(node: &Node, name: &str, subnet: u8, routes: &Value) {
    node.network(
        &format!("default/{name}"),
        &json!({
            "cniVersion": "1.0.0", "name": name, "type": "bridge", "bridge": name, "isGateway": true,
            "ipam": {
                "type": "host-local", "routes": routes,
                "ranges": [[{"subnet": format!("10.{subnet}.0.0/24")}], [{"subnet": format!("fd{subnet}::/64")}]],
            },
        }),
    );
}

fn both() -> Value {
    json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])
}

/// The pod's default routes of both families, and the gateways of its status.
fn default_routes(node: &Node, pod: &Pod) -> (Vec<String>, Vec<String>, Vec<Value>) {
    let gateways = status(node).iter().map(|entry| entry["gateway"].clone()).collect();
    (kernel::default_routes(&pod.netns, "-4"), kernel::default_routes(&pod.netns, "-6"), gateways)
}

fn of_networks_that_bring_a_default_route_the_last_has_it(natives: bool) {
    let Some(node) = node(natives) else { return };
    bringing(&node, "one", 21, &both());
    bringing(&node, "two", 22, &both());
    bringing(&node, "none", 23, &json!([]));
    let pod = Pod::new(&node, "last").selecting("one,two,none");
    let result = pod.add().result();
    // NPWG-KEY-17: in IPv6 the kernel would make one route over all three of it.
    let (v4, v6, gateways) = default_routes(&node, &pod);
    assert_eq!((v4, v6), (vec!["10.22.0.1 net2".to_owned()], vec!["fd22::1 net2".to_owned()]));
    assert_eq!(gateways, [json!(null), json!(null), json!(["10.22.0.1", "fd22::1"]), json!(null)]);
    let routes = result["routes"].as_array().cloned().unwrap_or_default();
    assert!(routes.iter().all(|route| !route["dst"].as_str().unwrap().ends_with("/0")), "{result}");
    pod.call("CHECK").make().silence();
    pod.del().silence();
}

fn a_network_that_brings_one_family_leaves_the_other(natives: bool) {
    let Some(node) = node(natives) else { return };
    bringing(&node, "four", 21, &json!([{"dst": "0.0.0.0/0"}]));
    bringing(&node, "six", 22, &json!([{"dst": "::/0"}]));
    let routes = |name: &str, networks: &str| {
        let pod = Pod::new(&node, name).selecting(networks);
        pod.add().result();
        let (v4, v6, _) = default_routes(&node, &pod);
        pod.del().silence();
        (v4.join(","), v6.join(","))
    };
    let expected = |v4: &str, v6: &str| (v4.to_owned(), v6.to_owned());
    assert_eq!(routes("a", "four"), expected("10.21.0.1 net1", "fd01::1 eth0"));
    assert_eq!(routes("b", "six"), expected("10.1.0.1 eth0", "fd22::1 net1"));
    assert_eq!(routes("c", "six,four"), expected("10.21.0.1 net2", "fd22::1 net1"));
    // What is asked for wins, in its family.
    bringing(&node, "both", 23, &both());
    let asked = json!([{"name": "four", "default-route": ["10.21.0.1"]}, {"name": "both"}]).to_string();
    assert_eq!(routes("d", &asked), expected("10.21.0.1 net1", "fd23::1 net2"));
}

fn the_last_network_has_it_whatever_its_metric(natives: bool) {
    let Some(node) = node(natives) else { return };
    bringing(&node, "plain", 21, &json!([{"dst": "0.0.0.0/0"}]));
    bringing(&node, "spare", 22, &json!([{"dst": "0.0.0.0/0", "priority": 50}]));
    for (name, networks, link) in [("alone", "spare", "net1"), ("behind", "plain,spare", "net2")] {
        let pod = Pod::new(&node, name).selecting(networks);
        pod.add().result();
        let (v4, v6, gateways) = default_routes(&node, &pod);
        assert_eq!((v4, v6), (vec![format!("10.22.0.1 {link}")], vec!["fd01::1 eth0".to_owned()]));
        assert_eq!(gateways.first(), Some(&json!(["fd01::1"])));
        assert_eq!(gateways.last(), Some(&json!(["10.22.0.1"])));
        assert_eq!(pod.ip("-4 route show default")[0]["metric"], 50);
        pod.call("CHECK").make().silence();
        pod.del().silence();
    }
}

fn a_default_route_of_another_table_is_not_the_pods(natives: bool) {
    let Some(node) = node(natives) else { return };
    bringing(&node, "aside", 21, &json!([{"dst": "0.0.0.0/0", "table": 100}]));
    bringing(&node, "main", 22, &json!([{"dst": "0.0.0.0/0", "table": 254}]));
    let eth0 = json!(["10.1.0.1", "fd01::1"]);
    let reported = [
        ("a", "aside", "10.1.0.1 eth0", vec![eth0, json!(null)]),
        ("b", "main,aside", "10.22.0.1 net1", vec![json!(["fd01::1"]), json!(["10.22.0.1"]), json!(null)]),
    ];
    for (name, networks, route, expected) in reported {
        let pod = Pod::new(&node, name).selecting(networks);
        pod.add().result();
        let (v4, _, gateways) = default_routes(&node, &pod);
        assert_eq!((v4, gateways), (vec![route.to_owned()], expected));
        assert_eq!(pod.ip("-4 route show table 100")[0]["gateway"], "10.21.0.1");
        pod.call("CHECK").make().silence();
        pod.del().silence();
    }
}

fn the_network_that_asked_for_one_family_has_both(natives: bool) {
    let Some(node) = node(natives) else { return };
    bringing(&node, "gw", 21, &both());
    bringing(&node, "gw2", 22, &both());
    let asked = json!([{"name": "gw", "default-route": ["10.21.0.1"]}, {"name": "gw2"}]);
    let pod = Pod::new(&node, "both").selecting(asked);
    pod.add().result();
    let (v4, v6, gateways) = default_routes(&node, &pod);
    assert_eq!((v4, v6), (vec!["10.21.0.1 net1".to_owned()], vec!["fd21::1 net1".to_owned()]));
    assert_eq!(gateways, [json!(null), json!(["fd21::1", "10.21.0.1"]), json!(null)]);
    pod.call("CHECK").make().silence();
    pod.del().silence();
}

fn a_node_can_leave_out_default_routes_that_nobody_asked_for(natives: bool) {
    let Some(mut node) = node(natives) else { return };
    node.config["defaultRoute"] = json!("asked");
    bringing(&node, "one", 21, &both());
    bringing(&node, "two", 22, &both());
    let pod = Pod::new(&node, "unasked").selecting("one,two");
    pod.add().result();
    let (v4, v6, gateways) = default_routes(&node, &pod);
    assert_eq!((v4, v6), (vec!["10.1.0.1 eth0".to_owned()], vec!["fd01::1 eth0".to_owned()]));
    assert_eq!(gateways, [json!(["10.1.0.1", "fd01::1"]), json!(null), json!(null)]);
    pod.call("CHECK").make().silence();
    pod.del().silence();
    let pod = Pod::new(&node, "asked").selecting(json!([{"name": "one", "default-route": []}, {"name": "two"}]));
    pod.add().result();
    let (v4, v6, _) = default_routes(&node, &pod);
    assert_eq!((v4, v6), (vec!["10.21.0.1 net1".to_owned()], vec!["fd21::1 net1".to_owned()]));
    pod.del().silence();
}

fn chained_the_last_network_has_the_default_route_too(natives: bool) {
    let Some(node) = node(natives) else { return };
    bringing(&node, "one", 21, &json!([{"dst": "0.0.0.0/0"}]));
    let mut pod = Pod::new(&node, "chained").selecting("one");
    // What the plugins before us made.
    for command in [
        "link set lo up",
        "link add eth0 type veth peer name peer0",
        "address add 10.1.0.2/24 dev eth0",
        "link set peer0 up",
        "link set eth0 up",
        "route add default via 10.1.0.1",
    ] {
        pod.ip(command);
    }
    pod.config.as_object_mut().unwrap().remove("clusterNetwork");
    let netns = pod.netns.clone();
    pod = pod.configured(
        "prevResult",
        json!({"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": netns}],
            "ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 0}], "routes": [{"dst": "0.0.0.0/0"}]}),
    );
    pod.add().result();
    let (v4, _, gateways) = default_routes(&node, &pod);
    assert_eq!((v4, gateways), (vec!["10.21.0.1 net1".to_owned()], vec![json!(null), json!(["10.21.0.1"])]));
    pod.del().silence();
}
