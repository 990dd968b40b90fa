//! What one node knows of the scarcity of one pool. Nodes keep free addresses beyond their need; when somewhere a pod waits
//! for an address and none is free, they give them back.
//!
//! The node of the pod leaves a **mark** in the cluster, an object with a word that is another one each time. A node that
//! sees a new word keeps nothing for [`KEEPS`]. So does a node that finds no free block itself: without a mark, because
//! nobody waits. Marks only tell nodes to keep less: what is true of blocks does not depend on them.
//!
//! A pod may wait for one address: then the mark is about its block, and only the node that has it gives it back.

use super::name::PoolName;
use super::pool::Block;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// For so long after the last word a node keeps nothing beyond its need.
pub const KEEPS: Duration = Duration::from_secs(5 * 60);
/// Every node has heard a word that is younger: who waits then need not ask.
pub const ASK_EVERY: Duration = Duration::from_secs(30);

/// What somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// The pool.
    pub pool: PoolName,
    /// The first address of the block; none where any address helps.
    pub block: Option<IpAddr>,
}

impl Wanted {
    /// Any address of `pool`.
    pub fn any(pool: &PoolName) -> Self {
        Wanted { pool: pool.clone(), block: None }
    }

    /// The block of `pool` that begins with `first`.
    pub fn block(pool: &PoolName, first: IpAddr) -> Self {
        Wanted { pool: pool.clone(), block: Some(first) }
    }

    /// The name of its mark: that of the pool or of the block. A former release does not understand the second one.
    pub fn name(&self) -> String {
        match self.block {
            None => self.pool.to_string(),
            Some(first) => format!("{}.{}", self.pool, Block { first, size: 1 }.hex()),
        }
    }

    /// Reads a name. No pool ends as a block does.
    pub fn parse(name: &str) -> Option<Self> {
        let block = name.rsplit_once('.').and_then(|(pool, hex)| Some((PoolName::new(pool).ok()?, first(hex)?)));
        match block {
            Some((pool, first)) => Some(Wanted { pool, block: Some(first) }),
            None => Some(Wanted { pool: PoolName::new(name).ok()?, block: None }),
        }
    }
}

fn first(hex: &str) -> Option<IpAddr> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !hex.bytes().all(is_hex) {
        return None;
    }
    match hex.len() {
        8 => Some(Ipv4Addr::from(u32::from_str_radix(hex, 16).ok()?).into()),
        32 => Some(Ipv6Addr::from(u128::from_str_radix(hex, 16).ok()?).into()),
        _ => None,
    }
}

/// A mark that was seen in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The word.
    pub word: String,
    /// The version of the object.
    pub version: String,
}

/// What a node that waits is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: it was asked a moment ago.
    Wait,
    /// Create the mark.
    Create,
    /// Write another word to the mark, which must have this version.
    Renew(String),
}

/// The scarcity of a pool. All times are of one clock that only goes forward.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scarcity {
    /// The mark, and when its word was new here.
    mark: Option<(Mark, Duration)>,
    /// The last reason to keep nothing: its word, and when it came.
    reason: Option<(String, Duration)>,
    /// When this node last asked.
    asked: Option<Duration>,
}

impl Scarcity {
    /// The mark is as it was seen.
    pub fn marked(&mut self, mark: Mark, now: Duration) {
        let since = match &self.mark {
            Some((known, since)) if known.word == mark.word => *since,
            _ => {
                self.reason = Some((mark.word.clone(), now));
                now
            }
        };
        self.mark = Some((mark, since));
    }

    /// There is no mark. What it asked for holds for its time.
    pub fn unmarked(&mut self) {
        self.mark = None;
    }

    /// This node has found no free block.
    pub fn found_none(&mut self, now: Duration) {
        let word = match self.reason.take() {
            Some((word, since)) if now.saturating_sub(since) < KEEPS => word,
            _ => format!("own-{}", now.as_secs()),
        };
        self.reason = Some((word, now));
    }

    /// The word by which this node keeps nothing beyond its need; none where it may.
    pub fn word(&self, now: Duration) -> Option<&str> {
        let (word, since) = self.reason.as_ref()?;
        (now.saturating_sub(*since) < KEEPS).then_some(word)
    }

    /// Whether nothing of it matters any more.
    pub fn is_over(&self, now: Duration) -> bool {
        let is_young = |since: Duration| now.saturating_sub(since) < ASK_EVERY;
        self.mark.is_none() && self.word(now).is_none() && !self.asked.is_some_and(is_young)
    }

    /// A pod waits on this node, which finds no free block.
    pub fn ask(&mut self, now: Duration) -> Ask {
        let is_young = |since: &Duration| now.saturating_sub(*since) < ASK_EVERY;
        if self.asked.as_ref().is_some_and(is_young) || self.mark.as_ref().is_some_and(|(_, since)| is_young(since)) {
            return Ask::Wait;
        }
        self.asked = Some(now);
        self.mark.as_ref().map_or(Ask::Create, |(mark, _)| Ask::Renew(mark.version.clone()))
    }

    /// The version of a mark by which nobody keeps nothing any more: it is to be deleted. Nodes have different `patience`,
    /// so that one of them deletes it and the others see that.
    pub fn outlived(&self, now: Duration, patience: Duration) -> Option<&str> {
        let (mark, since) = self.mark.as_ref()?;
        (now.saturating_sub(*since) >= KEEPS + patience).then_some(mark.version.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn mark(word: &str, version: &str) -> Mark {
        Mark { word: word.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn a_mark_is_about_a_pool_or_one_block() {
        let lan = PoolName::new("lan").unwrap();
        let block = |pool: &PoolName, first: &str| Wanted::block(pool, first.parse().unwrap());
        for (wanted, name) in [
            (Wanted::any(&lan), "lan"),
            (block(&lan, "10.1.0.16"), "lan.0a010010"),
            (block(&lan, "fd00::10"), "lan.fd000000000000000000000000000010"),
            (Wanted::any(&PoolName::implied("")), "whereabouts.default"),
            (block(&PoolName::implied("x"), "10.1.0.16"), "whereabouts.net-x.0a010010"),
            // An AddressPool of that name.
            (block(&PoolName::new("whereabouts").unwrap(), "10.1.0.16"), "whereabouts.0a010010"),
        ] {
            assert_eq!((wanted.name().as_str(), Wanted::parse(name)), (name, Some(wanted)));
        }
        for name in ["lan.0A010010", "lan.0a01", "a.b.0a010010", ""] {
            assert_eq!(Wanted::parse(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_over_need_not_be_remembered() {
        let mut it = Scarcity::default();
        it.ask(at(0));
        assert!(!it.is_over(at(29)) && it.is_over(at(30)));
        it.marked(mark("a", "1"), at(31));
        assert!(!it.is_over(at(9000)));
        it.unmarked();
        assert!(!it.is_over(at(330)) && it.is_over(at(331)));
    }

    #[test]
    fn a_new_word_counts_for_its_time_and_an_old_one_does_not() {
        let mut it = Scarcity::default();
        assert_eq!(it.word(at(0)), None);
        it.marked(mark("a", "1"), at(10));
        // The watch began again: the same word says nothing new, but its version may be another one.
        it.marked(mark("a", "2"), at(200));
        assert_eq!((it.word(at(309)), it.word(at(310))), (Some("a"), None));
        assert_eq!((it.outlived(at(309), at(0)), it.outlived(at(310), at(0))), (None, Some("2")));
        assert_eq!((it.outlived(at(350), at(60)), it.outlived(at(370), at(60))), (None, Some("2")));
        it.marked(mark("b", "3"), at(400));
        assert_eq!((it.word(at(401)), it.outlived(at(401), at(0))), (Some("b"), None));
        it.unmarked();
        assert_eq!((it.word(at(402)), it.outlived(at(9000), at(0))), (Some("b"), None));
    }

    #[test]
    fn what_a_node_finds_itself_counts_without_a_mark() {
        let mut it = Scarcity::default();
        it.found_none(at(1));
        assert_eq!(it.word(at(300)), Some("own-1"));
        // The word stays: nothing new has to be given back.
        it.found_none(at(200));
        assert_eq!((it.word(at(499)), it.word(at(500))), (Some("own-1"), None));
        it.found_none(at(600));
        assert_eq!(it.word(at(601)), Some("own-600"));
        it.marked(mark("a", "1"), at(610));
        assert_eq!(it.word(at(620)), Some("a"));
    }

    #[test]
    fn few_words_are_enough() {
        let mut it = Scarcity::default();
        assert_eq!((it.ask(at(0)), it.ask(at(29)), it.ask(at(30))), (Ask::Create, Ask::Wait, Ask::Create));
        it.marked(mark("a", "1"), at(31));
        assert_eq!((it.ask(at(60)), it.ask(at(61))), (Ask::Wait, Ask::Renew("1".to_owned())));
        // Somebody else was first.
        it.marked(mark("b", "2"), at(62));
        assert_eq!((it.ask(at(91)), it.ask(at(92))), (Ask::Wait, Ask::Renew("2".to_owned())));
        it.unmarked();
        assert_eq!(it.ask(at(130)), Ask::Create);
    }
}
