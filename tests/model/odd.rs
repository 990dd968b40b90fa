//! Calls that no orderly cluster makes: for a pod that asks for too much, and two at the same time.

use crate::op::NETWORKS;
use crate::run::{Run, must};
use crate::seen::{self, Seen};
use crate::slot::{Slot, State};
use crate::support::Pod;
use crate::world::GREEDY;
use nix::sys::resource::{Resource, setrlimit};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::process::{CommandExt, ExitStatusExt};

/// What a call may have; that of a pod that asks for more than this is refused before anything is copied.
const MEMORY: u64 = 128 << 20;
/// The arguments of one network, which each of its plugins would get.
const ARGUMENTS: usize = 200_000;

impl Run {
    /// ADD of what would need 400 MB is refused, and makes nothing.
    pub fn add_greedy(&mut self, at: usize) -> Result<(), String> {
        if self.slots[at].is_some() {
            return Ok(());
        }
        self.made += 1;
        let asked = json!([{"name": GREEDY, "cni-args": {"x": "x".repeat(ARGUMENTS)}}]);
        let pod = Pod::new(&self.world.node, &format!("p{at}x{}", self.made)).selecting(asked);
        let call = self.world.call(pod.call("ADD"));
        let limited = call.start_as(|command| {
            // SAFETY: setrlimit(2) is async-signal-safe.
            _ = unsafe { command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY)?)) };
        });
        let answer = limited.wait();
        must(!answer.status.success() && answer.status.signal().is_none(), || {
            format!("ADD of a pod that asks for too much is not refused: {answer:?}")
        })?;
        self.count("AddGreedy");
        self.slots[at] = Some(Slot {
            pod,
            networks: Vec::new(),
            primary: String::new(),
            state: State::Limbo,
            ended: false,
            torn: None,
            unrecorded: false,
            result: Value::Null,
            interfaces: BTreeMap::new(),
            inside: Vec::new(),
            failed: 0,
            unrecorded_failures: 0,
            cancelled: 0,
            old: false,
            moved: self.world.moved,
        });
        Ok(())
    }

    /// A runtime may send DEL for a sandbox that was never attached: that succeeds, and does not keep ADD from its work.
    pub fn add_after_del(&mut self, at: usize, networks: &[usize]) -> Result<(), String> {
        let world = &self.world;
        let is_moody = networks.iter().any(|network| world.moody(NETWORKS[*network], 1));
        if self.slots[at].is_some() || is_moody || world.full || world.read_only {
            return Ok(());
        }
        let pod = self.new_pod(at, networks, false);
        let answer = self.world.call(pod.call("DEL")).make();
        self.quiet();
        must(answer.status.success(), || format!("DEL before ADD fails: {answer:?}"))?;
        let (seen, links) = (Seen::look(), seen::interfaces(&pod));
        let is_nothing = links.is_empty() && seen.of(&pod.id).next().is_none() && !seen.records.contains_key(&pod.id);
        must(is_nothing, || format!("DEL before ADD leaves {links:?}, {:?}", seen.records.get(&pod.id)))?;
        self.count("AddAfterDel");
        self.attach(at, pod, networks, None, false)
    }

    /// CHECK of what is gone fails.
    pub fn check_gone(&mut self, at: usize) -> Result<(), String> {
        let attached: Vec<_> = self.past.iter().filter(|past| !past.result.is_null()).collect();
        let Some(past) = attached.get(at % attached.len().max(1)) else { return Ok(()) };
        let call = self.world.call(past.pod.call("CHECK")).configured("prevResult", past.result.clone());
        let answer = call.make();
        self.count("CheckGone");
        must(answer.status.code() == Some(1), || format!("CHECK of a sandbox that was deleted: {answer:?}"))
    }

    /// Two DELs at the same time are as one after the other.
    pub fn del_twice(&mut self, at: usize, halted: usize) -> Result<(), String> {
        let Some((first, second)) = self.del_call(at).zip(self.del_call(at)) else { return Ok(()) };
        let (first, second, is_halted) = first.halted_at(halted, second);
        self.quiet();
        self.count(if is_halted { "DelTwice" } else { "DelAgain" });
        // Each of them counts as an attempt, and may be cancelled.
        let (better, other) = if second.status.success() { (second, first) } else { (first, second) };
        if better.status.success() {
            let stubborn = self.slots[at].as_ref().is_some_and(|slot| self.may_del_fail(slot));
            must(other.status.success() || stubborn, || format!("one of two DELs fails: {other:?}"))?;
            return self.del_ended(at, &better, 0);
        }
        self.del_ended(at, &other, 0)?;
        self.del_ended(at, &better, 0)
    }

    fn may_del_fail(&self, slot: &Slot) -> bool {
        // Without a record DEL guesses, and may call a plugin that this pod never had.
        let guessed = !slot.is_recorded() || slot.result.is_null();
        guessed || slot.networks.iter().any(|network| self.world.moody(NETWORKS[*network], 1))
    }
}
