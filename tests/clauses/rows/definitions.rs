//! What a network attachment definition may say.

use crate::row::{Row, crash, refusal, row, success};
use crate::subject::conf_dir;
use crate::support::node;
use serde_json::{Value, json};

const LATE: &str = "detected only after the default network is attached";

pub fn rows() -> Vec<Row> {
    [names(), forms(), files(), broken(), refused()].concat()
}

/// A pod that selects `default/a`, whose configuration is this.
fn of(what: &'static str, clauses: &'static str, config: impl ToString) -> Row {
    row(what, clauses).nad("default/a", config).networks("a")
}

fn names() -> Vec<Row> {
    let call = "ADD a net1";
    vec![
        of("no `name`: the NAD's is given to the plugin", "NPWG-NAD-08", r#"{"cniVersion":"1.0.0","type":"a"}"#)
            .expect(success().sees(call, "/name", json!("a")).status("/1/name", json!("default/a"))),
        of("an empty `name`: the NAD's", "NPWG-NAD-08", r#"{"cniVersion":"1.0.0","name":"","type":"a"}"#)
            .expect(success().sees(call, "/name", json!("a"))),
        of(
            "a `name` of its own goes to the plugin, the NAD's to the status",
            "NPWG-NAD-09, NPWG-STA-08",
            r#"{"cniVersion":"1.0.0","name":"own","type":"a"}"#,
        )
        .expect(success().sees(call, "/name", json!("own")).status("/1/name", json!("default/a"))),
        of("no `cniVersion`: the plugin gets no version", "CNI-VER-04", r#"{"type":"a"}"#).expect(success().sees(
            call,
            "/cniVersion",
            json!(""),
        )),
    ]
}

fn forms() -> Vec<Row> {
    vec![
        of("a list", "NPWG-NAD-03", r#"{"cniVersion":"1.0.0","name":"l","plugins":[{"type":"a"},{"type":"b"}]}"#)
            .calls(&["ADD primary eth0", "ADD a net1", "ADD b net1"]),
        of(
            "`type` and `plugins`: it is one plugin",
            "NPWG-NAD-03",
            r#"{"cniVersion":"1.0.0","type":"a","plugins":[{"type":"b"}]}"#,
        )
        .calls(&["ADD primary eth0", "ADD a net1"]),
        of(
            "an unknown key of the list is ignored",
            "CNI-CFG-16",
            r#"{"cniVersion":"1.0.0","name":"l","future":1,"plugins":[{"type":"a"}]}"#,
        )
        .calls(&["ADD primary eth0", "ADD a net1"]),
        of(
            "plugins in the network's directory are not added to a NAD",
            "CNI-DLG-16",
            r#"{"cniVersion":"1.0.0","name":"l","plugins":[{"type":"a"}]}"#,
        )
        .config("confDir", json!(conf_dir()))
        .with(|world| {
            for folder in [world.node.net_d(), conf_dir()] {
                node::write(&folder.join("l/50-second.conf"), r#"{"type":"second"}"#);
            }
        })
        .calls(&["ADD primary eth0", "ADD a net1"]),
        of(
            "`disableCheck` as a text",
            "CNI-CFG-09",
            r#"{"cniVersion":"1.0.0","name":"l","disableCheck":"TRUE","plugins":[{"type":"a"}]}"#,
        )
        .calls(&["ADD primary eth0", "ADD a net1"])
        .multus_fault("libcni reads it, Multus before it does not", refusal(&[])),
    ]
}

/// An empty `spec`: a configuration of that name on the node.
fn files() -> Vec<Row> {
    let empty =
        |what, clauses| row(what, clauses).empty_nad("default/a").networks("a").config("confDir", json!(conf_dir()));
    vec![
        empty("no configuration: the list of that name on the node", "NPWG-NAD-02, NPWG-NAD-04, NPWG-NAD-07")
            .with(|_| {
                node::write(
                    &conf_dir().join("10.conflist"),
                    r#"{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"a"}]}"#,
                )
            })
            .calls(&["ADD primary eth0", "ADD a net1"]),
        empty("no configuration: the plugin of that name on the node", "NPWG-NAD-07")
            .with(|_| node::write(&conf_dir().join("10.conf"), r#"{"cniVersion":"1.0.0","name":"a","type":"a"}"#))
            .calls(&["ADD primary eth0", "ADD a net1"]),
        empty(
            "no configuration: a list is preferred to a single plugin, in spite of the file names",
            "NPWG-NAD-07, CNI-LOAD-01",
        )
        .with(|_| {
            node::write(&conf_dir().join("00.conf"), r#"{"cniVersion":"1.0.0","name":"a","type":"a"}"#);
            node::write(
                &conf_dir().join("90.conflist"),
                r#"{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"b"}]}"#,
            );
        })
        .calls(&["ADD primary eth0", "ADD b net1"])
        .multus_fault("uses the first file", success().calls(&["ADD primary eth0", "ADD a net1"])),
        empty("no configuration, and a broken file before the one that is meant", "CNI-LOAD-02")
            .with(|_| {
                node::write(&conf_dir().join("00.conflist"), "{");
                node::write(
                    &conf_dir().join("10.conflist"),
                    r#"{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"a"}]}"#,
                );
            })
            .refused(&["00.conflist"]),
        empty("no configuration, and no file of that name", "NPWG-NAD-07").refused(&["default/a"]),
    ]
}

fn broken() -> Vec<Row> {
    let undone = |del: &'static str| match del {
        "" => refusal(&[]).calls(&["ADD primary eth0", "DEL primary eth0"]),
        del => refusal(&[]).calls(&["ADD primary eth0", del, "DEL primary eth0"]),
    };
    vec![
        of("no JSON", "NPWG-NAD-10", "{").refused(&["default/a"]),
        of("neither `type` nor `plugins`", "CNI-CFG-08, CNI-LOAD-10", r#"{"cniVersion":"1.0.0","name":"x"}"#)
            .refused(&["default/a"]),
        of("`plugins` is empty", "CNI-CFG-10", r#"{"cniVersion":"1.0.0","name":"x","plugins":[]}"#)
            .refused(&["default/a"])
            .multus_fault("panics", crash("panic")),
        of("`plugins` holds null", "CNI-CFG-10", r#"{"cniVersion":"1.0.0","name":"x","plugins":[null]}"#)
            .refused(&["default/a"])
            .multus_fault("panics", crash("panic")),
        of("`plugins` is an object", "CNI-CFG-10", r#"{"cniVersion":"1.0.0","name":"x","plugins":{}}"#)
            .refused(&["default/a"]),
        of(
            "the second plugin has no `type`",
            "CNI-CFG-11",
            r#"{"cniVersion":"1.0.0","name":"x","plugins":[{"type":"a"},{"x":1}]}"#,
        )
        .refused(&["default/a"])
        .multus_otherwise(LATE, undone("")),
        of("`type` is a path", "CNI-CFG-11", r#"{"cniVersion":"1.0.0","type":"../bin/a"}"#)
            .refused(&["default/a"])
            .multus_otherwise(LATE, undone("")),
        of("a missing plugin", "CNI-ADD-06", r#"{"cniVersion":"1.0.0","type":"absent"}"#)
            .refused(&["absent"])
            .multus_otherwise(LATE, undone("")),
        of("a `name` with a slash", "CNI-CFG-03", r#"{"cniVersion":"1.0.0","name":"a/b","type":"a"}"#)
            .refused(&["a/b"])
            .multus_otherwise(LATE, undone("DEL a net1")),
        of(
            "a capability that is a string",
            "CNI-REQ-07",
            r#"{"cniVersion":"1.0.0","type":"a","capabilities":{"mac":"true"}}"#,
        )
        .refused(&["capabilities"]),
        of(
            "an invalid entry in `cniVersions`",
            "CNI-VER-03",
            r#"{"cniVersion":"1.0.0","name":"x","cniVersions":["1.0.f"],"plugins":[{"type":"a"}]}"#,
        )
        .refused(&["1.0.f"])
        .multus_otherwise(LATE, undone("")),
        of("a network that is Plexus or Multus", "", json!({"cniVersion": "1.0.0", "type": "multus"}))
            .refused(&["multus"])
            .multus_otherwise(LATE, undone("")),
        of("a `cniVersion` that is a number", "CNI-LOAD-06", json!({"cniVersion": 1, "type": "a", "x": Value::Null}))
            .refused(&["cniVersion"]),
    ]
}

/// What would harm others than the pod.
fn refused() -> Vec<Row> {
    vec![
        of(
            "the default network's `name` with another configuration",
            "CNI-CFG-03",
            r#"{"cniVersion":"1.0.0","name":"cbr0","type":"a"}"#,
        )
        .refused(&["default/a", "cbr0"])
        .multus_otherwise(
            "attached: address plugins give it the cluster's addresses",
            success().calls(&["ADD primary eth0", "ADD a net1"]),
        ),
        of(
            "the default network's `name` with its configuration",
            "CNI-CFG-03",
            r#"{"cniVersion":"1.0.0","name":"cbr0","plugins":[{"type":"primary"}]}"#,
        )
        .calls(&["ADD primary eth0", "ADD primary net1"]),
        of(
            "a line break in the text of a firewall rule",
            "",
            json!({"cniVersion": "1.0.0", "type": "a", "conditionsV4": ["accept\nadd table inet x"]}),
        )
        .refused(&["conditionsV4"])
        .multus_otherwise("passed to the plugin unchecked", success().calls(&["ADD primary eth0", "ADD a net1"])),
        row("isolated: a NAD without a configuration does not get the operator's file", "NPWG-NAD-04, NPWG-RC-03")
            .namespace("other")
            .config("namespaceIsolation", json!(true))
            .config("confDir", json!(conf_dir()))
            .with(|_| node::write(&conf_dir().join("10.conf"), r#"{"cniVersion":"1.0.0","name":"b","type":"second"}"#))
            .empty_nad("other/b")
            .networks("b")
            .refused(&["other/b", "namespaceIsolation"])
            .multus_otherwise("it gets it", success().calls(&["ADD primary eth0", "ADD second net1"])),
        row("`networksFromFiles: false`: a NAD without a configuration is refused", "NPWG-NAD-04")
            .config("networksFromFiles", json!(false))
            .empty_nad("default/a")
            .networks("a")
            .refused(&["default/a", "networksFromFiles"])
            .not_multus(),
    ]
}
