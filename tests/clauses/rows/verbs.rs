//! CHECK, STATUS and GC.

use crate::row::{Row, refusal, row, success};
use serde_json::{Value, json};

pub fn rows() -> Vec<Row> {
    [check(), status(), gc()].concat()
}

const NEVER: &str = "only networks of `delegates` are asked, never those of `clusterNetwork` or of an annotation";

fn two(version: &str, more: &Value) -> Value {
    let mut list = json!({"cniVersion": version, "name": "cbr0", "plugins": [{"type": "primary"}, {"type": "second"}]});
    list.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    list
}

/// The recorders make nothing, so that only their answers judge: without interfaces and addresses.
fn check() -> Vec<Row> {
    let nothing = json!({"cniVersion": "1.0.0", "dns": {"domain": "x"}});
    let case = |what, clauses| {
        row(what, clauses)
            .primary(two("1.0.0", &json!({})))
            .answers("primary", &nothing)
            .answers("second", &nothing)
            .answers("a", &nothing)
            .then("CHECK")
    };
    let (adds, checks) = (["ADD primary eth0", "ADD second eth0"], ["CHECK primary eth0", "CHECK second eth0"]);
    vec![
        case("CHECK asks the plugins in order, with the result of ADD", "CNI-CHK-08, CNI-CHK-09, CNI-CHK-07")
            .expect(success().calls(&[adds, checks].concat()).sees(checks[1], "/prevResult/dns/domain", json!("x")))
            .multus_fault(NEVER, success().calls(&adds))
            .libcni(),
        case("CHECK asks every network", "CNI-DLG-12")
            .networks("a")
            .calls(&["ADD primary eth0", "ADD second eth0", "ADD a net1", checks[0], checks[1], "CHECK a net1"])
            .multus_fault(NEVER, success().calls(&["ADD primary eth0", "ADD second eth0", "ADD a net1"])),
        case("the first plugin that finds something amiss ends CHECK, with its code", "CNI-CHK-06, CNI-CHK-09")
            .script("primary", "CHECK", "fail 101 'amiss'")
            .expect(refusal(&["amiss"]).code(101).calls(&[adds.as_slice(), &checks[..1]].concat()))
            .multus_fault(NEVER, success().calls(&adds))
            .libcni(),
        case("`disableCheck`", "CNI-CFG-05")
            .primary(two("1.0.0", &json!({"disableCheck": true})))
            .calls(&adds)
            .not_multus()
            .libcni(),
        row("a list with a version before CHECK is skipped", "CNI-CHK-10")
            .primary(two("0.3.1", &json!({})))
            .answers("second", &json!({"cniVersion": "0.3.1", "dns": {}}))
            .then("CHECK")
            .calls(&adds)
            .not_multus()
            .libcni_otherwise("refused", refusal(&["does not support the CHECK command"]).calls(&adds)),
        row("CHECK with a configuration older than it", "CNI-CHK-12")
            .then("CHECK")
            .key("cniVersion", json!("0.3.1"))
            .expect(refusal(&["CHECK"]).code(1).calls(&["ADD primary eth0"])),
        row("CHECK of a sandbox that nobody knows", "CNI-ERR-04")
            .only("CHECK")
            .expect(refusal(&["eth0"]).code(3))
            .multus_fault(NEVER, success().calls(&[])),
    ]
}

fn status() -> Vec<Row> {
    let case = |what, clauses| {
        row(what, clauses).primary(two("1.1.0", &json!({}))).config("cniVersion", json!("1.1.0")).only("STATUS")
    };
    vec![
        case("STATUS asks the default network's plugins in order", "CNI-STA-01, CNI-STA-05, CNI-DLG-14")
            .calls(&["STATUS primary ", "STATUS second "])
            .libcni(),
        case("STATUS has no attachment", "CNI-STA-06, CNI-REQ-08")
            .expect(
                success()
                    .sees("STATUS primary ", "/prevResult", Value::Null)
                    .sees("STATUS primary ", "/runtimeConfig", Value::Null)
                    .sees("STATUS primary ", "/name", json!("cbr0")),
            )
            .libcni(),
        case("a plugin's 50 passes", "CNI-STA-02, CNI-STA-07")
            .script("primary", "STATUS", "fail 50 'not ready'")
            .expect(refusal(&["not ready"]).code(50).calls(&["STATUS primary "]))
            .libcni(),
        case("a plugin's 51 passes", "CNI-STA-02")
            .script("second", "STATUS", "fail 51 'not ready'")
            .expect(refusal(&["not ready"]).code(51).calls(&["STATUS primary ", "STATUS second "]))
            .libcni(),
        row("a list older than STATUS is well", "CNI-STA-07")
            .config("cniVersion", json!("1.1.0"))
            .only("STATUS")
            .calls(&[])
            .libcni(),
        row("STATUS with a configuration older than it", "CNI-STA-08")
            .only("STATUS")
            .expect(refusal(&["STATUS"]).code(1)),
        case("the default network's program is missing", "CNI-STA-01")
            .primary(json!({"cniVersion": "1.1.0", "name": "cbr0", "plugins": [{"type": "absent"}]}))
            .expect(refusal(&["absent"]).code(50))
            .multus_fault("the code is 999", refusal(&["absent"]).code(999))
            .libcni(),
        case("the default network does not exist", "CNI-STA-01")
            .config("clusterNetwork", json!("/run/node/nowhere.conflist"))
            .expect(refusal(&["nowhere"]).code(50))
            .multus_fault("the code is 999", refusal(&[]).code(999)),
    ]
}

fn gc() -> Vec<Row> {
    let case = |what, clauses, more: &Value| {
        row(what, clauses).primary(two("1.1.0", more)).config("cniVersion", json!("1.1.0")).then("GC")
    };
    let valid = "cni.dev/valid-attachments";
    let pointer = "/cni.dev~1valid-attachments";
    let adds = ["ADD primary eth0", "ADD second eth0"];
    let (dels, gcs) = (["DEL second eth0", "DEL primary eth0"], ["GC primary ", "GC second "]);
    const ALL: &str =
        "every attachment that it ever made counts as valid, in spite of the runtime's list (multus-cni issue 1488)";
    vec![
        case(
            "GC deletes what is not listed, and calls the plugins",
            "CNI-GC-04, CNI-GC-01, CNI-GC-09, CNI-GC-12",
            &json!({}),
        )
        .key(valid, json!([]))
        .expect(success().calls(&[adds, dels, gcs].concat()).sees(gcs[0], pointer, json!([])))
        .multus_fault(
            ALL,
            success().calls(&[adds, gcs].concat()).judge("valid", |world| {
                let config = world.node.calls().last().unwrap().config();
                crate::run::equal(
                    "valid attachments",
                    &config.pointer("/cni.dev~1valid-attachments/0/containerID").cloned(),
                    &Some(json!(world.pod.id)),
                )
            }),
        )
        .libcni_otherwise(
            "cnitool lists nothing, so the plugins get an empty list",
            success().calls(&[adds, dels, gcs].concat()),
        ),
        case("GC keeps what is listed", "CNI-GC-01, CNI-GC-02", &json!({}))
            .key(valid, json!([{"containerID": "{id}", "ifname": "eth0"}]))
            .expect(
                success()
                    .calls(&[adds, gcs].concat())
                    .sees(gcs[1], "/cni.dev~1attachments/0/ifname", json!("eth0"))
                    .sees(gcs[1], "/cni.dev~1valid-attachments/0/ifname", json!("eth0")),
            ),
        case("GC of a list with `disableGC` calls nothing", "CNI-CFG-06, CNI-GC-11", &json!({"disableGC": true}))
            .key(valid, json!([]))
            .expect(success().calls(&adds))
            .libcni(),
        case("one plugin that fails does not keep the others from GC", "CNI-GC-05, CNI-GC-08", &json!({}))
            .key(valid, json!([]))
            .script("primary", "GC", "fail 999 'sticky'")
            .expect(refusal(&["sticky"]).code(999).calls(&[adds, dels, gcs].concat()))
            .multus_fault(ALL, refusal(&["sticky"]).code(999).calls(&[adds, gcs].concat()))
            .libcni(),
        case("GC without a list does not define which attachments are valid", "CNI-GC-13", &json!({}))
            .expect(success().calls(&adds))
            .multus_otherwise("the list is not read", success().calls(&[adds, gcs].concat()))
            .libcni_otherwise("without a list nothing is valid", success().calls(&[adds, dels, gcs].concat())),
        row("GC with a configuration older than it", "CNI-GC-15").only("GC").expect(refusal(&["GC"]).code(1)),
    ]
}
