//! Every file that a document or a comment names exists.

use crate::pages::{self, Page, root};
use std::fs;

/// What paths in this repository begin with.
const FOLDERS: [&str; 10] =
    ["docs/", "conf/", "crd/", "examples/", "tests/", "src/", "e2e/", "benches/", "fuzz/", ".ci/"];

/// The path in `word`, as far as it is one of this repository. What a pattern or a placeholder begins ends it.
fn path(word: &str) -> Option<&str> {
    let word = word.trim_start_matches(['(', '[', '`', '"', '\'']);
    let path = word.split("::").next().unwrap_or_default();
    let path =
        path.split(['`', '"', '\'', ')', ']', ',', ';', ':', '#', '<', '*', '…', '{']).next().unwrap_or_default();
    let is_cut = path.len() < word.len() && word[path.len()..].starts_with(['<', '*', '…', '{']);
    let path = if is_cut { &path[..path.rfind('/')?] } else { path.trim_end_matches(['.', '?', '!']) };
    let is_made = path.ends_with(".new");
    (FOLDERS.iter().any(|folder| path.starts_with(folder)) && path.len() > 4 && !is_made).then_some(path)
}

fn exists(path: &str) -> bool {
    root().join(path).exists()
}

#[test]
fn every_path_in_a_document_exists() {
    let (mut seen, mut missing) = (0, Vec::new());
    for page in pages::all().into_iter().chain(pages::commented()) {
        for (at, line) in page.text.lines().enumerate() {
            for path in line.split_whitespace().filter_map(path) {
                seen += 1;
                if !exists(path) {
                    missing.push(format!("{}:{}: {path}", page.name, at + 1));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(seen > 150, "only {seen} paths were found");
}

/// Comments and messages of the source name documents, too.
#[test]
fn every_document_that_the_source_names_exists() {
    let (mut seen, mut missing) = (0, Vec::new());
    for page in pages::sources() {
        for (at, line) in page.text.lines().enumerate() {
            let words = line.split([' ', '`', '(', '"', '/']).filter(|word| *word == "docs");
            for _ in words {
                let Some((_, rest)) = line.split_once("docs/") else { continue };
                let whole = format!("docs/{rest}");
                let Some(path) = path(&whole).filter(|path| path.ends_with(".md")) else { continue };
                seen += 1;
                if !exists(path) {
                    missing.push(format!("{}:{}: {path}", page.name, at + 1));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(seen > 10, "only {seen} documents were found");
}

#[test]
fn what_is_no_path_is_told_from_one() {
    assert_eq!(path("`docs/README.md`,"), Some("docs/README.md"));
    assert_eq!(path("tests/add.rs::adds"), Some("tests/add.rs"));
    assert_eq!(path("conf/overlays/*"), Some("conf/overlays"));
    assert_eq!(path("/etc/cni/net.d"), None);
    assert!(!exists("docs/nothing"));
}

/// A page of `docs` that the index does not name is not found by anybody.
#[test]
fn the_index_names_every_page() {
    let index = pages::page("docs/README.md");
    let pages: Vec<Page> = pages::all().into_iter().filter(|page| page.name.starts_with("docs/")).collect();
    for page in pages.iter().filter(|page| page.name != "docs/README.md") {
        let link = format!("]({})", page.name.strip_prefix("docs/").unwrap());
        assert!(index.text.contains(&link), "docs/README.md has no link to {}", page.name);
    }
    let pictures = fs::read_dir(root().join("docs")).unwrap().flatten().count();
    assert!(pictures > 5);
}
