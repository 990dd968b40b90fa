//! JSON that is handed on: objects whose values stay as they were written.
//!
//! A delegate's configuration passes through us from a NAD to the plugin, on ADD and again on DEL.
//! Reading it into numbers and maps would lose integers beyond 2^53 and the order of keys
//! (CNI-CFG-14), so only the keys are read and the values are kept as text.

pub use super::json_error::{InvalidJson, InvalidValue, told};

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// Reads `text` as a `T`. Whoever reads JSON does it here, so that no message is in the words of the library.
///
/// # Errors
/// It is no JSON, or no `T`.
#[allow(clippy::disallowed_methods, reason = "the one place that reads")]
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, InvalidJson> {
    serde_json::from_str(text).map_err(|e| InvalidJson::of(e, text.as_bytes()))
}

/// As [`parse`], for a `T` that borrows from `text`.
///
/// # Errors
/// As [`parse`].
#[allow(clippy::disallowed_methods, reason = "the one place that reads")]
pub fn parse_borrowed<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, InvalidJson> {
    serde_json::from_str(text).map_err(|e| InvalidJson::of(e, text.as_bytes()))
}

/// As [`parse`].
///
/// # Errors
/// As [`parse`].
#[allow(clippy::disallowed_methods, reason = "the one place that reads")]
pub fn parse_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidJson> {
    serde_json::from_slice(bytes).map_err(|e| InvalidJson::of(e, bytes))
}

/// Keeps `text`, which is one JSON value, as it is.
///
/// # Errors
/// It is none.
#[allow(clippy::disallowed_methods, reason = "the one place that reads")]
pub fn parse_raw(text: String) -> Result<Box<RawValue>, InvalidJson> {
    Ok(RawValue::from_string(text)?)
}

/// Whether Go's `encoding/json` reads `key` as the field `name`. Apart from the letters' case it takes two characters
/// for ASCII letters: ſ (U+017F) for s, and the Kelvin sign (U+212A) for k.
pub fn folds_to(key: &str, name: &str) -> bool {
    // Nearly all keys are ASCII, and most are other ones.
    key.eq_ignore_ascii_case(name)
        || !(key.is_ascii() && name.is_ascii()) && key.chars().map(folded).eq(name.chars().map(folded))
}

/// The character that stands for all that Go reads as one with `c`. A name of a field has ASCII letters only.
fn folded(c: char) -> char {
    match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    }
}

fn fold(key: &str) -> String {
    key.chars().map(folded).collect()
}

/// A JSON object: keys in their order, values byte for byte.
#[derive(Clone, Debug, Default)]
pub struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    /// Reads one JSON object.
    ///
    /// # Errors
    /// `text` is no JSON object.
    pub fn parse(text: &str) -> Result<Self, InvalidJson> {
        parse(text)
    }

    /// The value of `key`, found as Go finds it: the exact key is preferred, another letter case
    /// is accepted, and of several the last wins.
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        let exact = self.0.iter().rev().find(|(k, _)| k == key);
        let folded = || self.0.iter().rev().find(|(k, _)| folds_to(k, key));
        exact.or_else(folded).map(|(_, value)| value.as_ref())
    }

    /// Whether `text` is in a key or a value, as they are written, in any letter case of ASCII.
    pub fn mentions(&self, text: &str) -> bool {
        let is_in = |whole: &str| {
            whole.as_bytes().windows(text.len().max(1)).any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
        };
        self.0.iter().any(|(key, value)| is_in(key) || is_in(value.get()))
    }

    /// Reads the value of `key`; absent and `null` are the same.
    ///
    /// # Errors
    /// The value is of another type.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads")]
    pub fn read<T: for<'de> Deserialize<'de>>(&self, key: &str) -> Result<Option<T>, InvalidValue> {
        match self.get(key) {
            None => Ok(None),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|source| InvalidValue::new(key, raw, source)),
        }
    }

    /// Whether `key` is there in any letter case.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets `key` in place, or appends it; spellings in another letter case are removed.
    pub fn set(&mut self, key: &str, value: Box<RawValue>) {
        let at = self.0.iter().position(|(k, _)| folds_to(k, key));
        self.remove(key);
        let at = at.unwrap_or(self.0.len()).min(self.0.len());
        self.0.insert(at, (key.to_owned(), value));
    }

    /// Sets `key` to what `value` serialises to.
    pub fn set_value<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        // Serialising the strings, maps and results we make cannot fail; a failure leaves the key out.
        if let Ok(raw) = serde_json::value::to_raw_value(value) {
            self.set(key, raw);
        }
    }

    /// Sets every key of `other`, as [`RawObject::set`] does: with its last value.
    ///
    /// Looked up and not searched for: an annotation can hold tens of thousands of keys.
    pub fn merge(&mut self, other: &RawObject) {
        let mut new: BTreeMap<String, Option<&(String, Box<RawValue>)>> = BTreeMap::new();
        for pair in &other.0 {
            new.insert(fold(&pair.0), Some(pair));
        }
        let mut merged = Vec::with_capacity(self.0.len() + new.len());
        for old in std::mem::take(&mut self.0) {
            match new.get_mut(&fold(&old.0)) {
                None => merged.push(old),
                // The first of several spellings gives the place to the new value.
                Some(pair) => merged.extend(pair.take().cloned()),
            }
        }
        for (key, _) in &other.0 {
            merged.extend(new.get_mut(&fold(key)).and_then(Option::take).cloned());
        }
        self.0 = merged;
    }

    /// How long its keys and values are together.
    pub fn size(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.get().len()).sum()
    }

    /// Removes `key` in every letter case.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(k, _)| !folds_to(k, key));
    }

    /// The keys and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_ref()))
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The object as JSON text.
    pub fn to_json(&self) -> String {
        // A map of strings to JSON values always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The object as one raw value.
    pub fn to_raw(&self) -> Box<RawValue> {
        parse_raw(self.to_json()).unwrap_or_else(|_| RawValue::NULL.to_owned())
    }
}

impl PartialEq for RawObject {
    fn eq(&self, other: &Self) -> bool {
        let text = |o: &RawObject| o.0.iter().map(|(k, v)| (k.clone(), v.get().to_owned())).collect::<Vec<_>>();
        text(self) == text(other)
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = RawObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(RawObject(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A boolean that older configurations write as a string in any letter case (CNI-CFG-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LenientBool(pub bool);

impl<'de> Deserialize<'de> for LenientBool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "true or false expected")]
        enum Form {
            Bool(bool),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Bool(value) => Ok(LenientBool(value)),
            Form::Text(text) if text.eq_ignore_ascii_case("true") => Ok(LenientBool(true)),
            Form::Text(text) if text.eq_ignore_ascii_case("false") => Ok(LenientBool(false)),
            Form::Text(text) => Err(serde::de::Error::custom(format!("{text:?} is neither true nor false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_byte_for_byte() {
        // CNI-CFG-14
        let text = r#"{"b":123456789012345678901,"a":{"x": [1,  "é",null,1.50]},"B2":1e400}"#;
        assert_eq!(RawObject::parse(text).unwrap().to_json(), text);
    }

    #[test]
    fn keys_are_found_as_go_finds_them() {
        let object = RawObject::parse(r#"{"Bridge":"x","mtu":1,"MTU":2,"mtu":3}"#).unwrap();
        assert_eq!(object.read::<String>("bridge").unwrap().as_deref(), Some("x"));
        assert_eq!(object.read::<u32>("mtu").unwrap(), Some(3));
        assert_eq!(object.read::<u32>("Mtu").unwrap(), Some(3));
    }

    #[test]
    fn two_characters_are_letters_for_go() {
        // N1: foldRune of encoding/json
        for (key, name) in [("conditionſV4", "conditionsV4"), ("ma\u{212a}", "mak"), ("\u{212a}ſ", "KS")] {
            assert!(folds_to(key, name) && folds_to(name, key), "{key}");
        }
        for (key, name) in [("ıpam", "ipam"), ("typeß", "typess"), ("a", "aa")] {
            assert!(!folds_to(key, name), "{key}");
        }
        let mut object = RawObject::parse(r#"{"a":1,"argſ":2,"ma\u212a":3}"#).unwrap();
        assert_eq!(object.read::<u32>("args").unwrap(), Some(2));
        object.set_value("args", &4);
        assert_eq!(object.to_json(), "{\"a\":1,\"args\":4,\"ma\u{212a}\":3}");
        object.merge(&RawObject::parse(r#"{"Mak":5,"argſ":6}"#).unwrap());
        assert_eq!(object.to_json(), r#"{"a":1,"argſ":6,"Mak":5}"#);
        object.remove("ARGS");
        assert_eq!(object.to_json(), r#"{"a":1,"Mak":5}"#);
    }

    #[test]
    fn set_keeps_the_place() {
        let mut object = RawObject::parse(r#"{"a":1,"Name":2,"c":3}"#).unwrap();
        object.set_value("name", "x");
        object.set_value("d", &4);
        assert_eq!(object.to_json(), r#"{"a":1,"name":"x","c":3,"d":4}"#);
    }

    #[test]
    fn merging_is_setting_one_after_another() {
        let object = |text: &str| RawObject::parse(text).unwrap();
        for (old, new) in [
            (r#"{"a":1,"B":2,"b":3,"c":4}"#, r#"{"d":5,"b":6,"A":7,"D":8}"#),
            ("{}", r#"{"a":1,"A":2,"b":3}"#),
            (r#"{"a":1,"A":2}"#, "{}"),
        ] {
            let (mut merged, mut set) = (object(old), object(old));
            merged.merge(&object(new));
            object(new).iter().for_each(|(key, value)| set.set(key, value.to_owned()));
            assert_eq!(merged.to_json(), set.to_json());
        }
    }

    #[test]
    fn booleans_may_be_strings() {
        // CNI-CFG-09
        let read = |text: &str| serde_json::from_str::<LenientBool>(text).map(|b| b.0).ok();
        assert_eq!(read("true"), Some(true));
        assert_eq!(read("\"TRUE\""), Some(true));
        assert_eq!(read("\"False\""), Some(false));
        assert_eq!(read("\"yes\""), None);
        assert_eq!(read("1"), None);
    }
}
