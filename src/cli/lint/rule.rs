//! What a rule is, and what it finds.

use crate::cli::lint::found::Found;
use crate::cli::lint::judged::Judged;
use schemars::JsonSchema;
use serde::Serialize;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Pods do not start, or lack a network or a property.
    Error,
    /// It works, but probably not as intended.
    Warning,
    /// A remark.
    Info,
}

impl Severity {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// What a rule judges by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The manifests alone.
    Files,
    /// What a cluster knows of its objects: `--cluster`.
    Cluster,
    /// The machine: `--on-node`.
    Node,
}

/// Manifests that show a rule.
#[derive(Clone, Copy, Debug)]
pub enum Example {
    /// The `spec.config` of the network `example`.
    Config(&'static str),
    /// The annotation of a pod that can use the networks `a` and `b`.
    Annotation(&'static str),
    /// The whole.
    Manifests(&'static str),
}

/// A rule. The table of all of them is what `lint` runs, what its documentation is made of, and what its tests run.
#[derive(Debug)]
pub struct Rule {
    /// `PX` and three digits.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: one sentence without a full stop.
    pub what: &'static str,
    /// What to do: one sentence without a full stop.
    pub fix: &'static str,
    /// What it judges by.
    pub needs: Needs,
    /// The rule finds something here.
    pub bad: Example,
    /// And nothing here.
    pub good: Example,
    /// Finds.
    pub judge: fn(&Judged<'_>) -> Vec<Found>,
}

/// What a rule found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// Where, and what.
    pub found: Found,
}

/// The sources of this release, which have the pages.
const SOURCES: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/v", env!("CARGO_PKG_VERSION"));

impl Rule {
    /// Its page.
    pub fn page(&self) -> String {
        format!("docs/reference/lint.md#{}", self.id.to_lowercase())
    }

    /// Its page, for who has no sources.
    pub fn uri(&self) -> String {
        format!("{SOURCES}/{}", self.page())
    }
}

impl Finding {
    /// What to do.
    pub fn fix(&self) -> &'static str {
        self.found.fix.unwrap_or(self.rule.fix)
    }
}

/// What to do, and the page about it in parentheses.
pub fn with_page(fix: &str, page: &str) -> String {
    // Two parentheses in a row read badly.
    match fix.strip_suffix(')') {
        Some(fix) => format!("{fix}, {page})"),
        None => format!("{fix} ({page})"),
    }
}
