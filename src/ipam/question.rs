//! The question whether this node may grant addresses, step by step, and what its answer means for the blocks of a pool.
//!
//! Only what is answered to a question that was sent last counts: after each write it is asked again.

use super::epoch::{self, Record};

/// Questions for one answer: the controller may revoke again at once.
const TRIES: u32 = 6;

/// What the API server says of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was not removed, in this epoch. Of a cluster whose definitions are of a former release the epoch is empty, and
    /// nobody frees its blocks.
    Live(String),
    /// It is revoked, and this daemon cannot take that away.
    Revoked(String),
    /// It was removed, and its blocks are being freed.
    Dead,
    /// There is no answer.
    Unknown(String),
}

/// What the keeper of a pool does about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heed {
    /// Grant.
    Grant,
    /// Grant nothing new before the blocks of this node were listed.
    List,
    /// Grant nothing new. What is granted stays until its confirmation is too old.
    Wait,
    /// Take the confirmation away, and list the blocks again.
    Withdraw,
    /// Take away all that is granted.
    Drop,
}

impl Standing {
    /// The epoch.
    ///
    /// # Errors
    /// Why no address may be granted.
    pub fn epoch(&self) -> Result<&str, String> {
        match self {
            Standing::Live(epoch) => Ok(epoch),
            Standing::Revoked(why) => Err(format!("this node is taken for removed, and cannot object: {why}")),
            Standing::Dead => Err("this node was removed from the cluster, and its blocks are being freed".to_owned()),
            Standing::Unknown(why) => Err(why.clone()),
        }
    }

    /// What a keeper does whose blocks are of `epoch`, and were listed since its grant was withdrawn last if `is_listed`.
    pub fn heed(&self, epoch: &str, is_listed: bool) -> Heed {
        match self {
            Standing::Live(current) if current != epoch => Heed::Withdraw,
            Standing::Live(_) if is_listed => Heed::Grant,
            Standing::Live(_) => Heed::List,
            Standing::Unknown(_) => Heed::Wait,
            Standing::Revoked(_) => Heed::Withdraw,
            Standing::Dead => Heed::Drop,
        }
    }
}

/// What is asked or written next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Read the record of this node.
    Read,
    /// Create it; it must not exist.
    Create,
    /// Take the mark away from it, of this version.
    Object(Record),
    /// Nothing: this is the answer.
    Nothing(Standing),
}

/// How the creation of the record ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It is there.
    There,
    /// The cluster has no such resource.
    NoResource,
    /// It may be there, or not.
    Failed(String),
}

/// One question.
#[derive(Clone, Debug, Default)]
pub struct Question {
    reads: u32,
    unmade: u32,
}

impl Question {
    /// The first step is [`Ask::Read`].
    pub fn begin(&mut self) -> Ask {
        self.again()
    }

    fn again(&mut self) -> Ask {
        if self.reads == TRIES {
            return Ask::Nothing(Standing::Revoked("it is revoked again and again".to_owned()));
        }
        self.reads += 1;
        Ask::Read
    }

    /// After [`Ask::Read`].
    pub fn read(&mut self, answer: Result<Option<Record>, String>) -> Ask {
        match answer.map(epoch::Standing::of) {
            Err(why) => Ask::Nothing(Standing::Unknown(why)),
            Ok(epoch::Standing::Live(epoch)) => Ask::Nothing(Standing::Live(epoch)),
            Ok(epoch::Standing::Dead) => Ask::Nothing(Standing::Dead),
            Ok(epoch::Standing::Begin) => Ask::Create,
            Ok(epoch::Standing::Object(record)) => Ask::Object(record),
        }
    }

    /// After [`Ask::Create`].
    pub fn created(&mut self, answer: Created) -> Ask {
        match answer {
            Created::There => self.again(),
            Created::NoResource => Ask::Nothing(Standing::Live(String::new())),
            // It may have been done without an answer: the first write of a kind can take the server seconds.
            Created::Failed(_) if self.unmade == 0 => {
                self.unmade += 1;
                self.again()
            }
            Created::Failed(why) => Ask::Nothing(Standing::Unknown(format!("its AddressNode cannot be made: {why}"))),
        }
    }

    /// After [`Ask::Object`].
    pub fn objected(&mut self, answer: Result<(), String>) -> Ask {
        match answer {
            Ok(()) => self.again(),
            Err(why) => Ask::Nothing(Standing::Revoked(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revoked_at: &str) -> Record {
        let (epoch, version) = ("e".to_owned(), "1".to_owned());
        Record { epoch, version, revoked_at: revoked_at.to_owned(), is_dead: false }
    }

    #[test]
    fn after_each_write_it_is_asked_again() {
        let mut question = Question::default();
        assert_eq!(question.begin(), Ask::Read);
        assert_eq!(question.read(Ok(None)), Ask::Create);
        assert_eq!(question.created(Created::Failed("slow".to_owned())), Ask::Read);
        assert_eq!(question.read(Ok(Some(record("now")))), Ask::Object(record("now")));
        assert_eq!(question.objected(Ok(())), Ask::Read);
        assert_eq!(question.read(Ok(Some(record("")))), Ask::Nothing(Standing::Live("e".to_owned())));
    }

    #[test]
    fn a_question_ends() {
        let mut question = Question::default();
        let mut step = question.begin();
        for _ in 0..TRIES {
            assert_eq!(step, Ask::Read);
            assert_eq!(question.read(Ok(Some(record("now")))), Ask::Object(record("now")));
            step = question.objected(Ok(()));
        }
        assert!(matches!(step, Ask::Nothing(Standing::Revoked(_))), "{step:?}");
        let mut question = Question::default();
        question.begin();
        question.created(Created::Failed("no".to_owned()));
        let end = question.created(Created::Failed("no".to_owned()));
        assert!(matches!(end, Ask::Nothing(Standing::Unknown(_))), "{end:?}");
    }

    #[test]
    fn only_an_answer_in_the_epoch_of_the_blocks_grants() {
        let live = Standing::Live("e".to_owned());
        assert_eq!([live.heed("e", true), live.heed("e", false)], [Heed::Grant, Heed::List]);
        assert_eq!(live.heed("former", true), Heed::Withdraw);
        let others = [Standing::Revoked(String::new()), Standing::Dead, Standing::Unknown(String::new())];
        assert_eq!(others.map(|standing| standing.heed("e", true)), [Heed::Withdraw, Heed::Drop, Heed::Wait]);
    }
}
