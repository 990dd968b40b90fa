//! What a pod's specification asks of its default network (`hostPort`, bandwidth, a fixed address) reaches it.

use crate::support::{Node, Pod};
use plexus::sys::netns::Netns;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

#[test]
fn each_plugin_is_given_what_it_asks_for_and_no_more() {
    let Some(mut node) = Node::new() else { return };
    let plugins = json!([
        {"type": "primary", "capabilities": {"ips": true, "mac": true, "dns": true, "portMappings": false}},
        {"type": "second", "capabilities": {"portMappings": true, "bandwidth": true, "aliases": true}},
    ]);
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": plugins}));
    node.config["capabilities"] = Value::Null;
    let (first, second) = (node.recorder("primary"), node.recorder("second"));
    let mut pod = crate::node::offered(Pod::new(&node, "asks"));
    pod.capability_args.insert("cgroupPath".to_owned(), json!("/kubepods/x"));
    pod.add().result();
    pod.del().silence();
    let offer =
        |names: &[&str]| -> Value { names.iter().map(|name| (*name, pod.capability_args[*name].clone())).collect() };
    for verb in ["ADD", "DEL"] {
        // CNI-REQ-05, CNI-CAP-01, CNI-CAP-03, CNI-CAP-04, CNI-CAP-05, CNI-CAP-06
        assert_eq!(first.call_of(verb).config()["runtimeConfig"], offer(&["ips", "mac", "dns"]), "{verb}");
        assert_eq!(second.call_of(verb).config()["runtimeConfig"], offer(&["portMappings", "bandwidth"]), "{verb}");
    }
}

/// What a server in the pod says to whoever connects to the node.
fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), Duration::from_secs(5))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map(|_| answer)
}

#[test]
fn a_port_of_the_node_leads_into_the_pod_until_it_is_deleted() {
    let Some(node) = Node::new() else { return };
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [
        {"type": "bridge", "bridge": "cbr0", "isDefaultGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]}},
        {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}},
    ]}));
    for command in ["link add node0 type bridge", "address add 192.0.2.1/24 dev node0", "link set node0 up"] {
        node.ip(command);
    }
    node.recorded_network("a");
    let mut pod = Pod::new(&node, "published").selecting("a");
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    pod.capability_args.insert("portMappings".to_owned(), ports);
    pod.add().result();
    let server = Netns::open(&pod.netns).unwrap().run(|| TcpListener::bind("0.0.0.0:80")).unwrap().unwrap();
    let answering = std::thread::spawn(move || server.accept().unwrap().0.write_all(b"the pod"));
    assert_eq!(ask("192.0.2.1:8080").unwrap(), "the pod");
    answering.join().unwrap().unwrap();
    pod.del().silence();
    assert_eq!(ask("192.0.2.1:8080").unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}
