//! A machine, a pod on it, a kill, and what must hold afterwards.

use crate::support::changes::{Author, Change};
use crate::support::picture::Picture;
use crate::support::{self, Answer, Call, Node, Pod, kernel};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// More than any call needs.
const MANY: usize = 5000;
/// A normal run leaves out so many changes of a built-in plugin after each, and of programs.
const STEPS: [usize; 2] = [7, 13];

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The plugin itself, and by it what it has started.
    Plugin,
    /// Its child that waits until links are gone, alone: before its request, and before what the plugin does meanwhile.
    Teardown,
    /// The sweep that a call starts after its answer.
    FollowUp,
    /// A CNI plugin that Plexus has started, alone: before each change of it and of what it has started.
    Program,
}

impl Victim {
    /// Decides of each change whether it counts, and who is killed before it.
    fn chooses(self) -> impl FnMut(Change) -> Option<i32> + Send + 'static {
        let mut teardown = None;
        move |change| match (self, change.author()) {
            (Victim::Teardown, Author::Teardown(child)) => {
                teardown = Some(child);
                teardown
            }
            (Victim::Teardown, Author::Plugin) => teardown.filter(|child| works(*child)),
            (Victim::FollowUp, Author::FollowUp(process)) | (Victim::Program, Author::Program(process)) => {
                Some(process)
            }
            _ => None,
        }
    }
}

/// Whether a process has not ended yet; its parent may not have taken note of the end.
fn works(process: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains(['Z', 'X']))
}

/// The call that is killed, or whose child or program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    Add,
    Del,
    Check,
    Status,
    Gc,
    Sweep,
}

/// What comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Del,
    /// The sandbox is gone before DEL comes.
    DelWithoutNetns,
    AddAndDel,
    Gc,
    Sweep,
}

/// A machine, and a pod on it that nobody may touch.
pub struct Case {
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
    pub fn new(name: &'static str, natives: bool, cold: bool) -> Option<Self> {
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

    /// With pods of other networks.
    pub fn of_networks(self, networks: &'static str) -> Self {
        Case { networks, ..self }
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
    pub fn temporary_files_go(&self) {
        let left: Vec<PathBuf> = self.temporary_files();
        for path in &left {
            let a_day_ago = SystemTime::now() - Duration::from_secs(25 * 3600);
            File::options().write(true).open(path).unwrap().set_modified(a_day_ago).unwrap();
        }
        Call::of_node(&self.node, "GC").sweep();
        assert_eq!(self.temporary_files(), [""; 0].map(PathBuf::from), "{}", self.name);
        support::say(&format!("{}: a sweep removed {} temporary files", self.name, left.len()));
    }

    /// The reference program `host-local` makes the file of an address, and writes then who has it. If the program that started it
    /// is killed between both, so is `host-local`, and no call of the program removes a file without an owner. A sweep does, after
    /// ten minutes.
    fn ownerless_lease_goes(&self, of: &str) {
        let left = ownerless_leases();
        assert!(left.len() <= 1, "{of}: {left:?}");
        let Some(lease) = left.first() else { return };
        let before = SystemTime::now() - Duration::from_secs(601);
        File::options().write(true).open(lease).unwrap().set_modified(before).unwrap();
        Call::of_node(&self.node, "GC").sweep();
        assert_eq!(ownerless_leases(), [""; 0].map(PathBuf::from), "{of}: after a sweep");
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

    /// The call of which somebody is killed.
    fn call(&self, verb: Killed, pod: &Pod) -> Call {
        match verb {
            Killed::Add => pod.call("ADD"),
            Killed::Del => pod.call("DEL"),
            Killed::Check => pod.call("CHECK").configured("prevResult", json!(null)),
            Killed::Status => Call::of_node(&self.node, "STATUS"),
            Killed::Gc => self.gc(),
            Killed::Sweep => Call::of_node(&self.node, "GC"),
        }
    }

    /// Makes the call, and kills `victim` before its change `number`; answers the changes that count, and whether it was killed.
    fn call_killed(&self, victim: Victim, verb: Killed, pod: &Pod, number: usize) -> (Answer, Vec<&'static str>, bool) {
        let call = self.call(verb, pod);
        let prepare = |command: &mut Command| {
            if verb == Killed::Sweep {
                command.arg("sweep");
            }
        };
        if victim == Victim::Plugin {
            let (answer, changes) = call.killed_as(number, prepare);
            let was_killed = answer.status.signal() == Some(9);
            return (answer, changes, was_killed);
        }
        if victim == Victim::FollowUp {
            support::sweeping::last_sweep(700);
        }
        let (answer, changes) = call.other_killed_at(number, victim.chooses(), prepare);
        // What comes next starts none: the sweep that was killed may have been about to note that it begins.
        support::sweeping::last_sweep(0);
        let was_killed = changes.len() >= number;
        (answer, changes, was_killed)
    }

    /// What a call answers of which somebody else was killed.
    fn answers(victim: Victim, verb: Killed, answer: &Answer, of: &str) {
        let status = answer.status;
        match (victim, verb) {
            (Victim::Plugin, _) => {}
            // The plugin does itself what its child has not done.
            (Victim::Teardown | Victim::FollowUp, _) => assert!(status.success(), "{of}: {answer:?}"),
            (Victim::Program, Killed::Add) => {
                assert!(status.code() == Some(1) && answer.stdout.contains("killed by signal 9"), "{of}: {answer:?}");
            }
            // What could not be deleted is told, or is owed.
            (Victim::Program, _) => assert!(status.signal().is_none(), "{of}: {answer:?}"),
        }
    }

    /// One kill; answers how many changes were made that count, and whether the victim was killed.
    fn kill(&self, victim: Victim, verb: Killed, then: Then, number: usize) -> (usize, bool) {
        let pod = Pod::new(&self.node, &format!("p{number}")).selecting(self.networks);
        support::keep_the_sandbox_quiet(&pod);
        let before = self.picture(&pod);
        if verb != Killed::Add {
            pod.add().result();
        }
        let sweeps = verb == Killed::Sweep || victim == Victim::FollowUp;
        let ends = sweeps || matches!(then, Then::Sweep | Then::DelWithoutNetns);
        let mut ended = sweeps;
        if ended {
            support::sweeping::age(&self.node, &pod);
            pod.end_sandbox();
        }
        // Neither changes anything.
        let attached = (!ended && matches!(verb, Killed::Check | Killed::Status)).then(|| settled(&self.node, &pod));
        let (answer, changes, was_killed) = self.call_killed(victim, verb, &pod, number);
        let change = changes.get(number - 1);
        let of =
            format!("{}: {victim:?} killed in {verb:?} before change {number} ({change:?}), then {then:?}", self.name);
        if was_killed {
            Case::answers(victim, verb, &answer, &of);
        }
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
        if victim == Victim::Program {
            self.ownerless_lease_goes(&of);
        }
        // The kernel takes an ended namespace apart in its own time.
        let difference = || self.picture(&pod).difference(&before);
        support::wait_until(|| difference().is_empty(), || format!("{of}:{}", difference()));
        if !ended {
            pod.end_sandbox();
        }
        (changes.len(), was_killed)
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

    pub fn every_change(&self, verb: Killed, then: Then) {
        let few = matches!(verb, Killed::Check | Killed::Status);
        let short = few || !self.programs && matches!(verb, Killed::Gc | Killed::Sweep);
        let step = if short { 1 } else { STEPS[usize::from(self.programs)] };
        // Change 1 is execve(2) itself. What a child does when the plugin has ended kills nobody.
        let (kills, changes) = self.each(Victim::Plugin, verb, then, 2, step);
        support::say(&format!("{}: {verb:?} then {then:?}: {kills} kills before {changes} changes", self.name));
        support::tally(kills, &format!("kills: plugin, {verb:?}"));
    }

    /// As [`Case::every_change`], of somebody who is killed alone; counted as `what`.
    pub fn every_change_of(&self, victim: Victim, verb: Killed, then: Then, step: usize, what: &str) {
        let (kills, changes) = self.each(victim, verb, then, 1, step);
        support::say(&format!("{}: {victim:?}, {verb:?} then {then:?}: {kills} kills, {changes} changes", self.name));
        support::tally(kills, &format!("kills: {what}"));
    }

    /// Kills before every `step`th change from `first` on, and with `PLEXUS_PROVE` before each; answers how many were killed, and
    /// how many changes there are.
    fn each(&self, victim: Victim, verb: Killed, then: Then, first: usize, step: usize) -> (usize, usize) {
        // What is made once and stays: pools, forwarding, bridges.
        let pod = Pod::new(&self.node, "first").selecting(self.networks);
        pod.add().result();
        pod.del().silence();
        pod.end_sandbox();
        let step = if std::env::var_os("PLEXUS_PROVE").is_some() { 1 } else { step };
        let (mut number, mut kills) = (first, 0);
        while number < MANY {
            let (changes, was_killed) = self.kill(victim, verb, then, number);
            if changes < number {
                assert!(kills > 0, "{}: {victim:?} was never killed in {verb:?}", self.name);
                return (kills, changes);
            }
            kills += usize::from(was_killed);
            number += step;
        }
        panic!("{}: {verb:?} has no end", self.name);
    }
}

/// The files of addresses that nobody owns.
fn ownerless_leases() -> Vec<PathBuf> {
    let files = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_lease = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"10."));
    let is_ownerless = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() == 0);
    let pools: Vec<PathBuf> = files(Path::new("/var/lib/cni/networks")).collect();
    pools.iter().flat_map(|pool| files(pool)).filter(|path| is_lease(path) && is_ownerless(path)).collect()
}

/// Whether it is a file that was not put in its place yet.
fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Runs `pairs` on the machine that `make` enters.
pub fn kill_everywhere(name: &'static str, natives: bool, cold: bool, pairs: &[(Killed, Then)]) {
    let Some(case) = Case::new(name, natives, cold) else { return };
    for (verb, then) in pairs {
        case.every_change(*verb, *then);
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
pub fn with_links(name: &'static str, natives: bool, networks: &'static str, links: &[&str]) -> Option<Case> {
    let case = Case::new(name, natives, false)?;
    for link in links {
        if !kernel::makes(&format!("link add probe link master0 {link}")) {
            support::say(&format!("SKIP {name}: the kernel has no {link}"));
            return None;
        }
    }
    Some(Case { networks, moves: !natives, ..case })
}
