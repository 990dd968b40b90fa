//! `plexusctl probe`, both ends, over networks of the real kernel: what is connected, what is not, and why.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plexus::sys::netlink::{Change, Socket};
use plexus::sys::netns::Netns;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Two pods on one wire: a bridge in a namespace of its own.
struct Wire {
    middle: Netns,
    ends: [Netns; 2],
    folder: tempfile::TempDir,
}

fn ip(netns: &Netns, arguments: &str) {
    let run = || Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    let output = netns.run(run).unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Moves `link` of `from` to `to`, under the name `name`.
fn hand(from: &Netns, link: &str, to: &Netns, name: &str) {
    let moved = from.run(|| {
        let mut socket = Socket::in_own().unwrap();
        let link = socket.link_by_name(link).unwrap().unwrap();
        let change = Change { netns: Some(to.as_fd()), name: Some(name), ..Change::default() };
        socket.change_link(link.index, &change).unwrap();
    });
    moved.unwrap();
}

impl Wire {
    /// The interface net1 of each end has the addresses `10.9.0.<number>` and `fd00:9::<number>`.
    fn new() -> Option<Wire> {
        if !plexus::sys::is_root() {
            support::cannot_run("needs root");
            return None;
        }
        let create = || Netns::create().unwrap();
        let wire = Wire { middle: create(), ends: [create(), create()], folder: tempfile::tempdir().unwrap() };
        ip(&wire.middle, "link add br0 type bridge");
        ip(&wire.middle, "link set br0 up");
        for (at, end) in wire.ends.iter().enumerate() {
            ip(&wire.middle, &format!("link add v{at} type veth peer name p{at}"));
            ip(&wire.middle, &format!("link set v{at} master br0 up"));
            hand(&wire.middle, &format!("p{at}"), end, "net1");
            ip(end, "link set lo up");
            ip(end, "link set net1 up");
            ip(end, &format!("address add 10.9.0.{}/24 dev net1", at + 1));
            ip(end, &format!("address add fd00:9::{}/64 dev net1 nodad", at + 1));
            allow_pings(end, "0 0");
        }
        Some(wire)
    }

    /// The probe `name` at an end, and its lines.
    fn probe(&self, end: usize, name: &str) -> Probe {
        let task = self.folder.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
        command.env_clear().args(["probe", "--interface", "net1", "--patience", "700"]);
        command.arg("--name").arg(name).arg("--task").arg(&task).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.ends[end].run(|| command.spawn().unwrap()).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut probe = Probe { child, lines, task };
        assert_eq!(probe.next()["line"], "ready");
        probe
    }
}

/// The groups that may send echo requests in `netns`.
fn allow_pings(netns: &Netns, range: &str) {
    netns.run(|| fs::write("/proc/sys/net/ipv4/ping_group_range", range).unwrap()).unwrap();
}

struct Probe {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    task: PathBuf,
}

impl Probe {
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// Has it measure these targets, each a name and an address: what it found, in their order.
    fn measure(&mut self, targets: &[(&str, &str)]) -> Vec<Value> {
        let targets: Vec<Value> =
            targets.iter().map(|(name, address)| json!({"name": name, "address": address})).collect();
        replace(&self.task, &json!({"targets": targets}));
        let mut results: Vec<Value> = targets.iter().map(|_| self.next()).collect();
        assert_eq!(self.next()["line"], "done");
        results.sort_by_key(|result| result["target"].as_u64());
        results
    }
}

/// As the kubelet: the file is whole at once.
fn replace(path: &Path, task: &Value) {
    let new = path.with_extension("new");
    fs::write(&new, task.to_string()).unwrap();
    fs::rename(new, path).unwrap();
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything is well, with packets of `size`.
#[track_caller]
fn well(result: &Value, size: u64) {
    assert_eq!((&result["ping"]["received"], &result["ping"]["problem"]), (&json!(3), &Value::Null), "{result}");
    assert!(result["ping"]["milliseconds"].is_f64() && result["tcp"]["milliseconds"].is_f64(), "{result}");
    assert_eq!((&result["tcp"]["problem"], &result["packet"]["largest"]), (&Value::Null, &json!(size)), "{result}");
}

#[test]
fn two_on_a_wire_reach_each_other() {
    let Some(wire) = Wire::new() else { return };
    let _two = wire.probe(1, "two");
    let results = wire.probe(0, "one").measure(&[("two", "10.9.0.2"), ("two", "fd00:9::2")]);
    results.iter().for_each(|result| well(result, 1500));
    // Another pod has the address: a pool that is not shared.
    let result = &wire.probe(0, "again").measure(&[("three", "10.9.0.2")])[0];
    assert_eq!(result["tcp"]["problem"], "two answers there");
}

#[test]
fn the_largest_packet_is_found_behind_a_smaller_mtu() {
    let Some(wire) = Wire::new() else { return };
    ip(&wire.middle, "link set v1 mtu 1400");
    let _two = wire.probe(1, "two");
    let results = wire.probe(0, "one").measure(&[("two", "10.9.0.2"), ("two", "fd00:9::2")]);
    for result in &results {
        assert_eq!(result["packet"]["expected"], 1500);
        // Some kernels leave room for a VLAN tag (`is_skb_forwardable`).
        assert!((1400..=1404).contains(&result["packet"]["largest"].as_u64().unwrap()), "{result}");
        assert_eq!(result["ping"]["received"], 3, "small ones pass: {result}");
        assert_eq!(result["tcp"]["problem"], Value::Null, "the other direction loses nothing: {result}");
    }
}

#[test]
fn large_frames_are_measured() {
    let Some(wire) = Wire::new() else { return };
    for at in 0..2 {
        ip(&wire.middle, &format!("link set v{at} mtu 9000"));
        ip(&wire.ends[at], "link set net1 mtu 9000");
    }
    let _two = wire.probe(1, "two");
    well(&wire.probe(0, "one").measure(&[("two", "10.9.0.2")])[0], 9000);
}

#[test]
fn what_does_not_answer_is_named() {
    let Some(wire) = Wire::new() else { return };
    // Packets leave, and nobody takes them.
    ip(&wire.ends[0], "neighbor add 10.9.0.99 lladdr 02:00:00:00:00:99 dev net1");
    let _two = wire.probe(1, "two");
    let silent = &wire.probe(0, "one").measure(&[("two", "10.9.0.99")])[0];
    assert_eq!(silent["ping"]["problem"], "no answer within 0.7 s");
    assert_eq!((&silent["tcp"]["problem"], &silent["packet"]["largest"]), (&silent["ping"]["problem"], &Value::Null));
    // Without a route nothing leaves, although the link has neighbours.
    let unreachable = &wire.probe(0, "far").measure(&[("two", "192.0.2.1")])[0];
    assert_eq!(unreachable["tcp"]["problem"], "there is no route to it");
    // The machine is there, and no probe.
    drop(_two);
    let refused = &wire.probe(0, "late").measure(&[("two", "10.9.0.2")])[0];
    assert_eq!(refused["tcp"]["problem"], "the connection is refused");
    assert_eq!(refused["ping"]["received"], 3);
}

#[test]
fn an_answer_over_another_interface_does_not_count() {
    let Some(wire) = Wire::new() else { return };
    // The same two pods have a default network, over which the address of net1 would be reached.
    for (at, end) in wire.ends.iter().enumerate() {
        ip(&wire.middle, &format!("link add w{at} type veth peer name q{at}"));
        hand(&wire.middle, &format!("q{at}"), end, "eth0");
        ip(end, &format!("address add 10.8.0.{}/24 dev eth0", at + 1));
        ip(end, "link set eth0 up");
    }
    ip(&wire.middle, "link add br1 type bridge");
    ip(&wire.middle, "link set br1 up");
    ip(&wire.middle, "link set w0 master br1 up");
    ip(&wire.middle, "link set w1 master br1 up");
    ip(&wire.ends[0], "route add 10.9.0.2/32 via 10.8.0.2");
    let _two = wire.probe(1, "two");
    let result = &wire.probe(0, "one").measure(&[("two", "10.9.0.2")])[0];
    for measurement in ["ping", "tcp"] {
        assert_eq!(result[measurement]["problem"], "the route to it leads over eth0, and not over net1");
    }
}

#[test]
fn a_missing_permission_is_named_and_tcp_still_measured() {
    let Some(wire) = Wire::new() else { return };
    allow_pings(&wire.ends[0], "1 0");
    let _two = wire.probe(1, "two");
    let result = &wire.probe(0, "one").measure(&[("two", "10.9.0.2")])[0];
    assert!(result["ping"]["problem"].as_str().unwrap().contains("net.ipv4.ping_group_range"), "{result}");
    assert!(result["tcp"]["milliseconds"].is_f64(), "{result}");
}

#[test]
fn a_probe_ends_when_it_is_told_to() {
    let Some(wire) = Wire::new() else { return };
    let mut probe = wire.probe(0, "one");
    kill(Pid::from_raw(probe.child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(probe.child.wait().unwrap().code(), Some(0));
    // Without its interface it says so, on one line.
    let mut command = Command::new(env!("CARGO_BIN_EXE_plexusctl"));
    command.env_clear().args(["probe", "--interface", "net7", "--name", "x", "--task", "/nonexistent"]);
    let output = wire.ends[0].run(|| command.output().unwrap()).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("net7") && said.lines().count() == 1, "{said}");
}
