//! The documents, and what in them is prose, code and tables.

use std::fs;
use std::path::{Path, PathBuf};

/// Where this checkout is.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A document.
pub struct Page {
    /// Its path from the root of the checkout.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A line of a document.
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// Without the line's end.
    pub text: &'a str,
    /// The language of the block it is in; none for prose. A block without a language is `text`.
    pub code: Option<&'a str>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        Page { name, text: fs::read_to_string(path).unwrap() }
    }

    /// Whether a test generates it, for developers and auditors.
    pub fn is_evidence(&self) -> bool {
        self.name.starts_with("docs/evidence/")
    }

    /// Every line, with the block that it is in. The lines that begin and end a block are left out.
    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        let (mut fence, mut is_indented, mut before) = (None, false, "");
        for (at, text) in self.text.lines().enumerate() {
            let begin = text.trim_start();
            if let Some(language) = begin.strip_prefix("```") {
                fence = if fence.is_some() { None } else { Some(if language.is_empty() { "text" } else { language }) };
                continue;
            }
            is_indented = text.starts_with("    ") && (before.is_empty() || is_indented);
            let code = fence.or_else(|| is_indented.then_some("text"));
            lines.push(Line { number: at + 1, text, code });
            before = text;
        }
        lines
    }

    /// What stands between backquotes in prose: line and text.
    pub fn spans(&self) -> Vec<(usize, String)> {
        // A span may go over the end of a line, not over that of a paragraph.
        let mut spans = Vec::new();
        let (mut paragraph, mut first) = (String::new(), 1);
        let mut flush = |paragraph: &mut String, first: usize| {
            for (at, span) in paragraph.split('`').enumerate().filter(|(at, _)| at % 2 == 1) {
                let before: usize = paragraph.split('`').take(at).map(|part| part.matches('\n').count()).sum();
                spans.push((first + before, span.replace('\n', " ")));
            }
            paragraph.clear();
        };
        for line in self.lines() {
            if line.code.is_some() || line.text.trim().is_empty() {
                flush(&mut paragraph, first);
                continue;
            }
            if paragraph.is_empty() {
                first = line.number;
            }
            paragraph.push_str(line.text);
            paragraph.push('\n');
        }
        flush(&mut paragraph, first);
        spans
    }

    /// The rows of the table under the heading `section`, cell by cell, without its head.
    pub fn table(&self, section: &str) -> Vec<Vec<String>> {
        let heading = |line: &str| line.trim_start_matches('#').trim() == section && line.starts_with('#');
        let under = self.text.lines().skip_while(|line| !heading(line)).skip(1);
        let of_section = under.take_while(|line| !line.starts_with('#'));
        let rows =
            of_section.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|')).skip(2);
        let rows: Vec<Vec<String>> = rows.map(cells).collect();
        assert!(!rows.is_empty(), "{} has no table under {section:?}", self.name);
        rows
    }
}

fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
}

/// The document `name`.
pub fn page(name: &str) -> Page {
    Page::read(&root().join(name))
}

/// Every document for people: those at the top, in `docs` and in `conf`.
pub fn all() -> Vec<Page> {
    let mut pages: Vec<Page> = files(root(), &["md"], false);
    pages.extend(["docs", "conf", "examples"].iter().flat_map(|folder| files(&root().join(folder), &["md"], true)));
    assert!(pages.len() > 25, "the documents are not found any more");
    pages
}

/// What is no document, and has comments for people.
pub fn commented() -> Vec<Page> {
    let folders = ["conf", "crd", "examples"];
    let mut pages: Vec<Page> =
        folders.iter().flat_map(|folder| files(&root().join(folder), &["yaml", "jsonc"], true)).collect();
    pages.extend(["Makefile", "Containerfile"].map(page));
    assert!(pages.len() > 25, "the manifests are not found any more");
    pages
}

/// Every source file and test.
pub fn sources() -> Vec<Page> {
    ["src", "tests"].iter().flat_map(|folder| files(&root().join(folder), &["rs"], true)).collect()
}

fn files(folder: &Path, extensions: &[&str], is_deep: bool) -> Vec<Page> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() && is_deep {
            found.extend(files(&path, extensions, true));
        } else if path.extension().and_then(|ext| ext.to_str()).is_some_and(|ext| extensions.contains(&ext)) {
            found.push(Page::read(&path));
        }
    }
    found
}
