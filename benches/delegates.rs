//! What delegates cost: ADD and DEL of a pod on three networks (default bridge, bridge, macvlan) by natives, by the
//! reference programs, and by the kernel alone: the fewest netlink messages that make and delete the same links
//! with the same addresses and settings, out of a process that runs already and keeps no record. Then how natives and the kernel grow
//! with the pods that are attached already: what the kernel alone takes longer, no plugin can save.
//!
//! `make bench-delegates`, as root. Medians of alternating rounds: on a busy machine compare the columns, not the days.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

mod floor;
mod report;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "delegates/traced.rs"]
mod traced;

use floor::{Bridges, MESSAGES};
use nix::sys::resource::{UsageWho, getrusage};
use report::Times;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::netlink::Fate;
use support::{Node, Pod};

const ROUNDS: usize = 30;
/// A node that fills.
const ATTACHED: [usize; 2] = [250, 500];
fn main() {
    let Some(node) = Node::new() else { return };
    furnish(&node);
    let [natives, programs, kernel, closing] = rounds(&node, ["natives", "programs", "kernel", "closing"], "");
    println!("{}", report::origin());
    println!("default bridge + bridge + macvlan, host-local; medians of {ROUNDS} alternating rounds\n");
    println!(
        "{:6}{:>12}{:>12}{:>12}{:>20}{:>19}",
        "", "natives", "programs", "kernel", "programs/natives", "natives/kernel"
    );
    for (verb, at) in [("ADD", 0), ("DEL", 1)] {
        let [native, program, kernel] =
            [&natives, &programs, &kernel].map(|times| report::milliseconds(times.wall[at].median()));
        let (less, more) = (program / native, native / kernel);
        println!("{verb:6}{native:>9.2} ms{program:>9.2} ms{kernel:>9.2} ms{less:>20.1}{more:>19.1}");
    }
    let [native, closed] = [&natives, &closing].map(|times| report::milliseconds(times.wall[1].median()));
    println!(
        "\nDEL by the kernel, until it tells that all three are closed: {closed:.2} ms; natives over that: {:.1}",
        native / closed
    );
    println!("\nprocessor time, user and system:");
    for (verb, at) in [("ADD", 0), ("DEL", 1)] {
        let [native, program, kernel] =
            [&natives, &programs, &kernel].map(|times| report::milliseconds(times.processor[at].median()));
        println!("{verb:6}{native:>9.2} ms{program:>9.2} ms{kernel:>9.2} ms");
    }
    at_the_same_time(&node);
    requests(&node);
    system_calls(&node);
    growth(&node);
    println!(
        "\nThe kernel's DEL waits for the end of its grace periods. Natives leave that to a child: \"until it tells\" is the same work."
    );
}

/// How long ADD and DEL take, and how much processor time they use.
#[derive(Default)]
struct Measured {
    wall: [Times; 2],
    processor: [Times; 2],
}

/// Pods that come and go in alternating rounds, one of each column in each.
fn rounds<const N: usize>(node: &Node, columns: [&str; N], label: &str) -> [Measured; N] {
    let mut measured = [(); N].map(|()| Measured::default());
    for round in 0..ROUNDS {
        for (column, measured) in columns.iter().zip(&mut measured) {
            let pod = Pod::new(node, &format!("p{label}{round}{column}")).selecting("br,mv");
            let calls = match *column {
                "kernel" | "closing" => by_the_kernel(node, &pod, *column == "closing"),
                column => {
                    let pod = pod.configured("natives", json!(column == "natives"));
                    by_the_plugin(pod.configured("parallel", json!(column == "parallel")))
                }
            };
            for (at, (wall, processor)) in calls.into_iter().enumerate() {
                measured.wall[at].push(wall);
                measured.processor[at].push(processor);
            }
        }
    }
    measured
}

/// What the setting `parallel` changes where programs attach the networks.
fn at_the_same_time(node: &Node) {
    let [turns, parallel] = rounds(node, ["programs", "parallel"], "same");
    println!("\nprograms, one network after another, and with the setting parallel:");
    for (verb, at) in [("ADD", 0), ("DEL", 1)] {
        let [turns, parallel] = [&turns, &parallel].map(|times| report::milliseconds(times.wall[at].median()));
        println!("{verb:6}{turns:>9.2} ms{parallel:>9.2} ms{:>8.2}", parallel / turns);
    }
}

/// What ADD and DEL cost on a node with many pods, beside what they cost on an empty one.
fn growth(node: &Node) {
    let columns = ["natives", "kernel"];
    let milliseconds = |measured: [Measured; 2]| {
        measured.map(|of| [of.wall, of.processor].map(|times| times.map(|times| report::milliseconds(times.median()))))
    };
    let empty = milliseconds(rounds(node, columns, "e"));
    steps(node, 0);
    println!("\n{:>8} pods{:>14}{:>14}{:>26}{:>26}", "", "natives", "kernel", "natives more than empty", "kernel");
    let mut crowd: Vec<Pod> = Vec::new();
    for count in ATTACHED {
        while crowd.len() < count {
            let pod = Pod::new(node, &format!("crowd{}", crowd.len())).selecting("br,mv");
            pod.add().result();
            crowd.push(pod);
        }
        let full = milliseconds(rounds(node, columns, &count.to_string()));
        for (what, time) in [("wall", 0), ("cpu", 1)] {
            for (verb, at) in [("ADD", 0), ("DEL", 1)] {
                let [natives, kernel] = [0, 1].map(|column| full[column][time][at]);
                let [more, floor] = [0, 1].map(|column| full[column][time][at] - empty[column][time][at]);
                println!(
                    "{count:>8} {verb} {what:4}{natives:>11.2} ms{kernel:>11.2} ms{more:>23.2} ms{floor:>23.2} ms"
                );
            }
        }
        steps(node, count);
    }
    for pod in crowd {
        pod.del().silence();
        pod.end_sandbox();
    }
}

/// Where the time of ADD and DEL goes while `attached` pods are attached.
fn steps(node: &Node, attached: usize) {
    let file = format!("/run/node/steps-{attached}.json");
    let mut whole: [Times; 2] = Default::default();
    for round in 0..ROUNDS {
        let pod = |what| Pod::new(node, &format!("{what}{attached}-{round}")).selecting("br,mv");
        let (traced, untraced) = (pod("steps"), pod("whole"));
        let took = support::traced(&traced, &untraced, &file);
        whole.iter_mut().zip(took).for_each(|(whole, took)| whole.push(took));
        [traced, untraced].iter().for_each(Pod::end_sandbox);
    }
    println!("\nnatives with {attached} attached pods");
    report::steps::print(&std::fs::read_to_string(file).unwrap(), &whole);
}

/// The networks, with their bridges made by a pod that comes and goes.
fn furnish(node: &Node) {
    let ipam = |subnet: &str| json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
    let bridge =
        |name: &str, subnet: &str| json!({"type": "bridge", "bridge": name, "isGateway": true, "ipam": ipam(subnet)});
    let network = |name: &str, plugin: Value| json!({"cniVersion": "1.0.0", "name": name, "plugins": [plugin]});
    node.primary(&network("cbr0", bridge("cbr0", "10.1.0.0/16")));
    node.network("default/br", &network("br", bridge("br1", "10.2.0.0/16")));
    node.network(
        "default/mv",
        &network("mv", json!({"type": "macvlan", "master": "br1", "ipam": ipam("10.3.0.0/16")})),
    );
    let pod = Pod::new(node, "first").selecting("br,mv");
    pod.add().result();
    pod.del().silence();
    pod.end_sandbox();
}

/// Wall time and processor time of a call.
type Cost = (Duration, Duration);

fn by_the_plugin(pod: Pod) -> [Cost; 2] {
    let add = cost(UsageWho::RUSAGE_CHILDREN, || _ = pod.call("ADD").timed());
    let del = cost(UsageWho::RUSAGE_CHILDREN, || _ = pod.call("DEL").timed());
    pod.end_sandbox();
    [add, del]
}

/// What `work` costs `whom`.
fn cost(whom: UsageWho, work: impl FnOnce()) -> Cost {
    let used = || {
        let usage = getrusage(whom).unwrap();
        let time = |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
        time(usage.user_time()) + time(usage.system_time())
    };
    let (begun, before) = (Instant::now(), used());
    work();
    let wall = begun.elapsed();
    (wall, used() - before)
}

/// How many netlink messages each takes.
fn requests(node: &Node) {
    let pod = Pod::new(node, "counted").selecting("br,mv");
    let count = |verb: &str| {
        let (answer, requests) = pod.call(verb).make_with(0, Fate::NotSent);
        assert!(answer.status.success(), "{answer:?}");
        let mut kinds = BTreeMap::new();
        requests.iter().for_each(|kind| *kinds.entry(message(*kind)).or_insert(0) += 1);
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!("natives {} ({})", requests.len(), kinds.join(", "))
    };
    println!("\nnetlink messages of ADD: {}, kernel {MESSAGES}", count("ADD"));
    println!("netlink messages of DEL: {}, kernel 1", count("DEL"));
    pod.end_sandbox();
}

/// The name of a kind of message, as in rtnetlink(7).
fn message(kind: u16) -> String {
    let kinds = ["NEWLINK", "DELLINK", "GETLINK", "SETLINK", "NEWADDR", "DELADDR", "GETADDR"];
    let name = kinds.get(usize::from(kind).wrapping_sub(16));
    name.map_or_else(|| format!("kind {kind}"), |name| (*name).to_owned())
}

/// How many system calls the plugin makes, and how much memory it has at most.
fn system_calls(node: &Node) {
    let pod = Pod::new(node, "traced").selecting("br,mv");
    for verb in ["ADD", "DEL"] {
        let traced = traced::traced(pod.call(verb));
        println!("system calls of {verb}: natives {}; memory at most {} KiB", traced.calls, traced.peak);
    }
    pod.end_sandbox();
}

/// DEL ends when the kernel has told that the links are closed, or when they are gone.
fn by_the_kernel(node: &Node, pod: &Pod, until_closed: bool) -> [Cost; 2] {
    let attachment = Bridges::of(node).prepare(pod, 0);
    let add = cost(UsageWho::RUSAGE_SELF, || attachment.add());
    let listener = until_closed.then(|| attachment.listen());
    let mut rest = None;
    let del = cost(UsageWho::RUSAGE_SELF, || match &listener {
        Some(listener) => rest = Some(attachment.close(listener)),
        None => attachment.del(),
    });
    if let Some(rest) = rest {
        rest.join().unwrap();
    }
    pod.end_sandbox();
    [add, del]
}
