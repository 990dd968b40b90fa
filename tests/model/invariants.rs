//! What must hold after every operation.

use crate::run::Run;
use crate::seen::{self, Recorded, Seen, Thing};
use crate::slot::{Past, Slot, State, bare};
use std::collections::BTreeSet;

impl Run {
    /// The first thing that does not hold.
    pub fn invariants(&self) -> Result<(), String> {
        let seen = Seen::look();
        let mut addresses = BTreeSet::new();
        for slot in self.slots.iter().flatten() {
            recorded(slot, &seen)?;
            if slot.is_alive() {
                alive(slot, &seen)?;
                for address in slot.interfaces.values().flatten() {
                    if !addresses.insert(address.clone()) {
                        return Err(format!("two living sandboxes have the address {address}"));
                    }
                }
            }
        }
        for thing in &seen.things {
            let known = self.slots.iter().flatten().any(|slot| slot.pod.id == thing.id);
            let past = || self.past.iter().find(|past| past.pod.id == thing.id);
            // A lease that names nobody yet is of an ADD that was killed; its DEL takes it away.
            let begun = thing.id.is_empty() && self.slots.iter().flatten().any(|slot| slot.state == State::Limbo);
            if !known
                && !begun
                && !past().is_some_and(|past| past.may_leave(thing) || is_told(&seen, &thing.id, &thing.ifname))
            {
                return Err(format!("{thing:?} is left of a sandbox that was deleted, and nothing tells of it"));
            }
        }
        self.past.iter().try_for_each(|past| deleted(past, &seen))
    }

    /// A port that is still there has the master that it had, and is up as it was: calls for other sandboxes do not touch it.
    pub fn ports_are_as_before(&mut self) -> Result<(), String> {
        let now = seen::ports();
        let before = std::mem::replace(&mut self.ports, now);
        let mut both = before.iter().filter_map(|(name, how)| Some((name, how, self.ports.get(name)?)));
        match both.find(|(_, before, now)| before != now) {
            Some((name, before, now)) => Err(format!("{name} had {before}, and has {now}")),
            None => Ok(()),
        }
    }
}

/// Whether the record of `id` tells of what is left for `ifname`.
fn is_told(seen: &Seen, id: &str, ifname: &str) -> bool {
    seen.attachments(id).iter().any(|attachment| attachment["ifname"] == ifname)
}

/// What a sandbox has that was recorded once is told by its record: whoever deletes, a call or a sweep after one, the record goes
/// last. After a day marks may have been given up.
fn recorded(slot: &Slot, seen: &Seen) -> Result<(), String> {
    let id = &slot.pod.id;
    let may_be_given_up = |thing: &Thing| slot.old && thing.what.starts_with("mark");
    let mut untold = seen.of(id).filter(|thing| !is_told(seen, id, &thing.ifname) && !may_be_given_up(thing));
    match untold.next().filter(|_| slot.is_recorded()) {
        Some(thing) => Err(format!("{thing:?} is there, and the record of its sandbox does not tell of it")),
        None => Ok(()),
    }
}

/// A living sandbox is as it was when it was attached.
fn alive(slot: &Slot, seen: &Seen) -> Result<(), String> {
    let id = &slot.pod.id;
    let (found, inside) = seen::inside(&slot.pod);
    if inside != slot.inside {
        return Err(format!("inside of the living {id} it was {:?} and is {inside:?}", slot.inside));
    }
    if found != slot.interfaces {
        return Err(format!("the interfaces of the living {id} were {:?} and are {found:?}", slot.interfaces));
    }
    let things = bare(seen.of(id));
    if things != slot.things() {
        return Err(format!("the living {id} has {things:?} instead of {:?}", slot.things()));
    }
    for thing in seen.of(id).filter(|thing| !thing.address.is_empty()) {
        if !found.get(&thing.ifname).is_some_and(|addresses| addresses.contains(&thing.address)) {
            return Err(format!("the living {id} has the lease {thing:?} and not its address: {found:?}"));
        }
    }
    if !slot.is_recorded() {
        return Ok(());
    }
    if !slot.networks.is_empty() {
        let status = seen.statuses.get(id);
        if !slot.interfaces.iter().all(|(name, ips)| status.and_then(|status| status.get(name)) == Some(ips)) {
            return Err(format!(
                "the network-status of the living {id} is {status:?} instead of {:?}",
                slot.interfaces
            ));
        }
    }
    let attachments = seen.attachments(id);
    let attached = attachments.iter().filter(|attachment| attachment["state"] == "attached").count();
    if attached != slot.networks.len() + 1 || attachments.len() != attached {
        return Err(format!("the record of the living {id} has {attachments:?}"));
    }
    Ok(())
}

/// What was deleted has no record, or one that tells what is owed.
fn deleted(past: &Past, seen: &Seen) -> Result<(), String> {
    let id = &past.pod.id;
    if let Some(status) = seen.statuses.get(id) {
        return Err(format!("the network-status of the deleted {id} still waits for the daemon: {status:?}"));
    }
    match seen.records.get(id) {
        None => Ok(()),
        Some(_) if past.unwritable => Ok(()),
        Some(Recorded::Damaged(_)) if past.lost => Ok(()),
        Some(Recorded::Damaged(_)) => Err(format!("the record of the deleted {id} is damaged")),
        Some(Recorded::Whole(_)) => match seen.attachments(id).iter().find(|attachment| attachment["debt"].is_null()) {
            Some(attachment) => {
                Err(format!("the record of the deleted {id} has an attachment that is not owed: {attachment}"))
            }
            None => Ok(()),
        },
    }
}

/// After everything was deleted, and all faults have ended.
pub fn nothing_is_left(run: &Run) -> Result<(), String> {
    let seen = Seen::look();
    let lost = |id: &str| run.past.iter().any(|past| past.lost && past.pod.id == id);
    let may_be_left = |thing: &Thing| {
        thing.what.starts_with("mark") && run.past.iter().any(|past| past.pod.id == thing.id && past.may_leave(thing))
    };
    if let Some(thing) = seen.things.iter().find(|thing| !may_be_left(thing)) {
        return Err(format!("in the end {thing:?} is left"));
    }
    // An empty file names no namespace: only a GC of the runtime settles it.
    let settled = |(id, record): &(&String, &Recorded)| !(lost(id) && matches!(record, Recorded::Damaged(_)));
    if let Some((id, record)) = seen.records.iter().find(settled) {
        return Err(format!("in the end the record of {id} is left: {record:?}"));
    }
    let veths = crate::world::veths();
    if !veths.is_empty() {
        return Err(format!("in the end interfaces are left: {veths:?}"));
    }
    debug_assert!(run.slots.iter().flatten().all(|slot| slot.state == State::Limbo));
    Ok(())
}
