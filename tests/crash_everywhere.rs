//! The plugin is killed before every system call that changes something: whatever comes next leaves nothing, and nothing twice.
//!
//! `tests/crash.rs` kills by the clock, and `tests/requests.rs` before each netlink request; here files, locks and
//! programs count, too. A normal run kills before every few changes; with `PLEXUS_PROVE` set it leaves none out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails that way")]

mod support;

use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use support::picture::Picture;
use support::{Answer, Call, Node, Pod, kernel};

/// More than any call needs.
const MANY: usize = 5000;
/// A normal run leaves out so many changes of a built-in plugin after each, and of programs.
const STEPS: [usize; 2] = [7, 13];

/// The call that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    Add,
    Del,
    Check,
    Status,
    Gc,
    Sweep,
}

/// What comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Del,
    /// The sandbox is gone before DEL comes.
    DelWithoutNetns,
    AddAndDel,
    Gc,
    Sweep,
}

/// A machine, and a pod on it that nobody may touch.
struct Case {
    name: &'static str,
    node: Node,
    networks: &'static str,
    /// Its bridge is made by every ADD anew.
    cold: bool,
    programs: bool,
    /// A link that is killed on its way into a pod stays in there until the pod ends: see `programs_that_move_links`.
    moves: bool,
    witness: Option<Pod>,
}

/// A picture without what changes by itself: the kernel says some time after a link is up that it runs.
fn settled(node: &Node, pod: &Pod) -> Picture {
    let mut picture = Picture::take(node, pod);
    picture.files.retain(|path, _| !is_temporary(Path::new(path)));
    for link in picture.pod[0].as_array_mut().into_iter().flatten() {
        let is_up = link["flags"].as_array().is_some_and(|flags| flags.contains(&"UP".into()));
        link["flags"] = json!({"UP": is_up});
        link["operstate"] = Value::Null;
        link["qdisc"] = Value::Null;
    }
    picture
}

fn network(name: &str, number: u8, more: &[Value]) -> Value {
    let bridge = json!({"type": "bridge", "bridge": name, "isGateway": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": format!("10.{number}.0.0/24")}]]}});
    let plugins: Vec<Value> = std::iter::once(bridge).chain(more.iter().cloned()).collect();
    json!({"cniVersion": "1.1.0", "name": name, "plugins": plugins})
}

impl Case {
    fn new(name: &'static str, natives: bool, cold: bool) -> Option<Self> {
        let mut node = Node::new()?;
        node.config["natives"] = json!(natives);
        support::keep_the_kernel_quiet();
        node.ip("link add master0 type veth peer name master1");
        node.ip("link set master0 up");
        node.ip("link set master1 up");
        node.primary(&network("br0", 1, &[]));
        let tuning = json!({"type": "tuning", "sysctl": {"net.ipv4.conf.IFNAME.arp_notify": "1"}});
        let chained = std::slice::from_ref(&tuning);
        node.network("default/more", &network("more", 2, if natives { &[] } else { chained }));
        node.network("default/chain", &network("more", 2, chained));
        let pool = json!({"type": "host-local", "ranges": [[{"subnet": "10.3.0.0/24"}]]});
        let mv = json!({"type": "macvlan", "master": "master0", "ipam": pool});
        node.network("default/mv", &json!({"cniVersion": "1.1.0", "name": "mv", "plugins": [mv]}));
        // What not every kernel has: see `ipvlan_and_vlan`.
        for (n, link) in [(4, json!({"type": "ipvlan"})), (5, json!({"type": "vlan", "vlanId": 100}))] {
            let mut link = link;
            link["master"] = json!("master0");
            link["ipam"] = json!({"type": "host-local", "ranges": [[{"subnet": format!("10.{n}.0.0/24")}]]});
            let name = link["type"].as_str().unwrap().to_owned();
            node.network(&format!("default/{name}"), &json!({"cniVersion": "1.1.0", "name": name, "plugins": [link]}));
        }
        let networks = if natives { "more,mv" } else { "more" };
        let witness = (!cold).then(|| {
            let witness = Pod::new(&node, "witness").selecting("more");
            witness.add().result();
            witness
        });
        Some(Case { name, node, networks, cold, programs: !natives, moves: false, witness })
    }

    fn picture(&self, pod: &Pod) -> Picture {
        if self.cold && kernel::host_links().contains(&"br0".to_owned()) {
            self.node.ip("link delete br0");
        }
        if self.cold && kernel::host_links().contains(&"more".to_owned()) {
            self.node.ip("link delete more");
        }
        let mut picture = Picture::take(&self.node, self.witness.as_ref().unwrap_or(pod));
        picture.files.retain(|path, _| !is_temporary(Path::new(path)));
        picture
    }

    /// Files that were being written when the plugin was killed go with a sweep a day later.
    fn temporary_files_go(&self) {
        let left: Vec<PathBuf> = self.temporary_files();
        for path in &left {
            let a_day_ago = SystemTime::now() - Duration::from_secs(25 * 3600);
            File::options().write(true).open(path).unwrap().set_modified(a_day_ago).unwrap();
        }
        Call::of_node(&self.node, "GC").sweep();
        assert_eq!(self.temporary_files(), [""; 0].map(PathBuf::from), "{}", self.name);
        support::say(&format!("{}: a sweep removed {} temporary files", self.name, left.len()));
    }

    fn temporary_files(&self) -> Vec<PathBuf> {
        let (state, run) = (self.node.state(), self.node.run());
        let folders = [state.path().to_owned(), state.sandboxes(), state.networks(), run.due(), run.unpublished()];
        let files = folders.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        files.map(|file| file.path()).filter(|path| is_temporary(path)).collect()
    }

    fn gc(&self) -> Call {
        let valid: Vec<Value> =
            self.witness.iter().map(|pod| json!({"containerID": pod.id, "ifname": pod.ifname})).collect();
        Call::of_node(&self.node, "GC").configured("cni.dev/valid-attachments", json!(valid))
    }

    /// One kill; answers how many changes the call made, and whether it was killed.
    fn kill(&self, verb: Killed, then: Then, number: usize) -> (usize, bool) {
        let pod = Pod::new(&self.node, &format!("p{number}")).selecting(self.networks);
        support::keep_the_sandbox_quiet(&pod);
        let before = self.picture(&pod);
        if verb != Killed::Add {
            pod.add().result();
        }
        let ends = verb == Killed::Sweep || matches!(then, Then::Sweep | Then::DelWithoutNetns);
        let mut ended = verb == Killed::Sweep;
        if ended {
            support::sweeping::age(&self.node, &pod);
            pod.end_sandbox();
        }
        // Neither changes anything.
        let attached = matches!(verb, Killed::Check | Killed::Status).then(|| settled(&self.node, &pod));
        let (answer, changes) = match verb {
            Killed::Add => pod.call("ADD").killed_at(number),
            Killed::Del => pod.call("DEL").killed_at(number),
            Killed::Check => pod.call("CHECK").configured("prevResult", json!(null)).killed_at(number),
            Killed::Status => Call::of_node(&self.node, "STATUS").killed_at(number),
            Killed::Gc => self.gc().killed_at(number),
            Killed::Sweep => Call::of_node(&self.node, "GC").killed_as(number, |command| _ = command.arg("sweep")),
        };
        let of = format!(
            "{}: {verb:?} killed before change {number} ({:?}), then {then:?}",
            self.name,
            changes.get(number - 1)
        );
        // GC and a sweep pass over a sandbox in which a call works.
        self.node.quiet();
        if changes.len() < number {
            assert!(answer.status.success(), "{of}: {answer:?}");
        }
        if let Some(attached) = attached {
            assert_eq!(settled(&self.node, &pod).difference(&attached), "", "{of}");
        }
        if ends && !ended {
            if pod.record(&self.node).is_some() {
                support::sweeping::age(&self.node, &pod);
            }
            pod.end_sandbox();
            ended = true;
        }
        self.follow(&pod, then, &of);
        if !ended {
            let mut left = kernel::links(&pod.netns);
            if self.moves {
                left.retain(|link| !is_on_its_way(&pod, link));
            }
            assert_eq!(left, [""; 0], "{of}");
        }
        if !ended && self.moves {
            pod.end_sandbox();
            ended = true;
        }
        // The kernel takes an ended namespace apart in its own time.
        let difference = || self.picture(&pod).difference(&before);
        support::wait_until(|| difference().is_empty(), || format!("{of}:{}", difference()));
        if !ended {
            pod.end_sandbox();
        }
        (changes.len(), answer.status.signal() == Some(9))
    }

    fn follow(&self, pod: &Pod, then: Then, of: &str) {
        let silent = |answer: Answer| assert!(answer.status.success() && answer.stdout.is_empty(), "{of}: {answer:?}");
        match then {
            Then::Del => silent(pod.del()),
            Then::DelWithoutNetns => silent(pod.del_without_netns()),
            Then::AddAndDel => {
                // What the killed one has begun is not begun again.
                let again = pod.add();
                assert!(again.status.success() || again.error().code == 102, "{of}: {again:?}");
                silent(pod.del());
            }
            Then::Gc => silent(self.gc().make()),
            Then::Sweep => _ = Call::of_node(&self.node, "GC").sweep(),
        }
        if let Some(witness) = &self.witness {
            let check = witness.call("CHECK").configured("prevResult", json!(null));
            silent(check.make());
        }
    }

    fn every_change(&self, verb: Killed, then: Then) {
        // What is made once and stays: pools, forwarding, bridges.
        let pod = Pod::new(&self.node, "first").selecting(self.networks);
        pod.add().result();
        pod.del().silence();
        pod.end_sandbox();
        let few = matches!(verb, Killed::Check | Killed::Status);
        let short = few || !self.programs && matches!(verb, Killed::Gc | Killed::Sweep);
        let step =
            if short || std::env::var_os("PLEXUS_PROVE").is_some() { 1 } else { STEPS[usize::from(self.programs)] };
        // Change 1 is execve(2) itself. What a child does when the plugin has ended kills nobody.
        let (mut number, mut kills) = (2, 0);
        while number < MANY {
            let (changes, was_killed) = self.kill(verb, then, number);
            if changes < number {
                assert!(kills > 0);
                support::say(&format!("{}: {verb:?} then {then:?}: {kills} kills before {changes} changes", self.name));
                support::tally(kills, &format!("kills: plugin, {verb:?}"));
                return;
            }
            kills += usize::from(was_killed);
            number += step;
        }
        panic!("{}: {verb:?} has no end", self.name);
    }
}

/// Whether it is a file that was not put in its place yet.
fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Runs `pairs` on the machine that `make` enters.
fn kill_everywhere(name: &'static str, natives: bool, cold: bool, pairs: &[(Killed, Then)]) {
    let Some(case) = Case::new(name, natives, cold) else { return };
    for (verb, then) in pairs {
        case.every_change(*verb, *then);
    }
    case.temporary_files_go();
}

#[test]
fn add_of_built_in_plugins() {
    // FAULT-1, FAULT-40
    let pairs = [Then::Del, Then::DelWithoutNetns, Then::AddAndDel, Then::Gc, Then::Sweep];
    kill_everywhere("built-in", true, false, &pairs.map(|then| (Killed::Add, then)));
}

#[test]
fn del_of_built_in_plugins() {
    // FAULT-2
    let pairs = [Then::Del, Then::DelWithoutNetns, Then::Gc, Then::Sweep];
    kill_everywhere("built-in", true, false, &pairs.map(|then| (Killed::Del, then)));
}

#[test]
fn check_and_status() {
    let pairs = [
        (Killed::Check, Then::Del),
        (Killed::Check, Then::DelWithoutNetns),
        (Killed::Check, Then::Gc),
        (Killed::Status, Then::Del),
        (Killed::Status, Then::Sweep),
    ];
    kill_everywhere("built-in", true, false, &pairs);
    kill_everywhere("programs", false, false, &[(Killed::Check, Then::Del), (Killed::Status, Then::Gc)]);
}

#[test]
fn gc_and_sweep_of_built_in_plugins() {
    // FAULT-2, FAULT-18
    let pairs = [
        (Killed::Gc, Then::Gc),
        (Killed::Gc, Then::Del),
        (Killed::Sweep, Then::Sweep),
        (Killed::Sweep, Then::DelWithoutNetns),
    ];
    kill_everywhere("built-in", true, false, &pairs);
}

#[test]
fn calls_that_make_their_bridges() {
    // FAULT-1, FAULT-2
    kill_everywhere(
        "cold",
        true,
        true,
        &[(Killed::Add, Then::Del), (Killed::Add, Then::AddAndDel), (Killed::Del, Then::Del)],
    );
}

#[test]
fn programs_that_make_their_bridges() {
    // FAULT-1, FAULT-2
    kill_everywhere("cold programs", false, true, &[(Killed::Add, Then::Del), (Killed::Del, Then::Del)]);
}

#[test]
fn chains_of_a_built_in_plugin_and_a_program() {
    // FAULT-1, FAULT-2, FAULT-34
    let Some(case) = Case::new("chain", true, false) else { return };
    let case = Case { networks: "chain", ..case };
    for (verb, then) in [(Killed::Add, Then::Del), (Killed::Add, Then::Gc), (Killed::Del, Then::Del)] {
        case.every_change(verb, then);
    }
    case.temporary_files_go();
}

/// The reference programs `macvlan` and `ipvlan` give a link its name after they moved it into the pod. If they are killed
/// between both, its name is random, and nobody can know that it is theirs. It has no address, and ends with the pod.
fn is_on_its_way(pod: &Pod, link: &str) -> bool {
    let name = link.strip_prefix("veth").or_else(|| link.strip_prefix("temp"));
    let is_random = name.is_some_and(|name| name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_random && kernel::addresses(&pod.netns, link).is_empty()
}

/// A machine for `networks`, or none where the kernel lacks what they are made of.
fn with_links(name: &'static str, natives: bool, networks: &'static str, links: &[&str]) -> Option<Case> {
    let case = Case::new(name, natives, false)?;
    for link in links {
        if !kernel::makes(&format!("link add probe link master0 {link}")) {
            support::say(&format!("SKIP {name}: the kernel has no {link}"));
            return None;
        }
    }
    Some(Case { networks, moves: !natives, ..case })
}

#[test]
fn macvlan_as_a_program() {
    // FAULT-1, FAULT-2
    let Some(case) = with_links("macvlan as a program", false, "mv", &[]) else { return };
    case.every_change(Killed::Add, Then::Del);
    case.every_change(Killed::Del, Then::Del);
    case.temporary_files_go();
}

/// `e2e/kernel/run` runs it on a kernel that has both.
#[test]
fn ipvlan_and_vlan() {
    // FAULT-1, FAULT-2
    let links = ["type ipvlan", "type vlan id 4000"];
    let Some(case) = with_links("ipvlan and vlan", true, "ipvlan,vlan", &links) else { return };
    for then in [Then::Del, Then::DelWithoutNetns, Then::Sweep] {
        case.every_change(Killed::Add, then);
    }
    for then in [Then::Del, Then::Gc] {
        case.every_change(Killed::Del, then);
    }
    case.temporary_files_go();
}

/// `e2e/kernel/run` runs it on a kernel that has both.
#[test]
fn ipvlan_and_vlan_as_programs() {
    // FAULT-1, FAULT-2
    let links = ["type ipvlan", "type vlan id 4000"];
    let Some(case) = with_links("ipvlan and vlan as programs", false, "ipvlan,vlan", &links) else { return };
    case.every_change(Killed::Add, Then::Del);
    case.every_change(Killed::Del, Then::Del);
    case.temporary_files_go();
}

#[test]
fn add_of_programs() {
    // FAULT-1, FAULT-34, FAULT-40
    kill_everywhere("programs", false, false, &[(Killed::Add, Then::Del), (Killed::Add, Then::Gc)]);
}

#[test]
fn del_gc_and_sweep_of_programs() {
    // FAULT-2
    kill_everywhere(
        "programs",
        false,
        false,
        &[(Killed::Del, Then::Del), (Killed::Gc, Then::Gc), (Killed::Sweep, Then::Sweep)],
    );
}
