//! What has to hold, looked at when something changes that it depends on; and what has to hold when all is quiet.

use crate::core::{SECOND, Time, World};
use crate::machine::Pod;
use plexus::ipam::epoch::Record;
use plexus::ipam::{Block, Holder, Report, Stock};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

/// Who runs with an address, and which machine was granted a block last.
#[derive(Default)]
pub struct Ledger {
    running: BTreeMap<IpAddr, Vec<(usize, u64)>>,
    granted: BTreeMap<IpAddr, BTreeSet<usize>>,
    /// Blocks that etcd has forgotten, or remembers as another node's, because it was restored.
    pub excused: BTreeSet<IpAddr>,
    /// Blocks of which a daemon has said that another node holds them.
    pub told: BTreeSet<IpAddr>,
}

fn block_of(world: &World, address: IpAddr) -> Block {
    world.pool.block_of(address)
}

/// Whether the plugin of `node` may take addresses of the block at `first` now.
fn is_usable(world: &World, node: usize, first: IpAddr) -> bool {
    let machine = &world.machines[node];
    let Some(grant) = machine.grant.as_ref().filter(|_| machine.is_on) else { return false };
    let Some(offer) = grant.offers.iter().find(|offer| offer.granted.first == first) else { return false };
    let is_open = Stock::new(grant, &machine.report).has(first) && !machine.asleep.contains(&offer.granted.lease);
    is_open && Stock::new(grant, &Report::default()).authorised(&machine.clocks(world.now)).is_ok()
}

/// An address was taken: U2, U4, U6.
pub fn taken(world: &mut World, node: usize, address: IpAddr) {
    let block = block_of(world, address);
    if world.pool.usable_in(&Block { first: address, size: 1 }).is_empty() {
        return world.fail(format!("U6: n{node} took {address}, which is not to be given"));
    }
    let owner = world.api.store.blocks.get(&block.first).map(|object| object.node);
    if owner != Some(node) && !world.ledger.excused.contains(&block.first) {
        return world.fail(format!("U2: n{node} took {address} of a block that is owned by {owner:?}"));
    }
    let age = (world.now - world.machines[node].confirmed_at) / SECOND;
    let limit = world.plan.spec.authority_seconds;
    if age > limit + limit / 10 + 2 {
        world.fail(format!("U4: n{node} took {address}, {age} s after its confirmation"));
    }
}

/// A pod runs with its address: U1.
pub fn began(world: &mut World, node: usize, pod: &Pod) {
    let Some(address) = pod.address else { return };
    let zombies: Vec<bool> = world.machines.iter().map(|machine| machine.is_zombie).collect();
    let all = world.ledger.running.entry(address).or_default();
    let others: Vec<(usize, u64)> = all.iter().copied().filter(|(other, _)| !zombies[*other]).collect();
    all.push((node, pod.container));
    let is_excused = world.ledger.excused.contains(&block_of(world, address).first);
    if others.is_empty() {
        return;
    }
    if is_excused {
        world.counts.lost += 1;
    } else {
        world.fail(format!("U1: n{node} has {address}, and so has {others:?}"));
    }
}

pub fn ended(world: &mut World, node: usize, pod: &Pod) {
    let Some(address) = pod.address else { return };
    if let Some(all) = world.ledger.running.get_mut(&address) {
        all.retain(|one| *one != (node, pod.container));
    }
}

/// A grant was written: U2.
pub fn published(world: &mut World, node: usize) {
    let Some(grant) = &world.machines[node].grant else { return };
    let firsts: Vec<IpAddr> = grant.offers.iter().map(|offer| offer.granted.first).collect();
    for first in firsts {
        world.trace(first, || format!("n{node} is granted it"));
        world.ledger.granted.entry(first).or_default().insert(node);
        let owner = world.api.store.blocks.get(&first).map(|object| object.node);
        if owner != Some(node) && is_usable(world, node, first) && !world.ledger.excused.contains(&first) {
            return world.fail(format!("U2: n{node} is granted {first}, which is owned by {owner:?}"));
        }
    }
}

/// A block was created: nobody else may use it.
pub fn leased(world: &mut World, node: usize, block: Block) {
    if world.ledger.excused.contains(&block.first) {
        return;
    }
    let known = world.ledger.granted.get(&block.first).cloned().unwrap_or_default();
    if let Some(other) = known.into_iter().find(|other| *other != node && is_usable(world, *other, block.first)) {
        world.fail(format!("U2: n{node} leases {}, which n{other} may use", block.first));
    }
}

/// A block was deleted: U2, U3.
pub fn freed(world: &mut World, node: usize, block: Block) {
    let known = world.ledger.granted.get(&block.first).cloned().unwrap_or_default();
    if world.ledger.excused.contains(&block.first) {
        return;
    }
    if let Some(user) = known.into_iter().find(|user| is_usable(world, *user, block.first)) {
        return world.fail(format!("U2: {} is deleted, and n{user} may use it", block.first));
    }
    let machine = &world.machines[node];
    let pods = machine.pods.iter().flatten().filter_map(|pod| pod.address);
    let user = pods.into_iter().find(|address| block.contains(*address));
    if let Some(address) = user.filter(|_| machine.is_on && !machine.is_zombie) {
        world.fail(format!("U3: {} is deleted, and a pod of n{node} has {address}", block.first));
    }
}

/// An epoch is dead: rule R.
pub fn buried(world: &mut World, node: usize) {
    let Some(record) = &world.api.store.records[node] else { return };
    let waited = world.now - record.revoked_at.unwrap_or(world.now);
    let wait = world.plan.quarantine();
    // Its clock may be fast; without blocks the terms of no pool count.
    if waited < wait.min(300 * SECOND) * 95 / 100 {
        return world.fail(format!("R: n{node} is dead {waited} ms after it was revoked"));
    }
    if world.plan.zombies && world.machines[node].is_on {
        world.machines[node].is_zombie = true;
    }
}

/// Rule R, too: a controller is about to write that the epoch is dead. At `told` it was told that the Node is gone, and its clock is that
/// fast, in thousandths: then the quarantine was over. 10 ms are for rounding.
pub fn buries(world: &mut World, node: usize, judged: &Record, (told, rate): (Time, u64)) {
    let revoked_at = world.api.store.records[node].as_ref().and_then(|record| record.revoked_at);
    let Some(revoked_at) = revoked_at.filter(|_| world.api.is_judged(node, judged, true)) else { return };
    let waited = told.saturating_sub(revoked_at) * rate / 1000 + 10;
    let wait = world.plan.quarantine();
    if waited < wait.min(300 * SECOND) {
        world.fail(format!("R: n{node} is dead, and its Node was asked for {waited} ms after it was revoked"));
    }
}

/// The controller has deleted a block.
pub fn reclaimed(world: &mut World, node: usize) {
    let gone_since = world.api.store.nodes[node].gone_since;
    if let Some(since) = gone_since.filter(|_| world.api.store.of_node[node].is_empty() && !world.machines[node].is_on)
    {
        let wait = world.plan.quarantine();
        world.counts.reclaims.push((world.now - since).saturating_sub(wait));
    }
}

/// All is quiet, and pods run: L1, L3, U5, and nobody waits for an address that is free.
pub fn settled(world: &mut World) {
    for node in 0..world.plan.nodes {
        if let Err(fault) = of_node(world, node) {
            return world.fail(fault);
        }
    }
    let owned: Vec<(IpAddr, usize)> = world.api.store.blocks.iter().map(|(first, one)| (*first, one.node)).collect();
    for (first, node) in owned {
        let machine = &world.machines[node];
        if !machine.is_on {
            let is_gone = world.api.store.nodes[node].gone_since.is_some();
            if is_gone {
                return world.fail(format!("U5: {first} of n{node}, whose Node is gone, is not free"));
            }
            continue;
        }
        let is_held = machine.daemon.as_ref().and_then(|daemon| daemon.holder.as_ref()).is_some_and(|h| h.holds(first));
        if machine.grant.is_none() {
            world.counts.forgotten += 1;
            continue;
        }
        if !is_held && !machine.is_zombie {
            return world.fail(format!("L3: {first} is owned by n{node}, which does not hold it"));
        }
    }
    if let Some(fault) = unreported(world) {
        return world.fail(fault);
    }
    count_stranded(world);
}

/// An address that two pods have, because etcd has forgotten a lease, is told to people.
fn unreported(world: &World) -> Option<String> {
    world.ledger.running.iter().filter(|(_, all)| all.len() > 1).find_map(|(address, all)| {
        let first = block_of(world, *address).first;
        let is_zombie = all.iter().any(|(node, _)| world.machines[*node].is_zombie);
        let is_told = is_zombie || world.ledger.told.contains(&first);
        (!is_told).then(|| format!("{address} is given to {all:?}, and nobody says so"))
    })
}

fn of_node(world: &World, node: usize) -> Result<(), String> {
    let machine = &world.machines[node];
    if !machine.is_on {
        return Ok(());
    }
    for pod in machine.pods.iter().flatten() {
        match pod.address {
            Some(address) if machine.files.get(&address).is_none_or(|taken| taken.container != pod.container) => {
                return Err(format!("L1: a pod of n{node} has {address} without its file"));
            }
            None if free_somewhere(world) => return Err(format!("a pod of n{node} waits, and addresses are free")),
            None => {
                if let Some(other) = idle_somewhere(world) {
                    return Err(format!("a pod of n{node} waits, and n{other} keeps what it does not need"));
                }
            }
            _ => {}
        }
    }
    let running: BTreeSet<u64> = machine.pods.iter().flatten().map(|pod| pod.container).collect();
    let stray = machine.files.iter().find(|(_, taken)| !running.contains(&taken.container));
    stray.map_or(Ok(()), |(address, _)| Err(format!("L1: {address} is taken on n{node} for nobody")))
}

/// Whether a block is nobody's.
fn free_somewhere(world: &World) -> bool {
    let taken: BTreeSet<IpAddr> = world.api.store.blocks.keys().copied().collect();
    world.pool.next_block(true, 0, &taken).is_some()
}

/// A node that keeps a block of which it needs nothing.
fn idle_somewhere(world: &World) -> Option<usize> {
    (0..world.plan.nodes).find(|node| {
        let machine = &world.machines[*node];
        let offers = machine.grant.iter().flat_map(|grant| &grant.offers).map(|offer| offer.granted.block());
        let is_idle = |block: Block| {
            let is_excused = world.ledger.excused.contains(&block.first);
            !is_excused && !machine.files.keys().any(|address| block.contains(*address))
        };
        let is_useful = |block: &Block| !world.pool.usable_in(block).is_empty();
        machine.is_on && !machine.is_zombie && offers.filter(is_useful).any(is_idle)
    })
}

fn count_stranded(world: &mut World) {
    let pool = Rc::clone(&world.pool);
    let of = |(first, object): (&IpAddr, &crate::api::BlockObject)| {
        pool.usable_in(&Block { first: *first, size: object.size }).count() as u64
    };
    let leased: u64 = world.api.store.blocks.iter().map(of).sum();
    let taken: u64 = world.machines.iter().filter(|machine| machine.is_on).map(|m| m.files.len() as u64).sum();
    world.counts.stranded += leased.saturating_sub(taken);
    let mut all = BTreeSet::new();
    let mut capacity = 0;
    if world.plan.nodes <= 40 {
        while let Some(block) = pool.next_block(true, 0, &all) {
            all.insert(block.first);
            capacity += pool.usable_in(&block).count() as u64;
        }
    }
    world.counts.capacity += capacity;
}

/// All pods are gone, and time has passed: L2.
pub fn emptied(world: &mut World) {
    for node in 0..world.plan.nodes {
        let machine = &world.machines[node];
        if !machine.is_on {
            continue;
        }
        let held = machine.daemon.as_ref().and_then(|daemon| daemon.holder.as_ref()).map(Holder::held);
        let held = held.unwrap_or_default().len() as u64;
        let (size, warm) = (u64::from(world.plan.spec.block_size.v4), u64::from(world.plan.spec.warm.max));
        // One block more is kept where it would fall below what is warm.
        let most = warm.div_ceil(size) + 1;
        let files = machine.files.len().max(machine.copies.len());
        if files > 0 || held > most {
            let report = &machine.report;
            let what = format!("{files} files and {held} blocks, {most} at most; the plugin has told {report:?}");
            return world.fail(format!("L2: without pods n{node} has {what}"));
        }
    }
}
