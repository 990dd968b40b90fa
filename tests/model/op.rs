//! Operations and faults, as data: made from a seed, or read from a list.

use crate::support::random::Random;
use serde::{Deserialize, Serialize};

/// So many sandboxes exist at the same time at most: few, so that the same one is met often, or many.
pub const SLOTS: [usize; 2] = [12, 50];
/// The additional networks; see `world::networks`.
pub const NETWORKS: [&str; 8] = ["br1", "small", "dual", "mv", "program", "mark", "result", "chain"];
/// Those of plugins that the test steers.
pub const STUBS: [&str; 3] = ["mark", "result", "chain"];
/// Those of them that make an interface, too.
pub const CHAINED: &str = "chain";

/// What a steered plugin does on a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    /// It works.
    Well,
    /// It fails at once.
    Fails,
    /// It does its work, and fails then.
    FailsLate,
    /// The runtime cancels the call while it works.
    Cancelled,
}

/// How the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Daemon {
    Away,
    Answers,
    /// It takes every question, and answers none.
    Silent,
    /// It answers with what is no answer.
    Lies,
    /// It answers within the time that the plugin waits, or after it.
    Slow,
    /// The API server is away, and it has not seen what it is asked about.
    Unavailable,
}

impl Daemon {
    /// All of them, the usual one twice.
    const ALL: [Daemon; 7] = [
        Daemon::Away,
        Daemon::Answers,
        Daemon::Answers,
        Daemon::Silent,
        Daemon::Lies,
        Daemon::Slow,
        Daemon::Unavailable,
    ];
}

/// What keeps pods from the default network for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// Its file is away, or was cut: the last good copy serves, if there is one.
    FileAway,
    FileTorn,
    /// Its file is away, and nobody has read it before.
    NeverRead,
    /// A program of it is in no directory.
    ProgramMissing,
    /// A plugin of it refuses STATUS with this code, and no ADD.
    Refuses {
        code: u64,
    },
    /// A file is where its pool should be.
    PoolBlocked,
    /// Its bridge has an address of another network.
    BridgeTaken,
}

impl Trouble {
    const ALL: [Trouble; 9] = [
        Trouble::FileAway,
        Trouble::FileTorn,
        Trouble::NeverRead,
        Trouble::ProgramMissing,
        Trouble::Refuses { code: 50 },
        Trouble::Refuses { code: 51 },
        Trouble::Refuses { code: 7 },
        Trouble::PoolBlocked,
        Trouble::BridgeTaken,
    ];
}

/// One step. A pod is named by its slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    Add {
        slot: usize,
        networks: Vec<usize>,
    },
    /// The runtime does not hand over the annotations: the daemon has to tell them.
    AddAsked {
        slot: usize,
        networks: Vec<usize>,
    },
    AddKilled {
        slot: usize,
        networks: Vec<usize>,
        at: usize,
    },
    /// The pod asks for more than a node may copy.
    AddGreedy {
        slot: usize,
    },
    Del {
        slot: usize,
    },
    /// The runtime repeats DEL while the first one works, which is before the change numbered `at`.
    DelTwice {
        slot: usize,
        at: usize,
    },
    DelKilled {
        slot: usize,
        at: usize,
    },
    /// DEL of a sandbox that was deleted already.
    DelAgain {
        slot: usize,
    },
    /// The namespace ends without DEL.
    End {
        slot: usize,
    },
    Check {
        slot: usize,
    },
    Status,
    /// STATUS while the default network has a trouble, ADD of a plain pod meanwhile, and STATUS after it.
    StatusIn {
        slot: usize,
        trouble: Trouble,
    },
    Gc,
    GcKilled {
        at: usize,
    },
    Sweep,
    SweepKilled {
        at: usize,
    },
    /// A sweep from where the runtime's namespaces cannot be seen.
    SweepBlind,
    /// The record loses its last bytes: `2`, or this percentage of it.
    Torn {
        slot: usize,
        percent: usize,
    },
    Mood {
        stub: usize,
        verb: usize,
        mood: Mood,
    },
    Daemon(Daemon),
    DiskFull(bool),
    ReadOnly(bool),
    NadGone {
        network: usize,
    },
    /// It is edited, and created again if it is gone.
    NadBack {
        network: usize,
    },
    DefaultReplaced,
    PluginsMoved,
    /// The numbers of processes in notes of locks are those of somebody else by now.
    NumbersReused,
    /// All that was written becomes older by so many seconds; younger if negative.
    Clock {
        seconds: i64,
    },
    Reboot,
}

fn networks(random: &mut Random) -> Vec<usize> {
    let count = [0, 1, 1, 2, 2, 3, 4][random.below(7)];
    let mut all: Vec<usize> = Vec::new();
    for _ in 0..count {
        let network = random.below(NETWORKS.len());
        if !all.contains(&network) {
            all.push(network);
        }
    }
    all
}

/// `count` operations of `seed`; each fourth seed has many sandboxes.
pub fn generate(seed: u64, count: usize) -> Vec<Op> {
    let mut random = Random::new(seed);
    let slots = SLOTS[usize::from(seed.is_multiple_of(4))];
    (0..count).map(|_| one(&mut random, slots)).collect()
}

fn one(random: &mut Random, slots: usize) -> Op {
    let slot = random.below(slots);
    match random.below(103) {
        0..22 => Op::Add { slot, networks: networks(random) },
        22..23 => Op::AddGreedy { slot },
        23..24 => Op::NumbersReused,
        24..28 => Op::AddAsked { slot, networks: networks(random) },
        28..35 => Op::AddKilled { slot, networks: networks(random), at: 1 + random.below(110) },
        35..48 => Op::Del { slot },
        48..50 => Op::DelTwice { slot, at: 1 + random.below(40) },
        50..54 => Op::DelKilled { slot, at: 1 + random.below(40) },
        54..55 => Op::DelAgain { slot },
        55..58 => Op::End { slot },
        58..64 => Op::Check { slot },
        64..65 => Op::Status,
        65..69 => Op::Gc,
        69..71 => Op::GcKilled { at: 1 + random.below(40) },
        71..74 => Op::Sweep,
        74..76 => Op::SweepKilled { at: 1 + random.below(40) },
        76..77 => Op::SweepBlind,
        77..79 => Op::Torn { slot, percent: [0, 0, 10, 50, 100][random.below(5)] },
        79..86 => mood(random),
        86..88 => Op::Daemon(Daemon::ALL[random.below(Daemon::ALL.len())]),
        88..90 => Op::DiskFull(random.chance(25)),
        90..92 => Op::ReadOnly(random.chance(25)),
        92..93 => Op::NadGone { network: random.below(NETWORKS.len()) },
        93..95 => Op::NadBack { network: random.below(NETWORKS.len()) },
        95..96 => Op::DefaultReplaced,
        96..97 => Op::PluginsMoved,
        97..99 => Op::Clock { seconds: [70, 700, 90_000, 31_536_000, -31_536_000][random.below(5)] },
        99..102 => Op::StatusIn { slot, trouble: Trouble::ALL[random.below(Trouble::ALL.len())] },
        _ if random.chance(40) => Op::Reboot,
        _ => Op::Sweep,
    }
}

fn mood(random: &mut Random) -> Op {
    let moods = [Mood::Well, Mood::Well, Mood::Well, Mood::Fails, Mood::FailsLate, Mood::Cancelled];
    Op::Mood { stub: random.below(STUBS.len()), verb: random.below(2), mood: moods[random.below(moods.len())] }
}
