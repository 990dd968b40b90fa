//! The YAML that documents show: each block can be read, and its manifests have no error that `plexusctl lint` finds.

use crate::pages::{self, Page};
use plexus::cli::lint;
use plexus::cli::lint::rule::Severity;
use plexus::engine::Settings;
use serde_json::Value;

/// The blocks of YAML of `page`, without their common indentation, each with the number of its first line.
fn blocks(page: &Page) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, Vec<&str>)> = Vec::new();
    let mut last = 0;
    for line in page.lines().into_iter().filter(|line| line.code == Some("yaml")) {
        match blocks.last_mut() {
            Some((_, lines)) if last + 1 == line.number => lines.push(line.text),
            _ => blocks.push((line.number, vec![line.text])),
        }
        last = line.number;
    }
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let whole = |lines: Vec<&str>| {
        let common = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or_default();
        lines.iter().map(|line| format!("{}\n", line.get(common..).unwrap_or_default())).collect::<String>()
    };
    blocks.into_iter().map(|(number, lines)| (number, whole(lines))).collect()
}

fn is_manifest(block: &str) -> bool {
    block.lines().any(|line| line.starts_with("apiVersion:"))
}

/// The page of the rules shows what each finds.
fn shown() -> impl Iterator<Item = Page> {
    pages::all().into_iter().filter(|page| page.name != "docs/reference/lint.md" && !page.is_evidence())
}

#[test]
fn every_block_of_yaml_can_be_read() {
    let mut seen = 0;
    for page in shown() {
        for (number, block) in blocks(&page) {
            for document in block.split("\n---\n") {
                seen += 1;
                let read = serde_saphyr::from_str::<Value>(document);
                assert!(read.is_ok(), "{}:{number}: {}", page.name, read.unwrap_err());
            }
        }
    }
    assert!(seen > 25, "only {seen} were found");
}

#[test]
fn no_manifest_of_a_document_has_an_error() {
    let settings = Settings::parse(r#"{"name":"plexus","cniVersion":"1.0.0","type":"plexus"}"#).unwrap();
    let mut seen = 0;
    for page in shown() {
        let manifests: Vec<String> =
            blocks(&page).into_iter().map(|(_, block)| block).filter(|block| is_manifest(block)).collect();
        seen += manifests.len();
        let findings = lint::check(&manifests.join("\n---\n"), false, &settings, None);
        let errors: Vec<String> = findings
            .iter()
            .filter(|finding| finding.rule.severity == Severity::Error)
            .map(|finding| format!("{}: {}", finding.rule.id, finding.found.text))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", page.name);
    }
    assert!(seen > 12, "only {seen} manifests were found");
}

/// Readers make an overlay in one place, `conf/overlays/<name>`: what a document shows has the paths from there.
#[test]
fn the_paths_of_a_kustomization_begin_in_an_overlay() {
    let mut seen = 0;
    for page in shown() {
        for (number, block) in blocks(&page) {
            let Ok(document) = serde_saphyr::from_str::<Value>(&block) else { continue };
            let lists = ["resources", "components"].map(|key| document[key].as_array().cloned().unwrap_or_default());
            for path in lists.concat().iter().filter_map(Value::as_str).filter(|path| path.starts_with('.')) {
                seen += 1;
                let target = pages::root().join("conf/overlays/k3s").join(path).join("kustomization.yaml");
                assert!(target.exists(), "{}:{number}: {path} leads nowhere from conf/overlays/<name>", page.name);
            }
        }
    }
    assert!(seen > 4, "only {seen} paths were found");
}

#[test]
fn an_error_in_a_manifest_is_found() {
    let settings = Settings::parse(r#"{"name":"plexus","cniVersion":"1.0.0","type":"plexus"}"#).unwrap();
    let text = "# x\n\n1. A network:\n\n   ```yaml\n   apiVersion: k8s.cni.cncf.io/v1\n   kind: NetworkAttachmentDefinition\n   metadata: {name: a}\n   spec:\n     config: '{\"cniVersion\":\"1.0.0\",\"type\":\"macvlan\",\"mode\":\"brigde\"}'\n   ```\n";
    let page = Page { name: "x.md".into(), text: text.into() };
    let blocks = blocks(&page);
    assert!(blocks.len() == 1 && blocks[0].0 == 6 && is_manifest(&blocks[0].1), "{blocks:?}");
    let findings = lint::check(&blocks[0].1, false, &settings, None);
    assert!(findings.iter().any(|finding| finding.rule.severity == Severity::Error));
}
