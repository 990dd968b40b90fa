//! Every order of events of two nodes and two blocks, with the machines that are shipped: no block is used by two nodes.
//!
//! A request may be answered, or be done without an answer, or be done at any later time, also after its daemon is
//! gone. A daemon may be killed between any two effects, a node may start again, and the plugin works at any time. The disk
//! may lose the file of an address in use.

use super::holder::{Effect, Event, Holder, Owned};
use super::report::Released;
use super::{Block, Granted};
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

mod explored;

const BLOCKS: usize = 2;
const NODES: usize = 2;

/// A rule of the design that is left out, to see that the check notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// A block is published before the API server has answered.
    Answer,
    /// A DELETE names no version.
    DeleteVersion,
    /// What a list shows is published without a renewal.
    Renewal,
    /// The plugin takes addresses of what it has released.
    Release,
    /// A grant of an earlier boot counts.
    Boot,
    /// What the disk has lost is free.
    Copies,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    /// The daemon with what it has still to do; none while it is not running.
    daemon: Option<(Holder, VecDeque<Effect>)>,
    /// What the plugin reads, and whether it is of this boot.
    grant: Vec<Granted>,
    valid: bool,
    released: BTreeSet<Released>,
    used: [bool; BLOCKS],
    /// The disk has lost the file of what is in use.
    erased: [bool; BLOCKS],
    /// Requests that nobody waits for any more, and that may still be done.
    late: BTreeSet<Request>,
    starts: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Request {
    Create(usize, String),
    Renew(usize, String, String),
    Delete(usize, String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    /// Of each block: its node, its lease, its version.
    store: [Option<(usize, String, u32)>; BLOCKS],
    /// The last version of each.
    revisions: [u32; BLOCKS],
    nodes: [Node; NODES],
    left: Budget,
}

/// How often something may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    wants: u32,
    silences: u32,
    kills: u32,
    boots: u32,
    erasures: u32,
}

fn block(number: usize) -> Block {
    Block { first: IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()]), size: 1 }
}

fn number(first: IpAddr) -> usize {
    (0..BLOCKS).find(|number| block(*number).first == first).unwrap()
}

impl World {
    fn new(left: Budget) -> Self {
        // The name of a lease does not tell whose it is: then both nodes are alike.
        let node = || Node {
            daemon: Some((Holder::new("p0".to_owned(), &[], &[]), VecDeque::new())),
            grant: Vec::new(),
            valid: false,
            released: BTreeSet::new(),
            used: [false; BLOCKS],
            erased: [false; BLOCKS],
            late: BTreeSet::new(),
            starts: 0,
        };
        let nodes = [node(), node()];
        World { store: [None, None], revisions: [0; BLOCKS], nodes, left }
    }

    /// Does `request` of `node`; answers the event of its answer.
    fn serve(&mut self, node: usize, request: &Request, without: Without) -> Event {
        let (Request::Create(at, _) | Request::Renew(at, ..) | Request::Delete(at, _)) = request;
        let next = self.revisions[*at] + 1;
        match request {
            Request::Create(number, lease) => match &self.store[*number] {
                Some(_) => Event::Conflict(block(*number).first),
                None => {
                    self.revisions[*number] = next;
                    self.store[*number] = Some((node, lease.clone(), next));
                    Event::Written(block(*number).first, next.to_string())
                }
            },
            Request::Renew(number, lease, expected) => match &self.store[*number] {
                Some((owner, _, current)) if current.to_string() == *expected && *owner == node => {
                    self.revisions[*number] = next;
                    self.store[*number] = Some((node, lease.clone(), next));
                    Event::Written(block(*number).first, next.to_string())
                }
                _ => Event::Conflict(block(*number).first),
            },
            Request::Delete(number, expected) => match &self.store[*number] {
                Some((owner, _, current))
                    if current.to_string() == *expected || (without == Without::DeleteVersion && *owner == node) =>
                {
                    self.store[*number] = None;
                    Event::Absent(block(*number).first)
                }
                Some(_) => Event::Conflict(block(*number).first),
                None => Event::Absent(block(*number).first),
            },
        }
    }

    fn owned(&self, node: usize) -> Vec<Owned> {
        let of = |number: usize| match &self.store[number] {
            Some((owner, lease, version)) if *owner == node => Some(Owned {
                block: block(number),
                lease: lease.clone(),
                version: version.to_string(),
                is_current: true,
            }),
            _ => None,
        };
        (0..BLOCKS).filter_map(of).collect()
    }

    fn tell(&mut self, node: usize, event: Event) {
        let Some((holder, queue)) = &mut self.nodes[node].daemon else { return };
        queue.extend(holder.step(event));
        self.confirm(node);
    }

    /// Nobody is removed here, see epoch_model.rs: an answer to this question is seen by nobody else, so that it makes no
    /// difference what comes before it.
    fn confirm(&mut self, node: usize) {
        let Some((holder, queue)) = &mut self.nodes[node].daemon else { return };
        while queue.front() == Some(&Effect::Confirm) {
            queue.pop_front();
            queue.extend(holder.step(Event::Confirmed));
        }
    }

    /// What is published is what is held and, without that rule, what was asked for.
    fn publish(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if let Some((holder, _)) = &node.daemon {
            (node.grant, node.valid) = (holder.held(), true);
            let grant = &node.grant;
            node.released.retain(|r| grant.iter().any(|granted| granted.first == r.first && granted.lease == r.lease));
        }
    }

    fn successors(&self, without: Without) -> Vec<World> {
        (0..NODES)
            .flat_map(|node| self.of_daemon(node, without).into_iter().chain(self.of_machine(node, without)))
            .collect()
    }

    fn of_daemon(&self, node: usize, without: Without) -> Vec<World> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut World)| {
            let mut world = self.clone();
            change(&mut world);
            all.push(world);
        };
        let Some((holder, queue)) = &self.nodes[node].daemon else {
            add(&|world| world.start(node, without));
            return all;
        };
        if self.left.kills > 0 {
            add(&|world| {
                world.left.kills -= 1;
                world.nodes[node].daemon = None;
            });
        }
        if let Some(effect) = queue.front() {
            let mut next = self.clone();
            if let Some((_, queue)) = &mut next.nodes[node].daemon {
                queue.pop_front();
            }
            all.extend(next.perform(node, effect.clone(), without));
            return all;
        }
        if self.left.wants > 0 {
            for number in (0..BLOCKS).filter(|number| !holder.unavailable().contains(&block(*number).first)) {
                add(&|world| {
                    world.left.wants -= 1;
                    world.tell(node, Event::Want(block(number)));
                });
            }
        }
        // A watch has shown, some time ago, that others had returned their blocks.
        add(&|world| {
            if let Some((holder, _)) = &mut world.nodes[node].daemon {
                holder.freed(&(0..BLOCKS).map(|number| block(number).first).collect());
            }
        });
        for released in &self.nodes[node].released {
            add(&|world| world.tell(node, Event::Released(released.first, released.lease.clone())));
        }
        add(&|world| world.tell(node, Event::Listed(world.owned(node))));
        all
    }

    fn start(&mut self, node: usize, without: Without) {
        let own = &mut self.nodes[node];
        own.starts += 1;
        let published = if own.valid { own.grant.clone() } else { Vec::new() };
        own.daemon = Some((Holder::new(format!("p{}", own.starts), &published, &[]), VecDeque::new()));
        let owned = self.owned(node);
        self.tell(node, Event::Listed(owned.clone()));
        if without == Without::Renewal {
            let Some((_, queue)) = &mut self.nodes[node].daemon else { return };
            queue.retain(|effect| !matches!(effect, Effect::Renew(..)));
            for owned in owned {
                self.tell(node, Event::Written(owned.block.first, owned.version));
                self.tell(node, Event::Confirmed);
            }
        }
    }

    fn perform(self, node: usize, effect: Effect, without: Without) -> Vec<World> {
        let request = match effect {
            Effect::Publish => {
                let mut next = self;
                next.publish(node);
                next.confirm(node);
                return vec![next];
            }
            // It never waits.
            Effect::Confirm => return vec![self],
            Effect::Look(asked) => {
                // Without an answer the next list shows what became of it.
                let lost = (self.left.silences > 0).then(|| self.clone().with_one_silence_less());
                let mut next = self;
                let owner = next.store[number(asked.first)].as_ref().map(|(owner, ..)| *owner);
                let event = match owner {
                    None => Event::Absent(asked.first),
                    Some(owner) if owner != node => Event::Others(asked.first),
                    Some(_) => {
                        let mut owned = next.owned(node).into_iter();
                        Event::Seen(owned.find(|owned| owned.block == asked).unwrap())
                    }
                };
                next.tell(node, event);
                return lost.into_iter().chain([next]).collect();
            }
            Effect::Create(block, lease) => Request::Create(number(block.first), lease),
            Effect::Renew(block, lease, version) => Request::Renew(number(block.first), lease, version),
            Effect::Delete(block, version) => Request::Delete(number(block.first), version),
        };
        self.outcomes(node, &request, without)
    }

    fn with_one_silence_less(mut self) -> Self {
        self.left.silences -= 1;
        self
    }

    fn outcomes(self, node: usize, request: &Request, without: Without) -> Vec<World> {
        let (Request::Create(number, _) | Request::Renew(number, ..) | Request::Delete(number, _)) = request;
        let silent = Event::Unanswered(block(*number).first);
        let mut all = Vec::new();
        if without == Without::Answer && matches!(request, Request::Create(..)) {
            let mut early = self.clone();
            early.nodes[node].late.insert(request.clone());
            early.tell(node, Event::Written(block(*number).first, "?".to_owned()));
            early.tell(node, Event::Confirmed);
            all.push(early);
        }
        if self.left.silences > 0 {
            for done in [true, false] {
                let mut quiet = self.clone();
                quiet.left.silences -= 1;
                if done {
                    quiet.serve(node, request, without);
                } else {
                    quiet.nodes[node].late.insert(request.clone());
                }
                quiet.tell(node, silent.clone());
                all.push(quiet);
            }
        }
        let mut answered = self;
        let event = answered.serve(node, request, without);
        answered.tell(node, event);
        all.push(answered);
        all
    }

    /// The plugin, the machine, and the network.
    fn of_machine(&self, node: usize, without: Without) -> Vec<World> {
        let mut all = Vec::new();
        let own = &self.nodes[node];
        for late in &own.late {
            let mut next = self.clone();
            next.nodes[node].late.remove(late);
            all.push(next.clone());
            next.serve(node, late, without);
            all.push(next);
        }
        for granted in own.grant.iter().filter(|_| own.valid || without == Without::Boot) {
            let at = number(granted.first);
            let lease = Released { first: granted.first, lease: granted.lease.clone() };
            let is_open = !own.released.contains(&lease) || without == Without::Release;
            if !own.used[at] && is_open {
                let mut next = self.clone();
                next.nodes[node].used[at] = true;
                all.push(next);
            }
            // The copy in memory says that it is in use.
            let seems_free = !own.used[at] || (own.erased[at] && without == Without::Copies);
            if seems_free && is_open {
                let mut next = self.clone();
                next.nodes[node].released.insert(lease);
                all.push(next);
            }
        }
        for at in (0..BLOCKS).filter(|at| own.used[*at]) {
            let mut next = self.clone();
            (next.nodes[node].used[at], next.nodes[node].erased[at]) = (false, false);
            all.push(next);
            if self.left.erasures > 0 && !own.erased[at] {
                let mut next = self.clone();
                next.left.erasures -= 1;
                next.nodes[node].erased[at] = true;
                all.push(next);
            }
        }
        // The machine is off, and a person who knows that frees its blocks.
        let is_off = own.daemon.is_none() && !own.valid && !own.used.contains(&true);
        for at in (0..BLOCKS).filter(|at| is_off && self.store[*at].as_ref().is_some_and(|(owner, ..)| *owner == node))
        {
            let mut next = self.clone();
            next.store[at] = None;
            all.push(next);
        }
        if self.left.boots > 0 {
            let mut next = self.clone();
            next.left.boots -= 1;
            let booted = &mut next.nodes[node];
            (booted.daemon, booted.valid) = (None, false);
            (booted.used, booted.erased) = ([false; BLOCKS], [false; BLOCKS]);
            booted.released.clear();
            all.push(next);
        }
        all
    }

    fn fault(&self) -> Option<String> {
        (0..BLOCKS).find_map(|at| {
            let users: Vec<usize> = (0..NODES).filter(|node| self.nodes[*node].used[at]).collect();
            let owner = self.store[at].as_ref().map(|(owner, ..)| *owner);
            let strange = users.iter().any(|user| Some(*user) != owner);
            (users.len() > 1 || strange).then(|| format!("block {at} is used by {users:?} and owned by {owner:?}"))
        })
    }
}
