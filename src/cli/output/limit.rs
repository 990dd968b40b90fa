//! How long a text in a line or in a table may be: one value that somebody wrote cannot push the others off the screen. JSON and
//! YAML have the whole.

/// The longest line, and the longest cell at the end of a row.
pub const LINE: usize = 1000;
/// The longest cell before the end of a row, which widens every row: a namespace and a name fit.
pub const CELL: usize = 320;
/// The longest sentence in such a cell.
pub const PHRASE: usize = 100;

/// `text`, with an ellipsis for what is longer than `most` characters.
pub fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) if most == 0 => String::new(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_ends_with_an_ellipsis() {
        assert_eq!(short("four", 4), "four");
        assert_eq!(short("fünfe", 4), "fün…");
        assert_eq!(short("more", 0), "");
        assert_eq!(short("", 4), "");
    }
}
