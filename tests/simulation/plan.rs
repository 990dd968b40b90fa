//! What a seed decides once: how large the world is, what the pool says, and how bad the weather is.

use crate::core::{SECOND, Time};
use crate::machine::Erasure;
use crate::support::random::Random;
use plexus::ipam::PoolSpec;
use plexus::ipam::pool::{BlockSize, Range, Reclaim, Warm};

/// A rule of the design that is left out, to see that the check notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    Nothing,
    /// The plugin takes addresses without a look at the confirmation.
    Stamp,
    /// Only the time since the boot counts.
    Clock,
    /// A grant of an earlier boot counts.
    Boot,
    /// A block is granted before the API server has answered.
    Answer,
    /// A new block is granted without the question whether the node was removed.
    Confirmation,
    /// What was found in the cluster is granted without a renewal.
    Renewal,
    /// The plugin takes addresses of what it has released.
    Release,
    /// A DELETE of the daemon names no version.
    DeleteVersion,
    /// A node that is revoked continues as if it was not.
    Objection,
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
    /// The daemon leases for a plugin that waits for it no more.
    Asker,
    /// What the disk has lost is free.
    Copies,
    /// Each plugin that waits for a block gets one of its own.
    Sharing,
    /// The last block that was leased also answers a plugin that asked after that.
    Asking,
    /// The confirmation is of the time of the answer, not of the question.
    Question,
    /// Only the time of day counts.
    SinceBoot,
    /// The confirmation needs no question.
    Unasked,
    /// A node whose pod waits for an address leaves no mark.
    Mark,
    /// The mark has the same word each time.
    NewWord,
    /// A node continues to keep addresses while it knows that the pool is scarce.
    Keeping,
    /// Only calls of the plugin release what others wait for.
    Idle,
    /// The controller reads its clock after the answer about the Node.
    Reading,
}

/// All of them.
pub const RULES: [Without; 26] = [
    Without::Sharing,
    Without::Asking,
    Without::Copies,
    Without::Order,
    Without::Asker,
    Without::Stamp,
    Without::Clock,
    Without::Boot,
    Without::Answer,
    Without::Confirmation,
    Without::Renewal,
    Without::Release,
    Without::DeleteVersion,
    Without::Objection,
    Without::Quarantine,
    Without::Death,
    Without::Version,
    Without::BlockVersion,
    Without::Question,
    Without::SinceBoot,
    Without::Unasked,
    Without::Mark,
    Without::NewWord,
    Without::Keeping,
    Without::Idle,
    Without::Reading,
];

impl Without {
    /// A seed in which this is noticed: a short run looks at this one, and `make simulate` at it and those after it.
    pub fn noticed_by(self) -> u64 {
        match self {
            Without::Nothing => 0,
            Without::Answer | Without::Asker | Without::Quarantine | Without::Release => 0,
            Without::Asking => 1,
            Without::Stamp => 3,
            Without::Boot | Without::Keeping => 4,
            Without::Copies => 5,
            Without::SinceBoot => 7,
            Without::Clock | Without::BlockVersion => 9,
            Without::Sharing => 10,
            Without::Idle | Without::Mark | Without::NewWord => 17,
            Without::Question => 22,
            Without::Reading => 45,
            Without::DeleteVersion => 62,
            Without::Order => 77,
            Without::Death | Without::Objection => 194,
            Without::Version => 204,
            Without::Renewal => 376,
            Without::Confirmation => 616,
            Without::Unasked => 1760,
        }
    }
}

/// What a seed decides.
#[derive(Clone, Debug)]
pub struct Plan {
    pub nodes: usize,
    /// How many pods a node has at most.
    pub pods: usize,
    pub spec: PoolSpec,
    /// The weather is bad for so long.
    pub storm: Time,
    /// Of a thousand requests so many are lost, so many are done without an answer, late, or refused.
    pub silences: u64,
    /// The longest way to the API server, in one direction.
    pub delay: Time,
    /// Of so many steps of a daemon or a controller one is its last; 0 where they only end at some time.
    pub steps: usize,
    /// How many controllers there are.
    pub controllers: usize,
    /// In so many of a hundred cases a controller stands still after an answer, for so long at most.
    pub stalls: (u64, Time),
    /// For so long at most the daemon has no pod after a Node is back.
    pub pod_of_daemon: Time,
    /// Pods come or go on each node so often.
    pub pod_every: Time,
    /// Faults of the whole cluster come so often.
    pub fault_every: Time,
    /// Whether etcd is once restored from a backup.
    pub restores: bool,
    /// Machines whose Node was deleted may run on: only new addresses are promised.
    pub zombies: bool,
    /// When the files of which machine are deleted, or replaced by those of an image.
    pub erasures: Vec<(Time, usize, Erasure)>,
}

impl Plan {
    /// How long a removed node is waited for.
    pub fn quarantine(&self) -> Time {
        u64::try_from(self.spec.terms().wait().as_millis()).unwrap_or(u64::MAX)
    }

    /// That of `seed`; with `nodes` where that is given.
    pub fn of(random: &mut Random, nodes: Option<usize>) -> Self {
        let mut apart = Random::new(!random.clone().next());
        let few = [1, 2, 2, 3, 3, 4, 6, 10, 20, 40][random.below(10)];
        let nodes = nodes.unwrap_or(few);
        let is_large = nodes > 100;
        let size = [1, 2, 4, 8, 16][random.below(5)];
        let pods = [2, 4, 8, 20][random.below(4)];
        // From a pool that is exhausted to one of which half is free.
        let room = if is_large { 2 } else { random.below(3) };
        let wanted = nodes * (pods / 2 + size * room);
        let bits = usize::BITS - wanted.max(8).leading_zeros();
        let range = Range {
            range: format!("10.0.0.0/{}", 32 - bits),
            gateway: Some("10.0.0.1".to_owned()),
            exclude: vec!["10.0.0.4-10.0.0.5".to_owned()],
            ..Range::default()
        };
        let quarantine = [20, 60, 300][random.below(3)];
        let zombies = !is_large && random.chance(15);
        let authority = if zombies { 120 } else { [60, 600, 3600, 86_400][random.below(4)] };
        let size = u32::try_from(size).unwrap();
        let warm =
            [Warm { min: 0, max: 0 }, Warm { min: 1, max: 16 }, Warm { min: 4, max: 8 }][random.below(3)].clone();
        let spec = PoolSpec {
            block_size: BlockSize { v4: size, v6: 64 },
            ranges: vec![range],
            warm,
            authority_seconds: authority,
            cooldown_seconds: [0, 0, 30][random.below(3)],
            retain_seconds: 600,
            reclaim: Reclaim { quarantine_seconds: quarantine, strict: zombies },
            ..PoolSpec::default()
        };
        let second = |choices: [Time; 3], random: &mut Random| choices[random.below(3)] * SECOND;
        let storm = if is_large { 1800 * SECOND } else { second([600, 1200, 2400], random) };
        Plan {
            nodes,
            pods,
            spec,
            storm,
            silences: [0, 5, 40][random.below(3)],
            delay: [5, 50, 500][random.below(3)],
            pod_every: if is_large { 120 * SECOND } else { second([5, 15, 60], random) },
            fault_every: if is_large { 2 * SECOND } else { second([10, 30, 90], random) },
            steps: if is_large { 20_000 } else { [0, 1000, 200, 50][apart.below(4)] },
            controllers: if is_large { 2 } else { [1, 2, 2, 3][apart.below(4)] },
            stalls: stalls(&mut apart, quarantine),
            pod_of_daemon: [1, 20, 120][apart.below(3)] * SECOND,
            restores: !is_large && random.chance(8),
            zombies,
            erasures: erasures(&mut apart, storm, nodes),
        }
    }
}

/// A process that stands still for longer than a controller may leave a node alone begins again.
fn stalls(random: &mut Random, quarantine: u64) -> (u64, Time) {
    let gap = (quarantine / 2).clamp(15, 150);
    [(0, SECOND), (3, 60 * SECOND), (3, 60 * SECOND), (30, gap * SECOND)][random.below(4)]
}

/// In one of four seeds a person does so to a few machines. These numbers are others than those of the rest, so that a seed is
/// what it was before there were any.
fn erasures(random: &mut Random, storm: Time, nodes: usize) -> Vec<(Time, usize, Erasure)> {
    let count = if random.chance(25) { 1 + random.below(4) } else { 0 };
    let of_one = |_| {
        let (at, node) = (storm / 10 + random.next() % (storm * 8 / 10), random.below(nodes));
        let saved = at - random.next() % (storm / 20);
        let what = if random.chance(50) { Erasure::Delete } else { Erasure::Restore };
        [(saved, node, Erasure::Save), (at, node, what)]
    };
    (0..count).flat_map(of_one).collect()
}
