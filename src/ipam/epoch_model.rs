//! Every order of events around a node whose Node is deleted, with the machines that are shipped: two nodes, two blocks, two
//! controllers. No block is used by a node that does not own it.
//!
//! What is taken for granted of machines is in [`World::pass`]: when the quarantine of a mark that still stands is over, and
//! there is still no Node, no pod of the machine runs. It starts none with what was granted before, until its daemon has
//! asked again. Everything else may come at any time: a daemon or a controller is killed between two steps, a reply is lost,
//! a request is done late, the Node comes back, what a controller has seen is old.

use super::epoch::{Reclaimer, Record, Standing, Step};
use super::exhaustive::{Model, Search, digest, explore, is_full};
use super::grant::Granted;
use super::holder::{Effect, Event, Holder, Owned};
use super::look::{Ask, Look};
use super::pool::Block;
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

mod controller;
mod machine;

const BLOCKS: usize = 2;
const NODES: usize = 2;
/// The node whose Node is deleted.
const GONE: usize = 0;

/// A rule of the design that is left out, to see that the check notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// The controller does not wait.
    Quarantine,
    /// Blocks are deleted after the quarantine, without the write that marks the node as dead.
    Death,
    /// That write names no version.
    Version,
    /// A block that is deleted may be another one than the one that was seen.
    BlockVersion,
    /// The blocks are listed after the record was read.
    Order,
    /// A new block is granted without a question.
    Confirmation,
    /// The confirmation needs no question.
    Unasked,
    /// A node that is revoked continues as if it was not.
    Objection,
    /// The controller reads its clock after the answer about the Node.
    Reading,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lease {
    owner: usize,
    epoch: String,
    lease: String,
    version: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Machine {
    /// The daemon with what it has still to do; none while it is not running.
    daemon: Option<(Holder, VecDeque<Effect>)>,
    /// The epoch of its list, and whether that was complete.
    epoch: String,
    synced: bool,
    /// What the plugin reads, and whether it is stamped.
    grant: Vec<Granted>,
    valid: bool,
    used: [bool; BLOCKS],
    /// Leases of which nothing is taken before the next stamp: the machine is off, or cut off.
    asleep: BTreeSet<String>,
    /// Creations that nobody waits for any more, and that may still be done.
    late: BTreeSet<(usize, String, String)>,
    starts: u32,
}

/// A block as a controller has seen it.
type Seen = (usize, Lease);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Plan {
    #[default]
    Nothing,
    Look(Look<Seen>, Ask<Seen>),
    /// Only without the rule about the clock: the record, and whether the Node was gone.
    Asked(Look<Seen>, Option<Record>, bool),
    Do(Step, Vec<Seen>),
    Free(Vec<Seen>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Controller {
    reclaimer: Reclaimer,
    now: u32,
    /// The mark that it waits for.
    waits: Option<Option<Record>>,
    plan: Plan,
    /// The record that was read last.
    known: Option<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    store: [Option<Lease>; BLOCKS],
    records: [Option<Record>; NODES],
    /// The last version of each block, and of each record.
    revisions: ([u32; BLOCKS], [u32; NODES]),
    /// Whether [`GONE`] has its Node.
    is_there: bool,
    machines: [Machine; NODES],
    controllers: Vec<Controller>,
    left: Budget,
}

/// How often something may still come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Budget {
    /// The blocks of the pool.
    blocks: usize,
    wants: u32,
    /// Whether the other machine has such troubles, too.
    both: bool,
    /// Marks that a controller sets.
    marks: u32,
    /// Quarantines that pass.
    passes: u32,
    deletions: u32,
    returns: u32,
    kills: u32,
    boots: u32,
    silences: u32,
    controllers: u32,
}

fn block(number: usize) -> Block {
    Block { first: IpAddr::from([10, 0, 0, u8::try_from(number).unwrap()]), size: 1 }
}

fn number(first: IpAddr) -> usize {
    (0..BLOCKS).find(|number| block(*number).first == first).unwrap()
}

impl World {
    fn new(left: Budget) -> Self {
        let controllers = (0..left.controllers).map(|_| Controller::default()).collect();
        let (store, records, machines) = ([None, None], [None, None], Default::default());
        let revisions = ([0; BLOCKS], [0; NODES]);
        let mut world = World { store, records, revisions, is_there: true, machines, controllers, left };
        for node in 0..NODES {
            world.start(node);
            world.ask(node, Without::Nothing);
            world.resync(node, Without::Nothing);
            world.stamp(node, Without::Nothing);
        }
        world
    }

    fn next_version(&mut self, node: usize) -> String {
        self.revisions.1[node] += 1;
        self.revisions.1[node].to_string()
    }

    /// Writes the record of `node` if it is `judged`.
    fn write(&mut self, node: usize, judged: &Record, revoked_at: &str, is_dead: bool, without: Without) -> bool {
        let Some(current) = self.records[node].clone() else { return false };
        let is_judged =
            current.epoch == judged.epoch && (current.version == judged.version || without == Without::Version);
        if is_judged && (is_dead || !current.is_dead) {
            let version = self.next_version(node);
            self.records[node] =
                Some(Record { epoch: current.epoch, version, revoked_at: revoked_at.to_owned(), is_dead });
        }
        is_judged
    }

    fn successors(&self, without: Without) -> Vec<World> {
        let mut all: Vec<World> = (0..NODES).flat_map(|node| self.of_machine(node, without)).collect();
        all.extend((0..self.controllers.len()).flat_map(|at| self.of_controller(at, without)));
        let mut add = |change: &dyn Fn(&mut World)| {
            let mut world = self.clone();
            change(&mut world);
            all.push(world);
        };
        if self.is_there && self.left.deletions > 0 {
            add(&|world| {
                world.left.deletions -= 1;
                world.is_there = false;
            });
        }
        if !self.is_there && self.left.returns > 0 {
            add(&|world| {
                world.left.returns -= 1;
                world.is_there = true;
            });
        }
        all
    }

    fn fault(&self) -> Option<String> {
        (0..BLOCKS).find_map(|at| {
            let users: Vec<usize> = (0..NODES).filter(|node| self.machines[*node].used[at]).collect();
            let owner = self.store[at].as_ref().map(|lease| lease.owner);
            let is_strange = users.iter().any(|user| Some(*user) != owner);
            (users.len() > 1 || is_strange).then(|| format!("block {at} is used by {users:?} and owned by {owner:?}"))
        })
    }
}

/// What may come together. The sum of all would be too many worlds for a test.
fn budgets() -> [Budget; 7] {
    let least = least();
    [
        Budget { blocks: 2, ..least },
        Budget { marks: 2, returns: 1, ..least },
        Budget { silences: 1, ..least },
        Budget { controllers: 2, wants: 1, ..least },
        Budget { kills: 1, ..least },
        Budget { boots: 1, returns: 1, ..least },
        Budget { blocks: 2, controllers: 2, wants: 1, ..least },
    ]
}

/// More of it, for `make simulate`.
fn large() -> [Budget; 1] {
    [Budget { blocks: 2, controllers: 2, wants: 1, kills: 1, ..least() }]
}

fn least() -> Budget {
    Budget { blocks: 1, wants: 2, marks: 1, passes: 1, deletions: 1, controllers: 1, ..Budget::default() }
}

#[derive(Clone)]
struct Case(World, Without);

impl Model for Case {
    fn key(&self) -> u128 {
        let World { store, records, revisions, is_there, machines, controllers, left } = &self.0;
        // Which controller is which makes no difference.
        let mut controllers: Vec<u128> = controllers.iter().map(digest).collect();
        controllers.sort_unstable();
        digest(&(store, records, revisions, is_there, machines, controllers, left))
    }

    fn successors(&self) -> Vec<Self> {
        self.0.successors(self.1).into_iter().map(|world| Case(world, self.1)).collect()
    }

    fn fault(&self) -> Option<String> {
        self.0.fault()
    }
}

#[test]
fn a_removed_node_shares_no_block_with_another_one() {
    // Cases 13 to 16, and U5
    for left in budgets().into_iter().chain(large().into_iter().filter(|_| is_full())) {
        let (worlds, fault) = explore(Case(World::new(left), Without::Nothing), Search::Deepest);
        println!("{left:?}: {worlds} states");
        assert_eq!(fault, None);
        assert!(worlds > 1_000, "{worlds}");
    }
}

#[test]
fn each_rule_of_revocation_is_needed() {
    use Without::{BlockVersion, Confirmation, Death, Objection, Order, Quarantine, Reading, Unasked, Version};
    // Each with the budget in which it is noticed soonest.
    let rules = [
        (Quarantine, 0),
        (Death, 0),
        (Version, 0),
        (Confirmation, 0),
        (Unasked, 0),
        (Objection, 0),
        (BlockVersion, 3),
        (Order, 3),
        (Reading, 1),
    ];
    for (without, budget) in rules {
        let (worlds, found) = explore(Case(World::new(budgets()[budget]), without), Search::Shortest);
        println!("without {without:?}: {found:?} after {worlds} states");
        assert!(found.is_some(), "without {without:?} nothing is noticed");
    }
}
