//! What is left after something failed, and what DEL does.

use crate::row::{Row, refusal, row, success};
use crate::subject::{Subject, World};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

pub fn rows() -> Vec<Row> {
    [add(), del(), whole(), without_a_record(), broken_record()].concat()
}

fn add() -> Vec<Row> {
    let undone = ["ADD primary eth0", "ADD a net1", "ADD b net2", "DEL b net2", "DEL a net1", "DEL primary eth0"];
    vec![
        row(
            "a network fails: those before it are deleted in reverse, it included; those after it are not attempted",
            "NPWG-ERR-01, CNI-ADD-08",
        )
        .networks("a,b,c")
        .script("b", "ADD", "fail 999 'no way'")
        .expect(refusal(&["default/b", "no way"]).calls(&undone)),
        row("the delegate's own code passes", "CNI-DLG-08, CNI-ERR-08, CNI-ERR-10")
            .networks("a")
            .script("a", "ADD", "fail 11 'later'")
            .expect(refusal(&["later"]).code(11).calls(&[
                "ADD primary eth0",
                "ADD a net1",
                "DEL a net1",
                "DEL primary eth0",
            ]))
            .multus_fault(
                "the code is lost: 999",
                refusal(&["later"]).code(999).calls(&[
                    "ADD primary eth0",
                    "ADD a net1",
                    "DEL a net1",
                    "DEL primary eth0",
                ]),
            ),
        row("the removal fails as well: the first error is returned", "CNI-DLG-09")
            .networks("a")
            .script("a", "ADD", "fail 999 'first'")
            .script("primary", "DEL", "fail 999 'second'")
            .expect(refusal(&["first"]).code(999).calls(&[
                "ADD primary eth0",
                "ADD a net1",
                "DEL a net1",
                "DEL primary eth0",
            ])),
        row("the default network fails: nothing else is attempted", "NPWG-ERR-01")
            .networks("a")
            .script("primary", "ADD", "fail 999 'no way'")
            .expect(refusal(&["no way"]).code(999).calls(&["ADD primary eth0", "DEL primary eth0"])),
        row("a pod that is not known yet has to wait", "CNI-ERR-10, CNI-ARG-07")
            .of_unknown_pod()
            .config("daemonTimeoutSeconds", json!(0.2))
            .expect(refusal(&["row-"]).code(11))
            .multus_fault(
                "it succeeds without a network, with the address 0.0.0.0/0",
                success().calls(&[]).answer("/ips/0/address", json!("0.0.0.0/0")),
            )
            .del_aside(),
        row("a second ADD of the same interface", "CNI-ADD-05")
            .then("ADD")
            .expect(refusal(&["eth0"]).code(102).calls(&["ADD primary eth0"]))
            .multus_otherwise("left to the runtime", success().calls(&["ADD primary eth0", "ADD primary eth0"])),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn del() -> Vec<Row> {
    let all = ["ADD primary eth0", "ADD a net1", "ADD b net2", "DEL b net2", "DEL a net1", "DEL primary eth0"];
    vec![
        row("DEL in reverse", "CNI-DLG-15").networks("a,b").then("DEL").calls(&all),
        row("a failed removal does not stop the others, and is returned", "NPWG-ERR-02, NPWG-ERR-03")
            .networks("a,b")
            .script("b", "DEL", "fail 999 'stuck'")
            .then("DEL")
            .expect(refusal(&["stuck"]).code(999).calls(&all)),
        row("the next DEL deletes only the failed removals", "NPWG-ERR-02, CNI-DEL-04")
            .networks("a,b")
            .script("b", "DEL", "fail 999 'stuck'")
            .then("DEL")
            .then("DEL")
            .before(|world| _ = world.node.recorder("b").as_usual("DEL"))
            .expect(success().calls(&[all.as_slice(), &["DEL b net2"]].concat()))
            .multus_otherwise(
                "everything is deleted again, while the pod's object exists",
                success().calls(&[all.as_slice(), &all[3..]].concat()),
            ),
        row(
            "what could not be deleted is deleted by the next DEL, when the pod's object is gone",
            "NPWG-ERR-02, CNI-DEL-09",
        )
        .networks("a,b")
        .script("b", "DEL", "fail 999 'stuck'")
        .then("DEL")
        .then("DEL")
        .before(|world| {
            world.node.recorder("b").as_usual("DEL");
            world.cluster.forget_pod("default", &world.pod.name);
        })
        .expect(success().calls(&[all.as_slice(), &["DEL b net2"]].concat()))
        .multus_fault("what it knew is gone with the first attempt: a leak", success().calls(&all)),
        row("a second DEL after the namespace is gone does nothing", "CNI-DEL-04")
            .networks("a,b")
            .then("DEL")
            .then("DEL")
            .env("CNI_NETNS", "")
            .calls(&all)
            .multus_otherwise(
                "everything is deleted again, while the pod's object exists",
                success().calls(&[all.as_slice(), &all[3..]].concat()),
            ),
        row("DEL when the namespace is gone", "CNI-DEL-03")
            .networks("a,b")
            .then("DEL")
            .env("CNI_NETNS", "")
            .expect(success().calls(&all)),
        row("DEL when pod and networks are gone from the cluster", "CNI-DLG-17, NPWG-STA-22")
            .networks("a,b")
            .then("DEL")
            .before(|world| {
                world.cluster.forget_all();
                // It may have none.
                let _ = fs::remove_dir_all(world.node.state().networks());
            })
            .calls(&all),
        row("DEL with the configuration of ADD, in spite of changes of the NAD", "CNI-DLG-17, CNI-RT-04")
            .nad("default/a", r#"{"cniVersion":"1.0.0","type":"a","x":1}"#)
            .networks("a")
            .then("DEL")
            .before(|world| world.network("default/a", Some(r#"{"cniVersion":"1.0.0","type":"b","x":2}"#)))
            .expect(success().sees("DEL a net1", "/x", json!(1))),
    ]
}

/// The configuration of the default network at DEL.
fn whole() -> Vec<Row> {
    let ipam = json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]]});
    let list = json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [{"type": "primary", "ipam": ipam, "x": 1}]});
    let lost = || {
        success().sees("DEL primary eth0", "/x", Value::Null).sees(
            "DEL primary eth0",
            "/ipam",
            json!({"type": "host-local"}),
        )
    };
    vec![
        row("the default network is deleted with its whole configuration", "CNI-CFG-14, CNI-DEL-05")
            .primary(list)
            .then("DEL")
            .expect(success().sees("DEL primary eth0", "/x", json!(1)).sees("DEL primary eth0", "/ipam", ipam.clone()))
            .multus_fault("multus-cni issue 1449: most keys are lost, so no address is released", lost()),
        row("a list without a version is deleted with its whole configuration", "CNI-CFG-14")
            .nad("default/a", json!({"name": "l", "plugins": [{"type": "a", "x": 1}]}))
            .networks("a")
            .then("DEL")
            .expect(success().sees("DEL a net1", "/x", json!(1)))
            .multus_fault("most keys are lost", success().sees("DEL a net1", "/x", Value::Null)),
    ]
}

/// Before what follows, the subject knows nothing of the sandbox.
fn forget(world: &World<'_>) {
    match world.subject {
        Subject::Plexus => fs::remove_file(world.pod.record_file(world.node)).unwrap(),
        Subject::Multus(_) => fs::remove_file(scratch(world)).unwrap(),
        Subject::Libcni => fs::remove_dir_all("/var/lib/cni/results").unwrap(),
    }
}

fn scratch(world: &World<'_>) -> std::path::PathBuf {
    Path::new("/var/lib/cni/multus").join(&world.pod.id)
}

fn without_a_record() -> Vec<Row> {
    vec![
        row("no record: the networks of the annotation and the default network are deleted", "CNI-DEL-03, CNI-DEL-04")
            .networks("a")
            .then("DEL")
            .before(forget)
            .calls(&["ADD primary eth0", "ADD a net1", "DEL a net1", "DEL primary eth0"]),
        row("no record, and the pod's object is gone: the default network is deleted", "CNI-DEL-03, CNI-DEL-09")
            .then("DEL")
            .before(|world| {
                forget(world);
                world.cluster.forget_all();
            })
            .calls(&["ADD primary eth0", "DEL primary eth0"])
            .multus_fault("success without a removal: a leak", success().calls(&["ADD primary eth0"])),
        row("libcni's record is gone: DEL without a result", "CNI-DEL-07, CNI-DEL-02")
            .then("DEL")
            .before(forget)
            .expect(success().calls(&["ADD primary eth0", "DEL primary eth0"]).sees(
                "DEL primary eth0",
                "/prevResult",
                Value::Null,
            ))
            .not_multus()
            .libcni(),
    ]
}

/// The subject's own record of the sandbox, cut off by a power loss.
fn truncate(world: &World<'_>) {
    match world.subject {
        Subject::Plexus => fs::write(world.pod.record_file(world.node), "").unwrap(),
        Subject::Multus(_) => fs::write(scratch(world), "").unwrap(),
        Subject::Libcni => {
            for entry in fs::read_dir("/var/lib/cni/results").unwrap() {
                fs::write(entry.unwrap().path(), "{").unwrap();
            }
        }
    }
}

fn broken_record() -> Vec<Row> {
    let calls = ["ADD primary eth0", "ADD a net1", "DEL a net1", "DEL primary eth0"];
    vec![
        row("a truncated record: everything is deleted", "CNI-DEL-03, CNI-DEL-07")
            .networks("a")
            .then("DEL")
            .before(truncate)
            .calls(&calls)
            .multus_fault("multus-cni issues 948 and 1087: success without a removal", success().calls(&calls[..2])),
        row("libcni's record is cut off: DEL without a result", "CNI-DEL-07")
            .then("DEL")
            .before(truncate)
            .expect(success().calls(&["ADD primary eth0", "DEL primary eth0"]).sees(
                "DEL primary eth0",
                "/prevResult",
                Value::Null,
            ))
            .not_multus()
            .libcni(),
    ]
}
