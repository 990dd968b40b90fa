//! YAML as `kubectl` reads it, with errors in the words of whoever wrote it.

use crate::cni::json::told;
use serde::de::DeserializeOwned;
use std::fmt;

/// So many documents and values may a text have: more than the longest file that is read.
const MOST_VALUES: usize = 32 << 20;

/// Reads the documents in `text`; an empty one is none. `kubectl` allows more than YAML does: continuation lines of a
/// quoted text at any column and after tabs, and a key that occurs twice, of which the last counts.
///
/// # Errors
/// One of them is no YAML, or no `T`: what is wrong, with its place.
#[allow(clippy::disallowed_methods, reason = "the one place that reads")]
pub(in crate::cluster) fn parse<T: DeserializeOwned>(text: &str) -> Result<Vec<Option<T>>, Mistake> {
    let lenient = serde_saphyr::options! {
        strict_indentation: false,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        with_snippet: false,
        // What is read is bounded by its length. `kubectl get -o yaml` of a whole cluster is one text.
        budget: serde_saphyr::budget! {
            max_documents: MOST_VALUES,
            max_nodes: MOST_VALUES,
            max_events: 2 * MOST_VALUES,
        },
    };
    serde_saphyr::from_multiple_with_options(text, lenient).map_err(|e| in_words(&e))
}

/// What is wrong with a text, in the words of its writer.
#[derive(Debug)]
pub(in crate::cluster) struct Mistake {
    /// What, without its place.
    pub what: String,
    /// Where.
    pub location: Option<serde_saphyr::Location>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.location.map_or(Ok(()), |at| write!(f, " (line {}, column {})", at.line(), at.column()))
    }
}

fn in_words(error: &serde_saphyr::Error) -> Mistake {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let what = match error {
        Error::Eof { .. } => "it ends too early".to_owned(),
        Error::Unexpected { expected, .. } => format!("{} is expected", expected_in_words(expected)),
        Error::SerdeInvalidType { .. }
        | Error::SerdeInvalidValue { .. }
        | Error::SerdeUnknownVariant { .. }
        | Error::SerdeMissingField { .. } => format!("it {}", told(&without_place(error))),
        _ => {
            let text = without_place(error);
            // What a library prints of its limits are names of its types.
            if text.contains(" { ") { "its aliases make it too large".to_owned() } else { text }
        }
    };
    Mistake { what, location: error.location() }
}

/// The first line of the message, without what is told after it.
fn without_place(error: &serde_saphyr::Error) -> String {
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let line = text.lines().next().unwrap_or_default();
    line.rsplit_once(" at line ").map_or(line, |(text, _)| text).to_owned()
}

fn expected_in_words(expected: &str) -> &str {
    match expected {
        "mapping start" | "empty mapping start" => "a map",
        "sequence start" => "a list",
        "string scalar" | "scalar" => "a string",
        "mapping end" => "the end of a map",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_text_that_grows_without_limit_is_told_in_words() {
        let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, before) in ('b'..='j').zip('a'..) {
            let nine = vec![format!("*{before}"); 9].join(",");
            text.push_str(&format!("{name}: &{name} [{nine}]\n"));
        }
        let told = parse::<serde_json::Value>(&text).unwrap_err().to_string();
        assert!(told.starts_with("its aliases make it too large") && !told.contains(['{', '_']), "{told}");
    }

    #[test]
    fn a_mistake_is_told_in_its_writers_words() {
        #[derive(Debug, serde::Deserialize)]
        struct Object {
            #[serde(rename = "kind")]
            _kind: String,
            #[serde(rename = "metadata", default)]
            _metadata: Option<Inner>,
            #[serde(rename = "items", default)]
            _items: Vec<BTreeMap<String, String>>,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Inner {
            #[serde(rename = "name")]
            _name: String,
        }
        for (text, words) in [
            ("kind: [a]\n", ["a string", "line 1, column 7"]),
            ("kind: x\nmetadata: []\n", ["a map", "line 2, column 11"]),
            ("kind: x\nmetadata: {}\n", ["\"name\"", "line 2"]),
            ("kind: x\nitems: 7\n", ["a list", "line 2, column 8"]),
            ("[a]\n", ["a map", "line 1, column 1"]),
            ("kind: 'x\n", ["quot", "line "]),
            ("kind: {a\n", ["", "line "]),
        ] {
            let told = parse::<Object>(text).unwrap_err().to_string();
            for word in words {
                assert!(told.contains(word), "{text:?}: {told}");
            }
            for word in ["struct", "sequence", "mapping", "missing field", "invalid type", "at line", "scalar", "`"] {
                assert!(!told.contains(word), "{text:?}: {told}");
            }
            assert!(!told.contains('\n'), "{told}");
        }
    }
}
