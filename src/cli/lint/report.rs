//! Findings for people and for programs.

use super::rule::{Finding, Severity};
use crate::cli::Error;
use crate::cli::objects::Objects;
use crate::cli::output::{Output, Tone};
use serde::Serialize;

/// The version of the JSON document.
const VERSION: u32 = 1;

/// Findings with their places in words.
#[derive(Debug)]
pub struct Report {
    /// They.
    pub findings: Vec<Told>,
    objects: usize,
    is_whole: bool,
}

/// The JSON document. Members are added, never changed or removed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    version: u32,
    findings: &'a [Told],
    errors: usize,
    warnings: usize,
    infos: usize,
    /// How many objects were judged.
    objects: usize,
}

/// A finding.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The rule.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The file; null for an object of a cluster.
    pub file: Option<String>,
    /// The line, from 1; null for an object of a cluster.
    pub line: Option<usize>,
    /// The column, from 1; null for an object of a cluster.
    pub column: Option<usize>,
    /// `Kind namespace/name`.
    pub object: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: &'static str,
    /// The page of the rule.
    pub page: String,
}

impl Report {
    /// `findings` in `objects`.
    pub fn of(objects: &Objects, findings: Vec<Finding>) -> Self {
        let told = |finding: Finding| {
            let source = &objects.sources[finding.found.place.source];
            let place = source.is_file.then(|| source.line_and_column(finding.found.place.at));
            Told {
                rule: finding.rule.id,
                severity: finding.rule.severity,
                file: source.is_file.then(|| source.name.clone()),
                line: place.map(|(line, _)| line),
                column: place.map(|(_, column)| column),
                object: objects.all[finding.found.object].label(),
                message: finding.found.text,
                fix: finding.rule.fix,
                page: finding.rule.page(),
            }
        };
        Report {
            findings: findings.into_iter().map(told).collect(),
            objects: objects.all.len(),
            is_whole: objects.unread.is_empty(),
        }
    }

    /// How many are of `severity`.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|told| told.severity == severity).count()
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
        }
    }

    /// For people: each finding, and how many there are.
    pub fn print(&self, output: &mut Output) -> Result<(), Error> {
        for told in &self.findings {
            let place = match (&told.file, told.line, told.column) {
                (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}"),
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
            output.sentence(&format!("    fix: {}", told.fix), Tone::Plain)?;
        }
        output.remark(self.summary());
        Ok(())
    }

    fn summary(&self) -> String {
        let counted = |number: usize, one: &str| format!("{number} {one}{}", if number == 1 { "" } else { "s" });
        let objects = counted(self.objects, "object");
        let counts = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "remark")];
        let found: Vec<String> = counts
            .into_iter()
            .map(|(severity, word)| (self.count(severity), word))
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| counted(number, word))
            .collect();
        match found.as_slice() {
            [] if !self.is_whole => format!("{objects}: no problem found in the files that can be read."),
            [] => format!("{objects}: no problem found."),
            found => format!("{objects}: {}.", found.join(", ")),
        }
    }
}
