//! The words that people read: documents, comments of manifests, help, messages. One word for one thing, the usual one,
//! and sentences that end.
//!
//! Each habit has the word that is meant instead; `docs/reference/glossary.md` has the words that are kept.

use crate::pages::{self, Page};
use clap::CommandFactory;

/// What is not written, and what is meant.
const HABITS: &[(&str, &str)] = &[
    ("folder", "directory"),
    ("folders", "directories"),
    ("mistake", "error"),
    ("mistakes", "errors"),
    ("whoever", "a user who"),
    ("whatever", "any"),
    ("whichever", "any"),
    ("likewise", "also"),
    ("beside", "in addition to, or next to"),
    ("tells", "prints, reports or shows"),
    ("told", "printed, reported or shown"),
    ("tell", "print, report or show"),
    ("says", "contains, prints or reports"),
    ("said", "contained, printed or reported"),
    ("say", "contain, print or report"),
    ("ours", "Plexus', or of Plexus"),
    ("our", "Plexus', or of Plexus"),
    ("texts", "strings"),
    ("is no", "is not a"),
    ("are no", "are not"),
    ("is there", "exists, or is running"),
    ("are there", "exist, or are running"),
    ("is not there", "does not exist, or is not running"),
    ("are not there", "do not exist, or are not running"),
    ("pass over", "ignore, or skip"),
    ("passes over", "ignores, or skips"),
    ("passed over", "ignored, or skipped"),
    ("put back", "restore, or restored"),
    ("puts back", "restores"),
    ("goes on", "continues"),
    ("go on", "continue"),
    ("stands before", "sorts before"),
    ("carry out", "run"),
    ("carries out", "runs"),
    ("carried out", "run, or built in"),
    ("hand over", "pass"),
    ("hands over", "passes"),
    ("handed over", "passed"),
    ("taken away", "removed"),
    ("take away", "remove"),
    ("for ever", "always, or never released"),
    ("once more", "again"),
    ("give back", "release"),
    ("gives back", "releases"),
    ("given back", "released"),
    ("dealt with", "ended, or written"),
];

/// The longest sentence of a document, in words.
const LONGEST: usize = 30;
/// What is right although it has the form of a habit.
const RIGHT: [&str; 6] =
    ["there is no", "there are no", "is no longer", "are no longer", "which is there for", "is no more"];

/// What of `sentence` is a habit; code does not count.
fn habits(sentence: &str) -> Vec<String> {
    let mut text = format!(" {} ", words(sentence).join(" ").to_lowercase());
    for right in RIGHT {
        text = text.replace(&format!(" {right} "), " … ");
    }
    let found = HABITS.iter().filter(|(habit, _)| text.contains(&format!(" {habit} ")));
    found.map(|(habit, meant)| format!("{habit:?} (write: {meant})")).collect()
}

/// The words of `sentence`, without code, placeholders and the addresses of links.
fn words(sentence: &str) -> Vec<&str> {
    let parts = sentence.split('`').step_by(2);
    let parts = parts.flat_map(|part| {
        part.split("](").enumerate().map(|(at, part)| match at {
            0 => part,
            _ => part.split_once(')').map_or("", |(_, after)| after),
        })
    });
    let parts = parts.flat_map(|part| part.split(['{', '}']).step_by(2));
    let trimmed = parts.flat_map(str::split_whitespace).map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    trimmed.filter(|word| !word.is_empty()).collect()
}

/// The sentences of a paragraph.
fn sentences(paragraph: &str) -> Vec<String> {
    let mut sentences = vec![String::new()];
    let mut is_code = false;
    let mut characters = paragraph.chars().peekable();
    while let Some(c) = characters.next() {
        is_code ^= c == '`';
        let last = sentences.len() - 1;
        sentences[last].push(c);
        if !is_code && ".?!:".contains(c) && characters.peek().is_none_or(|next| next.is_whitespace()) {
            sentences.push(String::new());
        }
    }
    sentences
}

/// The paragraphs, list items and cells of a document, with their lines.
fn paragraphs(page: &Page) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for line in page.lines() {
        let text = line.text.trim();
        let ends = line.code.is_some() || text.is_empty() || text.starts_with('#') || text.starts_with("<!--");
        if ends || text.starts_with('|') {
            is_open = false;
            if text.starts_with('|') && line.code.is_none() {
                found.extend(text.trim_matches('|').split(" | ").map(|cell| (line.number, cell.to_owned())));
            }
            continue;
        }
        let begins = ["- ", "* "].iter().any(|item| text.starts_with(item))
            || text.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        match found.last_mut().filter(|_| is_open && !begins) {
            Some((_, paragraph)) => paragraph.push_str(&format!(" {text}")),
            None => found.push((line.number, text.to_owned())),
        }
        is_open = true;
    }
    found
}

/// The texts between quotes in a source file, outside of comments and tests. What people read has several words.
fn messages(page: &Page) -> Vec<(usize, String)> {
    let text = page.text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    let (mut line, mut string): (usize, Option<String>) = (1, None);
    let mut characters = text.chars().peekable();
    let mut before = String::new();
    while let Some(c) = characters.next() {
        line += usize::from(c == '\n');
        match (&mut string, c) {
            (Some(string), '\\') => {
                let escaped = characters.next();
                line += usize::from(escaped == Some('\n'));
                string.push(' ');
            }
            (Some(whole), '"') => {
                let is_message = whole.split_whitespace().count() >= 3 && !before.ends_with("reason = ");
                found.extend(is_message.then(|| (line, whole.clone())));
                (string, before) = (None, String::new());
            }
            (Some(string), c) => string.push(c),
            (None, '"') => string = Some(String::new()),
            // 'x' and '"', but no lifetime.
            (None, '\'') if characters.clone().nth(1) == Some('\'') || characters.peek() == Some(&'\\') => {
                characters.by_ref().take_while(|c| *c != '\'').for_each(drop);
            }
            (None, '/') if characters.peek() == Some(&'/') => {
                characters.by_ref().take_while(|c| *c != '\n').for_each(drop);
                line += 1;
            }
            (None, c) => before.push(c),
        }
    }
    found
}

/// The help of `command` and of what is below it.
fn help(command: &clap::Command, found: &mut Vec<(String, String)>) {
    let name = command.get_name().to_owned();
    found.extend(command.get_about().map(|about| (name.clone(), about.to_string())));
    for argument in command.get_arguments() {
        let help = argument.get_long_help().or(argument.get_help());
        found.extend(help.map(|help| (format!("{name} {}", argument.get_id()), help.to_string())));
    }
    command.get_subcommands().for_each(|command| help(command, found));
}

#[test]
fn documents_have_short_sentences_of_usual_words() {
    let mut wrong = Vec::new();
    for page in pages::all() {
        for (line, paragraph) in paragraphs(&page) {
            for sentence in sentences(&paragraph) {
                let habits = habits(&sentence);
                let length = words(&sentence).len();
                if !habits.is_empty() || length > LONGEST {
                    wrong.push(format!("{}:{line}: {length} words, {habits:?}: {}", page.name, sentence.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} sentences: {wrong:#?}", wrong.len());
}

#[test]
fn comments_of_manifests_have_usual_words() {
    let mut wrong = Vec::new();
    for page in pages::commented() {
        for (at, line) in page.text.lines().enumerate() {
            let comment = line.split_once("# ").or_else(|| line.split_once("// ")).map_or("", |(_, comment)| comment);
            let habits = habits(comment);
            if !habits.is_empty() {
                wrong.push(format!("{}:{}: {habits:?}: {comment}", page.name, at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn help_has_usual_words_and_no_questions() {
    let mut found = Vec::new();
    help(&plexus::cli::command(), &mut found);
    help(&plexus::daemon::Settings::command(), &mut found);
    assert!(found.len() > 60, "{}", found.len());
    for (of, text) in found {
        assert_eq!(habits(&text), [""; 0], "{of}: {text}");
        let first = text.split_whitespace().next().unwrap_or_default();
        assert!(!["What", "Where", "How", "Which", "Who", "Whether"].contains(&first), "{of}: {text}: name the thing");
    }
}

/// The published schemas describe each member.
#[test]
fn descriptions_of_schemas_have_usual_words() {
    fn look(schema: &serde_json::Value, found: &mut Vec<String>) {
        found.extend(schema["description"].as_str().map(str::to_owned));
        schema.as_object().into_iter().flatten().for_each(|(_, member)| look(member, found));
        schema.as_array().into_iter().flatten().for_each(|member| look(member, found));
    }
    let mut found = Vec::new();
    plexus::cli::schemas().values().for_each(|schema| look(schema, &mut found));
    assert!(found.len() > 150, "{}", found.len());
    for description in found {
        for sentence in sentences(&description) {
            assert_eq!(habits(&sentence), [""; 0], "{description}");
            assert!(words(&sentence).len() <= LONGEST, "{description}");
        }
        assert!(!description.contains("[`"), "a link of the source is no text for readers of a schema: {description}");
    }
}

#[test]
fn messages_have_usual_words() {
    let (mut seen, mut wrong) = (0, Vec::new());
    let is_shipped = |page: &Page| page.name.starts_with("src/") && !page.name.ends_with("tests.rs");
    for page in pages::sources().into_iter().filter(is_shipped) {
        for (line, message) in messages(&page) {
            seen += 1;
            let habits = habits(&message);
            if !habits.is_empty() {
                wrong.push(format!("{}:{line}: {habits:?}: {message}", page.name));
            }
        }
    }
    assert!(seen > 400, "only {seen} messages were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn habits_are_found() {
    let table = [
        ("the folder holds `a folder`", 1),
        ("Plexus prints what `plexusctl` says", 1),
        ("{path} is no file, and {folder} is there", 2),
        ("there is no such file, and it is no longer needed", 0),
        ("see [the folder's page](a folder.md)", 0),
    ];
    for (sentence, count) in table {
        assert_eq!(habits(sentence).len(), count, "{sentence}: {:?}", habits(sentence));
    }
    let source =
        Page { name: "src/x.rs".into(), text: "// \"a b c\"\nlet x = '\"'; f(\"one {two} three\\\n four\");".into() };
    assert_eq!(messages(&source), [(3, "one {two} three  four".to_owned())]);
    assert_eq!(sentences("One. Two `a. b`: three?").len(), 4);
}
