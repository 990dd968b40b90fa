//! Manifests as trees with places: for programs that show a person where something is written.

use super::yaml;
use crate::cni::folds_to;
use crate::cni::json::{self, InvalidJson};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_saphyr::Spanned;
use std::fmt;

/// Deeper values are left out: no manifest of Kubernetes has so many levels.
const DEEPEST: usize = 100;

/// A value, and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// How many bytes stand before it in its text.
    pub at: usize,
    /// The value.
    pub value: Tree,
}

/// What a value can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// `null`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// As it is written.
    Number(String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with their values, in their order; a key can be there twice in JSON.
    Map(Vec<(Key, Node)>),
}

/// The key of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// How many bytes stand before it in its text.
    pub at: usize,
    /// The key.
    pub text: String,
}

/// Why a text is neither YAML nor JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What is wrong, without its place.
    pub what: String,
    /// How many bytes stand before it; none where the place is not known.
    pub at: usize,
}

impl Node {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().rev().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// The value of `key` in any letter case, as Go finds it: an exact key is preferred.
    pub fn find(&self, key: &str) -> Option<&Node> {
        self.get(key)
            .or_else(|| self.entries().iter().rev().find(|(k, _)| folds_to(&k.text, key)).map(|(_, node)| node))
    }

    /// The value below `keys`, one after the other.
    pub fn below(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The key `key` itself.
    pub fn key(&self, key: &str) -> Option<&Key> {
        self.entries().iter().rev().find(|(k, _)| folds_to(&k.text, key)).map(|(key, _)| key)
    }

    /// The entries of a map; none of another value.
    pub fn entries(&self) -> &[(Key, Node)] {
        if let Tree::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The elements of a list; none of another value.
    pub fn items(&self) -> &[Node] {
        if let Tree::List(items) = &self.value { items } else { &[] }
    }

    /// As JSON, without places. Of a key that is there twice the last one counts.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Tree::Null => serde_json::Value::Null,
            Tree::Bool(is_true) => (*is_true).into(),
            Tree::Number(text) => json::parse(text).unwrap_or_default(),
            Tree::Text(text) => text.as_str().into(),
            Tree::List(items) => items.iter().map(Node::to_json).collect(),
            Tree::Map(entries) => entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect(),
        }
    }

    /// The string that it is.
    pub fn text(&self) -> Option<&str> {
        if let Tree::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Whether it is `true`.
    pub fn is_true(&self) -> bool {
        self.value == Tree::Bool(true)
    }

    /// The whole number that it is.
    pub fn number(&self) -> Option<i64> {
        if let Tree::Number(text) = &self.value { text.parse().ok() } else { None }
    }
}

/// Reads the documents in `text`, YAML or JSON, as [`super::manifest::read`] does. `text` has no byte order mark.
///
/// # Errors
/// One document is not understood.
pub fn read(text: &str) -> Result<Vec<Node>, Flaw> {
    if let Some(documents) = json_documents(text) {
        return Ok(documents);
    }
    let lines = Lines::of(text);
    let documents: Vec<Option<Spanned<FromYaml>>> =
        yaml::parse(text).map_err(|e| Flaw { what: e.what, at: e.location.map_or(0, |at| lines.place(at)) })?;
    Ok(documents.into_iter().flatten().map(|node| node_of(node, &lines)).collect())
}

/// Reads one JSON text.
///
/// # Errors
/// It is not JSON.
pub fn read_json(text: &str) -> Result<Node, InvalidJson> {
    json::parse_borrowed::<&RawValue>(text).map(|raw| of_json(raw, text, 0))
}

fn json_documents(text: &str) -> Option<Vec<Node>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    documents.map(|raw| raw.ok().map(|raw| of_json(raw, text, 0))).collect()
}

fn of_json(raw: &RawValue, text: &str, depth: usize) -> Node {
    // A borrowed value is a part of the text.
    let at = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let value = match raw.get().as_bytes().first() {
        _ if depth > DEEPEST => Tree::Null,
        Some(b'{') => {
            let Pairs(pairs) = json::parse_borrowed(raw.get()).unwrap_or_default();
            let entry = |(key, value): (String, &RawValue)| {
                let node = of_json(value, text, depth + 1);
                (Key { at: key_before(text, node.at), text: key }, node)
            };
            Tree::Map(pairs.into_iter().map(entry).collect())
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = json::parse_borrowed(raw.get()).unwrap_or_default();
            Tree::List(items.into_iter().map(|item| of_json(item, text, depth + 1)).collect())
        }
        Some(b'"') => Tree::Text(json::parse(raw.get()).unwrap_or_default()),
        Some(b't') => Tree::Bool(true),
        Some(b'f') => Tree::Bool(false),
        Some(b'n') | None => Tree::Null,
        Some(_) => Tree::Number(raw.get().to_owned()),
    };
    Node { at, value }
}

/// Where the key of the value at `at` begins: before it are a colon and white space.
fn key_before(text: &str, at: usize) -> usize {
    let before = text[..at].trim_end().trim_end_matches(':').trim_end().as_bytes();
    let mut begin = before.len().saturating_sub(1);
    while begin > 0 {
        begin -= 1;
        let escapes = before[..begin].iter().rev().take_while(|byte| **byte == b'\\').count();
        if before[begin] == b'"' && escapes % 2 == 0 {
            break;
        }
    }
    begin
}

/// The pairs of a JSON object, also those with one key.
#[derive(Default)]
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Reader).map(Pairs)
    }
}

/// A value of YAML with the places as the library has them.
enum FromYaml {
    Plain(Tree),
    List(Vec<Spanned<FromYaml>>),
    Map(Vec<(Spanned<String>, Spanned<FromYaml>)>),
}

impl<'de> Deserialize<'de> for FromYaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlReader)
    }
}

struct YamlReader;

impl<'de> Visitor<'de> for YamlReader {
    type Value = FromYaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<FromYaml, E> {
        Ok(FromYaml::Plain(Tree::Null))
    }

    fn visit_none<E>(self) -> Result<FromYaml, E> {
        Ok(FromYaml::Plain(Tree::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<FromYaml, D::Error> {
        FromYaml::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<FromYaml, E> {
        Ok(FromYaml::Plain(Tree::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<FromYaml, E> {
        Ok(FromYaml::Plain(Tree::Number(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<FromYaml, E> {
        Ok(FromYaml::Plain(Tree::Number(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<FromYaml, E> {
        Ok(FromYaml::Plain(Tree::Number(value.to_string())))
    }

    fn visit_str<E>(self, value: &str) -> Result<FromYaml, E> {
        Ok(FromYaml::Plain(Tree::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FromYaml, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(FromYaml::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FromYaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(FromYaml::Map(entries))
    }
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    begins: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let begins = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { text, begins }
    }

    /// The library counts lines and characters from 1.
    fn place(&self, location: serde_saphyr::Location) -> usize {
        let from_one = |number: u64| usize::try_from(number).unwrap_or(1).saturating_sub(1);
        let begin = self.begins.get(from_one(location.line())).copied().unwrap_or(self.text.len());
        let line = &self.text[begin..];
        begin + line.char_indices().nth(from_one(location.column())).map_or(line.len(), |(at, _)| at)
    }
}

fn node_of(node: Spanned<FromYaml>, lines: &Lines<'_>) -> Node {
    // Of a value behind an alias the place counts where it is written.
    let at = lines.place(node.defined);
    let value = match node.value {
        FromYaml::Plain(value) => value,
        FromYaml::List(items) => Tree::List(items.into_iter().map(|item| node_of(item, lines)).collect()),
        FromYaml::Map(entries) => {
            let entry = |(key, value): (Spanned<String>, Spanned<FromYaml>)| {
                (Key { at: lines.place(key.defined), text: key.value }, node_of(value, lines))
            };
            Tree::Map(entries.into_iter().map(entry).collect())
        }
    };
    Node { at, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_text() {
        let text = "a: 1\nb:\n  - x: true\n    'y': |\n      {\"k\": 2}\n---\n{\"é\": \"z\", \"n\": null}\n";
        let documents = read(text).unwrap();
        assert_eq!(documents.len(), 2);
        let begins =
            |node: &Node, what: &str| assert!(text[node.at..].starts_with(what), "{what}: {}", &text[node.at..]);
        begins(documents[0].get("a").unwrap(), "1");
        let item = &documents[0].get("b").unwrap().items()[0];
        assert!(item.get("x").unwrap().is_true());
        assert!(text[item.key("y").unwrap().at..].starts_with("'y'"));
        assert_eq!(item.get("y").unwrap().text(), Some("{\"k\": 2}\n"));
        begins(documents[1].get("é").unwrap(), "\"z\"");
        assert_eq!(documents[1].get("n").unwrap().value, Tree::Null);
    }

    #[test]
    fn json_has_places_too_and_keys_twice() {
        let text = " {\"a\\\"b\" : [1, {\"c\":\"d\"}], \"a\":1,\"a\": 2}";
        let node = read_json(text).unwrap();
        let keys: Vec<&str> = node.entries().iter().map(|(key, _)| &text[key.at..=key.at]).collect();
        assert_eq!(keys, ["\"", "\"", "\""]);
        assert_eq!(node.entries()[0].0, Key { at: 2, text: "a\"b".into() });
        assert_eq!(node.get("a").unwrap().number(), Some(2));
        let inner = &node.entries()[0].1.items()[1];
        assert!(text[inner.get("c").unwrap().at..].starts_with("\"d\""));
        assert_eq!(read("{\"a\":1}\n{\"a\":2}").unwrap().len(), 2);
        // What is too deep is left out.
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read_json(&deep).is_ok());
    }
}
