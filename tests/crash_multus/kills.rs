//! Multus is killed before each change.

use super::found::{Left, contents};
use super::multus::{Multus, NETWORKS};
use super::support::{Answer, Call, Pod, kernel};
use super::table::Table;
use serde_json::json;

/// More than any call needs.
const MANY: usize = 5000;
/// On a busy machine a call may fail before it comes so far.
const TRIES: usize = 10;

/// How it went with one that was killed.
pub enum Kill {
    /// It has ended before.
    NotReached,
    Clean,
    Left,
}

/// A normal run leaves out so many changes after each: of a daemon more, which takes its time to start.
fn step(is_daemon: bool) -> usize {
    match (super::is_update(), is_daemon) {
        (true, _) => 1,
        (false, false) => 23,
        (false, true) => 31,
    }
}

/// Kills before one change after another, until there is none; answers how many left something, and how many there were.
pub fn before_each(step: usize, mut kill: impl FnMut(usize) -> Kill) -> (usize, usize) {
    let (mut left, mut tried) = (0, 0);
    // Change 1 of a program is execve(2) itself.
    for number in (2..MANY).step_by(step) {
        match kill(number) {
            Kill::NotReached => return (left, tried),
            Kill::Left => left += 1,
            Kill::Clean => {}
        }
        tried += 1;
    }
    panic!("it has no end");
}

pub fn all(multus: &mut Multus, table: &mut Table) {
    for verb in ["ADD", "DEL", "GC"] {
        let (left, tried) = before_each(step(false), |number| call_killed(multus, verb, number));
        table.tell_kills(multus.side, &format!("kill plugin {verb}"), left, tried);
    }
    let (mut changed, mut tried) = (0, 0);
    for verb in ["CHECK", "STATUS"] {
        let pod = multus.attached();
        let kills = before_each(step(false), |number| look_killed(multus, &pod, verb, number));
        (changed, tried) = (changed + kills.0, tried + kills.1);
        multus.settle(&pod);
    }
    table.tell_kills(multus.side, "kill plugin CHECK and STATUS", changed, tried);
    if !multus.is_thick() {
        return;
    }
    multus.end_daemon();
    multus.restart_daemon();
    for verb in ["ADD", "DEL"] {
        let mut at_once = 0;
        let (left, tried) = before_each(step(true), |number| daemon_killed(multus, verb, number, &mut at_once));
        table.tell_kills(multus.side, &format!("kill daemon {verb}, DEL at once"), at_once, tried);
        table.tell_kills(multus.side, &format!("kill daemon {verb}, DEL later"), left, tried);
    }
}

/// The call of `verb` that is killed; a GC about the node.
fn call(multus: &Multus, pod: &Pod, verb: &str) -> Call {
    let about_pod = multus.call(pod, verb);
    if matches!(verb, "GC" | "STATUS" | "CHECK") {
        return about_pod.configured("cniVersion", json!("1.1.0"));
    }
    about_pod
}

fn killed_at(multus: &Multus, pod: &Pod, verb: &str, number: usize) -> (Answer, usize) {
    let (answer, changes) = call(multus, pod, verb).killed_at(number);
    if multus.is_thick() {
        multus.wait_for_idle_daemon();
    }
    (answer, changes.len())
}

/// The plugin is killed in ADD, DEL or GC; then comes DEL.
fn call_killed(multus: &Multus, verb: &str, number: usize) -> Kill {
    for _ in 0..TRIES {
        let pod = if verb == "ADD" { multus.pod(NETWORKS) } else { multus.attached() };
        let (answer, changes) = killed_at(multus, &pod, verb, number);
        if changes < number {
            multus.settle(&pod);
            if answer.status.success() {
                return Kill::NotReached;
            }
            super::support::say(&format!("{}: {verb} once more: {}", multus.side, answer.stdout));
            continue;
        }
        let end = deleted(multus, &pod, &format!("{verb} killed before change {number}"));
        multus.settle(&pod);
        return end;
    }
    panic!("{verb} does not succeed");
}

/// Whether DEL leaves anything; what the second one deletes does not count.
fn deleted(multus: &Multus, pod: &Pod, of: &str) -> Kill {
    let first = multus.del(pod);
    let left = Left::of(pod);
    if first.status.success() && left.is_nothing() {
        return Kill::Clean;
    }
    let second = multus.del(pod);
    let left_then = Left::of(pod);
    super::support::say(&format!("{}: {of}: {left:?}, {first:?}; then {left_then:?}, {second:?}", multus.side));
    if second.status.success() && left_then.is_nothing() { Kill::Clean } else { Kill::Left }
}

/// The plugin is killed in a call that must change nothing.
fn look_killed(multus: &Multus, pod: &Pod, verb: &str, number: usize) -> Kill {
    let look = || (contents(), kernel::host_links(), kernel::ip_in(&pod.netns, "address"));
    let before = look();
    let (_, changes) = killed_at(multus, pod, verb, number);
    match changes < number {
        true => Kill::NotReached,
        false if look() == before => Kill::Clean,
        false => Kill::Left,
    }
}

/// The daemon is killed while it works on ADD or DEL. The runtime sends DEL at once, before the daemon is there again, and the
/// kubelet may do so later.
fn daemon_killed(multus: &mut Multus, verb: &str, number: usize, at_once: &mut usize) -> Kill {
    for _ in 0..TRIES {
        let pod = if verb == "ADD" { multus.pod(NETWORKS) } else { multus.attached() };
        multus.light(number);
        let answer = multus.call(&pod, verb).make();
        if multus.light(0) > 0 {
            multus.settle(&pod);
            if answer.status.success() {
                return Kill::NotReached;
            }
            continue;
        }
        multus.end_daemon();
        let away = multus.del(&pod);
        if !away.status.success() || !Left::of(&pod).is_nothing() {
            *at_once += 1;
        }
        multus.restart_daemon();
        let end = deleted(multus, &pod, &format!("daemon killed in {verb} before change {number}"));
        multus.settle(&pod);
        return end;
    }
    panic!("{verb} does not succeed");
}
