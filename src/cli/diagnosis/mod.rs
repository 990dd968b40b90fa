//! What can be wrong and what to do about it: one vocabulary for every command that looks for causes. Pure.

mod fault;
mod messages;
mod print;

pub use fault::Fault;
pub use messages::{cause_of, of_plexus, of_runtime};
pub use print::print;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// How a check ended, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mark {
    /// It is a cause.
    Bad,
    /// It can become a cause.
    Warning,
    /// The command could not look at it.
    Unseen,
    /// It is correct.
    Good,
}

/// One line of a checklist.
#[derive(Clone, Debug, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// How it ended.
    pub mark: Mark,
    /// The subject.
    pub check: Cow<'static, str>,
    /// The name of the problem; null for none.
    pub fault: Option<Fault>,
    /// The observation, in one sentence.
    pub finding: String,
    /// The next step; null if nothing must be done.
    pub remedy: Option<String>,
}

impl Check {
    /// `finding` is as it should be.
    pub fn good(check: &'static str, finding: impl Into<String>) -> Self {
        Check { mark: Mark::Good, check: check.into(), fault: None, finding: finding.into(), remedy: None }
    }

    /// It could not be looked at, for the reason `finding`.
    pub fn unseen(check: &'static str, finding: impl Into<String>) -> Self {
        Check { mark: Mark::Unseen, check: check.into(), fault: None, finding: finding.into(), remedy: None }
    }

    /// `finding` is a cause.
    pub fn bad(check: &'static str, fault: Fault, finding: impl Into<String>) -> Self {
        let remedy = Some(fault.remedy().to_owned());
        Check { mark: Mark::Bad, check: check.into(), fault: Some(fault), finding: finding.into(), remedy }
    }

    /// `finding` may become a cause.
    pub fn warning(check: &'static str, fault: Fault, finding: impl Into<String>) -> Self {
        Check { mark: Mark::Warning, ..Check::bad(check, fault, finding) }
    }

    /// The same with another remedy than the fault's own.
    #[must_use]
    pub fn remedied_by(self, remedy: impl Into<String>) -> Self {
        Check { remedy: Some(remedy.into()), ..self }
    }
}

/// The worst first; what is equally bad stays in its order, which is that of probability.
pub fn worst_first(mut checks: Vec<Check>) -> Vec<Check> {
    checks.sort_by_key(|check| check.mark);
    checks
}

/// Whether nothing of it is bad.
pub fn are_well(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.mark != Mark::Bad)
}
