//! Findings for people and for programs.

use super::rule::{Finding, Severity, with_page};
use crate::cli::Error;
use crate::cli::objects::Objects;
use crate::cli::output::counted::counted;
use crate::cli::output::described::Described;
use crate::cli::output::{Output, Tone};
use schemars::JsonSchema;
use serde::Serialize;

/// The version of the JSON document.
const VERSION: u32 = 1;

/// Findings with their places in words.
#[derive(Debug)]
pub struct Report {
    /// They.
    pub findings: Vec<Told>,
    objects: usize,
    checked: Checked,
    is_whole: bool,
    is_cluster: bool,
}

/// The numbers of checked objects and files, and of those that were not checked.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// NetworkAttachmentDefinitions.
    networks: usize,
    /// Pods and templates of pods.
    pods: usize,
    /// AddressPools.
    pools: usize,
    /// Services that name an additional network.
    services: usize,
    /// Files that were read; 0 for a cluster.
    files: usize,
    /// Objects of other kinds: they were not checked.
    others: usize,
    /// Files and directories that cannot be read: they were not checked.
    unread: usize,
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    /// The version of this shape.
    version: u32,
    /// The findings, in the order of their places.
    findings: &'a [Told],
    /// The number of errors.
    errors: usize,
    /// The number of warnings.
    warnings: usize,
    /// The number of remarks.
    infos: usize,
    /// The number of objects.
    objects: usize,
    /// The numbers of checked objects and files, and of those that were not checked.
    checked: Checked,
}

impl Described for Document<'_> {
    const NAME: &'static str = "lint";
}

/// A finding.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The rule, for example `PX001`.
    pub rule: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The file; null for an object of a cluster.
    pub file: Option<String>,
    /// The line, from 1; null for an object of a cluster, and for a file that cannot be opened.
    pub line: Option<usize>,
    /// The column, from 1; null for an object of a cluster, and for a file that cannot be opened.
    pub column: Option<usize>,
    /// `Kind namespace/name`; the name of a file that cannot be read.
    pub object: String,
    /// The problem.
    pub message: String,
    /// The fix.
    pub fix: &'static str,
    /// The page of the rule.
    pub page: String,
}

impl Report {
    /// `findings` in `objects`.
    pub fn of(objects: &Objects, findings: Vec<Finding>) -> Self {
        let told = |finding: Finding| {
            let source = &objects.sources[finding.found.place.source];
            let place = source.line_and_column(finding.found.place.at);
            Told {
                rule: finding.rule.id,
                severity: finding.rule.severity,
                file: source.is_file.then(|| source.name.clone()),
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
                object: finding.found.object.map_or_else(|| source.name.clone(), |number| objects.all[number].label()),
                fix: finding.fix(),
                message: finding.found.text,
                page: finding.rule.page(),
            }
        };
        Report {
            findings: findings.into_iter().map(told).collect(),
            objects: objects.all.len(),
            checked: Checked {
                networks: objects.networks.len(),
                pods: objects.pods.len(),
                pools: objects.pools().count(),
                services: objects.services().count(),
                files: objects.files(),
                others: objects.others(),
                unread: objects.unread.len(),
            },
            is_whole: objects.unread.is_empty(),
            is_cluster: objects.is_cluster,
        }
    }

    /// How many are of `severity`.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|told| told.severity == severity).count()
    }

    /// Whether nothing was checked.
    pub fn is_empty(&self) -> bool {
        self.checked.networks + self.checked.pods + self.checked.pools + self.checked.services == 0
    }

    /// For programs.
    pub fn document(&self) -> Document<'_> {
        Document {
            version: VERSION,
            findings: &self.findings,
            errors: self.count(Severity::Error),
            warnings: self.count(Severity::Warning),
            infos: self.count(Severity::Info),
            objects: self.objects,
            checked: self.checked,
        }
    }

    /// For people: each finding, and how many there are.
    pub fn print(&self, output: &mut Output) -> Result<(), Error> {
        for told in &self.findings {
            let place = match (&told.file, told.line, told.column) {
                (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}"),
                // The file itself, where it cannot be opened.
                _ => told.object.clone(),
            };
            let tone = match told.severity {
                Severity::Error => Tone::Bad,
                Severity::Warning => Tone::Waiting,
                Severity::Info => Tone::Heading,
            };
            output.parts(&[
                (&format!("{place}: "), Tone::Plain),
                (told.severity.as_str(), tone),
                (&format!(" {}: {}", told.rule, told.message), Tone::Plain),
            ])?;
            output.sentence(&format!("    fix: {}", with_page(told.fix, &told.page)), Tone::Plain)?;
        }
        output.remark(self.summary());
        Ok(())
    }

    fn summary(&self) -> String {
        let counts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "remark")];
        let found: Vec<String> = counts
            .into_iter()
            .map(|(severity, word)| (self.count(severity), word))
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| counted(number, word))
            .collect();
        let result = match found.as_slice() {
            [] if self.is_empty() => "nothing was checked".to_owned(),
            [] if !self.is_whole => "no problem found in the files that can be read".to_owned(),
            [] => "no problem found".to_owned(),
            found => found.join(", "),
        };
        format!("{}: {result}.", self.checked.told(self.is_cluster))
    }
}

impl Checked {
    /// `3 networks, 2 pods in 4 files; 1 object of another kind not checked`.
    fn told(&self, is_cluster: bool) -> String {
        let place = if is_cluster { "the cluster".to_owned() } else { counted(self.files, "file") };
        let others = match self.others {
            0 => String::new(),
            1 => "; 1 object of another kind not checked".to_owned(),
            number => format!("; {number} objects of other kinds not checked"),
        };
        let more = [(self.pools, "address pool"), (self.services, "service")].into_iter();
        let more: String = more
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!(", {}", counted(number, word)))
            .collect();
        format!("{}, {}{more} in {place}{others}", counted(self.networks, "network"), counted(self.pods, "pod"))
    }
}
