//! Single faults of what is around Multus: its daemon, the API server, the default network, the machine, cancelled calls.

use super::disk::{end, left_by_next, start};
use super::found::Left;
use super::multus::{Multus, PLAIN, bridge, default_network};
use super::support::{eventually, kernel, node};
use super::table::Table;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::time::Duration;

/// What a greedy pod may make grow.
const MEBIBYTES: u64 = 512;
/// The arguments of one network, which each of its plugins would get, and how many there are: as in `tests/model`.
const ARGUMENTS: usize = 200_000;
const PLUGINS: usize = 2000;

pub fn all(multus: &mut Multus, table: &mut Table) {
    let side = multus.side;
    table.tell(side, "call cancelled", &cancelled(multus));
    table.tell(side, "default network replaced", &replaced(multus));
    table.tell(side, "restart", &restarted(multus));
    table.tell(side, "API server away", &without_server(multus));
    table.tell(side, "greedy", &greedy(multus));
    if multus.is_thick() {
        table.tell(side, "daemon away", &without_daemon(multus));
    }
}

/// The runtime cancels ADD while a plugin works, and sends DEL; then the plugin goes on.
fn cancelled(multus: &Multus) -> String {
    let slow = multus.thick.node.recorder("slow");
    let program = format!("exec {} <\"$stdin\"", multus.thick.node.bin().join("bridge").display());
    slow.on("ADD", &format!(": >\"$here/begun\"\nwhile [ ! -e \"$here/go\" ]; do sleep 0.05; done\n{program}\n"));
    slow.on("DEL", &program);
    let mut network = bridge("slow", "10.4.0.0/24");
    network["type"] = json!("slow");
    multus.thick.network("slow", &json!({"cniVersion": "1.0.0", "name": "slow", "plugins": [network]}));
    let mut pod = multus.thick.pod("cancelled", "slow,more,mv");
    super::support::keep_the_sandbox_quiet(&pod);
    pod.name = "cancelled".to_owned();
    let call = multus.call(&pod, "ADD").start();
    eventually("the plugin to begin", || slow.folder().join("begun").exists());
    call.kill();
    multus.del(&pod);
    assert!(Left::of(&pod).is_nothing());
    fs::write(slow.folder().join("go"), "").unwrap();
    let works = |command: &str| ["/bin/slow", "/bin/bridge"].iter().any(|program| command.contains(program));
    eventually("the plugin to end", || !multus.thick.node.processes().iter().any(|(_, command)| works(command)));
    if multus.is_thick() {
        multus.wait_for_idle_daemon();
    }
    let left = Left::of(&pod);
    let outcome = format!("after DEL it makes {left}, {}", left_by_next(multus, &pod));
    multus.settle(&pod);
    multus.thick.api.kubectl(&["delete", "pod", "cancelled", "--grace-period=0", "--force"], None).unwrap();
    fs::remove_dir_all(slow.folder()).unwrap();
    slow.uninstall();
    outcome
}

/// Another default network is in the node's file.
fn replaced(multus: &Multus) -> String {
    let file = multus.thick.node.primary_file().with_extension("conf");
    let put = |name: &str, subnet: &str| node::write(&file, &default_network(name, subnet).to_string());
    let pod = multus.attached();
    put("br9", "10.9.0.0/24");
    let outcome = end(multus, &multus.del(&pod), &pod);
    put("br0", "10.1.0.0/24");
    multus.settle(&pod);
    outcome
}

/// The machine restarts: sandboxes and interfaces are gone, the disk is as it was.
fn restarted(multus: &mut Multus) -> String {
    let pod = multus.attached();
    if multus.is_thick() {
        multus.end_daemon();
    }
    pod.end_sandbox();
    eventually("interfaces to go", || Left::of(&pod).interfaces.is_empty());
    for link in ["br0", "more"] {
        multus.thick.node.ip(&format!("link delete {link}"));
    }
    if multus.is_thick() {
        multus.restart_daemon();
    }
    let left = Left::of(&pod);
    let deleted = end(multus, &multus.call(&pod, "DEL").env("CNI_NETNS", "").make(), &pod);
    multus.settle(&pod);
    format!("{left} stay until DEL; {deleted}")
}

/// Nobody answers where the API server was.
fn without_server(multus: &mut Multus) -> String {
    let attached = multus.attached();
    multus.thick.api.kill().unwrap();
    let deleted = end(multus, &multus.del(&attached), &attached);
    multus.settle(&attached);
    let plain = multus.pod(PLAIN);
    let started = start(&multus.call(&plain, "ADD").make());
    let failed = Left::of(&plain);
    let undone = end(multus, &multus.del(&plain), &plain);
    multus.thick.api.restart().unwrap();
    multus.settle(&plain);
    assert_eq!(undone, deleted);
    format!("{started}, ADD leaves {failed}; {deleted}")
}

/// Its daemon has ended.
fn without_daemon(multus: &mut Multus) -> String {
    let attached = multus.attached();
    multus.end_daemon();
    let deleted = multus.del(&attached);
    let left = Left::of(&attached);
    assert!(deleted.status.success());
    let plain = multus.pod(PLAIN);
    let started = start(&multus.call(&plain, "ADD").make());
    multus.restart_daemon();
    let later = left_by_next(multus, &attached);
    multus.settle(&attached);
    multus.settle(&plain);
    format!("{started}; DEL succeeds and leaves {left}, {later}")
}

/// A pod asks for what would need 400 MB. Nothing grows further than it may.
fn greedy(multus: &mut Multus) -> String {
    let plugins: Vec<_> = (0..PLUGINS).map(|_| json!({"type": "greedy"})).collect();
    multus.thick.network("greedy", &json!({"cniVersion": "1.0.0", "name": "greedy", "plugins": plugins}));
    let asked = json!([{"name": "greedy", "cni-args": {"x": "x".repeat(ARGUMENTS)}}]).to_string();
    let name = format!("greedy-{}", multus.side);
    let pod = multus.thick.pod(&name, &asked);
    let mut call = multus.call(&pod, "ADD").start();
    let pid = if multus.is_thick() { i32::try_from(multus.thick.pid()).unwrap() } else { call.pid() };
    let mut is_greedy = false;
    while !call.has_ended() {
        is_greedy |= peak(pid) > MEBIBYTES;
        if is_greedy {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let answer = call.wait();
    if multus.is_thick() {
        multus.end_daemon();
        multus.restart_daemon();
    }
    let links = kernel::links(&pod.netns).len();
    multus.settle(&pod);
    multus.thick.api.kubectl(&["delete", "pod", &name, "--grace-period=0", "--force"], None).unwrap();
    match is_greedy {
        true if multus.is_thick() => format!("its daemon takes more than {MEBIBYTES} MiB"),
        true => format!("it takes more than {MEBIBYTES} MiB"),
        false if answer.status.success() => "attached".to_owned(),
        false => format!("refused, with {links} interfaces made"),
    }
}

/// The most memory that the process had, in MiB.
fn peak(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    peak.split_whitespace().next().map_or(0, |kib| kib.parse::<u64>().unwrap() / 1024)
}
