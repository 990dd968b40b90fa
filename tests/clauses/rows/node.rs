//! Configurations on the node, calls about no pod, and devices.

use crate::row::{Row, refusal, row, success};
use crate::subject::conf_dir;
use crate::support::node;
use serde_json::json;

const UNDONE: [&str; 2] = ["ADD primary eth0", "DEL primary eth0"];

pub fn rows() -> Vec<Row> {
    [lists(), folders(), version(), environment(), again()].concat()
}

fn write(name: &str, text: &str) {
    node::write(&conf_dir().join(name), text);
}

/// The default network by name, in a folder.
fn folders() -> Vec<Row> {
    let named = |what, clauses| {
        row(what, clauses).config("clusterNetwork", json!("on-disk")).config("confDir", json!(conf_dir()))
    };
    vec![
        named("two lists of one name: the first file's", "CNI-CFG-04, CNI-LOAD-04")
            .with(|_| {
                write("10.conflist", r#"{"cniVersion":"1.0.0","name":"on-disk","plugins":[{"type":"second"}]}"#);
                write("20.conflist", r#"{"cniVersion":"1.0.0","name":"on-disk","plugins":[{"type":"third"}]}"#);
            })
            .calls(&["ADD second eth0"]),
        named("files with other endings, and directories, are ignored", "CNI-LOAD-03")
            .with(|_| {
                write("00.CONFLIST", "{");
                write("01.conflist.bak", "{");
                write("02/x.conflist", "{");
                write("10.conflist", r#"{"cniVersion":"1.0.0","name":"on-disk","plugins":[{"type":"second"}]}"#);
            })
            .calls(&["ADD second eth0"]),
        named("no file of that name", "CNI-LOAD-05").expect(refusal(&["on-disk"]).our_code(11)),
    ]
}

/// The default network's own file.
fn lists() -> Vec<Row> {
    vec![
        row("`cniVersion` is passed to every plugin unchanged", "CNI-CFG-01, CNI-CFG-02")
            .primary(
                json!({"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{"type": "primary"}, {"type": "second"}]}),
            )
            .expect(success().sees("ADD primary eth0", "/cniVersion", json!("1.1.0")).sees(
                "ADD second eth0",
                "/cniVersion",
                json!("1.1.0"),
            ))
            .libcni(),
        row("a file in the list's directory is broken: nothing of the list runs", "CNI-CFG-15, CNI-LOAD-08")
            .with(|world| {
                node::write(&world.node.net_d().join("cbr0/40-good.conf"), r#"{"type":"second"}"#);
                node::write(&world.node.net_d().join("cbr0/50-bad.conf"), "{");
            })
            .expect(refusal(&["50-bad.conf"]).our_code(11))
            .libcni(),
        row("a list without plugins, and none in its directory", "CNI-LOAD-09, CNI-CFG-10")
            .primary(json!({"cniVersion": "1.0.0", "name": "cbr0"}))
            .expect(refusal(&["plugins"]).our_code(11))
            .libcni(),
        row("a list without plugins, and some in its directory", "CNI-LOAD-07")
            .primary(json!({"cniVersion": "1.0.0", "name": "cbr0"}))
            .with(|world| node::write(&world.node.net_d().join("cbr0/40-good.conf"), r#"{"type":"second"}"#))
            .calls(&["ADD second eth0"])
            .libcni(),
        row("a plugin that does not speak the version: no other is tried", "CNI-VER-02, CNI-VER-08")
            .script("primary", "ADD", "fail 1 'incompatible CNI versions'")
            .expect(refusal(&["incompatible"]).code(1).calls(&["ADD primary eth0", "DEL primary eth0"]))
            .multus_otherwise(
                "the code is 999",
                refusal(&["incompatible"]).code(999).calls(&["ADD primary eth0", "DEL primary eth0"]),
            )
            .libcni_otherwise("it leaves DEL to its caller", refusal(&["incompatible"]).calls(&["ADD primary eth0"])),
    ]
}

fn version() -> Vec<Row> {
    vec![
        row("VERSION as runtimes probe it", "CNI-VSN-01, CNI-VSN-04, CNI-VSN-03")
            .only("VERSION")
            .env("CNI_NETNS", "dummy")
            .env("CNI_IFNAME", "dummy")
            .env("CNI_PATH", "dummy")
            .env("CNI_CONTAINERID", "")
            .env("CNI_ARGS", "")
            .expect(
                success()
                    .calls(&[])
                    .answer("/supportedVersions/0", json!("0.1.0"))
                    .answer("/supportedVersions/6", json!("1.1.0")),
            ),
        row("VERSION answers in the version it was asked in", "CNI-VSN-02")
            .only("VERSION")
            .key("cniVersion", json!("0.4.0"))
            .expect(success().answer("/cniVersion", json!("0.4.0")))
            .multus_otherwise(
                "always 1.1.0, as all that libcni's frame serves",
                success().answer("/cniVersion", json!("1.1.0")),
            ),
    ]
}

fn environment() -> Vec<Row> {
    let missing =
        |what, variable| row(what, "CNI-ENV-03, CNI-ENV-05").env(variable, "").expect(refusal(&[variable]).code(4));
    vec![
        row("a tracing variable is passed on", "CNI-ENV-13")
            .env("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .expect(success().variable("ADD primary eth0", "TRACEPARENT", "00-0af7")),
        row("no `CNI_COMMAND`", "CNI-ENV-14")
            .env("CNI_COMMAND", "")
            .expect(refusal(&["CNI_COMMAND"]).code(4))
            .multus_otherwise("libcni's frame prints its versions and succeeds", success().calls(&[]))
            .del_aside(),
        row("an unknown verb", "CNI-ENV-02").env("CNI_COMMAND", "FOO").expect(refusal(&["FOO"]).code(4)),
        missing("no container", "CNI_CONTAINERID"),
        missing("no namespace", "CNI_NETNS"),
        missing("no interface", "CNI_IFNAME"),
        row("a container's name with a slash", "CNI-ENV-06")
            .env("CNI_CONTAINERID", "../x")
            .expect(refusal(&["../x"]).code(4)),
        row("an interface's name with a colon", "CNI-ENV-07")
            .env("CNI_IFNAME", "a:b")
            .expect(refusal(&["a:b"]).code(4)),
        row("a piece of `CNI_ARGS` that is empty", "CNI-ARG-05")
            .env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=none;")
            .expect(success().calls(&["ADD primary eth0"]))
            .multus_otherwise("refused, as libcni's frame reads them", refusal(&["ARGS"]))
            .del_aside(),
    ]
}

fn again() -> Vec<Row> {
    vec![
        row("the default network again, as an additional one", "NPWG-ANN-07")
            .config("clusterNetwork", json!("special"))
            .networks("kube-system/special")
            .calls(&["ADD special eth0", "ADD special net1"]),
        row("an ADD that failed leaves no record of the sandbox", "CNI-ADD-09, CNI-CACHE-03")
            .script("primary", "ADD", "fail 999 'no way'")
            .expect(refusal(&["no way"]).calls(&UNDONE).judge("records", |world| world.is_forgotten()))
            .multus_otherwise("its list of networks stays until DEL", refusal(&["no way"]).calls(&UNDONE))
            .libcni_otherwise(
                "it leaves DEL to its caller",
                refusal(&["no way"]).calls(&UNDONE[..1]).judge("records", |world| world.is_forgotten()),
            ),
        row("a DEL that succeeded leaves no record of the sandbox", "CNI-DEL-08")
            .networks("a")
            .then("DEL")
            .expect(success().judge("records", |world| world.is_forgotten())),
        row("libcni leaves no record after DEL", "CNI-DEL-08")
            .then("DEL")
            .expect(success().judge("records", |world| world.is_forgotten()))
            .libcni(),
    ]
}
