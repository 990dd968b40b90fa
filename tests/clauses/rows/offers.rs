//! What is offered by capability, and to whom.

use crate::row::{Row, row, success};
use serde_json::{Value, json};

const UNKNOWN: &str = "left out: it does not know it";

pub fn rows() -> Vec<Row> {
    [offers(), conventions()].concat()
}

/// Capability by kind of network.
fn offers() -> Vec<Row> {
    let ports = json!([{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}]);
    let own = json!([{"hostPort": 81, "containerPort": 81, "protocol": "tcp"}]);
    let able = |plugin: &str| json!({"cniVersion": "1.0.0", "name": plugin, "plugins": [{"type": plugin, "capabilities": {"portMappings": true, "mac": false}}]});
    vec![
        row("what the runtime offers reaches the default network that declares it", "CNI-REQ-05")
            .primary(able("primary"))
            .offered("portMappings", ports.clone())
            .offered("mac", json!("02:00:00:00:00:07"))
            .expect(success().sees("ADD primary eth0", "/runtimeConfig", json!({"portMappings": ports.clone()})))
            .libcni(),
        row("it does not reach one that does not declare it", "CNI-REQ-05")
            .offered("portMappings", ports.clone())
            .expect(success().sees("ADD primary eth0", "/runtimeConfig", Value::Null))
            .libcni(),
        row("it does not reach additional networks", "NPWG-RC-01")
            .nad("default/a", able("a"))
            .networks("a")
            .offered("portMappings", ports.clone())
            .expect(success().sees("ADD a net1", "/runtimeConfig", Value::Null))
            .multus_fault("the pod's host ports are given to every network", success().sees("ADD a net1", "/runtimeConfig/portMappings", ports.clone())),
        row("what a pod asks of an additional network is its alone", "NPWG-RC-01")
            .primary(able("primary"))
            .nad("default/a", able("a"))
            .networks(json!([{"name": "a", "portMappings": own.clone()}]))
            .offered("portMappings", ports.clone())
            .expect(
                success()
                    .sees("ADD primary eth0", "/runtimeConfig/portMappings", ports.clone())
                    .sees("ADD a net1", "/runtimeConfig/portMappings", own),
            ),
        row("any capability of the runtime reaches the default network", "CNI-CAP-04, CNI-CAP-10")
            .primary(json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary", "capabilities": {"dns": true, "cgroupPath": true}}]}))
            .offered("dns", json!({"Servers": ["10.0.0.1"]}))
            .offered("cgroupPath", json!("/x"))
            .expect(success().sees("ADD primary eth0", "/runtimeConfig", json!({"cgroupPath": "/x", "dns": {"Servers": ["10.0.0.1"]}})))
            .multus_fault("capabilities that it does not know are left out", success().sees("ADD primary eth0", "/runtimeConfig", Value::Null))
            .libcni(),
        row("`capabilities` is not in what a plugin reads", "CNI-REQ-03")
            .primary(able("primary"))
            .offered("portMappings", ports.clone())
            .expect(success().sees("ADD primary eth0", "/capabilities", Value::Null))
            .multus_otherwise("as in libcni", success().sees("ADD primary eth0", "/capabilities/portMappings", json!(true)))
            .libcni_otherwise("left in", success().sees("ADD primary eth0", "/capabilities/portMappings", json!(true))),
    ]
}

/// Capabilities of the conventions, as the runtime offers them: handed on as they are.
fn conventions() -> Vec<Row> {
    let values = [
        (
            "ipRanges",
            "/runtimeConfig/ipRanges",
            "CNI-CAP-02",
            json!([[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9"}]]),
        ),
        ("aliases", "/runtimeConfig/aliases", "CNI-CAP-09", json!(["x", "y"])),
        (
            "dns",
            "/runtimeConfig/dns",
            "CNI-CAP-04",
            json!({"servers": ["10.0.0.1"], "searches": ["x"], "options": ["ndots:5"]}),
        ),
        ("ips", "/runtimeConfig/ips", "CNI-CAP-05", json!(["10.1.0.5", "fd00::5/64"])),
        ("mac", "/runtimeConfig/mac", "CNI-CAP-06", json!("02:00:00:00:00:07")),
        (
            "bandwidth",
            "/runtimeConfig/bandwidth",
            "CNI-CAP-03",
            json!({"ingressRate": 2048, "ingressBurst": 1600, "egressRate": 4096, "egressBurst": 1600}),
        ),
    ];
    let case = |(capability, pointer, clauses, value): (&'static str, &'static str, &'static str, Value)| {
        let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary", "capabilities": {capability: true}}]});
        let case = row(pointer, clauses)
            .primary(list)
            .offered(capability, value.clone())
            .expect(success().sees("ADD primary eth0", pointer, value))
            .libcni();
        match ["ips", "mac", "bandwidth"].contains(&capability) {
            true => case,
            false => case.multus_fault(UNKNOWN, success().sees("ADD primary eth0", pointer, Value::Null)),
        }
    };
    values.map(case).to_vec()
}
