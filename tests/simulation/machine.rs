//! A machine: its clocks, what is on its disk and in its memory, and the plugin, which takes addresses and asks nobody.

use crate::check;
use crate::core::{Owner, SECOND, Shared, Time, World, sleep_until};
use crate::daemon::{self, Daemon};
use crate::plan::Without;
use crate::weather::Weather;
use plexus::ipam::memory::{self, Former, Memory, OfOthers};
use plexus::ipam::{Confirmed, Grant, Report, Stock};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How often a call asks the daemon beyond once, as `delegate::ipam::leased::take` does.
const LEASES: usize = 3;

/// A pod of this machine.
#[derive(Clone, Debug)]
pub struct Pod {
    pub container: u64,
    pub address: Option<IpAddr>,
}

/// What a person does to the disk.
#[derive(Clone, Copy, Debug)]
pub enum Erasure {
    Save,
    Delete,
    Restore,
}

/// The file of an address.
#[derive(Clone, Debug)]
pub struct Taken {
    pub container: u64,
    of: u64,
}

pub struct Machine {
    pub is_on: bool,
    pub is_linked: bool,
    /// Whether the API server accepts what its daemon sends: its pod exists.
    pub has_token: bool,
    pub boot: u32,
    booted_at: Time,
    paused_until: Time,
    /// For how long it was paused since it booted.
    paused: Time,
    /// How fast its clocks are, in thousandths.
    rate: u64,
    /// What its clock shows beyond the true time, in seconds.
    clock_ahead: u64,
    /// Its clock was set since it booted.
    is_clock_set: bool,
    /// In memory: what the daemon grants, and what the plugin tells it.
    pub grant: Option<Grant>,
    pub report: Report,
    /// When the question was sent, in true time, whose answer is the confirmation of the grant.
    pub confirmed_at: Time,
    /// Leases of which nothing is taken before the next confirmation, because that is taken for granted.
    pub asleep: BTreeSet<String>,
    /// Since when.
    asleep_since: Time,
    /// In memory, too: what is taken, where the disk has lost it.
    pub copies: BTreeMap<IpAddr, Taken>,
    /// On the disk.
    pub files: BTreeMap<IpAddr, Taken>,
    pub former: Vec<Former>,
    /// Of the disk, at some time.
    image: BTreeMap<IpAddr, Taken>,
    cursor: Option<IpAddr>,
    pub pods: Vec<Option<Pod>>,
    pub daemon: Option<Daemon>,
    pub incarnation: u32,
    /// Its pods outlived a quarantine, where the plan lets them.
    pub is_zombie: bool,
}

/// Why nothing was taken.
pub struct Dry {
    pub families: Vec<u8>,
    cooling: bool,
}

impl Machine {
    pub fn new(pods: usize, rate: u64) -> Self {
        Machine {
            is_on: false,
            is_linked: true,
            has_token: true,
            boot: 0,
            booted_at: 0,
            paused_until: 0,
            paused: 0,
            rate,
            clock_ahead: 40_000_000,
            is_clock_set: false,
            grant: None,
            report: Report::default(),
            confirmed_at: 0,
            asleep: BTreeSet::new(),
            asleep_since: 0,
            copies: BTreeMap::new(),
            files: BTreeMap::new(),
            former: Vec::new(),
            image: BTreeMap::new(),
            cursor: None,
            pods: vec![None; pods],
            daemon: None,
            incarnation: 0,
            is_zombie: false,
        }
    }

    pub fn runs_daemon(&self, incarnation: u32) -> bool {
        self.is_on && self.daemon.is_some() && self.incarnation == incarnation
    }

    /// From now on it takes nothing of `leases` before it has asked again.
    pub fn sleep(&mut self, leases: Vec<String>, now: Time) {
        self.asleep.extend(leases);
        self.asleep_since = now;
    }

    /// It has an answer to what it asked at `asked`: that tells nothing about the time after it.
    pub fn wake(&mut self, asked: Time) {
        if asked >= self.asleep_since {
            self.asleep.clear();
        }
    }

    pub fn paused_until(&self, now: Time) -> Option<Time> {
        (now < self.paused_until).then_some(self.paused_until)
    }

    pub fn pause(&mut self, now: Time, until: Time) {
        if self.paused_until <= now && until > now {
            self.paused += until - now;
            self.paused_until = until;
        }
    }

    /// Sets its clock a year back or ahead, if its other clock is right.
    pub fn set_clock(&mut self) {
        if self.paused == 0 {
            self.is_clock_set = true;
            self.clock_ahead = [40_000_000, 80_000_000, 1000][self.boot as usize % 3];
        }
    }

    /// Its clock goes on and the other one stands still, so that one of both is right.
    pub fn may_pause(&self) -> bool {
        self.is_on && !self.is_clock_set
    }

    /// Both clocks at the true time `now`.
    pub fn clocks(&self, now: Time) -> Confirmed {
        let since_boot = now.saturating_sub(self.booted_at).saturating_sub(self.paused) * self.rate / 1000 / SECOND;
        let clock = now * self.rate / 1000 / SECOND + self.clock_ahead;
        Confirmed { boot: format!("b{}", self.boot), since_boot, clock }
    }

    /// A person makes an image of the disk, deletes what is on it, or brings the image back.
    pub fn erase(&mut self, what: Erasure) {
        match what {
            Erasure::Save => self.image = self.files.clone(),
            Erasure::Delete => (self.files, self.former) = (BTreeMap::new(), Vec::new()),
            Erasure::Restore => (self.files, self.former) = (self.image.clone(), Vec::new()),
        }
    }

    /// What the plugin does whenever it lists what is taken: both places have the same.
    fn mend(&mut self, without: Without) {
        if without == Without::Copies {
            return;
        }
        for (address, taken) in &self.copies {
            self.files.entry(*address).or_insert_with(|| taken.clone());
        }
        for (address, taken) in &self.files {
            self.copies.entry(*address).or_insert_with(|| taken.clone());
        }
    }

    /// What containers have whose pods are gone.
    fn of_gone_containers(&self) -> Vec<(IpAddr, u64)> {
        let lives = |taken: &Taken| self.pods.iter().flatten().any(|pod| pod.container == taken.container);
        let gone = self.files.iter().filter(|(_, taken)| !lives(taken));
        gone.map(|(address, taken)| (*address, taken.container)).collect()
    }

    /// Whether a sweep has something to do.
    pub fn owes(&self) -> bool {
        !self.of_gone_containers().is_empty() || !self.files.keys().eq(self.copies.keys())
    }

    /// The addresses of files, sorted.
    fn taken(&self) -> Vec<IpAddr> {
        self.files.keys().copied().collect()
    }
}

/// The power is gone: what is in memory is lost, and the disk stays.
pub fn power_off(world: &mut World, node: usize) {
    kill_daemon(world, node);
    kill_pods(world, node);
    let keeps_grant = world.without == Without::Boot;
    let machine = &mut world.machines[node];
    machine.is_on = false;
    machine.is_zombie = false;
    machine.paused_until = 0;
    machine.asleep.clear();
    machine.copies.clear();
    if !keeps_grant {
        (machine.grant, machine.report) = (None, Report::default());
    }
}

/// Sandboxes end, and their files stay until DEL or a sweep.
pub fn kill_pods(world: &mut World, node: usize) {
    for slot in 0..world.machines[node].pods.len() {
        if let Some(pod) = world.machines[node].pods[slot].take() {
            check::ended(world, node, &pod);
        }
    }
}

pub fn kill_daemon(world: &mut World, node: usize) {
    world.machines[node].daemon = None;
    world.has_ended = true;
}

pub fn power_on(world: &Shared, node: usize) {
    {
        let mut world = world.borrow_mut();
        let now = world.now;
        let machine = &mut world.machines[node];
        (machine.is_on, machine.booted_at, machine.paused, machine.is_clock_set) = (true, now, 0, false);
        machine.boot += 1;
        // The first call of the plugin starts a sweep; the records of another boot are evidence.
        let after = world.between(SECOND, 60 * SECOND);
        world.later(after, Weather::Sweep { node });
        let after = world.between(SECOND, 20 * SECOND);
        world.later(after, Weather::StartDaemon { node });
    }
}

/// Takes an address for a pod, or says what is needed.
fn take(world: &mut World, node: usize, container: u64, of: u64, takes_cooling: bool) -> Result<IpAddr, Dry> {
    let dry = |families: Vec<u8>, cooling| Dry { families, cooling };
    let (now, without) = (world.now, world.without);
    let machine = &mut world.machines[node];
    machine.mend(without);
    let Some(grant) = &machine.grant else { return Err(dry(Vec::new(), false)) };
    let mut grant = grant.clone();
    grant.offers.retain(|offer| !machine.asleep.contains(&offer.granted.lease));
    let report = if without == Without::Release { Report::default() } else { machine.report.clone() };
    let stock = Stock::new(&grant, &report);
    let mut clocks = machine.clocks(now);
    match without {
        Without::Clock => clocks.clock = grant.confirmed.clock,
        Without::SinceBoot => clocks.since_boot = grant.confirmed.since_boot,
        Without::Boot => clocks.boot.clone_from(&grant.confirmed.boot),
        _ => {}
    }
    let is_authorised = stock.authorised(&clocks).is_ok() || (without == Without::Stamp && !clocks.boot.is_empty());
    if !is_authorised {
        return Err(dry(Vec::new(), false));
    }
    let taken: plexus::ipam::Taken = machine.taken().into_iter().collect();
    let memory = Memory::new(&machine.former, clocks.clock, stock.times());
    let is_free = |address: &IpAddr| stock.offers(*address) && !taken.contains(*address);
    let OfOthers { kept, cooling } = memory.of_others(of);
    let cools = cooling.iter().any(is_free);
    let last = if takes_cooling { cooling } else { Vec::new() };
    let fresh = stock.candidates(true, machine.cursor, &taken).filter(|address| !memory.knows(*address));
    let mut in_turn = memory.own(of).into_iter().filter(is_free).chain(fresh);
    let Some(address) = in_turn.next().or_else(|| kept.into_iter().chain(last).find(is_free)) else {
        return Err(dry(vec![4], cools));
    };
    machine.files.insert(address, Taken { container, of });
    machine.copies.insert(address, Taken { container, of });
    machine.cursor = Some(address);
    Ok(address)
}

/// Tells the daemon, if that has changed, what is not needed any more and what runs low.
pub fn tell(world: &mut World, node: usize) {
    let (now, without) = (world.now, world.without);
    let machine = &mut world.machines[node];
    machine.mend(without);
    let Some(grant) = &machine.grant else { return };
    let clocks = machine.clocks(now);
    if grant.confirmed.boot != clocks.boot {
        return;
    }
    let stock = Stock::new(grant, &machine.report);
    let report = stock.report(&machine.taken().into_iter().collect());
    let (times, files) = (stock.times(), &machine.files);
    let is_kept = |one: &Former| !times.is_over(one, clocks.clock) && stock.has(one.address);
    machine.former.retain(|one| is_kept(one) && !files.contains_key(&one.address));
    if report != machine.report {
        machine.report = report;
        daemon::told(world, node);
    }
}

/// ADD of the pod in `slot`, again and again as the kubelet does, until it is done or the pod is gone.
pub async fn add(world: Shared, node: usize, boot: u32, slot: usize, container: u64) {
    let owner = Owner::Plugin(node, boot);
    let of = memory::identity(&format!("ns/p{slot}"), "net1");
    loop {
        let mut takes_cooling = false;
        for turn in 0..=LEASES {
            if !is_wanted(&world, node, slot, container) {
                return;
            }
            let taken = take(&mut world.borrow_mut(), node, container, of, takes_cooling);
            let dry = match taken {
                Ok(address) => return added(&world, node, slot, address),
                Err(dry) => dry,
            };
            if turn == LEASES {
                break;
            }
            let leased = daemon::lease(&world, node, owner, dry.families).await;
            if leased.is_err() {
                if !dry.cooling || takes_cooling {
                    break;
                }
                takes_cooling = true;
            }
        }
        let again = {
            let mut world = world.borrow_mut();
            world.counts.failed_adds += 1;
            world.now + world.between(SECOND, 20 * SECOND)
        };
        sleep_until(&world, owner, again, |_| false).await;
    }
}

fn is_wanted(world: &Shared, node: usize, slot: usize, container: u64) -> bool {
    world.borrow().machines[node].pods[slot].as_ref().is_some_and(|pod| pod.container == container)
}

fn added(world: &Shared, node: usize, slot: usize, address: IpAddr) {
    let world = &mut world.borrow_mut();
    check::taken(world, node, address);
    let is_killed = !world.is_calm && world.random.chance(2);
    if is_killed {
        // After the file or its copy, or both, and before the answer: the sandbox goes, and a sweep finds what there is.
        let which = world.random.below(3);
        let machine = &mut world.machines[node];
        machine.pods[slot] = None;
        match which {
            0 => drop(machine.files.remove(&address)),
            1 => drop(machine.copies.remove(&address)),
            _ => {}
        }
        return sweep_later(world, node);
    }
    world.counts.pods += 1;
    let Some(pod) = &mut world.machines[node].pods[slot] else { return };
    pod.address = Some(address);
    let pod = pod.clone();
    check::began(world, node, &pod);
    tell(world, node);
}

/// DEL of the pod in `slot`.
pub fn del(world: &mut World, node: usize, slot: usize) {
    let Some(pod) = world.machines[node].pods[slot].take() else { return };
    check::ended(world, node, &pod);
    let Some(address) = pod.address else { return };
    let is_killed = !world.is_calm && world.random.chance(2);
    match if is_killed { world.random.below(3) } else { 3 } {
        // Before it has done anything; after the copy; before it tells the daemon.
        0 => {}
        1 => drop(world.machines[node].copies.remove(&address)),
        2 => give_back(world, node, address, pod.container),
        _ => {
            give_back(world, node, address, pod.container);
            return tell(world, node);
        }
    }
    sweep_later(world, node);
}

/// There may be files of containers that are gone.
pub fn sweep_later(world: &mut World, node: usize) {
    let after = world.between(600 * SECOND, 1200 * SECOND);
    world.later(after, Weather::Sweep { node });
}

/// Each removes what is its own in both places. Another one's file is of an image.
fn give_back(world: &mut World, node: usize, address: IpAddr, container: u64) {
    let now = world.now;
    let machine = &mut world.machines[node];
    let at = machine.clocks(now).clock;
    let is_own = |taken: &Taken| taken.container == container;
    if machine.copies.get(&address).is_some_and(is_own) {
        machine.copies.remove(&address);
    }
    if machine.files.get(&address).is_some_and(is_own)
        && let Some(taken) = machine.files.remove(&address)
    {
        machine.former.push(Former { at, of: taken.of, address });
    }
}

/// Files of containers that are gone.
pub fn sweep(world: &mut World, node: usize) {
    let without = world.without;
    world.machines[node].mend(without);
    let gone = world.machines[node].of_gone_containers();
    gone.into_iter().for_each(|(address, container)| give_back(world, node, address, container));
    tell(world, node);
}
