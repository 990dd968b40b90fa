//! Lists of plugins: what one gets of the others. libcni is asked as well: it is the default network's list.

use crate::row::{Row, refusal, row, success};
use crate::support::kernel;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    [chain(), failures(), answers(), versions(), real()].concat()
}

const ADDS: [&str; 3] = ["ADD primary eth0", "ADD second eth0", "ADD third eth0"];
const DELS: [&str; 3] = ["DEL third eth0", "DEL second eth0", "DEL primary eth0"];

/// A default network of three plugins.
fn three(version: &str) -> Value {
    json!({"cniVersion": version, "name": "cbr0", "plugins": [{"type": "primary"}, {"type": "second"}, {"type": "third"}]})
}

fn result(version: &str, address: &str) -> Value {
    json!({"cniVersion": version, "interfaces": [{"name": "eth0", "sandbox": "/x"}], "ips": [{"address": address}]})
}

fn chain() -> Vec<Row> {
    let (first, last) = (result("1.0.0", "10.1.0.2/24"), result("1.0.0", "10.3.0.2/24"));
    let in_order = |what, clauses| {
        row(what, clauses).primary(three("1.0.0")).answers("primary", &first).answers("third", &last).libcni()
    };
    vec![
        in_order("plugins are called in order, each with its predecessor's result", "CNI-ADD-06, CNI-REQ-02").expect(
            success()
                .calls(&ADDS)
                .sees(ADDS[0], "/prevResult", Value::Null)
                .sees(ADDS[1], "/prevResult/ips/0/address", json!("10.1.0.2/24"))
                .answer("/ips/0/address", json!("10.3.0.2/24")),
        ),
        in_order("DEL in reverse, each with the last result", "CNI-DEL-05, CNI-DEL-02, CNI-ADD-07").then("DEL").expect(
            success()
                .calls(&[ADDS.as_slice(), &DELS].concat())
                .sees(DELS[0], "/prevResult/ips/0/address", json!("10.3.0.2/24"))
                .sees(DELS[2], "/prevResult/ips/0/address", json!("10.3.0.2/24")),
        ),
        row("name and version of the list are given to every plugin", "CNI-REQ-01, NPWG-MUL-03")
            .primary(json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary", "name": "own", "cniVersion": "0.3.1"}, {"type": "second"}]}))
            .expect(success().sees(ADDS[0], "/name", json!("cbr0")).sees(ADDS[0], "/cniVersion", json!("1.0.0")).sees(ADDS[1], "/name", json!("cbr0")))
            .libcni(),
        row("a list of 0.3.1: no result at DEL", "CNI-DEL-06, CNI-VER-09")
            .primary(three("0.3.1"))
            .then("DEL")
            .expect(success().calls(&[ADDS.as_slice(), &DELS].concat()).sees(DELS[2], "/prevResult", Value::Null))
            .libcni(),
        row("one plugin of the list is offered what it declares", "CNI-REQ-05, NPWG-KEY-22")
            .primary(json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [
                {"type": "primary", "capabilities": {"mac": true}}, {"type": "second", "capabilities": {"portMappings": true, "mac": false}}, {"type": "third"}]}))
            .offered("mac", json!("02:00:00:00:00:07"))
            .offered("portMappings", json!([{"hostPort": 1, "containerPort": 1, "protocol": "tcp"}]))
            .expect(
                success()
                    .sees(ADDS[0], "/runtimeConfig", json!({"mac": "02:00:00:00:00:07"}))
                    .sees(ADDS[1], "/runtimeConfig/portMappings/0/hostPort", json!(1))
                    .sees(ADDS[1], "/runtimeConfig/mac", Value::Null)
                    .sees(ADDS[2], "/runtimeConfig", Value::Null),
            )
            .libcni(),
        row("`CNI_ARGS` are the same for every plugin and verb", "CNI-ARG-02")
            .primary(three("1.0.0"))
            .then("DEL")
            .expect(success().judge("CNI_ARGS", |world| {
                let calls = world.node.calls();
                let first = calls[0].env("CNI_ARGS");
                let all = first.contains("K8S_POD_NAME=") && calls.iter().all(|call| call.env("CNI_ARGS") == first);
                if all { Ok(()) } else { Err(format!("{:?}", calls.iter().map(|call| call.env("CNI_ARGS").to_owned()).collect::<Vec<_>>())) }
            }))
            .libcni(),
    ]
}

fn failures() -> Vec<Row> {
    let undone = ["ADD primary eth0", "ADD second eth0", "DEL third eth0", "DEL second eth0", "DEL primary eth0"];
    vec![
        row(
            "the second plugin fails: the third is not called, and the whole list is deleted",
            "CNI-ADD-06, CNI-ADD-08, CNI-DLG-09",
        )
        .primary(three("1.0.0"))
        .script("second", "ADD", "fail 11 'no way'")
        .expect(refusal(&["no way"]).code(11).calls(&undone))
        .multus_otherwise("the code is 999", refusal(&["no way"]).code(999).calls(&undone))
        .libcni_otherwise("it leaves DEL to its caller", refusal(&["no way", "second"]).calls(&undone[..2])),
        row("a plugin that fails at DEL ends it", "CNI-DEL-05")
            .primary(three("1.0.0"))
            .script("second", "DEL", "fail 103 'stuck'")
            .then("DEL")
            .expect(refusal(&["stuck"]).code(103).calls(&[ADDS.as_slice(), &DELS[..2]].concat()))
            .multus_otherwise(
                "the code is 999",
                refusal(&["stuck"]).code(999).calls(&[ADDS.as_slice(), &DELS[..2]].concat()),
            )
            .libcni(),
        row("a missing plugin is found before the first one is called", "CNI-ADD-06")
            .primary(
                json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary"}, {"type": "absent"}]}),
            )
            .refused(&["absent"])
            .multus_otherwise("detected only when it is called", refusal(&["absent"]).calls(&["ADD primary eth0"]))
            .libcni_otherwise("detected only when it is called", refusal(&["absent"]).calls(&["ADD primary eth0"])),
        row("a plugin that fails without a word", "CNI-ERR-06")
            .script("primary", "ADD", "exit 7")
            .expect(refusal(&["primary"]).our_code(100).calls(&["ADD primary eth0", "DEL primary eth0"]))
            .libcni_otherwise("it leaves DEL to its caller", refusal(&["primary"]).calls(&["ADD primary eth0"])),
        row("a plugin that complains on stderr alone", "CNI-ERR-06")
            .script("primary", "ADD", "echo 'it hurts' >&2; exit 1")
            .expect(refusal(&["it hurts"]).our_code(100).calls(&["ADD primary eth0", "DEL primary eth0"]))
            .libcni_otherwise("it leaves DEL to its caller", refusal(&["it hurts"]).calls(&["ADD primary eth0"])),
    ]
}

fn answers() -> Vec<Row> {
    let mixed = result("0.4.0", "10.1.0.2/24");
    let two = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary"}, {"type": "second"}]});
    vec![
        row("a result without a version is of the list's", "CNI-ADD-10")
            .primary(two.clone())
            .answers("primary", &json!({"ips": [{"address": "10.1.0.2/24"}]}))
            .expect(success().sees(ADDS[1], "/prevResult/cniVersion", json!("1.0.0")))
            .libcni(),
        row("a result of another version is converted to the list's version", "CNI-ADD-11")
            .primary(two)
            .answers("primary", &mixed)
            .expect(success().sees(ADDS[1], "/prevResult/cniVersion", json!("1.0.0")))
            .multus_fault("as in libcni", success().sees(ADDS[1], "/prevResult/cniVersion", json!("0.4.0")))
            .libcni_otherwise(
                "as it is; reference plugins then fail",
                success().sees(ADDS[1], "/prevResult/cniVersion", json!("0.4.0")),
            ),
        row("an answer that is not JSON", "CNI-DLG-04")
            .script("primary", "ADD", "echo hello")
            .expect(refusal(&["primary"]).our_code(100).calls(&["ADD primary eth0", "DEL primary eth0"]))
            .libcni_otherwise("it leaves DEL to its caller", refusal(&[]).calls(&["ADD primary eth0"])),
        row("text on stderr in addition to a result", "CNI-IO-03")
            .script("primary", "ADD", "echo noise >&2; result")
            .calls(&["ADD primary eth0"])
            .libcni(),
    ]
}

fn versions() -> Vec<Row> {
    vec![
        row("the highest supported version of the list is used", "CNI-VER-01, CNI-VER-03")
            .primary(json!({"cniVersion": "0.4.0", "cniVersions": ["0.4.0", "1.0.0", "99.0.0"], "name": "cbr0", "plugins": [{"type": "primary"}]}))
            .expect(success().sees(ADDS[0], "/cniVersion", json!("1.0.0")))
            .libcni(),
    ]
}

/// With the reference plugins: what they make of a chain is the same, whoever calls them.
fn real() -> Vec<Row> {
    let list = |version: &str| {
        json!({"cniVersion": version, "name": "clreal", "plugins": [
            {"type": "bridge", "bridge": "clreal", "isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.60.0.0/24"}]]}},
            {"type": "tuning", "mtu": 1400},
        ]})
    };
    let with = |what, version: &'static str| {
        row(what, "CNI-VER-07, CNI-RES-01, CNI-RES-02")
            .config("cniVersion", json!(version))
            .primary(list(version))
            .del_aside()
            .expect(
                success()
                    .answer("/cniVersion", json!(version))
                    .answer("/interfaces/2/name", json!("eth0"))
                    .answer("/ips/0/address", json!("10.60.0.2/24"))
                    .answer("/ips/0/interface", json!(2))
                    .judge("mtu", |world| {
                        let link = kernel::ip_in(&world.pod.netns, "link show dev eth0");
                        crate::run::equal("mtu", &link[0]["mtu"], &json!(1400))
                    }),
            )
    };
    vec![
        with("bridge and tuning, 0.3.1", "0.3.1").libcni(),
        with("bridge and tuning, 0.4.0", "0.4.0").libcni(),
        with("bridge and tuning, 1.0.0", "1.0.0").libcni(),
        with("bridge and tuning, 1.1.0", "1.1.0").libcni(),
    ]
}
