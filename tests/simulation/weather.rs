//! What comes from outside: pods, faults, people, and what the watches show.

use crate::api::Store;
use crate::core::{Owner, SECOND, Shared, Time, World};
use crate::machine::{self, Erasure, Pod};
use crate::{controller, daemon};
use std::collections::BTreeSet;
use std::net::IpAddr;

#[derive(Clone, Copy, Debug)]
pub enum Weather {
    /// A pod of a machine comes or goes.
    Pods {
        node: usize,
    },
    /// A fault of the whole cluster, and the next one.
    Fault,
    StartDaemon {
        node: usize,
    },
    StartController {
        at: usize,
    },
    Sweep {
        node: usize,
    },
    PowerOn {
        node: usize,
    },
    /// The kubelet registers its Node, or a person takes the taint away.
    Register {
        node: usize,
    },
    Link {
        node: usize,
    },
    Token {
        node: usize,
    },
    LinkController {
        at: usize,
    },
    ApiBack,
    /// A watch shows whether a Node is there; it shows all of them; it shows a record.
    Seen {
        at: usize,
        watch: u32,
        node: usize,
        is_there: bool,
    },
    Relist {
        at: usize,
        watch: u32,
    },
    RecordSeen {
        node: usize,
    },
    /// A watch shows the mark of the pool, or that there is none.
    MarkSeen {
        node: usize,
    },
    /// The keeper of the node gives back what the daemon calls back.
    CallBack {
        node: usize,
    },
    BackUp,
    Restore,
    /// The files of a machine are deleted, or are those of an image.
    Erase {
        node: usize,
        what: Erasure,
    },
}

pub fn happen(world: &Shared, weather: Weather) {
    match weather {
        Weather::StartDaemon { node } => return daemon::start(world, node),
        Weather::StartController { at } => return controller::start(world, at),
        Weather::PowerOn { node } => return power_on(world, node),
        Weather::Pods { node } => return pods(world, node),
        Weather::Fault => return fault(world),
        _ => {}
    }
    let world = &mut *world.borrow_mut();
    match weather {
        Weather::Sweep { node } if world.machines[node].is_on => machine::sweep(world, node),
        Weather::Register { node } if world.machines[node].is_on => {
            // Its kubelet stands still, too.
            if let Some(until) = world.machines[node].paused_until(world.now) {
                return world.later(until - world.now + SECOND, weather);
            }
            register(world, node);
        }
        Weather::Link { node } => {
            world.machines[node].is_linked = true;
            mark_later(world, node);
        }
        Weather::Token { node } => world.machines[node].has_token = true,
        Weather::LinkController { at } => {
            world.controllers[at].is_linked = true;
            relist(world, at);
        }
        Weather::ApiBack => api_back(world),
        Weather::Seen { at, watch, node, is_there } if world.controllers[at].watch == watch => {
            let own = &mut world.controllers[at];
            let Some(there) = &mut own.there else { return };
            if is_there {
                there.insert(node);
                own.appeared.insert(node);
            } else {
                there.remove(&node);
            }
        }
        Weather::Relist { at, watch } if world.controllers[at].watch == watch => {
            let nodes = world.api.store.nodes.iter().enumerate();
            let there: BTreeSet<usize> =
                nodes.filter(|(_, node)| node.gone_since.is_none()).map(|(node, _)| node).collect();
            let own = &mut world.controllers[at];
            (own.there, own.is_relisted) = (Some(there), true);
        }
        Weather::RecordSeen { node } => daemon::changed(world, node),
        Weather::MarkSeen { node } if world.machines[node].is_linked => daemon::marked(world, node),
        Weather::CallBack { node } if world.machines[node].is_on => {
            if let Some(until) = world.machines[node].paused_until(world.now) {
                return world.later(until - world.now + SECOND, weather);
            }
            machine::tell(world, node);
        }
        Weather::BackUp => world.api.backup = Some(world.api.store.clone()),
        Weather::Restore => restore(world),
        Weather::Erase { node, what } => {
            world.machines[node].erase(what);
            // An image may have files of containers that are gone. The sweep that comes each ten minutes finds them.
            machine::sweep_later(world, node);
        }
        _ => {}
    }
}

fn power_on(world: &Shared, node: usize) {
    let is_off = !world.borrow().machines[node].is_on;
    if is_off {
        machine::power_on(world, node);
        let world = &mut world.borrow_mut();
        let after = world.between(5 * SECOND, 30 * SECOND);
        world.later(after, Weather::Register { node });
    }
}

/// The kubelet of a machine registers its Node.
fn register(world: &mut World, node: usize) {
    world.api.store.nodes[node].gone_since = None;
    if !world.machines[node].has_token {
        // Its daemon is a pod, too: it comes later than its Node.
        let longest = if world.is_calm { SECOND } else { world.plan.pod_of_daemon };
        let after = world.between(1, longest);
        world.later(after, Weather::Token { node });
    }
    node_changed(world, node);
}

/// The watch of a controller begins again with a list.
pub fn relist(world: &mut World, at: usize) {
    let after = world.between(SECOND / 10, 2 * SECOND);
    // A number that no former incarnation has had.
    let watch = u32::try_from(world.random.next() >> 32).unwrap_or(u32::MAX);
    world.controllers[at].watch = watch;
    world.later(after, Weather::Relist { at, watch });
}

/// The watches of controllers show it later, in order; one that breaks lists again.
fn node_changed(world: &mut World, node: usize) {
    let is_there = world.api.store.nodes[node].gone_since.is_none();
    for at in 0..world.controllers.len() {
        if !world.controllers[at].is_linked {
            continue;
        }
        let slow = !world.is_calm && world.random.chance(5);
        let delay = if slow { world.between(SECOND, 100 * SECOND) } else { world.between(1, SECOND) };
        let own = &mut world.controllers[at];
        own.seen_at = own.seen_at.max(world.now + delay);
        let (after, watch) = (own.seen_at - world.now, own.watch);
        world.later(after, Weather::Seen { at, watch, node, is_there });
    }
}

/// The daemon's watch of its record shows it, or is silent.
pub fn record_changed(world: &mut World, node: usize) {
    let is_silent = !world.is_calm && world.random.chance(20);
    if world.machines[node].is_linked && !is_silent {
        let after = world.between(5, 2 * SECOND);
        world.later(after, Weather::RecordSeen { node });
    }
}

/// The mark of the pool has another word, or there is none any more.
pub fn marked(world: &mut World) {
    (0..world.plan.nodes)
        .filter(|node| world.machines[*node].is_linked)
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|node| mark_later(world, node));
}

/// A watch shows it, sooner or later.
pub fn mark_later(world: &mut World, node: usize) {
    let slow = !world.is_calm && world.random.chance(5);
    let after = if slow { world.between(SECOND, 100 * SECOND) } else { world.between(5, SECOND) };
    world.later(after, Weather::MarkSeen { node });
}

fn api_back(world: &mut World) {
    world.api.is_away = false;
    for at in 0..world.controllers.len() {
        relist(world, at);
    }
    for node in 0..world.plan.nodes {
        let after = world.between(SECOND / 10, 10 * SECOND);
        world.later(after, Weather::RecordSeen { node });
        mark_later(world, node);
    }
}

/// The controller has asked about a Node that is gone, whose mark still stands after most of the quarantine. From here on no
/// pod of that machine runs; it is off, or it stands still and gives nothing of what it had before it has asked again.
pub fn outlived(world: &mut World, node: usize) {
    let Some(gone_since) = world.api.store.nodes[node].gone_since else { return };
    let since = world.api.store.records[node].as_ref().map_or(Some(gone_since), |record| record.revoked_at);
    let wait = world.plan.quarantine();
    let wait = wait.min(300 * SECOND);
    let is_over = since.is_some_and(|since| world.now - since >= wait * 3 / 4);
    if !is_over || world.plan.zombies || !world.machines[node].is_on {
        return;
    }
    let machine = &world.machines[node];
    if machine.paused_until(world.now).is_some() && machine.pods.iter().all(Option::is_none) {
        // It stands still already.
        fall_asleep(world, node);
        return new_blocks_sleep(world, node);
    }
    if world.is_calm || world.random.chance(60) {
        machine::power_off(world, node);
        if !world.is_calm && world.random.chance(70) {
            let after = world.between(10 * SECOND, 900 * SECOND);
            world.later(after, Weather::PowerOn { node });
        }
        return;
    }
    new_blocks_sleep(world, node);
    freeze(world, node, wait);
}

/// A block was created. Before its daemon hears of that, the machine may stand still, and somebody deletes its Node.
pub fn created(world: &mut World, node: usize) {
    if world.is_calm || world.plan.zombies || !world.random.chance(2) {
        return;
    }
    let now = world.now;
    world.api.store.nodes[node].gone_since.get_or_insert(now);
    node_changed(world, node);
    let wait = world.plan.quarantine();
    freeze(world, node, wait.min(300 * SECOND));
}

/// No pod runs, and nothing is taken of what was granted before the next confirmation. The daemon goes on later.
fn freeze(world: &mut World, node: usize, wait: Time) {
    machine::kill_pods(world, node);
    let now = world.now;
    if !world.machines[node].may_pause() {
        return machine::power_off(world, node);
    }
    let until = (now + world.between(wait / 3, wait * 4)).min(world.plan.storm);
    fall_asleep(world, node);
    world.machines[node].pause(now, until);
    let after = world.between(SECOND, 60 * SECOND);
    world.later(until.saturating_sub(now) + after, Weather::Register { node });
}

fn fall_asleep(world: &mut World, node: usize) {
    let machine = &mut world.machines[node];
    let leases = machine.grant.iter().flat_map(|grant| &grant.offers).map(|offer| offer.granted.lease.clone());
    let leases = leases.collect();
    machine.sleep(leases, world.now);
}

/// Nor is anything taken of a block that is leased and not granted yet: its daemon may have had its confirmation already.
fn new_blocks_sleep(world: &mut World, node: usize) {
    let leased = world.api.store.blocks.values().filter(|block| block.node == node);
    let leases: Vec<String> = leased.map(|block| block.lease.clone()).collect();
    let now = world.now;
    world.machines[node].sleep(leases, now);
}

fn pods(world: &Shared, node: usize) {
    let inner = &mut *world.borrow_mut();
    if inner.is_calm {
        return;
    }
    let every = inner.plan.pod_every;
    let after = inner.between(every / 2, every * 3 / 2);
    inner.later(after, Weather::Pods { node });
    let slots = inner.plan.pods;
    let slot = inner.random.below(slots);
    let machine = &inner.machines[node];
    if !machine.is_on || machine.paused_until(inner.now).is_some() {
        return;
    }
    if machine.pods[slot].is_some() {
        return machine::del(inner, node, slot);
    }
    begin(world, inner, node, slot);
}

/// A pod comes.
pub fn begin(world: &Shared, inner: &mut World, node: usize, slot: usize) {
    let (container, boot) = (inner.random.next(), inner.machines[node].boot);
    inner.machines[node].pods[slot] = Some(Pod { container, address: None });
    inner.spawn(Owner::Plugin(node, boot), machine::add(world.clone(), node, boot, slot, container));
}

fn fault(world: &Shared) {
    let world = &mut *world.borrow_mut();
    if world.is_calm {
        return;
    }
    world.counts.faults += 1;
    let every = world.plan.fault_every;
    let after = world.between(every / 2, every * 3 / 2);
    world.later(after, Weather::Fault);
    let node = world.random.below(world.plan.nodes);
    let of = world.random.below(100);
    match of {
        0..14 => power(world, node),
        14..34 => node_gone(world, node),
        34..46 => {
            world.machines[node].is_linked = false;
            let after = world.between(3 * SECOND, 400 * SECOND);
            world.later(after, Weather::Link { node });
        }
        46..64 => {
            machine::kill_daemon(world, node);
            let after = world.between(SECOND / 10, 30 * SECOND);
            world.later(after, Weather::StartDaemon { node });
        }
        64..72 => stand_still(world, node),
        72..76 => world.machines[node].set_clock(),
        76..84 => {
            world.api.is_away = true;
            let after = world.between(2 * SECOND, 90 * SECOND);
            world.later(after, Weather::ApiBack);
        }
        84..94 => controller_fault(world),
        94..97 => {
            world.machines[node].has_token = false;
            let after = world.between(10 * SECOND, 300 * SECOND);
            world.later(after, Weather::Token { node });
        }
        _ if world.plan.restores => {
            world.later(0, Weather::BackUp);
            let after = world.between(20 * SECOND, 600 * SECOND);
            world.later(after, Weather::Restore);
            world.plan.restores = false;
        }
        _ => {}
    }
}

fn power(world: &mut World, node: usize) {
    machine::power_off(world, node);
    let after = if world.random.chance(50) { 20 * SECOND } else { 600 * SECOND };
    let after = world.between(after / 2, after);
    world.later(after, Weather::PowerOn { node });
}

/// A person or a cloud controller deletes the Node, or says that the machine is off.
fn node_gone(world: &mut World, node: usize) {
    let now = world.now;
    world.api.store.nodes[node].gone_since.get_or_insert(now);
    node_changed(world, node);
    let wait = world.plan.quarantine().min(600 * SECOND);
    let registers = world.between(SECOND, wait * 2);
    match world.random.below(4) {
        // The machine is off, and may come back.
        0 => {
            machine::power_off(world, node);
            if world.random.chance(70) {
                world.later(registers * 2, Weather::PowerOn { node });
            }
        }
        // It lives, and the API server hears it or not.
        1 => world.later(registers, Weather::Register { node }),
        2 => {
            world.machines[node].is_linked = false;
            let linked = world.between(SECOND, wait * 2);
            world.later(linked, Weather::Link { node });
            world.later(registers, Weather::Register { node });
        }
        // The pod of its daemon goes with the Node.
        _ => {
            world.machines[node].has_token = false;
            world.later(registers, Weather::Register { node });
        }
    }
}

/// The process of `owner` is between two steps: it is killed, or its machine loses its power or stands still. Answers whether
/// that is its end.
pub fn end(world: &mut World, owner: Owner) -> bool {
    let is_of_machine = world.random.chance(30);
    match owner {
        Owner::Controller(at, _) => {
            controller::kill(world, at);
            let after = world.between(SECOND, 60 * SECOND);
            world.later(after, Weather::StartController { at });
        }
        Owner::Daemon(node, _) | Owner::Plugin(node, _) if is_of_machine && world.random.chance(50) => {
            // What it has sent is answered while it stands still.
            stand_still(world, node);
            return false;
        }
        Owner::Daemon(node, _) | Owner::Plugin(node, _) if is_of_machine => power(world, node),
        Owner::Daemon(node, _) | Owner::Plugin(node, _) => {
            machine::kill_daemon(world, node);
            let after = world.between(SECOND / 10, 30 * SECOND);
            world.later(after, Weather::StartDaemon { node });
        }
    }
    world.counts.ended += 1;
    true
}

/// A machine that is virtual stands still. Its clock goes on, so that only one of both clocks is wrong.
fn stand_still(world: &mut World, node: usize) {
    let authority = world.plan.spec.authority_seconds * SECOND;
    let longest = if authority <= 600 * SECOND { authority * 2 } else { 120 * SECOND };
    let (now, storm, for_so_long) = (world.now, world.plan.storm, world.between(SECOND, longest));
    let machine = &mut world.machines[node];
    if machine.may_pause() {
        machine.pause(now, (now + for_so_long).min(storm));
    }
}

fn controller_fault(world: &mut World) {
    let at = world.random.below(world.controllers.len());
    let (after, is_killed) = (world.between(SECOND, 200 * SECOND), world.random.chance(50));
    if is_killed {
        controller::kill(world, at);
        world.later(after, Weather::StartController { at });
    } else {
        world.controllers[at].is_linked = false;
        world.later(after, Weather::LinkController { at });
    }
}

/// etcd is restored from the backup: what was written since is forgotten, and all watches break.
fn restore(world: &mut World) {
    let Some(backup) = world.api.backup.take() else { return };
    let former = std::mem::replace(&mut world.api.store, backup);
    let restored = &mut world.api.store;
    let lease = |of: &Store, first: &IpAddr| of.blocks.get(first).map(|object| (object.node, object.lease.clone()));
    let firsts: BTreeSet<IpAddr> = former.blocks.keys().chain(restored.blocks.keys()).copied().collect();
    let changed = firsts.into_iter().filter(|first| lease(&former, first) != lease(restored, first));
    world.ledger.excused.extend(changed);
    // Kubelets register their Nodes again at once, and who deleted one deletes it again.
    restored.nodes = former.nodes;
    world.counts.restored += 1;
    api_back(world);
}

/// No fault comes any more, and what was broken is mended. Machines that are off stay off where their Node is gone.
pub fn calm(world: &Shared) {
    let nodes = {
        let world = &mut *world.borrow_mut();
        world.is_calm = true;
        (world.api.is_away, world.plan.restores) = (false, false);
        for machine in &mut world.machines {
            (machine.is_linked, machine.has_token) = (true, true);
        }
        api_back(world);
        world.plan.nodes
    };
    for node in 0..nodes {
        let (is_on, is_gone) = {
            let world = world.borrow();
            (world.machines[node].is_on, world.api.store.nodes[node].gone_since.is_some())
        };
        let world = &mut *world.borrow_mut();
        if is_on {
            world.later(0, Weather::StartDaemon { node });
            world.later(SECOND, Weather::Register { node });
            // Where nothing is owed, nothing calls the plugin any more.
            if world.machines[node].owes() {
                world.later(20 * SECOND, Weather::Sweep { node });
            }
        } else if !is_gone {
            world.later(0, Weather::PowerOn { node });
        }
    }
    let at = world.borrow().controllers.len();
    for at in 0..at {
        world.borrow_mut().controllers[at].is_linked = true;
        controller::start(world, at);
        relist(&mut world.borrow_mut(), at);
    }
}

/// How long is long enough for everything to be done that is owed.
pub fn patience(world: &World) -> Time {
    let wait = world.plan.quarantine();
    2 * wait.max(300 * SECOND) + 900 * SECOND
}
