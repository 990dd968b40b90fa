//! SARIF 2.1.0 (OASIS): what code scanning reads.

use super::report::{Report, Told};
use super::rule::{Needs, Rule, Severity, with_page};
use super::rules;
use serde_json::{Value, json};
use std::path::{Component, Path, PathBuf};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The log file of one run.
pub fn log(report: &Report) -> Value {
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "plexusctl lint",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules::all().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": report.findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn rule(rule: &Rule) -> Value {
    let from = match rule.needs {
        Needs::Files => "the manifests",
        Needs::Cluster => "--cluster",
        Needs::Node => "--on-node",
    };
    json!({
        "id": rule.id,
        "shortDescription": {"text": rule.what},
        "helpUri": rule.uri(),
        "help": {"text": format!("{}. Judged by {from}.", with_page(rule.fix, &rule.page()))},
        "defaultConfiguration": {"level": level(rule.severity)},
    })
}

fn result(told: &Told) -> Value {
    let index = rules::all().position(|rule| rule.id == told.rule);
    let mut location = json!({"logicalLocations": [{"fullyQualifiedName": told.object, "kind": "resource"}]});
    if let Some(file) = &told.file {
        location["physicalLocation"] = json!({"artifactLocation": {"uri": uri(file)}});
    }
    if let (Some(line), Some(column)) = (told.line, told.column) {
        location["physicalLocation"]["region"] = json!({"startLine": line, "startColumn": column});
    }
    json!({
        "ruleId": told.rule,
        "ruleIndex": index,
        "level": level(told.severity),
        "message": {"text": format!("{}. Fix: {}.", told.message, told.fix)},
        "locations": [location],
    })
}

/// A path as a relative reference (RFC 3986), or as an absolute one of the scheme `file`. Code scanning compares it with
/// the names of a repository, which do not begin with a dot and a slash.
fn uri(path: &str) -> String {
    let path: PathBuf = Path::new(path).components().filter(|part| *part != Component::CurDir).collect();
    let path = path.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let escaped: String = path
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    if escaped.starts_with('/') { format!("file://{escaped}") } else { escaped }
}
