//! CHECK and STATUS where something is wrong, and calls out of order.

use super::disk::{end, start};
use super::multus::{Multus, PLAIN};
use super::support::{Answer, Call, Pod, kernel, node};
use super::table::Table;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

pub fn all(multus: &Multus, table: &mut Table) {
    table.tell(multus.side, "interface without bridge", &cut_off(multus));
    table.tell(multus.side, "CHECK after DEL", &checked_after_del(multus));
    table.tell(multus.side, "DEL before ADD", &deleted_before(multus));
    table.tell(multus.side, "default network unusable", &unusable(multus));
}

fn ends(verb: &str, answer: &Answer) -> String {
    format!("{verb} {}", if answer.status.success() { "succeeds" } else { "fails" })
}

fn check(multus: &Multus, pod: &Pod, result: &Value) -> Answer {
    let mut result = result.clone();
    result["cniVersion"] = json!("1.1.0");
    multus.call(pod, "CHECK").configured("cniVersion", json!("1.1.0")).configured("prevResult", result).make()
}

/// The default network's interface of a pod is on no bridge, and then again.
fn cut_off(multus: &Multus) -> String {
    let (pod, result) = multus.attached_with_result();
    let before = ends("CHECK", &check(multus, &pod, &result));
    let links = kernel::ip("link show master br0").as_array().cloned().unwrap_or_default();
    let port = links[0]["ifname"].as_str().unwrap().to_owned();
    multus.thick.node.ip(&format!("link set {port} nomaster"));
    let cut = ends("CHECK", &check(multus, &pod, &result));
    multus.thick.node.ip(&format!("link set {port} master br0"));
    let back = ends("CHECK", &check(multus, &pod, &result));
    multus.settle(&pod);
    format!("{before} before, then {cut}; when it is back, {back}")
}

fn checked_after_del(multus: &Multus) -> String {
    let (pod, result) = multus.attached_with_result();
    assert!(multus.del(&pod).status.success());
    pod.end_sandbox();
    let outcome = ends("CHECK", &check(multus, &pod, &result));
    multus.settle(&pod);
    outcome
}

fn deleted_before(multus: &Multus) -> String {
    let pod = multus.pod(PLAIN);
    let first = ends("DEL", &multus.del(&pod));
    let attached = ends("ADD", &multus.call(&pod, "ADD").make());
    let outcome = end(multus, &multus.del(&pod), &pod);
    multus.settle(&pod);
    format!("{first}, ADD after it: {attached}, {outcome}")
}

/// STATUS, and ADD of a plain pod, while something of the default network is away.
fn unusable(multus: &Multus) -> String {
    let file = multus.thick.node.primary_file().with_extension("conf");
    let text = fs::read_to_string(&file).unwrap();
    let program = multus.thick.node.bin().join("bridge");
    let tried = |what: &str, begin: &dyn Fn(), done: &dyn Fn()| {
        let pod = multus.pod(PLAIN);
        // Its daemon writes the runtime's file anew, in place, when the default network's changes.
        let calls = [multus.call(&pod, "STATUS").configured("cniVersion", json!("1.1.0")), multus.call(&pod, "ADD")];
        begin();
        let [status, added] = calls.map(Call::make);
        let (status, added) = (ends("STATUS", &status), start(&added));
        done();
        multus.wait_for_whole_file();
        multus.settle(&pod);
        format!("{what}: {status}, {added}")
    };
    let put_back = || node::write(&file, &text);
    let aside = Path::new(node::FOLDER).join("bridge-aside");
    let shift = |from: &Path, to: &Path| {
        node::bind(&fs::File::open(from).unwrap(), to).unwrap();
        node::uncover(from);
        fs::remove_file(from).unwrap();
    };
    let taken = || {
        multus.thick.node.ip("-4 address flush dev br0");
        multus.thick.node.ip("address add 10.9.0.1/24 dev br0");
    };
    let given = || {
        multus.thick.node.ip("-4 address flush dev br0");
        multus.thick.node.ip("address add 10.1.0.1/24 dev br0");
    };
    [
        tried("its file is away", &|| fs::remove_file(&file).unwrap(), &put_back),
        tried("its program is away", &|| shift(&program, &aside), &|| shift(&aside, &program)),
        tried("its bridge has the address of another network", &taken, &given),
    ]
    .join("; ")
}
