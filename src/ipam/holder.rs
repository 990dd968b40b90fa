//! The daemon's side: which blocks of one pool this node holds. State and event give a new state and effects.
//!
//! The order of the effects is what uniqueness rests on:
//! - a block is published only after the API server has answered that it is ours, and after it has answered **then** that
//!   this node was not removed ([`super::epoch`]): what a removed node leases is freed;
//! - its DELETE is sent only after the plugin has given this lease back, and after the block was taken out of what is
//!   published;
//! - after a DELETE that may still be on its way, a block is published again only after its version was changed by a
//!   renewal: the DELETE names the former version, and fails.

use super::grant::Granted;
use super::pool::Block;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The blocks of one pool.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Begins the names of leases; no other process uses it.
    prefix: String,
    leases: u64,
    blocks: BTreeMap<IpAddr, Holding>,
    /// Blocks that others hold, as far as is known.
    others: BTreeSet<IpAddr>,
    /// Blocks that were ours and are somebody else's, with their sizes: a person deleted them.
    lost: BTreeMap<IpAddr, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holding {
    size: u32,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Its creation was asked for; `again` where it was ours before.
    Asked { lease: String, again: bool },
    /// It is ours, and not published before this node is confirmed; `again` where it was ours before.
    Written { lease: String, version: String, again: bool },
    /// It is ours, and published.
    Held { lease: String, version: String },
    /// It is ours, and its version is to be changed before it is published.
    Renewing { lease: String },
    /// The plugin has given it back.
    Returning { version: String },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The node needs this block, which nobody is known to hold.
    Want(Block),
    /// It was created or renewed, and has this version now.
    Written(IpAddr, String),
    /// This node was not removed, by a question that was asked after the last request.
    Confirmed,
    /// New blocks must not be granted: what was created for the first time is deleted again. It comes before
    /// [`Event::Confirmed`], in the place of a grant.
    Declined,
    /// The API server refused: the object is there, or has another version.
    Conflict(IpAddr),
    /// The API server refused for another reason: nothing was or will be done.
    Refused(IpAddr),
    /// There was no answer: it may be done, or be done later.
    Unanswered(IpAddr),
    /// It is ours.
    Seen(Owned),
    /// Somebody else holds it.
    Others(IpAddr),
    /// There is no such object (any more).
    Absent(IpAddr),
    /// The plugin has given this lease back.
    Released(IpAddr, String),
    /// Every block of this node, by a list that was asked for after the last request.
    Listed(Vec<Owned>),
}

/// A block of this node as the API server shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owned {
    /// The block.
    pub block: Block,
    /// Its lease.
    pub lease: String,
    /// The version of the object.
    pub version: String,
    /// Whether it names the current epoch of this node.
    pub is_current: bool,
}

/// What is to be done next, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Write [`Holder::held`] where the plugin reads it. If that fails, nothing after it may be done.
    Publish,
    /// Ask whether this node was removed; [`Event::Confirmed`] where it was not.
    Confirm,
    /// Create the object, which must not exist.
    Create(Block, String),
    /// Write the lease to the object, which must have this version.
    Renew(Block, String, String),
    /// Delete the object, which must have this version.
    Delete(Block, String),
    /// Read the object.
    Look(Block),
}

impl Holder {
    /// The holder of a process that names its leases `<prefix>-<number>`. What is published now, by an earlier process
    /// of this boot, is `published`, and `former` are the blocks that it looked for ([`Holder::former`]). The first event
    /// is [`Event::Listed`].
    pub fn new(prefix: String, published: &[Granted], former: &[Block]) -> Self {
        let held = |granted: &Granted| {
            let phase = Phase::Held { lease: granted.lease.clone(), version: String::new() };
            (granted.first, Holding { size: granted.size, phase })
        };
        let sought = |block: &Block| {
            let phase = Phase::Asked { lease: String::new(), again: true };
            (block.first, Holding { size: block.size, phase })
        };
        let blocks = former.iter().map(sought).chain(published.iter().map(held)).collect();
        Holder { prefix, leases: 0, blocks, others: BTreeSet::new(), lost: BTreeMap::new() }
    }

    /// Blocks that were ours, that pods may have addresses of, and that are not published: they are asked for, or somebody
    /// else has them.
    pub fn former(&self) -> Vec<Block> {
        let is_sought = |holding: &Holding| holding.phase.was_ours() && !matches!(holding.phase, Phase::Held { .. });
        let sought =
            self.blocks.iter().filter(|(_, holding)| is_sought(holding)).map(|(first, one)| (*first, one.size));
        let lost =
            self.lost.iter().filter(|(first, _)| !self.blocks.contains_key(first)).map(|(first, size)| (*first, *size));
        sought.chain(lost).map(|(first, size)| Block { first, size }).collect()
    }

    /// What is to be published.
    pub fn held(&self) -> Vec<Granted> {
        let granted = |(first, holding): (&IpAddr, &Holding)| match &holding.phase {
            Phase::Held { lease, .. } => Some(Granted { first: *first, size: holding.size, lease: lease.clone() }),
            _ => None,
        };
        self.blocks.iter().filter_map(granted).collect()
    }

    /// Whether the block is published.
    pub fn holds(&self, first: IpAddr) -> bool {
        matches!(self.blocks.get(&first), Some(Holding { phase: Phase::Held { .. }, .. }))
    }

    /// Blocks that need not be asked for.
    pub fn unavailable(&self) -> BTreeSet<IpAddr> {
        self.blocks.keys().chain(&self.others).copied().collect()
    }

    /// Blocks that others hold, as far as is known.
    pub fn others(&self) -> BTreeSet<IpAddr> {
        self.others.clone()
    }

    /// Blocks that were taken from this node.
    pub fn lost(&self) -> impl Iterator<Item = &IpAddr> {
        self.lost.keys().filter(|first| !self.blocks.contains_key(first))
    }

    /// Others hold `blocks`, by a list of the whole pool.
    pub fn set_others(&mut self, blocks: BTreeSet<IpAddr>) {
        self.others = blocks;
    }

    /// Nobody holds `blocks` any more, as far as is known.
    pub fn freed(&mut self, blocks: &BTreeSet<IpAddr>) {
        self.others.retain(|first| !blocks.contains(first));
    }

    /// The next state, and what is to be done.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Want(block) => self.want(block),
            Event::Written(first, version) => self.written(first, version),
            Event::Confirmed => self.confirmed(),
            Event::Declined => self.declined(),
            Event::Conflict(first) | Event::Unanswered(first) => self.look(first),
            Event::Refused(first) => self.refused(first),
            Event::Seen(owned) => self.seen(owned),
            Event::Others(first) => self.of_others(first),
            Event::Absent(first) => self.absent(first),
            Event::Released(first, lease) => self.released(first, &lease),
            Event::Listed(owned) => self.listed(owned),
        }
    }

    fn new_lease(&mut self) -> String {
        self.leases += 1;
        format!("{}-{}", self.prefix, self.leases)
    }

    fn set(&mut self, block: Block, phase: Phase) {
        self.blocks.insert(block.first, Holding { size: block.size, phase });
    }

    fn block(&self, first: IpAddr) -> Option<Block> {
        self.blocks.get(&first).map(|holding| Block { first, size: holding.size })
    }

    fn want(&mut self, block: Block) -> Vec<Effect> {
        if self.blocks.contains_key(&block.first) {
            return Vec::new();
        }
        self.create(block, false)
    }

    fn create(&mut self, block: Block, again: bool) -> Vec<Effect> {
        let lease = self.new_lease();
        self.set(block, Phase::Asked { lease: lease.clone(), again });
        vec![Effect::Create(block, lease)]
    }

    fn written(&mut self, first: IpAddr, version: String) -> Vec<Effect> {
        let Some(phase) = self.blocks.get_mut(&first).map(|holding| &mut holding.phase) else { return Vec::new() };
        let (lease, again) = match phase {
            Phase::Asked { lease, again } => (std::mem::take(lease), *again),
            Phase::Renewing { lease } => (std::mem::take(lease), true),
            _ => return Vec::new(),
        };
        *phase = Phase::Written { lease, version, again };
        vec![Effect::Confirm]
    }

    fn confirmed(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for phase in self.blocks.values_mut().map(|holding| &mut holding.phase) {
            if let Phase::Written { lease, version, .. } = phase {
                *phase = Phase::Held { lease: std::mem::take(lease), version: std::mem::take(version) };
                effects = vec![Effect::Publish];
            }
        }
        effects
    }

    fn declined(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (first, holding) in &mut self.blocks {
            let Phase::Written { version, again: false, .. } = &mut holding.phase else { continue };
            let (block, version) = (Block { first: *first, size: holding.size }, std::mem::take(version));
            holding.phase = Phase::Returning { version: version.clone() };
            effects.push(Effect::Delete(block, version));
        }
        effects
    }

    /// Whether a block waits for [`Event::Confirmed`] that this node never had before.
    pub fn has_new(&self) -> bool {
        let is_new = |holding: &Holding| matches!(holding.phase, Phase::Written { again: false, .. });
        self.blocks.values().any(is_new)
    }

    fn look(&self, first: IpAddr) -> Vec<Effect> {
        self.block(first).map(Effect::Look).into_iter().collect()
    }

    fn refused(&mut self, first: IpAddr) -> Vec<Effect> {
        if let Some(Holding { phase: Phase::Asked { again: false, .. }, .. }) = self.blocks.get(&first) {
            self.blocks.remove(&first);
        }
        Vec::new()
    }

    /// An object of ours. Of the lease that was asked for last it is what was asked for; of another one a DELETE of a
    /// former process may be on its way. One that names a former epoch, or none, is freed as if its node was gone.
    fn seen(&mut self, owned: Owned) -> Vec<Effect> {
        let Owned { block, lease, version, is_current } = owned;
        match self.blocks.get_mut(&block.first).map(|holding| &mut holding.phase) {
            Some(phase) if is_current && phase.lease() == Some(&lease) => {
                let again = match phase {
                    Phase::Held { version: known, .. } => {
                        *known = version;
                        return Vec::new();
                    }
                    Phase::Asked { again, .. } | Phase::Written { again, .. } => *again,
                    _ => true,
                };
                *phase = Phase::Written { lease, version, again };
                vec![Effect::Confirm]
            }
            Some(Phase::Returning { version: known }) => {
                known.clone_from(&version);
                vec![Effect::Publish, Effect::Delete(block, version)]
            }
            _ => {
                let lease = self.new_lease();
                self.set(block, Phase::Renewing { lease: lease.clone() });
                vec![Effect::Publish, Effect::Renew(block, lease, version)]
            }
        }
    }

    fn of_others(&mut self, first: IpAddr) -> Vec<Effect> {
        self.others.insert(first);
        let Some(holding) = self.blocks.remove(&first) else { return Vec::new() };
        if holding.phase.was_ours() {
            self.lost.insert(first, holding.size);
        }
        vec![Effect::Publish]
    }

    fn absent(&mut self, first: IpAddr) -> Vec<Effect> {
        let Some(block) = self.block(first) else { return Vec::new() };
        // Addresses of it may be in use.
        if self.blocks.get(&first).is_some_and(|holding| holding.phase.was_ours()) {
            let mut effects = self.create(block, true);
            effects.insert(0, Effect::Publish);
            return effects;
        }
        self.blocks.remove(&first);
        Vec::new()
    }

    fn released(&mut self, first: IpAddr, given_back: &str) -> Vec<Effect> {
        let Some(block) = self.block(first) else { return Vec::new() };
        match self.blocks.get_mut(&first).map(|holding| &mut holding.phase) {
            Some(phase @ Phase::Held { .. }) if phase.lease().is_some_and(|lease| lease == given_back) => {
                let Phase::Held { version, .. } = phase else { return Vec::new() };
                let version = std::mem::take(version);
                *phase = Phase::Returning { version: version.clone() };
                // One whose version is not known yet waits for the list.
                if version.is_empty() {
                    return vec![Effect::Publish];
                }
                vec![Effect::Publish, Effect::Delete(block, version)]
            }
            _ => Vec::new(),
        }
    }

    fn listed(&mut self, owned: Vec<Owned>) -> Vec<Effect> {
        let listed: BTreeSet<IpAddr> = owned.iter().map(|owned| owned.block.first).collect();
        let missing: Vec<IpAddr> = self.blocks.keys().filter(|first| !listed.contains(first)).copied().collect();
        let mut effects: Vec<Effect> = missing.into_iter().flat_map(|first| self.absent(first)).collect();
        effects.extend(owned.into_iter().flat_map(|owned| self.seen(owned)));
        // What is not ours any more goes first.
        if effects.contains(&Effect::Publish) {
            effects.retain(|effect| *effect != Effect::Publish);
            effects.insert(0, Effect::Publish);
        }
        // One question is enough for all of them.
        if effects.contains(&Effect::Confirm) {
            effects.retain(|effect| *effect != Effect::Confirm);
            effects.push(Effect::Confirm);
        }
        effects
    }
}

impl Phase {
    fn lease(&self) -> Option<&String> {
        match self {
            Phase::Asked { lease, .. }
            | Phase::Written { lease, .. }
            | Phase::Held { lease, .. }
            | Phase::Renewing { lease } => Some(lease),
            Phase::Returning { .. } => None,
        }
    }

    fn was_ours(&self) -> bool {
        matches!(self, Phase::Asked { again: true, .. } | Phase::Written { again: true, .. } | Phase::Held { .. })
    }
}
