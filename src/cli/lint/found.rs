//! A place where a rule does not hold.

use crate::cli::objects::source::Place;

/// A place where a rule does not hold.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// Which object: its number. None of a file that cannot be read.
    pub object: Option<usize>,
    /// What is wrong: one sentence without a full stop.
    pub text: String,
    /// What to do, where the rule's own fix does not fit.
    pub fix: Option<&'static str>,
}
