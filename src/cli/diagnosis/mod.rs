//! What can be wrong and what to do about it: one vocabulary for every command that looks for causes. Pure.

mod fault;
mod image;
mod messages;
mod print;

pub use fault::Fault;
pub use image::{pulling, unpulled};
pub use messages::{cause_of, network_of, of_plexus, of_readiness, of_removal, of_sandbox, with_near_type};
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

/// The next step of a person who lacks a right.
const ASK: &str = "Ask an administrator of the cluster to run this command, or for the right that the message names.";

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
    /// The network with the finding, `<namespace>/<name>`; absent if it is not about one additional network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The UID of the pod with the finding; absent if it is not about one pod.
    #[serde(default, rename = "podUid", skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
}

impl Default for Check {
    fn default() -> Self {
        Check {
            mark: Mark::Good,
            check: Cow::Borrowed(""),
            fault: None,
            finding: String::new(),
            remedy: None,
            network: None,
            pod_uid: None,
        }
    }
}

impl Check {
    /// `finding` is as it should be.
    pub fn good(check: &'static str, finding: impl Into<String>) -> Self {
        Check { check: check.into(), finding: finding.into(), ..Check::default() }
    }

    /// It could not be looked at, for the reason `finding`.
    pub fn unseen(check: &'static str, finding: impl Into<String>) -> Self {
        let check = Check { mark: Mark::Unseen, ..Check::good(check, finding) };
        // The API server's words for a missing right.
        let remedy = check.finding.contains(" is forbidden: ").then(|| ASK.to_owned());
        Check { remedy, ..check }
    }

    /// `finding` is a cause.
    pub fn bad(check: &'static str, fault: Fault, finding: impl Into<String>) -> Self {
        let remedy = Some(fault.remedy().to_owned());
        Check { mark: Mark::Bad, fault: Some(fault), remedy, ..Check::good(check, finding) }
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

    /// The same, about the network `name`.
    #[must_use]
    pub fn of_network(self, name: impl Into<String>) -> Self {
        Check { network: Some(name.into()), ..self }
    }

    /// The network that it is about. A former release only had the name at the beginning of the finding.
    pub fn about_network(&self) -> Option<&str> {
        let former = || self.finding.split_once(": ").map(|(name, _)| name).filter(|_| self.check == "network");
        self.network.as_deref().or_else(former)
    }

    /// Whether it can be wrong with a pod that selects `networks`: it is about one of them, or about none.
    pub fn concerns(&self, networks: &[String]) -> bool {
        self.about_network().is_none_or(|name| networks.iter().any(|own| own == name))
    }

    /// Whether something is or may become a cause.
    pub fn is_finding(&self) -> bool {
        matches!(self.mark, Mark::Bad | Mark::Warning)
    }
}

/// The check of a pod's network-status: it shows that something is wrong, and only guesses at the cause.
pub const CONSEQUENCE: &str = "status";

/// The worst first, causes with a name before others, and a cause before its consequence; otherwise the order stays, which
/// is that of probability. A plugin of another release is before all that it may be the reason of.
pub fn worst_first(mut checks: Vec<Check>) -> Vec<Check> {
    checks.sort_by_key(|check| {
        let is_bad = check.mark == Mark::Bad;
        let is_old = is_bad && check.fault == Some(Fault::OldPlugin);
        (check.mark, !is_old, check.fault == Some(Fault::Other), is_bad && check.check == CONSEQUENCE)
    });
    checks
}

/// Whether nothing of it is bad.
pub fn are_well(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.mark != Mark::Bad)
}
