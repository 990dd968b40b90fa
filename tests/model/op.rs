//! Operations and faults, as data: made from a seed, or read from a list.

use crate::primary::Primary;
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
    /// The runtime sends DEL first, and ADD of the same sandbox then.
    AddAfterDel {
        slot: usize,
        networks: Vec<usize>,
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
    /// CHECK of a sandbox that was deleted.
    CheckGone {
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
    DefaultReplaced(Primary),
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
    let mut ops = Vec::with_capacity(count);
    while ops.len() < count {
        ops.extend(next(&mut random, slots));
    }
    ops.truncate(count);
    ops
}

/// One operation, or several that belong together.
fn next(random: &mut Random, slots: usize) -> Vec<Op> {
    let slot = random.below(slots);
    let one = match random.below(134) {
        0..22 => Op::Add { slot, networks: networks(random) },
        22..25 => Op::AddGreedy { slot },
        25..27 => return numbers_reused(slot),
        27..31 => Op::AddAsked { slot, networks: networks(random) },
        31..38 => Op::AddKilled { slot, networks: networks(random), at: 1 + random.below(110) },
        38..42 => Op::AddAfterDel { slot, networks: networks(random) },
        42..54 => Op::Del { slot },
        54..58 => Op::DelTwice { slot, at: 1 + random.below(40) },
        58..62 => Op::DelKilled { slot, at: 1 + random.below(40) },
        62..64 => Op::DelAgain { slot },
        64..67 => Op::End { slot },
        67..82 => Op::Check { slot },
        82..84 => Op::CheckGone { slot },
        84..86 => Op::Status,
        86..89 => Op::StatusIn { slot, trouble: Trouble::ALL[random.below(Trouble::ALL.len())] },
        89..93 => Op::Gc,
        93..95 => Op::GcKilled { at: 1 + random.below(40) },
        95..96 => Op::Sweep,
        96..98 => return ended_and_swept(random, slot, slots),
        98..100 => Op::SweepKilled { at: 1 + random.below(40) },
        100..101 => Op::SweepBlind,
        101..104 => Op::Torn { slot, percent: [0, 0, 10, 50, 100][random.below(5)] },
        104..111 => mood(random),
        111..113 => Op::Daemon(Daemon::ALL[random.below(Daemon::ALL.len())]),
        113..116 => Op::DiskFull(random.chance(25)),
        116..119 => Op::ReadOnly(random.chance(25)),
        119..120 => Op::NadGone { network: random.below(NETWORKS.len()) },
        120..122 => Op::NadBack { network: random.below(NETWORKS.len()) },
        122..125 => Op::DefaultReplaced(Primary::ALL[random.below(Primary::ALL.len())]),
        125..126 => Op::PluginsMoved,
        128..132 => return asked(random, slot),
        126..128 => Op::Clock { seconds: [70, 700, 90_000, 31_536_000, -31_536_000][random.below(5)] },
        _ if random.chance(50) => Op::Reboot,
        _ => Op::Sweep,
    };
    vec![one]
}

/// The daemon is so, and an ADD comes whose annotations only it has. By chance alone both meet too seldom.
fn asked(random: &mut Random, slot: usize) -> Vec<Op> {
    let daemon = Op::Daemon(Daemon::ALL[random.below(Daemon::ALL.len())]);
    vec![daemon, Op::Del { slot }, Op::AddAsked { slot, networks: networks(random) }]
}

/// A call is killed while a program works, so that its lock has a note; then the numbers in it are those of somebody else. By
/// chance alone both meet so seldom that 20 seeds may have none.
fn numbers_reused(slot: usize) -> Vec<Op> {
    // The plugin `mark`, and ADD.
    let (stub, verb) = (0, 0);
    let marked = NETWORKS.iter().position(|name| *name == STUBS[stub]).unwrap();
    vec![
        Op::Del { slot },
        Op::Mood { stub, verb, mood: Mood::Cancelled },
        Op::Add { slot, networks: vec![marked] },
        Op::NumbersReused,
        Op::Mood { stub, verb, mood: Mood::Well },
    ]
}

/// A sandbox ends without DEL, and a sweep comes when it is old enough to be judged, while another one lives and shows where
/// namespaces are. By chance alone a sweep meets all of that in every second seed only. Now and then no record tells of it, and
/// only its address is left.
fn ended_and_swept(random: &mut Random, slot: usize, slots: usize) -> Vec<Op> {
    let is_unrecorded = random.chance(25);
    let networks = if is_unrecorded { Vec::new() } else { networks(random) };
    let seconds = [70, 700, 700, 90_000][random.below(4)];
    // What ended there before has no record any more: another sweep, or a GC, was faster.
    let mut ops = vec![Op::Add { slot: (slot + 1) % slots, networks: Vec::new() }, Op::Del { slot }];
    ops.extend(is_unrecorded.then_some(Op::DiskFull(true)));
    ops.extend([Op::Add { slot, networks }, Op::End { slot }]);
    ops.extend(is_unrecorded.then_some(Op::DiskFull(false)));
    ops.push(Op::Clock { seconds });
    ops.push(if random.chance(20) { Op::SweepKilled { at: 1 + random.below(40) } } else { Op::Sweep });
    ops
}

fn mood(random: &mut Random) -> Op {
    let moods = [Mood::Well, Mood::Well, Mood::Well, Mood::Fails, Mood::FailsLate, Mood::Cancelled];
    Op::Mood { stub: random.below(STUBS.len()), verb: random.below(2), mood: moods[random.below(moods.len())] }
}

/// What share of these has an effect at all: the others meet no sandbox, or one that is there already. So many of 2,000 operations had
/// (*measured*, seeds 810001 to 810010); of CHECK it is the part that cuts an interface off.
const EFFECTIVE: [(&str, f64); 7] = [
    ("AddGreedy", 0.25),
    ("AddAfterDel", 0.25),
    ("Torn", 0.3),
    ("Check", 0.05),
    ("CheckGone", 0.7),
    ("DelTwice", 0.22),
    ("NumbersReused", 0.7),
];

/// If each operation is one of a kind with a probability of p, 4,000 have none with (1 - p)^4000 < e^-(4000 p).
#[test]
fn each_fault_is_met_in_twenty_seeds() {
    const GROUPS: u64 = 50;
    let mut counts = std::collections::BTreeMap::<String, f64>::new();
    for op in (1..=20 * GROUPS).flat_map(|seed| generate(seed, 200)) {
        // The end of a fault is none.
        if !matches!(op, Op::DiskFull(false) | Op::ReadOnly(false)) {
            let name = format!("{op:?}");
            *counts.entry(name.split([' ', '(']).next().unwrap().to_owned()).or_default() += 1.0 / GROUPS as f64;
        }
    }
    assert!(counts.len() > 20, "{counts:?}");
    for (name, count) in counts {
        let share = EFFECTIVE.iter().find(|(of, _)| *of == name).map_or(1.0, |(_, share)| *share);
        // e^-18 is one of sixty million runs of `make prove`.
        assert!(count * share > 18.0, "20 seeds have {name} {count:.1} times, and {share} of it has an effect");
    }
}
