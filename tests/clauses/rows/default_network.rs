//! Which network is the default one, and which networks a pod may use.

use crate::row::{Row, crash, refusal, row, success};
use crate::subject::{World, conf_dir};
use crate::support::node;
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    [annotation(), resolution(), for_every_pod(), isolation()].concat()
}

fn annotation() -> Vec<Row> {
    vec![
        row("the default-network annotation replaces it, from the operators' namespace", "NPWG-DEF-08")
            .default_network("special")
            .networks("a")
            .calls(&["ADD special eth0", "ADD a net1"]),
        row("the default-network annotation with a namespace", "NPWG-DEF-08")
            .default_network("other/b")
            .calls(&["ADD b eth0"]),
        row("default-network annotation with its own interface name: the pod has no eth0", "NPWG-DEF-08")
            .default_network("special@foo0")
            .networks("a")
            .calls(&["ADD special foo0", "ADD a net1"]),
        row("the default-network annotation as JSON", "NPWG-DEF-08")
            .default_network(r#"[{"name":"special","cni-args":{"x":1}}]"#)
            .expect(success().calls(&["ADD special eth0"]).sees("ADD special eth0", "/args/cni/x", json!(1))),
        row("the default-network annotation asks for addresses by capability", "NPWG-KEY-05")
            .nad("kube-system/special", r#"{"cniVersion":"1.0.0","type":"special","capabilities":{"ips":true}}"#)
            .default_network(r#"[{"name":"special","ips":["10.1.1.7/24"]}]"#)
            .expect(success().sees("ADD special eth0", "/runtimeConfig/ips", json!(["10.1.1.7/24"])))
            .multus_fault(
                "silently ignored; only in CNI_ARGS",
                success().sees("ADD special eth0", "/runtimeConfig", Value::Null).variable(
                    "ADD special eth0",
                    "CNI_ARGS",
                    "IP=10.1.1.7/24",
                ),
            ),
        row("the default-network annotation with two networks", "NPWG-DEF-08")
            .default_network("special,special")
            .refused(&["default-network"]),
        row("the default-network annotation, empty", "NPWG-DEF-08").default_network("").refused(&["default-network"]),
        row("`defaultNetworkAnnotation: false`: the annotation is refused", "NPWG-DEF-08")
            .config("defaultNetworkAnnotation", json!(false))
            .default_network("special")
            .refused(&["defaultNetworkAnnotation"])
            .not_multus(),
        row("the default-network annotation, `[]`", "NPWG-DEF-08")
            .default_network("[]")
            .refused(&["default-network"])
            .multus_fault("panics", crash("panic")),
    ]
}

fn write(name: &str, text: &str) {
    node::write(&conf_dir().join(name), text);
}

/// `clusterNetwork` in all its meanings.
fn resolution() -> Vec<Row> {
    let by_name = |what, clauses| row(what, clauses).config("clusterNetwork", json!("special"));
    let folder = || json!(format!("{}/net.d", node::FOLDER));
    let conf = || json!(conf_dir());
    vec![
        by_name("`clusterNetwork` is a NAD's name", "NPWG-DEF-01").calls(&["ADD special eth0"]),
        row("`clusterNetwork` is the name of a configuration on the disk", "NPWG-NAD-04, CNI-LOAD-01")
            .config("clusterNetwork", json!("on-disk"))
            .config("confDir", conf())
            .with(|_| write("10.conflist", r#"{"cniVersion":"1.0.0","name":"on-disk","plugins":[{"type":"second"}]}"#))
            .calls(&["ADD second eth0"]),
        row("`clusterNetwork` is a directory: its first file", "NPWG-DEF-01")
            .config("clusterNetwork", folder())
            .calls(&["ADD primary eth0"]),
        row("`clusterNetwork` is a file of one plugin", "NPWG-DEF-01")
            .config("clusterNetwork", json!(conf_dir().join("10.conf")))
            .with(|_| write("10.conf", r#"{"cniVersion":"0.4.0","name":"one","type":"second"}"#))
            .calls(&["ADD second eth0"]),
        row("plugins in the directory with the list's name belong to it", "CNI-LOAD-07, CNI-CFG-07, CNI-DLG-16")
            .with(beside)
            .calls(&["ADD primary eth0", "ADD second eth0"])
            .libcni(),
        row("`loadOnlyInlinedPlugins`: they do not", "CNI-CFG-07, CNI-LOAD-11")
            .primary(json!({"cniVersion": "1.0.0", "name": "cbr0", "loadOnlyInlinedPlugins": true, "plugins": [{"type": "primary"}]}))
            .with(beside)
            .calls(&["ADD primary eth0"])
            .libcni(),
        row("`delegates`: the first is the default network, the others are attached to every pod", "")
            .config("clusterNetwork", Value::Null)
            .config("delegates", json!([{"cniVersion": "1.0.0", "name": "one", "type": "second"}, {"cniVersion": "1.0.0", "name": "two", "plugins": [{"type": "third"}]}]))
            .networks("a")
            .calls(&["ADD second eth0", "ADD third net1", "ADD a net2"]),
        row("a default network that does not exist", "NPWG-DEF-01")
            .config("clusterNetwork", json!("/run/node/nowhere.conflist"))
            .expect(refusal(&["nowhere"]).our_code(11)),
        row("neither `clusterNetwork` nor `delegates`", "")
            .config("clusterNetwork", Value::Null)
            .refused(&["default network"]),
    ]
}

fn beside(world: &World<'_>) {
    node::write(&world.node.net_d().join("cbr0/50-second.conf"), r#"{"type":"second"}"#);
}

fn for_every_pod() -> Vec<Row> {
    let with = |what| row(what, "").config("defaultNetworks", json!(["special"]));
    vec![
        with("`defaultNetworks` are attached to every pod, before its own networks").networks("a").calls(&[
            "ADD primary eth0",
            "ADD special net1",
            "ADD a net2",
        ]),
        with("`defaultNetworks` are not for pods of the system namespaces")
            .namespace("kube-system")
            .calls(&["ADD primary eth0"]),
        with("`systemNamespaces` lists these namespaces")
            .namespace("other")
            .config("systemNamespaces", json!(["other"]))
            .calls(&["ADD primary eth0"]),
        row("`multusNamespace`: where the operators' networks are", "")
            .config("multusNamespace", json!("other"))
            .config("defaultNetworks", json!(["b"]))
            .calls(&["ADD primary eth0", "ADD b net1"]),
    ]
}

fn isolation() -> Vec<Row> {
    let isolated = |what| row(what, "NPWG-RC-03").namespace("other").config("namespaceIsolation", json!(true));
    vec![
        isolated("isolated: the own namespace, and `default`").networks("b,default/a").calls(&[
            "ADD primary eth0",
            "ADD b net1",
            "ADD a net2",
        ]),
        isolated("isolated: another namespace").networks("b,kube-system/special").refused(&["kube-system"]),
        isolated("isolated: `globalNamespaces` instead of `default`")
            .config("globalNamespaces", json!("x, kube-system"))
            .networks("kube-system/special")
            .calls(&["ADD primary eth0", "ADD special net1"]),
        isolated("isolated: `default` is global only where it is listed")
            .config("globalNamespaces", json!("kube-system"))
            .networks("default/a")
            .refused(&["default"]),
        isolated("isolated: the default-network annotation names another namespace")
            .default_network("default2/x")
            .nad("default2/x", r#"{"cniVersion":"1.0.0","type":"special"}"#)
            .refused(&["default2"])
            .multus_fault("the isolation does not hold for this annotation", success().calls(&["ADD special eth0"])),
        isolated("isolated: the default-network annotation names an operators' network")
            .default_network("special")
            .calls(&["ADD special eth0"]),
        row("not isolated: any namespace", "NPWG-RC-03")
            .networks("kube-system/special")
            .calls(&["ADD primary eth0", "ADD special net1"]),
    ]
}
