//! Plugins that give addresses: called by the plugin that makes the interface, whoever calls that one.

use crate::row::{Row, refusal, row, success};
use crate::support::kernel;
use serde_json::{Value, json};

const STUCK: [&str; 2] = ["ADD special eth0", "DEL special eth0"];

pub fn rows() -> Vec<Row> {
    [delegated(), requested(), versions()].concat()
}

/// A network of the real bridge plugin whose addresses come from `ipam`.
fn bridge(name: &str, version: &str, ipam: Value) -> Value {
    json!({"cniVersion": version, "name": name, "args": {"x": 1}, "plugins": [
        {"type": "bridge", "bridge": name, "args": {"cni": {"labels": [{"key": "a", "value": "b"}]}, "x": 1}, "ipam": ipam, "note": "kept"}]})
}

/// Recorders give the address.
fn delegated() -> Vec<Row> {
    let given = |address: &str| json!({"cniVersion": "1.0.0", "ips": [{"address": address}]});
    let list = || bridge("clipam", "1.0.0", json!({"type": "special"}));
    vec![
        row("it gets the whole configuration, in the same environment", "CNI-DLG-02, CNI-CARG-01")
            .primary(list())
            .answers("special", &given("10.70.0.9/24"))
            .expect(
                success()
                    .calls(&["ADD special eth0"])
                    .sees("ADD special eth0", "/note", json!("kept"))
                    .sees("ADD special eth0", "/bridge", json!("clipam"))
                    .variable("ADD special eth0", "CNI_ARGS", "K8S_POD_NAME=row-")
                    .answer("/ips/0/address", json!("10.70.0.9/24")),
            )
            .libcni(),
        row("it is deleted with the interface", "CNI-DLG-05")
            .primary(list())
            .answers("special", &given("10.70.0.9/24"))
            .then("DEL")
            .expect(success().calls(&["ADD special eth0", "DEL special eth0"]).sees(
                "DEL special eth0",
                "/note",
                json!("kept"),
            ))
            .multus_fault(
                "multus-cni issue 1449: most keys are lost",
                success().sees("DEL special eth0", "/note", Value::Null),
            )
            .libcni(),
        row("it fails at ADD: it is deleted, and its code and message are returned", "CNI-DLG-06, CNI-DLG-08")
            .primary(list())
            .script("special", "ADD", "fail 11 'pool is empty'")
            .expect(refusal(&["pool is empty"]).code(11).calls(&["ADD special eth0", "DEL special eth0"]))
            .multus_fault(
                "the code is lost: 999",
                refusal(&["pool is empty"]).code(999).calls(&["ADD special eth0", "DEL special eth0"]),
            )
            .libcni_otherwise("it leaves DEL to its caller", refusal(&["pool is empty"]).calls(&["ADD special eth0"])),
        row("what follows it fails: it is deleted, and the interface with it", "CNI-DLG-07")
            .primary(list())
            .answers("special", &json!({"cniVersion": "1.0.0", "ips": []}))
            // By the plugin itself, and when the list is undone.
            .expect(
                refusal(&[])
                    .calls(&["ADD special eth0", "DEL special eth0", "DEL special eth0"])
                    .judge("links", |world| crate::run::equal("links", &kernel::links(&world.pod.netns), &Vec::new())),
            )
            .libcni_otherwise(
                "it leaves DEL to its caller",
                refusal(&[]).calls(&["ADD special eth0", "DEL special eth0"]),
            ),
        row("it fails at DEL: its code is returned", "CNI-DLG-05")
            .primary(list())
            .answers("special", &given("10.70.0.9/24"))
            .script("special", "DEL", "fail 103 'stuck'")
            .then("DEL")
            .expect(refusal(&["stuck"]).code(103).calls(&STUCK))
            .multus_otherwise("the code is 999", refusal(&["stuck"]).code(999).calls(&STUCK))
            .libcni(),
    ]
}

/// What a pod asks for, given by the reference's address plugins.
fn requested() -> Vec<Row> {
    let pool = || json!({"type": "host-local", "ranges": [[{"subnet": "10.71.0.0/24"}]]});
    let fixed = |capabilities: Value| {
        json!({"cniVersion": "1.0.0", "name": "clfix", "plugins": [
            {"type": "bridge", "bridge": "clfix", "capabilities": capabilities, "ipam": {"type": "static"}}]})
    };
    let has = |address: &'static str| success().status("/1/ips/0", json!(address));
    vec![
        row("host-local gives what `args.cni.ips` asks for", "CNI-CARG-02, CNI-CARG-03, CNI-ARG-03")
            .nad("default/a", bridge("clpool", "1.0.0", pool()))
            .networks(json!([{"name": "a", "cni-args": {"ips": ["10.71.0.77"]}}]))
            .expect(has("10.71.0.77")),
        row("host-local gives what `CNI_ARGS` ask for", "CNI-ARG-04, CNI-ARG-06")
            .nad("default/a", bridge("clpool", "1.0.0", pool()))
            .networks(json!([{"name": "a", "ips": ["10.71.0.78/24"]}]))
            .expect(has("10.71.0.78")),
        row("static gives what is asked for by capability", "CNI-CAP-05, NPWG-KEY-03")
            .nad("default/a", fixed(json!({"ips": true})))
            .networks(json!([{"name": "a", "ips": ["10.72.0.5/24"]}]))
            .expect(has("10.72.0.5")),
        row("static gives what `CNI_ARGS` ask for", "CNI-ARG-04")
            .nad("default/a", fixed(json!({})))
            .networks(json!([{"name": "a", "ips": ["10.72.0.6/24"]}]))
            .expect(has("10.72.0.6")),
        row("static wants a prefix length", "NPWG-KEY-04, CNI-ARG-04, CNI-CAP-13")
            .nad("default/a", fixed(json!({"ips": true})))
            .networks(json!([{"name": "a", "ips": ["10.72.0.7"]}]))
            .expect(refusal(&["10.72.0.7"]))
            .multus_otherwise(
                "found when the plugin is called, after the default network was attached",
                refusal(&["10.72.0.7"]).calls(&["ADD primary eth0", "DEL primary eth0"]),
            ),
    ]
}

/// The answer in every version.
fn versions() -> Vec<Row> {
    let of = |version: &'static str, what: &'static str| {
        row(what, "CNI-RES-08, CNI-CONV-02, CNI-CONV-04")
            .config("cniVersion", json!(version))
            .primary(bridge("clver", version, json!({"type": "host-local", "ranges": [[{"subnet": "10.73.0.0/24"}]]})))
            .del_aside()
    };
    let plain = || row("no version is 0.1.0", "CNI-CONV-06, CNI-VER-04").config("cniVersion", Value::Null);
    vec![
        of("0.2.0", "the answer in version 0.2.0, of a list of that version")
            .expect(success().answer("/ip4/ip", json!("10.73.0.2/24")))
            .libcni(),
        of("0.3.0", "the answer in version 0.3.0, of a list of that version")
            .expect(success().answer("/ips/0/version", json!("4")).answer("/ips/0/address", json!("10.73.0.2/24")))
            .libcni(),
        plain()
            .expect(success().answer("/cniVersion", json!("0.1.0")).answer("/ip4/ip", json!("10.99.0.2/24")))
            .multus_fault("in the delegate's version", success().answer("/cniVersion", json!("1.0.0"))),
    ]
}
