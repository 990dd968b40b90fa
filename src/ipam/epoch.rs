//! Whether a node was removed: what its AddressNode says, and what the node and the controller do about it.
//!
//! One object for each node. The UID of the object is the *epoch* that blocks of the node name. The controller marks it as
//! revoked if the Node is gone. A node that lives clears that: who can write is alive. If nobody clears it for the quarantine,
//! the controller marks the epoch as dead. Both are writes of one version of one object, so that exactly one of them is done.
//! Only then the blocks are deleted, and at last the object. A new object is a new epoch.

use std::collections::BTreeMap;
use std::time::Duration;

/// What an AddressNode says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// The epoch: the UID of the object.
    pub epoch: String,
    /// The version of the object.
    pub version: String,
    /// When the controller has seen that the Node is gone; empty where it has not.
    pub revoked_at: String,
    /// The quarantine is over: no address of this epoch is given any more, and its blocks are deleted.
    pub is_dead: bool,
}

impl Record {
    /// Whether the controller has seen that the Node is gone.
    pub fn is_revoked(&self) -> bool {
        !self.revoked_at.is_empty()
    }
}

/// What the daemon of a node does about its own record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// There is none: a new epoch begins. Nothing is granted before it is created, and asked for again.
    Begin,
    /// This node was not removed, in this epoch.
    Live(String),
    /// Clear the mark, of this version. Nothing new is granted before that is done, and asked for again.
    Object(Record),
    /// Grant nothing. Wait until the object is gone.
    Dead,
}

impl Standing {
    /// That of the node with `record`.
    pub fn of(record: Option<Record>) -> Self {
        match record {
            None => Standing::Begin,
            Some(record) if record.is_dead => Standing::Dead,
            Some(record) if record.is_revoked() => Standing::Object(record),
            Some(record) => Standing::Live(record.epoch),
        }
    }
}

/// What the controller does about a node. Each write names the version that was judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing.
    Leave,
    /// Nothing before the quarantine is over.
    Wait,
    /// Mark it as revoked.
    Revoke(Record),
    /// Take that mark away.
    Restore(Record),
    /// Mark the epoch as dead.
    Bury(Record),
    /// Delete the blocks of the node, and the record if there are none.
    Clear(Record),
    /// Delete those blocks of the node that name an epoch.
    ClearStray,
}

/// What is waited for, of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Watched {
    /// Epoch and version of the revoked record; none where blocks have no record.
    mark: Option<(String, String)>,
    since: Duration,
    /// When the Node was seen to be gone last.
    seen: Duration,
}

/// How far apart two looks at a node may be. In a longer time the Node may have been there and gone again while the watch of
/// Nodes was late.
fn longest_gap(quarantine: Duration) -> Duration {
    (quarantine / 2).clamp(Duration::from_secs(15), Duration::from_secs(150))
}

/// The controller's memory: since when it has seen each mark, by its own clock. A new one waits again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reclaimer {
    watched: BTreeMap<String, Watched>,
    /// When this round of looks began, and how long the two before took. With many removed nodes, or where the API server is
    /// slow, each takes minutes. One alone may be a process that stood still.
    round: Duration,
    rounds_before: [Duration; 2],
}

impl Reclaimer {
    /// A round of looks at all nodes begins, by the same clock.
    pub fn begin_round(&mut self, now: Duration) {
        self.round = now;
    }

    /// It ends. Whatever comes before the next one is a gap.
    pub fn end_round(&mut self, now: Duration) {
        self.rounds_before = [self.rounds_before[1], now.saturating_sub(self.round)];
    }

    /// The next step for `node`. `record` was read first, and then the Node: `is_gone` if there is none, or if a person said
    /// that the machine is off. `now` is read **between the two**, of a clock that only goes forward: the mark was seen before,
    /// so that its quarantine does not begin too early. The Node was asked for later, so that it was gone when that was over.
    /// It has to be asked for often in between: after a [gap](longest_gap) the quarantine begins again.
    pub fn judge(
        &mut self,
        node: &str,
        record: Option<Record>,
        is_gone: bool,
        now: Duration,
        quarantine: Duration,
    ) -> Step {
        // What is dead stays dead, also if the Node is back: its daemon waits for a new epoch.
        if let Some(record) = record.clone().filter(|record| record.is_dead) {
            self.forget(node);
            return Step::Clear(record);
        }
        if !is_gone {
            self.forget(node);
            return record.filter(|record| record.is_revoked()).map_or(Step::Leave, Step::Restore);
        }
        if let Some(record) = record.clone().filter(|record| !record.is_revoked()) {
            self.forget(node);
            return Step::Revoke(record);
        }
        let mark = record.as_ref().map(|record| (record.epoch.clone(), record.version.clone()));
        let begins = Watched { mark: mark.clone(), since: now, seen: now };
        let watched = self.watched.entry(node.to_owned()).or_insert_with(|| begins.clone());
        let [one, other] = self.rounds_before;
        let longest = longest_gap(quarantine) + one.min(other) * 2;
        if watched.mark != mark || now.saturating_sub(watched.seen) > longest {
            *watched = begins;
        }
        watched.seen = now;
        if now.saturating_sub(watched.since) < quarantine {
            return Step::Wait;
        }
        record.map_or(Step::ClearStray, Step::Bury)
    }

    /// The Node was there, so its quarantine begins again.
    pub fn forget(&mut self, node: &str) {
        self.watched.remove(node);
    }

    /// It is not known which Nodes were there: every quarantine begins again.
    pub fn forget_all(&mut self) {
        self.watched.clear();
    }
}

/// The quarantine of a pool, and whether nothing is taken for granted of a node that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Seconds from the mark on.
    pub quarantine: u64,
    /// Seconds for which a node gives addresses without the API server.
    pub authority: u64,
    /// Wait until no node can give a new address by what it was told before the mark.
    pub is_strict: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { quarantine: 300, authority: 86_400, is_strict: false }
    }
}

impl Terms {
    /// How long a node is waited for. Clocks of machines differ by less than a tenth.
    pub fn wait(&self) -> Duration {
        let strict = if self.is_strict { self.authority.saturating_add(self.authority / 10 + 1) } else { 0 };
        Duration::from_secs(self.quarantine.max(strict))
    }

    /// How long a node is waited for that has blocks of pools with these terms: the longest of them.
    pub fn longest(all: impl Iterator<Item = Terms>) -> Duration {
        all.map(|terms| terms.wait()).max().unwrap_or_else(|| Terms::default().wait())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARANTINE: Duration = Duration::from_secs(300);

    fn record(version: &str, is_revoked: bool, is_dead: bool) -> Record {
        let revoked_at = if is_revoked { "now" } else { "" }.to_owned();
        Record { epoch: "e".to_owned(), version: version.to_owned(), revoked_at, is_dead }
    }

    fn judge(reclaimer: &mut Reclaimer, record: Option<&Record>, is_gone: bool, second: u64) -> Step {
        reclaimer.judge("n", record.cloned(), is_gone, Duration::from_secs(second), QUARANTINE)
    }

    #[test]
    fn a_node_is_dead_after_one_quarantine_without_an_objection() {
        let mut reclaimer = Reclaimer::default();
        let (live, revoked) = (record("1", false, false), record("2", true, false));
        assert_eq!(judge(&mut reclaimer, Some(&live), false, 0), Step::Leave);
        assert_eq!(judge(&mut reclaimer, Some(&live), true, 1), Step::Revoke(live));
        for second in [2, 152, 301] {
            assert_eq!(judge(&mut reclaimer, Some(&revoked), true, second), Step::Wait);
        }
        // An objection, and the mark again: another version.
        let again = record("4", true, false);
        for second in [302, 452, 601] {
            assert_eq!(judge(&mut reclaimer, Some(&again), true, second), Step::Wait);
        }
        assert_eq!(judge(&mut reclaimer, Some(&again), true, 602), Step::Bury(again));
        let dead = record("5", true, true);
        for is_gone in [true, false] {
            assert_eq!(judge(&mut reclaimer, Some(&dead), is_gone, 603), Step::Clear(dead.clone()));
        }
    }

    #[test]
    fn a_node_that_is_back_begins_its_quarantine_again() {
        let mut reclaimer = Reclaimer::default();
        let revoked = record("2", true, false);
        assert_eq!(judge(&mut reclaimer, Some(&revoked), true, 0), Step::Wait);
        assert_eq!(judge(&mut reclaimer, Some(&revoked), false, 100), Step::Restore(revoked.clone()));
        assert_eq!(judge(&mut reclaimer, Some(&revoked), true, 301), Step::Wait);
        reclaimer.forget("n");
        assert_eq!(judge(&mut reclaimer, Some(&revoked), true, 620), Step::Wait);
        // Another controller has not seen it, and waits by its own clock.
        assert_eq!(judge(&mut Reclaimer::default(), Some(&revoked), true, 10_000), Step::Wait);
    }

    #[test]
    fn blocks_without_a_record_wait_as_long() {
        let mut reclaimer = Reclaimer::default();
        assert_eq!(judge(&mut reclaimer, None, true, 0), Step::Wait);
        assert_eq!(judge(&mut reclaimer, None, false, 299), Step::Leave);
        for second in [300, 450] {
            assert_eq!(judge(&mut reclaimer, None, true, second), Step::Wait);
        }
        assert_eq!(judge(&mut reclaimer, None, true, 600), Step::ClearStray);
        // A record that appears is a mark of its own.
        assert_eq!(judge(&mut reclaimer, Some(&record("1", true, false)), true, 601), Step::Wait);
    }

    #[test]
    fn a_controller_that_looked_too_seldom_waits_again() {
        let (mut reclaimer, revoked) = (Reclaimer::default(), record("2", true, false));
        for second in [0, 150, 299] {
            assert_eq!(judge(&mut reclaimer, Some(&revoked), true, second), Step::Wait);
        }
        // In these 151 s the Node may have been there.
        for second in [450, 600, 749] {
            assert_eq!(judge(&mut reclaimer, Some(&revoked), true, second), Step::Wait);
        }
        assert_eq!(judge(&mut reclaimer, Some(&revoked), true, 750), Step::Bury(revoked));
        // With that many nodes it is not seldom.
        let (mut reclaimer, revoked) = (Reclaimer::default(), record("2", true, false));
        let round = |reclaimer: &mut Reclaimer, begin: u64, end: u64| {
            reclaimer.begin_round(Duration::from_secs(begin));
            let step = judge(reclaimer, Some(&revoked), true, begin + 1);
            reclaimer.end_round(Duration::from_secs(end));
            step
        };
        for begin in [0, 280, 560] {
            assert_eq!(round(&mut reclaimer, begin, begin + 275), Step::Wait);
        }
        assert!(matches!(round(&mut reclaimer, 840, 1115), Step::Bury(_)));
        // Between two rounds, or in one of them, the process stood still.
        let mut reclaimer = Reclaimer::default();
        for (begin, end) in [(0, 5), (10, 15), (800, 805), (1000, 1700), (1705, 1710)] {
            assert_eq!(round(&mut reclaimer, begin, end), Step::Wait, "{begin}");
        }
        assert_eq!(longest_gap(Duration::from_secs(95_000)).as_secs(), 150);
        assert_eq!(longest_gap(Duration::from_secs(10)).as_secs(), 15);
    }

    #[test]
    fn strict_waits_for_the_authority_too() {
        let terms = |is_strict| Terms { quarantine: 300, authority: 86_400, is_strict };
        assert_eq!(terms(false).wait().as_secs(), 300);
        assert!(terms(true).wait().as_secs() > 86_400 * 11 / 10);
    }
}
