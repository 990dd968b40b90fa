//! `docs/evidence/pages.md` has a row for each page with steps: what runs its commands, and what nothing runs, with the reason.

use crate::commands::{calls, lines, words};
use crate::pages::{self, Page, page, root};
use std::collections::BTreeSet;
use std::fs;

/// The table.
const TABLE: &str = "docs/evidence/pages.md";
/// The folders of pages with steps.
const FOLDERS: [&str; 3] = ["docs/how-to/", "docs/install/", "docs/tutorial/"];

/// A row of the table.
struct Row {
    page: String,
    files: Vec<String>,
    not_run: String,
}

fn rows() -> Vec<Row> {
    let table = page(TABLE);
    let lines = table.text.lines().filter(|line| line.starts_with("| ["));
    let rows = lines.map(|line| {
        let mut cells = line.trim_matches('|').split(" |").map(str::trim);
        let mut next = || cells.next().unwrap_or_else(|| panic!("three cells: {line}"));
        let target = next().split_once("](../").unwrap().1.trim_end_matches(')').to_owned();
        let files = next().split(", ").map(|file| file.trim_matches('`').to_owned()).collect();
        Row { page: format!("docs/{target}"), files, not_run: next().to_owned() }
    });
    rows.collect()
}

/// The commands of `plexusctl` in the blocks of `page`, each by its name.
fn commands(page: &Page) -> BTreeSet<String> {
    let lines = lines(page).into_iter().filter(|(_, _, is_sentence)| !is_sentence);
    let texts: Vec<String> = lines.map(|(_, text, _)| text).collect();
    let calls = texts.iter().flat_map(|text| calls(text, "plexusctl").into_iter().chain(calls(text, "plexus")));
    calls
        .filter_map(|call| words(call).into_iter().nth(1))
        .filter(|word| word.chars().all(char::is_alphabetic))
        .collect()
}

/// Whether a file has `word` as a word of its own.
fn has(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|one| one == word)
}

#[test]
fn every_page_with_steps_has_a_row() {
    let pages = pages::all().into_iter().map(|page| page.name);
    let steps: BTreeSet<String> = pages.filter(|name| FOLDERS.iter().any(|folder| name.starts_with(folder))).collect();
    let rows: Vec<String> = rows().into_iter().map(|row| row.page).collect();
    assert_eq!(rows.iter().cloned().collect::<BTreeSet<_>>(), steps);
    assert_eq!(rows.len(), steps.len(), "a page has two rows");
}

#[test]
fn what_a_row_names_runs_the_commands_of_the_page() {
    let mut seen = 0;
    for row in rows() {
        let read = |file: &String| {
            let is_run = file.starts_with("tests/") || file.starts_with("e2e/cases/");
            assert!(is_run, "{}: {file} is no test and no case", row.page);
            fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{}: {file}: {error}", row.page))
        };
        let text: String = row.files.iter().map(read).collect();
        for command in commands(&page(&row.page)) {
            seen += 1;
            let is_told = row.not_run.contains(&format!("plexusctl {command}"));
            assert!(has(&text, &command) || is_told, "{}: nothing in its row runs plexusctl {command}", row.page);
        }
    }
    assert!(seen > 20, "only {seen} commands were found");
}
