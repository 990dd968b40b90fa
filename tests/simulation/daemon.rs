//! The daemon of a node around the shipped [`Holder`], [`Question`] and [`Grant`]: what `daemon::addresses` does, in the
//! same order. It may end at each `await`.

use crate::api::{Reply, Request};
use crate::check;
use crate::core::{Owner, SECOND, Shared, Time, World, ask, sleep_until, step, until};
use crate::plan::Without;
use crate::weather::Weather;
use plexus::ipam::holder::Owned;
use plexus::ipam::name::number_of;
use plexus::ipam::question::{Ask, Created, Heed, Question, Standing};
use plexus::ipam::scarcity::{self, Scarcity};
use plexus::ipam::waiting::Waiting;
use plexus::ipam::{Confirmed, Effect, Event, Grant, Granted, Holder, PoolName, Report};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

// As in `daemon::addresses`.
const RESYNC_EVERY: Time = 300 * SECOND;
const FRESH: Time = 30 * SECOND;
const PAUSE: Time = 10 * SECOND;
const BLIND_TRIES: usize = 3;
const TRIES: usize = 8;
const MOST_EFFECTS: usize = 4096;
const LOOK_EVERY: Time = SECOND;
const ASK_EVERY: Time = 120 * SECOND;
const ASK_AGAIN: Time = 5 * SECOND;
const ANSWER_LIMIT: Time = 10 * SECOND;
/// Why nothing is leased of a pool of which all is leased.
const DRY: &str = "no block is free";

/// What a process remembers.
#[derive(Default)]
pub struct Daemon {
    prefix: String,
    pub holder: Option<Holder>,
    pub epoch: String,
    confirmed: Confirmed,
    confirmed_at: Time,
    synced: Option<Time>,
    leased: Option<Time>,
    pause: Time,
    /// The lock of this state, and who waits for it.
    is_locked: bool,
    waiters: Vec<u64>,
    /// The plugin has told something new.
    is_told: bool,
    /// The watch has told something new.
    is_changed: bool,
    tasks: [u64; 2],
    /// What it knows of pods that wait, here and elsewhere, by a clock that began with it.
    scarcity: Scarcity,
    /// The word with which the grant was published last.
    told: Option<String>,
    /// Answers to the plugin.
    answers: BTreeMap<u64, Result<(), String>>,
}

/// One process.
#[derive(Clone)]
struct Process {
    world: Shared,
    node: usize,
    owner: Owner,
}

type Outcome = Result<(), String>;

pub fn start(world: &Shared, node: usize) {
    let mut inner = world.borrow_mut();
    let machine = &mut inner.machines[node];
    if !machine.is_on || machine.daemon.is_some() {
        return;
    }
    machine.incarnation += 1;
    let owner = Owner::Daemon(node, machine.incarnation);
    machine.daemon = Some(Daemon { prefix: format!("n{node}.{}", machine.incarnation), ..Daemon::default() });
    let process = Process { world: world.clone(), node, owner };
    let tasks = [inner.spawn(owner, process.clone().follow()), inner.spawn(owner, process.guard())];
    if let Some(daemon) = &mut inner.machines[node].daemon {
        daemon.tasks = tasks;
    }
    crate::weather::mark_later(&mut inner, node);
}

/// The watch of marks has told something.
pub fn marked(world: &mut World, node: usize) {
    let (mark, now) = (world.api.store.mark.clone(), clock(world.now));
    let Some(daemon) = &mut world.machines[node].daemon else { return };
    let before = daemon.scarcity.word(now).map(str::to_owned);
    match mark {
        Some(mark) => daemon.scarcity.marked(mark, now),
        None => daemon.scarcity.unmarked(),
    }
    if daemon.scarcity.word(now) != before.as_deref() {
        told(world, node);
    }
}

fn clock(now: Time) -> Duration {
    Duration::from_millis(now)
}

/// The plugin has told something: within a second it is read.
pub fn told(world: &mut World, node: usize) {
    let after = world.between(1, LOOK_EVERY);
    let machine = &mut world.machines[node];
    let owner = Owner::Daemon(node, machine.incarnation);
    if let Some(daemon) = &mut machine.daemon {
        daemon.is_told = true;
        let task = daemon.tasks[0];
        world.wake_later(after, owner, task);
    }
}

/// The watch of the record has told something.
pub fn changed(world: &mut World, node: usize) {
    if let Some(daemon) = &mut world.machines[node].daemon {
        daemon.is_changed = true;
        let task = daemon.tasks[1];
        world.woken.push(task);
    }
}

/// What the plugin asks of the daemon.
pub async fn lease(world: &Shared, node: usize, asker: Owner, families: Vec<u8>) -> Outcome {
    let (number, owner) = {
        let mut inner = world.borrow_mut();
        let machine = &inner.machines[node];
        if machine.daemon.is_none() {
            return Err("no daemon".to_owned());
        }
        let owner = Owner::Daemon(node, machine.incarnation);
        let process = Process { world: world.clone(), node, owner };
        let number = inner.random.next();
        inner.spawn(owner, async move {
            let asked = process.now();
            process.lock().await;
            // What nobody waits for any more is not begun.
            let waiting = Waiting { asked, until: Some(asked + ANSWER_LIMIT) };
            let is_late = waiting.is_over(process.now());
            let (is_shared, before) = process.with(|world, daemon| (world.shares_blocks(), daemon.leased));
            let outcome = if is_late && !process.without(Without::Asker) {
                Err("late".to_owned())
            } else {
                process.lease(&families, waiting).await
            };
            if outcome.as_ref().is_err_and(|why| why == DRY) {
                process.ask_others().await;
            }
            let after = process.with(|_, daemon| daemon.leased);
            let (is_new, came) = (after != before, |leased: Option<Time>| leased.is_some_and(|leased| leased > asked));
            if is_late && is_new {
                let mut world = process.world.borrow_mut();
                world.fail(format!("L2: n{node} leases a block for a plugin that waits no more"));
            }
            // The one that came may be given back meanwhile.
            let has_another =
                process.with(|_, daemon| daemon.holder.as_ref().is_some_and(|holder| holder.held().len() > 1));
            if is_shared && is_new && came(before) && has_another {
                let mut world = process.world.borrow_mut();
                world.fail(format!("W1: n{node} leases another block for a plugin that waited while one was leased"));
            }
            if outcome.is_ok() && !families.is_empty() && !came(after) {
                let mut world = process.world.borrow_mut();
                world.fail(format!("L3: n{node} answers a plugin that asked after the last block was leased"));
            }
            process.unlock();
            process.step_on().await;
            if let Some(daemon) = &mut process.world.borrow_mut().machines[process.node].daemon {
                daemon.answers.insert(number, outcome);
            }
        });
        (number, owner)
    };
    let due = world.borrow().now + ANSWER_LIMIT;
    // The answer is looked at when it is due at the latest, and every tenth of a second.
    loop {
        let (now, alive) = (world.borrow().now, world.borrow().is_alive(owner));
        let answer =
            world.borrow_mut().machines[node].daemon.as_mut().and_then(|daemon| daemon.answers.remove(&number));
        match answer {
            Some(outcome) => return outcome,
            None if now >= due || !alive => return Err("no answer".to_owned()),
            None => sleep_until(world, asker, now + SECOND / 10, |_| false).await,
        }
    }
}

impl Process {
    fn with<T>(&self, work: impl FnOnce(&mut World, &mut Daemon) -> T) -> T {
        let mut world = self.world.borrow_mut();
        // A process that is polled lives.
        let mut daemon = world.machines[self.node].daemon.take().unwrap();
        let done = work(&mut world, &mut daemon);
        world.machines[self.node].daemon = Some(daemon);
        done
    }

    fn now(&self) -> Time {
        self.world.borrow().now
    }

    fn without(&self, rule: Without) -> bool {
        self.world.borrow().without == rule
    }

    /// Here the process may end.
    async fn step_on(&self) {
        step(&self.world, self.owner).await;
    }

    async fn ask(&self, request: Request) -> Option<Reply> {
        ask(&self.world, self.owner, request).await
    }

    async fn lock(&self) {
        let node = self.node;
        until(&self.world, |world, current| {
            let daemon = world.machines[node].daemon.as_mut()?;
            if daemon.is_locked {
                daemon.waiters.push(current);
                return None;
            }
            daemon.is_locked = true;
            Some(())
        })
        .await;
    }

    fn unlock(&self) {
        self.with(|world, daemon| {
            daemon.is_locked = false;
            world.woken.append(&mut daemon.waiters);
        });
    }

    /// `Addresses::follow` and `Keeper::tend`.
    async fn follow(self) {
        let node = self.node;
        loop {
            let is_granted = self.world.borrow().machines[node].grant.is_some();
            match is_granted {
                true => self.tend().await,
                // There is nothing to tell it of.
                false => self.with(|_, daemon| daemon.is_told = false),
            }
            let report = self.world.borrow().machines[node].report.clone();
            let is_low = is_granted && !self.low(&report).is_empty();
            let due = self.with(|world, daemon| {
                let look = if is_low { LOOK_EVERY } else { RESYNC_EVERY };
                let synced = daemon.synced.map_or(world.now + LOOK_EVERY, |synced| synced + RESYNC_EVERY + 1);
                let next = (world.now + look).min(synced);
                if daemon.pause > world.now { daemon.pause } else { next.max(world.now + 1) }
            });
            sleep_until(&self.world, self.owner, due, |world| {
                world.machines[node].daemon.as_ref().is_some_and(|daemon| daemon.is_told)
            })
            .await;
        }
    }

    fn low(&self, report: &Report) -> Vec<u8> {
        self.with(|_, daemon| report.wants(&daemon.holder.as_ref().map(Holder::held).unwrap_or_default()))
    }

    async fn tend(&self) {
        self.lock().await;
        let (report, paused, stale) = self.with(|world, daemon| {
            daemon.is_told = false;
            let report = world.machines[self.node].report.clone();
            let stale = daemon.synced.is_none_or(|synced| world.now - synced > RESYNC_EVERY);
            (report, world.now < daemon.pause, stale)
        });
        if !paused && stale {
            let outcome = self.resync().await;
            self.pause_after(outcome);
        }
        let is_new = self.with(|world, daemon| {
            daemon.holder.is_some() && daemon.told.as_deref() != daemon.scarcity.word(clock(world.now))
        });
        if is_new {
            self.publish().await;
        }
        self.take_back(&report).await;
        self.unlock();
        // Of a scarce pool nothing is kept, whatever was told before.
        let is_scarce = !self.without(Without::Keeping) && self.with(|_, daemon| daemon.told.is_some());
        let low = self.low(&report);
        if !paused && !low.is_empty() && !is_scarce {
            let asked = self.now();
            self.lock().await;
            let outcome = self.lease(&low, Waiting { asked, until: None }).await;
            self.pause_after(outcome);
            self.unlock();
        }
    }

    fn pause_after(&self, outcome: Outcome) {
        if outcome.is_err() {
            self.with(|world, daemon| daemon.pause = world.now + PAUSE);
        }
    }

    async fn take_back(&self, report: &Report) {
        for released in &report.released {
            let is_held = self.with(|_, daemon| {
                let held = daemon.holder.iter().flat_map(Holder::held).collect::<Vec<_>>();
                held.iter().any(|granted| granted.first == released.first && granted.lease == released.lease)
            });
            if is_held {
                let outcome = self.happen(Event::Released(released.first, released.lease.clone())).await;
                self.pause_after(outcome.and_then(|trouble| trouble.map_or(Ok(()), Err)));
            }
        }
    }

    /// `Keeper::lease`.
    async fn lease(&self, families: &[u8], waiting: Waiting<Time>) -> Outcome {
        let limit = if families.is_empty() { FRESH } else { RESYNC_EVERY };
        if self.with(|world, daemon| daemon.synced.is_none_or(|synced| world.now - synced > limit)) {
            self.resync().await?;
        }
        let (has, just) = self.with(|world, daemon| {
            let has = daemon.holder.iter().flat_map(Holder::held).next().is_some();
            let just = match world.without {
                Without::Sharing => false,
                Without::Asking => daemon.leased.is_some(),
                _ => waiting.is_served(daemon.leased, world.plan.spec.block_size.v4),
            };
            (has, just && world.shares_blocks())
        });
        if !has || (!families.is_empty() && !just) {
            self.lease_one().await?;
        }
        self.publish().await;
        Ok(())
    }

    async fn lease_one(&self) -> Outcome {
        let pool = Rc::clone(&self.world.borrow().pool);
        let seed = number_of(format!("node-{}", self.node));
        // Of a scarce pool most blocks are others'.
        let mut listed = self.with(|world, daemon| daemon.scarcity.word(clock(world.now)).is_some());
        if listed {
            self.list_others().await?;
        }
        for attempt in 0..TRIES {
            if attempt == BLIND_TRIES && !listed {
                self.list_others().await?;
                listed = true;
            }
            let unavailable =
                self.with(|_, daemon| daemon.holder.as_ref().map(Holder::unavailable).unwrap_or_default());
            let Some(block) = pool.next_block(true, seed, &unavailable) else {
                if listed {
                    self.with(|world, daemon| daemon.scarcity.found_none(clock(world.now)));
                    break;
                }
                self.list_others().await?;
                listed = true;
                continue;
            };
            self.world.borrow_mut().counts.tries += 1;
            let trouble = self.happen(Event::Want(block)).await?;
            let is_held = self.with(|world, daemon| {
                let is_held = daemon.holder.as_ref().is_some_and(|holder| holder.holds(block.first));
                if is_held {
                    daemon.leased = Some(world.now);
                    world.counts.leases += 1;
                }
                is_held
            });
            if is_held {
                return Ok(());
            }
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
        }
        self.with(|_, daemon| daemon.synced = None);
        Err(DRY.to_owned())
    }

    /// `Keeper::ask_others`. The pod does not wait for the answer: the kubelet comes again.
    async fn ask_others(&self) {
        let version = match self.with(|world, daemon| daemon.scarcity.ask(clock(world.now))) {
            scarcity::Ask::Wait => return,
            scarcity::Ask::Create => None,
            scarcity::Ask::Renew(version) => Some(version),
        };
        let word = match self.without(Without::NewWord) {
            true => "word".to_owned(),
            false => self.with(|world, daemon| format!("{}-{}", daemon.prefix, world.now / SECOND)),
        };
        if !self.without(Without::Mark) {
            self.ask(Request::Mark { word, version }).await;
        }
    }

    async fn list_others(&self) -> Outcome {
        let Some(Reply::Others(others)) = self.ask(Request::Others).await else { return Err("no list".to_owned()) };
        self.with(|_, daemon| daemon.holder.iter_mut().for_each(|holder| holder.set_others(others.clone())));
        Ok(())
    }

    /// `standing::ask`.
    async fn stands(&self) -> Standing {
        let mut question = Question::default();
        let mut next = question.begin();
        loop {
            next = match next {
                Ask::Read => question.read(match self.ask(Request::Record).await {
                    Some(Reply::Record(record)) if self.without(Without::Objection) => Ok(record.map(|mut record| {
                        record.revoked_at.clear();
                        record
                    })),
                    Some(Reply::Record(record)) => Ok(record),
                    _ => Err("no answer".to_owned()),
                }),
                Ask::Create => question.created(match self.ask(Request::CreateRecord).await {
                    Some(Reply::Written) => Created::There,
                    _ => Created::Failed("no answer".to_owned()),
                }),
                Ask::Object(judged) => {
                    let (node, exactly) = (self.node, true);
                    let request = Request::WriteRecord { node, judged, is_revoked: false, is_dead: false, exactly };
                    let answer = self.ask(request).await;
                    let is_told = matches!(answer, Some(Reply::Written));
                    question.objected(if is_told { Ok(()) } else { Err("no answer".to_owned()) })
                }
                Ask::Nothing(standing) => return standing,
            };
        }
    }

    /// `Addresses::guard` and `Keeper::stand`.
    async fn guard(self) {
        let node = self.node;
        // Whoever leases nothing has no record to watch.
        while self.world.borrow().machines[node].grant.is_none() {
            let due = self.now() + 5 * SECOND;
            sleep_until(&self.world, self.owner, due, |_| false).await;
        }
        loop {
            self.with(|_, daemon| daemon.is_changed = false);
            let standing = self.stands().await;
            if !matches!(standing, Standing::Unknown(_)) {
                self.lock().await;
                self.stand(&standing).await;
                self.unlock();
            }
            let pause = if matches!(standing, Standing::Live(_)) { ASK_EVERY } else { ASK_AGAIN };
            let due = self.now() + pause;
            sleep_until(&self.world, self.owner, due, |world| {
                world.machines[node].daemon.as_ref().is_some_and(|daemon| daemon.is_changed)
            })
            .await;
        }
    }

    async fn stand(&self, standing: &Standing) {
        if self.with(|_, daemon| daemon.holder.is_none()) {
            if matches!(standing, Standing::Dead | Standing::Revoked(_)) {
                self.withdraw(*standing == Standing::Dead).await;
            }
            return;
        }
        let outcome = self.heed(standing).await;
        let is_live = matches!(standing, Standing::Live(_));
        let outcome = if is_live && outcome.is_err() { self.resync().await } else { outcome };
        if is_live {
            self.pause_after(outcome);
        }
    }

    async fn heed(&self, standing: &Standing) -> Outcome {
        let heed = self.with(|_, daemon| standing.heed(&daemon.epoch, daemon.synced.is_some()));
        match heed {
            Heed::Grant => return Ok(()),
            Heed::List | Heed::Wait => {}
            Heed::Withdraw => self.withdraw(false).await,
            Heed::Drop => self.withdraw(true).await,
        }
        Err("not now".to_owned())
    }

    async fn withdraw(&self, is_dead: bool) {
        self.step_on().await;
        self.with(|world, daemon| {
            (daemon.confirmed, daemon.synced) = (Confirmed::default(), None);
            if let Some(grant) = &mut world.machines[self.node].grant {
                grant.confirmed = Confirmed::default();
                if is_dead {
                    *grant = grant.clone().dropped();
                }
            }
        });
    }

    /// `Keeper::resync`.
    async fn resync(&self) -> Outcome {
        let standing = self.stands().await;
        let (has, is_own) = self.with(|_, daemon| {
            let is_own = matches!(&standing, Standing::Live(epoch) if *epoch == daemon.epoch);
            (daemon.holder.is_some(), is_own)
        });
        match &standing {
            Standing::Live(epoch) if !has || !is_own => {
                if has {
                    self.withdraw(false).await;
                }
                self.with(|_, daemon| daemon.epoch.clone_from(epoch));
            }
            Standing::Live(_) => {}
            other => self.heed(other).await?,
        }
        let epoch = self.with(|_, daemon| daemon.epoch.clone());
        let Some(Reply::Listed(own)) = self.ask(Request::List { epoch }).await else {
            return Err("no list".to_owned());
        };
        if !has {
            self.take_over();
        }
        let trouble = self.happen(Event::Listed(own)).await?;
        let (asked, asked_at) = self.with(|world, _| (world.machines[self.node].clocks(world.now), world.now));
        let standing = match self.without(Without::Unasked) {
            true => Standing::Live(self.with(|_, daemon| daemon.epoch.clone())),
            false => self.stands().await,
        };
        let asked = match self.without(Without::Question) {
            true => self.with(|world, _| world.machines[self.node].clocks(world.now)),
            false => asked,
        };
        let is_own = self.with(|_, daemon| matches!(&standing, Standing::Live(epoch) if *epoch == daemon.epoch));
        if !is_own {
            self.with(|_, daemon| daemon.synced = None);
            return self.heed(&standing).await;
        }
        self.with(|world, daemon| {
            (daemon.confirmed, daemon.confirmed_at, daemon.synced) = (asked, asked_at, Some(world.now));
            world.machines[self.node].wake(asked_at);
        });
        self.publish().await;
        trouble.map_or(Ok(()), Err)
    }

    /// What an earlier process of this boot has granted.
    fn take_over(&self) {
        self.with(|world, daemon| {
            let machine = &world.machines[self.node];
            let boot = machine.clocks(world.now).boot;
            let before = machine.grant.clone().and_then(|grant| grant.taken_over(&boot));
            let published: Vec<Granted> =
                before.iter().flat_map(|grant| &grant.offers).map(|offer| offer.granted.clone()).collect();
            let former = before.as_ref().map(|grant| grant.former.clone()).unwrap_or_default();
            daemon.holder = Some(Holder::new(daemon.prefix.clone(), &published, &former));
            daemon.confirmed = before.map(|grant| grant.confirmed.clone()).unwrap_or_default();
            daemon.confirmed_at = machine.confirmed_at;
        });
    }

    fn step(&self, event: Event) -> Vec<Effect> {
        let is_kept = |effect: &Effect| !matches!(effect, Effect::Renew(..));
        self.with(|world, daemon| {
            let Some(holder) = &mut daemon.holder else { return Vec::new() };
            let found = match &event {
                Event::Listed(owned) if world.without == Without::Renewal => owned.clone(),
                _ => Vec::new(),
            };
            let mut effects = holder.step(event);
            if world.without == Without::Renewal {
                effects.retain(is_kept);
                for Owned { block, version, .. } in found {
                    effects.extend(holder.step(Event::Written(block.first, version)));
                }
            }
            effects
        })
    }

    /// `Keeper::happen`.
    async fn happen(&self, event: Event) -> Result<Option<String>, String> {
        let mut queue = VecDeque::from(self.step(event));
        let mut trouble = None;
        for _ in 0..MOST_EFFECTS {
            let Some(effect) = queue.pop_front() else { return Ok(trouble) };
            let first = match &effect {
                Effect::Publish => {
                    self.publish().await;
                    continue;
                }
                Effect::Confirm => {
                    if !self.without(Without::Confirmation) {
                        let standing = self.stands().await;
                        let is_own =
                            self.with(|_, daemon| matches!(&standing, Standing::Live(epoch) if *epoch == daemon.epoch));
                        if !is_own {
                            trouble = Some(self.heed(&standing).await.err().unwrap_or_default());
                            self.with(|_, daemon| daemon.synced = None);
                            continue;
                        }
                    }
                    queue.extend(self.step(Event::Confirmed));
                    continue;
                }
                Effect::Create(block, _)
                | Effect::Renew(block, ..)
                | Effect::Delete(block, _)
                | Effect::Look(block) => block.first,
            };
            match self.write(effect, first).await {
                Some(event) => queue.extend(self.step(event)),
                // The next list shows what became of it.
                None => trouble = Some("no answer".to_owned()),
            }
        }
        Err("its objects change while they are written".to_owned())
    }

    async fn write(&self, effect: Effect, first: IpAddr) -> Option<Event> {
        let epoch = self.with(|_, daemon| daemon.epoch.clone());
        let (is_look, is_create) = (matches!(effect, Effect::Look(_)), matches!(effect, Effect::Create(..)));
        let request = match effect {
            Effect::Create(block, lease) => Request::Create { block, epoch, lease },
            Effect::Renew(block, lease, version) => Request::Renew { block, epoch, lease, version },
            Effect::Delete(block, version) => {
                Request::Delete { block, version, exactly: !self.without(Without::DeleteVersion) }
            }
            Effect::Look(block) => Request::Look { block, epoch },
            Effect::Publish | Effect::Confirm => return None,
        };
        if is_create && self.without(Without::Answer) {
            let effects = [self.step(Event::Written(first, "?".to_owned())), self.step(Event::Confirmed)].concat();
            if effects.contains(&Effect::Publish) {
                self.publish().await;
            }
        }
        match self.ask(request).await {
            Some(Reply::Told(event)) => Some(event),
            _ if is_look => None,
            Some(_) => Some(Event::Refused(first)),
            None => Some(Event::Unanswered(first)),
        }
    }

    async fn publish(&self) {
        self.step_on().await;
        self.with(|world, daemon| {
            let Some(holder) = &daemon.holder else { return };
            let Ok(name) = PoolName::new("lan") else { return };
            let grant = Grant::new(name, &world.plan.spec, daemon.confirmed.clone(), holder.held());
            let grant = grant.looking_for(holder.former());
            let word = daemon.scarcity.word(clock(world.now)).map(str::to_owned);
            let grant = match &word {
                Some(word) if world.without != Without::Keeping => grant.while_scarce(word),
                _ => grant,
            };
            let machine = &mut world.machines[self.node];
            let before = machine.grant.as_ref().map(Grant::calls_back).unwrap_or_default();
            let after = grant.calls_back();
            (machine.grant, machine.confirmed_at) = (Some(grant), daemon.confirmed_at);
            daemon.told = word;
            if !after.is_empty() && after != before && world.without != Without::Idle {
                let soon = world.between(1, 5 * SECOND);
                world.later(soon, Weather::CallBack { node: self.node });
            }
            world.ledger.told.extend(holder.lost());
            check::published(world, self.node);
        });
    }
}
