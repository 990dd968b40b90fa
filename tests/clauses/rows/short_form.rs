//! The short form: `[<namespace>/]<name>[@<interface>]`, separated by commas.

use crate::row::{Row, refusal, row, success};

/// Recorders make no interface, so nothing is found to be taken.
const LATE: &str = "detected only when the name is taken in the sandbox, after other networks are attached";

pub fn rows() -> Vec<Row> {
    [accepted(), refused()].concat()
}

fn accepted() -> Vec<Row> {
    vec![
        row("no annotation: the default network alone", "NPWG-ANN-08").calls(&["ADD primary eth0"]),
        row("an empty annotation: the default network alone", "NPWG-ANN-08").networks("").calls(&["ADD primary eth0"]),
        row("`a`: in the pod's namespace", "NPWG-ANN-03").networks("a").calls(&["ADD primary eth0", "ADD a net1"]),
        row("`b` of a pod of another namespace", "NPWG-ANN-03")
            .namespace("other")
            .networks("b")
            .calls(&["ADD primary eth0", "ADD b net1"]),
        row("`other/b@eth5`: namespace and interface", "NPWG-ANN-03, NPWG-ANN-04")
            .networks("other/b@eth5")
            .calls(&["ADD primary eth0", "ADD b eth5"]),
        row("`a, b`: two networks in this order, blanks are ignored", "NPWG-ANN-03, NPWG-ANN-10")
            .networks("a, b")
            .calls(&["ADD primary eth0", "ADD a net1", "ADD b net2"]),
        row("`a,a`: the same network twice", "NPWG-MUL-01").networks("a,a").calls(&[
            "ADD primary eth0",
            "ADD a net1",
            "ADD a net2",
        ]),
        row("` other / b @ if0 `: blanks around the parts", "NPWG-ANN-10")
            .networks(" other / b @ if0 ")
            .calls(&["ADD primary eth0", "ADD b if0"]),
        row("`/a`: an empty namespace is the pod's", "NPWG-ANN-10")
            .networks("/a")
            .calls(&["ADD primary eth0", "ADD a net1"]),
        row("`a@`: an empty interface name is ignored", "NPWG-ANN-10")
            .networks("a@")
            .calls(&["ADD primary eth0", "ADD a net1"]),
        row("`a@my_interface`: an underscore in an interface's name", "NPWG-ANN-04")
            .networks("a@my_interface")
            .calls(&["ADD primary eth0", "ADD a my_interface"]),
        row("`a@foo,b`: a requested name does not shift the numbers", "NPWG-MUL-02").networks("a@foo,b").calls(&[
            "ADD primary eth0",
            "ADD a foo",
            "ADD b net2",
        ]),
        row("`a@net2,b`: auto-numbering skips an interface name that the pod requests itself", "NPWG-MUL-02")
            .networks("a@net2,b")
            .calls(&["ADD primary eth0", "ADD a net2", "ADD b net3"])
            .multus_fault(
                "gives the same name twice, and plugins then fail",
                success().calls(&["ADD primary eth0", "ADD a net2", "ADD b net2"]),
            ),
        row("`null` is a network's name", "NPWG-ANN-10")
            .nad("default/null", r#"{"cniVersion":"1.0.0","type":"a"}"#)
            .networks("null")
            .calls(&["ADD primary eth0", "ADD a net1"]),
    ]
}

fn refused() -> Vec<Row> {
    vec![
        row("`a,`: an empty name", "NPWG-ANN-10").networks("a,").refused(&["element 2"]),
        row("`a,,b`: an empty name", "NPWG-ANN-10").networks("a,,b").refused(&["element 2"]),
        row("`other/`: an empty name", "NPWG-ANN-10").networks("other/").refused(&["other/"]),
        row("`a/b/c`: too many parts", "NPWG-ANN-10").networks("a/b/c").refused(&["a/b/c"]),
        row("`a@b@c`: too many parts", "NPWG-ANN-10").networks("a@b@c").refused(&["a@b@c"]),
        row("`A`: upper case", "NPWG-ANN-10, NPWG-NAD-06").networks("A").refused(&["A"]),
        row("`a_b`: no DNS label", "NPWG-ANN-10, NPWG-NAD-06").networks("a_b").refused(&["a_b"]),
        row("`a.b`: names with dots are for the JSON form", "NPWG-ANN-10").networks("a.b").refused(&["a.b"]),
        row("`-a`: no DNS label", "NPWG-ANN-10, NPWG-NAD-06").networks("-a").refused(&["-a"]),
        row("`\"a\"`: a quote makes it JSON, which a text alone is not", "NPWG-ANN-10")
            .networks("\"a\"")
            .refused(&["k8s.v1.cni.cncf.io/networks"]),
        row("an interface's name of sixteen characters", "NPWG-ANN-10")
            .networks("a@very_long_interface_name")
            .refused(&["very_long_interface_name"]),
        row("a network that does not exist", "NPWG-NAD-07, NPWG-ERR-04").networks("missing").expect(
            // Without the daemon it cannot be known that there is none: the runtime tries again.
            refusal(&["missing"]).our_code(11),
        ),
        row("`a@eth0`: the name of the default network's interface", "NPWG-KEY-09")
            .networks("a@eth0")
            .refused(&["eth0"])
            .multus_otherwise(LATE, success().calls(&["ADD primary eth0", "ADD a eth0"])),
        row("`a@if0,b@if0`: a name requested twice", "NPWG-KEY-09")
            .networks("a@if0,b@if0")
            .refused(&["if0"])
            .multus_otherwise(LATE, success().calls(&["ADD primary eth0", "ADD a if0", "ADD b if0"])),
    ]
}
