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
    /// The plugin takes addresses whatever the confirmation says.
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
    /// The plugin takes addresses of what it has given back.
    Release,
    /// A DELETE of the daemon names no version.
    DeleteVersion,
    /// A node that is revoked goes on as if it was not.
    Objection,
    /// The controller does not wait.
    Quarantine,
    /// Blocks are deleted after the quarantine, without the write that says so.
    Death,
    /// That write names no version.
    Version,
    /// A block that is deleted may be another one than the one that was seen.
    BlockVersion,
    /// The blocks are listed after the record was read.
    Order,
    /// The controller reads its clock after the answer about the Node.
    Reading,
    /// The daemon leases for a plugin that waits for it no more.
    Asker,
    /// What the disk has lost is free.
    Copies,
    /// Each plugin that waits for a block gets one of its own.
    Sharing,
    /// The last block that was leased also answers a plugin that asked after that.
    Asking,
}

/// All of them.
pub const RULES: [Without; 19] = [
    Without::Sharing,
    Without::Asking,
    Without::Copies,
    Without::Order,
    Without::Reading,
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
];

impl Without {
    /// A seed in which this is noticed: a short run looks at this one, and `make simulate` at it and those after it.
    pub fn noticed_by(self) -> u64 {
        match self {
            Without::Nothing => 0,
            Without::Boot | Without::Answer | Without::Release | Without::Quarantine => 0,
            Without::Stamp | Without::Clock | Without::Confirmation => 3,
            Without::DeleteVersion => 41,
            Without::BlockVersion => 71,
            Without::Death => 95,
            Without::Version => 243,
            Without::Renewal => 373,
            Without::Objection => 341,
            Without::Order => 407,
            Without::Reading => 14_916,
            Without::Asker => 61,
            Without::Copies => 1,
            Without::Sharing => 14,
            Without::Asking => 3,
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
            restores: !is_large && random.chance(8),
            zombies,
            erasures: erasures(&mut apart, storm, nodes),
        }
    }
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
