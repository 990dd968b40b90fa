//! Aligned columns, as kubectl prints them: no frame, so that `awk` and `grep` go on working.

use crate::cli::output::limit::{CELL, LINE, short};
use crate::sys::printable;

const GAP: &str = "   ";
/// What ends every escape sequence of a [`Tone`].
pub(super) const END: &str = "\x1b[0m";

/// How important, good or bad a piece of text is. Colour never says what the text does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Heading,
    Good,
    Waiting,
    Bad,
}

impl Tone {
    /// The escape sequence that begins it, of the eight colours every terminal has.
    pub fn begin(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Heading => "\x1b[1m",
            Tone::Good => "\x1b[32m",
            Tone::Waiting => "\x1b[33m",
            Tone::Bad => "\x1b[31m",
        }
    }
}

/// A heading and rows of the same length.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
    headless: bool,
}

/// One field.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// `text`, said in `tone`. What a terminal would act on is shown as spaces.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        let text = printable::line(&text.into());
        let text = if text.is_empty() { "-".to_owned() } else { text };
        Cell { text, tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::new(text, Tone::Plain)
    }
}

impl Table {
    /// A table without rows.
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Table::with_heading(heading.into_iter())
    }

    /// As [`Table::new`], with as many columns as there are headings.
    pub fn with_heading<'a>(heading: impl Iterator<Item = &'a str>) -> Self {
        Table { rows: vec![heading.map(|text| Cell::new(text, Tone::Heading)).collect()], headless: false }
    }

    /// Adds a row.
    pub fn row(&mut self, mut cells: Vec<Cell>) {
        let last = cells.len().saturating_sub(1);
        for (at, cell) in cells.iter_mut().enumerate() {
            cell.text = short(&cell.text, if at == last { LINE } else { CELL });
        }
        self.rows.push(cells);
    }

    /// The same below a heading that was printed before: aligned with it, as far as the cells allow.
    #[must_use]
    pub fn without_heading(self) -> Self {
        Table { headless: true, ..self }
    }

    /// The lines, each ended.
    pub fn render(&self, colour: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        self.rows.iter().skip(usize::from(self.headless)).map(|row| line(row, &widths, colour)).collect()
    }
}

fn line(row: &[Cell], widths: &[usize], colour: bool) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        let (begin, end) = if colour && cell.tone != Tone::Plain { (cell.tone.begin(), END) } else { ("", "") };
        line.push_str(&format!("{begin}{}{end}", cell.text));
        // No spaces at the end of a line, where they would only wrap it.
        if at + 1 < row.len() {
            line.push_str(&" ".repeat(width - cell.text.chars().count()));
            line.push_str(GAP);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["POD", "STATE", "AGE"]);
        table.row(vec!["default/a".into(), Cell::new("owed", Tone::Bad), "5s".into()]);
        table.row(vec!["é".into(), "".into(), "two\nlines".into()]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        let expected = "POD         STATE   AGE\ndefault/a   owed    5s\né           -       two lines\n";
        assert_eq!(table().render(false), expected);
    }

    #[test]
    fn one_long_cell_does_not_push_the_others_away() {
        let long = "x".repeat(60_000);
        let mut table = Table::new(["POD", "STATE", "MESSAGE"]);
        table.row(vec!["a".into(), long.as_str().into(), long.as_str().into()]);
        table.row(vec!["b".into(), "attached".into(), "".into()]);
        let lines: Vec<usize> = table.render(false).lines().map(|line| line.chars().count()).collect();
        assert!(lines[1] == 1 + CELL + LINE + 2 * GAP.len() + "POD".len() - 1 && lines[2] < CELL + 20, "{lines:?}");
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let coloured = table().render(true);
        assert!(coloured.contains("\x1b[31mowed\x1b[0m") && coloured.contains("\x1b[1mPOD\x1b[0m"));
        let bare = ["\x1b[31m", "\x1b[1m", END].iter().fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(bare, table().render(false));
    }
}
