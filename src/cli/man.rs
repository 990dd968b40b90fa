//! The manual pages, one for each command: a release contains them.

use super::Error;
use super::output::Output;
use crate::sys::files::{self, Durability};
use clap::{Args, Command};
use clap_mangen::Man;
use k8s_openapi::jiff::civil::Date;
use std::path::{Path, PathBuf};

/// As other files of a release.
const MODE: u32 = 0o644;

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
        let page = Man::new(command.clone()).section(self.section).date(self.date).manual("Plexus");
        let page = page.source(concat!("Plexus ", env!("CARGO_PKG_VERSION")));
        let path = self.directory.join(page.get_filename());
        let failed = |source| Error::Write { path: path.clone(), source };
        let mut text = Vec::new();
        page.render(&mut text).map_err(failed)?;
        let text = without_double_breaks(&String::from_utf8_lossy(&text));
        files::replace(&path, text.as_bytes(), MODE, Durability::Cached).map_err(failed)?;
        *written += 1;
        Ok(())
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
