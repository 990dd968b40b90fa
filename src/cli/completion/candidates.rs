//! What a command line can continue with. Pure.

use clap::builder::StyledStr;
use clap::{Arg, Command, ValueHint};

/// A word, and one line about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The word.
    pub word: String,
    /// One line about it; empty for none.
    pub about: String,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Candidates {
    /// Those that are known.
    pub all: Vec<Candidate>,
    /// The name of a file is possible, too.
    pub or_files: bool,
}

/// How far a command line is.
struct Place<'a> {
    command: &'a Command,
    /// The option that the next word is the value of.
    open: Option<&'a Arg>,
    /// So many positional arguments are there.
    positional: usize,
}

/// What the last one of `words` can become. The words before it are those after the program's name.
pub fn candidates(mut program: Command, words: &[String]) -> Candidates {
    program.build();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut place = Place { command: &program, open: None, positional: 0 };
    before.iter().for_each(|word| place.read(word));
    let mut found = Candidates::default();
    if let Some(option) = place.open {
        found.add_values(option, "");
    } else if let Some((name, _)) = last.strip_prefix("--").and_then(|rest| rest.split_once('=')) {
        place.option(name).into_iter().for_each(|option| found.add_values(option, &format!("--{name}=")));
    } else if last.starts_with('-') {
        found.add_options(place.command);
    } else {
        let below = place.command.get_subcommands().filter(|below| !below.is_hide_set());
        found.all.extend(below.map(|below| candidate(below.get_name(), below.get_about())));
        place.next_positional().into_iter().for_each(|argument| found.add_values(argument, ""));
    }
    found.all.retain(|candidate| candidate.word.starts_with(last));
    found
}

impl<'a> Place<'a> {
    /// Goes on by one whole word.
    fn read(&mut self, word: &str) {
        if self.open.take().is_some() {
            return;
        }
        if let Some(name) = word.strip_prefix("--") {
            self.open = self.option(name).filter(|option| takes_value(option));
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            // What follows a letter in the same word is its value.
            let of = |letter: char| self.command.get_arguments().find(|one| one.get_short() == Some(letter));
            self.open = letters.chars().last().and_then(of).filter(|option| takes_value(option));
            let has_value = letters.chars().rev().skip(1).filter_map(of).any(takes_value);
            self.open = self.open.filter(|_| !has_value);
        } else if let Some(below) = self.command.find_subcommand(word).filter(|_| self.positional == 0) {
            self.command = below;
        } else {
            self.positional += 1;
        }
    }

    fn option(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|one| one.get_long() == Some(name))
    }

    /// The positional argument that comes next; the last one may have several values.
    fn next_positional(&self) -> Option<&'a Arg> {
        let all: Vec<&Arg> = self.command.get_positionals().collect();
        let repeats = |last: &&&Arg| last.get_num_args().is_some_and(|number| number.max_values() > 1);
        all.get(self.positional).or(all.last().filter(repeats)).copied()
    }
}

impl Candidates {
    fn add_values(&mut self, argument: &Arg, prefix: &str) {
        let values = argument.get_possible_values();
        let files = [ValueHint::AnyPath, ValueHint::FilePath, ValueHint::DirPath, ValueHint::ExecutablePath];
        self.or_files |= files.contains(&argument.get_value_hint());
        let shown = values.iter().filter(|value| !value.is_hide_set());
        self.all.extend(shown.map(|value| candidate(&format!("{prefix}{}", value.get_name()), value.get_help())));
    }

    fn add_options(&mut self, command: &Command) {
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        let words = shown.filter_map(|argument| Some((format!("--{}", argument.get_long()?), argument.get_help())));
        self.all.extend(words.map(|(word, help)| candidate(&word, help)));
    }
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

fn candidate(word: &str, about: Option<&StyledStr>) -> Candidate {
    let about = about.map(ToString::to_string).unwrap_or_default();
    let line = about.split_whitespace().collect::<Vec<_>>().join(" ");
    Candidate { word: word.to_owned(), about: line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction};
    use std::path::PathBuf;

    fn program() -> Command {
        let output =
            Arg::new("output").short('o').long("output").value_parser(["json", "table"]).help("Output\n format");
        let file = Arg::new("file").value_parser(clap::value_parser!(PathBuf)).num_args(0..);
        let wait = Arg::new("wait").short('w').long("wait").action(ArgAction::SetTrue);
        let get = Command::new("get").about("List").args([output, wait, file]);
        let pod = Command::new("pod").arg(Arg::new("name"));
        let hidden = Command::new("secret").hide(true);
        Command::new("program").subcommands([get, Command::new("describe").subcommand(pod), hidden])
    }

    #[test]
    fn each_word_continues_with_what_may_follow() {
        let table: [(&[&str], &[&str], bool); 12] = [
            (&[""], &["get", "describe", "help"], false),
            (&["g"], &["get"], false),
            (&["get", "-"], &["--output", "--wait", "--help"], false),
            (&["get", "--o"], &["--output"], false),
            (&["get", "--output", ""], &["json", "table"], false),
            (&["get", "-o", "j"], &["json"], false),
            (&["get", "-wo", "j"], &["json"], false),
            (&["get", "--output=t"], &["--output=table"], false),
            (&["get", "-ojson", ""], &[], true),
            (&["get", "a", "b"], &[], true),
            (&["describe", "po"], &["pod"], false),
            (&["describe", "pod", "x"], &[], false),
        ];
        for (words, expected, or_files) in table {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let found = candidates(program(), &words);
            let names: Vec<&str> = found.all.iter().map(|candidate| candidate.word.as_str()).collect();
            assert_eq!((names.as_slice(), found.or_files), (expected, or_files), "{words:?}");
        }
        let about = candidates(program(), &["get".to_owned(), "--o".to_owned()]).all.remove(0).about;
        assert_eq!(about, "Output format");
        assert!(candidates(program(), &[]).all.len() == 3);
    }
}
