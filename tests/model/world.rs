//! The machine on which a run happens: networks, steered plugins, the disk, the daemon.

use crate::daemon;
use crate::op::{CHAINED, Daemon, Mood, NETWORKS, Op, STUBS};
use crate::primary::Primary;
use crate::support::{Answer, Call, Node, Pod, kernel, node};
use crate::trouble::{Expected, GATE_PROGRAM};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// Where the steered plugins are at first.
const PLUGINS: &str = "/run/node/plugins-";
/// What they have made: one file for each attachment.
pub const MARKS: &str = "/var/lib/marks";
/// How they are steered.
const MOODS: &str = "/var/lib/moods";
/// Where they say that a sandbox was not locked.
const UNLOCKED: &str = "/var/lib/moods/unlocked";
/// A network that is too much.
pub const GREEDY: &str = "greedy";
/// Where the plugins of former releases are.
const FORMER: &str = "/run/node/former-";
/// A file that fills the disk of the records.
const BALLAST: &str = "/var/lib/plexus/ballast";

/// A plugin that makes a mark for each attachment and takes it away again; `result` takes it away by the result of ADD
/// alone, as `firewall` does.
/// What runs in a sandbox says where that is not locked.
const STUB: &str = r#"#!/bin/sh
name=${0##*/}
lock=/run/plexus/locks/$CNI_CONTAINERID.lock
[ -n "$CNI_CONTAINERID" ] && { [ ! -e "$lock" ] || flock -n "$lock" true; } && echo "$CNI_COMMAND of $name in $CNI_CONTAINERID" >>/var/lib/moods/unlocked
stdin=
while IFS= read -r line || [ -n "$line" ]; do stdin=$stdin$line; done
mood=Well
[ -e /var/lib/moods/$name.$CNI_COMMAND ] && read -r mood </var/lib/moods/$name.$CNI_COMMAND
fail() { echo '{"cniVersion":"1.1.0","code":100,"msg":"told to fail"}'; exit 1; }
mark=/var/lib/marks/$name/$CNI_CONTAINERID.$CNI_IFNAME
[ "$mood" = Fails ] && fail
case $CNI_COMMAND in
ADD) [ $name = first ] || : >"$mark" || fail ;;
DEL)
    case $name$stdin in
    result*prevResult*|mark*|chain*) rm -f "$mark" ;;
    esac ;;
CHECK) [ $name = first ] || [ -e "$mark" ] || fail ;;
esac
[ "$mood" = FailsLate ] && fail
[ "$mood" = Cancelled ] && { kill -9 $PPID; exit 1; }
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.1.0"}'
exit 0
"#;

/// The machine and its faults.
pub struct World {
    pub node: Node,
    pub full: bool,
    pub read_only: bool,
    pub daemon: Daemon,
    pub gone: Vec<usize>,
    moods: Vec<(usize, usize, Mood)>,
    /// How often the folder of the plugins was moved.
    pub moved: usize,
    /// Which default network the node has, and how often that was exchanged.
    pub primary: Primary,
    pub replaced: usize,
    /// How often the NAD of each network was edited.
    edited: [usize; NETWORKS.len()],
    boots: usize,
    /// How many former releases there are.
    formers: usize,
    server: daemon::Server,
    /// A process group that is none of ours.
    stranger: Child,
    /// What must be seen while the default network has a trouble.
    pub trouble: Option<Expected>,
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have been killed.
        let _ = self.stranger.kill();
        let _ = self.stranger.wait();
    }
}

/// Something that runs beside the machine, in a process group of its own.
fn stranger() -> Child {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sleep", "86400"]).process_group(0);
    // SAFETY: prctl(2) is async-signal-safe.
    unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
    command.spawn().unwrap()
}

/// Puts the plugins of the folders in `PLEXUS_FORMER` on the machine, and answers how many these are.
fn formers() -> usize {
    let folders = std::env::var("PLEXUS_FORMER").unwrap_or_default();
    let folders = folders.split(':').filter(|folder| !folder.is_empty());
    folders.fold(0, |number, folder| {
        let plugin = fs::File::open(Path::new(folder).join("plexus")).unwrap();
        let place = format!("{FORMER}{}", number + 1);
        fs::create_dir(&place).unwrap();
        node::bind(&plugin, &Path::new(&place).join("plexus")).unwrap();
        number + 1
    })
}

pub fn bridge(name: &str, subnets: &[&str]) -> Value {
    let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    json!({"type": "bridge", "bridge": name, "isGateway": true, "ipam": {"type": "host-local", "ranges": ranges}})
}

/// The configuration of an additional network.
fn network(name: &str) -> Value {
    let plugins = match name {
        "br1" => json!([bridge("br1", &["10.61.0.0/24"])]),
        // Five addresses: it is used up.
        "small" => json!([bridge("br2", &["10.62.0.0/29"])]),
        "dual" => json!([bridge("br3", &["10.63.0.0/24", "fd00:63::/64"])]),
        "mv" => json!([{"type": "macvlan", "master": "master0",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.64.0.0/24"}]]}}]),
        // A key that no built-in plugin knows: the program runs.
        "program" => {
            let mut program = bridge("br5", &["10.65.0.0/24"]);
            program["unheardOf"] = json!(true);
            json!([program])
        }
        // What is killed while the second one works is deleted by the result of the first.
        "result" => json!([{"type": "first"}, {"type": "result"}]),
        // A built-in plugin looks into the sandbox before the steered one runs, when it is deleted.
        CHAINED => json!([{"type": CHAINED}, bridge("br6", &["10.66.0.0/24"])]),
        // With the arguments of a pod in each of them more than a node has.
        GREEDY => vec![json!({"type": "mark"}); 2000].into(),
        stub => json!([{"type": stub}]),
    };
    json!({"cniVersion": "1.1.0", "name": name, "plugins": plugins})
}

impl World {
    pub fn new() -> Option<Self> {
        let node = Node::new()?;
        crate::support::keep_the_kernel_quiet();
        let marks = STUBS.map(|stub| format!("{MARKS}/{stub}"));
        let folders = [MOODS, "/var/lib/plexus", "/run/node/plugins-0"].into_iter();
        for folder in folders.chain(marks.iter().map(String::as_str)) {
            fs::create_dir_all(folder).unwrap();
        }
        node::tmpfs(Path::new("/var/lib/plexus"), "mode=700,size=2m").unwrap();
        for stub in STUBS.into_iter().chain(["first"]) {
            node::write_program(&Path::new("/run/node/plugins-0").join(stub), STUB);
        }
        node::write_program(Path::new("/run/node/plugins-0/gate"), GATE_PROGRAM);
        let program = fs::File::open(node.bin().join("plexus")).unwrap();
        node::bind(&program, Path::new("/run/node/plugins-0/plexus")).unwrap();
        let mut world = World {
            node,
            full: false,
            read_only: false,
            daemon: Daemon::Away,
            gone: Vec::new(),
            moods: Vec::new(),
            moved: 0,
            primary: Primary::Usual,
            replaced: 0,
            edited: [0; NETWORKS.len()],
            boots: 0,
            formers: formers(),
            server: daemon::Server::new(),
            stranger: stranger(),
            trouble: None,
        };
        world.node.config["daemonTimeoutSeconds"] = json!(0.3);
        world.node.config["publishTimeoutSeconds"] = json!(0.1);
        world.links();
        world.default_network();
        for number in 0..NETWORKS.len() {
            world.nad(number);
        }
        world.node.network(&format!("default/{GREEDY}"), &network(GREEDY));
        Some(world)
    }

    fn links(&self) {
        self.node.ip("link add master0 type veth peer name master1");
        self.node.ip("link set master0 up");
        self.node.ip("link set master1 up");
    }

    fn nad(&self, number: usize) {
        let name = NETWORKS[number];
        let mut config = network(name);
        let edited = self.edited[number];
        for plugin in config["plugins"].as_array_mut().unwrap() {
            // A key that the plugin acts on, or one that it does not know.
            match plugin["type"].as_str() {
                Some("bridge" | "macvlan") if edited > 0 => plugin["mtu"] = json!(1500 - 10 * (edited % 5)),
                Some(stub) if STUBS.contains(&stub) => plugin["edited"] = json!(edited),
                _ => {}
            }
        }
        self.node.network(&format!("default/{name}"), &config);
    }

    /// The folders of plugins, as the runtime hands them over now.
    pub fn path(&self) -> String {
        format!("{PLUGINS}{}:{}", self.moved, self.node.bin().display())
    }

    /// The plugin answers STATUS by `lie`, and every other call as it does.
    pub fn answers_status_by(&self, lie: &str) {
        let plugin = self.node.bin().join("plexus");
        let text =
            format!("#!/bin/sh\n[ \"$CNI_COMMAND\" = STATUS ] && {{ {lie}; }}\nexec {} \"$@\"\n", plugin.display());
        node::write_program(Path::new("/run/node/plugins-0/plexus"), &text);
    }

    /// A call of the runtime, with the folders of now.
    pub fn call(&self, call: Call) -> Call {
        call.env("CNI_PATH", self.path()).of_program(Path::new(&format!("{PLUGINS}{}/plexus", self.moved)))
    }

    /// The release that makes call `number`: this one (0), or a former one. Only this one meets faults: a former release has
    /// those that were mended since.
    pub fn release(&self, number: usize) -> usize {
        let is_calm = self.is_well() && matches!(self.daemon, Daemon::Away | Daemon::Answers);
        if is_calm { number % (1 + self.formers) } else { 0 }
    }

    /// As [`World::call`], made by `release`.
    pub fn call_of(&self, release: usize, call: Call) -> Call {
        let call = self.call(call);
        if release == 0 { call } else { call.of_program(Path::new(&format!("{FORMER}{release}/plexus"))) }
    }

    pub fn mood(&self, stub: &str, verb: usize) -> Mood {
        let stub = STUBS.iter().position(|name| *name == stub).unwrap();
        self.moods.iter().rev().find(|(s, v, _)| (*s, *v) == (stub, verb)).map_or(Mood::Well, |(_, _, mood)| *mood)
    }

    /// Whether `name` is a steered plugin that does not just work on `verb`.
    pub fn moody(&self, name: &str, verb: usize) -> bool {
        STUBS.contains(&name) && self.mood(name, verb) != Mood::Well
    }

    /// Whether every plugin works, and the disk of the records.
    pub fn is_well(&self) -> bool {
        let moods = STUBS.iter().all(|stub| [0, 1].iter().all(|verb| !self.moody(stub, *verb)));
        moods && !self.full && !self.read_only
    }

    /// Whether `op` would make something worse: it may be as it wants it already, or end a fault.
    pub fn is_fault(&self, op: &Op) -> bool {
        match op {
            Op::Mood { mood, .. } => *mood != Mood::Well,
            Op::Daemon(daemon) => *daemon != Daemon::Answers && *daemon != self.daemon,
            Op::DiskFull(full) => *full && !self.full,
            Op::ReadOnly(on) => *on && !self.read_only,
            Op::NadGone { network } => !self.gone.contains(network),
            _ => true,
        }
    }

    /// A fault, or its end.
    pub fn change(&mut self, op: &Op) {
        match op {
            Op::Mood { stub, verb, mood } => {
                self.moods.push((*stub, *verb, *mood));
                let file = format!("{MOODS}/{}.{}", STUBS[*stub], ["ADD", "DEL"][*verb]);
                fs::write(file, format!("{mood:?}\n")).unwrap();
            }
            Op::Daemon(daemon) => {
                self.daemon = *daemon;
                self.server.become_(*daemon);
            }
            Op::DiskFull(full) => self.fill(*full),
            Op::ReadOnly(on) => self.remount(*on),
            Op::NadGone { network } => {
                self.writable(|| {
                    let nad = plexus::nad::NadRef::new("default", NETWORKS[*network]).unwrap();
                    // It may be gone already.
                    let _ = fs::remove_file(plexus::api::StateDirectory::default().network(&nad));
                });
                self.gone.push(*network);
            }
            Op::NadBack { network } => {
                self.edited[*network] += 1;
                let full = self.full;
                self.fill(false);
                self.writable(|| self.nad(*network));
                self.fill(full);
                self.gone.retain(|gone| gone != network);
            }
            Op::DefaultReplaced(primary) => {
                self.replaced += 1;
                self.primary = *primary;
                self.default_network();
            }
            Op::PluginsMoved => {
                fs::rename(format!("{PLUGINS}{}", self.moved), format!("{PLUGINS}{}", self.moved + 1)).unwrap();
                self.moved += 1;
            }
            other => panic!("{other:?} is no fault"),
        }
    }

    /// The process groups that notes of locks name, all of which have ended, are the stranger's by now. Answers how many.
    pub fn reuse_numbers(&self) -> usize {
        let mut notes = 0;
        for lock in fs::read_dir("/run/plexus/locks").into_iter().flatten().flatten() {
            let note = fs::read_to_string(lock.path()).unwrap_or_default();
            let numbers: Vec<&str> = note.split_ascii_whitespace().collect();
            if numbers.len() >= 3 && numbers.iter().all(|number| number.parse::<u64>().is_ok()) {
                fs::write(lock.path(), format!("{} {} {}", numbers[0], numbers[1], self.stranger.id())).unwrap();
                notes += 1;
            }
        }
        notes
    }

    /// What was done to others: a process of somebody else that was killed, a plugin that ran in a sandbox without its lock.
    pub fn harm(&mut self) -> Option<String> {
        if let Some(status) = self.stranger.try_wait().unwrap() {
            return Some(format!("a process that is none of ours has ended: {status}"));
        }
        if let Ok(unlocked) = fs::read_to_string(UNLOCKED) {
            return Some(format!("a plugin ran while its sandbox was not locked: {}", unlocked.trim()));
        }
        // Nobody waits for a detached sweep; how it ended is in its log.
        let log = fs::read_to_string("/run/plexus/sweep.log").unwrap_or_default();
        let violation = log.lines().find(|line| line.contains("fatal runtime error") || line.contains("panicked"))?;
        Some(format!("a sweep was aborted: {violation}"))
    }

    /// What a former build did is not told: a sweep of f5a2908 runs a plugin without the lock where a DEL was killed before. With
    /// this build in its place the same run holds.
    pub fn forgive_unlocked(&self) {
        // Nothing may have run unlocked.
        let _ = fs::remove_file(UNLOCKED);
    }

    fn fill(&mut self, full: bool) {
        if full == self.full {
            return;
        }
        self.full = full;
        self.writable(|| {
            // As much as goes: the last write fails.
            let _ = if full { fs::write(BALLAST, vec![b'x'; 4 << 20]) } else { fs::remove_file(BALLAST) };
        });
    }

    fn remount(&mut self, read_only: bool) {
        self.read_only = read_only;
        let flags = if read_only { MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY } else { MsFlags::MS_REMOUNT };
        remount(flags);
    }

    /// Does what a test does to the disk, whatever the plugin may do there.
    pub fn writable(&self, work: impl FnOnce()) {
        let flags = MsFlags::MS_REMOUNT;
        remount(flags);
        work();
        if self.read_only {
            remount(flags | MsFlags::MS_RDONLY);
        }
    }

    /// All faults end; what they did stays.
    pub fn recover(&mut self) {
        for stub in 0..STUBS.len() {
            [0, 1].iter().for_each(|verb| self.change(&Op::Mood { stub, verb: *verb, mood: Mood::Well }));
        }
        self.remount(false);
        self.fill(false);
        self.change(&Op::Daemon(Daemon::Away));
    }

    /// The machine starts again: links, namespaces and all of `/run/plexus` are gone.
    pub fn reboot(&mut self, pods: &[&Pod]) {
        for pod in pods {
            pod.end_sandbox();
        }
        crate::support::eventually("the links of ended namespaces to go", || veths().is_empty());
        for link in kernel::host_links() {
            if kernel::host_links().contains(&link) {
                self.node.ip(&format!("link delete {link}"));
            }
        }
        self.links();
        for entry in fs::read_dir("/run/plexus").unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
        self.boots += 1;
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        // The kernel's identifier cannot be another: what was written becomes that of an earlier boot.
        let before = format!("00000000-0000-4000-8000-{:012}", self.boots);
        let full = self.full;
        self.fill(false);
        self.writable(|| {
            for entry in fs::read_dir("/var/lib/plexus/sandboxes").into_iter().flatten().flatten() {
                let text = fs::read(entry.path()).unwrap();
                fs::write(entry.path(), replaced(&text, id.trim().as_bytes(), before.as_bytes())).unwrap();
            }
        });
        self.fill(full);
        self.server = daemon::Server::new();
        self.server.become_(self.daemon);
    }

    /// A sweep, with the folders of now.
    pub fn sweep(&self, at: usize) -> Answer {
        let call = self.call(Call::of_node(&self.node, "GC"));
        call.killed_as(at, |command| _ = command.arg("sweep")).0
    }

    /// What a container would do: its folder of namespaces is another one, and it sees its own processes only.
    pub fn sweep_blind(&self) -> Answer {
        node::tmpfs(Path::new("/run/netns"), "mode=755").unwrap();
        let answer = self.call(Call::of_node(&self.node, "GC")).sweep_in_a_container();
        umount2("/run/netns", MntFlags::MNT_DETACH).unwrap();
        answer
    }
}

/// `text` with `new`, which is as long, in the place of each `old`.
fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    for at in 0..text.len().saturating_sub(old.len() - 1) {
        if &text[at..at + old.len()] == old {
            text[at..at + old.len()].copy_from_slice(new);
        }
    }
    text
}

/// Remounts the disk of the records. A child that another run starts holds our files for a moment.
fn remount(flags: MsFlags) {
    let none = None::<&str>;
    crate::support::eventually("the disk to be remounted", || {
        mount(none, "/var/lib/plexus", none, flags, Some("mode=700,size=2m")).is_ok()
    });
}

/// The interfaces of the host that are one end of a pod's.
pub fn veths() -> Vec<String> {
    kernel::host_links().into_iter().filter(|name| name.starts_with("veth")).collect()
}

/// Everything that was written on the machine becomes older by `seconds`; younger if negative. The clock is not ours to set.
pub fn shift(seconds: i64) {
    for entry in fs::read_dir("/var/lib/plexus/sandboxes").into_iter().flatten().flatten() {
        let Ok(mut text) = fs::read_to_string(entry.path()) else { continue };
        for key in ["created", "since", "last"] {
            text = older(&text, &format!("\"{key}\":"), seconds);
        }
        // On a full disk the clock goes on, too: no more bytes are needed.
        let _ = fs::write(entry.path(), text);
    }
    let pools = fs::read_dir("/var/lib/cni/networks").into_iter().flatten().flatten().map(|pool| pool.path());
    let folders = ["/run/plexus", "/run/plexus/locks", "/run/plexus/due"].map(PathBuf::from);
    for folder in pools.chain(folders) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(file) = fs::File::options().write(true).open(entry.path()) else { continue };
            let modified = file.metadata().unwrap().modified().unwrap();
            let by = Duration::from_secs(seconds.unsigned_abs());
            file.set_modified(if seconds > 0 { modified - by } else { modified + by }).unwrap();
        }
    }
}

/// `text` with every number after `key` made smaller.
fn older(text: &str, key: &str, seconds: i64) -> String {
    let mut parts = text.split(key);
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = part[..digits].parse::<i64>().map_or(0, |number| (number - seconds).max(1));
        all.push_str(&format!("{key}{number}{}", &part[digits..]));
    }
    all
}
