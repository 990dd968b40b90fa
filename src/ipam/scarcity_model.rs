//! Every order of events of two nodes and two addresses: an address that nobody needs reaches a pod that waits.
//!
//! [`model`](super::model) has that a block is never used by two nodes, whatever is given back and when. Here a block is
//! one address, and is leased and given back in one step. Daemons may start again, watches are late, calls are killed.

use super::exhaustive::{Model, Search, digest, explore};
use super::scarcity::{ASK_EVERY, Ask, Mark, Scarcity};
use std::time::Duration;

const NODES: usize = 2;
const BLOCKS: usize = 2;

/// A rule of the design that is left out, to see that the check notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// Who waits leaves no mark.
    Mark,
    /// The mark has the same word each time.
    NewWord,
    /// A node that is idle gives nothing back: only calls of the plugin do.
    Idle,
    /// A node continues to keep addresses while it knows that the pool is scarce.
    Keeping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    pods: u32,
    ends: u32,
    kills: u32,
    restarts: u32,
    ticks: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Block {
    Free,
    Idle(usize),
    Used(usize),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    scarcity: Scarcity,
    /// The mark that its watch has shown.
    seen: Option<Mark>,
    /// The word for which it gave back what was idle.
    served: String,
    waiting: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    now: Duration,
    blocks: [Block; BLOCKS],
    nodes: [Node; NODES],
    mark: Option<Mark>,
    writes: u32,
    /// For so long a pod waits, nothing is on its way, and an address is idle.
    stalled: u32,
    left: Budget,
}

impl World {
    fn new(left: Budget) -> Self {
        let (blocks, nodes) = ([Block::Free; BLOCKS], Default::default());
        World { now: Duration::ZERO, blocks, nodes, mark: None, writes: 0, stalled: 0, left }
    }

    fn keeps(&self, node: usize, without: Without) -> bool {
        self.nodes[node].scarcity.word(self.now).is_none() || without == Without::Keeping
    }

    fn turn(&mut self, from: Block, to: Block) -> bool {
        let found = self.blocks.iter_mut().find(|block| **block == from);
        found.map(|block| *block = to).is_some()
    }

    /// A pod of the node gets an address, or waits for one.
    fn add(&mut self, node: usize, without: Without) {
        let is_given = self.turn(Block::Idle(node), Block::Used(node)) || self.turn(Block::Free, Block::Used(node));
        self.nodes[node].waiting = !is_given;
        if is_given && self.keeps(node, without) {
            // Ahead of need.
            self.turn(Block::Free, Block::Idle(node));
        }
        if is_given {
            return;
        }
        self.nodes[node].scarcity.found_none(self.now);
        let ask = self.nodes[node].scarcity.ask(self.now);
        let is_right = match &ask {
            Ask::Wait => false,
            Ask::Create => self.mark.is_none(),
            Ask::Renew(version) => self.mark.as_ref().is_some_and(|mark| mark.version == *version),
        };
        if is_right && without != Without::Mark {
            self.writes += 1;
            let word = if without == Without::NewWord { "w".to_owned() } else { self.writes.to_string() };
            self.mark = Some(Mark { word, version: self.writes.to_string() });
        }
    }

    /// What happens by itself, and soon.
    fn soon(&self, without: Without) -> Vec<World> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut World)| {
            let mut world = self.clone();
            change(&mut world);
            if world != *self {
                all.push(world);
            }
        };
        for at in 0..NODES {
            let node = &self.nodes[at];
            if node.waiting {
                add(&|world| world.add(at, without));
            }
            if node.seen != self.mark {
                add(&|world| world.watch(at));
            }
            let word = node.scarcity.word(self.now).unwrap_or_default().to_owned();
            if !word.is_empty() && word != node.served && without != Without::Idle {
                add(&|world| {
                    world.nodes[at].served.clone_from(&word);
                    while !world.keeps(at, without) && world.turn(Block::Idle(at), Block::Free) {}
                });
            }
            if let (Some(version), Some(mark)) = (node.scarcity.outlived(self.now, Duration::ZERO), &self.mark)
                && mark.version == version
            {
                add(&|world| world.mark = None);
            }
        }
        all
    }

    fn watch(&mut self, node: usize) {
        let (mark, now) = (self.mark.clone(), self.now);
        let node = &mut self.nodes[node];
        node.seen.clone_from(&mark);
        match mark {
            Some(mark) => node.scarcity.marked(mark, now),
            None => node.scarcity.unmarked(),
        }
    }

    fn successors(&self, without: Without) -> Vec<World> {
        let mut all = self.soon(without);
        // A waiting pod that is refused again and again changes nothing.
        let is_quiet = all.is_empty();
        for at in 0..NODES {
            let mut add = |left: Budget, change: &dyn Fn(&mut World)| {
                let mut world = World { left, ..self.clone() };
                change(&mut world);
                all.push(world);
            };
            let left = self.left;
            if left.pods > 0 && !self.nodes[at].waiting {
                add(Budget { pods: left.pods - 1, ..left }, &|world| world.add(at, without));
            }
            if left.ends > 0 && self.blocks.contains(&Block::Used(at)) {
                // A pod ends, and its DEL gives back what is not needed.
                add(Budget { ends: left.ends - 1, ..left }, &|world| {
                    let to = if world.keeps(at, without) { Block::Idle(at) } else { Block::Free };
                    world.turn(Block::Used(at), to);
                });
            }
            if left.kills > 0 && self.blocks.contains(&Block::Free) {
                // An address was leased for a pod, whose call was killed then.
                add(Budget { kills: left.kills - 1, ..left }, &|world| {
                    world.turn(Block::Free, Block::Idle(at));
                });
            }
            if left.restarts > 0 {
                add(Budget { restarts: left.restarts - 1, ..left }, &|world| {
                    world.nodes[at].scarcity = Scarcity::default();
                    world.nodes[at].seen = None;
                });
            }
        }
        // What happens soon happens before the next half minute.
        if is_quiet && self.left.ticks > 0 {
            let is_idle = self.blocks.iter().any(|block| matches!(block, Block::Idle(_)));
            let is_stuck = is_idle && self.nodes.iter().any(|node| node.waiting);
            let left = Budget { ticks: self.left.ticks - 1, ..self.left };
            let stalled = if is_stuck { self.stalled + 1 } else { 0 };
            all.push(World { now: self.now + ASK_EVERY, stalled, left, ..self.clone() });
        }
        all
    }

    fn fault(&self) -> Option<String> {
        (self.stalled > 1).then(|| format!("a pod waits and an address is idle: {:?}, {:?}", self.blocks, self.mark))
    }
}

/// What may come together. The sum of all would be too many worlds for a test.
const BUDGETS: [Budget; 3] = [
    Budget { pods: 3, ends: 1, kills: 1, restarts: 0, ticks: 3 },
    Budget { pods: 3, ends: 0, kills: 0, restarts: 1, ticks: 3 },
    Budget { pods: 3, ends: 1, kills: 0, restarts: 0, ticks: 13 },
];

#[derive(Clone)]
struct Case(World, Without);

impl Model for Case {
    fn key(&self) -> u128 {
        digest(&self.0)
    }

    fn successors(&self) -> Vec<Self> {
        self.0.successors(self.1).into_iter().map(|world| Case(world, self.1)).collect()
    }

    fn fault(&self) -> Option<String> {
        self.0.fault()
    }
}

#[test]
fn an_address_that_nobody_needs_reaches_a_pod_that_waits() {
    for left in BUDGETS {
        let (worlds, fault) = explore(Case(World::new(left), Without::Nothing), Search::Deepest);
        println!("{left:?}: {worlds} states");
        assert_eq!(fault, None);
        assert!(worlds > 1_000, "{worlds}");
    }
}

#[test]
fn each_rule_of_giving_back_is_needed() {
    for without in [Without::Mark, Without::NewWord, Without::Idle, Without::Keeping] {
        let of = |left: Budget| explore(Case(World::new(left), without), Search::Shortest);
        let found = BUDGETS.into_iter().find_map(|left| of(left).1);
        println!("without {without:?}: {found:?}");
        assert!(found.is_some(), "without {without:?} nothing is noticed");
    }
}
