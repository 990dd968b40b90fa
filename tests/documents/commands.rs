//! Every command that a document or a comment shows is one that the programs take.

use crate::pages::{self, Page, root};
use clap::error::ErrorKind;
use clap::{Command, CommandFactory};
use std::collections::BTreeSet;
use std::fs;

/// What is wrong with the command line `words`; in a sentence a command may lack what it needs.
fn wrong(mut command: Command, words: &[String], is_sentence: bool) -> Option<String> {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion, MissingRequiredArgument};
    let error = command.try_get_matches_from_mut(words).err()?;
    match error.kind() {
        DisplayHelp | DisplayVersion => None,
        MissingRequiredArgument | DisplayHelpOnMissingArgumentOrSubcommand if is_sentence => None,
        _ => Some(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// The words of a shell's command line, up to the end of the command. A placeholder is `1`.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut is_placeholder) = (String::new(), None, false);
    for c in line.chars().chain([' ']) {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            ('<', None) => is_placeholder = true,
            ('>', None) if is_placeholder => {
                is_placeholder = false;
                word.push('1');
            }
            (_, None) if is_placeholder => {}
            ('|' | '>' | ';' | '#' | '&' | ')', None) => break,
            (' ', None) if word.is_empty() => {}
            (' ', None) => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.extend(Some(word).filter(|word| !word.trim().is_empty()));
    words
        .into_iter()
        .map(|word| word.trim_matches(['[', ']', ',', '.', ':']).to_owned())
        .filter(|word| word != "…")
        .collect()
}

/// Where in `line` a call of `program` begins.
pub fn calls<'a>(line: &'a str, program: &str) -> Vec<&'a str> {
    let begins = |before: &str| {
        let before = before.trim_end_matches(['/', '[']);
        before.trim().is_empty()
            || ["$ ", "-- ", "| ", "sudo ", "\"", "# ", "kubectl "].iter().any(|end| before.ends_with(end))
    };
    let ends = |after: &str| after.is_empty() || after.starts_with([' ', '\n']);
    let places =
        line.match_indices(program).filter(|(at, _)| begins(&line[..*at]) && ends(&line[at + program.len()..]));
    places.map(|(at, _)| &line[at..]).collect()
}

/// Every line that may be a command: line, text, and whether it is a part of a sentence.
pub fn lines(page: &Page) -> Vec<(usize, String, bool)> {
    let mut found: Vec<(usize, String, bool)> = Vec::new();
    if !page.name.ends_with(".md") {
        let comments = page.text.lines().enumerate().filter_map(|(at, line)| Some((at + 1, line.split_once("# ")?.1)));
        // In a comment a command stands on a line of its own, or after a colon.
        let command = comments.map(|(at, text)| (at, text.rsplit(": ").next().unwrap().trim().to_owned(), true));
        return command.collect();
    }
    let mut is_continued = false;
    for line in page.lines() {
        // In a block with output only the lines of a prompt are commands.
        let is_command = match line.code {
            Some("sh" | "text") => true,
            Some("console") => line.text.trim().starts_with("$ "),
            _ => false,
        };
        if !is_command {
            continue;
        }
        let text = line.text.trim().trim_end_matches('\\');
        match found.last_mut() {
            Some((_, before, _)) if is_continued => before.push_str(text),
            _ => found.push((line.number, text.to_owned(), false)),
        }
        is_continued = line.text.trim_end().ends_with('\\');
    }
    found.extend(page.spans().into_iter().map(|(number, span)| (number, span, true)));
    found
}

fn everything() -> impl Iterator<Item = Page> {
    pages::all().into_iter().chain(pages::commented())
}

#[test]
fn every_command_of_ours_is_one_that_the_programs_take() {
    let (mut seen, mut mistakes) = (0, Vec::new());
    for page in everything() {
        for (number, text, is_sentence) in lines(&page) {
            for (program, command) in
                [("plexusctl", plexus::cli::command()), ("plexusd", plexus::daemon::Settings::command())]
            {
                for call in calls(&text, program) {
                    let words = words(call);
                    // `plexusctl <command> --help`, or the program's name alone; messages begin with plexusd, too.
                    let is_message =
                        is_sentence && program == "plexusd" && !words[1..].iter().any(|word| word.starts_with('-'));
                    if words.len() < 2 || words[1] == "1" || is_message {
                        continue;
                    }
                    seen += 1;
                    let wrong = wrong(command.clone(), &words, is_sentence);
                    mistakes.extend(wrong.map(|why| format!("{}:{number}: {}: {why}", page.name, words.join(" "))));
                }
            }
        }
    }
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    assert!(seen > 60, "only {seen} commands were found");
}

#[test]
fn what_is_no_command_is_found() {
    let ctl = |line: &str, is_sentence| wrong(plexus::cli::command(), &words(line), is_sentence);
    for good in ["plexusctl get -o wide", "plexusctl gc --forgive <container ID>", "plexusctl crd | kubectl apply -f -"]
    {
        assert_eq!(ctl(good, false), None, "{good}");
    }
    assert!(ctl("plexusctl get --dept", true).is_some());
    assert!(ctl("plexusctl got", true).is_some());
    assert!(ctl("plexusctl migrate", true).is_none() && ctl("plexusctl migrate", false).is_some());
    assert_eq!(calls("kubectl exec ds/plexus -c keeper -- plexusctl get", "plexusctl"), ["plexusctl get"]);
    assert_eq!(calls("as plexusctl shows", "plexusctl"), [""; 0]);
}

/// The names before a colon at the beginning of a line of the makefiles.
fn targets() -> BTreeSet<String> {
    let makefiles =
        ["Makefile", "e2e/cluster/cluster.mk", "e2e/kernel/kernel.mk", "e2e/release/release.mk", "fuzz/fuzz.mk"];
    let text: String = makefiles.map(|name| fs::read_to_string(root().join(name)).unwrap()).concat();
    let names = text.lines().filter_map(|line| Some(line.split_once(':')?.0));
    names
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_target_of_make_exists() {
    let (targets, mut seen) = (targets(), 0);
    for page in everything() {
        for (number, text, _) in lines(&page) {
            for call in calls(&text, "make") {
                let words = words(call);
                let Some(target) = words.get(1).filter(|_| words.len() == 2) else { continue };
                seen += 1;
                assert!(targets.contains(target), "{}:{number}: make {target}", page.name);
            }
        }
    }
    assert!(seen > 15, "only {seen} calls of make were found");
}

#[test]
fn every_call_of_kubectl_names_what_exists() {
    let manifest = fs::read_to_string(root().join("conf/base/daemonset.yaml")).unwrap();
    let mut seen = 0;
    for page in everything() {
        for (number, text, _) in lines(&page) {
            for call in calls(&text, "kubectl") {
                let words = words(call);
                let of = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
                let here = format!("{}:{number}: {text}", page.name);
                seen += 1;
                if let Some(folder) = of("-k") {
                    assert!(root().join(folder).join("kustomization.yaml").exists(), "{here}");
                }
                if let Some(file) = of("-f").filter(|file| *file != "-" && !file.contains("://")) {
                    assert!(root().join(file).exists(), "{here}");
                }
                if let Some(container) = of("-c").filter(|_| text.contains("plexus")) {
                    assert!(manifest.contains(&format!("- name: {container}\n")), "{here}: no such container");
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} calls of kubectl were found");
}
