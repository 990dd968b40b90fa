//! What a delegate is called with.

use crate::row::{Row, row, success};
use crate::subject::World;
use crate::support::{kernel, node};
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    [environment(), bytes(), answers(), default_routes()].concat()
}

fn environment() -> Vec<Row> {
    let call = "ADD a net1";
    vec![
        row("the variables of an attachment", "CNI-ENV-01, CNI-RT-06").networks("a").expect(
            success()
                .variable(call, "CNI_COMMAND", "ADD")
                .variable(call, "CNI_CONTAINERID", "row-")
                .variable(call, "CNI_NETNS", "/run/netns/cni-row-")
                .variable(call, "CNI_IFNAME", "net1")
                .variable(call, "CNI_PATH", "/run/node/bin"),
        ),
        row("the runtime's data about the pod is in `CNI_ARGS`", "CNI-ARG-07").networks("a").expect(
            success()
                .variable(call, "CNI_ARGS", "K8S_POD_NAMESPACE=default;")
                .variable(call, "CNI_ARGS", "K8S_POD_NAME=row-")
                .variable(call, "CNI_ARGS", "K8S_POD_UID=uid-of-row-"),
        ),
        row("`CNI_ARGS` contains each pair once", "CNI-ARG-01, CNI-ARG-02")
            .networks("a")
            .expect(success().judge("pairs", pairs_are_single))
            .multus_fault(
                "adds its own pairs before the runtime's: every pair twice",
                success().judge("pairs", pairs_are_double),
            ),
        row("the runtime's environment is inherited", "CNI-ENV-12")
            .networks("a")
            .env("FOO", "1")
            .expect(success().variable(call, "FOO", "1")),
        row("a delegate works in the node's namespace", "CNI-ENV-10").networks("a").expect(success().judge(
            "namespace",
            |world| {
                let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
                let all = world.node.calls().iter().all(|call| call.netns == own.display().to_string());
                if all { Ok(()) } else { Err(format!("not in {}", own.display())) }
            },
        )),
        row("an additional network gets no result of another one", "CNI-DLG-10")
            .networks("a,b")
            .expect(success().sees(call, "/prevResult", Value::Null).sees("ADD b net2", "/prevResult", Value::Null)),
    ]
}

fn pairs(world: &World<'_>) -> Vec<String> {
    let calls = world.node.calls();
    let args = calls.iter().find(|call| call.plugin == "a").unwrap().env("CNI_ARGS").to_owned();
    args.split(';').filter_map(|pair| Some(pair.split_once('=')?.0.to_owned())).collect()
}

fn pairs_are_single(world: &World<'_>) -> Result<(), String> {
    let all = pairs(world);
    let twice = all.iter().find(|key| all.iter().filter(|other| other == key).count() > 1);
    twice.map_or(Ok(()), |key| Err(format!("{key} occurs twice")))
}

fn pairs_are_double(world: &World<'_>) -> Result<(), String> {
    match pairs_are_single(world) {
        Err(_) => Ok(()),
        Ok(()) => Err("every pair is there once".to_owned()),
    }
}

fn bytes() -> Vec<Row> {
    let write = move |world: &World<'_>| {
        let odd = r#"{"type":"primary","n":123456789012345678901,"f":1.50,"u":"\u00e9","Upper":{"z":1,"a":[null]}}"#;
        node::write(
            &world.node.primary_file(),
            &format!(r#"{{"cniVersion":"1.0.0","name":"cbr0","plugins":[{odd}]}}"#),
        );
    };
    let (call, number) = ("ADD primary eth0", "123456789012345678901");
    vec![
        row("unknown keys of a plugin reach it", "CNI-CFG-14, CNI-REQ-04")
            .with(write)
            .expect(success().sees(call, "/Upper", json!({"z": 1, "a": [null]})).sees(call, "/u", json!("é")))
            .libcni(),
        row("large integers are passed unchanged", "CNI-CFG-14")
            .with(write)
            .expect(success().text(call, number))
            .multus_fault("rounded, as in libcni", success().text(call, "123456789012345680000"))
            .libcni_otherwise("rounded to floating-point numbers", success().text(call, "123456789012345680000")),
        row("large integers of an additional network", "CNI-CFG-14")
            .nad("default/a", r#"{"cniVersion":"1.0.0","type":"a","n":123456789012345678901}"#)
            .networks("a")
            .expect(success().text("ADD a net1", number))
            .multus_fault("rounded, as in libcni", success().text("ADD a net1", "123456789012345680000")),
    ]
}

fn answers() -> Vec<Row> {
    let old = json!({"cniVersion": "0.4.0", "name": "cbr0", "plugins": [{"type": "primary"}]});
    vec![
        row("the answer is the default network's result", "NPWG-DEF-03, CNI-ADD-02")
            .networks("a")
            .answers("a", &json!({"cniVersion": "1.0.0", "ips": [{"address": "10.7.7.7/24"}]}))
            .expect(success().answer("/ips/0/address", json!("10.99.0.2/24"))),
        row("the answer is in the version that was asked for", "CNI-VER-07, CNI-DLG-11")
            .primary(old)
            .expect(success().answer("/cniVersion", json!("1.0.0")).answer("/ips/0/version", Value::Null))
            .multus_fault(
                "in the delegate's version",
                success().answer("/cniVersion", json!("0.4.0")).answer("/ips/0/version", json!("4")),
            ),
        row("an answer in 0.4.0", "CNI-CONV-02")
            .config("cniVersion", json!("0.4.0"))
            .expect(success().answer("/cniVersion", json!("0.4.0")).answer("/ips/0/version", json!("4")))
            .multus_fault("in the delegate's version", success().answer("/cniVersion", json!("1.0.0"))),
        row(
            "chained: the answer is the runtime's `prevResult`, in Plexus' version if it has none",
            "CNI-CONV-08, CNI-RES-05",
        )
        .config("clusterNetwork", Value::Null)
        .key("prevResult", json!({"ips": [{"address": "10.7.0.2/24"}]}))
        .networks("a")
        .expect(
            success()
                .calls(&["ADD a net1"])
                .answer("/cniVersion", json!("1.0.0"))
                .answer("/ips/0/address", json!("10.7.0.2/24")),
        )
        .del_aside()
        .not_multus(),
    ]
}

/// A network of the real bridge plugin, with a default route.
fn bridge(name: &str, subnet: &str, gateway: bool) -> Value {
    json!({"cniVersion": "1.0.0", "name": name, "plugins": [{
        "type": "bridge", "bridge": name, "isGateway": true, "isDefaultGateway": gateway,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]}}]})
}

fn routes(world: &World<'_>, expected: &[&str]) -> Result<(), String> {
    crate::run::equal(
        "default routes",
        &kernel::default_routes(&world.pod.netns, "-4"),
        &expected.iter().map(|r| (*r).to_owned()).collect(),
    )
}

/// With real plugins: there is a route to move.
fn default_routes() -> Vec<Row> {
    let case = |what| {
        row(what, "NPWG-KEY-16, NPWG-KEY-17, NPWG-DEF-04")
            .del_aside()
            .primary(bridge("clbr0", "10.50.0.0/24", true))
            .nad("default/a", bridge("clbr1", "10.51.0.0/24", false))
            .nad("default/b", bridge("clbr2", "10.52.0.0/24", false))
    };
    vec![
        case("without `default-route` the default network keeps it")
            .networks("a")
            .expect(success().judge("routes", |world| routes(world, &["10.50.0.1 eth0"]))),
        case("`default-route`: it is through this network, and there alone")
            .networks(json!([{"name": "a", "default-route": ["10.51.0.1"]}]))
            .expect(success().judge("routes", |world| routes(world, &["10.51.0.1 net1"])))
            .multus_fault(
                "multus-cni pull request 1552: it stays where it was",
                success().judge("routes", |world| routes(world, &["10.50.0.1 eth0"])),
            ),
        case("`default-route` is empty: through this network's own gateway")
            .networks(json!([{"name": "a", "default-route": []}]))
            .expect(success().judge("routes", |world| routes(world, &["10.51.0.1 net1"])))
            .multus_fault(
                "multus-cni issue 1011: it would be deleted from every network",
                success().judge("routes", |world| routes(world, &["10.50.0.1 eth0"])),
            ),
        case("`default-route` for two networks")
            .networks(
                json!([{"name": "a", "default-route": ["10.51.0.1"]}, {"name": "b", "default-route": ["10.52.0.1"]}]),
            )
            .refused(&["default-route"]),
    ]
}
