//! What the API server refuses of an object.

/// What is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where: a byte of the text.
    pub at: usize,
    /// The key and what is wrong with it: one sentence without a full stop.
    pub text: String,
}
