//! The network status on the pod.

use crate::row::{Row, row, success};
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    [entries(), interfaces(), routes()].concat()
}

/// A pod with network `a`, whose plugin answers this.
fn of(what: &'static str, clauses: &'static str, result: &Value) -> Row {
    row(what, clauses).networks("a").answers("a", result)
}

fn entries() -> Vec<Row> {
    vec![
        row("a plain pod has one entry, the default network's", "NPWG-STA-01, NPWG-STA-02, NPWG-STA-06")
            .expect(success().status("/0", json!({"name": "cbr0", "interface": "eth0", "ips": ["10.99.0.2"], "mac": "02:00:00:00:00:01", "default": true, "dns": {}})).status("/1", Value::Null)),
        row("entries in the order of attachment; `default` once", "NPWG-STA-06, NPWG-STA-13, NPWG-STA-21")
            .networks("other/b@x,a")
            .expect(
                success()
                    .status("/0/default", json!(true))
                    .status("/1", json!({"name": "other/b", "interface": "x", "ips": ["10.99.0.2"], "mac": "02:00:00:00:00:01", "dns": {}}))
                    .status("/2/name", json!("default/a"))
                    .status("/3", Value::Null),
            ),
        row("the same network twice: two entries", "NPWG-MUL-01")
            .networks("a,a")
            .expect(success().status("/1/interface", json!("net1")).status("/2/interface", json!("net2"))),
        row("pods of kube-system have a status", "").namespace("kube-system").expect(success().status("/0/name", json!("cbr0"))),
    ]
}

fn interfaces() -> Vec<Row> {
    let inside = json!({"name": "net1", "mac": "02:00:00:00:00:09", "mtu": 1400, "sandbox": "/x"});
    vec![
        of("a result without interfaces is an entry all the same", "NPWG-STA-04", &json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.2/24"}]}))
            .expect(success().status("/1", json!({"name": "default/a", "interface": "net1", "ips": ["10.1.0.2"], "dns": {}})))
            .multus_fault("the network is missing from the status", success().status("/1", Value::Null)),
        of("an empty result is an entry all the same", "NPWG-STA-04", &json!({"cniVersion": "1.0.0"}))
            .expect(success().status("/1", json!({"name": "default/a", "dns": {}})))
            .multus_fault("the network is missing from the status", success().status("/1", Value::Null)),
        row("a result of 0.2.0", "NPWG-STA-05, CNI-CONV-05")
            .nad("default/a", r#"{"cniVersion":"0.2.0","type":"a"}"#)
            .networks("a")
            .expect(success().status("/1", json!({"name": "default/a", "interface": "net1", "ips": ["10.99.0.2"], "dns": {}})))
            .multus_fault("the network is missing from the status", success().status("/1", Value::Null)),
        of("one interface has every address", "NPWG-STA-10, NPWG-STA-19", &json!({"cniVersion": "1.0.0", "interfaces": [inside], "ips": [{"address": "10.1.0.2/24"}, {"address": "fd00::2/64", "interface": 0}]}))
            .expect(success().status("/1/ips", json!(["10.1.0.2", "fd00::2"])).status("/1/mtu", json!(1400)).status("/1/mac", json!("02:00:00:00:00:09"))),
        of("interfaces of the node, and their addresses, are left out", "NPWG-STA-09, NPWG-STA-10", &json!({"cniVersion": "1.0.0", "interfaces": [{"name": "veth7"}, inside], "ips": [{"address": "10.1.0.2/24", "interface": 1}, {"address": "10.9.0.2/24", "interface": 0}]}))
            .expect(success().status("/1/interface", json!("net1")).status("/1/ips", json!(["10.1.0.2"])).status("/2", Value::Null)),
        of("an interface without a `sandbox` is included, with its address", "NPWG-STA-04, NPWG-STA-09", &json!({"cniVersion": "1.0.0", "interfaces": [{"name": "net1", "mac": "02:00:00:00:00:09"}], "ips": [{"address": "10.1.0.2/24", "interface": 0}]}))
            .expect(success().status("/1", json!({"name": "default/a", "interface": "net1", "ips": ["10.1.0.2"], "mac": "02:00:00:00:00:09", "dns": {}})))
            .multus_fault("without its name and hardware address", success().status("/1", json!({"name": "default/a", "ips": ["10.1.0.2"], "dns": {}}))),
        of("several interfaces: an entry each, addresses by index", "NPWG-STA-19", &json!({"cniVersion": "1.0.0", "interfaces": [inside, {"name": "net1b", "sandbox": "/x"}], "ips": [{"address": "10.1.0.2/24", "interface": 0}, {"address": "10.1.0.3/24", "interface": 1}, {"address": "10.1.0.4/24"}]}))
            .expect(success().status("/1/ips", json!(["10.1.0.2"])).status("/2/ips", json!(["10.1.0.3", "10.1.0.4"])).status("/2/interface", json!("net1b"))),
        of("`dns` from the plugin's result", "NPWG-STA-14", &json!({"cniVersion": "1.0.0", "interfaces": [inside], "dns": {"nameservers": ["10.0.0.1"], "domain": "x", "search": ["y"], "options": ["ndots:5"]}}))
            .expect(success().status("/1/dns", json!({"nameservers": ["10.0.0.1"], "domain": "x", "search": ["y"], "options": ["ndots:5"]}))),
    ]
}

fn routes() -> Vec<Row> {
    let with = |routes: Value| json!({"cniVersion": "1.0.0", "interfaces": [{"name": "net1", "sandbox": "/x"}], "ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1"}], "routes": routes});
    vec![
        of("`gateway`: the default routes'", "NPWG-STA-15", &with(json!([{"dst": "0.0.0.0/0", "gw": "10.1.0.9"}, {"dst": "::/0", "gw": "fd00::1"}, {"dst": "10.2.0.0/16", "gw": "10.1.0.8"}])))
            .expect(success().status("/1/gateway", json!(["10.1.0.9", "fd00::1"]))),
        of("`gateway` of a default route without a next hop: the address's", "NPWG-STA-20, CNI-RES-04", &with(json!([{"dst": "0.0.0.0/0"}])))
            .expect(success().status("/1/gateway", json!(["10.1.0.1"])))
            .multus_fault("the text `<nil>`", success().status("/1/gateway", json!(["<nil>"]))),
        of("0.0.0.0/1 is not a default route", "NPWG-STA-20", &with(json!([{"dst": "0.0.0.0/1", "gw": "10.1.0.9"}])))
            .expect(success().status("/1/gateway", Value::Null))
            .multus_fault("treated as one", success().status("/1/gateway", json!(["10.1.0.9"]))),
    ]
}
