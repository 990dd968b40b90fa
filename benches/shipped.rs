//! What the shipped programs cost on this machine, side by side in one run: VERSION and the sizes, ADD and DEL of
//! a pod with three networks (default bridge, bridge, macvlan) in this process and by programs, where the time of such
//! a call goes, and the daemon's memory
//! beside a real API server: idle, with 5,000 networks, after their first list, in a burst of pods, and what the
//! plugin and the daemon need where a pod or a network asks for as much as it can.
//!
//! `make bench`, as root. Medians of alternating rounds: on a busy machine compare the columns, not the days.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench prints, and ends at what it does not expect"
)]

mod report;
#[path = "../tests/support/mod.rs"]
mod support;

use report::Times;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::cluster::Cluster;
use support::daemon::Daemon;
use support::{Node, Pod};

const ROUNDS: usize = 30;

fn main() {
    println!("{}", report::origin());
    // On a machine of its own, as every thread that enters one.
    let memory = std::thread::Builder::new().name("memory".to_owned()).spawn(memory).unwrap();
    memory.join().unwrap();
    let Some(node) = Node::new() else { return };
    version(&node);
    attach(&node);
    steps(&node, true);
    steps(&node, false);
    greedy_pods(&node);
}

/// How long a process takes that does next to nothing.
fn version(node: &Node) {
    let plugin = node.bin().join("plexus");
    let call = |program: &PathBuf| {
        let begun = Instant::now();
        Command::new(program)
            .env_clear()
            .env("CNI_COMMAND", "VERSION")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        begun.elapsed()
    };
    let reference = node.bin().join("bridge");
    let (mut own, mut others) = (Times::default(), Times::default());
    for _ in 0..ROUNDS * 3 {
        own.push(call(&plugin));
        others.push(call(&reference));
    }
    println!("plugin     {} bytes", std::fs::metadata(&plugin).unwrap().len());
    println!(
        "VERSION    plexus {:.2?}, reference bridge {:.2?} (process start included)",
        own.median(),
        others.median()
    );
}

/// ADD and DEL with natives and with programs, in turn.
fn attach(node: &Node) {
    let ipam = |subnet: &str| json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
    let bridge =
        |name: &str, subnet: &str| json!({"type": "bridge", "bridge": name, "isGateway": true, "ipam": ipam(subnet)});
    node.primary(&json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": [bridge("cbr0", "10.1.0.0/16")]}));
    let network = |plugin: serde_json::Value| json!({"cniVersion": "1.0.0", "name": "n", "plugins": [plugin]});
    node.network("default/br", &network(bridge("br1", "10.2.0.0/16")));
    node.network("default/mv", &network(json!({"type": "macvlan", "master": "br1", "ipam": ipam("10.3.0.0/16")})));
    let mut times: [[Times; 2]; 2] = Default::default();
    for round in 0..ROUNDS {
        for (natives, times) in [true, false].into_iter().zip(&mut times) {
            let pod =
                Pod::new(node, &format!("p{round}{natives}")).selecting("br,mv").configured("natives", json!(natives));
            times[0].push(pod.call("ADD").timed());
            times[1].push(pod.call("DEL").timed());
            pod.end_sandbox();
        }
    }
    let [native, programs] = times.map(|of| of.map(|times| times.median()));
    for (verb, native, program) in [("ADD", native[0], programs[0]), ("DEL", native[1], programs[1])] {
        let ratio = program.as_secs_f64() / native.as_secs_f64();
        println!("{verb} of 3    natives {native:.2?}, programs {program:.2?}: {ratio:.1} times");
    }
}

/// Where the time of such a call goes, for those who ask for it: with `natives`, or with programs.
fn steps(node: &Node, natives: bool) {
    println!("\n{}", if natives { "natives" } else { "programs" });
    let file = format!("/run/node/steps-{natives}.json");
    let mut whole: [Times; 2] = Default::default();
    for round in 0..ROUNDS {
        let pod = |what: &str| {
            let pod = Pod::new(node, &format!("{what}{round}{natives}"));
            pod.selecting("br,mv").configured("natives", json!(natives))
        };
        let (traced, untraced) = (pod("traced"), pod("whole"));
        let took = support::traced(&traced, &untraced, &file);
        whole.iter_mut().zip(took).for_each(|(whole, took)| whole.push(took));
        [traced, untraced].iter().for_each(Pod::end_sandbox);
    }
    let text = std::fs::read_to_string(file).unwrap();
    report::steps::print(&text, &whole);
    untraced(text.matches(r#""ph":"X""#).count());
}

/// What the trace costs a call without it, where the traced calls, an ADD and a DEL in each round, have so many `steps`.
fn untraced(steps: usize) {
    const TIMES: u32 = 10_000_000;
    let begun = Instant::now();
    for number in 0..TIMES {
        drop(std::hint::black_box(plexus::sys::trace::step_of(|| number.to_string())));
    }
    let one = begun.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES);
    let calls = steps as f64 / ROUNDS as f64;
    println!(
        "without a trace: {one:.1} ns for each step, {calls:.0} steps in ADD and DEL together: {:.2} µs",
        one * calls / 1e3
    );
}

/// How much address space a call of the plugin needs where its pod asks for as much as it can.
fn greedy_pods(node: &Node) {
    node.recorded_network("plain");
    let plugins = vec![json!({"type": "plain"}); 64];
    node.network("default/chain", &json!({"cniVersion": "1.0.0", "name": "chain", "plugins": plugins}));
    node.network("default/nobody", &json!({"cniVersion": "1.0.0", "type": "nobody"}));
    let arguments = json!([{"name": "chain", "cni-args": {"x": "x".repeat(250_000)}}]);
    let usual = || Pod::new(node, "usual").selecting("br,mv");
    let copies = || Pod::new(node, "copies").selecting(arguments.clone());
    let many = || {
        let networks = vec!["nobody"; 256].join(",");
        Pod::new(node, "many").selecting(networks).annotated("x", "x".repeat(250_000))
    };
    let cases: [(&str, &dyn Fn() -> Pod, &str); 3] = [
        ("a pod with 3 networks", &usual, ""),
        ("250 KB of cni-args for a network of 64 plugins, refused", &copies, "bytes"),
        ("256 networks and an annotation of 250 KB, refused", &many, "nobody"),
    ];
    for (what, pod, refusal) in cases {
        let suffices = |mebibytes: &u32| {
            node.limit_memory(*mebibytes);
            let pod = pod();
            let answer = pod.add();
            let is_right = if refusal.is_empty() { answer.status.success() } else { answer.stdout.contains(refusal) };
            node.limit_memory(256);
            pod.del();
            pod.end_sandbox();
            is_right
        };
        match (3..=64).find(suffices) {
            Some(least) => println!("plexus     {least} MiB of address space suffice: {what}"),
            None => println!("plexus     more than 64 MiB of address space are needed: {what}"),
        }
    }
}

/// What the daemon holds, and at most held, in KiB; `cargo bench` builds it as a release.
fn memory() {
    let Some(cluster) = Cluster::new() else { return };
    let tell = |what: &str, daemon: &Daemon| {
        // What was freed goes back to the kernel when something else is asked for.
        std::thread::sleep(Duration::from_secs(2));
        let [resident, peak, anonymous] = [daemon.memory(), daemon.peak_memory(), daemon.anonymous_memory()];
        println!("plexusd    {resident:6} KiB resident, {anonymous:5} of it anonymous, {peak:6} KiB at most: {what}");
    };
    let daemon = cluster.daemon();
    tell("idle", &daemon);
    burst(&cluster);
    tell("after 100 pods with 3 networks, 16 at once", &daemon);
    many_networks(&cluster);
    let all = || daemon.health().definitions >= NETWORKS;
    support::wait_until(all, || daemon.log());
    tell("having watched 5,000 networks come, 7 KB of managed fields and annotations each", &daemon);
    daemon.kill();
    let daemon = cluster.daemon();
    tell("having listed them at its start", &daemon);
    burst(&cluster);
    tell("after another 100 pods", &daemon);
    daemon.kill();
    long_networks(&cluster);
    let daemon = cluster.starting_daemon();
    // 78 MB to list, on a machine that may be busy.
    let deadline = Instant::now() + Duration::from_secs(300);
    while !daemon.health().ready {
        assert!(Instant::now() < deadline, "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    tell("having listed 60 networks of 1.3 MiB beside them", &daemon);
    names_of_nothing(&daemon);
    tell("after 20 pods at once that name 200 networks each which do not exist", &daemon);
    for n in 0..20 {
        daemon.publish(&format!("long-{n}"), &support::daemon::pod("none", Some("a-b")), &"x".repeat(300 << 10));
    }
    tell("after 20 statuses of 300 KiB", &daemon);
}

/// Networks as long as a namespace's user can make them where the definition is upstream's, which has no limit.
fn long_networks(cluster: &Cluster) {
    let ours = include_str!("../crd/network-attachment-definitions.yaml");
    let lines: Vec<&str> = ours.lines().filter(|line| !line.contains("maxLength")).collect();
    cluster.kubectl(&["replace", "-f", "-"], Some(&lines.join("\n")));
    std::thread::sleep(Duration::from_secs(2));
    let config = json!({"cniVersion": "1.0.0", "type": "x", "filler": "x".repeat(1_300_000)}).to_string();
    for n in 0..60 {
        let object = json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": format!("long-{n}")}, "spec": {"config": config}});
        cluster.kubectl(&["create", "--validate=false", "-f", "-"], Some(&object.to_string()));
    }
}

fn names_of_nothing(daemon: &Daemon) {
    std::thread::scope(|scope| {
        for pod in 0..20 {
            scope.spawn(move || {
                let networks = (0..200).map(|n| support::daemon::nad(&format!("none-{pod}-{n}"))).collect();
                // Under load there may be no answer in time, which is an answer, too.
                let _ = daemon.facts(plexus::api::FactsRequest { networks, ..Default::default() });
            });
        }
    });
}

const NETWORKS: usize = 5000;

/// Networks whose managed fields, as on a cluster with several writers, are most of them.
fn many_networks(cluster: &Cluster) {
    let annotations: serde_json::Map<String, serde_json::Value> =
        (0..60).map(|n| (format!("example.com/what-some-controller-notes-here-{n}"), json!(""))).collect();
    let config = |n: usize| {
        json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "mode": "bridge", "mtu": 1500,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": format!("10.{}.{}.0/24", n / 256, n % 256)}]],
                "routes": [{"dst": "192.168.0.0/16"}]}})
    };
    for begin in (0..NETWORKS).step_by(1000) {
        let items: Vec<_> = (begin..begin + 1000)
            .map(|n| {
                json!({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
                    "metadata": {"name": format!("many-{n}"), "annotations": annotations},
                    "spec": {"config": config(n).to_string()}})
            })
            .collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        cluster.kubectl(&["create", "--validate=false", "-f", "-"], Some(&list.to_string()));
    }
}

/// A hundred pods of three networks start, sixteen at once, and go.
fn burst(cluster: &Cluster) {
    let ipam = |subnet: &str| json!({"type": "host-local", "ranges": [[{"subnet": subnet}]]});
    let bridge = |name: &str, subnet: &str| json!({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "bridge", "bridge": name, "ipam": ipam(subnet)}]});
    cluster.node.primary(&bridge("cbr0", "10.1.0.0/16"));
    cluster.network("default", "br1", &bridge("br1", "10.2.0.0/16"));
    cluster.network("default", "br2", &bridge("br2", "10.3.0.0/16"));
    let pods: Vec<Pod> = (0..100).map(|n| cluster.pod(&format!("burst-{n}"), "br1,br2")).collect();
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                    pod.add().result();
                }
            });
        }
    });
    println!("burst      {:.1?} for 100 pods with 3 networks, 16 at once", begun.elapsed());
    for pod in &pods {
        pod.del().silence();
        pod.end_sandbox();
    }
}
