//! The JSON form: a list of objects.

use crate::row::{Row, crash, refusal, row, success};
use serde_json::{Value, json};

/// What is refused by us before anything is attached.
const LATE: &str = "not looked at before the default network is attached";
const DROPPED: &str = "silently ignored: the pod starts without it";

pub fn rows() -> Vec<Row> {
    [forms(), addresses(), requests(), arguments(), malformed(), out_of_range()].concat()
}

/// An element for network `a` with one key more.
fn a(key: &str, value: Value) -> Value {
    json!([{"name": "a", key: value}])
}

/// `default/a` of a plugin with these capabilities.
fn able(capabilities: &Value) -> Value {
    json!({"cniVersion": "1.0.0", "type": "a", "capabilities": capabilities})
}

fn forms() -> Vec<Row> {
    let both = ["ADD primary eth0", "ADD a net1"];
    vec![
        row("`[]`: the default network alone", "NPWG-ANN-08").networks("[]").calls(&["ADD primary eth0"]),
        row("a list of one", "NPWG-ANN-05").networks(r#"[{"name":"a"}]"#).calls(&both),
        row("`namespace`, and the pod's where it is empty", "NPWG-KEY-02")
            .networks(r#"[{"name":"b","namespace":"other"},{"name":"a","namespace":""}]"#)
            .calls(&["ADD primary eth0", "ADD b net1", "ADD a net2"]),
        row("the same network twice", "NPWG-MUL-01").networks(r#"[{"name":"a"},{"name":"a"}]"#).calls(&[
            "ADD primary eth0",
            "ADD a net1",
            "ADD a net2",
        ]),
        row("keys in any letter case", "")
            .networks(r#"[{"Name":"b","NameSpace":"other","INTERFACE":"x"}]"#)
            .calls(&["ADD primary eth0", "ADD b x"]),
        row("unknown keys are ignored", "NPWG-ANN-06").networks(r#"[{"name":"a","org.foo.x":{"y":[1]}}]"#).calls(&both),
        row("a name with dots", "NPWG-NAD-06")
            .nad("default/a.b", r#"{"cniVersion":"1.0.0","type":"a"}"#)
            .networks(r#"[{"name":"a.b"}]"#)
            .expect(success().calls(&both).sees("ADD a net1", "/name", json!("a.b"))),
        row("`interface`", "NPWG-KEY-08")
            .networks(a("interface", json!("foo0")))
            .calls(&["ADD primary eth0", "ADD a foo0"]),
        row("`interfaceRequest` where there is no `interface`", "")
            .networks(
                r#"[{"name":"a","interfaceRequest":"old0"},{"name":"b","interfaceRequest":"old1","interface":"new1"}]"#,
            )
            .calls(&["ADD primary eth0", "ADD a old0", "ADD b new1"]),
    ]
}

fn addresses() -> Vec<Row> {
    let call = "ADD a net1";
    vec![
        row("`ips` by capability", "NPWG-KEY-03, NPWG-KEY-05")
            .nad("default/a", able(&json!({"ips": true})))
            .networks(a("ips", json!(["10.1.1.7/24", "fd00::7"])))
            .expect(success().sees(call, "/runtimeConfig", json!({"ips": ["10.1.1.7/24", "fd00::7"]}))),
        row("`ips` without the capability go in `CNI_ARGS`", "CNI-REQ-05, CNI-ARG-01")
            .networks(a("ips", json!(["10.1.1.7/24", "fd00::7/64"])))
            .expect(success().sees(call, "/runtimeConfig", Value::Null).variable(
                call,
                "CNI_ARGS",
                ";IP=10.1.1.7/24,fd00::7/64",
            )),
        row("`CNI_ARGS` are the same at DEL", "CNI-ARG-02")
            .networks(a("ips", json!(["10.1.1.7/24"])))
            .then("DEL")
            .expect(success().variable("DEL a net1", "CNI_ARGS", "IP=10.1.1.7/24"))
            .multus_otherwise(
                "addresses are in them at ADD alone",
                success().no_variable("DEL a net1", "CNI_ARGS", "IP="),
            ),
        row("`mac` by capability and in `CNI_ARGS`", "NPWG-KEY-07")
            .nad("default/a", able(&json!({"mac": true})))
            .networks(a("mac", json!("02:11:22:33:44:55")))
            .expect(success().sees(call, "/runtimeConfig", json!({"mac": "02:11:22:33:44:55"})).variable(
                call,
                "CNI_ARGS",
                "MAC=02:11:22:33:44:55",
            )),
        row("`mac` with hyphens", "NPWG-KEY-07")
            .networks(a("mac", json!("02-11-22-33-44-55")))
            .expect(success().variable(call, "CNI_ARGS", "MAC=02-11-22-33-44-55")),
        row("`infiniband-guid` by capability", "NPWG-KEY-19, CNI-CAP-07")
            .nad("default/a", able(&json!({"infinibandGUID": true})))
            .networks(a("infiniband-guid", json!("c2:11:22:33:44:55:66:77")))
            .expect(success().sees(call, "/runtimeConfig", json!({"infinibandGUID": "c2:11:22:33:44:55:66:77"}))),
        row("`infiniband-guid` without the capability", "NPWG-KEY-19")
            .networks(a("infiniband-guid", json!("c2:11:22:33:44:55:66:77")))
            .refused(&["infinibandGUID"])
            .multus_fault(DROPPED, success().sees(call, "/runtimeConfig", Value::Null)),
    ]
}

fn requests() -> Vec<Row> {
    let call = "ADD a net1";
    let ports = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "10.0.0.1"}]);
    let rates = json!({"ingressRate": 2048, "ingressBurst": 1600, "egressRate": 4096, "egressBurst": 1600});
    vec![
        row("`portMappings` by capability", "NPWG-KEY-12, CNI-CAP-01")
            .nad("default/a", able(&json!({"portMappings": true})))
            .networks(a("portMappings", ports.clone()))
            .expect(success().sees(call, "/runtimeConfig/portMappings", ports.clone())),
        row("`portMappings` without a protocol: the plugin gets one", "NPWG-KEY-12")
            .nad("default/a", able(&json!({"portMappings": true})))
            .networks(a("portMappings", json!([{"hostPort": 8080, "containerPort": 80}])))
            .expect(success().sees(call, "/runtimeConfig/portMappings/0/protocol", json!("tcp")))
            .multus_fault(
                "portmap fails without one",
                success().sees(call, "/runtimeConfig/portMappings/0/protocol", Value::Null),
            ),
        row("`portMappings` reach DEL, or the rules stay", "NPWG-MUL-02, CNI-CHK-08")
            .nad("default/a", able(&json!({"portMappings": true})))
            .networks(a("portMappings", ports.clone()))
            .then("DEL")
            .expect(success().sees("DEL a net1", "/runtimeConfig/portMappings", ports.clone()))
            .multus_fault("not kept for DEL", success().sees("DEL a net1", "/runtimeConfig", Value::Null)),
        row("`portMappings` without the capability", "NPWG-KEY-13")
            .networks(a("portMappings", ports))
            .refused(&["portMappings"])
            .multus_fault(DROPPED, success().sees(call, "/runtimeConfig", Value::Null)),
        row("`bandwidth` by capability", "NPWG-KEY-14, CNI-CAP-03")
            .nad("default/a", able(&json!({"bandwidth": true})))
            .networks(a("bandwidth", rates.clone()))
            .expect(success().sees(call, "/runtimeConfig/bandwidth", rates.clone())),
        row("`bandwidth` without the capability", "NPWG-KEY-15")
            .networks(a("bandwidth", rates))
            .refused(&["bandwidth"])
            .multus_fault(DROPPED, success().sees(call, "/runtimeConfig", Value::Null)),
        row("`deviceID` by capability", "CNI-CAP-08")
            .nad("default/a", able(&json!({"deviceID": true})))
            .networks(a("deviceID", json!("0000:18:02.5")))
            .expect(success().sees(call, "/runtimeConfig/deviceID", json!("0000:18:02.5")).sees(
                call,
                "/deviceID",
                Value::Null,
            )),
    ]
}

fn arguments() -> Vec<Row> {
    let call = "ADD a net1";
    let list = json!({"cniVersion": "1.0.0", "name": "ab", "plugins": [{"type": "a", "args": {"cni": {"one": 1, "two": 1}, "x": 1}}, {"type": "b"}]});
    vec![
        row("`cni-args` go into `args.cni` of every plugin, the pod's win", "NPWG-KEY-10, NPWG-KEY-11, NPWG-KEY-23")
            .nad("default/a", list)
            .networks(a("cni-args", json!({"two": 2, "three": [3]})))
            .expect(success().sees(call, "/args", json!({"cni": {"one": 1, "two": 2, "three": [3]}, "x": 1})).sees(
                "ADD b net1",
                "/args",
                json!({"cni": {"two": 2, "three": [3]}}),
            )),
        row("`cni-args: null` is ignored", "NPWG-KEY-10").networks(a("cni-args", Value::Null)).expect(success().sees(
            call,
            "/args",
            Value::Null,
        )),
        row("`cni-args`, and `args` of the network is not an object", "NPWG-KEY-11")
            .nad("default/a", json!({"cniVersion": "1.0.0", "type": "a", "args": "x"}))
            .networks(a("cni-args", json!({"one": 1})))
            .refused(&["args"])
            .multus_fault("panics", crash("panic")),
        row("`ipam-claim-reference` reaches the plugin", "NPWG-KEY-20, NPWG-IPC-06")
            .networks(a("ipam-claim-reference", json!("vm.a.net1")))
            .expect(success().sees(call, "/args/cni/ipam-claim-reference", json!("vm.a.net1")))
            .multus_otherwise("it does not know the key", success().sees(call, "/args", Value::Null)),
    ]
}

fn malformed() -> Vec<Row> {
    let mut rows = vec![
        row("`[null]`", "NPWG-ANN-10").networks("[null]").refused(&[]).multus_fault("panics", crash("panic")),
        row("no `name`", "NPWG-KEY-01").networks(r#"[{"namespace":"other"}]"#).refused(&["name"]),
        row("a `name` that no object has", "NPWG-NAD-06").networks(r#"[{"name":"Net_A"}]"#).refused(&["Net_A"]),
        row("an `interface` with a blank", "NPWG-KEY-08")
            .networks(a("interface", json!("a b")))
            .refused(&["a b"])
            .multus_otherwise(LATE, refusal(&[]).calls(&["ADD primary eth0", "DEL a a b", "DEL primary eth0"])),
        row("an `interface` of sixteen characters", "NPWG-KEY-08")
            .networks(a("interface", json!("sixteen-bytes-xx")))
            .refused(&["sixteen-bytes-xx"])
            .multus_otherwise(
                LATE,
                refusal(&[]).calls(&["ADD primary eth0", "DEL a sixteen-bytes-xx", "DEL primary eth0"]),
            ),
        row("an `interface` of letters that look like others", "NPWG-KEY-08")
            .networks(a("interface", json!("n\u{435}t1")))
            .refused(&["ASCII"])
            .multus_otherwise("attached under that name", success().calls(&["ADD primary eth0", "ADD a n\u{435}t1"])),
    ];
    let texts = [
        ("no JSON", "[{\"name\":"),
        ("an object instead of a list", r#"{"name":"a"}"#),
        ("a list of strings", r#"["a"]"#),
    ];
    rows.extend(
        texts.map(|(what, text)| row(what, "NPWG-ANN-10").networks(text).refused(&["k8s.v1.cni.cncf.io/networks"])),
    );
    let values = [
        ("`name` is a number", "name", json!(1)),
        ("`ips` is a text", "ips", json!("10.1.1.7")),
        ("`ips`: no address", "ips", json!(["10.1.1"])),
        ("`ips`: no prefix length", "ips", json!(["10.1.1.7/33"])),
        ("`mac`: no hardware address", "mac", json!("02:11:22")),
        ("`infiniband-guid`: no hardware address", "infiniband-guid", json!("c2")),
        ("`portMappings` is an object", "portMappings", json!({})),
        ("`portMappings`: a port is a text", "portMappings", json!([{"hostPort": "80", "containerPort": 80}])),
        ("`bandwidth` is a number", "bandwidth", json!(8)),
        ("`cni-args` is a list", "cni-args", json!([1])),
        ("`default-route` is a text", "default-route", json!("10.0.0.1")),
        ("`default-route`: no address", "default-route", json!(["10.0.0"])),
    ];
    rows.extend(values.map(|(what, key, value)| row(what, "NPWG-ANN-09").networks(a(key, value)).refused(&[])));
    rows
}

/// What the standard calls invalid; to Multus these are texts and numbers like any.
fn out_of_range() -> Vec<Row> {
    let all = able(&json!({"portMappings": true, "bandwidth": true, "ips": true, "infinibandGUID": true}));
    let values = [
        ("`portMappings`: port 0", "NPWG-KEY-12", "portMappings", json!([{"hostPort": 0, "containerPort": 80}])),
        (
            "`portMappings`: port 65536",
            "NPWG-KEY-12",
            "portMappings",
            json!([{"hostPort": 65536, "containerPort": 80}]),
        ),
        ("`portMappings`: no container port", "NPWG-KEY-12", "portMappings", json!([{"hostPort": 80}])),
        (
            "`portMappings`: an unknown protocol",
            "NPWG-KEY-12",
            "portMappings",
            json!([{"hostPort": 80, "containerPort": 80, "protocol": "icmp"}]),
        ),
        ("`bandwidth`: a burst without its rate", "NPWG-KEY-14", "bandwidth", json!({"ingressBurst": 8})),
        ("`infiniband-guid` of six bytes", "NPWG-KEY-19", "infiniband-guid", json!("02:11:22:33:44:55")),
    ];
    values
        .map(|(what, clauses, key, value)| {
            row(what, clauses).nad("default/a", all.clone()).networks(a(key, value)).refused(&[]).multus_otherwise(
                "passed to the plugin unchecked",
                success().calls(&["ADD primary eth0", "ADD a net1"]),
            )
        })
        .to_vec()
}
