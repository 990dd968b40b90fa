//! A controller around the shipped [`Reclaimer`]: what `daemon::controller` does, in the same order.

use crate::api::{Leased, Reply, Request};
use crate::check;
use crate::core::{Owner, SECOND, Shared, Time, World, ask, sleep_until};
use crate::plan::Without;
use plexus::ipam::epoch::{Reclaimer, Record, Step, Terms};
use plexus::ipam::look::{Ask, Look};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

// As in `daemon::controller`.
const LOOK_EVERY: Time = 5 * SECOND;
const REVOKE_EVERY: Time = 60 * SECOND;
const STRAYS_EVERY: Time = 60 * SECOND;

/// A controller while it runs.
#[derive(Default)]
pub struct Controller {
    incarnation: u32,
    is_on: bool,
    pub is_linked: bool,
    /// How fast its clock is, in thousandths.
    rate: u64,
    /// What its watch has shown: Nodes that are there; none before the first list.
    pub there: Option<BTreeSet<usize>>,
    pub appeared: BTreeSet<usize>,
    pub is_relisted: bool,
    /// Which watch it is: what an earlier one would have shown comes no more.
    pub watch: u32,
    /// Its events keep their order.
    pub seen_at: Time,
    reclaimer: Reclaimer,
    strays: BTreeSet<usize>,
    strays_listed: Option<Time>,
    revoked: BTreeMap<usize, Time>,
    /// When a Node was asked for last, by the clock of the API server.
    told: Time,
}

impl Controller {
    pub fn runs(&self, incarnation: u32) -> bool {
        self.is_on && self.incarnation == incarnation
    }
}

pub fn start(world: &Shared, at: usize) {
    let mut inner = world.borrow_mut();
    if inner.controllers[at].is_on {
        return;
    }
    let rate = 960 + inner.random.next() % 81;
    let incarnation = inner.controllers[at].incarnation + 1;
    inner.controllers[at] = Controller { incarnation, is_on: true, is_linked: true, rate, ..Controller::default() };
    let owner = Owner::Controller(at, incarnation);
    let process = Process { world: world.clone(), at, owner };
    inner.spawn(owner, process.run());
    crate::weather::relist(&mut inner, at);
}

pub fn kill(world: &mut World, at: usize) {
    world.controllers[at].is_on = false;
    world.has_ended = true;
}

struct Process {
    world: Shared,
    at: usize,
    owner: Owner,
}

impl Process {
    fn with<T>(&self, work: impl FnOnce(&mut Controller, Time) -> T) -> T {
        let world = &mut *self.world.borrow_mut();
        work(&mut world.controllers[self.at], world.now)
    }

    fn without(&self, rule: Without) -> bool {
        self.world.borrow().without == rule
    }

    /// Asks; now and then the process stands still between two questions.
    async fn ask(&self, request: Request) -> Option<Reply> {
        let reply = ask(&self.world, self.owner, request).await;
        let due = {
            let world = &mut *self.world.borrow_mut();
            let (chance, longest) = world.plan.stalls;
            let is_still = !world.is_calm && world.random.chance(chance);
            is_still.then(|| world.now + world.between(SECOND, longest))
        };
        if let Some(due) = due {
            sleep_until(&self.world, self.owner, due, |_| false).await;
        }
        reply
    }

    async fn run(self) {
        loop {
            // What fails is tried at the next look.
            let _ = self.look().await;
            self.with(|own, now| own.reclaimer.end_round(Duration::from_millis(now * own.rate / 1000)));
            let due = self.with(|_, now| now + LOOK_EVERY);
            sleep_until(&self.world, self.owner, due, |_| false).await;
        }
    }

    /// `Controller::look_at_all`.
    async fn look(&self) -> Option<()> {
        let nodes = self.world.borrow().plan.nodes;
        let (gone, wants_strays) = self.with(|own, now| {
            own.reclaimer.begin_round(Duration::from_millis(now * own.rate / 1000));
            let appeared = std::mem::take(&mut own.appeared);
            appeared.iter().for_each(|node| own.reclaimer.forget(&name(*node)));
            if std::mem::take(&mut own.is_relisted) {
                own.reclaimer.forget_all();
            }
            let is_gone = |node: &usize| own.there.as_ref().is_some_and(|there| !there.contains(node));
            let gone: BTreeSet<usize> = (0..nodes).filter(is_gone).collect();
            (Rc::new(gone), own.strays_listed.is_none_or(|listed| now - listed > STRAYS_EVERY))
        });
        let Some(Reply::Records(mut wanted, recorded)) = self.ask(Request::Records { gone: gone.clone() }).await else {
            return None;
        };
        if wants_strays {
            let Some(Reply::Nodes(with_blocks)) = self.ask(Request::Strays).await else { return None };
            self.with(|own, now| {
                own.strays = with_blocks.into_iter().filter(|node| !recorded[*node]).collect();
                own.strays_listed = Some(now);
            });
        }
        wanted.extend(self.with(|own, _| own.strays.intersection(&gone).copied().collect::<Vec<_>>()));
        for node in wanted {
            let _ = self.settle(node).await;
        }
        Some(())
    }

    async fn blocks(&self, node: usize) -> Option<Vec<Leased>> {
        match self.ask(Request::BlocksOf(node)).await {
            Some(Reply::Blocks(blocks)) => Some(blocks),
            _ => None,
        }
    }

    /// Asks what the shipped [`Look`] wants to know, in its order.
    async fn judge(&self, node: usize) -> Option<(Step, Vec<Leased>)> {
        let (mut look, mut next) = Look::begin();
        let mut known = None;
        loop {
            next = match next {
                Ask::Blocks => look.listed(self.blocks(node).await?),
                Ask::Record => {
                    let Some(Reply::Record(record)) = self.ask(Request::RecordOf(node)).await else { return None };
                    if self.without(Without::Order) {
                        look.listed(self.blocks(node).await?);
                    }
                    known.clone_from(&record);
                    look.read(record, self.clock())
                }
                Ask::Node => {
                    let Some(Reply::IsGone(is_gone, told)) = self.ask(Request::IsGone(node)).await else { return None };
                    self.with(|own, _| own.told = told);
                    if self.without(Without::Reading) {
                        look.read(known.take(), self.clock());
                    }
                    self.conclude(node, &mut look, is_gone)
                }
                Ask::Do(step, blocks) => return Some((step, blocks)),
            };
        }
    }

    /// What its clock shows.
    fn clock(&self) -> Duration {
        self.with(|own, now| Duration::from_millis(now * own.rate / 1000))
    }

    fn conclude(&self, node: usize, look: &mut Look<Leased>, is_gone: bool) -> Ask<Leased> {
        let terms = self.world.borrow().plan.spec.terms();
        let has_quarantine = !self.without(Without::Quarantine);
        let wait = |blocks: &[Leased]| match blocks {
            _ if !has_quarantine => Duration::ZERO,
            [] => Terms::default().wait(),
            _ => terms.wait(),
        };
        self.with(|own, _| look.judge((&mut own.reclaimer, &name(node)), is_gone, wait))
    }

    /// `Removed::settle`.
    async fn settle(&self, node: usize) -> Option<()> {
        let (step, blocks) = self.judge(node).await?;
        match step {
            Step::Leave | Step::Wait => {}
            Step::Revoke(record) => {
                let is_due = self.with(|own, now| {
                    own.revoked.retain(|_, marked| now - *marked < REVOKE_EVERY);
                    let is_due = !own.revoked.contains_key(&node);
                    own.revoked.entry(node).or_insert(now);
                    is_due
                });
                if is_due {
                    self.write(node, record, true, false).await;
                }
            }
            Step::Restore(record) => {
                self.with(|own, _| own.revoked.remove(&node));
                self.write(node, record, false, false).await;
            }
            Step::Bury(_) if self.without(Without::Death) => self.free(blocks).await?,
            Step::Bury(record) => {
                let told = self.with(|own, _| (own.told, own.rate));
                check::buries(&mut self.world.borrow_mut(), node, &record, told);
                self.write(node, record, true, true).await;
            }
            Step::Clear(record) if blocks.is_empty() => {
                let late = self.blocks(node).await?;
                if late.is_empty() {
                    self.ask(Request::DeleteRecord { node, judged: record }).await;
                }
            }
            Step::Clear(_) => self.free(blocks).await?,
            Step::ClearStray => {
                self.free(blocks).await?;
                self.with(|own, _| {
                    own.reclaimer.forget(&name(node));
                    own.strays_listed = None;
                });
            }
        }
        Some(())
    }

    async fn write(&self, node: usize, judged: Record, is_revoked: bool, is_dead: bool) {
        let exactly = !(is_dead && self.without(Without::Version));
        self.ask(Request::WriteRecord { node, judged, is_revoked, is_dead, exactly }).await;
    }

    async fn free(&self, blocks: Vec<Leased>) -> Option<()> {
        let exactly = !self.without(Without::BlockVersion);
        for leased in blocks {
            self.ask(Request::Free { leased, exactly }).await?;
        }
        Some(())
    }
}

fn name(node: usize) -> String {
    format!("node-{node}")
}
