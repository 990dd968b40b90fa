//! What is wrong with a JSON text, in the words of whoever wrote it: neither Rust's names of types, nor a place in a text
//! that nobody sees.

use serde_json::error::Category;
use serde_json::value::RawValue;

/// A text that is not the JSON it should be.
#[derive(Debug, thiserror::Error)]
#[error("{}", broken(.source, *.is_comma))]
pub struct InvalidJson {
    source: serde_json::Error,
    /// The text goes on with the end of an object or a list after a comma.
    is_comma: bool,
}

impl From<serde_json::Error> for InvalidJson {
    fn from(source: serde_json::Error) -> Self {
        InvalidJson { source, is_comma: false }
    }
}

impl InvalidJson {
    /// What is wrong with `text`.
    pub(super) fn of(source: serde_json::Error, text: &[u8]) -> Self {
        let is_comma = source.classify() == Category::Syntax && ends_after_comma(text, &source);
        InvalidJson { source, is_comma }
    }

    /// Line and column, from 1.
    pub fn place(&self) -> (usize, usize) {
        (self.source.line(), self.source.column())
    }
}

/// Whether a comma is before the bracket at the place of `error`. In values that are passed on, the library only tells what
/// it expected after the comma.
fn ends_after_comma(text: &[u8], error: &serde_json::Error) -> bool {
    let lines = text.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    let at = lines.map(<[u8]>::len).sum::<usize>() + error.column();
    let before = text.get(..at).unwrap_or(text).trim_ascii_end();
    matches!(before.split_last(), Some((b'}' | b']', rest)) if rest.trim_ascii_end().ends_with(b","))
}

impl From<InvalidJson> for std::io::Error {
    fn from(error: InvalidJson) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// A known key whose value is of the wrong type.
#[derive(Debug, thiserror::Error)]
#[error("key {key:?} {}", in_words(shown, &without_place(source)))]
pub struct InvalidValue {
    key: String,
    shown: String,
    source: serde_json::Error,
}

/// How much of a value is shown.
const SHOWN: usize = 60;

impl InvalidValue {
    pub(super) fn new(key: &str, raw: &RawValue, source: serde_json::Error) -> Self {
        let mut shown = raw.get().to_owned();
        if let Some((end, _)) = shown.char_indices().nth(SHOWN) {
            shown.truncate(end);
            shown.push('…');
        }
        InvalidValue { key: key.to_owned(), shown, source }
    }
}

/// What serde_json says of a whole text. Where it is no JSON at all the place matters: the text is the user's.
fn broken(error: &serde_json::Error, is_comma: bool) -> String {
    let text = without_place(error);
    let what = match text.as_str() {
        _ if is_comma => "trailing comma".to_owned(),
        _ if error.classify() == Category::Data => return format!("it {}", told(&text)),
        _ if text.starts_with("EOF") => "it ends too early".to_owned(),
        "trailing characters" => "there is more after its end".to_owned(),
        "recursion limit exceeded" => "it is nested too deep".to_owned(),
        "key must be a string" => "a key in quotation marks is expected".to_owned(),
        "expected value" | "expected ident" => "a value is expected".to_owned(),
        other => match other.strip_prefix("expected ") {
            Some(wanted) => format!("{} is expected", wanted.replace('`', "'")),
            None => other.to_owned(),
        },
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(text, _)| text.to_owned())
}

/// What serde says of a document, in the words of whoever wrote it.
pub fn told(message: &str) -> String {
    in_words("{", message)
}

/// What serde says of `value`.
fn in_words(value: &str, text: &str) -> String {
    if text.starts_with("data did not match any variant") {
        return "has none of the forms that are expected".to_owned();
    }
    if let Some(key) = text.strip_prefix("duplicate field ") {
        return format!("has key {} twice", key.replace('`', "\""));
    }
    let is_composite = value.starts_with(['{', '[']);
    // What is wrong may be anywhere in it, and what else is there may be secret.
    let subject = if is_composite { None } else { Some(value) };
    if let Some(key) = text.strip_prefix("missing field ") {
        return format!("has an object without \"{}\"", key.replace('`', ""));
    }
    if let Some((_, wanted)) = text.strip_prefix("unknown variant ").and_then(|rest| rest.rsplit_once(", expected ")) {
        return format!("{} where {} is expected", is_or_has(subject), wanted.replace('`', ""));
    }
    let found = text.split_once(": ").and_then(|(kind, rest)| Some((kind, rest.rsplit_once(", expected ")?)));
    match (found, subject) {
        (Some((_, (found, wanted))), None) => {
            format!("has {} where {} is expected", found_in_words(found), wanted_in_words(wanted))
        }
        (Some((_, (_, wanted))), Some(value)) => format!("is {value} where {} is expected", wanted_in_words(wanted)),
        // What an inner value was told of is in words already.
        (None, _) => match (text.strip_suffix(" expected").filter(|wanted| !wanted.ends_with(" is")), subject) {
            (Some(wanted), Some(value)) => format!("is {value} where {wanted} is expected"),
            (Some(wanted), None) => format!("{} where {wanted} is expected", is_or_has(None)),
            (None, Some(value)) => format!("is {value}: {text}"),
            // Whoever tells this writes "cannot be read" before it.
            (None, None) => format!("has a wrong value: {text}"),
        },
    }
}

fn is_or_has(value: Option<&str>) -> String {
    value.map_or_else(|| "has a value".to_owned(), |value| format!("is {value}"))
}

fn found_in_words(found: &str) -> String {
    match found {
        "map" => "an object".to_owned(),
        "sequence" => "a list".to_owned(),
        "null" | "unit value" | "unit" | "Option value" => "null".to_owned(),
        other => other.trim_start_matches(|c: char| c.is_alphabetic() || c == ' ').replace('`', ""),
    }
}

fn wanted_in_words(wanted: &str) -> &str {
    match wanted.trim_end_matches(" expected") {
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number that is not negative and below 4294967296",
        "u64" | "usize" => "a whole number that is not negative",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" | "a JSON object" => "an object",
        "path string" | "a borrowed string" | "str" => "a string",
        "unit" => "null",
        object if object.starts_with("struct ") => "an object",
        one if one.starts_with("enum ") => "one of the known values",
        list if list.starts_with("tuple ") || list.starts_with("a tuple ") => "a list",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use crate::cni::RawObject;
    use crate::cni::json::LenientBool;

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Level {
        Low,
        High,
        None,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Valid {
        #[serde(rename = "name")]
        _name: String,
    }

    #[test]
    fn a_text_that_is_no_object_is_told_in_its_writers_words() {
        for (text, told) in [
            ("", "it ends too early (line 1, column 0)"),
            ("{\"a\":1", "it ends too early (line 1, column 6)"),
            ("{\"a\":1 \"b\"}", "',' or '}' is expected (line 1, column 8)"),
            ("{a}", "a key in quotation marks is expected (line 1, column 2)"),
            ("{\"a\":x}", "a value is expected (line 1, column 6)"),
            ("{} {", "there is more after its end (line 1, column 4)"),
            ("{\"a\":1,}", "trailing comma (line 1, column 8)"),
            ("{\"a\":{\"b\":1, }}", "trailing comma (line 1, column 14)"),
            ("{\"a\":\n[1,2,\n]}", "trailing comma (line 3, column 1)"),
            ("{\"a\":[,]}", "a value is expected (line 1, column 7)"),
            ("[]", "it has a list where an object is expected"),
            ("\"x\"", "it has \"x\" where an object is expected"),
            ("7", "it has 7 where an object is expected"),
        ] {
            assert_eq!(RawObject::parse(text).unwrap_err().to_string(), told, "{text}");
        }
    }

    #[test]
    fn a_wrong_value_is_told_in_its_writers_words() {
        let text = r#"{"mtu":"1400","on":1,"ips":["a",1],"ranges":[{"a":1}],"ip":"10.0.0.0/33","level":"loud","valid":[{}],"whole":[7]}"#;
        let object = RawObject::parse(text).unwrap();
        let error = [
            object.read::<i64>("mtu").unwrap_err(),
            object.read::<bool>("on").unwrap_err(),
            object.read::<Vec<String>>("ips").unwrap_err(),
            object.read::<Vec<Vec<u8>>>("ranges").unwrap_err(),
            object.read::<ipnet::IpNet>("ip").unwrap_err(),
            object.read::<Level>("level").unwrap_err(),
            object.read::<Vec<Valid>>("valid").unwrap_err(),
            object.read::<Vec<Valid>>("whole").unwrap_err(),
            object.read::<LenientBool>("mtu").unwrap_err(),
            object.read::<LenientBool>("ips").unwrap_err(),
        ];
        assert_eq!(
            error.map(|error| error.to_string()),
            [
                r#"key "mtu" is "1400" where a whole number is expected"#,
                r#"key "on" is 1 where true or false is expected"#,
                r#"key "ips" has 1 where a string is expected"#,
                r#"key "ranges" has an object where a list is expected"#,
                r#"key "ip" is "10.0.0.0/33": invalid IP address syntax"#,
                r#"key "level" is "loud" where one of low, high, none is expected"#,
                r#"key "valid" has an object without "name""#,
                r#"key "whole" has 7 where an object is expected"#,
                r#"key "mtu" is "1400": "1400" is neither true nor false"#,
                r#"key "ips" has a value where true or false is expected"#,
            ]
        );
    }
}
