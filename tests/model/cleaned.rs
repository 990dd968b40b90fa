//! What a GC or a sweep must delete, and what it may leave.
//!
//! What the records tell before it decides, read as the product promises it: not through its code.

use crate::op::{Mood, NETWORKS, STUBS};
use crate::run::{Run, must};
use crate::seen::{self, Seen, Thing};
use crate::support::Answer;
use crate::world::World;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A sweep judges no sandbox before this age: its ADD may be under way.
const YOUNG: u64 = 60;
/// A sweep returns no address of a container without a record before this age.
const YOUNG_LEASE: u64 = 600;
/// What the test itself may take between two looks at the clock.
const MOMENT: u64 = 120;

/// What can be seen of sandboxes that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// A living sandbox shows the folder of namespaces: what is not in it has ended.
    Whole,
    /// Only what is of another boot is known to have ended, and of this boot nothing is attached.
    OtherBoots,
    /// All sandboxes of this boot look gone, as in a container of the wrong namespaces: nothing may be deleted.
    Doubt,
}

/// A sandbox of which something has to be deleted.
#[derive(Debug)]
struct Due {
    id: String,
    /// The attachments that have to be deleted.
    attachments: Vec<Value>,
    /// Whether these are all that its record has.
    all: bool,
    /// Whether its record is damaged, and has to be settled.
    damaged: bool,
}

/// The machine before a GC or a sweep.
pub struct Before {
    seen: Seen,
    ports: BTreeMap<String, String>,
    now: u64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Whether `time` was `seconds` ago, or is of a clock that was set back since.
fn is_past(time: u64, now: u64, seconds: u64) -> bool {
    time + seconds <= now || time > now + MOMENT
}

fn attachments(record: &Value) -> &[Value] {
    record["attachments"].as_array().map_or(&[], Vec::as_slice)
}

fn is_owed(attachment: &Value) -> bool {
    attachment["state"] == "owed"
}

/// The name of a network, as this test has it.
fn network(attachment: &Value) -> &str {
    let name = attachment["network"].as_str().unwrap_or_default();
    name.strip_prefix("default/").unwrap_or(name)
}

fn is_of_another_boot(record: &Value) -> bool {
    let this = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let told = record["bootId"].as_str().or(record["bootIdShown"].as_str());
    // A former release tells no boot, and its time is that of a clock that may have been set since.
    told.is_some_and(|told| told != this.trim())
}

impl Before {
    pub fn look() -> Self {
        Before { seen: Seen::look(), ports: seen::ports(), now: now() }
    }
}

impl World {
    /// Whether the deletion of `attachment` fails.
    fn cannot_delete(&self, attachment: &Value) -> bool {
        self.moody(network(attachment), 1)
    }

    /// Whether a plugin kills whoever calls it to delete.
    fn is_cancelled(&self) -> bool {
        STUBS.iter().any(|stub| self.mood(stub, 1) == Mood::Cancelled)
    }

    fn is_writable(&self) -> bool {
        !self.full && !self.read_only
    }
}

impl Run {
    fn lives(&self, id: &str) -> bool {
        self.slots.iter().flatten().any(|slot| slot.pod.id == id && !slot.ended)
    }

    /// Whether a day has passed for `id`: a debt may have been given up.
    fn is_old(&self, id: &str) -> bool {
        self.slots.iter().flatten().any(|slot| slot.pod.id == id && slot.old)
            || self.past.iter().any(|past| past.pod.id == id && past.old)
    }

    /// What can be seen, where the folder of namespaces is the node's or (`is_blind`) another one.
    fn sight(&self, before: &Before, is_blind: bool) -> Sight {
        let told = || before.seen.told().filter(|(_, record)| record["netns"].is_string());
        if !is_blind && told().any(|(id, _)| self.lives(id)) {
            return Sight::Whole;
        }
        let is_attached = |record: &Value| attachments(record).iter().any(|attachment| !is_owed(attachment));
        let attached = told().any(|(_, record)| is_attached(record) && !is_of_another_boot(record));
        if attached { Sight::Doubt } else { Sight::OtherBoots }
    }

    /// What a sweep with this sight must delete.
    fn due_to_sweep(&self, before: &Before, sight: Sight) -> Vec<Due> {
        if sight == Sight::Doubt {
            return Vec::new();
        }
        let of = |(id, record): (&String, &Value)| {
            let ended = !self.lives(id) && record["netns"].is_string();
            let is_gone = ended && (sight == Sight::Whole || is_of_another_boot(record));
            let is_judged = is_gone && is_past(record["created"].as_u64().unwrap_or(0), before.now, YOUNG);
            let (all, damaged) = (attachments(record), before.seen.is_damaged(id));
            // A damaged record is left to DEL until its sandbox has ended. A debt is always tried again.
            let is_due = |attachment: &&Value| is_judged || (is_owed(attachment) && !damaged);
            let due: Vec<Value> = all.iter().filter(is_due).cloned().collect();
            let whole = due.len() == all.len() && (is_judged || !due.is_empty());
            (is_judged || !due.is_empty()).then(|| Due { id: id.clone(), attachments: due, all: whole, damaged })
        };
        before.seen.told().filter_map(of).collect()
    }

    /// What a GC must delete: all that is recorded of sandboxes that are not `listed`, and every debt of them.
    fn due_to_gc(before: &Before, listed: &[String]) -> Vec<Due> {
        let of = |(id, record): (&String, &Value)| Due {
            id: id.clone(),
            attachments: attachments(record).to_vec(),
            all: true,
            damaged: before.seen.is_damaged(id),
        };
        before.seen.told().filter(|(id, _)| !listed.contains(id)).map(of).collect()
    }

    /// What was due is deleted; what a steered plugin cannot delete is owed.
    fn are_cleaned(&mut self, by: &str, due: &[Due], after: &Seen) -> Result<(), String> {
        for due in due {
            self.is_cleaned(due, after).map_err(|why| format!("after {by}, of {}: {why}", due.id))?;
            let fails = due.attachments.iter().filter(|attachment| self.world.cannot_delete(attachment)).count();
            let count = due.attachments.len() - fails;
            (0..count).for_each(|_| self.count(&format!("judged: attachments that {by} deletes")));
            (0..fails).for_each(|_| self.count(&format!("judged: attachments that {by} cannot delete")));
            // Of a debt it is known that it ends; here only the sight of the namespace tells it.
            let is_attached = due.attachments.iter().any(|attachment| !is_owed(attachment));
            if is_attached && !self.lives(&due.id) {
                self.count(&format!("judged: sandboxes that ended without DEL, after {by}"));
            }
        }
        Ok(())
    }

    fn is_cleaned(&self, due: &Due, after: &Seen) -> Result<(), String> {
        let world = &self.world;
        let all_gone = due.all && !due.attachments.iter().any(|attachment| world.cannot_delete(attachment));
        // What cannot be written stays as it was; a record can be removed from a disk that is full.
        let may_stay = world.read_only || (world.full && (!all_gone || due.damaged));
        let told = after.attachments(&due.id);
        for attachment in &due.attachments {
            let ifname = attachment["ifname"].as_str().unwrap_or_default();
            let mark = format!("mark of {}", network(attachment));
            let fails = world.cannot_delete(attachment);
            let mut things = after.of(&due.id).filter(|thing| thing.ifname == ifname);
            let left = things.find(|thing| !(fails && thing.what == mark));
            must(left.is_none(), || format!("{left:?} is left of {attachment}"))?;
            let told = told.iter().find(|told| told["ifname"] == ifname && told["call"] == attachment["call"]);
            let may_be_given_up = self.is_old(&due.id) || attachment["refused"] == true;
            if fails && world.is_writable() && !may_be_given_up {
                let is_debt = told.is_some_and(|told| is_owed(told) && !told["debt"].is_null());
                must(is_debt, || format!("{ifname} could not be deleted, and is not owed: {told:?}"))?;
            }
            must(fails || may_stay || told.is_none(), || format!("{ifname} is deleted, and still recorded: {told:?}"))?;
        }
        if !may_stay && all_gone {
            let record = after.records.get(&due.id);
            must(record.is_none(), || format!("nothing is left, and the record is: {record:?}"))?;
        }
        must(may_stay || !due.damaged || !after.is_damaged(&due.id), || "its record is still damaged".to_owned())?;
        must(!all_gone || !after.statuses.contains_key(&due.id), || "its network-status still waits".to_owned())?;
        self.has_no_links(due)
    }

    /// What a GC or a sweep that was killed has deleted or not: what is left is recorded as before.
    fn nothing_is_lost(&mut self, by: &str, due: &[Due], after: &Seen) -> Result<(), String> {
        for due in due {
            let record = after.told().find(|(id, _)| **id == due.id).map(|(_, record)| attachments(record));
            let is_told = |ifname: &str| record.unwrap_or_default().iter().any(|told| told["ifname"] == ifname);
            for attachment in &due.attachments {
                let ifname = attachment["ifname"].as_str().unwrap_or_default();
                let may_be_given_up = self.is_old(&due.id) || attachment["refused"] == true;
                let left = after.of(&due.id).find(|thing| thing.ifname == ifname);
                let holds = left.is_none() || is_told(ifname) || may_be_given_up;
                must(holds, || format!("{by} was killed: of {} {left:?} is left and not recorded", due.id))?;
            }
        }
        self.count(&format!("judged: {by} that was killed, by what it loses"));
        Ok(())
    }

    /// What was deleted in a sandbox that lives has no interface there.
    fn has_no_links(&self, due: &Due) -> Result<(), String> {
        let Some(slot) = self.slots.iter().flatten().find(|slot| slot.pod.id == due.id && !slot.ended) else {
            return Ok(());
        };
        let links = seen::interfaces(&slot.pod);
        let is_left = |attachment: &&Value| links.contains_key(attachment["ifname"].as_str().unwrap_or_default());
        let left = due.attachments.iter().find(is_left);
        must(left.is_none(), || format!("the interface is left of {left:?}"))
    }

    /// Neither a GC nor a sweep makes anything, killed or not.
    fn nothing_is_new(before: &Before, after: &Seen) -> Result<(), String> {
        let new = after.things.iter().find(|thing| !before.seen.things.contains(thing));
        must(new.is_none(), || format!("{new:?} was not there before"))?;
        let record = after.records.keys().find(|id| !before.seen.records.contains_key(*id));
        must(record.is_none(), || format!("the record of {record:?} was not there before"))?;
        let port = seen::ports().into_keys().find(|port| !before.ports.contains_key(port));
        must(port.is_none(), || format!("the interface {port:?} was not there before"))
    }

    pub fn gc(&mut self, killed: usize) -> Result<(), String> {
        // Of pods whose namespace ended without DEL, the runtime lists some.
        let forgets = !self.made.is_multiple_of(2);
        let listed: Vec<String> = self
            .slots
            .iter()
            .flatten()
            .filter(|slot| slot.is_attached() && !(forgets && slot.ended))
            .map(|slot| slot.pod.id.clone())
            .collect();
        let valid: Vec<Value> = listed.iter().map(|id| json!({"containerID": id, "ifname": "eth0"})).collect();
        let before = Before::look();
        let call = self.world.call(crate::support::Call::of_node(&self.world.node, "GC"));
        let call = call.configured("cni.dev/valid-attachments", json!(valid));
        let answer = if killed == 0 { call.make() } else { call.killed_at(killed).0 };
        self.quiet();
        self.count_call("Gc", &answer, killed > 0);
        // Harm that is done to a living sandbox is told first.
        self.invariants()?;
        let after = Seen::look();
        Self::nothing_is_new(&before, &after)?;
        let outcome = self.gc_ended(&before, &after, &listed, (&answer, killed > 0));
        // DEL has to guess then.
        for slot in self.slots.iter_mut().flatten().filter(|slot| forgets && slot.ended) {
            let is_told = after.records.contains_key(&slot.pod.id);
            slot.unrecorded |= !is_told && after.of(&slot.pod.id).next().is_some();
        }
        outcome
    }

    fn gc_ended(
        &mut self,
        before: &Before,
        after: &Seen,
        listed: &[String],
        (answer, may_be_killed): (&Answer, bool),
    ) -> Result<(), String> {
        let due = Self::due_to_gc(before, listed);
        if self.was_killed("a GC", answer, may_be_killed)? {
            return self.nothing_is_lost("a GC", &due, after);
        }
        // While the record of a listed sandbox is damaged the plugins are not told, and GC fails for it.
        let is_torn = |slot: &&crate::slot::Slot| slot.torn.is_some() && listed.contains(&slot.pod.id);
        let is_whole = !self.slots.iter().flatten().any(|slot| is_torn(&slot));
        let fails = due.iter().flat_map(|due| &due.attachments).any(|attachment| self.world.cannot_delete(attachment));
        must(answer.status.success() || fails || !is_whole, || format!("GC fails: {answer:?}"))?;
        self.are_cleaned("a GC", &due, after)?;
        self.count(if is_whole { "judged: GCs, wholly" } else { "judged: GCs, by records alone" });
        if is_whole { self.unrecorded_is_freed(before, after, listed) } else { Ok(()) }
    }

    /// Plugins are told what is valid, and free the rest, whatever is recorded.
    fn unrecorded_is_freed(&self, before: &Before, after: &Seen, listed: &[String]) -> Result<(), String> {
        // Of what was never recorded nobody knows the network: where a program gave the address, or the default network was
        // another one, only a sweep returns it.
        let unrecorded = |id: &str| {
            self.slots.iter().flatten().any(|slot| slot.unrecorded && slot.pod.id == id)
                || self.past.iter().any(|past| past.unrecorded && past.pod.id == id)
        };
        let primary = self.world.primary;
        let is_unknown = |thing: &Thing| {
            let today = !primary.is_program() && thing.what == format!("lease of {}", primary.name());
            thing.ifname == "eth0" && !today && unrecorded(&thing.id)
        };
        let is_lost = |thing: &Thing| {
            self.past.iter().any(|past| past.pod.id == thing.id && past.may_leave(thing))
                || self.slots.iter().flatten().any(|slot| slot.pod.id == thing.id && (slot.is_lost() || slot.old))
        };
        // What a living namespace may still use is kept.
        let is_used = |thing: &Thing| thing.id.is_empty() || self.lives(&thing.id);
        let is_kept = |thing: &Thing| match thing.what.strip_prefix("mark of ") {
            Some(stub) => self.world.moody(stub, 1),
            // One of a time to come may be of an ADD that began during the GC.
            None => is_used(thing) || thing.written.is_some_and(|written| written > before.now),
        };
        let mut stale = after.things.iter().filter(|thing| !listed.contains(&thing.id));
        let left = stale.find(|thing| !is_lost(thing) && !is_unknown(thing) && !is_kept(thing));
        must(left.is_none(), || format!("GC succeeds, and {left:?} is left"))
    }

    pub fn sweep(&mut self, killed: usize) -> Result<(), String> {
        let before = Before::look();
        let answer = self.world.sweep(killed);
        self.quiet();
        self.count_call("Sweep", &answer, killed > 0);
        self.sweep_ended(&before, (&answer, killed > 0), false)
    }

    /// From where the runtime's namespaces cannot be seen.
    pub fn sweep_blind(&mut self) -> Result<(), String> {
        self.count("SweepBlind");
        let before = Before::look();
        let answer = self.world.sweep_blind();
        self.quiet();
        must(answer.status.signal() != Some(6), || format!("{answer:?}"))?;
        self.sweep_ended(&before, (&answer, false), true)
    }

    fn sweep_ended(
        &mut self,
        before: &Before,
        (answer, may_be_killed): (&Answer, bool),
        is_blind: bool,
    ) -> Result<(), String> {
        self.invariants()?;
        let after = Seen::look();
        Self::nothing_is_new(before, &after)?;
        let sight = self.sight(before, is_blind);
        let due = self.due_to_sweep(before, sight);
        if self.was_killed("a sweep", answer, may_be_killed)? {
            return self.nothing_is_lost("a sweep", &due, &after);
        }
        must(answer.status.success(), || format!("the sweep fails: {answer:?}"))?;
        if sight == Sight::Doubt {
            self.count("judged: sweeps that may delete nothing");
            let told = |seen: &Seen| seen.told().map(|(id, record)| (id.clone(), record.clone())).collect::<Vec<_>>();
            let is_same = before.seen.things == after.things && told(&before.seen) == told(&after);
            must(is_same, || "a sweep that sees no sandbox of this boot deletes something".to_owned())?;
            return must(answer.stdout.contains(r#""doubt":true"#), || format!("the sweep has no doubt: {answer:?}"));
        }
        self.are_cleaned("a sweep", &due, &after)?;
        self.count("judged: sweeps");
        if sight == Sight::Whole { self.orphans_are_returned(before, &after) } else { Ok(()) }
    }

    /// Of a container without a record and without a sandbox no address stays, if its network is known and it is old.
    fn orphans_are_returned(&mut self, before: &Before, after: &Seen) -> Result<(), String> {
        let is_due = |thing: &&Thing| {
            let is_lease = !thing.address.is_empty();
            let is_of_nobody = !before.seen.records.contains_key(&thing.id) && !self.lives(&thing.id);
            let written = thing.written.filter(|written| written + YOUNG_LEASE <= before.now);
            is_lease && is_of_nobody && written.is_some() && self.knows(thing)
        };
        let due: Vec<&Thing> = before.seen.things.iter().filter(is_due).collect();
        let left = due.iter().find(|thing| after.things.contains(thing));
        must(left.is_none(), || format!("after a sweep {left:?} is left, which nobody has"))?;
        (0..due.len()).for_each(|_| self.count("judged: addresses of nobody that a sweep returns"));
        Ok(())
    }

    /// Whether the network of a lease is known without a record: it is the default one, or its NAD is on the node.
    fn knows(&self, thing: &Thing) -> bool {
        let name = thing.what.trim_start_matches("lease of ");
        let number = NETWORKS.iter().position(|network| *network == name);
        number.map_or(name == self.world.primary.name(), |number| !self.world.gone.contains(&number))
    }

    /// Whether a GC or a sweep was killed: by the test, or by a plugin that is cancelled.
    fn was_killed(&self, what: &str, answer: &Answer, may_be_killed: bool) -> Result<bool, String> {
        let Some(signal) = answer.status.signal() else { return Ok(false) };
        let is_expected = signal == 9 && (may_be_killed || self.world.is_cancelled());
        must(is_expected, || format!("{what} is ended by signal {signal}: {answer:?}"))?;
        Ok(true)
    }
}
