//! The manual pages, one for each command: a release contains them.

use super::Error;
use super::output::Output;
use crate::sys::files::{self, Durability};
use clap::builder::Resettable;
use clap::{Arg, Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use k8s_openapi::jiff::civil::Date;
use std::path::{Path, PathBuf};

/// As other files of a release.
const MODE: u32 = 0o644;
/// How the paragraph of a command's help about exit codes begins.
const EXIT_CODES: &str = "Exit codes: ";
/// The last section of a page.
const VERSION: &str = ".SH VERSION\n";

#[derive(Debug, Args)]
pub struct Arguments {
    /// Directory for the pages
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    /// Date of the release, as YYYY-MM-DD
    #[arg(long, required = true, value_name = "DATE", value_parser = date)]
    date: String,
}

/// `text`, if it is a date.
fn date(text: &str) -> Result<String, String> {
    let is_like = text.len() == "2026-01-31".len();
    let is_date = is_like && text.parse::<Date>().is_ok();
    if is_date { Ok(text.to_owned()) } else { Err("it is not a date as 2026-01-31".to_owned()) }
}

/// Writes the pages of `tool` and its commands (section 1), and of `daemon` (section 8).
///
/// # Errors
/// A page cannot be written.
pub fn run(arguments: &Arguments, tool: Command, daemon: Command, output: &mut Output) -> Result<(), Error> {
    let mut written = 0;
    let pages = |section| Pages { section, directory: &arguments.directory, date: &arguments.date };
    let mut tool = tool.disable_help_subcommand(true);
    tool.build();
    pages("1").write(&tool, &mut written)?;
    pages("8").write(&daemon, &mut written)?;
    output.remark(format!("{written} pages were written to {}.", arguments.directory.display()));
    Ok(())
}

/// Where pages go, and what they have in common.
struct Pages<'a> {
    section: &'static str,
    directory: &'a Path,
    date: &'a str,
}

impl Pages<'_> {
    /// Writes the page of `command`, and of those below it.
    fn write(&self, command: &Command, written: &mut usize) -> Result<(), Error> {
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            self.write(below, written)?;
        }
        let page = Man::new(labelled(command.clone())).section(self.section).date(self.date).manual("Plexus");
        let page = page.source(concat!("Plexus ", env!("CARGO_PKG_VERSION")));
        let path = self.directory.join(page.get_filename());
        let failed = |source| Error::Write { path: path.clone(), source };
        let mut text = Vec::new();
        page.render(&mut text).map_err(failed)?;
        let notes = command.get_after_help().map(|notes| sections(&notes.to_string())).unwrap_or_default();
        let text = without_double_breaks(&with_sections(&String::from_utf8_lossy(&text), &notes));
        files::replace(&path, text.as_bytes(), MODE, Durability::Cached).map_err(failed)?;
        *written += 1;
        Ok(())
    }
}

/// `command` with its positional arguments in a section of their own, and without the notes after its help, for which
/// [`sections`] makes better ones.
fn labelled(command: Command) -> Command {
    let of_their_own = |argument: Arg| match argument.is_positional() {
        true => argument.help_heading("Arguments"),
        false => argument,
    };
    command.mut_args(of_their_own).after_help(Resettable::Reset)
}

/// The notes after the help of a command, by the sections in which people look for them.
fn sections(notes: &str) -> String {
    let (mut codes, mut others, mut examples) = (Roff::new(), Roff::new(), Roff::new());
    for paragraph in notes.split("\n\n") {
        match paragraph.strip_prefix(EXIT_CODES) {
            Some(rest) => _ = begin(&mut codes).text([roman(rest)]),
            // What people copy is indented.
            None if paragraph.contains("\n  ") => {
                begin(&mut examples).control("nf", []);
                paragraph.lines().for_each(|line| _ = examples.text([roman(line)]));
                examples.control("fi", []);
            }
            None => _ = begin(&mut others).text([roman(paragraph)]),
        }
    }
    let all = [("EXIT STATUS", codes), ("NOTES", others), ("EXAMPLES", examples)];
    let written = all.into_iter().filter(|(_, roff)| *roff != Roff::new());
    written.map(|(heading, roff)| format!(".SH \"{heading}\"\n{}", roff.to_roff())).collect()
}

/// Begins a paragraph; a section begins with one by itself.
fn begin(section: &mut Roff) -> &mut Roff {
    if *section == Roff::new() { section } else { section.control("PP", []) }
}

/// `page` with `sections`, before that of the version.
fn with_sections(page: &str, sections: &str) -> String {
    match page.split_once(VERSION) {
        Some((before, after)) => format!("{before}{sections}{VERSION}{after}"),
        None => format!("{page}{sections}"),
    }
}

/// An empty line breaks the line itself: readers of manual pages warn of a `.br` next to it.
fn without_double_breaks(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_space =
        |at: Option<usize>| at.and_then(|at| lines.get(at)).is_some_and(|line| line.is_empty() || *line == ".sp");
    let kept = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| **line != ".br" || !(is_space(at.checked_sub(1)) || is_space(at.checked_add(1))));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}
