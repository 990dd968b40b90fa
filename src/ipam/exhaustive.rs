//! All worlds that can come of one: what the models share.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What a model tries.
pub(super) trait Model: Clone {
    /// The same number for worlds that differ in nothing that matters.
    fn key(&self) -> u128;
    /// What can come next.
    fn successors(&self) -> Vec<Self>;
    /// What does not hold.
    fn fault(&self) -> Option<String>;
}

/// Which world comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// The one after the fewest steps: a fault is found on its shortest way.
    Shortest,
    /// The one that came last: only few worlds wait at a time.
    Deepest,
}

/// More worlds than memory is for.
const MOST: usize = 60_000_000;

/// Looks at all worlds that can come of `first`: how many there are, and the first fault.
pub(super) fn explore<W: Model>(first: W, search: Search) -> (usize, Option<String>) {
    let mut seen: HashSet<u128, BuildHasherDefault<Known>> = HashSet::default();
    seen.insert(first.key());
    let mut next = VecDeque::from([(0, first)]);
    let take = |next: &mut VecDeque<(usize, W)>| match search {
        Search::Shortest => next.pop_front(),
        Search::Deepest => next.pop_back(),
    };
    while let Some((steps, world)) = take(&mut next) {
        if let Some(fault) = world.fault() {
            return (seen.len(), Some(format!("{fault} after {steps} steps")));
        }
        let successors = world.successors().into_iter().filter(|world| seen.insert(world.key()));
        next.extend(successors.map(|world| (steps + 1, world)));
        assert!(seen.len() < MOST, "the model does not end");
    }
    (seen.len(), None)
}

/// Whether all plans are tried, as `make simulate` does, or those that a test has time for.
pub(super) fn is_full() -> bool {
    std::env::var_os("PLEXUS_MODELS").is_some_and(|value| value == "full")
}

/// 128 bits of `value`: two worlds in a space of millions do not meet.
pub(super) fn digest<T: Hash + ?Sized>(value: &T) -> u128 {
    let mut lanes = Lanes(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344);
    value.hash(&mut lanes);
    let mix = |lane: u64, by: u64| {
        let wide = u128::from(lane ^ (lane >> 32)) * u128::from(by);
        (wide as u64) ^ ((wide >> 64) as u64)
    };
    let (one, other) = (mix(lanes.0, 0x9e37_79b9_7f4a_7c15), mix(lanes.1, 0xbf58_476d_1ce4_e5b9));
    u128::from(one) << 64 | u128::from(other)
}

/// Two numbers that have nothing to do with each other, of one reading: models spend most of their time here.
struct Lanes(u64, u64);

impl Hasher for Lanes {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }

    fn write_u64(&mut self, word: u64) {
        let fold = |lane: u64, by: u64| {
            let wide = u128::from(lane ^ word) * u128::from(by);
            (wide as u64) ^ ((wide >> 64) as u64)
        };
        self.0 = fold(self.0.rotate_left(23), 0xa076_1d64_78bd_642f);
        self.1 = fold(self.1.rotate_left(29), 0xe703_7ed1_a0b4_28db);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.1
    }
}

/// The hasher of numbers that are digests already.
#[derive(Default)]
struct Known(u64);

impl Hasher for Known {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
