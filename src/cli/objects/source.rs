//! Texts and places in them.

/// A text that was given.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file's name, as it was given; for an object of a cluster its kind and name.
    pub name: String,
    /// What is in it.
    pub text: String,
    /// A person can look at its lines.
    pub is_file: bool,
}

/// A place in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which source.
    pub source: usize,
    /// How many bytes stand before it.
    pub at: usize,
}

impl Source {
    /// The line and the column at `at`, from 1; a column is a character. An object of a cluster has none, and a file without
    /// a text.
    pub fn line_and_column(&self, at: usize) -> Option<(usize, usize)> {
        if !self.is_file || self.text.is_empty() {
            return None;
        }
        let end = (0..=at.min(self.text.len())).rev().find(|end| self.text.is_char_boundary(*end)).unwrap_or(0);
        let before = &self.text[..end];
        let line = before.rsplit('\n').next().unwrap_or_default();
        Some((before.matches('\n').count() + 1, line.chars().count() + 1))
    }
}

/// Where in `source` the byte `at` of `inner` stands: `inner` is the content of a scalar that begins at `begin`.
///
/// However the scalar is quoted, folded or indented, the characters that are not white space stand in it in their order.
pub fn within(source: &str, begin: usize, inner: &str, at: usize) -> usize {
    let mut rest = source.get(begin..).unwrap_or_default().char_indices();
    let mut found = begin;
    let is_wanted = |(place, c): &(usize, char)| *place <= at && !c.is_whitespace();
    for (_, wanted) in inner.char_indices().filter(is_wanted) {
        match rest.find(|(_, c)| *c == wanted) {
            Some((place, _)) => found = begin + place,
            None => return found,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_scalar_is_one_in_the_file() {
        let inner = "{\n  \"type\": \"bridge\"\n}\n";
        let at = inner.find("\"bridge\"").unwrap();
        for source in [
            "config: |\n    {\n      \"type\": \"bridge\"\n    }\n",
            "config: '{\n \"type\":\n   \"bridge\" }'\n",
            "config: \"{\\n \\\"type\\\": \\\"bridge\\\"}\"\n",
        ] {
            let found = within(source, 8, inner, at);
            assert!(source[found..].starts_with("\"bridge"), "{source}: {}", &source[found..]);
        }
        assert_eq!(within("x", 7, inner, at), 7);
    }

    #[test]
    fn lines_and_columns_are_counted_from_one() {
        let source = Source { name: "x".into(), text: "a\né b".into(), is_file: true };
        let places = [0, 2, 4, 5, 99].map(|at| source.line_and_column(at).unwrap());
        assert_eq!(places, [(1, 1), (2, 1), (2, 2), (2, 3), (2, 4)]);
        let of_cluster = Source { is_file: false, ..source };
        assert_eq!(of_cluster.line_and_column(0), None);
    }
}
