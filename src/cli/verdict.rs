//! How commands end.

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Well,
    /// What was looked at is not.
    NotWell,
    /// What was judged is refused.
    Refused,
}
