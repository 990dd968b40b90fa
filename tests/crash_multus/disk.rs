//! Single faults of the node: its disk, its files, its clock, a restart, plugins, what the pod asks for.

use super::found::{CACHE, Left};
use super::multus::{Multus, NETWORKS, PLAIN};
use super::support::{Answer, Pod, node};
use super::table::Table;
use nix::mount::{MntFlags, umount2};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// The programs of the networks.
const PLUGINS: [&str; 4] = ["bridge", "macvlan", "tuning", "host-local"];

pub fn all(multus: &Multus, table: &mut Table) {
    for (what, fault) in [
        ("disk full", full as fn(&Multus) -> String),
        ("cache cut", |multus| cut(multus, list, 50)),
        ("cache empty", |multus| cut(multus, list, 0)),
        ("result empty", |multus| cut(multus, result, 0)),
        ("clock", clock),
        ("plugins moved", moved),
    ] {
        table.tell(multus.side, what, &fault(multus));
    }
}

/// Whether pods without additional networks start.
pub fn start(answer: &Answer) -> &'static str {
    match answer.status.success() {
        true => "pods without additional networks start",
        false => "pods without additional networks do not start",
    }
}

/// How DEL of `pod` ends, which `answer` is of, and what it and the next one leave.
pub fn end(multus: &Multus, answer: &Answer, pod: &Pod) -> String {
    let left = Left::of(pod);
    let how = if answer.status.success() { "succeeds" } else { "fails" };
    if left.is_nothing() && answer.status.success() {
        return "DEL leaves nothing".to_owned();
    }
    format!("DEL {how} and leaves {left}, {}", left_by_next(multus, pod))
}

/// What another DEL leaves.
pub fn left_by_next(multus: &Multus, pod: &Pod) -> String {
    let before = Left::of(pod);
    multus.del(pod);
    let left = Left::of(pod);
    if left == before { "also after another DEL".to_owned() } else { format!("{left} after another DEL") }
}

/// Multus' list of the pod's networks.
fn list(pod: &Pod) -> PathBuf {
    Path::new(CACHE).join(&pod.id)
}

/// The result of the default network, as libcni keeps it for Multus.
fn result(pod: &Pod) -> PathBuf {
    Path::new(CACHE).join("results").join(format!("br0-{}-{}", pod.id, pod.ifname))
}

/// The disk of the cache is full, for a new pod of each kind, and for one that was attached before.
fn full(multus: &Multus) -> String {
    node::tmpfs(Path::new(CACHE), "size=256k").unwrap();
    let before = multus.attached();
    fill();
    let deleted = end(multus, &multus.del(&before), &before);
    multus.settle(&before);
    let answers = [PLAIN, NETWORKS].map(|name| {
        let pod = multus.pod(name);
        fill();
        let answer = multus.call(&pod, "ADD").make();
        multus.settle(&pod);
        answer
    });
    umount2(Path::new(CACHE), MntFlags::MNT_DETACH).unwrap();
    let started = match [&answers[0], &answers[1]].map(|answer| answer.status.success()) {
        [false, false] => "no pod starts",
        [true, false] => "pods without additional networks start; the others are refused",
        [_, true] => "pods with additional networks start",
    };
    format!("{started}; {deleted}")
}

/// Fills the disk of the cache.
fn fill() {
    let mut ballast = File::options().create(true).append(true).open(Path::new(CACHE).join("ballast")).unwrap();
    while ballast.write(&[0; 512]).is_ok() {}
}

/// A file of the cache keeps so many percent of it.
fn cut(multus: &Multus, file: fn(&Pod) -> PathBuf, percent: usize) -> String {
    let pod = multus.attached();
    let text = fs::read(file(&pod)).unwrap();
    fs::write(file(&pod), &text[..text.len() * percent / 100]).unwrap();
    let outcome = end(multus, &multus.del(&pod), &pod);
    fs::write(file(&pod), text).unwrap();
    multus.settle(&pod);
    outcome
}

/// What was written becomes a year older; or a year younger.
fn clock(multus: &Multus) -> String {
    let outcomes = [SystemTime::now() - YEAR, SystemTime::now() + YEAR].map(|time| {
        let pod = multus.attached();
        for path in super::found::contents().into_keys() {
            File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
        let outcome = end(multus, &multus.del(&pod), &pod);
        multus.settle(&pod);
        outcome
    });
    let [older, younger] = outcomes;
    assert_eq!(older, younger);
    older
}

/// The plugins are in another directory, which the runtime hands over from then on.
fn moved(multus: &Multus) -> String {
    let (bin, other) = (multus.thick.node.bin(), Path::new(node::FOLDER).join("moved"));
    fs::create_dir_all(&other).unwrap();
    let pod = multus.attached();
    let shift = |from: &Path, to: &Path| {
        for name in PLUGINS {
            let program = File::open(from.join(name)).unwrap();
            node::bind(&program, &to.join(name)).unwrap();
            node::uncover(&from.join(name));
            fs::remove_file(from.join(name)).unwrap();
        }
    };
    shift(&bin, &other);
    let answer = multus.call(&pod, "DEL").env("CNI_PATH", other.display().to_string()).make();
    let outcome = end(multus, &answer, &pod);
    shift(&other, &bin);
    multus.settle(&pod);
    outcome
}
