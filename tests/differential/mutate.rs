//! JSON texts that differ from good ones in a few places: every place of each, and several at random.

use crate::support::random::Random;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::fmt;

/// A JSON text in which keys may occur twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// What a value becomes.
const VALUES: [&str; 24] = [
    "null",
    "true",
    "0",
    "1",
    "-1",
    "1.0",
    "1e2",
    "1.5",
    "70000",
    "4294967296",
    "1e400",
    "1e0400",
    "\"\"",
    "\"x\"",
    "\"A\"",
    "\"10.0.0.1\"",
    "\"10.0.0.0/24\"",
    "\"010.0.0.1/24\"",
    "\" \"",
    "\"\\ud800\"",
    "[]",
    "{}",
    "[null]",
    "[\"x\"]",
];
/// What happens to a member of an object.
const MEMBERS: usize = 5;

impl Json {
    /// `text` with each of its keys, and its values as they are written; none where it is no JSON.
    pub fn read(text: &str) -> Option<Json> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        match text.as_bytes().first()? {
            b'{' => {
                let members = serde_json::from_str::<Members>(text).ok()?.0.into_iter();
                members.map(|(key, raw)| Some((key, Json::read(raw.get())?))).collect::<Option<_>>().map(Json::Object)
            }
            b'[' => {
                let list = serde_json::from_str::<Vec<Box<RawValue>>>(text).ok()?.into_iter();
                list.map(|raw| Json::read(raw.get())).collect::<Option<_>>().map(Json::List)
            }
            _ => serde_json::from_str::<&RawValue>(text).ok().map(|raw| Json::Text(raw.get().to_owned())),
        }
    }

    pub fn text(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        match self {
            Json::Text(text) => text.clone(),
            Json::List(list) => format!("[{}]", list.iter().map(Json::text).collect::<Vec<_>>().join(",")),
            Json::Object(members) => {
                let members = members.iter().map(|(key, value)| format!("{}:{}", quoted(key), value.text()));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
        }
    }

    /// How many changes there are.
    pub fn changes(&self) -> usize {
        let inside: usize = match self {
            Json::Text(_) => 0,
            Json::List(list) => list.iter().map(Json::changes).sum(),
            Json::Object(members) => members.iter().map(|(_, value)| MEMBERS + value.changes()).sum(),
        };
        VALUES.len() + inside
    }

    /// Makes the change of that `number`.
    pub fn change(&mut self, mut number: usize) {
        if number < VALUES.len() {
            *self = Json::Text(VALUES[number].to_owned());
            return;
        }
        number -= VALUES.len();
        match self {
            Json::Text(_) => {}
            Json::List(list) => {
                for value in list {
                    if number < value.changes() {
                        return value.change(number);
                    }
                    number -= value.changes();
                }
            }
            Json::Object(members) => {
                for at in 0..members.len() {
                    if number < MEMBERS {
                        return change_member(members, at, number);
                    }
                    number -= MEMBERS;
                    let value = &mut members[at].1;
                    if number < value.changes() {
                        return value.change(number);
                    }
                    number -= value.changes();
                }
            }
        }
    }
}

/// The members of an object in their order, also those with the same key.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

fn change_member(members: &mut Vec<(String, Json)>, at: usize, number: usize) {
    let (key, value) = members[at].clone();
    match number {
        0 => drop(members.remove(at)),
        // Go takes a key in any case.
        1 => members[at].0 = key.to_uppercase(),
        // Which of two counts?
        2 => members.push((key, Json::Text("\"second\"".to_owned()))),
        3 => members.push((key.to_uppercase(), value)),
        _ => members[at].0 = format!("{key}x"),
    }
}

/// Each text of `originals` with every single change.
pub fn every(originals: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for original in originals {
        let json = Json::read(original).unwrap();
        all.push(json.text());
        for number in 0..json.changes() {
            let mut changed = json.clone();
            changed.change(number);
            all.push(changed.text());
        }
    }
    all
}

/// One of `originals` with a few changes, and sometimes a few bytes.
pub fn random(originals: &[&str], random: &mut Random) -> String {
    let mut json = Json::read(originals[random.below(originals.len())]).unwrap();
    for _ in 0..1 + random.below(4) {
        json.change(random.below(json.changes()));
    }
    let mut text = json.text();
    if random.chance(15) && !text.is_empty() {
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let at = places[random.below(places.len())];
        match random.below(3) {
            0 => text.truncate(at),
            1 => text.insert_str(
                at,
                [" ", "\t", "\u{a0}", "\u{feff}", ",", "}", "]", "\"", "\\", "0", "\u{0}", "é"][random.below(12)],
            ),
            _ => drop(text.remove(at)),
        }
    }
    text
}
