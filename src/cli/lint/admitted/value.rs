//! A value of a manifest and its schema.

use super::refused::Refused;
use crate::cluster::manifests::tree::{Key, Node, Tree};
use crate::cni::spelling::{hint, nearest};
use regex::Regex;
use serde_json::Value;
use std::fmt;

/// The key of a value, as people write it: `spec.ranges[0].range`.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(String);

impl Place {
    fn key(&self, key: &str) -> Self {
        // Of labels it is whatever somebody wrote.
        let is_plain = key.bytes().all(|byte| byte.is_ascii_graphic());
        let key = if is_plain { key.to_owned() } else { format!("{key:?}") };
        Place(if self.0.is_empty() { key } else { format!("{self}.{key}") })
    }

    fn item(&self, number: usize) -> Self {
        Place(format!("{self}[{number}]"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "the object" } else { &self.0 })
    }
}

/// A look at every value of an object.
pub(super) struct Walk<'a> {
    text: &'a str,
    pub(super) found: Vec<Refused>,
}

impl<'a> Walk<'a> {
    /// In the source `text`.
    pub(super) fn new(text: &'a str) -> Self {
        Walk { text, found: Vec::new() }
    }

    /// `node`, which stands at `place`.
    pub(super) fn value(&mut self, node: &Node, schema: &Value, place: &Place) {
        let wanted = schema.get("type").and_then(Value::as_str).unwrap_or_default();
        match (wanted, &node.value) {
            ("object", Tree::Map(entries)) => self.map(node, entries, schema, place),
            ("array", Tree::List(items)) => {
                let Some(schema) = schema.get("items") else { return };
                for (number, item) in items.iter().enumerate() {
                    self.value(item, schema, &place.item(number));
                }
            }
            ("string", Tree::Text(text)) => self.string(node, text, schema, place),
            ("integer", Tree::Number(text)) => self.integer(node, text, schema, place),
            ("boolean", Tree::Bool(_)) | ("", _) => {}
            (_, Tree::Null) if is_nullable(schema) => {}
            _ => {
                let (value, why) = (shown(node), self.misread(node));
                self.refuse(node.at, format!("{place} is {value}{why}: {}", expected(wanted, schema)));
            }
        }
    }

    fn map(&mut self, node: &Node, entries: &[(Key, Node)], schema: &Value, place: &Place) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        for (key, value) in entries {
            match properties.and_then(|known| known.get(&key.text)).or(others) {
                // The API server leaves such a key out.
                Some(schema) if value.value == Tree::Null && !is_nullable(schema) => {}
                Some(schema) => self.value(value, schema, &place.key(&key.text)),
                None => {
                    let Some(known) = properties else { continue };
                    let meant = nearest(&key.text, known.keys().map(String::as_str)).map(|meant| format!("{meant:?}"));
                    self.refuse(key.at, format!("key {:?} of {place} is unknown{}", key.text, hint(meant)));
                }
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for key in required.filter_map(Value::as_str) {
            if node.get(key).is_none_or(|value| value.value == Tree::Null) {
                self.refuse(node.at, format!("{place} has no key {key:?}"));
            }
        }
    }

    fn string(&mut self, node: &Node, text: &str, schema: &Value, place: &Place) {
        let longest = schema.get("maxLength").and_then(Value::as_u64);
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.iter().any(|value| value == text)
        {
            self.refuse(node.at, format!("{place} is {text:?}: {}", expected("string", schema)));
        } else if let Some(longest) =
            longest.filter(|most| u64::try_from(text.chars().count()).is_ok_and(|n| n > *most))
        {
            self.refuse(node.at, format!("{place} has more than {longest} characters"));
        } else if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text))
        {
            self.refuse(node.at, format!("{place} is {text:?}: it has to match {pattern}"));
        }
    }

    fn integer(&mut self, node: &Node, text: &str, schema: &Value, place: &Place) {
        let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
        let (least, most) = (limit("minimum"), limit("maximum"));
        let is_allowed = text.parse::<f64>().is_ok_and(|number| {
            let is_over = most.is_some_and(|most| number > most);
            number.fract() == 0.0 && !is_over && least.is_none_or(|least| number >= least)
        });
        if !is_allowed {
            self.refuse(node.at, format!("{place} is {text}: {}", expected("integer", schema)));
        }
    }

    /// Why `node` is true or false although nobody wrote that.
    fn misread(&self, node: &Node) -> String {
        let word = self.text.get(node.at..).unwrap_or_default();
        let word = word.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        let is_misread = matches!(node.value, Tree::Bool(_)) && !["true", "false"].contains(&word) && !word.is_empty();
        if is_misread { format!(", because {word} has no quotes") } else { String::new() }
    }

    fn refuse(&mut self, at: usize, text: String) {
        self.found.push(Refused { at, text });
    }
}

/// `own` as the API server completes it: with the default values of `schema`.
pub(super) fn completed(mut own: Value, schema: &Value) -> Value {
    if let Some(map) = own.as_object_mut() {
        for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let given = map.remove(key).filter(|value| !value.is_null() || is_nullable(schema));
            if let Some(value) = given.or_else(|| schema.get("default").cloned()) {
                map.insert(key.clone(), completed(value, schema));
            }
        }
    }
    own
}

fn is_nullable(schema: &Value) -> bool {
    schema.get("nullable").and_then(Value::as_bool).unwrap_or_default()
}

/// A value for people.
fn shown(node: &Node) -> String {
    match &node.value {
        Tree::Null => "empty".to_owned(),
        Tree::Bool(is_true) => is_true.to_string(),
        Tree::Number(text) => text.clone(),
        Tree::Text(text) => format!("{text:?}"),
        Tree::List(_) => "a list".to_owned(),
        Tree::Map(_) => "a map".to_owned(),
    }
}

/// What is allowed instead.
fn expected(wanted: &str, schema: &Value) -> String {
    let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
    let allowed = schema.get("enum").and_then(Value::as_array);
    match (wanted, allowed, limit("minimum"), limit("maximum")) {
        (_, Some(allowed), ..) => format!("allowed are {}", list(allowed.iter().map(Value::to_string))),
        ("integer", _, Some(least), Some(most)) => format!("it has to be a whole number from {least} to {most}"),
        ("integer", _, Some(least), None) => format!("it has to be a whole number, at least {least}"),
        ("integer", _, None, Some(most)) => format!("it has to be a whole number, at most {most}"),
        ("integer", ..) => "it has to be a whole number".to_owned(),
        ("boolean", ..) => "it has to be true or false".to_owned(),
        ("object", ..) => "it has to be a map".to_owned(),
        ("array", ..) => "it has to be a list".to_owned(),
        _ => "it has to be a string".to_owned(),
    }
}

/// `a, b and c`.
pub(super) fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match words.as_slice() {
        [before @ .., last] if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        words => words.concat(),
    }
}
