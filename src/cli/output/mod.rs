//! Where a command's answer goes, and how it looks there.

pub(super) mod age;
pub(super) mod counted;
pub(super) mod described;
pub(super) mod limit;
pub(super) mod table;

use super::Error;
use crate::cli::output::described::Described;
use crate::cli::output::table::Table;
pub use crate::cli::output::table::Tone;
use crate::sys::printable;
use clap::ValueEnum;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// How lists are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Human-readable table
    #[default]
    Table,
    /// One JSON document; members are added, never changed
    Json,
}

/// How the line begins that tells why a command failed.
pub const ERROR: &str = "error: ";
/// How it began in former releases, which nodes may still have.
pub const FORMER_ERROR: &str = "plexusctl: ";

/// Whether the terminal has no colours, and cannot write over a line.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb")
}

/// Whether a person wants no colour (no-color.org), or the terminal has none.
fn is_colour_refused() -> bool {
    is_dumb() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// `line` without the begin of an error.
pub fn without_error(line: &str) -> &str {
    line.strip_prefix(ERROR).or_else(|| line.strip_prefix(FORMER_ERROR)).unwrap_or(line)
}

/// The name of the program as a plugin of kubectl.
pub const KUBECTL_PLUGIN: &str = "kubectl-plexus";
/// What a remedy may ask of somebody at a workstation. The others, such as `install`, are for the node.
const EVERYWHERE: [&str; 12] = [
    "get",
    "describe",
    "why",
    "plan",
    "lint",
    "doctor",
    "status",
    "connectivity",
    "topology",
    "report",
    "health",
    "ipam",
];

/// Whether `program` was started as a plugin of kubectl.
pub fn is_kubectl_plugin(program: Option<&std::ffi::OsString>) -> bool {
    let name = program.and_then(|program| Path::new(program).file_name()).unwrap_or_default();
    name == KUBECTL_PLUGIN
}

/// `text` with the commands that are named in it as people type them: who has the plugin of kubectl need not have `plexusctl`.
fn as_typed(text: &str, is_plugin: bool) -> Cow<'_, str> {
    let own = "`plexusctl ";
    if !is_plugin || !text.contains(own) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(own);
    let mut typed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let command: String = part.chars().take_while(char::is_ascii_lowercase).collect();
        typed.push_str(if EVERYWHERE.contains(&command.as_str()) { "`kubectl plexus " } else { own });
        typed.push_str(part);
    }
    Cow::Owned(typed)
}

/// Stdout, and stderr for remarks.
pub struct Output {
    answer: Box<dyn Write>,
    colour: bool,
    /// This is the plugin of kubectl.
    is_plugin: bool,
}

impl Output {
    /// Of this process; coloured where it is a terminal and nobody asked for none (no-color.org).
    pub fn of_process() -> Self {
        let is_plugin = is_kubectl_plugin(std::env::args_os().next().as_ref());
        let colour = io::stdout().is_terminal() && !is_colour_refused();
        Output { answer: Box::new(io::stdout()), colour, is_plugin }
    }

    /// Prints `text`, which is for a person: what this program has composed of its own words.
    pub fn text(&mut self, text: &str) -> Result<(), Error> {
        self.bytes(as_typed(text, self.is_plugin).as_bytes())
    }

    /// Prints `bytes`, which are for a program.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.answer.write_all(bytes).and_then(|()| self.answer.flush()).map_err(Error::Output)
    }

    /// Prints `document` as JSON.
    pub fn json(&mut self, document: &impl Described) -> Result<(), Error> {
        self.standard_json(document)
    }

    /// Prints `document` as JSON; others publish its schema.
    pub fn standard_json(&mut self, document: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(document).map_err(|e| Error::Output(e.into()))?;
        self.document(&format!("{text}\n"))
    }

    /// Prints `text`, which is JSON, with the same meaning and nothing that a terminal acts on.
    pub fn document(&mut self, text: &str) -> Result<(), Error> {
        self.bytes(printable::json(text).as_bytes())
    }

    /// Prints `document` as YAML.
    pub fn yaml(&mut self, document: &impl Described) -> Result<(), Error> {
        let text = serde_saphyr::to_string(document).map_err(|e| Error::Output(io::Error::other(e.to_string())))?;
        self.bytes(printable::lines(&text).as_bytes())
    }

    /// Prints `table`.
    pub fn table(&mut self, table: &Table) -> Result<(), Error> {
        self.text(&table.render(self.colour))
    }

    /// Prints `text` on a line of its own, in `tone` on a terminal.
    pub fn sentence(&mut self, text: &str, tone: Tone) -> Result<(), Error> {
        self.parts(&[(text, tone)])
    }

    /// As [`Output::sentence`], with a tone for each part.
    pub fn parts(&mut self, parts: &[(&str, Tone)]) -> Result<(), Error> {
        let colour = self.colour;
        let mut rest = limit::LINE;
        let part = |(text, tone): &(&str, Tone)| {
            let text = limit::short(&printable::line(text), rest);
            rest = rest.saturating_sub(text.chars().count());
            let is_coloured = colour && *tone != Tone::Plain;
            if is_coloured { format!("{}{text}{}", tone.begin(), table::END) } else { text }
        };
        let line: String = parts.iter().map(part).collect();
        self.text(&format!("{line}\n"))
    }

    /// Prints `text` on a line of its own.
    pub fn line(&mut self, text: &str) -> Result<(), Error> {
        self.sentence(text, Tone::Plain)
    }

    /// Shows on a terminal what is waited for. The next one takes its place; an empty one removes it.
    pub fn progress(&self, text: &str) {
        if io::stderr().is_terminal() && !is_dumb() {
            let _ = write!(io::stderr(), "\r\x1b[K{}", printable::line(text));
        }
    }

    /// Tells a person something that is not the answer, on one line.
    pub fn remark(&self, text: impl std::fmt::Display) {
        // Nothing that is written there can end a command: the reader may be gone, or the disk full.
        let _ = writeln!(
            io::stderr(),
            "{}",
            limit::short(&as_typed(&printable::line(&text.to_string()), self.is_plugin), limit::LINE)
        );
    }

    /// Tells why a command failed. It looks as what clap says about a wrong command line.
    pub fn error(&self, why: impl std::fmt::Display) {
        let text = limit::short(&as_typed(&printable::line(&format!("{ERROR}{why}")), self.is_plugin), limit::LINE);
        let is_coloured = io::stderr().is_terminal() && !is_colour_refused();
        let text = match text.strip_prefix(ERROR).filter(|_| is_coloured) {
            Some(why) => format!("{}{}error:{} {why}", Tone::Heading.begin(), Tone::Bad.begin(), table::END),
            None => text,
        };
        // As of a remark.
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// As [`Output::remark`], a table.
    pub fn remark_table(&self, table: &Table) {
        let _ = write!(io::stderr(), "{}", table.render(false));
    }
}

#[cfg(test)]
mod tests {
    use super::as_typed;

    #[test]
    fn a_plugin_of_kubectl_names_commands_as_people_type_them() {
        let text = "Run `plexusctl why a/b`, or `plexusctl install` on the node.";
        assert_eq!(as_typed(text, false), text);
        assert_eq!(as_typed(text, true), "Run `kubectl plexus why a/b`, or `plexusctl install` on the node.");
    }
}
