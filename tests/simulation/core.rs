//! Time, the queue of events, and tasks: a process is a few futures, and killing it at a step is dropping them there.

use crate::api::{Api, Reply, Request};
use crate::check::Ledger;
use crate::controller::Controller;
use crate::machine::Machine;
use crate::plan::{Plan, Without};
use crate::support::random::Random;
use crate::weather::{self, Weather};
use plexus::ipam::Pool;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Milliseconds of true time, which no process knows.
pub type Time = u64;
pub const SECOND: Time = 1000;
/// A client waits so long for an answer, as `cluster::kubernetes::blocks` does.
const ANSWER_LIMIT: Time = 2 * SECOND;
/// Numbers from it have nothing to do with other ones of the same seed.
const ENDS: u64 = 0x5eed_0fe0_d5ed;

pub type Shared = Rc<RefCell<World>>;
type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Who runs a task, and its incarnation: what an earlier one waited for is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Daemon(usize, u32),
    Plugin(usize, u32),
    Controller(usize, u32),
}

enum Event {
    Serve { owner: Owner, task: u64, ticket: u64, request: Request, fate: Fate },
    Answer { owner: Owner, task: u64, ticket: u64, reply: Option<Reply> },
    Wake { owner: Owner, task: u64 },
    Weather(Weather),
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It is done, and nobody hears of it.
    Unheard,
    /// It is refused: too many requests.
    Refused,
}

/// What is counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub events: u64,
    pub pods: u64,
    pub failed_adds: u64,
    pub leases: u64,
    pub tries: u64,
    pub block_writes: u64,
    pub record_writes: u64,
    /// Writes of marks of a scarce pool.
    pub marks: u64,
    pub reads: u64,
    pub returned: u64,
    pub freed: u64,
    pub faults: u64,
    /// Processes that ended between two steps, with or without their machine.
    pub ended: u64,
    /// From the deletion of a Node to the deletion of its last block, of machines that were off by then.
    pub reclaims: Vec<Time>,
    pub stranded: u64,
    pub capacity: u64,
    pub restored: u64,
    pub lost: u64,
    /// Blocks that a node has forgotten since it booted.
    pub forgotten: u64,
}

/// Everything but the tasks.
pub struct World {
    pub now: Time,
    pub plan: Plan,
    pub without: Without,
    pub random: Random,
    /// Numbers of their own: which step of a process is its last one.
    ends: Random,
    /// The pool of the plan.
    pub pool: Rc<Pool>,
    pub api: Api,
    pub machines: Vec<Machine>,
    pub controllers: Vec<Controller>,
    pub counts: Counts,
    pub ledger: Ledger,
    pub fault: Option<String>,
    /// Whether faults may still come.
    pub is_calm: bool,
    /// What happens to this block is printed.
    pub traced: Option<IpAddr>,
    events: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    replies: BTreeMap<u64, Option<Reply>>,
    current: u64,
    pub woken: Vec<u64>,
    spawned: Vec<(u64, Owner, Work)>,
    /// A process has ended since the last look.
    pub has_ended: bool,
}

/// In a box: the queue moves its entries all the time.
struct Entry(Time, u64, Box<Event>);

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

impl World {
    /// Whether one block has addresses for several pods that wait.
    pub fn shares_blocks(&self) -> bool {
        self.plan.spec.block_size.v4 > 1
    }

    pub fn new(plan: Plan, without: Without, random: Random) -> Self {
        let pool = Pool::new(&plan.spec).unwrap_or_else(|e| panic!("the plan has no pool: {e}"));
        World {
            now: 0,
            ends: Random::new(random.clone().next() ^ ENDS),
            pool: Rc::new(pool),
            api: Api::new(plan.nodes),
            machines: Vec::new(),
            controllers: Vec::new(),
            plan,
            without,
            random,
            counts: Counts::default(),
            ledger: Ledger::default(),
            fault: None,
            is_calm: false,
            traced: None,
            events: BinaryHeap::new(),
            sequence: 0,
            replies: BTreeMap::new(),
            current: 0,
            woken: Vec::new(),
            spawned: Vec::new(),
            has_ended: false,
        }
    }

    fn push(&mut self, at: Time, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse(Entry(at, self.sequence, Box::new(event))));
    }

    pub fn later(&mut self, after: Time, weather: Weather) {
        self.push(self.now + after, Event::Weather(weather));
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: Time, high: Time) -> Time {
        low + self.random.next() % (high - low + 1)
    }

    pub fn is_alive(&self, owner: Owner) -> bool {
        match owner {
            Owner::Daemon(node, incarnation) => self.machines[node].runs_daemon(incarnation),
            Owner::Plugin(node, boot) => self.machines[node].is_on && self.machines[node].boot == boot,
            Owner::Controller(at, incarnation) => self.controllers[at].runs(incarnation),
        }
    }

    /// When the machine of `owner` goes on, if it is paused.
    fn paused_until(&self, owner: Owner) -> Option<Time> {
        match owner {
            Owner::Daemon(node, _) | Owner::Plugin(node, _) => self.machines[node].paused_until(self.now),
            Owner::Controller(..) => None,
        }
    }

    pub fn spawn(&mut self, owner: Owner, work: impl Future<Output = ()> + 'static) -> u64 {
        self.sequence += 1;
        let task = self.sequence;
        self.spawned.push((task, owner, Box::pin(work)));
        task
    }

    pub fn wake_later(&mut self, after: Time, owner: Owner, task: u64) {
        self.push(self.now + after, Event::Wake { owner, task });
    }

    pub fn fail(&mut self, fault: String) {
        if self.fault.is_none() {
            self.fault = Some(format!("at {:.1} s: {fault}", self.now as f64 / 1000.0));
        }
    }

    pub fn trace(&self, first: IpAddr, what: impl FnOnce() -> String) {
        if self.traced == Some(first) {
            println!("{:>10.3} s  {}", self.now as f64 / 1000.0, what());
        }
    }

    fn send(&mut self, owner: Owner, request: Request) -> u64 {
        self.sequence += 1;
        let (ticket, task) = (self.sequence, self.current);
        let there = self.between(1, 1 + self.plan.delay);
        let trouble = if self.is_calm { 0 } else { self.plan.silences };
        let timed_out = |world: &mut World| {
            world.push(world.now + ANSWER_LIMIT, Event::Answer { owner, task, ticket, reply: None });
        };
        let serve = |world: &mut World, after: Time, fate| {
            let request = request.clone();
            world.push(world.now + after, Event::Serve { owner, task, ticket, request, fate });
        };
        match self.random.next() % 1000 {
            chance if chance < trouble => timed_out(self),
            chance if chance < 2 * trouble => {
                serve(self, there, Fate::Unheard);
                timed_out(self);
            }
            chance if chance < 3 * trouble => {
                let late = self.between(there, 40 * SECOND);
                serve(self, late, Fate::Unheard);
                timed_out(self);
            }
            chance if chance < 4 * trouble => serve(self, there, Fate::Refused),
            _ => serve(self, there, Fate::Answered),
        }
        ticket
    }

    fn serve(&mut self, owner: Owner, task: u64, ticket: u64, request: Request, fate: Fate) {
        let is_linked = match owner {
            Owner::Daemon(node, _) | Owner::Plugin(node, _) => self.machines[node].is_linked,
            Owner::Controller(at, _) => self.controllers[at].is_linked,
        };
        let reply = if !is_linked || self.api.is_away {
            None
        } else if fate == Fate::Refused || !self.has_token(owner) {
            Some(Reply::Refused)
        } else {
            Some(crate::api::serve(self, owner, request))
        };
        if fate != Fate::Unheard {
            let after = if reply.is_some() { self.between(1, 1 + self.plan.delay) } else { ANSWER_LIMIT };
            self.push(self.now + after, Event::Answer { owner, task, ticket, reply });
        }
    }

    fn ends_here(&mut self, owner: Owner) -> bool {
        let steps = self.plan.steps;
        let is_last = steps > 0 && !self.is_calm && self.ends.below(steps) == 0;
        is_last && weather::end(self, owner)
    }

    fn has_token(&self, owner: Owner) -> bool {
        !matches!(owner, Owner::Daemon(node, _) if !self.machines[node].has_token)
    }
}

/// The process of `owner` is about to do what others see, or has just sent a request. Here it may end, or its machine may.
pub async fn step(world: &Shared, owner: Owner) {
    let is_last = world.borrow_mut().ends_here(owner);
    if is_last {
        // Nobody polls it again.
        std::future::pending::<()>().await;
    }
}

/// Asks the API server; none where there was no answer in time.
pub async fn ask(world: &Shared, owner: Owner, request: Request) -> Option<Reply> {
    step(world, owner).await;
    let ticket = world.borrow_mut().send(owner, request);
    step(world, owner).await;
    poll_fn(|_| match world.borrow_mut().replies.remove(&ticket) {
        Some(reply) => Poll::Ready(reply),
        None => Poll::Pending,
    })
    .await
}

/// Waits until `is_due`, and looks at `due` and whenever it is woken.
pub async fn sleep_until(world: &Shared, owner: Owner, due: Time, is_due: impl Fn(&World) -> bool) {
    {
        let mut world = world.borrow_mut();
        let (task, after) = (world.current, due.saturating_sub(world.now));
        world.wake_later(after, owner, task);
    }
    poll_fn(|_| {
        let world = world.borrow();
        if world.now >= due || is_due(&world) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Waits until `try_it` has something; `current` is woken by whoever changes that.
pub async fn until<T>(world: &Shared, mut try_it: impl FnMut(&mut World, u64) -> Option<T>) -> T {
    poll_fn(|_| {
        let mut world = world.borrow_mut();
        let current = world.current;
        try_it(&mut world, current).map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// The tasks of all processes.
pub struct Runner {
    pub world: Shared,
    tasks: BTreeMap<u64, (Owner, Work)>,
}

impl Runner {
    pub fn new(world: World) -> Self {
        Runner { world: Rc::new(RefCell::new(world)), tasks: BTreeMap::new() }
    }

    /// Lets everything happen until `end`, or until something does not hold.
    pub fn run_until(&mut self, end: Time) {
        self.settle();
        loop {
            let next = {
                let mut world = self.world.borrow_mut();
                let is_next = world.events.peek().is_some_and(|Reverse(entry)| entry.0 <= end);
                if world.fault.is_some() || !is_next { None } else { world.events.pop() }
            };
            let Some(Reverse(Entry(at, _, event))) = next else { break };
            {
                let mut world = self.world.borrow_mut();
                world.now = at;
                world.counts.events += 1;
            }
            self.happen(*event);
            self.settle();
        }
        let mut world = self.world.borrow_mut();
        if world.fault.is_none() {
            world.now = end;
        }
    }

    fn happen(&mut self, event: Event) {
        let owner = match &event {
            Event::Answer { owner, .. } | Event::Wake { owner, .. } => Some(*owner),
            Event::Serve { .. } | Event::Weather(_) => None,
        };
        if let Some(owner) = owner {
            let mut world = self.world.borrow_mut();
            if !world.is_alive(owner) {
                return;
            }
            if let Some(end) = world.paused_until(owner) {
                world.push(end, event);
                return;
            }
        }
        match event {
            Event::Serve { owner, task, ticket, request, fate } => {
                self.world.borrow_mut().serve(owner, task, ticket, request, fate);
            }
            Event::Answer { task, ticket, reply, .. } => {
                self.world.borrow_mut().replies.insert(ticket, reply);
                self.poll(task);
            }
            Event::Wake { task, .. } => self.poll(task),
            Event::Weather(weather) => weather::happen(&self.world, weather),
        }
    }

    fn poll(&mut self, task: u64) {
        let Some((owner, mut work)) = self.tasks.remove(&task) else { return };
        {
            let mut world = self.world.borrow_mut();
            // Another task of the same process may have ended it a moment ago.
            if !world.is_alive(owner) {
                return;
            }
            world.current = task;
        }
        let is_done = work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if !is_done {
            self.tasks.insert(task, (owner, work));
        }
    }

    fn settle(&mut self) {
        loop {
            let (spawned, woken, has_ended) = {
                let mut world = self.world.borrow_mut();
                let has_ended = std::mem::take(&mut world.has_ended);
                (std::mem::take(&mut world.spawned), std::mem::take(&mut world.woken), has_ended)
            };
            if has_ended {
                let world = self.world.borrow();
                self.tasks.retain(|_, (owner, _)| world.is_alive(*owner));
            }
            if spawned.is_empty() && woken.is_empty() {
                return;
            }
            for (task, owner, work) in spawned {
                self.tasks.insert(task, (owner, work));
                self.poll(task);
            }
            woken.into_iter().for_each(|task| self.poll(task));
        }
    }
}
