//! One look of the controller at a node that may have been removed, question by question.
//!
//! The order of the questions is what uniqueness rests on:
//! - the blocks are listed before the record is read: those of a dead epoch that come later are another look's;
//! - the clock is read when the record is there, and before the Node is asked for: see [`Reclaimer::judge`].

use super::epoch::{Reclaimer, Record, Step};
use std::time::Duration;

/// What is asked or done next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Ask<B> {
    /// List the blocks of the node.
    Blocks,
    /// Read its record.
    Record,
    /// Ask whether it has a Node.
    Node,
    /// Do this, with the blocks that were listed.
    Do(Step, Vec<B>),
}

/// What one look has seen so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Look<B> {
    blocks: Vec<B>,
    record: Option<Record>,
    now: Duration,
}

impl<B> Look<B> {
    /// A look, and its first step.
    pub fn begin() -> (Self, Ask<B>) {
        (Look { blocks: Vec::new(), record: None, now: Duration::ZERO }, Ask::Blocks)
    }

    /// After [`Ask::Blocks`].
    pub fn listed(&mut self, blocks: Vec<B>) -> Ask<B> {
        self.blocks = blocks;
        Ask::Record
    }

    /// After [`Ask::Record`]; `now` is read when the answer is there.
    pub fn read(&mut self, record: Option<Record>, now: Duration) -> Ask<B> {
        (self.record, self.now) = (record, now);
        Ask::Node
    }

    /// After [`Ask::Node`]; a node with such blocks is waited for as long as `wait` tells.
    pub fn judge(
        &mut self,
        (reclaimer, node): (&mut Reclaimer, &str),
        is_gone: bool,
        wait: impl FnOnce(&[B]) -> Duration,
    ) -> Ask<B> {
        let wait = wait(&self.blocks);
        let step = reclaimer.judge(node, self.record.take(), is_gone, self.now, wait);
        Ask::Do(step, std::mem::take(&mut self.blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_that_of_the_record_and_the_blocks_are_older() {
        let mut reclaimer = Reclaimer::default();
        let (epoch, version, revoked_at) = ("e".to_owned(), "1".to_owned(), "now".to_owned());
        let record = Record { epoch, version, revoked_at, is_dead: false };
        let second = Duration::from_secs;
        for (now, step) in [(0, Step::Wait), (9, Step::Wait), (10, Step::Bury(record.clone()))] {
            let (mut look, first) = Look::begin();
            assert_eq!(first, Ask::Blocks);
            assert_eq!(look.listed(vec!["block"]), Ask::Record);
            assert_eq!(look.read(Some(record.clone()), second(now)), Ask::Node);
            let wait = |blocks: &[&str]| second(10 * blocks.len() as u64);
            assert_eq!(look.judge((&mut reclaimer, "n"), true, wait), Ask::Do(step, vec!["block"]));
        }
    }
}
