//! `docs/reference/lint.md` is made of the table of rules.

use super::rules::manifests;
use plexus::cli::lint::rule::{Example, Needs, Rule};
use plexus::cli::lint::rules;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const HEAD: &str = include_str!("head.md");
const TAIL: &str = include_str!("tail.md");

fn page(before: &str) -> String {
    // The sample of output is captured by tests/documents.
    let sample = |text: &str| {
        let (_, rest) = text.split_once("<!-- captured: lint -->\n")?;
        let end = rest.find("\n```\n")? + 5;
        Some(rest[..end].to_owned())
    };
    let shown = sample(before).unwrap_or_else(|| "```console\n$ plexusctl lint web.yaml\n```\n".to_owned());
    let mut page = HEAD.replace("SAMPLE\n", &format!("<!-- captured: lint -->\n{shown}"));
    page.push_str("\n## Rules\n\n| rule | severity | problem | judged from |\n|---|---|---|---|\n");
    for rule in rules::all() {
        let id = rule.id.to_lowercase();
        writeln!(page, "| [{}](#{id}) | {} | {} | {} |", rule.id, rule.severity.as_str(), rule.what, from(rule))
            .unwrap();
    }
    rules::all().for_each(|rule| section(&mut page, rule));
    page.push('\n');
    page.push_str(TAIL);
    page
}

fn from(rule: &Rule) -> &'static str {
    match rule.needs {
        Needs::Files => "files",
        Needs::Cluster => "`--cluster` only",
        Needs::Node => "`--on-node` only",
    }
}

fn section(page: &mut String, rule: &Rule) {
    let sentence = |text: &str| {
        let mut letters = text.chars();
        let first = letters.next().unwrap();
        if first == '`' { text.to_owned() } else { first.to_uppercase().chain(letters).collect() }
    };
    writeln!(page, "\n## {}\n\n{}. Fix: {}.\n", rule.id, sentence(rule.what), rule.fix).unwrap();
    example(page, "Found:", rule.bad);
    example(page, "Right:", rule.good);
}

fn example(page: &mut String, heading: &str, example: Example) {
    let (language, text) = match example {
        Example::Config(text) => ("json", text.to_owned()),
        Example::Annotation(text) => ("yaml", format!("k8s.v1.cni.cncf.io/networks: |\n  {text}")),
        Example::Manifests(_) => ("yaml", manifests(example).trim_end().trim_end_matches("---").trim_end().to_owned()),
    };
    writeln!(page, "{heading}\n\n```{language}\n{text}\n```\n").unwrap();
    while page.ends_with("\n\n") {
        page.pop();
    }
    page.push_str(if heading == "Found:" { "\n" } else { "" });
}

#[test]
fn the_page_has_every_rule() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/lint.md");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let page = page(&before);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == written, "docs/reference/lint.md is old; UPDATE=1 cargo test --test lint writes it");
}
