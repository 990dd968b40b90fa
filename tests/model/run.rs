//! Carrying out operations, and what each must answer.

use crate::op::{Mood, NETWORKS, Op, SLOTS, STUBS};
use crate::primary::Primary;
use crate::seen::{self, Seen};
use crate::slot::{Past, Slot, State};
use crate::support::{Answer, Call, Pod, eventually};
use crate::world::World;
use crate::{daemon, invariants};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;

/// After so many seconds a debt is given up where the node cannot show what is left.
const DAY: i64 = 86_400;

/// How often what was done.
pub type Counts = BTreeMap<String, usize>;

/// A run: the machine, and the model.
pub struct Run {
    pub world: World,
    pub slots: Vec<Option<Slot>>,
    pub past: Vec<Past>,
    counts: Counts,
    pub made: usize,
    /// See [`seen::ports`], after the operation before.
    pub ports: BTreeMap<String, String>,
    /// Whether an ADD was killed in which the reference program `bridge` may have worked. It gives its bridge an address, and then
    /// keeps the MAC that it has. Killed between both it never does, so that the MAC changes with the ports.
    unfixed: BTreeSet<&'static str>,
    /// All faults have ended: what follows meets none.
    settles: bool,
}

/// Runs all of `ops`, then ends all faults and deletes everything.
pub fn run(world: World, ops: &[Op]) -> Result<Counts, String> {
    let slots = (0..SLOTS[1]).map(|_| None).collect();
    let (past, counts, ports) = (Vec::new(), Counts::new(), BTreeMap::new());
    let mut run = Run { world, slots, past, counts, made: 0, ports, unfixed: BTreeSet::new(), settles: false };
    for (number, op) in ops.iter().enumerate() {
        let of = |why: String| format!("operation {number}, {op:?}: {why}");
        run.step(op).map_err(of)?;
        run.quiet();
        run.world.harm().map_or(Ok(()), Err).and_then(|()| run.invariants()).map_err(of)?;
        run.ports_are_as_before().map_err(of)?;
    }
    run.settle().map_err(|why| format!("in the end: {why}"))?;
    run.world.change(&Op::Daemon(crate::op::Daemon::Away));
    Ok(run.counts)
}

pub fn must(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Makes `call`, and kills it before the change numbered `killed`.
fn made(call: Call, killed: Option<usize>) -> Answer {
    match killed {
        Some(number) => call.killed_at(number).0,
        None => call.make(),
    }
}

impl Run {
    /// Waits for what a call has left at work.
    pub fn quiet(&self) {
        self.world.node.quiet();
    }

    /// Counts a call that is killed, where it was, and else as one that is not.
    pub fn count_call(&mut self, name: &str, answer: &Answer, killed: bool) {
        let was_killed = killed && answer.status.signal() == Some(9);
        self.count(&if was_killed { format!("{name}Killed") } else { name.to_owned() });
    }

    /// After the call of `release` has ended, and the sweep that it may have started.
    fn count_former(&mut self, release: usize) {
        if release > 0 {
            self.count("calls of a former release");
            self.world.forgive_unlocked();
        }
    }

    pub fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// Each operation counts itself where it does something: of a slot that is empty there is nothing to delete.
    fn step(&mut self, op: &Op) -> Result<(), String> {
        let counted = |run: &Run| run.counts.values().sum::<usize>();
        let before = counted(self);
        let outcome = self.carry_out(op);
        if counted(self) != before {
            self.count("operations with an effect");
        }
        outcome
    }

    /// What a call of `verb` for these networks meets: a fault counts where it can do harm.
    fn meets(&mut self, verb: usize, networks: &[usize]) {
        if self.settles {
            return;
        }
        let world = &self.world;
        let daemon = format!("Daemon{:?}", world.daemon);
        let is_ill = world.daemon != crate::op::Daemon::Answers;
        let met = [
            ("Mood", networks.iter().any(|network| world.moody(NETWORKS[*network], verb))),
            ("DiskFull", world.full),
            ("ReadOnly", world.read_only),
            ("Daemon", is_ill),
            (&daemon, is_ill),
        ];
        met.iter().filter(|(_, is_met)| *is_met).for_each(|(fault, _)| self.count(fault));
    }

    fn carry_out(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Add { slot, networks } => self.add(*slot, networks, None, false),
            Op::AddAsked { slot, networks } => self.add(*slot, networks, None, true),
            Op::AddKilled { slot, networks, at } => self.add(*slot, networks, Some(*at), false),
            Op::AddAfterDel { slot, networks } => self.add_after_del(*slot, networks),
            Op::AddGreedy { slot } => self.add_greedy(*slot),
            Op::Del { slot } => self.del(*slot, 0),
            Op::DelTwice { slot, at } => self.del_twice(*slot, *at),
            Op::DelKilled { slot, at } => self.del(*slot, *at),
            Op::DelAgain { slot } => self.del_again(*slot),
            Op::End { slot } => self.end(*slot),
            Op::Check { slot } => self.check(*slot),
            Op::CheckGone { slot } => self.check_gone(*slot),
            Op::Status => self.status_well(),
            Op::StatusIn { slot, trouble } => self.status_in(*slot, *trouble),
            Op::Gc => self.gc(0),
            Op::GcKilled { at } => self.gc(*at),
            Op::Sweep => self.sweep(0),
            Op::SweepKilled { at } => self.sweep(*at),
            Op::SweepBlind => self.sweep_blind(),
            Op::Torn { slot, percent } => self.tear(*slot, *percent),
            Op::Clock { seconds } => {
                self.count("Clock");
                self.world.writable(|| crate::world::shift(*seconds));
                if *seconds > DAY {
                    // Only what is owed by now is given up after a day; of a sandbox that ended, a sweep or GC may owe it.
                    let may_owe = |slot: &&mut Slot| slot.state == State::Limbo || slot.ended;
                    let owing = self.slots.iter_mut().flatten().filter(may_owe);
                    owing.for_each(|slot| slot.old = true);
                    self.past.iter_mut().for_each(|past| past.old = true);
                } else if *seconds > 0 {
                    // What an ADD that failed may have left is given up after ten minutes and five attempts.
                    let failed = self.slots.iter_mut().flatten().filter(|slot| slot.result.is_null());
                    failed.for_each(|slot| slot.old = true);
                    self.past.iter_mut().filter(|past| past.result.is_null()).for_each(|past| past.old = true);
                }
                Ok(())
            }
            Op::Reboot => self.reboot(),
            Op::NumbersReused => {
                let notes = self.world.reuse_numbers();
                (0..notes).for_each(|_| self.count("NumbersReused"));
                Ok(())
            }
            fault => {
                if self.world.is_fault(fault) {
                    let name = format!("{fault:?}");
                    let name = name.split([' ', '(', '{']).next().unwrap();
                    // Calls count what lasts.
                    let lasts = ["Mood", "DiskFull", "ReadOnly", "Daemon"].contains(&name);
                    self.count(&if lasts { format!("begun: {name}") } else { name.to_owned() });
                }
                self.world.change(fault);
                Ok(())
            }
        }
    }

    pub fn add(&mut self, at: usize, networks: &[usize], killed: Option<usize>, asked: bool) -> Result<(), String> {
        if let Some(slot) = &self.slots[at] {
            return self.add_again(slot);
        }
        let pod = self.new_pod(at, networks, asked);
        self.attach(at, pod, networks, killed, asked)
    }

    /// A sandbox for slot `at`, whose annotations the runtime hands over unless they are `asked` for.
    pub fn new_pod(&mut self, at: usize, networks: &[usize], asked: bool) -> Pod {
        self.made += 1;
        let selected = networks.iter().map(|network| NETWORKS[*network]).collect::<Vec<_>>().join(",");
        let mut pod = Pod::new(&self.world.node, &format!("p{at}x{}", self.made)).selecting(&selected);
        crate::support::keep_the_sandbox_quiet(&pod);
        fs::write(daemon::SELECTED, &selected).unwrap();
        if asked {
            pod.annotations = None;
        }
        if networks.is_empty() {
            pod.annotations = pod.annotations.map(|_| BTreeMap::new());
        }
        pod
    }

    /// ADD of `pod`, which is slot `at` from then on.
    pub fn attach(
        &mut self,
        at: usize,
        pod: Pod,
        networks: &[usize],
        killed: Option<usize>,
        asked: bool,
    ) -> Result<(), String> {
        let may_fail = self.may_add_fail(networks, asked);
        // A former release judges some troubles in another way.
        let release =
            if killed.is_none() && !asked && self.world.trouble.is_none() { self.world.release(self.made) } else { 0 };
        self.meets(0, networks);
        if asked && !self.settles && self.world.daemon != crate::op::Daemon::Answers {
            self.count("DaemonAsked");
        }
        let answer = made(self.world.call_of(release, pod.call("ADD")), killed);
        self.quiet();
        self.count_former(release);
        self.count_call(if asked { "AddAsked" } else { "Add" }, &answer, killed.is_some());
        let success = answer.status.success();
        if answer.status.signal() == Some(9) {
            let programs = networks.iter().any(|network| NETWORKS[*network] == "program").then_some("br5");
            let primary = self.world.primary;
            self.unfixed.extend(programs.into_iter().chain(primary.is_program().then_some(primary.name())));
        }
        // The reference program itself fails so now and then, where a bridge loses its last port at that moment.
        let reference = answer.stdout.contains("plugin bridge: failed to set bridge addr");
        // So does a former release; this one reads the MAC of the bridge again.
        let former = release > 0 && answer.stdout.contains("EADDRNOTAVAIL");
        if killed.is_none() && !success && !may_fail && !reference && !former {
            return Err(format!("ADD of {networks:?} fails: {}{}", answer.stdout, answer.stderr));
        }
        self.count(if success { "pods attached" } else { "ADDs that failed or were killed" });
        let id = pod.id.clone();
        let (interfaces, inside) = if success { seen::inside(&pod) } else { Default::default() };
        let primary = if success { self.primary_of(&id)? } else { self.world.primary.name().to_owned() };
        let slot = Slot {
            primary,
            interfaces,
            inside,
            result: if success { answer.result() } else { Value::Null },
            state: if success { State::Attached } else { State::Limbo },
            networks: networks.to_vec(),
            ended: false,
            torn: None,
            unrecorded: self.world.full || self.world.read_only,
            failed: 0,
            unrecorded_failures: 0,
            cancelled: 0,
            old: false,
            moved: self.world.moved,
            pod,
        };
        if success {
            let links: Vec<&String> = slot.interfaces.keys().collect();
            must(links == slot.links().iter().collect::<Vec<_>>(), || format!("ADD succeeds, and {id} has {links:?}"))?;
        } else if answer.status.signal().is_none() {
            // What could not be undone is owed.
            let seen = Seen::look();
            let told = |ifname: &str| seen.attachments(&id).iter().any(|attachment| attachment["ifname"] == ifname);
            let left = seen.of(&id).find(|thing| !told(&thing.ifname));
            must(left.is_none(), || format!("ADD fails, and {left:?} is left and not told"))?;
        }
        self.slots[at] = Some(slot);
        Ok(())
    }

    /// The default network that `id` got: that of the node, or, while its file cannot be read, one that was read before.
    fn primary_of(&self, id: &str) -> Result<String, String> {
        let seen = Seen::look();
        let lease =
            seen.of(id).find(|thing| thing.ifname == "eth0").and_then(|thing| thing.what.strip_prefix("lease of "));
        let name = lease.ok_or_else(|| format!("ADD of {id} succeeds, and eth0 has no lease"))?;
        let is_expected = name == self.world.primary.name() || self.world.trouble.is_some();
        must(is_expected, || format!("{id} is on {name}, and the default network is {:?}", self.world.primary))?;
        Ok(name.to_owned())
    }

    /// ADD of what is attached changes nothing.
    fn add_again(&self, slot: &Slot) -> Result<(), String> {
        if !slot.is_alive() || !slot.is_recorded() {
            return Ok(());
        }
        let answer = self.world.call(slot.pod.call("ADD")).make();
        let code = serde_json::from_str::<Value>(&answer.stdout).unwrap_or_default()["code"].clone();
        must(!answer.status.success() && code == 102, || format!("a second ADD answers {answer:?}"))
    }

    fn may_add_fail(&self, networks: &[usize], asked: bool) -> bool {
        let used = Seen::look().things.iter().filter(|thing| thing.what == "lease of small").count();
        let fails = |network: &usize| {
            let name = NETWORKS[*network];
            self.world.moody(name, 0) || self.world.gone.contains(network) || (name == "small" && used >= 5)
        };
        let disk = (self.world.full || self.world.read_only) && !networks.is_empty();
        let unasked = asked && self.world.daemon != crate::op::Daemon::Answers;
        let unusable = self.world.trouble.is_some_and(|trouble| !trouble.attaches);
        disk || unasked || unusable || networks.iter().any(fails)
    }

    fn del(&mut self, at: usize, killed: usize) -> Result<(), String> {
        let Some(call) = self.del_call(at) else { return Ok(()) };
        let whole = self.slots[at].as_ref().is_some_and(|slot| slot.is_recorded() && !slot.result.is_null());
        // A former release did not find plugins that were moved.
        let whole = whole && self.slots[at].as_ref().is_some_and(|slot| slot.moved == self.world.moved);
        let release = if whole && killed == 0 { self.world.release(self.made / 2) } else { 0 };
        let call = self.world.call_of(release, call);
        let networks = self.slots[at].as_ref().map(|slot| slot.networks.clone()).unwrap_or_default();
        self.meets(1, &networks);
        let answer = if killed == 0 { call.make() } else { call.killed_at(killed).0 };
        self.quiet();
        self.count_former(release);
        self.count_call("Del", &answer, killed > 0);
        self.del_ended(at, &answer, killed)
    }

    /// The DEL that the runtime sends for a sandbox.
    pub fn del_call(&self, at: usize) -> Option<Call> {
        let slot = self.slots[at].as_ref()?;
        // Without a record the daemon is asked what the pod selects: this one, not the pod that was added last.
        let selected: Vec<&str> = slot.networks.iter().map(|network| NETWORKS[*network]).collect();
        fs::write(daemon::SELECTED, selected.join(",")).unwrap();
        let mut call = self.world.call(slot.pod.call("DEL"));
        if slot.ended {
            call = call.env("CNI_NETNS", "");
        }
        if !slot.result.is_null() {
            call = call.configured("prevResult", slot.result.clone());
        }
        Some(call)
    }

    /// What the answer of a DEL says of its sandbox.
    pub fn del_ended(&mut self, at: usize, answer: &Answer, killed: usize) -> Result<(), String> {
        self.quiet();
        if answer.status.success() {
            return self.deleted(at);
        }
        let Some(slot) = &mut self.slots[at] else { return Err(format!("a DEL after one that succeeded: {answer:?}")) };
        slot.state = State::Limbo;
        if killed > 0 {
            slot.cancelled = 0;
            return Ok(());
        }
        let moods = |wanted: fn(Mood) -> bool| {
            let stubs = slot.networks.iter().map(|network| NETWORKS[*network]).filter(|name| STUBS.contains(name));
            stubs.filter(|stub| wanted(self.world.mood(stub, 1))).count()
        };
        // Without a record DEL guesses, and may call a plugin that this pod never had.
        let guessed = slot.torn.is_some() || slot.unrecorded || slot.result.is_null();
        let other = guessed && answer.status.signal() == Some(9);
        must(other || moods(|mood| mood != Mood::Well) > 0, || {
            format!("DEL fails: {}{}", answer.stdout, answer.stderr)
        })?;
        let cancelling = moods(|mood| mood == Mood::Cancelled);
        if answer.status.signal().is_none() {
            slot.failed += 1;
            slot.unrecorded_failures += usize::from(self.world.full || self.world.read_only);
            slot.cancelled = 0;
            return must(slot.failed < 3, || format!("DEL fails for the {}th time", slot.failed));
        }
        // An attempt is noted in the record, where that can be written.
        let well = slot.is_recorded() && !self.world.full && !self.world.read_only;
        slot.cancelled += usize::from(well);
        // H3: what hangs does not starve the others for ever.
        let starved: Vec<_> =
            Seen::look().of(&slot.pod.id).filter(|thing| !thing.address.is_empty()).cloned().collect();
        must(!well || slot.cancelled <= cancelling || starved.is_empty(), || {
            format!("{} DELs were cancelled in one plugin, and others were never called: {starved:?}", slot.cancelled)
        })
    }

    fn deleted(&mut self, at: usize) -> Result<(), String> {
        let slot = self.slots[at].take().unwrap();
        self.count("pods deleted");
        let unwritable = self.world.full || self.world.read_only;
        // DEL without a record guesses: that the pod has what it selects, and the default network of today.
        let guesses_wrong = !slot.networks.is_empty() || slot.primary != self.world.primary.name();
        let lost = slot.is_lost() || (slot.unrecorded && guesses_wrong);
        let links = if slot.ended { Vec::new() } else { seen::interfaces(&slot.pod).into_keys().collect() };
        let told = Seen::look().attachments(&slot.pod.id).len();
        must(links.is_empty() || lost || told > 0, || format!("DEL succeeds, and leaves {links:?}"))?;
        if !slot.ended {
            slot.pod.end_sandbox();
        }
        self.past.push(Past {
            pod: slot.pod,
            result: slot.result,
            lost,
            unrecorded: slot.unrecorded,
            unwritable,
            old: slot.old,
        });
        Ok(())
    }

    fn del_again(&mut self, at: usize) -> Result<(), String> {
        let Some(past) = self.past.get(at) else { return Ok(()) };
        let answer = self.world.call(past.pod.call("DEL")).env("CNI_NETNS", "").make();
        self.count("DelAgain");
        must(!self.world.is_well() || answer.status.success(), || format!("a late DEL fails: {answer:?}"))
    }

    fn end(&mut self, at: usize) -> Result<(), String> {
        if let Some(slot) = self.slots[at].as_mut().filter(|slot| !slot.ended) {
            slot.pod.end_sandbox();
            slot.ended = true;
            self.count("End");
        }
        Ok(())
    }

    /// CHECK finds a pod well that is well, and one that was cut off from its bridge not, until it is back.
    fn check(&mut self, at: usize) -> Result<(), String> {
        let Some(slot) = self.slots[at].as_ref().filter(|slot| slot.is_alive()) else { return Ok(()) };
        let call = || self.world.call(slot.pod.call("CHECK")).configured("prevResult", slot.result.clone());
        let answer = call().make();
        let is_well = |answer: &Answer| {
            let reference = |bridge: &&str| format!("plugin bridge: Bridge interface {bridge} Mac doesn't match");
            answer.status.success() || self.unfixed.iter().any(|bridge| answer.stdout.contains(&reference(bridge)))
        };
        must(is_well(&answer) || !slot.is_recorded(), || format!("CHECK fails: {answer:?}"))?;
        let links = slot.result["interfaces"].as_array().into_iter().flatten();
        let mut ports = links.filter(|link| link["sandbox"].is_null()).filter_map(|link| link["name"].as_str());
        let port = ports.find(|name| name.starts_with("veth")).map(str::to_owned);
        let mut is_cut = false;
        if let Some(port) = port.filter(|_| slot.is_recorded() && self.made.is_multiple_of(2)) {
            self.world.node.ip(&format!("link set {port} nomaster"));
            let cut = call().make();
            self.world.node.ip(&format!("link set {port} master {}", slot.primary));
            must(!cut.status.success(), || format!("CHECK finds a pod well whose {port} has no bridge"))?;
            let back = call().make();
            must(is_well(&back), || format!("CHECK fails although {port} is on its bridge again: {back:?}"))?;
            is_cut = true;
        }
        self.count("Check");
        if is_cut {
            self.count("CheckCut");
        }
        Ok(())
    }

    fn tear(&mut self, at: usize, percent: usize) -> Result<(), String> {
        let Some(slot) = &mut self.slots[at] else { return Ok(()) };
        let file = slot.pod.record_file(&self.world.node);
        let Ok(text) = fs::read(&file) else { return Ok(()) };
        let kept = if percent == 0 { text.len().saturating_sub(2) } else { text.len() * (100 - percent) / 100 };
        self.world.writable(|| fs::write(&file, &text[..kept]).unwrap());
        // A second tear may take what the first one left.
        slot.torn = Some(if slot.torn.is_some() { 100 } else { percent });
        self.count("Torn");
        Ok(())
    }

    fn reboot(&mut self) -> Result<(), String> {
        let alive: Vec<&Pod> = self.slots.iter().flatten().filter(|slot| !slot.ended).map(|slot| &slot.pod).collect();
        self.world.reboot(&alive);
        self.count("Reboot");
        for slot in self.slots.iter_mut().flatten() {
            slot.ended = true;
            slot.failed -= std::mem::take(&mut slot.unrecorded_failures);
        }
        Ok(())
    }

    /// All faults end, the runtime deletes everything, a day passes, and Plexus sweeps.
    fn settle(&mut self) -> Result<(), String> {
        self.world.recover();
        self.settles = true;
        for at in 0..self.slots.len() {
            for _ in 0..4 {
                self.del(at, 0)?;
                self.quiet();
            }
            must(self.slots[at].is_none(), || format!("the sandbox in slot {at} cannot be deleted"))?;
        }
        self.past.iter_mut().for_each(|past| past.unwritable = false);
        // A pod lives, so that the namespaces of the others are seen to be gone.
        self.add(0, &[], None, false)?;
        // The clock may have been set back by years: a lease of a time to come is kept until then.
        let back: i64 = 20 * 365 * 86_400;
        self.world.writable(|| crate::world::shift(back));
        // A pool is known while its network is.
        (0..NETWORKS.len()).for_each(|network| self.world.change(&Op::NadBack { network }));
        for primary in [Primary::Other, Primary::Usual] {
            self.world.change(&Op::DefaultReplaced(primary));
            self.sweep(0)?;
            self.quiet();
        }
        self.del(0, 0)?;
        self.quiet();
        eventually("the interfaces of ended sandboxes to go", || crate::world::veths().is_empty());
        invariants::nothing_is_left(self)
    }
}
