//! Sweeps: made due, waited for, and asked for.

use super::{Answer, Call, Node, Pod, Recorder, eventually, node};
use plexus::sys::lock::FileLock;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Its modification time is when the last sweep began.
pub const MARKER: &str = "/run/plexus/swept";

/// Makes it so that the last sweep was `seconds` ago.
pub fn last_sweep(seconds: u64) {
    fs::File::options()
        .write(true)
        .open(MARKER)
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(seconds))
        .unwrap();
}

/// How long ago the last sweep began.
pub fn since_last_sweep() -> Duration {
    fs::metadata(MARKER).unwrap().modified().unwrap().elapsed().unwrap_or_default()
}

/// Waits until a sweep has begun since [`last_sweep`], and ended.
pub fn swept() {
    eventually("a sweep", || since_last_sweep() < Duration::from_secs(4));
    let lock = Path::new("/run/plexus/sweep.lock");
    eventually("the end of the sweep", || FileLock::try_acquire(lock).unwrap().is_some());
}

/// Changes the record of `pod`.
pub fn edit_record(node: &Node, pod: &Pod, edit: impl Fn(&mut Value)) {
    let mut record = pod.record(node).unwrap();
    edit(&mut record);
    fs::write(pod.record_file(node), record.to_string()).unwrap();
}

/// As if it had been made long ago: the pauses between attempts at its debts are over, too.
pub fn age(node: &Node, pod: &Pod) {
    edit_record(node, pod, |record| {
        record["created"] = json!(1);
        for attachment in record["attachments"].as_array_mut().unwrap() {
            if attachment["debt"].is_object() {
                attachment["debt"]["last"] = json!(1);
            }
        }
    });
    if pod.record(node).unwrap().to_string().contains("\"debt\"") {
        node::write(&node.run().due().join("debts"), "1");
    }
}

/// All that a runtime goes on calling.
pub fn status(node: &Node) -> Answer {
    Call::of_node(node, "STATUS").make()
}

/// A pod of which `a` could not be deleted.
pub fn indebted(node: &Node) -> (Pod, Recorder) {
    let a = node.recorded_network("a");
    a.on("DEL", "fail 103 'a is broken'");
    let pod = Pod::new(node, "debt").selecting("a");
    pod.add().result();
    pod.del().refusal(103, &["a is broken"]);
    (pod, a)
}

/// `plexus sweep`, as `plexusctl gc` starts it.
pub fn command(node: &Node, words: &[&str]) -> (bool, String) {
    let file = Path::new("/run/node/config.json");
    fs::write(file, node.config.to_string()).unwrap();
    let output = Command::new(node.bin().join("plexus"))
        .arg("sweep")
        .args(words)
        .env("CNI_PATH", node.bin())
        .stdin(fs::File::open(file).unwrap())
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// `plexusctl gc` on `node`: its exit code, and what it printed.
pub fn plexusctl(node: &Node, words: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command
        .arg("gc")
        .args(words)
        .arg("--cni-conf-dir")
        .arg(node.net_d())
        .arg("--plugin")
        .arg(node.bin().join("plexus"));
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Pods that are attached to `a`, long ago.
pub fn attached<const N: usize>(node: &Node, names: [&str; N]) -> [Pod; N] {
    let pods = names.map(|name| Pod::new(node, name).selecting("a"));
    for pod in &pods {
        pod.add().result();
        age(node, pod);
    }
    pods
}
